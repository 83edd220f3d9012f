//! A hub behind a bad network, or one that misbehaves.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use embedder::engine::models::PullError;
use embedder::outbound::Secret;

use super::fixture::{NAME, Notes, Scene, WEIGHTS, files};
use crate::support::hub::Fault;

/// The pull succeeds all the same; answers the `Range` of each request for the weights at the store.
fn ranges_of_a_pull_with(faults: &[Fault]) -> (Scene, Vec<Option<String>>) {
    let scene = Scene::new();
    for fault in faults {
        scene.hub.fault(WEIGHTS, fault.clone());
    }
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    let ranges = scene
        .hub
        .seen_at_store(WEIGHTS)
        .into_iter()
        .map(|seen| seen.range)
        .collect();
    (scene, ranges)
}

fn range(start: usize) -> Option<String> {
    Some(format!("bytes={start}-"))
}

#[test]
fn a_cut_connection_is_resumed_where_it_broke() {
    let (scene, ranges) =
        ranges_of_a_pull_with(&[Fault::CutAfter(150_000), Fault::CutAfter(100_000)]);
    assert_eq!(ranges, [None, range(150_000), range(250_000)]);
    let seen = scene.hub.seen_at_store(WEIGHTS);
    assert!(
        seen[1]
            .if_range
            .as_ref()
            .is_some_and(|tag| tag.starts_with('"')),
        "{seen:?}"
    );
    assert!(scene.notes.has("resumed 150000") && scene.notes.has("resumed 250000"));
}

#[test]
fn a_network_that_drops_every_connection_still_gets_there() {
    let (_, ranges) = ranges_of_a_pull_with(&vec![Fault::CutAfter(40_000); 9]);
    assert_eq!(ranges.len(), 10);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let (scene, ranges) = ranges_of_a_pull_with(&[Fault::CutAfter(150_000), Fault::IgnoreRange]);
    assert_eq!(ranges, [None, range(150_000)]);
    assert!(!scene.notes.has("resumed"));
}

#[test]
fn a_file_whose_tag_changed_starts_over() {
    let (scene, ranges) = ranges_of_a_pull_with(&[Fault::CutAfter(150_000), Fault::OtherTag]);
    assert_eq!(ranges, [None, range(150_000)]);
    assert!(!scene.notes.has("resumed 150000"));
}

#[test]
fn another_part_than_the_asked_one_is_not_taken() {
    let (_, ranges) = ranges_of_a_pull_with(&[Fault::CutAfter(150_000), Fault::WrongPart]);
    assert_eq!(ranges, [None, range(150_000), None]);
}

#[test]
fn wrong_bytes_are_fetched_once_more() {
    let (_, ranges) = ranges_of_a_pull_with(&[Fault::WrongByte]);
    assert_eq!(ranges, [None, None]);
}

#[test]
fn bytes_that_stay_wrong_are_refused() {
    let scene = Scene::new();
    for _ in 0..2 {
        scene.hub.fault(WEIGHTS, Fault::WrongByte);
    }
    let error = scene.failure();
    assert!(
        error.contains("model.safetensors: sha256") && error.contains("(2 tries)"),
        "{error}"
    );
    assert_eq!(scene.hub.seen_at_store(WEIGHTS).len(), 2);
    assert!(!scene.staged(WEIGHTS).exists());
    scene.assert_nothing();
}

#[test]
fn a_busy_hub_is_asked_again_when_it_says() {
    let (scene, ranges) =
        ranges_of_a_pull_with(&[Fault::Status(429, Some("7")), Fault::Status(503, None)]);
    assert_eq!(ranges, [None]);
    // Seven seconds as told, then the second step of the backoff.
    assert_eq!(
        scene.notes.waited(),
        Duration::from_secs(7) + Duration::from_secs(1)
    );
}

#[test]
fn a_hub_that_wants_to_be_left_alone_for_long_is() {
    let scene = Scene::new();
    scene.hub.fault(WEIGHTS, Fault::Status(429, Some("3600")));
    let error = scene.failure();
    assert!(error.contains("HTTP 429"), "{error}");
    assert_eq!(scene.notes.waited(), Duration::ZERO);
}

#[test]
fn a_broken_hub_is_tried_a_bounded_number_of_times() {
    let scene = Scene::new();
    for _ in 0..20 {
        scene.hub.fault("config.json", Fault::Status(500, None));
    }
    let error = scene.failure();
    assert!(error.contains("HTTP 500 (4 tries)"), "{error}");
    let asked = scene
        .hub
        .seen()
        .iter()
        .filter(|seen| seen.path.ends_with("/config.json"))
        .count();
    assert_eq!(asked, 4);
    assert_eq!(
        scene.notes.waited(),
        Duration::from_millis(500 + 1_000 + 2_000)
    );
}

#[test]
fn a_stalled_transfer_is_given_up_and_resumed() {
    let mut scene = Scene::new();
    scene.sources.timeouts.stall = Duration::from_millis(300);
    scene.hub.fault(WEIGHTS, Fault::StallAfter(150_000));
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    assert!(
        scene.notes.has("nothing arrived for 0.3 s"),
        "{:?}",
        scene.notes.lines
    );
    assert!(scene.notes.has("resumed 150000"));
}

