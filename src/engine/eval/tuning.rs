//! Whether the weights are fitted to the questions: each corpus answered with weights chosen on the others.
//!
//! Settings are drawn at random around the table's weights. For each corpus the setting that is best on all others is
//! taken, and what it gives on that corpus counts. The mean of that is what a repository that nobody tuned on may
//! expect, and the spread of the random settings says how much the exact weights matter at all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use embedder_index::{Rule, RuleSet};
use serde::Serialize;

use super::bootstrap::SplitMix;
use super::dataset::{self, Annotations};
use super::metric;
use super::places;
use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::engine::search::{Mode, Reader, SearchRequest};
use crate::error::{Error, Result};

/// A weight is at most multiplied, or divided, by this.
const FACTOR_MAX: f64 = 2.0;

/// What leaving out one corpus at a time gave, in one mode.
#[derive(Debug, Clone, Serialize)]
pub struct Tuning {
    /// The mode.
    pub mode: Mode,
    /// Settings that were tried, the table's own included.
    pub settings: usize,
    /// NDCG@10 by chunk with the weights of the table.
    pub table: f64,
    /// The mean over corpora, each with the random setting that is best on the others.
    pub left_out: f64,
    /// The mean over the random settings.
    pub random_mean: f64,
    /// The standard deviation over the random settings.
    pub random_deviation: f64,
    /// The best setting of all, the table's own included, which is fitted to the questions.
    pub best: f64,
}

/// Tries `settings` random weights on corpora that have been indexed by a run before.
///
/// `each` is told of each setting before it begins.
///
/// # Errors
/// A dataset that is missing, a corpus that was not indexed, no model; [`Error::Interrupted`] when `stop` was set.
pub fn tune(
    config: &Config,
    dataset: &Path,
    settings: usize,
    stop: &AtomicBool,
    each: &dyn Fn(usize),
) -> Result<Vec<Tuning>> {
    let corpora = dataset::load(dataset)?;
    let embedder = Arc::new(Embedder::load(config)?);
    let mut reader = Reader::open(config)?.with_embedder(embedder);
    let mut random = SplitMix::new(settings as u64);
    let modes = [Mode::Hybrid, Mode::Text];
    // By mode, setting and corpus.
    let mut means: [Vec<Vec<f64>>; 2] = Default::default();
    for setting in 0..=settings {
        each(setting);
        let rules = if setting == 0 {
            RuleSet::ALL
        } else {
            drawn(&mut random)
        };
        for (mode, means) in modes.into_iter().zip(&mut means) {
            let of_corpora = corpora
                .iter()
                .map(|corpus| mean(&mut reader, corpus, mode, rules));
            means.push(of_corpora.collect::<Result<_>>()?);
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
    }
    Ok(modes
        .into_iter()
        .zip(&means)
        .map(|(mode, means)| summed_up(mode, means))
        .collect())
}

/// Every weight times a factor of its own, as likely above one as below.
fn drawn(random: &mut SplitMix) -> RuleSet {
    Rule::all().fold(RuleSet::ALL, |rules, rule| {
        let exponent = 2.0 * random.unit() - 1.0;
        rules.scaled(rule, FACTOR_MAX.powf(exponent) as f32)
    })
}

fn mean(reader: &mut Reader, corpus: &Annotations, mode: Mode, rules: RuleSet) -> Result<f64> {
    let mut sum = 0.0;
    for question in &corpus.queries {
        let answer = reader.search(&SearchRequest {
            collections: vec![corpus.corpus.clone()],
            limit: metric::DEPTH,
            snippet_lines: 0,
            rules,
            ..SearchRequest::new(question.query.clone(), mode)
        })?;
        sum += metric::ndcg(question, &places(&answer));
    }
    Ok(sum / corpus.queries.len().max(1) as f64)
}

fn summed_up(mode: Mode, means: &[Vec<f64>]) -> Tuning {
    let corpora = means.first().map_or(0, Vec::len);
    let all = |setting: &Vec<f64>| setting.iter().sum::<f64>() / corpora.max(1) as f64;
    let without = |setting: &Vec<f64>, left_out: usize| {
        setting.iter().sum::<f64>() - setting.get(left_out).copied().unwrap_or(0.0)
    };
    let left_out: f64 = (0..corpora)
        .filter_map(|corpus| {
            // The table's own weights saw all corpora, so they are no candidate.
            let chosen = means
                .iter()
                .skip(1)
                .max_by(|a, b| without(a, corpus).total_cmp(&without(b, corpus)))?;
            chosen.get(corpus).copied()
        })
        .sum();
    let random: Vec<f64> = means.iter().skip(1).map(all).collect();
    let random_mean = random.iter().sum::<f64>() / random.len().max(1) as f64;
    let variance = random
        .iter()
        .map(|value| (value - random_mean).powi(2))
        .sum::<f64>()
        / random.len().max(1) as f64;
    Tuning {
        mode,
        settings: means.len(),
        table: means.first().map_or(0.0, all),
        left_out: left_out / corpora.max(1) as f64,
        random_mean,
        random_deviation: variance.sqrt(),
        best: means.iter().map(all).fold(0.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_corpus_is_answered_with_what_is_best_on_the_others() {
        // Of the two that were drawn, the second is best on corpora 1 and 2 together, the first on each with corpus 0.
        let table = vec![1.0, 1.0, 1.0];
        let drawn = [vec![0.9, 0.5, 0.5], vec![0.1, 0.7, 0.8]];
        let tuning = summed_up(Mode::Text, &[vec![table], drawn.to_vec()].concat());
        let expected = (0.1 + 0.5 + 0.5) / 3.0;
        assert!((tuning.left_out - expected).abs() < 1e-9, "{tuning:?}");
        assert_eq!((tuning.table, tuning.best), (1.0, 1.0));
        assert!((tuning.random_mean - (1.9 + 1.6) / 6.0).abs() < 1e-9);
        assert!((tuning.random_deviation - 0.05).abs() < 1e-9, "{tuning:?}");
    }
}
