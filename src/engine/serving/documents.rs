//! Documents that clients hand over.
//!
//! A document is acknowledged when it is on disk and found by its words; its vector follows. Handing over the same
//! document again changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use embedder_chunking::Language;
use embedder_reliability::degradation::Part;

use super::Service;
use super::collections::gone;
use super::connections::Connection;
use super::find::part_of;
use super::live::{Commit, LiveCollection, client_vectors};
use crate::engine::ingest::{PIPELINE_VERSION, Text, limits_of};
use crate::error::{Error, Result};
use crate::failpoint::{self, Failpoint};
use crate::store::{
    ChunkRow, CollectionKind, EmbedHash, FileChange, Metadata, NewChunk, NewFile, Source,
    SourceKind, Store, StoreWriter,
};

/// Documents in one request: one transaction and one commit of the text index.
pub const DOCUMENTS_MAX: usize = 1_000;

/// Longest id in bytes: as long as a path may reasonably be.
pub const ID_BYTES_MAX: usize = 512;

/// Facts of one document, and the longest key and value in bytes: facts to filter by, not a second text.
pub const FACTS_MAX: usize = 64;
/// Longest key of a fact in bytes.
pub const KEY_BYTES_MAX: usize = 64;
/// Longest value of a fact in bytes.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// A document to be written.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// What it goes by within its collection.
    pub id: String,
    /// Its text.
    pub text: String,
    /// The language it is read as; by default what its id looks like.
    pub language: Option<String>,
    /// Facts to filter by.
    pub metadata: Metadata,
    /// Its vector, in a collection of vectors.
    pub vector: Option<Vec<f32>>,
}

/// A vector with its identity.
type HashedVector = (EmbedHash, Vec<f32>);

/// What writing a document did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Written {
    /// It was not there.
    Created,
    /// It was there and was different.
    Updated,
    /// It was there already.
    Unchanged,
}

/// A document as it is stored.
#[derive(Debug, Clone)]
pub struct StoredDocument {
    /// Its text.
    pub text: String,
    /// Its language, where one was recognised.
    pub language: Option<String>,
    /// Its facts.
    pub metadata: Metadata,
    /// When it was written, in milliseconds since the epoch.
    pub updated_ms: u64,
    /// Whether every part of it has a vector; none where there is no model.
    pub is_embedded: Option<bool>,
}

impl Service {
    /// Writes documents, all or none; they are on disk and found by their words when this returns.
    ///
    /// # Errors
    /// An unknown collection, or one of code; a document that cannot be used; too many that wait for vectors which cannot
    /// be made now; those of the store and the disk.
    pub fn put_documents(&self, name: &str, documents: &[NewDocument]) -> Result<Vec<Written>> {
        let live = self.live(name)?;
        self.put_all(&live, name, documents).map_err(|error| {
            // Whatever it failed with, the collection was deleted meanwhile.
            if live.is_gone() { gone(name) } else { error }
        })
    }

    fn put_all(
        &self,
        live: &Arc<LiveCollection>,
        name: &str,
        documents: &[NewDocument],
    ) -> Result<Vec<Written>> {
        let collection = live.collection();
        if collection.kind == CollectionKind::Code {
            return Err(Error::Argument {
                problem: format!("the collection `{name}` holds code from folders"),
                remedy: "put documents into a collection of the kind `documents`".to_owned(),
            });
        }
        check(documents)?;
        failpoint::pass(Failpoint::StoreWrite).map_err(|injected| Error::Part {
            part: Part::Store,
            problem: injected.to_string(),
        })?;
        let dimensions = collection.dimensions.map(|dimensions| dimensions as usize);
        let mut db = self.connections.take()?;
        let source = document_source(&mut *db, live)?;
        let mut written = Vec::with_capacity(documents.len());
        let (mut changes, mut vectors) = (Vec::new(), Vec::new());
        for document in documents {
            let hash = hash_of(document);
            let known = db.store().file(source.id, &document.id)?;
            if known.as_ref().and_then(|row| row.hash) == Some(hash) {
                written.push(Written::Unchanged);
                continue;
            }
            written.push(if known.is_some() {
                Written::Updated
            } else {
                Written::Created
            });
            let (file, vector) = self.new_file(document, hash, dimensions)?;
            changes.push(FileChange::Put(file));
            vectors.extend(vector);
        }
        if changes.is_empty() {
            // Somebody else may have written them a moment ago and still be waiting for what we promise here.
            self.show(live, &mut db)?;
            return Ok(written);
        }
        self.check_pending(db.store(), live, &changes)?;
        if collection.kind == CollectionKind::Vectors {
            let of = client_vectors(collection);
            let model = db.put_model(&of.fingerprint, &collection.name, of.dimensions)?;
            db.apply_with_vectors(&source, &changes, model, &vectors)?;
        } else {
            db.apply(&source, &changes)?;
        }
        self.show(live, &mut db)?;
        self.metrics
            .documents_written_total
            .add(changes.len() as u64);
        self.fillers.wake(live);
        Ok(written)
    }

