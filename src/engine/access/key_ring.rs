//! The keys in memory: who shows a token is known within a microsecond, without a lock and without the disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

use super::{AuthError, KeyId, Pepper, Principal, Token};
use crate::store::sqlite::hub::{KeyMac, KeyRow};

/// What the code of a token is compared with where no key has its id.
const NOBODY: KeyMac = KeyMac([0; 32]);

/// Every key, as of the last [`KeyRing::replace`].
#[derive(Debug)]
pub struct KeyRing {
    pepper: Pepper,
    keys: ArcSwap<HashMap<KeyId, Key>>,
}

#[derive(Debug)]
struct Key {
    principal: Arc<Principal>,
    mac: KeyMac,
    expires_ms: u64,
    is_revoked: bool,
    /// When it was used last, if that is not written down yet; else zero. It outlives a replacement of the ring.
    used_ms: Arc<AtomicU64>,
}

impl KeyRing {
    /// Loads the keys.
    pub fn new(pepper: Pepper, rows: &[KeyRow]) -> KeyRing {
        KeyRing {
            pepper,
            keys: ArcSwap::from_pointee(load(rows, &HashMap::new())),
        }
    }

    /// Loads the keys anew, after a change was written. From then on a revoked key is refused. Calls are made one after
    /// the other, by who writes the changes: else an older list could come last.
    pub fn replace(&self, rows: &[KeyRow]) {
        let keys = load(rows, &self.keys.load());
        self.keys.store(Arc::new(keys));
    }

    /// Says whom a token stands for.
    ///
    /// An id that does not exist takes the same work as one that does, and codes are compared in constant time.
    ///
    /// # Errors
    /// [`AuthError`], whose variants are for the audit log alone.
    pub fn authenticate(&self, token: &str, now_ms: u64) -> Result<Arc<Principal>, AuthError> {
        let token = Token::parse(token).ok_or(AuthError::Malformed)?;
        let keys = self.keys.load();
        let key = keys.get(&token.id());
        let expected = key.map_or(&NOBODY, |key| &key.mac);
        let is_right = self.pepper.mac(&token).0[..].ct_eq(&expected.0[..]);
        let key = key.ok_or(AuthError::Unknown)?;
        if !bool::from(is_right) {
            return Err(AuthError::WrongSecret(token.id()));
        }
        key.admit(token.id(), now_ms)
    }

    /// Says whom a key stands for that was authenticated before: with what it may do now, if it is still good.
    ///
    /// # Errors
    /// [`AuthError::Unknown`], [`AuthError::Expired`], [`AuthError::Revoked`].
    pub fn principal(&self, id: KeyId, now_ms: u64) -> Result<Arc<Principal>, AuthError> {
        let keys = self.keys.load();
        keys.get(&id).ok_or(AuthError::Unknown)?.admit(id, now_ms)
    }

    /// Returns what is to be written by [`touch_keys`](crate::store::sqlite::hub::HubDb::touch_keys): of each key that
    /// was used since the last call, when it was used last.
    pub fn take_used(&self) -> Vec<(String, u64)> {
        let keys = self.keys.load();
        let used = keys.iter().map(|(id, key)| {
            let used_ms = key.used_ms.swap(0, Ordering::Relaxed);
            (used_ms > 0).then(|| (id.to_string(), used_ms))
        });
        used.flatten().collect()
    }

