//! Which addresses a name leads to, and which of them may be connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::GitError;
use super::url::GitUrl;

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// The addresses of a host, all of which may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses(Vec<IpAddr>);

impl Addresses {
    /// Looks a host up. Where one of its addresses is not public, it must be among the hosts that are `private`.
    ///
    /// # Errors
    /// A host without an address; one that is not public and not allowed by its name.
    pub(super) async fn of(url: &GitUrl, private: &[String]) -> Result<Addresses, GitError> {
        let host = url.host().trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((host, url.port())).await;
        let found: Vec<SocketAddr> = found
            .map_err(|source| GitError::Lookup {
                host: host.to_owned(),
                source,
            })?
            .take(ADDRESSES_MAX)
            .collect();
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        let is_allowed = private.iter().any(|allowed| allowed == host);
        if !is_allowed && addresses.iter().any(|ip| !is_public(*ip)) {
            return Err(GitError::Private {
                host: host.to_owned(),
            });
        }
        if addresses.is_empty() {
            return Err(GitError::Lookup {
                host: host.to_owned(),
                source: std::io::Error::other("it has no address"),
            });
        }
        Ok(Addresses(addresses))
    }

    /// Returns the one that is tried first.
    pub(super) fn first(&self) -> IpAddr {
        self.0[0]
    }

    /// Returns them as libcurl wants them.
    pub(super) fn for_curl(&self) -> String {
        let written = self.0.iter().map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        written.collect::<Vec<_>>().join(",")
    }
}

/// Whether an address is one of the public internet: of the IANA special-purpose registries (RFC 6890 and later) nothing
/// that is not globally reachable, no multicast, and nothing that carries another address within.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, ..)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // Only 2000::/3 is given out; of that 2001::/23, documentation, 6to4 and 3fff::/20 are special.
    let is_given_out = a & 0xe000 == 0x2000;
    let is_special =
        (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    is_given_out && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_told_apart() {
        for public in [
            "8.8.8.8",
            "140.82.121.4",
            "172.32.0.1",
            "100.128.0.1",
            "2606:50c0:8000::153",
            "2a00:1450:4001::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::a00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:a00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[tokio::test]
    async fn a_private_host_must_be_allowed_by_its_name() {
        let url = GitUrl::parse("https://127.0.0.1:1/b").unwrap();
        let refused = Addresses::of(&url, &[]).await;
        assert!(matches!(refused, Err(GitError::Private { .. })));
        let others = ["127.0.0.2".to_owned()];
        assert!(Addresses::of(&url, &others).await.is_err());
        let allowed = ["127.0.0.1".to_owned()];
        let addresses = Addresses::of(&url, &allowed).await.unwrap();
        assert_eq!(addresses.for_curl(), "127.0.0.1");
    }
}
