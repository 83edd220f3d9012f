use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::rate_limiter::{
    AddressKey, FixedWindow, RateLimitAlgorithm, RateLimitConfig, SlidingCounter, SlidingLog,
    TokenBucket,
};

/// The same hashes in every run.
type Fixed = BuildHasherDefault<DefaultHasher>;

fn config(limit: u32, period_nanos: u64) -> RateLimitConfig {
    let period = Duration::from_nanos(period_nanos);
    RateLimitConfig::try_new(RateLimitAlgorithm::TokenBucket, limit, period, None).unwrap()
}

fn table<K: RateLimitKey>(
    config: &RateLimitConfig,
    shards: usize,
    keys_per_shard: usize,
) -> ShardedTable<K, TokenBucket, Fixed> {
    let strategy = TokenBucket::new(config);
    ShardedTable::with_shards(strategy, Fixed::default(), shards, keys_per_shard, 1)
}

/// The most that a table of this strategy and size can take, were all shards growing for the last time.
fn bytes_max<K: RateLimitKey, R: RateLimitStrategy>(strategy: &R, size: TableSize) -> usize {
    let keys = keys_per_shard::<K, R>(strategy, size);
    let slots = keys + keys.div_ceil(7);
    let heap = strategy.heap_bytes_max();
    let shard = size_of::<Line<K, R::State>>()
        + (slots + slots.div_ceil(2)) * size_of::<Slot<K, R::State>>()
        + keys * heap;
    SHARDS * shard + OVERFLOW_BUCKETS * (size_of::<Mutex<R::State>>() + heap)
}

#[test]
fn no_table_exceeds_its_memory() {
    let size = TableSize::default();
    for limit in [1, 5, 20, 100, 256] {
        let config = config(limit, 1_000);
        let log = SlidingLog::new(&config);
        assert!(bytes_max::<AddressKey, _>(&log, size) <= size.bytes_max);
        assert!(bytes_max::<u64, _>(&log, size) <= size.bytes_max);
    }
    let config = config(1_000, 1_000);
    let bucket = TokenBucket::new(&config);
    assert!(bytes_max::<AddressKey, _>(&bucket, size) <= size.bytes_max);
    assert!(bytes_max::<[u8; 32], _>(&bucket, size) <= size.bytes_max);
    let counter = SlidingCounter::new(&config);
    assert!(bytes_max::<AddressKey, _>(&counter, size) <= size.bytes_max);
    let window = FixedWindow::new(&config);
    assert!(bytes_max::<AddressKey, _>(&window, size) <= size.bytes_max);
}

#[test]
fn a_key_and_its_bucket_take_as_much_memory_as_documented() {
    /// Bytes of a key, with its part of the vacant slots, also while the table grows.
    fn bytes<K, R: RateLimitStrategy>() -> usize {
        (12 * size_of::<Slot<K, R::State>>()).div_ceil(7)
    }
    assert_eq!(bytes::<AddressKey, TokenBucket>(), 48);
    assert_eq!(bytes::<u64, TokenBucket>(), 42);
    assert_eq!(bytes::<AddressKey, FixedWindow>(), 48);
    assert_eq!(bytes::<AddressKey, SlidingCounter>(), 55);
    assert_eq!(bytes::<AddressKey, SlidingLog>(), 83);
    assert_eq!(
        SlidingLog::new(&config(20, 1_000)).heap_bytes_max(),
        16 + 8 * 20
    );
    let bucket = TokenBucket::new(&config(20, 1_000));
    let keys = SHARDS * keys_per_shard::<AddressKey, _>(&bucket, TableSize::default());
    assert_eq!(keys, TableSize::default().keys_max);
}

#[test]
fn a_table_of_any_size_has_room_for_a_key_a_shard() {
    let bucket = TokenBucket::new(&config(20, 1_000));
    for (keys_max, bytes_max, expected) in [(0, 0, 1), (640, 1 << 24, 10), (1 << 30, 1 << 20, 378)]
    {
        let size = TableSize {
            keys_max,
            bytes_max,
        };
        assert_eq!(keys_per_shard::<u64, _>(&bucket, size), expected);
    }
}

