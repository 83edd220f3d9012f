//! The records of the audit log and how each is chained to the one before it.
//!
//! A record's hash is BLAKE3 of: the line `embedder audit record 1`, its number and its time (eight bytes each, little
//! end first), then kind, actor, subject, outcome and detail (each after its length in eight bytes), then the hash of
//! the record before, which is 32 zeros for the first. What stands between two fields cannot move from one to the
//! other, and a record can neither change nor go nor move without every later hash being another.

use std::fmt;
use std::str::FromStr;

use blake3::Hash;
use rusqlite::Row;
use serde::{Serialize, Serializer};

use crate::error::{Error, ErrorCode};

/// Says what is hashed, and in which version of the encoding: a hash of anything else is never taken for a record's.
const DOMAIN: &[u8] = b"embedder audit record 1\n";

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditRecord {
    /// When it happened, in milliseconds since the epoch.
    pub at_ms: u64,
    /// What happened: a stable name.
    pub kind: &'static str,
    /// Who did it.
    pub actor: String,
    /// What it was done to.
    pub subject: String,
    /// How it ended: a stable name.
    pub outcome: &'static str,
    /// What else is to be known: an object in JSON.
    pub detail: String,
    /// Whether it counts events that the caller may count elsewhere: such records leave the last part of the budget to
    /// those of administrative acts.
    pub is_aggregate: bool,
}

/// A record of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// Its number; one more than that of the record before.
    pub seq: u64,
    /// When it happened, in milliseconds since the epoch.
    pub at_ms: u64,
    /// What happened.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// What it was done to.
    pub subject: String,
    /// How it ended.
    pub outcome: String,
    /// What else is known, as the text in JSON that was hashed.
    pub detail: String,
    /// The hash of the record before.
    #[serde(serialize_with = "as_hex")]
    pub previous: Hash,
    /// The hash of this record.
    #[serde(serialize_with = "as_hex")]
    pub hash: Hash,
}

/// Where the audit log ends: kept outside of it, it shows later whether the end was cut off. It is written `SEQ:HEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The number of the last record; zero for an empty log.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A text is not an [`AuditHead`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the head of an audit log is written NUMBER:HASH, the hash with 64 hexadecimal digits")]
pub struct AuditHeadMalformed;

impl NewAuditRecord {
    /// Says what else is to be known: an object.
    #[must_use]
    pub fn with_detail(self, detail: &serde_json::Value) -> NewAuditRecord {
        NewAuditRecord {
            detail: detail.to_string(),
            ..self
        }
    }

    /// Chains the record to the end of the log.
    pub(super) fn chained(self, end: AuditHead) -> AuditRecord {
        let mut record = AuditRecord {
            seq: end.seq + 1,
            at_ms: self.at_ms,
            kind: self.kind.to_owned(),
            actor: self.actor,
            subject: self.subject,
            outcome: self.outcome.to_owned(),
            detail: self.detail,
            previous: end.hash,
            hash: end.hash,
        };
        record.hash = record.computed_hash();
        record
    }
}

impl AuditRecord {
    /// Computes the hash that the record has if it is what was written.
    pub fn computed_hash(&self) -> Hash {
        blake3::hash(&self.encoded())
    }

    /// Returns the head of a log that ends with this record.
    pub fn head(&self) -> AuditHead {
        AuditHead {
            seq: self.seq,
            hash: self.hash,
        }
    }

    /// Returns the bytes that are hashed. Their number is what the record counts for in the budget.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let texts = [
            &self.kind,
            &self.actor,
            &self.subject,
            &self.outcome,
            &self.detail,
        ];
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(DOMAIN);
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.at_ms.to_le_bytes());
        for text in texts {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(self.previous.as_bytes());
        bytes
    }
}

impl AuditHead {
    /// The head of an empty log.
    pub const GENESIS: AuditHead = AuditHead {
        seq: 0,
        hash: Hash::from_bytes([0; 32]),
    };
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for AuditHead {
    type Err = AuditHeadMalformed;

    fn from_str(text: &str) -> Result<AuditHead, AuditHeadMalformed> {
        let (seq, hash) = text.split_once(':').ok_or(AuditHeadMalformed)?;
        Ok(AuditHead {
            seq: seq.parse().map_err(|_| AuditHeadMalformed)?,
            hash: Hash::from_hex(hash).map_err(|_| AuditHeadMalformed)?,
        })
    }
}

impl From<AuditHeadMalformed> for Error {
    fn from(error: AuditHeadMalformed) -> Error {
        Error::Reported {
            code: ErrorCode::InvalidRequest,
            message: error.to_string(),
            remedy: None,
        }
    }
}

/// Columns of an [`AuditRecord`], in the order that [`record_row`] reads them.
pub(super) const COLUMNS: &str =
    "seq, at_ms, kind, actor, subject, outcome, detail, previous, hash";

pub(super) fn record_row(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        seq: row.get(0)?,
        at_ms: row.get(1)?,
        kind: row.get(2)?,
        actor: row.get(3)?,
        subject: row.get(4)?,
        outcome: row.get(5)?,
        detail: row.get(6)?,
        previous: Hash::from_bytes(row.get(7)?),
        hash: Hash::from_bytes(row.get(8)?),
    })
}

fn as_hex<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AuditRecord {
        let new = NewAuditRecord {
            at_ms: 1_700_000_000_000,
            kind: "key.created",
            actor: "key:abc".to_owned(),
            subject: "def".to_owned(),
            outcome: "done",
            detail: "{}".to_owned(),
            is_aggregate: false,
        };
        new.chained(AuditHead::GENESIS)
    }

    #[test]
    fn a_head_is_read_as_it_is_written() {
        let head = record().head();
        let text = head.to_string();
        assert!(text.starts_with("1:"));
        assert_eq!(text.len(), 2 + 64);
        assert_eq!(text.parse(), Ok(head));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let hash = "0".repeat(64);
        for text in [
            "",
            ":",
            "1",
            "1:",
            &format!(":{hash}"),
            &format!("-1:{hash}"),
            &format!("1:{}", &hash[1..]),
            &format!("1:{hash}0"),
            &format!("1:{}g", &hash[1..]),
        ] {
            assert_eq!(text.parse::<AuditHead>(), Err(AuditHeadMalformed), "{text}");
        }
    }

    #[test]
    fn text_cannot_move_between_fields() {
        let record = record();
        let mut moved = record.clone();
        moved.actor = "key:ab".to_owned();
        moved.subject = "cdef".to_owned();
        assert_ne!(moved.computed_hash(), record.hash);
    }

    #[test]
    fn the_encoding_is_that_of_the_documentation() {
        let record = record();
        let mut bytes = b"embedder audit record 1\n".to_vec();
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(1_700_000_000_000u64.to_le_bytes());
        for text in ["key.created", "key:abc", "def", "done", "{}"] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend([0; 32]);
        assert_eq!(record.hash, blake3::hash(&bytes));
    }
}
