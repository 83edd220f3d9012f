//! The whole service on one thread in paused time, under random faults that follow from a seed.
//!
//! The production router, engine, store and text index answer there; the encoder is a tiny one, the embedding provider and
//! the time that things take are made up. First everything fails at random, the server is killed now and then, clients ask,
//! write and go away. Then nothing fails any more. All the time:
//! * nothing that was acknowledged is lost, and nothing that was never written is found;
//! * no answer is less than what was asked for without saying so;
//! * every refusal has its code, and says when to come back where that helps;
//! * queues stay within their bounds, and are empty when nothing is under way.
//!
//! In the end there is full service again, by itself: every breaker closed, no vector pending, every document found.
//!
//! `EMBEDDER_SIMULATION_SEEDS=N` runs so many seeds, `EMBEDDER_SIMULATION_SEED=S` the one that failed.

use std::time::Duration;

mod documents;
mod faults;
mod network;
mod requests;
mod server;

use documents::Documents;
use embedder_reliability::Random;
use faults::Faults;
use requests::{Plan, Report};
use server::Server;

/// Seeds in an ordinary run of the tests.
const SEEDS: u64 = 200;

/// After how many seeds it says how far it is.
const TELLS_EVERY: u64 = 500;

/// Rounds of requests while things fail.
const ROUNDS: usize = 24;

/// Simulated time in which full service must have come back: three repairs are allowed in ten minutes, then a breaker may
/// be open for half a minute and a round of health checks ends it.
const FULL_AGAIN_WITHIN: Duration = Duration::from_secs(11 * 60);

/// What one seed did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Story {
    report: Report,
    faults: u64,
    kills: u64,
    /// How long it took until there was full service again.
    recovered_after: Duration,
}

impl Story {
    fn add(&mut self, other: &Story) {
        self.report.add(&other.report);
        self.faults += other.faults;
        self.kills += other.kills;
        self.recovered_after = self.recovered_after.max(other.recovered_after);
    }
}

/// Returns a number below `bound`.
fn below(random: &mut Random, bound: usize) -> usize {
    (random.unit() * bound as f64) as usize
}

/// Whether something happens that happens in this share of all cases.
fn happens(random: &mut Random, share: f64) -> bool {
    random.unit() < share
}

fn run(seed: u64) -> Story {
    let mut random = Random::from_seed(seed);
    let mut server = Server::start(random.next_u64());
    let mut documents = Documents::default();
    let mut faults = Faults::default();
    let mut story = Story::default();
    for _ in 0..ROUNDS {
        faults.change(&mut random, &server);
        let plan = Plan::draw(&mut random, &mut documents, server.now());
        server.round(plan, &mut documents, &mut story.report);
        for _ in 0..=below(&mut random, 3) {
            server.pass_a_second();
        }
        if happens(&mut random, 0.04) {
            server.kill();
            story.kills += 1;
        }
    }
    story.faults = faults.count();
    faults.end(&server);
    story.recovered_after = server.wait_for_full_service(FULL_AGAIN_WITHIN);
    let plan = Plan::of_everything(&documents);
    server.round(plan, &mut documents, &mut story.report);
    // Once more after an ordinary end.
    server.restart();
    server.wait_for_full_service(FULL_AGAIN_WITHIN);
    let plan = Plan::of_everything(&documents);
    server.round(plan, &mut documents, &mut story.report);
    story
}

mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "what it runs is no setting of the program"
    )]
    fn number(variable: &str) -> Option<u64> {
        std::env::var(variable).ok()?.parse().ok()
    }

    #[expect(clippy::print_stdout, reason = "a soak's report")]
    fn tell(text: &str) {
        println!("{text}");
    }

    #[test]
    fn whatever_fails_nothing_acknowledged_is_lost_and_full_service_comes_back() {
        if let Some(seed) = number("EMBEDDER_SIMULATION_SEED") {
            tracing_subscriber::fmt().with_ansi(false).init();
            tell(&format!("{:#?}", run(seed)));
            return;
        }
        let seeds = number("EMBEDDER_SIMULATION_SEEDS").unwrap_or(SEEDS);
        let first = number("EMBEDDER_SIMULATION_FIRST").unwrap_or(1);
        let next = AtomicU64::new(first);
        let all = Mutex::new((Story::default(), Vec::new()));
        // Each seed has a thread, and each thread one seed after the other.
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + seeds {
                            return;
                        }
                        let story = catch_unwind(AssertUnwindSafe(|| run(seed)));
                        crate::failpoint::clear(None);
                        let mut all = all.lock().unwrap();
                        match story {
                            Ok(story) => all.0.add(&story),
                            Err(_) => {
                                tell(&format!("replay it: EMBEDDER_SIMULATION_SEED={seed}"));
                                all.1.push(seed);
                            }
                        }
                        let begun = seed - first + 1;
                        if begun.is_multiple_of(TELLS_EVERY) {
                            tell(&format!("{begun} of {seeds}, {} failed", all.1.len()));
                        }
                    }
                });
            }
        });
        let (all, failed) = all.into_inner().unwrap();
        tell(&format!("{seeds} seeds, of all of them: {all:#?}"));
        assert!(
            failed.is_empty(),
            "replay them: EMBEDDER_SIMULATION_SEED={failed:?}"
        );
        // A simulation in which nothing happens proves nothing.
        let Report {
            whole,
            degraded,
            refused,
            cancelled,
            ref kinds,
        } = all.report;
        assert!(whole.min(degraded).min(refused) > seeds && cancelled > seeds / 2);
        assert!(all.faults > seeds && all.kills > seeds / 4);
        for kind in [
            "text",
            "vector",
            "direct",
            "cached",
            "minimal",
            "overloaded",
            "timeout",
        ] {
            assert!(
                seeds < SEEDS || kinds.contains_key(kind),
                "no {kind}: {kinds:?}"
            );
        }
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(run(7), run(7));
    }
}
