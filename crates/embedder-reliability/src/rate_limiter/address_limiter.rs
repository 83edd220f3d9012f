//! A limit for each address, and one for the customers who have many.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use super::address::Site;
use super::{
    AddressKey, BYTES_MAX, KEYS_MAX, RateLimitConfig, RateLimitResult, RateLimiter,
    RateLimiterStats, TableSize,
};
use crate::Timestamp;

/// How many times the limit of an address a site may use, which has 65,536 of them.
pub const SITE_FACTOR: u32 = 16;

/// There are fewer sites than addresses, so theirs is the smaller part of the memory.
const SITE_BYTES_MAX: usize = BYTES_MAX / 8 * 3;
const ADDRESS_BYTES_MAX: usize = BYTES_MAX - SITE_BYTES_MAX;

/// Limits the addresses of clients: IPv4 addresses each for itself; IPv6 by their first 64 bits, and by their first 48 (a
/// site) at [`SITE_FACTOR`] times the limit. Both must admit; what one took is given back if the other refuses.
///
/// The two tables together stay within [`BYTES_MAX`].
#[derive(Debug)]
pub struct AddressLimiter {
    addresses: RateLimiter<AddressKey>,
    sites: RateLimiter<Site>,
}

impl AddressLimiter {
    /// Limits each address to this, hashed with a seed that nobody knows.
    pub fn new(config: RateLimitConfig) -> AddressLimiter {
        Self::with_hasher(config, RandomState::new())
    }

    /// Limits each address to this. The hasher must not be guessable by clients.
    pub fn with_hasher<S>(config: RateLimitConfig, hasher: S) -> AddressLimiter
    where
        S: BuildHasher + Clone + Send + Sync + 'static,
    {
        let size = |bytes_max| TableSize {
            keys_max: KEYS_MAX,
            bytes_max,
        };
        let of_sites = config.times(SITE_FACTOR);
        AddressLimiter {
            addresses: RateLimiter::with_size(config, size(ADDRESS_BYTES_MAX), hasher.clone()),
            sites: RateLimiter::with_size(of_sites, size(SITE_BYTES_MAX), hasher),
        }
    }

    /// Returns the limit of an address.
    pub fn config(&self) -> &RateLimitConfig {
        self.addresses.config()
    }

    /// Takes `cost` units for an address, or says when it could. What remains is what both limits leave.
    pub fn try_acquire_n(&self, address: IpAddr, now: Timestamp, cost: u32) -> RateLimitResult {
        let key = AddressKey::from(address);
        let Some(site) = key.site().filter(|_| self.is_admissible(cost)) else {
            return self.addresses.try_acquire_n(key, now, cost);
        };
        // The site comes first: the addresses of one that is exhausted find no way into the larger table.
        let of_site = self.sites.try_acquire_n(site, now, cost);
        if !of_site.is_allowed() {
            return of_site;
        }
        let of_address = self.addresses.try_acquire_n(key, now, cost);
        if !of_address.is_allowed() {
            self.sites.refund(site, now, now, cost);
        }
        tighter(of_address, of_site)
    }

    /// Returns what [`try_acquire_n`](Self::try_acquire_n) would say, and takes nothing.
    pub fn peek(&self, address: IpAddr, now: Timestamp, cost: u32) -> RateLimitResult {
        let key = AddressKey::from(address);
        let Some(site) = key.site().filter(|_| self.is_admissible(cost)) else {
            return self.addresses.peek(key, now, cost);
        };
        let of_site = self.sites.peek(site, now, cost);
        if !of_site.is_allowed() {
            return of_site;
        }
        tighter(self.addresses.peek(key, now, cost), of_site)
    }

    /// Gives back units that were taken at `taken_at`; see [`RateLimiter::refund`].
    pub fn refund(&self, address: IpAddr, taken_at: Timestamp, now: Timestamp, cost: u32) {
        let key = AddressKey::from(address);
        self.addresses.refund(key, taken_at, now, cost);
        if let Some(site) = key.site() {
            self.sites.refund(site, taken_at, now, cost);
        }
    }

    /// Returns the sums of both tables.
    pub fn stats(&self) -> RateLimiterStats {
        let (addresses, sites) = (self.addresses.stats(), self.sites.stats());
        RateLimiterStats {
            keys: addresses.keys + sites.keys,
            overflowed: addresses.overflowed + sites.overflowed,
            forgotten: addresses.forgotten + sites.forgotten,
        }
    }

    /// Whether an address is ever admitted with this. Where it is not, that is the answer, whatever the site has left.
    fn is_admissible(&self, cost: u32) -> bool {
        cost <= self.config().burst()
    }
}

/// The answer of an address, with less remaining if its site has less.
fn tighter(of_address: RateLimitResult, of_site: RateLimitResult) -> RateLimitResult {
    match (of_address, of_site) {
        (
            RateLimitResult::Allowed { remaining, .. },
            RateLimitResult::Allowed {
                remaining: of_site_remaining,
                ..
            },
        ) if of_site_remaining < remaining => of_site,
        (of_address, _) => of_address,
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
