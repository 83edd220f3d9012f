//! The schema of `content.db`, as the steps that lead to it. A released step is never edited: a change is a new step.

use crate::store::sqlite::Migration;

/// `emb` and the number of the database: tells our file from any other SQLite database.
pub(super) const APPLICATION_ID: i32 = 0x656d_6201;

/// The steps; the schema's version is their number.
pub(super) const MIGRATIONS: &[Migration] = &[V1, V2, V3, V4];

const V1: Migration = "
CREATE TABLE collection (
    -- AUTOINCREMENT: the folder of the index is named by it.
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL CHECK (kind IN ('code')),
    generation INTEGER NOT NULL DEFAULT 0,
    -- The last row of the oplog that was trimmed: an index behind it must be rebuilt.
    trimmed    INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE source (
    id            INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collection (id) ON DELETE CASCADE,
    root          TEXT    NOT NULL,
    pipeline      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (collection_id, root)
) STRICT;

CREATE TABLE file (
    id          INTEGER PRIMARY KEY,
    source_id   INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    path        TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    hash        BLOB,
    language    TEXT,
    metadata    TEXT,
    skipped     TEXT,
    UNIQUE (source_id, path)
) STRICT;

CREATE TABLE chunk (
    -- AUTOINCREMENT: an id is never used twice, so a stale index entry never points to another text.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collection (id) ON DELETE CASCADE,
    file_id       INTEGER NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    ordinal       INTEGER NOT NULL,
    start_line    INTEGER NOT NULL,
    end_line      INTEGER NOT NULL,
    canonical     INTEGER NOT NULL,
    embed_hash    BLOB    NOT NULL,
    duplicate_key BLOB,
    symbols       TEXT    NOT NULL,
    scope         TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX chunk_file ON chunk (file_id, ordinal);
CREATE INDEX chunk_duplicate ON chunk (duplicate_key, collection_id) WHERE duplicate_key IS NOT NULL;
CREATE INDEX chunk_original ON chunk (duplicate_key, collection_id) WHERE canonical = 1;
CREATE INDEX chunk_canonical ON chunk (collection_id, canonical, id, embed_hash);
CREATE INDEX chunk_embed ON chunk (embed_hash);

-- Apart from the rest, so that loading what is known of all chunks does not read all texts.
CREATE TABLE chunk_text (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunk (id) ON DELETE CASCADE,
    text     TEXT NOT NULL
) STRICT;

CREATE TABLE model (
    id          INTEGER PRIMARY KEY,
    fingerprint TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    dimensions  INTEGER NOT NULL
) STRICT;

CREATE TABLE vector (
    id         INTEGER PRIMARY KEY,
    model_id   INTEGER NOT NULL REFERENCES model (id) ON DELETE CASCADE,
    embed_hash BLOB    NOT NULL,
    data       BLOB    NOT NULL,
    UNIQUE (model_id, embed_hash)
) STRICT;

CREATE TABLE oplog (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL,
    chunk_id      INTEGER NOT NULL,
    -- 0 delete, 1 put
    op            INTEGER NOT NULL CHECK (op IN (0, 1))
) STRICT;
CREATE INDEX oplog_collection ON oplog (collection_id, seq);

CREATE TABLE state (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Collections of documents and of vectors, sources without a folder, jobs. SQLite cannot change a CHECK, so the table
/// of collections is copied; foreign keys are off meanwhile and checked afterwards.
const V2: Migration = "
CREATE TABLE collection_new (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL CHECK (kind IN ('code', 'documents', 'vectors')),
    dimensions INTEGER CHECK ((kind = 'vectors') = (dimensions IS NOT NULL)),
    generation INTEGER NOT NULL DEFAULT 0,
    trimmed    INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO collection_new (id, name, kind, generation, trimmed) SELECT id, name, kind, generation, trimmed FROM collection;
-- An id stays used for ever: the folder of an index is named by it.
DELETE FROM sqlite_sequence WHERE name = 'collection_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'collection_new', seq FROM sqlite_sequence WHERE name = 'collection';
DROP TABLE collection;
ALTER TABLE collection_new RENAME TO collection;

-- AUTOINCREMENT for these as well: clients hold ids of sources, and an id never comes to mean another one's files.
CREATE TABLE source_new (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collection (id) ON DELETE CASCADE,
    kind          TEXT    NOT NULL DEFAULT 'folder' CHECK (kind IN ('folder', 'documents')),
    root          TEXT    NOT NULL,
    pipeline      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (collection_id, root)
) STRICT;
INSERT INTO source_new (id, collection_id, root, pipeline) SELECT id, collection_id, root, pipeline FROM source;
DROP TABLE source;
ALTER TABLE source_new RENAME TO source;

CREATE TABLE file_new (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id   INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    path        TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    changed_ns  INTEGER NOT NULL,
    hash        BLOB,
    language    TEXT,
    metadata    TEXT,
    skipped     TEXT,
    UNIQUE (source_id, path)
) STRICT;
INSERT INTO file_new SELECT id, source_id, path, bytes, changed_ns, hash, language, metadata, skipped FROM file;
DROP TABLE file;
ALTER TABLE file_new RENAME TO file;

CREATE TABLE job (
    id           TEXT    PRIMARY KEY,
    collection   TEXT    NOT NULL,
    source_id    INTEGER NOT NULL,
    within       TEXT    NOT NULL,
    with_vectors INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    created_ms   INTEGER NOT NULL,
    started_ms   INTEGER,
    finished_ms  INTEGER,
    report       TEXT,
    error_code   TEXT,
    error        TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX job_open ON job (state, id) WHERE state IN ('queued', 'running');
";

/// Collections whose texts may be sent to a remote embedding provider.
const V3: Migration = "
ALTER TABLE collection ADD COLUMN remote INTEGER NOT NULL DEFAULT 0 CHECK (remote IN (0, 1));
";

/// Sources that are git repositories; when a source was brought up to date last, and whether it is watched.
const V4: Migration = "
CREATE TABLE source_new (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collection (id) ON DELETE CASCADE,
    kind          TEXT    NOT NULL CHECK (kind IN ('folder', 'git', 'documents')),
    -- The path of the folder, or the address of the repository with its branch.
    root          TEXT    NOT NULL,
    pipeline      INTEGER NOT NULL DEFAULT 0,
    updated_ms    INTEGER,
    watched       INTEGER NOT NULL DEFAULT 0 CHECK (watched IN (0, 1)),
    -- The commit that is indexed.
    commit_id     TEXT,
    may_sign_in   INTEGER NOT NULL DEFAULT 0 CHECK (may_sign_in IN (0, 1)),
    UNIQUE (collection_id, root)
) STRICT;
INSERT INTO source_new (id, collection_id, kind, root, pipeline) SELECT id, collection_id, kind, root, pipeline FROM source;
-- An id stays used for ever: clients hold them.
DELETE FROM sqlite_sequence WHERE name = 'source_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'source_new', seq FROM sqlite_sequence WHERE name = 'source';
DROP TABLE source;
ALTER TABLE source_new RENAME TO source;
";
