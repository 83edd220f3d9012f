//! The bridge: from its start to the answer of the first tool.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::tree::Tree;
use crate::engine::bench::Spread;
use crate::engine::bench::server::Setting;
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;

/// Bridges that are started beside a running server.
const WARM: usize = 20;

/// Bridges that start a server.
const COLD: usize = 7;

/// How long a server may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(30);

const POLL_EVERY: Duration = Duration::from_millis(10);

/// Measures beside a running server.
pub(super) fn warm(setting: &Setting<'_>, data_dir: &Path, tree: &Tree) -> Result<Spread> {
    let mut took = Vec::new();
    for _ in 0..WARM {
        setting.go_on()?;
        took.push(once(setting, data_dir, tree)?);
    }
    Ok(Spread::of(took))
}

/// Measures where no server runs; the one that a bridge starts is ended before the next.
pub(super) fn cold(setting: &Setting<'_>, data_dir: &Path, tree: &Tree) -> Result<Spread> {
    let mut took = Vec::new();
    for _ in 0..COLD {
        setting.go_on()?;
        took.push(once(setting, data_dir, tree)?);
        end_server(data_dir)?;
    }
    Ok(Spread::of(took))
}

/// Starts a bridge, asks it as a client does, and returns the time to the answer, in milliseconds.
fn once(setting: &Setting<'_>, data_dir: &Path, tree: &Tree) -> Result<f64> {
    let program =
        std::env::current_exe().map_err(|error| Error::io("find", "this program", error))?;
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(["mcp", "--model"])
        .arg(&setting.config.model)
        .arg("--data-dir")
        .arg(data_dir)
        .arg("--root")
        .arg(tree.folder())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| Error::io("start", "this program", error))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let asked = || -> std::io::Result<Value> {
        let mut stdin = stdin.ok_or(std::io::ErrorKind::BrokenPipe)?;
        let mut lines = BufReader::new(stdout.ok_or(std::io::ErrorKind::BrokenPipe)?).lines();
        let mut next = move || -> std::io::Result<Value> {
            let line = lines.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
            Ok(serde_json::from_str(&line)?)
        };
        let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        }});
        writeln!(stdin, "{initialize}")?;
        next()?;
        let begun = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "search", "arguments": {"query": "weigh parcel"},
        }});
        writeln!(stdin, "{begun}\n{call}")?;
        stdin.flush()?;
        next()
    };
    let answer = asked();
    let took = began.elapsed().as_secs_f64() * 1e3;
    // Its input is closed, so that it ends.
    child
        .wait()
        .map_err(|error| Error::io("end", "the bridge", error))?;
    let answer = answer.map_err(|error| Error::io("ask", "the bridge", error))?;
    let text = answer["result"]["content"][0]["text"].as_str();
    if text.is_some_and(|text| text.contains("hits")) {
        return Ok(took);
    }
    Err(Error::Internal(format!("the bridge answered {answer}")))
}

/// Ends the server that a bridge has started.
fn end_server(data_dir: &Path) -> Result<()> {
    let data_dir = DataDir::new(data_dir);
    let writer = data_dir.writer().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = writer.and_then(rustix::process::Pid::from_raw) {
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let asked = Instant::now();
    while data_dir.writer().is_some() {
        if asked.elapsed() > END_TIME_MAX {
            return Err(Error::Internal("the server does not end".to_owned()));
        }
        thread::sleep(POLL_EVERY);
    }
    Ok(())
}
