//! `hub.db`: who may do what (keys, allowed roots), and what was done (the audit log).
//!
//! A change and the record of it are one transaction: nothing is done that is not recorded, and nothing is recorded
//! that was not done. The records form a chain of hashes, see [`AuditRecord`] and [`HubDb::verify`].

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::writer_thread::{Grouped, WriterThread};
use super::{Access, check_structure, connect, create_private, explain, migrate};
use crate::store::{StoreError, StoreResult};

mod archive;
mod audit;
mod error;
mod keys;
mod record;
mod roots;
mod schema;
#[cfg(test)]
mod tests;
mod verification;

pub use archive::{Archived, KIND_ARCHIVED};
pub use audit::{
    ACTOR_SERVER, AUDIT_BUDGET_BYTES, AUDIT_PAGE_MAX, AUDIT_RECORD_BYTES_MAX, Appended,
    AuditBudget, KIND_BUDGET_LOW, OUTCOME_DONE,
};
pub use error::{HubError, HubResult};
pub use keys::{KEYS_MAX, KeyMac, KeyRow};
pub use record::{AuditHead, AuditHeadMalformed, AuditRecord, NewAuditRecord};
pub use roots::{AllowedRoot, ROOTS_MAX};
pub use verification::{Broken, Damage, Verification};

/// The file's name inside the data directory.
pub const FILE_NAME: &str = "hub.db";

/// The file with the secret that keys are hashed by, inside the data directory. It is made after the database: where
/// it stands, a database has been.
pub const PEPPER_FILE: &str = "hub.pepper";

/// The hub database. It is opened for reading by any number of processes and for writing by one.
#[derive(Debug)]
pub struct HubDb {
    connection: Connection,
    path: PathBuf,
}

/// What is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubChange {
    /// A key is made; one of the same id is replaced.
    PutKey(KeyRow),
    /// A key takes the place of another, which is good for a while longer.
    ReplaceKey {
        /// The id of the other.
        old_id: String,
        /// When the other expires, unless it does so earlier.
        old_expires_ms: u64,
        /// The key.
        new: KeyRow,
    },
    /// A key is revoked; one that is revoked already stays so.
    RevokeKey {
        /// Its id.
        id: String,
        /// When.
        at_ms: u64,
    },
    /// A folder is allowed; one that is allowed already stays so.
    AddRoot(AllowedRoot),
    /// A folder is no longer allowed.
    RemoveRoot {
        /// Its path.
        path: String,
    },
    /// Nothing in this database: what is recorded happens elsewhere.
    Nothing,
}

impl HubDb {
    /// Opens the database of a data directory for reading, beside a writer if there is one.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when no server ever ran here, [`StoreError::Vanished`] when one did, and the errors of a
    /// damaged, newer or older file.
    pub fn open_read_only(data_dir: &Path) -> StoreResult<HubDb> {
        let path = existing(data_dir)?.ok_or_else(|| StoreError::Absent {
            path: data_dir.join(FILE_NAME),
        })?;
        HubDb::connect(path, Access::Read)
    }

    /// Opens the database of a data directory as its one writer (the caller holds the directory's lock), made if there
    /// was none, migrated if it is older. After a writer that did not close in good order the structure of the whole
    /// file is checked first.
    ///
    /// # Errors
    /// As [`HubDb::open_read_only`], without `Absent` and `TooOld`.
    pub fn open(data_dir: &Path) -> StoreResult<HubDb> {
        let existed = existing(data_dir)?.is_some();
        let path = data_dir.join(FILE_NAME);
        if !existed {
            create_private(&path)?;
        }
        let database = HubDb::connect(path, Access::Write)?;
        let closed = database.run(|connection| state(connection, STATE_CLOSED))?;
        if existed && closed.as_deref() != Some("1") {
            database.check_structure()?;
        }
        database.set_closed("0")?;
        Ok(database)
    }

    /// Opens the database anew after the disk has failed a commit, and sees that it takes a write: what was acknowledged
    /// before is there.
    ///
    /// # Errors
    /// Those of the disk; it can be tried again.
    pub fn recover(&mut self) -> StoreResult<()> {
        self.reopen()?;
        self.begin()?;
        let written = self.touch().and_then(|()| self.commit());
        if written.is_err() && self.is_in_transaction() {
            self.roll_back();
        }
        written
    }

