//! What the worst clients send: each is refused for what it is, nobody else notices, and no memory is kept.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{App, skip};
use crate::support::server::{Answer, TestServer, status_of};
use crate::support::socket::has_room_for;

/// What a server may hold more than before, whatever it was sent.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

/// What a connection may cost that nothing is asked on, in a build without optimization.
const IDLE_KIB_MAX: u64 = 16;

/// How long fifty small requests may take beside others that are stuck: far longer than they need, far shorter than any
/// of the server's deadlines.
const FIFTY_REQUESTS_MAX: Duration = Duration::from_secs(8);

/// Lets something be done to a server with one document, and checks that it works as before.
fn withstands(assault: impl FnOnce(&TestServer)) {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    assert_eq!(server.find("notes", "harbour"), ["a"]);
    let before = server.resident_kib();
    assault(&server);
    assert_eq!(server.find("notes", "harbour"), ["a"]);
    server.ops("/readyz").send().with_status(200);
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    let metrics = server.ops("/metrics").send().text;
    let panics = metrics
        .lines()
        .find_map(|line| line.strip_prefix("embedder_panics_total "));
    assert_eq!(panics.unwrap().parse::<f64>(), Ok(0.0), "{}", server.log());
    server.stop();
}

/// Sends a body as it is to `/v1/search`.
fn search(server: &TestServer, body: impl Into<Vec<u8>>) -> Answer {
    let ask = server
        .ask("POST", "/v1/search")
        .header("content-type", "application/json");
    ask.body(body).send()
}

/// The head of a request with a key, for a plain connection.
fn head(server: &TestServer, line: &str, fields: &str) -> String {
    let key = &server.admin;
    format!("{line} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n{fields}")
}

