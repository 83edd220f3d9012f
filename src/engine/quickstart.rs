//! Questions that show a newcomer what an index of their own folder can do.
//!
//! They are taken from the folder itself: a heading of its documents, the first sentence of a documentation comment, the
//! name of a type or function, a line of plain text. So the right answer to each is known, and [`Question::expected`] says where it stands.

use serde::Serialize;

use embedder_index::SymbolKind;

use crate::error::Result;
use crate::store::{ChunkRow, CollectionId, Store};

/// A question with the place that it was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The question.
    pub text: String,
    /// The file that answers it.
    pub expected: String,
}

/// Words a question needs to be worth asking.
const WORDS: std::ops::RangeInclusive<usize> = 4..=14;

/// A chunk that could give a question, with how well it would do.
struct Candidate {
    score: usize,
    question: Question,
}

/// How many questions are asked.
const QUESTIONS: usize = 3;

/// Returns up to three questions about a collection, of three kinds if it can be; fewer where it has little to ask about.
///
/// # Errors
/// Those of the store.
pub fn questions(store: &dyn Store, collection: CollectionId) -> Result<Vec<Question>> {
    let mut kinds: [Vec<Candidate>; 4] = Default::default();
    store.canonical_chunks(collection, true, &mut |chunk| {
        let offers = [
            sentence_of(&chunk),
            name_of(&chunk),
            heading_of(&chunk),
            line_of(&chunk),
        ];
        for (best, offered) in kinds.iter_mut().zip(offers) {
            offer(best, offered);
        }
    })?;
    // The best of each kind first, then the second best of each.
    let rounds =
        (0..QUESTIONS).flat_map(|round| kinds.iter().filter_map(move |best| best.get(round)));
    let mut questions: Vec<Question> = Vec::new();
    for candidate in rounds {
        if !questions
            .iter()
            .any(|question| question.text == candidate.question.text)
        {
            questions.push(candidate.question.clone());
        }
    }
    questions.truncate(QUESTIONS);
    Ok(questions)
}

/// Keeps the best ones, best first; of equals that of the first path, so that the questions do not change from run to
/// run.
fn offer(best: &mut Vec<Candidate>, candidate: Option<Candidate>) {
    let Some(candidate) = candidate else { return };
    let key = |candidate: &Candidate| {
        let question = candidate.question.clone();
        (
            std::cmp::Reverse(candidate.score),
            question.expected,
            question.text,
        )
    };
    let at = best.partition_point(|known| key(known) <= key(&candidate));
    if at < QUESTIONS {
        best.insert(at, candidate);
        best.truncate(QUESTIONS);
    }
}

fn is_aside(path: &str) -> bool {
    let path = path.to_lowercase();
    [
        "test",
        "example",
        "fixture",
        "bench",
        "vendor",
        "changelog",
        "license",
    ]
    .iter()
    .any(|word| path.contains(word))
}

fn heading_of(chunk: &ChunkRow) -> Option<Candidate> {
    if is_aside(&chunk.path) {
        return None;
    }
    let heading = chunk
        .symbols
        .iter()
        .find(|symbol| symbol.kind == SymbolKind::Heading)?;
    let words = heading.name.split_whitespace().count();
    let body_words = chunk.text.split_whitespace().count();
    (1..=*WORDS.end()).contains(&words).then(|| Candidate {
        score: body_words.min(80) + words.min(8),
        question: Question {
            text: heading.name.clone(),
            expected: chunk.path.clone(),
        },
    })
}

/// Takes the first sentence of a comment that documents a function or type.
fn sentence_of(chunk: &ChunkRow) -> Option<Candidate> {
    let is_documented = |kind| matches!(kind, SymbolKind::Function | SymbolKind::Type);
    let symbol = chunk
        .symbols
        .iter()
        .find(|symbol| is_documented(symbol.kind))?;
    if is_aside(&chunk.path) {
        return None;
    }
    let sentence = chunk.text.lines().find_map(comment_sentence)?;
    let words = sentence.split_whitespace().count();
    WORDS.contains(&words).then(|| Candidate {
        // A sentence of eight or more words about a long definition says the most.
        score: words.min(10) * 20 + (symbol.end_line - symbol.start_line).min(60) as usize,
        question: Question {
            text: sentence,
            expected: chunk.path.clone(),
        },
    })
}

fn comment_sentence(line: &str) -> Option<String> {
    let line = line.trim();
    let markers = [
        "///", "//!", "//", "/**", "*", "##", "#", "\"\"\"", "'''", "--",
    ];
    let text = markers
        .iter()
        .find_map(|marker| line.strip_prefix(marker))?
        .trim();
    let sentence = text
        .split(". ")
        .next()?
        .trim_end_matches(['.', '"', '*', '/'])
        .trim();
    let is_prose = sentence.starts_with(char::is_uppercase)
        && sentence
            .chars()
            .all(|c| c.is_alphanumeric() || " ,-'".contains(c));
    is_prose.then(|| sentence.to_owned())
}

fn name_of(chunk: &ChunkRow) -> Option<Candidate> {
    if is_aside(&chunk.path) {
        return None;
    }
    let symbol = chunk
        .symbols
        .iter()
        .filter(|symbol| matches!(symbol.kind, SymbolKind::Type | SymbolKind::Function))
        .max_by_key(|symbol| (symbol.end_line - symbol.start_line, symbol.name.len()))?;
    let humps = symbol.name.chars().filter(|c| c.is_uppercase()).count();
    (symbol.name.len() >= 3).then(|| Candidate {
        score: humps.min(3) * 100 + (symbol.end_line - symbol.start_line).min(60) as usize,
        question: Question {
            text: symbol.name.clone(),
            expected: chunk.path.clone(),
        },
    })
}

/// Takes the first line of prose of a plain text, for folders that hold nothing else.
fn line_of(chunk: &ChunkRow) -> Option<Candidate> {
    if !chunk.symbols.is_empty() || chunk.language.is_some() || is_aside(&chunk.path) {
        return None;
    }
    let line = chunk.text.lines().map(str::trim).find(|line| {
        WORDS.contains(&line.split_whitespace().count()) && line.chars().any(char::is_alphabetic)
    })?;
    let question = Question {
        text: line.to_owned(),
        expected: chunk.path.clone(),
    };
    Some(Candidate {
        score: line.split_whitespace().count(),
        question,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_prose_makes_a_question() {
        let cases: &[(&str, Option<&str>)] = &[
            (
                "/// Returns the size of all files below a folder.",
                Some("Returns the size of all files below a folder"),
            ),
            ("# Adds two numbers. Slowly.", Some("Adds two numbers")),
            ("    * Opens the door", Some("Opens the door")),
            ("// let x = f(y);", None),
            ("let x = 1;", None),
            ("#include <stdio.h>", None),
        ];
        for (line, expected) in cases {
            assert_eq!(comment_sentence(line).as_deref(), *expected, "{line}");
        }
    }
}
