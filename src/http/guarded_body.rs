//! A request's body that is read no further while memory is very short.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use crate::engine::serving::memory_guard::{LOOK_EVERY_BYTES, MemoryGuard};

/// A body that fails with [`Error::Busy`](crate::error::Error::Busy) when it is large and memory is very short.
#[derive(Debug)]
pub(super) struct GuardedBody<'a, B> {
    body: B,
    guard: &'a MemoryGuard,
    read: u64,
    looked_at: u64,
}

impl<'a, B> GuardedBody<'a, B> {
    pub(super) fn new(body: B, guard: &'a MemoryGuard) -> GuardedBody<'a, B> {
        GuardedBody {
            body,
            guard,
            read: 0,
            looked_at: 0,
        }
    }
}

impl<B> Body for GuardedBody<'_, B>
where
    B: Body<Error = BoxError> + Unpin,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            this.read += frame.data_ref().map_or(0, |data| data.remaining()) as u64;
            if this.read >= this.looked_at + LOOK_EVERY_BYTES {
                this.looked_at = this.read;
                this.guard.look();
            }
            if let Err(error) = this.guard.check_body(this.read) {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
