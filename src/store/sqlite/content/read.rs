//! What readers ask of the content database.

use rusqlite::{OptionalExtension, Row, params};

use super::{ContentDb, decode_vector};
use crate::store::{
    ChunkId, ChunkRow, Collection, CollectionId, CollectionKind, Counts, Duplicate, FileFacts,
    FileId, FileRow, JobRow, JobState, Metadata, ModelId, Op, OpKind, Source, SourceCounts,
    SourceId, SourceKind, Store, StoreResult,
};

/// Columns of a [`ChunkRow`], in the order that [`chunk_row`] reads them.
const CHUNK_COLUMNS: &str = "chunk.id, chunk.file_id, file.path, file.language, chunk.ordinal, chunk.start_line, \
                             chunk.end_line, chunk.symbols, chunk.scope, chunk.embed_hash, file.source_id, \
                             (SELECT text FROM chunk_text WHERE chunk_id = chunk.id)";

/// The same without the text, which is then empty.
const CHUNK_COLUMNS_BARE: &str = "chunk.id, chunk.file_id, file.path, file.language, chunk.ordinal, \
                                  chunk.start_line, chunk.end_line, chunk.symbols, chunk.scope, chunk.embed_hash, \
                                  file.source_id, ''";

fn chunk_row(row: &Row<'_>) -> rusqlite::Result<ChunkRow> {
    Ok(ChunkRow {
        id: ChunkId(row.get(0)?),
        file: FileId(row.get(1)?),
        path: row.get(2)?,
        language: row.get(3)?,
        ordinal: row.get(4)?,
        start_line: row.get(5)?,
        end_line: row.get(6)?,
        symbols: json(row, 7)?,
        scope: json(row, 8)?,
        embed_hash: row.get(9)?,
        source: SourceId(row.get(10)?),
        text: row.get(11)?,
    })
}

/// Reads a column that holds JSON. Broken JSON in our own column is damage, and is reported as such.
fn json<T: serde::de::DeserializeOwned + Default>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    if text == "[]" {
        return Ok(T::default());
    }
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// Columns of a [`Collection`], in the order that [`collection_row`] reads them.
pub(super) const COLLECTION_COLUMNS: &str = "id, name, kind, dimensions, generation, remote";

pub(super) fn collection_row(row: &Row<'_>) -> rusqlite::Result<Collection> {
    Ok(Collection {
        id: CollectionId(row.get(0)?),
        name: row.get(1)?,
        kind: named(row, 2, CollectionKind::from_name)?,
        dimensions: row.get(3)?,
        generation: row.get::<_, i64>(4)?.unsigned_abs(),
        is_remote: row.get(5)?,
    })
}

/// Columns of a [`Source`], in the order that [`source_row`] reads them.
pub(super) const SOURCE_COLUMNS: &str =
    "id, kind, root, pipeline, updated_ms, watched, commit_id, may_sign_in";

pub(super) fn source_row(collection: CollectionId, row: &Row<'_>) -> rusqlite::Result<Source> {
    let kind = |name: &str| match name {
        "folder" => Some(SourceKind::Folder),
        "git" => Some(SourceKind::Git),
        "documents" => Some(SourceKind::Documents),
        _ => None,
    };
    Ok(Source {
        id: SourceId(row.get(0)?),
        collection,
        kind: named(row, 1, kind)?,
        root: row.get(2)?,
        pipeline: row.get(3)?,
        updated_ms: row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
        is_watched: row.get(5)?,
        commit: row.get(6)?,
        may_sign_in: row.get(7)?,
    })
}

/// Columns of a [`FileRow`], in the order that [`file_row`] reads them.
const FILE_COLUMNS: &str =
    "file.id, file.path, file.bytes, file.changed_ns, file.hash, file.skipped";

fn file_row(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    Ok(FileRow {
        id: FileId(row.get(0)?),
        path: row.get(1)?,
        bytes: row.get::<_, i64>(2)?.unsigned_abs(),
        changed_ns: row.get(3)?,
        hash: row.get(4)?,
        skipped: row.get(5)?,
    })
}

/// Columns of a [`JobRow`], in the order that [`job_row`] reads them.
const JOB_COLUMNS: &str = "id, collection, source_id, within, with_vectors, state, created_ms, started_ms, \
                           finished_ms, report, error_code, error";

