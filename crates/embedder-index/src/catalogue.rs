//! What the index knows of every chunk, in memory: place, definitions, scope; names and path words point back to chunks.
//!
//! A chunk lives in a *slot*, a small number that arrays of scores are indexed by. A slot that a deleted chunk left is
//! reused only after [`Catalogue::settle`], when nothing that was built before points to it any more. Names and words
//! stay when their last chunk goes; they are bounded by what one process has ever indexed.

mod files;
mod names;

use std::{cmp::Ordering, collections::HashMap};

pub(crate) use files::{FileIndex, Files};
pub(crate) use names::{Holder, NameIndex, Names, Site, WordIndex};

use crate::{
    analysis::Analyser,
    chunk::{ChunkId, ChunkRecord, SymbolKind},
};

/// Where a chunk's scores lie in every array of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(u32);

impl Slot {
    /// The slot of no chunk.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// # Panics
    /// Beyond four thousand million chunks.
    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("a collection has fewer than 2^32 chunks"))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A definition as the catalogue keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DefinitionEntry {
    pub(crate) name: NameIndex,
    pub(crate) kind: SymbolKind,
    /// Lines of the whole definition, beyond the first.
    pub(crate) extent: u32,
}

/// A chunk as the catalogue keeps it.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) id: ChunkId,
    pub(crate) file: FileIndex,
    pub(crate) start_line: u32,
    pub(crate) end_line: u32,
    pub(crate) definitions: Box<[DefinitionEntry]>,
    pub(crate) scope: Box<[NameIndex]>,
}

/// The metadata of all chunks of a collection.
#[derive(Default)]
pub(crate) struct Catalogue {
    analyser: Analyser,
    slots: HashMap<ChunkId, Slot>,
    chunks: Vec<Option<Chunk>>,
    /// Each chunk's file, beside `chunks` because loops over all chunks read only this.
    file_of: Vec<FileIndex>,
    /// Each chunk's prior; 0 for an empty slot.
    priors: Vec<f32>,
    files: Files,
    names: Names,
    /// Empty slots that may be filled.
    free: Vec<Slot>,
    /// Empty slots that an older view of the lexical index may still point to.
    unsettled: Vec<Slot>,
}

impl Catalogue {
    /// Adds a chunk, or replaces the one with the same id, and returns its slot.
    pub(crate) fn put(&mut self, record: &ChunkRecord) -> Slot {
        let slot = match self.slots.get(&record.id) {
            Some(&slot) => {
                self.unlink(slot);
                slot
            }
            None => self.take_slot(),
        };
        let file = self.files.intern(
            record.file,
            &record.path,
            record.language.as_deref(),
            &mut self.analyser,
        );
        self.files.add_chunk(file, slot);
        let mut definitions: Vec<DefinitionEntry> = Vec::with_capacity(record.definitions.len());
        for definition in &record.definitions {
            let name = self.names.intern(&definition.name, &mut self.analyser);
            self.names.add_site(
                name,
                Site {
                    slot,
                    kind: definition.kind,
                },
            );
            let extent = definition.end_line.saturating_sub(definition.start_line);
            definitions.push(DefinitionEntry {
                name,
                kind: definition.kind,
                extent,
            });
        }
        let scope = record
            .scope
            .iter()
            .map(|name| self.names.intern(name, &mut self.analyser))
            .collect();
        self.file_of[slot.index()] = file;
        self.priors[slot.index()] = self.files.get(file).prior();
        self.slots.insert(record.id, slot);
        self.chunks[slot.index()] = Some(Chunk {
            id: record.id,
            file,
            start_line: record.start_line,
            end_line: record.end_line,
            definitions: definitions.into(),
            scope,
        });
        slot
    }

