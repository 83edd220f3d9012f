//! The lexical index seen from the catalogue: scores of terms by slot.
//!
//! Scores depend on the living chunks alone: number of chunks, rarity of terms and average lengths are counted over
//! documents that are alive and known to the catalogue, so neither deleted documents that are not merged away yet nor
//! the division into segments changes them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    catalogue::{Catalogue, FileIndex, Slot},
    error::Error,
    lexical::{
        FIELDS, LexicalReader, SegmentData, TermScores, Totals,
        bm25::{occurrence_weight, saturate},
        term_scores::Remembered,
    },
    rules::RuleSet,
};

/// The lexical index at one commit, seen from one state of the catalogue.
#[derive(Default)]
pub(crate) struct Postings {
    segments: Vec<SegmentView>,
    chunks: usize,
    remembered: Remembered,
    /// Accumulators to reuse. Each is all zeros between uses.
    accumulators: Mutex<Vec<Accumulator>>,
}

struct SegmentView {
    data: Arc<SegmentData>,
    /// The slot of each document, [`Slot::NONE`] for one that is dead or unknown.
    slots: Vec<Slot>,
    /// What an occurrence in a field of each document adds to tf'.
    weights: [Vec<f32>; FIELDS.len()],
}

/// Sums over the documents of a segment.
#[derive(Default)]
struct Accumulator {
    sums: Vec<f32>,
    touched: Vec<u32>,
}

impl Postings {
    pub(crate) fn new(reader: &LexicalReader, catalogue: &Catalogue) -> Self {
        let slots: Vec<Vec<Slot>> = reader
            .segments()
            .iter()
            .map(|segment| slots_of(segment, catalogue))
            .collect();
        let chunks = slots
            .iter()
            .flatten()
            .filter(|&&slot| slot != Slot::NONE)
            .count();
        let averages = average_lengths(reader.segments(), &slots, chunks);
        let segments = reader.segments().iter().zip(slots).map(|(data, slots)| {
            let weights = FIELDS.map(|field| {
                let lengths = data.lengths(field).iter();
                lengths
                    .map(|&length| occurrence_weight(field, length, averages[field.index()]))
                    .collect()
            });
            SegmentView {
                data: Arc::clone(data),
                slots,
                weights,
            }
        });
        Self {
            segments: segments.collect(),
            chunks,
            ..Self::default()
        }
    }

    /// The scores of a term, its fields weighed by `rules`. Terms asked for again are answered from memory, where the
    /// fields have their usual weights.
    pub(crate) fn term(
        &self,
        term: &str,
        catalogue: &Catalogue,
        rules: &RuleSet,
    ) -> Result<Arc<TermScores>, Error> {
        // What a field weighs here beside what its occurrences were weighed by.
        let influences = FIELDS.map(|field| match field.rule() {
            Some(rule) if !rules.has(rule) => 0.0,
            Some(rule) => rules.factor(rule) / field.weight(),
            None => 1.0,
        });
        let is_usual = influences == [1.0; FIELDS.len()];
        if is_usual && let Some(remembered) = self.remembered.get(term) {
            return Ok(remembered);
        }
        let mut accumulator = self.take_accumulator();
        let mut matches = Vec::new();
        for segment in &self.segments {
            segment.collect(term, &influences, &mut accumulator, &mut matches)?;
        }
        self.accumulators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(accumulator);
        let files = count_files(&matches, catalogue);
        let totals = Totals {
            chunks: self.chunks,
            files: catalogue.files().len(),
        };
        let scores = Arc::new(TermScores::new(matches, files, totals));
        if is_usual {
            self.remembered.insert(term, &scores);
        }
        Ok(scores)
    }

    fn take_accumulator(&self) -> Accumulator {
        self.accumulators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }
}

impl SegmentView {
    /// Appends the saturated frequency of a term in each chunk of the segment that holds it.
    fn collect(
        &self,
        term: &str,
        influences: &[f32; FIELDS.len()],
        accumulator: &mut Accumulator,
        matches: &mut Vec<(Slot, f32)>,
    ) -> Result<(), Error> {
        let Accumulator { sums, touched } = accumulator;
        if sums.len() < self.slots.len() {
            sums.resize(self.slots.len(), 0.0);
        }
        touched.clear();
        for field in FIELDS {
            let influence = influences[field.index()];
            if influence == 0.0 {
                continue;
            }
            let weights = &self.weights[field.index()];
            self.data.visit(field, term, |documents, frequencies| {
                for (&document, &frequency) in documents.iter().zip(frequencies) {
                    let sum = &mut sums[document as usize];
                    if *sum == 0.0 {
                        touched.push(document);
                    }
                    *sum += influence * weights[document as usize] * frequency as f32;
                }
            })?;
        }
        matches.reserve(touched.len());
        for &document in &*touched {
            let frequency = std::mem::take(&mut sums[document as usize]);
            let slot = self.slots[document as usize];
            if slot != Slot::NONE {
                matches.push((slot, saturate(frequency)));
            }
        }
        Ok(())
    }
}

fn slots_of(segment: &SegmentData, catalogue: &Catalogue) -> Vec<Slot> {
    let mut slots = vec![Slot::NONE; segment.documents()];
    for (document, id) in segment.living() {
        slots[document] = catalogue.slot(id).unwrap_or(Slot::NONE);
    }
    slots
}

/// The average length of each field over the chunks that have a slot.
fn average_lengths(
    segments: &[Arc<SegmentData>],
    slots: &[Vec<Slot>],
    chunks: usize,
) -> [f32; FIELDS.len()] {
    FIELDS.map(|field| {
        let mut total = 0u64;
        for (segment, slots) in segments.iter().zip(slots) {
            let lengths = segment.lengths(field).iter().zip(slots);
            total += lengths
                .filter(|&(_, &slot)| slot != Slot::NONE)
                .map(|(&length, _)| u64::from(length))
                .sum::<u64>();
        }
        if chunks == 0 {
            0.0
        } else {
            (total as f64 / chunks as f64) as f32
        }
    })
}

/// In how many files the matches lie.
fn count_files(matches: &[(Slot, f32)], catalogue: &Catalogue) -> usize {
    let file_of = catalogue.file_of();
    let mut seen = vec![0u64; catalogue.files().indices_len().div_ceil(64)];
    for &(slot, _) in matches {
        let file = file_of[slot.index()];
        if file != FileIndex::NONE {
            seen[file.index() / 64] |= 1 << (file.index() % 64);
        }
    }
    seen.iter().map(|word| word.count_ones() as usize).sum()
}
