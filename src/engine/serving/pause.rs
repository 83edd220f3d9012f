//! Leaving alone what goes wrong again and again, longer each time.

use std::time::Duration;

use embedder_reliability::Timestamp;

/// How long something is left alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    time: Duration,
    until: Timestamp,
}

impl Pause {
    /// A pause of this length.
    pub(super) fn of(time: Duration, now: Timestamp) -> Pause {
        let until = now.plus(time);
        Pause { time, until }
    }

    /// A pause twice as long as the one before, of which neither is shorter than `least` nor longer than `most`.
    pub(super) fn longer_than(
        before: Option<&Pause>,
        least: Duration,
        most: Duration,
        now: Timestamp,
    ) -> Pause {
        let before = before.map_or(Duration::ZERO, |pause| pause.time);
        Pause::of((before * 2).clamp(least, most), now)
    }

    /// How long it is.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// Whether it is not over yet.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        now < self.until
    }
}
