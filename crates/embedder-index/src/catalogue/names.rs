//! Names of definitions: found whatever their case, and by the words they are made of.

use std::collections::HashMap;

use crate::{
    analysis::{Analyser, lower_into},
    catalogue::Slot,
};

/// A name, unique by its exact spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameIndex(u32);

impl NameIndex {
    /// Ends a chain of names that differ in case.
    const NONE: Self = Self(u32::MAX);
}

/// A stemmed word that names are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WordIndex(u32);

struct Name {
    text: Box<str>,
    /// The next name that differs from this one in case alone.
    next_spelling: NameIndex,
    words: Box<[WordIndex]>,
    /// The chunks that define it, each once.
    sites: Vec<Slot>,
}

/// Every name that was ever put into the catalogue.
#[derive(Default)]
pub(crate) struct Names {
    names: Vec<Name>,
    /// The newest name of each lower-case spelling; the others are chained behind it.
    by_lower_case: HashMap<Box<str>, NameIndex>,
    words: HashMap<Box<str>, WordIndex>,
    names_of_word: Vec<Vec<NameIndex>>,
}

impl Names {
    pub(crate) fn intern(&mut self, text: &str, analyser: &mut Analyser) -> NameIndex {
        let same_spelling = self.spelled_like(text).find(|&index| self.text(index) == text);
        if let Some(known) = same_spelling {
            return known;
        }
        let index = NameIndex(u32::try_from(self.names.len()).expect("fewer than 2^32 names"));
        let words: Box<[WordIndex]> = analyser.words(text).iter().map(|word| self.intern_word(word)).collect();
        for word in &words {
            self.names_of_word[word.0 as usize].push(index);
        }
        let next_spelling = self.by_lower_case.insert(lower_case(text).into(), index).unwrap_or(NameIndex::NONE);
        self.names.push(Name { text: text.into(), next_spelling, words, sites: Vec::new() });
        index
    }

    pub(crate) fn text(&self, name: NameIndex) -> &str {
        &self.names[name.0 as usize].text
    }

    /// The chunks that define a name.
    pub(crate) fn sites(&self, name: NameIndex) -> &[Slot] {
        &self.names[name.0 as usize].sites
    }

    /// The distinct words a name is made of.
    pub(crate) fn words(&self, name: NameIndex) -> &[WordIndex] {
        &self.names[name.0 as usize].words
    }

    pub(crate) fn word(&self, word: &str) -> Option<WordIndex> {
        self.words.get(word).copied()
    }

    /// The names that a word is part of.
    pub(crate) fn names_with(&self, word: WordIndex) -> &[NameIndex] {
        &self.names_of_word[word.0 as usize]
    }

    /// The names that equal `text` but for the case of their letters.
    pub(crate) fn spelled_like(&self, text: &str) -> impl Iterator<Item = NameIndex> {
        let first = self.by_lower_case.get(lower_case(text).as_str()).copied();
        std::iter::successors(first, |&index| {
            let next = self.names[index.0 as usize].next_spelling;
            (next != NameIndex::NONE).then_some(next)
        })
    }

    pub(super) fn add_site(&mut self, name: NameIndex, slot: Slot) {
        self.names[name.0 as usize].sites.push(slot);
    }

    pub(super) fn remove_site(&mut self, name: NameIndex, slot: Slot) {
        let sites = &mut self.names[name.0 as usize].sites;
        if let Some(at) = sites.iter().position(|&site| site == slot) {
            sites.swap_remove(at);
        }
    }

    fn intern_word(&mut self, word: &str) -> WordIndex {
        if let Some(&known) = self.words.get(word) {
            return known;
        }
        let index = WordIndex(u32::try_from(self.names_of_word.len()).expect("fewer than 2^32 words"));
        self.names_of_word.push(Vec::new());
        self.words.insert(word.into(), index);
        index
    }
}

fn lower_case(text: &str) -> String {
    let mut lowered = String::with_capacity(text.len());
    lower_into(text, &mut lowered);
    lowered
}
