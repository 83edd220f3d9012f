//! What a provider answers, and whether it can be used.

use base64::Engine;
use serde::Deserialize;

/// Bytes of an answer beside its numbers.
const BYTES_BESIDE: usize = 64 * 1024;

/// Bytes that a number takes at most, written out with its comma.
const BYTES_NUMBER: usize = 32;

/// Why an answer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// It is not what was agreed on.
    #[error("it is not a list of embeddings")]
    Malformed,
    /// There are more or fewer vectors than texts, or two for one text.
    #[error("it does not have one vector for each text")]
    WrongCount,
    /// A vector has another length.
    #[error("a vector has {found} numbers and not {expected}, as embedding.dimensions says")]
    WrongDimensions {
        /// Numbers of that vector.
        found: usize,
        /// Numbers of a vector.
        expected: usize,
    },
    /// A vector has something that is no number, or nothing but zeros.
    #[error("a vector has no direction")]
    NoDirection,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    embedding: Embedding,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Embedding {
    Numbers(Vec<f32>),
    Base64(String),
}

/// Returns how long an answer may be.
pub(super) fn bytes_max(texts: usize, dimensions: usize) -> usize {
    texts
        .saturating_mul(dimensions)
        .saturating_mul(BYTES_NUMBER)
        .saturating_add(BYTES_BESIDE)
}

/// Returns the vectors in the order of their texts.
pub(super) fn vectors_of(
    body: &[u8],
    texts: usize,
    dimensions: usize,
) -> Result<Vec<Vec<f32>>, BadAnswer> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| BadAnswer::Malformed)?;
    if answer.data.len() != texts {
        return Err(BadAnswer::WrongCount);
    }
    let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); texts];
    for row in answer.data {
        let vector = numbers_of(row.embedding)?;
        if vector.len() != dimensions {
            return Err(BadAnswer::WrongDimensions {
                found: vector.len(),
                expected: dimensions,
            });
        }
        if !has_direction(&vector) {
            return Err(BadAnswer::NoDirection);
        }
        match vectors.get_mut(row.index) {
            Some(place) if place.is_empty() => *place = vector,
            Some(_) | None => return Err(BadAnswer::WrongCount),
        }
    }
    Ok(vectors)
}

fn numbers_of(embedding: Embedding) -> Result<Vec<f32>, BadAnswer> {
    match embedding {
        Embedding::Numbers(numbers) => Ok(numbers),
        Embedding::Base64(text) => {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|_| BadAnswer::Malformed)?;
            if bytes.len() % 4 != 0 {
                return Err(BadAnswer::Malformed);
            }
            let number =
                |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            Ok(bytes.chunks_exact(4).map(number).collect())
        }
    }
}

/// Whether a cosine with it means anything: its length is a number, and not zero.
fn has_direction(vector: &[f32]) -> bool {
    let squares: f32 = vector.iter().map(|value| value * value).sum();
    squares.is_normal()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_gets_its_own_vector_or_none_gets_any() {
        let check = |body: serde_json::Value, expected: Result<Vec<Vec<f32>>, BadAnswer>| {
            assert_eq!(
                vectors_of(body.to_string().as_bytes(), 2, 2),
                expected,
                "{body}"
            );
        };
        let row = |index: usize, embedding: serde_json::Value| json!({"index": index, "embedding": embedding});
        let (a, b) = (json!([1.0, 2.0]), json!([3.0, 4.0]));
        let both = Ok(vec![vec![1.0, 2.0], vec![3.0, 4.0]]);
        check(
            json!({"data": [row(0, a.clone()), row(1, b.clone())]}),
            both.clone(),
        );
        check(
            json!({"data": [row(1, b.clone()), row(0, a.clone())]}),
            both.clone(),
        );
        let in_base64 = json!(
            base64::engine::general_purpose::STANDARD.encode(
                [3.0_f32, 4.0]
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect::<Vec<_>>()
            )
        );
        check(
            json!({"data": [row(0, a.clone()), row(1, in_base64)]}),
            both,
        );
        let count = Err(BadAnswer::WrongCount);
        check(json!({"data": [row(0, a.clone())]}), count.clone());
        check(
            json!({"data": [row(0, a.clone()), row(0, b.clone())]}),
            count.clone(),
        );
        check(
            json!({"data": [row(0, a.clone()), row(7, b.clone())]}),
            count,
        );
        let (found, expected) = (1, 2);
        check(
            json!({"data": [row(0, a.clone()), row(1, json!([1.0]))]}),
            Err(BadAnswer::WrongDimensions { found, expected }),
        );
        let no_direction = Err(BadAnswer::NoDirection);
        check(
            json!({"data": [row(0, a.clone()), row(1, json!([0.0, 0.0]))]}),
            no_direction.clone(),
        );
        check(
            json!({"data": [row(0, a.clone()), row(1, json!([3e38, 3e38]))]}),
            no_direction.clone(),
        );
        let nan = json!(
            base64::engine::general_purpose::STANDARD.encode(
                [f32::NAN, 1.0]
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect::<Vec<_>>()
            )
        );
        check(
            json!({"data": [row(0, a.clone()), row(1, nan)]}),
            no_direction,
        );
        let malformed = Err(BadAnswer::Malformed);
        check(
            json!({"data": [row(0, a.clone()), row(1, json!([null, 1.0]))]}),
            malformed.clone(),
        );
        check(
            json!({"data": [row(0, a), row(1, json!("not base64"))]}),
            malformed.clone(),
        );
        check(json!({"error": {"message": "no"}}), malformed);
    }

    #[test]
    fn a_number_too_large_for_json_is_malformed() {
        let body = br#"{"data": [{"index": 0, "embedding": [1e999, 1.0]}]}"#;
        assert!(vectors_of(body, 1, 2).is_err());
    }

    proptest! {
        #[test]
        fn anything_may_be_answered(body: Vec<u8>, texts in 0_usize..5, dimensions in 0_usize..5) {
            let _ = vectors_of(&body, texts, dimensions);
        }
    }
}
