//! Where the files of a source come from.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
            root: self.root,
            file_bytes_max: self.file_bytes_max,
        })
    }
}

struct FolderReader<'a> {
    root: &'a Path,
    file_bytes_max: u64,
}

impl ReadFile for FolderReader<'_> {
    /// It may have been swapped for something else since it was listed: a link is not followed, a pipe is not waited for,
    /// nothing outside of the root is read, and no more than the limit.
    fn read(&mut self, file: &FoundFile) -> io::Result<Vec<u8>> {
        let path = self.root.join(&file.path);
        let parent = path.parent().unwrap_or(self.root).canonicalize()?;
        if !parent.starts_with(self.root) {
            return Err(io::Error::other("it lies outside of the folder"));
        }
        let mut options = std::fs::OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            libc::O_NOFOLLOW | libc::O_NONBLOCK,
        );
        let file = options.open(&path)?;
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
