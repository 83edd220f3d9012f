//! What the tests of this crate share: model folders on disk or in memory, fixtures, and how vectors are compared.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use embedder_inference::{Encoder, InputKind, ModelFiles, Tokens, Workspace};
use serde::Deserialize;

/// A model folder on disk with some files replaced or, by `None`, taken away.
#[derive(Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    changes: HashMap<String, Option<Vec<u8>>>,
}

impl Folder {
    pub(crate) fn at(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            changes: HashMap::new(),
        }
    }

    /// The random model that is checked in.
    pub(crate) fn tiny() -> Self {
        Self::at(fixtures().join("tiny-bert"))
    }

    pub(crate) fn with(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.changes.insert(name.to_owned(), Some(content.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.changes.insert(name.to_owned(), None);
        self
    }

    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        self.read(name).unwrap().unwrap()
    }

    /// Adds `modules.json` and a pooling configuration.
    pub(crate) fn with_modules(self, pooling: &str, normalize: bool) -> Self {
        let module = |class: &str, path: &str| {
            format!(r#"{{"type": "sentence_transformers.models.{class}", "path": "{path}"}}"#)
        };
        let mut modules = vec![module("Transformer", ""), module("Pooling", "1_Pooling")];
        if normalize {
            modules.push(module("Normalize", "2_Normalize"));
        }
        self.with("modules.json", format!("[{}]", modules.join(",")))
            .with(
                "1_Pooling/config.json",
                format!(r#"{{"pooling_mode_{pooling}": true, "pooling_mode_max_tokens": false}}"#),
            )
    }
}

impl ModelFiles for Folder {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(change) = self.changes.get(name) {
            return Ok(change.clone());
        }
        match std::fs::read(self.path.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Texts with the tokens and vectors of the float64 reference.
pub(crate) struct Expected {
    pub(crate) texts: Vec<String>,
    pub(crate) ids: Vec<Vec<u32>>,
    pub(crate) vectors: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct ExpectedFile {
    dimensions: usize,
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    /// Base64 of little-endian `f32`.
    vectors: String,
}

impl Expected {
    pub(crate) fn read(name: &str) -> Self {
        let file: ExpectedFile =
            serde_json::from_slice(&std::fs::read(fixtures().join(name)).unwrap()).unwrap();
        let bytes = decode_base64(&file.vectors);
        let numbers: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        let vectors: Vec<Vec<f32>> = numbers
            .chunks_exact(file.dimensions)
            .map(<[f32]>::to_vec)
            .collect();
        assert_eq!(file.texts.len(), vectors.len());
        assert_eq!(file.texts.len(), file.ids.len());
        Self {
            texts: file.texts,
            ids: file.ids,
            vectors,
        }
    }

    /// Asserts that an encoder finds the same tokens, and vectors of the same length within 1e-4 and a cosine of at least
    /// `cosine_min`.
    pub(crate) fn check(&self, encoder: &Encoder, kind: InputKind, cosine_min: f64) {
        let tokens: Vec<Tokens> = self
            .texts
            .iter()
            .map(|text| encoder.tokenize(text, kind))
            .collect();
        for ((tokens, expected), text) in tokens.iter().zip(&self.ids).zip(&self.texts) {
            assert_eq!(&tokens.ids, expected, "{text:?}");
        }
        let vectors = encoder.encode(&mut Workspace::new(), &tokens);
        let mut worst = 1.0f64;
        for (vector, expected) in vectors
            .chunks_exact(encoder.dimensions())
            .zip(&self.vectors)
        {
            worst = worst.min(cosine(vector, expected));
            let (length, expected) = (dot(vector, vector).sqrt(), dot(expected, expected).sqrt());
            assert!(
                (length / expected - 1.0).abs() < 1e-4,
                "length {length}, not {expected}"
            );
        }
        assert!(
            worst >= cosine_min,
            "cosine {worst:.7} on {:?}",
            encoder.level()
        );
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn decode_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} is not base64"),
    };
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (i, &byte)| {
            bits | u32::from(digit(byte)) << (18 - 6 * i)
        });
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

/// Asserts that every text has the same bits alone and in batches of many sizes and orders.
pub(crate) fn check_batches_never_change_bits(encoder: &Encoder, tokens: &[Tokens]) {
    let mut workspace = Workspace::new();
    let bits = |vectors: &[f32]| {
        vectors
            .iter()
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    };
    let alone: Vec<Vec<u32>> = tokens
        .iter()
        .map(|text| bits(&encoder.encode(&mut workspace, std::slice::from_ref(text))))
        .collect();
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    let mut state = 88_172_645_463_325_252u64;
    for batch_len in [3, 10, tokens.len()] {
        shuffle(&mut order, &mut state);
        for batch in order.chunks(batch_len) {
            let texts: Vec<Tokens> = batch.iter().map(|&i| tokens[i].clone()).collect();
            let vectors = encoder.encode(&mut workspace, &texts);
            for (&i, vector) in batch.iter().zip(vectors.chunks_exact(encoder.dimensions())) {
                assert_eq!(
                    bits(vector),
                    alone[i],
                    "text {i} in a batch of {batch_len} on {:?}",
                    encoder.level()
                );
            }
        }
    }
}

/// Fisher and Yates, with Marsaglia's xorshift.
fn shuffle(order: &mut [usize], state: &mut u64) {
    for i in (1..order.len()).rev() {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        order.swap(i, (*state % (i as u64 + 1)) as usize);
    }
}
