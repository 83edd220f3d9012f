//! The socket under hyper: it reports what passes, and gives a body to the answers that hyper gives by itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::{Activity, Protocol};
use super::raw_answer::RawAnswer;

/// What a closed connection reads at once of what its client still sends.
const LINGER_BYTES: usize = 4 * 1_024;

/// A socket, or TLS over one.
#[derive(Debug)]
pub(super) struct GuardedIo<S> {
    io: S,
    activity: Arc<Activity>,
    /// What is left to write of the answer that takes the place of hyper's. hyper writes nothing after its own.
    replacement: Option<&'static [u8]>,
    is_shut: bool,
    /// The client still sends although the connection is closed, or is likely to.
    is_lingering: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedIo<S> {
    pub(super) fn new(io: S, activity: Arc<Activity>) -> GuardedIo<S> {
        GuardedIo {
            io,
            activity,
            replacement: None,
            is_shut: false,
            is_lingering: false,
        }
    }

    /// Whether the bytes that hyper writes next are an answer of its own.
    fn replaces(&mut self, start: &[u8]) -> bool {
        if self.replacement.is_none()
            && let Some(answer) = RawAnswer::in_place_of(start)
            && self.activity.is_unsolicited()
        {
            self.activity.malformed();
            self.replacement = Some(answer.bytes());
            self.is_lingering = true;
        }
        self.replacement.is_some()
    }

    /// Writes our answer, and says then that hyper's `len` bytes are written.
    fn poll_replacement(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        while let Some(rest) = self.replacement.filter(|rest| !rest.is_empty()) {
            let written = Pin::new(&mut self.io).poll_write(cx, rest);
            let written = ready!(self.noted(written))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.replacement = Some(&rest[written..]);
        }
        Poll::Ready(Ok(len))
    }

    fn noted<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Ready(Ok(_)) => self.activity.wrote(),
            Poll::Ready(Err(_)) => self.activity.lost(),
            Poll::Pending => self.activity.blocked(),
        }
        result
    }

    /// Tells a client of HTTP/1 that its request took too long, as far as that needs no waiting: nothing else is being
    /// written, so the few bytes fit, and if they do not the client reads nothing.
    fn end_head(&mut self, cx: &mut Context<'_>) -> io::Error {
        if self.activity.seen().protocol != Protocol::Http2 {
            let mut io = Pin::new(&mut self.io);
            let answer = RawAnswer::RequestTimeout.bytes();
            if let Poll::Ready(Ok(_)) = io.as_mut().poll_write(cx, answer) {
                let _ = io.as_mut().poll_flush(cx);
                let _ = io.poll_shutdown(cx);
            }
        }
        io::ErrorKind::TimedOut.into()
    }

    /// Reads what the client still sends, until it closes the connection too or the watch ends it.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; LINGER_BYTES];
        while !self.activity.is_linger_over() {
            let mut bytes = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.io).poll_read(cx, &mut bytes) {
                Poll::Ready(Ok(())) if !bytes.filled().is_empty() => self.is_lingering = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.is_lingering => {
                    self.activity.lingers();
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.activity.is_head_overdue() {
            return Poll::Ready(Err(this.end_head(cx)));
        }
        let (before, room) = (buf.filled().len(), buf.remaining());
        let result = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
        let received = &buf.filled()[before..];
        if !received.is_empty() {
            this.activity.received(received);
        } else if result.is_err() || room > 0 {
            this.activity.lost();
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replaces(buf) {
            return this.poll_replacement(cx, buf.len());
        }
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.noted(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // An answer of hyper's own is a head and nothing else.
        if let Some(only) = only_filled(bufs)
            && this.replaces(only)
        {
            return this.poll_replacement(cx, only.len());
        }
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper calls this once its own buffer is written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_flush(cx);
        match &result {
            Poll::Ready(Ok(())) => this.activity.flushed(),
            Poll::Ready(Err(_)) => this.activity.lost(),
            Poll::Pending => this.activity.blocked(),
        }
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            let result = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.noted(result))?;
            this.is_shut = true;
        }
        this.poll_linger(cx).map(Ok)
    }
}

