//! Commands beside a running server: they work through it, and say the same as alone.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};

use crate::support::app::{App, Run, write_tree};
use crate::support::server::TestServer;

fn project(app: &App) -> PathBuf {
    app.dir.path().join("project")
}

fn write_project(app: &App) {
    write_tree(
        &project(app),
        &[
            (
                "src/harbour.rs",
                "/// Opens the harbour at dawn.\npub fn open_harbour() {\n    lower_chain();\n}\n",
            ),
            (
                "src/port.rs",
                "/// Closes the port in the evening.\npub fn close_port() {\n    raise_chain();\n}\n",
            ),
            (
                "src/violin.rs",
                "/// Tunes the violin.\npub fn tune_violin() {\n    tighten_strings();\n}\n",
            ),
            (
                "docs/readme.md",
                "# Harbour\n\nShips enter by day and leave by night.\n",
            ),
            (".env", "KEY=1\n"),
        ],
    );
}

/// An answer without what differs from run to run.
fn settled(mut answer: Value) -> Value {
    answer["meta"]["took_ms"].take();
    answer
}

/// What commands that only read say of the project.
fn told(app: &App) -> Vec<Value> {
    let search = |args: &[&str]| {
        let args: Vec<&str> = ["search"].into_iter().chain(args.iter().copied()).collect();
        settled(app.json(&args))
    };
    let mut status = app.json(&["status"]);
    status["bytes"].take();
    status["writer"].take();
    // What only a server has.
    status.as_object_mut().unwrap().remove("service");
    vec![
        search(&["open_harbour"]),
        search(&["where is the chain lowered", "--limit", "2"]),
        search(&[
            "harbour",
            "--mode",
            "text",
            "--context",
            "1",
            "--path",
            "src",
        ]),
        search(&["harbour", "--language", "markdown", "--snippet-lines", "1"]),
        search(&["lower_chain();", "--mode", "literal"]),
        search(&["[a-z]+_chain", "--mode", "regex"]),
        search(&["harbour", "--mode", "direct"]),
        search(&["violin", "--collection", "project", "--without", "all"]),
        settled(app.json(&["related", "src/harbour.rs:2"])),
        status,
    ]
}

#[test]
fn commands_say_the_same_through_a_server_as_alone() {
    let Some(app) = App::with_model() else { return };
    write_project(&app);
    app.ok(&["index", "project"]);
    let alone = told(&app);
    let embedded = app.ok(&["embed", "the harbour opens", "a violin"]).out();
    let server = TestServer::start(&app, &[], &[]);
    for (through, alone) in told(&app).iter().zip(&alone) {
        assert_eq!(through, alone);
    }
    assert_eq!(
        app.ok(&["embed", "the harbour opens", "a violin"]).out(),
        embedded
    );
    let status = app.ok(&["status"]).out();
    assert!(
        status.contains(&format!("process {}", server.pid())),
        "{status}"
    );
    let doctor = app.ok(&["doctor"]).out();
    assert!(doctor.contains(&server.url), "{doctor}");
}

#[test]
fn while_the_encoder_is_left_alone_a_folder_keeps_the_vectors_that_it_has() {
    let Some(app) = App::with_model() else { return };
    write_project(&app);
    let server = TestServer::start(&app, &[], &[]);
    let whole = app.json(&["index", "project"]);
    assert_eq!(whole["embedded"], whole["chunks"]);
    let order = json!({"action": "force_open", "for_s": 600});
    server.put("/v1/admin/breakers/encoder", &order).ok();
    let report = app.json(&["index", "project"]);
    assert_eq!(
        (&report["embedded"], &report["text_only"]),
        (&whole["chunks"], &json!(false))
    );
    write_tree(&project(&app), &[("src/lamp.rs", "pub fn lamp() {}\n")]);
    let told = app.ok(&["index", "project"]);
    assert!(
        told.err().contains("1 chunks have no vector yet"),
        "{}",
        told.err()
    );
    // What is amiss is told, and by whom it was decided.
    let doctor = app.ok(&["doctor"]).out();
    assert!(
        doctor.contains("is Degraded: encoder: forced_open"),
        "{doctor}"
    );
    // Words answer for meaning where that is allowed.
    let search = |allowed: &str| {
        let body = json!({"query": "harbour", "mode": "vector", "allow_degraded": allowed});
        server.post("/v1/collections/project/search", &body)
    };
    let meta = &search("text").with_status(206).body["meta"];
    assert_eq!(meta["served_by"], "text", "{meta}");
    search("none").with_status(503);
}

