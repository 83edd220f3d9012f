//! Working through the running server of the data directory.
//!
//! Where a server runs, it has the data directory's lock, the model and the collections in memory; a command then asks
//! it, and prints what it would have printed alone. Names of collections and places in the code are found in the store,
//! which is read beside the server.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use crate::config::{Origin, Secret};
use crate::engine::access::LocalKey;
use crate::engine::embed::Embedder;
use crate::engine::search::filter::FilterSpec;
use crate::engine::search::{Answer, Place, Reader, SearchRequest};
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::daemon::Daemon;
use crate::store::data_dir::DataDir;

mod indexing;

pub(super) use indexing::index;

/// How much longer than the server allows itself an answer is waited for: the server then says itself that it was too
/// slow.
const ANSWER_GRACE: Duration = Duration::from_secs(10);

/// Finds the server of the data directory; none where none runs.
///
/// # Errors
/// A server that is of another version, does not answer, or whose key cannot be read.
pub(super) fn find(context: &Context) -> Result<Option<Daemon>> {
    let data_dir = &context.config.data_dir;
    let server = &context.config.server;
    let answer_time_max = server.request_time_max.max(server.embed_time_max) + ANSWER_GRACE;
    let key = || -> Result<Secret> {
        let key = LocalKey::read(data_dir)?;
        Ok(Secret::new(key.token().expose()))
    };
    Daemon::find(
        data_dir,
        DataDir::new(data_dir).writer(),
        answer_time_max,
        key,
    )
}

/// Finds the server for a command that uses the model. The model is the server's: one that is named on the command line
/// must be the same.
///
/// # Errors
/// As [`find`]; another model.
pub(super) fn find_for_model(context: &Context) -> Result<Option<Daemon>> {
    let server = find(context)?;
    let is_named = context
        .config
        .table()
        .iter()
        .any(|(setting, _, origin)| setting.key == "model" && *origin == Origin::Flag);
    let (Some(found), true) = (&server, is_named) else {
        return Ok(server);
    };
    let named = Embedder::name_of(&context.config.model);
    match model(found)? {
        Some(model) if model != named => Err(Error::Argument {
            problem: format!(
                "the server of this data directory works with the model `{model}`, not with `{named}`"
            ),
            remedy: "leave --model away, or restart the server with it".to_owned(),
        }),
        _ => Ok(server),
    }
}

/// Finds the server for a command that is nothing without one.
///
/// # Errors
/// As [`find`]; [`ErrorCode::ServerUnavailable`] where none runs.
pub(super) fn require(context: &Context) -> Result<Daemon> {
    find(context)?.ok_or_else(|| Error::Reported {
        code: ErrorCode::ServerUnavailable,
        message: format!("no server runs in {}", context.config.data_dir.display()),
        remedy: Some("start one: `embedder serve`".to_owned()),
    })
}

/// Returns the name of the server's model, if it has one.
///
/// # Errors
/// Those of the server.
pub(super) fn model(server: &Daemon) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Models {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    let models: Models = server.get(&["v1", "models"], &[])?;
    Ok(models.data.into_iter().next().map(|model| model.id))
}

/// Searches as [`Reader::search`] does. `without` names the rules that `request` leaves out.
///
/// # Errors
/// As [`Reader::search`]; those of the server.
pub(super) fn search(
    server: &Daemon,
    reader: &Reader,
    request: &SearchRequest,
    without: &[String],
) -> Result<Answer> {
    let body = json!({
        "collections": chosen(reader, &request.collections)?,
        "query": request.query,
        "mode": request.mode,
        "limit": request.limit,
        "filter": filter(&request.filter),
        "snippet_lines": request.snippet_lines,
        "context": request.context,
        "explain": request.explain,
        "without": without,
    });
    server.post(&["v1", "search"], &body)
}

/// Finds what is like the code at a place, as [`Reader::related`] does.
///
/// # Errors
/// As [`Reader::related`]; those of the server.
pub(super) fn related(
    server: &Daemon,
    reader: &Reader,
    place: &Place,
    request: &SearchRequest,
) -> Result<Answer> {
    let mut names = chosen(reader, &request.collections)?;
    if names.is_empty() {
        let all = reader.store().collections()?;
        names = all.into_iter().map(|collection| collection.name).collect();
    }
    let path = place.path.strip_prefix("./").unwrap_or(&place.path);
    // The current folder is this process's own, so a path from there is sent whole; the second is from a source's root.
    let from_here = current_folder().map(|folder| folder.join(path).display().to_string());
    for name in &names {
        for path in from_here.as_deref().into_iter().chain([path]) {
            let body = json!({
                "path": path,
                "line": place.line,
                "source": place.source,
                "limit": request.limit,
                "filter": filter(&request.filter),
                "snippet_lines": request.snippet_lines,
                "context": request.context,
            });
            match server.post(&["v1", "collections", name, "related"], &body) {
                Err(error) if error.code() == ErrorCode::NotFound => {}
                result => return result,
            }
        }
    }
    Err(Error::PlaceMissing {
        place: format!("{path}:{}", place.line),
    })
}

/// Returns the names of the collections that a search goes to: those asked for; without any, the one that holds the
/// current folder; none for all.
///
/// The folders are read from the store because the server's list of sources counts their files first.
fn chosen(reader: &Reader, asked: &[String]) -> Result<Vec<String>> {
    if !asked.is_empty() {
        let distinct: BTreeSet<&String> = asked.iter().collect();
        return distinct
            .into_iter()
            .map(|name| reader.collection(name).map(|collection| collection.name))
            .collect();
    }
    let here = reader.holding_current_folder()?;
    Ok(here.into_iter().map(|collection| collection.name).collect())
}

fn current_folder() -> Option<PathBuf> {
    std::env::current_dir().ok()
}

fn filter(spec: &FilterSpec) -> Value {
    json!({
        "path": spec.paths,
        "language": spec.languages,
        "metadata": spec.metadata,
    })
}
