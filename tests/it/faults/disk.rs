//! The disk fails, fills up, or is slow.

use serde_json::json;

use super::rig::Rig;
use crate::support::app::{App, wait_until};
use crate::support::disk::{DiskFaults, SmallDisk};
use crate::support::server::TestServer;

#[test]
fn after_a_failed_flush_nothing_is_acknowledged_until_the_store_was_opened_anew() {
    let Some(app) = App::with_model() else { return };
    let Some(faults) = DiskFaults::new(&app.data_dir()) else {
        return;
    };
    let rig = Rig::start(&app, &faults.env());
    faults.fail_fsync(libc::EIO);
    let refused = rig.write("lost.md", "Nobody was told that this is kept.");
    assert!(refused.status >= 500, "{}", refused.status);
    let stopped = rig.write("lost-too.md", "Nor this.");
    assert!(stopped.status >= 500, "{}", stopped.status);
    // Reading goes on.
    rig.assert_whole();
    rig.embed().with_status(200);
    wait_until("health has noticed", || rig.health() == "Unhealthy");
    faults.heal();
    wait_until("documents are taken again", || {
        rig.write("kept.md", "The disk is well again.").status == 200
    });
    rig.assert_recovers();
    assert_eq!(rig.server.find("notes", "disk"), ["kept.md"]);
    let reopened = "embedder_recoveries_total{dependency=\"content_store\",outcome=\"recovered\"}";
    assert!(rig.metric(reopened) >= 1.0);
    // What was acknowledged is there after a crash.
    rig.server.kill9();
    let server = crate::support::server::TestServer::start(&app, &[], super::rig::QUICK);
    assert_eq!(server.find("notes", "disk"), ["kept.md"]);
}

#[test]
fn a_key_that_was_acknowledged_is_there_whatever_the_disk_does() {
    let app = App::text_only();
    let Some(faults) = DiskFaults::new(&app.data_dir()) else {
        return;
    };
    let server = TestServer::start(&app, &[], &faults.env());
    let make = |name: &str| {
        let body = json!({"name": name, "scopes": ["search"]});
        server.post("/v1/admin/keys", &body)
    };
    make("before").with_status(201);
    faults.fail_fsync(libc::EIO);
    for name in ["lost", "lost too"] {
        let refused = make(name);
        assert!(refused.status >= 500, "{}", refused.status);
        assert!(
            !refused.body.to_string().contains("hub.db"),
            "{}",
            refused.body
        );
    }
    // Who was there before is served.
    server.get("/v1/collections").with_status(200);
    faults.heal();
    make("after").with_status(201);
    server.kill9();
    let server = TestServer::start(&app, &[], &[]);
    let list = server.get("/v1/admin/keys").ok();
    let keys = list["keys"].as_array().unwrap();
    for name in ["before", "after"] {
        assert!(keys.iter().any(|key| key["name"] == name), "{list}");
    }
    let verified = server.get("/v1/admin/audit/verify").ok();
    assert_eq!(verified["is_whole"], true, "{verified}");
}

#[test]
fn a_full_disk_refuses_writes_and_answers_everything_else() {
    let Some(app) = App::with_model() else { return };
    let Some(disk) = SmallDisk::at(&app.data_dir(), 64) else {
        return;
    };
    let rig = Rig::start(&app, &[]);
    disk.fill();
    let text = "word ".repeat(20_000);
    rig.write("large.md", &text).problem(507, "disk_full");
    rig.assert_whole();
    rig.embed().with_status(200);
    assert_eq!(rig.readiness(), 200, "it can be read");
    wait_until("health has noticed", || rig.health() == "Degraded");
    disk.free();
    wait_until("documents are taken again", || {
        rig.write("kept.md", "There is room again.").status == 200
    });
    rig.assert_recovers_on_a_small_disk();
}

#[test]
fn a_slow_disk_makes_writes_slow_and_nothing_else() {
    let Some(app) = App::with_model() else { return };
    let Some(faults) = DiskFaults::new(&app.data_dir()) else {
        return;
    };
    let rig = Rig::start(&app, &faults.env());
    faults.slow(200);
    rig.write("slow.md", "It took a while.").with_status(200);
    // Its vector takes as long.
    rig.wait_for_vectors();
    rig.assert_whole();
    rig.search(&json!({"mode": "literal"})).with_status(200);
    faults.heal();
    rig.assert_recovers();
}
