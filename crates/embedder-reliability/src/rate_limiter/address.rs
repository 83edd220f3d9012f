//! Network addresses as keys.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use super::RateLimitKey;

/// Addresses that count as one caller: an IPv4 address, or the first 64 bits of an IPv6 address, since a single host has all
/// addresses of such a network to itself.
///
/// An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
// Packed, because a table has many of them: 12 bytes instead of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub struct AddressKey {
    bits: u64,
    family: Family,
}

/// Addresses that one network operator is likely to have given to one customer: the first 24 bits of an IPv4 address, or
/// the first 48 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressGroup {
    bits: u64,
    family: Family,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
}

/// The first 48 bits of an IPv6 address: what a customer gets who asks for many networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Site(u64);

impl AddressKey {
    /// Returns the site that an IPv6 address is of.
    pub(super) fn site(&self) -> Option<Site> {
        let group = self.group();
        match group.family {
            Family::V4 => None,
            Family::V6 => Some(Site(group.bits)),
        }
    }
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> AddressKey {
        match address.to_canonical() {
            IpAddr::V4(address) => AddressKey {
                bits: address.to_bits().into(),
                family: Family::V4,
            },
            IpAddr::V6(address) => AddressKey {
                bits: (address.to_bits() >> 64) as u64,
                family: Family::V6,
            },
        }
    }
}

/// The bits alone, which one step of the hash takes in. Of the other family at most one address has the same.
impl Hash for AddressKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.bits);
    }
}

impl RateLimitKey for AddressKey {
    type Group = AddressGroup;

    fn group(&self) -> AddressGroup {
        AddressGroup {
            bits: match self.family {
                Family::V4 => self.bits >> 8,
                Family::V6 => self.bits >> 16,
            },
            family: self.family,
        }
    }
}

impl RateLimitKey for Site {
    /// The first 32 bits, which is what a network operator has in all.
    type Group = u64;

    fn group(&self) -> u64 {
        self.0 >> 16
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn key(address: &str) -> AddressKey {
        AddressKey::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_host_is_one_key() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            // A compatible address, without the ffff, is no IPv4 address.
            ("::192.0.2.1", "192.0.2.1", false),
            ("0.0.0.0", "::", false),
        ] {
            assert_eq!(key(one) == key(other), same, "{one} and {other}");
        }
    }

    #[test]
    fn a_customer_is_one_group() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.255", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("2001:db8:1:2::1", "2001:db8:1:ffff::1", true),
            ("2001:db8:1:2::1", "2001:db8:2:2::1", false),
        ] {
            let groups = (key(one).group(), key(other).group());
            assert_eq!(groups.0 == groups.1, same, "{one} and {other}");
        }
        assert_eq!(key("192.0.2.1").site(), None);
        assert_eq!(key("2001:db8:1:2::1").site(), Some(Site(0x2001_0db8_0001)));
    }
}
