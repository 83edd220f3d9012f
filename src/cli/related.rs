//! `embedder related`.

use super::{Context, output, search};
use crate::engine::search::{Mode, Reader};
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
    let request = args
        .shape
        .request(String::new(), Mode::Hybrid, args.collection)?;
    let mut reader = Reader::open(&context.config)?;
    let answer = reader.related(path, line, &request)?;
    if args.shape.json {
        output::json(&answer)
    } else {
        search::print(&answer)
    }
}

fn parse(place: &str) -> Result<(&str, u32)> {
    let parsed = place
        .rsplit_once(':')
        .and_then(|(path, line)| Some((path, line.parse().ok()?)));
    parsed
        .filter(|&(path, line)| !path.is_empty() && line > 0)
        .ok_or_else(|| Error::Argument {
            problem: format!("{place:?} is not FILE:LINE"),
            remedy: "for example src/main.rs:12".to_owned(),
        })
}
