//! What a browser may be made to do by a page of another site: nothing. And how it signs in.

use serde_json::json;

use crate::support::app::App;
use crate::support::server::{Answer, Ask, TestServer};

/// A request to each kind of address, by the key of this machine: with a key it is not better.
fn sample(server: &TestServer) -> Vec<Ask> {
    let search = json!({"query": "text"});
    let mut asks: Vec<Ask> = [
        "/",
        "/docs",
        "/openapi.json",
        "/livez",
        "/readyz",
        "/health",
        "/metrics",
        "/session?token=x",
        "/v1/whoami",
        "/v1/collections",
        "/v1/jobs",
        "/v1/models",
        "/v1/admin/keys",
        "/nowhere",
    ]
    .map(|path| server.ask("GET", path))
    .into();
    asks.push(server.ask("POST", "/v1/search").json(&search));
    asks.push(
        server
            .ask("PUT", "/v1/collections/a")
            .json(&json!({"kind": "code"})),
    );
    asks.push(server.ask("DELETE", "/v1/collections/a"));
    asks.push(
        server
            .ask("OPTIONS", "/v1/search")
            .header("access-control-request-method", "POST"),
    );
    asks.extend(["/livez", "/readyz", "/metrics"].map(|path| server.ops(path)));
    asks
}

/// What a browser that came by a one-time address keeps.
struct Browser<'a> {
    server: &'a TestServer,
    cookie: String,
}

impl<'a> Browser<'a> {
    /// Opens a session with the rights of a key.
    fn sign_in(server: &'a TestServer, key: &str) -> Browser<'a> {
        let path = one_time_path(server, key);
        let answer = server.ask("GET", &path).no_key().send().with_status(303);
        Browser {
            server,
            cookie: cookie_of(&answer),
        }
    }

    fn ask(&self, method: &str, path: &str) -> Ask {
        self.server
            .ask(method, path)
            .no_key()
            .header("cookie", &self.cookie)
    }

    fn csrf(&self) -> String {
        let who = self.ask("GET", "/v1/whoami").send().ok();
        who["csrf_token"].as_str().unwrap().to_owned()
    }
}

fn one_time_path(server: &TestServer, key: &str) -> String {
    let opened = server
        .ask("POST", "/v1/admin/sessions")
        .key(key)
        .json(&json!({}));
    let opened = opened.send().with_status(201).body;
    let path = opened["path"].as_str().unwrap();
    assert!(path.starts_with("/session?token="), "{path}");
    path.to_owned()
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie_of(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn a_request_that_is_addressed_to_another_name_is_refused_everywhere() {
    let app = App::text_only();
    let server = TestServer::start(
        &app,
        &[],
        &[("EMBEDDER_SERVER_HOSTS", "embedder.example, Second.Example")],
    );
    let port = server.url.rsplit(':').next().unwrap();
    for host in [
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        "evil.example".to_owned(),
    ] {
        for ask in sample(&server) {
            ask.header("host", &host).send().problem(421, "misdirected");
        }
    }
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        "embedder.example".to_owned(),
        format!("SECOND.example:{port}"),
    ] {
        server
            .ask("GET", "/v1/collections")
            .header("host", &host)
            .send()
            .ok();
    }
    server.get("/v1/collections/a").problem(404, "not_found");
}

#[test]
fn a_request_of_another_sites_page_is_refused_everywhere() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let foreign = [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "https://127.0.0.1"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ];
    for (name, value) in foreign {
        for ask in sample(&server) {
            let answer = ask.header(name, value).send();
            assert_eq!(answer.header("access-control-allow-origin"), "");
            answer.problem(403, "cross_site");
        }
    }
    for (name, value) in [
        ("origin", &*server.url),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        server
            .ask("GET", "/v1/collections")
            .header(name, value)
            .send()
            .ok();
        server.ask("GET", "/livez").header(name, value).send().ok();
    }
    server.get("/v1/collections/a").problem(404, "not_found");
}

#[test]
fn a_body_that_a_form_can_send_changes_nothing() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    for media_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("text/json"),
    ] {
        let typed = |ask: Ask| match media_type {
            Some(media_type) => ask.header("content-type", media_type),
            None => ask,
        };
        let put = server
            .ask("PUT", "/v1/collections/a")
            .body(r#"{"kind": "code"}"#);
        typed(put).send().problem(415, "unsupported_media_type");
        let search = server
            .ask("POST", "/v1/search")
            .body(r#"{"query": "text"}"#);
        typed(search).send().problem(415, "unsupported_media_type");
    }
    server.get("/v1/collections/a").problem(404, "not_found");
    let put = server
        .ask("PUT", "/v1/collections/a")
        .body(r#"{"kind": "code"}"#);
    put.header("content-type", "Application/JSON; charset=utf-8")
        .send()
        .with_status(201);
}

#[test]
fn a_one_time_address_signs_a_browser_in_once() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let path = one_time_path(&server, &server.admin);
    let first = server.ask("GET", &path).no_key().send().with_status(303);
    assert_eq!(first.header("location"), "/");
    let set: Vec<_> = first.header("set-cookie").split("; ").skip(1).collect();
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(&flag), "{set:?}");
    }
    assert!(
        set.iter().any(|flag| flag.starts_with("Max-Age=")),
        "{set:?}"
    );
    for again in [&*path, "/session?token=", "/session?token=nonsense"] {
        let second = server.ask("GET", again).no_key().send();
        assert_eq!(second.header("set-cookie"), "");
        second.problem(401, "unauthenticated");
    }
    server
        .ask("GET", "/session")
        .no_key()
        .send()
        .with_status(400);
    // Only who has a key can make such an address.
    let nobody = server
        .ask("POST", "/v1/admin/sessions")
        .no_key()
        .json(&json!({}));
    nobody.send().problem(401, "unauthenticated");
}

