//! Networks, as settings name them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// Why a text names no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// What stands before the slash is no address.
    #[error("not an IP address")]
    Address,
    /// What stands behind the slash is no length that an address of this kind has.
    #[error("not a prefix length from 0 to {max}")]
    Prefix {
        /// The longest there is.
        max: u8,
    },
    /// Bits are set that the prefix does not cover, so one of the two is wrong.
    #[error("bits are set behind the first {prefix_bits}")]
    HostBits {
        /// The length of the prefix.
        prefix_bits: u8,
    },
}

impl Network {
    /// Returns whether an address is in it. An IPv4 address that is written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                masked_v4(address, self.prefix_bits) == network
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                masked_v6(address, self.prefix_bits) == network
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let max = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let prefix_bits = match prefix {
            Some(prefix) => decimal(prefix)
                .and_then(|bits| u8::try_from(bits).ok())
                .filter(|&bits| bits <= max)
                .ok_or(NetworkError::Prefix { max })?,
            None => max,
        };
        let network = match (address, address.to_canonical()) {
            // An IPv4 network that is written as IPv6: 96 bits of its prefix say so.
            (IpAddr::V6(_), IpAddr::V4(address)) if prefix_bits >= 96 => Network {
                address: IpAddr::V4(address),
                prefix_bits: prefix_bits - 96,
            },
            (address, _) => Network {
                address,
                prefix_bits,
            },
        };
        let masked = match network.address {
            IpAddr::V4(address) => IpAddr::V4(masked_v4(address, network.prefix_bits)),
            IpAddr::V6(address) => IpAddr::V6(masked_v6(address, network.prefix_bits)),
        };
        if masked != network.address {
            return Err(NetworkError::HostBits { prefix_bits });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_bits)
    }
}

/// Reads a whole number of digits alone: no sign, no zero before others, five digits at most.
pub(super) fn decimal(text: &str) -> Option<u32> {
    let plain = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

fn masked_v4(address: Ipv4Addr, prefix_bits: u8) -> Ipv4Addr {
    // A shift by all bits is none to the processor, so it is checked.
    let host = u32::MAX.checked_shr(prefix_bits.into()).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & !host)
}

fn masked_v6(address: Ipv6Addr, prefix_bits: u8) -> Ipv6Addr {
    let host = u128::MAX.checked_shr(prefix_bits.into()).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & !host)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_are_read_strictly() {
        let max_v4 = NetworkError::Prefix { max: 32 };
        let max_v6 = NetworkError::Prefix { max: 128 };
        for (text, expected) in [
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("192.0.2.1", Ok("192.0.2.1/32")),
            ("::1/128", Ok("::1/128")),
            ("::1", Ok("::1/128")),
            ("2001:DB8::/32", Ok("2001:db8::/32")),
            ("::/0", Ok("::/0")),
            ("::ffff:10.0.0.0/104", Ok("10.0.0.0/8")),
            ("::ffff:192.0.2.1", Ok("192.0.2.1/32")),
            ("::ffff:0:0/96", Ok("0.0.0.0/0")),
            ("10.0.0.1/8", Err(NetworkError::HostBits { prefix_bits: 8 })),
            (
                "2001:db8::1/64",
                Err(NetworkError::HostBits { prefix_bits: 64 }),
            ),
            (
                "::ffff:10.0.0.0/64",
                Err(NetworkError::HostBits { prefix_bits: 64 }),
            ),
            ("10.0.0.0/33", Err(max_v4)),
            ("10.0.0.0/", Err(max_v4)),
            ("10.0.0.0/+8", Err(max_v4)),
            ("10.0.0.0/08", Err(max_v4)),
            ("10.0.0.0/ 8", Err(max_v4)),
            ("10.0.0.0/8/8", Err(max_v4)),
            ("10.0.0.0/256", Err(max_v4)),
            ("::/129", Err(max_v6)),
            ("", Err(NetworkError::Address)),
            ("/8", Err(NetworkError::Address)),
            ("10.0.0/8", Err(NetworkError::Address)),
            ("010.0.0.0/8", Err(NetworkError::Address)),
            (" 10.0.0.0/8", Err(NetworkError::Address)),
            ("[::1]/128", Err(NetworkError::Address)),
            ("fe80::1%eth0", Err(NetworkError::Address)),
            ("example.org", Err(NetworkError::Address)),
        ] {
            let read = text.parse::<Network>().map(|network| network.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.0", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let read: Network = network.parse().unwrap();
            let address = address.parse().unwrap();
            assert_eq!(read.contains(address), expected, "{address} in {network}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<Network>();
        }

        #[test]
        fn near_misses_do_not_panic(text in "[0-9a-f:./ ]{0,24}") {
            let _ = text.parse::<Network>();
        }

        #[test]
        fn what_is_written_reads_the_same(bits: u128, v6: bool, prefix_bits in 0_u8..=128) {
            let network = if v6 {
                let address = masked_v6(Ipv6Addr::from_bits(bits), prefix_bits);
                Network { address: IpAddr::V6(address), prefix_bits }
            } else {
                let prefix_bits = prefix_bits / 4;
                let address = masked_v4(Ipv4Addr::from_bits(bits as u32), prefix_bits);
                Network { address: IpAddr::V4(address), prefix_bits }
            };
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.contains(network.address));
        }
    }
}
