//! The table of keys: many locks, bounded memory.

use std::hash::{BuildHasher, Hash};

use super::shard::{Shard, Slot, Tag};
use super::{RateLimitKey, RateLimitResult, RateLimitStrategy, RateLimiterStats, TableSize};
use crate::Timestamp;
use crate::sync::{Mutex, lock};

/// Two requests meet at a lock once in 64 times.
const SHARDS: usize = 64;

/// Buckets for keys without a place of their own, by their groups. With few of them those who did nothing would share one
/// with those who filled the table. These take twenty kilobytes, or two megabytes with the longest logs.
const OVERFLOW_BUCKETS: usize = 1_024;

/// What a limiter asks of its table, whatever it counts by.
pub(super) trait Table<K>: Send + Sync {
    fn acquire(&self, key: K, now: Timestamp, cost: u32) -> RateLimitResult;
    fn peek(&self, key: K, now: Timestamp, cost: u32) -> RateLimitResult;
    fn refund(&self, key: K, taken_at: Timestamp, now: Timestamp, cost: u32);
    fn stats(&self) -> RateLimiterStats;
}

/// A table for one strategy.
pub(super) struct ShardedTable<K, R: RateLimitStrategy, S> {
    strategy: R,
    hasher: S,
    shards: Box<[Line<K, R::State>]>,
    overflow: Box<[Mutex<R::State>]>,
}

/// A shard on cache lines of its own, so that threads on neighbouring shards do not slow each other.
#[repr(align(128))]
struct Line<K, T>(Mutex<Guarded<K, T>>);

struct Guarded<K, T> {
    shard: Shard<K, T>,
    /// Decisions made by a bucket that keys share.
    overflowed: u64,
}

impl<K, R, S> ShardedTable<K, R, S>
where
    K: RateLimitKey,
    R: RateLimitStrategy,
    S: BuildHasher,
{
    /// An empty table that stays within this size.
    pub(super) fn new(strategy: R, size: TableSize, hasher: S) -> Self {
        let keys_max = keys_per_shard::<K, R>(&strategy, size);
        Self::with_shards(strategy, hasher, SHARDS, keys_max, OVERFLOW_BUCKETS)
    }

    /// An empty table of this shape; `shards` is a power of two.
    pub(super) fn with_shards(
        strategy: R,
        hasher: S,
        shards: usize,
        keys_per_shard: usize,
        overflow_buckets: usize,
    ) -> Self {
        debug_assert!(shards.is_power_of_two() && keys_per_shard > 0 && overflow_buckets > 0);
        let shard = || Guarded {
            shard: Shard::new(keys_per_shard),
            overflowed: 0,
        };
        ShardedTable {
            strategy,
            hasher,
            shards: (0..shards).map(|_| Line(Mutex::new(shard()))).collect(),
            overflow: (0..overflow_buckets).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard_of(&self, hash: u64) -> &Mutex<Guarded<K, R::State>> {
        // The upper half of the hash; the slot is found by the lower.
        &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)].0
    }

    fn overflow_of(&self, key: &K) -> &Mutex<R::State> {
        let hash = self.hash(&key.group());
        &self.overflow[(hash % self.overflow.len() as u64) as usize]
    }

    fn hash(&self, value: &impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }
}

impl<K, R, S> Table<K> for ShardedTable<K, R, S>
where
    K: RateLimitKey,
    R: RateLimitStrategy + Send + Sync,
    R::State: Send,
    S: BuildHasher + Send + Sync,
{
    fn acquire(&self, key: K, now: Timestamp, cost: u32) -> RateLimitResult {
        let hash = self.hash(&key);
        let tag = Tag::of(hash);
        let mut guard = lock(self.shard_of(hash));
        let Guarded { shard, overflowed } = &mut *guard;
        if let Some(state) = shard.get_mut(&key, tag) {
            return self.strategy.acquire(state, now, cost);
        }
        if cost > self.strategy.cost_max() {
            return RateLimitResult::TooLarge {
                max: self.strategy.cost_max(),
            };
        }
        if shard.make_room(key, tag, &self.strategy, now) {
            return self.strategy.acquire(shard.enter(key, tag), now, cost);
        }
        *overflowed += 1;
        drop(guard);
        let mut state = lock(self.overflow_of(&key));
        self.strategy.acquire(&mut state, now, cost)
    }

    fn peek(&self, key: K, now: Timestamp, cost: u32) -> RateLimitResult {
        let hash = self.hash(&key);
        let tag = Tag::of(hash);
        let mut guard = lock(self.shard_of(hash));
        if let Some(state) = guard.shard.get_mut(&key, tag) {
            return self.strategy.peek(state, now, cost);
        }
        // Room that is made here is there for the key when it comes.
        if guard.shard.make_room(key, tag, &self.strategy, now) {
            return self.strategy.peek(&R::State::default(), now, cost);
        }
        drop(guard);
        let state = lock(self.overflow_of(&key));
        self.strategy.peek(&state, now, cost)
    }

    fn refund(&self, key: K, taken_at: Timestamp, now: Timestamp, cost: u32) {
        let hash = self.hash(&key);
        let mut guard = lock(self.shard_of(hash));
        if let Some(state) = guard.shard.get_mut(&key, Tag::of(hash)) {
            return self.strategy.refund(state, taken_at, now, cost);
        }
        drop(guard);
        let mut state = lock(self.overflow_of(&key));
        self.strategy.refund(&mut state, taken_at, now, cost);
    }

    fn stats(&self) -> RateLimiterStats {
        let mut stats = RateLimiterStats::default();
        for line in &self.shards {
            let guard = lock(&line.0);
            stats.keys += guard.shard.keys();
            stats.overflowed += guard.overflowed;
            stats.forgotten += guard.shard.forgotten();
        }
        stats
    }
}

/// How many keys each shard may hold, so that the table has no more keys and bytes than it may, even if all shards grow for
/// the last time at once. At least one.
fn keys_per_shard<K, R: RateLimitStrategy>(strategy: &R, size: TableSize) -> usize {
    let heap = strategy.heap_bytes_max();
    let slot = size_of::<Slot<K, R::State>>();
    // Two slots are what is rounded up.
    let fixed = SHARDS * (size_of::<Line<K, R::State>>() + 2 * slot)
        + OVERFLOW_BUCKETS * (size_of::<Mutex<R::State>>() + heap);
    // Eight slots for seven keys; and while a shard grows, half as many beside them.
    let key = (12 * slot).div_ceil(7) + heap;
    let keys = size.bytes_max.saturating_sub(fixed) / key;
    (keys.min(size.keys_max) / SHARDS).max(1)
}

#[cfg(all(test, not(loom)))]
mod tests;
