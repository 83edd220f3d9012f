//! The protocol as clients speak it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::App;
use crate::support::server::TestServer;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The version that has an `initialize`.
pub const OLDER: &str = "2025-11-25";

/// The version in which each request says everything.
pub const NEWER: &str = "2026-07-28";

/// A request of the newer version.
pub fn newer(id: u32, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": NEWER,
        "io.modelcontextprotocol/clientInfo": {"name": "a test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A request of the older version.
pub fn older(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The beginning of the older version.
pub fn initialize() -> Value {
    let params = json!({
        "protocolVersion": OLDER,
        "capabilities": {},
        "clientInfo": {"name": "a test", "version": "1"},
    });
    older(0, "initialize", &params)
}

/// The text of a tool's result.
pub fn text_of(message: &Value) -> &str {
    let content = &message["result"]["content"][0];
    content["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{message}"))
}

/// Sends a message over HTTP and returns all that comes back.
pub fn send(server: &TestServer, root: Option<&Path>, message: &Value) -> Vec<Value> {
    let version = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str();
    let mut ask = server
        .ask("POST", "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", version.unwrap_or(OLDER));
    if version.is_some() {
        ask = ask.header("mcp-method", message["method"].as_str().unwrap());
        if let Some(name) = message["params"]["name"].as_str() {
            ask = ask.header("mcp-name", name);
        }
    }
    if let Some(root) = root {
        ask = ask.header("x-embedder-root", root.to_str().unwrap());
    }
    let answer = ask.json(message).send();
    assert_eq!(answer.status, 200, "{}", answer.text);
    if !answer.body.is_null() {
        return vec![answer.body];
    }
    let data = answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

/// A bridge: `embedder mcp`, spoken to line by line. Dropping it ends it.
pub struct Bridge {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    next: u32,
}

impl Bridge {
    /// Starts one that works in a folder.
    pub fn start(app: &App, folder: &Path) -> Bridge {
        Bridge::run(app.command(&["mcp"]).current_dir(folder))
    }

    fn run(command: &mut Command) -> Bridge {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::sync_channel(1_000);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line);
                if sender
                    .send(message.unwrap_or_else(|_| panic!("{line}")))
                    .is_err()
                {
                    break;
                }
            }
        });
        Bridge {
            stdin: child.stdin.take(),
            child,
            lines,
            next: 1,
        }
    }

    /// Writes a message.
    pub fn tell(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{message}").unwrap();
        stdin.flush().unwrap();
    }

    /// Reads the next message.
    pub fn hear(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("an answer")
    }

    /// Begins in the older way.
    pub fn begin(&mut self) -> Value {
        self.tell(&initialize());
        let answer = self.hear();
        self.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    }

    /// Calls a tool, and returns what was told before the answer, and the answer.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> (Vec<Value>, Value) {
        let id = self.next;
        self.next += 1;
        let params = json!({
            "name": tool,
            "arguments": arguments,
            "_meta": {"progressToken": format!("call {id}")},
        });
        self.tell(&older(id, "tools/call", &params));
        let mut told = Vec::new();
        loop {
            let message = self.hear();
            if message["id"] == id {
                return (told, message);
            }
            told.push(message);
        }
    }

    /// Closes its input, and waits for its end.
    pub fn end(&mut self) -> std::process::ExitStatus {
        drop(self.stdin.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
