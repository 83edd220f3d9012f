//! Finding the server of a data directory, and starting one where there is none.
//!
//! However many programs want one at the same time, one is started: who starts it holds a lock, and the others find it.

use std::fs::{File, TryLockError};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::log::{Log, private};
use crate::config::{Config, Origin, Secret};
use crate::engine::access::LocalKey;
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::daemon::AsyncDaemon;
use crate::store::data_dir::DataDir;

/// After how long a server that was started here ends that nobody has used.
const IDLE_EXIT_S: u64 = 30 * 60;

/// How long a server may take until it has loaded what it serves.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a server that was asked to end may take.
const END_TIME_MAX: Duration = Duration::from_secs(30);

/// How often is looked whether it is there.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How much longer than a server allows itself an answer is waited for.
const ANSWER_GRACE: Duration = Duration::from_secs(10);

/// Held by whoever starts a server.
const LOCK_FILE: &str = "starting.lock";

/// What a server that was started here says.
const LOG_FILE: &str = "server.log";

/// Finds the server of a data directory, or starts it.
pub(super) struct Starter {
    data_dir: DataDir,
    answer_time_max: Duration,
    /// The settings of this process that came by flags, as variables.
    variables: Vec<(&'static str, String)>,
}

impl Starter {
    pub(super) fn new(config: &Config) -> Starter {
        let server = &config.server;
        let table = config.table();
        let flags = table
            .iter()
            .filter(|(_, _, origin)| *origin == Origin::Flag);
        let variables = flags.filter_map(|(setting, value, _)| {
            let variable = setting.variables.first()?;
            Some((*variable, value.to_string()))
        });
        let mut variables: Vec<_> = variables.collect();
        if server.idle_exit.is_none() {
            variables.push(("EMBEDDER_SERVER_IDLE_EXIT_S", IDLE_EXIT_S.to_string()));
        }
        Starter {
            data_dir: DataDir::new(&config.data_dir),
            answer_time_max: server.request_time_max.max(server.embed_time_max) + ANSWER_GRACE,
            variables,
        }
    }

    /// Finds the server, or starts one, and waits until it has loaded what it serves.
    ///
    /// # Errors
    /// A server of another version that may not be replaced; one that does not start, with what it says.
    pub(super) async fn find_or_start(&self) -> Result<AsyncDaemon> {
        let until = Instant::now() + START_TIME_MAX;
        loop {
            if let Some(server) = self.found()?
                && !server.may_be_replaced()
            {
                server.check_version()?;
                if self.is_ready(&server, until).await {
                    return Ok(server);
                }
                // It has ended, or is ending: another takes its place.
            }
            if Instant::now() > until {
                return Err(too_long());
            }
            self.data_dir.create()?;
            let _lock = self.lock().await?;
            // Somebody else may have started it meanwhile.
            match self.found()? {
                Some(server) if server.may_be_replaced() => self.end(server.pid()).await,
                Some(_) => {}
                None => return self.start().await,
            }
        }
    }

    /// Whether the server is, or becomes, ready before it ends.
    async fn is_ready(&self, server: &AsyncDaemon, until: Instant) -> bool {
        while self.is_there(server) {
            if server.is_ready().await {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }

    /// Whether a server still is what its data directory says it is: its address may be another program's by now.
    pub(super) fn is_there(&self, server: &AsyncDaemon) -> bool {
        self.data_dir.writer() == Some(server.pid())
    }

    /// Asks a server to end, once, and waits for that. Whoever calls holds the lock.
    async fn end(&self, pid: u32) {
        // It holds the lock of the data directory, so the number is its own.
        if self.data_dir.writer() == Some(pid) {
            end(pid);
        }
        let until = Instant::now() + END_TIME_MAX;
        while self.data_dir.writer() == Some(pid) && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn found(&self) -> Result<Option<AsyncDaemon>> {
        let path = self.data_dir.path();
        let key = || -> Result<Secret> {
            let key = LocalKey::read(path)?;
            Ok(Secret::new(key.token().expose()))
        };
        let writer = self.data_dir.writer();
        AsyncDaemon::find(path, writer, self.answer_time_max, key)
    }

    async fn lock(&self) -> Result<File> {
        let path = self.data_dir.path().join(LOCK_FILE);
        let file = private()
            .open(&path)
            .map_err(|error| Error::io("open", &path, error))?;
        let until = Instant::now() + START_TIME_MAX;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(TryLockError::WouldBlock) => return Err(too_long()),
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
            }
        }
    }

    async fn start(&self) -> Result<AsyncDaemon> {
        let (mut child, log) = self.spawn()?;
        let until = Instant::now() + START_TIME_MAX;
        let started = loop {
            // Somebody may have started one by hand at the same moment.
            if let Some(server) = self.found()?
                && self.is_ready(&server, until).await
            {
                break Ok(server);
            }
            match child.try_wait() {
                Ok(None) if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                _ => break Err(log.why_not()),
            }
        };
        // Nobody else waits for its end.
        std::thread::spawn(move || child.wait());
        started
    }

    fn spawn(&self) -> Result<(Child, Log)> {
        let path = self.data_dir.path().join(LOG_FILE);
        let (log, out, err) = Log::open(&path).map_err(|error| Error::io("open", &path, error))?;
        let program = std::env::current_exe()
            .map_err(|error| Error::io("find", std::path::Path::new("this program"), error))?;
        let data_dir = std::path::absolute(self.data_dir.path())
            .map_err(|error| Error::io("find", self.data_dir.path(), error))?;
        let mut command = Command::new(&program);
        command
            // The usual port may be another's, and nobody has to know this one.
            .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off"])
            .arg("--for-clients")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("EMBEDDER_DATA_DIR", &data_dir)
            // The folder of whoever starts it may go.
            .current_dir(&data_dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt;
            // It outlives the client that starts this process, and Ctrl-C there is not meant for it.
            command.process_group(0);
        }
        let child = command
            .spawn()
            .map_err(|error| Error::io("start", &program, error))?;
        Ok((child, log))
    }
}

fn too_long() -> Error {
    Error::Reported {
        code: ErrorCode::ServerUnavailable,
        message: "the server has been starting or ending for too long".to_owned(),
        remedy: Some("see server.log in the data directory, or run `embedder doctor`".to_owned()),
    }
}

/// Asks a process to end in good order.
fn end(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
