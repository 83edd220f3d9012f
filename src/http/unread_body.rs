//! The rest of a request's body that nobody wants to read.
//!
//! A request is often refused before its body has arrived. A connection that is closed with bytes unread is reset, and a
//! reset may overtake the answer: the client then sees a broken connection in place of why it was refused. So what is left
//! is read and thrown away, within bounds, while the answer is on its way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;

/// Most bytes that are read for nothing. Who announces more is not read at all.
const BYTES_MAX: u64 = 256 * 1024;

/// The longest that is waited for them.
const TIME_MAX: Duration = Duration::from_secs(2);

/// A body the rest of which is read when it is dropped.
pub(super) struct ReadToEnd {
    body: Body,
    is_over: bool,
}

impl ReadToEnd {
    /// Wraps a body, unless there is nothing to read.
    pub(super) fn around(body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(ReadToEnd {
            body,
            is_over: false,
        })
    }
}

impl HttpBody for ReadToEnd {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            this.is_over = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ReadToEnd {
    fn drop(&mut self) {
        let is_long = self.body.size_hint().lower() > BYTES_MAX;
        if self.is_over || self.body.is_end_stream() || is_long {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let rest = std::mem::take(&mut self.body);
            drop(runtime.spawn(tokio::time::timeout(TIME_MAX, read_out(rest))));
        }
    }
}

async fn read_out(mut body: Body) {
    let mut bytes = 0;
    while bytes <= BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::stream;

    use super::*;

    /// A body of pieces of a kilobyte that counts how many were read; it ends after `pieces` of them.
    fn body(pieces: u64) -> (Body, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&read);
        let stream = stream::unfold(0, move |piece| {
            let counter = Arc::clone(&counter);
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                (piece < pieces).then(|| {
                    counter.fetch_add(1, Ordering::Relaxed);
                    (Ok::<_, std::io::Error>(vec![0_u8; 1_024]), piece + 1)
                })
            }
        });
        (Body::from_stream(stream), read)
    }

    async fn read_after_drop(pieces: u64) -> u64 {
        let (body, read) = body(pieces);
        drop(ReadToEnd::around(body));
        tokio::time::sleep(2 * TIME_MAX).await;
        read.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_read_and_not_without_end() {
        assert_eq!(read_after_drop(100).await, 100);
        assert_eq!(read_after_drop(1_000_000).await, BYTES_MAX / 1_024 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_read_is_as_it_was() {
        let (body, _) = body(3);
        let bytes = ReadToEnd::around(body).collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len(), 3 * 1_024);
    }

    /// A body that announces its length and counts how often it was asked for bytes.
    struct Announced(u64, Arc<AtomicU64>);

    impl HttpBody for Announced {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(None)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_announces_more_is_not_read() {
        for (length, asked) in [(BYTES_MAX, 1), (BYTES_MAX + 1, 0)] {
            let polls = Arc::new(AtomicU64::new(0));
            let body = Body::new(Announced(length, Arc::clone(&polls)));
            drop(ReadToEnd::around(body));
            tokio::time::sleep(2 * TIME_MAX).await;
            assert_eq!(polls.load(Ordering::Relaxed), asked, "{length}");
        }
    }
}
