//! A server that behaves like the model hub, and misbehaves like a bad network when told to.
//!
//! Two listeners stand for two hosts: the hub, which answers small files itself and redirects to the store for large
//! ones, and the store. What is told to go wrong goes wrong once for each time it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

/// The commit that `main` stands for.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files above this size are redirected to the store, as the hub does with large files.
const LARGE: usize = 4 * 1024;

/// What goes wrong with one request for a file.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection ends after so many bytes of the body.
    CutAfter(usize),
    /// Nothing comes after so many bytes of the body, until the client gives up.
    StallAfter(usize),
    /// One byte of the body is wrong.
    WrongByte,
    /// The range is ignored: the whole file comes, with status 200.
    IgnoreRange,
    /// Another part than the asked one comes, with status 206.
    WrongPart,
    /// The entity tag differs from the usual one.
    OtherTag,
    /// This status, with this Retry-After.
    Status(u16, Option<&'static str>),
    /// A redirect to this place, as often as the request comes back.
    RedirectTo(String),
    /// This length is announced.
    Length(u64),
    /// No length is announced, and the body is this one.
    Endless(Vec<u8>),
    /// This sum is announced.
    AnnounceSum(String),
    /// Another body, as from a hotel's log-in page.
    Portal(&'static str),
}

/// A request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at_store: bool,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    pub(crate) authorization: Option<String>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    seen: Vec<Seen>,
    store: Option<SocketAddr>,
}

pub(crate) struct FakeHub {
    hub: SocketAddr,
    store: SocketAddr,
    state: Arc<Mutex<State>>,
    closing: Arc<AtomicBool>,
}

impl FakeHub {
    pub(crate) fn start(files: &BTreeMap<&'static str, Vec<u8>>) -> Self {
        let files = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()))
            .collect();
        let state = Arc::new(Mutex::new(State {
            files,
            ..State::default()
        }));
        let closing = Arc::new(AtomicBool::new(false));
        let hub = listen(false, &state, &closing);
        let store = listen(true, &state, &closing);
        state.lock().unwrap().store = Some(store);
        Self {
            hub,
            store,
            state,
            closing,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    /// The next request for the bytes of this file goes wrong; told twice, the one after it too.
    pub(crate) fn fault(&self, file: &str, fault: Fault) {
        self.state
            .lock()
            .unwrap()
            .faults
            .entry(file.to_owned())
            .or_default()
            .push_back(fault);
    }

    pub(crate) fn replace(&self, file: &str, bytes: Vec<u8>) {
        self.state
            .lock()
            .unwrap()
            .files
            .insert(file.to_owned(), bytes);
    }

    pub(crate) fn remove(&self, file: &str) {
        self.state.lock().unwrap().files.remove(file);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The requests that reached the store for this file.
    pub(crate) fn seen_at_store(&self, file: &str) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|seen| seen.at_store && seen.path.ends_with(file))
            .collect()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        for address in [self.hub, self.store] {
            // A connection wakes the listener so that it sees the flag.
            let _ = TcpStream::connect(address);
        }
    }
}

fn listen(at_store: bool, state: &Arc<Mutex<State>>, closing: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (state, closing) = (Arc::clone(state), Arc::clone(closing));
    thread::spawn(move || {
        for connection in listener.incoming() {
            if closing.load(Ordering::Relaxed) {
                return;
            }
            let state = Arc::clone(&state);
            // A client that hangs up mid-answer is what some tests are about.
            thread::spawn(move || {
                connection.and_then(|mut stream| serve(&mut stream, at_store, &state))
            });
        }
    });
    address
}

