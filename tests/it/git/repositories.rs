//! Repositories of people who mean well.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::app::{App, wait_until, write_tree};
use crate::support::git_server::GitServer;
use crate::support::server::TestServer;

/// What lets the program fetch from a server of a test.
pub fn settings(git: &GitServer) -> Vec<(String, String)> {
    vec![
        (
            "EMBEDDER_GIT_PRIVATE_HOSTS".to_owned(),
            "localhost".to_owned(),
        ),
        (
            "EMBEDDER_GIT_CA_FILE".to_owned(),
            git.ca_file.display().to_string(),
        ),
    ]
}

/// Starts a server with these settings.
pub fn start(app: &App, settings: &[(String, String)]) -> TestServer {
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let server = TestServer::start(app, &[], &settings);
    server
        .put("/v1/collections/code", &json!({"kind": "code"}))
        .with_status(201);
    server
}

/// Adds a repository, and returns its job when that has ended.
pub fn fetch(server: &TestServer, source: &Value) -> Value {
    let added = server
        .post("/v1/collections/code/sources", source)
        .with_status(202)
        .body;
    server.end_of_job(added["job"]["id"].as_str().unwrap())
}

#[test]
fn a_repository_is_fetched_and_searched_and_fetched_again() {
    let (app, git) = (App::text_only(), GitServer::start());
    let repository = git.repository("team/project.git");
    let first = repository.commit(
        "main",
        &[
            (
                "src/lamp.rs",
                "/// Lights the lamp.\npub fn light_lamp() {}\n",
            ),
            (
                "src/door.rs",
                "/// Opens the door.\npub fn open_door() {}\n",
            ),
            ("readme.md", "# A house\n"),
        ],
    );
    let server = start(&app, &settings(&git));
    let url = git.url("team/project.git");
    let source = json!({"url": url});
    let job = fetch(&server, &source);
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["report"]["changed"], 3, "{job}");
    assert_eq!(server.find("code", "light_lamp"), ["src/lamp.rs"]);
    let read = server.get("/v1/collections/code/files/src/door.rs").ok();
    assert!(read["text"].as_str().unwrap().contains("open_door"));
    let listed = server.get("/v1/collections/code/sources").ok();
    let listed = &listed["sources"][0];
    assert_eq!(listed["kind"], "git", "{listed}");
    assert_eq!(listed["url"], url, "{listed}");
    assert_eq!(listed["commit"], first, "{listed}");

    // Only what another commit changes is read again.
    let second = repository.commit(
        "main",
        &[
            (
                "src/lamp.rs",
                "/// Puts the lamp out.\npub fn darken_lamp() {}\n",
            ),
            (
                "src/door.rs",
                "/// Opens the door.\npub fn open_door() {}\n",
            ),
        ],
    );
    let job = fetch(&server, &source);
    assert_eq!(job["report"]["changed"], 1, "{job}");
    assert_eq!(job["report"]["removed"], 1, "{job}");
    assert_eq!(server.find("code", "darken_lamp"), ["src/lamp.rs"]);
    let listed = server.get("/v1/collections/code/sources").ok();
    assert_eq!(listed["sources"][0]["commit"], second, "{listed}");
    assert_eq!(listed["sources"].as_array().unwrap().len(), 1);
    let indexed_commit = || {
        let collection = server.get("/v1/collections/code").ok();
        collection["freshness"]["indexed_commit"].clone()
    };
    assert_eq!(indexed_commit(), second);

    // A second branch is a source of its own.
    repository.commit("side", &[("src/cellar.rs", "pub fn dig_cellar() {}\n")]);
    let job = fetch(&server, &json!({"url": url, "ref": "side"}));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(server.find("code", "dig_cellar"), ["src/cellar.rs"]);
    assert!(indexed_commit().is_null());
    let copies = app.data_dir().join("repositories");
    let folders = || {
        let entries = std::fs::read_dir(&copies).unwrap().flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    assert_eq!(folders(), 2);
    for source in server.get("/v1/collections/code/sources").ok()["sources"]
        .as_array()
        .unwrap()
    {
        let id = source["id"].as_str().unwrap();
        server
            .delete(&format!("/v1/collections/code/sources/{id}"))
            .with_status(204);
    }
    assert!(server.find("code", "dig_cellar").is_empty());
    assert_eq!(folders(), 0);
}

