//! `embedder index`.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanDuration};

use super::progress::IndexProgress;
use super::{Context, output, served};
use crate::engine::embed::Embedder;
use crate::engine::ingest::{self, IndexReport, IndexRequest, Plan};
use crate::error::{Error, Result};
use crate::outbound::daemon::Daemon;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder.
    path: PathBuf,
    /// The collection [default: the one that holds the folder already, else the folder's name].
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Index only this folder below it; repeatable. What was indexed elsewhere is taken out.
    #[arg(long, value_name = "FOLDER")]
    within: Vec<String>,
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
        root: args.path,
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
    let server = served::find_for_model(context)?;
    let report = index(context, server.as_ref(), &request)?;
    if args.json {
        output::json(&report)
    } else {
        print_report(&report)
    }
}

/// Indexes, through the server if there is one, with progress on standard error. A model that is missing or broken is
/// told once; text search works.
pub(super) fn index(
    context: &Context,
    server: Option<&Daemon>,
    request: &IndexRequest,
) -> Result<IndexReport> {
    if let Some(server) = server {
        return served::index(context, server, request);
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