#[test]
fn bodies_that_are_no_json_are_told_from_json_that_does_not_fit() {
    withstands(|server| {
        for body in [
            &b""[..],
            b"{",
            b"nonsense",
            b"{\"query\": }",
            b"{\"query\": \"text\"",
            b"{\"query\": \"text\"} {}",
            b"{\"query\": \"text\", \"limit\": NaN}",
            b"{\"query\": \"text\", \"vector\": [Infinity]}",
            b"{'query': 'text'}",
            b"\xef\xbb\xbf{\"query\": \"text\"}",
            b"{\"query\": \"\xff\xfe\"}",
            b"{\"query\": \"\\ud800\"}",
            b"{\"query\": \"a\nb\"}",
        ] {
            let answer = search(server, body);
            answer.problem(400, "malformed_request");
        }
        for body in [
            json!(null),
            json!([]),
            json!("text"),
            json!({"query": 1}),
            json!({"query": null}),
            json!({"query": ["text"]}),
            json!({"query": "text", "limit": "ten"}),
            json!({"query": "text", "limit": -1}),
            json!({"query": "text", "limit": 1.5}),
            json!({"query": "text", "limit": 1e99}),
            json!({"query": "text", "mode": "magic"}),
            json!({"query": "text", "filter": {"size": 1}}),
            json!({"query": "text", "unknown": 1}),
            json!({"query": "text", "allow_degraded": "everything"}),
        ] {
            let answer = search(server, body.to_string());
            answer.problem(400, "invalid_request");
        }
        let twice = search(server, r#"{"query": "text", "query": "other"}"#);
        twice.problem(400, "invalid_request");
    });
}

#[test]
fn depth_and_size_do_not_exhaust_the_server() {
    withstands(|server| {
        let deep = "[".repeat(1_000_000);
        let nested = format!("{}1{}", "[".repeat(500_000), "]".repeat(500_000));
        let objects = "{\"a\":".repeat(200_000);
        for value in [&deep, &nested, &objects] {
            for body in [
                value.clone(),
                format!("{{\"query\": {value}"),
                format!(
                    "{{\"query\": \"text\", \"filter\": {{\"metadata\": {{\"a\": {value}}}}}}}"
                ),
                format!("{{\"unknown\": {value}}}"),
            ] {
                search(server, body).with_status(400);
            }
            let documents = format!(
                r#"{{"documents": [{{"id": "a", "text": "b", "metadata": {{"c": {value}}}}}]}}"#
            );
            let ask = server.ask("POST", "/v1/collections/notes/documents");
            let ask = ask.header("content-type", "application/json");
            ask.body(documents).send().with_status(400);
        }
        let many = vec!["x"; 100_000];
        search(
            server,
            json!({"query": "text", "collections": many}).to_string(),
        )
        .with_status(400);
        search(
            server,
            json!({"query": "text", "without": many}).to_string(),
        )
        .with_status(400);
    });
}

#[test]
fn questions_that_cannot_be_asked_say_why() {
    withstands(|server| {
        let long = "x".repeat(100_000);
        for body in [
            json!({}),
            json!({"query": ""}),
            json!({"query": " \n\t"}),
            json!({"query": long}),
            json!({"query": "text", "limit": 0}),
            json!({"query": "text", "limit": 1_001}),
            json!({"query": "text", "context": 21}),
            json!({"query": "text", "filter": {"language": ["klingon"]}}),
            json!({"query": "text", "filter": {"path": ["a["]}}),
            json!({"query": "text", "filter": {"path": vec!["a"; 65]}}),
            json!({"query": "text", "without": ["gravity"]}),
            json!({"query": "text", "collections": vec!["notes"; 65]}),
            json!({"query": "(", "mode": "regex"}),
            json!({"query": "a{1000}{1000}{1000}", "mode": "regex"}),
            json!({"query": "text", "mode": "regex", "explain": true}),
            json!({"query": "text", "mode": "literal", "without": ["all"]}),
            json!({"query": "text", "mode": "text", "vector": [1.0]}),
        ] {
            let answer = server.post("/v1/search", &body);
            let shown: String = body.to_string().chars().take(80).collect();
            assert_eq!(answer.status, 400, "{shown}: {}", answer.text);
            assert!(answer.text.len() < 4_000, "{shown}");
            let code = answer.body["code"].as_str().unwrap().to_owned();
            assert!(
                ["usage", "invalid_request", "invalid_query"].contains(&&*code),
                "{shown}: {code}"
            );
            let problem = answer.problem(400, &code);
            assert!(
                problem["detail"].is_string() && problem["remedy"].is_string(),
                "{problem}"
            );
        }
        // Odd is not wrong.
        for query in [
            "🦀",
            "日本語の検索",
            "((((",
            "\u{0}",
            "\u{202e}x",
            "' OR 1=1 --",
            "(a+)+$",
        ] {
            for mode in ["text", "literal", "direct"] {
                server
                    .post("/v1/search", &json!({"query": query, "mode": mode}))
                    .ok();
            }
        }
        server
            .post("/v1/search", &json!({"query": "(a+)+$", "mode": "regex"}))
            .ok();
    });
}

#[test]
fn parameters_and_headers_that_cannot_be_read() {
    withstands(|server| {
        for path in [
            "/v1/jobs?unknown=1",
            "/v1/jobs?limit=many",
            "/v1/jobs?limit=-1",
            "/v1/admin/audit?after=x",
            "/v1/admin/audit/verify?head=1",
            "/v1/admin/audit/verify?head=1:00",
            "/health?unknown=1",
            "/session?unknown=1",
        ] {
            server.get(path).problem(400, "invalid_request");
        }
        for path in [
            "/v1/collections/%FF",
            "/v1/jobs/%C3%28",
            "/v1/collections/notes/files/%ED%A0%80",
        ] {
            server.get(path).problem(400, "malformed_request");
        }
        for value in ["0", "-1", "soon", "1e3", "99999999999999999999"] {
            let ask = server
                .ask("GET", "/v1/jobs")
                .header("x-request-timeout-ms", value);
            ask.send().problem(400, "invalid_request");
        }
    });
}

#[test]
fn a_body_over_the_limit_is_not_read() {
    withstands(|server| {
        let limit = 2 * 1024 * 1024;
        let announced = |path: &str, bytes: usize| {
            let fields =
                format!("content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n");
            server.raw(head(server, &format!("POST {path}"), &fields).as_bytes())
        };
        for (path, bytes) in [
            ("/v1/search", limit + 1),
            ("/v1/search", usize::MAX >> 1),
            ("/v1/collections/notes/documents", 16 * limit + 1),
            ("/v1/embeddings", 16 * limit + 1),
        ] {
            let answer = announced(path, bytes);
            assert_eq!(status_of(&answer), 413, "{answer}");
            assert!(answer.contains("\"too_large\""), "{answer}");
        }
        let (answer, sent) = send_without_end(server);
        assert_eq!(status_of(&answer), 413, "{answer}");
        // What is on its way, in the buffers of both sides and while the answer is, is some megabytes.
        assert!(sent < 64 * limit, "{sent} bytes were taken");
        // Just within the limit is read, and refused for what it is.
        let mut body = json!({"query": "text", "unknown": 1}).to_string();
        body.push_str(&" ".repeat(limit - body.len()));
        search(server, body).problem(400, "invalid_request");
    });
}

/// Sends a body in pieces until there is an answer, and returns it with how much was sent by then.
fn send_without_end(server: &TestServer) -> (String, usize) {
    let fields = "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut stream = server.connect();
    stream
        .write_all(head(server, "POST /v1/search", fields).as_bytes())
        .unwrap();
    let mut answers = stream.try_clone().unwrap();
    let is_answered = AtomicBool::new(false);
    let piece = [&b"10000\r\n"[..], &[b' '; 0x1_0000], b"\r\n"].concat();
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let answer = read_head(&mut answers);
            is_answered.store(true, Ordering::Release);
            answer
        });
        let mut sent = 0;
        while !is_answered.load(Ordering::Acquire) && stream.write_all(&piece).is_ok() {
            sent += piece.len();
        }
        (reading.join().unwrap(), sent)
    })
}

