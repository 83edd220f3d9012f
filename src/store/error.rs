//! What can go wrong in the store.

use std::path::PathBuf;

use super::sqlite::hub;
use crate::error::{Error, ErrorCode};

/// What can go wrong in the store.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is not a database, or its structure is broken.
    #[error("the store {} is damaged: {detail}", .path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The database is gone from a data directory that was in use.
    #[error("the store {} is missing although the data directory was in use", .path.display())]
    Vanished {
        /// The database file.
        path: PathBuf,
    },
    /// There is no store in this data directory yet.
    #[error("there is no store at {}", .path.display())]
    Absent {
        /// The database file.
        path: PathBuf,
    },
    /// The database is of a later version of the program.
    #[error("the store {} has schema version {found}; this program knows up to {known}", .path.display())]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program can open.
        known: u32,
    },
    /// The database's version must be raised by a writer first.
    #[error("the store {} has schema version {found} and must be migrated to {known}", .path.display())]
    TooOld {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version of this program.
        known: u32,
    },
    /// The disk is full.
    #[error("the disk is full: cannot write {}", .path.display())]
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// The SQLite library is older than the oldest one without a known way to corrupt a WAL database.
    #[error("SQLite {found} is too old: {needed} or later is needed")]
    LibraryTooOld {
        /// The version found.
        found: &'static str,
        /// The version needed.
        needed: &'static str,
    },
    /// Access is denied.
    #[error("access to the store {} is denied: {detail}", .path.display())]
    Denied {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The disk failed a commit; nothing is written until the database was opened anew.
    #[error("writing to {} has stopped since the disk failed a commit", .path.display())]
    Stopped {
        /// The database file.
        path: PathBuf,
    },
    /// The thread that writes is gone, or one of its transactions panicked.
    #[error("the writer of {} has ended", .path.display())]
    WriterGone {
        /// The database file.
        path: PathBuf,
    },
    /// The disk failed a read, a write or a flush.
    #[error("the disk failed {}: {detail}", .path.display())]
    Disk {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// Anything else that the database reports.
    #[error("the store {} failed: {detail}", .path.display())]
    Failed {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
}

impl StoreError {
    /// Returns the stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            StoreError::Damaged { .. } | StoreError::Vanished { .. } => ErrorCode::StoreDamaged,
            StoreError::Absent { .. } => ErrorCode::NotFound,
            StoreError::TooNew { .. } | StoreError::TooOld { .. } => ErrorCode::StoreVersion,
            StoreError::Full { .. } => ErrorCode::DiskFull,
            StoreError::LibraryTooOld { .. } => ErrorCode::Internal,
            StoreError::Denied { .. } => ErrorCode::PermissionDenied,
            StoreError::Failed { .. } | StoreError::Disk { .. } => ErrorCode::Io,
            StoreError::WriterGone { .. } => ErrorCode::NotReady,
            StoreError::Stopped { .. } => ErrorCode::DependencyUnavailable,
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            StoreError::Damaged { path, .. } | StoreError::Vanished { path }
                if path.ends_with(hub::FILE_NAME) =>
            {
                let dir = path.parent().unwrap_or(path).display();
                format!(
                    "restore `hub.db` and `hub.pepper` from a backup; without one, move `hub.db*`, `hub.pepper` and \
                     `local.key` out of {dir}: what is indexed stays, and keys and allowed roots are made anew"
                )
            }
            StoreError::Damaged { path, .. } | StoreError::Vanished { path } => {
                let dir = path.parent().unwrap_or(path).display();
                format!(
                    "restore the file from a backup, or move {dir} away, run `embedder index` again and send again what \
                     came over HTTP; it is never replaced by an empty one"
                )
            }
            StoreError::Absent { .. } => "run `embedder index PATH` first".to_owned(),
            StoreError::TooNew { .. } => "use the newer program, or another --data-dir".to_owned(),
            StoreError::TooOld { path, .. } if path.ends_with(hub::FILE_NAME) => {
                "start `embedder serve` once, which migrates it".to_owned()
            }
            StoreError::TooOld { .. } => "run `embedder index` once, which migrates it".to_owned(),
            StoreError::Full { .. } => {
                "free some space and run the command again; nothing is lost".to_owned()
            }
            StoreError::LibraryTooOld { .. } => "build with the bundled SQLite".to_owned(),
            StoreError::Denied { .. } => {
                "check the owner and the permissions of the data directory".to_owned()
            }
            StoreError::WriterGone { .. } => "start the server again".to_owned(),
            StoreError::Stopped { .. } => {
                "try again in a moment; it is being opened anew".to_owned()
            }
            StoreError::Disk { .. } => "look at the disk and at the system's log".to_owned(),
            StoreError::Failed { .. } => return None,
        })
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::Store {
            code: error.code(),
            message: error.to_string(),
            remedy: error.remedy(),
        }
    }
}

/// The result of the store's functions.
pub type StoreResult<T> = Result<T, StoreError>;
