//! Frames of HTTP/2, as far as a client needs them that does what a well-meaning one does not.

use std::io::Read;
use std::net::TcpStream;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const END_OF_STREAM_AND_HEADERS: u8 = 0x5;

/// Why a stream was reset: nobody wants the answer any more.
pub const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// Why a connection was ended: its client does what a client does not.
pub const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Splits what was read into frames, each its kind and its payload; what is cut off at the end is left out.
pub fn split(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let Some((payload, rest)) = rest.split_at_checked(length as usize) else {
            break;
        };
        frames.push((head[3], payload));
        bytes = rest;
    }
    frames
}

/// Reads frames until they hold what is looked for. What hangs up before has not answered.
pub fn read_until<T>(
    stream: &mut TcpStream,
    mut found: impl FnMut(&[(u8, &[u8])]) -> Option<T>,
) -> T {
    let mut answer = Vec::new();
    loop {
        let mut bytes = [0; 4_096];
        let read = stream.read(&mut bytes).unwrap();
        assert_ne!(read, 0, "{answer:?}");
        answer.extend(&bytes[..read]);
        if let Some(found) = found(&split(&answer)) {
            return found;
        }
    }
}

/// A GET of this path by this key: names by indices of HPACK's static table.
pub fn request(stream: u32, path: &str, key: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut coded = vec![u8::try_from(text.len()).unwrap()];
        assert!(text.len() < 127);
        coded.extend(text.as_bytes());
        coded
    };
    // :method GET, :scheme http, :path, :authority, authorization; the last three literal and not remembered.
    let mut head = vec![0x82, 0x86, 0x04];
    head.extend(text(path));
    head.push(0x01);
    head.extend(text("127.0.0.1"));
    head.extend([0x0f, 23 - 15]);
    head.extend(text(&format!("Bearer {key}")));
    frame(HEADERS, END_OF_STREAM_AND_HEADERS, stream, &head)
}
