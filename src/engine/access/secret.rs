//! 256 random bits that only their owner knows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of a secret.
const LEN: usize = 32;

/// Characters of a secret in base64url without padding.
pub(super) const TEXT_LEN: usize = 43;

/// A random secret. It has one spelling, base64url without padding; its `Debug` form hides it and it has no `Display`.
#[derive(Clone)]
pub struct SecretBytes([u8; LEN]);

impl SecretBytes {
    /// Makes one.
    pub fn mint(random: &mut dyn FnMut(&mut [u8])) -> SecretBytes {
        let mut bytes = [0; LEN];
        random(&mut bytes);
        SecretBytes(bytes)
    }

    /// Reads one; nothing but its one spelling is accepted.
    pub fn parse(text: &str) -> Option<SecretBytes> {
        if text.len() != TEXT_LEN {
            return None;
        }
        // The decoder wants room for a last group that could be whole.
        let mut decoded = [0; LEN + 1];
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut decoded).ok()?;
        decoded[..len].try_into().ok().map(SecretBytes)
    }

    /// Returns the text, for the one place that has to hand it out.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::counting;
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_is_written() {
        for start in 0..=255 {
            let secret = SecretBytes::mint(&mut counting(start));
            let text = secret.expose();
            assert_eq!(text.len(), TEXT_LEN);
            assert_eq!(SecretBytes::parse(&text).unwrap().bytes(), secret.bytes());
        }
    }

    #[test]
    fn there_is_no_second_spelling() {
        let text = SecretBytes::mint(&mut counting(0)).expose();
        let (most, last) = text.split_at(TEXT_LEN - 1);
        for wrong in [
            "",
            most,
            &format!("{text}="),
            &format!("{text}A"),
            &format!("{most}+"),
            // The same bytes, and bits beyond them that are not zero.
            &format!("{most}{}", char::from(last.as_bytes()[0] + 1)),
            &"é".repeat(21),
        ] {
            assert!(SecretBytes::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = SecretBytes::mint(&mut counting(0));
        assert_eq!(format!("{secret:?}"), "SecretBytes(***)");
    }
}
