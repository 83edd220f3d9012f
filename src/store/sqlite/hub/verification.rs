//! Whether the audit log is what was written.
//!
//! The chain shows what was changed, removed or moved. It cannot show that the end was cut off, or that everything was
//! written anew: for that somebody keeps an [`AuditHead`] elsewhere and hands it in.

use std::fmt;

use rusqlite::{OptionalExtension, params};
use serde::Deserialize;

use super::HubDb;
use super::archive::KIND_ARCHIVED;
use super::record::{AuditHead, AuditRecord, COLUMNS, record_row};
use crate::store::StoreResult;

/// What was found in the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Whole records, up to the first broken one.
    pub records: u64,
    /// The last whole record; where there is none, what it would follow.
    pub head: AuditHead,
    /// Where the part of the log ended that is in archives.
    pub archived: Option<AuditHead>,
    /// Whether the head that was handed in is older than the first record, so that only the archive can show it.
    pub is_head_archived: bool,
    /// The first damage, if there is any.
    pub broken: Option<Broken>,
}

/// The first place where the log is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// The number of the record that is missing or wrong.
    pub seq: u64,
    /// What is wrong.
    pub damage: Damage,
}

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// It is missing; the next one there has the number `found`.
    Gap {
        /// That number.
        found: u64,
    },
    /// It does not follow the record before.
    Previous,
    /// It is not what was hashed.
    Content,
    /// Another record stands in its place, and it stands at `found`.
    Reordered {
        /// Its place.
        found: u64,
    },
    /// It is not a record: a field has a wrong type or length.
    Unreadable,
    /// The log ends before the head that was handed in.
    Truncated,
    /// The log has another record in the place of the head that was handed in: it was cut off and went on, or was
    /// written anew.
    Rewritten,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.broken.is_none()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Gap { found } => write!(f, "it is missing: the next record is {found}"),
            Damage::Previous => f.write_str("it does not follow the record before"),
            Damage::Content => f.write_str("it was changed"),
            Damage::Reordered { found } => write!(f, "it was moved to {found}"),
            Damage::Unreadable => f.write_str("it cannot be read"),
            Damage::Truncated => f.write_str("the log ends before it"),
            Damage::Rewritten => f.write_str("another record stands in its place"),
        }
    }
}

/// The log as far as it was followed.
struct Chain {
    found: Verification,
    expected: Option<AuditHead>,
}

/// What [`Chain`] needs to know of the detail of a record of an archive.
#[derive(Deserialize)]
struct ArchiveEnd {
    last_seq: u64,
    last_hash: String,
}

impl HubDb {
    /// Checks every record of the audit log, in order, up to the first broken one. `expected_head` is what
    /// [`HubDb::audit_head`] once said: the log must still hold that record.
    ///
    /// It reads the whole log, one record at a time, and sees it as it was at the beginning also while it is written.
    ///
    /// # Errors
    /// Those of the database; what is wrong with the log is not an error but what is returned.
    pub fn verify(&self, expected_head: Option<AuditHead>) -> StoreResult<Verification> {
        let failed = |error: rusqlite::Error| self.explain(&error);
        let select = format!("SELECT {COLUMNS} FROM audit ORDER BY seq");
        let mut statement = self.connection.prepare(&select).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut chain = Chain::new(expected_head);
        while let Some(row) = rows.next().map_err(failed)? {
            let Ok(record) = record_row(row) else {
                return Ok(chain.broken(chain.due(Damage::Unreadable)));
            };
            if let Err(mut broken) = chain.follow(&record) {
                if matches!(broken.damage, Damage::Gap { .. } | Damage::Previous)
                    && let Some(found) = self.successor_elsewhere(chain.found.head, record.seq)?
                {
                    broken.damage = Damage::Reordered { found };
                }
                return Ok(chain.broken(broken));
            }
        }
        Ok(chain.end())
    }

    /// Finds the place of the record that followed `head` when it was written, if that is not `seq`.
    fn successor_elsewhere(&self, head: AuditHead, seq: u64) -> StoreResult<Option<u64>> {
        let select = "SELECT seq FROM audit WHERE previous = ?1 AND seq <> ?2 LIMIT 1";
        self.connection
            .query_row(select, params![head.hash.as_bytes(), seq], |row| row.get(0))
            .optional()
            .map_err(|error| self.explain(&error))
    }
}

impl Chain {
    fn new(expected: Option<AuditHead>) -> Chain {
        Chain {
            found: Verification {
                records: 0,
                head: AuditHead::GENESIS,
                archived: None,
                is_head_archived: false,
                broken: None,
            },
            expected,
        }
    }

    fn follow(&mut self, record: &AuditRecord) -> Result<(), Broken> {
        if self.found.records == 0
            && let Some(end) = archive_end(record)
        {
            self.found.head = end;
            self.found.archived = Some(end);
            self.found.is_head_archived = self.expected.is_some_and(|head| head.seq < end.seq);
            self.meet(end)?;
        }
        let due = self.due(Damage::Gap { found: record.seq });
        if record.seq != due.seq {
            return Err(due);
        }
        if record.previous != self.found.head.hash {
            return Err(self.due(Damage::Previous));
        }
        if record.computed_hash() != record.hash {
            return Err(self.due(Damage::Content));
        }
        self.meet(record.head())?;
        self.found.head = record.head();
        self.found.records += 1;
        Ok(())
    }

    /// Compares the expected head with the record of its number.
    fn meet(&self, head: AuditHead) -> Result<(), Broken> {
        match self.expected {
            Some(expected) if expected.seq == head.seq && expected != head => Err(Broken {
                seq: head.seq,
                damage: Damage::Rewritten,
            }),
            _ => Ok(()),
        }
    }

    /// Says what is wrong with the record that is due.
    fn due(&self, damage: Damage) -> Broken {
        Broken {
            seq: self.found.head.seq.saturating_add(1),
            damage,
        }
    }

    fn broken(&self, broken: Broken) -> Verification {
        Verification {
            broken: Some(broken),
            ..self.found.clone()
        }
    }

    fn end(self) -> Verification {
        match self.expected {
            Some(expected) if expected.seq > self.found.head.seq => self.broken(Broken {
                seq: expected.seq,
                damage: Damage::Truncated,
            }),
            _ => self.found,
        }
    }
}

/// Reads where an archive ends, if the record is that of an archive.
fn archive_end(record: &AuditRecord) -> Option<AuditHead> {
    if record.kind != KIND_ARCHIVED {
        return None;
    }
    let end: ArchiveEnd = serde_json::from_str(&record.detail).ok()?;
    Some(AuditHead {
        seq: end.last_seq,
        hash: blake3::Hash::from_hex(&end.last_hash).ok()?,
    })
}
