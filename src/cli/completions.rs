//! `embedder completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::output;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell; for example `embedder completions bash > ~/.local/share/bash-completion/completions/embedder`.
    shell: Shell,
}

pub(super) fn run(args: Args) -> Result<()> {
    let mut command = super::Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "embedder", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}
