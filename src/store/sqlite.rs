//! SQLite behind the store: one module for each database, and here what they share: how a connection is opened,
//! which version of the library is good enough, how schemas migrate, and what its errors mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode as SqliteCode, OpenFlags};

use super::{StoreError, StoreResult};

pub mod content;
pub mod hub;
mod shared;
mod writer_thread;

pub use shared::SharedContent;
pub use writer_thread::{Grouped, WriterThread};

/// Oldest SQLite whose WAL mode has no known way to lose or corrupt data (3.51.3 mends the WAL-reset race).
const VERSION_MIN: (i32, &str) = (3_051_003, "3.51.3");

/// How long a connection waits for another process's short lock before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Page cache of one connection in KiB. The operating system caches the file as well; more only costs memory.
const CACHE_KIB: i64 = 16 * 1024;

/// How a database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Beside a writer, which may be another process.
    Read,
    /// As the one writer; made if absent.
    Write,
}

/// Returns the database file if it is there; `was_used` says that one has been.
fn existing(path: PathBuf, was_used: bool) -> StoreResult<Option<PathBuf>> {
    let is_empty_file = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0);
    match path.try_exists() {
        // SQLite takes an empty file for a new database. After a crash before the very first commit it is one, but not
        // where there are signs of use.
        Ok(true) if is_empty_file && was_used => Err(StoreError::Damaged {
            path,
            detail: "the file is empty".to_owned(),
        }),
        Ok(true) => Ok(Some(path)),
        Ok(false) if was_used => Err(StoreError::Vanished { path }),
        Ok(false) => Ok(None),
        Err(error) => Err(StoreError::Denied {
            path,
            detail: error.to_string(),
        }),
    }
}

/// Makes a database file, readable by its owner alone. SQLite gives its companions the same permissions.
fn create_private(path: &Path) -> StoreResult<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Err(StoreError::Full {
            path: path.to_owned(),
        }),
        Err(error) => Err(StoreError::Denied {
            path: path.to_owned(),
            detail: error.to_string(),
        }),
    }
}

/// Opens a database file with the settings that all of them use.
pub(super) fn connect(path: &Path, access: Access) -> StoreResult<Connection> {
    if rusqlite::version_number() < VERSION_MIN.0 {
        return Err(StoreError::LibraryTooOld {
            found: rusqlite::version(),
            needed: VERSION_MIN.1,
        });
    }
    let flags = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    } | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        if access == Access::Write {
            connection.pragma_update(None, "journal_mode", "wal")?;
            // FULL: a commit is on disk before it is acknowledged, also when the power fails.
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "foreign_keys", true)?;
        }
        Ok(connection)
    };
    open().map_err(|error| explain(path, &error))
}

/// One step of a schema: the SQL that turns version `n` into `n + 1`.
pub(super) type Migration = &'static str;

/// Brings a database to the newest schema, or, when only reading, refuses another one.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    access: Access,
    application_id: i32,
    migrations: &[Migration],
) -> StoreResult<()> {
    let explain = |error: rusqlite::Error| explain(path, &error);
    let known = migrations.len() as u32;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let found_id = pragma("application_id").map_err(explain)?;
    let found = pragma("user_version").map_err(explain)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(explain)?;
    let is_new = found_id == 0 && found == 0 && tables == 0;
    if !is_new && found_id != application_id {
        let detail = format!("it belongs to another program (application id {found_id:#x})");
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            detail,
        });
    }
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
            known,
        });
    }
    if found == known {
        return Ok(());
    }
    if access == Access::Read {
        return Err(if is_new {
            StoreError::Absent {
                path: path.to_owned(),
            }
        } else {
            StoreError::TooOld {
                path: path.to_owned(),
                found,
                known,
            }
        });
    }
    // A step may have to rebuild a table that others refer to. The switch has no effect inside a transaction.
    connection
        .pragma_update(None, "foreign_keys", false)
        .map_err(explain)?;
    let transaction = connection.transaction().map_err(explain)?;
    for migration in &migrations[found as usize..] {
        transaction.execute_batch(migration).map_err(explain)?;
    }
    transaction
        .pragma_update(None, "application_id", application_id)
        .map_err(explain)?;
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(explain)?;
    let is_torn = transaction
        .prepare("PRAGMA foreign_key_check")
        .and_then(|mut check| check.exists([]))
        .map_err(explain)?;
    if is_torn {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            detail: "rows refer to rows that are not there".to_owned(),
        });
    }
    transaction.commit().map_err(explain)?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(explain)?;
    if !is_new {
        tracing::info!(path = %path.display(), from = found, to = known, "Migrated the store");
    }
    Ok(())
}

/// Checks the structure of the whole file.
pub(super) fn check_structure(connection: &Connection, path: &Path) -> StoreResult<()> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| explain(path, &error))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged {
        path: path.to_owned(),
        detail: one_line(&verdict),
    })
}

/// Says what an error of SQLite means for the caller.
pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path: PathBuf = path.to_owned();
    let detail = one_line(&error.to_string());
    let extended = error
        .sqlite_error()
        .map_or(0, |failure| failure.extended_code);
    match error.sqlite_error_code() {
        Some(SqliteCode::DatabaseCorrupt | SqliteCode::NotADatabase) => {
            StoreError::Damaged { path, detail }
        }
        Some(SqliteCode::DiskFull) => StoreError::Full { path },
        // The shared-memory file cannot grow: in practice the disk is full.
        _ if extended == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => StoreError::Full { path },
        Some(SqliteCode::PermissionDenied | SqliteCode::ReadOnly) => {
            StoreError::Denied { path, detail }
        }
        Some(SqliteCode::CannotOpen) => match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                StoreError::Absent { path }
            }
            _ => StoreError::Denied { path, detail },
        },
        Some(SqliteCode::SystemIoFailure) => StoreError::Disk { path, detail },
        _ => StoreError::Failed { path, detail },
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
