//! `embedder bench agents`.

use super::with_model_folder;
use crate::cli::{Context, output};
use crate::engine::bench::Spread;
use crate::engine::bench::agents::{AgentsFigures, measure};
use crate::engine::bench::server::{Cores, Setting};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of the folder that is watched.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    files: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let config = with_model_folder(&context.config)?;
    let folder = tempfile::tempdir().map_err(|error| Error::io("create", "a folder", error))?;
    let setting = Setting {
        config: &config,
        cores: Cores::choose(),
        stop: &context.stop,
    };
    let files = usize::try_from(args.files).unwrap_or(usize::MAX);
    let figures = measure(&setting, folder.path(), files)?;
    if args.json {
        return output::json(&figures);
    }
    print(&figures)
}

fn print(figures: &AgentsFigures) -> Result<()> {
    let spread = |spread: &Spread| {
        format!(
            "{:.0} ({:.0} to {:.0})",
            spread.median, spread.min, spread.max
        )
    };
    output::line(&format!(
        "{} files, {} of them different on the other branch",
        figures.files, figures.different
    ))?;
    let lines = [
        ("a saved file is found after, ms", spread(&figures.saved_ms)),
        (
            "all of another branch is found after, ms",
            spread(&figures.switched_ms),
        ),
        ("files read for a switch", spread(&figures.switch_reads)),
        (
            "the idle server's processor time, % of a core",
            figures
                .idle_cpu_percent
                .map_or_else(|| "unknown".to_owned(), |share| format!("{share:.2}")),
        ),
        (
            "the bridge's first answer beside a server, ms",
            spread(&figures.warm_ms),
        ),
        (
            "the bridge's first answer without one, ms",
            spread(&figures.cold_ms),
        ),
    ];
    for (what, figure) in lines {
        output::line(&format!("{what}: {figure}"))?;
    }
    Ok(())
}