/// Reads the head of an answer.
fn read_head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        bytes.extend(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn an_encoded_body_is_refused_unopened() {
    withstands(|server| {
        // The beginning of a stream of gzip, whatever it would become.
        let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].repeat(1_000);
        for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "nonsense"] {
            let ask = server
                .ask("POST", "/v1/search")
                .header("content-type", "application/json");
            let answer = ask
                .header("content-encoding", encoding)
                .body(bomb.clone())
                .send();
            answer.problem(415, "unsupported_media_type");
        }
        let ask = server
            .ask("POST", "/v1/search")
            .header("content-encoding", "identity");
        ask.json(&json!({"query": "harbour", "mode": "text"}))
            .send()
            .ok();
    });
}

#[test]
fn heads_that_are_no_http_or_too_large() {
    withstands(|server| {
        let problem = |request: &[u8], statuses: &[u16], code: &str| {
            let answer = server.raw(request);
            let shown: String = String::from_utf8_lossy(request).chars().take(80).collect();
            assert!(
                statuses.contains(&status_of(&answer)),
                "{shown:?}: {answer}"
            );
            let (fields, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                fields
                    .to_lowercase()
                    .contains("content-type: application/problem+json"),
                "{answer}"
            );
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["code"], code, "{shown:?}: {answer}");
        };
        for garbage in [
            &b"nonsense\r\n\r\n"[..],
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"\0\0\0\0\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\x01 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost 127.0.0.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nbad name: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: a\0b\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        ] {
            problem(garbage, &[400], "malformed_request");
        }
        let long = "x".repeat(64 * 1024);
        let field = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: {long}\r\n\r\n");
        problem(field.as_bytes(), &[431], "headers_too_large");
        let fields: String = (0..1_000)
            .map(|number| format!("x-{number}: y\r\n"))
            .collect();
        let fields = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n{fields}\r\n");
        problem(fields.as_bytes(), &[431], "headers_too_large");
        let line = format!("GET /{long} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        problem(line.as_bytes(), &[414, 431], "headers_too_large");
        problem(
            b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
            &[421],
            "misdirected",
        );
        problem(b"GET / HTTP/1.0\r\n\r\n", &[421], "misdirected");
    });
}

/// Asks fifty times and checks that nobody was kept waiting.
fn fifty_are_served(server: &TestServer) {
    let started = Instant::now();
    for _ in 0..25 {
        server.ask("GET", "/livez").no_key().send().with_status(200);
        assert_eq!(server.find("notes", "harbour"), ["a"]);
    }
    let elapsed = started.elapsed();
    assert!(elapsed < FIFTY_REQUESTS_MAX, "{elapsed:?}");
}

