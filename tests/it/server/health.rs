//! What operators see: probes, health, degraded answers, metrics, and the end of a server in good order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{App, wait_until};
use crate::support::server::{TestServer, operations, read_to_close, status_of};

/// Series of one server. Each costs memory here and far more in whatever collects them.
const SERIES_MAX: usize = 5_000;

/// How long a server may take to end that was told twice.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn probes_are_answered_on_both_listeners_without_a_key() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let key = "emb_nonsense";
    for path in ["/livez", "/readyz", "/startupz"] {
        let main = || server.ask("GET", path);
        for ask in [
            server.ops(path),
            server.ops(path).key(key),
            main().no_key(),
            main().key(key),
            main(),
        ] {
            assert_eq!(ask.send().ok(), json!({"status": "ok"}), "{path}");
        }
    }
    // Without a model the server is less well and not ill.
    for ask in [server.ops("/health"), server.ask("GET", "/health").no_key()] {
        assert_eq!(
            ask.send().with_status(200).body,
            json!({"status": "Degraded"})
        );
    }
    // The second listener answers nothing else.
    for path in [
        "/",
        "/v1/collections",
        "/v1/whoami",
        "/openapi.json",
        "/session?token=x",
    ] {
        server
            .ops(path)
            .key(&server.admin)
            .send()
            .problem(404, "not_found");
    }
}

#[test]
fn details_of_health_are_for_operators() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let ask = || server.ask("GET", "/health?verbose");
    ask().no_key().send().problem(401, "unauthenticated");
    ask()
        .key(&server.key(&["search"], None))
        .send()
        .problem(403, "forbidden");
    let by_key = ask().key(&server.key(&["ops:read"], None)).send();
    for answer in [
        by_key,
        server.ops("/health?verbose").send(),
        server.ops("/health?verbose=1").send(),
    ] {
        let detail = answer.with_status(200).body;
        assert_eq!(
            (&detail["status"], &detail["phase"]),
            (&json!("Degraded"), &json!("serving"))
        );
        assert_eq!(detail["version"], env!("CARGO_PKG_VERSION"));
        let dependencies = detail["dependencies"].as_array().unwrap();
        let state = |name: &str| {
            let found = dependencies
                .iter()
                .find(|dependency| dependency["name"] == name);
            found.unwrap_or_else(|| panic!("{name}: {detail}"))["state"].clone()
        };
        assert_eq!(state("encoder"), "Degraded");
        assert_eq!(state("content_store"), "Healthy");
        assert_eq!(state("hub_store"), "Healthy");
    }
}

#[test]
fn with_a_model_the_encoder_is_healthy() {
    let Some(app) = App::with_model() else { return };
    let server = TestServer::start(&app, &[], &[]);
    let detail = server.ops("/health?verbose").send().with_status(200).body;
    let dependencies = detail["dependencies"].as_array().unwrap();
    let encoder = dependencies
        .iter()
        .find(|dependency| dependency["name"] == "encoder");
    assert_eq!(encoder.unwrap()["state"], "Healthy", "{detail}");
}

#[test]
fn an_answer_that_is_less_than_was_asked_for_says_so() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    let search = |body: Value| server.post("/v1/collections/notes/search", &body);
    let answer = search(json!({"query": "harbour"})).with_status(206);
    assert_eq!(answer.header("x-degraded"), "text;reason=model_missing");
    assert_eq!(answer.header("cache-control"), "no-store");
    let meta = &answer.body["meta"];
    assert_eq!(
        (&meta["served_by"], &meta["degraded"]),
        (&json!("text"), &json!(true))
    );
    assert_eq!(meta["reasons"], json!(["model_missing"]));
    assert_eq!(answer.body["hits"][0]["path"], "a");
    for lowest in ["text", "direct", "cached", "minimal"] {
        search(json!({"query": "harbour", "allow_degraded": lowest})).with_status(206);
    }
    search(json!({"query": "harbour", "allow_degraded": "none"})).problem(503, "model_unavailable");
    search(json!({"query": "harbour", "mode": "vector"})).problem(503, "model_unavailable");
    // What was asked for is not degraded.
    for mode in ["text", "literal", "regex", "direct"] {
        let answer = search(json!({"query": "harbour", "mode": mode})).with_status(200);
        assert_eq!(answer.header("x-degraded"), "");
        assert_eq!(answer.body["meta"]["degraded"], false);
    }
}

#[test]
fn the_status_of_a_degraded_answer_can_be_200() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[("EMBEDDER_DEGRADATION_STATUS", "200")]);
    server.make_documents("notes");
    let answer = server.post("/v1/collections/notes/search", &json!({"query": "harbour"}));
    let answer = answer.with_status(200);
    assert_eq!(answer.header("x-degraded"), "text;reason=model_missing");
    assert_eq!(answer.body["meta"]["degraded"], true);
}

