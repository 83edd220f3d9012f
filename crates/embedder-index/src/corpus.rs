//! Small corpora for the tests: chunks in a few words each, indexed in any order and any number of commits.

use tantivy::directory::RamDirectory;

use crate::{
    ChunkId, ChunkRecord, Collection, Definition, FileId, Hit, LexicalIndex, Mode, ParsedQuery,
    QueryVector, Request, SymbolKind,
};

/// Dimensions of the vectors of test corpora.
pub(crate) const DIMENSIONS: usize = 4;

/// A chunk with its text and, perhaps, its vector.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) record: ChunkRecord,
    pub(crate) text: String,
    pub(crate) vector: Option<[f32; DIMENSIONS]>,
}

impl Sample {
    pub(crate) fn new(id: u64, path: &str, text: &str) -> Self {
        let record = ChunkRecord {
            id: ChunkId(id),
            file: FileId::of(path),
            path: path.to_owned(),
            language: None,
            start_line: u32::try_from(id).unwrap() * 10,
            end_line: u32::try_from(id).unwrap() * 10 + 9,
            definitions: Vec::new(),
            scope: Vec::new(),
        };
        Self {
            record,
            text: text.to_owned(),
            vector: None,
        }
    }

    pub(crate) fn defining(mut self, kind: SymbolKind, name: &str) -> Self {
        self.record.definitions.push(Definition {
            name: name.to_owned(),
            kind,
            start_line: 1,
            end_line: 1,
        });
        self
    }

    pub(crate) fn within(mut self, scope: &str) -> Self {
        self.record.scope.push(scope.to_owned());
        self
    }

    pub(crate) fn vector(mut self, vector: [f32; DIMENSIONS]) -> Self {
        self.vector = Some(vector);
        self
    }
}

/// Indexes samples, a commit after each `commit_every` of them.
pub(crate) fn index(samples: &[Sample], commit_every: usize) -> Collection {
    let (index, _) = LexicalIndex::open_or_create(RamDirectory::create()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut collection = Collection::new(index.reader().unwrap(), DIMENSIONS);
    for (number, sample) in samples.iter().enumerate() {
        writer.put(&sample.record, &sample.text).unwrap();
        collection.put(&sample.record);
        if let Some(vector) = &sample.vector {
            collection.put_vector(sample.record.id, vector).unwrap();
        }
        if (number + 1) % commit_every == 0 {
            writer.commit(number as u64).unwrap();
        }
    }
    writer.commit(samples.len() as u64).unwrap();
    collection.refresh().unwrap();
    collection
}

/// Searches by words, with explanations.
pub(crate) fn search(collection: &Collection, query: &str) -> Vec<Hit> {
    let query = ParsedQuery::parse(query);
    collection
        .search(&Request {
            mode: Mode::Text,
            explain: true,
            ..Request::new(&query)
        })
        .unwrap()
}

/// The ids that a search by words finds, best first.
pub(crate) fn found(collection: &Collection, query: &str) -> Vec<u64> {
    search(collection, query)
        .iter()
        .map(|hit| hit.id.0)
        .collect()
}

/// What a rule did to a hit; 0 where it did not apply.
pub(crate) fn effect(hit: &Hit, rule: &str) -> f32 {
    let explanation = hit.explanation.as_ref().unwrap();
    explanation
        .rules
        .iter()
        .filter(|effect| effect.rule == rule)
        .map(|effect| effect.effect)
        .sum()
}

/// A query's vector.
pub(crate) fn query_vector(vector: [f32; DIMENSIONS]) -> QueryVector {
    QueryVector::new(&vector).unwrap()
}
