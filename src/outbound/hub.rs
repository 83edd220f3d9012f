//! Files of a model repository from the Hugging Face hub, or from anything that answers like it.
//!
//! `GET {endpoint}/{repository}/resolve/{revision}/{file}`, redirects followed. A file goes straight to the path it is
//! given, so that what has arrived survives a broken connection, an interrupt and the end of the process; the next call
//! asks only for the rest where the server can do that and where something proves that old and new bytes belong
//! together (the server's entity tag, or the checksum at the end), and else starts over.
//!
//! Guarantees: a file that is returned has the size and the SHA-256 sum that the caller pinned, or else those that the
//! hub announced. The token is sent to the endpoint's own origin alone and never appears in an error.

mod attempt;
mod error;
mod partial;
mod redirects;

use std::cell::Cell;
use std::path::Path;

use reqwest::Url;

use super::address::is_loopback;
use super::control::Control;
use super::http::Http;
use super::tries::Tries;
use super::{Secret, Timeouts};
pub use error::HubError;
use partial::Partial;

/// Tries of the very first request while nothing answers: behind an unreachable hub another source waits.
const FIRST_CONTACT_TRIES: u32 = 2;

/// The file to get.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `owner/name`.
    pub repository: &'a str,
    /// A branch, tag or commit.
    pub revision: &'a str,
    /// The path in the repository.
    pub file: &'a str,
    /// The largest size that is accepted.
    pub bytes_max: u64,
    /// The exact size, where it is known beforehand.
    pub bytes: Option<u64>,
    /// The SHA-256 sum, where it is known beforehand.
    pub sha256: Option<&'a str>,
    /// Where the bytes go. What is there already counts as the first part of the file.
    pub into: &'a Path,
    /// Where to keep what a later run needs to go on.
    pub resume_record: &'a Path,
}

/// A file that arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 sum.
    pub sha256: String,
    /// The commit that it belongs to, if the hub said so.
    pub commit: Option<String>,
}

/// A hub at one endpoint.
pub struct Hub {
    http: Http,
    endpoint: Url,
    token: Option<Secret>,
    /// Whether the endpoint has answered at all.
    contacted: Cell<bool>,
}

impl Hub {
    /// A client for the endpoint, such as `https://huggingface.co`; sends nothing yet.
    ///
    /// # Errors
    /// When the endpoint is not an http or https address, or TLS cannot be set up.
    pub fn new(
        endpoint: &str,
        token: Option<Secret>,
        timeouts: Timeouts,
    ) -> Result<Self, HubError> {
        let refused = |reason: String| HubError::Endpoint {
            endpoint: endpoint.to_owned(),
            reason,
        };
        let url = Url::parse(endpoint).map_err(|error| refused(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https")
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(refused(
                "an http or https address without a user is needed".to_owned(),
            ));
        }
        let http = Http::new(timeouts, is_loopback(&url))?;
        Ok(Self {
            http,
            endpoint: url,
            token,
            contacted: Cell::new(false),
        })
    }

    /// Gets one file; `None` if the repository has no such file.
    ///
    /// # Errors
    /// When the file cannot be had after a bounded number of tries, is not what was pinned or announced, or cannot be
    /// written; on an interrupt. What has arrived stays for the next call, unless it is known to be wrong.
    pub fn fetch(
        &self,
        wanted: &Wanted<'_>,
        control: &Control<'_>,
    ) -> Result<Option<Fetched>, HubError> {
        let mut tries = Tries::default();
        let mut mismatched = false;
        loop {
            let before = Partial::len_at(wanted.into);
            let error = match self.attempt(wanted, control) {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            // Wrong bytes may come from joining parts or from the network: one fresh start tells.
            let wrong = matches!(error, HubError::Checksum { .. });
            let again = error.is_transient() || (wrong && !mismatched);
            mismatched |= wrong;
            let backoff = tries.failed(Partial::len_at(wanted.into) > before);
            let hopeless = !self.contacted.get() && tries.count() >= FIRST_CONTACT_TRIES;
            let Some(backoff) = backoff.filter(|_| again && !hopeless) else {
                return Err(error.after(tries.count()));
            };
            let wait = error.retry_after().unwrap_or(backoff);
            control.progress.retrying(&error.to_string(), wait);
            control.wait(wait)?;
        }
    }

    fn url_of(&self, wanted: &Wanted<'_>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let Wanted {
                repository,
                revision,
                file,
                ..
            } = *wanted;
            segments.pop_if_empty();
            segments
                .extend(repository.split('/'))
                .push("resolve")
                .push(revision)
                .extend(file.split('/'));
        }
        url
    }
}

/// An address for people: without a query, which may carry a signature.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str, revision: &str, file: &str) -> String {
        let hub = Hub::new(endpoint, None, Timeouts::default()).unwrap();
        let wanted = Wanted {
            repository: "owner/name",
            revision,
            file,
            bytes_max: 1,
            bytes: None,
            sha256: None,
            into: Path::new("unused"),
            resume_record: Path::new("unused"),
        };
        hub.url_of(&wanted).to_string()
    }

    #[test]
    fn the_address_follows_the_hubs_scheme() {
        let pooling = "1_Pooling/config.json";
        let expected = "https://hub.example/owner/name/resolve/main/1_Pooling/config.json";
        assert_eq!(url("https://hub.example", "main", pooling), expected);
        assert_eq!(url("https://hub.example/", "main", pooling), expected);
        assert_eq!(
            url("http://mirror.example/hf/", "refs/pr/1", "config.json"),
            "http://mirror.example/hf/owner/name/resolve/refs%2Fpr%2F1/config.json"
        );
    }

    #[test]
    fn an_endpoint_must_be_an_http_address() {
        for endpoint in [
            "",
            "huggingface.co",
            "file:///etc",
            "https://user:secret@hub.example",
        ] {
            let error = Hub::new(endpoint, None, Timeouts::default()).err().unwrap();
            assert!(
                matches!(error, HubError::Endpoint { .. }),
                "{endpoint}: {error}"
            );
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
