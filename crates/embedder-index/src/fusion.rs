//! One score from words and meaning: linear, each scaled to the collection.
//!
//! ```text
//! s(c) = L(c) / max(max L, 0.8 * sum idf) + w * V(c)        V(c) = clip((v - median v) / (max v - median v), 0, 1)
//! ```
//! The sum is over the words of the query: it is what a chunk scores that holds each once in its body. Where even the best
//! holds little of the query, its words were met by chance, and they count less beside meaning.
//!
//! Scores keep their distances, unlike ranks: fusion by reciprocal ranks was measured and is a hundredth of NDCG worse.

/// Weight of meaning beside words, for prose.
const VECTOR_WEIGHT_PROSE: f32 = 1.0;

/// Weight of meaning for one identifier: names are found by their letters.
const VECTOR_WEIGHT_SYMBOL: f32 = 0.1;

/// What V is at most for a chunk below the median. It orders those chunks by their cosine, so that a small collection
/// gives all it has, and is too small to change anything else.
const BELOW_MEDIAN_MAX: f32 = 1e-6;

/// Steps in which the median is found, over cosines from -1 to 1: it is exact to half a thousandth, which moves V by
/// about as much.
const MEDIAN_STEPS: usize = 2_048;

/// Which retrievers take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Words alone.
    Text,
    /// Meaning alone.
    Vector,
    /// Both.
    Hybrid,
}

impl Mode {
    /// The weight of words.
    pub(crate) fn text_weight(self) -> f32 {
        match self {
            Self::Text | Self::Hybrid => 1.0,
            Self::Vector => 0.0,
        }
    }

    /// The weight of meaning.
    pub(crate) fn vector_weight(self, is_symbol: bool) -> f32 {
        match self {
            Self::Text => 0.0,
            Self::Vector => 1.0,
            Self::Hybrid if is_symbol => VECTOR_WEIGHT_SYMBOL,
            Self::Hybrid => VECTOR_WEIGHT_PROSE,
        }
    }
}

/// How the cosines of a query with a collection are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f32,
    pub(crate) max: f32,
}

impl Spread {
    /// V of a cosine, in 0 to 1; more than 0 for every chunk that has a vector.
    pub(crate) fn share(self, cosine: f32) -> f32 {
        let range = self.max - self.median;
        let share = if range > 0.0 {
            (cosine - self.median) / range
        } else {
            f32::from(u8::from(cosine >= self.max))
        };
        // Cosines lie in -1 to 1, so the floor is positive.
        let floor = BELOW_MEDIAN_MAX * (cosine + 1.5) / 2.5;
        share.clamp(floor.clamp(0.0, BELOW_MEDIAN_MAX), 1.0)
    }
}

/// The lower median of the finite cosines, or none where there are none. `-inf` marks rows that a filter leaves out.
pub(crate) fn median(cosines: &[f32]) -> Option<f32> {
    let mut counts = [0u32; MEDIAN_STEPS + 1];
    // Half a step more, so that cutting off the fraction rounds.
    let step = |cosine: f32| (cosine + 1.0) * (MEDIAN_STEPS as f32 / 2.0) + 0.5;
    let mut total = 0u32;
    for &cosine in cosines {
        if cosine.is_finite() {
            // A float below zero becomes 0 when it is converted.
            counts[(step(cosine) as usize).min(MEDIAN_STEPS)] += 1;
            total += 1;
        }
    }
    let wanted = total.checked_sub(1)? / 2;
    let mut before = 0;
    let median = counts.iter().position(|&count| {
        before += count;
        before > wanted
    })?;
    Some(median as f32 / (MEDIAN_STEPS as f32 / 2.0) - 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_has_all_and_the_median_next_to_nothing() {
        let spread = Spread {
            median: 0.2,
            max: 0.7,
        };
        assert_eq!(spread.share(0.7), 1.0);
        assert!((spread.share(0.45) - 0.5).abs() < 1e-6);
        assert!(spread.share(0.2) <= BELOW_MEDIAN_MAX);
        assert!(spread.share(-1.0) > 0.0);
        assert!(spread.share(-0.9) > spread.share(-1.0));
        assert_eq!(
            spread.share(0.8),
            1.0,
            "an approximate cosine may lie above the exact best"
        );
    }

    #[test]
    fn a_lone_chunk_has_all() {
        assert_eq!(
            Spread {
                median: 0.3,
                max: 0.3
            }
            .share(0.3),
            1.0
        );
    }

    #[test]
    fn rows_that_are_left_out_do_not_move_the_median() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f32::NEG_INFINITY]), None);
        let some = median(&[0.5, f32::NEG_INFINITY, 0.1, f32::NEG_INFINITY, 0.3]).unwrap();
        assert!((some - 0.3).abs() < 1e-3);
    }

    proptest! {
        #[test]
        fn the_median_is_that_of_sorting(mut cosines in prop::collection::vec(-1.0f32..=1.0, 1..200)) {
            let found = median(&cosines).unwrap();
            cosines.sort_by(f32::total_cmp);
            let exact = cosines[(cosines.len() - 1) / 2];
            prop_assert!((found - exact).abs() <= 1.01 / MEDIAN_STEPS as f32, "{} {}", found, exact);
        }
    }
}
