//! What a run of `embedder eval code` prints.

use serde_json::json;

use crate::cli::output;
use crate::engine::bench::{Latency, Spread};
use crate::engine::eval::bootstrap::{Interval, interval};
use crate::engine::eval::dataset::Category;
use crate::engine::eval::{CorpusRun, Figures, MODES, Run};
use crate::engine::search::Mode;
use crate::error::Result;

/// The mean over corpora of hybrid search by chunk.
pub(super) fn hybrid_mean(run: &Run) -> f64 {
    interval(&by_corpus(run, Mode::Hybrid, |figures| figures.chunk)).mean
}

fn by_corpus(run: &Run, mode: Mode, of: fn(&Figures) -> f64) -> Vec<Vec<f64>> {
    run.corpora
        .iter()
        .map(|corpus| corpus.values(mode, of))
        .collect()
}

/// The questions of one kind, over all corpora.
fn of_category(run: &Run, mode: Mode, category: Category) -> Vec<f64> {
    let questions = run.corpora.iter().flat_map(|corpus| &corpus.questions);
    questions
        .filter(|question| question.category == category)
        .filter_map(|question| Some(question.answers.get(&mode)?.chunk))
        .collect()
}

/// The mean, 0 of nothing.
fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().sum::<f64>() / values.len() as f64
}

fn latency(run: &[&CorpusRun], mode: Mode) -> Option<Latency> {
    let times = run
        .iter()
        .flat_map(|corpus| corpus.values(mode, |figures| figures.took_ms));
    let times: Vec<_> = times
        .map(|ms| std::time::Duration::from_secs_f64(ms / 1e3))
        .collect();
    (!times.is_empty()).then(|| Latency::of(times))
}

pub(super) fn print_json(run: &Run) -> Result<()> {
    for mode in MODES {
        for corpus in &run.corpora {
            let chunk = corpus.values(mode, |figures| figures.chunk);
            let file = corpus.values(mode, |figures| figures.file);
            output::json(&json_row(
                mode,
                &corpus.corpus,
                &[corpus],
                interval(&[chunk]),
                mean(&file),
            ))?;
        }
        let all: Vec<&CorpusRun> = run.corpora.iter().collect();
        let chunk = interval(&by_corpus(run, mode, |figures| figures.chunk));
        let file = interval(&by_corpus(run, mode, |figures| figures.file));
        let mut row = json_row(mode, "mean", &all, chunk, file.mean);
        for category in Category::ALL {
            row[format!("ndcg10_chunk_{}", category.name())] =
                json!(rounded(mean(&of_category(run, mode, category))));
        }
        output::json(&row)?;
    }
    Ok(())
}

