//! `embedder bench`.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use super::progress::IndexProgress;
use super::{Context, output};
use crate::config::{Config, Environment, Strings};
use crate::engine::bench::index::IndexFigures;
use crate::engine::bench::search::{Opening, SearchFigures};
use crate::engine::bench::{self, Latency, Spread};
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};

mod agents;
mod overload;
mod server;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Latency of one client, opening time and memory, on real code with random vectors.
    Search {
        /// Chunks in the collection.
        #[arg(long, default_value_t = 100_000, value_name = "N")]
        chunks: u64,
        #[command(flatten)]
        corpus: Corpus,
        /// Measure a part of what was prepared before; the command runs itself with this.
        #[arg(long, hide = true, value_name = "PART")]
        measure: Option<Part>,
    },
    /// Time until a fresh folder answers, and of a run that has nothing to do.
    Index {
        /// About how many chunks the folder has.
        #[arg(long, default_value_t = 2_000, value_name = "N")]
        chunks: u64,
        #[command(flatten)]
        corpus: Corpus,
    },
    /// The running server beside the encoder alone, under load, and from its start until it is ready.
    Server(server::Args),
    /// What agents and people wait for: a saved file, another branch, the bridge; and a server that has nothing to do.
    Agents(agents::Args),
    /// The running server under more load than it can serve, and beside it what others and probes notice.
    Overload(overload::Args),
    /// Make the load of a plan on standard input; `overload` runs this by itself.
    #[command(hide = true)]
    OverloadClient,
}

/// What a measuring process measures.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Part {
    Opening,
    Answers,
}

/// Times the collection is opened, each time by a new process.
const OPENINGS: usize = 7;

#[derive(Debug, clap::Args)]
struct Corpus {
    /// A folder of folders with source code [default: the sources of downloaded crates].
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Corpus {
    fn folder(&self) -> Result<PathBuf> {
        let home = Environment.get("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| {
            Environment
                .get("HOME")
                .map(|home| PathBuf::from(home).join(".cargo"))
        });
        self.source
            .clone()
            .or_else(|| bench::default_corpus(home))
            .ok_or_else(|| Error::Argument {
                problem: "there are no sources of crates on this machine".to_owned(),
                remedy: "name a folder of folders with source code: --source DIR".to_owned(),
            })
    }
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    match args.command {
        Command::Search {
            measure: Some(Part::Opening),
            ..
        } => output::json(&bench::search::open(&context.config)?),
        Command::Search {
            measure: Some(Part::Answers),
            ..
        } => output::json(&bench::search::measure(&context.config)?),
        Command::Search {
            chunks,
            corpus,
            measure: None,
        } => search(context, chunks, &corpus),
        Command::Index { chunks, corpus } => index(context, chunks, &corpus),
        Command::Server(args) => server::run(context, args),
        Command::Agents(args) => agents::run(context, &args),
        Command::Overload(args) => overload::run(context, &args),
        Command::OverloadClient => overload::client(context),
    }
}

/// Builds the collection of `chunks` chunks, unless it is there already; returns the settings for it, in which the model
/// is named by its folder.
fn prepared(context: &Context, chunks: u64, corpus: &Path) -> Result<Config> {
    let embedder = Embedder::load(&context.config)?;
    let mut config = with_model_folder(&context.config)?;
    config.data_dir = context
        .config
        .data_dir
        .join("bench")
        .join(format!("search-{chunks}"));
    let progress = IndexProgress::quiet();
    bench::corpus::build(&config, corpus, chunks, &embedder, &progress, &context.stop)?;
    progress.finish();
    Ok(config)
}

/// Returns the settings with the model named by its folder, by which it is found from any data directory.
fn with_model_folder(config: &Config) -> Result<Config> {
    let folder = Embedder::folder(config)?;
    let folder = std::path::absolute(&folder).map_err(|error| Error::io("find", &folder, error))?;
    let mut config = config.clone();
    config.model = folder.display().to_string();
    Ok(config)
}

fn search(context: &Context, chunks: u64, corpus: &Corpus) -> Result<()> {
    let config = prepared(context, chunks, &corpus.folder()?)?;
    // Processes of their own: what preparing took of memory does not count.
    let openings: Vec<Opening> = (0..OPENINGS)
        .map(|_| measured_apart(&config, "opening"))
        .collect::<Result<_>>()?;
    let spread =
        |of: fn(&Opening) -> f64| Spread::of(openings.iter().map(of).collect::<Vec<f64>>());
    let figures = Figures {
        open_text_ms: spread(|opening| opening.text_ms),
        open_hybrid_ms: spread(|opening| opening.hybrid_ms),
        answers: measured_apart(&config, "answers")?,
    };
    if corpus.json {
        output::json(&figures)
    } else {
        print_search(&figures)
    }
}

