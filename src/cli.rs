//! The command line: a thin face over [`crate::engine`]. One file a command; what several print alike is in
//! `output`.
//!
//! Answers go to standard output, everything else to standard error. `--json` prints one machine-readable document (or
//! one a line). Exit codes are those of [`crate::error::ErrorCode`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};

use crate::config::{Config, Environment};
use crate::error::{Error, LogLevel, Result};

mod audit;
mod bench;
mod completions;
mod config;
mod doctor;
mod drill;
mod embed;
mod eval;
mod index;
mod keys;
mod mcp;
mod models;
mod offline;
mod open;
mod output;
mod progress;
mod quickstart;
mod related;
mod remove;
mod search;
mod serve;
mod served;
mod setup;
mod status;

/// Search code and documents by meaning and by word, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "embedder", version, about, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start with `embedder quickstart`. Exit codes: 0 done, 1 doctor found problems, 64 usage, 65 damaged data, 66 not found,
69 no model or no server to be had, 70 defect, 73 disk full, 74 I/O, 75 locked by another process or overloaded,
77 permission denied, 78 store of another version, 130 interrupted. Where a server runs in the data directory
(`embedder serve`), commands work through it.";

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
struct Global {
    /// Where the store, the index and the models are [default: $XDG_DATA_HOME/embedder].
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    data_dir: Option<PathBuf>,
    /// The configuration file [default: $XDG_CONFIG_HOME/embedder/embedder.toml].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    config: Option<PathBuf>,
    /// The embedding model: an installed name or a folder [default: all-MiniLM-L6-v2].
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    model: Option<String>,
    /// Threads that chunk and embed [default: the cores].
    #[arg(long, global = true, value_name = "N", help_heading = "Global options")]
    threads: Option<usize>,
    /// Log filter, for example `info` [default: warn]. Logs go to standard error.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        help_heading = "Global options"
    )]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything at once: get the model, index a folder, answer three questions about it.
    Quickstart(quickstart::Args),
    /// Index a folder, or bring its index up to date.
    Index(index::Args),
    /// Search what is indexed.
    Search(search::Args),
    /// Find code that is like the code at a place.
    Related(related::Args),
    /// Take a collection out; its folders stay as they are.
    Remove(remove::Args),
    /// Print the vectors of texts.
    Embed(embed::Args),
    /// Say what is indexed, how completely, and what was skipped.
    Status(status::Args),
    /// Serve search and embeddings over HTTP, until Ctrl-C or SIGTERM.
    Serve(serve::Args),
    /// Serve the tools of the Model Context Protocol to an agent, over standard input and output.
    Mcp(mcp::Args),
    /// Tell an agent's program of the tools, in its own configuration.
    Setup(setup::Args),
    /// Open the server's pages in a browser, signed in.
    Open(open::Args),
    /// Make, list and end the keys that clients of the server show.
    Keys(keys::Args),
    /// Check, list and archive the log of what was done and refused.
    Audit(audit::Args),
    /// Walk a mechanism of resilience on the running server, and say what happened.
    Drill(drill::Args),
    /// Check everything that can be wrong, and say what to do.
    Doctor(doctor::Args),
    /// Get and list models.
    Models(models::Args),
    /// Show and check settings.
    Config(config::Args),
    /// Measure on this machine.
    Bench(bench::Args),
    /// Measure how good the answers are.
    Eval(eval::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
}

impl Command {
    /// Whether the command ends in good order by itself when it is asked to stop.
    fn looks_at_stop(&self) -> bool {
        match self {
            Command::Quickstart(_)
            | Command::Index(_)
            | Command::Models(_)
            | Command::Drill(_)
            | Command::Doctor(_)
            | Command::Bench(_)
            | Command::Eval(_) => true,
            Command::Search(_)
            | Command::Related(_)
            | Command::Remove(_)
            | Command::Embed(_)
            | Command::Status(_)
            | Command::Setup(_)
            | Command::Open(_)
            | Command::Keys(_)
            | Command::Audit(_)
            | Command::Config(_)
            | Command::Completions(_) => false,
            // It catches the signals itself: its end takes its time.
            Command::Serve(_) => false,
            // Its client ends it.
            Command::Mcp(_) => false,
        }
    }

    /// Returns the settings that flags of the command itself stand for.
    fn flags(&self) -> Vec<(&'static str, String)> {
        if let Command::Serve(args) = self {
            args.flags()
        } else {
            Vec::new()
        }
    }
}

impl Global {
    fn flags(&self) -> BTreeMap<String, String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flags = [
            ("data_dir", path(&self.data_dir)),
            ("config", path(&self.config)),
            ("model", self.model.clone()),
            ("threads", self.threads.map(|threads| threads.to_string())),
            ("log", self.log.clone()),
        ];
        flags
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect()
    }
}

