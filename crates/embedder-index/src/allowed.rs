//! The set of chunks that a filter lets through.

use crate::catalogue::Slot;

/// Bits in a word of the set.
const WORD_BITS: usize = u64::BITS as usize;

/// A set of chunks, made by [`Collection::allow`](crate::Collection::allow) and applied before either retriever picks
/// its best. It describes the collection at the moment it was made: make a new one for each search.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    words: Vec<u64>,
}

impl Allowed {
    pub(crate) fn none(slots: usize) -> Self {
        Self {
            words: vec![0; slots.div_ceil(WORD_BITS)],
        }
    }

    pub(crate) fn insert(&mut self, slot: Slot) {
        if let Some(word) = self.words.get_mut(slot.index() / WORD_BITS) {
            *word |= 1 << (slot.index() % WORD_BITS);
        }
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.words
            .get(slot.index() / WORD_BITS)
            .is_some_and(|word| word >> (slot.index() % WORD_BITS) & 1 == 1)
    }

    /// How many chunks are let through.
    pub fn len(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Whether nothing is let through.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_inserted_and_nothing_beyond_its_end() {
        let mut allowed = Allowed::none(130);
        assert!(allowed.is_empty());
        for slot in [0, 63, 64, 129] {
            allowed.insert(Slot::new(slot));
        }
        allowed.insert(Slot::new(100_000));
        let held: Vec<usize> = (0..200)
            .filter(|&slot| allowed.contains(Slot::new(slot)))
            .collect();
        assert_eq!(held, [0, 63, 64, 129]);
        assert_eq!(allowed.len(), 4);
        assert!(!allowed.is_empty());
    }
}
