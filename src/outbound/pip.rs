//! `python3 -m pip download`: a wheel from whatever index or mirror this machine's pip is set up for.
//!
//! The child runs in a folder of ours, never in the caller's, because Python would import a `pip.py` that lies in its
//! working directory. It is killed on an interrupt and at its deadline.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::bytes_below::bytes_below;
use super::control::{Control, Interrupted, POLL};

/// The end of pip's complaints that is read for the reason; its last line is what matters.
const COMPLAINT_BYTES_MAX: u64 = 16 * 1024;

/// Characters of that line that are passed on.
const REASON_CHARS_MAX: usize = 300;

/// How deep pip nests the folders that it downloads into; only used to count bytes for the progress bar.
const TREE_DEPTH_MAX: u32 = 4;

/// How to run pip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pip {
    /// The interpreter, such as `python3`, looked up on the path unless it has a folder.
    pub python: PathBuf,
    /// Variables set for the child on top of the inherited ones.
    pub env: Vec<(OsString, OsString)>,
    /// The longest a download may take.
    pub deadline: Duration,
}

/// Why pip brought no wheel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipError {
    /// The interpreter cannot be started.
    #[error("{} cannot be started: {source}", python.display())]
    Start {
        /// The interpreter.
        python: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Pip ended with an error.
    #[error("{status}: {reason}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The last line that it wrote to its standard error.
        reason: String,
    },
    /// Pip did not end in time and was killed.
    #[error("no wheel after {} s", after.as_secs())]
    Deadline {
        /// The deadline.
        after: Duration,
    },
    /// Pip ended well but left no wheel.
    #[error("pip ended well but left no wheel")]
    NoWheel,
    /// A local file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Pip {
    /// Downloads one wheel, without what it depends on, below the folder `into`, which is emptied first.
    ///
    /// # Errors
    /// When pip cannot be run, fails, or takes too long; on an interrupt.
    pub fn download(
        &self,
        package: &str,
        version: &str,
        into: &Path,
        control: &Control<'_>,
    ) -> Result<PathBuf, PipError> {
        control.check()?;
        let (wheels, scratch, complaints) =
            (into.join("wheels"), into.join("tmp"), into.join("stderr"));
        match fs::remove_dir_all(into) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(into, error)),
            _ => {}
        }
        for folder in [&wheels, &scratch] {
            fs::create_dir_all(folder).map_err(|error| disk(folder, error))?;
        }
        // A file and no pipe: a grandchild that outlives a killed pip cannot keep us waiting for its end.
        let stderr = File::create(&complaints).map_err(|error| disk(&complaints, error))?;
        let requirement = format!("{package}=={version}");
        let child = Command::new(self.interpreter())
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "--no-input",
                "--quiet",
            ])
            .args(["--disable-pip-version-check", "--dest"])
            .arg(fs::canonicalize(&wheels).map_err(|error| disk(&wheels, error))?)
            .arg(&requirement)
            .current_dir(&scratch)
            .env(
                "TMPDIR",
                fs::canonicalize(&scratch).map_err(|error| disk(&scratch, error))?,
            )
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(|source| PipError::Start {
                python: self.python.clone(),
                source,
            })?;
        control.progress.begin(&requirement, None);
        let status = self.wait(Running(child), into, control)?;
        if !status.success() {
            return Err(PipError::Failed {
                status,
                reason: last_line(&complaints),
            });
        }
        control.progress.finish();
        only_wheel(&wheels)
    }

    /// A bare name is left for the search path; a relative path would change its meaning with the working directory.
    fn interpreter(&self) -> PathBuf {
        match self.python.components().count() {
            0 | 1 => self.python.clone(),
            _ => std::path::absolute(&self.python).unwrap_or_else(|_| self.python.clone()),
        }
    }

    /// Waits for the child, reporting the bytes that it has written so far.
    fn wait(
        &self,
        mut child: Running,
        into: &Path,
        control: &Control<'_>,
    ) -> Result<ExitStatus, PipError> {
        let (mut waited, mut reported) = (Duration::ZERO, 0);
        loop {
            if let Some(status) = child.0.try_wait().map_err(|error| disk(into, error))? {
                return Ok(status);
            }
            if waited >= self.deadline {
                return Err(PipError::Deadline {
                    after: self.deadline,
                });
            }
            control.wait(POLL)?;
            waited += POLL;
            let bytes = bytes_below(into, TREE_DEPTH_MAX);
            if bytes > reported {
                control.progress.advance(bytes - reported);
                reported = bytes;
            }
        }
    }
}

/// A child that does not outlive its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn disk(path: &Path, source: io::Error) -> PipError {
    PipError::Disk {
        path: path.to_owned(),
        source,
    }
}

fn only_wheel(folder: &Path) -> Result<PathBuf, PipError> {
    let entries = fs::read_dir(folder).map_err(|error| disk(folder, error))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or(PipError::NoWheel)
}

/// The last line with something in it, without control characters.
fn last_line(path: &Path) -> String {
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(COMPLAINT_BYTES_MAX)))?;
        let mut tail = Vec::new();
        file.take(COMPLAINT_BYTES_MAX).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = tail().unwrap_or_default();
    let text = String::from_utf8_lossy(&tail);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("it gave no reason");
    line.chars()
        .filter(|c| !c.is_control())
        .take(REASON_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_that_says_something() {
        let check = |text: &str, expected: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), text).unwrap();
            assert_eq!(last_line(file.path()), expected);
        };
        check(
            "WARNING: a\nERROR: No matching distribution\n\n",
            "ERROR: No matching distribution",
        );
        check("\u{1b}[31mERROR\u{1b}[0m", "[31mERROR[0m");
        check("", "it gave no reason");
        check(&"x".repeat(100_000), &"x".repeat(REASON_CHARS_MAX));
    }

    #[test]
    fn bytes_are_counted_in_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/one"), [0; 10]).unwrap();
        fs::write(folder.path().join("two"), [0; 5]).unwrap();
        assert_eq!(bytes_below(folder.path(), TREE_DEPTH_MAX), 15);
        assert_eq!(bytes_below(folder.path(), 0), 5);
    }
}
