//! When a connection has taken too long, and for what.
//!
//! One deadline holds at a time, by what the connection waits for: the client's first byte, the rest of a head, the
//! next request, or that the client takes its answer. While a request is being worked on there is none: that time has
//! limits of its own, elsewhere.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

use super::activity::{Activity, Protocol, Seen};
use super::limits::LINGER;
use super::{CloseReason, Limits};

/// Looks at a connection after each of its steps, and wakes it when its time is over.
#[derive(Debug)]
pub(super) struct Watch {
    activity: Arc<Activity>,
    limits: Arc<Limits>,
    waits: Waits,
    sleep: Pin<Box<Sleep>>,
}

/// Since when a connection waits for what.
#[derive(Debug)]
struct Waits {
    last: Seen,
    opened: Instant,
    head_since: Instant,
    quiet_since: Instant,
    blocked_since: Instant,
    owed_since: Instant,
    lingering_since: Instant,
}

impl Watch {
    /// Watches a connection that is opened now.
    pub(super) fn new(activity: Arc<Activity>, limits: Arc<Limits>) -> Watch {
        let now = Instant::now();
        Watch {
            waits: Waits::new(now),
            sleep: Box::pin(tokio::time::sleep_until(now + limits.first_byte)),
            activity,
            limits,
        }
    }

    /// Waits until the connection has taken too long. It must be polled after the connection whenever that is polled.
    pub(super) async fn expired(&mut self) -> CloseReason {
        poll_fn(|cx| self.poll_expired(cx)).await
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        loop {
            let now = Instant::now();
            self.waits.observe(self.activity.seen(), now);
            let wake_at = match self.waits.deadline(&self.limits) {
                Some((deadline, reason)) if deadline <= now => return Poll::Ready(reason),
                Some((deadline, _)) => deadline,
                // A request of HTTP/2 can end without a step of the connection, when its client resets it; so this
                // looks again, no later than the next deadline could be.
                None => now + self.limits.idle.min(self.limits.write_stall),
            };
            // A timer that fires too early only looks again; to set it anew at every request would cost more.
            if self.sleep.is_elapsed() || wake_at < self.sleep.deadline() {
                self.sleep.as_mut().reset(wake_at);
            }
            ready!(self.sleep.as_mut().poll(cx));
        }
    }
}

impl Waits {
    fn new(now: Instant) -> Waits {
        Waits {
            last: Seen::default(),
            opened: now,
            head_since: now,
            quiet_since: now,
            blocked_since: now,
            owed_since: now,
            lingering_since: now,
        }
    }

    /// Takes note of what changed. A wait begins where what it waits for became due, or where part of it came.
    fn observe(&mut self, seen: Seen, now: Instant) {
        let last = mem::replace(&mut self.last, seen);
        let has_begun = seen.begun != last.begun;
        let has_written = seen.written != last.written;
        if !last.is_head_open || has_begun {
            self.head_since = now;
        }
        // Over HTTP/1 nothing but answers is written; over HTTP/2 pings are, and they keep no connection.
        if last.in_flight > 0 || has_begun || (has_written && seen.protocol != Protocol::Http2) {
            self.quiet_since = now;
        }
        if !last.is_blocked || has_written {
            self.blocked_since = now;
        }
        if last.owed == 0 || seen.delivered != last.delivered {
            self.owed_since = now;
        }
        if !last.is_lingering {
            self.lingering_since = now;
        }
    }

