//! From text to token ids, cut to the model's maximum.
//!
//! The model's own `tokenizer.json` decides the tokens; its padding and truncation are switched off. A text that is too
//! long keeps its first tokens and the closing special token. Very long texts are not tokenised to their end: a prefix
//! is, and it is taken only where the tokens that are kept cannot depend on what follows.

use crate::architecture::{Architecture, InputKind, Prompts};
use crate::{IdsError, ModelError};

/// A text as the model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids, the special tokens at both ends included; at most the model's maximum.
    pub ids: Vec<u32>,
    /// Whether the text had more tokens than that.
    pub truncated: bool,
}

/// The first prefix of a long text that is tried, for each token that is kept. Prose and code have three to five bytes a
/// token, so that the first try nearly always settles it.
const PREFIX_BYTES_PER_TOKEN: usize = 16;

/// How much longer each further prefix is: all tries together cost little more than the last.
const PREFIX_GROWTH: usize = 8;

/// Nothing beyond a mebibyte is looked at, so that no text takes more than a moment. It matters only to texts of which
/// the first mebibyte is nearly all blanks, control characters or one endless word.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// How far back from a prefix's end tokens may depend on what was cut off: more than the longest special token that a
/// text can spell out, which has no blank inside and so may be cut in two.
const UNSETTLED_TOKENS: usize = 64;

/// Characters that no vocabulary has as tokens of their own. A tokenizer that can encode them can encode anything.
const RARE_TEXT: &str = "\u{2188} \u{16a0} \u{1f9ff} \u{10fffd} \u{0} \u{fffd}";

/// A model's tokenizer.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    prompts: Prompts,
    lowercase: bool,
    /// How many tokens the model has embeddings for: the tokenizer's or a few more.
    vocabulary: usize,
    /// Special tokens before every text.
    prefix: Vec<u32>,
    /// Special tokens after every text.
    suffix: Vec<u32>,
    /// How many tokens of a text are kept.
    content_max: usize,
}

impl Tokenizer {
    /// Reads `bytes`, the content of `file`, for a model with this architecture.
    pub(crate) fn parse(
        file: &str,
        bytes: &[u8],
        architecture: &Architecture,
    ) -> Result<Self, ModelError> {
        let malformed = |reason: String| ModelError::Malformed {
            file: file.to_owned(),
            reason,
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| malformed(error.to_string()))?;
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| malformed(error.to_string()))?;

        let largest = inner.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if largest >= architecture.vocabulary {
            let vocabulary = architecture.vocabulary;
            return Err(malformed(format!(
                "it has token {largest}, the model only {vocabulary} embeddings"
            )));
        }
        let encode = |text, special| {
            let encoding = inner
                .encode_fast(text, special)
                .map_err(|error| malformed(error.to_string()))?;
            Ok(encoding.get_ids().to_vec())
        };
        encode(RARE_TEXT, false)?;
        let (bare, wrapped): (Vec<u32>, Vec<u32>) = (encode("a", false)?, encode("a", true)?);
        let start = wrapped
            .windows(bare.len().max(1))
            .position(|window| window == bare);
        let Some(start) = start else {
            return Err(malformed(
                "it does not wrap a text in special tokens".to_owned(),
            ));
        };
        let (prefix, suffix) = (
            wrapped[..start].to_vec(),
            wrapped[start + bare.len()..].to_vec(),
        );
        let special = prefix.len() + suffix.len();
        if special >= architecture.max_tokens {
            let max = architecture.max_tokens;
            return Err(malformed(format!(
                "its {special} special tokens leave no room in texts of {max} tokens"
            )));
        }
        Ok(Self {
            inner,
            prompts: architecture.prompts.clone(),
            lowercase: architecture.lowercase,
            vocabulary: architecture.vocabulary,
            prefix,
            suffix,
            content_max: architecture.max_tokens - special,
        })
    }

    /// The tokens of a text after the prompt for its kind.
    pub(crate) fn tokenize(&self, text: &str, kind: InputKind) -> Tokens {
        let prompt = self.prompts.for_kind(kind);
        let head = cut(text, TEXT_BYTES_MAX);
        let (content, truncated) = if prompt.is_empty() {
            self.content(head.trim())
        } else {
            self.content(format!("{prompt}{head}").trim())
        };
        Tokens {
            ids: self.wrap(&content),
            truncated: truncated || head.len() < text.len(),
        }
    }

    /// The tokens of a text that comes as ids, with or without special tokens at either end.
    pub(crate) fn tokens_of_ids(&self, ids: &[u32]) -> Result<Tokens, IdsError> {
        if ids.is_empty() {
            return Err(IdsError::Empty);
        }
        let content = ids.strip_prefix(self.prefix.as_slice()).unwrap_or(ids);
        let content = content
            .strip_suffix(self.suffix.as_slice())
            .unwrap_or(content);
        // Before the ids are looked at: a list that is far too long costs nothing.
        if content.len() > self.content_max {
            let special = self.prefix.len() + self.suffix.len();
            return Err(IdsError::TooMany {
                count: content.len() + special,
                max: self.content_max + special,
            });
        }
        let vocabulary = self.vocabulary;
        match ids.iter().position(|&id| id as usize >= vocabulary) {
            Some(position) => Err(IdsError::Unknown {
                position,
                id: ids[position],
                vocabulary,
            }),
            None => Ok(Tokens {
                ids: self.wrap(content),
                truncated: false,
            }),
        }
    }

    /// Puts the special tokens at both ends.
    fn wrap(&self, content: &[u32]) -> Vec<u32> {
        [self.prefix.as_slice(), content, &self.suffix].concat()
    }

    /// The tokens of a text that are kept, and whether there are more.
    fn content(&self, text: &str) -> (Vec<u32>, bool) {
        let mut bytes = self.content_max * PREFIX_BYTES_PER_TOKEN;
        while bytes < text.len() {
            let encoding = self.encode(cut(text, bytes), true);
            let words = encoding.get_word_ids();
            let settled = words
                .len()
                .checked_sub(UNSETTLED_TOKENS)
                .and_then(|settled| words.get(..settled));
            // The last word may go on after the cut, and its tokens would then be others.
            if let Some(settled) = settled
                && settled.len() >= self.content_max
                && settled[self.content_max - 1] != words[words.len() - 1]
            {
                return (encoding.get_ids()[..self.content_max].to_vec(), true);
            }
            bytes *= PREFIX_GROWTH;
        }
        let ids = self.encode(text, false).get_ids().to_vec();
        let kept = ids.len().min(self.content_max);
        (ids[..kept].to_vec(), kept < ids.len())
    }

    fn encode(&self, text: &str, with_words: bool) -> tokenizers::Encoding {
        let lowercased;
        let text = if self.lowercase {
            lowercased = text.to_lowercase();
            &lowercased
        } else {
            text
        };
        let encoding = if with_words {
            self.inner.encode(text, false)
        } else {
            self.inner.encode_fast(text, false)
        };
        encoding.expect("a tokenizer that encodes unknown characters encodes any text; that was tried when it was loaded")
    }
}

/// The longest prefix of at most `bytes` bytes that ends between two characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