fn serve(stream: &mut TcpStream, at_store: bool, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(seen) = read_request(stream, at_store)? else {
        return Ok(());
    };
    let file = match seen.path.split_once("/resolve/") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, file)| file),
        None => seen.path.trim_start_matches("/store/"),
    };
    let (bytes, fault, store) = {
        let mut state = state.lock().unwrap();
        state.seen.push(seen.clone());
        let bytes = state.files.get(file).cloned();
        let redirects = !at_store && bytes.as_ref().is_some_and(|bytes| bytes.len() > LARGE);
        // What goes wrong with the bytes waits for the request that gets them.
        let here = |fault: &Fault| {
            let of_the_hub = matches!(
                fault,
                Fault::Status(..) | Fault::RedirectTo(_) | Fault::AnnounceSum(_)
            );
            if of_the_hub { !at_store } else { !redirects }
        };
        let fault = match state.faults.get_mut(file) {
            Some(faults) if faults.front().is_some_and(here) => faults.pop_front(),
            _ => None,
        };
        (bytes, fault, state.store.unwrap())
    };
    match (fault, bytes) {
        (Some(Fault::Status(status, retry_after)), _) => {
            let retry_after =
                retry_after.map_or(String::new(), |after| format!("Retry-After: {after}\r\n"));
            answer(stream, &format!("{status} Told so"), &retry_after, b"")
        }
        (Some(Fault::RedirectTo(location)), _) => answer(
            stream,
            "302 Found",
            &format!("Location: {location}\r\n"),
            b"",
        ),
        (_, None) => answer(stream, "404 Not Found", "", b"Entry not found"),
        (fault, Some(bytes)) if !at_store && bytes.len() > LARGE => {
            let sum = if let Some(Fault::AnnounceSum(sum)) = fault {
                sum
            } else {
                sha256(&bytes)
            };
            let head = format!(
                "Location: http://{store}/store/{file}?signature=abc\r\nX-Linked-ETag: \"{sum}\"\r\n\
                 X-Linked-Size: {}\r\nX-Repo-Commit: {COMMIT}\r\n",
                bytes.len()
            );
            answer(stream, "302 Found", &head, b"")
        }
        (fault, Some(bytes)) => send(stream, &seen, &bytes, fault),
    }
}

/// Sends a file or a part of it.
fn send(
    stream: &mut TcpStream,
    seen: &Seen,
    bytes: &[u8],
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let mut body = bytes.to_vec();
    let other = matches!(fault, Some(Fault::OtherTag));
    // The store's tag is no SHA-256 sum of the file, though it looks like one.
    let tag = format!(
        "\"{}\"",
        sha256(&[bytes, if other { b"other" } else { b"tag" }].concat())
    );
    let tag = if seen.at_store {
        tag
    } else {
        format!("\"{}\"", &sha256(bytes)[..40])
    };
    let asked = seen.range.as_deref().and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    let holds = seen.if_range.as_ref().is_none_or(|wanted| *wanted == tag);
    let start: Option<usize> =
        asked.filter(|_| holds && !matches!(fault, Some(Fault::IgnoreRange)));
    let common = format!("ETag: {tag}\r\nX-Repo-Commit: {COMMIT}\r\n");
    let (status, head) = match start {
        Some(start) if start >= bytes.len() => {
            let range = format!("Content-Range: bytes */{}\r\n", bytes.len());
            return answer(stream, "416 Range Not Satisfiable", &(common + &range), b"");
        }
        Some(start) => {
            let start = if matches!(fault, Some(Fault::WrongPart)) {
                start / 2
            } else {
                start
            };
            body.drain(..start);
            let range = format!(
                "Content-Range: bytes {start}-{}/{}\r\n",
                bytes.len() - 1,
                bytes.len()
            );
            ("206 Partial Content", common + &range)
        }
        None => ("200 OK", common),
    };
    let mut announced = Some(body.len() as u64);
    let mut stall = false;
    match fault {
        Some(Fault::CutAfter(len)) => body.truncate(len),
        Some(Fault::StallAfter(len)) => {
            body.truncate(len);
            stall = true;
        }
        Some(Fault::WrongByte) => body[bytes.len() / 3] ^= 1,
        Some(Fault::Length(len)) => announced = Some(len),
        Some(Fault::Endless(other)) => {
            body = other;
            announced = None;
        }
        Some(Fault::Portal(page)) => {
            body = page.as_bytes().to_vec();
            announced = Some(body.len() as u64);
        }
        _ => {}
    }
    let length = announced.map_or(String::new(), |len| format!("Content-Length: {len}\r\n"));
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{head}{length}Connection: close\r\n\r\n"
    )?;
    stream.write_all(&body)?;
    if stall {
        // Returns when the client hangs up, which is no error here.
        stream.read_exact(&mut [0])?;
    }
    Ok(())
}

fn answer(stream: &mut TcpStream, status: &str, head: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

fn read_request(stream: &mut TcpStream, at_store: bool) -> std::io::Result<Option<Seen>> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        request.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let header = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    let path = text.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Ok(Some(Seen {
        at_store,
        path,
        range: header("range"),
        if_range: header("if-range"),
        authorization: header("authorization"),
    }))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
