//! What keeps a browser from acting for another site (S-16): the Host header, where a request comes from, the session's
//! cookie and its counterpart against forgery.
//!
//! Any page that a user visits can make their browser send requests to a server on their machine. None of it is obeyed: a
//! name that another site has made to point here (DNS rebinding) is refused by the Host header, a request from another
//! site's page by its Origin or Sec-Fetch-Site, and a session's cookie is worth nothing without the token that only our own
//! pages can read.

use std::net::IpAddr;

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, Uri};

use super::problem::Problem;
use crate::error::ErrorCode;

/// The header with the counterpart of the session's cookie.
pub(super) const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the name of the session's cookie begins with.
const COOKIE_NAME: &str = "embedder_session";

/// Returns the host and port that a request is addressed to, as it says.
pub(super) fn authority<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> &'a str {
    match headers.get(HOST) {
        Some(host) => host.to_str().unwrap_or_default(),
        // HTTP/2 has it in the address.
        None => uri.authority().map_or("", |authority| authority.as_str()),
    }
}

/// Refuses a request that is addressed to another name. An address in numbers cannot be rebound, so any is fine.
pub(super) fn check_host(headers: &HeaderMap, uri: &Uri, hosts: &[String]) -> Result<(), Problem> {
    let name = host_name(authority(headers, uri)).to_ascii_lowercase();
    let is_ours = name.parse::<IpAddr>().is_ok() || name == "localhost" || hosts.contains(&name);
    if is_ours {
        return Ok(());
    }
    Err(Problem::new(
        ErrorCode::Misdirected,
        "the Host header names another server",
    )
    .with_remedy("use an address or localhost, or add the name to the setting server.hosts"))
}

/// Refuses a request that a page of another site has sent.
pub(super) fn check_origin(headers: &HeaderMap, uri: &Uri, is_tls: bool) -> Result<(), Problem> {
    let refused = || {
        Problem::new(
            ErrorCode::CrossSite,
            "the request comes from a page of another site",
        )
    };
    let site = headers
        .get(SEC_FETCH_SITE)
        .map(|value| value.as_bytes().to_ascii_lowercase());
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(refused());
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let authority = authority(headers, uri);
    let is_own = |scheme: &str| {
        let own = format!("{scheme}://{authority}");
        origin.as_bytes().eq_ignore_ascii_case(own.as_bytes())
    };
    // Without TLS of our own something before us may have it; whoever has a certificate for our name is no other site.
    if !authority.is_empty() && (is_own("https") || (!is_tls && is_own("http"))) {
        return Ok(());
    }
    Err(refused())
}

/// The cookie of a browser's session, by its name. Browsers send cookies to every port of a host: servers on two ports have
/// two names, else signing in to one would sign out of the other.
pub(super) struct SessionCookie(String);

impl SessionCookie {
    /// That of the server that a request is addressed to.
    pub(super) fn of(headers: &HeaderMap, uri: &Uri) -> SessionCookie {
        let port = authority(headers, uri).rsplit_once(':');
        let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
        SessionCookie(match port {
            Some(port) => format!("{COOKIE_NAME}_{port}"),
            None => COOKIE_NAME.to_owned(),
        })
    }

    /// Returns what it holds, if there is exactly one.
    pub(super) fn read<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let mut found = None;
        for header in headers.get_all(COOKIE) {
            for pair in header.to_str().ok()?.split(';') {
                if let Some((name, value)) = pair.trim().split_once('=')
                    && name == self.0
                {
                    if found.is_some() {
                        // Somebody planted a second one.
                        return None;
                    }
                    found = Some(value);
                }
            }
        }
        found
    }

    /// Returns what sets it.
    pub(super) fn set(&self, value: &str, max_age_s: u64, is_tls: bool) -> String {
        let secure = if is_tls { "; Secure" } else { "" };
        let name = &self.0;
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}")
    }

    /// Returns what takes it away.
    pub(super) fn clear(&self) -> String {
        self.set("", 0, false)
    }
}

/// Whether a method changes nothing, so that a session may use it without the counterpart.
pub(super) fn is_safe(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD || *method == Method::OPTIONS
}