fn job_row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let ms = |value: i64| value.unsigned_abs();
    let code: Option<String> = row.get(10)?;
    Ok(JobRow {
        id: row.get(0)?,
        collection: row.get(1)?,
        source: SourceId(row.get(2)?),
        within: json(row, 3)?,
        with_vectors: row.get(4)?,
        state: named(row, 5, JobState::from_name)?,
        created_ms: ms(row.get(6)?),
        started_ms: row.get::<_, Option<i64>>(7)?.map(ms),
        finished_ms: row.get::<_, Option<i64>>(8)?.map(ms),
        report: row.get(9)?,
        error: code.zip(row.get(11)?),
    })
}

/// Reads a column that holds one of a few names.
fn named<T>(
    row: &Row<'_>,
    column: usize,
    meaning: impl Fn(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let name = row.get_ref(column)?.as_str()?;
    meaning(name).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            format!("{name:?} is none of the names known here").into(),
        )
    })
}

impl ContentDb {
    fn rows<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> StoreResult<Vec<T>> {
        let run = || {
            self.connection
                .prepare_cached(sql)?
                .query_map(params, read)?
                .collect::<rusqlite::Result<_>>()
        };
        run().map_err(|error| self.explain(&error))
    }

    /// Hands rows to `each` as they come, until it returns false.
    fn stream<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        each: &mut dyn FnMut(T) -> bool,
    ) -> StoreResult<()> {
        let run = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            while let Some(row) = rows.next()? {
                if !each(read(row)?) {
                    break;
                }
            }
            Ok(())
        };
        run().map_err(|error| self.explain(&error))
    }

    fn number(&self, sql: &str, params: impl rusqlite::Params) -> StoreResult<u64> {
        let read = |row: &Row<'_>| row.get::<_, Option<i64>>(0);
        let number = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params, read).optional())
            .map_err(|error| self.explain(&error))?;
        Ok(number.flatten().unwrap_or(0).unsigned_abs())
    }
}

impl Store for ContentDb {
    fn collections(&self) -> StoreResult<Vec<Collection>> {
        let sql = format!("SELECT {COLLECTION_COLUMNS} FROM collection ORDER BY name");
        self.rows(&sql, [], collection_row)
    }

    fn sources(&self, collection: CollectionId) -> StoreResult<Vec<Source>> {
        let sql =
            format!("SELECT {SOURCE_COLUMNS} FROM source WHERE collection_id = ?1 ORDER BY id");
        self.rows(&sql, [collection.0], |row| source_row(collection, row))
    }

    fn files(&self, source: SourceId) -> StoreResult<Vec<FileRow>> {
        let sql = format!("SELECT {FILE_COLUMNS} FROM file WHERE source_id = ?1 ORDER BY path");
        self.rows(&sql, [source.0], file_row)
    }

