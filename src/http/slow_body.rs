//! A request's body that must arrive at a least rate.
//!
//! Only waiting for the client counts: a body that nobody asks for, because its request stands in a queue, may rest.
//! Each byte that arrives buys time, but no more than [`PATIENCE_MAX`], so that a client cannot send a megabyte and
//! then nothing for a quarter of an hour.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Far below the slowest link that anybody works over, and yet 4,000 connections at this rate do no harm.
const BYTES_PER_SECOND: u32 = 1_000;

/// The time that a client has before its first byte, and to get up to speed.
const GRACE: Duration = Duration::from_secs(5);

/// The longest silence that a client can earn: a change of networks, a lost link that TCP recovers.
const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// The body arrives too slowly; an answer to its request is 408.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body arrives at less than {} bytes a second", BYTES_PER_SECOND)]
pub(super) struct SlowBody;

/// A body that fails with [`SlowBody`] when it arrives at less than 1 kB a second, after a grace of 5 s.
#[derive(Debug)]
pub(super) struct PacedBody<B> {
    body: B,
    /// How much longer its client may be waited for.
    patience: Duration,
    /// When the patience of the wait that goes on ends.
    waits_until: Option<Instant>,
    /// Made at the first wait: most bodies arrive with their heads.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl SlowBody {
    /// Whether an error says so, itself or by what caused it.
    pub(super) fn is_in(error: &(dyn Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<SlowBody>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

impl<B> PacedBody<B> {
    /// Paces a body from its first wait on.
    pub(super) fn new(body: B) -> PacedBody<B> {
        PacedBody {
            body,
            patience: GRACE,
            waits_until: None,
            sleep: None,
        }
    }

    /// Takes note of bytes that arrived.
    fn arrived(&mut self, bytes: usize) {
        if let Some(until) = self.waits_until.take() {
            self.patience = until.saturating_duration_since(Instant::now());
        }
        let earned = Duration::from_secs(bytes as u64) / BYTES_PER_SECOND;
        self.patience = (self.patience + earned).min(PATIENCE_MAX);
    }

    /// Waits until the client was waited for too long.
    fn poll_impatient(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self
            .waits_until
            .unwrap_or_else(|| Instant::now() + self.patience);
        self.waits_until = Some(until);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx)
    }
}

impl<B> Body for PacedBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.arrived(frame.data_ref().map_or(0, |data| data.remaining()));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => this.poll_impatient(cx).map(|()| Some(Err(SlowBody.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use http_body_util::BodyExt;
    use tokio::time::{advance, sleep};

    use super::*;

    /// A body that waits before each of its pieces: seconds, then bytes.
    fn body(pieces: &'static [(u64, usize)]) -> PacedBody<axum::body::Body> {
        let stream = futures_util::stream::unfold(pieces.iter(), |mut pieces| async move {
            let (seconds, bytes) = *pieces.next()?;
            sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, BoxError>(Bytes::from(vec![0_u8; bytes])), pieces))
        });
        PacedBody::new(axum::body::Body::from_stream(stream))
    }

    /// Reads a body and checks after how many seconds it ended, and whether it was whole.
    async fn check(pieces: &'static [(u64, usize)], seconds: u64, is_whole: bool) {
        let started = Instant::now();
        let read = body(pieces).collect().await;
        assert_eq!(started.elapsed().as_secs(), seconds, "{pieces:?}");
        match read {
            Ok(_) => assert!(is_whole, "{pieces:?}"),
            Err(error) => {
                assert!(!is_whole, "{pieces:?}");
                assert!(SlowBody::is_in(&*error));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_grace_and_then_its_rate() {
        check(&[(0, 100)], 0, true).await;
        check(&[(4, 1)], 4, true).await;
        check(&[(6, 1)], 5, false).await;
        check(&[], 0, true).await;
        // A byte a second uses up the grace.
        check(&[(1, 1); 10], 5, false).await;
        // At the least rate it never ends.
        check(&[(2, 2_000); 100], 200, true).await;
        check(&[(2, 1_000); 100], 9, false).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_start_buys_a_pause_and_not_a_long_one() {
        check(&[(0, 1_000_000), (29, 1)], 29, true).await;
        check(&[(0, 1_000_000), (40, 1)], 30, false).await;
        check(&[(0, 1_000_000), (20, 1), (20, 1)], 30, false).await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_for_the_client_counts() {
        let mut body = body(&[(0, 100), (3, 100), (3, 100)]);
        body.frame().await.unwrap().unwrap();
        advance(Duration::from_secs(600)).await;
        body.frame().await.unwrap().unwrap();
        advance(Duration::from_secs(600)).await;
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(SlowBody::is_in(&*error));
    }

    #[test]
    fn the_error_is_found_under_what_axum_puts_around_it() {
        let wrapped = axum::Error::new(axum::Error::new(SlowBody));
        assert!(SlowBody::is_in(&wrapped));
        assert!(!SlowBody::is_in(&std::fmt::Error));
        assert_eq!(
            wrapped.to_string(),
            "the body arrives at less than 1000 bytes a second"
        );
    }
}
