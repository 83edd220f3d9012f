//! What clients know of the documents that they wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A document by its collection and id.
pub(super) type Name = (&'static str, String);

/// The contents that a document may have: none where it may be gone. One of them is true.
type Possible = BTreeSet<Option<String>>;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Documents {
    known: BTreeMap<Name, Known>,
    texts: u64,
}

#[derive(Debug, Clone, Default)]
struct Known {
    possible: Possible,
    /// Until when something that nobody waits for any more may still be done.
    unsettled_until: Duration,
}

impl Documents {
    /// Returns a text that was never written before: a word that no other has, among others.
    pub(super) fn new_text(&mut self) -> (String, String) {
        self.texts += 1;
        let word = format!("unique{}word", self.texts);
        let text = format!("The harbour opens at dawn, {word}, and the first ships leave.");
        (text, word)
    }

    /// Whether a document may be asked about: what was begun before has an end.
    pub(super) fn is_settled(&self, name: &Name, now: Duration) -> bool {
        let known = self.known.get(name);
        known.is_none_or(|known| known.unsettled_until <= now)
    }

    /// It has this content for certain.
    pub(super) fn is(&mut self, name: &Name, content: Option<String>) {
        let known = self.known.entry(name.clone()).or_default();
        known.possible = BTreeSet::from([content]);
    }

    /// It may have got this content, or may yet until `until`.
    pub(super) fn may_be(&mut self, name: &Name, content: Option<String>, until: Duration) {
        let known = self.known.entry(name.clone()).or_default();
        if known.possible.is_empty() {
            known.possible.insert(None);
        }
        known.possible.insert(content);
        known.unsettled_until = until;
    }

    /// Returns what it may be.
    pub(super) fn possible(&self, name: &Name) -> Possible {
        let absent = || BTreeSet::from([None]);
        self.known
            .get(name)
            .map_or_else(absent, |known| known.possible.clone())
    }

    /// Returns the names of all that were ever written.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.known.keys()
    }
}

/// Returns the word of a text that no other has.
pub(super) fn word_of(text: &str) -> &str {
    text.split([' ', ','])
        .find(|word| word.starts_with("unique"))
        .unwrap()
}
