//! Where the files of a source come from.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};

use super::walk::{self, FoundFile};
use crate::error::Result;

/// A file written to within this time of being read may be written to again in the same tick of the file system's
/// clock. It is stored without its time, so the next run compares its content.
const RACY: Duration = Duration::from_secs(2);

/// Where the files of a source come from.
pub(crate) trait SourceFiles: Sync {
    /// Lists them, in order of their paths.
    ///
    /// # Errors
    /// What cannot be read at all; more files than there may be; [`Error::Interrupted`](crate::error::Error::Interrupted) when
    /// `stop` was set.
    fn list(&self, stop: &AtomicBool) -> Result<Vec<FoundFile>>;

    /// Returns the commit that they are of, where there is one.
    fn commit(&self) -> Option<String> {
        None
    }

    /// Returns what reads them; each thread has its own.
    fn reader(&self) -> Box<dyn ReadFile + '_>;
}

/// Reads files of a source.
pub(crate) trait ReadFile {
    /// Reads a file that was listed: all of it, or a byte more than a file may have.
    ///
    /// # Errors
    /// Why it cannot be read, in words for the user.
    fn read(&mut self, file: &FoundFile) -> io::Result<Vec<u8>>;

    /// Returns the time of its last change to be remembered of a file that was read, 0 where it may change again without
    /// that time changing.
    fn settled(&self, changed_ns: i64) -> i64;
}

/// The files of a folder.
pub(crate) struct FolderFiles<'a> {
    /// The folder, as a canonical path.
    pub(crate) root: &'a Path,
    /// Folders below it that alone are listed; all of it where there are none.
    pub(crate) within: &'a [String],
    /// Bytes of a file.
    pub(crate) file_bytes_max: u64,
    /// The program's own folder, which is left out.
    pub(crate) data_dir: &'a Path,
}

impl SourceFiles for FolderFiles<'_> {
    fn list(&self, _: &AtomicBool) -> Result<Vec<FoundFile>> {
        walk::walk(self.root, self.within, self.file_bytes_max, self.data_dir)
    }

    fn reader(&self) -> Box<dyn ReadFile + '_> {
        Box::new(FolderReader {
            root: open_folder(self.root),
            file_bytes_max: self.file_bytes_max,
        })
    }
}

struct FolderReader {
    /// The folder as it was when this began.
    root: io::Result<OwnedFd>,
    file_bytes_max: u64,
}

impl ReadFile for FolderReader {
    /// It may have been swapped for something else since it was listed: a link is not followed, a pipe is not waited for,
    /// nothing outside of the root is read, and no more than the limit.
    fn read(&mut self, file: &FoundFile) -> io::Result<Vec<u8>> {
        let root = match &self.root {
            Ok(root) => root,
            Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
        };
        let file = open_below(root, &file.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        // One byte more than the limit, so that the chunker refuses what has grown.
        file.take(self.file_bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn settled(&self, changed_ns: i64) -> i64 {
        settled(changed_ns)
    }
}

/// What a folder on the way to a file is opened with: it need not be readable, and is no link.
const FOLDER: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What a file is opened with: it is no link, and no pipe is waited for.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// Opens a folder, of which no part may be a link: an absolute path that was resolved before.
fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let mut at = rustix::fs::open("/", FOLDER, Mode::empty())?;
    for part in path.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(part) => at = rustix::fs::openat(&at, part, FOLDER, Mode::empty())?,
            Component::CurDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other("the folder's path is not resolved"));
            }
        }
    }
    Ok(at)
}

/// Opens a file below a folder by one part of its path after the other, so that no link is followed, whoever puts one there and
/// when.
fn open_below(folder: &OwnedFd, path: &str) -> io::Result<File> {
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() || part == "." || part == ".." {
            return Err(io::Error::other("it lies outside of the folder"));
        }
        let flags = if parts.peek().is_some() { FOLDER } else { FILE };
        let below = at.as_ref().unwrap_or(folder);
        at = Some(rustix::fs::openat(below, part, flags, Mode::empty())?);
    }
    at.map(File::from)
        .ok_or_else(|| io::Error::other("it names no file"))
}

/// Returns the time to store: none for a file so young that it may change again without its time changing.
fn settled(changed_ns: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let age = i64::try_from(now.as_nanos())
        .unwrap_or(i64::MAX)
        .saturating_sub(changed_ns);
    if age < RACY.as_nanos() as i64 {
        0
    } else {
        changed_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        for folder in [&root.join("inner/deep"), &outside] {
            std::fs::create_dir_all(folder).unwrap();
        }
        for file in [root.join("inner/deep/a.rs"), outside.join("a.rs")] {
            std::fs::write(file, "x").unwrap();
        }
        let link = |to: &Path, at: &Path| std::os::unix::fs::symlink(to, at);
        link(&outside, &root.join("folder")).unwrap();
        link(&outside.join("a.rs"), &root.join("file.rs")).unwrap();
        link(&root, &dir.path().join("root_link")).unwrap();
        let opened = open_folder(&root.canonicalize().unwrap()).unwrap();
        assert!(open_below(&opened, "inner/deep/a.rs").is_ok());
        for path in [
            "folder/a.rs",
            "file.rs",
            "../outside/a.rs",
            "inner/../file.rs",
            "/etc/passwd",
        ] {
            assert!(open_below(&opened, path).is_err(), "{path}");
        }
        // Nor does one above it lead elsewhere.
        let linked = dir.path().canonicalize().unwrap().join("root_link");
        for path in [&linked, &linked.join("inner"), Path::new("inner")] {
            assert!(open_folder(path).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn a_file_written_to_a_moment_ago_is_compared_again_next_time() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as i64;
        assert_eq!(settled(now), 0);
        assert_eq!(settled(now - 10_000_000_000), now - 10_000_000_000);
        assert_eq!(
            settled(now + 10_000_000_000),
            0,
            "a time in the future is not trusted either"
        );
    }
}
