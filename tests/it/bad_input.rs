//! What bad input gets: one line with cause and remedy, a documented exit code, and nothing lost.

use std::fs;
use std::process::Command;

use crate::support::app::{App, real_model, skip, wait_until, write_tree};

#[test]
fn paths_that_are_no_folders() {
    let app = App::text_only();
    write_tree(app.dir.path(), &[("file.rs", "fn a() {}\n")]);
    app.fails(
        &["index", "nowhere"],
        66,
        &["nowhere does not exist", "spelling"],
    );
    app.fails(
        &["index", "file.rs"],
        66,
        &["file.rs is a file, not a folder", "name its folder"],
    );
    app.fails(&["quickstart", "nowhere"], 66, &["nowhere does not exist"]);
    assert!(!app.data_dir().join("content.db").exists());
}

#[test]
fn a_folder_that_cannot_be_read() {
    let app = App::text_only();
    let closed = app.dir.path().join("closed");
    write_tree(
        app.dir.path(),
        &[
            ("closed/a.rs", "fn a() {}\n"),
            ("part/open.rs", "fn b() {}\n"),
            ("part/shut.rs", "fn c() {}\n"),
        ],
    );
    let owner_only = |path: &std::path::Path, mode: &str| {
        assert!(
            Command::new("chmod")
                .arg(mode)
                .arg(path)
                .status()
                .unwrap()
                .success()
        );
    };
    owner_only(app.dir.path(), "755");
    // Root may read everything, so as root the program runs as nobody.
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .unwrap()
        .stdout
        .starts_with(b"0\n");
    let run = |args: &[&str]| {
        let plain = app.command(args);
        if !is_root {
            return app.run(args);
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(plain.get_program())
            .args(plain.get_args());
        command.envs(
            plain
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        command.current_dir(app.dir.path());
        crate::support::app::Run(command.output().unwrap())
    };
    let can_run = run(&["--version"]).0.status.success();
    if !can_run {
        return skip("another user cannot run the program here");
    }
    fs::create_dir(app.data_dir()).unwrap();
    owner_only(&app.data_dir(), "777");
    owner_only(&closed, "000");
    owner_only(&app.dir.path().join("part/shut.rs"), "000");
    let refused = run(&["index", "closed"]);
    refused.assert_failure(77, &["cannot read", "closed", "permissions"]);
    let done = run(&["index", "part"]);
    assert!(done.0.status.success(), "{}", done.err());
    assert!(done.out().contains("1 unreadable"), "{}", done.out());
    owner_only(&closed, "755");
}

#[test]
fn an_empty_folder_is_no_mistake() {
    let app = App::text_only();
    fs::create_dir(app.dir.path().join("empty")).unwrap();
    let report = app.json(&["index", "empty"]);
    assert_eq!(
        (report["files"].as_u64(), report["chunks"].as_u64()),
        (Some(0), Some(0))
    );
    let run = app.ok(&["search", "anything"]);
    assert!(run.out().contains("nothing found"), "{}", run.out());
}

#[test]
fn queries_and_filters_that_cannot_be_used() {
    let app = App::text_only();
    app.fails(
        &["search", "x"],
        66,
        &["nothing is indexed", "embedder index"],
    );
    write_tree(app.dir.path(), &[("p/a.rs", "fn a() {}\n")]);
    app.ok(&["index", "p"]);
    app.fails(&["search", ""], 64, &["empty"]);
    app.fails(&["search", "  \n"], 64, &["empty"]);
    app.fails(
        &["search", &"x".repeat(100_000)],
        64,
        &["100000 characters", "32768"],
    );
    app.fails(
        &["search", "x", "--language", "klingon"],
        64,
        &["klingon", "python"],
    );
    app.fails(&["search", "x", "--path", "a["], 64, &["`a[`"]);
    app.fails(
        &["search", "x", "--metadata", "novalue"],
        64,
        &["KEY=VALUE"],
    );
    app.fails(&["search", "x", "-n", "0"], 64, &["1 to 1000"]);
    app.fails(&["search", "x", "--context", "99"], 64, &["0 to 20"]);
    assert_eq!(
        app.run(&["search", "x", "--mode", "magic"]).0.status.code(),
        Some(64)
    );
    assert_eq!(app.run(&["no-such-command"]).0.status.code(), Some(64));
}

#[test]
fn queries_of_any_bytes_are_answered() {
    let app = App::text_only();
    write_tree(app.dir.path(), &[("p/a.rs", "fn a() {}\n")]);
    app.ok(&["index", "p"]);
    for query in [
        "\u{0}x".trim_matches('\0'),
        "🦀",
        "日本語の検索",
        "((((",
        "a\tb\u{1b}[2J",
        "!!!",
        &"x ".repeat(4_000),
    ] {
        for mode in ["hybrid", "text", "literal"] {
            app.ok(&["search", query, "--mode", mode]);
        }
    }
}

#[test]
fn settings_that_cannot_be_used_are_told_all_at_once() {
    let app = App::text_only();
    let output = app
        .command(&["status"])
        .env("EMBEDDER_THREADS", "none")
        .env("EMBEDDER_INDEX_PARSE_MS_MAX", "-1")
        .output();
    let run = crate::support::app::Run(output.unwrap());
    run.assert_failure(
        64,
        &[
            "threads must be",
            "index.parse_ms_max must be",
            "config show",
        ],
    );
    assert!(app.ok(&["config", "check"]).out().contains("in order"));
    let shown = app.ok(&["config", "show"]).out();
    assert!(
        shown.contains("data_dir = ") && shown.contains("(environment EMBEDDER_DATA_DIR)"),
        "{shown}"
    );
}

#[test]
fn model_folders_that_cannot_be_used() {
    let Some(model) = real_model() else { return };
    let app = App::text_only();
    let copy = |name: &str| {
        let dir = app.dir.path().join(name);
        fs::create_dir_all(dir.join("1_Pooling")).unwrap();
        for file in [
            "config.json",
            "tokenizer.json",
            "model.safetensors",
            "modules.json",
            "sentence_bert_config.json",
            "1_Pooling/config.json",
        ] {
            fs::copy(model.join(file), dir.join(file)).unwrap();
        }
        dir
    };
    let embed = |dir: &std::path::Path, code: i32, parts: &[&str]| {
        app.fails(
            &["embed", "hello", "--model", dir.to_str().unwrap()],
            code,
            parts,
        );
    };
    let whole = copy("whole");
    let line = app
        .ok(&["embed", "hello", "--model", whole.to_str().unwrap()])
        .out();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["embedding"].as_array().unwrap().len(), 384);

    let missing = copy("missing");
    fs::remove_file(missing.join("tokenizer.json")).unwrap();
    embed(&missing, 65, &["tokenizer.json"]);
    let truncated = copy("truncated");
    let weights = truncated.join("model.safetensors");
    fs::File::options()
        .write(true)
        .open(&weights)
        .unwrap()
        .set_len(1_000_000)
        .unwrap();
    embed(&truncated, 65, &["model.safetensors"]);
    let other = copy("other");
    let config = fs::read_to_string(other.join("config.json")).unwrap();
    fs::write(
        other.join("config.json"),
        config.replace("\"bert\"", "\"t5\""),
    )
    .unwrap();
    embed(&other, 65, &["t5"]);
    embed(&app.dir.path().join("nowhere"), 66, &["nowhere"]);

    // A model that cannot be used never stops text search.
    write_tree(app.dir.path(), &[("p/a.rs", "fn only_function() {}\n")]);
    let run = app.ok(&["index", "p", "--model", truncated.to_str().unwrap()]);
    assert!(run.err().contains("text search only"), "{}", run.err());
    assert_eq!(app.places(&["search", "only_function"]), ["a.rs:1"]);
}

#[test]
fn a_directory_that_another_process_writes() {
    let Some(app) = App::with_model() else { return };
    let text: String = (0..3_000)
        .map(|i| format!("pub fn function_{i}(input: &str) -> usize {{ input.len() + {i} }}\n\n"))
        .collect();
    write_tree(app.dir.path(), &[("p/a.rs", &text)]);
    let mut child = app.spawn(&["index", "p"]);
    wait_until("the first process holds the lock", || {
        app.data_dir().join("content.db").exists() || child.try_wait().unwrap().is_some()
    });
    let pid = format!("(process {})", child.id());
    app.fails(
        &["index", "p"],
        75,
        &["being written by another process", &pid, "wait"],
    );
    // Reading does not need the lock.
    wait_until("text search answers", || {
        app.run(&["search", "function_7"]).0.status.success()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    app.ok(&["index", "p", "--text-only"]);
}

#[test]
fn a_full_disk_loses_nothing() {
    let app = App::text_only();
    let small = app.dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
        .arg(&small)
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return skip("a small file system cannot be mounted without root");
    }
    let _unmount = Unmount(small.clone());
    let text = |kind: &str, count: usize| -> String {
        (0..count).map(|i| format!("/// Does {kind} number {i} of many.\npub fn {kind}_{i}() -> u32 {{ {i} * 17 }}\n\n")).collect()
    };
    write_tree(app.dir.path(), &[("p/small.rs", &text("first", 20))]);
    let data_dir = small.join("data");
    let data_dir = data_dir.to_str().unwrap();
    app.ok(&["index", "p", "--data-dir", data_dir]);
    for file in 0..40 {
        write_tree(
            app.dir.path(),
            &[(
                &format!("p/big{file}.rs"),
                &text(&format!("kind{file}"), 400),
            )],
        );
    }
    app.fails(
        &["index", "p", "--data-dir", data_dir],
        73,
        &["full", "free some space"],
    );
    // The same again: what was left behind must not turn the answer into another one.
    app.fails(
        &["index", "p", "--data-dir", data_dir],
        73,
        &["free some space"],
    );
    let places = app.places(&["search", "first_7", "--data-dir", data_dir]);
    assert!(
        places.iter().any(|place| place.starts_with("small.rs")),
        "{places:?}"
    );
    let grow = Command::new("mount")
        .args(["-o", "remount,size=200m"])
        .arg(&small)
        .status()
        .unwrap();
    assert!(grow.success());
    app.ok(&["index", "p", "--data-dir", data_dir]);
    let places = app.places(&["search", "kind39_399", "--data-dir", data_dir]);
    assert!(places[0].starts_with("big39.rs"), "{places:?}");
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
