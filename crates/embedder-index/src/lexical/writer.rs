//! Writes chunks into the lexical index.

use tantivy::{
    Index, IndexWriter, TantivyDocument, Term,
    indexer::{IndexWriterOptions, LogMergePolicy},
};

use crate::{
    analysis::{Analyser, Terms},
    chunk::{ChunkId, ChunkRecord},
    error::Error,
    lexical::{
        payload::Payload,
        schema::{FIELDS, Field, Layout},
    },
    path,
};

/// Memory for documents that are not written yet: about twenty thousand chunks, so a bulk load makes few segments.
const BUFFER_BYTES: usize = 64 << 20;

/// A segment with more than this share of deleted documents is rewritten, else deleted chunks would be read for ever.
const DELETED_SHARE_MAX: f32 = 0.3;

/// The one writer of a lexical index. It writes on a thread of its own and merges segments on another.
///
/// Nothing is visible to readers, or survives a crash, before [`LexicalWriter::commit`].
pub struct LexicalWriter {
    writer: IndexWriter,
    layout: Layout,
    analyser: Analyser,
}

impl LexicalWriter {
    pub(super) fn new(index: &Index, layout: Layout) -> Result<Self, Error> {
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(BUFFER_BYTES)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        let writer = index.writer_with_options(options)?;
        let mut merge_policy = LogMergePolicy::default();
        merge_policy.set_del_docs_ratio_before_merge(DELETED_SHARE_MAX);
        writer.set_merge_policy(Box::new(merge_policy));
        // A process that was killed between writing a file and committing it leaves the file, and the same name would be
        // written again.
        writer.garbage_collect_files().wait()?;
        Ok(Self {
            writer,
            layout,
            analyser: Analyser::default(),
        })
    }

    /// Adds a chunk, or replaces the one with the same id.
    ///
    /// # Errors
    /// Where the writing thread has failed, as on a full disk.
    pub fn put(&mut self, record: &ChunkRecord, text: &str) -> Result<(), Error> {
        self.delete(record.id);
        let mut document = TantivyDocument::default();
        document.add_u64(self.layout.id, record.id.0);
        for field in FIELDS {
            let terms = self.terms_of(field, record, text);
            document.add_u64(self.layout.length[field.index()], u64::from(terms.count));
            if terms.count > 0 {
                document.add_text(self.layout.text[field.index()], terms.joined);
            }
        }
        self.writer.add_document(document)?;
        Ok(())
    }

    /// Removes a chunk, if it is there.
    pub fn delete(&mut self, id: ChunkId) {
        self.writer
            .delete_term(Term::from_field_u64(self.layout.id, id.0));
    }

    /// Makes everything up to now durable and visible, together with the number of the last operation it holds.
    ///
    /// # Errors
    /// Where it cannot be written; the commit before stays as it was.
    pub fn commit(&mut self, applied: u64) -> Result<(), Error> {
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&Payload { applied }.to_string());
        commit.commit()?;
        Ok(())
    }

    /// Waits until segments that are being merged are done. Readers are fastest after it.
    ///
    /// # Errors
    /// Where a merge failed; the index stays as it was before that merge.
    pub fn finish(self) -> Result<(), Error> {
        Ok(self.writer.wait_merging_threads()?)
    }

    fn terms_of(&mut self, field: Field, record: &ChunkRecord, text: &str) -> Terms {
        let mut terms = Terms::default();
        let analyser = &mut self.analyser;
        match field {
            Field::Body => analyser.append(text, &mut terms),
            Field::Symbols => {
                for definition in record
                    .definitions
                    .iter()
                    .filter(|definition| definition.kind.is_searched())
                {
                    analyser.append(&definition.name, &mut terms);
                }
            }
            Field::Scope => record
                .scope
                .iter()
                .for_each(|name| analyser.append(name, &mut terms)),
            Field::Stem => analyser.append(path::stem(&record.path), &mut terms),
            Field::Folders => {
                path::folders(&record.path).for_each(|folder| analyser.append(folder, &mut terms));
            }
        }
        terms
    }
}
