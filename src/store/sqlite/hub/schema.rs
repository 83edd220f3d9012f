//! The schema of `hub.db`, as the steps that lead to it. A released step is never edited: a change is a new step.

use crate::store::sqlite::Migration;

/// `emb` and the number of the database: tells our file from any other SQLite database.
pub(super) const APPLICATION_ID: i32 = 0x656d_6202;

/// The steps; the schema's version is their number.
pub(super) const MIGRATIONS: &[Migration] = &[V1, V2];

const V1: Migration = "
CREATE TABLE api_key (
    id           TEXT    PRIMARY KEY,
    name         TEXT    NOT NULL,
    -- HMAC-SHA-256 by the pepper, which is not in this file: who reads the table alone can try no secret.
    mac          BLOB    NOT NULL CHECK (length(mac) = 32),
    scopes       TEXT    NOT NULL,
    -- A list in JSON; NULL is every collection, also those that do not exist yet.
    collections  TEXT,
    tenant       TEXT,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    revoked_ms   INTEGER,
    last_used_ms INTEGER,
    replaced_by  TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE allowed_root (
    path     TEXT    PRIMARY KEY,
    added_ms INTEGER NOT NULL,
    added_by TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    -- Without a gap, and part of what is hashed: a record that is gone leaves a hole.
    seq      INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    actor    TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    outcome  TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    previous BLOB    NOT NULL CHECK (length(previous) = 32),
    hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE state (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

const V2: Migration = "
-- Units of work in a second and at once, in the place of what the settings say of keys.
ALTER TABLE api_key ADD COLUMN limit_per_s INTEGER CHECK (limit_per_s > 0);
ALTER TABLE api_key ADD COLUMN limit_burst INTEGER CHECK (limit_burst > 0);
";
