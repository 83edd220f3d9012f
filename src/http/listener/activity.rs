//! What happens on a connection, as its socket, its requests and their answers report it.
//!
//! Nothing here knows the time: [`Watch`](super::watch::Watch) looks after each step of the connection and draws the
//! conclusions, so that a request costs one reading of the clock and not one for each event.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The state of a connection, shared by those who report it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    seen: Mutex<Seen>,
    /// Beside the lock, because every read of the socket asks for it.
    is_head_overdue: AtomicBool,
    is_linger_over: AtomicBool,
}

/// What was seen on a connection so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) protocol: Protocol,
    /// Any byte came at all.
    pub(super) has_received: bool,
    /// The client closed the connection, or it broke.
    pub(super) is_peer_gone: bool,
    /// Bytes came that belong to the head of a request that did not begin yet; HTTP/1 only.
    pub(super) is_head_open: bool,
    /// The body of an answered request was not read to its end, so what comes next is the rest of it.
    is_rest_due: bool,
    /// Requests begun.
    pub(super) begun: u64,
    /// Requests begun whose answer is not written to its end.
    pub(super) in_flight: usize,
    /// Answers that the service has given.
    answered: u64,
    /// Answers that the service had given when hyper's buffers were last empty.
    flushed: u64,
    /// Pieces of answers that hyper holds and the client did not take yet.
    pub(super) owed: usize,
    /// Grows whenever such a piece moves.
    pub(super) delivered: u64,
    /// Grows whenever the socket takes bytes.
    pub(super) written: u64,
    /// The socket takes no bytes now.
    pub(super) is_blocked: bool,
    /// The connection is closed and reads what the client still sends.
    pub(super) is_lingering: bool,
    /// A head could not be read, and was answered without the service.
    pub(super) is_malformed: bool,
}

/// What a connection speaks, as its first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// So many bytes of HTTP/2's preface came, and nothing else.
    Unknown {
        /// The number of them.
        matched: usize,
    },
    Http1,
    Http2,
}

/// A request, from its head to the last byte of its answer.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
}

impl Activity {
    pub(super) fn seen(&self) -> Seen {
        *self.lock()
    }