#[test]
fn the_same_question_is_answered_from_memory_until_something_changes() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    let ask = || {
        let body = json!({"query": "harbour", "mode": "text"});
        let answer = server
            .post("/v1/collections/notes/search", &body)
            .with_status(200);
        (
            answer.header("x-cache").to_owned(),
            answer.body["hits"].as_array().unwrap().len(),
        )
    };
    // The first search of all loads the collection.
    server.find("notes", "anything");
    assert_eq!(ask(), ("miss".to_owned(), 1));
    assert_eq!(ask(), ("hit".to_owned(), 1));
    server.write("notes", &[("b", "another harbour")]);
    assert_eq!(ask(), ("miss".to_owned(), 2));
    assert_eq!(ask(), ("hit".to_owned(), 2));
}

#[test]
fn a_server_that_is_asked_to_end_is_not_ready_and_goes_on_serving_for_a_while() {
    let app = App::text_only();
    let mut server = TestServer::start(&app, &[], &[("EMBEDDER_SERVER_NOTICE_S", "2")]);
    server.make_documents("notes");
    server.sigterm();
    let told = Instant::now();
    wait_until("it is not ready", || {
        server.ops("/readyz").send().status == 503
    });
    let not_ready = server
        .ask("GET", "/readyz")
        .no_key()
        .send()
        .with_status(503);
    assert_eq!(not_ready.body, json!({"status": "draining"}));
    server.ops("/livez").send().with_status(200);
    // Those who have not heard of it yet are served as before.
    server.write("notes", &[("a", "the harbour opens")]);
    assert_eq!(server.find("notes", "harbour"), ["a"]);
    assert!(app.data_dir().join("server.json").exists());
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(told.elapsed() >= Duration::from_secs(2));
    assert!(!app.data_dir().join("server.json").exists());
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    let app = App::text_only();
    let mut server = TestServer::start(&app, &[], &[("EMBEDDER_SERVER_NOTICE_S", "60")]);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    // One that a wrapper passes on to the process and to its group is no second one.
    let first = Instant::now();
    server.sigterm();
    server.sigterm();
    wait_until("it is not ready", || {
        server.ops("/readyz").send().status == 503
    });
    wait_until("another is another", || {
        first.elapsed() > Duration::from_millis(400)
    });
    assert_eq!(server.ops("/readyz").send().status, 503);
    let told = Instant::now();
    server.sigterm();
    assert_eq!(server.wait().code(), Some(130));
    assert!(told.elapsed() < AT_ONCE, "{:?}", told.elapsed());
    let server = TestServer::start(&app, &[], &[]);
    assert_eq!(server.find("notes", "harbour"), ["a"]);
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    let app = App::text_only();
    let mut server = TestServer::start(&app, &[], &[("EMBEDDER_SERVER_DRAIN_S", "30")]);
    server.make_documents("notes");
    let body = json!({"documents": [{"id": "a", "text": "the harbour opens"}]}).to_string();
    let mut stream = server.connect();
    write!(
        stream,
        "POST /v1/collections/notes/documents HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
        server.admin,
        body.len(),
        &body[..10],
    )
    .unwrap();
    let in_flight = || value(&scrape(&server, None), "embedder_requests_in_flight");
    // The scrape itself is another one.
    wait_until("the request is being answered", || in_flight() >= 2.0);
    server.sigterm();
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    wait_until("nobody else is let in", || {
        TcpStream::connect(&address).is_err()
    });
    stream.write_all(&body.as_bytes()[10..]).unwrap();
    let answer = read_to_close(&mut stream);
    assert_eq!(status_of(&answer), 200, "{answer}");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    let server = TestServer::start(&app, &[], &[]);
    assert_eq!(server.find("notes", "harbour"), ["a"]);
}

/// A sample of a scrape.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads a scrape; what the format does not allow stops the test.
fn parse(text: &str, is_openmetrics: bool) -> Vec<Sample> {
    let body = match text.strip_suffix("# EOF\n") {
        Some(body) if is_openmetrics => body,
        None if !is_openmetrics => text,
        _ => panic!("`# EOF` ends OpenMetrics and nothing else"),
    };
    assert!(body.ends_with('\n'));
    let (mut samples, mut seen, mut families) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    let mut family = String::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (keyword, rest) = comment.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            match keyword {
                "HELP" | "UNIT" => assert!(!value.is_empty(), "{line}"),
                "TYPE" => {
                    assert!(["counter", "gauge", "histogram"].contains(&value), "{line}");
                    let known = families.insert(name.to_owned(), value.to_owned());
                    assert!(known.is_none(), "twice: {line}");
                    name.clone_into(&mut family);
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let sample = parse_sample(line);
        let suffix = sample
            .name
            .strip_prefix(&family)
            .unwrap_or_else(|| panic!("{line}"));
        let allowed: &[&str] = match families[&family].as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "counter" if is_openmetrics => &["_total"],
            _ => &[""],
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(
            seen.insert((sample.name.clone(), sample.labels.clone())),
            "twice: {line}"
        );
        samples.push(sample);
    }
    samples
}

fn parse_sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let (name, labels) = match series.split_once('{') {
        None => (series, BTreeMap::new()),
        Some((name, labels)) => {
            let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
            // No label of ours has a quote or a comma in it.
            let pairs = labels.split(',').map(|pair| {
                let (key, quoted) = pair.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                let value = quoted.strip_suffix('"').unwrap_or_else(|| panic!("{line}"));
                assert!(!value.contains(['"', '\\', '\n']), "{line}");
                (key.to_owned(), value.to_owned())
            });
            (name, pairs.collect())
        }
    };
    assert!(name.starts_with("embedder_"), "{line}");
    Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap_or_else(|_| panic!("{line}")),
    }
}

