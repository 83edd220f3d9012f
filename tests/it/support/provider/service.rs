//! What the provider is made of inside: a thread for each connection, and what they all know.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::{Asked, body, problem};
use super::http::{self, Request};
use super::{Call, KEY, Mode};
use crate::support::random::Random;
use crate::support::socket::has_hung_up;

/// How often a client that waits is looked at.
const TICK: Duration = Duration::from_millis(10);

/// How long connections may take to end.
const END_MAX: Duration = Duration::from_secs(10);

/// What a limited provider counts its calls over.
const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Service {
    /// Numbers of a vector.
    dimensions: usize,
    state: Mutex<State>,
    /// Told when a connection ends and when everything has to.
    changed: Condvar,
}

pub(super) struct State {
    mode: Mode,
    pub(super) calls_a_second: Option<usize>,
    /// When the calls of the last second came that were not too many.
    admitted: VecDeque<Instant>,
    random: Random,
    pub(super) calls: BTreeMap<u64, Call>,
    next_call: u64,
    pub(super) at_once: usize,
    pub(super) most_at_once: usize,
    connections: BTreeMap<u64, Arc<TcpStream>>,
    pub(super) next_connection: u64,
    is_closing: bool,
}

/// A failure that a call is answered with.
struct Refusal {
    status: u16,
    retry_after: Option<&'static str>,
    message: String,
}

impl State {
    pub(super) fn change(&mut self, mode: Mode) {
        self.mode = mode;
        if let Mode::FailShare { seed, .. } = mode {
            self.random = Random::new(seed);
        }
    }

    /// Notes a call.
    fn begin(&mut self, call: Call) -> u64 {
        let number = self.next_call;
        self.next_call += 1;
        self.calls.insert(number, call);
        self.at_once += 1;
        self.most_at_once = self.most_at_once.max(self.at_once);
        number
    }

    fn end(&mut self, number: u64, status: Option<u16>) {
        self.at_once -= 1;
        // It may have been forgotten meanwhile.
        if let Some(call) = self.calls.get_mut(&number) {
            call.status = status;
        }
    }

    /// Why a call that came now is refused, if it is.
    fn refusal(&mut self, shown: &str, texts: &[String], now: Instant) -> Option<Refusal> {
        if let Mode::RefuseTextsWith(word, status) = self.mode
            && texts.iter().any(|text| text.contains(word))
        {
            return Some(Refusal::told(status, None));
        }
        if let Mode::RefuseCallsOver(most, status) = self.mode
            && texts.len() > most
        {
            return Some(Refusal::told(status, Some("3")));
        }
        if let Mode::Status(status, retry_after) = self.mode {
            return Some(Refusal::told(status, retry_after));
        }
        if let Mode::FailShare { share, status, .. } = self.mode
            && self.random.happens(share)
        {
            return Some(Refusal::told(status, None));
        }
        if self.is_too_many(now) {
            return Some(Refusal {
                status: 429,
                retry_after: Some("1"),
                message: String::from("Rate limit reached. Please try again in 1s."),
            });
        }
        (shown != format!("Bearer {KEY}")).then(|| Refusal {
            status: 401,
            retry_after: None,
            // It repeats what it was shown, as providers do: a secret that must not get into a log.
            message: format!("Incorrect API key provided: {shown}."),
        })
    }

    fn is_too_many(&mut self, now: Instant) -> bool {
        let Some(limit) = self.calls_a_second else {
            return false;
        };
        let is_old = |at: &Instant| now.duration_since(*at) >= SECOND;
        while self.admitted.front().is_some_and(is_old) {
            self.admitted.pop_front();
        }
        let is_too_many = self.admitted.len() >= limit;
        if !is_too_many {
            self.admitted.push_back(now);
        }
        is_too_many
    }
}

