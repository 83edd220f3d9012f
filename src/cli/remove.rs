//! `embedder remove`.

use super::{Context, output};
use crate::engine::remove;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The collection. Its folders are not touched.
    collection: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let removed = remove::remove(&context.config, &args.collection)?;
    if args.json {
        return output::json(&removed);
    }
    output::line(&format!(
        "took out `{}`: {} files, {} chunks, {} vectors; its folders are as they were",
        removed.collection, removed.counts.files, removed.counts.chunks, removed.vectors
    ))
}
