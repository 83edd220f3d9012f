//! From scores to the list of hits: saturation by file, and the guarantee for identifiers.

use std::collections::HashMap;

use crate::{
    catalogue::{Catalogue, Slot},
    rules::{Context, GUARANTEED_WITHIN},
    top,
};

/// Saturation goes on up to so many chunks of a file: further ones keep their order, where their scores would all become
/// zero.
const NTH_MAX: u32 = 20;

/// A chunk at its place in the list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) slot: Slot,
    /// Its score without saturation and guarantee.
    pub(super) unsaturated: f32,
    /// How many chunks of its file come before it.
    pub(super) nth_of_file: u32,
    /// Its score with saturation.
    pub(super) saturated: f32,
    /// Its final score.
    pub(super) score: f32,
    /// The identifier it was moved up for.
    pub(super) guaranteed_for: Option<String>,
}

/// Orders candidates, which come best first, with each further chunk of a file counting `saturation` of what the one before does.
pub(super) fn saturated(
    candidates: &[(Slot, f32)],
    catalogue: &Catalogue,
    saturation: f32,
    limit: usize,
) -> Vec<Placed> {
    let mut seen = HashMap::new();
    let placed = candidates.iter().map(|&(slot, unsaturated)| {
        let nth = seen
            .entry(catalogue.file_of()[slot.index()])
            .or_insert(0u32);
        let score = unsaturated * saturation.powi((*nth).min(NTH_MAX).cast_signed());
        let placed = Placed {
            slot,
            unsaturated,
            nth_of_file: *nth,
            saturated: score,
            score,
            guaranteed_for: None,
        };
        *nth += 1;
        placed
    });
    let mut placed: Vec<Placed> = placed.collect();
    placed.sort_by(|a, b| top::compare((a.slot, a.score), (b.slot, b.score), catalogue));
    placed.truncate(limit);
    placed
}

/// Sees to it that each identifier the query names, if some chunk defines it, has a definition among the first ten.
///
/// A missing one takes the place and the score of the last of the ten that is not itself needed, which moves to just
/// behind them.
pub(super) fn guarantee_definitions(
    context: &Context<'_>,
    definitions: &[Vec<Slot>],
    placed: &mut Vec<Placed>,
    limit: usize,
) {
    let within = GUARANTEED_WITHIN.min(limit);
    let mut needed: Vec<Slot> = Vec::new();
    for (identifier, definitions) in context.query.identifiers.iter().zip(definitions) {
        let first = placed
            .iter()
            .take(within)
            .find(|placed| definitions.binary_search(&placed.slot).is_ok());
        if let Some(first) = first {
            needed.push(first.slot);
            continue;
        }
        let strongest = definitions
            .iter()
            .map(|&slot| (slot, context.scores[slot.index()]));
        let strongest = strongest.min_by(|&a, &b| top::compare(a, b, context.catalogue));
        let Some((slot, score)) = strongest else {
            continue;
        };
        needed.push(slot);
        insert(
            placed,
            Placed {
                slot,
                unsaturated: score,
                nth_of_file: 0,
                saturated: score,
                score,
                guaranteed_for: Some(identifier.name.clone()),
            },
            &needed,
            within,
        );
        placed.truncate(limit);
    }
}

fn insert(placed: &mut Vec<Placed>, mut definition: Placed, needed: &[Slot], within: usize) {
    if let Some(at) = placed
        .iter()
        .position(|placed| placed.slot == definition.slot)
    {
        let found = placed.remove(at);
        definition = Placed {
            guaranteed_for: definition.guaranteed_for,
            ..found
        };
    }
    if placed.len() < within {
        placed.push(definition);
        return;
    }
    let Some(at) = placed[..within]
        .iter()
        .rposition(|placed| !needed.contains(&placed.slot))
    else {
        return;
    };
    definition.score = placed[at].score;
    let moved = std::mem::replace(&mut placed[at], definition);
    placed.insert(within, moved);
}
