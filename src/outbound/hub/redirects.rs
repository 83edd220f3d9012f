//! A request and the redirects it leads through.

use std::time::Duration;

use reqwest::header::{ETAG, LOCATION, RETRY_AFTER};
use reqwest::{StatusCode, Url};

use super::{Hub, HubError, shown};
use crate::outbound::checksum::is_sha256;
use crate::outbound::control::Control;
use crate::outbound::http::{Answer, Get};

/// The hub itself takes two or three.
const REDIRECTS_MAX: usize = 8;

/// What the hub says of a file, in headers of its own that come with the redirect to where the bytes are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) sha256: Option<String>,
    pub(super) bytes: Option<u64>,
    pub(super) commit: Option<String>,
}

/// Where the redirects ended.
pub(super) struct Opened {
    pub(super) answer: Answer,
    pub(super) announced: Announced,
    /// The final address, fit to be shown.
    pub(super) url: String,
}

impl Opened {
    /// The entity tag, if it stands for these very bytes.
    pub(super) fn strong_etag(&self) -> Option<&str> {
        self.answer
            .header(ETAG.as_str())
            .filter(|tag| tag.starts_with('"'))
    }
}

impl Hub {
    /// Asks for `first` and follows where it leads. `from` and `if_range` go with every hop, the token only to the
    /// endpoint's own origin.
    pub(super) fn open(
        &self,
        file: &str,
        first: Url,
        from: u64,
        if_range: Option<&str>,
        control: &Control<'_>,
    ) -> Result<Opened, HubError> {
        let mut url = first;
        let mut announced = Announced::default();
        for _ in 0..=REDIRECTS_MAX {
            let at_home = url.origin() == self.endpoint.origin();
            let bearer = self.token.as_ref().filter(|_| at_home);
            let answer = self
                .http
                .get(
                    &Get {
                        url: &url,
                        bearer,
                        from,
                        if_range,
                    },
                    control,
                )
                .map_err(|e| HubError::http(file, e))?;
            self.contacted.set(true);
            if at_home {
                announced.note(&answer);
            }
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(Opened {
                    answer,
                    announced,
                    url: shown(&url),
                });
            }
            url = target(&url, answer.header(LOCATION.as_str()))?;
        }
        Err(HubError::Redirect {
            url: shown(&url),
            reason: format!("more than {REDIRECTS_MAX} redirects"),
        })
    }
}

impl Announced {
    /// Reads the headers of an answer that came from the endpoint itself; anything else is not believed, since other
    /// stores use tags of their own that only look like a sum.
    fn note(&mut self, answer: &Answer) {
        let sum = |name: &str| {
            let tag = answer.header(name)?.trim_matches('"').to_ascii_lowercase();
            is_sha256(&tag).then_some(tag)
        };
        let linked = sum("x-linked-etag");
        let own = || sum(ETAG.as_str()).filter(|_| answer.status.is_success());
        self.sha256 = linked.or_else(own).or(self.sha256.take());
        self.bytes = answer
            .header("x-linked-size")
            .and_then(|text| text.parse().ok())
            .or(self.bytes);
        let commit = answer
            .header("x-repo-commit")
            .filter(|text| is_commit(text));
        self.commit = commit.map(str::to_owned).or(self.commit.take());
    }
}

/// Whether the text is a git commit, so that it can be asked for.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where a redirect leads.
fn target(from: &Url, location: Option<&str>) -> Result<Url, HubError> {
    let refused = |reason: String| HubError::Redirect {
        url: shown(from),
        reason,
    };
    let location = location.ok_or_else(|| refused("a redirect to nowhere".to_owned()))?;
    let to = from
        .join(location)
        .map_err(|error| refused(format!("a redirect that is no address: {error}")))?;
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(to),
        _ => Err(refused(format!(
            "a redirect to {}, which is not secure",
            shown(&to)
        ))),
    }
}

/// The error of an answer that is neither the file nor its absence.
pub(super) fn refusal(opened: &Opened) -> HubError {
    let (url, status) = (opened.url.clone(), opened.answer.status.as_u16());
    match status {
        401 | 403 => HubError::Denied { url, status },
        _ => HubError::Status {
            url,
            status,
            retry_after: retry_after(opened.answer.header(RETRY_AFTER.as_str())),
        },
    }
}

/// Reads the form in seconds; the form with a date would need a clock that agrees with the server's.
fn retry_after(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_secure_places_only() {
        let check = |from: &str, location: &str, expected: Option<&str>| {
            let to = target(&Url::parse(from).unwrap(), Some(location));
            assert_eq!(
                to.as_ref().ok().map(Url::as_str),
                expected,
                "{from} -> {location}: {to:?}"
            );
        };
        check(
            "https://hub.example/a/b",
            "/c?d=e",
            Some("https://hub.example/c?d=e"),
        );
        check(
            "https://hub.example/a",
            "https://cdn.example/x",
            Some("https://cdn.example/x"),
        );
        check(
            "http://hub.example/a",
            "http://cdn.example/x",
            Some("http://cdn.example/x"),
        );
        check("https://hub.example/a", "http://cdn.example/x", None);
        check("http://hub.example/a", "file:///etc/passwd", None);
        check("https://hub.example/a", "https://", None);
        assert!(target(&Url::parse("https://hub.example/").unwrap(), None).is_err());
    }

    #[test]
    fn a_query_is_not_shown() {
        let error = target(
            &Url::parse("https://cdn.example/x?signature=secret").unwrap(),
            None,
        )
        .unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        assert_eq!(retry_after(Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(Some("Wed, 21 Oct 2015 07:28:00 GMT")), None);
        assert_eq!(retry_after(None), None);
    }
}