#[test]
fn parts_of_a_repository_can_be_left_out() {
    let (app, git) = (App::text_only(), GitServer::start());
    let repository = git.repository("project.git");
    repository.commit(
        "main",
        &[
            (".embedderignore", "generated\n*.txt\n!keep.txt\n"),
            ("generated/a.rs", "pub fn zebrawood() {}\n"),
            ("docs/notes.txt", "Notes.\n"),
            ("docs/keep.txt", "Kept.\n"),
            ("src/lib.rs", "pub fn quartzite() {}\n"),
            ("keys/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
            (".env", "PASSWORD=1\n"),
        ],
    );
    let server = start(&app, &settings(&git));
    let source = json!({"url": git.url("project.git")});
    let job = fetch(&server, &source);
    let report = &job["report"];
    assert_eq!(report["skipped"]["may hold secrets"], 2, "{job}");
    assert_eq!(report["changed"], 3, "{job}");
    assert!(server.find("code", "zebrawood").is_empty());
    let only = json!({"url": git.url("project.git"), "within": ["src"]});
    assert_eq!(fetch(&server, &only)["report"]["files"], 1);
    let nothing = json!({"url": git.url("project.git"), "within": ["nowhere"]});
    let job = fetch(&server, &nothing);
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(server.find("code", "quartzite"), ["src/lib.rs"]);
}

#[test]
fn credentials_are_shown_to_their_own_host_alone() {
    let (app, git) = (App::text_only(), GitServer::start());
    git.repository("secret.git")
        .commit("main", &[("a.rs", "pub fn hidden_word() {}\n")]);
    let port = git.address.port();
    let file = app.dir.path().join("credentials");
    std::fs::write(
        &file,
        format!(
            "https://reader:swordfish@localhost:{port}\nhttps://other:tunafish@127.0.0.1:{port}\n"
        ),
    )
    .unwrap();
    let mut with = settings(&git);
    with.push((
        "EMBEDDER_GIT_CREDENTIALS_FILE".to_owned(),
        file.display().to_string(),
    ));
    with[0].1 = "localhost,127.0.0.1".to_owned();
    let server = start(&app, &with);
    // What the operator's credentials open, others do not get by a key to add sources.
    let key = server.key(&["sources:write", "collections:read"], None);
    server
        .ask("POST", "/v1/collections/code/sources")
        .key(&key)
        .json(&json!({"url": git.url("private/secret.git")}))
        .send()
        .problem(403, "forbidden");
    assert_eq!(git.requests(), 0);
    let job = fetch(&server, &json!({"url": git.url("private/secret.git")}));
    assert_eq!(job["state"], "done", "{job}");
    // reader:swordfish, and nobody else's.
    assert_eq!(git.authorizations(), ["Basic cmVhZGVyOnN3b3JkZmlzaA=="]);
    assert_eq!(server.find("code", "hidden_word"), ["a.rs"]);
    let log = server.log();
    assert!(!log.contains("swordfish"), "{log}");
    // They are asked for and never told: a refusal erases nothing.
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept.contains("swordfish") && kept.contains("tunafish"),
        "{kept}"
    );
}

