//! Texts of an exact number of tokens.

use embedder_inference::InputKind;

use crate::engine::embed::Embedder;
use crate::error::{Error, Result};

/// Words that are a token each in the vocabulary of every model of this family; those that are not are left out.
const WORDS: &str = "time year people way day man thing woman life child world school state family student group \
                     country problem hand part place case week company system program question work government number \
                     night point home water room mother area money story fact month lot right study book eye job word \
                     business issue side kind head house service friend father power hour game line end member law car \
                     city community name president team minute idea body information back parent face others level \
                     office door health person art war history party result change morning reason research girl guy \
                     moment air teacher force education";

/// Makes different texts that the model reads as `tokens` tokens each, its special ones included.
///
/// # Errors
/// A model whose tokens are such that this way leads to no text of that length.
pub(in crate::engine::bench) fn texts(
    embedder: &Embedder,
    tokens: usize,
    count: usize,
) -> Result<Vec<String>> {
    let len = |text: &str| embedder.tokenize(text, InputKind::Document).ids.len();
    texts_of_len(len, tokens, count).ok_or_else(|| {
        Error::Internal(format!(
            "no text of {tokens} tokens was found for {}",
            embedder.name()
        ))
    })
}

fn texts_of_len(len: impl Fn(&str) -> usize, tokens: usize, count: usize) -> Option<Vec<String>> {
    let around = len("");
    let words: Vec<&str> = WORDS
        .split_whitespace()
        .filter(|word| len(word) == around + 1)
        .collect();
    let words_wanted = tokens.checked_sub(around).filter(|&words| words > 0)?;
    if words.is_empty() {
        return None;
    }
    (0..count)
        .map(|seed| {
            let text = drawn(&words, words_wanted, seed).join(" ");
            (len(&text) == tokens).then_some(text)
        })
        .collect()
}

/// Draws words, the same for the same seed.
fn drawn<'a>(words: &[&'a str], count: usize, seed: usize) -> Vec<&'a str> {
    let mut random = vec![0; count * 2];
    blake3::Hasher::new()
        .update(&(seed as u64).to_le_bytes())
        .finalize_xof()
        .fill(&mut random);
    random
        .chunks_exact(2)
        .map(|pair| words[usize::from(u16::from_le_bytes([pair[0], pair[1]])) % words.len()])
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A model that adds a token at each end, and cuts words of more than six letters in two.
    fn len(text: &str) -> usize {
        let words = text.split_whitespace();
        2 + words
            .map(|word| 1 + usize::from(word.len() > 6))
            .sum::<usize>()
    }

    #[test]
    fn texts_have_the_length_asked_for_and_differ() {
        for tokens in [16, 128] {
            let texts = texts_of_len(len, tokens, 100).unwrap();
            assert!(texts.iter().all(|text| len(text) == tokens));
            assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 100);
            assert_eq!(texts_of_len(len, tokens, 100).unwrap(), texts);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(texts_of_len(len, 2, 1), None);
        // A model that reads five tokens at most.
        assert_eq!(texts_of_len(|text| len(text).min(5), 16, 1), None);
        // One that has none of the words.
        assert_eq!(texts_of_len(|text| text.len(), 16, 1), None);
    }
}