    fn source_counts(&self, source: SourceId) -> StoreResult<SourceCounts> {
        let select = "SELECT CASE instr(skipped, ':') WHEN 0 THEN skipped \
                      ELSE substr(skipped, 1, instr(skipped, ':') - 1) END AS kind, count(*) \
                      FROM file WHERE source_id = ?1 GROUP BY kind";
        let read = |row: &Row<'_>| {
            let count = row.get::<_, i64>(1)?.unsigned_abs();
            Ok((row.get::<_, Option<String>>(0)?, count))
        };
        let mut counts = SourceCounts::default();
        for (kind, count) in self.rows(select, [source.0], read)? {
            match kind {
                None => counts.files = count,
                Some(kind) => {
                    counts.skipped.insert(kind, count);
                }
            }
        }
        Ok(counts)
    }

    fn skipped_of(
        &self,
        source: SourceId,
        after: &str,
        limit: usize,
    ) -> StoreResult<Vec<(String, String)>> {
        let select = "SELECT path, skipped FROM file \
                      WHERE source_id = ?1 AND path > ?2 AND skipped IS NOT NULL ORDER BY path LIMIT ?3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.rows(select, params![source.0, after, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    fn file(&self, source: SourceId, path: &str) -> StoreResult<Option<FileRow>> {
        let sql = format!("SELECT {FILE_COLUMNS} FROM file WHERE source_id = ?1 AND path = ?2");
        Ok(self.rows(&sql, params![source.0, path], file_row)?.pop())
    }

    fn facts(&self, file: FileId) -> StoreResult<Metadata> {
        let sql = "SELECT metadata FROM file WHERE id = ?1 AND metadata IS NOT NULL";
        let facts = self.rows(sql, [file.0], |row| json(row, 0))?.pop();
        Ok(facts.unwrap_or_default())
    }

    fn file_at(
        &self,
        collection: CollectionId,
        path: &str,
    ) -> StoreResult<Option<(FileRow, Option<String>)>> {
        let sql = format!(
            "SELECT {FILE_COLUMNS}, file.language FROM source JOIN file ON file.source_id = source.id \
             WHERE source.collection_id = ?1 AND file.path = ?2 AND file.skipped IS NULL ORDER BY source.id LIMIT 1"
        );
        let read = |row: &Row<'_>| Ok((file_row(row)?, row.get(6)?));
        Ok(self.rows(&sql, params![collection.0, path], read)?.pop())
    }

    fn metadata(&self, collection: CollectionId) -> StoreResult<Vec<FileFacts>> {
        let sql = "SELECT file.id, file.path, file.metadata FROM file JOIN source ON source.id = file.source_id \
                   WHERE source.collection_id = ?1 AND file.metadata IS NOT NULL";
        self.rows(sql, [collection.0], |row| {
            Ok(FileFacts {
                file: FileId(row.get(0)?),
                path: row.get(1)?,
                facts: json(row, 2)?,
            })
        })
    }

    fn indexed_files(&self, collection: CollectionId) -> StoreResult<u64> {
        let sql = "SELECT count(*) FROM file JOIN source ON source.id = file.source_id \
                   WHERE source.collection_id = ?1 AND file.skipped IS NULL";
        self.number(sql, [collection.0])
    }

    fn skipped_files(&self, collection: CollectionId) -> StoreResult<u64> {
        let sql = "SELECT count(*) FROM file JOIN source ON source.id = file.source_id \
                   WHERE source.collection_id = ?1 AND file.skipped IS NOT NULL";
        self.number(sql, [collection.0])
    }

    fn counts(&self, collection: CollectionId, model: Option<ModelId>) -> StoreResult<Counts> {
        let chunks = "SELECT count(*) FROM chunk WHERE collection_id = ?1 AND canonical = 1";
        let embedded = format!(
            "{chunks} AND EXISTS (SELECT 1 FROM vector WHERE model_id = ?2 AND vector.embed_hash = chunk.embed_hash)"
        );
        Ok(Counts {
            files: self.indexed_files(collection)?,
            skipped: self.skipped_files(collection)?,
            chunks: self.number(chunks, [collection.0])?,
            embedded: match model {
                Some(model) => self.number(&embedded, [collection.0, model.0])?,
                None => 0,
            },
        })
    }

    fn canonical_chunks(
        &self,
        collection: CollectionId,
        with_text: bool,
        each: &mut dyn FnMut(ChunkRow),
    ) -> StoreResult<()> {
        let columns = if with_text {
            CHUNK_COLUMNS
        } else {
            CHUNK_COLUMNS_BARE
        };
        let sql = format!(
            "SELECT {columns} FROM chunk JOIN file ON file.id = chunk.file_id \
             WHERE chunk.collection_id = ?1 AND chunk.canonical = 1 ORDER BY chunk.id"
        );
        self.stream(&sql, [collection.0], chunk_row, &mut |chunk| {
            each(chunk);
            true
        })
    }

    fn duplicates(&self, collection: CollectionId) -> StoreResult<Vec<Duplicate>> {
        let sql = "SELECT canon.id, chunk.id, chunk.file_id, file.path, file.language, chunk.start_line, chunk.end_line \
                   FROM chunk JOIN file ON file.id = chunk.file_id \
                   JOIN chunk AS canon INDEXED BY chunk_original ON canon.duplicate_key = chunk.duplicate_key \
                        AND canon.collection_id = chunk.collection_id AND canon.canonical = 1 \
                   WHERE chunk.collection_id = ?1 AND chunk.canonical = 0 ORDER BY file.path, chunk.ordinal";
        self.rows(sql, [collection.0], |row| {
            Ok(Duplicate {
                canonical: ChunkId(row.get(0)?),
                chunk: ChunkId(row.get(1)?),
                file: FileId(row.get(2)?),
                path: row.get(3)?,
                language: row.get(4)?,
                start_line: row.get(5)?,
                end_line: row.get(6)?,
            })
        })
    }

    fn chunks(&self, ids: &[ChunkId]) -> StoreResult<Vec<ChunkRow>> {
        let sql = format!(
            "SELECT {CHUNK_COLUMNS} FROM chunk JOIN file ON file.id = chunk.file_id WHERE chunk.id = ?1"
        );
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.rows(&sql, [id.0], chunk_row)?);
        }
        Ok(found)
    }

    fn file_chunks(&self, file: FileId, from: u32, to: u32) -> StoreResult<Vec<ChunkRow>> {
        let sql = format!(
            "SELECT {CHUNK_COLUMNS} FROM chunk JOIN file ON file.id = chunk.file_id \
             WHERE chunk.file_id = ?1 AND chunk.ordinal BETWEEN ?2 AND ?3 ORDER BY chunk.ordinal"
        );
        self.rows(&sql, params![file.0, from, to], chunk_row)
    }

    fn chunk_near(&self, file: FileId, line: u32) -> StoreResult<Option<ChunkRow>> {
        let sql = format!(
            "SELECT {CHUNK_COLUMNS} FROM chunk JOIN file ON file.id = chunk.file_id \
             WHERE chunk.file_id = ?1 AND chunk.start_line <= ?2 ORDER BY chunk.ordinal DESC LIMIT 1"
        );
        Ok(self.rows(&sql, params![file.0, line], chunk_row)?.pop())
    }

    fn texts(
        &self,
        collection: CollectionId,
        each: &mut dyn FnMut(ChunkRow) -> bool,
    ) -> StoreResult<()> {
        // Source by source, so that the index on paths gives the order and nothing is sorted.
        let sql = format!(
            "SELECT {CHUNK_COLUMNS} FROM file JOIN chunk ON chunk.file_id = file.id \
             WHERE file.source_id = ?1 ORDER BY file.path, chunk.ordinal"
        );
        let mut goes_on = true;
        for source in self.sources(collection)? {
            self.stream(&sql, [source.id.0], chunk_row, &mut |chunk| {
                goes_on = each(chunk);
                goes_on
            })?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    fn chunk_at(&self, source: SourceId, path: &str, line: u32) -> StoreResult<Option<ChunkRow>> {
        let sql = format!(
            "SELECT {CHUNK_COLUMNS} FROM file JOIN chunk ON chunk.file_id = file.id \
             WHERE file.source_id = ?1 AND file.path = ?2 AND ?3 BETWEEN chunk.start_line AND chunk.end_line \
             ORDER BY chunk.ordinal DESC LIMIT 1"
        );
        Ok(self
            .rows(&sql, params![source.0, path, line], chunk_row)?
            .pop())
    }

    fn model(&self, fingerprint: &str) -> StoreResult<Option<ModelId>> {
        let sql = "SELECT id FROM model WHERE fingerprint = ?1";
        Ok(self
            .rows(sql, [fingerprint], |row| row.get(0).map(ModelId))?
            .pop())
    }

    fn vectors(
        &self,
        collection: CollectionId,
        model: ModelId,
        each: &mut dyn FnMut(ChunkId, &[f32]),
    ) -> StoreResult<()> {
        let sql = "SELECT chunk.id, vector.data FROM chunk \
                   JOIN vector ON vector.model_id = ?2 AND vector.embed_hash = chunk.embed_hash \
                   WHERE chunk.collection_id = ?1 AND chunk.canonical = 1 ORDER BY chunk.id";
        let mut values = Vec::new();
        let read = |row: &Row<'_>| {
            decode_vector(row.get_ref(1)?.as_blob()?, &mut values);
            each(ChunkId(row.get(0)?), &values);
            Ok(())
        };
        self.stream(sql, [collection.0, model.0], read, &mut |()| true)
    }

    fn vectors_after(
        &self,
        collection: CollectionId,
        model: ModelId,
        after: i64,
        each: &mut dyn FnMut(i64, ChunkId, &[f32]),
    ) -> StoreResult<()> {
        // CROSS JOIN keeps the order of the loops: the few new vectors first, by the primary key.
        let sql = "SELECT vector.id, chunk.id, vector.data FROM vector CROSS JOIN chunk \
                   WHERE vector.id > ?3 AND vector.model_id = ?2 AND chunk.embed_hash = vector.embed_hash \
                     AND chunk.collection_id = ?1 AND chunk.canonical = 1 ORDER BY vector.id";
        let mut values = Vec::new();
        let read = |row: &Row<'_>| {
            decode_vector(row.get_ref(2)?.as_blob()?, &mut values);
            each(row.get(0)?, ChunkId(row.get(1)?), &values);
            Ok(())
        };
        self.stream(
            sql,
            params![collection.0, model.0, after],
            read,
            &mut |()| true,
        )
    }

    fn vectors_of(
        &self,
        chunks: &[ChunkId],
        model: ModelId,
        each: &mut dyn FnMut(ChunkId, &[f32]),
    ) -> StoreResult<()> {
        let sql = "SELECT vector.data FROM chunk JOIN vector ON vector.model_id = ?2 \
                   AND vector.embed_hash = chunk.embed_hash WHERE chunk.id = ?1";
        let mut values = Vec::new();
        for &chunk in chunks {
            let read = |row: &Row<'_>| {
                decode_vector(row.get_ref(0)?.as_blob()?, &mut values);
                each(chunk, &values);
                Ok(())
            };
            self.stream(sql, params![chunk.0, model.0], read, &mut |()| true)?;
        }
        Ok(())
    }

    fn last_vector(&self) -> StoreResult<i64> {
        self.number("SELECT max(id) FROM vector", [])
            .map(|id| id as i64)
    }

    fn pending_vectors(
        &self,
        collection: CollectionId,
        model: ModelId,
        after: ChunkId,
        limit: usize,
    ) -> StoreResult<Vec<ChunkRow>> {
        let sql = format!(
            "SELECT {CHUNK_COLUMNS} FROM chunk JOIN file ON file.id = chunk.file_id \
             WHERE chunk.collection_id = ?1 AND chunk.canonical = 1 AND chunk.id > ?3 \
               AND NOT EXISTS (SELECT 1 FROM vector WHERE model_id = ?2 AND vector.embed_hash = chunk.embed_hash) \
             ORDER BY chunk.id LIMIT ?4"
        );
        let mut rows = self.rows(
            &sql,
            params![collection.0, model.0, after.0, limit],
            chunk_row,
        )?;
        let mut seen = std::collections::HashSet::new();
        rows.retain(|row| seen.insert(row.embed_hash));
        Ok(rows)
    }

    fn ops_after(
        &self,
        collection: CollectionId,
        after: u64,
        limit: usize,
    ) -> StoreResult<Vec<Op>> {
        let sql = "SELECT seq, chunk_id, op FROM oplog WHERE collection_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        self.rows(sql, params![collection.0, after, limit], |row| {
            Ok(Op {
                seq: row.get::<_, i64>(0)?.unsigned_abs(),
                chunk: ChunkId(row.get(1)?),
                kind: if row.get::<_, i64>(2)? == 1 {
                    OpKind::Put
                } else {
                    OpKind::Delete
                },
            })
        })
    }

    fn last_seq(&self) -> StoreResult<u64> {
        self.number("SELECT seq FROM sqlite_sequence WHERE name = 'oplog'", [])
    }

    fn trimmed_seq(&self, collection: CollectionId) -> StoreResult<u64> {
        self.number(
            "SELECT trimmed FROM collection WHERE id = ?1",
            [collection.0],
        )
    }

    fn jobs(&self, limit: usize) -> StoreResult<Vec<JobRow>> {
        let sql = format!("SELECT {JOB_COLUMNS} FROM job ORDER BY id DESC LIMIT ?1");
        self.rows(&sql, [limit], job_row)
    }

    fn job(&self, id: &str) -> StoreResult<Option<JobRow>> {
        let sql = format!("SELECT {JOB_COLUMNS} FROM job WHERE id = ?1");
        Ok(self.rows(&sql, [id], job_row)?.pop())
    }

    fn open_jobs(&self) -> StoreResult<Vec<JobRow>> {
        let sql = format!(
            "SELECT {JOB_COLUMNS} FROM job WHERE state IN ('queued', 'running') ORDER BY id"
        );
        self.rows(&sql, [], job_row)
    }
}
