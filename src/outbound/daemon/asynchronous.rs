//! A running server, as a program of the same machine talks to it that does several things at once.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, Url, redirect};
use serde_json::Value;

use super::announcement::Announcement;
use super::{PROBE_TIME_MAX, USER_AGENT, cause_of, pinned, unavailable, understand};
use crate::error::{Error, Result};
use crate::outbound::Secret;

/// The running server of a data directory.
#[derive(Debug)]
pub(crate) struct AsyncDaemon {
    client: Client,
    url: Url,
    key: Secret,
    announcement: Announcement,
}

/// Why a call brought no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// There was no connection, so nothing was done: the server has ended, say.
    NotReached(Error),
    /// Anything else; what the server refuses is here as well.
    Other(Error),
}

impl AsyncDaemon {
    /// Finds the server of a data directory, as [`super::Daemon::find`] does, and does not ask it anything yet.
    ///
    /// # Errors
    /// Those of `key`; a file that is not a server's.
    pub(crate) fn find(
        data_dir: &Path,
        writer: Option<u32>,
        answer_time_max: Duration,
        key: impl FnOnce() -> Result<Secret>,
    ) -> Result<Option<AsyncDaemon>> {
        let Some(announcement) = Announcement::of(data_dir, writer)? else {
            return Ok(None);
        };
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
        Ok(Some(AsyncDaemon {
            client,
            url: announcement.url()?,
            key: key()?,
            announcement,
        }))
    }

    /// Returns the server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.announcement.pid
    }

    /// Whether a newer one may take its place: a program started it for itself and others, and it is older than this one.
    pub(crate) fn may_be_replaced(&self) -> bool {
        self.announcement.is_for_clients && self.announcement.is_older()
    }

    /// Refuses a server of another version than this program.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::ServerUnavailable`].
    pub(crate) fn check_version(&self) -> Result<()> {
        self.announcement.check_version()
    }

    /// Whether it has loaded what it serves.
    pub(crate) async fn is_ready(&self) -> bool {
        let request = self.client.get(self.at("/readyz")).timeout(PROBE_TIME_MAX);
        let answer = request.send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Makes a call and reads its answer. `target` is the path with its query.
    ///
    /// # Errors
    /// What the server refuses; that it does not answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Value, Unanswered> {
        let request = self
            .client
            .request(method, self.at(target))
            .bearer_auth(self.key.expose());
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answered = async {
            let response = request.send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
        };
        let (status, body) = answered.await.map_err(|error| {
            let problem = format!(
                "the server (process {}) did not answer: {}",
                self.pid(),
                cause_of(&error)
            );
            let told = unavailable(problem, "try again; its log may say why".to_owned());
            if error.is_connect() {
                Unanswered::NotReached(told)
            } else {
                Unanswered::Other(told)
            }
        })?;
        understand(status, &body).map_err(Unanswered::Other)
    }

    fn at(&self, target: &str) -> Url {
        self.url
            .join(target)
            .expect("a path with its query can stand after any address")
    }
}
