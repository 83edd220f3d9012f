//! The part of a file that has arrived, and the record that lets a later run go on with it.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{HubError, Wanted};

/// What the bytes at hand belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The address that was asked.
    pub(super) url: String,
    /// The entity tag of the place that the bytes came from.
    pub(super) etag: Option<String>,
    /// The sum that the hub announced.
    pub(super) sha256: Option<String>,
}

/// A file on its way.
pub(super) struct Partial<'a> {
    file: &'a Path,
    record_file: &'a Path,
    /// Bytes at hand.
    pub(super) len: u64,
    /// Absent when nothing is known about the bytes.
    pub(super) record: Option<Record>,
}

impl<'a> Partial<'a> {
    /// Looks at what is there. A record that cannot be read counts as none.
    pub(super) fn find(wanted: &Wanted<'a>) -> Self {
        let record = fs::read(wanted.resume_record)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            file: wanted.into,
            record_file: wanted.resume_record,
            len: Self::len_at(wanted.into),
            record,
        }
    }

    /// The size of the file at `path`, 0 if there is none.
    pub(super) fn len_at(path: &Path) -> u64 {
        fs::metadata(path).map_or(0, |metadata| metadata.len())
    }

    /// Whether asking for the rest alone makes sense: something must prove at the end that the parts belong together.
    pub(super) fn can_resume(&self, url: &str, pinned: bool) -> bool {
        let same_file = |record: &Record| {
            record.url == url && (record.etag.is_some() || record.sha256.is_some())
        };
        self.len > 0
            && self
                .record
                .as_ref()
                .is_some_and(|record| pinned || same_file(record))
    }

    /// Opens an empty file, and notes first what will be in it.
    pub(super) fn start(&mut self, record: Record) -> Result<File, HubError> {
        for path in [self.file, self.record_file] {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(|error| HubError::disk(folder, error))?;
            }
        }
        let file = File::create(self.file).map_err(|error| HubError::disk(self.file, error))?;
        let text = serde_json::to_vec(&record)
            .map_err(|error| HubError::disk(self.record_file, error.into()))?;
        fs::write(self.record_file, text)
            .map_err(|error| HubError::disk(self.record_file, error))?;
        self.len = 0;
        self.record = Some(record);
        Ok(file)
    }

    /// Opens the file to add to it.
    pub(super) fn go_on(&self) -> Result<File, HubError> {
        OpenOptions::new()
            .append(true)
            .open(self.file)
            .map_err(|error| HubError::disk(self.file, error))
    }

    /// Throws away bytes that are known to be wrong.
    pub(super) fn discard(&mut self) -> Result<(), HubError> {
        for path in [self.record_file, self.file] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(HubError::disk(path, error));
                }
                _ => {}
            }
        }
        self.len = 0;
        self.record = None;
        Ok(())
    }
}
