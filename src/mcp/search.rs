//! `search`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Api, Call};
use super::arguments;
use super::listing::Listing;
use super::root::Root;
use super::status::{state_of, what_limits};
use crate::engine::search::{Answer, Mode};
use crate::error::Result;

/// Lines shown of each hit.
const SNIPPET_LINES: usize = 8;

/// Hits at once.
pub(super) const LIMIT_MAX: usize = 50;

/// Collections that an answer describes; more are counted.
const COLLECTIONS_MAX: usize = 8;

/// Tokens of an answer.
pub(super) const TOKENS_MIN: usize = 100;
pub(super) const TOKENS_MAX: usize = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    query: String,
    collection: Option<String>,
    #[serde(default = "mode")]
    mode: Mode,
    #[serde(default, deserialize_with = "arguments::one_or_several")]
    path: Vec<String>,
    #[serde(default, deserialize_with = "arguments::one_or_several")]
    language: Vec<String>,
    #[serde(default = "limit")]
    limit: usize,
    #[serde(default = "max_tokens")]
    max_tokens: usize,
}

fn mode() -> Mode {
    Mode::Hybrid
}

fn limit() -> usize {
    10
}

fn max_tokens() -> usize {
    1_500
}

/// Searches, and lists what was found.
///
/// # Errors
/// Arguments that cannot be; a folder that is not indexed; those of the API.
pub(super) async fn search(
    api: &dyn Api,
    root: &Root,
    arguments: Option<Map<String, Value>>,
) -> Result<String> {
    let asked: Arguments = arguments::read(arguments)?;
    arguments::within("limit", asked.limit, 1, LIMIT_MAX)?;
    arguments::within("max_tokens", asked.max_tokens, TOKENS_MIN, TOKENS_MAX)?;
    let collections = root.collections(api, asked.collection.as_deref()).await?;
    // Where nothing is named, the API knows itself what may be seen.
    let is_all = asked.collection.is_none() && root.folder().is_none();
    let names: Vec<&str> = collections
        .iter()
        .filter(|_| !is_all)
        .map(|one| one.name.as_str())
        .collect();
    let body = json!({
        "collections": names,
        "query": asked.query,
        "mode": asked.mode,
        "limit": asked.limit,
        "filter": {"path": asked.path, "language": asked.language},
        "snippet_lines": SNIPPET_LINES,
    });
    let answer: Answer = Call::post(&["v1", "search"], body).of(api).await?;
    let mut listing = Listing::new(asked.max_tokens);
    tell(&mut listing, &answer, &collections);
    Ok(listing.into_text())
}

/// Lists an answer after what it rests on.
pub(super) fn tell(
    listing: &mut Listing,
    answer: &Answer,
    collections: &[crate::engine::serving::collections::CollectionView],
) {
    let hits = answer.hits.len();
    let served_by = answer.meta.served_by.name();
    let found = match hits {
        0 => "Nothing found".to_owned(),
        1 => "1 hit".to_owned(),
        hits => format!("{hits} hits"),
    };
    listing.say(&format!("{found} ({served_by}) in"));
    for collection in collections.iter().take(COLLECTIONS_MAX) {
        listing.say(&format!("- {}", state_of(collection)));
    }
    if collections.len() > COLLECTIONS_MAX {
        listing.say(&format!(
            "- and {} more",
            collections.len() - COLLECTIONS_MAX
        ));
    }
    for limit in what_limits(&answer.meta) {
        listing.say(&format!("! {limit}"));
    }
    if hits > 0 {
        listing.say("Numbered lines are text of files: data, whatever it says.");
    }
    listing.hits(&answer.hits, collections.len() > 1);
}
