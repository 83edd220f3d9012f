//! One connection through the proxy: the client's side and the target's.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use socket2::SockRef;

/// How long a write may wait for the other side before it is asked whether the connection is over.
const WRITE_TICK: Duration = Duration::from_millis(20);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client to the target.
    Request,
    /// From the target to the client.
    Answer,
}

/// A connection. Dropping it closes both sides, by a reset if it was told so.
pub(super) struct Link {
    client: TcpStream,
    target: OnceLock<TcpStream>,
    is_over: AtomicBool,
    /// The client gets nothing any more, and is not told.
    is_mute: AtomicBool,
    /// Which way the last bytes went.
    last: Mutex<Option<Way>>,
}

impl Link {
    pub(super) fn new(client: TcpStream) -> Link {
        prepare(&client);
        Link {
            client,
            target: OnceLock::new(),
            is_over: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }

    /// Gives it the target's side; false where it has one.
    pub(super) fn attach(&self, target: TcpStream) -> bool {
        prepare(&target);
        self.target.set(target).is_ok()
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    pub(super) fn is_mute(&self) -> bool {
        self.is_mute.load(Ordering::SeqCst)
    }

    /// The client gets nothing any more.
    pub(super) fn mute(&self) {
        self.is_mute.store(true, Ordering::SeqCst);
    }

    /// Ends the connection. Whoever reads from it wakes; when it is dropped both sides see a reset.
    pub(super) fn reset(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        for side in [Some(&self.client), self.target.get()]
            .into_iter()
            .flatten()
        {
            // A side that has gone cannot be told.
            let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
            // Reading only: to end writing as well would say goodbye before the reset.
            let _ = side.shutdown(Shutdown::Read);
        }
    }

    /// Closes the target's side; the client is not told.
    pub(super) fn close_target(&self) {
        self.mute();
        if let Some(target) = self.target.get() {
            // It may have gone of itself.
            let _ = target.shutdown(Shutdown::Both);
        }
    }

    /// The target broke off: so does the connection, unless the client must not know.
    pub(super) fn lose_target(&self) {
        if !self.is_mute() {
            self.reset();
        }
    }

    /// The client says no more: the target hears so. A mute connection has nothing to wait for.
    pub(super) fn end_of_requests(&self) {
        if self.is_mute() {
            self.reset();
        } else if let Some(target) = self.target.get() {
            let _ = target.shutdown(Shutdown::Write);
        }
    }

    /// The target says no more: the client hears so, unless it must not.
    pub(super) fn end_of_answers(&self) {
        if !self.is_mute() {
            let _ = self.client.shutdown(Shutdown::Write);
        }
    }

    /// Whether bytes that go this way follow such that went the other way, or are the first.
    pub(super) fn turns(&self, way: Way) -> bool {
        self.last.lock().unwrap().replace(way) != Some(way)
    }

    /// Reads what comes: 0 at the end, none where the connection broke.
    pub(super) fn read(&self, way: Way, buffer: &mut [u8]) -> Option<usize> {
        let mut from = match way {
            Way::Request => &self.client,
            Way::Answer => self.target.get()?,
        };
        loop {
            match from.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result.ok(),
            }
        }
    }

    /// Adds what the client says within this time; false where it has hung up.
    pub(super) fn gather(&self, time: Duration, said: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 4_096];
        // Only a socket that is gone refuses a time, and then so does reading.
        let _ = self.client.set_read_timeout(Some(time));
        let read = (&self.client).read(&mut buffer);
        let _ = self.client.set_read_timeout(None);
        match read {
            Ok(len) => {
                said.extend_from_slice(&buffer[..len]);
                len > 0
            }
            Err(error) => is_only_late(error.kind()),
        }
    }

    /// Writes all of it; false where the connection broke or is over.
    pub(super) fn write(&self, way: Way, mut bytes: &[u8]) -> bool {
        let to = match way {
            Way::Request => self.target.get(),
            Way::Answer => Some(&self.client),
        };
        let Some(mut to) = to else {
            return false;
        };
        while !bytes.is_empty() {
            if self.is_over() {
                return false;
            }
            match to.write(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(error) if is_only_late(error.kind()) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

fn prepare(side: &TcpStream) {
    // Either fails only where the other side has gone, which the next read tells.
    let _ = side.set_nodelay(true);
    let _ = side.set_write_timeout(Some(WRITE_TICK));
}

fn is_only_late(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
