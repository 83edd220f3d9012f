//! What can go wrong, in one place.
//!
//! [`Error`] wraps the errors of every layer; [`ErrorCode`] is the one table that says what each means outside: its
//! stable name, HTTP status, process exit code, whether trying again can help, and how loud the log should be.
//! The command line, and later every other face, asks [`Error::code`] and nothing else.
//!
//! A message is one line: the cause. [`Error::remedy`] is the other half: what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use embedder_reliability::degradation::Part;

/// How loud an error is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// The caller's mistake: not the operator's business.
    Debug,
    /// Worth counting, not worth waking anybody.
    Warn,
    /// Somebody should look.
    Error,
}

/// What is full where work is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Full {
    /// All is taken, and the caller has its share.
    Taken,
    /// As many wait to be let in as may.
    Waiting,
    /// The turn did not come in time.
    WaitedTooLong,
    /// The embedding queue.
    EmbedQueue,
    /// Searches that wait for a thread.
    SearchQueue,
    /// Other work that waits for a thread.
    WorkQueue,
    /// Jobs that wait.
    JobQueue,
    /// Calls of a dependency.
    Bulkhead,
    /// Documents that wait for vectors which cannot be made.
    PendingVectors,
    /// Memory.
    Memory,
    /// Things of which a caller has enough.
    OfOneCaller,
}

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $http:literal, $exit:literal, $retryable:literal, $level:ident;)+) => {
        /// A stable, documented kind of failure. The exit codes follow `sysexits.h`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant,)+];

            /// Returns the stable name that machines match on.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)+ }
            }

            /// Finds a code by its stable name.
            pub fn from_name(name: &str) -> Option<ErrorCode> {
                ErrorCode::ALL.iter().copied().find(|code| code.name() == name)
            }

            /// Returns the HTTP status of an answer that carries this code.
            pub fn http_status(self) -> u16 {
                match self { $(ErrorCode::$variant => $http,)+ }
            }

            /// Returns the exit code of a command that ends with this code.
            pub fn exit_code(self) -> u8 {
                match self { $(ErrorCode::$variant => $exit,)+ }
            }

            /// Whether the same request can succeed later without a change to it.
            pub fn is_transient(self) -> bool {
                match self { $(ErrorCode::$variant => $retryable,)+ }
            }

            /// Returns how loud the log line is.
            pub fn log_level(self) -> LogLevel {
                match self { $(ErrorCode::$variant => LogLevel::$level,)+ }
            }

            /// Returns what the code means, in the words of its documentation.
            pub fn meaning(self) -> &'static str {
                match self { $(ErrorCode::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

error_codes! {
    // variant = name, HTTP, exit, retryable, log level
    /// The command line, a setting or a request is malformed.
    Usage = "usage", 400, 64, false, Debug;
    /// A path, collection or place that was named does not exist.
    NotFound = "not_found", 404, 66, false, Debug;
    /// A request that is not well-formed: broken JSON, a broken header, a path that is not UTF-8.
    MalformedRequest = "malformed_request", 400, 64, false, Debug;
    /// A well-formed request with a value that cannot be used: a wrong type, an unknown field, a number out of range.
    InvalidRequest = "invalid_request", 400, 64, false, Debug;
    /// There is no key, or it is unknown, expired or revoked.
    Unauthenticated = "unauthenticated", 401, 77, false, Debug;
    /// The key may not do this, or the path lies outside of the allowed roots.
    Forbidden = "forbidden", 403, 77, false, Debug;
    /// A request that a browser sends on behalf of another site.
    CrossSite = "cross_site", 403, 77, false, Warn;
    /// The address exists, this method of it does not.
    MethodNotAllowed = "method_not_allowed", 405, 64, false, Debug;
    /// The client takes no form that the answer has.
    NotAcceptable = "not_acceptable", 406, 64, false, Debug;
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", 408, 75, true, Debug;
    /// Something of that name is there already and is different.
    Conflict = "conflict", 409, 65, false, Debug;
    /// The body, or what it asks for at once, is larger than the limit.
    TooLarge = "too_large", 413, 64, false, Debug;
    /// A body that is not JSON, or is encoded in a way that is not accepted.
    UnsupportedMediaType = "unsupported_media_type", 415, 64, false, Debug;
    /// The Host header names another server.
    Misdirected = "misdirected", 421, 64, false, Warn;
    /// The headers are larger than the limit.
    HeadersTooLarge = "headers_too_large", 431, 64, false, Debug;
    /// The caller went away before the answer was ready.
    Cancelled = "cancelled", 499, 130, true, Debug;
    /// The key, or the address, has asked as much as it may for now.
    RateLimited = "rate_limited", 429, 75, true, Debug;
    /// What a remote service answered cannot be used.
    BadUpstream = "bad_upstream", 502, 76, true, Warn;
    /// Something that the answer needs does not work at the moment.
    DependencyUnavailable = "dependency_unavailable", 503, 69, true, Warn;
    /// A queue is full; the server sheds work that it could not do in time.
    Overloaded = "overloaded", 503, 75, true, Warn;
    /// The server is starting or ending.
    NotReady = "not_ready", 503, 75, true, Debug;
    /// The deadline of the request passed.
    Timeout = "timeout", 504, 75, true, Warn;
    /// The audit log has used up its disk budget; administrative acts are refused until it is archived.
    AuditFull = "audit_full", 507, 73, false, Error;
    /// No server answers, or one of another version.
    ServerUnavailable = "server_unavailable", 503, 69, true, Warn;
    /// A query that cannot be run: empty, too long, or not a regular expression.
    InvalidQuery = "invalid_query", 400, 64, false, Debug;
    /// The operating system denies access to a file or folder.
    PermissionDenied = "permission_denied", 403, 77, false, Warn;
    /// No usable model: none installed and none could be fetched.
    ModelUnavailable = "model_unavailable", 503, 69, true, Warn;
    /// A model folder is incomplete, damaged, or of an architecture that is not supported.
    ModelInvalid = "model_invalid", 500, 65, false, Error;
    /// Another process is writing to the data directory.
    Locked = "locked", 503, 75, true, Warn;
    /// The store is damaged; it is never repaired by throwing data away.
    StoreDamaged = "store_damaged", 503, 65, false, Error;
    /// The store was written by another version of the program: a newer one, or one that a writer must migrate first.
    StoreVersion = "store_version", 503, 78, false, Error;
    /// The disk or the quota is full.
    DiskFull = "disk_full", 507, 73, true, Error;
    /// Reading or writing failed.
    Io = "io", 500, 74, true, Error;
    /// Ended by Ctrl-C or SIGTERM; what was done is kept.
    Interrupted = "interrupted", 503, 130, true, Debug;
    /// `doctor` found something that needs attention.
    Unhealthy = "unhealthy", 503, 1, false, Warn;
    /// A defect of the program.
    Internal = "internal", 500, 70, false, Error;
}

/// What can go wrong, with the data that the message needs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings that cannot be used; all of them, not the first.
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
    /// An argument that cannot be used.
    #[error("{problem}")]
    Argument {
        /// What is wrong with it.
        problem: String,
        /// What to do instead.
        remedy: String,
    },
    /// A path that does not exist.
    #[error("{} does not exist", .0.display())]
    PathMissing(PathBuf),
    /// A path that should be a folder.
    #[error("{} is a file, not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// A collection that nobody made.
    #[error("there is no collection `{name}`")]
    CollectionMissing {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A document that is not in its collection.
    #[error("there is no document {id:?}")]
    DocumentMissing {
        /// The id asked for.
        id: String,
    },
    /// A job that nobody started, or that was forgotten long after it ended.
    #[error("there is no job {id:?}")]
    JobMissing {
        /// The id asked for.
        id: String,
    },
    /// A source that the collection does not have.
    #[error("there is no source {id:?}")]
    SourceMissing {
        /// The id asked for.
        id: String,
    },
    /// A place that no indexed chunk covers.
    #[error("{place} is not in the index")]
    PlaceMissing {
        /// `file:line` as it was asked for.
        place: String,
    },
    /// Nothing has been indexed in this data directory.
    #[error("nothing is indexed in {} yet", .0.display())]
    NothingIndexed(PathBuf),
    /// A query that cannot be run.
    #[error("{problem}")]
    Query {
        /// What is wrong with it.
        problem: String,
        /// What to do instead.
        remedy: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {verb} {}: {source}", .path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`, …
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The store cannot do what was asked of it.
    #[error("{message}")]
    Store {
        /// What kind of failure it is.
        code: ErrorCode,
        /// What happened; it names files.
        message: String,
        /// What to do about it.
        remedy: Option<String>,
    },
    /// Another process holds the writer's lock of a data directory.
    #[error("{} is being written by another process{}", .data_dir.display(), holder(*.pid))]
    Locked {
        /// The data directory.
        data_dir: PathBuf,
        /// The process id in the lock file, where it could be read.
        pid: Option<u32>,
    },
    /// A queue is full.
    #[error("{what}")]
    Busy {
        /// Which one.
        full: Full,
        /// Which one, in words.
        what: String,
        /// When it is worth trying again.
        retry_after: std::time::Duration,
    },
    /// A part of the search does not work.
    #[error("the {} does not work: {problem}", part_name(*.part))]
    Part {
        /// Which.
        part: Part,
        /// What is wrong, for the log.
        problem: String,
    },
    /// Something that the answer needs is not to be had at the moment.
    #[error("{what}")]
    Unavailable {
        /// What it means.
        code: ErrorCode,
        /// What is not to be had.
        what: String,
        /// When it is worth trying again.
        retry_after: std::time::Duration,
    },
    /// An error of a layer above this one, which said itself what it means: see the `From` implementations beside
    /// those errors.
    #[error("{message}")]
    Reported {
        /// What it means.
        code: ErrorCode,
        /// The cause, in one line.
        message: String,
        /// What to do about it.
        remedy: Option<String>,
    },
    /// The lexical index or the ranking failed.
    #[error(transparent)]
    Index(Box<embedder_index::Error>),
    /// A model folder cannot be loaded.
    #[error("the model in {} cannot be used: {source}", .dir.display())]
    Model {
        /// The model's folder.
        dir: PathBuf,
        /// Why.
        source: Box<embedder_inference::ModelError>,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted; what was done is kept")]
    Interrupted,
    /// `doctor` found problems.
    #[error("{0} of the checks need attention")]
    Unhealthy(usize),
    /// The answers are not as good as they must be.
    #[error("hybrid NDCG@10 by chunk is {mean:.3}, the floor is {floor:.3}")]
    BelowFloor {
        /// What was measured.
        mean: f64,
        /// What was asked for.
        floor: f64,
    },
    /// A broken invariant.
    #[error("internal error: {0}")]
    Internal(String),
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Embedder => "embedder",
        Part::VectorIndex => "vector index",
        Part::LexicalIndex => "text index",
        Part::Cache => "cache",
        Part::Store => "store",
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

impl From<embedder_index::Error> for Error {
    fn from(error: embedder_index::Error) -> Error {
        Error::Index(Box::new(error))
    }
}

/// The result of most of the program's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an operating system error with what was tried and where.
    pub fn io(verb: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
        Error::Io {
            verb,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// Returns the stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::Settings(_) | Error::Argument { .. } => ErrorCode::Usage,
            Error::PathMissing(_)
            | Error::NotAFolder(_)
            | Error::CollectionMissing { .. }
            | Error::DocumentMissing { .. }
            | Error::JobMissing { .. }
            | Error::SourceMissing { .. }
            | Error::PlaceMissing { .. }
            | Error::NothingIndexed(_) => ErrorCode::NotFound,
            Error::Query { .. } => ErrorCode::InvalidQuery,
            Error::Io { source, .. } => code_of_io(source),
            Error::Locked { .. } => ErrorCode::Locked,
            Error::Busy { .. } => ErrorCode::Overloaded,
            Error::Part { .. } => ErrorCode::DependencyUnavailable,
            Error::Unavailable { code, .. } => *code,
            Error::Store { code, .. } | Error::Reported { code, .. } => *code,
            Error::Index(error) => code_of_index(error),
            Error::Model { .. } => ErrorCode::ModelInvalid,
            Error::Interrupted => ErrorCode::Interrupted,
            Error::Unhealthy(_) | Error::BelowFloor { .. } => ErrorCode::Unhealthy,
            Error::Internal(_) => ErrorCode::Internal,
        }
    }

    /// Returns the message for a person: what happened and, in parentheses, what to do about it.
    pub fn with_remedy(&self) -> String {
        match self.remedy() {
            Some(remedy) => format!("{self} ({remedy})"),
            None => self.to_string(),
        }
    }

    /// Returns what the user can do about it, where that is not plain from the message.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Error::Settings(_) => Some("`embedder config show` lists every setting".to_owned()),
            Error::Argument { remedy, .. } | Error::Query { remedy, .. } => Some(remedy.clone()),
            Error::PathMissing(_) => Some("check the spelling of the path".to_owned()),
            Error::NotAFolder(path) => {
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                Some(format!(
                    "name its folder: {}",
                    parent.unwrap_or(Path::new(".")).display()
                ))
            }
            Error::CollectionMissing { known, .. } if known.is_empty() => {
                Some("run `embedder index PATH` first".to_owned())
            }
            Error::CollectionMissing { known, .. } => {
                Some(format!("there are: {}", known.join(", ")))
            }
            Error::PlaceMissing { .. } => Some(
                "name a line of an indexed file; `embedder status` lists what was skipped"
                    .to_owned(),
            ),
            Error::NothingIndexed(_) => Some("run `embedder index PATH` first".to_owned()),
            Error::Io { source, .. } => remedy_of_io(source),
            Error::Locked { .. } => {
                Some("wait for it to end; searching does not need the lock".to_owned())
            }
            Error::Busy { retry_after, .. } => {
                Some(format!("try again in {} s", retry_after.as_secs().max(1)))
            }
            Error::Unavailable { retry_after, .. } => {
                Some(format!("try again in {} s", retry_after.as_secs().max(1)))
            }
            Error::Part { .. } => Some("try again in a moment; it is being repaired".to_owned()),
            Error::Store { remedy, .. } | Error::Reported { remedy, .. } => remedy.clone(),
            Error::Index(error) if code_of_index(error) == ErrorCode::InvalidQuery => Some(
                "send a vector of as many finite numbers as those of the collection".to_owned(),
            ),
            Error::Index(_) => {
                Some("run `embedder index` again: the index is rebuilt from the store".to_owned())
            }
            Error::Model { .. } => Some("run `embedder models pull NAME --force`".to_owned()),
            Error::Interrupted => Some("run the same command again to go on".to_owned()),
            Error::DocumentMissing { .. } => Some("check the id".to_owned()),
            Error::JobMissing { .. } => Some("GET /v1/jobs lists the newest jobs".to_owned()),
            Error::SourceMissing { .. } => {
                Some("GET …/sources lists those of the collection".to_owned())
            }
            Error::Unhealthy(_) | Error::BelowFloor { .. } => None,
            Error::Internal(_) => Some("this is a defect: please report it".to_owned()),
        }
    }
}

/// Returns the code of an operating system error.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of the many kinds these mean something to a user"
)]
pub fn code_of_io(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorCode::PermissionDenied
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
        _ => ErrorCode::Io,
    }
}

