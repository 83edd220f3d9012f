//! When requests are due.
//!
//! The moments depend on a seed and a rate alone, never on when somebody looks: a generator that was held up for a
//! while does not shift what follows, and the same seed makes the same load again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Arrivals {
    /// As those of many who do not know of each other: a Poisson process.
    Random,
    /// At even distances.
    Even,
}

/// The moments at which requests are due, in order, counted from the start. There is no end to them, unless the rate is
/// zero: then there are none.
pub(super) struct Schedule {
    arrivals: Arrivals,
    per_second: f64,
    random: blake3::OutputReader,
    count: u64,
    /// The last moment, in seconds. Sixty seconds leave a `f64` a resolution far below a nanosecond.
    at_s: f64,
}

impl Schedule {
    /// Moments at a rate; all parts of the seed count.
    pub(super) fn new(arrivals: Arrivals, per_second: f64, seed: [u64; 3]) -> Schedule {
        let mut hasher = blake3::Hasher::new();
        for part in seed {
            hasher.update(&part.to_le_bytes());
        }
        Schedule {
            arrivals,
            per_second,
            random: hasher.finalize_xof(),
            count: 0,
            at_s: 0.0,
        }
    }

    /// Draws the time between two requests of a Poisson process, in seconds: −ln(1 − u) / rate, for u from 0 to 1.
    fn gap_s(&mut self) -> f64 {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        // As many bits as the significand of a float has.
        let u = (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64;
        -(-u).ln_1p() / self.per_second
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.per_second <= 0.0 {
            return None;
        }
        self.at_s = match self.arrivals {
            Arrivals::Random => self.at_s + self.gap_s(),
            Arrivals::Even => self.count as f64 / self.per_second,
        };
        self.count += 1;
        Some(Duration::from_secs_f64(self.at_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(per_second: f64, seed: u64) -> Schedule {
        Schedule::new(Arrivals::Random, per_second, [seed, 0, 0])
    }

    #[test]
    fn random_requests_have_the_mean_and_the_spread_of_a_poisson_process() {
        const COUNT: usize = 100_000;
        let due: Vec<f64> = random(500.0, 7)
            .take(COUNT)
            .map(|due| due.as_secs_f64())
            .collect();
        let mean = due[COUNT - 1] / COUNT as f64;
        assert!((mean * 500.0 - 1.0).abs() < 0.02, "{mean}");
        let gaps = due.windows(2).map(|pair| pair[1] - pair[0]);
        let variance = gaps.map(|gap| (gap - mean).powi(2)).sum::<f64>() / COUNT as f64;
        // Of an exponential distribution the deviation is the mean.
        let variation = variance.sqrt() / mean;
        assert!((variation - 1.0).abs() < 0.03, "{variation}");
        // Seconds differ from each other as counts of a Poisson process do: their variance is their mean.
        let mut seconds = vec![0.0_f64; 150];
        for at in due {
            if let Some(second) = seconds.get_mut(at as usize) {
                *second += 1.0;
            }
        }
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        let spread = seconds.iter().map(|count| (count - mean).powi(2));
        let dispersion = spread.sum::<f64>() / seconds.len() as f64 / mean;
        assert!((0.5..2.0).contains(&dispersion), "{dispersion}");
    }

    #[test]
    fn a_seed_makes_the_same_load_again_and_another_seed_another() {
        let some = |seed| random(100.0, seed).take(50).collect::<Vec<_>>();
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
        let of_stream = |stream| Schedule::new(Arrivals::Random, 100.0, [1, 0, stream]).next();
        assert_ne!(of_stream(0), of_stream(1));
    }

    #[test]
    fn moments_come_in_order() {
        let due: Vec<_> = random(1e6, 3).take(10_000).collect();
        assert!(due.is_sorted());
    }

    #[test]
    fn even_requests_do_not_drift() {
        let mut schedule = Schedule::new(Arrivals::Even, 3.0, [0; 3]);
        assert_eq!(schedule.next(), Some(Duration::ZERO));
        assert_eq!(
            schedule.nth(300_000 - 1),
            Some(Duration::from_secs(100_000))
        );
    }

    #[test]
    fn a_rate_of_zero_asks_for_nothing() {
        assert_eq!(random(0.0, 1).next(), None);
        assert_eq!(Schedule::new(Arrivals::Even, 0.0, [0; 3]).next(), None);
    }
}
