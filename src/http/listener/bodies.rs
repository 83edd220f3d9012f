//! The bodies of requests and answers, as far as the connection's deadlines depend on them.
//!
//! A request is in flight until its answer is *written*, not until the service returns it. hyper drops a piece of an
//! answer once it is written, over HTTP/1 as over HTTP/2, so each piece carries the request along.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::activity::InFlight;

/// The body of a request, which reports when it is dropped before its end.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: Incoming,
    in_flight: Arc<InFlight>,
}

/// The body of an answer, which keeps its request in flight.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    in_flight: Arc<InFlight>,
}

/// A piece of an answer, which reports when the client takes it.
#[derive(Debug)]
pub(super) struct AnswerBytes {
    bytes: Bytes,
    in_flight: Arc<InFlight>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, in_flight: Arc<InFlight>) -> RequestBody {
        RequestBody { body, in_flight }
    }
}

impl AnswerBody {
    pub(super) fn new(body: Body, in_flight: Arc<InFlight>) -> AnswerBody {
        AnswerBody { body, in_flight }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.in_flight.left_rest();
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = AnswerBytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<AnswerBytes>, axum::Error>>> {
        let this = self.get_mut();
        let in_flight = &this.in_flight;
        Pin::new(&mut this.body)
            .poll_frame(cx)
            .map_ok(|frame| frame.map_data(|bytes| AnswerBytes::new(bytes, Arc::clone(in_flight))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AnswerBytes {
    fn new(bytes: Bytes, in_flight: Arc<InFlight>) -> AnswerBytes {
        in_flight.owe();
        AnswerBytes { bytes, in_flight }
    }
}

impl Buf for AnswerBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.in_flight.delivered();
    }
}

impl Drop for AnswerBytes {
    fn drop(&mut self) {
        self.in_flight.settle();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::activity::Activity;
    use super::*;

    #[tokio::test]
    async fn a_request_is_in_flight_until_the_last_piece_of_its_answer_is_taken() {
        let activity = Arc::new(Activity::default());
        let in_flight = InFlight::begin(&activity);
        let mut body = AnswerBody::new(Body::from("answer"), in_flight);
        assert_eq!(body.size_hint().exact(), Some(6));
        let mut piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert_eq!((activity.seen().in_flight, activity.seen().owed), (1, 1));
        assert_eq!(piece.chunk(), b"answer");

        let before = activity.seen().delivered;
        piece.advance(3);
        assert!(activity.seen().delivered > before);
        assert_eq!(piece.chunk(), b"wer");
        drop(piece);
        assert_eq!((activity.seen().in_flight, activity.seen().owed), (0, 0));
    }
}
