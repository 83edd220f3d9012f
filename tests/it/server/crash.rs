//! What is acknowledged survives the process: it is killed in the middle of writing, again and again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::App;
use crate::support::server::{TestServer, encoded, paths, word};

/// How often the server is killed, unless `EMBEDDER_TEST_KILLS` says otherwise: half a minute of it, and yet most places
/// where a write can be cut in two are met several times.
const KILLS: usize = 200;

/// Writers that write at the same time, each to documents of its own.
const WRITERS: usize = 2;

/// Documents of one writer. They are few, so that most writes replace one, and so that all can be looked at each time.
const DOCUMENTS: usize = 12;

/// Where the moments of the kills come from: the same in every run.
const SEED: u64 = 0x5eed_0f4b_1115_2026;

/// What a writer knows of its documents.
#[derive(Default)]
struct Ledger {
    /// The number of the last text of each document that was acknowledged; none where it was its deletion.
    acknowledged: BTreeMap<usize, Option<usize>>,
    /// What was sent and not acknowledged: it is there as a whole or not at all.
    under_way: Option<(usize, Option<usize>)>,
    /// The number of the next text.
    next: usize,
}

/// A small generator of numbers (xorshift64*), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

fn kills() -> usize {
    let asked = std::env::var_os("EMBEDDER_TEST_KILLS");
    asked.map_or(KILLS, |asked| asked.to_str().unwrap().parse().unwrap())
}

fn id(writer: usize, document: usize) -> String {
    format!("writer{writer}/note{document}.txt")
}

/// The text of a number, with a word that no other text has.
fn text(writer: usize, number: usize) -> (String, String) {
    let word = word(number * WRITERS + writer);
    (format!("Note {number} says {word}.\n"), word)
}

fn address(id: &str) -> String {
    format!("/v1/collections/notes/documents/{}", encoded(id))
}

/// Writes and deletes until the server goes away.
fn write_on(server: &TestServer, writer: usize, ledger: &Mutex<Ledger>) {
    loop {
        let mut now = ledger.lock().unwrap();
        let number = now.next;
        now.next += 1;
        let document = number % DOCUMENTS;
        // Every seventh time a document goes, if it is there.
        let goes = number % 7 == 6 && now.acknowledged.get(&document).is_some_and(Option::is_some);
        let change = (document, (!goes).then_some(number));
        now.under_way = Some(change);
        drop(now);
        let id = id(writer, document);
        let ask = if goes {
            server.ask("DELETE", &address(&id))
        } else {
            let body = json!({"documents": [{"id": id, "text": text(writer, number).0}]});
            server
                .ask("POST", "/v1/collections/notes/documents")
                .json(&body)
        };
        let Ok(answer) = ask.try_send() else { return };
        assert!([200, 204].contains(&answer.status), "{id}: {}", answer.text);
        let mut now = ledger.lock().unwrap();
        now.acknowledged.insert(change.0, change.1);
        now.under_way = None;
    }
}

/// Checks that every document is as it was acknowledged, or as it was last sent, and that it is found by its word at
/// once. What was under way is settled by what is there.
fn check(server: &TestServer, writer: usize, ledger: &mut Ledger) {
    let under_way = ledger.under_way.take();
    for document in 0..DOCUMENTS {
        let id = id(writer, document);
        let acknowledged = ledger.acknowledged.get(&document).copied().flatten();
        let sent = under_way
            .filter(|sent| sent.0 == document)
            .map(|sent| sent.1);
        let answer = server.get(&address(&id));
        let found = match answer.status {
            404 => None,
            _ => Some(answer.ok()["text"].as_str().unwrap().to_owned()),
        };
        let is = |number: Option<usize>| number.map(|number| text(writer, number).0) == found;
        assert!(
            is(acknowledged) || sent.is_some_and(is),
            "{id} is {found:?}, acknowledged was {acknowledged:?}, sent {sent:?}"
        );
        let there = if is(acknowledged) {
            acknowledged
        } else {
            sent.flatten()
        };
        // An old text is found no more.
        for number in [acknowledged, sent.flatten()].into_iter().flatten() {
            let places = server.find("notes", &text(writer, number).1);
            let expected = if Some(number) == there {
                vec![id.clone()]
            } else {
                Vec::new()
            };
            assert_eq!(places, expected, "text {number}");
        }
        ledger.acknowledged.insert(document, there);
    }
}

#[test]
fn what_is_acknowledged_is_there_and_found_after_a_kill_at_any_moment() {
    let app = App::text_only();
    let mut random = Random(SEED);
    let mut ledgers: Vec<Mutex<Ledger>> = (0..WRITERS).map(|_| Mutex::default()).collect();
    let mut server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    let kills = kills();
    for kill in 1..=kills {
        let pause = Duration::from_millis(20 + random.below(100));
        thread::scope(|scope| {
            for (writer, ledger) in ledgers.iter().enumerate() {
                let server = &server;
                scope.spawn(move || write_on(server, writer, ledger));
            }
            thread::sleep(pause);
            server.kill9();
        });
        server.wait();
        server = TestServer::start(&app, &[], &[]);
        for (writer, ledger) in ledgers.iter_mut().enumerate() {
            let ledger = ledger.get_mut().unwrap();
            eprintln!(
                "kill {kill} of {kills} after {pause:?}: writer {writer} at {}",
                ledger.next
            );
            check(&server, writer, ledger);
        }
    }
    let written: usize = ledgers
        .iter_mut()
        .map(|ledger| ledger.get_mut().unwrap().next)
        .sum();
    assert!(written > kills, "next to nothing was written: {written}");
    let there: usize = ledgers
        .iter_mut()
        .map(|ledger| {
            ledger
                .get_mut()
                .unwrap()
                .acknowledged
                .values()
                .flatten()
                .count()
        })
        .sum();
    assert_eq!(
        server.get("/v1/collections/notes").ok()["counts"]["files"],
        there
    );
    let all = json!({"query": "says", "mode": "text", "limit": 1_000});
    let all: Value = server.post("/v1/collections/notes/search", &all).ok();
    assert_eq!(paths(&all).len(), there);
    assert_eq!(server.get("/v1/admin/audit/verify").ok()["is_whole"], true);
    server.stop();
    let report = app.ok(&["doctor"]).out();
    assert!(
        report.contains("is sound") && !report.contains("PROBLEM"),
        "{report}"
    );
    assert!(report.contains("sound and up to date"), "{report}");
}
