//! `embedder audit`.

use std::collections::VecDeque;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::offline::{self, ACTOR_OWNER, OfflineHub};
use super::{Context, output, served};
use crate::clock::now_ms;
use crate::error::{Error, ErrorCode, Result};
use crate::store::sqlite::hub::{AUDIT_PAGE_MAX, AuditHead, AuditRecord, HubDb, Verification};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check that every record is as it was written, and print where the log ends.
    Verify {
        /// Where the log ended once, as this command printed it: shows whether the end was cut off since.
        #[arg(long, value_name = "NUMBER:HASH")]
        head: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the newest records, oldest first.
    List {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 100, value_name = "N")]
        limit: usize,
        /// Those after this number instead of the newest.
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Move all records to a new file, while no server runs; the log goes on from there.
    Archive {
        /// The file, a line of JSON for each record.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What was found in the log.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    is_whole: bool,
    records: u64,
    head: String,
    broken_seq: Option<u64>,
    damage: Option<String>,
    is_head_archived: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    seq: u64,
    at_ms: u64,
    kind: String,
    actor: String,
    subject: String,
    outcome: String,
    detail: String,
    hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    records: Vec<Record>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    match args.command {
        Command::Verify { head, json } => verify(context, head.as_deref(), json),
        Command::List { limit, after, json } => list(context, limit, after, json),
        Command::Archive { file, json } => archive(context, &file, json),
    }
}

fn verify(context: &Context, head: Option<&str>, as_json: bool) -> Result<()> {
    let expected = head.map(str::parse::<AuditHead>).transpose()?;
    let verdict: Verdict = match served::find(context)? {
        Some(server) => {
            let query: Vec<_> = head.map(|head| ("head", head)).into_iter().collect();
            server.get(&["v1", "admin", "audit", "verify"], &query)?
        }
        None => Verdict::from(read(context)?.verify(expected)?),
    };
    if as_json {
        output::json(&verdict)?;
    }
    if !verdict.is_whole {
        return Err(Error::Reported {
            code: ErrorCode::StoreDamaged,
            message: format!(
                "the audit log is not what was written: record {}: {}",
                verdict.broken_seq.unwrap_or_default(),
                verdict.damage.unwrap_or_default()
            ),
            remedy: Some(format!(
                "keep the data directory as it is; records up to {} are whole, archives and backups have the others",
                verdict.head
            )),
        });
    }
    if as_json {
        return Ok(());
    }
    output::line(&format!(
        "the audit log is whole: {} records, up to {}",
        verdict.records, verdict.head
    ))?;
    if verdict.is_head_archived {
        output::note(
            "note: the head that was given is older than the log: look for it in the archive",
        );
    }
    if head.is_none() {
        output::note(
            "note: kept elsewhere and passed as --head, that end shows later whether records were cut off",
        );
    }
    Ok(())
}

fn list(context: &Context, limit: usize, after: Option<u64>, as_json: bool) -> Result<()> {
    let records = match served::find(context)? {
        Some(server) => {
            let page_len = AUDIT_PAGE_MAX.to_string();
            chosen(limit, after, |seq| {
                let query = [("after", seq.to_string()), ("limit", page_len.clone())];
                let query = query
                    .each_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                let page: List = server.get(&["v1", "admin", "audit"], &query)?;
                Ok(page.records)
            })?
        }
        None => {
            let db = read(context)?;
            chosen(limit, after, |seq| {
                let page = db.audit_records(seq, AUDIT_PAGE_MAX)?;
                Ok(page.into_iter().map(Record::from).collect())
            })?
        }
    };
    if as_json {
        return output::json(&List { records });
    }
    for record in &records {
        let detail = match record.detail.as_str() {
            "{}" => "",
            detail => detail,
        };
        let line = format!(
            "{}  {}  {}  {}  {}  {}  {detail}",
            record.seq,
            output::timestamp(record.at_ms),
            record.kind,
            record.actor,
            record.subject,
            record.outcome
        );
        output::line(&output::printable(line.trim_end()))?;
    }
    Ok(())
}

