//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use axum::{BoxError, Router};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::{Activity, InFlight, Protocol};
use super::bodies::{AnswerBody, RequestBody};
use super::guarded_io::GuardedIo;
use super::limits::{HYPER_BUFFER_MIN, HYPER_HEADERS_MAX, LINGER};
use super::raw_answer::RawAnswer;
use super::watch::Watch;
use super::{CloseReason, Limits, Peer, Stop, StopPhase};

/// Serves connections with a router.
pub(super) struct Http {
    router: Router,
    limits: Arc<Limits>,
    builder: auto::Builder<TokioExecutor>,
}

/// Hands the requests of one connection to the router.
struct Requests {
    router: Router,
    activity: Arc<Activity>,
    peer: Peer,
    limits: Arc<Limits>,
}

impl Http {
    pub(super) fn new(router: Router, limits: Arc<Limits>) -> Http {
        Http {
            router,
            builder: builder(&limits),
            limits,
        }
    }

    /// Serves a connection until it ends, and says why it did.
    pub(super) async fn serve<S>(&self, io: S, peer: Peer, mut stop: Stop) -> CloseReason
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let activity = Arc::new(Activity::default());
        let requests = Requests {
            router: self.router.clone(),
            activity: Arc::clone(&activity),
            peer,
            limits: Arc::clone(&self.limits),
        };
        let io = TokioIo::new(GuardedIo::new(io, Arc::clone(&activity)));
        let mut connection = pin!(self.builder.serve_connection(io, requests));
        let mut watch = Watch::new(Arc::clone(&activity), Arc::clone(&self.limits));
        let mut is_draining = false;
        loop {
            tokio::select! {
                // The watch looks at what the connection has just done.
                biased;
                result = connection.as_mut() => {
                    return reason_of_end(&activity, &result, is_draining);
                }
                reason = watch.expired() => {
                    match reason {
                        // Over HTTP/2 the client is told which requests were seen, and has a moment to say goodbye.
                        CloseReason::Idle => {
                            connection.as_mut().graceful_shutdown();
                            let _ = tokio::time::timeout(LINGER, connection.as_mut()).await;
                        }
                        // hyper waits for the head: it reads once more, and the socket answers in its stead.
                        CloseReason::Header => {
                            activity.end_head();
                            poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx).is_ready())).await;
                        }
                        // The client goes on sending; why the connection ended hyper says once nobody reads that.
                        CloseReason::Client => {
                            activity.end_linger();
                            let end = poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await;
                            let result = match end {
                                Poll::Ready(result) => result,
                                Poll::Pending => Ok(()),
                            };
                            return reason_of_end(&activity, &result, is_draining);
                        }
                        CloseReason::FirstByte
                        | CloseReason::WriteStall
                        | CloseReason::Tls
                        | CloseReason::Protocol
                        | CloseReason::Shutdown => {}
                    }
                    return reason;
                }
                () = stop.reached(StopPhase::Draining), if !is_draining => {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = InFlight::begin(&self.activity);
        // hyper counts the fields of HTTP/1 alone, and the bytes of a head only where it comes in pieces.
        let is_within = request.headers().len() <= self.limits.headers_max
            && head_bytes(&request) <= self.limits.header_bytes_max;
        let is_http1 = request.version() < Version::HTTP_2;
        if !is_within && is_http1 {
            self.activity.malformed();
        }
        let mut request = request.map(|body| RequestBody::new(body, Arc::clone(&in_flight)));
        request.extensions_mut().insert(self.peer);
        let mut router = self.router.clone();
        Box::pin(async move {
            let response = if is_within {
                let Ok(response) = tower::Service::call(&mut router, request).await;
                response
            } else {
                drop(request);
                let mut refusal = RawAnswer::HeadersTooLarge.response();
                if is_http1 {
                    refusal
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                refusal
            };
            in_flight.answered();
            Ok(response.map(|body| AnswerBody::new(body, in_flight)))
        })
    }
}

/// Returns the size of a head as it is sent by HTTP/1.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let fields = request.headers().iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    let target = request.uri().path_and_query();
    fields + target.map_or(0, |target| target.as_str().len())
}

/// Returns hyper with the limits that it keeps itself. Its own timeout of heads stays off: it runs between requests as
/// well, where a client may pause for longer, and not before it knows the protocol.
fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes_max.max(HYPER_BUFFER_MIN));
    if limits.headers_max != HYPER_HEADERS_MAX {
        builder.http1().max_headers(limits.headers_max);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams_max)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .max_pending_accept_reset_streams(limits.pending_resets_max)
        .max_local_error_reset_streams(limits.local_resets_max);
    builder
}

fn reason_of_end(
    activity: &Activity,
    result: &Result<(), BoxError>,
    is_draining: bool,
) -> CloseReason {
    let seen = activity.seen();
    if seen.is_malformed {
        return CloseReason::Protocol;
    }
    if is_draining {
        return CloseReason::Shutdown;
    }
    match result {
        // A ping that the client did not answer.
        Err(error)
            if error
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_timeout) =>
        {
            CloseReason::Idle
        }
        Err(_) if seen.protocol == Protocol::Http2 && !seen.is_peer_gone => CloseReason::Protocol,
        // Errors of HTTP/1 that were not answered are connections that ended within a request.
        Ok(()) | Err(_) => CloseReason::Client,
    }
}

#[cfg(test)]
mod tests;
