//! What a page of another site can make a signed-in browser do: nothing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::pages::{indexed, indexed_with, sign_in};
use crate::support::app::wait_until;
use crate::support::chromium::Chromium;

/// Serves a page of another site, and returns its port.
fn evil(page: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let page = page.clone();
            // A browser may open a connection that it does not use.
            thread::spawn(move || {
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    page.len()
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(page.as_bytes());
            });
        }
    });
    port
}

#[test]
fn a_form_of_another_site_is_refused() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    let (_app, server, _) = indexed();
    sign_in(&browser, &server);
    for (action, fields) in [
        ("/sign-out", "<input name=csrf value=guessed>"),
        ("/sign-in", "<input name=key value=emb_attackers_key>"),
        ("/jobs/job_1/cancel", "<input name=csrf value=guessed>"),
        ("/v1/search", "<input name='{\"query\":\"' value='x\"}'>"),
    ] {
        let page = format!(
            "<form id=f method=post enctype=text/plain action='{}{action}'>{fields}</form>\
             <script>document.getElementById('f').submit()</script>",
            server.url
        );
        let port = evil(page);
        browser.open(&format!("http://evil.example:{port}/"));
        browser.wait_for("another site");
        browser.open(&server.url);
        browser.wait_for("Sign out");
    }
}

#[test]
fn a_script_of_another_site_reads_nothing_and_shows_nothing() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    let (_app, server, _) = indexed();
    sign_in(&browser, &server);
    let page = format!(
        "<p id=said>waiting</p><img id=image src='{0}/v1/whoami'><script>\
         fetch('{0}/v1/collections', {{credentials: 'include', mode: 'no-cors'}})\
         .then(() => said.textContent = 'answered').catch(() => said.textContent = 'nothing')</script>",
        server.url
    );
    let port = evil(page);
    browser.open(&format!("http://evil.example:{port}/"));
    // The browser asked, and was refused: what came back says so to nobody but its console.
    browser.wait_for("answered");
    browser.wait_for_console("the refusal of the request", |line| {
        line.contains("/v1/collections") && line.contains("403")
    });

    let port = evil(format!(
        "<iframe src='{0}/' width=800 height=600></iframe>",
        server.url
    ));
    browser.open(&format!("http://evil.example:{port}/"));
    browser.wait_for_console("the refusal to be framed", |line| {
        line.contains("403") || line.contains("frame")
    });
    // Until the browser has given up the frame, what is in it is an empty document of the page around it.
    let is_foreign = "const frame = document.querySelector('iframe'); \
                      try { return frame.contentDocument === null; } catch { return true; }";
    wait_until("a frame whose content is another's", || {
        browser.run(is_foreign) == true
    });
}

#[test]
fn a_name_that_was_made_to_lead_here_is_refused() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    // Everybody sees everything there, by one of its own names.
    let (_app, server, _) = indexed_with(&["--no-auth"]);
    browser.open(&server.url);
    browser.wait_for("house");
    let port = server.address().port();
    for path in ["/", "/search", "/sign-in", "/v1/collections"] {
        browser.open(&format!("http://rebound.example:{port}{path}"));
        browser.wait_for("another server");
        assert!(!browser.text().contains("house"));
    }
}
