//! Clocks jump: somebody sets the time of day, the machine sleeps, a virtual machine stands still.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::rig::{QUICK, Rig};
use super::traffic::{self, Kind};
use crate::support::app::{App, wait_until};
use crate::support::clock::ClockFaults;
use crate::support::server::TestServer;

const HOUR: i64 = 3_600;
const TEN_MINUTES: i64 = 600;

/// How long after a jump health may still say something else: a round of checks, every second here, and a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// A clock is read somewhat before or after it is compared with ours.
const TOLERANCE_S: u64 = 60;

const ALL: &[Kind] = &[Kind::Search, Kind::Embed, Kind::Write];

fn start(app: &App, clocks: &ClockFaults) -> Rig {
    let rig = Rig::start(app, &clocks.env());
    assert!(clocks.reads() > 0, "it reads these clocks");
    rig
}

/// What no jump may change: how often breakers changed their state.
fn transitions(rig: &Rig) -> f64 {
    let page = rig.server.ops("/metrics").send().text;
    let series = page
        .lines()
        .filter(|line| line.starts_with("embedder_breaker_transitions_total{"));
    let value = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
    series.map(value).sum()
}

/// Waits until every dependency has been looked at once more.
fn wait_for_a_round_of_checks(rig: &Rig) {
    let series = "embedder_health_check_seconds_count{dependency=\"content_store\"}";
    let before = rig.metric(series);
    // One of them may have begun before.
    wait_until("there was a round of checks", || {
        rig.metric(series) >= before + 2.0
    });
}

fn assert_key_works(server: &TestServer, key: &str) {
    let ask = server.ask("GET", "/v1/collections").key(key);
    ask.send().with_status(200);
}