#[test]
fn requests_that_stop_half_way_keep_nobody_waiting() {
    withstands(|server| {
        let half_head = head(server, "POST /v1/search", "content-ty");
        let fields = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{\"query\"";
        let half_body = head(server, "POST /v1/search", fields);
        let held: Vec<TcpStream> = (0..100)
            .map(|number| {
                let mut stream = server.connect();
                let half = if number % 2 == 0 {
                    &half_head
                } else {
                    &half_body
                };
                stream.write_all(half.as_bytes()).unwrap();
                stream
            })
            .collect();
        fifty_are_served(server);
        // A client that leaves in the middle leaves nothing behind.
        drop(held);
        fifty_are_served(server);
    });
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_waiting() {
    const IDLE: u64 = 10_000;
    if !has_room_for(IDLE) {
        return skip("ten thousand connections are more files than may be open here");
    }
    let mut app = App::text_only();
    // The server finds the usual limit, and raises it.
    app.ulimit = Some("-Sn 1024");
    let max = [("EMBEDDER_SERVER_CONNECTIONS_MAX", "11000")];
    let server = TestServer::start(&app, &[], &max);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    let before = server.resident_kib();
    let held: Vec<TcpStream> = (0..IDLE)
        .map(|number| server.connect_from(number))
        .collect();
    fifty_are_served(&server);
    let metrics = server.ops("/metrics").send().text;
    let open = metrics
        .lines()
        .find_map(|line| line.strip_prefix("embedder_active_connections "));
    let open: u64 = open.unwrap().parse().unwrap();
    assert!(open >= IDLE, "{open} are open");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < IDLE * IDLE_KIB_MAX, "{grown} KiB more");
    drop(held);
    fifty_are_served(&server);
    server.stop();
}

#[test]
fn connections_leave_the_store_its_files() {
    let mut app = App::text_only();
    app.ulimit = Some("-n 300");
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    let mut early = server.connect();
    let held: Vec<TcpStream> = (0..400).map(|number| server.connect_from(number)).collect();
    // All places are taken; what has one can still be served from files that are not open yet.
    let body = r#"{"documents":[{"id":"a","text":"the harbour opens"}]}"#;
    let fields = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let write = head(&server, "POST /v1/collections/notes/documents", &fields);
    early.write_all(write.as_bytes()).unwrap();
    let answer = read_head(&mut early);
    assert_eq!(status_of(&answer), 200, "{answer}");
    server.ops("/readyz").send().with_status(200);
    drop(held);
    server.write("notes", &[("a", "the harbour opens")]);
    fifty_are_served(&server);
    assert!(
        server.log().contains("Fewer connections"),
        "{}",
        server.log()
    );
    server.stop();
}

#[test]
fn nothing_is_read_that_is_not_indexed() {
    withstands(|server| {
        for path in [
            "..%2F..%2F..%2F..%2Fetc%2Fpasswd",
            "%2Fetc%2Fpasswd",
            "a%2F..%2F..%2F..%2Fetc%2Fpasswd",
            "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "..%5C..%5Cetc%5Cpasswd",
            "....%2F%2F....%2F%2Fetc%2Fpasswd",
            "..%252F..%252Fetc%252Fpasswd",
            "etc%2Fpasswd%00.md",
            "local.key",
            "..%2Flocal.key",
            "hub.db",
        ] {
            for kind in ["files", "documents"] {
                let answer = server.get(&format!("/v1/collections/notes/{kind}/{path}"));
                assert!(!answer.text.contains("root:"), "{path}: {}", answer.text);
                answer.problem(404, "not_found");
            }
        }
        for path in [
            "/v1/collections/notes/files/../../../../../../etc/passwd",
            "/../../etc/passwd",
            "//etc/passwd",
        ] {
            let request = head(server, &format!("GET {path}"), "connection: close\r\n\r\n");
            let answer = server.raw(request.as_bytes());
            assert_eq!(status_of(&answer), 404, "{path}: {answer}");
        }
    });
}

#[test]
fn what_does_not_exist_is_not_found() {
    withstands(|server| {
        let long = "x".repeat(2_000);
        for id in [
            "x",
            "0",
            "-1",
            "9223372036854775808",
            "%00",
            "%0A",
            "job_",
            "🦀",
            &long,
        ] {
            for (method, path) in [
                ("GET", format!("/v1/jobs/{id}")),
                ("GET", format!("/v1/jobs/{id}/failures")),
                ("GET", format!("/v1/jobs/{id}/events")),
                ("DELETE", format!("/v1/jobs/{id}")),
                ("GET", format!("/v1/collections/{id}")),
                ("DELETE", format!("/v1/collections/{id}")),
                ("GET", format!("/v1/collections/{id}/sources")),
                ("GET", format!("/v1/collections/notes/documents/{id}")),
                ("DELETE", format!("/v1/collections/notes/documents/{id}")),
                ("GET", format!("/v1/collections/notes/sources/{id}")),
                ("DELETE", format!("/v1/collections/notes/sources/{id}")),
                ("DELETE", format!("/v1/admin/keys/{id}")),
            ] {
                let answer = server.ask(method, &path).send();
                assert!(answer.text.len() < 4_000, "{method} {path}");
                answer.problem(404, "not_found");
            }
            let rotate = server.post(&format!("/v1/admin/keys/{id}/rotate"), &json!({}));
            rotate.problem(404, "not_found");
        }
    });
}
