//! How often a repair may be tried before somebody must look.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Timestamp;

/// Repairs of one thing within [`WINDOW`].
pub const REPAIRS_MAX: usize = 3;

/// What the repairs are counted over.
pub const WINDOW: Duration = Duration::from_secs(600);

/// How long after the last repair the next one may be tried: what fails often heals by itself in a moment.
const PAUSES: [Duration; REPAIRS_MAX] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// Whether a repair may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Now.
    Now,
    /// In a moment.
    Later,
    /// Not until one of the last ones is long ago.
    UsedUp,
}

/// Counts repairs. What was repaired three times in ten minutes is broken in a way that repairs do not mend: trying on
/// would hide it, and cost what works.
#[derive(Debug, Default)]
pub struct RecoveryBudget {
    repairs: VecDeque<Timestamp>,
}

impl RecoveryBudget {
    /// Asks for a repair. [`Repair::Now`] counts it.
    pub fn ask(&mut self, now: Timestamp) -> Repair {
        while self
            .repairs
            .front()
            .is_some_and(|at| now.since(*at) >= WINDOW)
        {
            self.repairs.pop_front();
        }
        let Some(pause) = PAUSES.get(self.repairs.len()) else {
            return Repair::UsedUp;
        };
        if self
            .repairs
            .back()
            .is_some_and(|last| now.since(*last) < *pause)
        {
            return Repair::Later;
        }
        self.repairs.push_back(now);
        Repair::Now
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn three_repairs_in_ten_minutes_with_pauses_and_no_more() {
        let mut budget = RecoveryBudget::default();
        let mut ask = |seconds| budget.ask(Timestamp::after_origin(Duration::from_secs(seconds)));
        assert_eq!(ask(1), Repair::Now);
        assert_eq!(ask(2), Repair::Later);
        assert_eq!(ask(6), Repair::Now);
        assert_eq!(ask(35), Repair::Later);
        assert_eq!(ask(36), Repair::Now);
        assert_eq!(ask(37), Repair::UsedUp);
        assert_eq!(ask(600), Repair::UsedUp);
        assert_eq!(ask(601), Repair::Now);
        assert_eq!(ask(602), Repair::UsedUp);
    }
}
