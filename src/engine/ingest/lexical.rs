//! The lexical index follows the store's log.
//!
//! The index is derived: its commit says how far it has followed. What is missing is replayed; an index that is gone,
//! damaged, of another version, or that cannot catch up because the log was trimmed behind it, is built anew from the
//! store.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use embedder_index::{LexicalIndex, LexicalWriter, Opened};
use tantivy::directory::{Directory, MmapDirectory, RamDirectory};

use crate::error::{Error, Result};
use crate::store::data_dir::{DataDir, create_private};
use crate::store::{ChunkId, CollectionId, OpKind, Store, StoreWriter};

/// Rows of the log followed at a time.
const OPS_PAGE: usize = 2_000;

/// The first commit comes with the first batch, so that text search answers at once; each later one waits longer, so
/// that a large run does not end in hundreds of small segments.
const COMMIT_FIRST: Duration = Duration::from_millis(250);
const COMMIT_LAST: Duration = Duration::from_secs(4);

/// The text index of a collection, as a run that writes sees it.
pub trait TextIndex {
    /// Applies what the log holds beyond what was applied. Visible after the next commit.
    ///
    /// # Errors
    /// Those of the store, the index and the disk.
    fn catch_up(&mut self, db: &mut dyn StoreWriter) -> Result<()>;

    /// Commits if the last commit is long enough ago.
    ///
    /// # Errors
    /// As [`TextIndex::commit`].
    fn commit_if_due(&mut self, db: &mut dyn StoreWriter) -> Result<()>;

    /// Makes what was applied visible and durable, and trims the log behind it.
    ///
    /// # Errors
    /// Those of the store, the index and the disk.
    fn commit(&mut self, db: &mut dyn StoreWriter) -> Result<()>;
}

/// Follows the log of one collection.
pub struct LexicalFollower {
    collection: CollectionId,
    folder: PathBuf,
    writer: LexicalWriter,
    applied: u64,
    committed: u64,
    committed_at: Instant,
    commit_after: Duration,
}

impl LexicalFollower {
    /// Opens the index of a collection for writing, rebuilt from the store if need be.
    ///
    /// # Errors
    /// Those of the store, the index and the disk; an index that another writer holds.
    pub fn open(
        store: &dyn Store,
        data_dir: &DataDir,
        collection: CollectionId,
    ) -> Result<LexicalFollower> {
        let folder = data_dir.index_folder(collection);
        let had_folder = folder.is_dir();
        let (index, opened) = match open_directory(&folder)
            .and_then(|dir| Ok(LexicalIndex::open_or_create(dir)?))
        {
            Ok(opened) => opened,
            Err(Error::Index(error)) if error.wants_rebuild() => {
                tracing::warn!(folder = %folder.display(), "Rebuilding the text index from the store: {error}");
                recreate(&folder)?
            }
            Err(error) => return Err(error),
        };
        let last_seq = store.last_seq()?;
        let (index, start) = match opened {
            Opened::Existing { applied } if belongs(store, collection, applied)? => {
                (index, Some(applied))
            }
            Opened::Existing { applied } => {
                tracing::warn!(
                    folder = %folder.display(), applied, last_seq,
                    "Rebuilding the text index from the store: the two do not belong together"
                );
                (recreate(&folder)?.0, None)
            }
            Opened::Created => (index, None),
        };
        let writer = index.writer()?;
        remove_temporary(&folder);
        let mut follower = LexicalFollower {
            collection,
            folder: folder.clone(),
            writer,
            applied: start.unwrap_or(0),
            committed: start.unwrap_or(0),
            committed_at: Instant::now(),
            commit_after: COMMIT_FIRST,
        };
        if start.is_none() {
            let chunks = put_all(store, collection, &mut follower.writer)?;
            // One that nothing was ever committed to is not missing: it is new.
            if chunks > 0 && (had_folder || store.trimmed_seq(collection)? > 0) {
                let reason = if had_folder {
                    "was rebuilt"
                } else {
                    "was missing and was built"
                };
                tracing::warn!(folder = %folder.display(), chunks, "The text index {reason} from the store");
            }
            follower.applied = last_seq;
            follower.commit_now()?;
        }
        Ok(follower)
    }

