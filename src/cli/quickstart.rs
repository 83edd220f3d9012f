//! `embedder quickstart`.

use std::path::PathBuf;

use serde_json::json;

use super::{Context, index, models, output, search, served};
use crate::config::{Environment, Strings};
use crate::engine::embed::Embedder;
use crate::engine::ingest::{IndexRequest, Origin};
use crate::engine::quickstart::{Question, questions};
use crate::engine::search::{Answer, Mode, Reader, SearchRequest};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print the questions and answers as JSON.
    #[arg(long)]
    json: bool,
}

/// Hits shown of each question.
const HITS: usize = 3;

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    get_model(context)?;
    let request = IndexRequest {
        origin: Origin::Folder(args.path.clone()),
        collection: None,
        within: Vec::new(),
        with_vectors: true,
    };
    let server = served::find_for_model(context)?;
    let report = index::index(context, server.as_ref(), &request)?;
    if !args.json {
        index::print_report(&report)?;
    }
    let mut reader = Reader::open(&context.config)?;
    let collection = reader.collection(&report.collection)?;
    let asked = questions(reader.store(), collection.id)?;
    let mut answers = Vec::new();
    for question in asked {
        let request = SearchRequest {
            collections: vec![report.collection.clone()],
            limit: HITS,
            snippet_lines: 4,
            ..SearchRequest::new(question.text.clone(), Mode::Hybrid)
        };
        let answer = match &server {
            Some(server) => served::search(server, &reader, &request, &[])?,
            None => reader.search(&request)?,
        };
        answers.push((question, answer));
    }
    if args.json {
        let rows = answers
            .iter()
            .map(|(question, answer)| json!({"question": question, "answer": answer}));
        return output::json(&json!({"index": report, "questions": rows.collect::<Vec<_>>()}));
    }
    print(&report.collection, &answers)
}

/// Gets the model unless it is there. Without one the program still works as text search, and says so.
fn get_model(context: &Context) -> Result<()> {
    if Embedder::is_folder(&context.config.model) {
        return Ok(());
    }
    match models::pull(context, &context.config.model, None, false) {
        Ok(_) => Ok(()),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => {
            output::note(&format!("warning: {error}"));
            Ok(())
        }
    }
}

fn print(collection: &str, answers: &[(Question, Answer)]) -> Result<()> {
    for (question, answer) in answers {
        output::line("")?;
        output::line(&format!("$ embedder search {:?}", question.text))?;
        search::print(answer)?;
    }
    if answers.is_empty() {
        output::line("there is nothing in this folder to ask about")?;
    }
    output::line("What to type next:")?;
    let program = program();
    let collection = quoted(collection);
    for (arguments, what) in [
        (
            format!("search --collection {collection} 'YOUR QUESTION'"),
            "ask in your own words, or by name",
        ),
        (
            format!("search --collection {collection} --explain NAME"),
            "see why each hit is where it is",
        ),
        (
            "related FILE:LINE".to_owned(),
            "code like the code at a place",
        ),
        (
            "index PATH".to_owned(),
            "another folder, or this one again after changes",
        ),
        ("status".to_owned(), "what is indexed, and what was skipped"),
    ] {
        output::line(&format!("  {program} {arguments}"))?;
        output::line(&format!("      {what}"))?;
    }
    Ok(())
}

/// Quotes a word for a shell, where it needs it.
fn quoted(word: &str) -> String {
    let is_plain = word
        .chars()
        .all(|c| c.is_alphanumeric() || "-_./".contains(c));
    if is_plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Returns how this program is called from the current folder: by its name where that is on the path.
fn program() -> String {
    let Ok(own) = std::env::current_exe() else {
        return NAME.to_owned();
    };
    let path = Environment.get("PATH").unwrap_or_default();
    let is_on_path = std::env::split_paths(&path).any(|folder| folder.join(NAME) == own);
    let here = std::env::current_dir().unwrap_or_default();
    match own.strip_prefix(here) {
        _ if is_on_path => NAME.to_owned(),
        Ok(relative) => relative.display().to_string(),
        Err(_) => own.display().to_string(),
    }
}

/// The program's name.
const NAME: &str = "embedder";
