//! Whether the runtime still runs tasks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the runtime may leave a timer waiting. Nothing that is allowed to run on its threads takes so long.
pub const WEDGED_AFTER: Duration = Duration::from_secs(5);

/// A heartbeat: a task of the runtime beats it every second; when it does not, all threads of the runtime are stuck.
#[derive(Debug)]
pub struct Watchdog {
    origin: Instant,
    /// The last beat, in milliseconds since the origin.
    beat_ms: AtomicU64,
}

impl Watchdog {
    /// Makes one that has beaten just now.
    pub fn new(now: Instant) -> Watchdog {
        Watchdog {
            origin: now,
            beat_ms: AtomicU64::new(0),
        }
    }

    /// Says that a task runs.
    pub fn beat(&self, now: Instant) {
        self.beat_ms.fetch_max(self.ms(now), Ordering::Relaxed);
    }

    /// Whether the last beat is too long ago.
    pub fn is_wedged(&self, now: Instant) -> bool {
        let beat = Duration::from_millis(self.beat_ms.load(Ordering::Relaxed));
        Duration::from_millis(self.ms(now)).saturating_sub(beat) > WEDGED_AFTER
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_that_stops_is_noticed_after_five_seconds() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let watchdog = Watchdog::new(begin);
        assert!(!watchdog.is_wedged(at(5_000)));
        assert!(watchdog.is_wedged(at(5_001)));
        watchdog.beat(at(6_000));
        assert!(!watchdog.is_wedged(at(11_000)));
        assert!(watchdog.is_wedged(at(11_001)));
        // A beat that comes late does not turn the clock back.
        watchdog.beat(at(2_000));
        assert!(!watchdog.is_wedged(at(11_000)));
        // A question asked with an earlier time is not an alarm.
        assert!(!watchdog.is_wedged(begin));
    }
}
