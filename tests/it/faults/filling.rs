//! A provider makes the vectors of documents, and may be slow, choosy, or both: each is asked for once, and none keeps
//! others waiting.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::provider::{Remote, well};
use super::rig::QUICK;
use crate::support::app::{App, wait_until, write_tree};
use crate::support::provider::Mode;
use crate::support::server::{TestServer, paths, word};

/// How many chunks of a collection have no vector.
fn lacking(remote: &Remote, collection: &str) -> u64 {
    let view = remote.server.get(&format!("/v1/collections/{collection}"));
    let counts = &view.ok()["counts"];
    counts["chunks"].as_u64().unwrap() - counts["embedded"].as_u64().unwrap()
}

/// Makes a collection that the provider makes vectors for.
fn make(remote: &Remote, collection: &str, kind: &str) {
    let body = json!({"kind": kind, "remote_provider": true});
    let path = format!("/v1/collections/{collection}");
    remote.server.put(&path, &body).with_status(201);
}

/// Indexes a folder into a collection `code` that the provider makes vectors for, and returns the job, which is done.
fn index_code(remote: &Remote, folder: &Path) -> Value {
    let server = &remote.server;
    make(remote, "code", "code");
    server.allow(folder);
    let job = server.add_source("code", folder);
    done(&server.end_of_job(job["id"].as_str().unwrap())).clone()
}

fn done(job: &Value) -> &Value {
    assert_eq!(job["state"], "done", "{job}");
    job
}

/// Writes a folder of so many small files beside the data directory.
fn folder_of(remote: &Remote, name: &str, count: usize) -> PathBuf {
    let folder = remote.app.data_dir().parent().unwrap().join(name);
    let files: Vec<_> = (0..count)
        .map(|number| {
            let word = word(number);
            (
                format!("{word}.py"),
                format!("def {name}_{word}():\n    return 1\n"),
            )
        })
        .collect();
    write_tree(&folder, &borrowed(&files));
    folder
}

/// What the metrics say of so many pending vectors.
fn are_pending(remote: &Remote, count: u32) -> bool {
    let page = remote.server.ops("/metrics").send().text;
    page.contains(&format!("embedder_documents_pending_vectors {count}\n"))
}

/// Names and texts as they are written.
fn borrowed(texts: &[(String, String)]) -> Vec<(&str, &str)> {
    texts
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect()
}

/// Writes so many documents of different texts into `notes`.
fn write(remote: &Remote, count: usize) {
    let texts: Vec<(String, String)> = (0..count)
        .map(|number| (format!("{number}.md"), format!("Harbour {}.", word(number))))
        .collect();
    remote.server.write("notes", &borrowed(&texts));
}

/// Writes so many documents of some four hundred bytes into `notes`.
fn write_long(remote: &Remote, count: usize) {
    let texts: Vec<(String, String)> = (0..count)
        .map(|number| {
            let words: Vec<_> = (number * 30..).take(30).map(word).collect();
            (format!("{number}.md"), words.join(" "))
        })
        .collect();
    remote.server.write("notes", &borrowed(&texts));
}

/// Of forty texts the provider answers one with this status.
fn assert_only_that_text_has_no_vector(status: u16) {
    let remote = Remote::start(&[]);
    remote
        .provider
        .set_mode(Mode::RefuseTextsWith("poison", status));
    let texts: Vec<(String, String)> = (0..40)
        .map(|number| {
            let word = if number == 23 { "poison" } else { "harbour" };
            (
                format!("{number}.md"),
                format!("A {word} of number {number}."),
            )
        })
        .collect();
    remote.server.write("notes", &borrowed(&texts));
    wait_until("all but one have vectors", || {
        lacking(&remote, "notes") == 1
    });
    assert_eq!(remote.breaker(), "closed");
    let log = remote.server.log();
    assert!(log.contains("23.md"), "{log}");
    // It is not sent again with what is written later, and is found by its words.
    let sent = |word: &str| {
        let calls = remote.provider.calls();
        let texts = calls.iter().flat_map(|call| &call.texts);
        texts.filter(|text| text.contains(word)).count()
    };
    let before = sent("poison");
    remote
        .server
        .write("notes", &[("later.md", "Later than all.")]);
    wait_until("the later one has its vector", || {
        sent("later than all") > 0 && lacking(&remote, "notes") == 1
    });
    assert_eq!(sent("poison"), before);
    assert_eq!(remote.server.find("notes", "poison")[0], "23.md");
    // Once it is another text it has a vector as well.
    remote
        .server
        .write("notes", &[("23.md", "A remedy of number 23.")]);
    remote.wait_for_vectors();
}

