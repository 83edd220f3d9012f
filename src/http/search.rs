//! `/v1/search`, `/v1/collections/{collection}/search` and `…/related`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{AGE, CACHE_CONTROL, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use embedder_index::{Rule, RuleSet};
use embedder_reliability::degradation::Rung;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app::App;
use super::extract::{Admitted, Deadline, Path};
use super::guard::Caller;
use super::problem::Problem;
use crate::engine::search::filter::FilterSpec;
use crate::engine::search::{Answer, Hit, Meta, Mode, Place, Reason, SearchRequest};
use crate::engine::serving::Terms;
use crate::engine::serving::live::LiveCollection;
use crate::error::ErrorCode;
use crate::store::CollectionKind;

/// Says that an answer is less than was asked for, and why.
const DEGRADED: HeaderName = HeaderName::from_static("x-degraded");

/// Says whether an answer was there already: `hit` or `miss`.
const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Collections of one search.
const COLLECTIONS_MAX: usize = 64;

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchBody {
    /// On `/v1/search` the collections; by default all that the caller may see, without those of vectors.
    #[serde(default)]
    #[schema(max_items = 64)]
    collections: Vec<String>,
    /// What to look for: a question, words, a name, a pattern.
    #[serde(default)]
    query: String,
    /// How many hits, 1 to 1,000.
    #[serde(default = "limit_default")]
    #[schema(default = 10, minimum = 1, maximum = 1000)]
    limit: usize,
    /// How to search.
    #[serde(default = "mode_default")]
    mode: Mode,
    /// Which files may answer.
    #[serde(default)]
    filter: FilterBody,
    /// Lines shown of each hit.
    #[serde(default = "snippet_lines_default")]
    #[schema(default = 8, maximum = 1000)]
    snippet_lines: usize,
    /// Chunks shown above and below each hit, up to 20.
    #[serde(default)]
    #[schema(maximum = 20)]
    context: u32,
    /// Whether each hit says why it is where it is.
    #[serde(default)]
    explain: bool,
    /// Ranking rules that are left out, by name; `all` is every one.
    #[serde(default)]
    without: Vec<String>,
    /// The lowest rung that may answer where the asked one cannot; below it the answer is 503. By default an earlier
    /// answer, and nothing else in place of `vector`.
    #[serde(default)]
    allow_degraded: Option<AllowDegraded>,
    /// The vector to compare with, in a collection of vectors.
    vector: Option<Vec<f32>>,
}

/// A place in the code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RelatedBody {
    /// The file, relative to the root of its source.
    path: String,
    /// The line, from 1.
    #[schema(minimum = 1)]
    line: u32,
    /// The id of the source, where several of the collection have a file of this path.
    source: Option<String>,
    /// How many hits, 1 to 1,000.
    #[serde(default = "limit_default")]
    #[schema(default = 10, minimum = 1, maximum = 1000)]
    limit: usize,
    /// Which files may answer.
    #[serde(default)]
    filter: FilterBody,
    /// Lines shown of each hit.
    #[serde(default = "snippet_lines_default")]
    #[schema(default = 8, maximum = 1000)]
    snippet_lines: usize,
    /// Chunks shown above and below each hit, up to 20.
    #[serde(default)]
    #[schema(maximum = 20)]
    context: u32,
}

/// Which files may answer: all parts must hold; of several globs or languages one must.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FilterBody {
    /// Globs on the path.
    #[serde(default)]
    #[schema(max_items = 64)]
    path: Vec<String>,
    /// Names of languages.
    #[serde(default)]
    language: Vec<String>,
    /// Facts of the file.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// What may answer in place of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum AllowDegraded {
    /// Nothing.
    None,
    /// Text search.
    Text,
    /// A scan of the stored texts.
    Direct,
    /// An earlier answer.
    Cached,
    /// An empty answer.
    Minimal,
}

/// Hits and what they rest on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SearchResponse<'a> {
    /// The hits, best first.
    hits: &'a [Hit],
    /// What they rest on.
    meta: &'a Meta,
}

fn limit_default() -> usize {
    10
}

fn mode_default() -> Mode {
    Mode::Hybrid
}

fn snippet_lines_default() -> usize {
    8
}

/// Searches a collection.
#[utoipa::path(post, path = "/v1/collections/{collection}/search", tag = "search",
    params(("collection" = String, Path)), request_body = SearchBody,
    responses((status = 200, description = "The answer", body = Answer),
              (status = 206, description = "Less than was asked for: `meta.reasons` and X-Degraded say why", body = Answer)))]
pub(super) async fn in_collection(
    State(app): State<App>,
    caller: Caller,
    deadline: Deadline,
    Path(name): Path<String>,
    Admitted {
        body,
        inside: _inside,
    }: Admitted<SearchBody>,
) -> Result<Response, Problem> {
    caller.must_see(&name)?;
    if !body.collections.is_empty() {
        return Err(Problem::new(
            ErrorCode::InvalidRequest,
            "the collection is named by the address and by the body",
        )
        .with_remedy("leave `collections` away, or use /v1/search"));
    }
    let live = app.service.live(&name)?;
    search(&app, &caller, vec![live], body, deadline).await
}

/// Searches several collections; hits are merged by score.
#[utoipa::path(post, path = "/v1/search", tag = "search", request_body = SearchBody,
    responses((status = 200, description = "The answer", body = Answer),
              (status = 206, description = "Less than was asked for: `meta.reasons` and X-Degraded say why", body = Answer)))]
pub(super) async fn in_several(
    State(app): State<App>,
    caller: Caller,
    deadline: Deadline,
    Admitted {
        body,
        inside: _inside,
    }: Admitted<SearchBody>,
) -> Result<Response, Problem> {
    let lives = chosen(&app, &caller, &body.collections)?;
    search(&app, &caller, lives, body, deadline).await
}

