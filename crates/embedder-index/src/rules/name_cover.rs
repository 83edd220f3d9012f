//! Definitions whose names are made of words of the question: `retry_after_delay` for "delay before a retry".
//!
//! A definition counts by the share of its name that the query holds, times the share of the query, by rarity, that the
//! name covers.

use super::{Boost, Context, strongest};
use crate::{
    catalogue::{NameIndex, Slot, WordIndex},
    chunk::SymbolKind,
};

/// What anything counts beside a type, which is what questions are mostly about.
const NOT_A_TYPE: f32 = 0.8;

/// The words of the query as the catalogue knows them.
struct QueryWords {
    /// Words to search for, with their share of the query's rarity.
    searched: Vec<(WordIndex, f32)>,
    /// Stop words: they cover a part of a name, and nothing of the query.
    others: Vec<WordIndex>,
}

impl QueryWords {
    fn of(context: &Context<'_>) -> Self {
        let names = context.catalogue.names();
        let idf = |place: usize| context.terms[place].idf;
        let total: f32 = context.query.word_terms().map(|(place, _)| idf(place)).sum();
        let searched =
            context.query.word_terms().filter_map(|(place, term)| Some((names.word(term)?, idf(place) / total)));
        let searched: Vec<(WordIndex, f32)> = searched.collect();
        let others = context.query.words.iter().filter_map(|word| names.word(word));
        let others = others.filter(|word| !searched.iter().any(|(known, _)| known == word)).collect();
        Self { searched, others }
    }

    /// How well a name made of `words` fits the query, in 0 to 1.
    fn cover(&self, words: &[WordIndex]) -> f32 {
        let (mut known, mut share) = (0, 0.0);
        for word in words {
            if let Some((_, of_query)) = self.searched.iter().find(|(searched, _)| searched == word) {
                known += 1;
                share += of_query;
            } else if self.others.contains(word) {
                known += 1;
            }
        }
        share * known as f32 / words.len().max(1) as f32
    }
}

pub(super) fn boosts(context: &Context<'_>) -> Vec<Boost> {
    let names = context.catalogue.names();
    let words = QueryWords::of(context);
    let mut boosts = Vec::new();
    for (place, &(word, _)) in words.searched.iter().enumerate() {
        for &name in names.names_with(word) {
            let of_name = names.words(name);
            // A name is met once for each of its words; it is looked at when met by the first.
            let met_before = words.searched[..place].iter().any(|(earlier, _)| of_name.contains(earlier));
            if met_before {
                continue;
            }
            let cover = words.cover(of_name);
            boosts.extend(names.sites(name).iter().filter_map(|&slot| {
                let kind = strongest_kind(context, slot, name)?;
                let is_found = context.scores[slot.index()] > 0.0;
                is_found.then_some(Boost { slot, value: cover * kind })
            }));
        }
    }
    strongest(boosts)
}

pub(super) fn detail(context: &Context<'_>, slot: Slot) -> String {
    let Some(chunk) = context.catalogue.chunk(slot) else {
        return String::new();
    };
    let names = context.catalogue.names();
    let words = QueryWords::of(context);
    let value = |name: NameIndex| words.cover(names.words(name)) * strongest_kind(context, slot, name).unwrap_or(0.0);
    let definitions = chunk.definitions.iter().map(|definition| definition.name);
    let best =
        definitions.max_by(|&a, &b| value(a).total_cmp(&value(b)).then_with(|| names.text(b).cmp(names.text(a))));
    best.map_or_else(String::new, |name| format!("words of {}", names.text(name)))
}

/// What the definitions of a name in a chunk count, or none where they are namespaces, whose names repeat in every file.
fn strongest_kind(context: &Context<'_>, slot: Slot, name: NameIndex) -> Option<f32> {
    let chunk = context.catalogue.chunk(slot)?;
    let definitions = chunk.definitions.iter().filter(|definition| definition.name == name);
    let strengths = definitions.filter_map(|definition| match definition.kind {
        SymbolKind::Type => Some(1.0),
        SymbolKind::Namespace => None,
        SymbolKind::Function
        | SymbolKind::Impl
        | SymbolKind::Variable
        | SymbolKind::Declaration
        | SymbolKind::Heading => Some(NOT_A_TYPE),
    });
    strengths.max_by(f32::total_cmp)
}
