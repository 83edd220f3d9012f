//! What the one writer does to the content database.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::read::{COLLECTION_COLUMNS, SOURCE_COLUMNS, collection_row, source_row};
use super::{ContentDb, encode_vector};
use crate::store::{
    Collection, CollectionId, CollectionKind, DuplicateKey, EmbedHash, FileChange, FileId, JobRow,
    ModelId, NewChunk, NewFile, Source, SourceId, SourceKind, Store, StoreResult, StoreWriter,
};

/// Where a chunk comes from.
#[derive(Clone, Copy)]
struct Owner {
    collection: CollectionId,
    source: SourceId,
}

impl ContentDb {
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> StoreResult<T> {
        let path = self.path.clone();
        // Inside a group a savepoint is a part of its transaction; outside it is a transaction of its own.
        let run = || {
            let savepoint = self.connection.savepoint()?;
            let value = work(&savepoint)?;
            savepoint.commit()?;
            Ok(value)
        };
        run().map_err(|error| super::explain(&path, &error))
    }
}

impl StoreWriter for ContentDb {
    fn store(&self) -> &dyn Store {
        self
    }

    fn create_collection(
        &mut self,
        name: &str,
        kind: CollectionKind,
        dimensions: Option<u32>,
    ) -> StoreResult<(Collection, bool)> {
        self.write(|tx| {
            let insert =
                "INSERT OR IGNORE INTO collection (name, kind, dimensions) VALUES (?1, ?2, ?3)";
            let made = tx.execute(insert, params![name, kind.name(), dimensions])? > 0;
            let select = format!("SELECT {COLLECTION_COLUMNS} FROM collection WHERE name = ?1");
            tx.query_row(&select, [name], collection_row)
                .map(|collection| (collection, made))
        })
    }

    fn set_remote(&mut self, collection: CollectionId, is_remote: bool) -> StoreResult<()> {
        self.write(|tx| {
            let update = "UPDATE collection SET remote = ?2 WHERE id = ?1";
            tx.execute(update, params![collection.0, is_remote])
                .map(drop)
        })
    }

    fn put_source(
        &mut self,
        collection: CollectionId,
        kind: SourceKind,
        root: &str,
        pipeline: u32,
    ) -> StoreResult<Source> {
        self.write(|tx| {
            let insert = "INSERT OR IGNORE INTO source (collection_id, kind, root, pipeline) \
                          VALUES (?1, ?2, ?3, ?4)";
            let kind = match kind {
                SourceKind::Folder => "folder",
                SourceKind::Git => "git",
                SourceKind::Documents => "documents",
            };
            tx.execute(insert, params![collection.0, kind, root, pipeline])?;
            let select = format!(
                "SELECT {SOURCE_COLUMNS} FROM source WHERE collection_id = ?1 AND root = ?2"
            );
            tx.query_row(&select, params![collection.0, root], |row| {
                source_row(collection, row)
            })
        })
    }

