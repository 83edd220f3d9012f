//! The data directory and its writer's lock.
//!
//! Any number of processes read beside one writer. The lock is the operating system's, on an open file, so it goes
//! with its process, however that ends; the process id in the file is only there to name the holder.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::sqlite::content::INDEX_FOLDER;
use crate::store::{CollectionId, SourceId};

/// The file that the writer locks.
const LOCK_FILE: &str = "writer.lock";

/// Holds our copies of repositories, each in a folder named by its source's id, which is never used twice.
const REPOSITORIES_FOLDER: &str = "repositories";

/// The folder that holds everything of one installation.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

/// The right to write to a data directory, for as long as it lives.
#[derive(Debug)]
pub struct WriterLock {
    _file: File,
}

impl DataDir {
    /// Names a data directory; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> DataDir {
        DataDir { root: root.into() }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of the index that is derived for a collection.
    pub fn index_folder(&self, collection: CollectionId) -> PathBuf {
        self.root.join(INDEX_FOLDER).join(collection.0.to_string())
    }

    /// Returns the folder of our copy of a source's repository.
    pub fn repository_folder(&self, source: SourceId) -> PathBuf {
        self.root
            .join(REPOSITORIES_FOLDER)
            .join(source.0.to_string())
    }

    /// Takes away what was kept of a source beside the store.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget_source(&self, source: SourceId) -> Result<()> {
        let folder = self.repository_folder(source);
        let absent = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        for rest in [folder.with_extension("lock"), folder.with_extension("new")] {
            // The lock of one that is being fetched: whoever holds it goes on with a file without a name.
            let _ = fs::remove_file(&rest);
            let _ = fs::remove_dir_all(&rest);
        }
        match fs::remove_dir_all(&folder) {
            Err(error) if !absent(&error) => Err(Error::io("remove", &folder, error)),
            _ => Ok(()),
        }
    }

    /// Takes away what is kept of sources that are no more: what deleting them could not, because it was interrupted.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sweep_repositories(&self, known: &BTreeSet<SourceId>) -> Result<()> {
        let Ok(entries) = fs::read_dir(self.root.join(REPOSITORIES_FOLDER)) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name
                .to_str()
                .and_then(|name| name.split('.').next()?.parse().ok());
            if let Some(id) = id.map(SourceId)
                && !known.contains(&id)
            {
                self.forget_source(id)?;
            }
        }
        Ok(())
    }

    /// Makes the directory, readable by its owner alone, unless it is there.
    ///
    /// # Errors
    /// [`Error::NotAFolder`] where a file stands in its place; [`Error::Io`].
    pub fn create(&self) -> Result<()> {
        if self.root.is_file() {
            return Err(Error::NotAFolder(self.root.clone()));
        }
        create_private(&self.root).map_err(|error| Error::io("create", &self.root, error))
    }

    /// Makes the directory and takes the writer's lock.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder's process id when another process writes; [`Error::Io`].
    pub fn lock(&self) -> Result<WriterLock> {
        self.create()?;
        let path = self.root.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| Error::io("open", &path, error))?;
        match try_lock_shortly(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.trim().parse().ok());
                return Err(Error::Locked {
                    data_dir: self.root.clone(),
                    pid,
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
        }
        let write_pid = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write_pid(&mut file).map_err(|error| Error::io("write", &path, error))?;
        Ok(WriterLock { _file: file })
    }

    /// Returns the process id of the writer, if there is one now.
    pub fn writer(&self) -> Option<u32> {
        let mut file = File::open(self.root.join(LOCK_FILE)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).ok()?;
                text.trim().parse().ok()
            }
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// Takes the lock, or gives up after a moment: `status` and `doctor` look at it by holding it for an instant.
fn try_lock_shortly(file: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            result => return result,
        }
    }
    file.try_lock()
}

/// Tries and the pause between them: a tenth of a second in all, far longer than a look takes.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Makes a folder and those above it, readable by their owner alone, where they are not there yet.
#[cfg(unix)]
pub(crate) fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
pub(crate) fn create_private(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_refused_with_the_process_id_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(dir.path().join("new"));
        let lock = data_dir.lock().unwrap();
        let Err(Error::Locked { pid, .. }) = data_dir.lock() else {
            panic!("two writers")
        };
        assert_eq!(pid, Some(std::process::id()));
        assert_eq!(data_dir.writer(), Some(std::process::id()));
        drop(lock);
        assert_eq!(data_dir.writer(), None);
        data_dir.lock().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_look_inside() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(dir.path().join("new"));
        let _lock = data_dir.lock().unwrap();
        let mode = fs::metadata(data_dir.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
