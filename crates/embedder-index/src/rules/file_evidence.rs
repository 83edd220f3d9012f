//! Many good chunks in one file speak for the file, and so for its best chunk.
//!
//! `E(f)` is the sum over the file's chunks among the best of what each scores above most of what the last of them
//! scores, over the square root of how many chunks the file has, so that a long file does not win by its length.

use std::collections::HashMap;

use super::{Boost, Boosts, Context};
use crate::catalogue::{FileIndex, Slot};

/// The share of the last score that every chunk among the best has, and that says nothing for its file.
const COMMON_SHARE: f32 = 0.7;

/// Words alone know less of a chunk than words and meaning, so without meaning the file counts for more.
const WITHOUT_MEANING: f32 = 1.6;

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
    let influence = if context.by_meaning {
        1.0
    } else {
        WITHOUT_MEANING
    };
    let boosts = evidence.iter().map(|(&file, found)| Boost {
        slot: found.best_chunk,
        value: strength(file, found) / strongest * influence,
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
    let floor = COMMON_SHARE * context.best.last().map_or(0.0, |&(_, score)| score);
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
        of_file.sum += score - floor;
    }
    evidence
}
