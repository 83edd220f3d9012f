//! Why a repository could not be fetched.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::outbound::circuit::Fault;

/// Why a repository could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The host's name leads nowhere.
    #[error("{host} cannot be looked up: {source}")]
    Lookup {
        /// The host.
        host: String,
        /// The cause.
        source: io::Error,
    },
    /// The host is in a private network, and nobody allowed that. Its address is not told: who asks need not know it.
    #[error("{host} has no public address")]
    Private {
        /// The host.
        host: String,
    },
    /// `git` does not know everything that it is told.
    #[error("git must be of version {}.{} or later, and says: {said}", least.0, least.1)]
    TooOld {
        /// What it says.
        said: String,
        /// The least version.
        least: (u32, u32),
    },
    /// Another process works on our copy: a `git` that has outlived us, say.
    #[error("another process is still fetching it")]
    InUse,
    /// ssh is asked for, and there is nothing to sign in with.
    #[error("no key for ssh is set")]
    NoSshKey,
    /// `git` cannot be started.
    #[error("{} cannot be started: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// `git` ended with an error.
    #[error("git ended with {status}: {reason}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        reason: String,
        /// Whose fault that is.
        fault: Fault,
    },
    /// More arrived than may.
    #[error("the repository is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// It took longer than it may.
    #[error("the repository did not arrive within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The host is left alone for a while, because it failed.
    #[error("{host} is left alone for a while, because it failed")]
    LeftAlone {
        /// The host.
        host: String,
        /// How long.
        retry_after: Duration,
    },
    /// Too many are being fetched.
    #[error("too many repositories are being fetched")]
    Busy,
    /// The disk.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl GitError {
    pub(super) fn disk(path: &Path, source: io::Error) -> GitError {
        GitError::Disk {
            path: path.to_owned(),
            source,
        }
    }

    /// Returns whose fault it is.
    pub(super) fn fault(&self) -> Fault {
        match self {
            GitError::Lookup { .. } => Fault::Transient,
            GitError::Failed { fault, .. } => *fault,
            GitError::TooLarge { .. } => Fault::Request,
            // A process that has outlived us ends by itself.
            GitError::InUse => Fault::Overload { retry_after: None },
            GitError::Private { .. }
            | GitError::NoSshKey
            | GitError::TooOld { .. }
            | GitError::Start { .. }
            | GitError::TimedOut(_)
            | GitError::LeftAlone { .. }
            | GitError::Busy
            | GitError::Disk { .. }
            | GitError::Interrupted => Fault::NotAsked,
        }
    }
}

/// Returns whose fault it is that `git` said this. It has one exit status for everything, so its words are all there is (git
/// 2.37 to 2.51); what is not known is taken for something that stays as it is.
pub(super) fn fault_of(said: &str) -> Fault {
    const PASSING: [&str; 14] = [
        "could not resolve host",
        "couldn't connect",
        "failed to connect",
        "connection refused",
        "connection reset",
        "connection closed",
        "connection timed out",
        "operation timed out",
        "early eof",
        "rpc failed",
        "the remote end hung up",
        "unexpected disconnect",
        "requested url returned error: 5",
        "requested url returned error: 429",
    ];
    let said = said.to_lowercase();
    if PASSING.iter().any(|passing| said.contains(passing)) {
        Fault::Transient
    } else {
        Fault::Request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for said in [
            "fatal: unable to access 'https://h/b/': Could not resolve host: h",
            "fatal: unable to access 'https://h/b/': The requested URL returned error: 503",
            "fatal: early EOF",
        ] {
            assert_eq!(fault_of(said), Fault::Transient, "{said}");
        }
        for said in [
            "fatal: couldn't find remote ref nothing",
            "fatal: Authentication failed for 'https://h/b/'",
            "fatal: repository 'https://h/b/' not found",
            "fatal: unable to access 'https://h/b/': SSL certificate problem: self-signed certificate",
            "fatal: unable to access 'https://h/b/': The requested URL returned error: 403",
        ] {
            assert_eq!(fault_of(said), Fault::Request, "{said}");
        }
    }
}
