//! What a person sees and does.

use std::path::PathBuf;

use serde_json::json;

use crate::support::app::{App, wait_until, write_tree};
use crate::support::chromium::Chromium;
use crate::support::server::TestServer;

/// Keys of the protocol.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// A server with a folder that is indexed as `house`.
pub fn indexed() -> (App, TestServer, PathBuf) {
    indexed_with(&[])
}

/// The same with these flags.
pub fn indexed_with(flags: &[&str]) -> (App, TestServer, PathBuf) {
    let app = App::text_only();
    let server = TestServer::start(&app, flags, &[]);
    let folder = app.dir.path().canonicalize().unwrap().join("house");
    write_tree(
        &folder,
        &[
            (
                "src/lamp.py",
                "import power\n\n\ndef switch_on(lamp):\n    \"\"\"Lights the <lamp>.\"\"\"\n    lamp.light = True\n",
            ),
            (
                "src/door.py",
                "def open_door(door):\n    door.locked = False\n",
            ),
            ("keys/server.key", "-----BEGIN PRIVATE KEY-----\n"),
        ],
    );
    server.index("house", &folder);
    (app, server, folder)
}

/// Signs in by a one-time address, as `embedder open` does.
pub fn sign_in(browser: &Chromium, server: &TestServer) {
    let opened = server
        .post("/v1/admin/sessions", &json!({}))
        .with_status(201)
        .body;
    browser.open(&format!(
        "{}{}",
        server.url,
        opened["path"].as_str().unwrap()
    ));
    browser.wait_for("Sign out");
}

#[test]
fn a_person_signs_in_with_a_key_and_out_again() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    let (_app, server, _) = indexed();
    browser.open(&server.url);
    assert!(browser.url().ends_with("/sign-in"), "{}", browser.url());
    browser.picture("sign-in");
    browser.find("input[name=key]").write("emb_wrong_key");
    browser.find("button[type=submit]").click();
    browser.wait_for("does not open anything");
    browser.find("input[name=key]").write(&server.admin);
    browser.press(ENTER);
    browser.wait_for("Overview");
    assert_eq!(browser.url(), format!("{}/", server.url));
    let cookie = browser.run("return document.cookie");
    assert_eq!(cookie, "", "a script can read the session's cookie");
    browser.find(".who button").click();
    browser.wait_for("Sign in");
    browser.open(&server.url);
    assert!(browser.url().ends_with("/sign-in"), "{}", browser.url());
}

#[test]
fn five_seconds_tell_what_is_indexed_how_fresh_and_whether_anything_is_wrong() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    let (_app, server, _) = indexed();
    sign_in(&browser, &server);
    let text = browser.text();
    for part in [
        "house",
        "code",
        "1 skipped",
        "ago",
        "content store",
        "closed",
    ] {
        let is_there = text.contains(part) || text.contains(&part.replace(' ', "_"));
        assert!(is_there, "{part}: {text}");
    }
    // Without a model it says so, and that is the first thing to be read.
    let state = browser.find("#state").text();
    assert!(state.contains("Degraded"), "{state}");
    browser.prefer("light");
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(ground);
    browser.picture("overview-light");
    browser.prefer("dark");
    assert_ne!(browser.run(ground), light);
    browser.picture("overview-dark");
    browser.open(&format!("{}/collections/house", server.url));
    browser.wait_for("may hold secrets");
    let text = browser.text();
    assert!(text.contains("keys/server.key"), "{text}");
    assert!(!text.contains("BEGIN PRIVATE"), "{text}");
    browser.picture("collection");
}

