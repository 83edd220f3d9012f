//! Answers of HTTP/1.1 as they come in, in pieces of any size. Only what a load generator needs is kept of them: bodies
//! are counted, not read.

use std::{io, str};

/// The longest head; those of our own server have some five hundred bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The longest body, and the longest chunk of one.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The longest line between chunks.
const LINE_BYTES_MAX: usize = 1024;

/// What a head ends with.
const END: &[u8] = b"\r\n\r\n";

/// What is kept of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// Whether it says after how many seconds to try again.
    pub(super) says_when: bool,
    /// Whether the connection ends with it.
    pub(super) is_last: bool,
}

/// Reads the answers of one connection, one after the other.
#[derive(Debug, Default)]
pub(super) struct AnswerReader {
    head: Vec<u8>,
    /// What the head said, once it is there.
    begun: Option<(Answer, Framing)>,
}

impl AnswerReader {
    /// Takes bytes of the connection; returns the answer when it is whole.
    ///
    /// # Errors
    /// Bytes that are no answer, or more than one: nobody asked for it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<Option<Answer>> {
        let mut rest = bytes;
        if self.begun.is_none() {
            // The end of the head may begin in what was there before.
            let searched = self.head.len().saturating_sub(END.len() - 1);
            self.head.extend_from_slice(bytes);
            let found = self.head[searched..]
                .windows(END.len())
                .position(|window| window == END);
            let Some(found) = found else {
                if self.head.len() > HEAD_BYTES_MAX {
                    return Err(malformed("its head is too large"));
                }
                return Ok(None);
            };
            let end = searched + found + END.len();
            rest = &bytes[bytes.len() - (self.head.len() - end)..];
            self.begun = Some(read_head(&self.head[..end])?);
            self.head.clear();
        }
        let Some((answer, framing)) = &mut self.begun else {
            return Ok(None);
        };
        let answer = *answer;
        if !framing.take(rest)? {
            return Ok(None);
        }
        self.begun = None;
        Ok(Some(answer))
    }

    /// Takes the end of the connection; returns the answer that ends with it.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when an answer was awaited, or is cut off.
    pub(super) fn end(&mut self) -> io::Result<Answer> {
        match self.begun.take() {
            Some((answer, Framing::UntilClosed)) => Ok(answer),
            Some((_, Framing::Sized(_) | Framing::Chunked(_))) | None => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

/// How the end of a body is known.
#[derive(Debug)]
enum Framing {
    /// So many bytes are still to come.
    Sized(u64),
    /// It comes in chunks, of which each says its size.
    Chunked(Chunks),
    /// The connection ends with it.
    UntilClosed,
}

impl Framing {
    /// Takes bytes of the body; says whether it is whole.
    fn take(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match self {
            Framing::Sized(left) => {
                *left = left.checked_sub(bytes.len() as u64).ok_or_else(too_much)?;
                Ok(*left == 0)
            }
            Framing::Chunked(chunks) => chunks.take(bytes),
            Framing::UntilClosed => Ok(false),
        }
    }
}

/// Where in a body of chunks (RFC 9112, section 7.1) the next byte belongs.
#[derive(Debug)]
enum Chunks {
    /// To the line with the size of a chunk, of which this is there.
    Size(Vec<u8>),
    /// To a chunk, of which so many bytes are to come, with the end of its line.
    Data(u64),
    /// To a line after the last chunk, of which so many bytes are there.
    Trailer(usize),
}

impl Chunks {
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self {
                Chunks::Size(line) => {
                    bytes = rest;
                    if byte == b'\n' {
                        let size = chunk_size(line)?;
                        *self = if size == 0 {
                            Chunks::Trailer(0)
                        } else {
                            Chunks::Data(size + 2)
                        };
                    } else if line.len() < LINE_BYTES_MAX {
                        line.push(byte);
                    } else {
                        return Err(malformed("a line between its chunks is too long"));
                    }
                }
                Chunks::Data(left) => {
                    let taken =
                        usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    bytes = &bytes[taken..];
                    *left -= taken as u64;
                    if *left == 0 {
                        *self = Chunks::Size(Vec::new());
                    }
                }
                Chunks::Trailer(line_bytes) => {
                    bytes = rest;
                    match byte {
                        b'\n' if *line_bytes == 0 => {
                            return if bytes.is_empty() {
                                Ok(true)
                            } else {
                                Err(too_much())
                            };
                        }
                        b'\n' => *line_bytes = 0,
                        b'\r' => {}
                        _ => *line_bytes += 1,
                    }
                }
            }
        }
        Ok(false)
    }
}

