use std::hash::{BuildHasherDefault, DefaultHasher};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::*;
use crate::rate_limiter::RateLimitAlgorithm;

fn limiter(limit: u32) -> AddressLimiter {
    let algorithm = RateLimitAlgorithm::TokenBucket;
    let config = RateLimitConfig::try_new(algorithm, limit, Duration::from_secs(1), None).unwrap();
    AddressLimiter::with_hasher(config, BuildHasherDefault::<DefaultHasher>::default())
}

/// A host in a network of a site.
fn v6(site: u16, network: u16, host: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, host).into()
}

const NOW: Timestamp = Timestamp::ZERO;

#[test]
fn a_host_cannot_get_more_by_changing_its_address() {
    let limiter = limiter(5);
    let admitted = (0..1_000)
        .filter(|&host| limiter.try_acquire_n(v6(1, 1, host), NOW, 1).is_allowed())
        .count();
    assert_eq!(admitted, 5);
}

#[test]
fn a_site_has_sixteen_times_as_much_for_all_its_networks() {
    let limiter = limiter(5);
    let admitted = (0..1_000)
        .filter(|&network| {
            limiter
                .try_acquire_n(v6(1, network, 1), NOW, 1)
                .is_allowed()
        })
        .count();
    assert_eq!(admitted, 5 * SITE_FACTOR as usize);
    // Nobody of a site that is exhausted takes a place in the table of addresses; other sites go on.
    assert_eq!(limiter.stats().keys, 5 * SITE_FACTOR as usize + 1);
    assert!(limiter.try_acquire_n(v6(2, 1, 1), NOW, 5).is_allowed());
}

#[test]
fn v4_addresses_are_each_for_themselves() {
    let limiter = limiter(5);
    for host in 0..=255 {
        let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, host));
        assert!(limiter.try_acquire_n(address, NOW, 5).is_allowed());
        let mapped = IpAddr::from(Ipv4Addr::new(192, 0, 2, host).to_ipv6_mapped());
        assert!(!limiter.try_acquire_n(mapped, NOW, 1).is_allowed());
    }
    assert_eq!(limiter.stats().keys, 256);
}

#[test]
fn what_an_address_is_refused_its_site_gets_back() {
    let limiter = limiter(5);
    for _ in 0..1_000 {
        limiter.try_acquire_n(v6(1, 1, 1), NOW, 1);
    }
    let all_the_rest = (2..17)
        .filter(|&network| {
            limiter
                .try_acquire_n(v6(1, network, 1), NOW, 5)
                .is_allowed()
        })
        .count();
    assert_eq!(all_the_rest, 15);
}

#[test]
fn what_is_given_back_is_given_back_to_both() {
    let limiter = limiter(5);
    for network in 0..16 {
        assert!(
            limiter
                .try_acquire_n(v6(1, network, 1), NOW, 5)
                .is_allowed()
        );
    }
    assert!(!limiter.peek(v6(1, 0, 1), NOW, 1).is_allowed());
    limiter.refund(v6(1, 0, 1), NOW, NOW, 5);
    assert!(limiter.peek(v6(1, 0, 1), NOW, 5).is_allowed());
    assert!(limiter.try_acquire_n(v6(1, 0, 1), NOW, 5).is_allowed());
    assert!(!limiter.peek(v6(1, 99, 1), NOW, 1).is_allowed());
}

#[test]
fn what_remains_is_what_both_leave() {
    let limiter = limiter(5);
    let remaining = |network, cost| match limiter.try_acquire_n(v6(1, network, 1), NOW, cost) {
        RateLimitResult::Allowed { remaining, .. } => remaining,
        refusal @ (RateLimitResult::Limited { .. } | RateLimitResult::TooLarge { .. }) => {
            panic!("{refusal:?}")
        }
    };
    assert_eq!(remaining(1, 2), 3);
    for network in 2..17 {
        assert_eq!(remaining(network, 5), 0);
    }
    // The site has three of its eighty left.
    assert_eq!(remaining(17, 1), 2);
}

#[test]
fn what_no_address_is_admitted_is_too_large() {
    let limiter = limiter(5);
    let too_large = RateLimitResult::TooLarge { max: 5 };
    for network in 0..17 {
        assert_eq!(limiter.peek(v6(1, network, 1), NOW, 6), too_large);
        assert_eq!(limiter.try_acquire_n(v6(1, network, 1), NOW, 6), too_large);
        limiter.try_acquire_n(v6(1, network, 1), NOW, 5);
    }
    assert_eq!(limiter.peek(v6(1, 99, 1), NOW, 6), too_large);
}
