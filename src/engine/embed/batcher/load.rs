//! An amount of work.

use std::ops::{Add, SubAssign};

use embedder_inference::Tokens;

use super::BatcherLimits;
use super::batch::BATCH_TOKENS;

/// So many texts with so many tokens in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub(super) texts: usize,
    pub(super) tokens: usize,
}

impl Load {
    pub(super) fn of(texts: &[Tokens]) -> Load {
        Load {
            texts: texts.len(),
            tokens: texts.iter().map(|text| text.ids.len()).sum(),
        }
    }

    pub(super) fn fits(self, limits: BatcherLimits) -> bool {
        self.texts <= limits.items_max && self.tokens <= limits.tokens_max
    }

    /// The fewest batches that it makes.
    pub(super) fn batches(self) -> usize {
        self.texts.min(self.tokens.div_ceil(BATCH_TOKENS))
    }
}

impl Add for Load {
    type Output = Load;

    fn add(self, other: Load) -> Load {
        Load {
            texts: self.texts + other.texts,
            tokens: self.tokens + other.tokens,
        }
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, other: Load) {
        self.texts -= other.texts;
        self.tokens -= other.tokens;
    }
}