/// What a command is run with.
struct Context {
    config: Config,
    /// Set by Ctrl-C and SIGTERM.
    stop: Arc<AtomicBool>,
}

/// Parses the arguments of this process and runs the command.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not mistakes; they come this way too.
            let is_mistake = error.use_stderr();
            let _ = error.print();
            return if is_mistake {
                ExitCode::from(crate::error::ErrorCode::Usage.exit_code())
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.code().exit_code())
        }
    }
}

fn execute(cli: Cli) -> Result<()> {
    let mut flags = cli.global.flags();
    let own = cli.command.flags().into_iter();
    flags.extend(own.map(|(key, value)| (key.to_owned(), value)));
    let config = Config::load(flags, &Environment)?;
    start_log(&config);
    let stop = Arc::new(AtomicBool::new(false));
    // The others hold nothing that could be lost: a signal simply ends them.
    if cli.command.looks_at_stop() {
        catch_signals(&stop)?;
    }
    let context = Context { config, stop };
    match cli.command {
        Command::Quickstart(args) => quickstart::run(&context, args),
        Command::Index(args) => index::run(&context, args),
        Command::Search(args) => search::run(&context, args),
        Command::Related(args) => related::run(&context, args),
        Command::Remove(args) => remove::run(&context, args),
        Command::Embed(args) => embed::run(&context, args),
        Command::Status(args) => status::run(&context, args),
        Command::Serve(args) => serve::run(context, &args),
        Command::Mcp(args) => mcp::run(&context, &args),
        Command::Setup(args) => setup::run(&context, &args),
        Command::Open(args) => open::run(&context, &args),
        Command::Keys(args) => keys::run(&context, args),
        Command::Audit(args) => audit::run(&context, args),
        Command::Drill(args) => drill::run(&context, &args),
        Command::Doctor(args) => doctor::run(&context, args),
        Command::Models(args) => models::run(&context, args),
        Command::Config(args) => config::run(&context, args),
        Command::Bench(args) => bench::run(&context, args),
        Command::Eval(args) => eval::run(&context, args),
        Command::Completions(args) => completions::run(args),
    }
}

fn start_log(config: &Config) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|error| {
        output::note(&format!(
            "warning: the log filter {:?} is malformed ({error}); using `warn`",
            config.log
        ));
        EnvFilter::new("warn")
    });
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second subscriber in one process (tests) is not an error.
    let _ = if config.log_is_json {
        format.json().with_span_list(false).try_init()
    } else {
        format.try_init()
    };
}

/// The first signal asks the command to end in good order, the second ends the process.
fn catch_signals(stop: &Arc<AtomicBool>) -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(crate::error::ErrorCode::Interrupted.exit_code());
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(stop)))
            .map_err(|error| Error::io("catch signals in", ".", error))?;
    }
    Ok(())
}

/// Prints an error as one line: cause, then remedy.
fn report(error: &Error) {
    let line = format!("error: {}", error.with_remedy()).replace('\n', " ");
    output::note(&line);
    if error.code().log_level() == LogLevel::Error {
        tracing::debug!(code = error.code().name(), "Ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::Cli;

    /// The commands that a page shows: on lines after a prompt, and between backticks.
    fn commands(page: &str) -> Vec<String> {
        let prompted = page.lines().filter_map(|line| line.strip_prefix("$ "));
        let quoted = page.split("```").step_by(2);
        let quoted = quoted.flat_map(|text| text.split('`').skip(1).step_by(2));
        let ends = ['|', '>', '<', '#', ';', '&', ')'];
        prompted
            .chain(quoted)
            .filter(|text| text.starts_with("embedder ") && !text.contains('…'))
            .map(|text| text.split(ends).next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn what_the_pages_show_can_be_typed() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let pages = std::fs::read_dir(root.join("docs")).unwrap();
        let pages = pages.map(|page| page.unwrap().path());
        let mut count = 0;
        for path in pages
            .chain(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|page| root.join(page)))
        {
            for command in commands(&std::fs::read_to_string(&path).unwrap()) {
                count += 1;
                let words = command
                    .split_whitespace()
                    .map(|word| word.trim_matches(['"', '\'', '[', ']']));
                let Err(error) = Cli::command().try_get_matches_from(words) else {
                    continue;
                };
                // A command may be named without all that it needs, and what stands for a value may be none.
                let is_unknown = matches!(
                    error.kind(),
                    ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand
                );
                assert!(!is_unknown, "{}: {command}\n{error}", path.display());
            }
        }
        assert!(count > 50, "{count} commands were found");
    }
}
