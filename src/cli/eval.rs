//! `embedder eval`.

use std::path::{Path, PathBuf};

use embedder_index::Rule;
use serde_json::json;

use super::progress::IndexProgress;
use super::{Context, output, search};
use crate::config::Config;
use crate::engine::bench::{Latency, Spread};
use crate::engine::embed::Embedder;
use crate::engine::eval::bootstrap::{Interval, interval};
use crate::engine::eval::dataset::Category;
use crate::engine::eval::{self, CorpusRun, Figures, MODES, Options, Run, tuning};
use crate::engine::search::Mode;
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// NDCG@10 on questions about released packages, whose answers are known.
    Code(CodeArgs),
    /// What random weights give, and weights chosen on all corpora but one.
    Tune(TuneArgs),
    /// The ranking rules with their weights.
    Rules {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct CodeArgs {
    /// The folder with the questions, in `annotations/`.
    #[arg(long, default_value = "eval/code", value_name = "DIR")]
    dataset: PathBuf,
    /// The folder with a folder for each corpus, as the dataset's `corpora` script fetches them
    /// [default: target/eval/ and the name of the dataset].
    #[arg(long, value_name = "DIR")]
    corpora: Option<PathBuf>,
    /// Only this corpus; repeatable.
    #[arg(long, value_name = "NAME")]
    corpus: Vec<String>,
    /// Leave a ranking rule out; repeatable; `all` leaves them all out.
    #[arg(long, value_name = "RULE")]
    without: Vec<String>,
    /// Keep everything that was measured, for a later --against.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with a run that was kept, question by question.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// List the questions that the best mode answers worst, so many of them.
    #[arg(long, default_value_t = 0, value_name = "N")]
    worst: usize,
    /// Fail where the mean of hybrid search by chunk is below this.
    #[arg(long, value_name = "NDCG")]
    floor: Option<f64>,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct TuneArgs {
    /// The folder with the questions. Run `eval code` on it before, which indexes.
    #[arg(long, default_value = "eval/code", value_name = "DIR")]
    dataset: PathBuf,
    /// The folder of the corpora, as for `eval code`.
    #[arg(long, value_name = "DIR")]
    corpora: Option<PathBuf>,
    /// Random settings to try.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    settings: u16,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    match args.command {
        Command::Code(args) => code(context, &args),
        Command::Tune(args) => tune(context, &args),
        Command::Rules { json } => rules(json),
    }
}

fn rules(json: bool) -> Result<()> {
    for rule in Rule::all() {
        if json {
            output::json(&json!({
                "name": rule.name(),
                "weight": rule.weight().to_string(),
                "meaning": rule.meaning(),
            }))?;
        } else {
            let weight = rule.weight().to_string();
            output::line(&format!(
                "{:<21} {weight:<28} {}",
                rule.name(),
                rule.meaning()
            ))?;
        }
    }
    Ok(())
}

fn tune(context: &Context, args: &TuneArgs) -> Result<()> {
    let corpora = corpora_of(&args.dataset, args.corpora.as_ref());
    let config = of_dataset(context, &args.dataset, &corpora)?;
    let each = |setting| {
        if setting % 10 == 0 {
            output::note(&format!("{setting} of {} settings", args.settings));
        }
    };
    for tuning in tuning::tune(
        &config,
        &args.dataset,
        usize::from(args.settings),
        &context.stop,
        &each,
    )? {
        if args.json {
            output::json(&tuning)?;
        } else {
            output::line(&format!(
                "{:<7} {:.4} with the table's weights, {:.4} leaving one corpus out at a time; {} random settings {:.4} (s.d. {:.4}), the best {:.4}",
                mode_name(tuning.mode),
                tuning.table,
                tuning.left_out,
                tuning.settings - 1,
                tuning.random_mean,
                tuning.random_deviation,
                tuning.best
            ))?;
        }
    }
    Ok(())
}

fn corpora_of(dataset: &Path, named: Option<&PathBuf>) -> PathBuf {
    let name = dataset.file_name().unwrap_or_default();
    named.map_or_else(|| PathBuf::from("target/eval").join(name), Clone::clone)
}

/// The settings for a dataset: the model of the user, and a place for the index beside the user's own. Each folder of
/// corpora has a place of its own, so that two of them never become one collection.
fn of_dataset(context: &Context, dataset: &Path, corpora: &Path) -> Result<Config> {
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let key = format!(
        "{}\n{}",
        absolute(dataset).display(),
        absolute(corpora).display()
    );
    let place = &blake3::hash(key.as_bytes()).to_hex()[..16];
    let mut config = context.config.clone();
    config.model = Embedder::folder(&config)?.display().to_string();
    config.data_dir = context.config.data_dir.join("eval").join(place);
    Ok(config)
}

fn code(context: &Context, args: &CodeArgs) -> Result<()> {
    let corpora = corpora_of(&args.dataset, args.corpora.as_ref());
    let options = Options {
        dataset: &args.dataset,
        corpora: &corpora,
        only: &args.corpus,
        rules: search::rules_without(&args.without)?,
    };
    let before = args.against.as_deref().map(Run::load).transpose()?;
    let config = of_dataset(context, &args.dataset, &corpora)?;
    let progress = IndexProgress::quiet();
    let run = eval::run(&config, &options, &progress, &context.stop, &|corpus| {
        output::note(&format!("{corpus} …"));
    })?;
    progress.finish();
    if let Some(path) = &args.save {
        run.save(path)?;
    }
    if args.json {
        print_json(&run)?;
    } else {
        print_table(&run)?;
        print_costs(&run)?;
    }
    if let Some(before) = &before {
        print_comparison(before, &run, args.json)?;
    }
    print_worst(&run, args.worst, args.json)?;
    let mean = interval(&by_corpus(&run, Mode::Hybrid, |figures| figures.chunk)).mean;
    match args.floor {
        // A floor that is no number is not reached either.
        Some(floor) if floor.is_nan() || mean < floor => Err(Error::BelowFloor { mean, floor }),
        _ => Ok(()),
    }
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

fn print_json(run: &Run) -> Result<()> {
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
    let of = |of: fn(&Figures) -> f64| {
        let values: Vec<f64> = corpora
            .iter()
            .flat_map(|corpus| corpus.values(mode, of))
            .collect();
        mean(&values).round()
    };
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

fn print_table(run: &Run) -> Result<()> {
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
    let cells = MODES.map(|mode| {
        let chunk = interval(&by_corpus(run, mode, |figures| figures.chunk));
        let file = interval(&by_corpus(run, mode, |figures| figures.file));
        format!(" **{:.4}** | {:.4} |", chunk.mean, file.mean)
    });
    output::line(&format!("| **mean** |{}", cells.concat()))?;
    let cells = MODES.map(|mode| {
        let chunk = interval(&by_corpus(run, mode, |figures| figures.chunk));
        format!(" {:.3} to {:.3} | |", chunk.low, chunk.high)
    });
    output::line(&format!("| 95 % of means |{}", cells.concat()))?;
    for category in Category::ALL {
        let cells =
            MODES.map(|mode| format!(" {:.3} | |", mean(&of_category(run, mode, category))));
        output::line(&format!("| {} |{}", category.name(), cells.concat()))?;
    }
    output::line("")
}

fn print_costs(run: &Run) -> Result<()> {
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
fn print_comparison(before: &Run, now: &Run, json: bool) -> Result<()> {
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

fn print_worst(run: &Run, count: usize, json: bool) -> Result<()> {
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

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Hybrid => "hybrid",
        Mode::Text => "text",
        Mode::Vector => "vector",
        Mode::Literal => "literal",
        Mode::Regex => "regex",
        Mode::Direct => "direct",
    }
}