    /// Lets searches see what was written. What is on disk is acknowledged also where the text index fails: it is built anew
    /// then, and holds it.
    fn show(&self, live: &LiveCollection, db: &mut Connection<'_>) -> Result<()> {
        match live.sync(&mut **db, &self.data_dir, Commit::Now) {
            Err(error) if part_of(&error) == Some(Part::LexicalIndex) => {
                let name = &live.collection().name;
                tracing::error!(collection = %name, "The text index of {name} fails: {error}");
                live.set_broken(true);
                Ok(())
            }
            synced => synced,
        }
    }

    /// Returns a document.
    ///
    /// # Errors
    /// [`Error::DocumentMissing`]; an unknown collection; those of the store.
    pub fn document(&self, name: &str, id: &str) -> Result<StoredDocument> {
        let live = self.live(name)?;
        let db = self.connections.take()?;
        let store = db.store();
        let (source, row) = find(store, &live, id)?;
        let chunks = store.file_chunks(row.id, 0, u32::MAX)?;
        let language = store
            .file_at(source.collection, id)?
            .and_then(|(_, language)| language);
        Ok(StoredDocument {
            is_embedded: self.is_embedded(store, &live, &chunks)?,
            text: chunks.iter().map(|chunk| chunk.text.as_str()).collect(),
            language,
            metadata: store.facts(row.id)?,
            updated_ms: row.changed_ns.unsigned_abs() / 1_000_000,
        })
    }

    /// Takes a document out; no search finds it when this returns.
    ///
    /// # Errors
    /// As [`Service::document`].
    pub fn delete_document(&self, name: &str, id: &str) -> Result<()> {
        let live = self.live(name)?;
        let mut db = self.connections.take()?;
        let (source, row) = find(db.store(), &live, id)?;
        db.apply(&source, &[FileChange::Remove { id: row.id }])?;
        self.show(&live, &mut db)
    }

    fn new_file(
        &self,
        document: &NewDocument,
        hash: [u8; 32],
        dimensions: Option<usize>,
    ) -> Result<(NewFile, Option<HashedVector>)> {
        let language = match &document.language {
            Some(name) => Some(Language::from_name(name).ok_or_else(|| {
                unusable(
                    document,
                    &format!("there is no language `{name}`"),
                    "leave `language` away, or name a known one",
                )
            })?),
            None => Language::of(&document.id, document.text.as_bytes()),
        };
        let vector = checked_vector(document, dimensions)?;
        let chunks = match &vector {
            Some((hash, _)) => vec![whole(&document.text, *hash)],
            None => {
                let text = Text {
                    path: &document.id,
                    language,
                    bytes: document.text.as_bytes(),
                };
                let time_max = Duration::from_millis(self.config.parse_ms_max);
                text.cut(&limits_of(&self.config), time_max)
                    .map_err(|reason| {
                        unusable(
                            document,
                            &reason,
                            "hand over plain text below the size limit",
                        )
                    })?
            }
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let file = NewFile {
            path: document.id.clone(),
            bytes: document.text.len() as u64,
            changed_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
            hash,
            language: language.map(Language::name),
            metadata: document.metadata.clone(),
            chunks,
        };
        Ok((file, vector))
    }

    fn is_embedded(
        &self,
        store: &dyn Store,
        live: &LiveCollection,
        chunks: &[ChunkRow],
    ) -> Result<Option<bool>> {
        let fingerprint = match (live.collection().kind, self.vectors_for(live)) {
            (CollectionKind::Vectors, _) => client_vectors(live.collection()).fingerprint,
            (_, Some(of)) => of.fingerprint,
            (_, None) => return Ok(None),
        };
        let ids: Vec<_> = chunks.iter().map(|chunk| chunk.id).collect();
        let mut embedded = 0;
        if let Some(model) = store.model(&fingerprint)? {
            store.vectors_of(&ids, model, &mut |_, _| embedded += 1)?;
        }
        Ok(Some(embedded == ids.len()))
    }
}

/// Returns the source that documents of a collection belong to, made if it is not there.
fn document_source(db: &mut dyn StoreWriter, live: &LiveCollection) -> Result<Source> {
    let id = live.collection().id;
    let sources = db.store().sources(id)?;
    if let Some(source) = sources
        .into_iter()
        .find(|source| source.kind == SourceKind::Documents)
    {
        return Ok(source);
    }
    Ok(db.put_source(id, SourceKind::Documents, "", PIPELINE_VERSION)?)
}

fn find(
    store: &dyn Store,
    live: &LiveCollection,
    id: &str,
) -> Result<(Source, crate::store::FileRow)> {
    let sources = store.sources(live.collection().id)?.into_iter();
    for source in sources.filter(|source| source.kind == SourceKind::Documents) {
        if let Some(row) = store.file(source.id, id)? {
            return Ok((source, row));
        }
    }
    Err(Error::DocumentMissing { id: id.to_owned() })
}

fn check(documents: &[NewDocument]) -> Result<()> {
    if documents.is_empty() || documents.len() > DOCUMENTS_MAX {
        return Err(Error::Argument {
            problem: format!("{} documents in one request", documents.len()),
            remedy: format!("send 1 to {DOCUMENTS_MAX}"),
        });
    }
    let mut ids = BTreeSet::new();
    for document in documents {
        let id = &document.id;
        if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
            return Err(unusable(
                document,
                "this cannot be the id of a document",
                &format!("use 1 to {ID_BYTES_MAX} bytes without control characters"),
            ));
        }
        if !ids.insert(id) {
            return Err(unusable(
                document,
                "the id stands twice in this request",
                "send one of the two",
            ));
        }
        let is_fact = |(key, value): (&String, &String)| {
            !key.is_empty() && key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX
        };
        if document.metadata.len() > FACTS_MAX || !document.metadata.iter().all(is_fact) {
            return Err(unusable(
                document,
                "its metadata is larger than the limit",
                &format!(
                    "use at most {FACTS_MAX} facts with keys of 1 to {KEY_BYTES_MAX} bytes and values of up to \
                     {VALUE_BYTES_MAX} bytes"
                ),
            ));
        }
    }
    Ok(())
}

