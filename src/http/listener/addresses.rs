//! How many connections there are, in all and of each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Limits, RefuseReason};

/// Counts the connections of a listener. It holds an entry for each address that is connected now, so it is as bounded
/// as the connections are.
#[derive(Debug)]
pub(super) struct Addresses {
    table: Mutex<Table>,
    total_max: usize,
    per_address_max: usize,
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Arc<Addresses>,
    block: Block,
}

/// Addresses that count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Block {
    V4(Ipv4Addr),
    /// The first 64 bits: a host has all addresses of such a network to itself.
    V6(u64),
}

#[derive(Debug, Default)]
struct Table {
    total: usize,
    by_block: HashMap<Block, usize>,
}

impl Addresses {
    pub(super) fn new(limits: &Limits) -> Arc<Addresses> {
        Arc::new(Addresses {
            table: Mutex::default(),
            total_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
        })
    }

    /// Takes a place for a connection of this address, or says which limit is reached.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Place, RefuseReason> {
        let block = Block::of(address);
        let mut table = self.lock();
        let connected = table.by_block.get(&block).copied().unwrap_or_default();
        if connected >= self.per_address_max {
            return Err(RefuseReason::Address);
        }
        if table.total >= self.total_max {
            return Err(RefuseReason::Total);
        }
        table.total += 1;
        table.by_block.insert(block, connected + 1);
        Ok(Place {
            addresses: Arc::clone(self),
            block,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.addresses.lock();
        table.total -= 1;
        if let Some(connected) = table.by_block.get_mut(&self.block) {
            *connected -= 1;
            if *connected == 0 {
                table.by_block.remove(&self.block);
            }
        }
    }
}

impl Block {
    fn of(address: IpAddr) -> Block {
        match address.to_canonical() {
            IpAddr::V4(address) => Block::V4(address),
            IpAddr::V6(address) => Block::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(total: usize, per_address: usize) -> Arc<Addresses> {
        Addresses::new(&Limits {
            connections_max: total,
            connections_per_address_max: per_address,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_of_one_host_count_together() {
        let check = |one: &str, other: &str, is_same: bool| {
            assert_eq!(
                Block::of(ip(one)) == Block::of(ip(other)),
                is_same,
                "{one} and {other}"
            );
        };
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", true);
        check("2001:db8:1:2::1", "2001:db8:1:3::1", false);
        check("::ffff:192.0.2.1", "::1", false);
    }

    #[test]
    fn each_limit_refuses_with_its_reason_and_a_dropped_place_is_free_again() {
        let addresses = addresses(3, 2);
        let first = addresses.admit(ip("192.0.2.1")).unwrap();
        let _second = addresses.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(
            addresses.admit(ip("192.0.2.1")).unwrap_err(),
            RefuseReason::Address
        );
        let _third = addresses.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(
            addresses.admit(ip("192.0.2.3")).unwrap_err(),
            RefuseReason::Total
        );
        drop(first);
        addresses.admit(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn nothing_is_remembered_of_addresses_that_left() {
        let addresses = addresses(10, 10);
        let places: Vec<_> = ["192.0.2.1", "2001:db8::1", "192.0.2.1"]
            .map(|text| addresses.admit(ip(text)).unwrap())
            .into();
        assert_eq!(addresses.lock().by_block.len(), 2);
        drop(places);
        let table = addresses.lock();
        assert!(table.by_block.is_empty());
        assert_eq!(table.total, 0);
    }
}