#[test]
fn credentials_that_come_later_do_not_open_what_others_asked_for() {
    let (app, git) = (App::text_only(), GitServer::start());
    git.repository("secret.git")
        .commit("main", &[("a.rs", "pub fn hidden_word() {}\n")]);
    let server = start(&app, &settings(&git));
    let key = server.key(&["sources:write", "collections:read"], None);
    let url = git.url("private/secret.git");
    server
        .ask("POST", "/v1/collections/code/sources")
        .key(&key)
        .json(&json!({"url": url, "watch": true}))
        .send()
        .with_status(202);
    let states = |server: &TestServer| {
        let jobs = server.get("/v1/jobs").ok();
        let jobs = jobs["jobs"].as_array().unwrap().clone();
        let error_of = |job: &Value| (job["state"].clone(), job["error"]["code"].clone());
        jobs.iter().map(error_of).collect::<Vec<_>>()
    };
    wait_until("it is refused there", || states(&server)[0].0 == "failed");
    server.stop();
    let file = app.dir.path().join("credentials");
    let port = git.address.port();
    std::fs::write(
        &file,
        format!("https://reader:swordfish@localhost:{port}\n"),
    )
    .unwrap();
    let mut with = settings(&git);
    for (name, value) in [
        ("EMBEDDER_GIT_CREDENTIALS_FILE", file.display().to_string()),
        ("EMBEDDER_GIT_FETCH_EVERY_S", "10".to_owned()),
    ] {
        with.push((name.to_owned(), value));
    }
    let with: Vec<_> = with
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let server = TestServer::start(&app, &[], &with);
    wait_until("it is asked for again", || {
        states(&server).contains(&(json!("failed"), json!("forbidden")))
    });
    assert!(git.authorizations().is_empty());
    assert!(server.find("code", "hidden_word").is_empty());
    // The operator may have it fetched, and it is fetched again from then on.
    let job = fetch(&server, &json!({"url": url}));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(server.find("code", "hidden_word"), ["a.rs"]);
}

#[test]
fn a_host_that_does_not_answer_keeps_nobody_else_waiting() {
    let (app, git) = (App::text_only(), GitServer::start());
    let server = start(&app, &settings(&git));
    let folder = app.dir.path().canonicalize().unwrap().join("project");
    write_tree(&folder, &[("a.rs", "pub fn first() {}\n")]);
    server.allow(&folder);
    let job = fetch(&server, &json!({"path": folder, "watch": true}));
    assert_eq!(job["state"], "done", "{job}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}/project.git",
        silent.local_addr().unwrap().port()
    );
    let stuck = server
        .post("/v1/collections/code/sources", &json!({"url": url}))
        .with_status(202)
        .body;
    let stuck = format!("/v1/jobs/{}", stuck["job"]["id"].as_str().unwrap());
    wait_until("it is being fetched", || {
        server.get(&stuck).ok()["progress"]["phase"] == "fetching"
    });
    write_tree(&folder, &[("b.rs", "pub fn second() {}\n")]);
    wait_until("what is saved is found", || {
        server.find("code", "second") == ["b.rs"]
    });
    assert_eq!(server.get(&stuck).ok()["state"], "running");
    server.delete(&stuck);
    wait_until("it is cancelled", || {
        server.get(&stuck).ok()["state"] == "cancelled"
    });
}

