//! The time, read once for each request.

use std::time::{Duration, Instant};

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

/// Reads the time of the runtime, which tests can pause; on a thread without one, that of the system.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_follows_the_runtimes_time() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(7));
        assert_eq!(clock.at(clock.moment(before)), before);
    }
}
