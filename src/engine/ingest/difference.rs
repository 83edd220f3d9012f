//! What changed between a folder and the store.

use std::collections::{BTreeMap, HashMap};

use super::walk::{FoundFile, UNREADABLE};
use crate::store::{FileChange, FileRow};

/// What differs between a folder and the store.
pub(super) struct Difference {
    pub(super) to_read: Vec<FoundFile>,
    pub(super) to_skip: Vec<FileChange>,
    pub(super) removed: Vec<FileChange>,
    pub(super) known: HashMap<String, FileRow>,
    pub(super) skipped: BTreeMap<String, u64>,
}

impl Difference {
    /// Compares what was found with what is known. With `is_current` false every file is read anew; with `retries_skipped` so
    /// are those that were skipped for their content: the limits may be others now.
    pub(super) fn between(
        found: Vec<FoundFile>,
        known: Vec<FileRow>,
        is_current: bool,
        retries_skipped: bool,
    ) -> Difference {
        let mut gone: HashMap<String, FileRow> = known
            .into_iter()
            .map(|row| (row.path.clone(), row))
            .collect();
        let mut difference = Difference {
            to_read: Vec::new(),
            to_skip: Vec::new(),
            removed: Vec::new(),
            known: HashMap::new(),
            skipped: BTreeMap::new(),
        };
        let is_unreadable = |reason: &String| reason.starts_with(UNREADABLE);
        let unreadable: Vec<String> = found
            .iter()
            .filter(|file| file.skip.as_ref().is_some_and(is_unreadable))
            .map(|file| format!("{}/", file.path))
            .collect();
        for file in found {
            let row = gone.remove(&file.path);
            if let Some(reason) = &file.skip {
                *difference
                    .skipped
                    .entry(kind_of_reason(reason))
                    .or_default() += 1;
                let is_known = row.is_some_and(|row| row.skipped.as_ref() == Some(reason));
                if !is_known {
                    difference.to_skip.push(FileChange::Skip {
                        path: file.path,
                        bytes: file.bytes,
                        changed_ns: file.changed_ns,
                        reason: reason.clone(),
                    });
                }
                continue;
            }
            // What could not be read is tried again whatever is asked: the reason may be gone.
            let stays_skipped = |reason: &String| !retries_skipped && !is_unreadable(reason);
            let is_unchanged = is_current
                && row.as_ref().is_some_and(|row| {
                    row.skipped.as_ref().is_none_or(stays_skipped)
                        && row.bytes == file.bytes
                        && row.changed_ns == file.changed_ns
                        && row.changed_ns != 0
                });
            if is_unchanged {
                if let Some(reason) = row.and_then(|row| row.skipped) {
                    let kind = kind_of_reason(&reason);
                    *difference.skipped.entry(kind).or_default() += 1;
                }
                continue;
            }
            if let Some(row) = row.filter(|_| is_current) {
                difference.known.insert(row.path.clone(), row);
            }
            difference.to_read.push(file);
        }
        difference.removed = gone
            .into_values()
            // What cannot be looked at is not known to be gone.
            .filter(|row| !unreadable.iter().any(|folder| row.path.starts_with(folder)))
            .map(|row| FileChange::Remove { id: row.id })
            .collect();
        difference
    }
}

/// Returns the part of a reason that files share: up to the colon.
pub fn kind_of_reason(reason: &str) -> String {
    reason.split(':').next().unwrap_or(reason).to_owned()
}
