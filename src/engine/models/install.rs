//! One model's place below the folder of models: the lock on it, the staging beside it, the step into place.
//!
//! Below `.partial` lie `NAME.lock`, `NAME/` with what is being gathered, and for a moment `NAME.old` with the model that
//! is being replaced. The lock file stays: removing it would let two processes hold a lock each on files of one name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::gather::Area;
use super::{Manifest, ModelName, Models, PullError};
use crate::outbound::control::{Control, POLL};

/// Holds the locks and what is being gathered; hidden, so that it is no model.
const PARTIAL: &str = ".partial";

/// The longest wait for another process that pulls the same model; a pull on a poor line can take that long.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30 * 60);

/// What stands in a model's place.
pub(super) enum Standing {
    Nothing,
    Sound(Manifest),
    Damaged(String),
    /// A folder or file without a manifest.
    Foreign,
}

impl Models {
    pub(super) fn home(&self, name: &ModelName) -> PathBuf {
        self.dir().join(name.folder())
    }

    pub(super) fn standing(&self, name: &ModelName) -> Standing {
        let home = self.home(name);
        match Manifest::read(&home) {
            Ok(Some(manifest)) => match manifest.damage(&home) {
                Some(reason) => Standing::Damaged(reason),
                None => Standing::Sound(manifest),
            },
            Ok(None) if fs::symlink_metadata(&home).is_ok() => Standing::Foreign,
            Ok(None) => Standing::Nothing,
            Err(reason) => Standing::Damaged(reason),
        }
    }
}

/// The right to change one model, until dropped.
pub(super) struct Slot {
    models_dir: PathBuf,
    home: PathBuf,
    work: PathBuf,
    old: PathBuf,
    _lock: File,
}

impl Slot {
    /// Waits for the lock and repairs what a crash in [`Slot::publish`] may have left.
    pub(super) fn acquire(
        models: &Models,
        name: &ModelName,
        control: &Control<'_>,
    ) -> Result<Self, PullError> {
        let partial = models.dir().join(PARTIAL);
        fs::create_dir_all(&partial).map_err(|error| PullError::io(&partial, error))?;
        let folder = name.folder();
        let lock = lock(&partial.join(format!("{folder}.lock")), control)?;
        let slot = Self {
            models_dir: models.dir().to_owned(),
            home: models.home(name),
            work: partial.join(&folder),
            old: partial.join(format!("{folder}.old")),
            _lock: lock,
        };
        slot.repair()?;
        Ok(slot)
    }

    /// The staging area of one source.
    pub(super) fn area(&self, source: &str) -> Area {
        Area::at(self.work.join(source))
    }

    /// Makes the gathered files the model. The old model, if any, stays until the new one is in place.
    pub(super) fn publish(&self, area: &Area, manifest: &Manifest) -> Result<(), PullError> {
        let staging = area.staging();
        prune(&staging, &staging, manifest)?;
        manifest
            .write(&staging)
            .map_err(|error| PullError::io(&staging, error))?;
        sync_folders(&staging)?;
        let replaces = fs::symlink_metadata(&self.home).is_ok();
        if replaces {
            rename(&self.home, &self.old)?;
        }
        if let Err(error) = rename(&staging, &self.home) {
            if replaces {
                rename(&self.old, &self.home)?;
            }
            return Err(error);
        }
        sync(&self.models_dir)?;
        self.sweep()?;
        remove(&self.old)
    }

    /// Removes everything gathered.
    pub(super) fn sweep(&self) -> Result<(), PullError> {
        remove(&self.work)
    }

    /// After a crash between the two renames the old model goes back to its place.
    fn repair(&self) -> Result<(), PullError> {
        let exists = |path: &Path| fs::symlink_metadata(path).is_ok();
        if exists(&self.old) && !exists(&self.home) {
            rename(&self.old, &self.home)
        } else {
            remove(&self.old)
        }
    }
}

fn lock(path: &Path, control: &Control<'_>) -> Result<File, PullError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| PullError::io(path, error))?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(PullError::io(path, error)),
            Err(TryLockError::WouldBlock) if waited >= LOCK_WAIT_MAX => {
                return Err(PullError::Busy {
                    lock: path.to_owned(),
                });
            }
            Err(TryLockError::WouldBlock) => {
                if waited.is_zero() {
                    control
                        .progress
                        .waiting("another process that pulls this model");
                }
                control.wait(POLL)?;
                waited += POLL;
            }
        }
    }
}

/// Removes what an earlier pull left in the staging folder and this one did not want.
fn prune(staging: &Path, folder: &Path, manifest: &Manifest) -> Result<(), PullError> {
    for path in children(folder)? {
        if path.is_dir() {
            prune(staging, &path, manifest)?;
        } else if !manifest
            .files
            .iter()
            .any(|file| staging.join(&file.name) == path)
        {
            fs::remove_file(&path).map_err(|error| PullError::io(&path, error))?;
        }
    }
    Ok(())
}

fn sync_folders(folder: &Path) -> Result<(), PullError> {
    for path in children(folder)? {
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    sync(folder)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, PullError> {
    let list = || {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
    };
    list().map_err(|error| PullError::io(folder, error))
}

/// Flushes a folder's entries to disk; renames are only durable with it.
fn sync(folder: &Path) -> Result<(), PullError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|error| PullError::io(folder, error))
}

fn rename(from: &Path, to: &Path) -> Result<(), PullError> {
    fs::rename(from, to).map_err(|error| PullError::io(to, error))
}

fn remove(path: &Path) -> Result<(), PullError> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PullError::io(path, error)),
        _ => Ok(()),
    }
}
