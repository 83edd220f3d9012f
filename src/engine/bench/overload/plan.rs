//! What the generator is told, and what it tells: JSON between two processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::Arrivals;
use crate::engine::bench::server::Percentiles;

/// What load to make. There are keys in the requests, so it goes by a pipe, and it is not shown.
#[derive(Serialize, Deserialize)]
pub(super) struct Plan {
    /// The process of the server, whose processor time is read.
    pub(super) process: u32,
    /// Makes the same load again.
    pub(super) seed: u64,
    /// Who asks.
    pub(super) streams: Vec<StreamPlan>,
    /// What happens, one after the other without a pause.
    pub(super) phases: Vec<PhasePlan>,
}

/// One who asks.
#[derive(Serialize, Deserialize)]
pub(super) struct StreamPlan {
    /// Whom.
    pub(super) server: SocketAddr,
    /// The whole requests, which are sent in turn.
    pub(super) requests: Vec<String>,
    /// By which connections, at most. They are made when they are needed, and kept.
    pub(super) connections: usize,
    /// How requests follow each other.
    pub(super) arrivals: Arrivals,
    /// By when, from the moment when it was due, an answer is worth something.
    pub(super) deadline_ms: u64,
    /// After how long, from the moment when it was sent, an answer is waited for no more.
    pub(super) give_up_ms: u64,
}

/// A part of the time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PhasePlan {
    /// What it is called where progress is shown.
    pub(super) name: String,
    /// How much is asked.
    pub(super) load: Load,
    /// How long that goes on before it is measured.
    pub(super) warm_up_ms: u64,
    /// How long it is measured.
    pub(super) measured_ms: u64,
    /// Whether it is looked after how long requests are answered in time again.
    pub(super) is_recovery: bool,
}

/// How much is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Load {
    /// So many clients of the first stream, each of which asks as soon as it has its answer.
    Closed {
        /// How many.
        clients: usize,
    },
    /// So many requests a second of each stream, whatever becomes of those before.
    Open {
        /// Stream by stream; zero is none.
        per_second: Vec<f64>,
    },
}

/// What came of a plan.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Phase by phase.
    pub(super) phases: Vec<PhaseOutcome>,
}

/// What came of a phase, without its warming up.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PhaseOutcome {
    /// How long requests were due that count.
    pub(super) seconds: f64,
    /// Processor time of the server in it, in seconds; none where the system does not tell it.
    pub(super) cpu_s: Option<f64>,
    /// Stream by stream.
    pub(super) streams: Vec<StreamOutcome>,
}

/// What came of the requests of one stream that were due in a phase, whenever they were answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StreamOutcome {
    /// Requests.
    pub(super) due: u64,
    /// Of these, those that were not sent: all connections were busy.
    pub(super) late: u64,
    /// Answered by 2xx within the deadline.
    pub(super) good: u64,
    /// Answered by 2xx after it.
    pub(super) slow: u64,
    /// Refused by 503 or 429.
    pub(super) shed: u64,
    /// Of these, those that were not told when to try again.
    pub(super) shed_silently: u64,
    /// Answered by another status.
    pub(super) other: u64,
    /// Not answered: the connection broke, or could not be made.
    pub(super) broken: u64,
    /// Not answered for so long that they were given up.
    pub(super) given_up: u64,
    /// Answers by status.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// How long those took that were answered by 2xx, from when they were due.
    pub(super) accepted: Option<Percentiles>,
    /// How long those took that were refused by 503 or 429, from when they were due.
    pub(super) refused: Option<Percentiles>,
    /// How much later than due requests were sent.
    pub(super) lag: Option<Percentiles>,
    /// After how many seconds requests were answered in time again, where that was looked for.
    pub(super) recovered_after_s: Option<f64>,
}

impl PhasePlan {
    /// How long it takes.
    pub(super) fn time(&self) -> Duration {
        Duration::from_millis(self.warm_up_ms + self.measured_ms)
    }
}

impl StreamOutcome {
    /// Returns how many were served, in time or not.
    pub(super) fn served(&self) -> u64 {
        self.good + self.slow
    }

    /// Returns how many were sent and neither served nor refused.
    pub(super) fn failed(&self) -> u64 {
        self.other + self.broken + self.given_up
    }

    /// Returns of a hundred requests those that were answered in time; none where nothing was asked.
    pub(super) fn good_percent(&self) -> Option<f64> {
        (self.due > 0).then(|| self.good as f64 * 100.0 / self.due as f64)
    }
}
