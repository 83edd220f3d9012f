//! NDCG@10 with binary gains, as the public benchmark of code search defines it.

use super::dataset::{Place, Question};

/// Hits that count.
pub(super) const DEPTH: usize = 10;

/// NDCG@10 of an answer, best hit first.
///
/// The rank of the first hit that shows a target has gain 1; two targets that one hit shows count once. The ideal has a
/// gain of 1 at each of the first `min(10, targets)` ranks.
pub(super) fn ndcg(question: &Question, hits: &[Place<'_>]) -> f64 {
    let mut gains = [false; DEPTH];
    for target in question.targets() {
        let rank = hits
            .iter()
            .take(DEPTH)
            .position(|&hit| target.is_shown_by(hit));
        if let Some(rank) = rank {
            gains[rank] = true;
        }
    }
    let discounted = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let found: f64 = (0..DEPTH).filter(|&rank| gains[rank]).map(discounted).sum();
    let ideal: f64 = (0..question.targets().count().min(DEPTH))
        .map(discounted)
        .sum();
    // The sum of nothing is a negative zero.
    if ideal > 0.0 && found > 0.0 {
        found / ideal
    } else {
        0.0
    }
}

/// The hits with the same file kept once, as the whole file.
pub(super) fn by_file<'a>(hits: &[Place<'a>]) -> Vec<Place<'a>> {
    let mut files: Vec<Place<'a>> = Vec::new();
    for hit in hits {
        if !files.iter().any(|file| file.path == hit.path) {
            files.push(Place {
                path: hit.path,
                start_line: 0,
                end_line: u32::MAX,
            });
        }
    }
    files
}

/// The place in a list of the first hit that shows any target, from 0.
pub(super) fn first_relevant(question: &Question, hits: &[Place<'_>]) -> Option<usize> {
    hits.iter()
        .position(|&hit| question.targets().any(|target| target.is_shown_by(hit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::eval::dataset::{Category, Target};

    fn question(paths: &[&str]) -> Question {
        let target = |path: &&str| Target {
            path: (*path).to_owned(),
            start_line: None,
            end_line: None,
        };
        Question {
            query: String::new(),
            category: Category::Semantic,
            relevant: paths.iter().map(target).collect(),
            secondary: Vec::new(),
        }
    }

    fn places<'a>(paths: &[&'a str]) -> Vec<Place<'a>> {
        let place = |path: &&'a str| Place {
            path,
            start_line: 1,
            end_line: 9,
        };
        paths.iter().map(place).collect()
    }

    fn check(targets: &[&str], hits: &[&str], expected: f64) {
        let found = ndcg(&question(targets), &places(hits));
        assert!((found - expected).abs() < 1e-4, "{found}, {expected}");
    }

    #[test]
    fn gains_are_discounted_by_rank_and_compared_with_the_ideal() {
        check(&["a"], &["a", "b"], 1.0);
        check(&["a"], &["b", "a"], 0.6309);
        check(&["a", "b"], &["a", "x", "b"], 1.5 / 1.6309);
        check(&["a"], &["b"; 10], 0.0);
        check(
            &["a"],
            &["b", "b", "b", "b", "b", "b", "b", "b", "b", "b", "a"],
            0.0,
        );
        check(&["a"], &[], 0.0);
        // A further chunk of a file that was found gains nothing.
        check(&["a", "b"], &["a", "a", "b"], 1.5 / 1.6309);
    }

    #[test]
    fn files_are_kept_once_in_order() {
        let hits = places(&["a", "a", "b", "a", "c"]);
        let paths: Vec<_> = by_file(&hits).iter().map(|place| place.path).collect();
        assert_eq!(paths, ["a", "b", "c"]);
        assert_eq!(first_relevant(&question(&["c"]), &hits), Some(4));
        assert_eq!(first_relevant(&question(&["d"]), &hits), None);
    }
}
