//! The thread that changes views.
//!
//! Index runs step back behind everything else. A thread that has stepped back must not hold a lock that searches wait
//! for: on a busy machine it would hold it for as long as it is kept from running. So it hands what is to be done under
//! the lock to this thread, which runs at the usual priority, and waits.

use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::engine::search::View;

/// A view, if it is loaded.
pub(crate) type Slot = Arc<RwLock<Option<View>>>;

type Change = Box<dyn FnOnce() + Send>;

/// Changes views, one change after the other.
///
/// The queue needs no bound: whoever hands a change over waits for it, so there are as many as threads that write.
pub(crate) struct Changes {
    sender: Mutex<Sender<Change>>,
}

impl Changes {
    /// Starts the thread; it ends when nobody can hand changes over any more.
    ///
    /// # Panics
    /// When the system has no thread to give.
    pub(crate) fn start() -> Arc<Changes> {
        let (sender, receiver) = channel::<Change>();
        std::thread::Builder::new()
            .name("views".to_owned())
            .spawn(move || receiver.into_iter().for_each(|change| change()))
            .expect("a thread can be started while the program starts");
        Arc::new(Changes {
            sender: Mutex::new(sender),
        })
    }

    /// Changes what is in a slot and waits for it.
    pub(crate) fn make<T: Send + 'static>(
        &self,
        slot: &Slot,
        change: impl FnOnce(&mut Option<View>) -> T + Send + 'static,
    ) -> T {
        let (done, result) = sync_channel(1);
        let slot = Arc::clone(slot);
        let change: Change = Box::new(move || {
            let mut view = slot.write().unwrap_or_else(PoisonError::into_inner);
            // A panic leaves the caller without an answer, and the view as it was then: caught, or it would end the thread.
            let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| change(&mut view)));
            drop(view);
            if let Ok(made) = made {
                let _ = done.send(made);
            }
        });
        self.sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(change)
            .expect("the thread lives as long as its sender");
        result.recv().expect("a change of a view panicked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_and_answered() {
        let changes = Changes::start();
        let slot = Slot::default();
        assert!(changes.make(&slot, |view| view.is_none()));
        assert_eq!(changes.make(&slot, |_| 7), 7);
    }

    #[test]
    fn a_change_that_panics_fails_its_caller_alone() {
        let changes = Changes::start();
        let slot = Slot::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            changes.make(&slot, |_| panic!("a defect"))
        }));
        assert!(panicked.is_err());
        assert_eq!(changes.make(&slot, |_| 1), 1);
    }
}
