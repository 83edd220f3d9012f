//! `embedder bench server`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Corpus, prepared, with_model_folder};
use crate::cli::{Context, output};
use crate::engine::bench::Spread;
use crate::engine::bench::server::{
    self, Cores, EmbedFigures, EmptyFigures, LoadFigures, MetricsFigures, Mixed, MixedFigures,
    Percentiles, ReadyFigures, STARTS, Setting,
};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Measure these parts alone, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// Chunks in the collection that is searched.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    chunks: u64,
    #[command(flatten)]
    corpus: Corpus,
    /// Pairs of server and encoder, for `embed`.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Seconds of each half of a pair.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pair_seconds: u64,
    /// Requests of each round, for `empty`.
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Seconds of searches, for `mixed`.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Rounds of `mixed`.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// About how many chunks the index job of `mixed` has; it must not be done too early.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    job_chunks: u64,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Texts embedded by the server, beside the encoder alone.
    Embed,
    /// An empty request and a cached search.
    Empty,
    /// Searches at a fixed rate, without and with an index job.
    Mixed,
    /// From the start until the server is ready, and its memory.
    Ready,
    /// Counting and scraping.
    Metrics,
}

/// What `bench server` prints; parts that were not measured are left out.
#[derive(Debug, Serialize)]
struct Figures {
    cores_apart: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    embed: Option<Vec<EmbedFigures>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    empty: Option<EmptyFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mixed: Option<MixedFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<ReadyFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<MetricsFigures>,
}

impl Part {
    /// Whether it is measured on the large collection.
    fn needs_collection(self) -> bool {
        match self {
            Part::Empty | Part::Mixed | Part::Ready => true,
            Part::Embed | Part::Metrics => false,
        }
    }
}

impl Args {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn needs_collection(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| part.needs_collection())
    }
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let figures = measure(context, &args)?;
    if args.corpus.json {
        output::json(&figures)
    } else {
        print(&figures)
    }
}

fn measure(context: &Context, args: &Args) -> Result<Figures> {
    // Where no collection is needed nothing is built, and no source of code must be there.
    let (config, source) = if args.needs_collection() {
        let source = args.corpus.folder()?;
        output::note(&format!("preparing {} chunks", args.chunks));
        (prepared(context, args.chunks, &source)?, source)
    } else if args.has(Part::Embed) {
        (with_model_folder(&context.config)?, PathBuf::new())
    } else {
        (context.config.clone(), PathBuf::new())
    };
    let setting = Setting {
        config: &config,
        cores: Cores::choose(),
        stop: &context.stop,
    };
    let data_dir = &config.data_dir;
    let mut figures = Figures {
        cores_apart: setting.cores.are_apart(),
        embed: None,
        empty: None,
        mixed: None,
        ready: None,
        metrics: None,
    };
    if args.has(Part::Embed) {
        output::note("measuring embeddings");
        let time = Duration::from_secs(args.pair_seconds);
        figures.embed = Some(server::embed(&setting, args.pairs as usize, time)?);
    }
    if args.has(Part::Empty) {
        output::note("measuring empty requests");
        figures.empty = Some(server::empty(&setting, data_dir, args.requests as usize)?);
    }
    if args.has(Part::Mixed) {
        output::note("measuring searches beside an index job");
        let mixed = Mixed {
            data_dir,
            corpus: &source,
            job_chunks: args.job_chunks,
            time: Duration::from_secs(args.seconds),
            rounds: args.rounds as usize,
        };
        figures.mixed = Some(server::mixed(&setting, &mixed)?);
    }
    if args.has(Part::Ready) {
        output::note("measuring starts");
        figures.ready = Some(server::ready(&setting, data_dir)?);
    }
    if args.has(Part::Metrics) {
        output::note("measuring metrics");
        figures.metrics = Some(server::metrics());
    }
    Ok(figures)
}

fn print(figures: &Figures) -> Result<()> {
    if figures.embed.is_some() || figures.empty.is_some() {
        output::line(if figures.cores_apart {
            "embed and empty: server and load on a core each"
        } else {
            "embed and empty: server and load share what there is: this process has one core, or cannot choose among them"
        })?;
    }
    if let Some(embed) = &figures.embed {
        print_embed(embed)?;
    }
    if let Some(empty) = &figures.empty {
        print_empty(empty)?;
    }
    if let Some(mixed) = &figures.mixed {
        print_mixed(mixed)?;
    }
    if let Some(ready) = &figures.ready {
        print_ready(ready)?;
    }
    if let Some(metrics) = &figures.metrics {
        print_metrics(metrics)?;
    }
    Ok(())
}

fn print_embed(lengths: &[EmbedFigures]) -> Result<()> {
    for figures in lengths {
        let EmbedFigures {
            tokens,
            clients,
            pairs,
            latency: Percentiles { p50_us, p99_us, .. },
            ..
        } = *figures;
        output::line("")?;
        output::line(&format!(
            "texts of {tokens} tokens, {clients} clients with one each, {pairs} pairs, one thread of the encoder"
        ))?;
        output::line(&format!(
            "encoder alone: {} tokens/s",
            spread(figures.alone, 0, "")
        ))?;
        output::line(&format!(
            "through the server: {} tokens/s, p50 {:.1} ms, p99 {:.1} ms",
            spread(figures.server, 0, ""),
            p50_us / 1e3,
            p99_us / 1e3
        ))?;
        output::line(&format!("server/alone: {}", spread(figures.ratio, 3, "x")))?;
    }
    Ok(())
}

