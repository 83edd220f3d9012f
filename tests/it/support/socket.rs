//! What the standard library does not tell of a socket.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

/// Files of a test besides its connections.
const OTHER_FILES: u64 = 1_000;

/// Makes room for so many connections of this process; whether there is any.
pub fn has_room_for(connections: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let is_enough = limit
        .maximum
        .is_none_or(|files| files >= connections + OTHER_FILES);
    is_enough && setrlimit(Resource::Nofile, raised).is_ok()
}

/// Whether the other side has closed or reset the connection. Nothing is taken from it, and nothing is waited for.
pub fn has_hung_up(stream: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::<u8>::uninit()];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    match SockRef::from(stream).recv_with_flags(&mut byte, flags) {
        Ok(len) => len == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
