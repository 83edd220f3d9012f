//! The accept loop of the HTTP server: axum's router behind limits of our own.
//!
//! A server that is open to a network meets clients that connect and say nothing, send a byte a minute, or take no
//! byte of what they asked for. Each of these has a deadline here ([`Limits`]), over HTTP/1 and HTTP/2, with TLS and
//! without; connections are counted, in all and by address, and one too many is refused at once instead of left
//! waiting. Whatever is answered outside the router is problem+json as well.
//!
//! What this does not do: authorise, limit bodies, or limit the time that a request is worked on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::http::tls::TlsReloader;

use addresses::{Addresses, Place};
use connection::Http;
use raw_answer::RawAnswer;

mod activity;
mod addresses;
mod bodies;
mod connection;
mod guarded_io;
mod limits;
mod raw_answer;
mod watch;

pub(super) use limits::Limits;

/// Connections that the kernel completes ahead of us. A burst of a quarter of all that we hold waits there for the
/// milliseconds that it takes to accept it.
const BACKLOG: i32 = 1_024;

/// The pause after an error of the whole process, such as too many open files. Long enough for something to be closed,
/// short enough for nobody to notice.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// When the kernel asks a silent client's kernel whether it is still there: a request that takes minutes would not find
/// out that nobody waits for it.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What is read of a request that is refused, see [`refuse`]: a head of the default limit.
const REFUSED_BYTES: u64 = 16 * 1_024;

/// A bound socket that nothing is accepted from yet.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
}

/// Who sent a request; each request has it among its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// The other end of the connection, which may be a proxy. An IPv4 address is one, even if it came by IPv6.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
}

/// Hears what becomes of connections. It is called often and must not block.
pub(super) trait Observer: Send + Sync {
    /// A connection was accepted.
    fn opened(&self);
    /// An accepted connection ended; called once for each [`opened`](Observer::opened).
    fn closed(&self, reason: CloseReason);
    /// A connection was not accepted.
    fn refused(&self, reason: RefuseReason);
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CloseReason {
    /// The client closed it, or asked us to.
    Client,
    /// There was no request for too long.
    Idle,
    /// Nothing was sent at all.
    FirstByte,
    /// The head of a request took too long.
    Header,
    /// The client did not take its answer.
    WriteStall,
    /// There was no handshake of TLS, or it failed.
    Tls,
    /// What was sent is not HTTP, or is too large.
    Protocol,
    /// The server is ending.
    Shutdown,
}

/// Why a connection was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RefuseReason {
    /// There are as many as there may be.
    Total,
    /// There are as many of this address as there may be.
    Address,
    /// The operating system gave none: it broke early, or there are too many open files.
    Accept,
}

/// How far the server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopPhase {
    /// Not at all.
    Serving,
    /// Nothing is accepted. Requests end as they would; connections without one are closed.
    Draining,
    /// Every connection is dropped.
    Ending,
}

/// Tells connections how far the server has ended.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    phase: tokio::sync::watch::Receiver<StopPhase>,
}

impl Listener {
    /// Binds a socket; port 0 is any free port. An IPv6 address that is unspecified may stand for IPv4 too, as the
    /// operating system is set.
    ///
    /// # Errors
    /// Those of the operating system: the address is in use, not ours, or not allowed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // After a restart the address is free although connections of the last run are not forgotten yet. Windows means
        // something else by this option: that two programs may share the address.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        Ok(Listener { socket })
    }

    /// Returns the address that it is bound to, with the port that was chosen.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves connections until `stop` reaches [`StopPhase::Draining`], and returns when the last has ended, or at
    /// [`StopPhase::Ending`]. No error ends it earlier.
    pub(super) async fn run(
        self,
        service: Router,
        limits: Arc<Limits>,
        tls: Option<Arc<TlsReloader>>,
        observer: Arc<dyn Observer>,
        mut stop: Stop,
    ) {
        let addresses = Addresses::new(&limits);
        let http = Arc::new(Http::new(service, Arc::clone(&limits)));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                // Forgets those that ended.
                Some(_) = connections.join_next() => continue,
                () = stop.reached(StopPhase::Draining) => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    observer.refused(RefuseReason::Accept);
                    if !is_of_one_connection(&error) {
                        let draining = stop.reached(StopPhase::Draining);
                        let _ = tokio::time::timeout(ACCEPT_PAUSE, draining).await;
                    }
                    continue;
                }
            };
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            let place = match addresses.admit(address.ip()) {
                Ok(place) => place,
                Err(reason) => {
                    observer.refused(reason);
                    if tls.is_none() {
                        refuse(stream);
                    }
                    continue;
                }
            };
            let accepted = Accepted {
                peer: Peer {
                    address,
                    is_tls: tls.is_some(),
                },
                acceptor: tls.as_ref().map(|tls| tls.acceptor()),
                http: Arc::clone(&http),
                handshake: limits.handshake,
                stop: stop.clone(),
                open: Open::new(Arc::clone(&observer), place),
            };
            connections.spawn(accepted.serve(stream));
        }
        drop(self.socket);
        tokio::select! {
            () = async { while connections.join_next().await.is_some() {} } => {}
            () = stop.reached(StopPhase::Ending) => {}
        }
        connections.shutdown().await;
    }
}