fn json_row(
    mode: Mode,
    name: &str,
    corpora: &[&CorpusRun],
    chunk: Interval,
    file: f64,
) -> serde_json::Value {
    let latency = latency(corpora, mode);
    let index: Option<u64> = corpora
        .iter()
        .map(|corpus| match mode {
            Mode::Text | Mode::Direct => corpus.text_ready_ms,
            Mode::Hybrid | Mode::Vector | Mode::Literal | Mode::Regex => corpus.index_ms,
        })
        .sum();
    let of = |of: fn(&Figures) -> f64| mean_of(corpora, mode, of).round();
    json!({
        "mode": mode,
        "corpus": name,
        "ndcg10_chunk": rounded(chunk.mean),
        "ndcg10_chunk_low": rounded(chunk.low),
        "ndcg10_chunk_high": rounded(chunk.high),
        "ndcg10_file": rounded(file),
        "index_ms": index.map(|ms| ms / corpora.len().max(1) as u64),
        "p50_ms": latency.map(|latency| latency.p50_ms),
        "p95_ms": latency.map(|latency| latency.p95_ms),
        "p99_ms": latency.map(|latency| latency.p99_ms),
        "tokens": of(|figures| figures.tokens as f64),
        "tokens_until_relevant": of(|figures| figures.tokens_until_relevant as f64),
    })
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

pub(super) fn print_table(run: &Run) -> Result<()> {
    let mut header = "| NDCG@10 |".to_owned();
    let mut rule = "|---|".to_owned();
    for mode in MODES {
        header += &format!(" {} chunk | file |", mode_name(mode));
        rule += "---:|---:|";
    }
    output::line(&header)?;
    output::line(&rule)?;
    for corpus in &run.corpora {
        let cells = MODES.map(|mode| {
            let chunk = mean(&corpus.values(mode, |figures| figures.chunk));
            let file = mean(&corpus.values(mode, |figures| figures.file));
            format!(" {chunk:.3} | {file:.3} |")
        });
        output::line(&format!("| {} |{}", corpus.corpus, cells.concat()))?;
    }
    let chunks = MODES.map(|mode| interval(&by_corpus(run, mode, |figures| figures.chunk)));
    let files = MODES.map(|mode| interval(&by_corpus(run, mode, |figures| figures.file)));
    let cells = chunks.iter().zip(files);
    let cells: String = cells
        .map(|(chunk, file)| format!(" **{:.4}** | {:.4} |", chunk.mean, file.mean))
        .collect();
    output::line(&format!("| **mean** |{cells}"))?;
    let cells = chunks.map(|chunk| format!(" {:.3} to {:.3} | |", chunk.low, chunk.high));
    output::line(&format!("| 95 % of means |{}", cells.concat()))?;
    for category in Category::ALL {
        let cells =
            MODES.map(|mode| format!(" {:.3} | |", mean(&of_category(run, mode, category))));
        output::line(&format!("| {} |{}", category.name(), cells.concat()))?;
    }
    output::line("")
}

pub(super) fn print_costs(run: &Run) -> Result<()> {
    let all: Vec<&CorpusRun> = run.corpora.iter().collect();
    let questions: usize = all.iter().map(|corpus| corpus.questions.len()).sum();
    let chunks: u64 = all.iter().map(|corpus| corpus.chunks).sum();
    output::line(&format!(
        "{questions} questions, {} corpora, {chunks} chunks",
        all.len()
    ))?;
    for mode in MODES {
        if let Some(latency) = latency(&all, mode) {
            output::line(&format!(
                "{:<7} p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms; {:.0} tokens an answer, {:.0} until the first relevant hit",
                mode_name(mode),
                latency.p50_ms,
                latency.p95_ms,
                latency.p99_ms,
                mean_of(&all, mode, |figures| figures.tokens as f64),
                mean_of(&all, mode, |figures| figures.tokens_until_relevant as f64),
            ))?;
        }
    }
    let grep: Vec<f64> = all
        .iter()
        .flat_map(|corpus| {
            corpus
                .questions
                .iter()
                .map(|question| question.grep_tokens as f64)
        })
        .collect();
    output::line(&format!(
        "grep    {:.0} tokens until the first relevant line (words of the question, files with most of them first)",
        mean(&grep)
    ))?;
    for (what, of) in [
        (
            "text search ready",
            (|corpus| corpus.text_ready_ms) as fn(&CorpusRun) -> Option<u64>,
        ),
        ("all vectors there", |corpus| corpus.index_ms),
    ] {
        let times: Vec<f64> = all
            .iter()
            .filter_map(|corpus| of(corpus))
            .map(|ms| ms as f64)
            .collect();
        if !times.is_empty() {
            let spread = Spread::of(times);
            output::line(&format!(
                "index   {what} after {:.0} ms (median of the corpora, each read anew; {:.0} to {:.0})",
                spread.median, spread.min, spread.max
            ))?;
        }
    }
    Ok(())
}

fn mean_of(corpora: &[&CorpusRun], mode: Mode, of: fn(&Figures) -> f64) -> f64 {
    let values: Vec<f64> = corpora
        .iter()
        .flat_map(|corpus| corpus.values(mode, of))
        .collect();
    mean(&values)
}

/// What changed since a run that was kept, over the questions that both asked.
pub(super) fn print_comparison(before: &Run, now: &Run, json: bool) -> Result<()> {
    for mode in MODES {
        let differences: Vec<Vec<f64>> = now
            .corpora
            .iter()
            .filter_map(|corpus| {
                let old = before
                    .corpora
                    .iter()
                    .find(|old| old.corpus == corpus.corpus)?;
                let pairs = corpus.questions.iter().filter_map(|question| {
                    let old = old
                        .questions
                        .iter()
                        .find(|old| old.query == question.query)?;
                    Some(question.answers.get(&mode)?.chunk - old.answers.get(&mode)?.chunk)
                });
                Some(pairs.collect())
            })
            .collect();
        let Interval { mean, low, high } = interval(&differences);
        let (better, worse) = differences
            .iter()
            .flatten()
            .fold((0, 0), |(up, down), change| {
                (
                    up + usize::from(*change > 1e-9),
                    down + usize::from(*change < -1e-9),
                )
            });
        if json {
            output::json(&json!({
                "mode": mode, "corpus": "difference", "ndcg10_chunk": rounded(mean),
                "ndcg10_chunk_low": rounded(low), "ndcg10_chunk_high": rounded(high),
                "better": better, "worse": worse,
            }))?;
        } else {
            output::line(&format!(
                "{:<7} {mean:+.4} by chunk against the kept run (95 %: {low:+.4} to {high:+.4}); {better} questions better, {worse} worse",
                mode_name(mode)
            ))?;
        }
    }
    Ok(())
}

pub(super) fn print_worst(run: &Run, count: usize, json: bool) -> Result<()> {
    let mut questions: Vec<_> = run
        .corpora
        .iter()
        .flat_map(|corpus| {
            corpus
                .questions
                .iter()
                .map(move |question| (corpus, question))
        })
        .filter_map(|(corpus, question)| {
            Some((corpus, question, question.answers.get(&Mode::Hybrid)?))
        })
        .collect();
    questions.sort_by(|a, b| a.2.chunk.total_cmp(&b.2.chunk));
    for (corpus, question, figures) in questions.into_iter().take(count) {
        if json {
            output::json(&json!({
                "worst": question.query, "corpus": corpus.corpus,
                "ndcg10_chunk": rounded(figures.chunk), "hits": figures.hits,
            }))?;
            continue;
        }
        output::line(&format!(
            "{:.2} {} {:?}\n     {}",
            figures.chunk,
            corpus.corpus,
            question.query,
            figures.hits.join(" ")
        ))?;
    }
    Ok(())
}

pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Hybrid => "hybrid",
        Mode::Text => "text",
        Mode::Vector => "vector",
        Mode::Literal => "literal",
        Mode::Regex => "regex",
        Mode::Direct => "direct",
    }
}