#[test]
fn keys_without_room_share_the_bucket_of_their_group() {
    let config = config(5, 1_000);
    let table = table(&config, 1, 2);
    let address = |text: &str| AddressKey::from(text.parse::<std::net::IpAddr>().unwrap());
    let now = Timestamp::ZERO;
    assert!(table.acquire(address("192.0.2.1"), now, 1).is_allowed());
    assert!(table.acquire(address("192.0.2.2"), now, 1).is_allowed());
    // Five units for all the rest, and none more while nothing is idle.
    let admitted = (3..=250)
        .filter(|host| {
            let key = address(&format!("192.0.2.{host}"));
            table.acquire(key, now, 1).is_allowed()
        })
        .count();
    assert_eq!(admitted, 5);
    let key = address("192.0.2.250");
    assert!(!table.peek(key, now, 1).is_allowed());
    table.refund(key, now, now, 1);
    assert!(table.peek(key, now, 1).is_allowed());
    assert_eq!(
        table.stats(),
        RateLimiterStats {
            keys: 2,
            overflowed: 248,
            forgotten: 0
        }
    );
    // A fifth of the period later both are full again, so there is room.
    let later = Timestamp::from_nanos(200);
    assert!(table.acquire(key, later, 5).is_allowed());
    assert_eq!((table.stats().keys, table.stats().forgotten), (2, 1));
}

#[test]
fn what_is_too_large_takes_no_place() {
    let table = table::<u64>(&config(5, 1_000), 4, 2);
    let result = table.acquire(7, Timestamp::ZERO, 6);
    assert_eq!(result, RateLimitResult::TooLarge { max: 5 });
    assert_eq!(table.stats().keys, 0);
}

#[test]
fn an_active_key_keeps_its_count_whatever_comes() {
    let table = table::<u64>(&config(10, 1_000_000), 4, 16);
    let honest = u64::MAX;
    assert!(table.acquire(honest, Timestamp::ZERO, 10).is_allowed());
    // One unit flows in each 100,000 ns: the honest has none until then, and two at the end.
    for flood in 0..50_000 {
        let now = Timestamp::from_nanos(flood * 4);
        table.acquire(flood, now, 1 + flood as u32 % 10);
        assert!(now.as_nanos() >= 100_000 || !table.peek(honest, now, 1).is_allowed());
        assert!(table.stats().keys <= 64);
    }
    let end = Timestamp::from_nanos(200_000);
    assert!(table.acquire(honest, end, 2).is_allowed());
    assert!(!table.acquire(honest, end, 1).is_allowed());
    assert!(table.stats().overflowed > 0);
    assert!(table.stats().forgotten > 0);
}

proptest! {
    /// What a table decides is what the key's own bucket would, or the shared one where it says so; and a key that is not
    /// idle never comes to the shared one.
    #[test]
    fn a_key_has_its_own_bucket_or_says_that_it_has_none(
        limit in 1_u32..5,
        shards in prop_oneof![Just(1_usize), Just(4)],
        keys_per_shard in 1_usize..6,
        steps in prop::collection::vec((0_u64..30, 0_u64..40, 0_u32..6, any::<bool>()), 1..300),
    ) {
        let strategy = TokenBucket::new(&config(limit, 100));
        let table = table::<u64>(&config(limit, 100), shards, keys_per_shard);
        let mut own: HashMap<u64, <TokenBucket as RateLimitStrategy>::State> = HashMap::new();
        let mut shared = <TokenBucket as RateLimitStrategy>::State::default();
        let mut now = Timestamp::ZERO;
        for (gap, key, cost, is_given_back) in steps {
            now = now.plus(Duration::from_nanos(gap));
            let looked = table.peek(key, now, cost);
            let before = table.stats();
            let result = table.acquire(key, now, cost);
            let after = table.stats();
            prop_assert_eq!(result, looked);
            prop_assert!(after.keys <= shards * keys_per_shard);
            let state = if after.overflowed > before.overflowed {
                let state = own.remove(&key).unwrap_or_default();
                prop_assert!(strategy.is_idle(&state, now), "{key} was active and lost its bucket");
                &mut shared
            } else {
                own.entry(key).or_default()
            };
            prop_assert_eq!(result, strategy.acquire(state, now, cost));
            if is_given_back && result.is_allowed() {
                table.refund(key, now, now, cost);
                strategy.refund(state, now, now, cost);
            }
        }
    }
}
