//! `/v1/collections/{collection}/documents`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::app::App;
use super::extract::{Admitted, Path};
use super::guard::Caller;
use super::problem::Problem;
use super::quotas::UNITS_A_DOCUMENT;
use crate::engine::serving::documents::{NewDocument, Written};
use crate::error::ErrorCode;
use crate::store::Metadata;

/// Documents to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentsRequest {
    /// Up to 1,000 of them; all are written, or none.
    #[schema(max_items = 1000, min_items = 1)]
    documents: Vec<DocumentRequest>,
}

/// A document to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DocumentRequest {
    /// What it goes by within its collection: up to 512 bytes.
    #[schema(max_length = 512, min_length = 1)]
    id: String,
    /// Its text; in a collection of vectors it may be left away.
    #[serde(default)]
    text: Option<String>,
    /// The language it is read as, for example `markdown`; by default what its id looks like.
    language: Option<String>,
    /// Facts to filter by: strings, numbers, booleans.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: BTreeMap<String, Value>,
    /// Its vector, in a collection of vectors.
    vector: Option<Vec<f32>>,
}

/// What was written.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DocumentsResponse {
    /// One for each document, in their order.
    results: Vec<DocumentResult>,
    /// How far their vectors are.
    embedding: EmbeddingState,
}

/// What writing a document did.
#[derive(Debug, Serialize, ToSchema)]
struct DocumentResult {
    id: String,
    status: Written,
}

/// How far vectors are.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EmbeddingState {
    /// They are there.
    Ready,
    /// They follow.
    Pending,
    /// There is no model; they follow when there is one.
    Unavailable,
}

/// A document.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DocumentResponse {
    id: String,
    text: String,
    language: Option<String>,
    metadata: Metadata,
    /// When it was written, in milliseconds since the epoch.
    updated_ms: u64,
    embedding: EmbeddingState,
}

/// Writes documents: new ones are made, others replaced. When this answers they are on disk and found by their words.
#[utoipa::path(post, path = "/v1/collections/{collection}/documents", tag = "documents",
    params(("collection" = String, Path)), request_body = DocumentsRequest,
    responses((status = 200, description = "What was written", body = DocumentsResponse)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    request: Admitted<DocumentsRequest>,
) -> Result<axum::Json<DocumentsResponse>, Problem> {
    caller.must_see(&name)?;
    let Admitted {
        body: request,
        inside: _inside,
    } = request;
    let count = u32::try_from(request.documents.len()).unwrap_or(u32::MAX);
    let units = count.saturating_mul(UNITS_A_DOCUMENT);
    caller.take_all(units, app.service.clock.now())?;
    let documents: Vec<NewDocument> = request
        .documents
        .into_iter()
        .map(DocumentRequest::checked)
        .collect::<Result<_, _>>()?;
    let has_vectors = documents.iter().all(|document| document.vector.is_some());
    let response = app
        .service
        .work(move |service| {
            let written = service.put_documents(&name, &documents)?;
            let is_new = written.iter().any(|&written| written != Written::Unchanged);
            let live = service.live(&name)?;
            let embedding = match service.vectors_for(&live) {
                _ if has_vectors => EmbeddingState::Ready,
                Some(_) if is_new => EmbeddingState::Pending,
                Some(_) => {
                    let fraction = service.describe(&name)?.embedded_fraction;
                    if fraction.is_some_and(|fraction| fraction >= 1.0) {
                        EmbeddingState::Ready
                    } else {
                        EmbeddingState::Pending
                    }
                }
                None => EmbeddingState::Unavailable,
            };
            let ids = documents.into_iter().map(|document| document.id);
            let results = ids
                .zip(written)
                .map(|(id, status)| DocumentResult { id, status });
            Ok(DocumentsResponse {
                results: results.collect(),
                embedding,
            })
        })
        .await?;
    Ok(axum::Json(response))
}

/// Returns a document.
#[utoipa::path(get, path = "/v1/collections/{collection}/documents/{id}", tag = "documents",
    params(("collection" = String, Path), ("id" = String, Path, description = "slashes as they are, or as %2F")),
    responses((status = 200, description = "The document", body = DocumentResponse)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
) -> Result<axum::Json<DocumentResponse>, Problem> {
    caller.must_see(&name)?;
    let response = app
        .service
        .work(move |service| {
            let document = service.document(&name, &id)?;
            Ok(DocumentResponse {
                id,
                text: document.text,
                language: document.language,
                metadata: document.metadata,
                updated_ms: document.updated_ms,
                embedding: match document.is_embedded {
                    Some(true) => EmbeddingState::Ready,
                    Some(false) => EmbeddingState::Pending,
                    None => EmbeddingState::Unavailable,
                },
            })
        })
        .await?;
    Ok(axum::Json(response))
}

/// Takes a document out.
#[utoipa::path(delete, path = "/v1/collections/{collection}/documents/{id}", tag = "documents",
    params(("collection" = String, Path), ("id" = String, Path, description = "slashes as they are, or as %2F")),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.must_see(&name)?;
    app.service
        .work(move |service| service.delete_document(&name, &id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl DocumentRequest {
    fn checked(self) -> Result<NewDocument, Problem> {
        let mut keys = std::collections::BTreeSet::new();
        let twice = self
            .metadata
            .keys()
            .find(|key| !keys.insert(key.to_lowercase()));
        if let Some(key) = twice {
            return Err(Problem::new(
                ErrorCode::InvalidRequest,
                format!("the metadata `{key}` is there twice; upper and lower case are the same"),
            )
            .with_remedy("leave one of the two away"));
        }
        let facts = self.metadata.into_iter().map(|(key, value)| match value {
            Value::String(text) => Ok((key.to_lowercase(), text)),
            Value::Number(_) | Value::Bool(_) => Ok((key.to_lowercase(), value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(Problem::new(
                ErrorCode::InvalidRequest,
                format!("the metadata `{key}` is not a string, a number or a boolean"),
            )
            .with_remedy("join lists with commas; leave away what is null")),
        });
        Ok(NewDocument {
            metadata: facts.collect::<Result<_, _>>()?,
            id: self.id,
            text: match (self.text, &self.vector) {
                (Some(text), _) => text,
                (None, Some(_)) => String::new(),
                (None, None) => {
                    return Err(Problem::new(
                        ErrorCode::InvalidRequest,
                        "a document without `text`",
                    )
                    .with_remedy("send its text"));
                }
            },
            language: self.language,
            vector: self.vector,
        })
    }
}
