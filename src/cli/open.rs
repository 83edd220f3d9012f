//! `embedder open`.

use std::process::{Command as Process, Stdio};

use serde::Deserialize;
use serde_json::json;

use super::{Context, output, served};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the address, and open nothing.
    #[arg(long)]
    print: bool,
}

/// What opens an address in the user's browser.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

/// A one-time address, relative to the server's own.
#[derive(Deserialize)]
struct Opened {
    path: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let server = served::require(context)?;
    let opened: Opened = server.post(&["v1", "admin", "sessions"], &json!({}))?;
    let address = format!("{}{}", server.address(), opened.path);
    output::line(&address)?;
    output::note("note: the address signs one browser in, once, within a minute");
    if args.print {
        return Ok(());
    }
    let started = Process::new(OPENER)
        .arg(&address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if started.is_err() {
        output::note(&format!(
            "note: there is no `{OPENER}` here: open the address in a browser yourself"
        ));
    }
    Ok(())
}
