//! A port of the loopback that can be closed and opened again.

use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// A port that is this test's for as long as it lives, listened to or not.
pub struct Port {
    address: SocketAddr,
    listening: Option<(Arc<TcpListener>, JoinHandle<()>)>,
    /// Bound and not listening: connections are refused, and nobody else gets the port.
    reserved: Option<Socket>,
}

impl Port {
    /// A free port. Connections are refused.
    pub fn closed() -> Port {
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        Port {
            address: socket.local_addr().unwrap().as_socket().unwrap(),
            listening: None,
            reserved: Some(socket),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens, if it does not yet. `accept` runs in a thread of its own and must return soon after accepting fails
    /// because the port is closed.
    pub fn open(&mut self, accept: impl FnOnce(&TcpListener) + Send + 'static) {
        let Some(socket) = self.reserved.take() else {
            return;
        };
        socket.listen(BACKLOG).unwrap();
        let listener = Arc::new(TcpListener::from(socket));
        let accepted = Arc::clone(&listener);
        let acceptor = thread::spawn(move || accept(&accepted));
        self.listening = Some((listener, acceptor));
    }

    /// Refuses connections from now on, also those that were not accepted yet, and ends the thread that accepts.
    pub fn close(&mut self) {
        if self.stop() {
            self.reserved = Some(bound(self.address));
        }
    }

    /// The same for good: the port is nobody's. Whether there was something to stop.
    pub fn stop(&mut self) -> bool {
        let Some((listener, acceptor)) = self.listening.take() else {
            return false;
        };
        // Wakes the thread that waits for connections.
        SockRef::from(&*listener).shutdown(Shutdown::Both).unwrap();
        acceptor.join().unwrap();
        true
    }
}

/// A socket that has this address and does not listen.
fn bound(address: SocketAddr) -> Socket {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}