#[test]
fn a_session_changes_something_only_with_what_its_own_pages_know() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let browser = Browser::sign_in(&server, &server.admin);
    let other = Browser::sign_in(&server, &server.admin);
    let start = browser.ask("GET", "/").send().with_status(200);
    assert!(start.text.contains("Sign out"), "{}", start.text);
    assert_eq!(start.header("x-frame-options"), "DENY");
    let csrf = browser.csrf();
    assert_ne!(csrf, other.csrf());
    let make = || {
        browser
            .ask("PUT", "/v1/collections/a")
            .json(&json!({"kind": "code"}))
    };
    make().send().problem(403, "cross_site");
    for wrong in ["", "nonsense", &other.csrf(), &csrf[1..]] {
        make()
            .header("x-csrf-token", wrong)
            .send()
            .problem(403, "cross_site");
    }
    server.get("/v1/collections/a").problem(404, "not_found");
    make().header("x-csrf-token", &csrf).send().with_status(201);
    // The token is worth nothing without the cookie, and the cookie nothing to another site.
    let alone = server
        .ask("GET", "/v1/whoami")
        .no_key()
        .header("x-csrf-token", &csrf);
    alone.send().problem(401, "unauthenticated");
    let foreign = make()
        .header("x-csrf-token", &csrf)
        .header("origin", "http://evil.example");
    foreign.send().problem(403, "cross_site");
    // A second cookie of the name was planted by somebody.
    let port = server.address().port();
    let planted = browser
        .ask("GET", "/v1/whoami")
        .header("cookie", &format!("embedder_session_{port}=planted"));
    planted.send().problem(401, "unauthenticated");

    browser
        .ask("DELETE", "/session")
        .send()
        .problem(403, "cross_site");
    let out = browser
        .ask("DELETE", "/session")
        .header("x-csrf-token", &csrf)
        .send();
    assert!(
        out.with_status(204)
            .header("set-cookie")
            .contains("Max-Age=0")
    );
    browser
        .ask("GET", "/v1/whoami")
        .send()
        .problem(401, "unauthenticated");
    let start = browser.ask("GET", "/").send().with_status(303);
    assert_eq!(start.header("location"), "/sign-in");
    other.ask("GET", "/v1/whoami").send().ok();
}

