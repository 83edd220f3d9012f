//! The server that is measured: this program again, in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, Request};
use super::{Setting, pinning};
use crate::config::Config;
use crate::engine::access::{LocalKey, Token};
use crate::engine::bench::resident_bytes_of;
use crate::error::{Error, ErrorCode, Result};

/// What the server prints before its address, and before that of the second listener.
const ANNOUNCEMENTS: [&str; 2] = ["listening on http://", "ops on http://"];

/// The longest start; a collection of a million chunks takes some seconds.
const START_TIME_MAX: Duration = Duration::from_secs(120);

/// The longest end. The server itself gives requests under way 20 seconds, and there are none.
const END_TIME_MAX: Duration = Duration::from_secs(30);

/// How often a server that starts is asked whether it is ready: often beside the half second that it takes, seldom
/// beside the tenth of a millisecond that answering costs it.
const POLL_EVERY: Duration = Duration::from_millis(2);

/// Where the server runs, and with how many threads it encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::bench) enum Placement {
    /// With one thread on a core of its own, so that it can be compared with one thread of the encoder.
    OneCore,
    /// As the settings say, on all cores.
    AllCores,
}

/// A server that is ready. It ends when this is dropped.
pub(in crate::engine::bench) struct ServerProcess {
    address: SocketAddr,
    ops_address: Option<SocketAddr>,
    token: Token,
    ready_after: Duration,
    running: Running,
}

impl ServerProcess {
    /// Starts a server on a data directory and waits until it is ready.
    ///
    /// # Errors
    /// A server that cannot be started, ends, or is not ready in time; [`Error::Interrupted`].
    pub(super) fn start(
        setting: &Setting<'_>,
        data_dir: &Path,
        placement: Placement,
    ) -> Result<ServerProcess> {
        ServerProcess::launch(setting, data_dir, placement, false)
    }

    /// Starts a server that has a second listener for probes as well, and waits until it is ready.
    ///
    /// # Errors
    /// As [`ServerProcess::start`].
    pub(in crate::engine::bench) fn start_with_ops(
        setting: &Setting<'_>,
        data_dir: &Path,
        placement: Placement,
    ) -> Result<ServerProcess> {
        ServerProcess::launch(setting, data_dir, placement, true)
    }

    fn launch(
        setting: &Setting<'_>,
        data_dir: &Path,
        placement: Placement,
        has_ops: bool,
    ) -> Result<ServerProcess> {
        let (threads, core) = match placement {
            Placement::OneCore => (1, setting.cores.server),
            Placement::AllCores => (setting.config.threads, None),
        };
        let mut command = command(setting.config, data_dir, threads, has_ops)?;
        let started = Instant::now();
        // The process inherits the core of the thread that starts it.
        let mut running = pinning::on(core, || {
            let child = command.spawn();
            child
                .map(Running)
                .map_err(|error| Error::io("start", "this program", error))
        })?;
        let stdout = running.0.stdout.take().expect("its output is a pipe");
        let announced = announced(stdout);
        let next_address = || {
            announced
                .recv_timeout(START_TIME_MAX)
                .map_err(|_| never_ready())
        };
        let address = next_address()?;
        let ops_address = if has_ops { Some(next_address()?) } else { None };
        while !is_ready(address) {
            setting.go_on()?;
            if running.has_ended() || started.elapsed() > START_TIME_MAX {
                return Err(never_ready());
            }
            thread::sleep(POLL_EVERY);
        }
        let ready_after = started.elapsed();
        let token = LocalKey::read(data_dir)?.token().clone();
        Ok(ServerProcess {
            address,
            ops_address,
            token,
            ready_after,
            running,
        })
    }

