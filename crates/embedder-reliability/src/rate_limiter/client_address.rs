//! Who the client is when requests come through proxies.

use std::net::{IpAddr, Ipv6Addr};

use super::Network;
use super::forwarded::{split_from_right, value_of_for};
use super::network::decimal;

/// Entries of a forwarding header that are looked at, from the right. Nobody has a longer chain of proxies of their own.
pub const FORWARDED_ENTRIES_MAX: usize = 10;

/// Returns the address that a request counts for.
///
/// That is the peer of the socket, unless it is a trusted proxy. Then each entry of `X-Forwarded-For` was written by the
/// proxy whose address the entry to its right is, the last by the peer; so going from the right, the first that is not
/// itself trusted is the client, and what stands left of it is the client's own invention. `Forwarded` (RFC 7239) is
/// read in the same way. A client can send the one of the two that the proxy does not write, so where both are there
/// they must agree.
///
/// Where there is no answer, it is the peer: no entry that is untrusted among the last [`FORWARDED_ENTRIES_MAX`], an entry
/// on the way that is no address (`unknown`, `_hidden`, a host name), headers that disagree. What a client sends can thus
/// make it count with the proxy, but never for somebody else.
///
/// Both headers are their values in order of appearance; one that is no text is passed as an empty one. The address is
/// IPv4 where it can be. Proxies must append to what they receive, or replace it.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[Network],
) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let forwarded_for = forwarded_for
        .rev()
        .flat_map(|value| value.rsplit(','))
        .map(|entry| address_of(entry.trim_matches(OWS), Style::Bare));
    let forwarded = forwarded
        .rev()
        .flat_map(|value| split_from_right(value, ','))
        .map(|element| address_of(value_of_for(element)?, Style::Bracketed));
    let claims = (
        Claim::of(forwarded_for, is_trusted),
        Claim::of(forwarded, is_trusted),
    );
    match claims {
        (Claim::Client(client), Claim::Absent) | (Claim::Absent, Claim::Client(client)) => client,
        (Claim::Client(one), Claim::Client(other)) if one == other => one,
        (Claim::Client(_), Claim::Client(_) | Claim::Unusable)
        | (Claim::Unusable, _)
        | (Claim::Absent, Claim::Absent | Claim::Unusable) => peer,
    }
}

/// White space that may surround entries.
pub(super) const OWS: [char; 2] = [' ', '\t'];

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// There is no such header.
    Absent,
    /// Nothing that can be relied on.
    Unusable,
    /// Who the client is.
    Client(IpAddr),
}

impl Claim {
    /// The first untrusted address, going from the right; `None` is an entry that is none.
    fn of(
        entries: impl Iterator<Item = Option<IpAddr>>,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Claim {
        let mut claim = Claim::Absent;
        for entry in entries.take(FORWARDED_ENTRIES_MAX) {
            match entry {
                Some(address) if is_trusted(address) => claim = Claim::Unusable,
                Some(address) => return Claim::Client(address),
                None => return Claim::Unusable,
            }
        }
        claim
    }
}

/// How an IPv6 address stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As it is, or in brackets.
    Bare,
    /// Always in brackets.
    Bracketed,
}

/// Reads an address, with or without a port.
fn address_of(text: &str, style: Style) -> Option<IpAddr> {
    let (address, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':')?),
        };
        (IpAddr::V6(address.parse().ok()?), port)
    } else if let (Style::Bare, Ok(address)) = (style, text.parse::<Ipv6Addr>()) {
        (IpAddr::V6(address), None)
    } else {
        let (address, port) = match text.split_once(':') {
            Some((address, port)) => (address, Some(port)),
            None => (text, None),
        };
        (IpAddr::V4(address.parse().ok()?), port)
    };
    port.is_none_or(is_port).then(|| address.to_canonical())
}

fn is_port(text: &str) -> bool {
    decimal(text).is_some_and(|port| port <= u16::MAX.into())
}

#[cfg(all(test, not(loom)))]
mod tests;
