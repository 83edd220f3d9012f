//! When somebody used the server last.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use embedder_reliability::Timestamp;

use super::app::App;

/// When somebody used the server last: from the beginning of a request to its answer, without probes.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    under_way: AtomicUsize,
    /// Nanoseconds of the clock.
    last: AtomicU64,
}

/// A request that is under way.
pub(super) struct InUse(App);

impl Activity {
    /// Somebody uses it, at this moment.
    pub(super) fn note(&self, now: Timestamp) {
        self.last.fetch_max(now.as_nanos(), Ordering::Relaxed);
    }

    /// Returns for how long nobody has used it.
    pub(super) fn idle_for(&self, now: Timestamp) -> Duration {
        if self.under_way.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        let last = self.last.load(Ordering::Relaxed);
        Duration::from_nanos(now.as_nanos().saturating_sub(last))
    }

    fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self, now: Timestamp) {
        self.note(now);
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl InUse {
    /// A request begins, which is under way until this is dropped.
    pub(super) fn by_request(app: &App) -> InUse {
        app.activity().begin();
        InUse(app.clone())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let now = self.0.service.clock.now();
        self.0.activity().end(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_idle_from_the_end_of_the_last_request() {
        let activity = Activity::default();
        let at = |seconds| Timestamp::ZERO.plus(Duration::from_secs(seconds));
        activity.note(at(10));
        assert_eq!(activity.idle_for(at(15)), Duration::from_secs(5));
        activity.begin();
        assert_eq!(activity.idle_for(at(1_000)), Duration::ZERO);
        activity.end(at(1_000));
        assert_eq!(activity.idle_for(at(1_007)), Duration::from_secs(7));
    }
}
