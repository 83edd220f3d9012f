//! The first phase of a run: what makes text search answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::difference::{Difference, kind_of_reason};
use super::files::SourceFiles;
use super::lexical::TextIndex;
use super::prepare::{PIPELINE_VERSION, Preparer};
use super::progress::{Event, Progress};
use super::surroundings::Surroundings;
use super::{IndexReport, workers};
use crate::clock::now_ms;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::{FileChange, Source, StoreWriter};

/// Files in one transaction: few enough that text appears early, many enough that the commits do not add up.
const BATCH_FILES: usize = 256;

/// Chunks in one transaction, for sources with large files.
const BATCH_CHUNKS: usize = 2_000;

/// Vectors that are kept although their texts are gone: a branch that one comes back to is not embedded again. With 384
/// dimensions they take 30 MB.
const SPARE_VECTORS: u64 = 20_000;

/// The part of a run that makes text search answer.
pub(super) struct TextPhase<'a> {
    pub(super) config: &'a Config,
    pub(super) surroundings: &'a dyn Surroundings,
    pub(super) files: &'a dyn SourceFiles,
    pub(super) source: &'a Source,
    pub(super) retries_skipped: bool,
    pub(super) progress: &'a dyn Progress,
    pub(super) stop: &'a AtomicBool,
}

impl TextPhase<'_> {
    /// Brings the store and the text index up to date with the folder.
    pub(super) fn run(&self, db: &mut dyn StoreWriter, report: &mut IndexReport) -> Result<()> {
        let found = self.files.list(self.stop)?;
        report.files = found.len() as u64;
        let is_current = self.source.pipeline == PIPELINE_VERSION;
        let known = db.store().files(self.source.id)?;
        let difference = Difference::between(found, known, is_current, self.retries_skipped);
        report.removed = difference.removed.len() as u64;
        report.skipped = difference.skipped.clone();
        let bytes = difference.to_read.iter().map(|file| file.bytes).sum();
        self.progress.report(&Event::Walked {
            files: report.files,
            to_read: difference.to_read.len() as u64,
            bytes,
        });

        let mut index = self.surroundings.text_index(db, self.source.collection)?;
        let index = index.as_mut();
        index.catch_up(db)?;
        db.apply(self.source, &difference.removed)?;
        db.apply(self.source, &difference.to_skip)?;
        self.read_all(db, index, difference, report)?;
        index.catch_up(db)?;
        index.commit(db)?;
        let commit = self.files.commit();
        db.set_updated(
            self.source.id,
            PIPELINE_VERSION,
            now_ms(),
            commit.as_deref(),
        )?;
        if report.changed + report.removed > 0 {
            db.collect_vectors(SPARE_VECTORS)?;
        }
        Ok(())
    }

    /// Reads and cuts the changed files on all threads; this thread alone writes.
    fn read_all(
        &self,
        db: &mut dyn StoreWriter,
        index: &mut dyn TextIndex,
        difference: Difference,
        report: &mut IndexReport,
    ) -> Result<()> {
        let total = difference.to_read.len() as u64;
        let threads = self.config.threads.min(difference.to_read.len()).max(1);
        let preparer = Preparer::new(self.config, &difference.known);
        workers::spread(
            difference.to_read.into_iter(),
            threads,
            self.stop,
            || {
                self.surroundings.begin_worker();
                self.files.reader()
            },
            |reader, file| preparer.prepare(&mut **reader, &file),
            |changes| self.write_all(db, index, changes, total, report),
        )
    }

    fn write_all(
        &self,
        db: &mut dyn StoreWriter,
        index: &mut dyn TextIndex,
        changes: mpsc::Receiver<FileChange>,
        total: u64,
        report: &mut IndexReport,
    ) -> Result<()> {
        let mut batch = Vec::new();
        let (mut batch_chunks, mut chunks, mut done) = (0, 0, 0);
        for change in changes {
            done += 1;
            match &change {
                FileChange::Put(file) => {
                    batch_chunks += file.chunks.len();
                    report.changed += 1;
                }
                FileChange::Skip { reason, .. } => {
                    *report.skipped.entry(kind_of_reason(reason)).or_default() += 1;
                }
                FileChange::Touch { .. } | FileChange::Remove { .. } => {}
            }
            batch.push(change);
            if batch.len() >= BATCH_FILES || batch_chunks >= BATCH_CHUNKS {
                chunks += batch_chunks as u64;
                batch_chunks = 0;
                db.apply(self.source, &batch)?;
                batch.clear();
                index.catch_up(db)?;
                index.commit_if_due(db)?;
                self.progress.report(&Event::Files {
                    done,
                    total,
                    chunks,
                });
            }
        }
        chunks += batch_chunks as u64;
        db.apply(self.source, &batch)?;
        index.catch_up(db)?;
        if self.stop.load(Ordering::Relaxed) {
            index.commit(db)?;
            return Err(Error::Interrupted);
        }
        self.progress.report(&Event::Files {
            done,
            total,
            chunks,
        });
        Ok(())
    }
}
