//! Places where a test makes something fail: they exist in builds with debug assertions alone.
//!
//! `failpoint::pass(Failpoint::StoreRead)?` does nothing until somebody [sets](set) the point; in a release build it is
//! nothing, and neither the names nor the address that sets them are there.

#[cfg(debug_assertions)]
pub use enabled::{Action, clear, set};

/// A place that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failpoint {
    /// Texts are embedded by the local model.
    Encode,
    /// The store is read for an answer.
    StoreRead,
    /// The store is written to.
    StoreWrite,
    /// The store commits what was written.
    StoreCommit,
    /// The text index is searched.
    LexicalSearch,
    /// The text index is brought up to date.
    LexicalWrite,
    /// Vectors are compared.
    VectorSearch,
    /// The cache of answers is asked.
    Cache,
    /// A request is handled.
    Handler,
}

/// What the failpoint was set to: the error that it stands for, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was made to fail")]
pub struct Injected;

/// Does what the point is set to: nothing, wait, fail or panic. It blocks while it waits.
///
/// # Errors
/// [`Injected`] where the point is set to fail.
///
/// # Panics
/// Where the point is set to panic.
#[cfg(debug_assertions)]
pub fn pass(point: Failpoint) -> Result<(), Injected> {
    enabled::pass(point)
}

/// Does nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "it can fail in a build for tests")]
pub fn pass(_: Failpoint) -> Result<(), Injected> {
    Ok(())
}

#[cfg(debug_assertions)]
mod enabled {
    use std::sync::atomic::{AtomicUsize, Ordering};
    #[cfg(not(test))]
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use serde::Deserialize;

    use super::{Failpoint, Injected};

    /// What happens at a point.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
    #[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
    pub enum Action {
        /// It fails.
        Fail {
            /// How often; for ever where nothing is said.
            times: Option<u64>,
        },
        /// It panics.
        Panic {
            /// How often; for ever where nothing is said.
            times: Option<u64>,
        },
        /// It takes longer.
        Delay {
            /// How much longer.
            ms: u64,
        },
        /// Of so many calls this one fails.
        FailEvery {
            /// How many.
            calls: u64,
        },
    }

    /// The points that are set: what happens there, and how often each was passed.
    type Points = Vec<(Failpoint, Action, u64)>;

    /// How many points are set: while none is, nothing is locked.
    static SET: AtomicUsize = AtomicUsize::new(0);

    #[cfg(not(test))]
    static POINTS: Mutex<Points> = Mutex::new(Vec::new());

    // Unit tests run beside each other in one process: each thread has its own.
    #[cfg(test)]
    thread_local! {
        static POINTS: std::cell::RefCell<Points> = const { std::cell::RefCell::new(Vec::new()) };
    }

    impl Failpoint {
        /// Every point.
        pub const ALL: [Failpoint; 9] = [
            Self::Encode,
            Self::StoreRead,
            Self::StoreWrite,
            Self::StoreCommit,
            Self::LexicalSearch,
            Self::LexicalWrite,
            Self::VectorSearch,
            Self::Cache,
            Self::Handler,
        ];

        /// Returns its name.
        pub fn name(self) -> &'static str {
            match self {
                Failpoint::Encode => "failpoint.encode",
                Failpoint::StoreRead => "failpoint.store_read",
                Failpoint::StoreWrite => "failpoint.store_write",
                Failpoint::StoreCommit => "failpoint.store_commit",
                Failpoint::LexicalSearch => "failpoint.lexical_search",
                Failpoint::LexicalWrite => "failpoint.lexical_write",
                Failpoint::VectorSearch => "failpoint.vector_search",
                Failpoint::Cache => "failpoint.cache",
                Failpoint::Handler => "failpoint.handler",
            }
        }
    }

    /// Says what happens at a point from now on.
    pub fn set(point: Failpoint, action: Action) {
        with_points(|points| {
            clear_in(points, Some(point));
            points.push((point, action, 0));
            SET.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Lets a point do nothing again; all of them where none is named.
    pub fn clear(point: Option<Failpoint>) {
        with_points(|points| clear_in(points, point));
    }

    fn clear_in(points: &mut Points, point: Option<Failpoint>) {
        let before = points.len();
        points.retain(|(known, ..)| point.is_some_and(|point| *known != point));
        SET.fetch_sub(before - points.len(), Ordering::Relaxed);
    }

    pub(super) fn pass(point: Failpoint) -> Result<(), Injected> {
        if SET.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let Some((action, passed)) = count(point) else {
            return Ok(());
        };
        let is_due = |times: Option<u64>| times.is_none_or(|times| passed < times);
        match action {
            Action::Fail { times } if is_due(times) => Err(Injected),
            Action::Panic { times } if is_due(times) => {
                panic!("{} was made to panic", point.name())
            }
            Action::FailEvery { calls } if passed % calls.max(1) == 0 => Err(Injected),
            Action::Delay { ms } => {
                std::thread::sleep(Duration::from_millis(ms));
                Ok(())
            }
            Action::Fail { .. } | Action::Panic { .. } | Action::FailEvery { .. } => Ok(()),
        }
    }

    /// Counts a pass; returns what happens and how often the point was passed before.
    fn count(point: Failpoint) -> Option<(Action, u64)> {
        with_points(|points| {
            let (_, action, passed) = points.iter_mut().find(|(known, ..)| *known == point)?;
            let before = *passed;
            *passed += 1;
            Some((*action, before))
        })
    }

    #[cfg(not(test))]
    fn with_points<T>(work: impl FnOnce(&mut Points) -> T) -> T {
        work(&mut POINTS.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    fn with_points<T>(work: impl FnOnce(&mut Points) -> T) -> T {
        POINTS.with_borrow_mut(work)
    }
}
