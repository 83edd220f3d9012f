//! `/v1/embeddings` and `/v1/models`, in the shapes that OpenAI clients send and read.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use embedder_inference::{IdsError, InputKind, Tokens};
use embedder_reliability::admission::Served;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app::App;
use super::extract::{Admitted, Deadline, Path};
use super::guard::Caller;
use super::problem::Problem;
use super::quotas::units_of_texts;
use crate::clock;
use crate::engine::embed::Embedder;
use crate::engine::embed::batcher::{Lane, Vectors};
use crate::error::ErrorCode;

/// Texts in one request, as OpenAI takes them.
const INPUTS_MAX: usize = 2_048;

/// Text that is tokenised where it is read; more is a millisecond of work and goes to a thread for it.
const INLINE_BYTES_MAX: usize = 4 * 1024;

/// Texts to be embedded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingsRequest {
    /// A text, several texts, the tokens of a text, or those of several.
    input: Input,
    /// The model; `GET /v1/models` lists what there is.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    /// How the vectors are written.
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// The length of the vectors; must be the model's own.
    dimensions: Option<usize>,
    /// Who asks; not looked at.
    #[serde(default)]
    #[expect(dead_code, reason = "part of the shape that clients send")]
    user: Option<String>,
    /// Whether a text that is longer than the model reads is cut instead of refused.
    #[serde(default)]
    truncate: bool,
    /// What the texts are, for models that embed queries and documents differently.
    #[serde(default)]
    input_type: InputType,
}

/// What is embedded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum Input {
    /// One text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// The model's own tokens of one text.
    Tokens(Vec<u32>),
    /// The model's own tokens of several texts.
    TokenLists(Vec<Vec<u32>>),
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EncodingFormat {
    /// As numbers.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats.
    Base64,
}

/// What the texts are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum InputType {
    /// What is searched.
    #[default]
    Document,
    /// What is searched for.
    Query,
}

/// The vectors of the texts, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmbeddingsResponse {
    /// Always `list`.
    object: &'static str,
    /// One a text.
    data: Vec<EmbeddingRow>,
    /// The model.
    model: String,
    /// What it took.
    usage: Usage,
}

/// One vector.
#[derive(Debug, Serialize, ToSchema)]
struct EmbeddingRow {
    /// Always `embedding`.
    object: &'static str,
    /// The place of its text.
    index: usize,
    /// The vector.
    embedding: Embedding,
}

/// A vector, written as it was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Embedding {
    /// As numbers.
    Float(Vec<f32>),
    /// As base64.
    Base64(String),
}

/// What a request took.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
struct Usage {
    /// Tokens of the texts.
    prompt_tokens: usize,
    /// The same.
    total_tokens: usize,
}

/// The models that are served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList {
    /// Always `list`.
    object: &'static str,
    /// The models.
    data: Vec<ModelCard>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelCard {
    /// Its name.
    id: String,
    /// Always `model`.
    object: &'static str,
    /// Not known: models are found, not made here.
    created: u64,
    /// Always `embedder`.
    owned_by: &'static str,
    /// The length of its vectors.
    dimensions: usize,
    /// The longest text in tokens.
    max_tokens: usize,
    /// The identity of everything that decides a vector.
    fingerprint: String,
}

/// Embeds texts.
#[utoipa::path(post, path = "/v1/embeddings", tag = "embeddings", request_body = EmbeddingsRequest,
    params(("X-Priority" = Option<String>, Header, description = "`bulk`: nobody waits for this")),
    responses((status = 200, description = "The vectors, in the order of the texts", body = EmbeddingsResponse)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    deadline: Deadline,
    headers: HeaderMap,
    Admitted {
        body: request,
        mut inside,
    }: Admitted<EmbeddingsRequest>,
) -> Result<Response, Problem> {
    let model = app.service.model.required()?;
    let embedder = std::sync::Arc::clone(model.embedder());
    check_model(&request.model, &embedder)?;
    if let Some(dimensions) = request.dimensions
        && dimensions != embedder.dimensions()
    {
        return Err(invalid(
            format!(
                "the vectors of this model have {} numbers, not {dimensions}",
                embedder.dimensions()
            ),
            "leave `dimensions` away",
        ));
    }
    let lane = match headers.get("x-priority").map(|value| value.as_bytes()) {
        Some(b"bulk") => Lane::Bulk,
        _ => Lane::Interactive,
    };
    let format = request.encoding_format;
    let texts = if request.input.bytes() <= INLINE_BYTES_MAX {
        tokens_of(&embedder, request)?
    } else {
        let embedder = std::sync::Arc::clone(&embedder);
        app.service
            .searches
            .run(Some(deadline.at), move || tokens_of(&embedder, request))
            .await??
    };
    let prompt_tokens = texts.iter().map(|text| text.ids.len()).sum();
    let units = units_of_texts(texts.len(), prompt_tokens);
    caller.take_all(units, app.service.clock.now())?;
    let submitted = clock::now();
    // Dropped with this future when the client goes away; what is not begun then never is.
    let vectors = app
        .service
        .embed(&model, lane, texts, deadline.at, deadline.began)
        .await?;
    if let Some(took) = model.batcher().usual_time(lane, prompt_tokens) {
        inside.served(Served {
            waited: clock::now()
                .saturating_duration_since(submitted)
                .saturating_sub(took),
            took,
            was_late: false,
        });
    }
    let answer = EmbeddingsResponse {
        object: "list",
        data: rows(&vectors, format),
        model: embedder.name().to_owned(),
        usage: Usage {
            prompt_tokens,
            total_tokens: prompt_tokens,
        },
    };
    let mut response = ([(CONTENT_TYPE, "application/json")], to_json(&answer)?).into_response();
    response.extensions_mut().insert(super::Incompressible);
    Ok(response)
}