#[test]
fn a_text_that_the_provider_refuses_keeps_no_other_from_its_vector() {
    assert_only_that_text_has_no_vector(400);
}

#[test]
fn a_text_on_which_the_provider_chokes_keeps_no_other_from_its_vector() {
    assert_only_that_text_has_no_vector(500);
}

#[test]
fn a_provider_that_refuses_everything_is_not_taken_for_texts_that_are_bad() {
    let remote = Remote::start(&[]);
    remote.provider.set_mode(Mode::Status(422, None));
    for number in 0..3 {
        let id = format!("{number}.md");
        remote
            .server
            .write("notes", &[(&*id, "A harbour of its own.")]);
    }
    // Their queries are answered by words.
    remote.assert_by_words("embed_unavailable");
    well(&remote);
    remote.assert_recovers();
}

#[test]
fn what_the_provider_refuses_the_model_takes() {
    let Some(app) = App::with_model() else { return };
    let remote = Remote::start_by(app, &[]);
    remote
        .provider
        .set_mode(Mode::RefuseTextsWith("poison", 400));
    let document = [("poison.md", "A poison, and its remedy.")];
    remote.server.write("notes", &document);
    wait_until("it is refused", || {
        remote.server.log().contains("poison.md")
    });
    remote.server.make_documents("own");
    remote.server.write("own", &document);
    wait_until("it has a vector", || lacking(&remote, "own") == 0);
    assert_eq!(lacking(&remote, "notes"), 1);
}

#[test]
fn a_slow_provider_is_asked_for_each_vector_once_by_however_many_threads() {
    let remote = Remote::start(&[
        ("EMBEDDER_THREADS", "8"),
        ("EMBEDDER_EMBEDDING_TIMEOUT_S", "10"),
        ("EMBEDDER_EMBEDDING_AT_ONCE_MAX", "3"),
        ("EMBEDDER_EMBEDDING_BATCH_TEXTS_MAX", "4"),
    ]);
    let before = remote.provider.text_count();
    remote
        .provider
        .set_mode(Mode::SlowBy(Duration::from_millis(1_500)));
    write(&remote, 32);
    remote.wait_for_vectors();
    assert_eq!(remote.provider.text_count() - before, 32);
    // One call at a time is left to queries.
    assert_eq!(remote.provider.most_at_once(), 2);
    assert_eq!(remote.breaker(), "closed");

    // The same by a job.
    let folder = folder_of(&remote, "code", 16);
    let before = remote.provider.text_count();
    index_code(&remote, &folder);
    assert_eq!(lacking(&remote, "code"), 0);
    assert_eq!(remote.provider.text_count() - before, 16);
}

#[test]
fn a_provider_that_allows_few_calls_gets_no_text_twice() {
    let remote = Remote::start(&[
        ("EMBEDDER_THREADS", "4"),
        ("EMBEDDER_EMBEDDING_BATCH_TEXTS_MAX", "2"),
        ("EMBEDDER_EMBEDDING_CALLS_PER_MINUTE_MAX", "15"),
    ]);
    let before = remote.provider.text_count();
    write(&remote, 34);
    remote.wait_for_vectors();
    assert_eq!(remote.provider.text_count() - before, 34);
}

#[test]
fn a_call_cut_short_by_its_length_is_paid_for_once_however_few_are_allowed() {
    let remote = Remote::start(&[
        ("EMBEDDER_THREADS", "4"),
        ("EMBEDDER_EMBEDDING_BATCH_BYTES_MAX", "1024"),
        ("EMBEDDER_EMBEDDING_CALLS_PER_MINUTE_MAX", "30"),
    ]);
    let before = remote.provider.text_count();
    write_long(&remote, 50);
    remote.wait_for_vectors();
    assert_eq!(remote.provider.text_count() - before, 50);
    assert_eq!(remote.provider.largest_batch(), 2);
}