/// A connection that has its place.
struct Accepted {
    peer: Peer,
    acceptor: Option<TlsAcceptor>,
    http: Arc<Http>,
    handshake: Duration,
    stop: Stop,
    open: Open,
}

impl Accepted {
    async fn serve(mut self, stream: TcpStream) {
        // Answers are written whole; to wait for more of them only delays the last packet. An error here is one of the
        // connection, and shows at its first read.
        let _ = stream.set_nodelay(true);
        self.open.reason = match self.acceptor {
            None => self.http.serve(stream, self.peer, self.stop).await,
            Some(acceptor) => {
                let handshake = tokio::time::timeout(self.handshake, acceptor.accept(stream));
                tokio::select! {
                    shaken = handshake => match shaken {
                        Ok(Ok(stream)) => self.http.serve(stream, self.peer, self.stop).await,
                        Ok(Err(_)) | Err(_) => CloseReason::Tls,
                    },
                    () = self.stop.reached(StopPhase::Draining) => CloseReason::Shutdown,
                }
            }
        };
    }
}

/// Counts a connection as open until it is dropped, however that comes.
struct Open {
    observer: Arc<dyn Observer>,
    reason: CloseReason,
    _place: Place,
}

impl Open {
    fn new(observer: Arc<dyn Observer>, place: Place) -> Open {
        observer.opened();
        Open {
            observer,
            // What is dropped before it ended.
            reason: CloseReason::Shutdown,
            _place: place,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.observer.closed(self.reason);
    }
}

/// Tells a client that there is no room, without waiting for anything: the socket's buffer is empty and takes the
/// answer. What the client has sent by now is read, because a socket that is closed with unread bytes resets the
/// connection, and the answer may be lost with it.
fn refuse(stream: TcpStream) {
    let Ok(mut stream) = stream.into_std() else {
        return;
    };
    let _ = stream.write_all(RawAnswer::Overloaded.bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let _ = io::copy(&mut stream.take(REFUSED_BYTES), &mut io::sink());
}

/// Whether an error of accepting is about the connection that would have been accepted, and not about all.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

impl CloseReason {
    /// Returns the name under which it is counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            CloseReason::Client => "client",
            CloseReason::Idle => "idle",
            CloseReason::FirstByte => "first_byte",
            CloseReason::Header => "header",
            CloseReason::WriteStall => "write_stall",
            CloseReason::Tls => "tls",
            CloseReason::Protocol => "protocol",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

impl RefuseReason {
    /// Returns the name under which it is counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            RefuseReason::Total => "total",
            RefuseReason::Address => "address",
            RefuseReason::Accept => "accept",
        }
    }
}

impl Stop {
    /// Makes one that serves, and what moves it on. If that is dropped the server ends.
    pub(super) fn channel() -> (tokio::sync::watch::Sender<StopPhase>, Stop) {
        let (sender, phase) = tokio::sync::watch::channel(StopPhase::Serving);
        (sender, Stop { phase })
    }

    /// Waits until this phase or a later one.
    pub(super) async fn reached(&mut self, phase: StopPhase) {
        // An error says that the sender is gone.
        let _ = self.phase.wait_for(|now| *now >= phase).await;
    }
}

#[cfg(test)]
mod tests;
