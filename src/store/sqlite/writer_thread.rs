//! One thread writes to a database; everybody else hands it their work.
//!
//! What waits at the same time becomes one transaction (group commit): a commit waits for the disk, so ten small
//! writers together wait once. Each piece of work is a savepoint of its own: one that fails takes back what it did and
//! nothing else. Nobody is answered before the commit is on disk.
//!
//! When the disk fails a commit, a second attempt may report success for what the first one lost: the operating system
//! forgets that it could not write a page. The writer then refuses everything until the database was opened anew
//! ([`WriterThread::reopen`]), which checks its structure; what was not acknowledged is written again from its beginning. A
//! full disk is no such failure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::store::{StoreError, StoreResult};

/// Pieces of work that wait; who comes later waits for a place.
const QUEUE_LEN: usize = 256;

/// Pieces of work in one transaction: as many as come in during a commit, few enough that the first is not kept waiting.
const GROUP_LEN: usize = 64;

/// A database that can put several pieces of work into one transaction.
pub trait Grouped: Send + 'static {
    /// Opens a transaction.
    ///
    /// # Errors
    /// Those of the database.
    fn begin(&mut self) -> StoreResult<()>;

    /// Commits it; what it did is on disk then.
    ///
    /// # Errors
    /// Those of the disk.
    fn commit(&mut self) -> StoreResult<()>;

    /// Takes back what it did.
    fn roll_back(&mut self);

    /// Whether a transaction is open: some errors end it without being asked to.
    fn is_in_transaction(&self) -> bool;

    /// Closes the database and opens it anew, as if the process had been killed.
    ///
    /// # Errors
    /// Those of the disk; nothing works then until it succeeds.
    fn reopen(&mut self) -> StoreResult<()>;

    /// Writes something that is never the same, so that the commit shows whether the disk takes it.
    ///
    /// # Errors
    /// Those of the disk.
    fn touch(&mut self) -> StoreResult<()>;

    /// Returns the database file, for messages.
    fn path(&self) -> &Path;
}

/// Does its work and returns what tells the caller, once it is known whether the group was committed.
type Work<D> = Box<dyn FnOnce(&mut D) -> Answer + Send>;
type Answer = Box<dyn FnOnce(StoreResult<()>) + Send>;

/// The one writer of a database, shared by threads.
pub struct WriterThread<D> {
    hands: Hands<D>,
    waiting: Arc<AtomicUsize>,
    /// Whether the disk failed a commit.
    has_failed: Arc<AtomicBool>,
    path: PathBuf,
}

/// Who writes.
enum Hands<D> {
    /// A thread of its own.
    Thread {
        sender: Mutex<Option<SyncSender<Work<D>>>>,
        thread: Mutex<Option<JoinHandle<D>>>,
    },
    /// Whoever has something to write: a simulation has one thread for everything.
    #[cfg(test)]
    Caller(Mutex<Option<D>>),
}

