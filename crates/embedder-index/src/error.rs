//! What can go wrong in the index.

use std::{io, sync::Arc};

use tantivy::{
    TantivyError,
    directory::error::{LockError, OpenReadError, OpenWriteError},
};

/// An error of the index. The store is the source of truth: after any of them the index can be rebuilt.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files of the lexical index contradict themselves, or some are missing.
    #[error(
        "the lexical index is damaged: {detail}; delete its folder to rebuild it from the store"
    )]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// The lexical index was written by a version that analyses text or lays out fields differently.
    #[error(
        "the lexical index has version {found}, this program reads version {expected}; delete its folder to rebuild it"
    )]
    VersionMismatch {
        /// What the index says of itself.
        found: String,
        /// What this program writes.
        expected: u32,
    },
    /// Another writer holds the lexical index.
    #[error("the lexical index is being written by another process; wait until it ends")]
    Locked,
    /// There is no lexical index to open for reading.
    #[error("there is no lexical index yet; index something first")]
    Missing,
    /// A vector has another length than the vectors of the collection.
    #[error("the vector has {found} dimensions, the collection's have {expected}")]
    Dimensions {
        /// The vector's length.
        found: usize,
        /// The collection's length.
        expected: usize,
    },
    /// A vector holds a value that is not a finite number.
    #[error("the vector holds a value that is not a finite number")]
    NotFinite,
    /// Reading or writing the lexical index failed.
    #[error("the lexical index cannot be read or written: {0}")]
    Io(Arc<io::Error>),
    /// The engine below refused for another reason.
    #[error("the lexical index failed: {0}")]
    Engine(TantivyError),
}

impl Error {
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged {
            detail: detail.into(),
        }
    }

    /// Whether deleting the lexical index and building it again from the store is the remedy.
    pub fn wants_rebuild(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::VersionMismatch { .. })
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine's other errors, and those to come, are one case here"
)]
impl From<TantivyError> for Error {
    fn from(error: TantivyError) -> Self {
        match error {
            TantivyError::DataCorruption(detail) => Self::damaged(format!("{detail:?}")),
            TantivyError::OpenReadError(error) => error.into(),
            TantivyError::OpenWriteError(OpenWriteError::IoError { io_error, .. }) => {
                io_error.into()
            }
            TantivyError::IoError(error) => error.into(),
            TantivyError::LockFailure(LockError::LockBusy, _) => Self::Locked,
            TantivyError::LockFailure(LockError::IoError(error), _) => error.into(),
            TantivyError::IncompatibleIndex(found) => Self::VersionMismatch {
                found: format!("{found:?}"),
                expected: crate::lexical::VERSION,
            },
            TantivyError::SchemaError(detail) => Self::damaged(detail),
            other => Self::Engine(other),
        }
    }
}

impl From<OpenReadError> for Error {
    fn from(error: OpenReadError) -> Self {
        match error {
            OpenReadError::FileDoesNotExist(path) => {
                Self::damaged(format!("{} is missing", path.display()))
            }
            OpenReadError::IoError { io_error, .. } => io_error.into(),
            OpenReadError::IncompatibleIndex(found) => {
                TantivyError::IncompatibleIndex(found).into()
            }
        }
    }
}

impl From<Arc<io::Error>> for Error {
    fn from(error: Arc<io::Error>) -> Self {
        let kinds_of_damage = [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::InvalidData,
            io::ErrorKind::InvalidInput,
        ];
        if kinds_of_damage.contains(&error.kind()) {
            Self::damaged(error.to_string())
        } else {
            Self::Io(error)
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Arc::new(error).into()
    }
}
