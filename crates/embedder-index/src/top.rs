//! The best of an array of scores.

use std::cmp::Ordering;

use crate::catalogue::{Catalogue, Slot};

/// Scores that are compared with the threshold at once; a group without a candidate costs one look.
const GROUP: usize = 32;

/// The `count` best slots with a positive score, best first; equal scores in order of place.
pub(crate) fn best(scores: &[f32], count: usize, catalogue: &Catalogue) -> Vec<(Slot, f32)> {
    let order = |a: &(Slot, f32), b: &(Slot, f32)| compare(*a, *b, catalogue);
    if count == 0 {
        return Vec::new();
    }
    let capacity = 2 * count.max(GROUP);
    let mut kept: Vec<(Slot, f32)> = Vec::with_capacity(capacity + GROUP);
    let mut threshold = f32::MIN_POSITIVE;
    for (group, scores) in scores.chunks(GROUP).enumerate() {
        if !scores
            .iter()
            .fold(false, |any, &score| any | (score >= threshold))
        {
            continue;
        }
        let candidates = scores
            .iter()
            .enumerate()
            .filter(|&(_, &score)| score >= threshold);
        kept.extend(candidates.map(|(offset, &score)| (Slot::new(group * GROUP + offset), score)));
        if kept.len() >= capacity {
            kept.select_nth_unstable_by(count - 1, order);
            kept.truncate(count);
            threshold = kept[count - 1].1;
        }
    }
    kept.sort_unstable_by(order);
    kept.truncate(count);
    kept
}

/// The `count`th highest of all scores, or the lowest where there are fewer; none where there are none.
pub(crate) fn nth_highest(scores: &[f32], count: usize) -> Option<f32> {
    let last = count.min(scores.len()).checked_sub(1)?;
    let descending = |a: &f32, b: &f32| b.total_cmp(a);
    let capacity = 2 * count.max(GROUP);
    let mut kept: Vec<f32> = Vec::with_capacity(capacity.min(scores.len()) + GROUP);
    let mut threshold = f32::NEG_INFINITY;
    for scores in scores.chunks(GROUP) {
        if scores
            .iter()
            .fold(false, |any, &score| any | (score >= threshold))
        {
            kept.extend(scores.iter().copied().filter(|&score| score >= threshold));
        }
        if kept.len() >= capacity {
            kept.select_nth_unstable_by(last, descending);
            kept.truncate(count);
            threshold = kept[last];
        }
    }
    kept.sort_unstable_by(descending);
    kept.get(last).copied()
}

/// Best first: higher scores, then earlier places.
pub(crate) fn compare(a: (Slot, f32), b: (Slot, f32), catalogue: &Catalogue) -> Ordering {
    b.1.total_cmp(&a.1)
        .then_with(|| catalogue.compare_places(a.0, b.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{ChunkId, ChunkRecord, FileId};

    fn catalogue(count: usize) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for number in 0..count {
            catalogue.put(&ChunkRecord {
                id: ChunkId(number as u64),
                file: FileId(number as u64),
                // Places in another order than slots.
                path: format!("{:03}.rs", number * 37 % 101),
                language: None,
                start_line: number as u32,
                end_line: number as u32,
                definitions: Vec::new(),
                scope: Vec::new(),
            });
        }
        catalogue
    }

    proptest! {
        #[test]
        fn the_nth_highest_is_that_of_sorting(
            mut scores in prop::collection::vec(prop_oneof![Just(f32::NEG_INFINITY), Just(0.5), -1.0f32..1.0], 0..500),
            count in 0usize..80,
        ) {
            let found = nth_highest(&scores, count);
            scores.sort_by(|a, b| b.total_cmp(a));
            let expected = count.min(scores.len()).checked_sub(1).map(|last| scores[last]);
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn the_best_are_those_that_sorting_finds(
            scores in prop::collection::vec(prop_oneof![Just(0.0f32), Just(1.0), Just(-1.0), -1.0f32..3.0], 0..400),
            count in 0usize..40,
        ) {
            let catalogue = catalogue(scores.len());
            let mut sorted: Vec<(Slot, f32)> = scores
                .iter()
                .enumerate()
                .filter(|&(_, &score)| score > 0.0)
                .map(|(slot, &score)| (Slot::new(slot), score))
                .collect();
            sorted.sort_by(|a, b| compare(*a, *b, &catalogue));
            sorted.truncate(count);
            prop_assert_eq!(best(&scores, count, &catalogue), sorted);
        }
    }
}
