//! Questions about a collection, in its own words.

use std::collections::HashSet;

use crate::config::Config;
use crate::engine::bench::corpus::COLLECTION;
use crate::engine::search::Reader;
use crate::error::{Error, Result};
use crate::store::ChunkRow;

/// Words of a question that is no name.
const WORDS: usize = 8;

/// Longer words are no words but data.
const WORD_CHARS_MAX: usize = 24;

/// Returns different questions, at most `count`, spread evenly over the collection that
/// [`corpus`](super::super::corpus) built in the data directory of `config`: names of definitions, and the first words
/// of chunks.
///
/// # Errors
/// A collection that is not there or has no words; those of the store.
pub(super) fn questions(config: &Config, count: usize) -> Result<Vec<String>> {
    let reader = Reader::open(config)?;
    let collection = reader.collection(COLLECTION)?;
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    let store = reader.store();
    store.canonical_chunks(collection.id, true, &mut |chunk: ChunkRow| {
        let name = chunk.symbols.first().map(|symbol| symbol.name.clone());
        // In turns, where there is a name.
        let question = match name {
            Some(name) if all.len() % 2 == 0 => Some(name),
            Some(_) | None => first_words(&chunk.text),
        };
        if let Some(question) = question
            && seen.insert(question.clone())
        {
            all.push(question);
        }
    })?;
    if all.is_empty() {
        return Err(Error::Internal(
            "the collection has neither names nor words".to_owned(),
        ));
    }
    Ok(spread(all, count))
}

fn first_words(text: &str) -> Option<String> {
    let is_word = |word: &&str| {
        (3..=WORD_CHARS_MAX).contains(&word.len()) && word.chars().all(char::is_alphabetic)
    };
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(is_word);
    let words: Vec<&str> = words.take(WORDS).collect();
    (words.len() >= WORDS / 2).then(|| words.join(" "))
}

/// Takes `count` of the questions at even distances; all where there are fewer.
fn spread(all: Vec<String>, count: usize) -> Vec<String> {
    let step = (all.len() / count.max(1)).max(1);
    all.into_iter().step_by(step).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_made_of_words() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(first_words(text).as_deref(), expected, "{text:?}");
        };
        check(
            "/// Opens a file. fn open(path: &Path, u32x4) -> Result",
            Some("Opens file open path Path Result"),
        );
        check("let x = 1; // and more", None);
        check(
            "one two three four five six seven eight nine",
            Some("one two three four five six seven eight"),
        );
        check(&"YWJjZGVm".repeat(40), None);
    }

    #[test]
    fn questions_are_taken_from_everywhere() {
        let all: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(spread(all.clone(), 4), ["0", "25", "50", "75"]);
        assert_eq!(spread(all.clone(), 1_000).len(), 100);
        assert!(spread(all, 0).is_empty());
    }
}