/// What `bench search` prints.
#[derive(Debug, serde::Serialize)]
struct Figures {
    open_text_ms: Spread,
    open_hybrid_ms: Spread,
    answers: SearchFigures,
}

fn measured_apart<T: serde::de::DeserializeOwned>(config: &Config, part: &str) -> Result<T> {
    let program =
        std::env::current_exe().map_err(|error| Error::io("find", "this program", error))?;
    let output = Process::new(program)
        .args(["bench", "search", "--measure", part, "--data-dir"])
        .arg(&config.data_dir)
        .arg("--model")
        .arg(&config.model)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::io("start", "this program", error))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::Internal(format!("a measuring process gave no figures: {error}")))
}

fn print_search(all: &Figures) -> Result<()> {
    let figures = &all.answers;
    output::line(&format!(
        "{} chunks, {} queries, one client, warm; each query's median of three",
        figures.chunks, figures.queries
    ))?;
    output::line("| mode                    |  p50 ms |  p95 ms |  p99 ms | p99 / p50 |")?;
    output::line("|-------------------------|--------:|--------:|--------:|----------:|")?;
    for (name, latency) in [
        ("text", Some(figures.text)),
        ("hybrid", Some(figures.hybrid)),
        ("vector", Some(figures.vector)),
        ("hybrid, ten identifiers", figures.ten_identifiers),
        ("hybrid, 2,000 words", figures.pasted_text),
    ] {
        let Some(latency) = latency else { continue };
        let Latency {
            p50_ms,
            p95_ms,
            p99_ms,
        } = latency;
        let tail = latency.tail();
        output::line(&format!(
            "| {name:<23} | {p50_ms:>7.2} | {p95_ms:>7.2} | {p99_ms:>7.2} | {tail:>8.2}x |"
        ))?;
    }
    for (what, latency) in [
        ("ten identifiers", figures.ten_identifiers),
        ("2,000 words", figures.pasted_text),
    ] {
        if let Some(latency) = latency {
            let ratio = latency.p99_ms / figures.hybrid.p50_ms;
            output::line(&format!(
                "p99 of {what} beside the p50 of ordinary hybrid queries: {ratio:.2}x"
            ))?;
        }
    }
    for (what, opening) in [
        ("text", all.open_text_ms),
        ("hybrid (model and vectors loaded)", all.open_hybrid_ms),
    ] {
        output::line(&format!(
            "open to first answer, {what}: {:.0} ms (median of {OPENINGS} processes, {:.0} to {:.0})",
            opening.median, opening.min, opening.max
        ))?;
    }
    output::line(&format!("resident {:.0} MB", figures.resident_mb))
}

fn index(context: &Context, chunks: u64, corpus: &Corpus) -> Result<()> {
    let folder = corpus.folder()?;
    let scratch =
        tempfile::tempdir().map_err(|error| Error::io("create", std::env::temp_dir(), error))?;
    let sample = scratch.path().join("sample");
    bench::corpus::sample(
        &folder,
        &sample,
        chunks * crate::engine::ingest::BYTES_PER_CHUNK,
    )?;
    let mut config = with_model_folder(&context.config)?;
    config.data_dir = scratch.path().join("data");
    let figures = bench::index::measure(&config, &sample, &context.stop)?;
    if corpus.json {
        output::json(&figures)
    } else {
        print_index(&figures)
    }
}

fn print_index(figures: &IndexFigures) -> Result<()> {
    output::line(&format!(
        "{} files, {} chunks",
        figures.files, figures.chunks
    ))?;
    output::line(&format!(
        "first text answer after {:.0} ms",
        figures.first_answer_ms
    ))?;
    output::line(&format!(
        "vectors complete after {:.1} s ({} texts embedded)",
        figures.vectors_complete_ms / 1e3,
        figures.embedded_first
    ))?;
    output::line(&format!(
        "second run {:.0} ms ({:.0} ms per 1,000 files), {} texts embedded",
        figures.second_run_ms, figures.second_run_ms_per_1000_files, figures.embedded_second
    ))
}
