//! What several commands print alike.

use std::io::{self, Write};

use serde::Serialize;

use crate::engine::visible::visible;
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

/// Makes text of a repository safe for a line of a terminal: control characters, and those that turn the direction of text
/// around or hide in it, are shown, not sent.
pub(super) fn printable(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

/// Writes a time, given in milliseconds since the epoch, in UTC to the second.
pub(super) fn timestamp(at_ms: u64) -> String {
    const DAY_S: u64 = 24 * 60 * 60;
    let at_s = at_ms / 1_000;
    let (year, month, day) = date(at_s / DAY_S);
    let of_day = at_s % DAY_S;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// Returns the date of a day that is so many after 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year, and in eras of 400 years, which are all
/// alike: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    // Days from 0000-03-01 to 1970-01-01.
    const EPOCH_DAYS: u64 = 719_468;
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 30.6 days in the mean; 153 days are five of them.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
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
    use super::{printable, timestamp};

    #[test]
    fn times_are_written_in_utc() {
        for (at_ms, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59Z"),
            (1_764_181_267_123, "2025-11-26T18:21:07Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(at_ms), expected);
        }
    }

    #[test]
    fn escape_sequences_and_hidden_characters_of_a_file_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\tc"), "a\\u{1b}[2Jb\tc");
        assert_eq!(
            printable("x\u{202e}y\u{200b}é日"),
            "x\\u{202e}y\\u{200b}é日"
        );
        assert_eq!(printable("two\nlines"), "two\\nlines");
    }
}
