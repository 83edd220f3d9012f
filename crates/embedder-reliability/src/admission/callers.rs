//! What each caller has, and has had lately.

use std::collections::HashMap;
use std::time::Duration;

use super::CallerId;
use crate::Timestamp;

/// How fast what a caller has had is forgotten: long enough to tell a flood from a burst, short enough that a caller who
/// stops is soon like any other.
const FADING: Duration = Duration::from_secs(10);

/// With more callers than this, those who have nothing and have had little are forgotten.
const REMEMBERED_MAX: usize = 1_024;

/// What counts as little.
const LITTLE: f64 = 0.05;

/// What a refusal counts beside a request that is let in.
const REFUSED: f64 = 0.05;

/// From which share of what the heaviest caller has had another one is as heavy.
const ABOUT: f64 = 0.9;

/// What each caller has, and has had lately.
#[derive(Debug, Default)]
pub(super) struct Callers {
    having: HashMap<CallerId, Having>,
    /// How many of them have something.
    active: usize,
    /// What the one has had who has had most.
    most: Had,
}

/// Requests let in, fading.
#[derive(Debug, Clone, Copy, Default)]
struct Had {
    requests: f64,
    at: Timestamp,
}

impl Had {
    fn lately(&self, now: Timestamp) -> f64 {
        let passed = now.since(self.at).as_secs_f64();
        self.requests * (-passed / FADING.as_secs_f64()).exp()
    }

    fn add(&mut self, requests: f64, now: Timestamp) {
        self.requests = self.lately(now) + requests;
        self.at = now;
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Having {
    in_flight: usize,
    waiting: usize,
    had: Had,
}

impl Having {
    fn inside(&self) -> usize {
        self.in_flight + self.waiting
    }
}

impl Callers {
    /// Returns what a caller has in and waiting.
    pub(super) fn inside(&self, caller: CallerId) -> usize {
        self.having.get(&caller).map_or(0, Having::inside)
    }

    /// Returns how many there are to share with, the caller included.
    pub(super) fn sharing_with(&self, caller: CallerId) -> usize {
        self.active + usize::from(self.inside(caller) == 0)
    }

    /// Returns how much a caller has had lately.
    pub(super) fn had_lately(&self, caller: CallerId, now: Timestamp) -> f64 {
        self.having
            .get(&caller)
            .map_or(0.0, |having| having.had.lately(now))
    }

    /// Whether a caller has had about as much lately as the one who has had most: then it is one of those who flood, or all
    /// ask alike.
    pub(super) fn is_among_the_heaviest(&self, caller: CallerId, now: Timestamp) -> bool {
        self.had_lately(caller, now) >= self.most.lately(now) * ABOUT
    }

    pub(super) fn enters(&mut self, caller: CallerId, now: Timestamp) {
        let having = self.take_note(caller);
        having.in_flight += 1;
        having.had.add(1.0, now);
        let had = having.had;
        if had.requests >= self.most.lately(now) {
            self.most = had;
        }
    }

    /// A caller was refused. Who asks again and again all the same is soon told from those who do not.
    pub(super) fn was_refused(&mut self, caller: CallerId, now: Timestamp) {
        if let Some(having) = self.having.get_mut(&caller) {
            having.had.add(REFUSED, now);
        }
    }

    pub(super) fn waits(&mut self, caller: CallerId) {
        self.take_note(caller).waiting += 1;
    }

    pub(super) fn stopped_waiting(&mut self, caller: CallerId) {
        if let Some(having) = self.having.get_mut(&caller) {
            having.waiting -= 1;
            self.active -= usize::from(having.inside() == 0);
        }
    }

    pub(super) fn leaves(&mut self, caller: CallerId, now: Timestamp) {
        if let Some(having) = self.having.get_mut(&caller) {
            having.in_flight -= 1;
            self.active -= usize::from(having.inside() == 0);
        }
        if self.having.len() > REMEMBERED_MAX.max(2 * self.active) {
            self.having
                .retain(|_, having| having.inside() > 0 || having.had.lately(now) > LITTLE);
        }
    }

    #[cfg(test)]
    pub(super) fn have_nothing(&self) -> bool {
        self.active == 0 && self.having.values().all(|having| having.inside() == 0)
    }

    /// Returns what a caller has, who is about to have more.
    fn take_note(&mut self, caller: CallerId) -> &mut Having {
        let newcomer = Having {
            // It has no claim to what others had before it came, and may be a flood.
            had: self.most,
            ..Having::default()
        };
        let having = self.having.entry(caller).or_insert(newcomer);
        self.active += usize::from(having.inside() == 0);
        having
    }
}
