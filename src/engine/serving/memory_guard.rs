//! What is given up while memory runs short, before the process is ended for it.
//!
//! What counts is the memory that the kernel cannot take back. From nine tenths of the limit on searches are by words
//! alone, answers are not remembered, and work that nobody waits for is refused; from nineteen twentieths on large bodies
//! are refused as well. Small requests are always served: how many of them there are at a time is limited elsewhere, and a
//! service that refused them could not be told from one that is dead.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::Service;
use crate::error::{Error, Full, Result};
use crate::observability::metrics::memory_in_use;

/// A body up to this size is read whatever the pressure is, in bytes.
pub(crate) const SMALL_BODY_BYTES: u64 = 64 * 1_024;

/// How much of a body is read before it is looked again, in bytes.
pub(crate) const LOOK_EVERY_BYTES: u64 = 1_024 * 1_024;

const HIGH_PERCENT: u64 = 90;
const CRITICAL_PERCENT: u64 = 95;

/// How often is looked, beside when a large body arrives.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So far below where it began a pressure ends, so that it does not come and go.
const MARGIN_PERCENT: u64 = 5;

/// When somebody who was refused should come back.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How short memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum MemoryPressure {
    /// There is enough.
    Low,
    /// What can be spared is spared.
    High,
    /// Nothing large is taken any more.
    Critical,
}

/// Knows how short memory is, and refuses what would need much of it.
#[derive(Debug)]
pub(crate) struct MemoryGuard {
    limit: Option<u64>,
    pressure: AtomicU8,
}

impl MemoryPressure {
    /// Returns what it is after a look that found so many bytes of `limit` in use.
    fn after(self, used: u64, limit: u64) -> MemoryPressure {
        let reaches = |pressure: MemoryPressure, percent: u64| {
            let margin = if self >= pressure { MARGIN_PERCENT } else { 0 };
            u128::from(used) * 100 >= u128::from(limit) * u128::from(percent - margin)
        };
        if reaches(MemoryPressure::Critical, CRITICAL_PERCENT) {
            MemoryPressure::Critical
        } else if reaches(MemoryPressure::High, HIGH_PERCENT) {
            MemoryPressure::High
        } else {
            MemoryPressure::Low
        }
    }
}

impl MemoryGuard {
    /// Guards so many bytes; nothing is ever short where no limit is known.
    pub(crate) fn new(limit: Option<u64>) -> MemoryGuard {
        MemoryGuard {
            limit,
            pressure: AtomicU8::new(MemoryPressure::Low as u8),
        }
    }

    /// Returns how short memory was when it was looked last.
    pub(crate) fn pressure(&self) -> MemoryPressure {
        let pressure = self.pressure.load(Ordering::Relaxed);
        [
            MemoryPressure::Low,
            MemoryPressure::High,
            MemoryPressure::Critical,
        ][usize::from(pressure)]
    }

    /// Looks how much is in use, and returns it.
    pub(crate) fn look(&self) -> Option<u64> {
        let used = memory_in_use()?;
        self.observe(used);
        Some(used)
    }

    fn observe(&self, used: u64) {
        if let Some(limit) = self.limit {
            let pressure = self.pressure().after(used, limit);
            self.pressure.store(pressure as u8, Ordering::Relaxed);
        }
    }

    /// Refuses work that nobody waits for, while memory is short.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) fn check_bulk(&self) -> Result<()> {
        self.check(self.pressure() >= MemoryPressure::High, "work in bulk")
    }

    /// Refuses a body of which so much is read or announced, while memory is very short.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) fn check_body(&self, bytes: u64) -> Result<()> {
        let is_large = bytes > SMALL_BODY_BYTES;
        let is_short = self.pressure() == MemoryPressure::Critical;
        self.check(is_large && is_short, "large bodies")
    }

    fn check(&self, is_refused: bool, what: &str) -> Result<()> {
        if is_refused {
            return Err(short_of_memory(what));
        }
        Ok(())
    }
}

/// Says that something must wait until there is memory.
pub(crate) fn short_of_memory(what: &str) -> Error {
    Error::Busy {
        full: Full::Memory,
        what: format!("memory runs short, and {what} must wait"),
        retry_after: RETRY_AFTER,
    }
}

impl Service {
    /// Looks at memory until the server ends, whatever else is going on.
    pub(super) fn watch_memory(&self) {
        let mut before = MemoryPressure::Low;
        while self.rest_for(LOOK_EVERY) {
            let used = self.memory.look().unwrap_or_default();
            let limit = self.memory.limit.unwrap_or_default();
            let pressure = self.memory.pressure();
            if pressure > MemoryPressure::Low {
                self.answers.clear();
            }
            self.metrics.memory_pressure.set(pressure as i64);
            if pressure > before {
                tracing::warn!(
                    used,
                    limit,
                    "Memory runs short: the pressure is {pressure:?}"
                );
            } else if pressure < before {
                tracing::warn!(
                    used,
                    limit,
                    "Memory is less short: the pressure is {pressure:?}"
                );
            }
            before = pressure;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_rises_at_once_and_falls_a_little_lower() {
        use MemoryPressure::{Critical, High, Low};
        let guard = MemoryGuard::new(Some(1_000));
        for (used, expected) in [
            (0, Low),
            (899, Low),
            (900, High),
            (860, High),
            (850, High),
            (849, Low),
            (899, Low),
            (950, Critical),
            (u64::MAX, Critical),
            (900, Critical),
            (899, High),
            (949, High),
            (0, Low),
        ] {
            guard.observe(used);
            assert_eq!(guard.pressure(), expected, "{used}");
            assert_eq!(guard.check_bulk().is_ok(), expected == Low);
            assert_eq!(
                guard.check_body(SMALL_BODY_BYTES + 1).is_ok(),
                expected < Critical
            );
            assert!(guard.check_body(SMALL_BODY_BYTES).is_ok());
        }
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let guard = MemoryGuard::new(None);
        guard.look();
        guard.observe(u64::MAX);
        assert_eq!(guard.pressure(), MemoryPressure::Low);
    }

    proptest! {
        #[test]
        fn more_in_use_is_never_less_pressure(used: u64, more: u64, limit: u64) {
            for was in [MemoryPressure::Low, MemoryPressure::High, MemoryPressure::Critical] {
                let (less, most) = (used.min(more), used.max(more));
                prop_assert!(was.after(less, limit) <= was.after(most, limit));
            }
        }
    }
}
