//! The formula: BM25F, Robertson and Zaragoza's extension of BM25 to fields.
//!
//! ```text
//! L(c) = sum over terms of idf(t) * (k1 + 1) * tf' / (k1 + tf')
//! tf'  = sum over fields of w * tf / (1 - b + b * length / average length)
//! ```
//! Saturation works on the sum over the fields, so a word in name, path and body does not count three times.

use crate::lexical::Field;

/// How fast repetition stops counting. Chunks are short and fields are weighted up to 4, hence above the usual 1.2.
pub(crate) const K1: f32 = 2.0;

/// The weight of a term that `matching` of `total` hold.
pub(crate) fn idf(total: usize, matching: usize) -> f32 {
    let (total, matching) = (total as f64, matching as f64);
    (1.0 + (total - matching + 0.5) / (matching + 0.5)).ln() as f32
}

/// The part of a term's score that does not depend on its rarity.
pub(crate) fn saturate(frequency: f32) -> f32 {
    (K1 + 1.0) * frequency / (K1 + frequency)
}

/// What one occurrence in a field of `length` terms adds to tf', where fields have `average` terms.
pub(crate) fn occurrence_weight(field: Field, length: u32, average: f32) -> f32 {
    let b = field.length_influence();
    let relative = if average > 0.0 {
        length as f32 / average
    } else {
        1.0
    };
    field.weight() / (1.0 - b + b * relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rarer_terms_weigh_more_and_none_weighs_nothing() {
        let weights = [0, 1, 10, 99, 100].map(|matching| idf(100, matching));
        assert!(weights.is_sorted_by(|a, b| a > b), "{weights:?}");
        assert!(weights[4] > 0.0);
        assert!((idf(3, 1) - (1.0f32 + 2.5 / 1.5).ln()).abs() < 1e-6);
    }

    #[test]
    fn an_occurrence_in_a_field_of_average_length_counts_its_weight() {
        assert!((occurrence_weight(Field::Symbols, 7, 7.0) - 4.0).abs() < 1e-6);
        assert!((occurrence_weight(Field::Body, 30, 10.0) - 1.0 / 2.0).abs() < 1e-6);
        assert!((occurrence_weight(Field::Folders, 5, 0.0) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn repetition_saturates() {
        assert_eq!(saturate(0.0), 0.0);
        assert!((saturate(K1) - (K1 + 1.0) / 2.0).abs() < 1e-6);
        assert!(saturate(1e9) <= K1 + 1.0);
    }
}
