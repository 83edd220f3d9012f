//! The client against servers of a few lines.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::*;
use crate::outbound::control::{Pause, Silent};

/// The process that the servers of these tests say they are.
const PID: u32 = 7;

/// Gives each connection an answer to its one request, in order, and returns the requests. An empty answer is none.
fn serve(answers: &[String]) -> (String, JoinHandle<Vec<String>>) {
    serve_each(answers, |stream| stream)
}

fn serve_each<S: Read + Write>(
    answers: &[String],
    wrap: impl Fn(TcpStream) -> S + Send + 'static,
) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers = answers.to_vec();
    let thread = thread::spawn(move || {
        let answered = answers.iter().map(|answer| {
            let mut stream = wrap(listener.accept().unwrap().0);
            let request = read_request(&mut stream);
            // A client that refuses the server's certificate has left.
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.flush();
            request
        });
        answered.collect()
    });
    (address, thread)
}

/// Reads the head of a request, and its body if it says how long that is.
fn read_request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let wanted = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |len| len.parse().unwrap());
            if body.len() >= wanted {
                return String::from_utf8(bytes).unwrap();
            }
        }
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return String::from_utf8(bytes).unwrap(),
        }
    }
}

fn answer(status: u16, body: &Value) -> String {
    let body = body.to_string();
    let len = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}")
}

fn welcome() -> String {
    answer(200, &json!({"key_id": "x", "version": "x"}))
}

fn find_at(url: &str, tls_cert: Option<&Path>) -> Result<Daemon> {
    let dir = tempfile::tempdir().unwrap();
    let announced = json!({
        "pid": PID,
        "url": url,
        "version": env!("CARGO_PKG_VERSION"),
        "started_ms": 0,
        "tls_cert": tls_cert,
    });
    let path = dir.path().join(announcement::FILE_NAME);
    std::fs::write(path, announced.to_string()).unwrap();
    let key = || Ok(Secret::new("emb_canary"));
    let found = Daemon::find(dir.path(), Some(PID), Duration::from_secs(20), key)?;
    Ok(found.expect("the process holds the lock"))
}

fn find(address: &str) -> Result<Daemon> {
    find_at(&format!("http://{address}"), None)
}

/// Makes one call to a server that gives this answer to it.
fn call(given: &str) -> Result<Value> {
    let (address, thread) = serve(&[welcome(), given.to_owned()]);
    let result = find(&address).unwrap().get(&["v1", "x"], &[]);
    thread.join().unwrap();
    result
}

#[test]
fn what_is_asked_reaches_the_server_with_the_key() {
    let (address, thread) = serve(&[welcome(), answer(200, &json!([1])), answer(201, &json!({}))]);
    let daemon = find(&address).unwrap();
    let read: Vec<u32> = daemon
        .get(
            &["v1", "collections", "a b/c%?"],
            &[("limit", "2"), ("x", "&")],
        )
        .unwrap();
    assert_eq!(read, [1]);
    let _: Value = daemon
        .post(&["v1", "search"], &json!({"query": "é"}))
        .unwrap();
    assert_eq!(daemon.address(), format!("http://{address}"));
    assert!(!format!("{daemon:?}").contains("canary"));
    let requests = thread.join().unwrap();
    for request in &requests {
        assert!(
            request.contains("authorization: Bearer emb_canary\r\n"),
            "{request}"
        );
    }
    assert!(requests[0].starts_with("GET /v1/whoami HTTP/1.1\r\n"));
    assert!(
        requests[1].starts_with("GET /v1/collections/a%20b%2Fc%25%3F?limit=2&x=%26 HTTP/1.1\r\n"),
        "{}",
        requests[1]
    );
    assert!(requests[2].starts_with("POST /v1/search HTTP/1.1\r\n"));
    assert!(
        requests[2].ends_with("\r\n\r\n{\"query\":\"é\"}"),
        "{}",
        requests[2]
    );
}

#[test]
fn an_answer_may_have_nothing_to_say() {
    let nothing = "HTTP/1.1 204 X\r\nconnection: close\r\n\r\n";
    assert_eq!(call(nothing).unwrap(), Value::Null);
}

#[test]
fn a_refusal_is_the_error_that_it_was_on_the_server() {
    let problem = json!({
        "type": "about:blank", "title": "What was named does not exist.", "status": 404, "code": "not_found",
        "detail": "there is no collection `x`", "remedy": "look again", "request_id": "r1", "trace_id": "t1",
        "retryable": false,
    });
    let error = call(&answer(404, &problem)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(
        error.with_remedy(),
        "there is no collection `x` (look again)"
    );

    let problem = json!({"title": "Reading or writing failed.", "code": "io", "request_id": "r1"});
    let error = call(&answer(500, &problem)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Io);
    assert_eq!(error.to_string(), "Reading or writing failed (request r1)");

    let problem = json!({"title": "Of a later version.", "code": "something_new", "detail": "new"});
    let error = call(&answer(418, &problem)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);
}

#[test]
fn a_server_that_goes_away_is_told() {
    let error = call("").unwrap_err();
    assert_eq!(error.code(), ErrorCode::ServerUnavailable);
    assert!(
        error.to_string().starts_with("the server went away: "),
        "{error}"
    );
    let cut = "HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\n[1,";
    assert_eq!(call(cut).unwrap_err().code(), ErrorCode::ServerUnavailable);
}

#[test]
fn what_answers_and_is_no_server_of_ours_is_told() {
    let error = call("HTTP/1.1 502 X\r\nconnection: close\r\n\r\n<html>").unwrap_err();
    assert_eq!(error.code(), ErrorCode::ServerUnavailable);
    assert!(error.to_string().contains("502"), "{error}");
}

#[test]
fn a_server_that_cannot_be_reached_is_told_with_its_process() {
    let (address, thread) = serve(&[]);
    thread.join().unwrap();
    let error = find(&address).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ServerUnavailable);
    assert!(error.to_string().contains("(process 7)"), "{error}");
    assert!(error.remedy().unwrap().contains("kill 7"));
}

