//! Moving the audit log out of the database, into a file that its keeper takes away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

use super::audit::{OUTCOME_DONE, restart};
use super::record::{AuditHead, COLUMNS, NewAuditRecord, record_row};
use super::{HubDb, HubError, HubResult};

/// The kind of the record that takes the place of those in an archive.
pub const KIND_ARCHIVED: &str = "audit.archived";

/// What was moved to an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archived {
    /// How many records.
    pub count: u64,
    /// The last of them.
    pub last: AuditHead,
    /// The record that tells of the archive, now the first and last of the log.
    pub head: AuditHead,
}

impl HubDb {
    /// Writes every record of the audit log to a new file, a line of JSON each, and then puts one record in their
    /// place that names the last of them. The chain goes on from there, so whoever has the file can show that nothing
    /// is missing between it and the log. The file is readable by its owner alone.
    ///
    /// The records are copied as they are: a damaged log is not mended by it, so verify it first.
    ///
    /// # Errors
    /// [`HubError::NothingToArchive`]; [`HubError::Archive`], also where the file exists; those of the database. The
    /// log is then as it was, and no file is left.
    pub fn archive(&mut self, to: &Path, at_ms: u64, actor: &str) -> HubResult<Archived> {
        if self.audit_head()? == AuditHead::GENESIS {
            return Err(HubError::NothingToArchive);
        }
        let file = create_private(to).map_err(|source| failed(to, source))?;
        let archived = self
            .copy_records(file, to)
            .and_then(|(count, last)| self.put_archived(count, last, at_ms, actor));
        if archived.is_err() {
            // What went wrong is told already; a half of a file is of no use to anyone.
            let _ = fs::remove_file(to);
        }
        archived
    }

    /// Copies all records and returns their number and the last one, once they are on disk.
    fn copy_records(&self, file: File, to: &Path) -> HubResult<(u64, AuditHead)> {
        let database = |error: rusqlite::Error| HubError::from(self.explain(&error));
        let disk = |source: io::Error| failed(to, source);
        let mut out = BufWriter::new(file);
        let select = format!("SELECT {COLUMNS} FROM audit ORDER BY seq");
        let mut statement = self.connection.prepare(&select).map_err(database)?;
        let mut rows = statement.query([]).map_err(database)?;
        let (mut count, mut last) = (0, AuditHead::GENESIS);
        while let Some(row) = rows.next().map_err(database)? {
            let record = record_row(row).map_err(database)?;
            serde_json::to_writer(&mut out, &record).map_err(|error| disk(error.into()))?;
            out.write_all(b"\n").map_err(disk)?;
            count += 1;
            last = record.head();
        }
        let file = out.into_inner().map_err(|error| disk(error.into_error()))?;
        file.sync_all().map_err(disk)?;
        sync_folder_of(to).map_err(disk)?;
        Ok((count, last))
    }

    fn put_archived(
        &mut self,
        count: u64,
        last: AuditHead,
        at_ms: u64,
        actor: &str,
    ) -> HubResult<Archived> {
        let record = NewAuditRecord {
            at_ms,
            kind: KIND_ARCHIVED,
            actor: actor.to_owned(),
            subject: "audit".to_owned(),
            outcome: OUTCOME_DONE,
            detail: json!({
                "count": count,
                "last_seq": last.seq,
                "last_hash": last.hash.to_string(),
            })
            .to_string(),
            is_aggregate: false,
        };
        let record = record.chained(last);
        self.write(|tx| restart(tx, &record))?;
        Ok(Archived {
            count,
            last,
            head: record.head(),
        })
    }
}

fn failed(to: &Path, source: io::Error) -> HubError {
    HubError::Archive {
        path: to.to_owned(),
        source,
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes sure that the file's name is on disk as well before the records leave the database.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder_of(_path: &Path) -> io::Result<()> {
    Ok(())
}