/// Reads the line before a chunk: its size in hexadecimal, and what a `;` cuts off.
fn chunk_size(line: &[u8]) -> io::Result<u64> {
    str::from_utf8(line)
        .ok()
        .and_then(|line| line.split(';').next())
        .and_then(|size| u64::from_str_radix(size.trim(), 16).ok())
        .filter(|&size| size <= BODY_BYTES_MAX)
        .ok_or_else(|| malformed("a chunk without a size"))
}

fn read_head(head: &[u8]) -> io::Result<(Answer, Framing)> {
    let text = str::from_utf8(head).map_err(|_| malformed("its head is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| {
            line.strip_prefix("HTTP/1.1 ")?
                .get(..3)?
                .parse::<u16>()
                .ok()
        })
        // Nobody asks for those below 200.
        .filter(|status| (200..600).contains(status))
        .ok_or_else(|| malformed("it has no status"))?;
    let mut answer = Answer {
        status,
        says_when: false,
        is_last: false,
    };
    let (mut length, mut is_chunked) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value
                .parse::<u64>()
                .ok()
                .filter(|&length| length <= BODY_BYTES_MAX)
                .ok_or_else(|| malformed("its length makes no sense"))
                .map(Some)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            answer.is_last = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("retry-after") {
            answer.says_when = value.parse::<u32>().is_ok();
        }
    }
    let framing = match length {
        _ if matches!(status, 204 | 304) => Framing::Sized(0),
        _ if is_chunked => Framing::Chunked(Chunks::Size(Vec::new())),
        Some(length) => Framing::Sized(length),
        None => {
            answer.is_last = true;
            Framing::UntilClosed
        }
    };
    Ok((answer, framing))
}

fn too_much() -> io::Error {
    malformed("there is more than the answer")
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("an answer that is not understood: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nx-cache: hit\r\n\r\n{\"a\":1}";
    const SHED: &str =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nretry-after: 1\r\n\r\n{}";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                           5;x=y\r\nhello\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\nchecksum: 1\r\n\r\n";

    fn answer(status: u16) -> Answer {
        Answer {
            status,
            says_when: false,
            is_last: false,
        }
    }

    /// Reads one answer that comes in pieces of so many bytes.
    fn read(reader: &mut AnswerReader, text: &str, piece: usize) -> io::Result<Answer> {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(piece).collect();
        let (last, first) = pieces.split_last().unwrap();
        for piece in first {
            assert_eq!(reader.push(piece)?, None, "{text:?} is not whole yet");
        }
        match reader.push(last)? {
            Some(answer) => Ok(answer),
            None => reader.end(),
        }
    }

    #[test]
    fn answers_are_read_one_after_the_other_however_they_are_cut() {
        for piece in 1..120 {
            let mut reader = AnswerReader::default();
            let shed = Answer {
                says_when: true,
                ..answer(503)
            };
            for (text, expected) in [
                (SIZED, answer(200)),
                (CHUNKED, answer(200)),
                (SHED, shed),
                ("HTTP/1.1 204 No Content\r\n\r\n", answer(204)),
                ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", answer(200)),
                (SIZED, answer(200)),
            ] {
                let read = read(&mut reader, text, piece).unwrap();
                assert_eq!(read, expected, "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_connection_may_end_with_an_answer() {
        for piece in 1..80 {
            let closing = "HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx";
            let endless = "HTTP/1.1 503 Busy\r\n\r\nuntil it is closed";
            for text in [closing, endless] {
                let mut reader = AnswerReader::default();
                let read = read(&mut reader, text, piece).unwrap();
                assert!(read.is_last, "{text:?}");
                assert_eq!(read.status, 503);
            }
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_is_none() {
        for text in [SIZED, CHUNKED] {
            for end in 0..text.len() {
                let mut reader = AnswerReader::default();
                assert_eq!(reader.push(&text.as_bytes()[..end]).unwrap(), None);
                let error = reader.end().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }
        }
    }

    #[test]
    fn a_time_to_try_again_is_a_number() {
        let text = SHED.replace("retry-after: 1", "Retry-After: soon");
        let read = AnswerReader::default().push(text.as_bytes()).unwrap();
        assert_eq!(read, Some(answer(503)));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "HTTP/2 200\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 abc\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nmany\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nmore",
        ] {
            let mut reader = AnswerReader::default();
            assert!(reader.push(text.as_bytes()).is_err(), "{text:?}");
        }
        let endless = vec![b'x'; HEAD_BYTES_MAX + 1];
        assert!(AnswerReader::default().push(&endless).is_err());
    }
}
