//! What several commands print alike.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::{Error, Result};

/// Prints one line of the answer.
pub(super) fn line(text: &str) -> Result<()> {
    written(writeln!(io::stdout(), "{text}"))
}

/// Prints a value as one line of JSON.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))?;
    line(&text)
}

/// A reader that went away (`| head`) ends the program quietly, as users expect of a pipe.
fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(|error| Error::io("write to", "standard output", error)),
    }
}
