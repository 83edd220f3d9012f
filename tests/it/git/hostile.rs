//! Repositories, servers and settings that mean harm. Nothing of a repository is executed, nothing outside of it is read, and
//! what it may cost is bounded.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::repositories::{fetch, settings, start};
use crate::support::app::{App, write_tree};
use crate::support::git_server::GitServer;
use crate::support::server::TestServer;

/// A whole run over the worst of them.
const TIME_MAX: Duration = Duration::from_secs(60);

/// The files that a job left out, with the reason of each.
fn skipped(server: &TestServer, job: &Value) -> Vec<(String, String)> {
    let id = job["id"].as_str().unwrap();
    let failures = server.get(&format!("/v1/jobs/{id}/failures")).ok();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let failures = failures["failures"].as_array().unwrap().iter();
    failures
        .map(|file| (text(&file["path"]), text(&file["reason"])))
        .collect()
}

#[test]
fn nothing_of_a_repository_or_a_users_settings_is_executed() {
    let (app, git) = (App::text_only(), GitServer::start());
    let marker = app.dir.path().join("executed");
    let evil = format!("touch {}", marker.display());
    let repository = git.repository("project.git");
    let sub = repository.blob(
        format!(
            "[submodule \"a\"]\n\tpath = a\n\turl = ext::sh -c \"{evil}\"\n\tupdate = !{evil}\n"
        )
        .as_bytes(),
    );
    let attributes = repository.blob(b"* filter=evil diff=evil merge=evil\n");
    let config = repository.blob(
        format!("[filter \"evil\"]\n\tsmudge = {evil}\n[core]\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n")
            .as_bytes(),
    );
    let hook = repository.blob(format!("#!/bin/sh\n{evil}\n").as_bytes());
    let hooks = repository.tree(&[("100755", b"post-checkout", &hook)]);
    let code = repository.blob(b"pub fn harmless() {}\n");
    let commit = "1234567890123456789012345678901234567890";
    let tree = repository.tree(&[
        ("100644", b".gitattributes", &attributes),
        ("100644", b".gitconfig", &config),
        ("100644", b".gitmodules", &sub),
        ("160000", b"a", commit),
        ("100644", b"b.rs", &code),
        ("100644", b"config", &config),
        ("40000", b"hooks", &hooks),
    ]);
    repository.commit_tree("main", &tree);

    // The user's own settings, and the environment, would execute as well.
    let home = app.dir.path().join("home");
    write_tree(
        &home,
        &[(
            ".gitconfig",
            &format!(
                "[core]\n\tfsmonitor = {evil}\n\thooksPath = {0}\n[url \"ext::sh -c '{evil}' #\"]\n\tinsteadOf = https://\n\
                 [credential]\n\thelper = \"!{evil}\"\n",
                home.display()
            ),
        )],
    );
    let mut with = settings(&git);
    for (name, value) in [
        ("HOME", home.display().to_string()),
        ("GIT_SSH_COMMAND", evil.clone()),
        ("GIT_PROXY_COMMAND", evil.clone()),
        ("GIT_EXTERNAL_DIFF", evil.clone()),
        ("GIT_ASKPASS", evil.clone()),
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor".to_owned()),
        ("GIT_CONFIG_VALUE_0", evil.clone()),
        ("GIT_CONFIG_PARAMETERS", format!("'core.fsmonitor={evil}'")),
    ] {
        with.push((name.to_owned(), value));
    }
    let server = start(&app, &with);
    let job = fetch(&server, &json!({"url": git.url("project.git")}));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(server.find("code", "harmless"), ["b.rs"]);
    let left_out = skipped(&server, &job);
    assert!(
        left_out.contains(&("a".to_owned(), "another repository".to_owned())),
        "{left_out:?}"
    );
    assert!(!marker.exists(), "something was executed");
}

#[test]
fn names_that_lead_out_and_links_are_names_alone() {
    let (app, git) = (App::text_only(), GitServer::start());
    let repository = git.repository("project.git");
    let code = repository.blob(b"pub fn inside() {}\n");
    let link = repository.blob(b"/etc/passwd");
    let inner = repository.tree(&[("100644", b"passwd", &code)]);
    let outer = repository.tree(&[("40000", b"..", &inner)]);
    let tree = repository.tree(&[
        ("100644", b"..", &code),
        ("100644", b"../../etc/passwd", &code),
        ("100644", b".", &code),
        ("100644", b".GIT", &code),
        ("100644", b"/etc/passwd", &code),
        ("100644", b"a\\b", &code),
        ("100644", b"bad\xff\xfename.rs", &code),
        ("40000", b"folder", &outer),
        ("120000", b"link", &link),
        ("100644", b"new\nline.rs", &code),
        ("100644", b"plain.rs", &code),
        ("100644", b"same.rs", &code),
        ("100644", b"same.rs", &link),
        ("40000", b"\x1b[2Jred", &inner),
    ]);
    repository.commit_tree("main", &tree);
    let server = start(&app, &settings(&git));
    let job = fetch(&server, &json!({"url": git.url("project.git")}));
    assert_eq!(job["state"], "done", "{job}");
    let left_out = skipped(&server, &job);
    for name in [
        "..",
        "../../etc/passwd",
        ".",
        "/etc/passwd",
        "a\\b",
        "folder/..",
    ] {
        let reason = (name.to_owned(), "the file name is not one".to_owned());
        assert!(left_out.contains(&reason), "{name}: {left_out:?}");
    }
    assert!(left_out.contains(&("link".to_owned(), "symbolic link".to_owned())));
    let mut found = server.find("code", "inside");
    found.sort();
    assert!(found.contains(&"plain.rs".to_owned()), "{found:?}");
    assert!(found.iter().all(|path| !path.contains("..")), "{found:?}");
    // Nothing but our bare copy was written.
    let copies = app.data_dir().join("repositories");
    let mut copies = std::fs::read_dir(&copies).unwrap().flatten();
    assert!(copies.all(|copy| !copy.path().join("plain.rs").exists()));
}

