//! One segment of the lexical index, read into arrays where searching needs them often.

use std::sync::Arc;

use tantivy::{
    SegmentReader,
    columnar::Cardinality,
    fastfield::AliveBitSet,
    index::{InvertedIndexReader, SegmentId},
    schema::IndexRecordOption,
};

use crate::{
    chunk::ChunkId,
    error::Error,
    lexical::schema::{FIELDS, Field, ID, Layout},
};

/// The columns of a segment. They never change while the segment lives.
struct Columns {
    ids: Vec<ChunkId>,
    lengths: [Vec<u32>; FIELDS.len()],
}

/// A segment at one commit: its postings, its columns, and which of its documents are alive.
pub(crate) struct SegmentData {
    id: SegmentId,
    inverted: [Arc<InvertedIndexReader>; FIELDS.len()],
    columns: Arc<Columns>,
    alive: Option<AliveBitSet>,
}

impl SegmentData {
    /// Reads a segment; columns that were read for an earlier commit are taken from there.
    pub(super) fn load(
        segment: &SegmentReader,
        layout: &Layout,
        known: Option<&Self>,
    ) -> Result<Self, Error> {
        let columns = match known {
            Some(known) => Arc::clone(&known.columns),
            None => Arc::new(Columns::read(segment)?),
        };
        if columns.ids.len() != segment.max_doc() as usize {
            return Err(Error::damaged(
                "a segment holds another number of chunks than its commit says",
            ));
        }
        let alive = segment.alive_bitset().cloned();
        let mut inverted = Vec::with_capacity(FIELDS.len());
        for field in layout.text {
            inverted.push(segment.inverted_index(field)?);
        }
        let inverted = inverted
            .try_into()
            .map_err(|_| Error::damaged("a segment lacks a field"))?;
        Ok(Self {
            id: segment.segment_id(),
            inverted,
            columns,
            alive,
        })
    }

    pub(super) fn id(&self) -> SegmentId {
        self.id
    }

    /// Documents of the segment, dead ones included.
    pub(crate) fn documents(&self) -> usize {
        self.columns.ids.len()
    }

    /// The living documents with their ids, in order.
    pub(crate) fn living(&self) -> impl Iterator<Item = (usize, ChunkId)> {
        let is_alive = |document: &usize| match &self.alive {
            Some(alive) => u32::try_from(*document).is_ok_and(|document| alive.is_alive(document)),
            None => true,
        };
        (0..self.documents())
            .filter(is_alive)
            .map(|document| (document, self.columns.ids[document]))
    }

    /// The exact length of a field of every document.
    pub(crate) fn lengths(&self, field: Field) -> &[u32] {
        &self.columns.lengths[field.index()]
    }

    /// Calls `visit` with the documents that hold a term in a field, and how often, block by block.
    pub(crate) fn visit(
        &self,
        field: Field,
        term: &str,
        mut visit: impl FnMut(&[u32], &[u32]),
    ) -> Result<(), Error> {
        let inverted = &self.inverted[field.index()];
        let Some(term_info) = inverted.terms().get(term)? else {
            return Ok(());
        };
        let mut postings =
            inverted.read_block_postings_from_terminfo(&term_info, IndexRecordOption::WithFreqs)?;
        while !postings.docs().is_empty() {
            visit(postings.docs(), postings.freqs());
            postings.advance();
        }
        Ok(())
    }
}

impl Columns {
    fn read(segment: &SegmentReader) -> Result<Self, Error> {
        let ids = column(segment, ID)?.into_iter().map(ChunkId).collect();
        let mut lengths = FIELDS.map(|_| Vec::new());
        for field in FIELDS {
            let column = column(segment, field.length_name())?;
            let narrow = column
                .into_iter()
                .map(|length| u32::try_from(length).unwrap_or(u32::MAX));
            lengths[field.index()] = narrow.collect();
        }
        Ok(Self { ids, lengths })
    }
}

fn column(segment: &SegmentReader, name: &str) -> Result<Vec<u64>, Error> {
    let column = segment.fast_fields().u64(name)?;
    if column.get_cardinality() != Cardinality::Full {
        return Err(Error::damaged(format!("a chunk lacks its {name}")));
    }
    let mut values = vec![0; column.values.num_vals() as usize];
    column.values.get_range(0, &mut values);
    Ok(values)
}