#[test]
fn every_page_asks_who_is_there_and_every_form_for_what_its_own_page_knows() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    let pages = [
        "/",
        "/search",
        "/search?q=text",
        "/collections/notes",
        "/collections/notes/files/a",
        "/jobs",
        "/jobs/job_1",
        "/live?page=overview",
    ];
    for page in pages {
        let answer = server.ask("GET", page).no_key().send().with_status(303);
        assert_eq!(answer.header("location"), "/sign-in", "{page}");
    }
    let browser = Browser::sign_in(&server, &server.admin);
    for page in &pages[..7] {
        let answer = browser
            .ask("GET", page)
            .header("accept", "text/html")
            .send();
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{page}");
        assert!(
            answer.header("content-type").starts_with("text/html"),
            "{page}"
        );
    }
    let form = |path: &str, body: &str| {
        browser
            .ask("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
    };
    for body in ["", "csrf=", "csrf=guessed", "csrf=%0d%0ax"] {
        for path in ["/sign-out", "/jobs/job_1/cancel"] {
            let answer = form(path, body);
            assert!(
                (400..=403).contains(&answer.status),
                "{path} {body}: {}",
                answer.status
            );
        }
    }
    browser.ask("GET", "/v1/whoami").send().ok();
    let csrf = browser.csrf();
    form("/jobs/job_1/cancel", &format!("csrf={csrf}")).with_status(404);
    let out = form("/sign-out", &format!("csrf={csrf}")).with_status(303);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    browser
        .ask("GET", "/v1/whoami")
        .send()
        .problem(401, "unauthenticated");
    let wrong = form("/sign-in", "key=emb_nothing").with_status(401);
    assert!(wrong.text.contains("does not open anything"));
    let right = form("/sign-in", &format!("key={}", server.admin)).with_status(303);
    assert!(right.header("location").starts_with("/session?token="));
    let style = server
        .ask("GET", "/sign-in")
        .no_key()
        .send()
        .with_status(200)
        .text;
    let style = style
        .split('"')
        .find(|part| part.ends_with(".css"))
        .unwrap();
    let style = server.ask("GET", style).no_key().send().with_status(200);
    assert!(style.header("cache-control").contains("immutable"));
}

#[test]
fn a_session_is_worth_what_its_key_is_worth_and_ends_with_it() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("own");
    server.make_documents("theirs");
    let (key, id) = server.key_and_id(&["search", "collections:read"], Some(&["own"]));
    let browser = Browser::sign_in(&server, &key);
    let csrf = browser.csrf();
    let make = browser
        .ask("PUT", "/v1/collections/own")
        .header("x-csrf-token", &csrf);
    make.json(&json!({"kind": "code"}))
        .send()
        .problem(403, "forbidden");
    browser.ask("GET", "/v1/collections/own").send().ok();
    browser
        .ask("GET", "/v1/collections/theirs")
        .send()
        .problem(404, "not_found");
    let start = browser.ask("GET", "/").send().with_status(200).text;
    assert!(
        start.contains("own") && !start.contains("theirs"),
        "{start}"
    );
    server
        .delete(&format!("/v1/admin/keys/{id}"))
        .with_status(204);
    browser
        .ask("GET", "/v1/whoami")
        .send()
        .problem(401, "unauthenticated");
}

#[test]
fn a_session_does_not_outlive_its_server() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let path = one_time_path(&server, &server.admin);
    let cookie = Browser::sign_in(&server, &server.admin).cookie;
    server.stop();
    let server = TestServer::start(&app, &[], &[]);
    let who = server
        .ask("GET", "/v1/whoami")
        .no_key()
        .header("cookie", &cookie);
    who.send().problem(401, "unauthenticated");
    server
        .ask("GET", &path)
        .no_key()
        .send()
        .problem(401, "unauthenticated");
}

#[test]
fn where_no_key_is_asked_for_every_answer_says_so_and_other_sites_are_refused_all_the_same() {
    let app = App::text_only();
    let server = TestServer::start(&app, &["--no-auth"], &[]);
    for path in ["/livez", "/v1/collections", "/nowhere"] {
        let answer = server.ask("GET", path).no_key().send();
        assert_eq!(answer.header("x-embedder-auth"), "none", "{path}");
    }
    let make = || {
        server
            .ask("PUT", "/v1/collections/a")
            .no_key()
            .json(&json!({"kind": "documents"}))
    };
    make()
        .header("origin", "http://evil.example")
        .send()
        .problem(403, "cross_site");
    make()
        .header("host", "evil.example")
        .send()
        .problem(421, "misdirected");
    make().send().with_status(201);
    assert!(server.find("a", "anything").is_empty());
    server.stop();
    // It is for this machine alone.
    app.fails(&["serve", "--no-auth", "--listen", "0.0.0.0:0"], 64, &[]);
}
