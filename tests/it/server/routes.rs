//! Every address: what it asks of its caller, how it refuses, and what every answer carries.

use serde_json::{Value, json};

use crate::support::app::App;
use crate::support::server::{Answer, Ask, TestServer, operations, without_names};

/// What is sent to an address so that it is refused for its caller and for nothing else.
fn body(method: &str, path: &str) -> Option<Value> {
    Some(match (method, path) {
        ("PUT", "/v1/collections/{collection}") => json!({"kind": "documents"}),
        ("POST", "/v1/collections/{collection}/documents") => {
            json!({"documents": [{"id": "a", "text": "a text"}]})
        }
        ("POST", "/v1/collections/{collection}/related") => json!({"path": "a.rs", "line": 1}),
        ("POST", "/v1/collections/{collection}/search" | "/v1/search") => json!({"query": "text"}),
        ("POST", "/v1/embeddings") => json!({"input": "a text", "model": "a model"}),
        // No right that the maker of the key does not have.
        ("POST", "/v1/admin/keys") => json!({"name": "a key", "scopes": ["admin:keys"]}),
        ("POST" | "DELETE", "/v1/admin/roots" | "/v1/collections/{collection}/sources") => {
            json!({"path": "/nowhere/at/all"})
        }
        ("PUT", "/v1/admin/breakers/{dependency}") => json!({"action": "reset"}),
        ("PUT", "/v1/admin/degradation") => json!({"off": ["cache"], "for_s": 1}),
        ("POST", "/v1/admin/drills/degradation") => {
            json!({"collection": "notes", "query": "text"})
        }
        ("POST", _) => json!({}),
        _ => return None,
    })
}

fn call(server: &TestServer, method: &str, path: &str, collection: &str) -> Ask {
    let address = path
        .replace("{collection}", collection)
        .replace("{id}", "1")
        .replace("{path}", "a.rs")
        .replace("{model}", "a-model")
        .replace("{dependency}", "encoder");
    assert!(
        !address.contains('{'),
        "{path} has a part that this test does not know"
    );
    let ask = server.ask(method, &address);
    match body(method, path) {
        Some(body) => ask.json(&body),
        None => ask,
    }
}

/// The addresses that ask for a key, each with the scope that it asks for, if it does.
fn guarded(server: &TestServer) -> Vec<(String, String, Option<String>)> {
    let guarded: Vec<_> = operations(server)
        .into_iter()
        .filter_map(|(path, method, said)| {
            let needed = said["security"].as_array().unwrap().first()?;
            let scope = needed["key"].as_array().unwrap().first();
            Some((
                path,
                method,
                scope.map(|scope| scope.as_str().unwrap().to_owned()),
            ))
        })
        .collect();
    assert!(guarded.len() > 30, "{guarded:?}");
    guarded
}

/// A token of the same key with another secret.
fn with_other_secret(token: &str) -> String {
    let (start, secret) = token.split_at(token.len() - 43);
    let first = if secret.starts_with('A') { 'B' } else { 'A' };
    format!("{start}{first}{}", &secret[1..])
}

#[test]
fn every_address_but_the_open_ones_asks_for_a_key_and_tells_nobody_why_one_is_wrong() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let wrong_secret = with_other_secret(&server.admin);
    let unknown = format!("emb_000000000000{}", &server.admin[16..]);
    for (path, method, _) in guarded(&server) {
        let call = || call(&server, &method, &path, "missing");
        call().no_key().send().problem(401, "unauthenticated");
        let wrong = [
            &*wrong_secret,
            &*unknown,
            "nonsense",
            "emb_",
            &server.admin[1..],
        ];
        let refused = wrong
            .map(|token| without_names(call().key(token).send().problem(401, "unauthenticated")));
        for other in &refused {
            assert_eq!(other, &refused[0], "{method} {path}");
        }
    }
    let open: Vec<_> = operations(&server)
        .into_iter()
        .filter(|(_, _, said)| said["security"] == json!([]))
        .map(|(path, method, _)| format!("{method} {path}"))
        .collect();
    assert_eq!(
        open,
        [
            "GET /docs",
            "GET /health",
            "GET /livez",
            "GET /openapi.json",
            "GET /readyz",
            "GET /session",
            "GET /startupz",
        ]
    );
}

/// Checks that a caller was let in, whatever became of the request then.
#[track_caller]
fn assert_let_in(answer: &Answer) {
    let is_refused = answer.status == 401 || answer.text.contains("has not the scope");
    assert!(!is_refused, "{}", answer.text);
    answer.assert_names();
}

