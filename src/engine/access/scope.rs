//! What a key may do.

use std::fmt;
use std::str::FromStr;

use super::AccessError;

/// One thing that a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Computing embeddings.
    Embed,
    /// Searching, finding what is related to a place, reading lines of indexed files.
    Search,
    /// Listing collections, their counts, documents, sources and jobs.
    CollectionsRead,
    /// Making and deleting collections, writing documents.
    CollectionsWrite,
    /// Indexing folders inside the allowed roots, cancelling jobs.
    SourcesWrite,
    /// Reading metrics and the details of health.
    OpsRead,
    /// Making, rotating and revoking keys.
    AdminKeys,
    /// Adding and removing allowed roots.
    AdminRoots,
    /// Reading, verifying and archiving the audit log.
    AdminAudit,
    /// Deciding about circuit breakers and the level of service by hand.
    AdminBreakers,
    /// Everything.
    Admin,
}

/// A set of scopes. [`Scope::Admin`] implies all others.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

impl Scope {
    /// Every scope, in the order of the documentation.
    pub const ALL: [Scope; 11] = [
        Scope::Embed,
        Scope::Search,
        Scope::CollectionsRead,
        Scope::CollectionsWrite,
        Scope::SourcesWrite,
        Scope::OpsRead,
        Scope::AdminKeys,
        Scope::AdminRoots,
        Scope::AdminAudit,
        Scope::AdminBreakers,
        Scope::Admin,
    ];

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Embed => "embed",
            Scope::Search => "search",
            Scope::CollectionsRead => "collections:read",
            Scope::CollectionsWrite => "collections:write",
            Scope::SourcesWrite => "sources:write",
            Scope::OpsRead => "ops:read",
            Scope::AdminKeys => "admin:keys",
            Scope::AdminRoots => "admin:roots",
            Scope::AdminAudit => "admin:audit",
            Scope::AdminBreakers => "admin:breakers",
            Scope::Admin => "admin",
        }
    }

    /// Returns the scope of this name.
    pub fn from_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl Scopes {
    /// No scope at all.
    pub const NONE: Scopes = Scopes(0);

    /// Whether the set allows this.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether the set allows everything that the other one allows.
    pub fn covers(self, other: Scopes) -> bool {
        self.contains(Scope::Admin) || other.0 & !self.0 == 0
    }

    /// Whether the set allows nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the scopes that were put in, in the order of the documentation.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// Reads a set from names.
    ///
    /// # Errors
    /// [`AccessError::ScopeUnknown`] for the first name that is none.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Scopes, AccessError> {
        let scope = |name: &str| {
            Scope::from_name(name).ok_or_else(|| AccessError::ScopeUnknown {
                name: name.to_owned(),
            })
        };
        names.into_iter().map(scope).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// Names between spaces or commas.
impl FromStr for Scopes {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Scopes, AccessError> {
        let names = text.split(|c: char| c == ',' || c.is_whitespace());
        Scopes::from_names(names.filter(|name| !name.is_empty()))
    }
}

/// The names, separated by spaces.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_unique_and_each_is_in_its_place() {
        for (index, scope) in Scope::ALL.into_iter().enumerate() {
            assert_eq!(Scope::from_name(scope.name()), Some(scope));
            assert_eq!(scope as usize, index);
        }
    }

    #[test]
    fn admin_implies_every_scope_and_nothing_else_does() {
        for scope in Scope::ALL {
            let alone: Scopes = [scope].into_iter().collect();
            for other in Scope::ALL {
                let expected = other == scope || scope == Scope::Admin;
                assert_eq!(alone.contains(other), expected, "{scope:?} {other:?}");
            }
            assert!(!Scopes::NONE.contains(scope));
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_those_there_are() {
        let error = "embed, find".parse::<Scopes>().unwrap_err();
        let error = crate::error::Error::from(error);
        assert_eq!(error.to_string(), "there is no scope `find`");
        let remedy = error.remedy().unwrap();
        assert!(Scope::ALL.iter().all(|scope| remedy.contains(scope.name())));
    }

    #[test]
    fn nothing_is_read_from_an_empty_text() {
        for text in ["", "  ", ", ,"] {
            assert!(text.parse::<Scopes>().unwrap().is_empty());
        }
    }

    proptest! {
        #[test]
        fn a_set_is_read_as_it_is_written(bits in 0u16..1024) {
            let scopes = Scopes(bits);
            prop_assert_eq!(scopes.to_string().parse::<Scopes>().unwrap(), scopes);
            prop_assert_eq!(scopes.iter().collect::<Scopes>(), scopes);
        }

        #[test]
        fn a_set_covers_what_allows_no_more(one in 0u16..1024, other in 0u16..1024) {
            let (one, other) = (Scopes(one), Scopes(other));
            let allows_all = Scope::ALL.into_iter().all(|scope| !other.contains(scope) || one.contains(scope));
            prop_assert_eq!(one.covers(other), allows_all);
        }
    }
}
