use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::rate_limiter::RateLimitResult;

/// A state that is idle from a moment on, which is all that a shard asks of one.
struct Until;

impl RateLimitStrategy for Until {
    type State = Timestamp;

    fn cost_max(&self) -> u32 {
        u32::MAX
    }

    fn acquire(&self, _: &mut Timestamp, _: Timestamp, _: u32) -> RateLimitResult {
        RateLimitResult::TooLarge { max: 0 }
    }

    fn refund(&self, _: &mut Timestamp, _: Timestamp, _: Timestamp, _: u32) {}

    fn idle_at(&self, state: &Timestamp) -> Timestamp {
        *state
    }
}

const NOW: Timestamp = Timestamp::ZERO;

/// The state of a key that is never idle.
const ACTIVE: Timestamp = Timestamp::from_nanos(u64::MAX);

/// Hashes that all fall into a few places, some of them at the end, so that keys get into each other's way.
fn crowded(key: u64) -> Tag {
    Tag::of([0, 1 << 31, u64::from(u32::MAX)][key as usize % 3])
}

/// Hashes that fall everywhere.
fn spread(key: u64) -> Tag {
    Tag::of((key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7)
}

/// A shard of these active keys.
fn shard(keys_max: usize, keys: std::ops::Range<u64>) -> Shard<u64, Timestamp> {
    let mut shard = Shard::new(keys_max);
    for key in keys {
        assert!(shard.make_room(key, spread(key), &Until, NOW));
        *shard.enter(key, spread(key)) = ACTIVE;
    }
    shard
}

#[test]
fn a_shard_grows_to_its_keys_and_no_further() {
    let mut sizes: Vec<usize> = (0..=1_000)
        .map(|keys| shard(1_000, 0..keys).slots.len())
        .collect();
    sizes.dedup();
    assert_eq!(sizes, [0, 9, 18, 36, 72, 143, 286, 572, 1_143]);
    let mut shard = shard(1_000, 0..1_000);
    assert!(!shard.make_room(1_000, spread(1_000), &Until, NOW));
    assert_eq!((shard.keys(), shard.slots.len()), (1_000, 1_143));
    for key in 0..1_000 {
        assert_eq!(shard.get_mut(&key, spread(key)).copied(), Some(ACTIVE));
    }
}

#[test]
fn a_shard_of_any_size_holds_as_many_keys_as_it_is_for() {
    for keys_max in 1..100 {
        let mut shard = shard(keys_max, 0..keys_max as u64);
        assert!(!shard.make_room(1_000, spread(1_000), &Until, NOW));
        assert_eq!(shard.slots.len(), shard.slots_max);
        assert_eq!(shard.get_mut(&1_000, spread(1_000)), None);
    }
}

#[test]
fn a_key_is_forgotten_rather_than_memory_taken() {
    let mut shard = Shard::<u64, Timestamp>::new(1_000);
    // States are idle from the first: one-time visitors.
    for key in 0..10_000 {
        assert!(shard.make_room(key, spread(key), &Until, NOW));
        shard.enter(key, spread(key));
    }
    assert_eq!((shard.keys(), shard.slots.len()), (7, 9));
    assert_eq!(shard.forgotten(), 10_000 - 7);
}

#[test]
fn newcomers_find_an_idle_key_wherever_it_is() {
    let mut shard = shard(10_000, 0..10_000);
    *shard.get_mut(&77, spread(77)).unwrap() = NOW;
    let newcomer = (10_000..12_000)
        .find(|&key| shard.make_room(key, spread(key), &Until, NOW))
        .unwrap();
    assert!(newcomer > 10_000, "none of them looks at all slots");
    assert_eq!(shard.get_mut(&77, spread(77)), None);
    assert_eq!((shard.keys(), shard.forgotten()), (9_999, 1));
}

#[test]
fn searches_stay_short_however_many_keys_come_and_go() {
    let mut shard = Shard::<u64, Timestamp>::new(2_000);
    let mut refused = 0;
    for key in 0..200_000 {
        let now = Timestamp::from_nanos(key);
        if shard.make_room(key, spread(key), &Until, now) {
            // For so long that nine tenths are active at a time.
            *shard.enter(key, spread(key)) = Timestamp::from_nanos(key + 1_800);
        } else {
            refused += 1;
        }
    }
    assert_eq!((shard.keys(), shard.slots.len()), (2_000, 2_286));
    assert!(refused < 2_000, "{refused}");
    // Linear probing at seven eighths takes 3.5 steps beyond the first slot (Knuth, volume 3, section 6.4).
    let steps: usize = (0..shard.slots.len())
        .filter_map(|slot| Some(shard.distance(shard.home(shard.slots[slot].tag?), slot)))
        .sum();
    let mean = steps as f64 / 2_000.0;
    assert!((2.0..5.0).contains(&mean), "{mean}");
}

/// States that hold memory, and are idle at once.
struct Holding;

impl RateLimitStrategy for Holding {
    type State = Rc<()>;

    fn cost_max(&self) -> u32 {
        u32::MAX
    }

    fn acquire(&self, _: &mut Rc<()>, _: Timestamp, _: u32) -> RateLimitResult {
        RateLimitResult::TooLarge { max: 0 }
    }

    fn refund(&self, _: &mut Rc<()>, _: Timestamp, _: Timestamp, _: u32) {}

    fn idle_at(&self, _: &Rc<()>) -> Timestamp {
        NOW
    }
}

#[test]
fn memory_of_a_forgotten_key_is_freed() {
    let held = Rc::new(());
    let mut shard = Shard::new(1);
    assert!(shard.make_room(1, spread(1), &Holding, NOW));
    *shard.enter(1, spread(1)) = Rc::clone(&held);
    assert_eq!(Rc::strong_count(&held), 2);
    assert!(shard.make_room(2, spread(2), &Holding, NOW));
    assert_eq!(Rc::strong_count(&held), 1);
}

proptest! {
    #[test]
    fn it_agrees_with_a_map_however_hashes_fall(
        is_crowded: bool,
        keys_max in 1_usize..40,
        steps in prop::collection::vec((0_u64..60, 0_u64..40), 1..400),
    ) {
        let tag = if is_crowded { crowded } else { spread };
        let mut shard = Shard::<u64, Timestamp>::new(keys_max);
        let mut model: HashMap<u64, Timestamp> = HashMap::new();
        for (step, (key, active_for)) in steps.into_iter().enumerate() {
            let now = Timestamp::from_nanos(step as u64);
            let idle_at = Timestamp::from_nanos(step as u64 + active_for);
            let there = shard.get_mut(&key, tag(key));
            prop_assert_eq!(there.as_deref(), model.get(&key));
            if let Some(state) = there {
                *state = idle_at;
                model.insert(key, idle_at);
            } else {
                let forgotten = shard.forgotten();
                if shard.make_room(key, tag(key), &Until, now) {
                    let state = shard.enter(key, tag(key));
                    prop_assert_eq!(*state, Timestamp::default());
                    *state = idle_at;
                    model.insert(key, idle_at);
                } else {
                    prop_assert_eq!(shard.keys(), keys_max);
                }
                // Nothing is gone but what was counted, and that was idle.
                let gone: Vec<u64> = model
                    .keys()
                    .copied()
                    .filter(|&key| shard.get_mut(&key, tag(key)).is_none())
                    .collect();
                prop_assert_eq!(gone.len() as u64, shard.forgotten() - forgotten);
                for key in gone {
                    prop_assert!(model.remove(&key).unwrap() <= now);
                }
            }
            prop_assert_eq!(shard.keys(), model.len());
            prop_assert!(shard.keys() <= keys_max);
            for (&key, state) in &model {
                prop_assert_eq!(shard.get_mut(&key, tag(key)).copied(), Some(*state));
            }
        }
    }
}