#[test]
fn a_question_finds_a_place_that_can_be_opened_by_keyboard_alone() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    let (_app, server, _) = indexed();
    sign_in(&browser, &server);
    // The first stop leads over the head of the page.
    browser.press(TAB);
    assert_eq!(
        browser.run("return document.activeElement.className"),
        "skip"
    );
    browser.open(&format!("{}/search", server.url));
    assert_eq!(browser.run("return document.activeElement.name"), "q");
    browser.press("switch_on lamp");
    browser.press(ENTER);
    browser.wait_for("src/lamp.py:");
    let marked: Vec<String> = browser.all("mark").iter().map(|mark| mark.text()).collect();
    assert!(marked.contains(&"switch_on".to_owned()), "{marked:?}");
    // What a file says is text, and no part of the page.
    assert!(browser.text().contains("Lights the <lamp>."));
    browser.run("document.querySelector('.hits details summary').focus()");
    browser.press(ENTER);
    browser.wait_for("in all");
    browser.picture("search");
    browser.run("document.querySelector('.hits h3 a').focus()");
    browser.press(ENTER);
    browser.wait_for("as they were when they were indexed");
    let meant: Vec<String> = browser
        .all(".line.hit")
        .iter()
        .map(|line| line.text())
        .collect();
    assert!(
        meant.iter().any(|line| line.contains("def switch_on")),
        "{meant:?}"
    );
    browser.picture("file");
}

#[test]
fn a_job_is_watched_until_it_is_done_without_loading_the_page_again() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    let (app, server, _) = indexed();
    sign_in(&browser, &server);
    browser.run("window.sameAsBefore = true");
    let folder = app.dir.path().canonicalize().unwrap().join("second");
    for number in 0..500 {
        write_tree(
            &folder,
            &[(
                &format!("f{number}.rs"),
                &format!("pub fn f{number}() {{}}\n"),
            )],
        );
    }
    server.allow(&folder);
    server.begin_index("second", &folder);
    browser.wait_for("500 files read");
    wait_until("the collection is listed", || {
        !browser.all("a[href='/collections/second']").is_empty()
    });
    assert_eq!(browser.run("return window.sameAsBefore"), true);
    let elsewhere = browser.run(
        "return performance.getEntriesByType('resource').map(one => one.name)\
         .filter(name => !name.startsWith(location.origin))",
    );
    assert_eq!(elsewhere, json!([]));
    let console = browser.console();
    assert!(
        console
            .iter()
            .all(|line| !line.contains("Content Security Policy")),
        "{console:?}"
    );
}

#[test]
fn without_scripts_all_of_it_can_be_read_and_used() {
    let Some(browser) = Chromium::without_scripts() else {
        return;
    };
    let (_app, server, _) = indexed();
    browser.open(&server.url);
    browser.find("input[name=key]").write(&server.admin);
    browser.press(ENTER);
    browser.wait_for("Collections");
    assert!(browser.text().contains("house"));
    browser.find("a[href='/search']").click();
    browser.find("input[name=q]").write("open_door");
    browser.press(ENTER);
    browser.wait_for("src/door.py:");
    browser.find("a[href='/jobs']").click();
    assert!(server.log().lines().all(|line| !line.contains("/live")));
    browser.find("tbody a").click();
    browser.wait_for("Texts embedded");
    browser.find(".who button").click();
    browser.wait_for("Sign in");
}

#[test]
fn a_visitor_sees_what_their_key_may_see() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    let (_app, server, _) = indexed();
    server.make_documents("private");
    server.write("private", &[("a", "The password is swordfish.")]);
    let key = server.key(&["search", "collections:read"], Some(&["house"]));
    browser.open(&server.url);
    browser.find("input[name=key]").write(&key);
    browser.press(ENTER);
    browser.wait_for("Collections");
    let text = browser.text();
    assert!(
        text.contains("house") && !text.contains("private"),
        "{text}"
    );
    browser.open(&format!("{}/collections/private", server.url));
    browser.wait_for("private");
    assert!(browser.text().contains("That did not work"));
    browser.open(&format!("{}/search?q=swordfish", server.url));
    browser.wait_for("served by");
    assert!(!browser.text().contains("The password"));
}