    /// Returns what the connection waits for and how long it may.
    fn deadline(&self, limits: &Limits) -> Option<(Instant, CloseReason)> {
        let seen = &self.last;
        if seen.is_lingering {
            Some((self.lingering_since + LINGER, CloseReason::Client))
        } else if seen.is_blocked {
            Some((
                self.blocked_since + limits.write_stall,
                CloseReason::WriteStall,
            ))
        } else if seen.owed > 0 {
            // The socket takes bytes, but not these: a client of HTTP/2 that opens no window.
            Some((
                self.owed_since + limits.write_stall,
                CloseReason::WriteStall,
            ))
        } else if seen.in_flight > 0 {
            None
        } else if !seen.has_received {
            Some((self.opened + limits.first_byte, CloseReason::FirstByte))
        } else if seen.is_head_open {
            Some((self.head_since + limits.header, CloseReason::Header))
        } else {
            Some((self.quiet_since + limits.idle, CloseReason::Idle))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::activity::InFlight;
    use super::*;

    /// A connection whose clock the test moves.
    struct Script {
        activity: Arc<Activity>,
        waits: Waits,
        opened: Instant,
        now: Instant,
    }

    impl Script {
        fn new() -> Script {
            let now = Instant::now();
            Script {
                activity: Arc::default(),
                waits: Waits::new(now),
                opened: now,
                now,
            }
        }

        fn step(&mut self, seconds: u64, event: impl FnOnce(&Arc<Activity>)) {
            self.now += Duration::from_secs(seconds);
            event(&self.activity);
            self.waits.observe(self.activity.seen(), self.now);
        }

        /// Checks the deadline that holds now, in seconds from the start.
        #[track_caller]
        fn check(&self, expected: impl Into<Option<(u64, CloseReason)>>) {
            let deadline = self.waits.deadline(&Limits::default());
            let seconds = deadline.map(|(at, reason)| ((at - self.opened).as_secs(), reason));
            assert_eq!(seconds, expected.into());
        }
    }

    #[test]
    fn each_wait_of_a_connection_has_its_own_deadline() {
        let mut script = Script::new();
        script.check((10, CloseReason::FirstByte));
        script.step(3, |activity| activity.received(b"GET / HT"));
        script.check((13, CloseReason::Header));
        // More bytes of the same head give it no more time.
        script.step(2, |activity| activity.received(b"TP/1.1\r\n"));
        script.check((13, CloseReason::Header));

        let mut request = None;
        script.step(1, |activity| request = Some(InFlight::begin(activity)));
        script.check(None);
        script.step(94, |_| {});
        script.check(None);
        script.step(0, |activity| {
            drop(request.take());
            activity.wrote();
            activity.flushed();
        });
        script.check((100 + 75, CloseReason::Idle));
        script.step(70, |activity| activity.received(b"GET"));
        script.check((170 + 10, CloseReason::Header));
    }

    #[test]
    fn a_head_that_follows_another_within_one_step_has_its_whole_time() {
        let mut script = Script::new();
        script.step(0, |activity| activity.received(b"GET"));
        script.step(9, |activity| {
            activity.received(b" / HTTP/1.1\r\n\r\n");
            drop(InFlight::begin(activity));
            activity.received(b"GET");
        });
        script.check((9 + 10, CloseReason::Header));
    }

    #[test]
    fn a_slow_client_has_time_as_long_as_it_takes_something() {
        let mut script = Script::new();
        script.step(0, |activity| activity.received(b"GET / HTTP/1.1\r\n\r\n"));
        script.step(0, |activity| drop(InFlight::begin(activity)));
        script.step(0, |activity| activity.blocked());
        script.check((30, CloseReason::WriteStall));
        script.step(20, |activity| {
            activity.wrote();
            activity.blocked();
        });
        script.check((50, CloseReason::WriteStall));
        script.step(29, |activity| {
            activity.wrote();
            activity.flushed();
        });
        script.check((49 + 75, CloseReason::Idle));
    }

    #[test]
    fn pings_of_http2_keep_no_connection_and_no_answer() {
        let mut script = Script::new();
        script.step(0, |activity| {
            activity.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        });
        script.check((75, CloseReason::Idle));
        script.step(20, |activity| {
            activity.wrote();
            activity.received(b"pong");
        });
        script.check((75, CloseReason::Idle));

        let mut request = None;
        script.step(20, |activity| {
            let begun = InFlight::begin(activity);
            begun.owe();
            request = Some(begun);
        });
        script.check((40 + 30, CloseReason::WriteStall));
        script.step(20, |activity| activity.wrote());
        script.check((40 + 30, CloseReason::WriteStall));
        script.step(5, |_| {
            if let Some(request) = &request {
                request.delivered();
            }
        });
        script.check((65 + 30, CloseReason::WriteStall));
        script.step(5, |_| {
            if let Some(request) = request.take() {
                request.settle();
            }
        });
        script.check((70 + 75, CloseReason::Idle));
    }

    #[test]
    fn a_closed_connection_lingers_for_a_moment() {
        let mut script = Script::new();
        script.step(4, |activity| activity.lingers());
        script.check((5, CloseReason::Client));
        script.step(0, |activity| activity.received(b"more"));
        script.check((5, CloseReason::Client));
    }
}