#[test]
fn a_folder_is_indexed_through_the_server_that_runs() {
    let app = App::text_only();
    write_project(&app);
    let server = TestServer::start(&app, &[], &[]);
    let report = app.json(&["index", "project"]);
    assert_eq!(
        (&report["collection"], &report["changed"]),
        (&json!("project"), &json!(4))
    );
    assert_eq!(report["skipped"]["may hold secrets"], 1);
    assert_eq!(server.find("project", "open_harbour")[0], "src/harbour.rs");
    write_tree(
        &project(&app),
        &[("src/lantern.rs", "pub fn light_lantern() {}\n")],
    );
    fs::remove_file(project(&app).join("src/violin.rs")).unwrap();
    let report = app.json(&["index", "project"]);
    assert_eq!(
        (&report["changed"], &report["removed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        app.places(&["search", "light_lantern"])[0],
        "src/lantern.rs:1"
    );
    // Owners who have a folder indexed allow it by that.
    let root = project(&app).canonicalize().unwrap();
    assert_eq!(server.get("/v1/admin/roots").ok()["roots"], json!([root]));
    // The same mistakes are told in the same way.
    app.fails(&["index", "nowhere"], 66, &["nowhere does not exist"]);
    app.fails(
        &["index", "project/docs"],
        64,
        &["is part of the collection `project`"],
    );
    app.fails(
        &["search", "x", "--collection", "missing"],
        66,
        &["missing"],
    );
    app.fails(&["search", ""], 64, &["empty"]);
    app.fails(&["search", "x", "-n", "0"], 64, &["1 to 1000"]);
    app.fails(&["related", "src/nowhere.rs:1"], 66, &["src/nowhere.rs:1"]);
    let removed = app.json(&["remove", "project"]);
    assert_eq!(removed["collection"], "project");
    server
        .get("/v1/collections/project")
        .problem(404, "not_found");
    app.fails(&["remove", "project"], 66, &[]);
    server.stop();
    assert!(
        app.json(&["status"])["collections"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_second_server_of_a_data_directory_is_refused() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let again = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off"];
    app.fails(&again, 75, &[&server.pid().to_string()]);
    let port = server.url.strip_prefix("http://").unwrap();
    let other = App::text_only();
    other.fails(
        &["serve", "--listen", port, "--ops-listen", "off"],
        74,
        &[port],
    );
    server.get("/v1/collections").ok();
}

#[test]
fn a_file_that_a_dead_server_left_misleads_nobody() {
    let app = App::text_only();
    write_project(&app);
    let mut server = TestServer::start(&app, &[], &[]);
    app.ok(&["index", "project"]);
    server.kill9();
    server.wait();
    let file = app.data_dir().join("server.json");
    assert!(file.exists(), "it had no time to remove it");
    assert_eq!(
        app.places(&["search", "open_harbour"])[0],
        "src/harbour.rs:1"
    );
    app.ok(&["status"]);
    app.ok(&["index", "project"]);
    app.fails(
        &["open", "--print"],
        69,
        &["no server runs", "embedder serve"],
    );
    // A process of that number that is none of ours does not make it one.
    let mut left: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    left["pid"] = json!(std::process::id());
    fs::write(&file, left.to_string()).unwrap();
    app.ok(&["index", "project"]);
    app.ok(&["remove", "project"]);
    let server = TestServer::start(&app, &[], &[]);
    let announced: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        (&announced["pid"], &announced["url"]),
        (&json!(server.pid()), &json!(server.url))
    );
}

#[test]
fn a_one_time_address_is_printed_and_works() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let address = app.ok(&["open", "--print"]).out();
    let path = address.trim().strip_prefix(&*server.url).unwrap();
    server.ask("GET", path).no_key().send().with_status(303);
    server
        .ask("GET", path)
        .no_key()
        .send()
        .problem(401, "unauthenticated");
}

/// Something that holds the lock of a data directory as a server does, and answers everything alike.
struct Pretender {
    _lock: File,
    url: String,
}

impl Pretender {
    fn start(data_dir: &Path, version: &str, answer: &'static str) -> Pretender {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut lock = File::options()
            .read(true)
            .write(true)
            .open(data_dir.join("writer.lock"))
            .unwrap();
        lock.lock().unwrap();
        lock.set_len(0).unwrap();
        let pid = std::process::id();
        writeln!(lock, "{pid}").unwrap();
        let file = json!({"pid": pid, "url": url, "version": version, "started_ms": 1});
        fs::write(data_dir.join("server.json"), file.to_string()).unwrap();
        // It ends with the tests' process; nobody waits for it.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Pretender { _lock: lock, url }
    }
}

/// A data directory with something in it that a server has worked on.
fn used() -> App {
    let app = App::text_only();
    write_project(&app);
    let server = TestServer::start(&app, &[], &[]);
    app.ok(&["index", "project"]);
    server.stop();
    app
}

/// Every command that works through a server.
fn each_command(app: &App, check: impl Fn(Run)) {
    for args in [
        &["search", "harbour"][..],
        &["related", "src/harbour.rs:2"],
        &["status"],
        &["index", "project"],
        &["remove", "project"],
        &["embed", "a text"],
        &["keys", "list"],
        &["audit", "verify"],
        &["open", "--print"],
    ] {
        check(app.run(args));
    }
}

#[test]
fn a_server_of_another_version_is_told_and_not_spoken_to() {
    let app = used();
    let own = env!("CARGO_PKG_VERSION");
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\nconnection: close\r\n\r\n\
                  {\"version\":\"9.9.9\"}";
    let _pretender = Pretender::start(&app.data_dir(), "9.9.9", answer);
    each_command(&app, |run| {
        run.assert_failure(69, &["9.9.9", own, "restart"]);
    });
}

#[test]
fn something_else_that_answers_in_place_of_a_server_is_told() {
    let app = used();
    let own = env!("CARGO_PKG_VERSION");
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnope";
    let pretender = Pretender::start(&app.data_dir(), own, answer);
    assert!(pretender.url.starts_with("http://127.0.0.1:"));
    each_command(&app, |run| run.assert_failure(69, &["no server of ours"]));
}
