//! `embedder models`.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Context, output};
use crate::engine::embed::Embedder;
use crate::engine::models::{KNOWN_MODELS, Models, PullRequest, PullSources, Pulled};
use crate::error::Result;
use crate::outbound::control::{Control, Progress, Sleep};
use crate::store::data_dir::DataDir;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the installed models and the known ones.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Get a model: a known name, or OWNER/NAME on the hub.
    Pull {
        /// The model.
        name: String,
        /// Copy it from a local folder instead.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Get it again although it is there.
        #[arg(long)]
        force: bool,
    },
    /// Print the folder of the model in use.
    Path,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    match args.command {
        Command::List { json } => list(context, json),
        Command::Path => output::line(&Embedder::folder(&context.config)?.display().to_string()),
        Command::Pull { name, from, force } => {
            let pulled = pull(context, &name, from, force)?;
            let state = if pulled.already_there {
                "is already there"
            } else {
                "installed"
            };
            output::line(&format!("{name} {state}: {}", pulled.dir.display()))
        }
    }
}

fn list(context: &Context, as_json: bool) -> Result<()> {
    let installed = Models::at(context.config.models_dir()).installed()?;
    if as_json {
        let rows = installed.iter().map(|model| {
            json!({"name": model.manifest.name, "dir": model.dir, "bytes": model.bytes(), "damage": model.damage})
        });
        return output::json(&rows.collect::<Vec<_>>());
    }
    for model in &installed {
        let damage = model
            .damage
            .as_ref()
            .map_or_else(String::new, |damage| format!("  damaged: {damage}"));
        output::line(&format!(
            "{}  {}{damage}",
            model.manifest.name,
            HumanBytes(model.bytes())
        ))?;
    }
    for known in KNOWN_MODELS {
        if !installed
            .iter()
            .any(|model| model.manifest.name == known.name)
        {
            output::line(&format!(
                "{}  not installed: `embedder models pull {}`",
                known.name, known.name
            ))?;
        }
    }
    Ok(())
}

/// Gets a model with progress on standard error.
pub(super) fn pull(
    context: &Context,
    name: &str,
    from: Option<PathBuf>,
    force: bool,
) -> Result<Pulled> {
    DataDir::new(&context.config.data_dir).create()?;
    let hub = &context.config.hub;
    let sources = PullSources {
        from,
        hub_endpoint: hub.endpoint.clone(),
        hub_token: hub.token.clone(),
        hub_offline: hub.offline,
        python: hub.python.clone(),
        ..PullSources::default()
    };
    let progress = PullProgress::default();
    let control = Control {
        progress: &progress,
        interrupt: &context.stop,
        pause: &Sleep,
    };
    let request = PullRequest {
        force,
        ..PullRequest::named(name)
    };
    Ok(Models::at(context.config.models_dir()).pull(&request, &sources, &control)?)
}

/// A bar of bytes on a terminal, plain lines elsewhere.
#[derive(Default)]
struct PullProgress {
    bar: Mutex<Option<ProgressBar>>,
}

impl PullProgress {
    fn say(&self, text: &str) {
        match self.bar.lock() {
            Ok(bar) if bar.as_ref().is_some_and(|bar| !bar.is_hidden()) => {
                bar.iter().for_each(|bar| bar.println(text));
            }
            _ => output::note(text),
        }
    }

    fn with_bar(&self, work: impl FnOnce(&ProgressBar)) {
        if let Ok(Some(bar)) = self.bar.lock().as_deref() {
            work(bar);
        }
    }
}

impl Progress for PullProgress {
    fn begin(&self, what: &str, bytes_total: Option<u64>) {
        let size =
            bytes_total.map_or_else(String::new, |bytes| format!(" ({})", HumanBytes(bytes)));
        let bar = match bytes_total {
            Some(bytes) => {
                let template =
                    "{msg} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
                let style = ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                ProgressBar::new(bytes).with_style(style.progress_chars("=> "))
            }
            None => ProgressBar::new_spinner(),
        };
        // Where standard error is no terminal, the bar is hidden and a line takes its place.
        if bar.is_hidden() {
            output::note(&format!("getting {what}{size}"));
        }
        bar.set_message(what.to_owned());
        if let Ok(mut slot) = self.bar.lock() {
            *slot = Some(bar);
        }
    }

    fn resumed(&self, at: u64) {
        self.with_bar(|bar| bar.set_position(at));
    }

    fn advance(&self, bytes: u64) {
        self.with_bar(|bar| bar.inc(bytes));
    }

    fn retrying(&self, reason: &str, wait: Duration) {
        self.say(&format!(
            "trying again in {:.1} s: {reason}",
            wait.as_secs_f64()
        ));
    }

    fn finish(&self) {
        self.with_bar(ProgressBar::finish_and_clear);
    }

    fn source_failed(&self, source: &str, reason: &str) {
        self.say(&format!("{source}: {reason}"));
    }

    fn waiting(&self, what: &str) {
        self.say(&format!("waiting for {what}, which another process holds"));
    }
}
