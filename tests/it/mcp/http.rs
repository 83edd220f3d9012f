//! Over HTTP.

use std::path::Path;

use serde_json::{Value, json};

use super::speech::{initialize, newer, older, send, text_of};
use crate::support::app::{App, write_tree};
use crate::support::server::TestServer;

/// A server with a folder that is indexed as `code`.
fn indexed() -> (App, TestServer, std::path::PathBuf) {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let folder = app.dir.path().join("project");
    write_tree(
        &folder,
        &[
            (
                "src/lamp.py",
                "def switch_on(lamp):\n    lamp.light = True\n",
            ),
            (
                "src/door.py",
                "def open_door(door):\n    door.locked = False\n",
            ),
        ],
    );
    server.index("code", &folder);
    (app, server, folder)
}

fn call(server: &TestServer, tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    let mut messages = send(server, None, &newer(1, "tools/call", params));
    messages.pop().unwrap()
}

#[test]
fn both_versions_are_spoken() {
    let (_app, server, _) = indexed();
    let begun = send(&server, None, &initialize()).pop().unwrap();
    assert_eq!(begun["result"]["protocolVersion"], "2025-11-25", "{begun}");
    assert_eq!(begun["result"]["serverInfo"]["name"], "embedder");
    let list = older(1, "tools/list", &json!({}));
    let older = send(&server, None, &list).pop().unwrap();
    let newer = send(&server, None, &newer(1, "tools/list", json!({})));
    let names = |message: &Value| -> Vec<String> {
        let tools = message["result"]["tools"].as_array().unwrap().iter();
        tools
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let expected = ["search", "related", "read", "index", "status"];
    assert_eq!(names(&older), expected);
    assert_eq!(names(newer.last().unwrap()), expected);
}

#[test]
fn what_a_model_has_to_read_is_short() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.index("code", &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let counted = tiktoken_rs::o200k_base().unwrap();
    let list = send(&server, None, &newer(1, "tools/list", json!({})));
    let tools = list.last().unwrap()["result"]["tools"].to_string();
    let tokens = counted.encode_ordinary(&tools).len();
    eprintln!("tools/list: {tokens} tokens");
    assert!(tokens <= 1_500, "{tokens}");
    for query in [
        "where are settings validated",
        "how is a request refused when the server is full",
        "parse",
        "fn main",
    ] {
        let found = call(&server, "search", &json!({"query": query}));
        let tokens = counted.encode_ordinary(text_of(&found)).len();
        eprintln!("{query}: {tokens} tokens");
        assert!(tokens <= 1_500, "{tokens}: {}", text_of(&found));
        assert!(tokens >= 500, "{tokens}: {}", text_of(&found));
    }
}

#[test]
fn what_is_found_can_be_read() {
    let (_app, server, folder) = indexed();
    let found = call(&server, "search", &json!({"query": "switch_on"}));
    let text = text_of(&found);
    assert!(text.contains("`code`: 2 files"), "{text}");
    assert!(text.contains("src/lamp.py:1-2"), "{text}");
    assert!(text.contains("1| def switch_on(lamp):"), "{text}");
    let read = call(&server, "read", &json!({"path": "src/door.py"}));
    assert!(
        text_of(&read).contains("2|     door.locked = False"),
        "{read}"
    );
    // However it is named.
    let absolute = folder.join("src/door.py");
    for (name, expected) in [
        ("./src/door.py", "2|     door.locked = False"),
        (absolute.to_str().unwrap(), "2|     door.locked = False"),
        ("src/door.py:1-1", "1| "),
    ] {
        let read = call(&server, "read", &json!({"path": name}));
        let text = text_of(&read);
        assert!(text.contains(expected), "{name}: {text}");
        assert_eq!(
            text.contains("2| "),
            expected.starts_with('2'),
            "{name}: {text}"
        );
    }
    let found = call(
        &server,
        "search",
        &json!({"query": "lamp", "path": "src/lamp.*"}),
    );
    assert!(text_of(&found).contains("1 hit"), "{found}");
    let related = call(
        &server,
        "related",
        &json!({"path": "src/door.py", "line": 1}),
    );
    assert_eq!(related["result"]["isError"], false, "{related}");
    let status = call(&server, "status", &json!({}));
    assert!(text_of(&status).contains("- `code`"), "{status}");
}

#[test]
fn what_is_wrong_is_told_to_the_model() {
    let (_app, server, _) = indexed();
    let check = |tool: &str, arguments: Value, expected: &str| {
        let answer = call(&server, tool, &arguments);
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(text_of(&answer).contains(expected), "{answer}");
    };
    check("search", json!({}), "`query`");
    check("search", json!({"query": "x", "limit": 0}), "1 to 50");
    check("search", json!({"query": "x", "colour": 1}), "`colour`");
    check(
        "search",
        json!({"query": "x", "collection": "none"}),
        "there is no collection `none`",
    );
    check(
        "read",
        json!({"path": "src/none.py"}),
        "`src/none.py` is not indexed",
    );
    check("read", json!({"path": "lamp.py"}), "there is src/lamp.py");
    check(
        "read",
        json!({"path": "src/lamp.py", "from": 9}),
        "has 2 lines",
    );
    check(
        "related",
        json!({"path": "lamp.py", "line": 1}),
        "there is src/lamp.py",
    );
    check(
        "related",
        json!({"path": "src/lamp.py", "line": 9}),
        "is in line 9",
    );
    check("index", json!({"path": "/"}), "no name");
    check("index", json!({"path": "/etc"}), "forbidden");
    // Nothing stays of what was refused.
    let listed = server.get("/v1/collections").ok();
    assert_eq!(
        listed["collections"].as_array().unwrap().len(),
        1,
        "{listed}"
    );
    let unknown = call(&server, "delete", &json!({}));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}

#[test]
fn tools_may_do_what_the_key_may() {
    let (_app, server, _) = indexed();
    server.make_documents("secret");
    server.write("secret", &[("a", "The password is swordfish.")]);
    let key = server.key(&["search", "collections:read"], Some(&["code"]));
    let message = newer(
        1,
        "tools/call",
        json!({"name": "search", "arguments": {"query": "swordfish"}}),
    );
    let answer = server
        .ask("POST", "/mcp")
        .key(&key)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "search")
        .json(&message)
        .send();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.text.contains("password"), "{}", answer.text);
    assert!(answer.text.contains("`code`"), "{}", answer.text);
}

