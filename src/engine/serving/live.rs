//! One collection of a running server: what searches see of it, and how that follows the store.
//!
//! The store is written by many; the text index and the view follow its log. Whoever wrote calls [`LiveCollection::sync`],
//! which returns when searches see it. Callers that come together share one commit of the text index.
//!
//! Searches hold the view for reading and are never kept waiting for long: what takes time (committing, reading the commit)
//! is done beside them, and the changes are put in piece by piece. New chunks come first, then the words of the commit, then
//! old chunks go, so at no moment is a file missing that is replaced.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

use embedder_reliability::degradation::Part;

use super::changes::{Changes, Slot};
use crate::engine::ingest::lexical::{self, LexicalFollower};
use crate::engine::search::View;
use crate::error::{Error, Result};
use crate::failpoint::{self, Failpoint};
use crate::store::data_dir::DataDir;
use crate::store::{Collection, Counts, Store, StoreWriter};

mod log;
mod vectors;

pub(crate) use vectors::{ReadVectors, VectorsOf, client_vectors};

/// Chunks or vectors put into a view under one lock: about a millisecond, which no search notices.
const PUT_PAGE: usize = 128;

/// How often a view is read again because somebody wrote meanwhile. Who has written waits for this load, so that the second
/// is almost always whole.
const LOADS_MAX: u32 = 5;

/// How long the writer of a text index is kept after its last use: it holds memory and two threads.
const WRITER_IDLE_MAX: Duration = Duration::from_secs(30);

/// When a commit of the text index is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Now: somebody waits for it.
    Now,
    /// If the last one is long enough ago: more is coming.
    IfDue,
}

/// A collection of a running server.
pub(crate) struct LiveCollection {
    collection: Collection,
    follow: Mutex<Follow>,
    view: Slot,
    changes: Arc<Changes>,
    /// Raised with each change that a search could see.
    version: AtomicU64,
    /// Held by the one who computes its vectors.
    filling: Mutex<()>,
    /// Held by whoever looks at its watched folders.
    looking: Mutex<()>,
    is_gone: AtomicBool,
    is_broken: AtomicBool,
    is_left_unfilled: AtomicBool,
    /// Whether somebody said so since the filler looked last.
    may_lack_vectors: AtomicBool,
    /// Chunks without a vector, as the filler counted them last.
    pending_counted: AtomicU64,
    /// How many wait for `filling` and should not have to.
    in_a_hurry: AtomicUsize,
    yields: AtomicBool,
}

/// Stands for a number that nobody has counted yet.
const UNKNOWN: u64 = u64::MAX;

/// How far the text index and the view have followed the store.
struct Follow {
    writer: Option<LexicalFollower>,
    writer_used: Instant,
    /// The last row of the log that the view shows.
    seen: u64,
    /// The last vector that the view shows.
    seen_vector: i64,
    /// Whose vectors the view shows.
    vectors: Option<VectorsOf>,
}

impl LiveCollection {
    /// A collection that nobody has looked at yet.
    pub(crate) fn new(collection: Collection, changes: Arc<Changes>) -> LiveCollection {
        LiveCollection {
            collection,
            follow: Mutex::new(Follow {
                writer: None,
                writer_used: Instant::now(),
                seen: 0,
                seen_vector: 0,
                vectors: None,
            }),
            view: Slot::default(),
            changes,
            version: AtomicU64::new(0),
            filling: Mutex::new(()),
            looking: Mutex::new(()),
            is_gone: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            is_left_unfilled: AtomicBool::new(false),
            may_lack_vectors: AtomicBool::new(false),
            pending_counted: AtomicU64::new(UNKNOWN),
            in_a_hurry: AtomicUsize::new(0),
            yields: AtomicBool::new(false),
        }
    }

    /// Returns what the store says of it. Its generation is that of when it was loaded.
    pub(crate) fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Returns it with the generation that its view shows.
    pub(crate) fn as_of_now(&self) -> Collection {
        let mut collection = self.collection.clone();
        if let Some(view) = self.read_view().as_ref() {
            collection.generation = view.generation();
        }
        collection
    }

    /// Returns a number that changes with each change that a search could see.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether it was deleted.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Loads the view and brings it up to date, unless that was done. `model` is that of the server.
    pub(crate) fn open(
        &self,
        db: &mut dyn StoreWriter,
        data_dir: &DataDir,
        model: Option<&VectorsOf>,
    ) -> Result<()> {
        let opened = self.load(db, data_dir, model);
        self.set_broken(opened.is_err());
        opened
    }