/// Lists the models that are served.
#[utoipa::path(get, path = "/v1/models", tag = "embeddings",
    responses((status = 200, description = "The models", body = ModelList)))]
pub(super) async fn list_models(State(app): State<App>) -> axum::Json<ModelList> {
    let model = app.service.model.get().ok();
    axum::Json(ModelList {
        object: "list",
        data: model.iter().map(|model| card(model.embedder())).collect(),
    })
}

/// Describes a model.
#[utoipa::path(get, path = "/v1/models/{model}", tag = "embeddings", params(("model" = String, Path)),
    responses((status = 200, description = "The model", body = ModelCard)))]
pub(super) async fn get_model(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<axum::Json<ModelCard>, Problem> {
    let model = app.service.model.required()?;
    check_model(&name, model.embedder())?;
    Ok(axum::Json(card(model.embedder())))
}

impl Input {
    fn bytes(&self) -> usize {
        match self {
            Input::Text(text) => text.len(),
            Input::Texts(texts) => texts.iter().map(String::len).sum(),
            Input::Tokens(_) | Input::TokenLists(_) => 0,
        }
    }
}

fn check_model(name: &str, embedder: &Embedder) -> Result<(), Problem> {
    if name == embedder.name() {
        return Ok(());
    }
    let name: String = name.chars().take(80).collect();
    Err(Problem::new(
        ErrorCode::NotFound,
        format!("the model {name:?} is not served"),
    )
    .with_remedy(format!("this server has {:?}", embedder.name())))
}

/// Turns the input into tokens; one that cannot be embedded refuses all.
fn tokens_of(embedder: &Embedder, request: EmbeddingsRequest) -> Result<Vec<Tokens>, Problem> {
    let kind = match request.input_type {
        InputType::Document => InputKind::Document,
        InputType::Query => InputKind::Query,
    };
    let by_text = |(index, text): (usize, String)| {
        if text.is_empty() {
            return Err(invalid(format!("input {index} is empty"), "send a text"));
        }
        let tokens = embedder.tokenize(&text, kind);
        if tokens.truncated && !request.truncate {
            return Err(invalid(
                format!(
                    "input {index} is longer than the {} tokens that the model reads",
                    embedder.max_tokens()
                ),
                "shorten it, or send `truncate: true`",
            ));
        }
        Ok(tokens)
    };
    let by_ids = |(index, mut ids): (usize, Vec<u32>)| {
        let mut tokens = embedder.tokens_of_ids(&ids);
        while let Err(IdsError::TooMany { count, max }) = tokens
            && request.truncate
        {
            ids.truncate(ids.len().saturating_sub(count - max));
            tokens = embedder.tokens_of_ids(&ids);
        }
        tokens.map_err(|error| {
            invalid(
                format!("input {index}: {error}"),
                "send the tokens of this model's own tokenizer, or text",
            )
        })
    };
    match request.input {
        Input::Text(text) => Ok(vec![by_text((0, text))?]),
        Input::Tokens(ids) => Ok(vec![by_ids((0, ids))?]),
        Input::Texts(texts) => {
            check_count(texts.len())?;
            texts.into_iter().enumerate().map(by_text).collect()
        }
        Input::TokenLists(lists) => {
            check_count(lists.len())?;
            lists.into_iter().enumerate().map(by_ids).collect()
        }
    }
}

fn check_count(count: usize) -> Result<(), Problem> {
    if (1..=INPUTS_MAX).contains(&count) {
        return Ok(());
    }
    Err(invalid(
        format!("{count} inputs in one request"),
        &format!("send 1 to {INPUTS_MAX}"),
    ))
}

fn rows(vectors: &Vectors, format: EncodingFormat) -> Vec<EmbeddingRow> {
    let row = |(index, vector): (usize, &[f32])| EmbeddingRow {
        object: "embedding",
        index,
        embedding: match format {
            EncodingFormat::Float => Embedding::Float(vector.to_vec()),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = vector
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                Embedding::Base64(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
        },
    };
    vectors.iter().enumerate().map(row).collect()
}

fn card(embedder: &Embedder) -> ModelCard {
    ModelCard {
        id: embedder.name().to_owned(),
        object: "model",
        created: 0,
        owned_by: "embedder",
        dimensions: embedder.dimensions(),
        max_tokens: embedder.max_tokens(),
        fingerprint: embedder.fingerprint().to_owned(),
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value)
        .map_err(|error| crate::error::Error::Internal(error.to_string()).into())
}

fn invalid(detail: impl Into<String>, remedy: &str) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, detail).with_remedy(remedy)
}
