//! The signals that ask the process to end.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock;
use crate::error::{Error, Result};

/// A signal so soon after another is the same one: wrappers pass theirs on to a process and to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(300);

/// Who asked the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM.
    Politely,
    /// Ctrl-C.
    FromTerminal,
    /// Nobody: it ends by itself.
    ByNobody,
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// When the last one was told.
    told: Option<Instant>,
}

impl Signals {
    pub(super) fn new() -> Result<Signals> {
        let catch =
            |kind| signal(kind).map_err(|error| Error::io("catch signals in", "the server", error));
        Ok(Signals {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            told: None,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Asked {
        loop {
            let asked = tokio::select! {
                _ = self.terminate.recv() => Asked::Politely,
                _ = self.interrupt.recv() => Asked::FromTerminal,
            };
            let now = clock::now();
            let is_same = |told| now.duration_since(told) < SAME_SIGNAL;
            if !self.told.is_some_and(is_same) {
                self.told = Some(now);
                return asked;
            }
        }
    }
}