    fn load(
        &self,
        db: &mut dyn StoreWriter,
        data_dir: &DataDir,
        model: Option<&VectorsOf>,
    ) -> Result<()> {
        let mut follow = self.following()?;
        if self.read_view().is_some() {
            return Ok(());
        }
        let mut loads = 0;
        let (seen, seen_vector, mut view) = loop {
            // Read before the rest: what comes in between is replayed, which changes nothing.
            let (seen, seen_vector) = (db.store().last_seq()?, db.store().last_vector()?);
            let index = match lexical::open_current(db.store(), data_dir, self.collection.id)? {
                Some(index) => index,
                None => {
                    // What an earlier process had not brought into the text index; a damaged one is rebuilt.
                    self.commit_text(&mut follow, db, data_dir, Commit::Now)?;
                    lexical::open_existing(&data_dir.index_folder(self.collection.id))?.0
                }
            };
            let store = db.store();
            let view = View::with_index(store, &self.current(store)?, &index, 0)?;
            loads += 1;
            // Chunks that came in between have no words in this index, and words of those that went lead nowhere: what
            // is being replaced would be missing until the next commit.
            let is_whole = store.ops_after(self.collection.id, seen, 1)?.is_empty();
            if is_whole || loads == LOADS_MAX {
                break (seen, seen_vector, view);
            }
        };
        let store = db.store();
        let vectors = self.vectors_of(model);
        if let Some(vectors) = &vectors {
            view.set_vectors(self.read_vectors(store, vectors)?);
        }
        follow.seen = seen;
        follow.seen_vector = seen_vector;
        follow.vectors = vectors;
        self.change(move |slot| *slot = Some(view));
        Ok(())
    }

    /// Sees to it that a search finds what the store holds now, or soon.
    pub(crate) fn sync(
        &self,
        db: &mut dyn StoreWriter,
        data_dir: &DataDir,
        commit: Commit,
    ) -> Result<()> {
        let mut follow = self.following()?;
        let is_up_to_date = self.catch_up(&mut follow, db, data_dir, commit)?;
        if is_up_to_date && self.read_view().is_some() {
            self.set_broken(false);
        }
        Ok(())
    }

    /// Lets text index and view follow the log; returns whether they have come to its end.
    fn catch_up(
        &self,
        follow: &mut Follow,
        db: &mut dyn StoreWriter,
        data_dir: &DataDir,
        commit: Commit,
    ) -> Result<bool> {
        let news = db.store().ops_after(self.collection.id, follow.seen, 1)?;
        if news.is_empty() {
            // Somebody else's commit took it along while we waited.
            return Ok(true);
        }
        let is_due = self.commit_text(follow, db, data_dir, commit)?;
        if is_due {
            let applied = follow.writer.as_ref().map_or(0, LexicalFollower::applied);
            self.follow_log(follow, db.store(), applied)?;
            // Not before the view has followed: it reads the same log.
            db.trim_ops(self.collection.id, applied)?;
        }
        Ok(is_due)
    }

    /// Says that a run begins: its first commit comes with its first batch.
    pub(crate) fn begin_run(&self) -> Result<()> {
        if let Some(writer) = &mut self.following()?.writer {
            writer.begin_run();
        }
        Ok(())
    }

