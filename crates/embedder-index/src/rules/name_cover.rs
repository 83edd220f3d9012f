//! Definitions whose names are made of words of the question: `retry_after_delay` for "delay before a retry".
//!
//! A definition counts by the share of its name that the query holds, times the share of the query, by rarity, that the
//! name covers.

use super::{Boost, Boosts, Context};
use crate::{
    catalogue::{Holder, Names, Slot, WordIndex},
    chunk::SymbolKind,
};

/// What anything counts beside a type, which is what questions are mostly about.
const NOT_A_TYPE: f32 = 0.8;

/// A name that covers less of the query than this says nothing about it. Such names are as many as their words are
/// common, and to look at them all would make a question of common words slow.
const COVERED_SHARE_MIN: f32 = 0.1;

/// How the query and a name cover each other.
#[derive(Clone, Copy, Default)]
struct Cover {
    /// The share of the query's rarity that the name covers.
    of_query: f32,
    /// The share of the name's words that the query holds.
    of_name: f32,
}

/// The covers of all names that cover enough of the query.
struct Covers {
    by_name: Vec<Cover>,
    covered: Vec<Holder>,
}

impl Covers {
    fn find(context: &Context<'_>) -> Self {
        let names = context.catalogue.names();
        let searched = searched_words(context, names);
        let mut covers = Self {
            by_name: vec![Cover::default(); names.len()],
            covered: Vec::new(),
        };
        // The most common words, as long as all of them together cover too little, lead to no name of their own.
        let mut common_share = 0.0;
        let common = searched.iter().take_while(|(_, share)| {
            common_share += share;
            common_share < COVERED_SHARE_MIN
        });
        let (common, leading) = searched.split_at(common.count());
        for &(word, share) in leading {
            for holder in names.holders(word) {
                let cover = &mut covers.by_name[holder.name.index()];
                if cover.of_name == 0.0 {
                    covers.covered.push(*holder);
                }
                cover.of_query += share;
                cover.of_name += holder.part;
            }
        }
        let stop_words = context
            .query
            .words
            .iter()
            .filter_map(|word| names.word(word));
        let stop_words = stop_words.filter(|word| !searched.iter().any(|(known, _)| known == word));
        let others = common
            .iter()
            .copied()
            .chain(stop_words.map(|word| (word, 0.0)));
        for (word, share) in others {
            for holder in names.holders(word) {
                let cover = &mut covers.by_name[holder.name.index()];
                if cover.of_name > 0.0 {
                    cover.of_query += share;
                    cover.of_name += holder.part;
                }
            }
        }
        covers
    }
}

pub(super) fn boosts(context: &Context<'_>) -> Boosts {
    let names = context.catalogue.names();
    let covers = Covers::find(context);
    let mut strongest = vec![0.0f32; context.scores.len()];
    let mut boosted: Vec<Slot> = Vec::new();
    for holder in &covers.covered {
        let cover = covers.by_name[holder.name.index()];
        if cover.of_query < COVERED_SHARE_MIN {
            continue;
        }
        for site in names.sites(holder.name) {
            let value = cover.of_query * cover.of_name * kind_strength(site.kind);
            let known = &mut strongest[site.slot.index()];
            if *known == 0.0 && context.scores[site.slot.index()] > 0.0 {
                boosted.push(site.slot);
            }
            *known = known.max(value);
        }
    }
    let boosts = boosted.into_iter().map(|slot| Boost {
        slot,
        value: strongest[slot.index()],
    });
    Boosts::Chunks(boosts.filter(|boost| boost.value > 0.0).collect())
}

pub(super) fn detail(context: &Context<'_>, slot: Slot) -> String {
    let Some(chunk) = context.catalogue.chunk(slot) else {
        return String::new();
    };
    let names = context.catalogue.names();
    let covers = Covers::find(context);
    let definitions = chunk.definitions.iter().map(|definition| {
        let cover = covers.by_name[definition.name.index()];
        (
            names.text(definition.name),
            cover.of_query * cover.of_name * kind_strength(definition.kind),
        )
    });
    let best = definitions.max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.cmp(a.0)));
    best.map_or_else(String::new, |(name, _)| format!("words of {name}"))
}

/// The searched words that are part of some name, with their share of the query's rarity; the most common first.
fn searched_words(context: &Context<'_>, names: &Names) -> Vec<(WordIndex, f32)> {
    let idf = |place: usize| context.terms[place].idf;
    let total: f32 = context
        .query
        .word_terms()
        .map(|(place, _)| idf(place))
        .sum();
    let words = context
        .query
        .word_terms()
        .filter_map(|(place, term)| Some((names.word(term)?, idf(place) / total)));
    let mut words: Vec<(WordIndex, f32)> = words.collect();
    // Stable, so that words of one rarity are added up in the order of the query.
    words.sort_by(|a, b| a.1.total_cmp(&b.1));
    words
}

/// What a definition of a kind counts; a namespace nothing, because its name repeats in every file.
fn kind_strength(kind: SymbolKind) -> f32 {
    match kind {
        SymbolKind::Type => 1.0,
        SymbolKind::Namespace => 0.0,
        SymbolKind::Function
        | SymbolKind::Impl
        | SymbolKind::Variable
        | SymbolKind::Declaration
        | SymbolKind::Heading => NOT_A_TYPE,
    }
}
