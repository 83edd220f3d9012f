//! A provider of embeddings as services on the internet are: it speaks OpenAI's protocol, counts what it is asked, and
//! misbehaves when told to.
//!
//! Its vectors are made of the words of the texts, so that searching by them works: see [`vectors::vector`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::port::Port;
use service::Service;

mod answer;
mod http;
mod service;
pub mod vectors;

/// The key that every call has to show.
pub const KEY: &str = "sk-fake-provider-3b1f6a0c9d";

/// How calls are answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Right and at once.
    Normal,
    /// Every call fails with this status and, where one is given, this Retry-After.
    Status(u16, Option<&'static str>),
    /// A call with a text that holds this word fails with this status: 400, as providers say of what they do not like, or
    /// another where they choke on it.
    RefuseTextsWith(&'static str, u16),
    /// A call with more texts than this fails with this status, and Retry-After of three seconds.
    RefuseCallsOver(usize, u16),
    /// This share of the calls, from 0 to 1, fails with this status.
    FailShare { share: f64, status: u16, seed: u64 },
    /// Answers come this much later.
    SlowBy(Duration),
    /// Answers come so much later for each text.
    SlowByText(Duration),
    /// Calls that arrive now are never answered, whatever the mode is later.
    Hang,
    /// Vectors have one number too many.
    WrongDimensions,
    /// The last number of the last vector is no finite number: this token stands for it, such as `null` or `1e999`, or
    /// a NaN where base64 was asked for.
    NotFinite(&'static str),
    /// The last vector is missing.
    TooFew,
    /// Every vector says that it is the first text's, which is wrong for more than one text.
    DuplicateIndex,
    /// The last vector is that of a text that was not sent.
    IndexOutOfRange,
    /// The vectors are right and come in the opposite order, which is allowed.
    ShuffledIndexes,
    /// The answer breaks off in the middle, and its length is right: it is no JSON.
    Malformed,
    /// The answer never ends and comes as fast as it is read.
    Huge,
    /// The answer comes a byte at a time with this pause before each.
    SlowDrip(Duration),
}

/// A call that arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// When its body had arrived.
    pub at: Instant,
    /// What was to be embedded; empty where the body was not understood.
    pub texts: Vec<String>,
    /// Length of the body.
    pub bytes: usize,
    /// What it was answered with; none while it is not, or if the client went away first.
    pub status: Option<u16>,
    headers: BTreeMap<String, String>,
}

impl Call {
    /// A header's value by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A provider on the loopback. Dropping it closes its connections and ends its threads.
pub struct FakeProvider {
    service: Arc<Service>,
    port: Port,
}

impl FakeProvider {
    /// Answers with vectors of so many numbers, unless a call asks for another length.
    pub fn start(dimensions: usize) -> FakeProvider {
        let service = Arc::new(Service::new(dimensions));
        let mut port = Port::closed();
        let accepting = Arc::clone(&service);
        port.open(move |listener| accepting.accept(listener));
        FakeProvider { service, port }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What clients call the base address, for example `http://127.0.0.1:40001/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address())
    }

    /// Changes how the calls are answered that arrive from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.service.state().change(mode);
    }

    /// Answers more calls than this within a second with 429 and a Retry-After of one second. Those do not count.
    pub fn limit_rate(&self, calls_a_second: Option<usize>) {
        self.service.state().calls_a_second = calls_a_second;
    }

    /// What arrived, in its order, whatever it was answered with.
    pub fn calls(&self) -> Vec<Call> {
        let state = self.service.state();
        state.calls.values().cloned().collect()
    }

    /// How many calls arrived.
    pub fn call_count(&self) -> usize {
        self.service.state().calls.len()
    }

    /// Texts of all calls.
    pub fn text_count(&self) -> usize {
        let state = self.service.state();
        state.calls.values().map(|call| call.texts.len()).sum()
    }

    /// The most texts of one call.
    pub fn largest_batch(&self) -> usize {
        let state = self.service.state();
        let batches = state.calls.values().map(|call| call.texts.len());
        batches.max().unwrap_or(0)
    }

    /// Calls that are not answered yet.
    pub fn at_once(&self) -> usize {
        self.service.state().at_once
    }

    /// The most calls that were there at the same time.
    pub fn most_at_once(&self) -> usize {
        self.service.state().most_at_once
    }

    /// Connections that were accepted.
    pub fn connections(&self) -> u64 {
        self.service.state().next_connection
    }

    /// Forgets the calls that arrived so far, and with them every count but that of connections.
    pub fn forget(&self) {
        let mut state = self.service.state();
        state.calls.clear();
        state.most_at_once = state.at_once;
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.service.begin_to_close();
        self.port.stop();
        self.service.wait_for_ends();
    }
}