impl<D: Grouped> WriterThread<D> {
    /// Starts the thread.
    ///
    /// # Panics
    /// When the system has no thread to give.
    pub(super) fn start(database: D) -> WriterThread<D> {
        let (sender, receiver) = sync_channel(QUEUE_LEN);
        let path = database.path().to_owned();
        let waiting = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&waiting);
        let has_failed = Arc::new(AtomicBool::new(false));
        let failed = Arc::clone(&has_failed);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(database, &receiver, &counter, &failed))
            .expect("a thread can be started while the program starts");
        WriterThread {
            hands: Hands::Thread {
                sender: Mutex::new(Some(sender)),
                thread: Mutex::new(Some(thread)),
            },
            waiting,
            has_failed,
            path,
        }
    }

    /// Lets each caller write, one after the other.
    #[cfg(test)]
    pub(super) fn without_thread(database: D) -> WriterThread<D> {
        WriterThread {
            path: database.path().to_owned(),
            hands: Hands::Caller(Mutex::new(Some(database))),
            waiting: Arc::default(),
            has_failed: Arc::default(),
        }
    }

    /// Hands over a piece of work and waits until it is on disk, or has failed.
    ///
    /// # Errors
    /// Those of the work and of the commit; [`StoreError::WriterGone`] after [`WriterThread::stop`] or a panic.
    pub fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut D) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        if self.has_failed() {
            return Err(StoreError::Stopped {
                path: self.path.clone(),
            });
        }
        self.hand_over(work)
    }

    /// Opens the database anew after the disk has failed a commit. What was acknowledged before is there.
    ///
    /// # Errors
    /// Those of the disk; it can be tried again.
    pub fn reopen(&self) -> StoreResult<()> {
        let has_failed = Arc::clone(&self.has_failed);
        self.hand_over(move |database: &mut D| {
            // The group's transaction has nothing in it, or nothing that was acknowledged.
            if database.is_in_transaction() {
                database.roll_back();
            }
            let opened = database
                .reopen()
                .and_then(|()| database.begin())
                .and_then(|()| database.touch());
            has_failed.store(opened.is_err(), Ordering::Release);
            opened
        })
    }

    /// Whether the disk failed a commit, so that nothing is written until the database was opened anew.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    fn hand_over<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut D) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let gone = || StoreError::WriterGone {
            path: self.path.clone(),
        };
        let (reply, answer) = sync_channel(1);
        let work: Work<D> = Box::new(move |database| {
            let done = catch_unwind(AssertUnwindSafe(|| work(database)));
            Box::new(move |committed| {
                // A panic drops the channel unanswered; a caller that went away does not listen.
                if let Ok(done) = done {
                    let _ = reply.send(done.and_then(|value| committed.map(|()| value)));
                }
            })
        });
        match &self.hands {
            Hands::Thread { sender, .. } => {
                let sender = lock(sender).clone().ok_or_else(gone)?;
                self.waiting.fetch_add(1, Ordering::Relaxed);
                if sender.send(work).is_err() {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    return Err(gone());
                }
            }
            #[cfg(test)]
            Hands::Caller(database) => {
                let mut database = lock(database);
                let database = database.as_mut().ok_or_else(gone)?;
                let mut answers = Answers::begin(database);
                answers.add(database, work);
                answers.end(database, &self.has_failed);
            }
        }
        answer.recv().map_err(|_| gone())?
    }

    /// Returns how many pieces of work wait or are being done.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether the thread runs: not after [`WriterThread::stop`], nor after a panic outside of any work.
    pub fn is_running(&self) -> bool {
        match &self.hands {
            Hands::Thread { thread, .. } => lock(thread)
                .as_ref()
                .is_some_and(|thread| !thread.is_finished()),
            #[cfg(test)]
            Hands::Caller(database) => lock(database).is_some(),
        }
    }

    /// Ends the thread after what is waiting, and returns the database; none when it was ended before, or panicked.
    pub fn stop(&self) -> Option<D> {
        match &self.hands {
            Hands::Thread { sender, thread } => {
                drop(lock(sender).take());
                lock(thread).take()?.join().ok()
            }
            #[cfg(test)]
            Hands::Caller(database) => lock(database).take(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run<D: Grouped>(
    mut database: D,
    receiver: &Receiver<Work<D>>,
    waiting: &AtomicUsize,
    has_failed: &AtomicBool,
) -> D {
    while let Ok(first) = receiver.recv() {
        let mut count = 1;
        let mut answers = Answers::begin(&mut database);
        answers.add(&mut database, first);
        while count < GROUP_LEN
            && let Ok(next) = receiver.try_recv()
        {
            answers.add(&mut database, next);
            count += 1;
        }
        waiting.fetch_sub(count, Ordering::Relaxed);
        answers.end(&mut database, has_failed);
    }
    database
}

/// The group under way and who waits for it.
struct Answers {
    begun: StoreResult<()>,
    answers: Vec<Answer>,
}

impl Answers {
    fn begin(database: &mut impl Grouped) -> Answers {
        Answers {
            begun: database.begin(),
            answers: Vec::new(),
        }
    }

    fn add<D: Grouped>(&mut self, database: &mut D, work: Work<D>) {
        // Without a transaction around it the work is one of its own; its answer then says why there was none.
        let answer = work(database);
        self.answers.push(answer);
        if self.begun.is_ok() && !database.is_in_transaction() {
            // A full or failing disk ended the transaction: all of the group is gone, and what comes is a new one.
            let lost = StoreError::Failed {
                path: database.path().to_owned(),
                detail: "the transaction was ended by an error of the disk".to_owned(),
            };
            self.tell(&Err(lost));
            self.begun = database.begin();
        }
    }

    fn end(mut self, database: &mut impl Grouped, has_failed: &AtomicBool) {
        let committed = match std::mem::replace(&mut self.begun, Ok(())) {
            Ok(()) => database.commit(),
            Err(error) => Err(error),
        };
        if committed.is_err() && database.is_in_transaction() {
            database.roll_back();
        }
        if let Err(StoreError::Disk { detail, .. }) = &committed {
            // Before anybody is told: who hears of it finds no writer that goes on.
            has_failed.store(true, Ordering::Release);
            let path = database.path().display();
            tracing::error!("Writing to {path} has stopped: the disk failed a commit: {detail}");
        }
        self.tell(&committed);
    }

    fn tell(&mut self, result: &StoreResult<()>) {
        for answer in self.answers.drain(..) {
            answer(result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A database of numbers, the transactions of which can be told to fail.
    #[derive(Default)]
    struct Numbers {
        committed: Vec<u32>,
        pending: Vec<u32>,
        commits: usize,
        is_open: bool,
        is_full: bool,
        is_failing: bool,
        reopened: usize,
    }

    impl Grouped for Numbers {
        fn begin(&mut self) -> StoreResult<()> {
            self.is_open = true;
            Ok(())
        }

        fn commit(&mut self) -> StoreResult<()> {
            if self.is_full {
                return Err(full());
            }
            if self.is_failing {
                return Err(StoreError::Disk {
                    path: "numbers.db".into(),
                    detail: "fsync failed".to_owned(),
                });
            }
            self.is_open = false;
            self.committed.append(&mut self.pending);
            self.commits += 1;
            Ok(())
        }

        fn roll_back(&mut self) {
            self.is_open = false;
            self.pending.clear();
        }

        fn is_in_transaction(&self) -> bool {
            self.is_open
        }

        fn reopen(&mut self) -> StoreResult<()> {
            self.reopened += 1;
            self.is_failing = self.reopened < 2;
            match self.is_failing {
                true => Err(full()),
                false => Ok(()),
            }
        }

        fn touch(&mut self) -> StoreResult<()> {
            Ok(())
        }

        fn path(&self) -> &Path {
            Path::new("numbers.db")
        }
    }

    fn full() -> StoreError {
        StoreError::Full {
            path: "numbers.db".into(),
        }
    }

    #[test]
    fn what_waits_together_is_committed_together() {
        let writer = Arc::new(WriterThread::start(Numbers::default()));
        let (entered, has_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let first = {
            let writer = Arc::clone(&writer);
            std::thread::spawn(move || {
                writer.call(move |numbers: &mut Numbers| {
                    entered.send(()).unwrap();
                    released.recv().unwrap();
                    numbers.pending.push(0);
                    Ok(())
                })
            })
        };
        has_entered.recv().unwrap();
        let others: Vec<_> = (1..10)
            .map(|number| {
                let writer = Arc::clone(&writer);
                std::thread::spawn(move || {
                    writer.call(move |numbers: &mut Numbers| {
                        numbers.pending.push(number);
                        Ok(number)
                    })
                })
            })
            .collect();
        while writer.waiting() < 10 {
            std::thread::yield_now();
        }
        release.send(()).unwrap();
        first.join().unwrap().unwrap();
        for (number, other) in (1..).zip(others) {
            assert_eq!(other.join().unwrap().unwrap(), number);
        }
        let numbers = writer.stop().unwrap();
        assert_eq!(numbers.committed.len(), 10);
        assert_eq!(numbers.commits, 1);
        assert!(matches!(
            writer.call(|_: &mut Numbers| Ok(())),
            Err(StoreError::WriterGone { .. })
        ));
    }

    #[test]
    fn nobody_is_told_of_a_commit_that_failed() {
        let writer = WriterThread::start(Numbers {
            is_full: true,
            ..Numbers::default()
        });
        let result = writer.call(|numbers| {
            numbers.pending.push(1);
            Ok(())
        });
        assert!(matches!(result, Err(StoreError::Full { .. })));
        writer
            .call(|numbers| {
                numbers.is_full = false;
                numbers.pending.push(2);
                Ok(())
            })
            .unwrap();
        assert_eq!(writer.stop().unwrap().committed, [2]);
    }

    #[test]
    fn a_transaction_that_ended_by_itself_is_lost_for_all_of_its_group() {
        let writer = WriterThread::start(Numbers::default());
        let result = writer.call(|numbers| {
            numbers.roll_back();
            Ok(())
        });
        assert!(matches!(result, Err(StoreError::Failed { .. })));
        writer
            .call(|numbers| {
                numbers.pending.push(3);
                Ok(())
            })
            .unwrap();
        assert_eq!(writer.stop().unwrap().committed, [3]);
    }

    #[test]
    fn a_panic_fails_its_caller_and_nobody_else() {
        let writer = WriterThread::start(Numbers::default());
        let result: StoreResult<()> = writer.call(|_| panic!("a defect"));
        assert!(matches!(result, Err(StoreError::WriterGone { .. })));
        writer
            .call(|numbers| {
                numbers.pending.push(1);
                Ok(())
            })
            .unwrap();
        assert_eq!(writer.stop().unwrap().committed, [1]);
    }

    #[test]
    fn after_a_failed_commit_nothing_is_written_until_the_database_was_opened_anew() {
        let writer = WriterThread::start(Numbers::default());
        let put = |number| {
            writer.call(move |numbers: &mut Numbers| {
                numbers.pending.push(number);
                Ok(())
            })
        };
        put(1).unwrap();
        let failed = writer.call(|numbers| {
            numbers.pending.push(2);
            numbers.is_failing = true;
            Ok(())
        });
        assert!(matches!(failed, Err(StoreError::Disk { .. })));
        assert!(writer.has_failed());
        assert!(matches!(put(3), Err(StoreError::Stopped { .. })));
        assert!(writer.reopen().is_err());
        assert!(matches!(put(4), Err(StoreError::Stopped { .. })));
        writer.reopen().unwrap();
        put(5).unwrap();
        assert_eq!(writer.stop().unwrap().committed, [1, 5]);
    }
}