impl Service {
    pub(super) fn new(dimensions: usize) -> Service {
        let state = State {
            mode: Mode::Normal,
            calls_a_second: None,
            admitted: VecDeque::new(),
            random: Random::new(0),
            calls: BTreeMap::new(),
            next_call: 0,
            at_once: 0,
            most_at_once: 0,
            connections: BTreeMap::new(),
            next_connection: 0,
            is_closing: false,
        };
        Service {
            dimensions,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Accepts connections until the port is closed.
    pub(super) fn accept(self: &Arc<Service>, listener: &TcpListener) {
        loop {
            if let Ok((stream, _)) = listener.accept() {
                self.take(stream);
                continue;
            }
            if self.state().is_closing {
                return;
            }
            // No descriptor is left: some connection has to end first.
            thread::sleep(TICK);
        }
    }

    /// Makes everything end that waits.
    pub(super) fn begin_to_close(&self) {
        let mut state = self.state();
        state.is_closing = true;
        for connection in state.connections.values() {
            // It may have ended of itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until no connection is left.
    pub(super) fn wait_for_ends(&self) {
        let is_busy = |state: &mut State| !state.connections.is_empty();
        let changed = &self.changed;
        let waited = changed.wait_timeout_while(self.state(), END_MAX, is_busy);
        let is_late = waited.unwrap().1.timed_out();
        assert!(!is_late || thread::panicking(), "a connection stays");
    }

    /// Gives a connection a thread of its own.
    fn take(self: &Arc<Service>, stream: TcpStream) {
        let stream = Arc::new(stream);
        let mut state = self.state();
        if state.is_closing {
            return;
        }
        let number = state.next_connection;
        state.next_connection += 1;
        state.connections.insert(number, Arc::clone(&stream));
        let service = Arc::clone(self);
        thread::spawn(move || {
            // A client that hangs up in the middle is what some tests are about.
            let _ = service.serve(&stream);
            drop(stream);
            service.state().connections.remove(&number);
            service.changed.notify_all();
        });
    }

    /// Answers one request after the other until the client has no more.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader)? {
            if request.method == "POST" && request.path.ends_with("/embeddings") {
                self.serve_call(stream, &request)?;
            } else {
                let message = format!("Invalid URL ({} {})", request.method, request.path);
                http::send(stream, 404, None, &problem(&message))?;
            }
            if request.header("connection") == Some("close") {
                break;
            }
        }
        Ok(())
    }

    fn serve_call(&self, stream: &TcpStream, request: &Request) -> io::Result<()> {
        let asked = Asked::parse(&request.body);
        let texts = asked.as_ref().map(|asked| asked.texts.clone());
        let texts = texts.unwrap_or_default();
        let count = texts.len() as u32;
        let call = Call {
            at: Instant::now(),
            texts,
            bytes: request.body.len(),
            status: None,
            headers: request.headers.clone(),
        };
        let shown = request.header("authorization").unwrap_or_default();
        let (number, mode, refusal) = {
            let mut state = self.state();
            let refusal = state.refusal(shown, &call.texts, call.at);
            (state.begin(call), state.mode, refusal)
        };
        let asked = match (refusal, asked) {
            (Some(refusal), _) => Err(refusal),
            (None, Err(message)) => Err(Refusal {
                status: 400,
                retry_after: None,
                message,
            }),
            (None, Ok(asked)) => Ok(asked),
        };
        let status = asked
            .as_ref()
            .map_or_else(|refusal| refusal.status, |_| 200);
        let sent = self.answer(stream, mode, count, asked);
        self.state().end(number, sent.is_ok().then_some(status));
        sent
    }

    fn answer(
        &self,
        stream: &TcpStream,
        mode: Mode,
        texts: u32,
        asked: Result<Asked, Refusal>,
    ) -> io::Result<()> {
        if mode == Mode::Hang {
            self.wait(stream, Duration::MAX)?;
        }
        if let Mode::SlowBy(delay) = mode {
            self.wait(stream, delay)?;
        }
        if let Mode::SlowByText(delay) = mode {
            self.wait(stream, delay * texts)?;
        }
        let asked = match asked {
            Ok(asked) => asked,
            Err(refusal) => {
                let body = problem(&refusal.message);
                return http::send(stream, refusal.status, refusal.retry_after, &body);
            }
        };
        if mode == Mode::Huge {
            return Err(http::send_endlessly(stream));
        }
        let body = body(&asked, self.dimensions, mode);
        let Mode::SlowDrip(pause) = mode else {
            return http::send(stream, 200, None, &body);
        };
        http::send_head(stream, 200, None, body.len())?;
        for byte in body {
            self.wait(stream, pause)?;
            http::send_bytes(stream, &[byte])?;
        }
        Ok(())
    }

    /// Waits so long; an error if the client has hung up meanwhile, or all has to end.
    fn wait(&self, stream: &TcpStream, delay: Duration) -> io::Result<()> {
        let started = Instant::now();
        let mut state = self.state();
        loop {
            if state.is_closing || has_hung_up(stream) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let left = delay.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            let waited = self.changed.wait_timeout(state, left.min(TICK));
            state = waited.unwrap().0;
        }
    }
}

impl Refusal {
    fn told(status: u16, retry_after: Option<&'static str>) -> Refusal {
        Refusal {
            status,
            retry_after,
            message: String::from("The server had an error while processing your request."),
        }
    }
}
