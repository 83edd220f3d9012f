//! Those who wait, in order.

use std::collections::VecDeque;

use super::{CallerId, Priority};
use crate::Timestamp;

/// Those who wait. There are few: scanning them is cheaper than keeping them sorted.
#[derive(Debug)]
pub(super) struct Waiting<W> {
    /// In the order they came.
    line: VecDeque<Waiter<W>>,
    last: u64,
}

#[derive(Debug)]
struct Waiter<W> {
    number: u64,
    caller: CallerId,
    priority: Priority,
    until: Timestamp,
    waker: W,
}

impl<W> Default for Waiting<W> {
    fn default() -> Waiting<W> {
        Waiting {
            line: VecDeque::new(),
            last: 0,
        }
    }
}

impl<W> Waiting<W> {
    pub(super) fn len(&self) -> usize {
        self.line.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn push(
        &mut self,
        caller: CallerId,
        priority: Priority,
        until: Timestamp,
        waker: W,
    ) -> u64 {
        self.last += 1;
        self.line.push_back(Waiter {
            number: self.last,
            caller,
            priority,
            until,
            waker,
        });
        self.last
    }

    /// Takes one of the highest priority, of these the one whose caller has had least, of these the first.
    pub(super) fn pop(&mut self, had: impl Fn(CallerId) -> f64) -> Option<(CallerId, W)> {
        let line = self
            .line
            .iter()
            .map(|waiter| (waiter.priority, had(waiter.caller)));
        let (place, _) = line
            .enumerate()
            .min_by(|(_, (one, had)), (_, (other, has))| {
                one.cmp(other).then_with(|| had.total_cmp(has))
            })?;
        let waiter = self.line.remove(place)?;
        Some((waiter.caller, waiter.waker))
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<CallerId> {
        let place = self
            .line
            .iter()
            .position(|waiter| waiter.number == number)?;
        self.line.remove(place).map(|waiter| waiter.caller)
    }

    /// Takes one whose time is over.
    pub(super) fn pop_expired(&mut self, now: Timestamp) -> Option<CallerId> {
        let place = self.line.iter().position(|waiter| waiter.until <= now)?;
        self.line.remove(place).map(|waiter| waiter.caller)
    }
}