/// Finds what is like the code at a place.
#[utoipa::path(post, path = "/v1/collections/{collection}/related", tag = "search",
    params(("collection" = String, Path)), request_body = RelatedBody,
    responses((status = 200, description = "What is like it", body = Answer)))]
pub(super) async fn related(
    State(app): State<App>,
    caller: Caller,
    deadline: Deadline,
    Path(name): Path<String>,
    Admitted {
        body,
        inside: _inside,
    }: Admitted<RelatedBody>,
) -> Result<Response, Problem> {
    caller.must_see(&name)?;
    let live = app.service.live(&name)?;
    let mut request = SearchRequest::new(String::new(), Mode::Hybrid);
    request.limit = body.limit;
    request.filter = body.filter.spec();
    request.snippet_lines = body.snippet_lines;
    request.context = body.context;
    let place = Place {
        path: body.path,
        line: body.line,
        source: body.source,
    };
    let answer = app
        .service
        .related(vec![live], place, request, Some(deadline.at))
        .await?;
    respond(&app, &answer, None)
}

async fn search(
    app: &App,
    caller: &Caller,
    collections: Vec<Arc<LiveCollection>>,
    body: SearchBody,
    deadline: Deadline,
) -> Result<Response, Problem> {
    // With a vector alone there is nothing to find by words.
    let mode = if body.vector.is_some() && body.query.trim().is_empty() {
        Mode::Vector
    } else {
        body.mode
    };
    let terms = Terms {
        now: app.service.clock.at(deadline.began),
        deadline: deadline.at,
        lowest: lowest(mode, body.allow_degraded),
        tenant: caller.principal().tenant.clone(),
    };
    let request = SearchRequest {
        rules: rules_without(&body.without)?,
        query: body.query,
        mode,
        collections: Vec::new(),
        limit: body.limit,
        filter: body.filter.spec(),
        snippet_lines: body.snippet_lines,
        context: body.context,
        explain: body.explain,
        vector: body.vector,
    };
    let found = app.service.search(collections, request, &terms).await?;
    respond(app, &found.answer, Some(found.is_cached))
}

/// Returns the least that may answer.
fn lowest(mode: Mode, allowed: Option<AllowDegraded>) -> Rung {
    match allowed {
        // Who asks by meaning alone is not helped by words.
        None if mode == Mode::Vector => Rung::Hybrid,
        None => Rung::Cached,
        Some(AllowDegraded::None) => Rung::Hybrid,
        Some(AllowDegraded::Text) => Rung::Text,
        Some(AllowDegraded::Direct) => Rung::Direct,
        Some(AllowDegraded::Cached) => Rung::Cached,
        Some(AllowDegraded::Minimal) => Rung::Minimal,
    }
}

/// Writes an answer; a degraded one says so in its status, its header and its body.
fn respond(app: &App, answer: &Answer, is_cached: Option<bool>) -> Result<Response, Problem> {
    let mut meta = answer.meta.clone();
    if is_cached == Some(true) {
        // What it took the first time says nothing about this time.
        meta.took_ms = 0.0;
    }
    let body = SearchResponse {
        hits: &answer.hits,
        meta: &meta,
    };
    let bytes = serde_json::to_vec(&body)
        .map_err(|error| crate::error::Error::Internal(error.to_string()))?;
    let status = if meta.degraded && app.service.config().server.degraded_is_206 {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let mut response = (
        status,
        [(axum::http::header::CONTENT_TYPE, "application/json")],
        bytes,
    )
        .into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(age_ms) = meta.age_ms {
        headers.insert(AGE, HeaderValue::from(age_ms / 1_000));
    }
    if let Some(is_cached) = is_cached {
        let value = if is_cached { "hit" } else { "miss" };
        headers.insert(CACHE, HeaderValue::from_static(value));
    }
    if meta.degraded {
        let reason = meta
            .reasons
            .first()
            .map_or("", |reason: &Reason| reason.name());
        let value = format!("{};reason={reason}", meta.served_by.name());
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(DEGRADED, value);
        }
    }
    Ok(response)
}

/// Returns the collections asked for, or all that the caller may see.
fn chosen(
    app: &App,
    caller: &Caller,
    names: &[String],
) -> Result<Vec<Arc<LiveCollection>>, Problem> {
    if names.len() > COLLECTIONS_MAX {
        return Err(Problem::new(
            ErrorCode::InvalidRequest,
            format!("{} collections in one search", names.len()),
        )
        .with_remedy(format!("name at most {COLLECTIONS_MAX}")));
    }
    if !names.is_empty() {
        return names
            .iter()
            .map(|name| {
                caller.must_see(name)?;
                Ok(app.service.live(name)?)
            })
            .collect();
    }
    let library = app.service.library();
    let seen = library.values().filter(|live| {
        let collection = live.collection();
        collection.kind != CollectionKind::Vectors && caller.sees(&collection.name)
    });
    Ok(seen.cloned().collect())
}

fn rules_without(names: &[String]) -> Result<RuleSet, Problem> {
    names
        .iter()
        .try_fold(RuleSet::ALL, |left, name| match Rule::by_name(name) {
            Some(rule) => Ok(left.without(rule)),
            None if name == "all" => Ok(Rule::all().fold(left, RuleSet::without)),
            None => Err(Problem::new(
                ErrorCode::InvalidRequest,
                format!("there is no ranking rule {name:?}"),
            )
            .with_remedy("`embedder eval rules` lists them")),
        })
}

impl FilterBody {
    fn spec(self) -> FilterSpec {
        FilterSpec {
            paths: self.path,
            languages: self.language,
            metadata: self.metadata,
        }
    }
}
