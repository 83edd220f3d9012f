//! One connection: a request, its answer, the next request.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::board::{Board, Counted};
use crate::engine::bench::overload::answer::{Answer, AnswerReader};
use crate::engine::bench::overload::plan::StreamPlan;
use crate::engine::bench::overload::tally::End;

/// Room for an answer: most fit, others are read in pieces.
const BUFFER_BYTES: usize = 16 * 1024;

/// A request that is to be sent.
#[derive(Debug)]
pub(super) struct Job {
    /// Which of the stream's.
    pub(super) request: usize,
    /// When it was due.
    pub(super) due: Instant,
    /// Where it counts.
    pub(super) counted: Option<Counted>,
}

/// A connection that is made when it is needed, and made anew when it was closed.
pub(super) struct Connection {
    stream: Arc<StreamPlan>,
    socket: Option<TcpStream>,
    reader: AnswerReader,
    buffer: Vec<u8>,
}

/// Does jobs until there are no more. The place is the stream's number and the connection's number in it.
pub(super) async fn serve(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Job>,
    board: Arc<Board>,
    place: (usize, usize),
) {
    loop {
        let job = tokio::select! {
            // A job is there more often than an end.
            biased;
            job = jobs.recv() => job,
            () = connection.closed() => continue,
        };
        let Some(job) = job else { return };
        let end = connection.ask(job.request).await;
        let latency = Instant::now().saturating_duration_since(job.due);
        board.give_back(place, latency, job.counted, end);
    }
}

impl Connection {
    /// One that is not connected yet.
    pub(super) fn new(stream: Arc<StreamPlan>) -> Connection {
        Connection {
            stream,
            socket: None,
            reader: AnswerReader::default(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Sends a request and waits for its answer, as long as somebody would.
    async fn ask(&mut self, request: usize) -> End {
        let time_max = Duration::from_millis(self.stream.give_up_ms);
        let end = match tokio::time::timeout(time_max, self.exchange(request)).await {
            Ok(Ok(answer)) => End::Answered(answer),
            Ok(Err(_)) => End::Broken,
            Err(_) => End::GivenUp,
        };
        let is_kept = matches!(end, End::Answered(answer) if !answer.is_last);
        if !is_kept {
            self.socket = None;
            self.reader = AnswerReader::default();
        }
        end
    }

    async fn exchange(&mut self, request: usize) -> io::Result<Answer> {
        if self.socket.is_none() {
            let socket = TcpStream::connect(self.stream.server).await?;
            socket.set_nodelay(true)?;
            self.socket = Some(socket);
        }
        let socket = self.socket.as_mut().expect("it is connected by now");
        let request = &self.stream.requests[request];
        socket.write_all(request.as_bytes()).await?;
        loop {
            let answer = match socket.read(&mut self.buffer).await? {
                0 => Some(self.reader.end()?),
                count => self.reader.push(&self.buffer[..count])?,
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }

    /// Waits between two requests until the server closes the connection, as it may at any time.
    async fn closed(&mut self) {
        let Some(socket) = &self.socket else {
            return pending().await;
        };
        // That there is something to read may be a rumour; and who says something unasked is not understood any more.
        while socket.readable().await.is_ok() {
            match socket.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.socket = None;
    }
}
