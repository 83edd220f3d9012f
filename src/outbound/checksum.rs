//! SHA-256 sums of files, as the model hub publishes them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::control::{Control, Interrupted};

/// Bytes read at a time: large enough that the sum is the cost, small enough that an interrupt is seen at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// Hex digits of a SHA-256 sum.
const HEX_LEN: usize = 64;

/// Why a file has no sum.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChecksumError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The caller asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The SHA-256 sum of the file in lower-case hexadecimal.
///
/// # Errors
/// When the file cannot be read, or on an interrupt.
pub fn sha256_of(path: &Path, control: &Control<'_>) -> Result<String, ChecksumError> {
    let mut file = File::open(path)?;
    let mut sum = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        control.check()?;
        match file.read(&mut block) {
            Ok(0) => return Ok(hex(sum)),
            Ok(read) => sum.update(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The finished sum in lower-case hexadecimal.
pub(crate) fn hex(sum: Sha256) -> String {
    sum.finalize()
        .iter()
        .fold(String::with_capacity(HEX_LEN), |mut text, byte| {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
            text
        })
}

/// Whether the text could be the sum of a file: 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == HEX_LEN
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::control::{Silent, Sleep};
    use super::*;

    /// The sum of "abc" is the test vector of FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_sum_is_that_of_the_standard() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let interrupt = AtomicBool::new(false);
        let control = Control {
            progress: &Silent,
            interrupt: &interrupt,
            pause: &Sleep,
        };
        assert_eq!(sha256_of(file.path(), &control).unwrap(), ABC);
    }

    #[test]
    fn a_sum_stops_when_interrupted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let interrupt = AtomicBool::new(true);
        let control = Control {
            progress: &Silent,
            interrupt: &interrupt,
            pause: &Sleep,
        };
        assert!(matches!(
            sha256_of(file.path(), &control),
            Err(ChecksumError::Interrupted(_))
        ));
    }

    #[test]
    fn only_64_lower_case_digits_are_a_sum() {
        assert!(is_sha256(ABC));
        assert!(!is_sha256(&ABC.to_uppercase()));
        assert!(!is_sha256(&ABC[1..]));
        assert!(!is_sha256(""));
    }
}
