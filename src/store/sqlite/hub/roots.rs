//! The rows of allowed roots: the folders that may be indexed on a client's word.

use rusqlite::{Connection, params};

use super::{Failure, HubError};

/// Roots that may exist. Each one is compared with every path that a client names; a parent folder covers many.
pub const ROOTS_MAX: u64 = 1_000;

/// A folder in which clients may have things indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedRoot {
    /// Its path: absolute, with no link in it.
    pub path: String,
    /// When it was added, in milliseconds since the epoch.
    pub added_ms: u64,
    /// Who added it, as in the audit log.
    pub added_by: String,
}

/// Reads every root, in the order of their paths.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<AllowedRoot>> {
    let select = "SELECT path, added_ms, added_by FROM allowed_root ORDER BY path";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map([], |row| {
        Ok(AllowedRoot {
            path: row.get(0)?,
            added_ms: row.get(1)?,
            added_by: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// Adds a root. One that is there already stays as it is.
pub(super) fn add(tx: &Connection, root: &AllowedRoot) -> Result<(), Failure> {
    let insert =
        "INSERT OR IGNORE INTO allowed_root (path, added_ms, added_by) VALUES (?1, ?2, ?3)";
    tx.execute(insert, params![root.path, root.added_ms, root.added_by])?;
    let count: u64 = tx.query_row("SELECT count(*) FROM allowed_root", [], |row| row.get(0))?;
    if count > ROOTS_MAX {
        return Err(HubError::TooMany {
            what: "allowed roots",
            count_max: ROOTS_MAX,
        }
        .into());
    }
    Ok(())
}

/// Removes a root.
pub(super) fn remove(tx: &Connection, path: &str) -> Result<(), Failure> {
    if tx.execute("DELETE FROM allowed_root WHERE path = ?1", [path])? == 0 {
        return Err(HubError::RootMissing {
            path: path.to_owned(),
        }
        .into());
    }
    Ok(())
}
