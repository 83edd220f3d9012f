//! Why the hub gave no file.

use crate::config::without_user;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::outbound::checksum::ChecksumError;
use crate::outbound::control::Interrupted;
use crate::outbound::http::HttpError;

/// Why the hub gave no file. Addresses in it carry no query, and none carries the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The endpoint is not an address that can be asked.
    #[error("{:?} is not a usable endpoint: {reason}", without_user(endpoint))]
    Endpoint {
        /// The endpoint as it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client cannot be set up, for want of root certificates for example.
    #[error("{reason}")]
    Setup {
        /// The cause.
        reason: String,
    },
    /// No connection.
    #[error("{reason}")]
    Unreachable {
        /// The cause.
        reason: String,
    },
    /// The connection broke or stalled.
    #[error("{file}: {reason}")]
    Broken {
        /// The file that was on its way.
        file: String,
        /// The cause.
        reason: String,
    },
    /// The hub wants a token, or another one. It also says so of repositories that do not exist.
    #[error(
        "{url}: HTTP {status}: no such repository, or it needs a token (HF_TOKEN) with access to it"
    )]
    Denied {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Another status than was hoped for.
    #[error("{url}: HTTP {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long the server asks us to stay away.
        retry_after: Option<Duration>,
    },
    /// Too many redirects, or one that must not be followed.
    #[error("{url}: {reason}")]
    Redirect {
        /// The address that redirects.
        url: String,
        /// Why it is not followed.
        reason: String,
    },
    /// The file is announced as, or turns out to be, larger than accepted or of another size than known.
    #[error("{file}: {bytes} bytes or more, but {expected}")]
    Size {
        /// The file.
        file: String,
        /// Its size, as far as it is known.
        bytes: u64,
        /// What was accepted, such as "at most 10 are accepted".
        expected: String,
    },
    /// The bytes are not those that were pinned or announced.
    #[error("{file}: sha256 {found}, but {expected} is expected")]
    Checksum {
        /// The file.
        file: String,
        /// The sum of what arrived.
        found: String,
        /// The sum that was pinned or announced.
        expected: String,
    },
    /// The hub has another file than the pinned one; nothing was transferred.
    #[error("{file}: the hub announces sha256 {found}, but {expected} is expected")]
    Announced {
        /// The file.
        file: String,
        /// The sum that the hub announces.
        found: String,
        /// The sum that was pinned.
        expected: String,
    },
    /// The last of several failures.
    #[error("{last} ({tries} tries)")]
    GaveUp {
        /// How many tries there were.
        tries: u32,
        /// Why the last one failed.
        last: Box<HubError>,
    },
    /// A local file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The longest wait that a server can ask for before we rather give up: someone is watching.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

impl HubError {
    pub(super) fn disk(path: &std::path::Path, source: io::Error) -> Self {
        Self::Disk {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn checksum(path: &std::path::Path, error: ChecksumError) -> Self {
        match error {
            ChecksumError::Io(source) => Self::disk(path, source),
            ChecksumError::Interrupted(interrupted) => interrupted.into(),
        }
    }

    /// The error of a request for `file`.
    pub(super) fn http(file: &str, error: HttpError) -> Self {
        match error {
            HttpError::Interrupted(interrupted) => interrupted.into(),
            HttpError::Setup(_) | HttpError::Connect(_) => error.into(),
            HttpError::Stalled(_) | HttpError::Broken(_) => Self::Broken {
                file: file.to_owned(),
                reason: error.to_string(),
            },
        }
    }

    /// Whether another try may bring what this one did not.
    pub(super) fn is_transient(&self) -> bool {
        if let Self::Status {
            status,
            retry_after,
            ..
        } = self
        {
            let patient = retry_after.is_none_or(|wait| wait <= RETRY_AFTER_MAX);
            return patient && matches!(status, 408 | 425 | 429 | 500 | 502..=504);
        }
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self {
            *retry_after
        } else {
            None
        }
    }

    /// Says how many tries it took, where there were several and their number means something.
    pub(super) fn after(self, tries: u32) -> Self {
        let ours = matches!(self, Self::Disk { .. } | Self::Interrupted(_));
        if tries > 1 && !ours {
            Self::GaveUp {
                tries,
                last: Box::new(self),
            }
        } else {
            self
        }
    }
}

impl From<HttpError> for HubError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Interrupted(interrupted) => interrupted.into(),
            HttpError::Setup(_) => Self::Setup {
                reason: error.to_string(),
            },
            HttpError::Connect(_) | HttpError::Stalled(_) | HttpError::Broken(_) => {
                Self::Unreachable {
                    reason: error.to_string(),
                }
            }
        }
    }
}
