//! The audit log: what is recorded, how little refusals take, and that nothing in it can be changed unseen.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::app::App;
use crate::support::server::TestServer;

/// The records of a log whose server has ended.
fn records(app: &App) -> Vec<Value> {
    let list = app.json(&["audit", "list", "--limit", "1000"]);
    list["records"].as_array().unwrap().clone()
}

/// Changes the database behind the program's back.
fn tamper(app: &App, sql: &str) {
    let hub = rusqlite::Connection::open(app.data_dir().join("hub.db")).unwrap();
    assert!(hub.execute(sql, []).unwrap() > 0, "{sql}");
}

/// A log with some acts in it, and how many records it has.
fn written(app: &App) -> u64 {
    let server = TestServer::start(app, &[], &[]);
    for name in ["a", "b", "c", "d"] {
        server.make_documents(name);
    }
    server.stop();
    let verdict = app.json(&["audit", "verify"]);
    assert_eq!(verdict["is_whole"], true);
    verdict["records"].as_u64().unwrap()
}

#[test]
fn every_act_is_recorded_with_who_did_it() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let folder: PathBuf = app.dir.path().canonicalize().unwrap().join("project");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.rs"), "fn a() {}\n").unwrap();
    let (token, id) = server.key_and_id(&["collections:write"], None);
    let make = server.ask("PUT", "/v1/collections/notes").key(&token);
    make.json(&json!({"kind": "documents"}))
        .send()
        .with_status(201);
    // What is there already is no act.
    server
        .put("/v1/collections/notes", &json!({"kind": "documents"}))
        .with_status(200);
    server.write("notes", &[("a", "a text")]);
    let job = server.index("code", &folder);
    let source = format!(
        "/v1/collections/code/sources/{}",
        job["source"].as_str().unwrap()
    );
    server.delete(&source).with_status(204);
    server
        .ask("DELETE", "/v1/admin/roots")
        .json(&json!({"path": folder}))
        .send()
        .ok();
    let rotated = server.post(
        &format!("/v1/admin/keys/{id}/rotate"),
        &json!({"overlap_s": 60}),
    );
    let new_id = rotated.with_status(201).body["key"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    server
        .delete(&format!("/v1/admin/keys/{new_id}"))
        .with_status(204);
    let opened = server
        .post("/v1/admin/sessions", &json!({}))
        .with_status(201)
        .body;
    server
        .ask("GET", opened["path"].as_str().unwrap())
        .no_key()
        .send()
        .with_status(303);
    server.delete("/v1/collections/notes").ok();
    let live = server.get("/v1/admin/audit?limit=1000").ok();
    let live = live["records"].as_array().unwrap().clone();
    let page = server.get("/v1/admin/audit?after=2&limit=3").ok();
    assert_eq!(page["records"].as_array().unwrap()[..], live[2..5]);
    let admin = format!("key:{}", server.admin.split('_').nth(1).unwrap());
    server.stop();

    let records = records(&app);
    assert_eq!(records[..live.len()], live, "a log only grows");
    for (number, record) in (1_u64..).zip(&records) {
        assert_eq!(record["seq"], number);
        assert_eq!(record["outcome"], "done", "{record}");
    }
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            (
                text(record, "kind"),
                text(record, "actor"),
                text(record, "subject"),
            )
        })
        .collect();
    let maker = format!("key:{id}");
    let source = format!("code/{}", job["source"].as_str().unwrap());
    let folder = folder.to_str().unwrap();
    for (kind, actor, subject) in [
        ("key.created", "server", &admin[4..]),
        ("server.started", "server", env!("CARGO_PKG_VERSION")),
        ("key.created", &*admin, &*id),
        ("collection.created", &*maker, "notes"),
        ("root.added", &*admin, folder),
        ("collection.created", &*admin, "code"),
        ("source.added", &*admin, &*source),
        ("source.removed", &*admin, &*source),
        ("root.removed", &*admin, folder),
        ("key.rotated", &*admin, &*id),
        ("key.revoked", &*admin, &*new_id),
        ("session.opened", &*admin, "browser"),
        ("collection.deleted", &*admin, "notes"),
        ("server.stopped", "server", env!("CARGO_PKG_VERSION")),
    ] {
        let expected = (kind.to_owned(), actor.to_owned(), subject.to_owned());
        let count = told.iter().filter(|record| **record == expected).count();
        assert_eq!(count, 1, "{expected:?} in {told:?}");
    }
    assert_eq!(told.len(), 14, "{told:?}");
}

#[test]
fn refusals_are_counted_and_not_listed() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let search = server.key(&["search"], None);
    for number in 0..100 {
        let unknown = format!("emb_{number:012}_{}", &server.admin[17..]);
        let ask = server
            .ask("GET", &format!("/v1/collections/c{number}"))
            .key(&unknown);
        ask.send().problem(401, "unauthenticated");
    }
    for _ in 0..50 {
        server
            .ask("GET", "/v1/jobs")
            .no_key()
            .send()
            .problem(401, "unauthenticated");
        server
            .ask("GET", "/v1/jobs")
            .key(&search)
            .send()
            .problem(403, "forbidden");
    }
    server.stop();
    let denied: Vec<_> = records(&app)
        .into_iter()
        .filter(|record| record["kind"] == "denied")
        .collect();
    // Three kinds of refusal, in as many rounds as the test took.
    assert!(denied.len() <= 12, "{denied:?}");
    let count = |subject: &str, reason: &str| -> u64 {
        let of_kind = denied.iter().filter_map(|record| {
            let detail: Value = serde_json::from_str(record["detail"].as_str().unwrap()).unwrap();
            let is_of_kind = record["subject"] == subject && detail["reason"] == reason;
            is_of_kind.then(|| detail["count"].as_u64().unwrap())
        });
        of_kind.sum()
    };
    assert_eq!(count("/v1/collections/{collection}", "unknown_key"), 100);
    assert_eq!(count("/v1/jobs", "no_key"), 50);
    assert_eq!(count("/v1/jobs", "scope"), 50);
    let text = json!(denied).to_string();
    assert!(
        text.contains("127.0.0.0/24") && !text.contains("127.0.0.1"),
        "{text}"
    );
}