    fn delete_source(&mut self, source: &Source) -> StoreResult<()> {
        let owner = Owner {
            collection: source.collection,
            source: source.id,
        };
        self.write(|tx| {
            let mut touched_keys = BTreeSet::new();
            let files: Vec<i64> = tx
                .prepare_cached("SELECT id FROM file WHERE source_id = ?1")?
                .query_map([owner.source.0], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for file in files {
                delete_chunks(tx, owner, FileId(file), &mut touched_keys)?;
            }
            for key in touched_keys {
                elect_canonical(tx, owner.collection, key)?;
            }
            tx.execute("DELETE FROM source WHERE id = ?1", [owner.source.0])?;
            let bump = "UPDATE collection SET generation = generation + 1 WHERE id = ?1";
            tx.execute(bump, [owner.collection.0]).map(drop)
        })
    }

    fn set_updated(
        &mut self,
        source: SourceId,
        pipeline: u32,
        now_ms: u64,
        commit: Option<&str>,
    ) -> StoreResult<()> {
        self.write(|tx| {
            let update =
                "UPDATE source SET pipeline = ?2, updated_ms = ?3, commit_id = ?4 WHERE id = ?1";
            tx.execute(update, params![source.0, pipeline, now_ms, commit])
                .map(drop)
        })
    }

    fn set_watched(&mut self, source: SourceId, is_watched: bool) -> StoreResult<()> {
        self.write(|tx| {
            let update = "UPDATE source SET watched = ?2 WHERE id = ?1";
            tx.execute(update, params![source.0, is_watched]).map(drop)
        })
    }

    fn let_sign_in(&mut self, source: SourceId) -> StoreResult<()> {
        self.write(|tx| {
            let update = "UPDATE source SET may_sign_in = 1 WHERE id = ?1";
            tx.execute(update, [source.0]).map(drop)
        })
    }

    fn apply(&mut self, source: &Source, changes: &[FileChange]) -> StoreResult<()> {
        self.write(|tx| apply(tx, source, changes))
    }

    fn apply_with_vectors(
        &mut self,
        source: &Source,
        changes: &[FileChange],
        model: ModelId,
        vectors: &[(EmbedHash, Vec<f32>)],
    ) -> StoreResult<()> {
        self.write(|tx| {
            put_vectors(tx, model, vectors)?;
            apply(tx, source, changes)
        })
    }

    fn put_model(
        &mut self,
        fingerprint: &str,
        name: &str,
        dimensions: usize,
    ) -> StoreResult<ModelId> {
        self.write(|tx| {
            let insert =
                "INSERT OR IGNORE INTO model (fingerprint, name, dimensions) VALUES (?1, ?2, ?3)";
            tx.execute(insert, params![fingerprint, name, dimensions])?;
            tx.query_row(
                "SELECT id FROM model WHERE fingerprint = ?1",
                [fingerprint],
                |row| row.get(0).map(ModelId),
            )
        })
    }

    fn put_vectors(
        &mut self,
        model: ModelId,
        vectors: &[(EmbedHash, Vec<f32>)],
    ) -> StoreResult<()> {
        self.write(|tx| put_vectors(tx, model, vectors))
    }

    fn trim_ops(&mut self, collection: CollectionId, seq: u64) -> StoreResult<()> {
        self.write(|tx| {
            let seq = seq as i64;
            tx.execute(
                "DELETE FROM oplog WHERE collection_id = ?1 AND seq <= ?2",
                [collection.0, seq],
            )?;
            tx.execute(
                "UPDATE collection SET trimmed = max(trimmed, ?2) WHERE id = ?1",
                [collection.0, seq],
            )?;
            Ok(())
        })
    }

    fn delete_collection(&mut self, collection: CollectionId) -> StoreResult<()> {
        self.write(|tx| {
            tx.execute("DELETE FROM oplog WHERE collection_id = ?1", [collection.0])?;
            // Sources, files, chunks and texts go with it.
            tx.execute("DELETE FROM collection WHERE id = ?1", [collection.0])
                .map(drop)
        })
    }

    fn collect_vectors(&mut self, spare: u64) -> StoreResult<u64> {
        self.write(|tx| {
            let delete = "DELETE FROM vector WHERE id IN (SELECT id FROM vector \
                          WHERE id < (SELECT max(id) FROM vector) AND NOT EXISTS \
                          (SELECT 1 FROM chunk WHERE chunk.embed_hash = vector.embed_hash) \
                          ORDER BY id DESC LIMIT -1 OFFSET ?1)";
            tx.execute(delete, [spare]).map(|count| count as u64)
        })
    }

    fn put_job(&mut self, job: &JobRow) -> StoreResult<()> {
        self.write(|tx| {
            let (code, error) = job.error.clone().unzip();
            tx.prepare_cached(
                "INSERT OR REPLACE INTO job (id, collection, source_id, within, with_vectors, state, created_ms, \
                 started_ms, finished_ms, report, error_code, error) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                job.id,
                job.collection,
                job.source.0,
                to_json(&job.within),
                job.with_vectors,
                job.state.name(),
                job.created_ms as i64,
                job.started_ms.map(|ms| ms as i64),
                job.finished_ms.map(|ms| ms as i64),
                job.report,
                code,
                error,
            ])?;
            if job.state.is_final() {
                tx.prepare_cached(
                    "DELETE FROM job WHERE state NOT IN ('queued', 'running') AND id NOT IN \
                     (SELECT id FROM job WHERE state NOT IN ('queued', 'running') ORDER BY id DESC LIMIT ?1)",
                )?
                .execute([ENDED_JOBS_MAX])?;
            }
            Ok(())
        })
    }
}

