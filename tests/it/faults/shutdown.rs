//! The server is asked to end while it has much to do.

use std::time::{Duration, Instant};

use super::rig::{QUICK, Rig};
use super::traffic::{self, Kind};
use crate::support::app::{App, wait_until};
use crate::support::server::{TestServer, encoded};

/// Two of each.
const CLIENTS: &[Kind] = &[
    Kind::Search,
    Kind::Embed,
    Kind::Write,
    Kind::Write,
    Kind::Embed,
    Kind::Search,
];

/// How often a load balancer looks.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

#[test]
fn clients_behind_a_load_balancer_notice_nothing_of_an_end_under_load() {
    let Some(app) = App::with_model() else { return };
    let mut rig = Rig::start(&app, &[("EMBEDDER_SERVER_NOTICE_S", "3")]);
    let all = traffic::during(&rig.server, CLIENTS, |traffic| {
        traffic.goes_on(10);
        rig.server.sigterm();
        let told = Instant::now();
        wait_until("it is not ready", || rig.readiness() == 503);
        // The load balancer has just looked, and goes on sending until it looks again.
        traffic.goes_on(1);
        wait_until("the load balancer looks", || told.elapsed() >= LOOKS_EVERY);
        traffic.ends();
        // Until the end probes are answered, and say what is going on.
        assert_eq!(rig.readiness(), 503);
    });
    traffic::assert_all_went_well(&all);
    assert_eq!(rig.server.wait().code(), Some(0), "{}", rig.server.log());
    for kind in [Kind::Search, Kind::Embed, Kind::Write] {
        assert!(all.iter().filter(|told| told.kind == kind).count() >= 22);
    }

    // Everything that was acknowledged is there, is found, and has its vector in the end.
    let server = TestServer::start(&app, &[], QUICK);
    let written: Vec<_> = all
        .iter()
        .filter_map(|told| told.document.as_ref())
        .collect();
    for (id, text) in &written {
        let path = format!("/v1/collections/notes/documents/{}", encoded(id));
        assert_eq!(server.get(&path).ok()["text"], text.as_str());
    }
    let (last, _) = written.last().unwrap();
    assert!(server.find("notes", &traffic::invoice(last)).contains(last));
    let counts = || server.get("/v1/collections/notes").ok()["counts"].clone();
    // Three were there before.
    assert_eq!(counts()["files"], written.len() + 3);
    wait_until("all vectors are there", || {
        let counts = counts();
        counts["embedded"] == counts["chunks"]
    });
    server.stop();
}
