//! How many texts a provider makes vectors of at a time: before its time is over, and within what it allows.
//!
//! A provider on a slow machine takes as long as it is given texts, and goes on computing what nobody waits for any more; one
//! that counts what it is sent never has time for more than so much. The same call made again fails again. So the next one is
//! half as large, and grows again with what goes well.

/// Calls of the full size that must go well before the next ones are larger.
const GROWS_AFTER: u32 = 16;

/// How many texts go out in a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portion {
    texts: usize,
    most: usize,
    went_well: u32,
}

impl Portion {
    /// As many as may go out, at least one.
    pub(super) fn new(most: usize) -> Portion {
        let most = most.max(1);
        Portion {
            texts: most,
            most,
            went_well: 0,
        }
    }

    /// How many are sent.
    pub(super) fn texts(&self) -> usize {
        self.texts
    }

    /// So many were made in time.
    pub(super) fn went_well(&mut self, texts: usize) {
        if texts < self.texts || self.texts == self.most {
            return;
        }
        self.went_well += 1;
        if self.went_well == GROWS_AFTER {
            let more = (self.texts / 4).max(1);
            self.texts = (self.texts + more).min(self.most);
            self.went_well = 0;
        }
    }

    /// So many were not. Calls that went out together are told of one after the other, and make it smaller once. A text by
    /// itself says nothing of others.
    pub(super) fn was_too_much(&mut self, texts: usize) {
        if texts > 1 {
            self.texts = self.texts.min(texts / 2);
            self.went_well = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_at_once_and_grows_slowly() {
        let mut portion = Portion::new(32);
        assert_eq!(portion.texts(), 32);
        for _ in 0..3 {
            portion.was_too_much(32);
        }
        assert_eq!(portion.texts(), 16);
        portion.was_too_much(16);
        assert_eq!(portion.texts(), 8);
        // What is less than it says nothing.
        for _ in 0..100 {
            portion.went_well(7);
        }
        assert_eq!(portion.texts(), 8);
        let mut sizes = Vec::new();
        for _ in 0..9 * GROWS_AFTER {
            if sizes.last() != Some(&portion.texts()) {
                sizes.push(portion.texts());
            }
            portion.went_well(portion.texts());
        }
        assert_eq!(sizes, [8, 10, 12, 15, 18, 22, 27, 32]);
    }

    #[test]
    fn it_is_never_less_than_one() {
        let mut portion = Portion::new(2);
        portion.was_too_much(1);
        assert_eq!(portion.texts(), 2);
        portion.was_too_much(2);
        assert_eq!(portion.texts(), 1);
        let mut portion = Portion::new(0);
        for _ in 0..100 {
            portion.went_well(1);
        }
        assert_eq!(portion.texts(), 1);
    }
}
