//! What the owner of a key shows: `emb_`, the key's id, `_`, the secret.

use std::fmt;

use super::SecretBytes;

/// How every token begins, so that a leaked one is found by those who look for such things.
const PREFIX: &str = "emb";

/// The digits of an id: those of Crockford's base32 in lower case, without i, l, o and u.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Digits of an id: sixty bits, so that no two of ten thousand keys share one.
const ID_LEN: usize = 12;

/// Identifies a key. It is no secret: lists and the audit log show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID_LEN]);

/// The whole of a key, as its owner shows it. Its `Debug` form hides the secret and it has no `Display`.
#[derive(Debug, Clone)]
pub struct Token {
    id: KeyId,
    secret: SecretBytes,
}

impl KeyId {
    /// Reads an id; nothing but twelve of its digits is accepted.
    pub fn parse(text: &str) -> Option<KeyId> {
        let id: [u8; ID_LEN] = text.as_bytes().try_into().ok()?;
        id.iter()
            .all(|digit| DIGITS.contains(digit))
            .then_some(KeyId(id))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the digits are ASCII")
    }

    fn mint(random: &mut dyn FnMut(&mut [u8])) -> KeyId {
        let mut id = [0; ID_LEN];
        random(&mut id);
        // 256 is a multiple of 32: every digit is as likely.
        KeyId(id.map(|byte| DIGITS[usize::from(byte % 32)]))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl Token {
    /// Makes a new one.
    pub fn mint(random: &mut dyn FnMut(&mut [u8])) -> Token {
        Token {
            id: KeyId::mint(random),
            secret: SecretBytes::mint(random),
        }
    }

    /// Reads a token; nothing but its one spelling is accepted.
    pub fn parse(text: &str) -> Option<Token> {
        // The secret may have `_` in it: all that follows the second one is the secret.
        let mut parts = text.splitn(3, '_');
        if parts.next()? != PREFIX {
            return None;
        }
        Some(Token {
            id: KeyId::parse(parts.next()?)?,
            secret: SecretBytes::parse(parts.next()?)?,
        })
    }

    /// Returns the public part.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the text, for the one place that has to hand it out.
    pub fn expose(&self) -> String {
        format!("{PREFIX}_{}_{}", self.id, self.secret.expose())
    }

    pub(super) fn secret(&self) -> &SecretBytes {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::counting;
    use super::*;

    /// A token whose secret has `_` and `-` in it.
    fn token() -> Token {
        let mut next = 0xf0_u8;
        Token::mint(&mut |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = next | 0xf8;
                next = next.wrapping_add(1);
            }
        })
    }

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let text = token().expose();
        assert!(
            text.matches('_').count() > 2 && text.contains('-'),
            "{text}"
        );
        for token in [token(), Token::mint(&mut counting(9))] {
            let text = token.expose();
            assert_eq!(text.len(), 60);
            let read = Token::parse(&text).unwrap();
            assert_eq!(read.id(), token.id());
            assert_eq!(read.secret().bytes(), token.secret().bytes());
            assert_eq!(read.expose(), text);
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let text = Token::mint(&mut counting(0)).expose();
        assert_eq!(&text[..17], "emb_0123456789ab_");
        for wrong in [
            "",
            "emb",
            "emb__",
            &text[1..],
            &text[..59],
            &format!("{text} "),
            &format!(" {text}"),
            &text.replacen("emb", "EMB", 1),
            &text.replacen("emb_", "emb-", 1),
            &text.replacen("emb_0", "emb_", 1),
            &text.replacen("emb_0", "emb_00", 1),
            // Letters that are no digits, and one in upper case.
            &text.replacen("emb_0", "emb_o", 1),
            &text.replacen("emb_0", "emb_l", 1),
            &text.replacen("9ab_", "9aB_", 1),
        ] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_token_shows_its_id_alone() {
        let token = Token::mint(&mut counting(0));
        assert_eq!(
            format!("{token:?}"),
            "Token { id: KeyId(0123456789ab), secret: SecretBytes(***) }"
        );
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_another_token(text in "(emb_[0-9a-z]{12}_[0-9A-Za-z_-]{43}|\\PC{0,70})") {
            if let Some(token) = Token::parse(&text) {
                prop_assert_eq!(token.expose(), text);
            }
        }
    }
}
