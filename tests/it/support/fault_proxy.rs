//! A network that fails: a proxy between a client and a server, whose faults a test turns on and off.
//!
//! [`FaultProxy`] listens on a port of its own, which stays the same, and carries every connection to its target. What
//! it is told holds from then on, for the connections that are open as well as for those to come. It knows nothing of
//! HTTP: an answer is what comes from the target between two things that the client says.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::port::Port;
use super::random::Random;
use link::{Link, Way};

mod link;

/// How long the target may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How long connections may take to end once they were reset.
const END_MAX: Duration = Duration::from_secs(10);

/// How often a connection that stands still is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Bytes that are carried at a time.
const BUFFER_LEN: usize = 16 * 1_024;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// It works.
    Pass,
    /// Nothing listens, and the connections that were open are reset.
    Refuse,
    /// Connections are accepted and nothing moves, in either direction. What was sent arrives when the mode changes,
    /// unless the client has hung up meanwhile.
    Hang,
    /// What a client says arrives this much later, and so does the answer: a round trip takes twice as much longer.
    Slow(Duration),
    /// An answer is cut after so many bytes, by a reset. With 0 the target has heard the request and the client knows
    /// only that the connection broke.
    CutAfter(usize),
    /// Requests arrive and their answers are lost, without a sign. A connection that has lost an answer delivers none
    /// any more, whatever the mode is later.
    DropResponses,
    /// The target's side is closed and the client's stays open, mute until the client hangs up. A connection that is
    /// half open stays so, whatever the mode is later; only `Refuse` ends it.
    HalfOpen,
    /// This share of the connections, from 0 to 1, is reset at once: of those that are open and of those to come.
    Flaky { share: f64, seed: u64 },
}

/// A proxy on the loopback. Dropping it resets its connections and ends its threads.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    port: Mutex<Port>,
}

impl FaultProxy {
    /// Listens, and passes everything on to the target.
    pub fn before(target: SocketAddr) -> FaultProxy {
        let port = Port::closed();
        let shared = Arc::new(Shared {
            target,
            state: Mutex::new(State {
                mode: Mode::Pass,
                links: BTreeMap::new(),
                random: Random::new(0),
                is_closing: false,
            }),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
            to_target: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
        });
        let proxy = FaultProxy {
            address: port.address(),
            shared,
            port: Mutex::new(port),
        };
        proxy.set_mode(Mode::Pass);
        proxy
    }

    /// Where it listens, or did before it was told to refuse.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for clients of HTTP, for example `http://127.0.0.1:40001`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what the network does. On return the port is closed or open, and connections that had to be reset are.
    pub fn set_mode(&self, mode: Mode) {
        let mut port = self.port.lock().unwrap();
        self.shared.state.lock().unwrap().change(mode);
        self.shared.changed.notify_all();
        if mode == Mode::Refuse {
            port.close();
        } else {
            let shared = Arc::clone(&self.shared);
            port.open(move |listener| shared.accept(listener));
        }
        drop(port);
        assert!(self.shared.wait_for_ends(), "a connection does not end");
    }

    /// Connections that were accepted, also those that were reset at once.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.state.lock().unwrap().links.len()
    }

    /// Bytes that were handed to the target.
    pub fn bytes_to_target(&self) -> u64 {
        self.shared.to_target.load(Ordering::Relaxed)
    }

    /// Bytes that were handed to clients.
    pub fn bytes_to_client(&self) -> u64 {
        self.shared.to_client.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state.lock().unwrap();
            state.is_closing = true;
            state.links.values().for_each(|link| link.reset());
        }
        self.shared.changed.notify_all();
        let port = self.port.get_mut();
        port.unwrap_or_else(PoisonError::into_inner).stop();
        let all_ended = self.shared.wait_for_ends();
        assert!(all_ended || thread::panicking(), "a connection stays");
    }
}

struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    /// Told of each change of the mode and each end of a connection.
    changed: Condvar,
    connections: AtomicU64,
    to_target: AtomicU64,
    to_client: AtomicU64,
}

struct State {
    mode: Mode,
    links: BTreeMap<u64, Arc<Link>>,
    random: Random,
    is_closing: bool,
}

impl State {
    fn change(&mut self, mode: Mode) {
        self.mode = mode;
        if let Mode::Flaky { seed, .. } = mode {
            self.random = Random::new(seed);
        }
        for link in self.links.values() {
            if is_to_be_reset(mode, &mut self.random) {
                link.reset();
            } else if mode == Mode::HalfOpen {
                link.close_target();
            }
        }
    }
}

/// Whether the mode ends a connection.
fn is_to_be_reset(mode: Mode, random: &mut Random) -> bool {
    if let Mode::Flaky { share, .. } = mode {
        return random.happens(share);
    }
    mode == Mode::Refuse
}

