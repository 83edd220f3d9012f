//! The time, read once for each request.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use embedder_reliability::Timestamp;

/// Where moments become numbers. Everything that decides by time in one server shares one, so that a timestamp read at the
/// door of a request means the same to all it passes. It follows the runtime's time, which tests can pause.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts counting now.
    pub fn start() -> Clock {
        Clock {
            origin: now() - START,
        }
    }

    /// Reads the time.
    pub fn now(&self) -> Timestamp {
        self.at(now())
    }

    /// Returns a moment as a timestamp.
    pub fn at(&self, moment: Instant) -> Timestamp {
        Timestamp::after_origin(moment.saturating_duration_since(self.origin))
    }

    /// Returns a timestamp as a moment.
    pub fn moment(&self, at: Timestamp) -> Instant {
        self.origin + Duration::from_nanos(at.as_nanos())
    }
}

/// Timestamps begin here and not at zero, which stands for "never" in some places. A machine has been up for longer than
/// this before it runs a server.
const START: Duration = Duration::from_secs(1);

/// Returns the time of day in milliseconds since the epoch.
pub fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Says how long ago a time of day was, in its largest unit.
pub(crate) fn ago(since_ms: u64) -> String {
    let seconds = now_ms().saturating_sub(since_ms) / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Reads the time of the runtime, which tests can pause; on a thread without one, that of the system.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago_is_said_in_the_largest_unit() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(
                ago(now_ms().saturating_sub(seconds * 1_000 + 500)),
                expected
            );
        };
        check(5, "5 s");
        check(150, "2 min");
        check(7_300, "2 h");
        check(300_000, "3 d");
        assert_eq!(ago(u64::MAX), "0 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_follows_the_runtimes_time() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(7));
        assert_eq!(clock.at(clock.moment(before)), before);
    }
}