/// Jobs that ended and are still told of: what somebody may want to look up, not a history.
const ENDED_JOBS_MAX: u32 = 1_000;

fn apply(tx: &Connection, source: &Source, changes: &[FileChange]) -> rusqlite::Result<()> {
    let owner = Owner {
        collection: source.collection,
        source: source.id,
    };
    let mut touched_keys = BTreeSet::new();
    let before = changes_of_index(tx)?;
    for change in changes {
        match change {
            FileChange::Put(file) => put_file(tx, owner, file, &mut touched_keys)?,
            FileChange::Touch { id, changed_ns } => {
                tx.prepare_cached("UPDATE file SET changed_ns = ?2 WHERE id = ?1")?
                    .execute(params![id.0, changed_ns])?;
            }
            FileChange::Skip {
                path,
                bytes,
                changed_ns,
                reason,
            } => {
                // Most skipped files are the same at each run, which then writes nothing.
                let same = tx
                    .prepare_cached(
                        "SELECT 1 FROM file WHERE source_id = ?1 AND path = ?2 AND bytes = ?3 \
                         AND changed_ns = ?4 AND skipped = ?5",
                    )?
                    .exists(params![
                        owner.source.0,
                        path,
                        *bytes as i64,
                        changed_ns,
                        reason
                    ])?;
                if same {
                    continue;
                }
                let id = upsert_file(tx, owner.source, path, *bytes, *changed_ns)?;
                delete_chunks(tx, owner, id, &mut touched_keys)?;
                tx.prepare_cached(
                    "UPDATE file SET hash = NULL, language = NULL, metadata = NULL, skipped = ?2 WHERE id = ?1",
                )?
                .execute(params![id.0, reason])?;
            }
            FileChange::Remove { id } => {
                delete_chunks(tx, owner, *id, &mut touched_keys)?;
                tx.prepare_cached("DELETE FROM file WHERE id = ?1")?
                    .execute([id.0])?;
            }
        }
    }
    for key in touched_keys {
        elect_canonical(tx, owner.collection, key)?;
    }
    if changes_of_index(tx)? != before {
        let bump = "UPDATE collection SET generation = generation + 1 WHERE id = ?1";
        tx.execute(bump, [owner.collection.0])?;
    }
    Ok(())
}

fn put_vectors(
    tx: &Connection,
    model: ModelId,
    vectors: &[(EmbedHash, Vec<f32>)],
) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT OR IGNORE INTO vector (model_id, embed_hash, data) VALUES (?1, ?2, ?3)",
    )?;
    for (hash, vector) in vectors {
        insert.execute(params![model.0, hash, encode_vector(vector)])?;
    }
    Ok(())
}

/// Returns a number that changes with each row written to the log.
fn changes_of_index(tx: &Connection) -> rusqlite::Result<Option<i64>> {
    tx.query_row("SELECT max(seq) FROM oplog", [], |row| row.get(0))
}

fn upsert_file(
    tx: &Connection,
    source: SourceId,
    path: &str,
    bytes: u64,
    changed_ns: i64,
) -> rusqlite::Result<FileId> {
    let sql = "INSERT INTO file (source_id, path, bytes, changed_ns) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (source_id, path) DO UPDATE SET bytes = ?3, changed_ns = ?4 RETURNING id";
    tx.prepare_cached(sql)?
        .query_row(params![source.0, path, bytes as i64, changed_ns], |row| {
            row.get(0).map(FileId)
        })
}

