//! The text that stands for a chunk, and for a query, before the embedding model.
//!
//! A chunk of code is embedded as a header (folders, file, scope, symbols) and its distinct words, once each and in
//! order. That is a third of the raw chunk's tokens and retrieves better than the raw chunk, because the model was
//! trained on sentences: it reads `http client`, not `HttpClient::new(&mut`.

use std::collections::HashSet;

use crate::{
    analysis::{identifiers, is_stop_word, lower_into, parts},
    chunk::ChunkRecord,
    path,
    query::TERMS_MAX,
};

/// Folders of the header: the innermost ones.
const FOLDERS_MAX: usize = 2;

/// Enclosing definitions of the header: the innermost ones.
const SCOPES_MAX: usize = 2;

/// Symbols of the header; beyond these the words of the chunk say it.
const SYMBOLS_MAX: usize = 6;

/// Distinct words of a query that are embedded, as many as are searched. What comes after them in a pasted text says
/// little that is new, and would make it slow.
const QUERY_WORDS_MAX: usize = TERMS_MAX;

/// The text to embed for a chunk of code:
/// `{folders} {file}: {scope}, {symbols}. {each distinct word of the chunk once}`.
pub fn chunk_text(record: &ChunkRecord, text: &str) -> String {
    let mut embedded = String::with_capacity(text.len() / 2);
    let folders: Vec<&str> = path::folders(&record.path)
        .rev()
        .take(FOLDERS_MAX)
        .collect();
    for folder in folders.into_iter().rev() {
        push_words(folder, &mut embedded);
    }
    push_words(path::stem(&record.path), &mut embedded);
    close(&mut embedded, ':');

    let scope = record
        .scope
        .iter()
        .skip(record.scope.len().saturating_sub(SCOPES_MAX));
    for name in scope {
        push_words(name, &mut embedded);
    }
    let symbols = record
        .definitions
        .iter()
        .filter(|definition| definition.kind.is_searched())
        .take(SYMBOLS_MAX);
    let mut symbols = symbols.peekable();
    if !record.scope.is_empty() && symbols.peek().is_some() {
        close(&mut embedded, ',');
    }
    for symbol in symbols {
        push_words(&symbol.name, &mut embedded);
    }
    close(&mut embedded, '.');

    let mut seen = HashSet::new();
    for word in words(text) {
        if seen.insert(word.clone()) {
            push_word(&word, &mut embedded);
        }
    }
    embedded
}

/// The text to embed for a query: its identifiers split, in lower case, without stop words, the first
/// 48 distinct ones once each. A query of nothing but stop words is embedded as it is.
pub fn query_text(query: &str) -> String {
    let mut seen = HashSet::new();
    let kept: Vec<String> = words(query)
        .filter(|word| !is_stop_word(word) && seen.insert(word.clone()))
        .take(QUERY_WORDS_MAX)
        .collect();
    if kept.is_empty() {
        query.trim().to_lowercase()
    } else {
        kept.join(" ")
    }
}

/// The words of a text in lower case, without one-letter words and numbers.
fn words(text: &str) -> impl Iterator<Item = String> {
    identifiers(text).flat_map(parts).filter_map(|part| {
        let more_than_a_letter = part.chars().nth(1).is_some();
        let has_letters = part.chars().any(char::is_alphabetic);
        (more_than_a_letter && has_letters).then(|| {
            let mut word = String::with_capacity(part.len());
            lower_into(part, &mut word);
            word
        })
    })
}

fn push_words(name: &str, embedded: &mut String) {
    for word in words(name) {
        push_word(&word, embedded);
    }
}

fn push_word(word: &str, embedded: &mut String) {
    if !embedded.is_empty() {
        embedded.push(' ');
    }
    embedded.push_str(word);
}

/// Ends a part of the header, unless it is empty or ended already.
fn close(embedded: &mut String, mark: char) {
    if embedded.ends_with(char::is_alphanumeric) {
        embedded.push(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{ChunkId, Definition, FileId, SymbolKind};

    fn record(path: &str, scope: &[&str], symbols: &[(&str, SymbolKind)]) -> ChunkRecord {
        let definitions = symbols.iter().map(|&(name, kind)| Definition {
            name: name.to_owned(),
            kind,
            start_line: 1,
            end_line: 2,
        });
        ChunkRecord {
            id: ChunkId(1),
            file: FileId::of(path),
            path: path.to_owned(),
            language: None,
            start_line: 1,
            end_line: 2,
            definitions: definitions.collect(),
            scope: scope.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn a_chunk_is_its_header_and_its_distinct_words() {
        let symbols = [
            ("send_all", SymbolKind::Function),
            ("LIMIT", SymbolKind::Variable),
        ];
        let record = record(
            "crates/net/src/http/HttpClient.rs",
            &["net", "client", "HttpClient"],
            &symbols,
        );
        let text = "pub fn send_all(&self, n: u32) -> Result { self.send(n); sendAll(42, 1234) }";
        assert_eq!(
            chunk_text(&record, text),
            "src http http client: client http client, send all. pub fn send all self u32 result"
        );
    }

    #[test]
    fn missing_parts_of_the_header_leave_no_punctuation() {
        assert_eq!(chunk_text(&record("a.md", &[], &[]), "One two"), "one two");
        assert_eq!(
            chunk_text(&record("notes.md", &[], &[]), "One two"),
            "notes: one two"
        );
        let headed = record("notes.md", &[], &[("Set up", SymbolKind::Heading)]);
        assert_eq!(chunk_text(&headed, "One two"), "notes: set up. one two");
        assert_eq!(
            chunk_text(&record("notes.md", &["Intro"], &[]), ""),
            "notes: intro."
        );
    }

    #[test]
    fn a_query_loses_its_stop_words_unless_it_has_no_others() {
        assert_eq!(
            query_text("How does the HttpClient retry?"),
            "http client retry"
        );
        assert_eq!(query_text("How does it work"), "how does it work");
        assert_eq!(query_text(""), "");
        assert_eq!(query_text("retry of a retry"), "retry");
        let pasted: String = (0..5_000).map(|n| format!("word{n}x again ")).collect();
        assert_eq!(query_text(&pasted).split(' ').count(), QUERY_WORDS_MAX);
    }
}
