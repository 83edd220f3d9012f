//! What a server says of itself in its data directory.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

use super::unavailable;
use crate::error::{Error, Result};

/// The file's name.
pub const FILE_NAME: &str = "server.json";

/// What a server says of itself. What another version adds is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Announcement {
    /// Its process id.
    pub(super) pid: u32,
    /// Where it listens.
    url: String,
    /// Its version.
    pub(super) version: String,
    /// The certificate that it shows, where it speaks TLS.
    #[serde(default)]
    pub(super) tls_cert: Option<PathBuf>,
    /// Whether a program started it for itself and others, and nobody by hand.
    #[serde(default)]
    pub(super) is_for_clients: bool,
}

impl Announcement {
    /// Reads what the server of a data directory says; none where no server lives: `writer`, the process that holds the
    /// directory's lock, is then another one or none at all.
    ///
    /// # Errors
    /// A file that cannot be read or is not a server's.
    pub(super) fn of(data_dir: &Path, writer: Option<u32>) -> Result<Option<Announcement>> {
        let Some(writer) = writer else {
            return Ok(None);
        };
        let path = data_dir.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let announcement: Announcement =
            serde_json::from_slice(&bytes).map_err(|_| malformed(&path))?;
        Ok((announcement.pid == writer).then_some(announcement))
    }

    /// Refuses a server of another version than this program: neither knows what the other means.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::ServerUnavailable`].
    pub(super) fn check_version(&self) -> Result<()> {
        let own = env!("CARGO_PKG_VERSION");
        if self.version == own {
            return Ok(());
        }
        Err(unavailable(
            format!(
                "the server of this data directory (process {}) is version {}, this program is {own}",
                self.pid, self.version
            ),
            format!(
                "restart the server with this program: `kill {}`, then `embedder serve`",
                self.pid
            ),
        ))
    }

    /// Whether it is of an older version than this program.
    pub(super) fn is_older(&self) -> bool {
        numbers(&self.version) < numbers(env!("CARGO_PKG_VERSION"))
    }

    /// Returns where the server is reached from this machine.
    ///
    /// # Errors
    /// What is not the address of a server.
    pub(super) fn url(&self) -> Result<Url> {
        let url = Url::parse(&self.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut url = url.ok_or_else(|| malformed(Path::new(FILE_NAME)))?;
        let host = url.host_str().unwrap_or_default();
        // A server that listens everywhere is reached on loopback.
        let loopback = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) if address.is_unspecified() => {
                IpAddr::from(Ipv4Addr::LOCALHOST)
            }
            Ok(IpAddr::V6(address)) if address.is_unspecified() => {
                IpAddr::from(Ipv6Addr::LOCALHOST)
            }
            _ => return Ok(url),
        };
        url.set_ip_host(loopback)
            .expect("an http address may have any host");
        Ok(url)
    }
}

/// Returns the numbers of a version, by which versions are ordered.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(|c: char| !c.is_ascii_digit());
    parts.take(3).filter_map(|part| part.parse().ok()).collect()
}

fn malformed(path: &Path) -> Error {
    unavailable(
        format!("{} does not tell of a server", path.display()),
        "restart the server: it writes the file anew".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn announced(url: &str) -> Announcement {
        Announcement {
            pid: 7,
            url: url.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tls_cert: None,
            is_for_clients: false,
        }
    }

    #[test]
    fn a_server_lives_only_as_long_as_it_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let of = |writer| Announcement::of(dir.path(), writer);
        assert_eq!(of(Some(7)).unwrap(), None);
        let text =
            r#"{"pid":7,"url":"http://127.0.0.1:1","version":"0.0.0","started_ms":1,"new":[]}"#;
        std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
        assert_eq!(of(None).unwrap(), None);
        assert_eq!(of(Some(8)).unwrap(), None);
        assert_eq!(of(Some(7)).unwrap().unwrap().url, "http://127.0.0.1:1");
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        assert!(numbers("0.9.0") < numbers("0.10.0"));
        assert!(numbers("1.0.0") < numbers("1.0.1-beta"));
        assert!(numbers("") < numbers("0.0.1"));
        assert!(!announced("http://127.0.0.1:1").is_older());
    }

    #[test]
    fn a_file_that_is_no_servers_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{", "[]", r#"{"pid":"7"}"#] {
            std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
            let error = Announcement::of(dir.path(), Some(7)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ServerUnavailable, "{text}");
            assert!(error.to_string().contains(FILE_NAME), "{error}");
            assert!(Announcement::of(dir.path(), None).unwrap().is_none());
        }
    }

    #[test]
    fn another_version_is_told_with_both() {
        let own = env!("CARGO_PKG_VERSION");
        assert!(announced("").check_version().is_ok());
        let other = Announcement {
            version: "99.0.1".to_owned(),
            ..announced("")
        };
        let error = other.check_version().unwrap_err();
        assert_eq!(error.code(), ErrorCode::ServerUnavailable);
        assert_eq!(
            error.to_string(),
            format!(
                "the server of this data directory (process 7) is version 99.0.1, this program is {own}"
            )
        );
        assert!(error.remedy().unwrap().contains("restart the server"));
    }

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_loopback() {
        let check = |url: &str, expected: &str| {
            assert_eq!(announced(url).url().unwrap().as_str(), expected, "{url}");
        };
        check("http://127.0.0.1:7878", "http://127.0.0.1:7878/");
        check("http://0.0.0.0:7878", "http://127.0.0.1:7878/");
        check("https://[::]:7878", "https://[::1]:7878/");
        check("https://192.0.2.1:443", "https://192.0.2.1/");
        for url in ["", "127.0.0.1:7878", "file:///etc", "unix:/run/x"] {
            let error = announced(url).url().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ServerUnavailable, "{url}");
        }
    }
}
