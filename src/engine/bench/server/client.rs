//! A client of HTTP/1.1 that costs next to nothing: one connection that is kept, requests whose bytes are made once,
//! and one buffer for all answers. It understands what our own server sends, and refuses the rest.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str;
use std::time::Duration;

use serde_json::Value;

use crate::engine::access::Token;
use crate::error::{Error, Result};

/// The longest wait for an answer: more than the server itself allows a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// The largest answer; those of the measurements have kilobytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Room for an answer to begin with; it grows to the largest one.
const BUFFER_BYTES: usize = 16 * 1024;

/// Characters of an unexpected answer that are shown.
const SHOWN_CHARS: usize = 300;

/// The bytes of a request, made once and sent often. There is a key in them, so they are not shown.
pub(in crate::engine::bench) struct Request(Vec<u8>);

/// A connection.
#[derive(Debug)]
pub(in crate::engine::bench) struct Client {
    stream: TcpStream,
    server: SocketAddr,
    buffer: Vec<u8>,
}

/// An answer, in the buffer of its client.
#[derive(Debug)]
pub(in crate::engine::bench) struct Answer<'a> {
    pub(in crate::engine::bench) status: u16,
    head: &'a str,
    pub(in crate::engine::bench) body: &'a [u8],
}

impl Request {
    pub(in crate::engine::bench) fn new(
        method: &str,
        path: &str,
        server: SocketAddr,
        token: Option<&Token>,
        body: Option<&Value>,
    ) -> Request {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {server}\r\n");
        if let Some(token) = token {
            text += &format!("authorization: Bearer {}\r\n", token.expose());
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            text += &format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            );
        }
        text += "\r\n";
        text += &body;
        Request(text.into_bytes())
    }

    /// Returns its text, for a client in another process.
    pub(in crate::engine::bench) fn into_text(self) -> String {
        String::from_utf8(self.0).expect("a request is made of text")
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub(super) fn connect(server: SocketAddr) -> Result<Client> {
        let connected = || {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
            stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
            Ok(stream)
        };
        let stream = connected().map_err(|error| trouble(server, error))?;
        Ok(Client {
            stream,
            server,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Sends a request and waits for its answer, whatever its status is.
    ///
    /// # Errors
    /// A connection that breaks; an answer that is not understood, too large or too late.
    pub(in crate::engine::bench) fn ask(&mut self, request: &Request) -> Result<Answer<'_>> {
        let head = self
            .exchange(request)
            .map_err(|error| trouble(self.server, error))?;
        let (text, rest) = self.buffer.split_at(head.bytes);
        Ok(Answer {
            status: head.status,
            head: str::from_utf8(text).unwrap_or_default(),
            body: &rest[..head.body_bytes],
        })
    }

    /// Asks for what must succeed, and returns it; nothing is null.
    ///
    /// # Errors
    /// Those of [`Client::ask`]; a status that is not 2xx.
    pub(in crate::engine::bench) fn json(&mut self, request: &Request) -> Result<Value> {
        let answer = self.ask(request)?;
        if !(200..300).contains(&answer.status) {
            return Err(answer.unexpected());
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(answer.body)
            .map_err(|error| Error::Internal(format!("the server's answer is no JSON: {error}")))
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Head> {
        self.stream.write_all(&request.0)?;
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled)?;
            if let Some(head) = Head::parse(&self.buffer[..filled])? {
                break head;
            }
        };
        let end = head.bytes + head.body_bytes;
        if end > self.buffer.len() {
            self.buffer.resize(end, 0);
        }
        if filled > end {
            return Err(malformed("there is more than the answer"));
        }
        self.stream.read_exact(&mut self.buffer[filled..end])?;
        Ok(head)
    }

    /// Reads what there is behind the bytes that were read before.
    fn read(&mut self, filled: usize) -> io::Result<usize> {
        if filled == self.buffer.len() {
            return Err(malformed("its head is too large"));
        }
        match self.stream.read(&mut self.buffer[filled..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

impl Answer<'_> {
    /// Returns a header.
    pub(in crate::engine::bench) fn header(&self, name: &str) -> Option<&str> {
        fields(self.head)
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns the error that a measurement ends with when this is not what it asked for.
    pub(in crate::engine::bench) fn unexpected(&self) -> Error {
        let body: String = String::from_utf8_lossy(self.body)
            .chars()
            .take(SHOWN_CHARS)
            .collect();
        Error::Internal(format!("the server answered {}: {body}", self.status))
    }
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Its length with the empty line.
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// Reads a head that is whole; none where more is to come.
    fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = bytes.windows(END.len()).position(|window| window == END) else {
            return Ok(None);
        };
        let end = end + END.len();
        let text = str::from_utf8(&bytes[..end]).map_err(|_| malformed("its head is no text"))?;
        let status: u16 = text
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| malformed("it has no status"))?;
        let length = fields(text).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let body_bytes = match (status, length) {
            (204 | 304, _) => 0,
            (_, Some((_, length))) => length
                .parse::<usize>()
                .ok()
                .filter(|&length| length <= ANSWER_BYTES_MAX)
                .ok_or_else(|| malformed("its length makes no sense"))?,
            (_, None) => return Err(malformed("it does not say its length")),
        };
        Ok(Some(Head {
            status,
            bytes: end,
            body_bytes,
        }))
    }
}

/// The fields of a head, without its first line.
fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("an answer that is not understood: {what}"),
    )
}

fn trouble(server: SocketAddr, error: io::Error) -> Error {
    Error::io("talk to", server.to_string(), error)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let whole = "HTTP/1.1 206 Partial Content\r\nContent-Length: 12\r\nx-cache:miss\r\n\r\n{";
        let head_bytes = whole.len() - 1;
        for end in 0..head_bytes {
            assert_eq!(Head::parse(&whole.as_bytes()[..end]).unwrap(), None);
        }
        let expected = Head {
            status: 206,
            bytes: head_bytes,
            body_bytes: 12,
        };
        assert_eq!(Head::parse(whole.as_bytes()).unwrap(), Some(expected));
    }

    #[test]
    fn heads_that_are_not_understood_are_refused() {
        for text in [
            "HTTP/2 200\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 abc\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        ] {
            assert!(Head::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn one_connection_serves_many_requests_however_answers_are_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let large = "y".repeat(3 * BUFFER_BYTES);
        let answers = [
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nx-cache: hit\r\n\r\n{\"a\":1}".to_owned(),
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            format!(
                "HTTP/1.1 503 Busy\r\ncontent-length: {}\r\n\r\n{large}",
                large.len()
            ),
        ];
        let request = Request::new("POST", "/x", server, None, Some(&json!({"q": "é"})));
        let bytes = request.0.clone();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            for answer in answers {
                let mut asked = vec![0; bytes.len()];
                stream.read_exact(&mut asked).unwrap();
                assert_eq!(asked, bytes);
                let (first, second) = answer.as_bytes().split_at(20);
                stream.write_all(first).unwrap();
                stream.write_all(second).unwrap();
            }
        });
        let mut client = Client::connect(server).unwrap();
        let answer = client.ask(&request).unwrap();
        assert_eq!((answer.status, answer.body), (200, &b"{\"a\":1}"[..]));
        assert_eq!(answer.header("X-Cache"), Some("hit"));
        assert_eq!(answer.header("etag"), None);
        assert_eq!(client.json(&request).unwrap(), Value::Null);
        let answer = client.ask(&request).unwrap();
        assert_eq!((answer.status, answer.body), (503, large.as_bytes()));
        serving.join().unwrap();
        assert!(client.ask(&request).is_err());
    }

    #[test]
    fn a_request_says_what_it_brings() {
        let server = "127.0.0.1:80".parse().unwrap();
        let text = |body: Option<&Value>| {
            String::from_utf8(Request::new("GET", "/livez", server, None, body).0).unwrap()
        };
        assert_eq!(
            text(None),
            "GET /livez HTTP/1.1\r\nhost: 127.0.0.1:80\r\n\r\n"
        );
        assert!(text(Some(&json!([1]))).ends_with("content-length: 3\r\n\r\n[1]"));
    }
}