#[test]
fn rules_that_are_made_to_cost_are_refused() {
    let (app, git) = (App::text_only(), GitServer::start());
    let repository = git.repository("rules.git");
    let rule = format!("*{}z\n", "*a*b*c".repeat(20));
    let rules = repository.blob(rule.repeat(500).as_bytes());
    let code = repository.blob(b"pub fn code() {}\n");
    let names: Vec<String> = (0..2_000)
        .map(|number| format!("{}{number}.rs", "abcab".repeat(30)))
        .collect();
    let mut files: Vec<_> = names
        .iter()
        .map(|name| ("100644", name.as_bytes(), code.as_str()))
        .collect();
    files.push(("100644", b".embedderignore", &rules));
    files.sort_by_key(|(_, name, _)| *name);
    repository.commit_tree("main", &repository.tree(&files));
    let server = start(&app, &settings(&git));
    let began = Instant::now();
    let job = fetch(&server, &json!({"url": git.url("rules.git")}));
    assert_eq!(job["state"], "failed", "{job}");
    let said = job["error"]["message"].as_str().unwrap();
    assert!(said.contains("more rules than may be"), "{job}");
    assert!(began.elapsed() < TIME_MAX);
}

#[test]
fn a_tree_that_holds_itself_over_and_over_is_refused_in_time() {
    let (app, git) = (App::text_only(), GitServer::start());
    let repository = git.repository("bomb.git");
    let code = repository.blob(b"boom\n");
    let names: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| ("100644", name.as_bytes(), code.as_str()))
        .collect();
    let mut tree = repository.tree(&files);
    for _ in 0..10 {
        let below = tree.clone();
        let folders: Vec<_> = names
            .iter()
            .map(|name| ("40000", name.as_bytes(), below.as_str()))
            .collect();
        tree = repository.tree(&folders);
    }
    repository.commit_tree("main", &tree);
    let mut deep = repository.tree(&[("100644", b"bottom.rs", &code)]);
    for _ in 0..500 {
        deep = repository.tree(&[("40000", b"d", &deep)]);
    }
    let top = repository.blob(b"pub fn at_the_top() {}\n");
    let deep = repository.tree(&[("40000", b"deep", &deep), ("100644", b"top.rs", &top)]);
    repository.commit_tree("deep", &deep);
    let server = start(&app, &settings(&git));
    let began = Instant::now();
    let job = fetch(&server, &json!({"url": git.url("bomb.git")}));
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["error"]["code"], "usage", "{job}");
    assert!(began.elapsed() < TIME_MAX);
    let job = fetch(&server, &json!({"url": git.url("bomb.git"), "ref": "deep"}));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(server.find("code", "at_the_top"), ["top.rs"]);
    let left_out = skipped(&server, &job);
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    assert_eq!(left_out[0].1, "nested too deeply");
}

#[test]
fn a_repository_or_a_file_that_is_too_large_is_left_out() {
    let (app, git) = (App::text_only(), GitServer::start());
    let repository = git.repository("large.git");
    // A few kilobytes in a pack.
    let zeros = repository.blob(&vec![b'\n'; 40_000_000]);
    let code = repository.blob(b"pub fn small() {}\n");
    let tree = repository.tree(&[("100644", b"a.rs", &code), ("100644", b"zeros.txt", &zeros)]);
    repository.commit_tree("main", &tree);
    let mut noise = Vec::new();
    let mut state: u64 = 1;
    while noise.len() < 3_000_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        noise.extend_from_slice(&state.to_be_bytes());
    }
    let noise = repository.blob(&noise);
    let tree = repository.tree(&[("100644", b"noise.bin", &noise)]);
    repository.commit_tree("noise", &tree);
    let mut with = settings(&git);
    with.push(("EMBEDDER_GIT_BYTES_MAX".to_owned(), "1048576".to_owned()));
    let server = start(&app, &with);
    let job = fetch(&server, &json!({"url": git.url("large.git")}));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["report"]["skipped"]["too large"], 1, "{job}");
    assert_eq!(server.find("code", "small"), ["a.rs"]);
    let job = fetch(
        &server,
        &json!({"url": git.url("large.git"), "ref": "noise"}),
    );
    assert_eq!(job["error"]["code"], "too_large", "{job}");
}

#[test]
fn private_addresses_redirects_and_unknown_authorities_are_refused() {
    let git = GitServer::start();
    git.repository("project.git")
        .commit("main", &[("a.rs", "fn a() {}\n")]);
    let refused = |with: &[(String, String)], name: &str, code: &str, part: &str| {
        let app = App::text_only();
        let server = start(&app, with);
        let job = fetch(&server, &json!({"url": git.url(name)}));
        assert_eq!(job["error"]["code"], code, "{job}");
        let message = job["error"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    };
    let all = settings(&git);
    let not_allowed: Vec<_> = all[1..].to_vec();
    refused(
        &not_allowed,
        "project.git",
        "forbidden",
        "git.private_hosts",
    );
    assert_eq!(git.requests(), 0, "it was asked all the same");
    refused(&all[..1], "project.git", "bad_upstream", "certificate");
    refused(&all, "moved/project.git", "bad_upstream", "redirect");
}
