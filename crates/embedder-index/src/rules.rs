//! The ranking rules for code: small named rules, their weights in one [table](Rule).
//!
//! A rule that adds looks at the query, the catalogue and the fused scores, and boosts chunks in units of the best
//! score; a rule that multiplies lowers what is rarely wanted. What each did to a hit is in its explanation. The weights
//! come from twelve development repositories, left out one at a time; they sit on a plateau, so that a rule is there
//! matters and its exact weight hardly does.

mod definition;
mod file_evidence;
mod name_cover;
mod path_words;
mod table;

use std::sync::Arc;

pub use table::{Rule, RuleSet, Weight};

pub(crate) use definition::defining_chunks;

use crate::{
    allowed::Allowed,
    catalogue::{Catalogue, FileIndex, Slot},
    lexical::TermScores,
    query::ParsedQuery,
};

/// What a rule looks at.
pub(crate) struct Context<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) query: &'a ParsedQuery,
    /// Whether the whole query is one identifier.
    pub(crate) is_symbol: bool,
    /// The scores of the query's terms, in their order.
    pub(crate) terms: &'a [Arc<TermScores>],
    pub(crate) allowed: Option<&'a Allowed>,
    /// Whether meaning takes part.
    pub(crate) by_meaning: bool,
    /// The hundred best chunks by fused score, best first.
    pub(crate) best: &'a [(Slot, f32)],
    /// The scores so far.
    pub(crate) scores: &'a [f32],
}

impl Context<'_> {
    fn is_allowed(&self, slot: Slot) -> bool {
        self.allowed.is_none_or(|allowed| allowed.contains(slot))
    }
}

/// How far a rule applies to a chunk; 1 is fully for most rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Boost {
    pub(crate) slot: Slot,
    pub(crate) value: f32,
}

/// Looking up the chunks of a file costs about as much as passing over the chunks of this many files in a row.
const FILES_PER_LOOKUP: usize = 8;

/// The chunks that a rule boosts, each once.
pub(crate) enum Boosts {
    /// One by one.
    Chunks(Vec<Boost>),
    /// Every chunk of a file that has been found by something else.
    Files(Vec<(FileIndex, f32)>),
}

impl Boosts {
    /// Adds the boosts, times `scale`, to the scores.
    pub(crate) fn add_to(&self, scores: &mut [f32], scale: f32, catalogue: &Catalogue) {
        match self {
            Self::Chunks(boosts) => boosts
                .iter()
                .for_each(|boost| scores[boost.slot.index()] += scale * boost.value),
            Self::Files(boosts)
                if boosts.len() > catalogue.files().indices_len() / FILES_PER_LOOKUP =>
            {
                let mut by_file = vec![0.0; catalogue.files().indices_len()];
                boosts
                    .iter()
                    .for_each(|&(file, value)| by_file[file.index()] = scale * value);
                for (score, file) in scores.iter_mut().zip(catalogue.file_of()) {
                    if *score > 0.0 {
                        *score += by_file.get(file.index()).copied().unwrap_or(0.0);
                    }
                }
            }
            Self::Files(boosts) => {
                for &(file, value) in boosts {
                    for slot in catalogue.files().get(file).chunks() {
                        let score = &mut scores[slot.index()];
                        *score += if *score > 0.0 { scale * value } else { 0.0 };
                    }
                }
            }
        }
    }

    /// The boost of a chunk that has been `found` before, or not.
    pub(crate) fn of(&self, slot: Slot, found: bool, catalogue: &Catalogue) -> Option<f32> {
        match self {
            Self::Chunks(boosts) => boosts
                .iter()
                .find(|boost| boost.slot == slot)
                .map(|boost| boost.value),
            Self::Files(_) if !found => None,
            Self::Files(boosts) => {
                let of_slot = catalogue.file_of()[slot.index()];
                boosts
                    .iter()
                    .find(|&&(file, _)| file == of_slot)
                    .map(|&(_, value)| value)
            }
        }
    }
}

/// A rule that adds to scores, in units of the best score.
pub(crate) struct BoostRule {
    /// Its line in the table.
    pub(crate) rule: Rule,
    /// The chunks it boosts.
    pub(crate) boosts: fn(&Context<'_>) -> Boosts,
    /// Why it boosts a chunk, in a few words.
    pub(crate) detail: fn(&Context<'_>, Slot) -> String,
}

/// Lifts the best chunk of a file that has many good ones. It comes first: the best score after it is the unit of the
/// others.
pub(crate) const FILE_EVIDENCE: BoostRule = BoostRule {
    rule: Rule::FileEvidence,
    boosts: file_evidence::boosts,
    detail: file_evidence::detail,
};

/// The other rules that add, in the order they are applied.
pub(crate) const BOOSTS: [BoostRule; 3] = [
    BoostRule {
        rule: Rule::PathWords,
        boosts: path_words::boosts,
        detail: path_words::detail,
    },
    BoostRule {
        rule: Rule::Definition,
        boosts: definition::boosts,
        detail: definition::detail,
    },
    BoostRule {
        rule: Rule::NameCover,
        boosts: name_cover::boosts,
        detail: name_cover::detail,
    },
];

/// Among how many first hits a definition of an identifier that is asked for always is.
pub(crate) const GUARANTEED_WITHIN: usize = match Rule::DefinitionGuarantee.weight() {
    Weight::Within(count) => count,
    Weight::Field(_) | Weight::Adds { .. } | Weight::Multiplies(_) | Weight::Share(_) => 0,
};

/// Keeps the strongest boost of each chunk.
fn strongest(mut boosts: Vec<Boost>) -> Vec<Boost> {
    boosts.sort_unstable_by(|a, b| a.slot.cmp(&b.slot).then(b.value.total_cmp(&a.value)));
    boosts.dedup_by_key(|boost| boost.slot);
    boosts
}

#[cfg(test)]
mod tests;
