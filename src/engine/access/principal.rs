//! Who a request comes from.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{AccessError, KeyId, KeyLimit, NewKey, OwnLimit, Scope, Scopes};
use crate::store::sqlite::hub::KeyRow;

/// Who a request comes from, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key that was shown; none where the server asks for no key.
    pub key_id: Option<KeyId>,
    /// What the key is called.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// The collections that it sees; all where there is no list.
    pub collections: Option<BTreeSet<String>>,
    /// On whose behalf it acts.
    pub tenant: Option<String>,
    /// When the key ends, if it does, in milliseconds since the epoch.
    pub expires_ms: Option<u64>,
    /// What the key may ask, if that is not what the settings say.
    pub limit: Option<Arc<OwnLimit>>,
}

impl Principal {
    /// Everybody, where the server asks for no key: may do everything.
    pub fn anonymous() -> Arc<Principal> {
        Arc::new(Principal {
            key_id: None,
            name: "anonymous".to_owned(),
            scopes: Scopes::from_iter([Scope::Admin]),
            collections: None,
            tenant: None,
            expires_ms: None,
            limit: None,
        })
    }

    /// Returns whom a key stands for; nobody where its id is none that a token can have, or its limit none that can be.
    pub(super) fn of(row: &KeyRow) -> Option<Principal> {
        let limit = match KeyLimit::of(row) {
            Some(limit) => Some(Arc::new(OwnLimit::try_new(limit).ok()?)),
            None => None,
        };
        Some(Principal {
            key_id: Some(KeyId::parse(&row.id)?),
            name: row.name.clone(),
            // A name that this version does not know allows nothing.
            scopes: row
                .scopes
                .split_whitespace()
                .filter_map(Scope::from_name)
                .collect(),
            collections: row
                .collections
                .as_ref()
                .map(|names| names.iter().cloned().collect()),
            tenant: row.tenant.clone(),
            expires_ms: row.expires_ms,
            limit,
        })
    }

    /// Whether they may do this, to what they see.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Whether there is a collection of this name for them. What they do not see is answered as if it did not exist.
    pub fn sees(&self, collection: &str) -> bool {
        self.collections
            .as_ref()
            .is_none_or(|names| names.contains(collection))
    }

    /// Returns how the audit log names them: `key:` and the id, or `anonymous`.
    pub fn actor(&self) -> String {
        match self.key_id {
            Some(id) => format!("key:{id}"),
            None => "anonymous".to_owned(),
        }
    }

    /// Checks that a key which they ask for has no right that they do not have: else the right to make keys would be
    /// the right to everything.
    ///
    /// # Errors
    /// [`AccessError::BeyondOwnRights`].
    pub fn may_mint(&self, new: &NewKey) -> Result<(), AccessError> {
        self.covers(
            new.scopes,
            new.collections.as_ref(),
            new.tenant.as_deref(),
            new.expires_ms,
        )?;
        self.may_ask_as_much(new.rate_limit)
    }

    /// Checks that a key which they want to rotate has no right that they do not have: they are shown its new secret.
    ///
    /// # Errors
    /// [`AccessError::BeyondOwnRights`].
    pub fn may_rotate(&self, row: &KeyRow) -> Result<(), AccessError> {
        self.may_end(row)?;
        self.may_ask_as_much(KeyLimit::of(row))
    }

    /// Checks that a key which they want to see or to end has no right that they do not have. How much it may ask is
    /// nothing that protects it from them.
    ///
    /// # Errors
    /// [`AccessError::BeyondOwnRights`].
    pub fn may_end(&self, row: &KeyRow) -> Result<(), AccessError> {
        let Some(other) = Principal::of(row) else {
            return Err(AccessError::BeyondOwnRights);
        };
        self.covers(
            other.scopes,
            other.collections.as_ref(),
            other.tenant.as_deref(),
            other.expires_ms,
        )
    }

    /// Checks that a key of which they see the secret may ask no more than their own: else they had no limit.
    fn may_ask_as_much(&self, limit: Option<KeyLimit>) -> Result<(), AccessError> {
        let Some(own) = self.limit.as_ref().map(|own| own.limit()) else {
            return Ok(());
        };
        if limit.is_some_and(|limit| limit.is_within(own)) {
            Ok(())
        } else {
            Err(AccessError::BeyondOwnRights)
        }
    }

