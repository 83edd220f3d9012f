//! `embedder embed`.

use std::io::BufRead;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use embedder_inference::{InputKind, Workspace};
use serde::Deserialize;
use serde_json::json;

use super::{Context, output, served};
use crate::engine::embed::Embedder;
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::daemon::Daemon;

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
    let kind = if args.query {
        InputKind::Query
    } else {
        InputKind::Document
    };
    let embed: Embed = match served::find_for_model(context)? {
        Some(server) => {
            // Without a model the server says itself what is wrong.
            let model = served::model(&server)?.unwrap_or_else(|| context.config.model.clone());
            Box::new(move |texts: &[String]| through(&server, &model, texts, kind))
        }
        None => {
            let embedder = Embedder::load(&context.config)?;
            let mut workspace = Workspace::default();
            Box::new(move |texts: &[String]| Ok(alone(&embedder, &mut workspace, texts, kind)))
        }
    };
    let mut printer = Printer { embed, index: 0 };
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

/// Embeds texts, here or there.
type Embed = Box<dyn FnMut(&[String]) -> Result<Vec<Embedded>>>;

/// A text with what became of it.
struct Embedded {
    tokens: usize,
    truncated: bool,
    vector: Vec<f32>,
}

struct Printer {
    embed: Embed,
    index: usize,
}

impl Printer {
    fn print(&mut self, texts: &[String]) -> Result<()> {
        for embedded in (self.embed)(texts)? {
            output::json(&json!({
                "index": self.index,
                "tokens": embedded.tokens,
                "truncated": embedded.truncated,
                "embedding": embedded.vector,
            }))?;
            self.index += 1;
        }
        Ok(())
    }
}

fn alone(
    embedder: &Embedder,
    workspace: &mut Workspace,
    texts: &[String],
    kind: InputKind,
) -> Vec<Embedded> {
    let tokens: Vec<_> = texts
        .iter()
        .map(|text| embedder.tokenize(text, kind))
        .collect();
    let vectors = embedder.encode(workspace, &tokens);
    tokens
        .iter()
        .zip(vectors.chunks_exact(embedder.dimensions()))
        .map(|(tokens, vector)| Embedded {
            tokens: tokens.ids.len(),
            truncated: tokens.truncated,
            vector: vector.to_vec(),
        })
        .collect()
}

/// Asks for each text on its own, because the server counts tokens by request, and for all at once: there they become
/// batches again.
fn through(
    server: &Daemon,
    model: &str,
    texts: &[String],
    kind: InputKind,
) -> Result<Vec<Embedded>> {
    thread::scope(|scope| {
        let asked: Vec<_> = texts
            .iter()
            .map(|text| scope.spawn(move || ask(server, model, text, kind)))
            .collect();
        asked
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(Error::Internal("asking for a vector panicked".to_owned()))
                })
            })
            .collect()
    })
}

fn ask(server: &Daemon, model: &str, text: &str, kind: InputKind) -> Result<Embedded> {
    // The server refuses a text without anything in it; a space is as little to the tokenizer.
    let input = if text.is_empty() { " " } else { text };
    let input_type = match kind {
        InputKind::Query => "query",
        InputKind::Document => "document",
    };
    let embed = |truncate: bool| -> Result<Response> {
        server.post(
            &["v1", "embeddings"],
            &json!({
                "input": input,
                "model": model,
                "input_type": input_type,
                "truncate": truncate,
                // Exact, and half as long as numbers in words.
                "encoding_format": "base64",
            }),
        )
    };
    let (truncated, response) = match embed(false) {
        // Too long for the model, unless cutting does not help either.
        Err(error) if error.code() == ErrorCode::InvalidRequest => (true, embed(true)?),
        response => (false, response?),
    };
    let vector = response.data.first().and_then(Row::vector);
    Ok(Embedded {
        tokens: response.usage.prompt_tokens,
        truncated,
        vector: vector
            .ok_or_else(|| Error::Internal("the server's vector cannot be read".to_owned()))?,
    })
}

/// What is read of the server's answer.
#[derive(Deserialize)]
struct Response {
    data: Vec<Row>,
    usage: Usage,
}

#[derive(Deserialize)]
struct Row {
    embedding: String,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: usize,
}

impl Row {
    /// Reads little-endian 32-bit floats in base64.
    fn vector(&self) -> Option<Vec<f32>> {
        let bytes = STANDARD.decode(&self.embedding).ok()?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        rest.is_empty().then(|| {
            numbers
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_read_bit_for_bit() {
        let check = |bytes: &[u8], expected: Option<&[f32]>| {
            let row = Row {
                embedding: STANDARD.encode(bytes),
            };
            assert_eq!(row.vector().as_deref(), expected);
        };
        let numbers = [0.1_f32, -1.5, f32::MIN_POSITIVE];
        check(&numbers.map(f32::to_le_bytes).concat(), Some(&numbers));
        check(&[], Some(&[]));
        check(&[0; 5], None);
        let malformed = Row {
            embedding: "é".to_owned(),
        };
        assert_eq!(malformed.vector(), None);
    }
}
