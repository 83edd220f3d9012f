//! Over standard input and output.

use std::time::{Duration, Instant};

use serde_json::json;

use super::speech::{Bridge, text_of};
use crate::support::app::{App, wait_until, write_tree};
use crate::support::server::TestServer;

/// The process id of the server that the bridges of an app have started.
fn server_of(app: &App) -> Option<u32> {
    let text = std::fs::read_to_string(app.data_dir().join("server.json")).ok()?;
    let said: serde_json::Value = serde_json::from_str(&text).ok()?;
    said["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

/// Ends the server that bridges have started.
pub struct Ending<'a>(pub &'a App);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Some(pid) = server_of(self.0) {
            let _ = std::process::Command::new("kill")
                .arg(pid.to_string())
                .status();
            let started = Instant::now();
            while server_of(self.0).is_some() && started.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

#[test]
fn a_client_indexes_and_searches_where_it_works() {
    let app = App::text_only();
    let _ending = Ending(&app);
    let folder = app.dir.path().join("project");
    write_tree(
        &folder,
        &[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (
                "src/lamp.py",
                "def switch_on(lamp):\n    lamp.light = True\n",
            ),
        ],
    );
    let mut bridge = Bridge::start(&app, &folder.join("src"));
    assert_eq!(bridge.begin()["result"]["serverInfo"]["name"], "embedder");
    let (_, refused) = bridge.call("search", &json!({"query": "switch_on"}));
    assert!(text_of(&refused).contains("not indexed"), "{refused}");
    let (told, indexed) = bridge.call("index", &json!({}));
    assert!(
        text_of(&indexed).contains("1 of 1 files changed"),
        "{indexed}"
    );
    assert!(
        told.iter()
            .any(|message| message["method"] == "notifications/progress")
    );
    let (_, found) = bridge.call("search", &json!({"query": "switch_on"}));
    assert!(text_of(&found).contains("src/lamp.py:1-2"), "{found}");
    // What is saved is found a moment later.
    std::fs::write(folder.join("src/door.py"), "def open_door():\n    pass\n").unwrap();
    wait_until("it is found", || {
        let (_, found) = bridge.call("search", &json!({"query": "open_door"}));
        text_of(&found).contains("src/door.py")
    });
    // Nothing outside may be indexed by a client.
    let (_, refused) = bridge.call("index", &json!({"path": ".."}));
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(bridge.end().success());
}

#[test]
fn many_clients_have_one_server() {
    let app = App::text_only();
    let _ending = Ending(&app);
    let folder = app.dir.path().join("project");
    write_tree(&folder, &[("lamp.py", "def switch_on():\n    pass\n")]);
    let mut bridges: Vec<Bridge> = (0..20).map(|_| Bridge::start(&app, &folder)).collect();
    for bridge in &mut bridges {
        bridge.begin();
        let (_, status) = bridge.call("status", &json!({}));
        assert!(text_of(&status).contains("not indexed"), "{status}");
    }
    let server = server_of(&app).unwrap();
    let started = std::fs::read_to_string(app.data_dir().join("server.log")).unwrap();
    assert_eq!(started.matches("listening on").count(), 1, "{started}");
    // It has gone: the next call has another.
    drop(Ending(&app));
    let (_, status) = bridges[7].call("status", &json!({}));
    assert!(text_of(&status).contains("not indexed"), "{status}");
    assert_ne!(server_of(&app), Some(server));
}

/// Writes another version into what a server says of itself.
fn age(app: &App) {
    let path = app.data_dir().join("server.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut said: serde_json::Value = serde_json::from_str(&text).unwrap();
    said["version"] = json!("0.0.1");
    std::fs::write(&path, said.to_string()).unwrap();
}

#[test]
fn a_server_of_another_version_is_told_apart() {
    let app = App::text_only();
    let _ending = Ending(&app);
    let folder = app.dir.path().join("project");
    write_tree(&folder, &[("lamp.py", "def switch_on():\n    pass\n")]);
    let mut bridge = Bridge::start(&app, &folder);
    bridge.begin();
    bridge.call("status", &json!({}));
    let older = server_of(&app).unwrap();
    age(&app);
    // One that was started for clients makes room for one of this version.
    let mut bridge = Bridge::start(&app, &folder);
    bridge.begin();
    let (_, status) = bridge.call("status", &json!({}));
    assert!(text_of(&status).contains("not indexed"), "{status}");
    let newer = server_of(&app).unwrap();
    assert_ne!(newer, older);
    drop(bridge);
    drop(Ending(&app));
    // One that somebody started is left alone, and that is said.
    let server = TestServer::start(&app, &[], &[]);
    age(&app);
    let mut bridge = Bridge::start(&app, &folder);
    bridge.begin();
    let (_, status) = bridge.call("status", &json!({}));
    assert_eq!(status["result"]["isError"], true, "{status}");
    assert!(text_of(&status).contains("0.0.1"), "{status}");
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn a_server_that_nobody_uses_leaves() {
    let app = App::text_only();
    let mut server = TestServer::start(&app, &[], &[("EMBEDDER_SERVER_IDLE_EXIT_S", "2")]);
    let began = Instant::now();
    // Used, it stays.
    while began.elapsed() < Duration::from_secs(5) {
        server.get("/v1/collections").ok();
        std::thread::sleep(Duration::from_millis(200));
    }
    // Probes are no use.
    let is_there = || server.ops("/livez").try_send().is_ok();
    assert!(is_there());
    wait_until("it has left", || !is_there());
    assert!(server.wait().success());
    assert!(server_of(&app).is_none());
}