    fn covers(
        &self,
        scopes: Scopes,
        collections: Option<&BTreeSet<String>>,
        tenant: Option<&str>,
        expires_ms: Option<u64>,
    ) -> Result<(), AccessError> {
        let sees_as_much = match (&self.collections, collections) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.is_subset(own),
        };
        let acts_for_them = self.tenant.is_none() || self.tenant.as_deref() == tenant;
        let outlives = match (self.expires_ms, expires_ms) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        };
        if self.scopes.covers(scopes) && sees_as_much && acts_for_them && outlives {
            Ok(())
        } else {
            Err(AccessError::BeyondOwnRights)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{new_key, row};
    use super::*;

    fn principal(scopes: &str, collections: Option<&[&str]>, tenant: Option<&str>) -> Principal {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Principal {
            key_id: KeyId::parse("0123456789ab"),
            name: "a key".to_owned(),
            scopes: scopes.parse().unwrap(),
            collections: collections.map(names),
            tenant: tenant.map(str::to_owned),
            expires_ms: None,
            limit: None,
        }
    }

    #[test]
    fn a_principal_sees_its_collections_alone() {
        let some = principal("search", Some(&["docs", "code"]), None);
        assert!(some.sees("docs") && some.sees("code"));
        assert!(!some.sees("doc") && !some.sees(""));
        let all = principal("search", None, None);
        assert!(all.sees("docs") && all.sees("anything"));
        let none = principal("admin", Some(&[]), None);
        assert!(!none.sees("docs"));
    }

    #[test]
    fn without_keys_everybody_may_do_everything() {
        let anonymous = Principal::anonymous();
        assert!(Scope::ALL.into_iter().all(|scope| anonymous.may(scope)));
        assert!(anonymous.sees("docs"));
        assert_eq!(anonymous.actor(), "anonymous");
    }

    #[test]
    fn a_scope_of_a_later_version_allows_nothing() {
        let row = KeyRow {
            scopes: "embed fly:high".to_owned(),
            ..row()
        };
        let principal = Principal::of(&row).unwrap();
        assert_eq!(principal.scopes, "embed".parse().unwrap());
        assert_eq!(principal.actor(), format!("key:{}", row.id));
    }

    #[test]
    fn nobody_grants_what_they_do_not_have() {
        let check = |who: &Principal, granted: &Principal, expected: bool| {
            let new = NewKey {
                scopes: granted.scopes,
                collections: granted.collections.clone(),
                tenant: granted.tenant.clone(),
                expires_ms: granted.expires_ms,
                ..new_key()
            };
            assert_eq!(who.may_mint(&new).is_ok(), expected, "{who:?} {new:?}");
            let row = KeyRow {
                scopes: granted.scopes.to_string(),
                collections: granted
                    .collections
                    .as_ref()
                    .map(|names| names.iter().cloned().collect()),
                tenant: granted.tenant.clone(),
                expires_ms: granted.expires_ms,
                ..row()
            };
            assert_eq!(who.may_rotate(&row).is_ok(), expected, "{who:?} {row:?}");
        };
        let admin = principal("admin", None, None);
        let keys = principal("admin:keys search", None, None);
        let search = principal("search", None, None);
        let docs = principal("admin:keys search", Some(&["docs"]), None);
        let team = principal("admin:keys search", None, Some("team"));
        check(&admin, &admin, true);
        check(&admin, &team, true);
        check(&keys, &search, true);
        check(&keys, &keys, true);
        check(&keys, &admin, false);
        check(&keys, &principal("embed", None, None), false);
        check(&docs, &principal("search", Some(&["docs"]), None), true);
        check(
            &docs,
            &principal("search", Some(&["docs", "code"]), None),
            false,
        );
        check(&docs, &search, false);
        check(&keys, &docs, true);
        check(&team, &team, true);
        check(&team, &search, false);
        check(&team, &principal("search", None, Some("other")), false);
        let until = |expires_ms| Principal {
            expires_ms,
            ..keys.clone()
        };
        check(&until(Some(10)), &until(Some(10)), true);
        check(&until(Some(10)), &until(Some(11)), false);
        check(&until(Some(10)), &until(None), false);
        check(&until(None), &until(Some(10)), true);
    }
    #[test]
    fn who_has_a_limit_makes_no_key_with_a_higher_one_and_may_end_it_all_the_same() {
        let limit = |per_s| KeyLimit { per_s, burst: None };
        let own = OwnLimit::try_new(limit(10)).unwrap();
        let limited = Principal {
            limit: Some(Arc::new(own)),
            ..principal("admin", None, None)
        };
        let free = principal("admin", None, None);
        for (rate_limit, expected) in [
            (Some(limit(9)), true),
            (Some(limit(10)), true),
            (Some(limit(11)), false),
            (None, false),
        ] {
            let new = NewKey {
                rate_limit,
                ..new_key()
            };
            let row = KeyRow {
                limit_per_s: rate_limit.map(|limit| limit.per_s),
                ..row()
            };
            assert_eq!(limited.may_mint(&new).is_ok(), expected, "{new:?}");
            assert_eq!(limited.may_rotate(&row).is_ok(), expected, "{row:?}");
            assert!(limited.may_end(&row).is_ok());
            assert!(free.may_mint(&new).is_ok() && free.may_rotate(&row).is_ok());
        }
    }

    #[test]
    fn a_key_with_a_limit_that_cannot_be_is_nobodys() {
        let row = KeyRow {
            limit_per_s: Some(0),
            ..row()
        };
        assert_eq!(Principal::of(&row), None);
    }
}
