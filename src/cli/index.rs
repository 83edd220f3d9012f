//! `embedder index`.

use std::sync::Arc;

use indicatif::{HumanBytes, HumanDuration};

use super::progress::IndexProgress;
use super::{Context, output, served};
use crate::engine::embed::Embedder;
use crate::engine::ingest::{self, IndexReport, IndexRequest, Origin, Plan, Repository};
use crate::error::{Error, Result};
use crate::outbound::daemon::Daemon;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder, or the address of a git repository by https or ssh.
    #[arg(value_name = "PATH|GIT_URL")]
    origin: String,
    /// The branch or tag of the repository [default: that which it names as its own].
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// The collection [default: the one that holds the folder already, else the folder's name].
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Index only this folder below it; repeatable. What was indexed elsewhere is taken out.
    #[arg(long, value_name = "FOLDER")]
    within: Vec<String>,
    /// Bring in what changes from here on, as it happens: the server does, which is started where none runs.
    #[arg(long, conflicts_with_all = ["within", "dry_run"])]
    watch: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Leave the vectors for a later run.
    #[arg(long)]
    text_only: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let request = IndexRequest {
        origin: origin(&args)?,
        collection: args.collection,
        within: args.within,
        with_vectors: !args.text_only,
    };
    if args.dry_run {
        let plan = ingest::plan(&context.config, &request)?;
        return if args.json {
            output::json(&plan)
        } else {
            print_plan(&plan)
        };
    }
    if args.watch {
        super::mcp::start_server(context)?;
    }
    let server = served::find_for_model(context)?;
    let report = match &server {
        Some(server) => served::index(context, server, &request, args.watch.then_some(true))?,
        None => index(context, None, &request)?,
    };
    if args.json {
        output::json(&report)
    } else {
        print_report(&report)
    }
}

/// Tells a folder from a repository.
fn origin(args: &Args) -> Result<Origin> {
    let text = &args.origin;
    // A folder may have any name; an address is what is written as one.
    let is_address = text.contains("://") || (text.contains('@') && text.contains(':'));
    if is_address && !std::path::Path::new(text).exists() {
        let repository = Repository::new(text, args.reference.as_deref())?;
        return Ok(Origin::Repository(repository));
    }
    if args.reference.is_some() {
        return Err(Error::Argument {
            problem: "--ref is for repositories".to_owned(),
            remedy: "leave it away: what is checked out in the folder is indexed".to_owned(),
        });
    }
    Ok(Origin::Folder(text.into()))
}

/// Indexes, through the server if there is one, with progress on standard error. A model that is missing or broken is
/// told once; text search works.
pub(super) fn index(
    context: &Context,
    server: Option<&Daemon>,
    request: &IndexRequest,
) -> Result<IndexReport> {
    if let Some(server) = server {
        return served::index(context, server, request, None);
    }
    let progress = IndexProgress::new();
    let load = || match Embedder::load(&context.config) {
        Ok(embedder) => Some(Arc::new(embedder)),
        Err(error) => {
            report_missing_model(&error);
            None
        }
    };
    let result = ingest::index(&context.config, request, load, &progress, &context.stop);
    progress.finish();
    result
}

fn report_missing_model(error: &Error) {
    output::note(&format!(
        "warning: indexing for text search only: {}",
        error.with_remedy()
    ));
}

fn print_plan(plan: &Plan) -> Result<()> {
    output::line(&format!(
        "`{}`: {} files to read ({}), {} up to date, {} to take out",
        plan.collection,
        plan.changed,
        HumanBytes(plan.bytes),
        plan.unchanged,
        plan.removed
    ))?;
    print_skipped(&plan.skipped)?;
    let time = HumanDuration(std::time::Duration::from_secs(plan.seconds_estimate));
    output::line(&format!(
        "about {} chunks; embedding them would take about {time}",
        plan.chunks_estimate
    ))
}

pub(super) fn print_report(report: &IndexReport) -> Result<()> {
    output::line(&format!(
        "`{}`: {} files ({} read, {} taken out), {} chunks, {} with a vector ({} computed now), {:.1} s",
        report.collection,
        report.files,
        report.changed,
        report.removed,
        report.chunks,
        report.embedded,
        report.embedded_now,
        report.took_ms as f64 / 1000.0
    ))?;
    print_skipped(&report.skipped)?;
    if report.truncated > 0 {
        output::line(&format!(
            "{} texts were longer than the model reads and were cut",
            report.truncated
        ))?;
    }
    Ok(())
}

fn print_skipped(skipped: &std::collections::BTreeMap<String, u64>) -> Result<()> {
    if skipped.is_empty() {
        return Ok(());
    }
    let parts: Vec<_> = skipped
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    output::line(&format!(
        "skipped: {} (`embedder status --skipped` lists them)",
        parts.join(", ")
    ))
}
