//! A real browser: headless Chromium, driven over the WebDriver protocol by its own chromedriver.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use super::app::{skip, wait_until};
use super::server::client;

/// What the protocol names elements by.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Names that lead to this machine, as a page of another site would have it.
const NAMES: &str = "MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1";

/// A browser with one window. Dropping it ends it.
pub struct Chromium {
    driver: Child,
    client: &'static Client,
    session: String,
    _profile: tempfile::TempDir,
}

/// An element of a page.
pub struct Element<'a> {
    browser: &'a Chromium,
    id: String,
}

impl Chromium {
    /// Starts one. `None`, after a line that says so, where there is none.
    pub fn start() -> Option<Chromium> {
        Chromium::with(&[])
    }

    /// Starts one that runs no script of a page.
    pub fn without_scripts() -> Option<Chromium> {
        Chromium::with(&["--blink-settings=scriptEnabled=false"])
    }

    fn with(more: &[&str]) -> Option<Chromium> {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                skip(&format!(
                    "no chromedriver (Debian: chromium-driver): {error}"
                ));
                return None;
            }
        };
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said.by_ref().map_while(Result::ok).find_map(|line| {
            let port = line.split("successfully on port ").nth(1)?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        // It goes on talking.
        std::thread::spawn(move || said.map_while(Result::ok).for_each(drop));
        let port = port.expect("chromedriver says where it listens");
        let profile = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--window-size=1280,1000".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
            format!("--host-resolver-rules={NAMES}"),
        ];
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let client = client();
        let base = format!("http://127.0.0.1:{port}/session");
        let answer: Value = client
            .post(&base)
            .json(&wanted)
            .send()
            .unwrap()
            .json()
            .unwrap();
        let session = answer["value"]["sessionId"].as_str();
        let session = session.unwrap_or_else(|| panic!("no browser: {answer}"));
        Some(Chromium {
            driver,
            client,
            session: format!("{base}/{session}"),
            _profile: profile,
        })
    }

    fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value, Value> {
        let url = format!("{}{path}", self.session);
        let request = match body {
            Some(body) => self.client.post(url).json(body),
            None => self.client.get(url),
        };
        let answer: Value = request.send().unwrap().json().unwrap();
        if answer["value"]["error"].is_string() {
            return Err(answer["value"].clone());
        }
        Ok(answer["value"].clone())
    }

    /// Loads a page.
    pub fn open(&self, url: &str) {
        self.ask("/url", Some(&json!({"url": url})))
            .unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        self.ask("/url", None).unwrap().as_str().unwrap().to_owned()
    }

    /// Finds the first element of a selector, and waits for it.
    pub fn find(&self, selector: &str) -> Element<'_> {
        let mut found = None;
        wait_until(&format!("there is {selector}"), || {
            found = self.all(selector).into_iter().next();
            found.is_some()
        });
        found.unwrap()
    }

    /// Finds all elements of a selector that are there now.
    pub fn all(&self, selector: &str) -> Vec<Element<'_>> {
        let by = json!({"using": "css selector", "value": selector});
        let found = self.ask("/elements", Some(&by)).unwrap();
        let found = found.as_array().unwrap().iter();
        found
            .map(|element| Element {
                browser: self,
                id: element[ELEMENT].as_str().unwrap().to_owned(),
            })
            .collect()
    }

    /// All text that is to be seen.
    pub fn text(&self) -> String {
        self.find("body").text()
    }

    /// Waits until a text is to be seen.
    pub fn wait_for(&self, text: &str) {
        wait_until(&format!("`{text}` is to be seen"), || {
            let by = json!({"using": "css selector", "value": "body"});
            let Ok(body) = self.ask("/element", Some(&by)) else {
                return false;
            };
            let id = body[ELEMENT].as_str().unwrap_or_default();
            let seen = self.ask(&format!("/element/{id}/text"), None);
            seen.is_ok_and(|seen| seen.as_str().is_some_and(|seen| seen.contains(text)))
        });
    }

    /// Runs a script, and returns what it returns.
    pub fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.ask("/execute/sync", Some(&body))
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Presses keys, one after the other; special ones are those of the protocol.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.ask("/actions", Some(&body)).unwrap();
    }

    /// Prefers light or dark.
    pub fn prefer(&self, scheme: &str) {
        let parameters = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        let body = json!({"cmd": "Emulation.setEmulatedMedia", "params": parameters});
        self.ask("/goog/cdp/execute", Some(&body)).unwrap();
    }

    /// What the page's console says, since it was asked last.
    pub fn console(&self) -> Vec<String> {
        let log = self
            .ask("/se/log", Some(&json!({"type": "browser"})))
            .unwrap();
        let log = log.as_array().unwrap().iter();
        log.map(|line| line["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until the console says something of which `is_said` is true, for a browser writes
    /// there when it gets round to it.
    pub fn wait_for_console(&self, what: &str, is_said: impl Fn(&str) -> bool) {
        let mut said = Vec::new();
        wait_until(what, || {
            said.extend(self.console());
            said.iter().any(|line| is_said(line))
        });
    }

    /// Keeps a picture of the page for whoever wants to see it.
    pub fn picture(&self, name: &str) {
        let picture = self.ask("/screenshot", None).unwrap();
        let picture = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}

impl Element<'_> {
    fn path(&self, what: &str) -> String {
        format!("/element/{}/{what}", self.id)
    }

    /// What is to be seen of it.
    pub fn text(&self) -> String {
        let text = self.browser.ask(&self.path("text"), None).unwrap();
        text.as_str().unwrap().to_owned()
    }

    pub fn click(&self) {
        self.browser
            .ask(&self.path("click"), Some(&json!({})))
            .unwrap();
    }

    /// Types into it.
    pub fn write(&self, text: &str) {
        let body = json!({"text": text});
        self.browser.ask(&self.path("value"), Some(&body)).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The browser goes with its session; both may be gone already.
        let _ = self.client.delete(&self.session).send();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