#[test]
fn a_record_that_is_changed_is_found() {
    let app = App::text_only();
    let count = written(&app);
    let check = |sql: &str, seq: u64, what: &str| {
        let copy = App::text_only();
        std::fs::create_dir(copy.data_dir()).unwrap();
        let file = "hub.db";
        std::fs::copy(app.data_dir().join(file), copy.data_dir().join(file)).unwrap();
        tamper(&copy, sql);
        copy.fails(&["audit", "verify"], 65, &[&format!("record {seq}:"), what]);
        let found = copy.run(&["audit", "verify", "--json"]);
        let verdict: Value = serde_json::from_str(&found.out()).unwrap();
        assert_eq!(
            (&verdict["is_whole"], &verdict["broken_seq"]),
            (&json!(false), &json!(seq))
        );
        assert_eq!(verdict["records"], seq - 1);
    };
    check(
        "UPDATE audit SET subject = 'other' WHERE seq = 4",
        4,
        "changed",
    );
    check(
        "UPDATE audit SET actor = 'nobody' WHERE seq = 1",
        1,
        "changed",
    );
    check(
        "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 3",
        3,
        "changed",
    );
    check(
        "UPDATE audit SET detail = '{\"a\":1}' WHERE seq = 2",
        2,
        "changed",
    );
    check("DELETE FROM audit WHERE seq = 3", 3, "missing");
    check("DELETE FROM audit WHERE seq = 1", 1, "missing");
    let last = format!("UPDATE audit SET outcome = 'refused' WHERE seq = {count}");
    check(&last, count, "changed");
    let verdict = app.json(&["audit", "verify"]);
    assert_eq!(
        (&verdict["is_whole"], &verdict["records"]),
        (&json!(true), &json!(count))
    );
}

#[test]
fn an_end_that_is_cut_off_is_found_by_a_head_that_was_kept() {
    let app = App::text_only();
    let count = written(&app);
    let head = app.json(&["audit", "verify"])["head"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(head.starts_with(&format!("{count}:")), "{head}");
    app.ok(&["audit", "verify", "--head", &head]);
    tamper(&app, &format!("DELETE FROM audit WHERE seq = {count}"));
    // What is left is whole, and nothing in it tells that there was more.
    app.ok(&["audit", "verify"]);
    app.fails(
        &["audit", "verify", "--head", &head],
        65,
        &[&format!("record {count}:"), "ends before"],
    );
    // The log goes on, with another record in that place.
    let server = TestServer::start(&app, &[], &[]);
    let by_server = server
        .get(&format!("/v1/admin/audit/verify?head={head}"))
        .ok();
    assert_eq!(
        (&by_server["is_whole"], &by_server["broken_seq"]),
        (&json!(false), &json!(count))
    );
    app.fails(
        &["audit", "verify", "--head", &head],
        65,
        &[&format!("record {count}:"), "another record"],
    );
    assert_eq!(app.json(&["audit", "verify"])["is_whole"], true);
    app.fails(
        &["audit", "verify", "--head", "nonsense"],
        64,
        &["NUMBER:HASH"],
    );
    server.stop();
}

#[test]
fn a_full_log_stops_acts_and_not_reading() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[("EMBEDDER_AUDIT_BYTES_MAX", "65536")]);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    // A record of a key takes some 150 bytes, one of a collection with a long name more.
    let key = json!({"name": "a key", "scopes": ["search"]});
    let make = |_| server.post("/v1/admin/keys", &key);
    let refused = (0..500)
        .map(make)
        .find(|answer| answer.status != 201)
        .unwrap();
    refused.problem(507, "audit_full");
    // What cannot be recorded is not done.
    let keys = server.get("/v1/admin/keys").ok()["keys"]
        .as_array()
        .unwrap()
        .len();
    make(0).problem(507, "audit_full");
    assert_eq!(
        server.get("/v1/admin/keys").ok()["keys"]
            .as_array()
            .unwrap()
            .len(),
        keys
    );
    let long = format!("/v1/collections/{}", "x".repeat(100));
    server
        .put(&long, &json!({"kind": "documents"}))
        .problem(507, "audit_full");
    server.get(&long).problem(404, "not_found");
    server
        .delete("/v1/collections/notes")
        .problem(507, "audit_full");
    assert_eq!(server.find("notes", "harbour"), ["a"]);
    server.write("notes", &[("b", "another harbour")]);
    assert_eq!(server.get("/v1/admin/audit/verify").ok()["is_whole"], true);
    server.stop();
    // Archived, it has room again, and the chain goes on.
    let file = app.dir.path().join("archive.jsonl");
    app.ok(&["audit", "archive", file.to_str().unwrap()]);
    let server = TestServer::start(&app, &[], &[("EMBEDDER_AUDIT_BYTES_MAX", "65536")]);
    server.post("/v1/admin/keys", &key).with_status(201);
    assert_eq!(server.get("/v1/admin/audit/verify").ok()["is_whole"], true);
    server.stop();
}
