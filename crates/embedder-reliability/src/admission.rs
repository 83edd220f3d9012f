//! How much the service takes on at a time, and who goes first.
//!
//! A service that accepts everything answers nobody in time. [`Admission`] lets so many requests in as keep the work going
//! without a standing queue ([`AdaptiveLimit`]), lets a burst wait a moment, and refuses the rest at once, which costs a
//! hundredth of an answer. It is fair: each caller has an equal share, and what is free goes to whoever has had least lately.
//!
//! Guarantees:
//! * Never more requests are in than the limit, and never more wait than [`AdmissionPolicy::waiting_max`].
//! * Nobody waits longer than [`AdmissionPolicy::wait_max`], nor beyond a deadline.
//! * While all is taken, those wait who have less than their share in, or have had less than others lately; the rest is
//!   refused. So a caller that asks for twenty times its share takes nothing from the others.
//! * Requests of a lower [`Priority`] wait behind those of a higher one, and are refused sooner.
//!
//! The caller keeps one behind a lock, and hands in what wakes somebody who waits.

mod callers;
mod limit;
mod waiting;

#[cfg(all(test, not(loom)))]
mod tests;

use std::time::Duration;

use callers::Callers;
pub use limit::{AdaptiveLimit, LimitPolicy, Served};
use waiting::Waiting;

use crate::Timestamp;

/// What a caller may always have in and waiting, whatever its share: a few at once are no flood.
const SHARE_MIN: usize = 4;

/// From which share of the limit, lately, all counts as taken.
const TAKEN: f64 = 0.85;

/// How fast the memory of how much was taken fades.
const FADING: Duration = Duration::from_millis(200);

/// Who is asking, to share fairly among: a key, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallerId(pub u64);

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody waits.
    Interactive,
    /// It may take its time.
    Bulk,
    /// It was refused or failed before: whoever sheds this first does not feed a storm.
    Retried,
}

impl Priority {
    /// Every priority, highest first.
    pub const ALL: [Priority; 3] = [Self::Interactive, Self::Bulk, Self::Retried];

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Priority::Interactive => "interactive",
            Priority::Bulk => "bulk",
            Priority::Retried => "retried",
        }
    }
}

/// How much waits, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionPolicy {
    /// How much is let in.
    pub limit: LimitPolicy,
    /// Requests that may wait.
    pub waiting_max: usize,
    /// How long one may wait.
    pub wait_max: Duration,
}

/// What becomes of a request that arrives.
#[derive(Debug)]
pub enum Arrival {
    /// It is in.
    Admitted(Ticket),
    /// It waits: what was handed in to wake it gets its ticket, or is dropped.
    Queued {
        /// Its number, for [`Admission::abandon`].
        number: u64,
        /// When it is refused.
        until: Timestamp,
    },
    /// It is refused.
    Refused(Shed),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shed {
    /// All is taken, and the caller has its share of it.
    Taken,
    /// As many wait as may.
    WaitingFull,
    /// Its turn did not come in time.
    WaitedTooLong,
}

impl Shed {
    /// Every reason.
    pub const ALL: [Shed; 3] = [Self::Taken, Self::WaitingFull, Self::WaitedTooLong];

    /// Returns the name that metrics use.
    pub fn name(self) -> &'static str {
        match self {
            Shed::Taken => "taken",
            Shed::WaitingFull => "waiting_full",
            Shed::WaitedTooLong => "waited_too_long",
        }
    }
}

/// The right to be in. Hand it back with [`Admission::leave`].
#[must_use = "a ticket that is not handed back takes its place for ever"]
#[derive(Debug)]
pub struct Ticket {
    caller: CallerId,
}

/// How much is in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionLoad {
    /// Requests that are in.
    pub in_flight: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that may be in.
    pub limit: usize,
    /// Share of the limit that was taken lately.
    pub taken: f64,
}

/// Decides who is let in. `W` wakes one who waits.
#[derive(Debug)]
pub struct Admission<W> {
    policy: AdmissionPolicy,
    limit: AdaptiveLimit,
    in_flight: usize,
    callers: Callers,
    waiting: Waiting<W>,
    taken: f64,
    seen: Timestamp,
}

