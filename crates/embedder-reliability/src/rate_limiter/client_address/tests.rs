use proptest::prelude::*;

use super::*;

/// Our own proxies.
const TRUSTED: [&str; 3] = ["10.0.0.0/8", "::1", "2001:db8:ffff::/48"];

fn client(peer: &str, forwarded_for: &[&str], forwarded: &[&str]) -> String {
    let trusted = TRUSTED.map(|network| network.parse().unwrap());
    client_address(
        peer.parse().unwrap(),
        forwarded_for.iter().copied(),
        forwarded.iter().copied(),
        &trusted,
    )
    .to_string()
}

#[test]
fn a_peer_that_is_not_trusted_is_the_client_whatever_it_sends() {
    for header in ["203.0.113.1", "10.0.0.1", "::1", "unknown", ""] {
        assert_eq!(client("192.0.2.1", &[header], &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &[], &[header]), "192.0.2.1");
    }
    assert_eq!(
        client("::ffff:192.0.2.1", &["203.0.113.1"], &[]),
        "192.0.2.1"
    );
    assert_eq!(client("10.0.0.1", &[], &[]), "10.0.0.1");
}

#[test]
fn x_forwarded_for_is_read_from_the_right_up_to_the_first_stranger() {
    for (headers, expected) in [
        (&["203.0.113.1"] as &[&str], "203.0.113.1"),
        // What stands left of the client was sent by it.
        (&["1.2.3.4, 203.0.113.1"], "203.0.113.1"),
        (&["10.9.9.9, 203.0.113.1"], "203.0.113.1"),
        (&["unknown, 203.0.113.1"], "203.0.113.1"),
        (&["1.2.3.4", "203.0.113.1"], "203.0.113.1"),
        (&["203.0.113.1, 10.0.0.2,\t10.0.0.3"], "203.0.113.1"),
        (&["203.0.113.1, 10.0.0.2", "10.0.0.3"], "203.0.113.1"),
        (&["203.0.113.1:4711"], "203.0.113.1"),
        (&["::ffff:203.0.113.1"], "203.0.113.1"),
        (&["::ffff:10.0.0.2"], "10.0.0.1"),
        (&["2001:db8::1"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["[2001:db8::1]:4711"], "2001:db8::1"),
        (&["2001:db8::1, 2001:db8:ffff::7"], "2001:db8::1"),
        // Nobody is untrusted.
        (&["10.0.0.2"], "10.0.0.1"),
        // Somebody is not told.
        (&["203.0.113.1, unknown"], "10.0.0.1"),
        (&["203.0.113.1, _hidden, 10.0.0.2"], "10.0.0.1"),
        (&["203.0.113.1,"], "10.0.0.1"),
        (&["203.0.113.1", ""], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&["example.org"], "10.0.0.1"),
        (&["203.0.113.1 10.0.0.2"], "10.0.0.1"),
        (&["203.0.113.1:"], "10.0.0.1"),
        (&["203.0.113.1:65536"], "10.0.0.1"),
        (&["203.0.113.1:080"], "10.0.0.1"),
        (&["203.0.113.1:+80"], "10.0.0.1"),
        (&["203.0.113.01"], "10.0.0.1"),
        (&["203.0.113"], "10.0.0.1"),
        (&["[203.0.113.1]"], "10.0.0.1"),
        (&["[2001:db8::1"], "10.0.0.1"),
        (&["[2001:db8::1]4711"], "10.0.0.1"),
        (&["[fe80::1%1]:80"], "10.0.0.1"),
        (&["fe80::1%eth0"], "10.0.0.1"),
        (&["\"203.0.113.1\""], "10.0.0.1"),
        (&["\u{a0}203.0.113.1"], "10.0.0.1"),
    ] {
        assert_eq!(client("10.0.0.1", headers, &[]), expected, "{headers:?}");
    }
}

#[test]
fn forwarded_is_read_from_the_right_up_to_the_first_stranger() {
    for (headers, expected) in [
        (&["for=203.0.113.1"] as &[&str], "203.0.113.1"),
        (
            &["for=1.2.3.4, For=203.0.113.1;proto=https;by=10.0.0.1"],
            "203.0.113.1",
        ),
        (&["for=1.2.3.4", "for=203.0.113.1"], "203.0.113.1"),
        (&["for=203.0.113.1, for=10.0.0.2"], "203.0.113.1"),
        (&[r#"for="203.0.113.1:4711""#], "203.0.113.1"),
        (&[r#"for="[2001:db8::1]""#], "2001:db8::1"),
        (&[r#"for="[2001:db8::1]:4711""#], "2001:db8::1"),
        // A quotation mark that the client left open does not reach what the proxy wrote.
        (&[r#"for=", for=203.0.113.1"#], "203.0.113.1"),
        (&[r#"for="\", for=203.0.113.1"#], "203.0.113.1"),
        (
            &[r#"host="a, for=9.9.9.9", for=203.0.113.1"#],
            "203.0.113.1",
        ),
        (&["for=unknown"], "10.0.0.1"),
        (&["for=_hidden, for=10.0.0.2"], "10.0.0.1"),
        (&[r#"for="203.0.113.1:_port""#], "10.0.0.1"),
        (&[r#"for="2001:db8::1""#], "10.0.0.1"),
        (&["for=203.0.113.1:4711"], "10.0.0.1"),
        (&["for=203.0.113.1;for=203.0.113.2"], "10.0.0.1"),
        (&["proto=https"], "10.0.0.1"),
        (&["203.0.113.1"], "10.0.0.1"),
        (&["for=203.0.113.1,"], "10.0.0.1"),
    ] {
        assert_eq!(client("10.0.0.1", &[], headers), expected, "{headers:?}");
    }
}

#[test]
fn a_header_that_the_proxy_does_not_write_cannot_replace_the_one_it_does() {
    let (real, invented) = ("203.0.113.1", "1.2.3.4");
    let element = |address: &str| format!("for={address}");
    assert_eq!(client("10.0.0.1", &[real], &[&element(real)]), real);
    assert_eq!(
        client("10.0.0.1", &[real], &[&element(invented)]),
        "10.0.0.1"
    );
    assert_eq!(
        client("10.0.0.1", &[invented], &[&element(real)]),
        "10.0.0.1"
    );
    assert_eq!(client("10.0.0.1", &[real], &["unknown"]), "10.0.0.1");
    assert_eq!(
        client("10.0.0.1", &["unknown"], &[&element(real)]),
        "10.0.0.1"
    );
    assert_eq!(
        client("10.0.0.1", &["10.0.0.2"], &[&element(invented)]),
        "10.0.0.1"
    );
}

#[test]
fn no_more_than_ten_entries_are_looked_at() {
    let mut entries = vec!["203.0.113.1"];
    entries.resize(FORWARDED_ENTRIES_MAX, "10.0.0.2");
    assert_eq!(
        client("10.0.0.1", &[&entries.join(",")], &[]),
        "203.0.113.1"
    );
    assert_eq!(client("10.0.0.1", &entries, &[]), "203.0.113.1");
    entries.push("10.0.0.2");
    assert_eq!(client("10.0.0.1", &[&entries.join(",")], &[]), "10.0.0.1");
    assert_eq!(client("10.0.0.1", &entries, &[]), "10.0.0.1");
}

proptest! {
    #[test]
    fn no_header_panics_or_makes_a_stranger_somebody_else(one in "\\PC*", other in "\\PC*") {
        prop_assert_eq!(client("192.0.2.1", &[&one], &[&other]), "192.0.2.1");
        client("10.0.0.1", &[&one], &[&other]);
    }

    #[test]
    fn near_misses_do_not_panic(one in "[0-9a-f:.\\[\\], _]{0,60}", other in r#"[for=",;:1.\[\]]{0,60}"#) {
        client("10.0.0.1", &[&one], &[&other]);
        client("10.0.0.1", &[], &[&other]);
    }

    /// Rotation: whatever a client sends through a proxy that appends, it is counted by its own address, or with the proxy
    /// where the proxy's headers are not as they were.
    #[test]
    fn a_client_behind_a_proxy_cannot_be_somebody_else(
        bits: u128,
        v6: bool,
        port in prop::option::of(any::<u16>()),
        sent in "\\PC{0,40}",
        sent_elsewhere in "\\PC{0,40}",
    ) {
        let real = if v6 {
            IpAddr::from(bits.to_be_bytes())
        } else {
            IpAddr::from((bits as u32).to_be_bytes())
        };
        let (bare, quoted) = match (real, port) {
            (IpAddr::V4(real), None) => (real.to_string(), real.to_string()),
            (IpAddr::V4(real), Some(port)) => (format!("{real}:{port}"), format!("\"{real}:{port}\"")),
            (IpAddr::V6(real), None) => (real.to_string(), format!("\"[{real}]\"")),
            (IpAddr::V6(real), Some(port)) => (format!("[{real}]:{port}"), format!("\"[{real}]:{port}\"")),
        };
        let trusted = TRUSTED.map(|network| network.parse::<Network>().unwrap());
        prop_assume!(!trusted.iter().any(|network| network.contains(real)));
        let real = real.to_canonical().to_string();

        let appended = format!("{sent}, {bare}");
        prop_assert_eq!(client("10.0.0.1", &[&appended], &[]), real.clone());
        let counted = client("10.0.0.1", &[&appended], &[&sent_elsewhere]);
        prop_assert!(counted == real || counted == "10.0.0.1");

        let appended = format!("{sent}, for={quoted};by=10.0.0.1");
        prop_assert_eq!(client("10.0.0.1", &[], &[&appended]), real.clone());
        let counted = client("10.0.0.1", &[&sent_elsewhere], &[&appended]);
        prop_assert!(counted == real || counted == "10.0.0.1");
    }
}
