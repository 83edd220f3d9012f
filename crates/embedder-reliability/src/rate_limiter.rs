//! How much one caller may ask.
//!
//! A [`RateLimitConfig`] says how much; a [`RateLimitStrategy`] counts for one key; a [`RateLimiter`] does so for up to
//! [`KEYS_MAX`] keys in bounded memory, a [`SingleLimiter`] for one alone; an [`AddressLimiter`] takes network addresses for
//! keys, which are worth as much as [`client_address()`] makes them; [`RateLimitFields`] tells the client.
//!
//! What is counted are units, so that a large request can cost more than a small one. Limits are those of this process: a
//! service of several replicas gives each its part.
//!
//! Guarantees, each with a test:
//! - Every request counts, the first of a key included, and each decision is made under one lock: any number of threads
//!   together are admitted exactly what one would be.
//! - Arithmetic is exact. Nothing drifts in ten years, and a refusal names the very nanosecond from which it is none.
//! - Memory is bounded ([`TableSize`]). A key is forgotten only when it decides as a new one would, and when there is no
//!   room, new keys share the buckets of their groups: never does anybody go uncounted.
//!
//! What it does not promise: a key that finds a place after it had to share one has both quotas for once.
//!
//! ```
//! use std::time::Duration;
//! use embedder_reliability::Timestamp;
//! use embedder_reliability::rate_limiter::{RateLimitAlgorithm, RateLimitConfig, RateLimitResult, RateLimiter};
//!
//! let two_a_minute = RateLimitConfig::try_new(RateLimitAlgorithm::TokenBucket, 2, Duration::from_secs(60), None)?;
//! let limiter = RateLimiter::new(two_a_minute);
//! let (key, now) = (42_u64, Timestamp::ZERO);
//! assert!(limiter.try_acquire(key, now).is_allowed());
//! assert!(limiter.try_acquire(key, now).is_allowed());
//! let RateLimitResult::Limited { retry_after, .. } = limiter.try_acquire(key, now) else { panic!() };
//! assert_eq!(retry_after, Duration::from_secs(30));
//! assert!(limiter.try_acquire(key, now.plus(retry_after)).is_allowed());
//! # Ok::<(), embedder_reliability::rate_limiter::RateLimitConfigError>(())
//! ```

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use crate::Timestamp;

mod address;
mod address_limiter;
mod client_address;
mod config;
mod exact;
mod fields;
mod fixed_window;
mod forwarded;
mod key;
mod network;
mod shard;
mod single_limiter;
mod sliding_counter;
mod sliding_log;
mod strategy;
mod table;
mod token_bucket;

pub use address::{AddressGroup, AddressKey};
pub use address_limiter::{AddressLimiter, SITE_FACTOR};
pub use client_address::{FORWARDED_ENTRIES_MAX, client_address};
pub use config::{RateLimitAlgorithm, RateLimitConfig, RateLimitConfigError};
pub use fields::{PolicyNameError, RateLimitFields, retry_after_seconds};
pub use fixed_window::{FixedWindow, FixedWindowState};
pub use key::RateLimitKey;
pub use network::{Network, NetworkError};
pub use single_limiter::SingleLimiter;
pub use sliding_counter::{SlidingCounter, SlidingCounterState};
pub use sliding_log::{SlidingLog, SlidingLogState};
pub use strategy::{RateLimitResult, RateLimitStrategy};
pub use token_bucket::{TokenBucket, TokenBucketState};

use table::{ShardedTable, Table};

/// Keys that a limiter remembers, at most.
pub const KEYS_MAX: usize = 131_072;

/// Memory of a limiter, at most.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A sliding window of more units than this is counted, not logged: 2 KiB for each key is what precision may cost.
pub const LOG_LIMIT_MAX: u32 = 256;

/// How large the table of a limiter may become. It begins small and grows with the keys that are active at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    /// Keys, rounded down to a multiple of 64, but at least 64. Default [`KEYS_MAX`].
    pub keys_max: usize,
    /// Memory in bytes, which may mean fewer keys: a key of up to twelve bytes takes no more than 55, or with a sliding window
    /// of up to [`LOG_LIMIT_MAX`] units 99 and 8 for each unit. Default [`BYTES_MAX`].
    pub bytes_max: usize,
}

impl Default for TableSize {
    fn default() -> Self {
        TableSize {
            keys_max: KEYS_MAX,
            bytes_max: BYTES_MAX,
        }
    }
}

/// What there is to see of a limiter from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimiterStats {
    /// Keys that are remembered now.
    pub keys: usize,
    /// Decisions so far that were made by a bucket which keys share, because there was no room.
    pub overflowed: u64,
    /// Idle keys so far that were forgotten to make room.
    pub forgotten: u64,
}

/// One limit for each of many keys.
pub struct RateLimiter<K> {
    config: RateLimitConfig,
    table: Box<dyn Table<K>>,
}

impl<K: RateLimitKey> RateLimiter<K> {
    /// A limiter of the default size, hashed with a seed that nobody knows.
    pub fn new(config: RateLimitConfig) -> RateLimiter<K> {
        Self::with_size(config, TableSize::default(), RandomState::new())
    }

    /// A limiter of this size. Who may choose keys must not be able to guess what the hasher makes of them.
    pub fn with_size<S>(config: RateLimitConfig, size: TableSize, hasher: S) -> RateLimiter<K>
    where
        S: BuildHasher + Send + Sync + 'static,
    {
        let table: Box<dyn Table<K>> = match config.algorithm() {
            RateLimitAlgorithm::TokenBucket => {
                Box::new(ShardedTable::new(TokenBucket::new(&config), size, hasher))
            }
            RateLimitAlgorithm::SlidingWindow if config.limit() <= LOG_LIMIT_MAX => {
                Box::new(ShardedTable::new(SlidingLog::new(&config), size, hasher))
            }
            RateLimitAlgorithm::SlidingWindow => Box::new(ShardedTable::new(
                SlidingCounter::new(&config),
                size,
                hasher,
            )),
            RateLimitAlgorithm::FixedWindow => {
                Box::new(ShardedTable::new(FixedWindow::new(&config), size, hasher))
            }
        };
        RateLimiter { config, table }
    }

    /// Returns the limit.
    pub fn config(&self) -> &RateLimitConfig {
        &self.config
    }

    /// Takes one unit for a key, or says when it could.
    pub fn try_acquire(&self, key: K, now: Timestamp) -> RateLimitResult {
        self.try_acquire_n(key, now, 1)
    }

    /// Takes `cost` units for a key, all or none, or says when it could.
    pub fn try_acquire_n(&self, key: K, now: Timestamp, cost: u32) -> RateLimitResult {
        self.table.acquire(key, now, cost)
    }

    /// Returns what [`try_acquire_n`](Self::try_acquire_n) would say, and takes nothing.
    pub fn peek(&self, key: K, now: Timestamp, cost: u32) -> RateLimitResult {
        self.table.peek(key, now, cost)
    }

    /// Gives back units that were taken at `taken_at` for a request which was refused for another reason.
    ///
    /// What has come back by itself since is not given twice; who gives back at once passes the same moment for both.
    pub fn refund(&self, key: K, taken_at: Timestamp, now: Timestamp, cost: u32) {
        self.table.refund(key, taken_at, now, cost);
    }

    /// Returns how many keys are remembered.
    pub fn len(&self) -> usize {
        self.stats().keys
    }

    /// Returns whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what an exporter shows. Takes each lock in turn, so it is no part of a request.
    pub fn stats(&self) -> RateLimiterStats {
        self.table.stats()
    }
}

impl<K> fmt::Debug for RateLimiter<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RateLimiter")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