/// Returns the buffer that has bytes, if only one has.
fn only_filled<'a>(bufs: &'a [IoSlice<'_>]) -> Option<&'a [u8]> {
    let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
    let only = filled.next()?;
    filled.next().is_none().then_some(&**only)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::super::activity::InFlight;
    use super::*;

    /// As hyper writes it.
    const HYPER_431: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
        content-length: 0\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n";

    /// A socket that takes seven bytes at a time, and what comes out of it when `write` wrote into the other end.
    async fn written<W: Future<Output = ()>>(
        activity: &Arc<Activity>,
        write: impl FnOnce(GuardedIo<DuplexStream>) -> W,
    ) -> Vec<u8> {
        let (mut client, server) = duplex(7);
        let mut bytes = Vec::new();
        let (read, ()) = tokio::join!(
            client.read_to_end(&mut bytes),
            write(GuardedIo::new(server, Arc::clone(activity)))
        );
        read.unwrap();
        bytes
    }

    async fn write_whole(mut io: GuardedIo<DuplexStream>) {
        io.write_all(HYPER_431).await.unwrap();
        io.flush().await.unwrap();
    }

    async fn write_vectored(mut io: GuardedIo<DuplexStream>) {
        let slices = [
            IoSlice::new(b""),
            IoSlice::new(HYPER_431),
            IoSlice::new(b""),
        ];
        let written = io.write_vectored(&slices).await.unwrap();
        assert_eq!(written, HYPER_431.len());
        io.flush().await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_of_hyper_gets_a_body_however_slowly_it_leaves() {
        for protocol in [&b"GARBAGE"[..], b"PRI"] {
            let activity = Arc::new(Activity::default());
            activity.received(protocol);
            let expected = RawAnswer::HeadersTooLarge.bytes();
            assert_eq!(written(&activity, write_whole).await, expected);
            assert_eq!(written(&activity, write_vectored).await, expected);
            assert!(activity.seen().is_malformed);
        }
    }

    #[tokio::test]
    async fn an_answer_of_the_service_passes_unchanged() {
        let activity = Arc::new(Activity::default());
        activity.received(b"GET");
        let request = InFlight::begin(&activity);
        assert_eq!(written(&activity, write_whole).await, HYPER_431);
        // Given but not flushed, even with nothing left of the request.
        let activity = Arc::new(Activity::default());
        let answered = InFlight::begin(&activity);
        answered.answered();
        drop(answered);
        assert_eq!(written(&activity, write_whole).await, HYPER_431);
        assert!(!activity.seen().is_malformed);
        drop(request);
    }

    #[tokio::test]
    async fn what_comes_with_a_body_is_no_answer_of_hyper() {
        let activity = Arc::new(Activity::default());
        let bytes = written(&activity, |mut io| async move {
            let slices = [IoSlice::new(HYPER_431), IoSlice::new(b"body")];
            let first = io.write_vectored(&slices).await.unwrap();
            assert_eq!(first, 7);
            io.write_all(&HYPER_431[first..]).await.unwrap();
            io.write_all(b"body").await.unwrap();
        })
        .await;
        assert_eq!(bytes, [HYPER_431, b"body"].concat());
    }

    #[tokio::test]
    async fn an_overdue_head_is_answered_and_ends_the_reading() {
        let (mut client, server) = duplex(4_096);
        let activity = Arc::new(Activity::default());
        let mut io = GuardedIo::new(server, Arc::clone(&activity));
        activity.received(b"GET");
        activity.end_head();
        let error = io.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, RawAnswer::RequestTimeout.bytes());
    }

    #[tokio::test]
    async fn a_closed_connection_reads_what_was_sent_already() {
        let (mut client, server) = duplex(64);
        let activity = Arc::new(Activity::default());
        let mut io = GuardedIo::new(server, Arc::clone(&activity));
        // Nothing is on its way: closed at once.
        io.shutdown().await.unwrap();
        assert!(!activity.seen().is_lingering);

        client.write_all(b"the rest of a body").await.unwrap();
        let (closed, ()) = tokio::join!(io.shutdown(), async {
            client.write_all(b"and more of it").await.unwrap();
            assert!(activity.seen().is_lingering);
            drop(client);
        });
        closed.unwrap();
    }
}
