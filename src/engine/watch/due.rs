//! When a folder is looked at again after something changed in it.
//!
//! Not at once: an editor writes a file in several steps, and a switch of branches thousands. And not without end: what
//! changes all the time is looked at all the same, but looking takes no more than a part of the time.

use std::time::Duration;

use embedder_reliability::Timestamp;

/// How long nothing may have changed before it is looked.
const QUIET: Duration = Duration::from_millis(60);

/// How long it is waited for that, at most.
const QUIET_WAIT_MAX: Duration = Duration::from_millis(300);

/// How much longer than a look took it is waited before the next.
const REST: u32 = 4;

/// When it is time to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Now.
    Now,
    /// At this time, if nothing changes until then.
    At(Timestamp),
    /// When something has changed.
    Never,
}

/// What is known of changes since it was looked last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Changes {
    first: Option<Timestamp>,
    last: Timestamp,
    not_before: Timestamp,
}

impl Changes {
    /// Something changed.
    pub(super) fn note(&mut self, now: Timestamp) {
        self.first.get_or_insert(now);
        self.last = now;
    }

    /// When it is to be looked.
    pub(super) fn due(&self, now: Timestamp) -> Due {
        let Some(first) = self.first else {
            return Due::Never;
        };
        let quiet = self.last.plus(QUIET).min(first.plus(QUIET_WAIT_MAX));
        let at = quiet.max(self.not_before);
        if at <= now { Due::Now } else { Due::At(at) }
    }

    /// A look begins: what changes from here on is for the next.
    pub(super) fn begin(&mut self) {
        self.first = None;
    }

    /// It has ended, and took so long.
    pub(super) fn looked(&mut self, took: Duration, now: Timestamp) {
        self.not_before = now.plus(took * REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO.plus(Duration::from_millis(ms))
    }

    #[test]
    fn it_is_looked_when_it_is_quiet() {
        let mut changes = Changes::default();
        assert_eq!(changes.due(at(5)), Due::Never);
        changes.note(at(10));
        assert_eq!(changes.due(at(10)), Due::At(at(70)));
        changes.note(at(50));
        assert_eq!(changes.due(at(70)), Due::At(at(110)));
        assert_eq!(changes.due(at(110)), Due::Now);
        changes.begin();
        assert_eq!(changes.due(at(110)), Due::Never);
    }

    #[test]
    fn what_never_is_quiet_is_looked_at_all_the_same() {
        let mut changes = Changes::default();
        let mut now = 0;
        while changes.due(at(now)) != Due::Now {
            changes.note(at(now));
            now += 10;
        }
        assert_eq!(now, 300);
    }

    #[test]
    fn looking_takes_a_part_of_the_time() {
        let mut changes = Changes::default();
        changes.note(at(0));
        changes.begin();
        changes.note(at(100));
        changes.looked(Duration::from_secs(2), at(2_000));
        assert_eq!(changes.due(at(2_000)), Due::At(at(10_000)));
        assert_eq!(changes.due(at(10_000)), Due::Now);
    }
}
