//! One HTTP GET that can be interrupted while it waits.
//!
//! The blocking client cannot be woken from outside, so each request runs on a thread of its own and hands its blocks
//! over a short queue; the caller waits on the queue with one eye on the interrupt flag. When the caller goes away the
//! thread ends with its next block, or at the latest with its stall timeout.
//! Redirects are not followed here: the caller decides where its token may go.

use std::error::Error;
use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{HeaderMap, IF_RANGE, RANGE};
use reqwest::{StatusCode, Url, redirect};

use super::Secret;
use super::control::{Control, Interrupted, POLL};

/// Sent as User-Agent, so that a hub's operators can see who calls.
const USER_AGENT: &str = concat!("embedder/", env!("CARGO_PKG_VERSION"));

/// Bytes read at a time. One block is also what can be lost to an interrupt.
const BLOCK_BYTES: usize = 64 * 1024;

/// Blocks waiting to be written; more would only hide a slow disk.
const QUEUE_LEN: usize = 4;

/// How long a call may take in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Establishing a connection. Default 5 s: where nothing answers, another source is waiting.
    pub connect: Duration,
    /// Waiting for an answer, and for each next piece of it. Default 30 s.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(30),
        }
    }
}

/// Why a GET brought nothing, or not everything.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the request cannot be made: {0}")]
    Setup(String),
    #[error("{0}")]
    Connect(String),
    #[error("nothing arrived for {}", seconds(*.0))]
    Stalled(Duration),
    #[error("connection broken: {0}")]
    Broken(String),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What is asked for.
pub(super) struct Get<'a> {
    pub(super) url: &'a Url,
    pub(super) bearer: Option<&'a Secret>,
    /// The first byte wanted; 0 asks for the whole.
    pub(super) from: u64,
    /// The entity tag under which a part still counts.
    pub(super) if_range: Option<&'a str>,
}

/// A client with its limits.
pub(super) struct Http {
    client: Client,
    timeouts: Timeouts,
}

impl Http {
    /// `direct` leaves out the system's proxy.
    pub(super) fn new(timeouts: Timeouts, direct: bool) -> Result<Self, HttpError> {
        // An error says that a provider is already in place, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .connect_timeout(timeouts.connect)
            // The blocking client applies this to the answer's head and to each read of its body, not to the sum.
            .timeout(timeouts.stall);
        if direct {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| HttpError::Setup(root_cause(&error)))?;
        Ok(Self { client, timeouts })
    }

    /// Sends the request and waits for the answer's head.
    pub(super) fn get(&self, get: &Get<'_>, control: &Control<'_>) -> Result<Answer, HttpError> {
        control.check()?;
        let mut request = self.client.get(get.url.clone());
        if let Some(token) = get.bearer {
            request = request.bearer_auth(token.expose());
        }
        if get.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", get.from));
            if let Some(tag) = get.if_range {
                request = request.header(IF_RANGE, tag);
            }
        }
        let (sender, events) = sync_channel(QUEUE_LEN);
        let timeouts = self.timeouts;
        thread::Builder::new()
            .name("http-get".to_owned())
            .spawn(move || run(request, timeouts, &sender))
            .map_err(|error| HttpError::Setup(error.to_string()))?;
        match next(&events, control)? {
            Event::Head(status, headers) => Ok(Answer {
                status,
                headers,
                events,
            }),
            Event::Failed(error) => Err(error),
            Event::Block(_) | Event::End => Err(HttpError::Broken("body before head".to_owned())),
        }
    }
}

/// The head of an answer, its body still to come.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    events: Receiver<Event>,
}

impl Answer {
    /// A header's value, where it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` after the last.
    pub(super) fn next(&self, control: &Control<'_>) -> Result<Option<Vec<u8>>, HttpError> {
        match next(&self.events, control)? {
            Event::Block(block) => Ok(Some(block)),
            Event::End => Ok(None),
            Event::Failed(error) => Err(error),
            Event::Head(..) => Err(HttpError::Broken("second head".to_owned())),
        }
    }
}

enum Event {
    Head(StatusCode, HeaderMap),
    Block(Vec<u8>),
    End,
    Failed(HttpError),
}

fn next(events: &Receiver<Event>, control: &Control<'_>) -> Result<Event, HttpError> {
    loop {
        control.check()?;
        match events.recv_timeout(POLL) {
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(HttpError::Broken("the request's thread ended".to_owned()));
            }
        }
    }
}

/// The request's thread. A send fails when the caller has gone, which ends it.
fn run(request: RequestBuilder, timeouts: Timeouts, events: &SyncSender<Event>) {
    let mut response = match request.send() {
        Ok(response) => response,
        Err(error) => {
            let _ = events.send(Event::Failed(classify(&error, timeouts)));
            return;
        }
    };
    let head = Event::Head(response.status(), response.headers().clone());
    let mut alive = events.send(head).is_ok();
    while alive {
        let mut block = vec![0; BLOCK_BYTES];
        let event = match response.read(&mut block) {
            Ok(0) => Event::End,
            Ok(read) => {
                block.truncate(read);
                Event::Block(block)
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => Event::Failed(
                match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                    Some(inner) => classify(inner, timeouts),
                    None => HttpError::Broken(error.to_string()),
                },
            ),
        };
        let more = matches!(event, Event::Block(_));
        alive = events.send(event).is_ok() && more;
    }
}

fn classify(error: &reqwest::Error, timeouts: Timeouts) -> HttpError {
    if error.is_builder() {
        // A token that no header can carry, for example.
        return HttpError::Setup(root_cause(error));
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => HttpError::Connect(format!(
            "connection timed out after {}",
            seconds(timeouts.connect)
        )),
        (true, false) => HttpError::Connect(root_cause(error)),
        (false, true) => HttpError::Stalled(timeouts.stall),
        (false, false) => HttpError::Broken(root_cause(error)),
    }
}

/// The innermost error: the outer ones only say that a request failed, and repeat its address with any query.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f32())
}
