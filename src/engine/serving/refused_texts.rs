//! Texts of which no vectors are made, although what makes vectors works.
//!
//! They are not given to it again and again: it may cost money, and keeps others waiting. After a while each is tried again.

use std::collections::HashMap;
use std::time::Duration;

use embedder_reliability::Timestamp;

use super::pause::Pause;
use crate::store::EmbedHash;

/// Texts that are remembered.
const TEXTS_MAX: usize = 100_000;

/// How long a text is left alone that was refused for what it is.
const DEFINITE: Duration = DAY;

/// How long a text is left alone for which everything fails, at first; twice as long each time.
const DOUBTFUL_MIN: Duration = Duration::from_secs(30);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Texts of which no vectors are made.
#[derive(Default)]
pub(super) struct RefusedTexts {
    texts: HashMap<Key, Refusal>,
}

/// A text, and what made no vector of it: what one refuses another may take.
#[derive(PartialEq, Eq, Hash)]
struct Key([u8; 32]);

struct Refusal {
    is_definite: bool,
    pause: Pause,
}

impl RefusedTexts {
    /// Whether what has this fingerprint should not be given a text now.
    pub(super) fn contains(&self, fingerprint: &str, text: EmbedHash, now: Timestamp) -> bool {
        let refusal = self.texts.get(&Key::new(fingerprint, text));
        refusal.is_some_and(|refusal| refusal.pause.lasts(now))
    }

    /// Remembers a text, definitely refused or failing for whatever reason, and returns how long it is left alone; none
    /// where no more can be remembered.
    pub(super) fn insert(
        &mut self,
        fingerprint: &str,
        text: EmbedHash,
        is_definite: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        let key = Key::new(fingerprint, text);
        if self.texts.len() >= TEXTS_MAX && !self.texts.contains_key(&key) {
            self.texts.retain(|_, refusal| refusal.pause.lasts(now));
            if self.texts.len() >= TEXTS_MAX {
                return None;
            }
        }
        let pause = if is_definite {
            Pause::of(DEFINITE, now)
        } else {
            let before = self.texts.get(&key).map(|refusal| &refusal.pause);
            Pause::longer_than(before, DOUBTFUL_MIN, DAY, now)
        };
        self.texts.insert(key, Refusal { is_definite, pause });
        Some(pause.time())
    }

    /// Forgets those that failed for whatever reason: it may have been another.
    pub(super) fn forget_doubtful(&mut self) {
        self.texts.retain(|_, refusal| refusal.is_definite);
    }
}

impl Key {
    fn new(fingerprint: &str, text: EmbedHash) -> Key {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&text);
        hasher.update(fingerprint.as_bytes());
        Key(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: u32) -> EmbedHash {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    #[test]
    fn what_one_refuses_another_may_take() {
        let mut refused = RefusedTexts::default();
        let now = Timestamp::ZERO;
        refused.insert("one", text(1), true, now);
        assert!(refused.contains("one", text(1), now));
        assert!(!refused.contains("another", text(1), now));
        assert!(!refused.contains("one", text(2), now));
    }

    #[test]
    fn a_refusal_holds_for_a_day_and_a_failure_longer_each_time() {
        let mut refused = RefusedTexts::default();
        let mut now = Timestamp::ZERO;
        assert_eq!(refused.insert("one", text(1), true, now), Some(DAY));
        let mut times = Vec::new();
        for _ in 0..14 {
            let time = refused.insert("one", text(2), false, now).unwrap();
            times.push(time.as_secs());
            assert!(refused.contains("one", text(2), now));
            now = now.plus(time);
            assert!(!refused.contains("one", text(2), now));
        }
        assert_eq!(times[..4], [30, 60, 120, 240]);
        assert_eq!(times.last(), Some(&DAY.as_secs()));

        let mut now = Timestamp::ZERO;
        refused.insert("one", text(1), true, now);
        refused.insert("one", text(2), false, now);
        refused.forget_doubtful();
        assert!(refused.contains("one", text(1), now));
        assert!(!refused.contains("one", text(2), now));
        now = now.plus(DAY);
        assert!(!refused.contains("one", text(1), now));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut refused = RefusedTexts::default();
        let now = Timestamp::ZERO;
        for number in 0..TEXTS_MAX as u32 {
            assert!(refused.insert("one", text(number), false, now).is_some());
        }
        assert_eq!(refused.insert("one", text(u32::MAX), false, now), None);
        assert!(refused.contains("one", text(0), now));
        // One that is known is no other, and what may be tried again makes room.
        assert!(refused.insert("one", text(0), true, now).is_some());
        let now = now.plus(DOUBTFUL_MIN);
        assert!(refused.insert("one", text(u32::MAX), false, now).is_some());
        assert_eq!(refused.texts.len(), 2);
    }
}
