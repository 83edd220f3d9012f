//! Whether the settings leave the server open to others by accident.

use std::net::SocketAddr;

use super::Options;
use crate::config::Config;
use crate::error::{Error, Result};

/// Refuses what would leave the server open to others by accident.
pub(super) fn check_exposure(config: &Config, options: &Options) -> Result<()> {
    let server = &config.server;
    let is_open = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    let refuse = |problem: &str, remedy: &str| {
        Err(Error::Argument {
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        })
    };
    let ops_open = server.ops_listen.as_ref().is_some_and(is_open);
    if options.no_auth && (is_open(&server.listen) || ops_open) {
        return refuse(
            "--no-auth with an address that others can reach",
            "listen on 127.0.0.1, or leave --no-auth away",
        );
    }
    if is_open(&server.listen) && server.tls.is_none() && !server.insecure {
        return refuse(
            "keys would cross the network unencrypted",
            "set server.tls_cert and server.tls_key, listen on 127.0.0.1, or pass --insecure where something else encrypts",
        );
    }
    if ops_open && !server.insecure {
        return refuse(
            "the ops listener speaks no TLS and others could reach it",
            "let ops.listen be on 127.0.0.1, or pass --insecure where the network is trusted",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn options(no_auth: bool) -> Options {
        Options {
            no_auth,
            ..Options::default()
        }
    }

    fn check(settings: &[(&str, &str)], no_auth: bool, expected: bool) {
        let flags: BTreeMap<String, String> = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let environment = BTreeMap::from([("HOME".to_owned(), "/nonexistent".to_owned())]);
        let config = Config::load(flags, &environment).unwrap();
        let checked = check_exposure(&config, &options(no_auth));
        assert_eq!(checked.is_ok(), expected, "{settings:?} {no_auth}");
    }

    #[test]
    fn nothing_is_open_to_others_by_accident() {
        let open = ("server.listen", "0.0.0.0:7878");
        let tls = [
            ("server.tls_cert", "cert.pem"),
            ("server.tls_key", "key.pem"),
        ];
        check(&[], false, true);
        check(&[], true, true);
        check(&[open], false, false);
        check(&[("server.listen", "[::]:7878")], false, false);
        check(&[("server.listen", "[::1]:7878")], true, true);
        check(&[open, tls[0], tls[1]], false, true);
        check(&[open, tls[0], tls[1]], true, false);
        check(&[open, ("server.insecure", "1")], false, true);
        check(&[open, ("server.insecure", "1")], true, false);
        check(&[("ops.listen", "0.0.0.0:9091")], false, false);
        check(
            &[("ops.listen", "0.0.0.0:9091"), ("server.insecure", "1")],
            false,
            true,
        );
        check(
            &[("ops.listen", "0.0.0.0:9091"), ("server.insecure", "1")],
            true,
            false,
        );
    }
}