#[test]
fn a_provider_that_has_no_time_is_waited_for_and_no_text_is_blamed() {
    let remote = Remote::start(&[]);
    let before = remote.provider.call_count();
    remote
        .provider
        .set_mode(Mode::RefuseTextsWith("harbour", 429));
    write(&remote, 64);
    wait_until("it is asked again", || {
        remote.provider.call_count() >= before + 4
    });
    assert_eq!(remote.breaker(), "closed");
    well(&remote);
    remote.wait_for_vectors();
    // None was cut into smaller ones.
    let calls = remote.provider.calls();
    assert!(calls[before..].iter().all(|call| call.texts.len() == 32));
    assert!(!remote.server.log().contains("No vector can be made"));
}

#[test]
fn a_text_by_itself_is_not_blamed_for_a_provider_that_has_no_time() {
    let remote = Remote::start(&[]);
    let before = remote.provider.call_count();
    remote.provider.set_mode(Mode::Status(429, Some("0")));
    write(&remote, 1);
    // Six calls for it, and some of a harmless text.
    wait_until("it is left alone", || {
        remote.server.log().contains("Vectors are still pending")
    });
    assert!(remote.provider.call_count() >= before + 7);
    well(&remote);
    remote.wait_for_vectors();
    assert!(!remote.server.log().contains("No vector can be made"));
}

#[test]
fn a_provider_that_never_has_time_for_a_full_call_gets_smaller_ones() {
    let remote = Remote::start(&[]);
    make(&remote, "second", "documents");
    let before = remote.provider.text_count();
    remote.provider.set_mode(Mode::RefuseCallsOver(16, 429));
    // Both have to wait for longer than a turn.
    write(&remote, 64);
    let documents: Vec<_> = (0..32)
        .map(|number| (word(number), word(1_000 + number)))
        .collect();
    remote.server.write("second", &borrowed(&documents));
    remote.wait_for_vectors();
    wait_until("those of the other are there", || {
        lacking(&remote, "second") == 0
    });
    // Twice three times six calls of 32, and none by itself.
    let sent = remote.provider.text_count() - before;
    assert!(sent < 96 + 6 * 7 * 32, "{sent}");
    assert!(!remote.server.log().contains("No vector can be made"));
    assert_eq!(remote.breaker(), "closed");
}

#[test]
fn a_provider_too_slow_for_a_full_call_gets_smaller_ones() {
    let remote = Remote::start(&[]);
    let before = remote.provider.text_count();
    remote
        .provider
        .set_mode(Mode::SlowByText(Duration::from_millis(75)));
    write(&remote, 192);
    remote.wait_for_vectors();
    // Three calls of 32 and three of 16 that took too long, and what was tried once more.
    let sent = remote.provider.text_count() - before;
    assert!(sent < 192 + 192, "{sent}");
    assert_eq!(remote.breaker(), "closed");
}

#[test]
fn the_model_waits_for_no_provider_and_collections_take_turns() {
    let Some(app) = App::with_model() else { return };
    let remote = Remote::start_by(
        app,
        &[
            ("EMBEDDER_EMBEDDING_TIMEOUT_S", "10"),
            ("EMBEDDER_EMBEDDING_AT_ONCE_MAX", "2"),
            ("EMBEDDER_EMBEDDING_BATCH_BYTES_MAX", "1024"),
        ],
    );
    // One call of two texts after the other, fifty seconds in all.
    remote
        .provider
        .set_mode(Mode::SlowBy(Duration::from_secs(1)));
    write_long(&remote, 100);
    make(&remote, "second", "documents");
    remote.server.make_documents("own");
    for collection in ["second", "own"] {
        let document = [("later.md", "Later than all others.")];
        remote.server.write(collection, &document);
    }
    wait_until("the model has made its vector", || {
        lacking(&remote, "own") == 0
    });
    assert!(lacking(&remote, "notes") > 80);
    wait_until("it is its turn", || lacking(&remote, "second") == 0);
    assert!(lacking(&remote, "notes") > 72);
    well(&remote);
    remote.wait_for_vectors();
}