fn print_empty(figures: &EmptyFigures) -> Result<()> {
    let rounds = figures.livez;
    output::line("")?;
    output::line(&format!(
        "one connection, {} rounds of {} requests",
        rounds.rounds, rounds.requests
    ))?;
    output::line("| request         | p50 us                    | p99 us                    |")?;
    output::line("|-----------------|--------------------------:|--------------------------:|")?;
    for (name, rounds) in [
        ("GET /livez", figures.livez),
        ("a cached search", figures.cached_search),
    ] {
        output::line(&format!(
            "| {name:<15} | {:>25} | {:>25} |",
            spread(rounds.p50_us, 0, ""),
            spread(rounds.p99_us, 0, "")
        ))?;
    }
    Ok(())
}

fn print_mixed(figures: &MixedFigures) -> Result<()> {
    let MixedFigures {
        per_second,
        connections,
        rounds,
        ..
    } = *figures;
    output::line("")?;
    output::line(&format!(
        "{per_second} searches a second by {connections} connections, all cores shared, {rounds} rounds; \
         latency from when they were due"
    ))?;
    output::line(
        "| beside       | p50 ms                    | p99 ms                    |  max ms | answered | degraded | cached | failed |",
    )?;
    output::line(
        "|--------------|--------------------------:|--------------------------:|--------:|---------:|---------:|-------:|-------:|",
    )?;
    for (name, load) in [
        ("nothing", figures.without_job),
        ("an index job", figures.with_job),
    ] {
        let LoadFigures {
            p50_ms,
            p99_ms,
            max_ms,
            answered,
            degraded,
            cached,
            failed,
        } = load;
        output::line(&format!(
            "| {name:<12} | {:>25} | {:>25} | {max_ms:>7.1} | {answered:>8} | {degraded:>8} | {cached:>6} | {failed:>6} |",
            spread(p50_ms, 1, ""),
            spread(p99_ms, 1, "")
        ))?;
    }
    for (name, job) in [("chunks", figures.chunks), ("vectors", figures.vectors)] {
        output::line(&format!(
            "the job's {name} a second: {} alone, {} beside the searches, {}",
            spread(job.alone, 0, ""),
            spread(job.loaded, 0, ""),
            spread(job.share, 2, "x")
        ))?;
    }
    Ok(())
}

fn print_ready(figures: &ReadyFigures) -> Result<()> {
    output::line("")?;
    output::line(&format!(
        "start to ready: {} ms, {STARTS} starts",
        spread(figures.ready_ms, 0, "")
    ))?;
    if let Some(resident_mb) = figures.resident_mb {
        output::line(&format!(
            "resident when ready: {} MB",
            spread(resident_mb, 0, "")
        ))?;
    }
    Ok(())
}

fn print_metrics(figures: &MetricsFigures) -> Result<()> {
    let MetricsFigures {
        series,
        scrape_bytes,
        scrape,
        ..
    } = *figures;
    output::line("")?;
    for (name, each) in [
        ("a counter", figures.counter_ns),
        ("a histogram", figures.histogram_ns),
    ] {
        output::line(&format!("counting by {name}: {} ns", spread(each, 1, "")))?;
    }
    output::line(&format!(
        "a scrape of {series} series, {} kB: p50 {:.0} us, p99 {:.0} us",
        scrape_bytes / 1_000,
        scrape.p50_us,
        scrape.p99_us
    ))
}

/// A figure's median, with its lowest and highest value.
fn spread(spread: Spread, decimals: usize, unit: &str) -> String {
    let Spread { min, median, max } = spread;
    format!("{median:.decimals$}{unit} ({min:.decimals$} to {max:.decimals$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(only: &[Part]) -> Args {
        Args {
            only: only.to_vec(),
            chunks: 1,
            corpus: Corpus {
                source: None,
                json: false,
            },
            pairs: 1,
            pair_seconds: 1,
            requests: 1,
            seconds: 1,
            rounds: 1,
            job_chunks: 1,
        }
    }

    #[test]
    fn all_is_measured_unless_parts_are_named() {
        let check = |only: &[Part], has_embed, needs_collection| {
            let args = args(only);
            assert_eq!(args.has(Part::Embed), has_embed, "{only:?}");
            assert_eq!(args.needs_collection(), needs_collection, "{only:?}");
        };
        check(&[], true, true);
        check(&[Part::Embed], true, false);
        check(&[Part::Metrics], false, false);
        check(&[Part::Metrics, Part::Ready], false, true);
    }

    #[test]
    fn a_ratio_ends_in_x_at_its_median() {
        let ratio = Spread {
            min: 0.8,
            median: 0.914,
            max: 1.0,
        };
        assert_eq!(spread(ratio, 2, "x"), "0.91x (0.80 to 1.00)");
    }
}
