//! Text in, terms out: the one analysis that documents and queries share.
//!
//! An identifier is split at `_` and at camel-case humps into parts; each part becomes a lower-case term, stemmed when
//! it is long enough to carry an ending. An identifier of several parts is a *compound* and gives its lower-case whole as
//! well, marked so that a whole only ever meets a whole. Words of prose are identifiers of one part.
//!
//! Changing anything here changes what an index holds: raise [`crate::lexical::VERSION`].

mod identifier;
mod stop_words;

use std::collections::HashMap;

use frostem::{Algorithm, Stemmer};

pub use identifier::{identifiers, parts};
pub use stop_words::is_stop_word;

/// Stands before the whole of a compound, so that `=userid` never meets the word `userid`. No identifier contains it.
pub const WHOLE_MARK: char = '=';

/// Longer terms are left out: they are encoded data (keys, hashes, images), which nobody types into a search.
const TERM_BYTES_MAX: usize = 64;

/// Words this short have no ending that a stemmer could take off.
const UNSTEMMED_CHARS_MAX: usize = 3;

/// Stems remembered by one analyser; a repository has some tens of thousands of distinct words. When full the memory
/// starts afresh, so its size is bounded whatever is indexed.
const STEMS_REMEMBERED_MAX: usize = 65_536;

/// Terms separated by spaces, as the lexical index stores a field, and how many they are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The terms in order, each followed by a space.
    pub joined: String,
    /// How many terms there are.
    pub count: u32,
}

impl Terms {
    /// The terms one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.joined.split_ascii_whitespace()
    }

    fn push(&mut self, term: &str) {
        self.joined.push_str(term);
        self.joined.push(' ');
        self.count += 1;
    }
}

/// Turns text into terms and remembers the stems it has computed.
pub struct Analyser {
    stemmer: Stemmer,
    /// Where in `stems` the stem of a word is.
    places: HashMap<Box<str>, usize>,
    stems: Vec<Box<str>>,
    lowered: String,
}

impl Default for Analyser {
    fn default() -> Self {
        let stemmer = Stemmer::new(Algorithm::English);
        Self {
            stemmer,
            places: HashMap::new(),
            stems: Vec::new(),
            lowered: String::new(),
        }
    }
}

impl Analyser {
    /// Appends the terms of `text`.
    pub fn append(&mut self, text: &str, terms: &mut Terms) {
        for identifier in identifiers(text) {
            let mut count = 0;
            for part in parts(identifier) {
                count += 1;
                self.append_part(part, terms);
            }
            if count > 1
                && let Some(whole) = whole(identifier)
            {
                terms.push(&whole);
            }
        }
    }

    /// The terms of `text`.
    pub fn terms(&mut self, text: &str) -> Terms {
        let mut terms = Terms::default();
        self.append(text, &mut terms);
        terms
    }

    /// The distinct stemmed words of a name or path component, in order, without the wholes of compounds.
    pub fn words(&mut self, name: &str) -> Vec<Box<str>> {
        let mut words: Vec<Box<str>> = Vec::new();
        for part in identifiers(name).flat_map(parts) {
            let word = self.stem(part);
            if !words.iter().any(|known| **known == *word) {
                words.push(word.into());
            }
        }
        words
    }

    /// The term of one part of an identifier.
    pub fn stem(&mut self, part: &str) -> &str {
        self.lowered.clear();
        lower_into(part, &mut self.lowered);
        if self.lowered.len() <= UNSTEMMED_CHARS_MAX
            || !self.lowered.bytes().all(|byte| byte.is_ascii_lowercase())
        {
            return &self.lowered;
        }
        if let Some(&place) = self.places.get(self.lowered.as_str()) {
            return &self.stems[place];
        }
        if self.stems.len() >= STEMS_REMEMBERED_MAX {
            self.stems.clear();
            self.places.clear();
        }
        self.places
            .insert(self.lowered.as_str().into(), self.stems.len());
        self.stems.push(self.stemmer.stem(&self.lowered).into());
        &self.stems[self.stems.len() - 1]
    }

    fn append_part(&mut self, part: &str, terms: &mut Terms) {
        if part.len() <= TERM_BYTES_MAX {
            terms.push(self.stem(part));
        }
    }
}

/// The marked term of a compound's whole, or none when it is too long to be worth a term.
pub fn whole(identifier: &str) -> Option<String> {
    let trimmed = identifier.trim_matches('_');
    if trimmed.len() > TERM_BYTES_MAX {
        return None;
    }
    let mut whole = String::with_capacity(trimmed.len() + 1);
    whole.push(WHOLE_MARK);
    lower_into(trimmed, &mut whole);
    Some(whole)
}

/// Whether a term is the marked whole of a compound.
pub fn is_whole(term: &str) -> bool {
    term.starts_with(WHOLE_MARK)
}

/// Appends `text` in lower case.
pub(crate) fn lower_into(text: &str, lowered: &mut String) {
    if text.is_ascii() {
        lowered.extend(
            text.bytes()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
    } else {
        lowered.extend(text.chars().flat_map(char::to_lowercase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let terms = Analyser::default().terms(text);
        assert_eq!(terms.joined.trim_end(), expected, "{text}");
        assert_eq!(terms.count as usize, terms.iter().count(), "{text}");
    }

    #[test]
    fn compounds_give_their_parts_and_their_marked_whole() {
        check("HttpClient", "http client =httpclient");
        check("parse_requests", "pars request =parse_requests");
        check(
            "XMLHttpRequest.open",
            "xml http request =xmlhttprequest open",
        );
        check("_private_name", "privat name =private_name");
    }

    #[test]
    fn single_words_are_stemmed_beyond_three_letters() {
        check("running connections", "run connect");
        check("its was URL ids", "its was url ids");
        check("__init__", "init");
    }

    #[test]
    fn punctuation_and_one_digit_numbers_give_no_terms() {
        check("a + b == 1; // 42", "a b");
        check("", "");
        check("«»—…", "");
    }

    #[test]
    fn numbers_of_three_digits_are_words() {
        check("return 404 or 8080", "return 404 or 8080");
    }

    #[test]
    fn encoded_data_gives_no_terms() {
        check(&"a".repeat(65), "");
        check(
            &format!("key_{}", "b".repeat(64)),
            &format!("key {}", "b".repeat(64)),
        );
    }

    #[test]
    fn words_of_a_name_are_distinct_and_without_wholes() {
        let words = Analyser::default().words("requests_to_request");
        assert_eq!(
            words.iter().map(AsRef::as_ref).collect::<Vec<_>>(),
            ["request", "to"]
        );
    }

    #[test]
    fn a_full_memory_of_stems_changes_nothing() {
        let mut analyser = Analyser::default();
        for number in 0..=STEMS_REMEMBERED_MAX {
            let letters: String = number
                .to_string()
                .bytes()
                .map(|digit| char::from(digit - b'0' + b'a'))
                .collect();
            analyser.stem(&format!("word{letters}"));
        }
        assert!(analyser.stems.len() <= STEMS_REMEMBERED_MAX);
        assert_eq!(analyser.stem("connections"), "connect");
    }
}
