//! Many good chunks in one file speak for the file, and so for its best chunk.
//!
//! `E(f)` is the sum of the scores of the file's chunks among the best, over the square root of how many chunks it has,
//! so that a long file does not win by its length.

use std::collections::HashMap;

use super::{Boost, Boosts, Context};
use crate::catalogue::{FileIndex, Slot};

struct Evidence {
    best_chunk: Slot,
    chunks: usize,
    sum: f32,
}

pub(super) fn boosts(context: &Context<'_>) -> Boosts {
    let evidence = collect(context);
    let strength = |file: FileIndex, evidence: &Evidence| {
        evidence.sum / (1.0 + context.catalogue.files().get(file).chunks().len() as f32).sqrt()
    };
    let strongest = evidence
        .iter()
        .map(|(&file, found)| strength(file, found))
        .fold(0.0, f32::max);
    let boosts = evidence.iter().map(|(&file, found)| Boost {
        slot: found.best_chunk,
        value: strength(file, found) / strongest,
    });
    Boosts::Chunks(boosts.collect())
}

pub(super) fn detail(context: &Context<'_>, slot: Slot) -> String {
    let file = context.catalogue.file_of()[slot.index()];
    let chunks = collect(context)
        .get(&file)
        .map_or(0, |evidence| evidence.chunks);
    format!(
        "{chunks} of the best {} chunks are in this file",
        context.best.len()
    )
}

/// The best chunks by file. They come best first, so a file's first one is its best, and the sums are always added in
/// the same order.
fn collect(context: &Context<'_>) -> HashMap<FileIndex, Evidence> {
    let mut evidence: HashMap<FileIndex, Evidence> = HashMap::new();
    for &(slot, score) in context.best {
        let file = context.catalogue.file_of()[slot.index()];
        if file == FileIndex::NONE {
            continue;
        }
        let of_file = evidence.entry(file).or_insert(Evidence {
            best_chunk: slot,
            chunks: 0,
            sum: 0.0,
        });
        of_file.chunks += 1;
        of_file.sum += score;
    }
    evidence
}
