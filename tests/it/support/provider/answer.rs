//! What a call asks for and what it is answered with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Mode;
use super::vectors::{vector, words};

/// The most texts of one call, as at OpenAI.
const TEXTS_MAX: usize = 2_048;

/// What a call asks for.
pub(super) struct Asked {
    pub(super) texts: Vec<String>,
    model: String,
    is_base64: bool,
    /// How long the vectors have to be, where that is said.
    dimensions: Option<usize>,
}

impl Asked {
    /// Reads a body; what is wrong with it where something is.
    pub(super) fn parse(body: &[u8]) -> Result<Asked, String> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| format!("The body is no JSON, or has no length: {error}"))?;
        let texts = match &body["input"] {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(texts) => {
                let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
                texts.collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        let texts: Vec<String> = texts.ok_or("'$.input' is invalid: texts are expected.")?;
        if texts.is_empty() || texts.len() > TEXTS_MAX || texts.contains(&String::new()) {
            return Err(format!(
                "'$.input' is invalid: from 1 to {TEXTS_MAX} texts are expected, none of them empty."
            ));
        }
        let model = body["model"].as_str();
        let model = model
            .ok_or("you must provide a model parameter")?
            .to_owned();
        let is_base64 = match body["encoding_format"].as_str() {
            Some("base64") => true,
            Some("float") | None => false,
            Some(other) => return Err(format!("'{other}' is no encoding_format")),
        };
        let dimensions = if body["dimensions"].is_null() {
            None
        } else {
            let number = body["dimensions"].as_u64();
            let number = number.filter(|number| (1..=4_096).contains(number));
            Some(number.ok_or("'$.dimensions' is invalid")? as usize)
        };
        Ok(Asked {
            texts,
            model,
            is_base64,
            dimensions,
        })
    }
}

/// The body of a failure.
pub(super) fn problem(message: &str) -> Vec<u8> {
    let error = json!({"message": message, "type": "fake_error", "param": null, "code": null});
    json!({"error": error}).to_string().into_bytes()
}

/// The body of an answer: vectors of so many numbers, unless asked otherwise, with the mode's fault.
pub(super) fn body(asked: &Asked, dimensions: usize, mode: Mode) -> Vec<u8> {
    let mut dimensions = asked.dimensions.unwrap_or(dimensions);
    if mode == Mode::WrongDimensions {
        dimensions += 1;
    }
    let last = asked.texts.len() - 1;
    let token = if let Mode::NotFinite(token) = mode {
        Some(token)
    } else {
        None
    };
    let texts = asked.texts.iter().enumerate();
    let mut items: Vec<String> = texts
        .map(|(place, text)| {
            let index = if mode == Mode::DuplicateIndex {
                0
            } else {
                place + usize::from(mode == Mode::IndexOutOfRange && place == last)
            };
            let broken = token.filter(|_| place == last);
            let vector = vector(text, dimensions);
            let vector = if asked.is_base64 {
                in_base64(vector, broken.is_some())
            } else {
                in_json(&vector, broken)
            };
            format!(r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#)
        })
        .collect();
    if mode == Mode::TooFew {
        items.pop();
    }
    if mode == Mode::ShuffledIndexes {
        items.reverse();
    }
    let tokens: usize = asked.texts.iter().map(|text| words(text).count()).sum();
    let model = json!(asked.model);
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    let items = items.join(",");
    // By hand, because what is wrong on purpose is no JSON value.
    let body = format!(r#"{{"object":"list","data":[{items}],"model":{model},"usage":{usage}}}"#);
    let mut body = body.into_bytes();
    if mode == Mode::Malformed {
        body.truncate(body.len() / 2);
    }
    body
}

/// A list of numbers, the last of which a token stands for if there is one.
fn in_json(vector: &[f32], broken: Option<&str>) -> String {
    let mut numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
    if let (Some(last), Some(token)) = (numbers.last_mut(), broken) {
        token.clone_into(last);
    }
    format!("[{}]", numbers.join(","))
}

/// A string of the numbers' bytes in base64, the last of them a NaN if it is to be broken.
fn in_base64(mut vector: Vec<f32>, is_broken: bool) -> String {
    if let (Some(last), true) = (vector.last_mut(), is_broken) {
        *last = f32::NAN;
    }
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    format!("\"{}\"", STANDARD.encode(bytes))
}
