//! `content.db`: collections, files, chunks, vectors and the log that derived indexes follow.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::writer_thread::Grouped;
use super::{Access, check_structure, connect, create_private, explain, migrate};
use crate::failpoint::{self, Failpoint};
use crate::store::{StoreError, StoreResult};

mod read;
mod schema;
#[cfg(test)]
mod tests;
mod write;

/// The file's name inside the data directory.
pub const FILE_NAME: &str = "content.db";

/// Folder of the derived indexes inside the data directory. Where it stands, a store has been.
pub const INDEX_FOLDER: &str = "index";

/// The content database. It is opened for reading by any number of processes and for writing by one.
#[derive(Debug)]
pub struct ContentDb {
    connection: Connection,
    path: PathBuf,
}

impl ContentDb {
    /// Opens the database of a data directory for reading, beside a writer if there is one.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when nothing was ever stored here, [`StoreError::Vanished`] when it was, and the errors
    /// of a damaged, newer or older file.
    pub fn open_read_only(data_dir: &Path) -> StoreResult<ContentDb> {
        let path = Self::existing(data_dir)?.ok_or_else(|| StoreError::Absent {
            path: data_dir.join(FILE_NAME),
        })?;
        let mut connection = connect(&path, Access::Read)?;
        migrate(
            &mut connection,
            &path,
            Access::Read,
            schema::APPLICATION_ID,
            schema::MIGRATIONS,
        )?;
        Ok(ContentDb { connection, path })
    }

    /// Opens the database of a data directory as its one writer (the caller holds the directory's lock), made if the
    /// directory was never used, migrated if it is older. After a writer that did not close in good order the
    /// structure of the whole file is checked first.
    ///
    /// # Errors
    /// As [`ContentDb::open_read_only`], without `Absent` and `TooOld`.
    pub fn open(data_dir: &Path) -> StoreResult<ContentDb> {
        let existed = Self::existing(data_dir)?.is_some();
        let path = data_dir.join(FILE_NAME);
        if !existed {
            create_private(&path)?;
        }
        let mut connection = connect(&path, Access::Write)?;
        migrate(
            &mut connection,
            &path,
            Access::Write,
            schema::APPLICATION_ID,
            schema::MIGRATIONS,
        )?;
        let database = ContentDb { connection, path };
        if existed && database.state("closed")?.as_deref() != Some("1") {
            check_structure(&database.connection, &database.path)?;
        }
        database.set_state("closed", "0")?;
        Ok(database)
    }

    /// Marks the store as closed in good order. Without it the next writer checks the whole structure first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn close(self) -> StoreResult<()> {
        self.set_state("closed", "1")?;
        let ContentDb { connection, path } = self;
        connection
            .close()
            .map_err(|(_, error)| super::explain(&path, &error))
    }

    /// Checks the structure of the whole file; reads all of it.
    pub fn check_structure(&self) -> StoreResult<()> {
        check_structure(&self.connection, &self.path)
    }

    /// Returns the path of the database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn existing(data_dir: &Path) -> StoreResult<Option<PathBuf>> {
        super::existing(
            data_dir.join(FILE_NAME),
            data_dir.join(INDEX_FOLDER).is_dir(),
        )
    }

    fn state(&self, key: &str) -> StoreResult<Option<String>> {
        use rusqlite::OptionalExtension;
        self.connection
            .query_row("SELECT value FROM state WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()
            .map_err(|error| self.explain(&error))
    }

    fn set_state(&self, key: &str, value: &str) -> StoreResult<()> {
        self.connection
            .execute(
                "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)",
                [key, value],
            )
            .map(drop)
            .map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &rusqlite::Error) -> StoreError {
        explain(&self.path, error)
    }
}

impl Grouped for ContentDb {
    fn begin(&mut self) -> StoreResult<()> {
        self.batch("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> StoreResult<()> {
        failpoint::pass(Failpoint::StoreCommit).map_err(|injected| StoreError::Disk {
            path: self.path.clone(),
            detail: injected.to_string(),
        })?;
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
        *self = ContentDb::open(dir)?;
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

impl ContentDb {
    fn batch(&self, sql: &str) -> StoreResult<()> {
        self.connection
            .execute_batch(sql)
            .map_err(|error| self.explain(&error))
    }
}

fn encode_vector(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn decode_vector(bytes: &[u8], into: &mut Vec<f32>) {
    into.clear();
    into.extend(
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
    );
}
