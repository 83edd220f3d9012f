//! Keys: made, listed, replaced and ended, over HTTP and by commands; and that none of them is lying about.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::app::{App, wait_until};
use crate::support::server::{Answer, TestServer};

/// How long a key may go on after it was revoked.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

fn who(server: &TestServer, token: &str) -> Answer {
    server.ask("GET", "/v1/whoami").key(token).send()
}

/// The key of this id in a list of keys.
fn listed(list: &Value, id: &str) -> Value {
    let keys = list["keys"].as_array().unwrap();
    keys.iter().find(|key| key["id"] == id).unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_key_is_made_as_asked_for_and_shown_once() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let expires_ms = now_ms() + 3_600_000;
    let body = json!({"name": "ci of the docs", "scopes": ["search", "embed"], "collections": ["docs", "notes"],
                      "tenant": "team", "expires_ms": expires_ms});
    let made = server.post("/v1/admin/keys", &body).with_status(201).body;
    let token = text(&made["token"]);
    let key = &made["key"];
    assert_eq!(token.split('_').nth(1), key["id"].as_str());
    assert_eq!(
        (&key["name"], &key["tenant"]),
        (&json!("ci of the docs"), &json!("team"))
    );
    assert_eq!(key["scopes"], json!(["embed", "search"]));
    assert_eq!(key["collections"], json!(["docs", "notes"]));
    assert_eq!(
        (&key["expires_ms"], &key["revoked_ms"]),
        (&json!(expires_ms), &Value::Null)
    );
    let seen = who(&server, &token).ok();
    assert_eq!((&seen["key_id"], &seen["name"]), (&key["id"], &key["name"]));
    assert_eq!(
        (&seen["scopes"], &seen["collections"]),
        (&key["scopes"], &key["collections"])
    );
    assert!(seen.get("csrf_token").is_none());
    let list = server.get("/v1/admin/keys").ok();
    assert_eq!(list["keys"].as_array().unwrap().len(), 2, "{list}");
    assert_eq!(
        listed(&list, key["id"].as_str().unwrap())["created_ms"],
        key["created_ms"]
    );
    assert!(
        !list.to_string().contains("\"token\"") && !list.to_string().contains("\"mac\""),
        "{list}"
    );
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let long = "x".repeat(65);
    let many: Vec<String> = (0..257).map(|number| format!("c{number}")).collect();
    for body in [
        json!({"scopes": ["search"]}),
        json!({"name": "a key"}),
        json!({"name": "", "scopes": ["search"]}),
        json!({"name": long, "scopes": ["search"]}),
        json!({"name": "a\nkey", "scopes": ["search"]}),
        json!({"name": "a\u{202e}key", "scopes": ["search"]}),
        json!({"name": "local", "scopes": ["search"]}),
        json!({"name": "a key", "scopes": []}),
        json!({"name": "a key", "scopes": ["everything"]}),
        json!({"name": "a key", "scopes": "search"}),
        json!({"name": "a key", "scopes": ["search"], "collections": []}),
        json!({"name": "a key", "scopes": ["search"], "collections": many}),
        json!({"name": "a key", "scopes": ["search"], "tenant": ""}),
        json!({"name": "a key", "scopes": ["search"], "expires_ms": 1}),
        json!({"name": "a key", "scopes": ["search"], "expires_ms": -1}),
        json!({"name": "a key", "scopes": ["search"], "secret": "mine"}),
    ] {
        server
            .post("/v1/admin/keys", &body)
            .problem(400, "invalid_request");
    }
    assert_eq!(
        server.get("/v1/admin/keys").ok()["keys"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn nobody_grants_what_they_do_not_have() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let (keeper, _) = server.key_and_id(&["admin:keys", "search"], Some(&["docs", "notes"]));
    let (_, stronger) = server.key_and_id(&["search", "embed"], Some(&["docs"]));
    let make = |scopes: &[&str], collections: Option<&[&str]>| {
        let body = json!({"name": "a key", "scopes": scopes, "collections": collections});
        server
            .ask("POST", "/v1/admin/keys")
            .key(&keeper)
            .json(&body)
            .send()
    };
    make(&["search"], Some(&["docs"])).with_status(201);
    make(&["search", "admin:keys"], Some(&["docs", "notes"])).with_status(201);
    make(&["search"], None).problem(403, "forbidden");
    make(&["search"], Some(&["docs", "theirs"])).problem(403, "forbidden");
    make(&["embed"], Some(&["docs"])).problem(403, "forbidden");
    make(&["admin"], Some(&["docs"])).problem(403, "forbidden");
    let rotate = |id: &str| {
        let path = format!("/v1/admin/keys/{id}/rotate");
        server
            .ask("POST", &path)
            .key(&keeper)
            .json(&json!({}))
            .send()
    };
    rotate(&stronger).problem(403, "forbidden");
    rotate(server.admin.split('_').nth(1).unwrap()).problem(403, "forbidden");
}

#[test]
fn a_revoked_key_opens_nothing_any_more() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let (token, id) = server.key_and_id(&["search"], None);
    who(&server, &token).ok();
    server
        .delete(&format!("/v1/admin/keys/{id}"))
        .with_status(204);
    let revoked = Instant::now();
    who(&server, &token).problem(401, "unauthenticated");
    assert!(revoked.elapsed() < REVOKED_WITHIN);
    server
        .delete(&format!("/v1/admin/keys/{id}"))
        .with_status(204);
    assert!(listed(&server.get("/v1/admin/keys").ok(), &id)["revoked_ms"].is_u64());
    server.stop();
    let server = TestServer::start(&app, &[], &[]);
    who(&server, &token).problem(401, "unauthenticated");
    let rotate = server.post(&format!("/v1/admin/keys/{id}/rotate"), &json!({}));
    rotate.problem(409, "conflict");
}

#[test]
fn a_key_that_was_replaced_goes_on_for_as_long_as_was_said() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let (old, old_id) = server.key_and_id(&["search"], Some(&["docs"]));
    let rotate = |id: &str, overlap_s: u64| {
        server.post(
            &format!("/v1/admin/keys/{id}/rotate"),
            &json!({"overlap_s": overlap_s}),
        )
    };
    let made = rotate(&old_id, 3_600).with_status(201).body;
    let (new, new_id) = (text(&made["token"]), text(&made["key"]["id"]));
    assert_eq!(who(&server, &new).ok()["collections"], json!(["docs"]));
    who(&server, &old).ok();
    let list = server.get("/v1/admin/keys").ok();
    let row = listed(&list, &old_id);
    assert_eq!(row["replaced_by"], *new_id);
    assert!(row["expires_ms"].as_u64().unwrap() > now_ms() + 3_000_000);
    rotate(&old_id, 0).problem(409, "conflict");
    // Without an overlap the old one ends at once.
    let made = rotate(&new_id, 0).with_status(201).body;
    who(&server, &new).problem(401, "unauthenticated");
    who(&server, &text(&made["token"])).ok();
    rotate(&new_id, 32 * 24 * 3_600).with_status(400);
    // The key of this machine is in a file as well, and is not replaced like that.
    let local = server.admin.split('_').nth(1).unwrap();
    rotate(local, 0).problem(409, "conflict");
    who(&server, &server.admin).ok();
}

