//! Names of definitions: found whatever their case, and by the words they are made of.

use std::collections::HashMap;

use crate::{
    analysis::{Analyser, identifiers, lower_into, parts},
    catalogue::Slot,
    chunk::SymbolKind,
};

/// A name, unique by its exact spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameIndex(u32);

impl NameIndex {
    /// Ends a chain of names that differ in case.
    const NONE: Self = Self(u32::MAX);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A stemmed word that names are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WordIndex(u32);

/// A place where a name is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) slot: Slot,
    pub(crate) kind: SymbolKind,
}

/// A name that holds a word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Holder {
    pub(crate) name: NameIndex,
    /// What part of the name one word is.
    pub(crate) part: f32,
}

/// The places where a name is defined: mostly one, which then needs no memory of its own.
enum Sites {
    None,
    One(Site),
    Many(Vec<Site>),
}

/// Every name that was ever put into the catalogue. What a search reads of many names lies in arrays of its own.
#[derive(Default)]
pub(crate) struct Names {
    texts: Vec<Box<str>>,
    /// Of each name the next one that differs from it in case alone.
    next_spelling: Vec<NameIndex>,
    sites: Vec<Sites>,
    /// The newest name of each lower-case spelling; the others are chained behind it.
    by_lower_case: HashMap<Box<str>, NameIndex>,
    words: HashMap<Box<str>, WordIndex>,
    holders: Vec<Vec<Holder>>,
}

impl Names {
    pub(super) fn intern(&mut self, text: &str, analyser: &mut Analyser) -> NameIndex {
        let lowered = lower_case(text);
        let newest = self.by_lower_case.get(lowered.as_str()).copied();
        if let Some(known) = self.chain(newest).find(|&name| self.text(name) == text) {
            return known;
        }
        let name = NameIndex(u32::try_from(self.texts.len()).expect("fewer than 2^32 names"));
        let mut words: Vec<WordIndex> = Vec::new();
        for part in identifiers(text).flat_map(parts) {
            let word = self.intern_word(analyser.stem(part));
            if !words.contains(&word) {
                words.push(word);
            }
        }
        for word in &words {
            self.holders[word.0 as usize].push(Holder {
                name,
                part: 1.0 / words.len() as f32,
            });
        }
        self.by_lower_case.insert(lowered.into(), name);
        self.texts.push(text.into());
        self.next_spelling.push(newest.unwrap_or(NameIndex::NONE));
        self.sites.push(Sites::None);
        name
    }

    /// The length of an array with a place for every name.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, name: NameIndex) -> &str {
        &self.texts[name.index()]
    }

    /// Where a name is defined. A chunk comes as often as it defines the name.
    pub(crate) fn sites(&self, name: NameIndex) -> &[Site] {
        match &self.sites[name.index()] {
            Sites::None => &[],
            Sites::One(site) => std::slice::from_ref(site),
            Sites::Many(sites) => sites,
        }
    }

    pub(crate) fn word(&self, word: &str) -> Option<WordIndex> {
        self.words.get(word).copied()
    }

    /// The names that a word is part of.
    pub(crate) fn holders(&self, word: WordIndex) -> &[Holder] {
        &self.holders[word.0 as usize]
    }

    /// The names that equal `text` but for the case of their letters.
    pub(crate) fn spelled_like(&self, text: &str) -> impl Iterator<Item = NameIndex> {
        self.chain(self.by_lower_case.get(lower_case(text).as_str()).copied())
    }

    /// A name and those chained behind it.
    fn chain(&self, newest: Option<NameIndex>) -> impl Iterator<Item = NameIndex> {
        std::iter::successors(newest, |&name| {
            let next = self.next_spelling[name.index()];
            (next != NameIndex::NONE).then_some(next)
        })
    }

    pub(super) fn add_site(&mut self, name: NameIndex, site: Site) {
        let sites = &mut self.sites[name.index()];
        match sites {
            Sites::None => *sites = Sites::One(site),
            Sites::One(first) => *sites = Sites::Many(vec![*first, site]),
            Sites::Many(sites) => sites.push(site),
        }
    }

    pub(super) fn remove_sites(&mut self, name: NameIndex, slot: Slot) {
        let sites = &mut self.sites[name.index()];
        match sites {
            Sites::None => {}
            Sites::One(site) if site.slot == slot => *sites = Sites::None,
            Sites::One(_) => {}
            Sites::Many(sites) => sites.retain(|site| site.slot != slot),
        }
    }

    fn intern_word(&mut self, word: &str) -> WordIndex {
        if let Some(&known) = self.words.get(word) {
            return known;
        }
        let index = WordIndex(u32::try_from(self.holders.len()).expect("fewer than 2^32 words"));
        self.holders.push(Vec::new());
        self.words.insert(word.into(), index);
        index
    }
}

fn lower_case(text: &str) -> String {
    let mut lowered = String::with_capacity(text.len());
    lower_into(text, &mut lowered);
    lowered
}
