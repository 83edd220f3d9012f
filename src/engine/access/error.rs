//! What can go wrong with keys and sessions.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{KeyId, Scope};
use crate::error::{Error, ErrorCode, code_of_io, remedy_of_io};

/// Why a token is not accepted. Its message is the same for all: who guesses learns nothing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// It is not spelled as a token.
    Malformed,
    /// No key has its id.
    Unknown,
    /// The key has another secret.
    WrongSecret(KeyId),
    /// The key has expired.
    Expired(KeyId),
    /// The key was revoked.
    Revoked(KeyId),
}

/// What can go wrong with keys and sessions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// No scope has this name.
    #[error("there is no scope `{name}`")]
    ScopeUnknown {
        /// The name.
        name: String,
    },
    /// A key as it was asked for cannot be made.
    #[error("{problem}")]
    KeyInvalid {
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody asked for a key with rights that they do not have.
    #[error("a key can grant no right that it does not have")]
    BeyondOwnRights,
    /// A key that is revoked, expired or replaced cannot be rotated.
    #[error("the key `{id}` has ended")]
    KeyEnded {
        /// Its id.
        id: String,
    },
    /// The local key is rotated in another way.
    #[error("the local key is not rotated like others: it stands in a file as well")]
    LocalKeyRotated,
    /// Others than its owner may read or write a file with a secret.
    #[error("others than its owner may use {}: its mode is {mode:o}", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("{} does not hold {what}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// There are keys, but not the secret that they are hashed by.
    #[error("{} is missing: without it no key is accepted", .path.display())]
    PepperMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// No server ever made a local key here.
    #[error("there is no local key at {}", .path.display())]
    LocalKeyMissing {
        /// Where it would be.
        path: PathBuf,
    },
    /// A file could not be read or made.
    #[error("cannot {verb} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A token that opens a session was used before, has expired, or never was.
    #[error("the address was used before or has expired")]
    OneTimeTokenSpent,
    /// As many sessions, or tokens that open one, exist as may.
    #[error("there are too many {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// When there is room again at the latest, unless others are faster.
        retry_after: Duration,
    },
}

impl AuthError {
    /// Returns the id of the key, if there is one: who shows a wrong token does not choose what is written down.
    pub fn key_id(self) -> Option<KeyId> {
        match self {
            AuthError::Malformed | AuthError::Unknown => None,
            AuthError::WrongSecret(id) | AuthError::Expired(id) | AuthError::Revoked(id) => {
                Some(id)
            }
        }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key is missing, unknown, expired or revoked")
    }
}

impl std::error::Error for AuthError {}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Error {
        Error::Reported {
            code: ErrorCode::Unauthenticated,
            message: error.to_string(),
            remedy: Some(
                "send `Authorization: Bearer KEY`; `embedder keys local` prints the key of this machine"
                    .to_owned(),
            ),
        }
    }
}

impl AccessError {
    /// Returns the stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            AccessError::ScopeUnknown { .. } | AccessError::KeyInvalid { .. } => {
                ErrorCode::InvalidRequest
            }
            AccessError::BeyondOwnRights => ErrorCode::Forbidden,
            AccessError::KeyEnded { .. } | AccessError::LocalKeyRotated => ErrorCode::Conflict,
            AccessError::Exposed { .. } => ErrorCode::PermissionDenied,
            AccessError::Malformed { .. } | AccessError::PepperMissing { .. } => {
                ErrorCode::StoreDamaged
            }
            AccessError::LocalKeyMissing { .. } => ErrorCode::NotFound,
            AccessError::Io { source, .. } => code_of_io(source),
            AccessError::OneTimeTokenSpent => ErrorCode::Unauthenticated,
            AccessError::TooMany { .. } => ErrorCode::Overloaded,
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            AccessError::ScopeUnknown { .. } => {
                let names = Scope::ALL.map(Scope::name).join(", ");
                format!("there are: {names}")
            }
            AccessError::BeyondOwnRights => {
                "ask for fewer scopes and collections, or use a key that has them".to_owned()
            }
            AccessError::KeyEnded { .. } => "create a new key".to_owned(),
            AccessError::LocalKeyRotated => {
                "remove `local.key` from the data directory and start the server again".to_owned()
            }
            AccessError::Exposed { path, .. } => format!(
                "run `chmod 600 {0}`; where somebody may have read it, remove {0} instead",
                path.display()
            ),
            AccessError::Malformed { .. } => "restore the file from a backup".to_owned(),
            AccessError::PepperMissing { .. } => {
                "restore the file from a backup; it belongs to `hub.db` beside it".to_owned()
            }
            AccessError::LocalKeyMissing { .. } => {
                "start `embedder serve` once, which makes it".to_owned()
            }
            AccessError::Io { source, .. } => return remedy_of_io(source),
            AccessError::OneTimeTokenSpent => {
                "run `embedder open` again for a new address".to_owned()
            }
            AccessError::KeyInvalid { .. } | AccessError::TooMany { .. } => return None,
        })
    }
}

impl From<AccessError> for Error {
    fn from(error: AccessError) -> Error {
        if let AccessError::TooMany { retry_after, .. } = error {
            return Error::Busy {
                full: crate::error::Full::OfOneCaller,
                what: error.to_string(),
                retry_after,
            };
        }
        Error::Reported {
            code: error.code(),
            message: error.to_string(),
            remedy: error.remedy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_tell_why_its_key_is_refused() {
        let id = KeyId::parse("0123456789ab").unwrap();
        let tell = |error: AuthError| {
            let error = Error::from(error);
            (error.code(), error.to_string(), error.remedy())
        };
        let expected = tell(AuthError::Malformed);
        assert_eq!(expected.0, ErrorCode::Unauthenticated);
        assert!(!expected.1.contains("0123456789ab"));
        for error in [
            AuthError::Unknown,
            AuthError::WrongSecret(id),
            AuthError::Expired(id),
            AuthError::Revoked(id),
        ] {
            assert_eq!(tell(error), expected, "{error:?}");
        }
    }

    #[test]
    fn too_many_is_worth_trying_again() {
        let error = AccessError::TooMany {
            what: "sessions",
            retry_after: Duration::from_secs(60),
        };
        let code = error.code();
        let error = Error::from(error);
        assert_eq!(error.code(), code);
        assert!(error.code().is_transient());
        assert_eq!(error.remedy().unwrap(), "try again in 60 s");
    }
}
