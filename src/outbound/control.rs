//! What a long call reports to and is stopped by: progress, interrupt flag, pauses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a waiting call looks at its interrupt flag: too short to be noticed, too long to cost anything.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// Where a transfer reports what it does, for a progress bar or plain lines.
///
/// Each try at a file is a `begin`, which counts from zero, a `resumed` if part of the file was there already, and any
/// number of `advance`. The last try ends with `finish`.
pub trait Progress: Sync {
    /// A transfer starts; `bytes_total` is `None` where the sender does not say.
    fn begin(&self, what: &str, bytes_total: Option<u64>);
    /// The transfer goes on at this byte; those before it arrived earlier.
    fn resumed(&self, at: u64);
    /// This many more bytes have arrived.
    fn advance(&self, bytes: u64);
    /// A try failed for `reason`; the next one comes after `wait`.
    fn retrying(&self, reason: &str, wait: Duration);
    /// The transfer that began last is complete.
    fn finish(&self);
    /// A source could not give the model; the next one is tried.
    fn source_failed(&self, source: &str, reason: &str);
    /// Another process holds the lock on this work; it is waited for.
    fn waiting(&self, what: &str);
}

/// A [`Progress`] that reports to nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn resumed(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn retrying(&self, _: &str, _: Duration) {}
    fn finish(&self) {}
    fn source_failed(&self, _: &str, _: &str) {}
    fn waiting(&self, _: &str) {}
}

/// Lets time pass; tests pass one that does not wait.
pub trait Pause: Sync {
    /// Returns after about this long.
    fn pause(&self, duration: Duration);
}

/// A [`Pause`] that sleeps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sleep;

impl Pause for Sleep {
    fn pause(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The caller asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// The three things that a long call needs from its caller.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// Set by Ctrl-C: the call then stops as soon as it can, leaving its partial work for the next run.
    pub interrupt: &'a AtomicBool,
    /// How waits are spent.
    pub pause: &'a dyn Pause,
}

impl Control<'_> {
    /// Fails if the caller asked to stop.
    ///
    /// # Errors
    /// [`Interrupted`] once the flag is set.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.interrupt.load(Ordering::Relaxed) {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits, looking at the interrupt flag all the while.
    ///
    /// # Errors
    /// [`Interrupted`] as soon as the flag is set.
    pub fn wait(&self, total: Duration) -> Result<(), Interrupted> {
        let mut left = total;
        while !left.is_zero() {
            self.check()?;
            let slice = left.min(POLL);
            self.pause.pause(slice);
            left -= slice;
        }
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Recorded<'a> {
        slept: Mutex<Duration>,
        interrupt_after: Duration,
        interrupt: &'a AtomicBool,
    }

    impl Pause for Recorded<'_> {
        fn pause(&self, duration: Duration) {
            let mut slept = self.slept.lock().unwrap();
            *slept += duration;
            if *slept >= self.interrupt_after {
                self.interrupt.store(true, Ordering::Relaxed);
            }
        }
    }

    fn slept(total: Duration, interrupt_after: Duration) -> (Duration, Result<(), Interrupted>) {
        let interrupt = AtomicBool::new(false);
        let pause = Recorded {
            slept: Mutex::default(),
            interrupt_after,
            interrupt: &interrupt,
        };
        let result = Control {
            progress: &Silent,
            interrupt: &interrupt,
            pause: &pause,
        }
        .wait(total);
        (pause.slept.into_inner().unwrap(), result)
    }

    #[test]
    fn a_wait_lasts_as_long_as_asked() {
        let total = Duration::from_millis(1_234);
        assert_eq!(slept(total, Duration::MAX), (total, Ok(())));
    }

    #[test]
    fn a_wait_ends_soon_after_the_interrupt() {
        let (slept, result) = slept(Duration::from_secs(60), Duration::from_millis(120));
        assert_eq!(result, Err(Interrupted));
        assert!(slept <= Duration::from_millis(120) + POLL, "{slept:?}");
    }
}
