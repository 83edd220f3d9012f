//! Whether the server can do its work, and how it is asked.
//!
//! Three questions, for three askers:
//! * *live*: is the program itself stuck? Only the [`Watchdog`] answers; a dependency that fails is no reason to
//!   restart.
//! * *started*: is everything loaded? A latch that turns true once. After ten minutes the answer is that starting
//!   failed, and at what.
//! * *ready*: should this server get requests? Not while it starts or drains, nor while a critical dependency fails.
//!
//! Threads of the [`HealthChecker`] look at the dependencies every five seconds, each on its own, so that one that
//! hangs holds up nobody. What they found is a [`HealthStatus`] that is read without a lock: to be asked causes no
//! work, whatever the dependencies do.

use serde::Serialize;
use utoipa::ToSchema;

mod body;
mod checker;
mod dependency;
mod lifecycle;
mod publisher;
mod rounds;
mod scheduler;
mod status;
mod watchdog;

pub use crate::observability::metrics::{Dependency, SystemMetrics};
pub use body::{DependencyDetail, HealthBody, HealthDetail};
pub use checker::{HealthChecker, NotPassed};
pub use dependency::{DependencyHealth, FAILURES_MAX, STALE_AFTER};
pub use lifecycle::{Phase, STARTUP_MAX, StartStep};
pub use rounds::{INTERVAL, JITTER, TIMEOUT};
pub use status::{HealthStatus, overall};
pub use watchdog::{WEDGED_AFTER, Watchdog};

/// Something whose health is looked after.
pub trait HealthCheckable: Send {
    /// Returns what it is.
    fn name(&self) -> Dependency;

    /// Whether the server can do nothing useful without it.
    fn is_critical(&self) -> bool;

    /// Looks at it. May block, on a thread of its own; after [`TIMEOUT`] that is a failure. Changes nothing.
    fn check(&self) -> Verdict;
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Healthy,
    /// It works, but less well than it should.
    Degraded(Reason),
    /// It does not work.
    Failed(Reason),
}

/// How well something is, from well to ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
pub enum HealthState {
    /// It works.
    Healthy,
    /// It works, but less well than it should.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// Why something is not well, in a word that tells nothing of what is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No check has ended yet.
    NotChecked,
    /// No check has ended for too long.
    Stale,
    /// The check took too long.
    Timeout,
    /// The check panicked.
    Panicked,
    /// It does not answer, or refuses.
    Unavailable,
    /// It is not there.
    Missing,
    /// It is being loaded or built.
    Loading,
    /// It is damaged.
    Damaged,
    /// Reading or writing fails.
    IoError,
    /// It cannot be written to.
    ReadOnly,
    /// There is no room left.
    Full,
    /// There is little room left.
    LowSpace,
    /// More waits than is done.
    Backlog,
}

impl HealthState {
    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            HealthState::Healthy => "Healthy",
            HealthState::Degraded => "Degraded",
            HealthState::Unhealthy => "Unhealthy",
        }
    }
}

impl Reason {
    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotChecked => "not_checked",
            Reason::Stale => "stale",
            Reason::Timeout => "timeout",
            Reason::Panicked => "panicked",
            Reason::Unavailable => "unavailable",
            Reason::Missing => "missing",
            Reason::Loading => "loading",
            Reason::Damaged => "damaged",
            Reason::IoError => "io_error",
            Reason::ReadOnly => "read_only",
            Reason::Full => "full",
            Reason::LowSpace => "low_space",
            Reason::Backlog => "backlog",
        }
    }
}
