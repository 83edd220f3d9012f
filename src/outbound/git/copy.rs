//! Our bare copy of a repository, for as long as nobody else works on it.
//!
//! Whatever is killed in the middle leaves something behind: locks of git's own that would keep it from ever working again,
//! halves of packs. All of it is cleared away by the next who holds the lock of the copy. That lock is the operating system's
//! and goes with the last process that holds it, which may be a `git` that has outlived us.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::PACKS_MAX;
use super::error::GitError;
use crate::outbound::bytes_below::bytes_below;

/// How deep the folders of a bare repository are nested.
const DEPTH_MAX: u32 = 6;

/// Our copy of a repository.
pub(super) struct Copy {
    folder: PathBuf,
    lock: File,
}

impl Copy {
    /// Takes the lock of a copy, which need not be there.
    ///
    /// # Errors
    /// [`GitError::InUse`] while another process works on it; [`GitError::Disk`].
    pub(super) fn lock(folder: &Path) -> Result<Copy, GitError> {
        let path = folder.with_extension("lock");
        let disk = |source| GitError::disk(&path, source);
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(disk)?;
        }
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(disk)?;
        match lock.try_lock() {
            Ok(()) => Ok(Copy {
                folder: folder.to_owned(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(GitError::InUse),
            Err(TryLockError::Error(error)) => Err(disk(error)),
        }
    }

    /// Returns the lock as the standard input of a process, which holds it then as well.
    pub(super) fn lock_for_child(&self) -> Result<Stdio, GitError> {
        let lock = self.lock.try_clone();
        lock.map(Stdio::from)
            .map_err(|source| GitError::disk(&self.folder, source))
    }

    /// Whether the copy was made to its end.
    pub(super) fn is_whole(&self) -> bool {
        ["HEAD", "config"]
            .iter()
            .all(|file| self.folder.join(file).is_file())
            && self.folder.join("objects").is_dir()
    }

    /// Whether it holds so much that is no longer needed that it is better made anew: another fetch must have room.
    pub(super) fn is_worn(&self, bytes_max: u64) -> bool {
        self.bytes() > bytes_max / 2 || self.packs() >= PACKS_MAX
    }

    /// Returns how many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        bytes_below(&self.folder, DEPTH_MAX)
    }

    fn packs(&self) -> usize {
        let is_pack = |entry: &fs::DirEntry| entry.path().extension() == Some(OsStr::new("pack"));
        let entries = fs::read_dir(self.folder.join("objects/pack"));
        entries.map_or(0, |entries| entries.flatten().filter(is_pack).count())
    }

    /// Takes it away.
    pub(super) fn remove(&self) -> Result<(), GitError> {
        remove(&self.folder)
    }

    /// Returns an empty folder beside it, to make it anew in.
    pub(super) fn fresh(&self) -> Result<PathBuf, GitError> {
        let fresh = self.folder.with_extension("new");
        remove(&fresh)?;
        fs::create_dir_all(&fresh).map_err(|source| GitError::disk(&fresh, source))?;
        Ok(fresh)
    }

    /// Puts what was made anew in its place.
    pub(super) fn keep(&self, fresh: &Path) -> Result<(), GitError> {
        fs::rename(fresh, &self.folder).map_err(|source| GitError::disk(&self.folder, source))
    }

    /// Clears away what a process that was killed has left.
    pub(super) fn clear_leftovers(&self) {
        for folder in ["", "refs/embedder", "objects/info", "objects/pack"] {
            let Ok(entries) = fs::read_dir(self.folder.join(folder)) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let is_left = name.ends_with(".lock")
                    || name.ends_with(".keep")
                    || name.starts_with("tmp_")
                    || name == "gc.pid";
                if is_left {
                    // Where it cannot be taken away, git says so.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }
}

fn remove(folder: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(GitError::disk(folder, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_works_on_a_copy_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("repositories/7");
        let copy = Copy::lock(&folder).unwrap();
        assert!(matches!(Copy::lock(&folder), Err(GitError::InUse)));
        drop(copy);
        Copy::lock(&folder).unwrap();
    }

    #[test]
    fn what_was_left_is_cleared_away_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("7");
        let copy = Copy::lock(&folder).unwrap();
        assert!(!copy.is_whole());
        for path in [
            "HEAD",
            "config",
            "shallow.lock",
            "gc.pid",
            "refs/embedder/fetched",
            "refs/embedder/fetched.lock",
            "objects/pack/tmp_pack_1",
            "objects/pack/pack-1.pack",
            "objects/pack/pack-1.keep",
        ] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert!(copy.is_whole());
        assert_eq!((copy.bytes(), copy.packs()), (9, 1));
        assert!(copy.is_worn(10) && !copy.is_worn(100));
        copy.clear_leftovers();
        assert_eq!(copy.bytes(), 4);
        assert!(folder.join("refs/embedder/fetched").is_file());
        copy.remove().unwrap();
        assert_eq!(copy.bytes(), 0);
    }
}
