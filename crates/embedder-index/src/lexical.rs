//! The lexical index: which chunks hold a term, how often, in which field.
//!
//! It is derived data. Each commit carries, beside the documents, the number of the last operation of the store's log
//! that it holds, so after a crash the operations behind that number are applied again, which changes nothing if they
//! were applied before. Nothing of the text is stored.
//!
//! Opening verifies all of it: version, schema, the checksum of every file, the counts of every segment. What does not
//! agree is an [`Error::Damaged`] or [`Error::VersionMismatch`] and never a panic or a wrong answer later.

mod bm25;
mod payload;
mod postings;
mod schema;
mod segment;
mod signed;
mod term_scores;
mod writer;

use std::sync::Arc;

use tantivy::{
    Index, IndexReader, IndexSettings, ReloadPolicy,
    directory::{Directory, META_LOCK},
    index::{SegmentComponent, SegmentMeta},
};

use crate::error::Error;
use payload::Payload;
pub(crate) use postings::Postings;
use schema::Layout;
pub(crate) use schema::{FIELDS, Field};
use segment::SegmentData;
use signed::SignedDirectory;
pub(crate) use term_scores::{TermScores, Totals};
pub use writer::LexicalWriter;

pub(crate) use bm25::idf;

/// The version of analysis, fields and layout. An index of another version is rebuilt.
pub const VERSION: u32 = 1;

/// Every file of a segment ends in a footer of two numbers at least; a shorter file was cut off.
const FOOTER_BYTES_MIN: usize = 8;

/// Whether an index was there when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It was there and holds the operations up to `applied`.
    Existing {
        /// Number of the last operation of the store's log that was committed.
        applied: u64,
    },
    /// It is new and empty.
    Created,
}

/// A lexical index in a directory.
pub struct LexicalIndex {
    index: Index,
    layout: Layout,
}

impl LexicalIndex {
    /// Opens the index of a directory, or makes an empty one where there is none.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::VersionMismatch`] where the directory holds something else than a sound index of
    /// this version.
    pub fn open_or_create(
        directory: impl Into<Box<dyn Directory>>,
    ) -> Result<(Self, Opened), Error> {
        let directory = SignedDirectory::new(directory.into());
        if Index::exists(&directory)? {
            let (index, applied) = Self::open(directory)?;
            return Ok((index, Opened::Existing { applied }));
        }
        let (schema, layout) = schema::build();
        // Nothing is stored, so there is nothing to compress on a thread of its own.
        let settings = IndexSettings {
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let index = Index::create(directory, schema, settings)?;
        Ok((Self { index, layout }, Opened::Created))
    }

    /// Opens the index of a directory for reading alone, beside a process that may be writing it.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is none, otherwise as [`LexicalIndex::open_or_create`].
    pub fn open_read_only(directory: impl Into<Box<dyn Directory>>) -> Result<(Self, u64), Error> {
        let directory = SignedDirectory::new(directory.into());
        if !Index::exists(&directory)? {
            return Err(Error::Missing);
        }
        Self::open(directory)
    }

    /// The index as a writer. There is one at a time.
    ///
    /// # Errors
    /// [`Error::Locked`] while another writer lives, here or in another process.
    pub fn writer(&self) -> Result<LexicalWriter, Error> {
        LexicalWriter::new(&self.index, self.layout)
    }

    /// The index as a reader of its last commit.
    ///
    /// # Errors
    /// Where its files cannot be read.
    pub fn reader(&self) -> Result<LexicalReader, Error> {
        let reader = self
            .index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        LexicalReader::new(reader, self.layout)
    }

    fn open(directory: SignedDirectory) -> Result<(Self, u64), Error> {
        let index = Index::open(directory.clone())?;
        let (schema, layout) = schema::build();
        let applied = {
            // While this lock is held no writer removes the files that are about to be verified.
            let _no_removal = index
                .directory()
                .acquire_lock(&META_LOCK)
                .map_err(tantivy::TantivyError::from)?;
            let meta = index.load_metas()?;
            let payload = Payload::of(meta.payload.as_deref(), meta.segments.is_empty())?;
            if index.schema() != schema {
                return Err(Error::damaged("its fields are not those of its version"));
            }
            for segment in &meta.segments {
                verify_files(&index, &directory, segment)?;
            }
            payload.applied
        };
        let opened = Self { index, layout };
        // What checksums do not cover, formats and missing files, is found by opening every segment once.
        opened.reader()?;
        Ok((opened, applied))
    }
}

/// Verifies the checksum of every file of a segment. Lengths are asked of the raw directory, before the engine looks for
/// a checksum at the end of a file that may have none.
fn verify_files(index: &Index, raw: &SignedDirectory, segment: &SegmentMeta) -> Result<(), Error> {
    let components = [
        SegmentComponent::Terms,
        SegmentComponent::Postings,
        SegmentComponent::Store,
        SegmentComponent::FastFields,
        SegmentComponent::FieldNorms,
    ];
    let deletes = segment.has_deletes().then_some(SegmentComponent::Delete);
    // A segment without positions may lack their file, but where it is, it is read.
    let positions = raw.exists(&segment.relative_path(SegmentComponent::Positions))?;
    let positions = positions.then_some(SegmentComponent::Positions);
    for component in components.into_iter().chain(deletes).chain(positions) {
        let path = segment.relative_path(component);
        let bytes = raw.get_file_handle(&path)?.len();
        if bytes < FOOTER_BYTES_MIN || !index.directory().validate_checksum(&path)? {
            return Err(Error::damaged(format!(
                "{} does not match its checksum",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Reads the last commit of a lexical index, and on [`LexicalReader::reload`] the one after it.
pub struct LexicalReader {
    reader: IndexReader,
    layout: Layout,
    segments: Vec<Arc<SegmentData>>,
}

impl LexicalReader {
    fn new(reader: IndexReader, layout: Layout) -> Result<Self, Error> {
        let mut reader = Self {
            reader,
            layout,
            segments: Vec::new(),
        };
        reader.load_segments()?;
        Ok(reader)
    }

    /// Turns to the newest commit. What does not change of a segment is kept.
    ///
    /// # Errors
    /// Where its files cannot be read; the view stays as it was.
    pub fn reload(&mut self) -> Result<(), Error> {
        *self = self.reloaded()?;
        Ok(())
    }

    /// A reader of the newest commit beside this one, which shares what does not change of a segment.
    ///
    /// # Errors
    /// Where its files cannot be read.
    pub fn reloaded(&self) -> Result<Self, Error> {
        self.reader.reload()?;
        let mut newer = Self {
            reader: self.reader.clone(),
            layout: self.layout,
            segments: self.segments.clone(),
        };
        newer.load_segments()?;
        Ok(newer)
    }

    pub(crate) fn segments(&self) -> &[Arc<SegmentData>] {
        &self.segments
    }

    fn load_segments(&mut self) -> Result<(), Error> {
        let searcher = self.reader.searcher();
        let segments = searcher.segment_readers().iter().map(|segment| {
            let known = self
                .segments
                .iter()
                .find(|known| known.id() == segment.segment_id());
            SegmentData::load(segment, &self.layout, known.map(AsRef::as_ref)).map(Arc::new)
        });
        self.segments = segments.collect::<Result<_, _>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