#[test]
fn what_cannot_be_fetched_is_said_with_what_to_do_about_it() {
    let (app, git) = (App::text_only(), GitServer::start());
    git.repository("project.git")
        .commit("main", &[("a.rs", "fn a() {}\n")]);
    let server = start(&app, &settings(&git));
    let fails = |source: Value, code: &str, part: &str| {
        let job = fetch(&server, &source);
        assert_eq!(job["error"]["code"], code, "{job}");
        let message = job["error"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    };
    fails(
        json!({"url": git.url("nothing.git")}),
        "bad_upstream",
        "not found",
    );
    fails(
        json!({"url": git.url("project.git"), "ref": "nothing"}),
        "bad_upstream",
        "nothing",
    );
    fails(
        json!({"url": "ssh://git@localhost/project.git"}),
        "invalid_request",
        "git.ssh_key_file",
    );
    let refused = |source: Value, part: &str| {
        let problem = server
            .post("/v1/collections/code/sources", &source)
            .problem(400, "usage");
        assert!(problem.to_string().contains(part), "{problem}");
    };
    refused(json!({"url": "http://localhost/a.git"}), "https and ssh");
    refused(
        json!({"url": "https://me:secret@localhost/a.git"}),
        "credentials_file",
    );
    refused(json!({"url": "file:///etc"}), "https and ssh");
    refused(json!({"url": "ext::sh -c id"}), "white space");
    refused(
        json!({"url": git.url("project.git"), "ref": "--upload-pack=id"}),
        "branch",
    );
    refused(
        json!({"url": git.url("project.git"), "path": "/srv"}),
        "both",
    );
    refused(json!({}), "`path`");
    refused(json!({"path": "/srv", "ref": "main"}), "`ref`");
}

#[test]
fn a_fetch_that_was_killed_is_taken_up_by_the_next() {
    let (app, git) = (App::text_only(), GitServer::start());
    let repository = git.repository("project.git");
    repository.commit("main", &[("a.rs", "pub fn first_word() {}\n")]);
    let server = start(&app, &settings(&git));
    let source = json!({"url": git.url("project.git")});
    assert_eq!(fetch(&server, &source)["state"], "done");
    let copies = app.data_dir().join("repositories");
    let copy = std::fs::read_dir(&copies)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
        .unwrap();
    for left in [
        "shallow.lock",
        "config.lock",
        "refs/embedder/fetched.lock",
        "objects/pack/tmp_pack_x",
        "gc.pid",
    ] {
        std::fs::write(copy.join(left), "").unwrap();
    }
    repository.commit("main", &[("a.rs", "pub fn second_word() {}\n")]);
    let job = fetch(&server, &source);
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(server.find("code", "second_word"), ["a.rs"]);
    // One that was made by half is made anew.
    std::fs::remove_dir_all(copy.join("objects")).unwrap();
    repository.commit("main", &[("a.rs", "pub fn third_word() {}\n")]);
    let job = fetch(&server, &source);
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(server.find("code", "third_word"), ["a.rs"]);
}

#[test]
fn a_fetch_can_be_cancelled() {
    let app = App::text_only();
    // It accepts, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let with = [(
        "EMBEDDER_GIT_PRIVATE_HOSTS".to_owned(),
        "localhost".to_owned(),
    )];
    let server = start(&app, &with);
    let source = json!({"url": format!("https://localhost:{port}/project.git")});
    let added = server
        .post("/v1/collections/code/sources", &source)
        .with_status(202)
        .body;
    let job = added["job"]["id"].as_str().unwrap();
    wait_until("it is being fetched", || {
        server.get(&format!("/v1/jobs/{job}")).ok()["progress"]["phase"] == "fetching"
    });
    let began = std::time::Instant::now();
    server.delete(&format!("/v1/jobs/{job}")).with_status(200);
    assert_eq!(server.end_of_job(job)["state"], "cancelled");
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn a_watched_repository_is_fetched_by_itself() {
    let (app, git) = (App::text_only(), GitServer::start());
    let repository = git.repository("project.git");
    repository.commit("main", &[("a.rs", "pub fn first_word() {}\n")]);
    let mut with = settings(&git);
    with.push(("EMBEDDER_GIT_FETCH_EVERY_S".to_owned(), "10".to_owned()));
    let server = start(&app, &with);
    let source = json!({"url": git.url("project.git"), "watch": true});
    assert_eq!(fetch(&server, &source)["state"], "done");
    repository.commit("main", &[("a.rs", "pub fn second_word() {}\n")]);
    wait_until("the second commit is found", || {
        !server.find("code", "second_word").is_empty()
    });
    let collection = server.get("/v1/collections/code").ok();
    assert_eq!(collection["freshness"]["watched"], true, "{collection}");
}

#[test]
fn the_command_line_fetches_with_and_without_a_server() {
    let (app, git) = (App::text_only(), GitServer::start());
    git.repository("project.git")
        .commit("main", &[("src/a.rs", "pub fn only_word() {}\n")]);
    let url = git.url("project.git");
    let run_as = |arguments: &[&str], succeeds: bool| {
        let mut command = app.command(arguments);
        command.envs(settings(&git));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.success(), succeeds, "{said}");
        said
    };
    let run = |arguments: &[&str]| run_as(arguments, true);
    // Nothing stays of what never was there.
    let missing = git.url("missing.git");
    run_as(&["index", &missing], false);
    let status = run(&["status"]);
    assert!(!status.contains("missing"), "{status}");
    run(&["index", &url, "--ref", "main"]);
    assert_eq!(app.places(&["search", "only_word"]), ["src/a.rs:1"]);
    let with = settings(&git);
    let with: Vec<_> = with.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let server = TestServer::start(&app, &[], &with);
    run(&["index", &url, "--ref", "main"]);
    assert_eq!(server.find("project", "only_word"), ["src/a.rs"]);
    run_as(&["index", &missing], false);
    let status = run(&["status"]);
    assert!(!status.contains("missing"), "{status}");
    assert!(status.contains(&format!("from {url}#main")), "{status}");
    assert!(status.contains("commit "), "{status}");
}
