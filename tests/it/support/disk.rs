//! Disks that fail, that are full, and that may not be written.
//!
//! [`DiskFaults`] makes the calls of a real program fail by a library that is loaded before the C library
//! (`tests/shim/disk_faults.c` says which calls). [`SmallDisk`] is a file system of a few MiB in memory.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::app::skip;
use super::shim;

/// Length of the control file: the rules and the delay, 4 bytes each.
const CONTROL_LEN: usize = (FIELDS * 3 + 1) * 4;

/// Fields of a rule: error, passes left, failures left, calls seen, calls failed.
const FIELDS: usize = 5;

/// A number of failures that stands for all until healed.
const WITHOUT_END: u32 = u32::MAX;

/// A kind of call that can be made to fail. The number is the place of its rule in the control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Making files and folders durable: `fsync`, `fdatasync` and the like.
    Sync = 0,
    /// Writing, reserving room and changing the length.
    Write = 1,
    /// Opening a file for writing, or making one. Reading is never hindered.
    Open = 2,
}

/// Faults of the files below one folder, for the processes that are started with [`DiskFaults::env`].
pub struct DiskFaults {
    library: String,
    below: String,
    control: File,
    control_path: String,
    /// Where the control file is; it goes with it.
    _folder: TempDir,
}

impl DiskFaults {
    /// No faults yet, below a folder that may still be missing though its parent is there. `None`, after a line that
    /// says so, where there is no C compiler.
    pub fn new(below: &Path) -> Option<DiskFaults> {
        let library = match shim::library("disk_faults") {
            Ok(library) => library,
            Err(why) => {
                skip(&why);
                return None;
            }
        };
        // Descriptors know their files by the path without links.
        let below = fs::canonicalize(below).unwrap_or_else(|_| {
            let parent = fs::canonicalize(below.parent().unwrap()).unwrap();
            parent.join(below.file_name().unwrap())
        });
        let folder = tempfile::tempdir().unwrap();
        let control_path = folder.path().join("control");
        fs::write(&control_path, [0_u8; CONTROL_LEN]).unwrap();
        let mut options = OpenOptions::new();
        let control = options.read(true).write(true).open(&control_path).unwrap();
        Some(DiskFaults {
            library: text(&library),
            below: text(&below),
            control,
            control_path: text(&control_path),
            _folder: folder,
        })
    }

    /// The environment of the program whose disk it is.
    pub fn env(&self) -> [(&str, &str); 3] {
        [
            ("LD_PRELOAD", &self.library),
            ("DISK_FAULTS_BELOW", &self.below),
            ("DISK_FAULTS_CONTROL", &self.control_path),
        ]
    }

    /// Nothing can be made durable from now on: the error is one of `libc`, such as `libc::EIO`.
    pub fn fail_fsync(&self, errno: i32) {
        self.fail(Operation::Sync, errno, 0, WITHOUT_END);
    }

    /// Nothing can be written from now on, as on a full disk (`libc::ENOSPC`) or one that the system has made read-only
    /// because of errors (`libc::EROFS`).
    pub fn fail_writes(&self, errno: i32) {
        self.fail(Operation::Write, errno, 0, WITHOUT_END);
    }

    /// No file can be opened for writing from now on, as where no descriptor is left (`libc::EMFILE`).
    pub fn fail_opens(&self, errno: i32) {
        self.fail(Operation::Open, errno, 0, WITHOUT_END);
    }

    /// So many calls still succeed, so many after them fail, and those after these succeed again. With one failure it
    /// is the disk that forgets what it could not write: the next `fsync` succeeds and means nothing.
    pub fn fail(&self, operation: Operation, errno: i32, passes: u32, failures: u32) {
        let rule = operation as usize * FIELDS;
        // No error is set while the numbers change.
        self.set(rule, 0);
        self.set(rule + 1, passes);
        self.set(rule + 2, failures);
        self.set(rule, errno.unsigned_abs());
    }

    /// Every call takes so many milliseconds longer.
    pub fn slow(&self, ms: u32) {
        self.set(FIELDS * 3, ms);
    }

    /// The disk works again.
    pub fn heal(&self) {
        for operation in [Operation::Sync, Operation::Write, Operation::Open] {
            self.set(operation as usize * FIELDS, 0);
        }
        self.slow(0);
    }

    /// Calls so far, whether they failed or not.
    pub fn seen(&self, operation: Operation) -> u32 {
        self.get(operation as usize * FIELDS + 3)
    }

    /// Calls so far that were made to fail.
    pub fn failed(&self, operation: Operation) -> u32 {
        self.get(operation as usize * FIELDS + 4)
    }

    fn set(&self, field: usize, value: u32) {
        let place = field as u64 * 4;
        let bytes = value.to_ne_bytes();
        self.control.write_all_at(&bytes, place).unwrap();
    }

    fn get(&self, field: usize) -> u32 {
        let mut bytes = [0; 4];
        let place = field as u64 * 4;
        self.control.read_exact_at(&mut bytes, place).unwrap();
        u32::from_ne_bytes(bytes)
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A file system of its own in memory, mounted on a folder until it is dropped.
///
/// It has to be dropped before the folder that it is mounted on: declare it after the app whose data it holds.
pub struct SmallDisk {
    folder: PathBuf,
    /// The folder, where it is not somebody else's.
    _own: Option<TempDir>,
}

impl SmallDisk {
    /// A disk of so many MiB on a folder of its own. `None`, after a line that says so, where mounting is not
    /// permitted.
    pub fn new(mib: u32) -> Option<SmallDisk> {
        let own = tempfile::tempdir().unwrap();
        let mut disk = SmallDisk::at(own.path(), mib)?;
        disk._own = Some(own);
        Some(disk)
    }

    /// The same on this folder, which is made if it is not there and whose files are hidden until the end.
    pub fn at(folder: &Path, mib: u32) -> Option<SmallDisk> {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={mib}m,mode=0700");
        let mounted = run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder));
        if let Err(why) = mounted {
            skip(&format!("a small disk cannot be mounted: {why}"));
            return None;
        }
        Some(SmallDisk {
            folder: folder.to_owned(),
            _own: None,
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Takes all the room that is left, and returns how many bytes that was.
    pub fn fill(&self) -> u64 {
        let mut options = OpenOptions::new();
        let ballast = options.create(true).append(true).open(self.ballast());
        let mut ballast = ballast.unwrap();
        let block = vec![0; 64 * 1_024];
        let mut bytes = 0;
        loop {
            match ballast.write(&block) {
                Ok(len) => bytes += len as u64,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                    return bytes;
                }
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Forbids writing, or allows it again. An error while files are open for writing: a program that runs on the disk
    /// sees it become read-only by [`DiskFaults`] alone.
    pub fn set_read_only(&self, is_read_only: bool) -> Result<(), String> {
        let options = if is_read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        run(Command::new("mount").args(["-o", options]).arg(self.path()))
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join(".ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is being killed may still have its files open.
        let unmounted = run(Command::new("umount").arg("-l").arg(&self.folder));
        if let Err(why) = unmounted {
            eprintln!("{} stays mounted: {why}", self.folder.display());
        }
    }
}

/// Runs a command that says nothing when it succeeds; what it said where it does not.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