    /// Returns how long it took from the start of the process until it was ready.
    pub(super) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Returns its resident memory, where the system tells it.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        resident_bytes_of(self.running.0.id())
    }

    /// Returns where it listens.
    pub(in crate::engine::bench) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where it answers probes.
    ///
    /// # Panics
    /// When it was started without a second listener.
    pub(in crate::engine::bench) fn ops_address(&self) -> SocketAddr {
        self.ops_address.expect("it was started with one")
    }

    /// Returns the number of its process.
    pub(in crate::engine::bench) fn process(&self) -> u32 {
        self.running.0.id()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// A server that does not listen any more.
    pub(in crate::engine::bench) fn client(&self) -> Result<Client> {
        Client::connect(self.address)
    }

    /// Opens so many connections.
    ///
    /// # Errors
    /// A server that does not listen any more.
    pub(super) fn clients(&self, count: usize) -> Result<Vec<Client>> {
        (0..count).map(|_| self.client()).collect()
    }

    /// Makes a request of somebody who may do everything.
    pub(in crate::engine::bench) fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Request {
        Request::new(method, path, self.address, Some(&self.token), body)
    }

    /// Makes a request of somebody without a key.
    pub(super) fn anonymous(&self, path: &str) -> Request {
        Request::new("GET", path, self.address, None, None)
    }
}

/// A process that ends when this is dropped.
struct Running(Child);

impl Running {
    fn has_ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Asks it to end in good order, which closes its store.
    #[cfg(unix)]
    fn terminate(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};

        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
    }

    #[cfg(not(unix))]
    fn terminate(&mut self) {
        let _ = self.0.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once its end was seen, its number may be that of another process.
        if self.has_ended() {
            return;
        }
        self.terminate();
        let asked = Instant::now();
        while !self.has_ended() {
            if asked.elapsed() > END_TIME_MAX {
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            thread::sleep(POLL_EVERY);
        }
    }
}

fn command(config: &Config, data_dir: &Path, threads: usize, has_ops: bool) -> Result<Command> {
    let program =
        std::env::current_exe().map_err(|error| Error::io("find", "this program", error))?;
    let mut command = Command::new(program);
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--ops-listen",
            if has_ops { "127.0.0.1:0" } else { "off" },
            "--data-dir",
        ])
        .arg(data_dir)
        .arg("--model")
        .arg(&config.model)
        // Neither the environment nor the configuration file, which is found by it: only what stands here.
        .env_clear()
        .env("EMBEDDER_THREADS", threads.to_string())
        .env("EMBEDDER_LOG", &config.log)
        .env("EMBEDDER_SERVER_NOTICE_S", "0")
        // The load comes from one address, and some of it without a key.
        .env("EMBEDDER_RATE_LIMIT_ADDRESS_PER_S", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    Ok(command)
}

/// Reads what the server prints to its end, lest it should wait for a reader, and hands over the addresses in it.
fn announced(stdout: ChildStdout) -> Receiver<SocketAddr> {
    let (found, address) = mpsc::sync_channel(ANNOUNCEMENTS.len());
    thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        for announced in lines.filter_map(|line| address_in(&line)) {
            let _ = found.try_send(announced);
        }
    });
    address
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = ANNOUNCEMENTS
        .iter()
        .find_map(|announcement| line.split_once(announcement))?;
    let end = rest
        .find(|c: char| c == '/' || c.is_whitespace())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Whether `/readyz` says yes. Each time by a new connection: one that was refused or closed says nothing of the next.
fn is_ready(address: SocketAddr) -> bool {
    let request = Request::new("GET", "/readyz", address, None, None);
    let status = Client::connect(address)
        .and_then(|mut client| client.ask(&request).map(|answer| answer.status));
    status.is_ok_and(|status| status == 200)
}

fn never_ready() -> Error {
    Error::Reported {
        code: ErrorCode::ServerUnavailable,
        message: "the server that was to be measured did not become ready".to_owned(),
        remedy: Some("what it says stands above; `--log info` makes it say more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_what_the_server_prints() {
        let check = |line: &str, expected: Option<&str>| {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(address_in(line), expected, "{line:?}");
        };
        check(
            "listening on http://127.0.0.1:34567",
            Some("127.0.0.1:34567"),
        );
        check("listening on http://127.0.0.1:1/", Some("127.0.0.1:1"));
        check(
            "embedder: listening on http://[::1]:80 (dev)",
            Some("[::1]:80"),
        );
        check("listening on http://localhost", None);
        check("ops on http://127.0.0.1:9091", Some("127.0.0.1:9091"));
        check("ready", None);
    }
}
