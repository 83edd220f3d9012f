//! What a query asks for: its terms, the identifiers in it, and whether it is one identifier or prose.

use crate::analysis::{Analyser, identifiers, is_stop_word, is_whole, parts, whole};

/// Distinct terms of a query that count; a longer query is a pasted text, whose first words say what it is about.
pub(crate) const TERMS_MAX: usize = 48;

/// Identifiers of a query that are looked up; in a pasted text every word looks like one.
const IDENTIFIERS_MAX: usize = 16;

/// Bytes of a query that are read at all. Forty-eight terms never need more.
const BYTES_MAX: usize = 16_384;

/// An identifier that a query names, with what qualifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// The name itself: `open` of `File::open`.
    pub name: String,
    /// What stands before it, outermost first: `File` of `File::open`.
    pub qualifiers: Vec<String>,
}

/// What a query looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One identifier that cannot be an English word: a capital, `_` or a qualifier.
    Identifier,
    /// One lower-case word: an identifier if something is defined by that name.
    Word,
    /// Anything else.
    Prose,
}

/// A query, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedQuery {
    /// The distinct terms to search for, in order: stemmed words, and marked wholes of compounds.
    pub terms: Vec<String>,
    /// The distinct stemmed words, stop words included.
    pub words: Vec<String>,
    /// The identifiers it names. In a query of [`Shape::Word`] that word.
    pub identifiers: Vec<Identifier>,
    /// What it looks like.
    pub shape: Shape,
}

impl ParsedQuery {
    /// Takes a query apart. Any text is a query; an empty one finds nothing by its words.
    pub fn parse(text: &str) -> Self {
        let text = text[..text.floor_char_boundary(BYTES_MAX)].trim();
        let mut analyser = Analyser::default();
        let mut words = Vec::new();
        let mut terms = Vec::new();
        let mut stop_terms = Vec::new();
        for token in text.split_whitespace() {
            let is_prose = !is_joined(token);
            for identifier in identifiers(token) {
                let is_compound = parts(identifier).nth(1).is_some();
                let is_stop = is_prose && !is_compound && is_stop_word(&identifier.to_lowercase());
                for part in parts(identifier) {
                    let word = analyser.stem(part);
                    push_distinct(&mut words, word);
                    push_distinct(if is_stop { &mut stop_terms } else { &mut terms }, word);
                }
                if is_compound && let Some(whole) = whole(identifier) {
                    push_distinct(&mut terms, &whole);
                }
            }
        }
        if terms.is_empty() {
            terms = stop_terms;
        }
        let (shape, identifiers) = identifiers_asked_for(text);
        Self {
            terms,
            words,
            identifiers,
            shape,
        }
    }

    /// The terms that are words, with their place among all terms.
    pub(crate) fn word_terms(&self) -> impl Iterator<Item = (usize, &str)> {
        let terms = self.terms.iter().map(String::as_str).enumerate();
        terms.filter(|(_, term)| !is_whole(term))
    }

    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }
}

/// Whether a word joins names, as `handle.py`, `code/find` and `Find::by` do: what stands in them is named, and says something.
/// `and/or` joins nothing that does.
fn is_joined(token: &str) -> bool {
    let inner = token.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    [".", "/", "\\", "::"]
        .iter()
        .any(|joint| inner.contains(joint))
        && identifiers(inner).any(|identifier| !is_stop_word(&identifier.to_lowercase()))
}

fn push_distinct(terms: &mut Vec<String>, term: &str) {
    if terms.len() < TERMS_MAX && !terms.iter().any(|known| known == term) {
        terms.push(term.to_owned());
    }
}

/// The shape of a query and the identifiers it names.
fn identifiers_asked_for(text: &str) -> (Shape, Vec<Identifier>) {
    let bare = text.trim_matches('`').trim_end_matches("()");
    if let Some(identifier) = qualified(bare) {
        let is_plain_word = identifier.qualifiers.is_empty()
            && !bare.contains('_')
            && !bare.contains(char::is_uppercase);
        let shape = if is_plain_word {
            Shape::Word
        } else {
            Shape::Identifier
        };
        return (shape, vec![identifier]);
    }
    let mut found: Vec<Identifier> = Vec::new();
    for (place, word) in text.split_whitespace().enumerate() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        let bare = bare.trim_end_matches("()");
        let is_quoted = word.trim_start_matches('(').starts_with('`');
        let Some(identifier) = qualified(bare) else {
            continue;
        };
        let named = is_quoted || looks_like_code(&identifier, place == 0);
        if named && found.len() < IDENTIFIERS_MAX && !found.contains(&identifier) {
            found.push(identifier);
        }
    }
    (Shape::Prose, found)
}