    /// Marks the database as closed in good order. Without it the next writer checks the whole structure first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn close(self) -> StoreResult<()> {
        self.set_closed("1")?;
        let HubDb { connection, path } = self;
        connection
            .close()
            .map_err(|(_, error)| explain(&path, &error))
    }

    /// Gives the database to a thread of its own, by which other threads write to it.
    ///
    /// # Panics
    /// When the system has no thread to give.
    pub fn into_writer(self) -> WriterThread<HubDb> {
        WriterThread::start(self)
    }

    /// Checks the structure of the whole file; reads all of it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]; those of the disk.
    pub fn check_structure(&self) -> StoreResult<()> {
        check_structure(&self.connection, &self.path)
    }

    /// Returns the path of the database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads every key, the oldest first; at most [`KEYS_MAX`].
    ///
    /// # Errors
    /// Those of the database.
    pub fn keys(&self) -> StoreResult<Vec<KeyRow>> {
        self.run(keys::all)
    }

    /// Reads every allowed root, in the order of their paths; at most [`ROOTS_MAX`].
    ///
    /// # Errors
    /// Those of the database.
    pub fn roots(&self) -> StoreResult<Vec<AllowedRoot>> {
        self.run(roots::all)
    }

    /// Reads the records after a number, in order: `limit` of them, and no more than [`AUDIT_PAGE_MAX`].
    ///
    /// # Errors
    /// Those of the database.
    pub fn audit_records(&self, after_seq: u64, limit: usize) -> StoreResult<Vec<AuditRecord>> {
        self.run(|connection| audit::after(connection, after_seq, limit))
    }

    /// Reads the end of the audit log.
    ///
    /// # Errors
    /// Those of the database.
    pub fn audit_head(&self) -> StoreResult<AuditHead> {
        self.run(audit::head)
    }

    /// Reads how many bytes of its budget the audit log has used.
    ///
    /// # Errors
    /// Those of the database.
    pub fn audit_used_bytes(&self) -> StoreResult<u64> {
        self.run(audit::used_bytes)
    }

    /// Makes a change and records it, both or neither.
    ///
    /// # Errors
    /// [`HubError::AuditFull`] when there is no room for the record; the errors of what cannot be changed; those of the
    /// database.
    pub fn change(
        &mut self,
        change: &HubChange,
        record: NewAuditRecord,
        budget: AuditBudget,
    ) -> HubResult<AuditHead> {
        self.write(|tx| {
            apply(tx, change, record.at_ms)?;
            Ok(audit::append(tx, vec![record], budget)?.head)
        })
    }

    /// Records what happened elsewhere: all of it, except for aggregated records that the budget has no room for.
    ///
    /// # Errors
    /// [`HubError::AuditFull`] when there is no room for a record that is not aggregated; none is written then.
    pub fn append(
        &mut self,
        records: Vec<NewAuditRecord>,
        budget: AuditBudget,
    ) -> HubResult<Appended> {
        self.write(|tx| audit::append(tx, records, budget))
    }

    /// Writes down when keys were used last, by id. Not recorded in the audit log.
    ///
    /// # Errors
    /// Those of the database.
    pub fn touch_keys(&mut self, used: &[(String, u64)]) -> HubResult<()> {
        self.write(|tx| Ok(keys::touch(tx, used)?))
    }

    fn connect(path: PathBuf, access: Access) -> StoreResult<HubDb> {
        let mut connection = connect(&path, access)?;
        migrate(
            &mut connection,
            &path,
            access,
            schema::APPLICATION_ID,
            schema::MIGRATIONS,
        )?;
        Ok(HubDb { connection, path })
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> StoreResult<T> {
        work(&self.connection).map_err(|error| self.explain(&error))
    }

    fn write<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> HubResult<T> {
        let path = self.path.clone();
        // Inside a group a savepoint is a part of its transaction; outside it is a transaction of its own.
        let run = || -> Result<T, Failure> {
            let savepoint = self.connection.savepoint()?;
            let value = work(&savepoint)?;
            savepoint.commit()?;
            Ok(value)
        };
        run().map_err(|failure| match failure {
            Failure::Database(error) => explain(&path, &error).into(),
            Failure::Refused(error) => error,
        })
    }

    fn set_closed(&self, value: &str) -> StoreResult<()> {
        self.run(|connection| set_state(connection, STATE_CLOSED, value))
    }

    fn batch(&self, sql: &str) -> StoreResult<()> {
        self.run(|connection| connection.execute_batch(sql))
    }

    fn explain(&self, error: &rusqlite::Error) -> StoreError {
        explain(&self.path, error)
    }
}

impl Grouped for HubDb {
    fn begin(&mut self) -> StoreResult<()> {
        self.batch("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> StoreResult<()> {
        self.batch("COMMIT")
    }

    fn roll_back(&mut self) {
        // It fails only where SQLite has rolled back by itself.
        let _ = self.batch("ROLLBACK");
    }

    fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    fn reopen(&mut self) -> StoreResult<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        *self = HubDb::open(dir)?;
        Ok(())
    }

    fn touch(&mut self) -> StoreResult<()> {
        // SQLite does not write what it finds unchanged.
        self.batch(
            "INSERT INTO state (key, value) VALUES ('touched', '1')
             ON CONFLICT (key) DO UPDATE SET value = value + 1",
        )
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Why a transaction is taken back.
enum Failure {
    Database(rusqlite::Error),
    Refused(HubError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Database(error)
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Failure {
        Failure::Refused(error)
    }
}

fn apply(tx: &Connection, change: &HubChange, now_ms: u64) -> Result<(), Failure> {
    match change {
        HubChange::PutKey(key) => keys::put(tx, key, now_ms),
        HubChange::ReplaceKey {
            old_id,
            old_expires_ms,
            new,
        } => keys::replace(tx, old_id, *old_expires_ms, new, now_ms),
        HubChange::RevokeKey { id, at_ms } => keys::revoke(tx, id, *at_ms),
        HubChange::AddRoot(root) => roots::add(tx, root),
        HubChange::RemoveRoot { path } => roots::remove(tx, path),
        HubChange::Nothing => Ok(()),
    }
}

/// Whether the last writer closed in good order.
const STATE_CLOSED: &str = "closed";

fn state(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT value FROM state WHERE key = ?1", [key], |row| {
            row.get(0)
        })
        .optional()
}

fn set_state(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)",
            [key, value],
        )
        .map(drop)
}

fn existing(data_dir: &Path) -> StoreResult<Option<PathBuf>> {
    // The pepper is made after the database.
    super::existing(
        data_dir.join(FILE_NAME),
        data_dir.join(PEPPER_FILE).exists(),
    )
}
