//! Making keys: what may be asked for, and what comes of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{AccessError, KeyId, KeyLimit, LOCAL_KEY_NAME, Pepper, Scopes, Token};
use crate::store::sqlite::hub::{HubChange, KeyRow};

/// Characters of a key's name, and of a tenant: what fits into a line of a list.
pub const KEY_NAME_CHARS_MAX: usize = 64;

/// Collections that one key may list. Who needs more of them needs all.
pub const KEY_COLLECTIONS_MAX: usize = 256;

/// Bytes of a collection's name in such a list.
const COLLECTION_BYTES_MAX: usize = 128;

/// Longest time for which a key and the one that takes its place are both good: thirty days. A change that takes
/// longer is none.
pub const OVERLAP_MAX_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// The end of the year 9999: later times are mistakes, and beyond what the database can hold.
const EXPIRES_MS_MAX: u64 = 253_402_300_799_999;

/// A key that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What its owner calls it: 1 to [`KEY_NAME_CHARS_MAX`] printable characters. Two keys may share a name.
    pub name: String,
    /// What it may do; at least one thing.
    pub scopes: Scopes,
    /// The collections that it sees, which need not exist yet; all where there is no list.
    pub collections: Option<BTreeSet<String>>,
    /// On whose behalf it acts, if that is to be told apart.
    pub tenant: Option<String>,
    /// From when on it is refused, in milliseconds since the epoch.
    pub expires_ms: Option<u64>,
    /// What it may ask, if that is not what the settings say.
    pub rate_limit: Option<KeyLimit>,
}

/// A key that takes the place of another.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The new key, as its owner shows it.
    pub token: Token,
    /// The id of the new key.
    pub id: KeyId,
    /// What makes it so.
    pub change: HubChange,
}

impl NewKey {
    /// Checks what does not depend on who asks.
    ///
    /// # Errors
    /// [`AccessError::KeyInvalid`] with the first problem.
    pub fn validate(&self, now_ms: u64) -> Result<(), AccessError> {
        match self.problem(now_ms) {
            Some(problem) => Err(AccessError::KeyInvalid { problem }),
            None => Ok(()),
        }
    }

    fn problem(&self, now_ms: u64) -> Option<String> {
        if !is_label(&self.name) {
            return Some(label_problem("a key's name"));
        }
        if self.name == LOCAL_KEY_NAME {
            return Some(format!(
                "the name `{LOCAL_KEY_NAME}` is that of the key of this machine"
            ));
        }
        if self.scopes.is_empty() {
            return Some("a key without a scope may do nothing".to_owned());
        }
        if let Some(tenant) = &self.tenant
            && !is_label(tenant)
        {
            return Some(label_problem("a tenant"));
        }
        if self
            .expires_ms
            .is_some_and(|expires_ms| expires_ms <= now_ms)
        {
            return Some("the key would have expired already".to_owned());
        }
        if self
            .expires_ms
            .is_some_and(|expires_ms| expires_ms > EXPIRES_MS_MAX)
        {
            return Some("a key that ends after the year 9999 is one that does not end".to_owned());
        }
        if let Some(limit) = self.rate_limit
            && let Err(problem) = limit.check()
        {
            return Some(format!("the key's rate limit: {problem}"));
        }
        let names = self.collections.as_ref()?;
        if names.is_empty() {
            return Some("a key with an empty list of collections sees nothing".to_owned());
        }
        if names.len() > KEY_COLLECTIONS_MAX {
            return Some(format!(
                "a key lists at most {KEY_COLLECTIONS_MAX} collections, not {}",
                names.len()
            ));
        }
        names
            .iter()
            .any(|name| name.is_empty() || name.len() > COLLECTION_BYTES_MAX)
            .then(|| format!("a collection's name in a key has 1 to {COLLECTION_BYTES_MAX} bytes"))
    }
}