/// Whether a word of prose is an identifier: several parts, a capital elsewhere than at the start of the sentence, an
/// abbreviation in capitals, or a qualifier.
fn looks_like_code(identifier: &Identifier, is_first: bool) -> bool {
    let name = &identifier.name;
    let capitals_only = name.chars().count() > 2 && name.chars().all(char::is_uppercase);
    let has_capital = name.contains(char::is_uppercase) && name.chars().nth(1).is_some();
    !identifier.qualifiers.is_empty()
        || parts(name).nth(1).is_some()
        || capitals_only
        || (has_capital && !is_first)
}

/// Splits `a::b`, `a.b`, `a->b` and `a#b`; none where `text` is anything else than one identifier.
fn qualified(text: &str) -> Option<Identifier> {
    let mut names: Vec<&str> = Vec::new();
    let mut rest = text;
    loop {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return None;
        }
        names.push(name);
        if after.is_empty() {
            break;
        }
        rest = ["::", "->", ".", "#"]
            .iter()
            .find_map(|separator| after.strip_prefix(separator))?;
    }
    let (name, qualifiers) = names.split_last()?;
    Some(Identifier {
        name: (*name).to_owned(),
        qualifiers: qualifiers
            .iter()
            .map(|&qualifier| qualifier.to_owned())
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shape: Shape, terms: &[&str], identifiers: &[&str]) {
        let query = ParsedQuery::parse(text);
        assert_eq!(query.shape, shape, "{text}");
        assert_eq!(query.terms, terms, "{text}");
        let named: Vec<String> = query
            .identifiers
            .iter()
            .map(|identifier| {
                [
                    &identifier.qualifiers[..],
                    std::slice::from_ref(&identifier.name),
                ]
                .concat()
                .join("/")
            })
            .collect();
        assert_eq!(named, identifiers, "{text}");
    }

    #[test]
    fn one_identifier_is_told_from_a_word_and_from_prose() {
        check(
            "HttpClient",
            Shape::Identifier,
            &["http", "client", "=httpclient"],
            &["HttpClient"],
        );
        check(
            "send_all()",
            Shape::Identifier,
            &["send", "all", "=send_all"],
            &["send_all"],
        );
        check("Router", Shape::Identifier, &["router"], &["Router"]);
        check("fs::open", Shape::Identifier, &["fs", "open"], &["fs/open"]);
        check("a->b", Shape::Identifier, &["b"], &["a/b"]);
        check(
            "Foo#bar.baz",
            Shape::Identifier,
            &["foo", "bar", "baz"],
            &["Foo/bar/baz"],
        );
        check("`parse`", Shape::Word, &["pars"], &["parse"]);
        check("parse", Shape::Word, &["pars"], &["parse"]);
        check("open file", Shape::Prose, &["open", "file"], &[]);
        check("", Shape::Prose, &[], &[]);
        check("?!", Shape::Prose, &[], &[]);
        check("::x", Shape::Prose, &["x"], &[]);
    }

    #[test]
    fn identifiers_are_found_in_prose() {
        check(
            "How does Router find routes?",
            Shape::Prose,
            &["router", "rout"],
            &["Router"],
        );
        check("Router finding", Shape::Prose, &["router", "find"], &[]);
        check("HTTP errors", Shape::Prose, &["http", "error"], &["HTTP"]);
        check(
            "why (in `serve`) is set_timeout() slow, see io::Error.",
            Shape::Prose,
            &[
                "serv",
                "set",
                "timeout",
                "=set_timeout",
                "slow",
                "see",
                "io",
                "error",
            ],
            &["serve", "set_timeout", "io/Error"],
        );
    }

    #[test]
    fn stop_words_go_unless_nothing_else_is_asked() {
        check(
            "how does this work",
            Shape::Prose,
            &["how", "doe", "this", "work"],
            &[],
        );
        check(
            "find_by_id",
            Shape::Identifier,
            &["find", "by", "id", "=find_by_id"],
            &["find_by_id"],
        );
        check(
            "where is src/handle.py",
            Shape::Prose,
            &["src", "handl", "py"],
            &[],
        );
        check("read and/or write", Shape::Prose, &["read", "write"], &[]);
        let query = ParsedQuery::parse("how to parse");
        assert_eq!(query.terms, ["pars"]);
        assert_eq!(query.words, ["how", "to", "pars"]);
    }

    #[test]
    fn a_pasted_text_is_cut() {
        let pasted: String = (0..5_000)
            .map(|number| format!("WordNumber{number}é "))
            .collect();
        let query = ParsedQuery::parse(&pasted);
        assert_eq!(query.terms.len(), TERMS_MAX);
        assert_eq!(query.identifiers.len(), IDENTIFIERS_MAX);
    }
}
