//! The models that are in place.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::install::Standing;
use super::{Manifest, ModelName, Models, PullError};
use crate::outbound::checksum::{ChecksumError, sha256_of};
use crate::outbound::control::Control;

/// A model that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledModel {
    /// Its folder.
    pub dir: PathBuf,
    /// What it is and where it came from.
    pub manifest: Manifest,
    /// A file that is missing or has another size than it had, if any.
    pub damage: Option<String>,
}

impl InstalledModel {
    /// Bytes of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.manifest.files.iter().map(|file| file.bytes).sum()
    }
}

impl Models {
    /// The models in place, by name. Folders without a readable manifest are passed over.
    ///
    /// # Errors
    /// When the folder of models exists but cannot be read.
    pub fn installed(&self) -> Result<Vec<InstalledModel>, PullError> {
        let entries = match fs::read_dir(self.dir()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| PullError::io(self.dir(), error))?,
        };
        let mut models = Vec::new();
        for entry in entries {
            let dir = entry
                .map_err(|error| PullError::io(self.dir(), error))?
                .path();
            if let Ok(Some(manifest)) = Manifest::read(&dir) {
                let damage = manifest.damage(&dir);
                models.push(InstalledModel {
                    dir,
                    manifest,
                    damage,
                });
            }
        }
        models.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
        Ok(models)
    }

    /// The folder of a model. Its files are all there and have their sizes; [`Models::verify`] reads them too.
    ///
    /// # Errors
    /// When the model has not been pulled, or has lost files.
    pub fn path_of(&self, name: &ModelName) -> Result<PathBuf, PullError> {
        self.sound(name).map(|_| self.home(name))
    }

    /// Reads all files of a model and compares their sums with those of when it was pulled.
    ///
    /// # Errors
    /// [`PullError::Damaged`] with the file that differs; when the model has not been pulled; on an interrupt.
    pub fn verify(&self, name: &ModelName, control: &Control<'_>) -> Result<Manifest, PullError> {
        let manifest = self.sound(name)?;
        for file in &manifest.files {
            let reason = match sha256_of(&self.home(name).join(&file.name), control) {
                Ok(sum) if sum == file.sha256 => continue,
                Ok(sum) => format!("{} has sha256 {sum}, not {}", file.name, file.sha256),
                Err(ChecksumError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(ChecksumError::Io(error)) => format!("{} cannot be read: {error}", file.name),
            };
            return Err(PullError::Damaged {
                name: name.to_string(),
                reason,
            });
        }
        Ok(manifest)
    }

    fn sound(&self, name: &ModelName) -> Result<Manifest, PullError> {
        match self.standing(name) {
            Standing::Sound(manifest) => Ok(manifest),
            Standing::Damaged(reason) => Err(PullError::Damaged {
                name: name.to_string(),
                reason,
            }),
            Standing::Foreign => Err(PullError::Occupied {
                path: self.home(name),
            }),
            Standing::Nothing => Err(PullError::NotInstalled {
                name: name.to_string(),
                dir: self.dir().to_owned(),
            }),
        }
    }
}