impl Shared {
    /// Accepts connections until the port is closed.
    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        loop {
            if let Ok((client, _)) = listener.accept() {
                self.take(client);
                continue;
            }
            let state = self.state.lock().unwrap();
            if state.is_closing || state.mode == Mode::Refuse {
                return;
            }
            drop(state);
            // No descriptor is left: some connection has to end first.
            thread::sleep(TICK);
        }
    }

    /// Gives a connection a thread of its own.
    fn take(self: &Arc<Shared>, client: TcpStream) {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link::new(client));
        let mut state = self.state.lock().unwrap();
        let State { mode, random, .. } = &mut *state;
        if is_to_be_reset(*mode, random) || state.is_closing {
            link.reset();
            return;
        }
        state.links.insert(number, Arc::clone(&link));
        let shared = Arc::clone(self);
        thread::spawn(move || {
            shared.carry(&link);
            let mut state = shared.state.lock().unwrap();
            state.links.remove(&number);
            // This closes the connection, before anybody hears that it has ended.
            drop(link);
            drop(state);
            shared.changed.notify_all();
        });
    }

    /// Carries what a client says to the target and what comes back, until both have ended.
    fn carry(&self, link: &Link) {
        let mut said = Vec::new();
        if self.admit(link, false, Some(&mut said)).is_none() {
            return;
        }
        let target = TcpStream::connect_timeout(&self.target, CONNECT_MAX);
        {
            // Under the lock, so that a change of the mode comes before or after.
            let state = self.state.lock().unwrap();
            let is_attached = target.is_ok_and(|target| link.attach(target));
            if !is_attached || link.is_over() {
                link.reset();
                return;
            }
            if state.mode == Mode::HalfOpen {
                link.close_target();
            }
        }
        thread::scope(|scope| {
            scope.spawn(|| self.carry_answers(link));
            self.carry_requests(link, said);
        });
    }

    /// Carries what the client says, first of all what it has said already.
    fn carry_requests(&self, link: &Link, mut said: Vec<u8>) {
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            if said.is_empty() {
                let Some(len) = link.read(Way::Request, &mut buffer) else {
                    return link.reset();
                };
                said.extend_from_slice(&buffer[..len]);
            }
            let is_end = said.is_empty();
            let turns = !is_end && link.turns(Way::Request);
            if self.admit(link, turns, Some(&mut said)).is_none() {
                return link.reset();
            }
            if is_end {
                return link.end_of_requests();
            }
            if link.write(Way::Request, &said) {
                self.to_target
                    .fetch_add(said.len() as u64, Ordering::Relaxed);
            } else if !link.is_mute() {
                return link.reset();
            }
            said.clear();
        }
    }

    fn carry_answers(&self, link: &Link) {
        let mut buffer = vec![0; BUFFER_LEN];
        let mut answered = 0;
        loop {
            let read = link.read(Way::Answer, &mut buffer);
            let turns = read.is_some_and(|len| len > 0) && link.turns(Way::Answer);
            if turns {
                answered = 0;
            }
            let Some(mode) = self.admit(link, turns, None) else {
                return link.reset();
            };
            if mode == Mode::DropResponses {
                link.mute();
            }
            let Some(len) = read else {
                return link.lose_target();
            };
            if len == 0 {
                return link.end_of_answers();
            }
            if link.is_mute() {
                continue;
            }
            let mut room = len;
            if let Mode::CutAfter(limit) = mode {
                room = limit.saturating_sub(answered).min(len);
            }
            if !link.write(Way::Answer, &buffer[..room]) {
                return link.reset();
            }
            answered += room;
            self.to_client.fetch_add(room as u64, Ordering::Relaxed);
            if matches!(mode, Mode::CutAfter(limit) if answered >= limit) {
                return link.reset();
            }
        }
    }

    /// Waits for as long as the mode says, and returns the mode that then holds; none where the connection is over.
    /// Only where the traffic turns round is it slow. What the client says while all stands still is added to what it
    /// has `said`: that is how it is noticed when it hangs up.
    fn admit(&self, link: &Link, turns: bool, mut said: Option<&mut Vec<u8>>) -> Option<Mode> {
        let arrived = Instant::now();
        let mut state = self.state.lock().unwrap();
        while !link.is_over() {
            let left = match state.mode {
                Mode::Hang => TICK,
                Mode::Slow(delay) if turns => delay.saturating_sub(arrived.elapsed()),
                Mode::Slow(_)
                | Mode::Pass
                | Mode::Refuse
                | Mode::CutAfter(_)
                | Mode::DropResponses
                | Mode::HalfOpen
                | Mode::Flaky { .. } => Duration::ZERO,
            };
            if left.is_zero() {
                return Some(state.mode);
            }
            if let (Mode::Hang, Some(said)) = (state.mode, said.as_deref_mut()) {
                drop(state);
                if !link.gather(TICK, said) {
                    return None;
                }
                state = self.state.lock().unwrap();
            } else {
                state = self.changed.wait_timeout(state, left).unwrap().0;
            }
        }
        None
    }

    /// Waits until the connections that were reset are gone; whether they are.
    fn wait_for_ends(&self) -> bool {
        let state = self.state.lock().unwrap();
        let ending = |state: &mut State| state.links.values().any(|link| link.is_over());
        let (_state, waited) = self
            .changed
            .wait_timeout_while(state, END_MAX, ending)
            .unwrap();
        !waited.timed_out()
    }
}
