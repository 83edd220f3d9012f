//! What the standard library does not tell of a socket.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::TcpStream;

use socket2::SockRef;

/// Whether the other side has closed or reset the connection. Nothing is taken from it, and nothing is waited for.
pub fn has_hung_up(stream: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::<u8>::uninit()];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    match SockRef::from(stream).recv_with_flags(&mut byte, flags) {
        Ok(len) => len == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
