//! `related`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Api, Call};
use super::arguments;
use super::file::{Lines, NamedFile, missing};
use super::listing::Listing;
use super::root::Root;
use super::search::{LIMIT_MAX, TOKENS_MAX, TOKENS_MIN, tell};
use crate::engine::search::Answer;
use crate::error::{Error, ErrorCode, Result};

/// Lines shown of each hit.
const SNIPPET_LINES: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    line: u32,
    collection: Option<String>,
    #[serde(default = "limit")]
    limit: usize,
    #[serde(default = "max_tokens")]
    max_tokens: usize,
}

fn limit() -> usize {
    5
}

fn max_tokens() -> usize {
    1_500
}

/// Finds what is like the code at a place, in the first collection that has it.
///
/// # Errors
/// Arguments that cannot be; a place that is not indexed; those of the API.
pub(super) async fn related(
    api: &dyn Api,
    root: &Root,
    arguments: Option<Map<String, Value>>,
) -> Result<String> {
    let asked: Arguments = arguments::read(arguments)?;
    arguments::within("line", asked.line as usize, 1, u32::MAX as usize)?;
    arguments::within("limit", asked.limit, 1, LIMIT_MAX)?;
    arguments::within("max_tokens", asked.max_tokens, TOKENS_MIN, TOKENS_MAX)?;
    let collections = root.collections(api, asked.collection.as_deref()).await?;
    let mut is_there = false;
    for collection in &collections {
        let file = NamedFile::new(api, collection, &asked.path).await?;
        let body = json!({
            "path": file.path,
            "line": asked.line,
            "limit": asked.limit,
            "snippet_lines": SNIPPET_LINES,
        });
        let call = Call::post(&["v1", "collections", &collection.name, "related"], body);
        match call.of::<Answer>(api).await {
            Ok(answer) => {
                let mut listing = Listing::new(asked.max_tokens);
                tell(&mut listing, &answer, std::slice::from_ref(collection));
                return Ok(listing.into_text());
            }
            Err(error) if error.code() == ErrorCode::NotFound => {
                let line = Lines {
                    from: asked.line,
                    to: Some(asked.line),
                };
                is_there |= file.read(api, line).await?.is_some();
            }
            Err(error) => return Err(error),
        }
    }
    if is_there {
        return Err(Error::Argument {
            problem: format!("nothing of `{}` is in line {}", asked.path, asked.line),
            remedy: "`read` shows its lines".to_owned(),
        });
    }
    Err(missing(api, &collections, &asked.path).await)
}
