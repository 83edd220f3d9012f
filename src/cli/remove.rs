//! `embedder remove`.

use super::{Context, output, served};
use crate::engine::remove::{self, Removed};
use crate::engine::search::Reader;
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
    let removed: Removed = match served::find(context)? {
        Some(server) => {
            // The store knows the names that there are; the server tells nobody.
            let collection = Reader::open(&context.config)?.collection(&args.collection)?;
            server.delete(&["v1", "collections", &collection.name])?
        }
        None => remove::remove(&context.config, &args.collection)?,
    };
    if args.json {
        return output::json(&removed);
    }
    output::line(&format!(
        "took out `{}`: {} files, {} chunks, {} vectors; its folders are as they were",
        removed.collection, removed.counts.files, removed.counts.chunks, removed.vectors
    ))
}
