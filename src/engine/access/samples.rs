//! Keys for the tests of this module, made from secrets that everybody knows.

use super::{NewKey, Pepper, Token, mint_key};
use crate::store::sqlite::hub::KeyRow;

/// When the keys are made.
pub(super) const NOW_MS: u64 = 1_000_000;

/// Randomness that counts up from a start, byte by byte, over all calls.
pub(super) fn counting(start: u8) -> impl FnMut(&mut [u8]) {
    let mut next = start;
    move |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
    }
}

pub(super) fn pepper() -> Pepper {
    Pepper::new(&[5; 32])
}

pub(super) fn new_key() -> NewKey {
    NewKey {
        name: "a key".to_owned(),
        scopes: "embed search".parse().unwrap(),
        collections: None,
        tenant: None,
        expires_ms: None,
        rate_limit: None,
    }
}

/// The key that is asked for, with the id and secret that follow from the start.
pub(super) fn minted(new: &NewKey, start: u8) -> (Token, KeyRow) {
    mint_key(new, &pepper(), NOW_MS, &mut counting(start)).unwrap()
}

pub(super) fn row() -> KeyRow {
    minted(&new_key(), 0).1
}