#[test]
fn a_key_opens_what_its_scope_is_for_and_nothing_else() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let (embed, search) = (server.key(&["embed"], None), server.key(&["search"], None));
    for (path, method, scope) in guarded(&server) {
        let call = || call(&server, &method, &path, "missing");
        let Some(scope) = scope else {
            assert_let_in(&call().key(&embed).send());
            continue;
        };
        let other = if scope == "embed" { &search } else { &embed };
        let refused = call().key(other).send();
        assert!(
            refused.text.contains("has not the scope"),
            "{}",
            refused.text
        );
        refused.problem(403, "forbidden");
        let right = server.key(&[&scope], None);
        assert_let_in(&call().key(&right).send());
    }
}

#[test]
fn what_a_key_does_not_see_is_answered_as_if_it_did_not_exist() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("theirs");
    server.make_documents("own");
    server.write("theirs", &[("a", "a text"), ("a.rs", "fn a() {}\n")]);
    let key = server.key(&["admin"], Some(&["own"]));
    let mut count = 0;
    for (path, method, _) in guarded(&server) {
        if !path.contains("{collection}") {
            continue;
        }
        let [theirs, missing] = ["theirs", "missing"].map(|collection| {
            let answer = call(&server, &method, &path, collection).key(&key).send();
            without_names(answer.problem(404, "not_found")).to_string()
        });
        assert_eq!(
            theirs.replace("theirs", "missing"),
            missing,
            "{method} {path}"
        );
        count += 1;
    }
    assert!(count >= 12, "{count}");
    assert_eq!(
        server.get("/v1/collections/theirs").ok()["counts"]["files"],
        2
    );
    let own = server.ask("GET", "/v1/collections").key(&key).send().ok();
    let names: Vec<_> = own["collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["own"]);
    let found = server.ask("POST", "/v1/search").key(&key);
    let found = found
        .json(&json!({"query": "text", "mode": "text"}))
        .send()
        .ok();
    assert_eq!(found["hits"], json!([]));
    let named = json!({"query": "text", "collections": ["theirs"]});
    let named = server
        .ask("POST", "/v1/search")
        .key(&key)
        .json(&named)
        .send();
    named.problem(404, "not_found");
}

#[test]
fn addresses_and_methods_that_do_not_exist() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    for path in [
        "/nowhere",
        "/v1",
        "/v1/collections/",
        "/V1/collections",
        "/livez/x",
        "/%2e%2e%2f",
    ] {
        server
            .ask("GET", path)
            .no_key()
            .send()
            .problem(404, "not_found");
    }
    let check = |method: &str, path: &str, allowed: &[&str]| {
        let answer = server.ask(method, path).send();
        let mut allow: Vec<String> = answer
            .header("allow")
            .split(',')
            .map(|method| method.trim().to_owned())
            .filter(|method| method != "HEAD")
            .collect();
        allow.sort_unstable();
        assert_eq!(allow, allowed, "{method} {path}");
        answer.problem(405, "method_not_allowed");
    };
    check("PATCH", "/v1/collections/a", &["DELETE", "GET", "PUT"]);
    check("GET", "/v1/search", &["POST"]);
    check("POST", "/livez", &["GET"]);
    check("PUT", "/v1/admin/roots", &["DELETE", "GET", "POST"]);
    check("TRACE", "/v1/collections", &["GET"]);
}

#[test]
fn a_request_keeps_its_own_names_if_they_are_some() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (path, status) in [("/livez", 200), ("/v1/collections", 200), ("/nowhere", 404)] {
        let named = server
            .ask("GET", path)
            .header("x-request-id", "order-12345")
            .header("traceparent", parent)
            .send()
            .with_status(status);
        assert_eq!(named.header("x-request-id"), "order-12345");
        let trace = named.header("traceparent");
        assert!(
            trace.starts_with(&parent[..36]) && trace.ends_with("-01"),
            "{trace}"
        );
        assert_ne!(trace, parent, "a span of its own");
        let nameless = server
            .ask("GET", path)
            .header("x-request-id", "a b")
            .header("traceparent", "00-0-0-0")
            .send();
        nameless.assert_names();
        assert_ne!(nameless.header("x-request-id"), "a b");
    }
}

#[test]
fn the_contract_is_served_and_a_large_answer_is_compressed_where_that_is_understood() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let document = server.ask("GET", "/openapi.json").no_key().send().ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let docs = server.ask("GET", "/docs").no_key().send().with_status(200);
    assert!(docs.header("content-type").starts_with("text/html"));
    assert!(docs.text.contains("/v1/embeddings"));
    assert!(
        docs.header("content-security-policy")
            .contains("default-src 'none'")
    );
    let packed = server
        .ask("GET", "/openapi.json")
        .header("accept-encoding", "gzip")
        .begin()
        .unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().unwrap().starts_with(&[0x1f, 0x8b]));
    let head = server
        .ask("HEAD", "/v1/collections")
        .send()
        .with_status(200);
    assert!(head.text.is_empty());
}
