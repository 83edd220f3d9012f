//! A part of the table of keys: what one lock guards.

use std::num::NonZeroU32;

use super::RateLimitStrategy;
use crate::Timestamp;

/// The first slots of a shard, or all of them where it never has so many.
const SLOTS_MIN: usize = 16;

/// How many slots are looked at for a key that may be forgotten, each time room is needed: two kilobytes of memory in a
/// row. An attacker who keeps the table full makes nobody pay for more.
const SWEPT_SLOTS: usize = 64;

/// How many while the shard may still grow. If not one of them is idle, memory is better than searching at every entry.
const SWEPT_SLOTS_BEFORE_GROWTH: usize = 8;

/// Keys with their states in open addressing (linear probing). Its memory never exceeds what it was given, which no general
/// hash map promises, and no operation but growing looks at all of it.
#[derive(Debug)]
pub(super) struct Shard<K, T> {
    slots: Box<[Slot<K, T>]>,
    slots_max: usize,
    keys: usize,
    forgotten: u64,
}

/// Part of the hash of a key. It decides about the slot, and tells most other keys apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(NonZeroU32);

impl Tag {
    /// Takes the lower half of a hash, so that the upper may choose the shard.
    pub(super) fn of(hash: u64) -> Tag {
        Tag(NonZeroU32::new(hash as u32).unwrap_or(NonZeroU32::MIN))
    }
}

/// The place of a key.
#[derive(Debug)]
pub(super) struct Slot<K, T> {
    /// None where the slot is vacant. What else is in it then, means nothing.
    tag: Option<Tag>,
    key: K,
    state: T,
}

/// How many slots a shard needs for so many keys. Seven eighths of them are taken at most: then a key is found within five
/// slots on average, and one that is not there within thirty-three, which follow each other in memory. With more slots the
/// searches would be shorter, but more memory would be touched, which costs more.
const fn slots_for(keys: usize) -> usize {
    keys + keys.div_ceil(7)
}

/// How many keys so many slots are for.
const fn keys_for(slots: usize) -> usize {
    slots * 7 / 8
}

impl<K: Copy + Eq, T: Default> Shard<K, T> {
    /// An empty shard, which will hold no more than this many keys, at least one.
    pub(super) fn new(keys_max: usize) -> Shard<K, T> {
        Shard {
            slots: Box::default(),
            slots_max: slots_for(keys_max),
            keys: 0,
            forgotten: 0,
        }
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// How many keys were forgotten to make room.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The state of a key that is there.
    pub(super) fn get_mut(&mut self, key: &K, tag: Tag) -> Option<&mut T> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(tag);
        loop {
            let slot = &self.slots[at];
            if slot.tag? == tag && slot.key == *key {
                return Some(&mut self.slots[at].state);
            }
            at = self.after(at);
        }
    }

    /// Enters a key that is not there, for which there is room, and returns its state, which is new.
    pub(super) fn enter(&mut self, key: K, tag: Tag) -> &mut T {
        let at = self.vacancy(tag);
        self.keys += 1;
        let slot = &mut self.slots[at];
        *slot = Slot {
            tag: Some(tag),
            key,
            state: T::default(),
        };
        &mut slot.state
    }

    /// Makes room for a key that is not there: by forgetting an idle one, or else by growing. Says whether there is room.
    pub(super) fn make_room<R>(&mut self, key: K, tag: Tag, strategy: &R, now: Timestamp) -> bool
    where
        R: RateLimitStrategy<State = T>,
    {
        self.keys < keys_for(self.slots.len())
            || self.forget_idle(tag, strategy, now)
            || self.grow(key)
    }

    /// Forgets an idle key, if there is one among the slots from the home of a tag on. Somewhere else for each newcomer, so
    /// that keys go as evenly as they come, and nowhere do they become so dense that searches are long.
    fn forget_idle<R>(&mut self, tag: Tag, strategy: &R, now: Timestamp) -> bool
    where
        R: RateLimitStrategy<State = T>,
    {
        let swept = if self.slots.len() == self.slots_max {
            SWEPT_SLOTS
        } else {
            SWEPT_SLOTS_BEFORE_GROWTH
        };
        if self.slots.is_empty() {
            return false;
        }
        let mut at = self.home(tag);
        for _ in 0..swept.min(self.slots.len()) {
            let slot = &self.slots[at];
            if slot.tag.is_some() && strategy.is_idle(&slot.state, now) {
                self.vacate(at);
                self.forgotten += 1;
                return true;
            }
            at = self.after(at);
        }
        false
    }

    /// Empties a slot. Keys behind it that were only there because it was taken move up, so that a search may always end at
    /// a vacant slot.
    fn vacate(&mut self, slot: usize) {
        self.keys -= 1;
        let mut vacant = slot;
        let mut next = self.after(vacant);
        while let Some(tag) = self.slots[next].tag {
            if self.distance(self.home(tag), next) >= self.distance(vacant, next) {
                self.slots.swap(vacant, next);
                vacant = next;
            }
            next = self.after(next);
        }
        let slot = &mut self.slots[vacant];
        slot.tag = None;
        slot.state = T::default();
    }

    /// Takes the next larger memory, about twice as much. Says whether there is any. Vacant slots are filled with a key, for
    /// something must be in them.
    fn grow(&mut self, key: K) -> bool {
        let len = self.slots.len();
        if len == self.slots_max {
            return false;
        }
        // Halves of the largest, so that the last step, when both are there, is one from half.
        let mut larger = self.slots_max;
        while larger.div_ceil(2) > len && larger > SLOTS_MIN {
            larger = larger.div_ceil(2);
        }
        let vacant = || Slot {
            tag: None,
            key,
            state: T::default(),
        };
        let slots = std::iter::repeat_with(vacant).take(larger).collect();
        let old = std::mem::replace(&mut self.slots, slots);
        for slot in old {
            if let Some(tag) = slot.tag {
                let at = self.vacancy(tag);
                self.slots[at] = slot;
            }
        }
        true
    }

    /// Where a new key of this tag is put. There is always a vacant slot.
    fn vacancy(&self, tag: Tag) -> usize {
        let mut at = self.home(tag);
        while self.slots[at].tag.is_some() {
            at = self.after(at);
        }
        at
    }

    /// The slot where the search for a tag begins: the tag as a fraction of the slots.
    fn home(&self, tag: Tag) -> usize {
        ((u64::from(tag.0.get()) * self.slots.len() as u64) >> u32::BITS) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() {
            0
        } else {
            slot + 1
        }
    }

    /// How many steps lead from one slot to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.slots.len() - from
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