/// Returns the newest records, or the first after a number. `page` gives those after a number, in order, and none at
/// the end.
fn chosen(
    limit: usize,
    after: Option<u64>,
    mut page: impl FnMut(u64) -> Result<Vec<Record>>,
) -> Result<Vec<Record>> {
    let mut kept: VecDeque<Record> = VecDeque::new();
    let mut last = after.unwrap_or_default();
    loop {
        let records = page(last)?;
        let Some(end) = records.last() else {
            return Ok(kept.into());
        };
        last = end.seq;
        kept.extend(records);
        match after {
            Some(_) if kept.len() >= limit => {
                kept.truncate(limit);
                return Ok(kept.into());
            }
            Some(_) => {}
            None => {
                kept.drain(..kept.len().saturating_sub(limit));
            }
        }
    }
}

fn archive(context: &Context, file: &std::path::Path, as_json: bool) -> Result<()> {
    if let Some(server) = served::find(context)? {
        return Err(Error::Reported {
            code: ErrorCode::Locked,
            message: format!(
                "a server is writing to the audit log: process {}",
                server.pid()
            ),
            remedy: Some(format!(
                "end it with `kill {}`, archive, and start it again",
                server.pid()
            )),
        });
    }
    // Opening as a writer would make an empty database where there is none.
    drop(read(context)?);
    let mut hub = OfflineHub::open(&context.config)?;
    let archived = hub.db.archive(file, now_ms(), ACTOR_OWNER);
    hub.close()?;
    let archived = archived?;
    if as_json {
        return output::json(&json!({
            "file": file,
            "records": archived.count,
            "last": archived.last.to_string(),
            "head": archived.head.to_string(),
        }));
    }
    output::line(&format!(
        "moved {} records to {}, the last is {}; the log now ends at {}",
        archived.count,
        file.display(),
        archived.last,
        archived.head
    ))
}

/// Opens the log for reading.
fn read(context: &Context) -> Result<HubDb> {
    offline::read(&context.config)?.ok_or_else(|| Error::Reported {
        code: ErrorCode::NotFound,
        message: "there is no audit log yet".to_owned(),
        remedy: Some("`embedder serve` and `embedder keys create` begin it".to_owned()),
    })
}

impl From<Verification> for Verdict {
    fn from(found: Verification) -> Verdict {
        Verdict {
            is_whole: found.is_whole(),
            records: found.records,
            head: found.head.to_string(),
            broken_seq: found.broken.map(|broken| broken.seq),
            damage: found.broken.map(|broken| broken.damage.to_string()),
            is_head_archived: found.is_head_archived,
        }
    }
}

impl From<AuditRecord> for Record {
    fn from(record: AuditRecord) -> Record {
        Record {
            seq: record.seq,
            at_ms: record.at_ms,
            kind: record.kind,
            actor: record.actor,
            subject: record.subject,
            outcome: record.outcome,
            detail: record.detail,
            hash: record.hash.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64) -> Record {
        Record {
            seq,
            at_ms: 0,
            kind: "key.created".to_owned(),
            actor: "owner".to_owned(),
            subject: String::new(),
            outcome: "done".to_owned(),
            detail: "{}".to_owned(),
            hash: String::new(),
        }
    }

    #[test]
    fn the_newest_records_are_listed_or_those_after_a_number() {
        let check = |len: u64, limit: usize, after: Option<u64>, expected: std::ops::Range<u64>| {
            // Pages of three, of a log whose first records are in an archive.
            let page = |seq: u64| {
                Ok((5..5 + len)
                    .filter(|&s| s > seq)
                    .take(3)
                    .map(record)
                    .collect())
            };
            let records = chosen(limit, after, page).unwrap();
            let seqs: Vec<u64> = records.iter().map(|record| record.seq).collect();
            assert_eq!(
                seqs,
                expected.collect::<Vec<_>>(),
                "{len} {limit} {after:?}"
            );
        };
        check(0, 10, None, 0..0);
        check(10, 4, None, 11..15);
        check(10, 100, None, 5..15);
        check(10, 0, None, 0..0);
        check(10, 4, Some(0), 5..9);
        check(10, 4, Some(7), 8..12);
        check(10, 100, Some(7), 8..15);
        check(10, 4, Some(14), 0..0);
    }
}