    /// Removes a chunk and returns the slot it leaves.
    pub(crate) fn delete(&mut self, id: ChunkId) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.unlink(slot);
        self.file_of[slot.index()] = FileIndex::NONE;
        self.priors[slot.index()] = 0.0;
        self.unsettled.push(slot);
        Some(slot)
    }

    /// Lets the slots of deleted chunks be reused. Call it when every view that pointed to them has been replaced.
    pub(crate) fn settle(&mut self) {
        self.free.append(&mut self.unsettled);
    }

    /// The number of chunks.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The length of an array with a place for every chunk.
    pub(crate) fn slots_len(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) fn slot(&self, id: ChunkId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    pub(crate) fn chunk(&self, slot: Slot) -> Option<&Chunk> {
        self.chunks.get(slot.index())?.as_ref()
    }

    /// The file of each slot, [`FileIndex::NONE`] where it is empty.
    pub(crate) fn file_of(&self) -> &[FileIndex] {
        &self.file_of
    }

    /// The prior of each slot, 0 where it is empty.
    pub(crate) fn priors(&self) -> &[f32] {
        &self.priors
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Whether some chunk of code defines exactly this name.
    pub(crate) fn defines(&self, name: &str) -> bool {
        let mut same = self
            .names
            .spelled_like(name)
            .filter(|&index| self.names.text(index) == name);
        same.any(|index| {
            self.names
                .sites(index)
                .iter()
                .any(|site| site.kind.is_code())
        })
    }

    /// The order among equal scores: by place, never by id, so that the order of indexing shows nowhere.
    pub(crate) fn compare_places(&self, a: Slot, b: Slot) -> Ordering {
        let place = |slot| {
            self.chunk(slot).map(|chunk| {
                (
                    self.files.path(chunk.file),
                    chunk.start_line,
                    chunk.end_line,
                    chunk.id,
                )
            })
        };
        place(a).cmp(&place(b))
    }

    fn take_slot(&mut self) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            self.chunks.push(None);
            self.file_of.push(FileIndex::NONE);
            self.priors.push(0.0);
            Slot::new(self.chunks.len() - 1)
        })
    }

    fn unlink(&mut self, slot: Slot) {
        let Some(chunk) = self.chunks[slot.index()].take() else {
            return;
        };
        self.files.remove_chunk(chunk.file, slot);
        for definition in &chunk.definitions {
            self.names.remove_sites(definition.name, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Definition, FileId};

    fn record(id: u64, path: &str, names: &[&str]) -> ChunkRecord {
        ChunkRecord {
            id: ChunkId(id),
            file: FileId::of(path),
            path: path.to_owned(),
            language: Some("rust".to_owned()),
            start_line: 1,
            end_line: 9,
            definitions: names
                .iter()
                .map(|&name| Definition {
                    name: name.to_owned(),
                    kind: SymbolKind::Type,
                    start_line: 1,
                    end_line: 9,
                })
                .collect(),
            scope: vec!["outer".to_owned()],
        }
    }

    fn sites(catalogue: &Catalogue, name: &str) -> Vec<u64> {
        let names = catalogue.names.spelled_like(name);
        let sites = names.flat_map(|index| catalogue.names.sites(index).to_vec());
        sites
            .map(|site| catalogue.chunk(site.slot).unwrap().id.0)
            .collect()
    }

    #[test]
    fn a_replaced_chunk_keeps_its_slot_and_loses_its_old_names() {
        let mut catalogue = Catalogue::default();
        let slot = catalogue.put(&record(1, "a.rs", &["Old", "Old", "Kept"]));
        assert_eq!(catalogue.put(&record(1, "b.rs", &["New", "Kept"])), slot);
        assert_eq!(sites(&catalogue, "old"), [0; 0]);
        assert_eq!(sites(&catalogue, "new"), [1]);
        assert_eq!(sites(&catalogue, "kept"), [1]);
        assert!(catalogue.defines("New") && !catalogue.defines("new") && !catalogue.defines("Old"));
        assert_eq!(catalogue.len(), 1);
        let files: Vec<&str> = catalogue
            .files
            .iter()
            .map(|(_, file)| file.path())
            .collect();
        assert_eq!(files, ["b.rs"]);
    }

    #[test]
    fn the_slot_of_a_deleted_chunk_is_reused_only_when_settled() {
        let mut catalogue = Catalogue::default();
        let first = catalogue.put(&record(1, "a.rs", &["A"]));
        assert_eq!(catalogue.delete(ChunkId(1)), Some(first));
        assert_eq!(catalogue.delete(ChunkId(1)), None);
        assert!(catalogue.chunk(first).is_none());
        assert_eq!(catalogue.priors()[first.index()], 0.0);
        let second = catalogue.put(&record(2, "b.rs", &["B"]));
        assert_ne!(second, first);
        catalogue.settle();
        assert_eq!(catalogue.put(&record(3, "c.rs", &["C"])), first);
    }

    #[test]
    fn names_differing_in_case_are_found_together() {
        let mut catalogue = Catalogue::default();
        catalogue.put(&record(1, "a.rs", &["Router"]));
        catalogue.put(&record(2, "b.rs", &["router"]));
        catalogue.put(&record(3, "c.rs", &["ROUTER"]));
        let mut found = sites(&catalogue, "rOuTeR");
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3]);
    }

    #[test]
    fn headings_and_scopes_define_no_identifier() {
        let mut catalogue = Catalogue::default();
        let mut heading = record(1, "a.md", &["installation"]);
        heading.definitions[0].kind = SymbolKind::Heading;
        catalogue.put(&heading);
        assert!(!catalogue.defines("installation"));
        assert!(!catalogue.defines("outer"));
    }

    #[test]
    fn equal_scores_are_ordered_by_place() {
        let mut catalogue = Catalogue::default();
        let later = catalogue.put(&record(1, "b.rs", &[]));
        let earlier = catalogue.put(&record(2, "a.rs", &[]));
        assert_eq!(catalogue.compare_places(earlier, later), Ordering::Less);
    }
}
