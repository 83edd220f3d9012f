//! A server that watches the repository.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::tree::{Branch, Tree};
use crate::engine::bench::Spread;
use crate::engine::bench::cpu::cpu_time_of;
use crate::engine::bench::server::Setting;
use crate::engine::bench::server::child::ServerProcess;
use crate::engine::bench::server::client::Client;
use crate::error::{Error, Result};

/// Files that are saved.
const SAVES: usize = 20;

/// Switches of branches.
const SWITCHES: usize = 10;

/// Between two of them, so that the rest after a look is over.
const PAUSE: Duration = Duration::from_secs(2);

/// How often is looked whether something is found.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);

/// Before that, until all that follows a change is done.
const SETTLE: Duration = Duration::from_secs(15);

/// A server that watches the repository.
pub(super) struct Watched<'a> {
    setting: &'a Setting<'a>,
    server: &'a ServerProcess,
    tree: &'a Tree,
    client: Client,
}

/// What switching branches takes.
pub(super) struct Switched {
    pub(super) ms: Spread,
    pub(super) reads: Spread,
}

impl<'a> Watched<'a> {
    /// Has the repository indexed and watched.
    pub(super) fn index(
        setting: &'a Setting<'a>,
        server: &'a ServerProcess,
        tree: &'a Tree,
    ) -> Result<Watched<'a>> {
        let mut watched = Watched {
            setting,
            server,
            tree,
            client: server.client()?,
        };
        let folder = json!({"path": tree.folder()});
        watched.ask("POST", "/v1/admin/roots", Some(&folder))?;
        watched.ask(
            "PUT",
            "/v1/collections/code",
            Some(&json!({"kind": "code"})),
        )?;
        let source = json!({"path": tree.folder(), "watch": true});
        let added = watched.ask("POST", "/v1/collections/code/sources", Some(&source))?;
        let job = format!(
            "/v1/jobs/{}",
            added["job"]["id"].as_str().unwrap_or_default()
        );
        loop {
            setting.go_on()?;
            let state = watched.ask("GET", &job, None)?;
            match state["state"].as_str() {
                Some("done") => break,
                Some("queued" | "running") => thread::sleep(Duration::from_millis(100)),
                _ => return Err(Error::Internal(format!("the job ended: {state}"))),
            }
        }
        Ok(watched)
    }

    /// Saves a file again and again.
    pub(super) fn saved(&mut self) -> Result<Spread> {
        let mut took = Vec::new();
        for number in 0..SAVES {
            thread::sleep(PAUSE);
            let word = format!("scratchword{}", letters(number));
            self.tree.save(&word)?;
            took.push(self.until(&word, 1)?);
        }
        self.tree.clear()?;
        Ok(Spread::of(took))
    }

    /// Switches branches again and again.
    pub(super) fn switched(&mut self) -> Result<Switched> {
        let (mut ms, mut reads) = (Vec::new(), Vec::new());
        thread::sleep(PAUSE);
        for number in 0..SWITCHES {
            let branch = if number.is_multiple_of(2) {
                Branch::Other
            } else {
                Branch::Main
            };
            let before = self.files_read()?;
            self.tree.switch(branch)?;
            ms.push(self.until(branch.word(), self.tree.different())?);
            // A look is counted when it ends, and there may be one more.
            thread::sleep(PAUSE);
            reads.push(self.files_read()? - before);
        }
        Ok(Switched {
            ms: Spread::of(ms),
            reads: Spread::of(reads),
        })
    }

    /// Returns the share of one core that the server takes while nothing happens, in per cent.
    pub(super) fn idle(&mut self) -> Result<Option<f64>> {
        loop {
            self.setting.go_on()?;
            let collection = self.ask("GET", "/v1/collections/code", None)?;
            if collection["embedded_fraction"].as_f64().unwrap_or(1.0) >= 1.0 {
                break;
            }
            thread::sleep(Duration::from_secs(1));
        }
        thread::sleep(SETTLE);
        let Some(before) = cpu_time_of(self.server.process()) else {
            return Ok(None);
        };
        thread::sleep(IDLE);
        let used = cpu_time_of(self.server.process()).map(|after| after.saturating_sub(before));
        Ok(used.map(|used| 100.0 * used.as_secs_f64() / IDLE.as_secs_f64()))
    }

    /// Waits until a word is found in so many files, and returns how long that took, in milliseconds.
    fn until(&mut self, word: &str, files: usize) -> Result<f64> {
        let began = Instant::now();
        loop {
            self.setting.go_on()?;
            let question = json!({
                "query": word, "mode": "text", "limit": 1_000, "snippet_lines": 1,
            });
            let found = self.ask("POST", "/v1/collections/code/search", Some(&question))?;
            let hits = found["hits"].as_array().map_or(&[][..], Vec::as_slice);
            let paths: BTreeSet<&str> =
                hits.iter().filter_map(|hit| hit["path"].as_str()).collect();
            if paths.len() == files {
                return Ok(began.elapsed().as_secs_f64() * 1e3);
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::Internal(format!(
                    "{} of {files} files were found within {} s",
                    paths.len(),
                    PATIENCE.as_secs()
                )));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Returns how many files the server has read so far.
    fn files_read(&mut self) -> Result<f64> {
        let metrics = self.server.request("GET", "/metrics", None);
        let answer = self.client.ask(&metrics)?;
        let text = String::from_utf8_lossy(answer.body).into_owned();
        let read = text
            .lines()
            .find(|line| line.starts_with("embedder_index_files_read_total"))
            .and_then(|line| line.rsplit(' ').next())
            .and_then(|number| number.parse().ok());
        Ok(read.unwrap_or(0.0))
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = self.server.request(method, path, body);
        self.client.json(&request)
    }
}

/// Returns a number in letters: words are cut at digits.
fn letters(number: usize) -> String {
    number
        .to_string()
        .bytes()
        .map(|digit| char::from(b'a' + digit - b'0'))
        .collect()
}
