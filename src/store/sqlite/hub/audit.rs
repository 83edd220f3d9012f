//! Writing and reading the audit log, within its budget.
//!
//! The log has a share of the disk of its own. The last part of it is kept for administrative acts: once it begins,
//! records that only count things are left out, so that whoever is refused again and again cannot fill the log and with
//! it stop those who could do something about it. When all is used, administrative acts are refused as well: what
//! cannot be recorded is not done.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::record::{AuditHead, AuditRecord, COLUMNS, NewAuditRecord, record_row};
use super::{Failure, HubError, set_state, state};

/// Bytes of records that are kept before somebody has to archive them: about a million of the usual size.
pub const AUDIT_BUDGET_BYTES: u64 = 256 * 1024 * 1024;

/// Largest record that is written. Names, paths and lists of collections have limits far below it.
pub const AUDIT_RECORD_BYTES_MAX: u64 = 64 * 1024;

/// Records that are read at once.
pub const AUDIT_PAGE_MAX: usize = 1_000;

/// The part of the budget that is kept for administrative acts: one in sixteen, which is thousands of them.
const RESERVE_PARTS: u64 = 16;

/// The kind of the record that says that the reserve has begun.
pub const KIND_BUDGET_LOW: &str = "audit.budget_low";

/// Who does what nobody asked for.
pub const ACTOR_SERVER: &str = "server";

/// How an act ended that was done.
pub const OUTCOME_DONE: &str = "done";

/// Bytes that the records take.
pub(super) const STATE_BYTES: &str = "audit_bytes";

/// Whether it is recorded that the reserve has begun.
pub(super) const STATE_LOW: &str = "audit_low";

/// How much the records of the audit log may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditBudget {
    bytes: u64,
}

/// What became of records that were to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The end of the log.
    pub head: AuditHead,
    /// Aggregated records that were left out, because what remains of the budget is kept for administrative acts. The
    /// caller counts them.
    pub skipped: u64,
}

impl AuditBudget {
    /// Sets a budget in bytes: the sum of what is hashed of each record. The file is somewhat larger.
    pub const fn new(bytes: u64) -> AuditBudget {
        AuditBudget { bytes }
    }

    /// Returns it in bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// Returns how much may be used before the reserve begins.
    pub const fn unreserved_bytes(self) -> u64 {
        self.bytes - self.bytes / RESERVE_PARTS
    }
}

impl Default for AuditBudget {
    /// [`AUDIT_BUDGET_BYTES`].
    fn default() -> AuditBudget {
        AuditBudget::new(AUDIT_BUDGET_BYTES)
    }
}

/// The log in one transaction.
struct Log<'a> {
    tx: &'a Connection,
    budget: AuditBudget,
    head: AuditHead,
    used_bytes: u64,
    skipped: u64,
}

/// Appends records, all or, on an error, none of them.
pub(super) fn append(
    tx: &Connection,
    records: Vec<NewAuditRecord>,
    budget: AuditBudget,
) -> Result<Appended, Failure> {
    let mut log = Log {
        tx,
        budget,
        head: head(tx)?,
        used_bytes: used_bytes(tx)?,
        skipped: 0,
    };
    let last_ms = records.last().map(|record| record.at_ms);
    for record in records {
        log.push(record)?;
    }
    if let Some(at_ms) = last_ms {
        log.note_reserve(at_ms)?;
        set_state(tx, STATE_BYTES, &log.used_bytes.to_string())?;
    }
    Ok(Appended {
        head: log.head,
        skipped: log.skipped,
    })
}

impl Log<'_> {
    fn push(&mut self, record: NewAuditRecord) -> Result<(), Failure> {
        let is_aggregate = record.is_aggregate;
        let record = record.chained(self.head);
        let bytes = record.encoded().len() as u64;
        if bytes > AUDIT_RECORD_BYTES_MAX {
            return Err(HubError::RecordTooLarge {
                bytes,
                bytes_max: AUDIT_RECORD_BYTES_MAX,
            }
            .into());
        }
        let used_bytes = self.used_bytes + bytes;
        if is_aggregate && used_bytes > self.budget.unreserved_bytes() {
            self.skipped += 1;
            return Ok(());
        }
        if used_bytes > self.budget.bytes() {
            return Err(HubError::AuditFull {
                used_bytes: self.used_bytes,
                budget_bytes: self.budget.bytes(),
            }
            .into());
        }
        insert(self.tx, &record)?;
        self.head = record.head();
        self.used_bytes = used_bytes;
        Ok(())
    }

    /// Records once that the reserve has begun; again after it was left, because the log was archived or has more room.
    fn note_reserve(&mut self, at_ms: u64) -> Result<(), Failure> {
        let is_low = self.skipped > 0 || self.used_bytes > self.budget.unreserved_bytes();
        let was_low = state(self.tx, STATE_LOW)?.as_deref() == Some("1");
        if is_low == was_low {
            return Ok(());
        }
        if is_low {
            let note = NewAuditRecord {
                at_ms,
                kind: KIND_BUDGET_LOW,
                actor: ACTOR_SERVER.to_owned(),
                subject: "audit".to_owned(),
                outcome: OUTCOME_DONE,
                detail: json!({
                    "used_bytes": self.used_bytes,
                    "budget_bytes": self.budget.bytes(),
                })
                .to_string(),
                is_aggregate: false,
            };
            match self.push(note) {
                // The last bytes belong to the act that took them; the note must not undo it.
                Err(Failure::Refused(HubError::AuditFull { .. })) => return Ok(()),
                result => result?,
            }
        }
        set_state(self.tx, STATE_LOW, if is_low { "1" } else { "0" })?;
        Ok(())
    }
}

/// Makes one record all that there is in the log.
pub(super) fn restart(tx: &Connection, first: &AuditRecord) -> Result<(), Failure> {
    tx.execute("DELETE FROM audit", [])?;
    insert(tx, first)?;
    set_state(tx, STATE_BYTES, &first.encoded().len().to_string())?;
    set_state(tx, STATE_LOW, "0")?;
    Ok(())
}

/// Reads the end of the log.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<AuditHead> {
    let select = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";
    let head = connection
        .prepare_cached(select)?
        .query_row([], |row| {
            Ok(AuditHead {
                seq: row.get(0)?,
                hash: blake3::Hash::from_bytes(row.get(1)?),
            })
        })
        .optional()?;
    Ok(head.unwrap_or(AuditHead::GENESIS))
}

/// Reads how much of a budget is used.
pub(super) fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let Some(text) = state(connection, STATE_BYTES)? else {
        return Ok(0);
    };
    text.parse().map_err(|error: std::num::ParseIntError| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

/// Reads the records after a number, in order.
pub(super) fn after(
    connection: &Connection,
    seq: u64,
    limit: usize,
) -> rusqlite::Result<Vec<AuditRecord>> {
    let select = format!("SELECT {COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2");
    let mut statement = connection.prepare_cached(&select)?;
    // No record has a number that the database cannot hold.
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![seq, limit.min(AUDIT_PAGE_MAX)], record_row)?;
    rows.collect()
}

fn insert(tx: &Connection, record: &AuditRecord) -> rusqlite::Result<()> {
    let insert =
        format!("INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    tx.prepare_cached(&insert)?
        .execute(params![
            record.seq,
            record.at_ms,
            record.kind,
            record.actor,
            record.subject,
            record.outcome,
            record.detail,
            record.previous.as_bytes(),
            record.hash.as_bytes(),
        ])
        .map(drop)
}
