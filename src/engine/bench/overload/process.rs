//! The generator as a process of its own: this program again, on a core of its own, with the plan on its standard input
//! and what came of it on its standard output.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{panic, thread};

use super::plan::{Measured, Plan};
use crate::engine::bench::server::{Setting, pinning};
use crate::error::{Error, Result};

/// How often it is looked whether the generator has ended, or is to be ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Has the load of a plan made, which says on standard error what it is at.
///
/// # Errors
/// A process that cannot be started, or ends without figures; [`Error::Interrupted`].
pub(super) fn offer(setting: &Setting<'_>, data_dir: &Path, plan: &Plan) -> Result<Measured> {
    let plan = serde_json::to_vec(plan).map_err(|error| Error::Internal(error.to_string()))?;
    let mut command = command(data_dir)?;
    // The process inherits the core of the thread that starts it.
    let mut running = pinning::on(setting.cores.load, || {
        let child = command.spawn();
        child
            .map(Running)
            .map_err(|error| Error::io("start", "this program", error))
    })?;
    let mut stdin = running.0.stdin.take().expect("its input is a pipe");
    let mut stdout = running.0.stdout.take().expect("its output is a pipe");
    thread::scope(|scope| {
        // What it says is read while it runs: it may be more than a pipe holds.
        let reading = scope.spawn(move || {
            let mut text = Vec::new();
            stdout.read_to_end(&mut text).map(|_| text)
        });
        // It reads all of it first. Where it has ended instead, its status tells more than the broken pipe.
        let written = stdin.write_all(&plan);
        drop(stdin);
        let status = loop {
            let ended = match running.0.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => setting.go_on(),
                Err(error) => Err(Error::io("wait for", "the load generator", error)),
            };
            if let Err(error) = ended {
                // Else nobody would close the pipe that is read.
                running.kill();
                return Err(error);
            }
            thread::sleep(LOOK_EVERY);
        };
        let text = reading
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic));
        // It ends as well when it is interrupted together with this process.
        setting.go_on()?;
        if !status.success() {
            return Err(Error::Internal(format!(
                "the load generator ended with {status}"
            )));
        }
        let text = written
            .and(text)
            .map_err(|error| Error::io("talk to", "the load generator", error))?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::Internal(format!("the load generator gave no figures: {error}"))
        })
    })
}

/// A process that ends when this is dropped.
struct Running(Child);

impl Running {
    /// Ends it at once: it holds nothing that could be lost.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once its end was seen, this does nothing.
        self.kill();
    }
}

fn command(data_dir: &Path) -> Result<Command> {
    let program =
        std::env::current_exe().map_err(|error| Error::io("find", "this program", error))?;
    let mut command = Command::new(program);
    command
        .args(["bench", "overload-client", "--data-dir"])
        .arg(data_dir)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    Ok(command)
}
