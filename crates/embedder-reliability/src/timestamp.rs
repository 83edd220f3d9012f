//! The time, as the caller tells it.

use std::time::Duration;

/// A moment: nanoseconds since an origin that the caller chose, by a clock that never goes back.
///
/// One request reads the clock once and hands the same timestamp to every primitive it passes: reading the clock costs
/// more than most of them do. Arithmetic saturates; the type lasts 584 years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The origin.
    pub const ZERO: Timestamp = Timestamp(0);

    /// The moment this many nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Timestamp {
        Timestamp(nanos)
    }

    /// The moment this long after the origin.
    pub fn after_origin(elapsed: Duration) -> Timestamp {
        Timestamp(nanos(elapsed))
    }

    /// Returns the nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns how long ago `earlier` was; nothing where it is later.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns how long it is until `later`; nothing where it has passed.
    pub const fn until(self, later: Timestamp) -> Duration {
        later.since(self)
    }

    /// Returns the moment this much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(nanos(duration)))
    }
}

/// Returns a duration in nanoseconds; 584 years for what is longer.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let late = Timestamp::from_nanos(u64::MAX - 1);
        assert_eq!(late.plus(Duration::MAX).as_nanos(), u64::MAX);
        assert_eq!(Timestamp::ZERO.since(late), Duration::ZERO);
        assert_eq!(
            Timestamp::ZERO.until(late).as_nanos(),
            u128::from(u64::MAX - 1)
        );
    }
}