    /// Returns what new keys are hashed by.
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// Returns how many keys there are, ended ones included.
    pub fn len(&self) -> usize {
        self.keys.load().len()
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Key {
    fn admit(&self, id: KeyId, now_ms: u64) -> Result<Arc<Principal>, AuthError> {
        if self.is_revoked {
            return Err(AuthError::Revoked(id));
        }
        if self.expires_ms <= now_ms {
            return Err(AuthError::Expired(id));
        }
        // Many threads may use one key: a read is cheap for all of them, and one write a millisecond is enough.
        if self.used_ms.load(Ordering::Relaxed) < now_ms {
            self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
        Ok(Arc::clone(&self.principal))
    }
}

fn load(rows: &[KeyRow], before: &HashMap<KeyId, Key>) -> HashMap<KeyId, Key> {
    let key = |row: &KeyRow| {
        let mut principal = Principal::of(row)?;
        let id = principal.key_id?;
        let known = before.get(&id);
        let used_ms = known.map(|key| Arc::clone(&key.used_ms));
        if let Some(known) = known
            && known.principal.limit == principal.limit
        {
            // With what was taken of it.
            principal.limit.clone_from(&known.principal.limit);
        }
        let key = Key {
            principal: Arc::new(principal),
            mac: row.mac,
            expires_ms: row.expires_ms.unwrap_or(u64::MAX),
            is_revoked: row.revoked_ms.is_some(),
            used_ms: used_ms.unwrap_or_default(),
        };
        Some((id, key))
    };
    rows.iter().filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{NOW_MS, counting, minted, new_key, pepper};
    use embedder_reliability::Timestamp;
    use embedder_reliability::rate_limiter::RateLimitAlgorithm;

    use super::super::{KeyLimit, NewKey, Scope, rotate_key};
    use super::*;
    use crate::store::sqlite::hub::{AuditBudget, HubChange, HubDb, NewAuditRecord};

    fn ring(rows: &[KeyRow]) -> KeyRing {
        KeyRing::new(pepper(), rows)
    }

    fn refusal(ring: &KeyRing, token: &Token, now_ms: u64) -> Option<AuthError> {
        ring.authenticate(&token.expose(), now_ms).err()
    }

    #[test]
    fn a_token_stands_for_its_key_alone() {
        let (one, one_row) = minted(&new_key(), 0);
        let other = NewKey {
            name: "other".to_owned(),
            scopes: "admin".parse().unwrap(),
            ..new_key()
        };
        let (other, other_row) = minted(&other, 100);
        let ring = ring(&[one_row, other_row]);
        assert_eq!(ring.len(), 2);
        let found = ring.authenticate(&one.expose(), NOW_MS).unwrap();
        assert_eq!(
            (found.key_id, found.name.as_str()),
            (Some(one.id()), "a key")
        );
        assert!(found.may(Scope::Embed) && !found.may(Scope::Admin));
        let found = ring.authenticate(&other.expose(), NOW_MS).unwrap();
        assert_eq!(
            (found.key_id, found.name.as_str()),
            (Some(other.id()), "other")
        );
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let (token, row) = minted(&new_key(), 0);
        let (stranger, _) = minted(&new_key(), 100);
        let id = token.id();
        // The id of the one with the secret of the other.
        let (start, secret) = (&token.expose()[..17], &stranger.expose()[17..]);
        let forged = Token::parse(&format!("{start}{secret}")).unwrap();
        let ring = ring(&[row]);
        let refused = ring.authenticate("emb_x", NOW_MS);
        assert_eq!(refused.err(), Some(AuthError::Malformed));
        assert_eq!(refusal(&ring, &token, NOW_MS), None);
        assert_eq!(refusal(&ring, &stranger, NOW_MS), Some(AuthError::Unknown));
        assert_eq!(
            refusal(&ring, &forged, NOW_MS),
            Some(AuthError::WrongSecret(id))
        );
    }

    #[test]
    fn a_code_of_zeros_belongs_to_nobody() {
        let (token, _) = minted(&new_key(), 0);
        let ring = ring(&[]);
        assert!(ring.is_empty());
        assert_eq!(refusal(&ring, &token, NOW_MS), Some(AuthError::Unknown));
    }

    #[test]
    fn keys_hashed_by_another_pepper_are_refused() {
        let (token, row) = minted(&new_key(), 0);
        let dir = tempfile::tempdir().unwrap();
        let pepper = Pepper::load_or_create(dir.path(), &[], &mut counting(9)).unwrap();
        let ring = KeyRing::new(pepper, &[row]);
        let refused = AuthError::WrongSecret(token.id());
        assert_eq!(refusal(&ring, &token, NOW_MS), Some(refused));
    }

    #[test]
    fn a_key_expires_on_time() {
        let new = NewKey {
            expires_ms: Some(NOW_MS + 10),
            ..new_key()
        };
        let (token, row) = minted(&new, 0);
        let ring = ring(&[row]);
        let expired = Some(AuthError::Expired(token.id()));
        assert_eq!(refusal(&ring, &token, NOW_MS + 9), None);
        assert_eq!(refusal(&ring, &token, NOW_MS + 10), expired);
        assert_eq!(refusal(&ring, &token, u64::MAX), expired);
    }

    #[test]
    fn a_revoked_key_is_refused_at_once() {
        let (token, mut row) = minted(&new_key(), 0);
        let ring = ring(std::slice::from_ref(&row));
        assert_eq!(refusal(&ring, &token, NOW_MS), None);
        // Revoked in the future, by a clock that went wrong, is revoked.
        row.revoked_ms = Some(u64::MAX);
        ring.replace(std::slice::from_ref(&row));
        let revoked = AuthError::Revoked(token.id());
        assert_eq!(refusal(&ring, &token, NOW_MS), Some(revoked));
        assert_eq!(ring.principal(token.id(), NOW_MS), Err(revoked));
        ring.replace(&[]);
        assert_eq!(refusal(&ring, &token, NOW_MS), Some(AuthError::Unknown));
    }

    #[test]
    fn both_keys_are_good_while_they_overlap() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = HubDb::open(dir.path()).unwrap();
        let mut change = |change: &HubChange| {
            let record = NewAuditRecord {
                at_ms: NOW_MS,
                kind: "key.created",
                actor: "server".to_owned(),
                subject: String::new(),
                outcome: "done",
                detail: "{}".to_owned(),
                is_aggregate: false,
            };
            db.change(change, record, AuditBudget::default()).unwrap();
            db.keys().unwrap()
        };
        let (old, row) = minted(&new_key(), 0);
        let ring = ring(&change(&HubChange::PutKey(row.clone())));
        let rotation = rotate_key(&row, 50, ring.pepper(), NOW_MS, &mut counting(100)).unwrap();
        ring.replace(&change(&rotation.change));
        let new = rotation.token;
        assert_eq!(refusal(&ring, &old, NOW_MS + 49), None);
        assert_eq!(refusal(&ring, &new, NOW_MS + 49), None);
        let expired = AuthError::Expired(old.id());
        assert_eq!(refusal(&ring, &old, NOW_MS + 50), Some(expired));
        assert_eq!(refusal(&ring, &new, NOW_MS + 50), None);
    }

    #[test]
    fn each_use_is_told_once_and_the_last_one_alone() {
        let (one, one_row) = minted(&new_key(), 0);
        let (other, other_row) = minted(&new_key(), 100);
        let (unused, unused_row) = minted(&new_key(), 200);
        let rows = [one_row, other_row, unused_row];
        let ring = ring(&rows);
        let use_at = |token: &Token, now_ms| ring.authenticate(&token.expose(), now_ms).unwrap();
        use_at(&one, 5);
        use_at(&one, 9);
        use_at(&one, 7);
        use_at(&other, 6);
        ring.replace(&rows);
        let mut used = ring.take_used();
        used.sort();
        let mut expected = vec![(one.id().to_string(), 9), (other.id().to_string(), 6)];
        expected.sort();
        assert_eq!(used, expected);
        assert_eq!(ring.take_used(), []);
        use_at(&unused, 10);
        assert_eq!(ring.take_used(), [(unused.id().to_string(), 10)]);
    }

    #[test]
    fn what_a_key_has_taken_of_its_limit_is_kept_when_keys_are_loaded_anew() {
        let limit = |per_s| KeyLimit { per_s, burst: None };
        let new = NewKey {
            rate_limit: Some(limit(1)),
            ..new_key()
        };
        let (token, row) = minted(&new, 0);
        let (other, other_row) = minted(&new, 100);
        let ring = ring(&[row.clone(), other_row]);
        let takes = |token: &Token| {
            let found = ring.authenticate(&token.expose(), NOW_MS).unwrap();
            let own = found.limit.as_ref().unwrap();
            let limiter = own.limiter(RateLimitAlgorithm::TokenBucket);
            limiter.try_acquire_n(Timestamp::ZERO, 1).is_allowed()
        };
        assert!(takes(&token) && takes(&other), "each has its own");
        assert!(!takes(&token));
        ring.replace(std::slice::from_ref(&row));
        assert!(!takes(&token));
        ring.replace(&[KeyRow {
            limit_per_s: Some(2),
            ..row
        }]);
        assert!(takes(&token), "another limit");
    }

    #[test]
    fn a_refused_token_is_no_use_of_its_key() {
        let new = NewKey {
            expires_ms: Some(NOW_MS + 1),
            ..new_key()
        };
        let (token, row) = minted(&new, 0);
        let ring = ring(&[row]);
        assert!(refusal(&ring, &token, NOW_MS + 1).is_some());
        assert!(ring.take_used().is_empty());
    }

    #[test]
    fn no_secret_is_printed() {
        let (token, row) = minted(&new_key(), 0);
        let text = format!("{:?}", ring(&[row]));
        assert!(
            text.contains("Pepper(***)") && text.contains("KeyMac(***)"),
            "{text}"
        );
        assert!(!text.contains(&token.secret().expose()));
    }
}
