//! A cache that forgets the oldest entry.

use std::collections::{HashMap, VecDeque};
use std::fmt;

/// How many entries are kept.
pub const CAPACITY: usize = 1 << 10;

static HITS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Why an entry was not stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// It is larger than the whole cache.
    TooLarge { size: usize, limit: usize },
    Closed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => write!(f, "{size} > {limit}"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

pub struct Cache<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + std::hash::Hash, V> Cache<K, V> {
    /// An empty cache.
    pub fn new() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }

    /// Stores a value and forgets the oldest one if it must.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.order.len() == CAPACITY {
            let oldest = self.order.pop_front()?;
            self.entries.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.entries.insert(key, value)
    }
}

pub trait Weigh {
    type Unit;
    const SCALE: u32 = 1;
    fn weight(&self) -> usize;
    fn is_heavy(&self) -> bool { self.weight() > 'a' as usize }
}

macro_rules! weigh {
    ($($t:ty => $e:expr),* $(,)?) => { $(impl Weigh for $t { type Unit = (); fn weight(&self) -> usize { $e } })* };
}
weigh!(u8 => 1, String => r#"raw "text""#.len());

mod tests;
pub(crate) mod raw {
    extern "C" { fn malloc(size: usize) -> *mut u8; }
    pub async unsafe fn grab<'a>(n: usize) -> &'a mut [u8] { unsafe { std::slice::from_raw_parts_mut(malloc(n), n) } }
}
