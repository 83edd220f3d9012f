//! How sure a mean is: resampling the questions.
//!
//! Questions are drawn again, with replacement, within each corpus, and the mean over corpora is taken each time; the
//! middle 95 % of those means is the interval. The same questions answered by two rankings are drawn together, which
//! shows differences that the spread between questions would hide.

use serde::Serialize;

/// Times the questions are drawn.
const DRAWS: usize = 4_000;

/// What a mean may well be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// One in forty means is lower.
    pub low: f64,
    /// One in forty means is higher.
    pub high: f64,
}

/// The mean over corpora of the mean over each corpus's values, and its interval. Without values, zeros.
pub fn interval(corpora: &[Vec<f64>]) -> Interval {
    let corpora: Vec<&Vec<f64>> = corpora.iter().filter(|values| !values.is_empty()).collect();
    if corpora.is_empty() {
        return Interval {
            mean: 0.0,
            low: 0.0,
            high: 0.0,
        };
    }
    let count = corpora.len() as f64;
    let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    // A fixed seed: the same values always have the same interval.
    let mut random = SplitMix::new(0x5eed);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn = corpora.iter().map(|values| {
                let sum: f64 = values
                    .iter()
                    .map(|_| values[random.below(values.len())])
                    .sum();
                sum / values.len() as f64
            });
            drawn.sum::<f64>() / count
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    Interval {
        mean: corpora.iter().map(|values| mean(values)).sum::<f64>() / count,
        low: means[DRAWS / 40],
        high: means[DRAWS - 1 - DRAWS / 40],
    }
}

/// The generator SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub(super) fn new(seed: u64) -> SplitMix {
        SplitMix(seed)
    }

    /// The next number from 0 to less than 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        // The bias is below one in 2^50 for any number of questions.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_corpus_counts_as_much() {
        let interval = interval(&[vec![1.0; 100], vec![0.0; 10]]);
        assert_eq!(
            (interval.mean, interval.low, interval.high),
            (0.5, 0.5, 0.5)
        );
    }

    #[test]
    fn the_interval_is_that_of_the_normal_distribution() {
        // Half ones, half zeros: the standard error of the mean of 400 is 0.5 / 20.
        let values: Vec<f64> = (0..400).map(|n| f64::from(n % 2)).collect();
        let interval = interval(&[values]);
        assert_eq!(interval.mean, 0.5);
        assert!(
            (interval.low - (0.5 - 1.96 * 0.025)).abs() < 0.005,
            "{interval:?}"
        );
        assert!(
            (interval.high - (0.5 + 1.96 * 0.025)).abs() < 0.005,
            "{interval:?}"
        );
    }

    #[test]
    fn nothing_has_no_interval() {
        let nothing = interval(&[vec![], vec![]]);
        assert_eq!((nothing.mean, nothing.low, nothing.high), (0.0, 0.0, 0.0));
    }
}
