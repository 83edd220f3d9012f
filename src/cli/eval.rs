//! `embedder eval`.

use std::path::{Path, PathBuf};

use embedder_index::Rule;
use serde_json::json;

use super::progress::IndexProgress;
use super::{Context, output, search};
use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::engine::eval::{self, Options, Run, tuning};
use crate::error::{Error, Result};

mod report;

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
                report::mode_name(tuning.mode),
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
        report::print_json(&run)?;
    } else {
        report::print_table(&run)?;
        report::print_costs(&run)?;
    }
    if let Some(before) = &before {
        report::print_comparison(before, &run, args.json)?;
    }
    report::print_worst(&run, args.worst, args.json)?;
    let mean = report::hybrid_mean(&run);
    match args.floor {
        // A floor that is no number is not reached either.
        Some(floor) if floor.is_nan() || mean < floor => Err(Error::BelowFloor { mean, floor }),
        _ => Ok(()),
    }
}