#[test]
fn redirects_end() {
    let scene = Scene::new();
    for _ in 0..20 {
        scene
            .hub
            .fault("config.json", Fault::RedirectTo("config.json".to_owned()));
    }
    let error = scene.failure();
    assert!(error.contains("more than 8 redirects"), "{error}");
}

#[test]
fn a_file_of_another_size_is_refused_before_it_is_transferred() {
    let scene = Scene::new();
    scene.hub.fault(WEIGHTS, Fault::Length(1 << 40));
    let error = scene.failure();
    assert!(
        error.contains("model.safetensors: 1099511627776 bytes or more, but at most 4294967296"),
        "{error}"
    );
    let scene = Scene::new();
    scene.hub.fault(WEIGHTS, Fault::Length(400_001));
    let error = scene.failure();
    assert!(
        error.contains("400001 bytes or more, but 400000 are expected"),
        "{error}"
    );
    assert!(!scene.staged(WEIGHTS).exists());
}

#[test]
fn a_body_without_an_announced_length_is_bounded_too() {
    let scene = Scene::new();
    scene
        .hub
        .fault("config.json", Fault::Endless(vec![b' '; 2 << 20]));
    let error = scene.failure();
    assert!(
        error.contains("config.json: ") && error.contains("at most 1048576 are accepted"),
        "{error}"
    );
    assert!(!scene.staged("config.json").exists());
}

#[test]
fn a_gated_repository_asks_for_a_token() {
    for status in [401, 403] {
        let scene = Scene::new();
        scene.hub.fault("modules.json", Fault::Status(status, None));
        let error = scene.failure();
        assert!(
            error.contains(&format!("HTTP {status}")) && error.contains("HF_TOKEN"),
            "{error}"
        );
        assert_eq!(scene.hub.seen().len(), 1);
    }
}

#[test]
fn a_hub_that_nobody_answers_for_is_left_soon() {
    let mut scene = Scene::new();
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    scene.sources.hub_endpoint = format!("http://{address}");
    let error = scene.failure();
    assert!(
        error.contains(&format!("hub http://{address}: Connection refused")),
        "{error}"
    );
    assert!(scene.notes.waited() <= Duration::from_secs(1));
}

#[test]
fn a_hub_that_accepts_and_says_nothing_is_left_soon() {
    let mut scene = Scene::new();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    scene.sources.hub_endpoint = format!("http://{}", mute.local_addr().unwrap());
    scene.sources.timeouts.stall = Duration::from_millis(100);
    let error = scene.failure();
    assert!(
        error.contains("nothing arrived for 0.1 s (2 tries)"),
        "{error}"
    );
}

#[test]
fn a_token_that_cannot_be_sent_is_not_tried_again() {
    let mut scene = Scene::new();
    scene.sources.hub_token = Some(Secret::new("line\nbreak"));
    let error = scene.failure();
    assert!(error.contains("the request cannot be made"), "{error}");
    assert_eq!(scene.notes.waited(), Duration::ZERO);
}

#[test]
fn an_interrupt_keeps_what_has_arrived() {
    let mut scene = Scene::new();
    scene.notes.interrupt_after = 200_000;
    assert!(matches!(scene.pull(), Err(PullError::Interrupted)));
    scene.assert_nothing();
    let kept = fs::metadata(scene.staged(WEIGHTS)).unwrap().len();
    assert!(kept > 100_000, "{kept}");

    scene.notes = Notes::default();
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    let last = scene.hub.seen_at_store(WEIGHTS).pop().unwrap();
    assert_eq!(last.range, Some(format!("bytes={kept}-")));
    let total: u64 = files().values().map(|bytes| bytes.len() as u64).sum();
    assert!(scene.notes.bytes.into_inner() <= total - kept);
}

#[test]
fn an_interrupt_after_a_failed_try_is_an_interrupt() {
    let mut scene = Scene::new();
    scene.notes.interrupt_after = 250_000;
    scene.hub.fault(WEIGHTS, Fault::CutAfter(150_000));
    assert!(matches!(scene.pull(), Err(PullError::Interrupted)));
}

#[test]
fn an_interrupt_ends_a_stalled_transfer_at_once() {
    let mut scene = Scene::new();
    scene.notes.interrupt_after = 150_000;
    scene.hub.fault(WEIGHTS, Fault::StallAfter(150_000));
    let started = std::time::Instant::now();
    assert!(matches!(scene.pull(), Err(PullError::Interrupted)));
    assert!(
        started.elapsed() < scene.sources.timeouts.stall / 2,
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn what_arrived_whole_is_not_asked_for_again() {
    let scene = Scene::new();
    let staged = scene.staged(WEIGHTS);
    fs::create_dir_all(staged.parent().unwrap()).unwrap();
    fs::write(&staged, &files()[WEIGHTS]).unwrap();
    let pulled = scene.pull_named(NAME, false).unwrap();
    scene.assert_whole(&pulled.dir);
    assert_eq!(scene.hub.seen_at_store(WEIGHTS), []);
}

#[test]
fn a_spoiled_part_is_fetched_anew() {
    let mut scene = Scene::new();
    scene.notes.interrupt_after = 200_000;
    scene.pull().unwrap_err();
    let staged = scene.staged(WEIGHTS);
    let mut bytes = fs::read(&staged).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&staged, &bytes).unwrap();

    scene.notes = Notes::default();
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    assert_eq!(scene.hub.seen_at_store(WEIGHTS).pop().unwrap().range, None);
}