#[test]
fn over_http_2_tools_and_pages_answer_as_well() {
    let (_app, server, _) = indexed();
    // It names the server in the address, and has no Host header.
    let client = reqwest::blocking::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let key = server.key(&["search", "collections:read"], None);
    let message = newer(
        1,
        "tools/call",
        json!({"name": "search", "arguments": {"query": "switch_on"}}),
    );
    let answer = client
        .post(format!("{}/mcp", server.url))
        .bearer_auth(&key)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "search")
        .json(&message)
        .send()
        .unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    let text = answer.text().unwrap();
    assert!(text.contains("switch_on"), "{text}");
    let page = client
        .get(format!("{}/search?q=switch_on", server.url))
        .bearer_auth(&key)
        .send()
        .unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().unwrap().contains("lamp.py"));
}

#[test]
fn what_is_no_message_is_refused_as_everywhere() {
    let (_app, server, _) = indexed();
    let message = newer(1, "tools/list", json!({}));
    let to = || server.ask("POST", "/mcp");
    let of = |kind: &str| {
        to().header("accept", "application/json")
            .header("content-type", kind)
    };
    to().json(&message).send().problem(406, "not_acceptable");
    of("application/json")
        .body(message.to_string())
        .send()
        .problem(406, "not_acceptable");
    let both = "application/json, text/event-stream";
    to().header("accept", both)
        .header("content-type", "text/plain")
        .body(message.to_string())
        .send()
        .problem(415, "unsupported_media_type");
}
