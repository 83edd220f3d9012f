//! The doors of the kinds of work that are admitted.

use std::sync::Arc;
use std::time::Duration;

use embedder_reliability::admission::{AdmissionPolicy, LimitPolicy};

use super::door::Door;
use crate::clock::Clock;
use crate::config::Config;

/// Searches that are let in for each thread: they wait for their query's vector, for a thread, and are on one.
const SEARCHES_A_THREAD: usize = 8;

/// The most requests for embeddings that are let in, however short their texts are.
const EMBEDS_MAX: usize = 1_024;

/// Requests for embeddings in bulk that are let in: each may hold thousands of texts and take minutes.
const BULK_EMBEDS_MAX: usize = 64;

/// Requests that write documents and are let in. They share threads with all that looks into the store, and each waits for
/// the disk: more at once would keep others waiting and write no more.
const WRITES_MAX: usize = 16;

/// How long work may stand in line in any case.
const STANDING_MIN: Duration = Duration::from_millis(5);

/// The doors of the kinds of work that are admitted.
pub(crate) struct Doors {
    pub(crate) search: Arc<Door>,
    pub(crate) embed: Arc<Door>,
    pub(crate) bulk_embed: Arc<Door>,
    pub(crate) write: Arc<Door>,
}

impl Doors {
    /// Doors that nobody has passed.
    pub(super) fn new(config: &Config, clock: Clock) -> Doors {
        let door = |what, limit| {
            let policy = AdmissionPolicy {
                limit,
                waiting_max: config.resilience.waiting_max,
                wait_max: config.resilience.wait_max,
            };
            Door::new(what, policy, clock)
        };
        let fixed = |limit| LimitPolicy {
            min: limit,
            max: limit,
            initial: limit,
            wait_min: STANDING_MIN,
            services: 1.0,
        };
        // Two batches of the smallest size for each thread: one that is computed and one that waits for it.
        let embed = LimitPolicy {
            min: 4 * config.threads.max(1),
            max: EMBEDS_MAX,
            initial: 32 * config.threads.max(1),
            ..fixed(1)
        };
        Doors {
            search: door("searches", fixed(SEARCHES_A_THREAD * config.threads.max(2))),
            embed: door("texts to embed", embed),
            bulk_embed: door("texts to embed in bulk", fixed(BULK_EMBEDS_MAX)),
            write: door("documents to write", fixed(WRITES_MAX)),
        }
    }
}
