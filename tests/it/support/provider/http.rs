//! As much of HTTP/1.1 as a provider needs: bodies with a length, and connections that serve many requests.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::TcpStream;

/// A request that has arrived as a whole.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// By their names in small letters.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads the next request; none when the client has no more. A body whose length is not given is not read.
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let len = headers.get("content-length");
        let len = len.and_then(|len| len.parse().ok()).unwrap_or(0);
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        Ok(Some(Request {
            method,
            path,
            headers,
            body,
        }))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Sends an answer of JSON.
pub(super) fn send(
    stream: &TcpStream,
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
) -> io::Result<()> {
    send_head(stream, status, retry_after, body.len())?;
    send_bytes(stream, body)
}

/// Sends what comes before a body of this length.
pub(super) fn send_head(
    stream: &TcpStream,
    status: u16,
    retry_after: Option<&str>,
    len: usize,
) -> io::Result<()> {
    let retry_after =
        retry_after.map_or_else(String::new, |after| format!("Retry-After: {after}\r\n"));
    let head = format!(
        "HTTP/1.1 {status} Told so\r\nContent-Type: application/json\r\n{retry_after}Content-Length: {len}\r\n\r\n"
    );
    send_bytes(stream, head.as_bytes())
}

/// Sends an answer that has no end, until the client has had enough: the error that tells so.
pub(super) fn send_endlessly(stream: &TcpStream) -> io::Error {
    let head = "HTTP/1.1 200 Told so\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let start = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0"#;
    let more = ",0.125".repeat(4_096);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let (start, more) = (chunk(start), chunk(&more));
    let mut sent =
        send_bytes(stream, head.as_bytes()).and_then(|()| send_bytes(stream, start.as_bytes()));
    loop {
        if let Err(error) = sent {
            return error;
        }
        sent = send_bytes(stream, more.as_bytes());
    }
}

/// Sends these bytes.
pub(super) fn send_bytes(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)
}
