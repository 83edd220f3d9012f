//! The encoder is gone for a while, and clients that get no answer ask again at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::rig::Rig;
use super::traffic::Ending;
use crate::support::app::{App, wait_until};
use crate::support::pipeline::Pipeline;
use crate::support::server::TestServer;

/// Clients, each of which has a request under way at any time: far more than can be served.
const CLIENTS: usize = 64;

/// How often a client asks for the same again.
const ATTEMPTS: usize = 3;

/// Answers by which the rate of serving is told.
const SOME: usize = 40;

/// How long the encoder is gone.
const OUTAGE: Duration = Duration::from_secs(5);

/// How long it may take until as much is served as before.
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn embed(key: &str, text: &str, attempt: usize) -> String {
    let body = json!({"input": text, "model": "all-MiniLM-L6-v2"}).to_string();
    format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\
         x-retry-attempt: {attempt}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Asks without end, for each text until it is embedded or was asked for three times.
fn insist(server: &TestServer, client: usize, is_over: &AtomicBool, served: &AtomicUsize) {
    let mut pipeline = Pipeline::over(server.connect());
    for number in 0.. {
        let start = format!("text {number} of client {client}: ");
        let text = start + &"ships leave the harbour at dawn ".repeat(30);
        for attempt in 0..ATTEMPTS {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let request = embed(&server.admin, &text, attempt);
            match pipeline.ask(&request, 1).unwrap()[0] {
                200 => {
                    served.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                503 | 504 => {}
                status => panic!("{status}"),
            }
        }
    }
}

#[test]
fn an_outage_under_overload_ends_by_itself_although_everybody_asks_again() {
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    let (is_over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let some_took = || {
        let (begun, before) = (Instant::now(), served.load(Ordering::Relaxed));
        wait_until("some are served", || {
            served.load(Ordering::Relaxed) >= before + SOME
        });
        begun.elapsed()
    };
    thread::scope(|scope| {
        let _ending = Ending(&is_over);
        for client in 0..CLIENTS {
            let (server, is_over, served) = (&rig.server, &is_over, &served);
            scope.spawn(move || insist(server, client, is_over, served));
        }
        some_took();
        let before = some_took();
        let shed = rig.metric("embedder_shed_total{reason=\"taken\"}");
        rig.set("encode", &json!({"action": "fail"}));
        let cut = Instant::now();
        wait_until("the breaker is open", || rig.breaker("encoder") != "closed");
        let none = served.load(Ordering::Relaxed);
        wait_until("it was gone for long enough", || cut.elapsed() >= OUTAGE);
        // What was under way when it broke may have ended well.
        assert!(served.load(Ordering::Relaxed) - none <= CLIENTS);
        rig.clear("encode");
        let back = Instant::now();
        while some_took() > before * 3 / 2 {
            assert!(back.elapsed() < BACK_WITHIN, "{:?}", back.elapsed());
        }
        let elapsed = back.elapsed();
        eprintln!("{SOME} in {before:?} before; so again after {elapsed:?}");
        assert!(elapsed < BACK_WITHIN, "{elapsed:?}");
        assert!(rig.metric("embedder_shed_total{reason=\"taken\"}") > shed);
    });
    rig.assert_recovers();
    rig.server.stop();
}