#[test]
fn a_key_expires() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let body = json!({"name": "brief", "scopes": ["search"], "expires_ms": now_ms() + 2_000});
    let token = text(&server.post("/v1/admin/keys", &body).with_status(201).body["token"]);
    who(&server, &token).ok();
    wait_until("the key has expired", || who(&server, &token).status == 401);
}

#[test]
fn commands_keep_keys_with_a_server_and_without() {
    let app = App::text_only();
    // No server ran here yet.
    let early = app.json(&[
        "keys",
        "create",
        "early",
        "--scope",
        "search,embed",
        "--collection",
        "docs",
    ]);
    let create = |name: &str| {
        app.json(&[
            "keys", "create", name, "--scope", "search", "--scope", "ops:read",
        ])
    };
    let server = TestServer::start(&app, &[], &[]);
    let seen = who(&server, early["token"].as_str().unwrap()).ok();
    assert_eq!(
        (&seen["name"], &seen["collections"]),
        (&json!("early"), &json!(["docs"]))
    );
    assert_eq!(app.ok(&["keys", "local"]).out().trim(), server.admin);
    let with_server = create("with a server");
    let token = with_server["token"].as_str().unwrap();
    assert_eq!(
        who(&server, token).ok()["scopes"],
        json!(["search", "ops:read"])
    );
    // On standard output there is the token and nothing else.
    let plain = app
        .ok(&["keys", "create", "plain", "--scope", "search"])
        .out();
    who(&server, plain.trim()).ok();
    let names = || {
        let list = app.json(&["keys", "list"]);
        list["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| text(&key["name"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(), ["early", "local", "with a server", "plain"]);
    let id = with_server["key"]["id"].as_str().unwrap();
    app.ok(&["keys", "revoke", id]);
    who(&server, token).problem(401, "unauthenticated");
    let rotated = app.json(&[
        "keys",
        "rotate",
        early["key"]["id"].as_str().unwrap(),
        "--overlap-hours",
        "0",
    ]);
    who(&server, early["token"].as_str().unwrap()).problem(401, "unauthenticated");
    who(&server, rotated["token"].as_str().unwrap()).ok();
    app.fails(&["keys", "revoke", "0123456789ab"], 66, &["0123456789ab"]);
    app.fails(
        &["keys", "create", "x", "--scope", "everything"],
        64,
        &["everything", "collections:read"],
    );
    server.stop();

    let without = create("without a server");
    let id = rotated["key"]["id"].as_str().unwrap();
    app.ok(&["keys", "revoke", id]);
    assert_eq!(names().last().unwrap(), "without a server");
    assert!(app.ok(&["keys", "list"]).out().contains("revoked"));
    app.fails(&["keys", "revoke", "0123456789ab"], 66, &["0123456789ab"]);
    let server = TestServer::start(&app, &[], &[]);
    who(&server, without["token"].as_str().unwrap()).ok();
    who(&server, rotated["token"].as_str().unwrap()).problem(401, "unauthenticated");
    assert_eq!(server.get("/v1/admin/audit/verify").ok()["is_whole"], true);
}

#[test]
fn the_key_of_this_machine_is_replaced_by_removing_its_file() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let old = server.admin.clone();
    server.stop();
    fs::remove_file(app.data_dir().join("local.key")).unwrap();
    let server = TestServer::start(&app, &[], &[]);
    assert_ne!(server.admin, old);
    who(&server, &old).problem(401, "unauthenticated");
    who(&server, &server.admin).ok();
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn a_secret_is_in_no_file_but_that_of_its_owner_and_in_no_line_of_the_log() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[("EMBEDDER_LOG", "trace")]);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    let key = server.key(&["admin"], None);
    let wrong = format!("emb_000000000000_{}", "z".repeat(43));
    who(&server, &key).ok();
    who(&server, &wrong).problem(401, "unauthenticated");
    let opened = server
        .post("/v1/admin/sessions", &json!({}))
        .with_status(201)
        .body;
    let path = text(&opened["path"]);
    let redeemed = server.ask("GET", &path).no_key().send().with_status(303);
    let cookie = redeemed
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let session = server
        .ask("GET", "/v1/whoami")
        .no_key()
        .header("cookie", &cookie)
        .send()
        .ok();
    let admin = server.admin.clone();
    app.ok(&["keys", "list"]);
    let traced = app.ok(&["search", "harbour", "--log", "trace"]).err();
    assert!(!traced.contains(&admin[17..]), "{traced}");
    let secrets = [
        &admin[17..],
        &key[17..],
        &wrong[17..],
        path.split_once('=').unwrap().1,
        cookie.split_once('=').unwrap().1,
        session["csrf_token"].as_str().unwrap(),
    ];
    let check = || {
        for file in files(&app.data_dir()) {
            // A file of the text index may have been merged away meanwhile.
            let bytes = fs::read(&file).unwrap_or_default();
            for secret in secrets {
                let is_there = bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes());
                let is_own = file.ends_with("local.key") && secret == secrets[0];
                assert_eq!(is_there, is_own, "{secret} in {}", file.display());
            }
        }
    };
    check();
    for file in ["local.key", "hub.db", "hub.pepper", "server.json"] {
        let mode = fs::metadata(app.data_dir().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let mode = fs::metadata(app.data_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let pid = server.pid();
    server.stop();
    check();
    let log = fs::read_to_string(app.dir.path().join("server.log")).unwrap();
    assert!(
        log.lines().count() > 10,
        "the server of process {pid} logged next to nothing: {log}"
    );
    for secret in secrets {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[test]
fn what_belongs_to_keys_and_is_gone_is_found_by_the_doctor_and_can_be_made_anew() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    server.write("notes", &[("a", "The harbour opens.")]);
    server.stop();
    let file = |name: &str| app.data_dir().join(name);
    assert!(app.ok(&["doctor"]).out().contains("keys: 1 in hub.db"));

    let pepper = fs::read(file("hub.pepper")).unwrap();
    fs::remove_file(file("hub.pepper")).unwrap();
    let told = app.run(&["doctor"]).out();
    assert!(told.contains("PROBLEM keys"), "{told}");
    fs::write(file("hub.pepper"), pepper).unwrap();

    for name in ["hub.db", "hub.db-wal", "hub.db-shm"] {
        let _ = fs::remove_file(file(name));
    }
    let told = app.run(&["doctor"]).out();
    assert!(told.contains("PROBLEM keys"), "{told}");
    assert!(told.contains("what is indexed stays"), "{told}");
    // As it says.
    for name in ["hub.pepper", "local.key"] {
        fs::remove_file(file(name)).unwrap();
    }
    let server = TestServer::start(&app, &[], &[]);
    assert_eq!(server.find("notes", "harbour"), ["a"]);
    server.stop();
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_an_index_in_a_folder_that_everybody_may_enter() {
    let app = App::text_only();
    fs::create_dir(app.data_dir()).unwrap();
    fs::set_permissions(app.data_dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    server.write("notes", &[("a", "The harbour opens.")]);
    let mode = |name: &str| {
        let metadata = fs::metadata(app.data_dir().join(name)).unwrap();
        metadata.permissions().mode() & 0o077
    };
    assert_eq!((mode("index"), mode("content.db")), (0, 0));
    server.stop();
}