/// Returns the vector of a document of a collection of vectors, with its identity.
fn checked_vector(
    document: &NewDocument,
    dimensions: Option<usize>,
) -> Result<Option<HashedVector>> {
    let vector = match (&document.vector, dimensions) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(unusable(
                document,
                "the collection embeds its documents itself",
                "leave `vector` away, or use a collection of the kind `vectors`",
            ));
        }
        (None, Some(dimensions)) => {
            return Err(unusable(
                document,
                "there is no vector",
                &format!("documents of this collection have a `vector` of {dimensions} numbers"),
            ));
        }
        (Some(vector), Some(_)) => vector,
    };
    if Some(vector.len()) != dimensions || !has_direction(vector) {
        return Err(unusable(
            document,
            &format!("its vector of {} numbers cannot be used", vector.len()),
            &format!(
                "send {} finite numbers that are neither all close to zero nor beyond counting",
                dimensions.unwrap_or_default()
            ),
        ));
    }
    let mut hasher = blake3::Hasher::new();
    for value in vector {
        hasher.update(&value.to_le_bytes());
    }
    Ok(Some((*hasher.finalize().as_bytes(), vector.clone())))
}

/// Whether a vector can be scaled to length one without losing its direction.
pub(crate) fn has_direction(vector: &[f32]) -> bool {
    let squares: f64 = vector.iter().map(|&value| f64::from(value).powi(2)).sum();
    NORMS.contains(&squares.sqrt())
}

/// Lengths of vectors that are taken: far beyond what models give, and far from where squares overflow or vanish in
/// 32 bits.
const NORMS: std::ops::RangeInclusive<f64> = 1e-12..=1e12;

/// Returns a text as one chunk.
fn whole(text: &str, embed_hash: EmbedHash) -> NewChunk {
    NewChunk {
        start_line: 1,
        end_line: u32::try_from(text.lines().count().max(1)).unwrap_or(u32::MAX),
        text: text.to_owned(),
        symbols: Vec::new(),
        scope: Vec::new(),
        // The same text may come with different vectors.
        duplicate_key: None,
        embed_hash,
    }
}

/// Returns the identity of everything that a client said of a document.
fn hash_of(document: &NewDocument) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(document.text.as_bytes());
    part(document.language.as_deref().unwrap_or_default().as_bytes());
    for (key, value) in &document.metadata {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    part(b"vector");
    for value in document.vector.iter().flatten() {
        part(&value.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn unusable(document: &NewDocument, problem: &str, remedy: &str) -> Error {
    let id: String = document.id.chars().take(80).collect();
    Error::Argument {
        problem: format!("the document {id:?} cannot be used: {problem}"),
        remedy: remedy.to_owned(),
    }
}