    /// Holds the view for reading.
    pub(crate) fn read_view(&self) -> RwLockReadGuard<'_, Option<View>> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers whether its view could be loaded, and holds all that was acknowledged.
    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::Relaxed);
    }

    /// Whether its view could not be loaded when that was tried last, or lacks something.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Remembers whether the encoder failed when it was last given chunks of it.
    pub(crate) fn set_left_unfilled(&self, is_left_unfilled: bool) {
        self.is_left_unfilled
            .store(is_left_unfilled, Ordering::Relaxed);
    }

    /// Whether the encoder failed when it was last given chunks of it.
    pub(crate) fn is_left_unfilled(&self) -> bool {
        self.is_left_unfilled.load(Ordering::Relaxed)
    }

    /// Whether its view lacks something that was acknowledged, as its text index failed then.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_broken() && self.read_view().is_some()
    }

    /// Returns how many chunks have no vector yet; none where there are no vectors, or somebody is changing the view.
    pub(crate) fn pending_vectors(&self) -> Option<u64> {
        let view = self.view.try_read().ok()?;
        pending_in(view.as_ref()?)
    }

    /// Returns the same, or where there is no view what the filler has counted last, if it has.
    pub(crate) fn pending_vectors_as_known(&self) -> Option<u64> {
        self.pending_vectors().or_else(|| {
            let counted = self.pending_counted.load(Ordering::Relaxed);
            (counted != UNKNOWN).then_some(counted)
        })
    }

    /// Remembers that chunks may have come without a vector, or that this is being looked at.
    pub(super) fn may_lack_vectors(&self, may_lack: bool) {
        self.may_lack_vectors.store(may_lack, Ordering::SeqCst);
    }

    /// Whether chunks have no vector, or may have none.
    pub(super) fn lacks_vectors(&self) -> bool {
        self.may_lack_vectors.load(Ordering::SeqCst) || self.pending_vectors_as_known() != Some(0)
    }

    /// Takes note of what was counted.
    pub(super) fn set_pending_vectors(&self, pending: u64) {
        self.pending_counted.store(pending, Ordering::Relaxed);
    }

    /// Returns the same, however long the view is being changed; none as well where it does not follow the store.
    pub(crate) fn pending_vectors_now(&self) -> Option<u64> {
        if self.is_broken() {
            return None;
        }
        pending_in(self.read_view().as_ref()?)
    }

    /// Loads what a filter asks into the view, unless it is there.
    pub(crate) fn load_places(&self, store: &dyn Store) -> Result<()> {
        match self.read_view().as_ref() {
            Some(view) => view.load_places(store, self.collection.id),
            None => Ok(()),
        }
    }

    /// Takes the right to look at its watched folders: whoever deletes the collection, or a source of it, waits for that.
    pub(crate) fn looking(&self) -> MutexGuard<'_, ()> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the right to compute vectors of the collection, unless somebody has it or waits for it.
    pub(crate) fn try_fill(&self) -> Option<MutexGuard<'_, ()>> {
        if self.in_a_hurry.load(Ordering::SeqCst) > 0 || self.is_gone() {
            return None;
        }
        match self.filling.try_lock() {
            Ok(filling) => Some(filling),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits for the same right ahead of whoever computes vectors in the background, who gives it up after its batch.
    pub(crate) fn fill_first(&self) -> MutexGuard<'_, ()> {
        self.in_a_hurry.fetch_add(1, Ordering::SeqCst);
        self.yields.store(true, Ordering::SeqCst);
        let filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        self.in_a_hurry.fetch_sub(1, Ordering::SeqCst);
        self.yields.store(false, Ordering::SeqCst);
        // Somebody came meanwhile, who waits for us and then for nobody else.
        if self.in_a_hurry.load(Ordering::SeqCst) > 0 {
            self.yields.store(true, Ordering::SeqCst);
        }
        filling
    }

    /// Turns true when whoever computes vectors in the background should give way.
    pub(crate) fn yields(&self) -> &AtomicBool {
        &self.yields
    }

    /// Lets go of a writer of the text index that nobody has used for a while.
    pub(crate) fn rest(&self) {
        // Somebody who holds it is using it.
        if let Ok(mut follow) = self.follow.try_lock()
            && follow.writer_used.elapsed() > WRITER_IDLE_MAX
        {
            follow.writer = None;
        }
    }

    /// Builds the text index anew from the store, and the view from both.
    ///
    /// # Errors
    /// Those of the store and the disk; a search then tries to load what there is.
    pub(crate) fn rebuild(
        &self,
        db: &mut dyn StoreWriter,
        data_dir: &DataDir,
        model: Option<&VectorsOf>,
    ) -> Result<()> {
        {
            let mut follow = self.following()?;
            follow.writer = None;
            let folder = data_dir.index_folder(self.collection.id);
            // It may be gone already, which is why it is rebuilt.
            match std::fs::remove_dir_all(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("remove", &folder, error)),
            }
            self.change(|slot| *slot = None);
        }
        let opened = self.open(db, data_dir, model);
        self.has_changed();
        opened
    }

    /// Ends it: who comes later finds it gone. Its files can be removed then.
    pub(crate) fn retire(&self) {
        let mut follow = self.follow.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_gone.store(true, Ordering::Release);
        follow.writer = None;
        self.change(|slot| *slot = None);
        self.has_changed();
    }

    fn following(&self) -> Result<MutexGuard<'_, Follow>> {
        let follow = self.follow.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_gone() {
            return Err(Error::CollectionMissing {
                name: self.collection.name.clone(),
                known: Vec::new(),
            });
        }
        Ok(follow)
    }

    fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Option<View>) -> T + Send + 'static,
    ) -> T {
        self.changes.make(&self.view, change)
    }

    /// Changes the view, if it is loaded.
    fn change_view<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut View) -> T + Send + 'static,
    ) -> Option<T> {
        self.change(|slot| slot.as_mut().map(change))
    }

    fn has_changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns the collection as the store knows it now.
    fn current(&self, store: &dyn Store) -> Result<Collection> {
        store
            .collections()?
            .into_iter()
            .find(|collection| collection.id == self.collection.id)
            .ok_or_else(|| Error::CollectionMissing {
                name: self.collection.name.clone(),
                known: Vec::new(),
            })
    }

    /// Lets the text index follow the log; returns whether it committed.
    fn commit_text(
        &self,
        follow: &mut Follow,
        db: &mut dyn StoreWriter,
        data_dir: &DataDir,
        commit: Commit,
    ) -> Result<bool> {
        follow.writer_used = Instant::now();
        failpoint::pass(Failpoint::LexicalWrite).map_err(|injected| Error::Part {
            part: Part::LexicalIndex,
            problem: injected.to_string(),
        })?;
        let writer = match &mut follow.writer {
            Some(writer) => writer,
            None => follow.writer.insert(LexicalFollower::open(
                db.store(),
                data_dir,
                self.collection.id,
            )?),
        };
        writer.follow(db.store())?;
        if commit == Commit::IfDue && !writer.is_due() {
            return Ok(false);
        }
        let committed = writer.commit_applied();
        if committed.is_err() {
            // Its thread may be gone; the next one begins with a writer that is whole.
            follow.writer = None;
        }
        committed.map(|()| true)
    }
}

fn pending_in(view: &View) -> Option<u64> {
    let Counts {
        chunks, embedded, ..
    } = view.counts;
    view.has_vectors().then(|| chunks - embedded)
}
