//! `embedder status`.

use indicatif::HumanBytes;

use super::{Context, output, served};
use crate::clock::ago;
use crate::engine::serving::collections::Freshness;
use crate::engine::status::{self, Status};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// List every skipped file with its reason.
    #[arg(long)]
    skipped: bool,
    /// Print JSON; always with the skipped files.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let server = served::find(context)?;
    let status: Status = match &server {
        Some(server) => server.get(&["v1", "admin", "status"], &[])?,
        None => status::status(&context.config)?,
    };
    if args.json {
        return output::json(&status);
    }
    output::line(&format!(
        "data directory {}  ({})",
        status.data_dir.display(),
        HumanBytes(status.bytes)
    ))?;
    match &status.model {
        Some(model) => output::line(&format!(
            "model {} ({} dimensions)",
            model.name, model.dimensions
        ))?,
        None => output::line(&format!(
            "no model: text search only ({})",
            status.model_problem
        ))?,
    }
    match (&server, status.writer) {
        (Some(server), _) => output::line(&format!(
            "served by process {} at {}",
            server.pid(),
            server.address()
        ))?,
        (None, Some(pid)) => output::line(&format!("process {pid} is writing"))?,
        (None, None) => {}
    }
    if let Some(service) = &status.service {
        output::line(&format!("service {}", service.level))?;
        for mode in &service.modes {
            output::line(&format!(
                "  {}: answered by {}",
                mode.mode,
                mode.fallbacks.join(", then ")
            ))?;
        }
        for cause in &service.causes {
            output::line(&format!("  {cause}"))?;
        }
        for part in &service.switched_off {
            let seconds = service.switched_off_for_s.unwrap_or_default();
            output::line(&format!("  {part} is switched off for another {seconds} s"))?;
        }
    }
    if status.collections.is_empty() {
        output::line("nothing is indexed yet: run `embedder index PATH`")?;
    }
    for collection in &status.collections {
        let counts = collection.counts;
        output::line("")?;
        output::line(&format!(
            "`{}`: {} files, {} chunks, {} with a vector ({:.0} %), generation {}",
            collection.name,
            counts.files,
            counts.chunks,
            counts.embedded,
            counts.embedded_fraction() * 100.0,
            collection.generation
        ))?;
        if let Some(said) = said_of(&collection.freshness) {
            output::line(&format!("  {said}"))?;
        }
        for repository in &collection.repositories {
            output::line(&format!("  from {}", output::printable(repository)))?;
        }
        for root in &collection.roots {
            let gone = if root.is_dir() {
                ""
            } else {
                "  (gone: `embedder remove NAME` takes the collection out)"
            };
            output::line(&format!("  from {}{gone}", root.display()))?;
        }
        for (reason, count) in &collection.skipped_by_reason {
            output::line(&format!("  skipped {count}: {reason}"))?;
        }
        if args.skipped {
            for file in &collection.skipped {
                output::line(&format!(
                    "    {}  {}",
                    output::printable(&file.path),
                    output::printable(&file.reason)
                ))?;
            }
        }
    }
    Ok(())
}

/// Says how fresh a collection is; nothing of one that is not made of folders or repositories.
fn said_of(freshness: &Freshness) -> Option<String> {
    let mut said = Vec::new();
    if freshness.indexing {
        said.push("being indexed".to_owned());
    }
    if freshness.watched {
        said.push("watched".to_owned());
    } else if let Some(updated) = freshness.updated_ms {
        said.push(format!("updated {} ago", ago(updated)));
    }
    said.extend(
        freshness
            .indexed_commit
            .iter()
            .map(|commit| format!("commit {commit}")),
    );
    said.extend(
        freshness
            .watch_problem
            .iter()
            .map(|problem| format!("not watched: {problem}")),
    );
    (!said.is_empty()).then(|| said.join(", "))
}
