//! How much retrying the callers of a dependency can afford together.

use crate::sync::{AtomicU64, Ordering};

/// What a full budget holds.
const CAPACITY: u64 = 500;

/// What trying again costs after a failure. The AWS SDKs' standard mode has charged as much since 2026.
const COST_TRANSIENT: u64 = 14;

/// What trying again costs after the dependency said that it has too much to do: it is waited for anyway.
const COST_THROTTLED: u64 = 5;

/// Tokens that all callers of a dependency share. A retry takes some; a call that succeeds at once pays one in; one that
/// succeeds by a retry pays nothing, or independent failures of a fifth of the calls could be retried for ever.
///
/// With every call failing, a full budget allows 500 / 14 = 35 retries and then none. With a share *p* of calls failing, at
/// most (1 − *p*) / 14 more calls are made in the long run: never more than 7.2 per cent.
#[derive(Debug)]
pub struct RetryBudget {
    tokens: AtomicU64,
}

impl Default for RetryBudget {
    /// A full one.
    fn default() -> RetryBudget {
        RetryBudget {
            tokens: AtomicU64::new(CAPACITY),
        }
    }
}

impl RetryBudget {
    /// Returns what is left, of 500.
    pub fn balance(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Pays one token in.
    pub fn deposit(&self) {
        // A full budget, the usual case, is not written to: its cache line stays shared.
        self.change(|tokens| (tokens < CAPACITY).then_some(tokens + 1));
    }

    /// Takes what a retry costs; returns whether there was as much.
    pub fn withdraw(&self, is_throttled: bool) -> bool {
        let cost = if is_throttled {
            COST_THROTTLED
        } else {
            COST_TRANSIENT
        };
        self.change(|tokens| tokens.checked_sub(cost))
    }

    fn change(&self, change: impl Fn(u64) -> Option<u64>) -> bool {
        let mut tokens = self.tokens.load(Ordering::Relaxed);
        while let Some(changed) = change(tokens) {
            // Nothing else is published by it.
            match self.tokens.compare_exchange_weak(
                tokens,
                changed,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(found) => tokens = found,
            }
        }
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_budget_is_never_overdrawn_nor_overfilled() {
        let budget = RetryBudget::default();
        budget.deposit();
        assert_eq!(budget.balance(), CAPACITY);
        let retries = (0..1_000).filter(|_| budget.withdraw(false)).count();
        assert_eq!((retries, budget.balance()), (35, 10));
        assert!(budget.withdraw(true) && budget.withdraw(true) && !budget.withdraw(true));
        budget.deposit();
        assert_eq!(budget.balance(), 1);
    }

    #[test]
    fn threads_take_exactly_what_there_is() {
        let budget = RetryBudget::default();
        let taken: usize = thread::scope(|scope| {
            let takers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).filter(|_| budget.withdraw(true)).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!((taken, budget.balance()), (100, 0));
    }
}
