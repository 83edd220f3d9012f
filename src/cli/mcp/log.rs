//! What a server says that was started for clients.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{Error, ErrorCode};

/// A log is begun anew beyond this.
const BYTES_MAX: u64 = 4 * 1_024 * 1_024;

/// How often is looked how long it is.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The log of a server, before it starts.
pub(super) struct Log {
    path: PathBuf,
    /// Before this others have spoken.
    begins_at: u64,
}

impl Log {
    /// Opens it twice, for the two streams of a server.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn open(path: &Path) -> io::Result<(Log, File, File)> {
        let file = private().append(true).open(path)?;
        shorten(&file, BYTES_MAX)?;
        let log = Log {
            path: path.to_owned(),
            begins_at: file.metadata()?.len(),
        };
        Ok((log, file.try_clone()?, file))
    }

    /// Says why the server did not start, in its own words.
    pub(super) fn why_not(&self) -> Error {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.begins_at))?;
            let mut bytes = Vec::new();
            file.take(BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let said = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("error: "));
        let said = said.unwrap_or("it did not say why");
        Error::Reported {
            code: ErrorCode::ServerUnavailable,
            message: format!("the server did not start: {said}"),
            remedy: Some(format!(
                "see {}, or run `embedder doctor`",
                self.path.display()
            )),
        }
    }
}

/// Keeps what this process says within the limit, where it says it to a file.
pub(in crate::cli) fn keep_short() {
    let Ok(said) = io::stderr().as_fd().try_clone_to_owned().map(File::from) else {
        return;
    };
    thread::spawn(move || {
        // What cannot be looked at, or is no file, stays as it is.
        while shorten(&said, BYTES_MAX).is_ok() {
            thread::sleep(LOOK_EVERY);
        }
    });
}

/// Begins a file anew that is too long. What is written to it must be appended.
fn shorten(file: &File, bytes_max: u64) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > bytes_max {
        file.set_len(0)?;
    }
    Ok(())
}

/// Opens files for the owner's eyes.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_is_too_long_is_begun_anew_while_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let (_log, mut file, _) = Log::open(&path).unwrap();
        file.write_all(b"a line\n").unwrap();
        shorten(&file, 7).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a line\n");
        shorten(&file, 6).unwrap();
        file.write_all(b"another\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"another\n");
    }
}
