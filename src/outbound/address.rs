//! Addresses that never leave this machine.

use reqwest::Url;

/// Whether an address is this machine's own, where a proxy could not reach it.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_recognised() {
        let loopback = |text: &str| is_loopback(&Url::parse(text).unwrap());
        assert!(
            loopback("http://127.0.0.1:80/")
                && loopback("http://localhost/")
                && loopback("http://[::1]/")
        );
        assert!(!loopback("https://huggingface.co/") && !loopback("http://10.0.0.1/"));
    }
}