fn scrape(server: &TestServer, accept: Option<&str>) -> Vec<Sample> {
    let ask = server.ops("/metrics");
    let answer = match accept {
        Some(accept) => ask.header("accept", accept).send(),
        None => ask.send(),
    };
    let answer = answer.with_status(200);
    let is_openmetrics = answer
        .header("content-type")
        .starts_with("application/openmetrics-text");
    assert_eq!(
        is_openmetrics,
        accept.is_some(),
        "{}",
        answer.header("content-type")
    );
    parse(&answer.text, is_openmetrics)
}

/// The sum of all series of a name.
fn value(samples: &[Sample], name: &str) -> f64 {
    let of_name: Vec<_> = samples
        .iter()
        .filter(|sample| sample.name == name)
        .collect();
    assert!(!of_name.is_empty(), "{name}");
    of_name.iter().map(|sample| sample.value).sum()
}

#[test]
fn metrics_are_for_operators_and_can_be_read_in_both_formats() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let ask = || server.ask("GET", "/metrics");
    ask().no_key().send().problem(401, "unauthenticated");
    ask()
        .key(&server.key(&["search"], None))
        .send()
        .problem(403, "forbidden");
    let by_key = ask()
        .key(&server.key(&["ops:read"], None))
        .send()
        .with_status(200);
    assert!(
        by_key
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    parse(&by_key.text, false);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    for _ in 0..3 {
        server.find("notes", "harbour");
    }
    server
        .post("/v1/search", &json!({"query": "harbour"}))
        .with_status(206);
    let plain = scrape(&server, None);
    let openmetrics = scrape(&server, Some("application/openmetrics-text; version=1.0.0"));
    let names = |samples: &[Sample]| {
        samples
            .iter()
            .map(|sample| sample.name.clone())
            .collect::<BTreeSet<_>>()
    };
    assert!(names(&plain).is_subset(&names(&openmetrics)));
    assert_eq!(value(&plain, "embedder_documents_written_total"), 1.0);
    assert!(value(&plain, "embedder_cache_hits_total") >= 1.0);
    assert!(value(&plain, "embedder_degradation_events_total") >= 1.0);
    assert_eq!(value(&plain, "embedder_panics_total"), 0.0);
    assert!(value(&plain, "embedder_auth_failures_total") >= 1.0);
    assert!(value(&plain, "embedder_requests_total") >= 8.0);
    assert!(value(&plain, "embedder_process_resident_memory_bytes") > 1e6);
}

#[test]
fn series_do_not_grow_with_what_clients_ask_for() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let at_first = scrape(&server, None);
    let before = at_first.len();
    for number in 0..200 {
        server
            .get(&format!("/nowhere-{number}/{}", number * 7))
            .with_status(404);
        server
            .get(&format!("/v1/collections/c{number}"))
            .with_status(404);
        server
            .post(
                &format!("/v1/collections/c{number}/search"),
                &json!({"query": "x"}),
            )
            .with_status(404);
        let odd = server
            .ask("GET", "/livez")
            .header("x-request-id", &format!("request-{number}"));
        odd.header("user-agent", &format!("agent {number}"))
            .send()
            .with_status(200);
    }
    server.ask("FETCH", "/v1/search").send().with_status(405);
    let samples = scrape(&server, None);
    assert!(samples.len() <= SERIES_MAX, "{}", samples.len());
    assert!(
        samples.len() <= before + 100,
        "{before} before, {} after",
        samples.len()
    );
    let mut templates: BTreeSet<String> = operations(&server)
        .into_iter()
        .map(|(path, ..)| path)
        .collect();
    // The pages are no operations; their series are there from the start, as all are.
    templates.extend(routes_of(&at_first).into_iter().cloned());
    templates.insert("unmatched".to_owned());
    let routes = routes_of(&samples);
    let others: Vec<_> = routes
        .iter()
        .filter(|route| !templates.contains(**route))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    let unmatched = samples.iter().filter(|sample| {
        sample.name == "embedder_requests_total"
            && sample
                .labels
                .get("route")
                .is_some_and(|route| route == "unmatched")
    });
    assert_eq!(unmatched.map(|sample| sample.value).sum::<f64>(), 200.0);
}

/// The values of the label `route`.
fn routes_of(samples: &[Sample]) -> BTreeSet<&String> {
    let routes = samples.iter();
    routes
        .filter_map(|sample| sample.labels.get("route"))
        .collect()
}