#[test]
fn a_key_that_is_not_accepted_is_told_with_a_way_out() {
    let problem = json!({"code": "unauthenticated", "detail": "the key is not known here"});
    let (address, thread) = serve(&[answer(401, &problem)]);
    let error = find(&address).unwrap_err();
    thread.join().unwrap();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(error.remedy().unwrap().contains("remove local.key"));
}

#[test]
fn without_a_server_no_key_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let key = || -> Result<Secret> { panic!("nobody asks for it") };
    let found = Daemon::find(dir.path(), Some(PID), Duration::from_secs(1), key).unwrap();
    assert!(found.is_none());
}

/// Counts pauses, and interrupts after some.
struct Counted<'a> {
    pauses: AtomicU32,
    interrupt: &'a AtomicBool,
    interrupt_after: u32,
}

impl Pause for Counted<'_> {
    fn pause(&self, _: Duration) {
        let pauses = self.pauses.fetch_add(1, Ordering::Relaxed) + 1;
        if pauses >= self.interrupt_after {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
}

/// Follows a job through these answers; returns the last look, and how many looks there were.
fn follow(answers: &[String], interrupt_after: u32) -> (Result<Option<Value>>, u32) {
    let given: Vec<String> = [welcome()].into_iter().chain(answers.to_vec()).collect();
    let (address, thread) = serve(&given);
    let daemon = find(&address).unwrap();
    let interrupt = AtomicBool::new(false);
    let pause = Counted {
        pauses: AtomicU32::new(0),
        interrupt: &interrupt,
        interrupt_after,
    };
    let control = Control {
        progress: &Silent,
        interrupt: &interrupt,
        pause: &pause,
    };
    let mut looks = 0;
    let last = daemon.follow("job_1", &control, |job: &Value| {
        looks += 1;
        job["state"] != "done"
    });
    thread.join().unwrap();
    (last, looks)
}

#[test]
fn a_job_is_followed_to_its_end() {
    let running = answer(200, &json!({"state": "running"}));
    let busy = answer(
        503,
        &json!({"code": "overloaded", "detail": "a queue is full"}),
    );
    let done = answer(200, &json!({"state": "done"}));
    let (last, looks) = follow(&[running.clone(), busy, running, done], u32::MAX);
    assert_eq!(last.unwrap().unwrap()["state"], "done");
    assert_eq!(looks, 3);
}

#[test]
fn a_job_is_left_alone_when_its_follower_is_interrupted() {
    let running = answer(200, &json!({"state": "running"}));
    let (last, looks) = follow(&[running], 1);
    assert!(last.unwrap().is_none());
    assert_eq!(looks, 1);
}

#[test]
fn a_server_that_dies_ends_the_following() {
    let running = answer(200, &json!({"state": "running"}));
    let (last, _) = follow(&[running, String::new()], u32::MAX);
    assert_eq!(last.unwrap_err().code(), ErrorCode::ServerUnavailable);
}

#[test]
fn only_the_certificate_of_the_file_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let certify = |name: &str| {
        let certified =
            rcgen::generate_simple_self_signed(["elsewhere.example".to_owned()]).unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, certified.cert.pem()).unwrap();
        (certified, path)
    };
    let (own, own_path) = certify("own.pem");
    let (_, other_path) = certify("other.pem");
    let key = PrivateKeyDer::from_pem_slice(own.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let find = |tls_cert: Option<&Path>| {
        let config = Arc::clone(&config);
        let (address, thread) = serve_each(&[welcome()], move |stream| {
            StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream)
        });
        let found = find_at(&format!("https://{address}"), tls_cert);
        thread.join().unwrap();
        found
    };
    find(Some(&own_path)).unwrap();
    for (tls_cert, part) in [
        (
            Some(other_path.as_path()),
            "another certificate than that in",
        ),
        (None, "did not say which certificate"),
    ] {
        let error = find(tls_cert).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ServerUnavailable);
        assert!(error.to_string().contains(part), "{error}");
    }
    let missing = find_at("https://127.0.0.1:1", Some(&dir.path().join("gone.pem")));
    assert_eq!(missing.unwrap_err().code(), ErrorCode::NotFound);
}