    /// Bytes came.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut seen = self.lock();
        seen.has_received = true;
        seen.protocol = seen.protocol.after(bytes);
        let is_rest = mem::take(&mut seen.is_rest_due);
        seen.is_head_open = match seen.protocol {
            Protocol::Http2 => false,
            Protocol::Unknown { .. } | Protocol::Http1 => {
                seen.is_head_open || (seen.in_flight == 0 && !is_rest)
            }
        };
    }

    /// The client closed the connection, or it broke.
    pub(super) fn lost(&self) {
        self.lock().is_peer_gone = true;
    }

    /// The socket took bytes.
    pub(super) fn wrote(&self) {
        let mut seen = self.lock();
        seen.written += 1;
        seen.is_blocked = false;
    }

    /// The socket takes no bytes until the client reads.
    pub(super) fn blocked(&self) {
        self.lock().is_blocked = true;
    }

    /// Everything that hyper had to write is written.
    pub(super) fn flushed(&self) {
        let mut seen = self.lock();
        seen.flushed = seen.answered;
        if mem::take(&mut seen.is_blocked) {
            seen.written += 1;
        }
    }

    /// The connection is closed and reads what the client still sends.
    pub(super) fn lingers(&self) {
        self.lock().is_lingering = true;
    }

    /// Whether bytes that hyper writes now are no answer of the service: since its buffers were empty the service gave
    /// none, and none is being written.
    pub(super) fn is_unsolicited(&self) -> bool {
        let seen = self.lock();
        seen.protocol != Protocol::Http2 && seen.in_flight == 0 && seen.answered == seen.flushed
    }

    /// A head could not be read and is answered without the service.
    pub(super) fn malformed(&self) {
        self.lock().is_malformed = true;
    }

    /// The head that is being read takes too long: the socket's next read answers that and fails.
    pub(super) fn end_head(&self) {
        self.is_head_overdue.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_head_overdue(&self) -> bool {
        self.is_head_overdue.load(Ordering::Relaxed)
    }

    /// What the client still sends is read no longer.
    pub(super) fn end_linger(&self) {
        self.is_linger_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_linger_over(&self) -> bool {
        self.is_linger_over.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    /// A head is complete: its request begins.
    pub(super) fn begin(activity: &Arc<Activity>) -> Arc<InFlight> {
        let mut seen = activity.lock();
        seen.begun += 1;
        seen.in_flight += 1;
        seen.is_head_open = false;
        seen.is_rest_due = false;
        drop(seen);
        Arc::new(InFlight {
            activity: Arc::clone(activity),
        })
    }

    /// The service gave its answer.
    pub(super) fn answered(&self) {
        self.activity.lock().answered += 1;
    }

    /// The request's body was dropped before its end.
    pub(super) fn left_rest(&self) {
        self.activity.lock().is_rest_due = true;
    }

    /// A piece of the answer waits for the client.
    pub(super) fn owe(&self) {
        let mut seen = self.activity.lock();
        seen.owed += 1;
        seen.delivered += 1;
    }

    /// The client took a part of such a piece.
    pub(super) fn delivered(&self) {
        self.activity.lock().delivered += 1;
    }

    /// Such a piece is gone: taken, or dropped with its connection.
    pub(super) fn settle(&self) {
        let mut seen = self.activity.lock();
        seen.owed -= 1;
        seen.delivered += 1;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.lock().in_flight -= 1;
    }
}

impl Protocol {
    /// Returns what the connection speaks, after more of its bytes.
    fn after(self, bytes: &[u8]) -> Protocol {
        let Protocol::Unknown { matched } = self else {
            return self;
        };
        let rest = &HTTP2_PREFACE[matched..];
        let compared = rest.len().min(bytes.len());
        if bytes[..compared] != rest[..compared] {
            Protocol::Http1
        } else if compared == rest.len() {
            Protocol::Http2
        } else {
            Protocol::Unknown {
                matched: matched + compared,
            }
        }
    }
}

impl Default for Protocol {
    fn default() -> Protocol {
        Protocol::Unknown { matched: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::default())
    }

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        let check = |pieces: &[&[u8]], expected: Protocol| {
            let protocol = pieces
                .iter()
                .fold(Protocol::default(), |protocol, piece| protocol.after(piece));
            assert_eq!(protocol, expected);
        };
        check(&[], Protocol::Unknown { matched: 0 });
        check(&[b"PRI * H"], Protocol::Unknown { matched: 7 });
        check(&[b"GET / HTTP/1.1\r\n"], Protocol::Http1);
        check(&[b"P", b"OST / HTTP/1.1\r\n"], Protocol::Http1);
        check(
            &[b"PRI * HTTP/2.0\r\n", b"\r\nSM\r\n\r\n\0\0"],
            Protocol::Http2,
        );
        check(&[b"PRI * HTTP/2.0\r\n\r\nsm"], Protocol::Http1);
        check(&[HTTP2_PREFACE, b"GET"], Protocol::Http2);
        check(&[b"GET", HTTP2_PREFACE], Protocol::Http1);
    }

    #[test]
    fn a_head_is_open_from_its_first_byte_until_its_request_begins() {
        let activity = activity();
        assert!(!activity.seen().is_head_open);
        activity.received(b"GET / HT");
        assert!(activity.seen().is_head_open);
        let request = InFlight::begin(&activity);
        activity.received(b"a body");
        assert!(!activity.seen().is_head_open);
        drop(request);
        activity.received(b"GET");
        assert!(activity.seen().is_head_open);
    }

    #[test]
    fn the_rest_of_a_body_that_nobody_read_opens_no_head() {
        let activity = activity();
        activity.received(b"POST / HTTP/1.1\r\n");
        let request = InFlight::begin(&activity);
        request.left_rest();
        drop(request);
        activity.received(b"the rest");
        assert!(!activity.seen().is_head_open);
        activity.received(b"GET");
        assert!(activity.seen().is_head_open);
    }

    #[test]
    fn frames_of_http2_open_no_head() {
        let activity = activity();
        activity.received(&HTTP2_PREFACE[..5]);
        assert!(activity.seen().is_head_open);
        activity.received(&HTTP2_PREFACE[5..]);
        activity.received(b"frames");
        assert!(!activity.seen().is_head_open);
    }

    #[test]
    fn what_is_written_belongs_to_the_service_until_its_answer_is_flushed() {
        let activity = activity();
        activity.received(b"GET");
        assert!(activity.is_unsolicited());
        let request = InFlight::begin(&activity);
        assert!(!activity.is_unsolicited());
        request.answered();
        drop(request);
        assert!(!activity.is_unsolicited());
        activity.flushed();
        assert!(activity.is_unsolicited());
    }
}
