//! The secret that keys are hashed by.

use std::fmt;
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::private_file;
use super::{AccessError, Token};
use crate::store::sqlite::hub::{KeyMac, KeyRow, PEPPER_FILE};

/// Bytes of the pepper: as many as the hash has.
const LEN: usize = 32;

/// Stands between id and secret in what is hashed.
const SEPARATOR: u8 = 0x1f;

/// The secret that keys are hashed by. Its `Debug` form hides it.
///
/// A fast hash is enough: a token has 256 random bits, so there is nothing to guess, and a slow one would let anybody
/// keep the processors busy by showing wrong tokens.
#[derive(Clone)]
pub struct Pepper {
    /// HMAC with the key already taken in, which is half of its work.
    keyed: Hmac<Sha256>,
}

impl Pepper {
    /// Reads the pepper of a data directory, and makes it unless there are keys already. The hub's database, whose keys
    /// these are, is opened before.
    ///
    /// # Errors
    /// [`AccessError::PepperMissing`] where there are keys: none of them would be accepted with a new one;
    /// [`AccessError::Exposed`], [`AccessError::Malformed`], [`AccessError::Io`].
    pub fn load_or_create(
        data_dir: &Path,
        keys: &[KeyRow],
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Pepper, AccessError> {
        if let Some(pepper) = Pepper::load_existing(data_dir, keys)? {
            return Ok(pepper);
        }
        let path = data_dir.join(PEPPER_FILE);
        let mut bytes = [0; LEN];
        random(&mut bytes);
        private_file::create(&path, &bytes)?;
        // Another process may have been faster: what counts is what is on disk.
        Pepper::load(&path)?.ok_or(AccessError::PepperMissing { path })
    }

    /// Reads the pepper of a data directory; none where it has not been made yet.
    ///
    /// # Errors
    /// As [`Pepper::load_or_create`].
    pub fn load_existing(data_dir: &Path, keys: &[KeyRow]) -> Result<Option<Pepper>, AccessError> {
        let path = data_dir.join(PEPPER_FILE);
        match Pepper::load(&path)? {
            None if !keys.is_empty() => Err(AccessError::PepperMissing { path }),
            found => Ok(found),
        }
    }

    /// Returns what is stored of a token.
    pub fn mac(&self, token: &Token) -> KeyMac {
        let mut mac = self.keyed.clone();
        mac.update(token.id().as_str().as_bytes());
        mac.update(&[SEPARATOR]);
        mac.update(token.secret().bytes());
        KeyMac(mac.finalize().into_bytes().into())
    }

    fn load(path: &Path) -> Result<Option<Pepper>, AccessError> {
        // One byte more, so that a longer file is seen to be wrong.
        let Some(bytes) = private_file::read(path, LEN as u64 + 1)? else {
            return Ok(None);
        };
        if bytes.len() != LEN {
            return Err(AccessError::Malformed {
                path: path.to_owned(),
                what: "the secret that keys are hashed by",
            });
        }
        Ok(Some(Pepper::new(&bytes)))
    }

    pub(super) fn new(bytes: &[u8]) -> Pepper {
        Pepper {
            keyed: Hmac::<Sha256>::new_from_slice(bytes).expect("HMAC takes a key of any length"),
        }
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{counting, pepper, row};
    use super::*;

    #[test]
    fn the_code_is_hmac_of_id_and_secret() {
        let token = Token::mint(&mut counting(0));
        let mut message = b"0123456789ab\x1f".to_vec();
        message.extend(12..44);
        let mut expected = Hmac::<Sha256>::new_from_slice(&[5; 32]).unwrap();
        expected.update(&message);
        assert_eq!(
            pepper().mac(&token).0[..],
            expected.finalize().into_bytes()[..]
        );
    }

    #[test]
    fn a_pepper_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::mint(&mut counting(0));
        let mac = |start| {
            let pepper = Pepper::load_or_create(dir.path(), &[], &mut counting(start)).unwrap();
            pepper.mac(&token)
        };
        let first = mac(1);
        assert_eq!(mac(2), first);
        std::fs::remove_file(dir.path().join(PEPPER_FILE)).unwrap();
        assert_ne!(mac(2), first);
    }

    #[test]
    fn keys_without_their_pepper_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let result = Pepper::load_or_create(dir.path(), &[row()], &mut counting(0));
        assert!(matches!(result, Err(AccessError::PepperMissing { .. })));
        assert!(!dir.path().join(PEPPER_FILE).exists());
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        for len in [0, 31, 33] {
            let dir = tempfile::tempdir().unwrap();
            private_file::create(&dir.path().join(PEPPER_FILE), &vec![0; len]).unwrap();
            let result = Pepper::load_or_create(dir.path(), &[], &mut counting(0));
            assert!(
                matches!(result, Err(AccessError::Malformed { .. })),
                "{len}"
            );
        }
    }
}
