//! Which lines of the log are left out while the same is refused again and again.
//!
//! Under overload there are hundreds of refusals a second, and a line for each costs more than the refusal itself and fills
//! the disk. Of each code so many a second are written; the next that is written says how many were left out before it.
//! Metrics count all of them. Nothing here locks, allocates or reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};

use embedder_reliability::Timestamp;

use crate::error::ErrorCode;

/// Refusals of one code that are written in a second: more than a person reads, and few enough for any disk.
pub const WRITTEN_PER_S: u32 = 10;

/// Decides about the lines of each code by itself.
#[derive(Debug)]
pub struct LogSampler {
    /// In the order of [`ErrorCode::ALL`].
    codes: [OneCode; ErrorCode::ALL.len()],
}

/// What becomes of the lines about one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// They are written.
    Written {
        /// How many refusals of the code were left out since the last that was written.
        left_out: u64,
    },
    /// They are left out.
    LeftOut,
}

#[derive(Debug, Default)]
struct OneCode {
    /// A second in the upper half, and in the lower how many were written in it.
    written: AtomicU64,
    left_out: AtomicU64,
}

impl LogSampler {
    /// Nothing was written yet.
    pub fn new() -> LogSampler {
        LogSampler {
            codes: std::array::from_fn(|_| OneCode::default()),
        }
    }

    /// Decides about a refusal that happens now.
    ///
    /// A thread that read its clock earlier and comes later counts in the later second. So in any second no more are
    /// written than may be, whatever the order.
    pub fn sample(&self, code: ErrorCode, now: Timestamp) -> Sampled {
        let one = &self.codes[code as usize];
        let second = now.as_nanos() / 1_000_000_000;
        let counted = one
            .written
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |written| {
                let (last, count) = (written >> u32::BITS, written & u64::from(u32::MAX));
                if second > last {
                    Some(second << u32::BITS | 1)
                } else {
                    (count < u64::from(WRITTEN_PER_S)).then_some(written + 1)
                }
            });
        if counted.is_err() {
            one.left_out.fetch_add(1, Ordering::Relaxed);
            return Sampled::LeftOut;
        }
        Sampled::Written {
            left_out: one.left_out.swap(0, Ordering::Relaxed),
        }
    }
}

impl Default for LogSampler {
    fn default() -> LogSampler {
        LogSampler::new()
    }
}

impl Sampled {
    /// Returns what the line says of those before it; nothing where none was left out.
    pub fn left_out(self) -> Option<u64> {
        match self {
            Sampled::Written { left_out } => (left_out > 0).then_some(left_out),
            Sampled::LeftOut => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CODE: ErrorCode = ErrorCode::Overloaded;

    fn at(ms: u64) -> Timestamp {
        Timestamp::after_origin(Duration::from_millis(1_000 + ms))
    }

    /// Of so many refusals, how many are written and how many left out are told by them.
    fn check(sampler: &LogSampler, now: Timestamp, refusals: u32, expected: (u32, u64)) {
        let (mut written, mut told) = (0, 0);
        for _ in 0..refusals {
            let sampled = sampler.sample(CODE, now);
            written += u32::from(sampled != Sampled::LeftOut);
            told += sampled.left_out().unwrap_or(0);
        }
        assert_eq!((written, told), expected);
    }

    #[test]
    fn codes_have_the_places_of_their_documentation() {
        for (place, &code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(code as usize, place, "{code:?}");
        }
    }

    #[test]
    fn few_refusals_are_all_written() {
        let sampler = LogSampler::new();
        for second in 0..5 {
            check(
                &sampler,
                at(second * 1_000),
                WRITTEN_PER_S,
                (WRITTEN_PER_S, 0),
            );
        }
    }

    #[test]
    fn of_many_the_first_of_a_second_are_written_and_the_next_second_tells_of_the_rest() {
        let sampler = LogSampler::new();
        check(&sampler, at(0), 500, (WRITTEN_PER_S, 0));
        check(&sampler, at(999), 100, (0, 0));
        check(&sampler, at(1_000), 1, (1, 590));
        check(&sampler, at(1_001), 20, (WRITTEN_PER_S - 1, 0));
        // However long it takes until somebody is refused again.
        check(&sampler, at(3_600_000), 1, (1, 11));
    }

    #[test]
    fn one_code_leaves_the_others_their_lines() {
        let sampler = LogSampler::new();
        check(&sampler, at(0), 1_000, (WRITTEN_PER_S, 0));
        let other = sampler.sample(ErrorCode::Internal, at(0));
        assert_eq!(other, Sampled::Written { left_out: 0 });
    }

    #[test]
    fn time_that_goes_back_begins_no_new_second() {
        let sampler = LogSampler::new();
        check(&sampler, at(2_000), 5, (5, 0));
        check(&sampler, at(1_999), 20, (WRITTEN_PER_S - 5, 0));
        check(&sampler, at(2_500), 1, (0, 0));
        check(&sampler, at(3_000), 1, (1, 16));
    }

    #[test]
    fn any_number_of_threads_write_no_more_and_lose_nothing() {
        let sampler = LogSampler::new();
        let (threads, refusals) = (4, 1_000);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..refusals {
                        sampler.sample(CODE, at(0));
                    }
                });
            }
        });
        let left_out = threads * refusals - u64::from(WRITTEN_PER_S);
        check(&sampler, at(1_000), 1, (1, left_out));
    }
}
