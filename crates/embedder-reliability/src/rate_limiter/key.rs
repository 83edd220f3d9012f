//! Who is counted.

use std::hash::Hash;

/// Names who a limit is for, in a few bytes: an address, the number of an API key, the hash of something longer.
pub trait RateLimitKey: Copy + Eq + Hash + Send + 'static {
    /// What keys have in common that share a bucket when there is no room for a bucket each.
    type Group: Hash;

    /// Returns the group of this key.
    fn group(&self) -> Self::Group;
}

/// A number has nothing in common with others: its group is chosen by its hash alone.
impl RateLimitKey for u64 {
    type Group = u64;

    fn group(&self) -> u64 {
        *self
    }
}

/// Bytes, such as a hash or a prefix, have nothing in common with others.
impl<const LEN: usize> RateLimitKey for [u8; LEN] {
    type Group = [u8; LEN];

    fn group(&self) -> [u8; LEN] {
        *self
    }
}
