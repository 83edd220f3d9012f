//! The running server of a data directory, as commands of the same machine use it.
//!
//! [`Daemon::find`] looks for the file that a server leaves in its data directory. What shows that the server lives is
//! the directory's lock: the operating system takes it from a process however that ends, so a file that was left behind
//! misleads nobody. Every call has a deadline. What the server refuses comes back as the error that it is, with the
//! server's code, message and remedy; what it does not answer says what to do about the server.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::{Method, StatusCode, Url, redirect};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::Secret;
use super::control::Control;
use crate::error::{Error, ErrorCode, Result};

mod announcement;
mod asynchronous;
mod pinned;
#[cfg(test)]
mod tests;

use announcement::Announcement;
pub use announcement::FILE_NAME;
pub(crate) use asynchronous::{AsyncDaemon, Unanswered};

/// Sent as User-Agent: the server's log tells commands from clients.
const USER_AGENT: &str = concat!("embedder/", env!("CARGO_PKG_VERSION"));

/// How long a server may take to show that it answers. It does so in a millisecond; one that is busy beyond this is no
/// help.
const PROBE_TIME_MAX: Duration = Duration::from_secs(5);

/// How often a job is looked at: often enough to look alive.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks at a job in a row that an overloaded server may refuse: half a minute of them.
const LOOKS_REFUSED_MAX: u32 = 150;

/// The running server of a data directory. Threads may share it.
#[derive(Debug)]
pub struct Daemon {
    client: Client,
    url: Url,
    key: Secret,
    pid: u32,
    version: String,
}

/// What is read of a problem document (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    title: String,
    detail: Option<String>,
    remedy: Option<String>,
    request_id: String,
}

impl Daemon {
    /// Finds the server of a data directory and makes sure that it answers. `writer` is the process that holds the
    /// directory's lock; `key` reads the key of this machine; no answer is waited for longer than `answer_time_max`,
    /// which is to be more than what the server allows itself.
    ///
    /// Returns none where no server runs.
    ///
    /// # Errors
    /// [`ErrorCode::ServerUnavailable`] when the server is of another version or does not answer within five seconds;
    /// those of `key`; a key that the server does not accept; a file that is not a server's.
    pub fn find(
        data_dir: &Path,
        writer: Option<u32>,
        answer_time_max: Duration,
        key: impl FnOnce() -> Result<Secret>,
    ) -> Result<Option<Daemon>> {
        let Some(announcement) = Announcement::of(data_dir, writer)? else {
            return Ok(None);
        };
        announcement.check_version()?;
        let daemon = Daemon::connect(&announcement, answer_time_max, key()?)?;
        daemon.probe()?;
        Ok(Some(daemon))
    }

