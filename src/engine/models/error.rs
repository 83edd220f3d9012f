//! Why a model could not be had.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::NameError;
use crate::error::{Error, ErrorCode};
use crate::outbound::control::Interrupted;

/// Why a model could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The name cannot be a model's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No source had the model.
    #[error(
        "no model: {name} could not be fetched ({}). Remedy: {remedy}",
        Failures(failures)
    )]
    NoModel {
        /// The model.
        name: String,
        /// Each source that was tried, and why it failed, in order.
        failures: Vec<SourceFailure>,
        /// What to do about it.
        remedy: String,
    },
    /// The caller asked to stop; what has arrived is kept for the next pull.
    #[error("interrupted; the next pull goes on where this one stopped")]
    Interrupted,
    /// The disk is full; partial files have been removed.
    #[error("the disk is full: {}: {source}. Remedy: free some space, or keep models elsewhere with --data-dir", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file or folder may not be written or read.
    #[error("no permission: {}: {source}. Remedy: make it accessible, or keep models elsewhere with --data-dir", path.display())]
    Denied {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another failure of the disk.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process has been pulling the same model for very long.
    #[error("another process is pulling this model and holds {}. Remedy: wait for it or end it", lock.display())]
    Busy {
        /// Its lock.
        lock: PathBuf,
    },
    /// A folder that this program did not make stands where the model should go.
    #[error("{} was not installed by this program. Remedy: move it away, or replace it with --force", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The model has not been pulled.
    #[error("{name} is not installed in {}. Remedy: embedder models pull {name}", dir.display())]
    NotInstalled {
        /// The model.
        name: String,
        /// The folder of models.
        dir: PathBuf,
    },
    /// The model's files are not what they were when it was pulled.
    #[error("{name} is damaged: {reason}. Remedy: embedder models pull {name} --force")]
    Damaged {
        /// The model.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// A source that did not have the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFailure {
    /// The source, such as `hub https://huggingface.co`.
    pub source: String,
    /// Why it failed, in a line.
    pub reason: String,
}

struct Failures<'a>(&'a [SourceFailure]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.0.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{}: {}", failure.source, failure.reason)?;
        }
        Ok(())
    }
}

impl PullError {
    /// Sorts a failure of the disk by what the user can do about it.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let kind = source.kind();
        if matches!(
            kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            Self::DiskFull { path, source }
        } else if matches!(
            kind,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
        ) {
            Self::Denied { path, source }
        } else {
            Self::Io { path, source }
        }
    }
}

impl From<Interrupted> for PullError {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl From<PullError> for Error {
    fn from(error: PullError) -> Self {
        let code = match &error {
            PullError::Name(_) => ErrorCode::Usage,
            PullError::NoModel { .. } | PullError::NotInstalled { .. } => {
                ErrorCode::ModelUnavailable
            }
            PullError::Interrupted => return Error::Interrupted,
            PullError::DiskFull { .. } => ErrorCode::DiskFull,
            PullError::Denied { .. } => ErrorCode::PermissionDenied,
            PullError::Io { .. } => ErrorCode::Io,
            PullError::Busy { .. } => ErrorCode::Locked,
            PullError::Occupied { .. } | PullError::Damaged { .. } => ErrorCode::ModelInvalid,
        };
        // The messages carry their remedies.
        Error::Reported {
            code,
            message: error.to_string(),
            remedy: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_each_source_and_the_remedy() {
        let failure = |source: &str, reason: &str| SourceFailure {
            source: source.to_owned(),
            reason: reason.to_owned(),
        };
        let error = PullError::NoModel {
            name: "m".to_owned(),
            failures: vec![
                failure("hub https://h", "timed out"),
                failure("pip w==1", "exit status: 1"),
            ],
            remedy: "do this".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "no model: m could not be fetched (hub https://h: timed out; pip w==1: exit status: 1). Remedy: do this"
        );
    }

    #[test]
    fn failures_of_the_disk_are_sorted() {
        let sorted = |kind: io::ErrorKind| PullError::io(Path::new("/m"), kind.into());
        assert!(matches!(
            sorted(io::ErrorKind::StorageFull),
            PullError::DiskFull { .. }
        ));
        assert!(matches!(
            sorted(io::ErrorKind::QuotaExceeded),
            PullError::DiskFull { .. }
        ));
        assert!(matches!(
            sorted(io::ErrorKind::PermissionDenied),
            PullError::Denied { .. }
        ));
        assert!(matches!(
            sorted(io::ErrorKind::ReadOnlyFilesystem),
            PullError::Denied { .. }
        ));
        assert!(matches!(
            sorted(io::ErrorKind::NotADirectory),
            PullError::Io { .. }
        ));
    }
}
