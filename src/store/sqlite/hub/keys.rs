//! The rows of keys.

use std::fmt;

use rusqlite::{Connection, Row, params};

use super::{Failure, HubError};

/// Keys that may exist, ended ones included: as many as a list can show and a process holds without notice. When all
/// are taken, the key that ended first makes room; the audit log still tells of it.
pub const KEYS_MAX: u64 = 10_000;

/// What is stored of a key's secret. Its `Debug` form hides the value.
///
/// The comparison is not in constant time: whoever authenticates compares the bytes by `subtle`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyMac(pub [u8; 32]);

impl fmt::Debug for KeyMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMac(***)")
    }
}

/// A key as the store keeps it. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its public part, by which it is found.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The authentication code of its secret.
    pub mac: KeyMac,
    /// The names of what it may do, separated by spaces.
    pub scopes: String,
    /// The collections that it sees; all where there is no list.
    pub collections: Option<Vec<String>>,
    /// On whose behalf it acts.
    pub tenant: Option<String>,
    /// When it was made.
    pub created_ms: u64,
    /// From when on it is refused.
    pub expires_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_ms: Option<u64>,
    /// When it was used last, as far as that was written down.
    pub last_used_ms: Option<u64>,
    /// The id of the key that takes its place.
    pub replaced_by: Option<String>,
    /// Units of work that it may ask for in a second, in the place of what the settings say.
    pub limit_per_s: Option<u32>,
    /// How many of them at once.
    pub limit_burst: Option<u32>,
}

/// Columns of a [`KeyRow`], in the order that [`key_row`] reads them.
const COLUMNS: &str = "id, name, mac, scopes, collections, tenant, created_ms, expires_ms, revoked_ms, \
                       last_used_ms, replaced_by, limit_per_s, limit_burst";

fn key_row(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow {
        id: row.get(0)?,
        name: row.get(1)?,
        mac: KeyMac(row.get(2)?),
        scopes: row.get(3)?,
        collections: names(row, 4)?,
        tenant: row.get(5)?,
        created_ms: row.get(6)?,
        expires_ms: row.get(7)?,
        revoked_ms: row.get(8)?,
        last_used_ms: row.get(9)?,
        replaced_by: row.get(10)?,
        limit_per_s: row.get(11)?,
        limit_burst: row.get(12)?,
    })
}

/// Reads a list in JSON. Broken JSON in our own column is damage, and is reported as such.
fn names(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Vec<String>>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else {
        return Ok(None);
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// Reads every key, the oldest first.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<KeyRow>> {
    let select = format!("SELECT {COLUMNS} FROM api_key ORDER BY created_ms, id");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map([], key_row)?;
    rows.collect()
}

/// Writes a key; one of the same id is replaced.
pub(super) fn put(tx: &Connection, key: &KeyRow, now_ms: u64) -> Result<(), Failure> {
    make_room(tx, &key.id, now_ms)?;
    let collections = key
        .collections
        .as_ref()
        .map(|names| serde_json::to_string(names).expect("a list of strings is always JSON"));
    let insert = format!(
        "INSERT OR REPLACE INTO api_key ({COLUMNS}) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    );
    tx.prepare_cached(&insert)?.execute(params![
        key.id,
        key.name,
        key.mac.0,
        key.scopes,
        collections,
        key.tenant,
        key.created_ms,
        key.expires_ms,
        key.revoked_ms,
        key.last_used_ms,
        key.replaced_by,
        key.limit_per_s,
        key.limit_burst,
    ])?;
    Ok(())
}

/// Writes a key in the place of another, which expires at `old_expires_ms`.
pub(super) fn replace(
    tx: &Connection,
    old_id: &str,
    old_expires_ms: u64,
    new: &KeyRow,
    now_ms: u64,
) -> Result<(), Failure> {
    let update = "UPDATE api_key SET replaced_by = ?2, expires_ms = min(ifnull(expires_ms, ?3), ?3) \
                  WHERE id = ?1 AND revoked_ms IS NULL AND replaced_by IS NULL AND ifnull(expires_ms > ?4, 1)";
    if tx.execute(update, params![old_id, new.id, old_expires_ms, now_ms])? == 0 {
        let id = old_id.to_owned();
        return Err(if exists(tx, old_id)? {
            HubError::KeyEnded { id }.into()
        } else {
            HubError::KeyMissing { id }.into()
        });
    }
    put(tx, new, now_ms)
}

/// Revokes a key. One that is revoked already keeps the time of the first.
pub(super) fn revoke(tx: &Connection, id: &str, at_ms: u64) -> Result<(), Failure> {
    let update = "UPDATE api_key SET revoked_ms = ifnull(revoked_ms, ?2) WHERE id = ?1";
    if tx.execute(update, params![id, at_ms])? == 0 {
        return Err(HubError::KeyMissing { id: id.to_owned() }.into());
    }
    Ok(())
}

/// Writes down when keys were used last. Keys that are gone, and times earlier than what is known, are left out.
pub(super) fn touch(tx: &Connection, used: &[(String, u64)]) -> rusqlite::Result<()> {
    let update =
        "UPDATE api_key SET last_used_ms = ?2 WHERE id = ?1 AND ifnull(last_used_ms < ?2, 1)";
    let mut statement = tx.prepare_cached(update)?;
    for (id, at_ms) in used {
        statement.execute(params![id, at_ms])?;
    }
    Ok(())
}

fn exists(tx: &Connection, id: &str) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT 1 FROM api_key WHERE id = ?1")?
        .exists([id])
}

fn make_room(tx: &Connection, id: &str, now_ms: u64) -> Result<(), Failure> {
    let others: u64 = tx.query_row("SELECT count(*) FROM api_key WHERE id <> ?1", [id], |row| {
        row.get(0)
    })?;
    if others < KEYS_MAX {
        return Ok(());
    }
    let delete = "DELETE FROM api_key WHERE id = (
                      SELECT id FROM api_key
                      WHERE id <> ?1 AND (revoked_ms IS NOT NULL OR expires_ms <= ?2)
                      ORDER BY min(ifnull(revoked_ms, expires_ms), ifnull(expires_ms, revoked_ms)), id
                      LIMIT 1)";
    if tx.execute(delete, params![id, now_ms])? == 0 {
        return Err(HubError::TooMany {
            what: "keys",
            count_max: KEYS_MAX,
        }
        .into());
    }
    Ok(())
}