/// Checks that the server has the time of day for right that is so far from ours.
fn assert_wall_is_ahead(server: &TestServer, seconds: i64) {
    let newest = server.get("/v1/admin/audit?limit=1000").ok()["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| (record["seq"].as_u64(), record["at_ms"].as_u64().unwrap()))
        .max()
        .unwrap();
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let expected = ours.as_secs().saturating_add_signed(seconds);
    let told = newest.1 / 1_000;
    assert!(
        told.abs_diff(expected) <= TOLERANCE_S,
        "{told} for {expected}"
    );
}

fn assert_audit_is_whole(server: &TestServer) {
    let verified = server.get("/v1/admin/audit/verify").ok();
    assert_eq!(verified["is_whole"], true, "{verified}");
}

#[test]
fn a_time_of_day_that_is_set_an_hour_on_or_back_changes_nothing() {
    let (Some(app), Some(clocks)) = (App::with_model(), ClockFaults::new()) else {
        return;
    };
    let rig = start(&app, &clocks);
    let scopes = ["search", "collections:read"];
    let mut keys = vec![rig.server.key(&scopes, None)];
    let before = transitions(&rig);
    let all = traffic::during(&rig.server, ALL, |traffic| {
        traffic.goes_on(5);
        for ahead in [HOUR, 0, -HOUR, 0] {
            clocks.set_wall(ahead);
            assert_eq!(rig.health(), "Healthy");
            keys.push(rig.server.key(&scopes, None));
            assert_wall_is_ahead(&rig.server, ahead);
            traffic.goes_on(5);
            wait_for_a_round_of_checks(&rig);
            assert_eq!(rig.health(), "Healthy");
            assert_eq!(rig.readiness(), 200);
            // Those that were made in what is the future by now as well.
            for key in &keys {
                assert_key_works(&rig.server, key);
            }
        }
    });
    traffic::assert_all_went_well(&all);
    assert_eq!(transitions(&rig), before);
    assert_audit_is_whole(&rig.server);
    rig.assert_recovers();

    // A server that starts in the past of the last one has its keys and documents.
    rig.server.stop();
    clocks.set_wall(-HOUR);
    let env: Vec<_> = QUICK.iter().copied().chain(clocks.env()).collect();
    let server = TestServer::start(&app, &[], &env);
    for key in &keys {
        assert_key_works(&server, key);
    }
    assert_eq!(server.find("notes", "yeast"), ["bread.md"]);
    server.write("notes", &[("late.md", "Written before it began.")]);
    assert_audit_is_whole(&server);
}

#[test]
fn a_machine_that_slept_goes_on_where_it_was() {
    let (Some(app), Some(clocks)) = (App::with_model(), ClockFaults::new()) else {
        return;
    };
    let rig = start(&app, &clocks);
    let key = rig.server.key(&["search", "collections:read"], None);
    let before = transitions(&rig);
    let all = traffic::during(&rig.server, ALL, |traffic| {
        for slept in 1..=3 {
            traffic.goes_on(5);
            clocks.sleep(TEN_MINUTES);
            assert_eq!(rig.health(), "Healthy");
            rig.server.key(&["search"], None);
            assert_wall_is_ahead(&rig.server, slept * TEN_MINUTES);
            assert_key_works(&rig.server, &key);
            wait_for_a_round_of_checks(&rig);
            assert_eq!(rig.health(), "Healthy");
        }
        traffic.goes_on(5);
    });
    traffic::assert_all_went_well(&all);
    assert_eq!(transitions(&rig), before);
    rig.assert_recovers();
}

#[test]
fn a_machine_that_stood_still_while_its_clocks_went_on_is_whole_within_a_round_of_checks() {
    let (Some(app), Some(clocks)) = (App::with_model(), ClockFaults::new()) else {
        return;
    };
    let rig = start(&app, &clocks);
    let key = rig.server.key(&["search", "collections:read"], None);
    let before = transitions(&rig);
    let uptime = rig.metric("embedder_uptime_seconds");
    let mut pauses = Vec::new();
    let all = traffic::during(&rig.server, ALL, |traffic| {
        for _ in 0..3 {
            traffic.goes_on(5);
            let begins = Instant::now();
            clocks.pause(TEN_MINUTES);
            pauses.push((begins, Instant::now()));
            let noticed = Instant::now();
            wait_until("it is healthy", || rig.health() == "Healthy");
            wait_until("it is alive", || {
                rig.server.ops("/livez").send().status == 200
            });
            let elapsed = noticed.elapsed();
            assert!(elapsed < NOTICED_WITHIN, "{elapsed:?}");
            wait_for_a_round_of_checks(&rig);
            assert_eq!(rig.health(), "Healthy");
            assert_eq!(rig.readiness(), 200);
            assert_key_works(&rig.server, &key);
        }
        traffic.goes_on(5);
    });
    // The time of those that were being answered is over; whoever asked afterwards had all of it.
    for told in &all {
        let was_under_way = pauses
            .iter()
            .any(|(begins, ends)| told.begun < *ends && told.ended >= *begins);
        if was_under_way {
            assert!(
                [0, 200, 206, 503, 504].contains(&told.status),
                "{}: {}",
                told.status,
                told.said
            );
        } else {
            assert_eq!(told.status, 200, "{:?}: {}", told.kind, told.said);
        }
    }
    let passed = rig.metric("embedder_uptime_seconds") - uptime;
    assert!(passed >= (3 * TEN_MINUTES) as f64, "{passed}");
    assert_eq!(transitions(&rig), before);
    rig.assert_recovers();
}

/// How often somebody is let through who asks without end, while something happens to the clocks so many times; and how
/// long that took.
fn let_through(
    times: usize,
    mut jump: impl FnMut(usize),
    asks: usize,
    is_let_through: impl Fn() -> bool,
) -> (usize, f64) {
    let began = Instant::now();
    let mut count = 0;
    for time in 0..times {
        jump(time);
        count += (0..asks).filter(|_| is_let_through()).count();
    }
    (count, began.elapsed().as_secs_f64())
}

#[test]
fn a_clock_that_jumps_gives_nobody_more_than_a_burst() {
    const PER_S: f64 = 5.0;
    const BURST: f64 = 15.0;
    const JUMPS: usize = 10;
    for algorithm in ["token_bucket", "sliding_window", "fixed_window"] {
        let Some(clocks) = ClockFaults::new() else {
            return;
        };
        let app = App::text_only();
        let mut env = vec![
            ("EMBEDDER_RATE_LIMIT_ALGORITHM", algorithm),
            ("EMBEDDER_RATE_LIMIT_KEY_PER_S", "5"),
            ("EMBEDDER_RATE_LIMIT_ADDRESS_PER_S", "5"),
            ("EMBEDDER_RATE_LIMIT_ADDRESS_BURST", "15"),
            ("EMBEDDER_RATE_LIMIT_AUTH_FAILURES_PER_MIN", "5"),
        ];
        let is_bucket = algorithm == "token_bucket";
        if is_bucket {
            env.push(("EMBEDDER_RATE_LIMIT_BURST", "15"));
        }
        env.extend(clocks.env());
        let server = TestServer::start(&app, &[], &env);
        let key = server.key(&["search", "collections:read"], None);
        let by_key = || {
            let ask = server.ask("GET", "/v1/collections").key(&key);
            ask.send().status == 200
        };
        let by_address = || {
            let ask = server.ask("GET", "/openapi.json").no_key();
            ask.send().status == 200
        };
        let by_guessing = || {
            let ask = server.ask("GET", "/v1/collections");
            ask.key("emb_0123456789_guess").send().status == 401
        };
        // At once, and what comes back in a second. A window may end and another begin at any moment, so that two of them
        // and each began second count.
        let (of_key, of_address, of_guesses) = (
            (if is_bucket { BURST } else { 2.0 * PER_S }, PER_S),
            (BURST, PER_S),
            (5.0, 5.0 / 60.0),
        );
        let check = |what: &str, limit: (f64, f64), ask: &dyn Fn() -> bool| {
            let (at_once, per_s) = limit;
            let asks = at_once as usize + 5;
            // The time of day is nothing to a limit.
            let set = |time: usize| {
                clocks.set_wall([HOUR, -HOUR, 0][time % 3]);
            };
            let (count, took_s) = let_through(JUMPS, set, asks, ask);
            let most = at_once + per_s * took_s + 1.0;
            assert!(
                count as f64 <= most,
                "{algorithm}, {what}, set: {count} > {most}"
            );
            // Nor is the time in which the machine slept.
            let (count, took_s) = let_through(JUMPS, |_| clocks.sleep(TEN_MINUTES), asks, ask);
            let most = at_once + per_s * took_s + 1.0;
            assert!(
                count as f64 <= most,
                "{algorithm}, {what}, slept: {count} > {most}"
            );
            // What has passed in ten minutes is a burst, and no more.
            let (count, took_s) = let_through(JUMPS, |_| clocks.pause(TEN_MINUTES), asks, ask);
            let most = JUMPS as f64 * (at_once + 1.0) + per_s * took_s;
            assert!(
                count as f64 <= most,
                "{algorithm}, {what}, paused: {count} > {most}"
            );
            assert!(count >= JUMPS * 5, "{algorithm}, {what}: {count}");
        };
        check("key", of_key, &by_key);
        check("address", of_address, &by_address);
        check("guesses", of_guesses, &by_guessing);
        // The good key of somebody else has not noticed.
        server.get("/v1/collections").with_status(200);
    }
}
