//! `embedder related`.

use super::{Context, output, search, served};
use crate::engine::search::{Mode, Place, Reader};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A line of an indexed file, relative to the root of its collection or to the current folder.
    #[arg(value_name = "FILE:LINE")]
    place: String,
    /// The collection [default: the one holding the current folder, else all].
    #[arg(long, value_name = "NAME")]
    collection: Vec<String>,
    #[command(flatten)]
    shape: search::Shape,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let (path, line) = parse(&args.place)?;
    let place = Place {
        path: path.to_owned(),
        line,
        source: None,
    };
    let request = args
        .shape
        .request(String::new(), Mode::Hybrid, args.collection)?;
    let server = served::find_for_model(context)?;
    let mut reader = Reader::open(&context.config)?;
    let answer = match &server {
        Some(server) => served::related(server, &reader, &place, &request)?,
        None => reader.related(&place, &request)?,
    };
    if args.shape.json {
        output::json(&answer)
    } else {
        search::print(&answer)
    }
}

/// Reads a place as `search` prints it (`FILE:FIRST-LAST`), as an editor does (`FILE:LINE:COLUMN`), or as `FILE:LINE`.
fn parse(place: &str) -> Result<(&str, u32)> {
    let number = |text: &str| text.parse().ok().filter(|&line: &u32| line > 0);
    let (path, last) = place.rsplit_once(':').unwrap_or((place, ""));
    let first = last.split_once('-').map_or(last, |(first, _)| first);
    let with_column = path
        .rsplit_once(':')
        .and_then(|(path, line)| Some((path, number(line)?)));
    let parsed = match (number(first), with_column) {
        (Some(_), Some(with_column)) => Some(with_column),
        (line, _) => line.map(|line| (path, line)),
    };
    parsed
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| Error::Argument {
            problem: format!("{place:?} is not FILE:LINE"),
            remedy: "for example src/main.rs:12".to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_printed() {
        for place in ["src/a.rs:12", "src/a.rs:12-30", "src/a.rs:12:7"] {
            assert_eq!(parse(place).unwrap(), ("src/a.rs", 12), "{place}");
        }
        assert_eq!(parse("c:/a.rs:3").unwrap(), ("c:/a.rs", 3));
        for place in ["", ":3", "a.rs", "a.rs:", "a.rs:0", "a.rs:x", "a.rs:-3"] {
            assert!(parse(place).is_err(), "{place}");
        }
    }
}
