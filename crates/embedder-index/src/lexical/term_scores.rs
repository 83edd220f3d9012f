//! What one term adds to the score of every chunk, and the memory of terms that were asked for before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{catalogue::Slot, lexical::idf};

/// Memory for the scores of terms. Common terms are the slow ones, they are few, and they are asked for again and again;
/// with this the slowest questions cost about what the usual ones do.
const REMEMBERED_BYTES_MAX: usize = 32 << 20;

/// What an entry costs beside its matches.
const ENTRY_BYTES: usize = 160;

/// What the collection holds in all, the base of every rarity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Chunks in the lexical index.
    pub(crate) chunks: usize,
    /// Files that have chunks.
    pub(crate) files: usize,
}

/// The scores of one term: everything of BM25F that does not depend on the rest of the query.
#[derive(Debug)]
pub(crate) struct TermScores {
    /// The term's rarity among chunks.
    pub(crate) idf: f32,
    /// The term's rarity among files.
    pub(crate) file_idf: f32,
    /// Each chunk that holds the term, once, with the term's full score in it. In no particular order.
    pub(crate) matches: Vec<(Slot, f32)>,
}

impl TermScores {
    /// Weighs saturated frequencies by the term's rarity.
    pub(super) fn new(mut matches: Vec<(Slot, f32)>, files: usize, totals: Totals) -> Self {
        let idf_of_chunks = idf(totals.chunks, matches.len());
        for (_, score) in &mut matches {
            *score *= idf_of_chunks;
        }
        Self {
            idf: idf_of_chunks,
            file_idf: idf(totals.files, files),
            matches,
        }
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.matches.len() * size_of::<(Slot, f32)>()
    }
}

/// Scores of terms that were computed before, of one state of the index.
#[derive(Default)]
pub(super) struct Remembered {
    inner: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    terms: HashMap<Box<str>, (Arc<TermScores>, u64)>,
    bytes: usize,
    /// Counts look-ups, to tell which entries were used last.
    clock: u64,
}

impl Remembered {
    pub(super) fn get(&self, term: &str) -> Option<Arc<TermScores>> {
        let mut entries = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clock += 1;
        let now = entries.clock;
        let (scores, used) = entries.terms.get_mut(term)?;
        *used = now;
        Some(Arc::clone(scores))
    }

    pub(super) fn insert(&self, term: &str, scores: &Arc<TermScores>) {
        let mut entries = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if scores.bytes() > REMEMBERED_BYTES_MAX / 2 {
            return;
        }
        let now = entries.clock;
        entries.bytes += scores.bytes();
        if let Some((replaced, _)) = entries.terms.insert(term.into(), (Arc::clone(scores), now)) {
            entries.bytes -= replaced.bytes();
        }
        if entries.bytes > REMEMBERED_BYTES_MAX {
            entries.forget_older_half();
        }
    }
}

impl Entries {
    /// Half at a time, so that the cost of choosing is spread over many insertions.
    fn forget_older_half(&mut self) {
        let mut uses: Vec<u64> = self.terms.values().map(|&(_, used)| used).collect();
        let middle = uses.len() / 2;
        let (_, &mut threshold, _) = uses.select_nth_unstable(middle);
        self.terms.retain(|_, (_, used)| *used > threshold);
        self.bytes = self.terms.values().map(|(scores, _)| scores.bytes()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(matches: usize) -> Arc<TermScores> {
        let matches = (0..matches).map(|slot| (Slot::new(slot), 1.0)).collect();
        Arc::new(TermScores::new(
            matches,
            1,
            Totals {
                chunks: 10_000_000,
                files: 10,
            },
        ))
    }

    #[test]
    fn memory_stays_below_its_limit_and_keeps_what_was_used_last() {
        let remembered = Remembered::default();
        let large = scores(400_000);
        for term in 0..40 {
            remembered.insert(&format!("term{term}"), &large);
            assert!(remembered.get("term0").is_some(), "used at every step");
            assert!(remembered.inner.lock().unwrap().bytes <= REMEMBERED_BYTES_MAX);
        }
        assert!(remembered.get("term39").is_some());
        assert!(remembered.get("term1").is_none());
    }

    #[test]
    fn what_would_fill_the_memory_alone_is_not_kept() {
        let remembered = Remembered::default();
        remembered.insert("everywhere", &scores(REMEMBERED_BYTES_MAX / 16 + 1));
        assert!(remembered.get("everywhere").is_none());
    }

    #[test]
    fn replacing_a_term_counts_it_once() {
        let remembered = Remembered::default();
        remembered.insert("twice", &scores(10));
        remembered.insert("twice", &scores(20));
        assert_eq!(remembered.inner.lock().unwrap().bytes, scores(20).bytes());
    }
}
