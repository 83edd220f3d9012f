//! Work spread over threads, its results gathered by one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::error::{Error, Result};

/// Results that may wait for each thread; more would only hold more of them in memory.
const QUEUE_PER_THREAD: usize = 4;

/// Does `work` on every item on `threads` threads, each with a state of its own, and hands the results in the order of
/// their completion to `gather` on the calling thread. When `stop` is set, items that were not begun are left; when
/// `gather` returns early, so are they.
///
/// # Errors
/// Those of `gather`; [`Error::Internal`] where a worker panicked.
pub(super) fn spread<Item: Send, State, Output: Send>(
    items: impl Iterator<Item = Item> + Send,
    threads: usize,
    stop: &AtomicBool,
    state: impl Fn() -> State + Sync,
    work: impl Fn(&mut State, Item) -> Output + Sync,
    gather: impl FnOnce(mpsc::Receiver<Output>) -> Result<()>,
) -> Result<()> {
    let items = Mutex::new(items);
    let (sender, receiver) = mpsc::sync_channel(threads * QUEUE_PER_THREAD);
    let run = |sender: mpsc::SyncSender<Output>| {
        let mut state = state();
        while !stop.load(Ordering::Relaxed) {
            let next = items.lock().map(|mut items| items.next());
            let Ok(Some(item)) = next else { break };
            // The receiver is gone when gathering failed.
            if sender.send(work(&mut state, item)).is_err() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|_| {
                let (run, sender) = (&run, sender.clone());
                scope.spawn(move || run(sender))
            })
            .collect();
        drop(sender);
        let gathered = gather(receiver);
        let panicked = workers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .filter(Result::is_err)
            .count();
        gathered?;
        if panicked > 0 {
            return Err(Error::Internal(format!(
                "{panicked} worker threads panicked"
            )));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled(threads: usize, stop: &AtomicBool) -> Result<Vec<u32>> {
        let mut all = Vec::new();
        let gather = |results: mpsc::Receiver<u32>| {
            all.extend(results);
            Ok(())
        };
        spread(0..1_000, threads, stop, || (), |(), item| item * 2, gather)?;
        all.sort_unstable();
        Ok(all)
    }

    #[test]
    fn every_item_is_worked_on_once() {
        let all: Vec<u32> = (0..1_000).map(|item| item * 2).collect();
        for threads in [0, 1, 7] {
            assert_eq!(doubled(threads, &AtomicBool::new(false)).unwrap(), all);
        }
    }

    #[test]
    fn stopped_work_is_not_begun() {
        assert_eq!(doubled(2, &AtomicBool::new(true)).unwrap(), [0; 0]);
    }

    #[test]
    fn gathering_that_fails_ends_the_workers() {
        let stop = AtomicBool::new(false);
        let fail = |results: mpsc::Receiver<u32>| {
            let _ = results.recv();
            Err(Error::Interrupted)
        };
        let result = spread(0..u32::MAX, 2, &stop, || (), |(), item| item, fail);
        assert!(matches!(result, Err(Error::Interrupted)));
    }

    #[test]
    fn a_worker_that_panics_is_an_error_and_the_others_go_on() {
        let stop = AtomicBool::new(false);
        let mut count = 0;
        let gather = |results: mpsc::Receiver<u32>| {
            count = results.iter().count();
            Ok(())
        };
        let work = |(): &mut (), item| {
            assert_ne!(item, 3, "a defect");
            item
        };
        let result = spread(0..100, 2, &stop, || (), work, gather);
        assert!(matches!(result, Err(Error::Internal(_))));
        assert_eq!(count, 99);
    }
}