impl<W> Admission<W> {
    /// Lets nobody in yet.
    pub fn new(policy: AdmissionPolicy) -> Admission<W> {
        Admission {
            policy,
            limit: AdaptiveLimit::new(policy.limit),
            in_flight: 0,
            callers: Callers::default(),
            waiting: Waiting::default(),
            taken: 0.0,
            seen: Timestamp::ZERO,
        }
    }

    /// Takes in a request. `waker` is asked for what wakes it if it must wait.
    pub fn arrive(
        &mut self,
        caller: CallerId,
        priority: Priority,
        now: Timestamp,
        deadline: Option<Timestamp>,
        waker: impl FnOnce() -> W,
    ) -> Arrival {
        self.see(now);
        self.expire(now);
        let has_room = self.in_flight < self.limit.current();
        if has_room && self.waiting.is_empty() {
            return Arrival::Admitted(self.admit(caller));
        }
        if self.waiting.len() >= self.policy.waiting_max {
            return Arrival::Refused(Shed::WaitingFull);
        }
        let has_share = self.callers.inside(caller) >= self.share(caller)
            && self.callers.is_among_the_heaviest(caller, now);
        if has_share && (self.is_taken(now) || priority == Priority::Retried) {
            self.callers.was_refused(caller, now);
            return Arrival::Refused(Shed::Taken);
        }
        let until = now.plus(self.policy.wait_max);
        let until = deadline.map_or(until, |deadline| until.min(deadline));
        self.callers.waits(caller);
        let number = self.waiting.push(caller, priority, until, waker());
        Arrival::Queued { number, until }
    }

    /// Lets the next one in who waits, if there is room: wake it with its ticket. Ask again until there is none. If it
    /// cannot be woken, hand the ticket back.
    pub fn next(&mut self, now: Timestamp) -> Option<(W, Ticket)> {
        self.see(now);
        self.expire(now);
        if self.in_flight >= self.limit.current() {
            return None;
        }
        let callers = &self.callers;
        let (caller, waker) = self.waiting.pop(|caller| callers.had_lately(caller, now))?;
        let ticket = self.admit(caller);
        self.callers.stopped_waiting(caller);
        Some((waker, ticket))
    }

    /// One who waits has left. Nothing happens where it was let in or refused meanwhile.
    pub fn abandon(&mut self, number: u64) {
        if let Some(caller) = self.waiting.remove(number) {
            self.callers.stopped_waiting(caller);
        }
    }

    /// A request is done. `served` says how it went where something was done; the limit follows it.
    pub fn leave(&mut self, ticket: Ticket, served: Option<Served>, now: Timestamp) {
        self.see(now);
        self.in_flight -= 1;
        self.callers.leaves(ticket.caller, now);
        if let Some(served) = served {
            self.limit.record(served, now);
        }
    }

    /// Returns how much is in.
    pub fn load(&self, now: Timestamp) -> AdmissionLoad {
        AdmissionLoad {
            in_flight: self.in_flight,
            waiting: self.waiting.len(),
            limit: self.limit.current(),
            taken: self.taken_by(now),
        }
    }

    /// Whether all has been taken for a while.
    pub fn is_taken(&self, now: Timestamp) -> bool {
        self.taken_by(now) >= TAKEN
    }

    fn admit(&mut self, caller: CallerId) -> Ticket {
        self.in_flight += 1;
        self.callers.enters(caller, self.seen);
        if self.in_flight >= self.limit.current() {
            self.limit.was_reached();
        }
        Ticket { caller }
    }

    /// Returns how much a caller may have in and waiting while all is taken.
    fn share(&self, caller: CallerId) -> usize {
        (self.limit.current() / self.callers.sharing_with(caller)).max(SHARE_MIN)
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some(caller) = self.waiting.pop_expired(now) {
            self.callers.stopped_waiting(caller);
        }
    }

    /// Lets the time pass since the last change.
    fn see(&mut self, now: Timestamp) {
        self.taken = self.taken_by(now);
        self.seen = self.seen.max(now);
    }

    /// Returns how much of all was taken lately, also where nobody has come or left since: that long so much was taken.
    fn taken_by(&self, now: Timestamp) -> f64 {
        let passed = now.since(self.seen);
        if passed.is_zero() {
            return self.taken;
        }
        let share = (self.in_flight as f64 / self.limit.current() as f64).min(1.0);
        let kept = (-passed.as_secs_f64() / FADING.as_secs_f64()).exp();
        self.taken * kept + share * (1.0 - kept)
    }
}