#[test]
fn jobs_that_wait_for_a_provider_keep_no_other_from_its_turn() {
    let remote = Remote::start(&[
        ("EMBEDDER_EMBEDDING_TIMEOUT_S", "10"),
        ("EMBEDDER_EMBEDDING_BATCH_TEXTS_MAX", "1"),
    ]);
    remote
        .provider
        .set_mode(Mode::SlowBy(Duration::from_secs(2)));
    let slow = ["one", "two", "three", "four"];
    let jobs = slow.map(|name| {
        let folder = folder_of(&remote, name, 30);
        make(&remote, name, "code");
        remote.server.allow(&folder);
        remote.server.add_source(name, &folder)
    });
    wait_until("all are asking the provider", || {
        let text_is_ready = |job: &Value| {
            let job = remote
                .server
                .get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap()));
            job.ok()["progress"]["phase"] == "vectors"
        };
        jobs.iter().all(text_is_ready)
    });
    let began = Instant::now();
    done(&remote.server.index("five", &folder_of(&remote, "five", 3)));
    // With thirty texts each, and three at once, they would take another eighty seconds.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(slow.iter().any(|name| lacking(&remote, name) > 0));
    well(&remote);
    for (job, name) in jobs.iter().zip(slow) {
        done(&remote.server.end_of_job(job["id"].as_str().unwrap()));
        wait_until("its vectors follow", || lacking(&remote, name) == 0);
    }
}

#[test]
fn what_a_job_leaves_is_made_although_nobody_searches() {
    let remote = Remote::start(&[]);
    let folder = folder_of(&remote, "code", 3);
    index_code(&remote, &folder);
    assert_eq!(lacking(&remote, "code"), 0);
    remote.provider.set_mode(Mode::Status(500, None));
    write_tree(&folder, &[("lamp.py", "def lamp():\n    return 1\n")]);
    let job = remote.server.add_source("code", &folder);
    done(&remote.server.end_of_job(job["id"].as_str().unwrap()));
    assert_eq!(lacking(&remote, "code"), 1);
    well(&remote);
    wait_until("its vector follows", || lacking(&remote, "code") == 0);
}

#[test]
fn what_was_made_for_another_collection_is_seen_in_this_one() {
    let remote = Remote::start(&[]);
    make(&remote, "other", "documents");
    remote
        .provider
        .set_mode(Mode::SlowBy(Duration::from_millis(500)));
    for collection in ["notes", "other"] {
        // Its view is loaded before.
        remote.server.find(collection, "harbour");
        let document = [("same.md", "The same text in both of them.")];
        remote.server.write(collection, &document);
    }
    wait_until("nothing is pending", || are_pending(&remote, 0));
    let found = json!({"query": "same text", "mode": "vector"});
    let found = remote.server.post("/v1/collections/other/search", &found);
    assert_eq!(paths(&found.with_status(200).body), ["same.md"]);
}

#[test]
fn a_job_is_done_although_the_provider_fails_and_its_vectors_follow() {
    let remote = Remote::start(&[]);
    let server = &remote.server;
    let folder = remote.app.data_dir().parent().unwrap().join("code");
    write_tree(&folder, &[("lamp.py", "def lamp():\n    return 1\n")]);
    remote.provider.set_mode(Mode::Status(500, None));
    let job = index_code(&remote, &folder);
    assert_eq!(job["report"]["embedded"], 0, "{job}");
    assert_eq!(server.find("code", "lamp"), ["lamp.py"]);
    well(&remote);
    wait_until("the vectors are there", || lacking(&remote, "code") == 0);
}

#[test]
fn what_is_pending_is_told_before_anybody_searches() {
    let remote = Remote::start(&[]);
    let server = &remote.server;
    make(&remote, "other", "documents");
    remote.provider.set_mode(Mode::Status(500, None));
    server.write("other", &[("a", "The harbour opens."), ("b", "It closes.")]);
    wait_until("both are counted", || are_pending(&remote, 2));
    well(&remote);
    wait_until("both have vectors", || {
        are_pending(&remote, 0) && lacking(&remote, "other") == 0
    });
}

#[test]
fn the_end_waits_for_no_provider() {
    let mut remote = Remote::start(&[
        ("EMBEDDER_EMBEDDING_TIMEOUT_S", "60"),
        ("EMBEDDER_SERVER_NOTICE_S", "0"),
    ]);
    remote.provider.set_mode(Mode::Hang);
    write(&remote, 4);
    wait_until("it is asked", || remote.provider.at_once() > 0);
    let told = Instant::now();
    remote.server.sigterm();
    assert_eq!(
        remote.server.wait().code(),
        Some(0),
        "{}",
        remote.server.log()
    );
    let took = told.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    // What was acknowledged is there.
    let server = TestServer::start(&remote.app, &[], QUICK);
    assert_eq!(
        server.get("/v1/collections/notes").ok()["counts"]["files"],
        6
    );
    server.stop();
}