    /// Returns the number of the last row of the log that was applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Lets the first commit from now on be due at once.
    pub fn begin_run(&mut self) {
        self.commit_after = Duration::ZERO;
    }

    /// Whether the last commit is long enough ago for another one. The first is always due.
    pub fn is_due(&self) -> bool {
        self.committed == 0 || self.committed_at.elapsed() >= self.commit_after
    }

    /// Applies what the log holds beyond what was applied. Visible after the next commit.
    ///
    /// # Errors
    /// Those of the store and the index.
    pub fn follow(&mut self, store: &dyn Store) -> Result<()> {
        loop {
            let ops = store.ops_after(self.collection, self.applied, OPS_PAGE)?;
            let Some(last) = ops.last() else {
                return Ok(());
            };
            // Only the last word on each chunk counts: it may lose its place to a copy and win it back.
            let last_words: HashMap<ChunkId, OpKind> =
                ops.iter().map(|op| (op.chunk, op.kind)).collect();
            let (puts, deletes): (Vec<_>, Vec<_>) = last_words
                .into_iter()
                .partition(|&(_, kind)| kind == OpKind::Put);
            let mut puts: Vec<ChunkId> = puts.into_iter().map(|(chunk, _)| chunk).collect();
            puts.sort_unstable();
            // A chunk that the store has no more is deleted by a later row.
            for chunk in store.chunks(&puts)? {
                self.writer
                    .put(&chunk.record(), &chunk.text)
                    .map_err(|error| explain(&self.folder, error))?;
            }
            for (chunk, _) in deletes {
                self.writer
                    .delete(embedder_index::ChunkId(chunk.0.unsigned_abs()));
            }
            self.applied = last.seq;
        }
    }

    /// Makes what was applied visible and durable, if there is any; the log is left to the caller.
    ///
    /// # Errors
    /// Those of the index and the disk.
    pub fn commit_applied(&mut self) -> Result<()> {
        if self.applied == self.committed {
            return Ok(());
        }
        self.commit_now()
    }

    fn commit_now(&mut self) -> Result<()> {
        self.writer
            .commit(self.applied)
            .map_err(|error| explain(&self.folder, error))?;
        self.committed = self.applied;
        self.committed_at = Instant::now();
        self.commit_after = (self.commit_after * 2).clamp(COMMIT_FIRST, COMMIT_LAST);
        Ok(())
    }
}

impl TextIndex for LexicalFollower {
    fn catch_up(&mut self, db: &mut dyn StoreWriter) -> Result<()> {
        self.follow(db.store())
    }

    fn commit_if_due(&mut self, db: &mut dyn StoreWriter) -> Result<()> {
        if self.is_due() {
            self.commit(db)?;
        }
        Ok(())
    }

    fn commit(&mut self, db: &mut dyn StoreWriter) -> Result<()> {
        if self.applied == self.committed {
            return Ok(());
        }
        self.commit_now()?;
        db.trim_ops(self.collection, self.applied)?;
        Ok(())
    }
}

/// The index writes on threads of its own and, when one has failed, says only that it is gone. What fails there in
/// practice is the disk, so that is looked at.
fn explain(folder: &Path, error: embedder_index::Error) -> Error {
    if !matches!(error, embedder_index::Error::Engine(_)) {
        return error.into();
    }
    let probe = || -> io::Result<()> {
        let mut file = tempfile::tempfile_in(folder)?;
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_all()
    };
    match probe() {
        Err(full) if full.kind() == io::ErrorKind::StorageFull => {
            Error::io("write to", folder, full)
        }
        _ => error.into(),
    }
}

/// As much as the index wants to write at a time.
const PROBE_BYTES: usize = 1 << 20;

/// An index opened for reading.
pub struct ReadIndex {
    /// The index.
    pub index: LexicalIndex,
    /// Changes of the store that it does not hold yet: a writer has not committed them, or was killed before it could.
    pub behind: u64,
}

