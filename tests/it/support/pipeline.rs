//! Requests that follow each other over one connection without waiting for their answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::server::status_of;

/// A connection on which everything is asked at once. Each answer must say how long it is.
pub struct Pipeline {
    stream: BufReader<TcpStream>,
}

impl Pipeline {
    pub fn over(stream: TcpStream) -> Pipeline {
        stream.set_nodelay(true).unwrap();
        Pipeline {
            stream: BufReader::new(stream),
        }
    }

    /// Sends requests, so few that they fit the buffers of both sides, and returns the statuses of their answers.
    pub fn ask(&mut self, requests: &str, count: usize) -> io::Result<Vec<u16>> {
        self.stream.get_mut().write_all(requests.as_bytes())?;
        (0..count).map(|_| self.status()).collect()
    }

    fn status(&mut self) -> io::Result<u16> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = status_of(&line);
        let mut length = 0;
        while !line.trim_end().is_empty() {
            line.clear();
            self.stream.read_line(&mut line)?;
            let field = line.split_once(':');
            if let Some((name, value)) = field
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        if status == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let body = &mut self.stream.by_ref().take(length);
        io::copy(body, &mut io::sink())?;
        Ok(status)
    }
}
