//! What can go wrong in the hub database.

use std::io;
use std::path::PathBuf;

use crate::error::{Error, ErrorCode, code_of_io, remedy_of_io};
use crate::store::StoreError;

/// What can go wrong in the hub database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log has no room for what would have to be recorded, so it is not done.
    #[error("the audit log is full: {used_bytes} of {budget_bytes} bytes are used")]
    AuditFull {
        /// What the records take.
        used_bytes: u64,
        /// What they may take.
        budget_bytes: u64,
    },
    /// A record is larger than any that the program writes.
    #[error("an audit record of {bytes} bytes is too large: {bytes_max} is the limit")]
    RecordTooLarge {
        /// Its size.
        bytes: u64,
        /// The largest that is written.
        bytes_max: u64,
    },
    /// No key has this id.
    #[error("there is no key `{id}`")]
    KeyMissing {
        /// The id asked for.
        id: String,
    },
    /// A key that is revoked, expired or replaced cannot be replaced.
    #[error("the key `{id}` has ended")]
    KeyEnded {
        /// Its id.
        id: String,
    },
    /// The folder is not an allowed root.
    #[error("{path} is not an allowed root")]
    RootMissing {
        /// The path asked for.
        path: String,
    },
    /// There is no room for another one.
    #[error("there are {count_max} {what} already, which is the limit")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        count_max: u64,
    },
    /// There is nothing to archive.
    #[error("the audit log is empty")]
    NothingToArchive,
    /// The archive's file could not be written.
    #[error("cannot write the archive {}: {source}", .path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl HubError {
    /// Returns the stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            HubError::Store(error) => error.code(),
            HubError::AuditFull { .. } => ErrorCode::AuditFull,
            HubError::RecordTooLarge { .. } => ErrorCode::InvalidRequest,
            HubError::KeyMissing { .. }
            | HubError::RootMissing { .. }
            | HubError::NothingToArchive => ErrorCode::NotFound,
            HubError::KeyEnded { .. } | HubError::TooMany { .. } => ErrorCode::Conflict,
            HubError::Archive { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                ErrorCode::Conflict
            }
            HubError::Archive { source, .. } => code_of_io(source),
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            HubError::Store(error) => return error.remedy(),
            HubError::AuditFull { .. } => "archive the audit log, or raise its budget",
            HubError::RecordTooLarge { .. } => "name fewer or shorter things at once",
            HubError::KeyMissing { .. } => "list the keys to see their ids",
            HubError::KeyEnded { .. } => "create a new key",
            HubError::RootMissing { .. } => "list the allowed roots to see how they are spelled",
            HubError::TooMany { .. } => "remove those that nobody needs",
            HubError::NothingToArchive => return None,
            HubError::Archive { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                "name a file that does not exist: an archive never replaces another"
            }
            HubError::Archive { source, .. } => return remedy_of_io(source),
        };
        Some(remedy.to_owned())
    }
}

impl From<HubError> for Error {
    fn from(error: HubError) -> Error {
        Error::Reported {
            code: error.code(),
            message: error.to_string(),
            remedy: error.remedy(),
        }
    }
}

/// The result of the hub database's functions.
pub type HubResult<T> = Result<T, HubError>;
