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
    /// Compares what was found with what is known. With `is_current` false every file is read anew.
    pub(super) fn between(
        found: Vec<FoundFile>,
        known: Vec<FileRow>,
        is_current: bool,
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
            // What was skipped is tried again: the reason may be gone (permissions, a limit).
            let is_unchanged = is_current
                && row.as_ref().is_some_and(|row| {
                    row.skipped.is_none()
                        && row.bytes == file.bytes
                        && row.changed_ns == file.changed_ns
                        && row.changed_ns != 0
                });
            if is_unchanged {
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
