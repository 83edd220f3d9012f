//! How often a failed download is tried again, and its back-off: how long each try waits. A server that asks for another
//! wait by Retry-After is given that one.

use std::time::Duration;

/// Tries in a row that bring no new byte. A network that drops every connection after some megabytes still gets there,
/// one that gives nothing is left for the next source.
const FRUITLESS_MAX: u32 = 4;

/// Tries of one file altogether, so that a server that gives a byte at a time cannot hold us for ever.
const TRIES_MAX: u32 = 64;

/// The wait before the second try; it doubles with each fruitless one.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);

/// The longest wait between tries that we choose ourselves: someone is watching a progress bar.
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// Counts the failed tries of one file and says when to stop.
#[derive(Debug, Default)]
pub(super) struct Tries {
    failed: u32,
    fruitless: u32,
}

impl Tries {
    /// Notes a failed try; answers how long to wait before the next, or `None` when it was the last.
    /// A try that `progressed` starts the backoff anew.
    pub(super) fn failed(&mut self, progressed: bool) -> Option<Duration> {
        self.failed += 1;
        self.fruitless = if progressed { 1 } else { self.fruitless + 1 };
        if self.fruitless >= FRUITLESS_MAX || self.failed >= TRIES_MAX {
            return None;
        }
        let factor = 1 << (self.fruitless - 1);
        Some((BACKOFF_FIRST * factor).min(BACKOFF_MAX))
    }

    /// Failed tries so far.
    pub(super) fn count(&self) -> u32 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fruitless_tries_back_off_and_end() {
        let mut tries = Tries::default();
        let waits: Vec<_> = std::iter::from_fn(|| tries.failed(false)).collect();
        assert_eq!(waits, [500, 1_000, 2_000].map(Duration::from_millis));
        assert_eq!(tries.count(), FRUITLESS_MAX);
    }

    #[test]
    fn progress_starts_the_backoff_anew() {
        let mut tries = Tries::default();
        tries.failed(false);
        tries.failed(false);
        assert_eq!(tries.failed(true), Some(BACKOFF_FIRST));
    }

    #[test]
    fn even_tries_that_progress_end() {
        let mut tries = Tries::default();
        let waits = std::iter::from_fn(|| tries.failed(true)).count();
        assert_eq!(waits, usize::try_from(TRIES_MAX).unwrap() - 1);
    }
}