/// Returns an index for reading: the one on disk, or, where that cannot be used, one built in memory from the store.
///
/// # Errors
/// Those of the store.
pub fn open_for_reading(
    store: &dyn Store,
    data_dir: &DataDir,
    collection: CollectionId,
) -> Result<ReadIndex> {
    let folder = data_dir.index_folder(collection);
    match open_existing(&folder) {
        Ok((index, applied)) if belongs(store, collection, applied)? => {
            let behind = store.ops_after(collection, applied, BEHIND_MAX)?.len() as u64;
            return Ok(ReadIndex { index, behind });
        }
        Ok(_) => tracing::warn!(
            folder = %folder.display(),
            "Building the text index in memory: the one on disk does not belong to the store"
        ),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), "Building the text index in memory: {error}");
        }
    }
    let directory: Box<dyn Directory> = Box::new(RamDirectory::create());
    let (index, _) = LexicalIndex::open_or_create(directory)?;
    let mut writer = index.writer()?;
    put_all(store, collection, &mut writer)?;
    writer.commit(store.last_seq()?)?;
    Ok(ReadIndex { index, behind: 0 })
}

/// Returns the index on disk if it is whole and holds everything that the store does; none where a writer must first
/// build it or bring it up to date.
///
/// # Errors
/// Those of the store.
pub fn open_current(
    store: &dyn Store,
    data_dir: &DataDir,
    collection: CollectionId,
) -> Result<Option<LexicalIndex>> {
    let Ok((index, applied)) = open_existing(&data_dir.index_folder(collection)) else {
        return Ok(None);
    };
    let is_current =
        belongs(store, collection, applied)? && store.ops_after(collection, applied, 1)?.is_empty();
    Ok(is_current.then_some(index))
}

/// Removes what killed processes left while they replaced a file. Whoever calls this is the one writer of the folder.
fn remove_temporary(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| {
        entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(TEMPORARY))
    }) {
        // One that stays costs a few hundred bytes.
        let _ = fs::remove_file(entry.path());
    }
}

/// How the engine names files that will take another's place.
const TEMPORARY: &str = ".tmp";

/// As many changes are counted; beyond it the exact number says no more.
const BEHIND_MAX: usize = 100_000;

/// Whether an index that has followed the log up to `applied` is of this store and can go on from there.
fn belongs(store: &dyn Store, collection: CollectionId, applied: u64) -> Result<bool> {
    Ok(applied >= store.trimmed_seq(collection)? && applied <= store.last_seq()?)
}

/// Opens the index of a folder, which is left as it is, and returns how far it has followed the log.
///
/// # Errors
/// An index that is missing, damaged or of another version.
pub fn open_existing(folder: &Path) -> Result<(LexicalIndex, u64)> {
    if !folder.is_dir() {
        return Err(embedder_index::Error::Missing.into());
    }
    Ok(LexicalIndex::open_read_only(directory_at(folder)?)?)
}

fn put_all(store: &dyn Store, collection: CollectionId, writer: &mut LexicalWriter) -> Result<u64> {
    let (mut count, mut failed) = (0, None);
    store.canonical_chunks(collection, true, &mut |chunk| {
        if failed.is_none() {
            failed = writer.put(&chunk.record(), &chunk.text).err();
            count += 1;
        }
    })?;
    failed.map_or(Ok(count), |error| Err(error.into()))
}

fn open_directory(folder: &Path) -> Result<Box<dyn Directory>> {
    create_private(folder).map_err(|error| Error::io("create", folder, error))?;
    directory_at(folder)
}

fn directory_at(folder: &Path) -> Result<Box<dyn Directory>> {
    let directory = MmapDirectory::open(folder)
        .map_err(|error| Error::io("open", folder, io::Error::other(error.to_string())))?;
    Ok(Box::new(directory))
}

fn recreate(folder: &Path) -> Result<(LexicalIndex, Opened)> {
    fs::remove_dir_all(folder).map_err(|error| Error::io("remove", folder, error))?;
    Ok(LexicalIndex::open_or_create(open_directory(folder)?)?)
}