/// Makes a key. The caller has asked [`super::Principal::may_mint`], writes the row by [`HubChange::PutKey`], and shows
/// the token once.
///
/// # Errors
/// [`AccessError::KeyInvalid`].
pub fn mint_key(
    new: &NewKey,
    pepper: &Pepper,
    now_ms: u64,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<(Token, KeyRow), AccessError> {
    new.validate(now_ms)?;
    let token = Token::mint(random);
    let row = KeyRow {
        id: token.id().to_string(),
        name: new.name.clone(),
        mac: pepper.mac(&token),
        scopes: new.scopes.to_string(),
        collections: new
            .collections
            .as_ref()
            .map(|names| names.iter().cloned().collect()),
        tenant: new.tenant.clone(),
        created_ms: now_ms,
        expires_ms: new.expires_ms,
        revoked_ms: None,
        last_used_ms: None,
        replaced_by: None,
        limit_per_s: new.rate_limit.map(|limit| limit.per_s),
        limit_burst: new.rate_limit.and_then(|limit| limit.burst),
    };
    Ok((token, row))
}

/// Returns what a key was given, for the audit log.
pub fn granted(row: &KeyRow) -> Value {
    json!({
        "name": row.name, "scopes": row.scopes, "collections": row.collections,
        "tenant": row.tenant, "expires_ms": row.expires_ms, "rate_limit": KeyLimit::of(row),
    })
}

/// Makes a key with the rights of another one, which is good for `overlap_ms` longer and then expires; with zero it
/// expires at once. The caller has asked [`super::Principal::may_rotate`].
///
/// # Errors
/// [`AccessError::KeyEnded`], [`AccessError::LocalKeyRotated`]; [`AccessError::KeyInvalid`] for an overlap of more than
/// [`OVERLAP_MAX_MS`].
pub fn rotate_key(
    old: &KeyRow,
    overlap_ms: u64,
    pepper: &Pepper,
    now_ms: u64,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Rotation, AccessError> {
    if overlap_ms > OVERLAP_MAX_MS {
        return Err(AccessError::KeyInvalid {
            problem: format!("two keys overlap for at most {OVERLAP_MAX_MS} ms"),
        });
    }
    if old.name == LOCAL_KEY_NAME {
        return Err(AccessError::LocalKeyRotated);
    }
    let has_expired = old
        .expires_ms
        .is_some_and(|expires_ms| expires_ms <= now_ms);
    if has_expired || old.revoked_ms.is_some() || old.replaced_by.is_some() {
        return Err(AccessError::KeyEnded { id: old.id.clone() });
    }
    let token = Token::mint(random);
    let new = KeyRow {
        id: token.id().to_string(),
        mac: pepper.mac(&token),
        created_ms: now_ms,
        last_used_ms: None,
        ..old.clone()
    };
    Ok(Rotation {
        id: token.id(),
        token,
        change: HubChange::ReplaceKey {
            old_id: old.id.clone(),
            old_expires_ms: now_ms.saturating_add(overlap_ms),
            new,
        },
    })
}

/// Whether a text can stand in a line of a list and in a log: letters and digits of any script, the punctuation of
/// ASCII, and spaces inside. Nothing that is invisible, or that turns the direction of what follows.
fn is_label(text: &str) -> bool {
    let len = text.chars().count();
    (1..=KEY_NAME_CHARS_MAX).contains(&len)
        && text.trim() == text
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ')
}

fn label_problem(what: &str) -> String {
    format!("{what} has 1 to {KEY_NAME_CHARS_MAX} letters, digits, signs and inner spaces")
}

#[cfg(test)]
mod tests {
    use super::super::samples::{NOW_MS, counting, minted, new_key, pepper, row};
    use super::*;

    #[test]
    fn a_key_is_made_as_asked_for() {
        let new = NewKey {
            collections: Some(BTreeSet::from(["docs".to_owned(), "code".to_owned()])),
            tenant: Some("team".to_owned()),
            expires_ms: Some(NOW_MS + 1),
            rate_limit: Some(KeyLimit {
                per_s: 10,
                burst: Some(20),
            }),
            ..new_key()
        };
        let (token, row) = minted(&new, 0);
        assert_eq!(row.id, token.id().to_string());
        assert_eq!(row.mac, pepper().mac(&token));
        assert_eq!(row.scopes, "embed search");
        assert_eq!(
            row.collections,
            Some(vec!["code".to_owned(), "docs".to_owned()])
        );
        assert_eq!((row.created_ms, row.expires_ms), (NOW_MS, Some(NOW_MS + 1)));
        assert_eq!((row.limit_per_s, row.limit_burst), (Some(10), Some(20)));
        let shown = format!("{row:?}");
        assert!(!shown.contains(&token.secret().expose()), "{shown}");
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let check = |new: NewKey, is_valid: bool| {
            let result = mint_key(&new, &pepper(), NOW_MS, &mut counting(0));
            assert_eq!(result.is_ok(), is_valid, "{new:?}");
        };
        let long = "é".repeat(KEY_NAME_CHARS_MAX);
        for (name, is_valid) in [
            ("x", true),
            ("Zoë's key #2 (CI)", true),
            ("鍵", true),
            (long.as_str(), true),
            (format!("{long}x").as_str(), false),
            ("", false),
            (" x", false),
            ("x ", false),
            ("a\nb", false),
            ("a\tb", false),
            ("a\u{202e}b", false),
            ("a\u{200b}b", false),
            ("local", false),
            ("Local", true),
        ] {
            let new = NewKey {
                name: name.to_owned(),
                ..new_key()
            };
            check(new, is_valid);
            let new = NewKey {
                tenant: Some(name.to_owned()),
                ..new_key()
            };
            check(new, is_valid || name == "local");
        }
        let new = NewKey {
            scopes: Scopes::NONE,
            ..new_key()
        };
        check(new, false);
        for (expires_ms, is_valid) in [(0, false), (NOW_MS, false), (NOW_MS + 1, true)] {
            let new = NewKey {
                expires_ms: Some(expires_ms),
                ..new_key()
            };
            check(new, is_valid);
        }
        for (per_s, burst, is_valid) in [(0, None, false), (1, Some(0), false), (1, Some(2), true)]
        {
            let new = NewKey {
                rate_limit: Some(KeyLimit { per_s, burst }),
                ..new_key()
            };
            check(new, is_valid);
        }
        let many = |count: usize| -> BTreeSet<String> {
            (0..count).map(|number| number.to_string()).collect()
        };
        let long = |len: usize| BTreeSet::from(["x".repeat(len)]);
        for (collections, is_valid) in [
            (many(0), false),
            (many(1), true),
            (many(KEY_COLLECTIONS_MAX), true),
            (many(KEY_COLLECTIONS_MAX + 1), false),
            (long(0), false),
            (long(COLLECTION_BYTES_MAX), true),
            (long(COLLECTION_BYTES_MAX + 1), false),
        ] {
            let new = NewKey {
                collections: Some(collections),
                ..new_key()
            };
            check(new, is_valid);
        }
    }

    #[test]
    fn a_rotated_key_has_the_rights_of_the_old_one() {
        let old = KeyRow {
            tenant: Some("team".to_owned()),
            collections: Some(vec!["docs".to_owned()]),
            expires_ms: Some(NOW_MS + 500),
            last_used_ms: Some(NOW_MS),
            limit_per_s: Some(10),
            ..row()
        };
        let now_ms = NOW_MS + 100;
        let rotation = rotate_key(&old, 50, &pepper(), now_ms, &mut counting(100)).unwrap();
        let expected = KeyRow {
            id: rotation.id.to_string(),
            mac: pepper().mac(&rotation.token),
            created_ms: now_ms,
            last_used_ms: None,
            ..old.clone()
        };
        assert_ne!(expected.id, old.id);
        assert_ne!(expected.mac, old.mac);
        let change = HubChange::ReplaceKey {
            old_id: old.id,
            old_expires_ms: now_ms + 50,
            new: expected,
        };
        assert_eq!(rotation.change, change);
    }

    #[test]
    fn a_key_that_ended_is_not_rotated() {
        let check = |old: KeyRow, overlap_ms: u64, expected: &str| {
            let result = rotate_key(&old, overlap_ms, &pepper(), NOW_MS, &mut counting(0));
            assert_eq!(result.unwrap_err().to_string(), expected);
        };
        let ended = "the key `0123456789ab` has ended";
        let revoked = KeyRow {
            revoked_ms: Some(1),
            ..row()
        };
        check(revoked, 0, ended);
        let expired = KeyRow {
            expires_ms: Some(NOW_MS),
            ..row()
        };
        check(expired, 0, ended);
        let replaced = KeyRow {
            replaced_by: Some("x".to_owned()),
            ..row()
        };
        check(replaced, 0, ended);
        let local = KeyRow {
            name: LOCAL_KEY_NAME.to_owned(),
            ..row()
        };
        check(local, 0, &AccessError::LocalKeyRotated.to_string());
        let problem = format!("two keys overlap for at most {OVERLAP_MAX_MS} ms");
        check(row(), OVERLAP_MAX_MS + 1, &problem);
    }
}
