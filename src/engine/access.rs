//! Who may do what: keys and what they may do, the local key, and sessions of browsers.
//!
//! A request shows a [`Token`]; the [`KeyRing`] says which [`Principal`] that is, from memory and in constant time;
//! what the principal may do is asked by [`Principal::may`] and [`Principal::sees`]. A browser shows the cookie of a
//! [`Session`] instead, which is never worth more than the key that it was opened with.
//!
//! What is stored of a key is an authentication code of its secret by the [`Pepper`], a file beside the database: the
//! secret itself is known to its owner alone. Nothing here reads a clock or writes to the database.

mod error;
mod key_limit;
mod key_ring;
mod key_view;
mod local_key;
mod new_key;
mod pepper;
mod principal;
mod private_file;
#[cfg(test)]
mod samples;
mod scope;
mod secret;
mod session;
mod token;

pub use error::{AccessError, AuthError};
pub use key_limit::{KeyLimit, OwnLimit};
pub use key_ring::KeyRing;
pub use key_view::{CreatedKey, KeyList, KeyView};
pub use local_key::{LOCAL_KEY_FILE, LOCAL_KEY_NAME, LocalKey};
pub use new_key::{
    KEY_COLLECTIONS_MAX, KEY_NAME_CHARS_MAX, NewKey, OVERLAP_MAX_MS, Rotation, granted, mint_key,
    rotate_key,
};
pub use pepper::Pepper;
pub use principal::Principal;
pub use scope::{Scope, Scopes};
pub use secret::SecretBytes;
pub use session::{
    CsrfToken, ONE_TIME_MS, ONE_TIME_TOKENS_MAX, SESSION_IDLE_MS, SESSION_MS, SESSIONS_MAX,
    Session, Sessions,
};
pub use token::{KeyId, Token};

/// Fills the bytes from the operating system's source of randomness: what the functions that make secrets are given
/// outside of tests.
///
/// # Panics
/// When the system has no randomness to give: then nothing that it protects can be protected.
pub fn system_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives randomness");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_does_not_repeat_itself() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        system_random(&mut one);
        system_random(&mut other);
        assert_ne!(one, other);
    }
}
