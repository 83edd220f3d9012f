//! `embedder completions`.

use clap::CommandFactory;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell; for example `embedder completions bash > ~/.local/share/bash-completion/completions/embedder`.
    shell: Shell,
}

pub(super) fn run(args: Args) {
    let mut command = super::Cli::command();
    clap_complete::generate(args.shell, &mut command, "embedder", &mut std::io::stdout());
}