/// Returns what to do about an operating system error.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other codes have no general remedy"
)]
pub fn remedy_of_io(error: &io::Error) -> Option<String> {
    match code_of_io(error) {
        ErrorCode::NotFound => Some("check the spelling of the path".to_owned()),
        ErrorCode::PermissionDenied => {
            Some("check the owner and the permissions, or name another folder".to_owned())
        }
        ErrorCode::DiskFull => {
            Some("free some space and run the command again; nothing is lost".to_owned())
        }
        _ => None,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other errors have no remedy of their own"
)]
fn code_of_index(error: &embedder_index::Error) -> ErrorCode {
    match error {
        embedder_index::Error::Io(error) => code_of_io(error),
        embedder_index::Error::Locked => ErrorCode::Locked,
        embedder_index::Error::Dimensions { .. } | embedder_index::Error::NotFinite => {
            ErrorCode::InvalidQuery
        }
        _ => ErrorCode::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_names_are_unique_and_lower_case() {
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        assert!(
            names
                .iter()
                .all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }

    #[test]
    fn no_failure_exits_with_zero() {
        assert!(ErrorCode::ALL.iter().all(|code| code.exit_code() != 0));
    }

    #[test]
    fn a_full_disk_is_told_from_other_io_errors() {
        let error = Error::io(
            "write",
            "/data/content.db",
            io::Error::from(io::ErrorKind::StorageFull),
        );
        assert_eq!(error.code(), ErrorCode::DiskFull);
        assert!(error.remedy().unwrap().contains("free some space"));
    }

    #[test]
    fn a_locked_directory_names_the_process() {
        let error = Error::Locked {
            data_dir: "/data".into(),
            pid: Some(42),
        };
        assert_eq!(
            error.to_string(),
            "/data is being written by another process (process 42)"
        );
    }
}