    /// Returns the server's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the server's address, without a slash at its end.
    pub fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Returns the server's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the same server, shown another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Daemon {
        Daemon {
            client: self.client.clone(),
            url: self.url.clone(),
            key: Secret::new(key),
            pid: self.pid,
            version: self.version.clone(),
        }
    }

    /// Reads what is at a path, given in parts.
    ///
    /// # Errors
    /// What the server refuses; [`ErrorCode::ServerUnavailable`] when it goes away or does not answer in time.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T> {
        self.call(self.request(Method::GET, path, query))
    }

    /// Sends a body to a path.
    ///
    /// # Errors
    /// As [`Daemon::get`].
    pub fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T> {
        self.call(self.request(Method::POST, path, &[]).json(body))
    }

    /// Puts a body at a path.
    ///
    /// # Errors
    /// As [`Daemon::get`].
    pub fn put<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T> {
        self.call(self.request(Method::PUT, path, &[]).json(body))
    }

    /// Takes away what is at a path.
    ///
    /// # Errors
    /// As [`Daemon::get`].
    pub fn delete<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T> {
        self.call(self.request(Method::DELETE, path, &[]))
    }

    /// Looks at a job again and again and hands it to `goes_on`, until that says that the job has ended. Returns none
    /// when the interrupt flag was set before: the job goes on without anybody who looks.
    ///
    /// # Errors
    /// As [`Daemon::get`]; a server that is overloaded is asked again for half a minute.
    pub fn follow<J: DeserializeOwned>(
        &self,
        id: &str,
        control: &Control<'_>,
        mut goes_on: impl FnMut(&J) -> bool,
    ) -> Result<Option<J>> {
        let mut refused = 0;
        loop {
            match self.get::<J>(&["v1", "jobs", id], &[]) {
                Ok(job) if goes_on(&job) => refused = 0,
                Ok(job) => return Ok(Some(job)),
                Err(error) if is_busy(&error) && refused < LOOKS_REFUSED_MAX => refused += 1,
                Err(error) => return Err(error),
            }
            if control.wait(LOOK_EVERY).is_err() {
                return Ok(None);
            }
        }
    }

    fn connect(
        announcement: &Announcement,
        answer_time_max: Duration,
        key: Secret,
    ) -> Result<Daemon> {
        let client = Client::builder()
            .user_agent(USER_AGENT)
            // The server is on this machine: a proxy could only lead elsewhere.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .http1_only()
            .connect_timeout(PROBE_TIME_MAX)
            .timeout(answer_time_max)
            .tls_backend_preconfigured(pinned::tls(announcement.tls_cert.as_deref())?)
            .build()
            .map_err(|error| Error::Internal(format!("no HTTP client: {}", cause_of(&error))))?;
        Ok(Daemon {
            client,
            url: announcement.url()?,
            key,
            pid: announcement.pid,
            version: announcement.version.clone(),
        })
    }

    /// Makes sure that the server answers and accepts the key.
    fn probe(&self) -> Result<()> {
        let request = self.request(Method::GET, &["v1", "whoami"], &[]);
        let (status, body) = exchange(request.timeout(PROBE_TIME_MAX)).map_err(|error| {
            let process = format!("the server of this data directory (process {})", self.pid);
            let problem = if error.is_timeout() {
                format!(
                    "{process} does not answer within {} s",
                    PROBE_TIME_MAX.as_secs()
                )
            } else {
                format!(
                    "{process} cannot be reached at {}: {}",
                    self.address(),
                    cause_of(&error)
                )
            };
            let remedy = format!(
                "it may be ending: try again in a moment; else end it with `kill {}` and start it again",
                self.pid
            );
            unavailable(problem, remedy)
        })?;
        match understand::<IgnoredAny>(status, &body) {
            Ok(_) => Ok(()),
            Err(error) if error.code() == ErrorCode::Unauthenticated => Err(Error::Reported {
                code: ErrorCode::Unauthenticated,
                message: "the server does not accept the key of this machine".to_owned(),
                remedy: Some(
                    "remove local.key from the data directory and restart the server, which makes another"
                        .to_owned(),
                ),
            }),
            Err(error) => Err(error),
        }
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .expect("an http address has a path")
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.client
            .request(method, url)
            .bearer_auth(self.key.expose())
    }

    fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let (status, body) = exchange(request).map_err(|error| {
            if error.is_timeout() {
                return unavailable(
                    format!("the server (process {}) did not answer in time", self.pid),
                    "its log may say why".to_owned(),
                );
            }
            unavailable(
                format!("the server went away: {}", cause_of(&error)),
                "run the command again: it works without a server, or through one that was started again"
                    .to_owned(),
            )
        })?;
        understand(status, &body)
    }
}

fn exchange(request: RequestBuilder) -> reqwest::Result<(StatusCode, Bytes)> {
    let response = request.send()?;
    Ok((response.status(), response.bytes()?))
}

/// Reads what was asked for, or why it was refused.
///
/// # Errors
/// The error that a problem document tells of; an answer that cannot be read.
pub(crate) fn understand<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T> {
    if !status.is_success() {
        return Err(refusal(status, body));
    }
    // An answer without a body says that there is nothing to say.
    let body = if body.is_empty() {
        b"null".as_slice()
    } else {
        body
    };
    serde_json::from_slice(body).map_err(|error| {
        Error::Internal(format!("an answer of the server cannot be read: {error}"))
    })
}

fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return unavailable(
            format!("what answers is no server of ours: it said {status}"),
            "restart the server".to_owned(),
        );
    };
    let code = ErrorCode::from_name(&problem.code);
    // Without a detail the log has the cause, and the id of the request finds it there.
    let message = problem.detail.unwrap_or_else(|| {
        let title = problem.title.trim_end_matches('.');
        format!("{title} (request {})", problem.request_id)
    });
    Error::Reported {
        code: code.unwrap_or(ErrorCode::Internal),
        message,
        remedy: problem.remedy,
    }
}

fn is_busy(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::Overloaded | ErrorCode::Timeout)
}

fn unavailable(message: String, remedy: String) -> Error {
    Error::Reported {
        code: ErrorCode::ServerUnavailable,
        message,
        remedy: Some(remedy),
    }
}

/// Returns the innermost cause: the outer ones only say that a request failed.
fn cause_of(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