/// Returns the host of `host:port`, without the brackets of an IPv6 address.
fn host_name(authority: &str) -> &str {
    let authority = authority.rsplit('@').next().unwrap_or_default();
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn names_that_are_not_ours_are_refused() {
        let hosts = ["embedder.example".to_owned()];
        let is_ours = |host: &str| {
            check_host(&headers(&[(HOST, host)]), &Uri::from_static("/"), &hosts).is_ok()
        };
        for ours in [
            "127.0.0.1:7878",
            "127.0.0.1",
            "[::1]:7878",
            "localhost:1",
            "LOCALHOST",
            "embedder.example",
            "Embedder.Example:443",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:7878",
            "embedder.example.",
            "localhost@evil.example",
        ] {
            assert!(!is_ours(foreign), "{foreign}");
        }
        let by_address = Uri::from_static("http://evil.example/");
        assert!(check_host(&HeaderMap::new(), &by_address, &hosts).is_err());
        let by_address = Uri::from_static("http://localhost:7878/");
        assert!(check_host(&HeaderMap::new(), &by_address, &hosts).is_ok());
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = (HOST, "127.0.0.1:7878");
        let is_ours = |pairs: &[(HeaderName, &str)]| {
            let all: Vec<_> = pairs.iter().cloned().chain([host.clone()]).collect();
            check_origin(&headers(&all), &Uri::from_static("/"), false).is_ok()
        };
        assert!(is_ours(&[]), "no browser at all");
        assert!(is_ours(&[(SEC_FETCH_SITE, "none")]));
        assert!(is_ours(&[
            (SEC_FETCH_SITE, "same-origin"),
            (ORIGIN, "http://127.0.0.1:7878")
        ]));
        for foreign in [
            vec![(SEC_FETCH_SITE, "cross-site")],
            vec![(SEC_FETCH_SITE, "same-site")],
            vec![(SEC_FETCH_SITE, "something new")],
            vec![(ORIGIN, "null")],
            vec![(ORIGIN, "http://evil.example")],
            vec![(ORIGIN, "http://127.0.0.1:9999")],
            vec![(ORIGIN, "http://127.0.0.1:7878.evil.example")],
            vec![(ORIGIN, "https://127.0.0.1:7878.evil.example")],
        ] {
            assert!(!is_ours(&foreign), "{foreign:?}");
        }
        // A proxy before us may speak TLS; where we do, nobody else is us without.
        let of = |origin, is_tls| {
            let all = headers(&[(ORIGIN, origin), host.clone()]);
            check_origin(&all, &Uri::from_static("/"), is_tls).is_ok()
        };
        assert!(of("https://127.0.0.1:7878", false));
        assert!(of("https://127.0.0.1:7878", true));
        assert!(!of("http://127.0.0.1:7878", true));
    }

    #[test]
    fn the_sessions_cookie_is_found_if_there_is_one() {
        let uri = Uri::from_static("/");
        let at = |host: &'static str, values: &[&'static str]| {
            let mut pairs: Vec<_> = values.iter().map(|value| (COOKIE, *value)).collect();
            pairs.push((HOST, host));
            let headers = headers(&pairs);
            let cookie = SessionCookie::of(&headers, &uri);
            cookie.read(&headers).map(str::to_owned)
        };
        let cookie = |values: &[&'static str]| at("search.example", values);
        assert_eq!(cookie(&["embedder_session=abc"]).as_deref(), Some("abc"));
        assert_eq!(
            cookie(&["a=b; embedder_session=abc; c=d"]).as_deref(),
            Some("abc")
        );
        assert_eq!(cookie(&["a=b"]), None);
        assert_eq!(cookie(&["embedder_session=a; embedder_session=b"]), None);
        assert_eq!(cookie(&["embedder_session=a", "embedder_session=b"]), None);
        // That of a server on another port is another.
        let two = ["embedder_session_7878=a", "embedder_session_7879=b"];
        assert_eq!(at("127.0.0.1:7878", &two).as_deref(), Some("a"));
        assert_eq!(at("[::1]:7879", &two).as_deref(), Some("b"));
        assert_eq!(at("[::1]", &two), None);
        let set = SessionCookie::of(&headers(&[(HOST, "[::1]:7879")]), &uri).set("abc", 60, true);
        assert!(set.starts_with("embedder_session_7879=abc;"), "{set}");
        assert!(
            set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Secure")
        );
    }
}
