//! A folder on this machine that holds a model.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::models::gather::{Area, Source, SourceError, WantedFile, stage};
use crate::engine::models::{FileRecord, files};
use crate::outbound::control::Control;

/// Copies from a folder. Links in it are followed, since the hub's own cache is made of them.
pub(super) struct LocalFolder {
    folder: PathBuf,
}

impl LocalFolder {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }
}

impl Source for LocalFolder {
    fn label(&self) -> String {
        format!("folder {}", self.folder.display())
    }

    fn file(
        &mut self,
        wanted: &WantedFile<'_>,
        area: &Area,
        control: &Control<'_>,
    ) -> Result<Option<FileRecord>, SourceError> {
        if !self.folder.is_dir() {
            return Err(SourceError::Failed("there is no such folder".to_owned()));
        }
        let failed = |error: io::Error| {
            SourceError::Failed(format!("{} cannot be read: {error}", wanted.name))
        };
        let mut file = match File::open(self.folder.join(wanted.name)) {
            Ok(file) => file,
            Err(error) if files::is_absence(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(SourceError::Failed(format!(
                "{} is not a file",
                wanted.name
            )));
        }
        stage(&mut file, metadata.len(), wanted, area, control).map(Some)
    }

    fn revision(&self) -> Option<String> {
        None
    }
}