fn put_file(
    tx: &Connection,
    owner: Owner,
    file: &NewFile,
    touched_keys: &mut BTreeSet<DuplicateKey>,
) -> rusqlite::Result<()> {
    let id = upsert_file(tx, owner.source, &file.path, file.bytes, file.changed_ns)?;
    delete_chunks(tx, owner, id, touched_keys)?;
    let metadata = (!file.metadata.is_empty()).then(|| to_json(&file.metadata));
    let update =
        "UPDATE file SET hash = ?2, language = ?3, metadata = ?4, skipped = NULL WHERE id = ?1";
    tx.prepare_cached(update)?
        .execute(params![id.0, file.hash, file.language, metadata])?;
    for (ordinal, chunk) in file.chunks.iter().enumerate() {
        insert_chunk(tx, owner, id, ordinal, chunk)?;
        touched_keys.extend(chunk.duplicate_key);
    }
    Ok(())
}

fn insert_chunk(
    tx: &Connection,
    owner: Owner,
    file: FileId,
    ordinal: usize,
    chunk: &NewChunk,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO chunk (collection_id, file_id, ordinal, start_line, end_line, canonical, embed_hash, \
               duplicate_key, symbols, scope) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    // A chunk with a key is not canonical until the election at the end of the transaction.
    let is_canonical = chunk.duplicate_key.is_none();
    tx.prepare_cached(sql)?.execute(params![
        owner.collection.0,
        file.0,
        ordinal,
        chunk.start_line,
        chunk.end_line,
        is_canonical,
        chunk.embed_hash,
        chunk.duplicate_key,
        to_json(&chunk.symbols),
        to_json(&chunk.scope),
    ])?;
    let id = tx.last_insert_rowid();
    tx.prepare_cached("INSERT INTO chunk_text (chunk_id, text) VALUES (?1, ?2)")?
        .execute(params![id, chunk.text])?;
    if is_canonical {
        log(tx, owner.collection, id, true)?;
    }
    Ok(())
}

fn delete_chunks(
    tx: &Connection,
    owner: Owner,
    file: FileId,
    touched_keys: &mut BTreeSet<DuplicateKey>,
) -> rusqlite::Result<()> {
    let mut select =
        tx.prepare_cached("SELECT id, canonical, duplicate_key FROM chunk WHERE file_id = ?1")?;
    let mut rows = select.query([file.0])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if row.get(1)? {
            log(tx, owner.collection, id, false)?;
        }
        touched_keys.extend(row.get::<_, Option<DuplicateKey>>(2)?);
    }
    tx.prepare_cached("DELETE FROM chunk WHERE file_id = ?1")?
        .execute([file.0])
        .map(drop)
}

/// Makes the chunk of the shallowest, then shortest, then first path the one that is indexed for its text.
fn elect_canonical(
    tx: &Connection,
    collection: CollectionId,
    key: DuplicateKey,
) -> rusqlite::Result<()> {
    let sql = "SELECT chunk.id, chunk.canonical FROM chunk JOIN file ON file.id = chunk.file_id \
               WHERE chunk.duplicate_key = ?1 AND chunk.collection_id = ?2 \
               ORDER BY length(file.path) - length(replace(file.path, '/', '')), length(file.path), file.path, \
                        file.id, chunk.ordinal";
    let mut select = tx.prepare_cached(sql)?;
    let rows: Vec<(i64, bool)> = select
        .query_map(params![key, collection.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut update = tx.prepare_cached("UPDATE chunk SET canonical = ?2 WHERE id = ?1")?;
    for (rank, (id, was_canonical)) in rows.into_iter().enumerate() {
        let is_canonical = rank == 0;
        if is_canonical != was_canonical {
            update.execute(params![id, is_canonical])?;
            log(tx, collection, id, is_canonical)?;
        }
    }
    Ok(())
}

fn log(
    tx: &Connection,
    collection: CollectionId,
    chunk: i64,
    is_put: bool,
) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO oplog (collection_id, chunk_id, op) VALUES (?1, ?2, ?3)")?
        .execute(params![collection.0, chunk, is_put])
        .map(drop)
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers always serialise")
}
