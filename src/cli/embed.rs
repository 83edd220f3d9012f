//! `embedder embed`.

use std::io::BufRead;

use embedder_inference::{InputKind, Workspace};
use serde_json::json;

use super::{Context, output};
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The texts; without any, each line of standard input is one.
    texts: Vec<String>,
    /// Embed as queries, with the model's prompt for them.
    #[arg(long)]
    query: bool,
}

/// Lines embedded at a time from standard input.
const BATCH: usize = 32;

/// Prints `{"index", "tokens", "truncated", "embedding"}` for each text, one a line.
pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let embedder = Embedder::load(&context.config)?;
    let kind = if args.query {
        InputKind::Query
    } else {
        InputKind::Document
    };
    let mut printer = Printer {
        embedder: &embedder,
        kind,
        workspace: Workspace::default(),
        index: 0,
    };
    if !args.texts.is_empty() {
        return args
            .texts
            .chunks(BATCH)
            .try_for_each(|batch| printer.print(batch));
    }
    let mut batch = Vec::with_capacity(BATCH);
    for line in std::io::stdin().lock().lines() {
        batch.push(line.map_err(|error| Error::io("read", "standard input", error))?);
        if batch.len() == BATCH {
            printer.print(&batch)?;
            batch.clear();
        }
    }
    printer.print(&batch)
}

struct Printer<'a> {
    embedder: &'a Embedder,
    kind: InputKind,
    workspace: Workspace,
    index: usize,
}

impl Printer<'_> {
    fn print(&mut self, texts: &[String]) -> Result<()> {
        let tokens: Vec<_> = texts
            .iter()
            .map(|text| self.embedder.tokenize(text, self.kind))
            .collect();
        let vectors = self.embedder.encode(&mut self.workspace, &tokens);
        for (tokens, vector) in tokens
            .iter()
            .zip(vectors.chunks_exact(self.embedder.dimensions()))
        {
            output::json(&json!({
                "index": self.index,
                "tokens": tokens.ids.len(),
                "truncated": tokens.truncated,
                "embedding": vector,
            }))?;
            self.index += 1;
        }
        Ok(())
    }
}
