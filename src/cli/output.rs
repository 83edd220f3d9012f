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

/// Prints one line beside the answer. Where standard error is closed nobody wants to know, and the work goes on.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Makes text of a repository safe for a terminal: control characters, and those that turn the direction of text around
/// or hide in it, are shown, not sent.
pub(super) fn printable(text: &str) -> String {
    let is_hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    text.chars()
        .map(|c| {
            if (c.is_control() && c != '\t') || is_hidden(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// A reader that went away (`| head`) ends the program quietly, as users expect of a pipe.
fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(|error| Error::io("write to", "standard output", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn escape_sequences_and_hidden_characters_of_a_file_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\tc"), "a\u{fffd}[2Jb\tc");
        assert_eq!(printable("x\u{202e}y\u{200b}é日"), "x\u{fffd}y\u{fffd}é日");
    }
}
