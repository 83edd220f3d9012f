//! Disks that fail, as a program sees them that was not made for it, and small disks.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::app::skip;
use crate::support::disk::{DiskFaults, Operation, SmallDisk};

/// Does what each line names, in its first folder or in its second, and answers with `ok` or the number of the error.
const PROGRAM: &str = r#"
import os, sys
inside, outside = sys.argv[1:]
new = os.O_RDWR | os.O_CREAT
file, other = (os.open(folder + "/file", new) for folder in (inside, outside))
folder = os.open(inside, os.O_RDONLY)
os.chdir(inside)

def both_outside():
    os.write(other, b"x")
    os.fsync(other)
    os.close(os.open(outside + "/new", new))

deeds = {
    "fsync": lambda: os.fsync(file),
    "fdatasync": lambda: os.fdatasync(file),
    "fsync a folder": lambda: os.fsync(folder),
    "write": lambda: os.write(file, b"x"),
    "writev": lambda: os.writev(file, [b"x", b"y"]),
    "pwrite": lambda: os.pwrite(file, b"x", 0),
    "pwritev": lambda: os.pwritev(file, [b"x", b"y"], 0),
    "truncate": lambda: os.ftruncate(file, 1),
    "allocate": lambda: os.posix_fallocate(file, 0, 8),
    "open": lambda: os.close(os.open(inside + "/new", new)),
    "open by a relative name": lambda: os.close(os.open("new", new)),
    "open in a folder": lambda: os.close(os.open("new", new, dir_fd=folder)),
    "read": lambda: os.read(os.open(inside + "/file", os.O_RDONLY), 1),
    "outside": both_outside,
}
for line in sys.stdin:
    try:
        deeds[line.strip()]()
        print("ok", flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"#;

const SYNCS: [&str; 3] = ["fsync", "fdatasync", "fsync a folder"];

const WRITES: [&str; 6] = [
    "write", "writev", "pwrite", "pwritev", "truncate", "allocate",
];

const OPENS: [&str; 3] = ["open", "open by a relative name", "open in a folder"];

/// Something to write.
const PAGE: [u8; 4_096] = [1; 4_096];

/// The program, at work.
struct Program {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    /// `None`, after a line that says so, where there is no Python.
    fn start(faults: &DiskFaults, inside: &Path, outside: &Path) -> Option<Program> {
        let mut python = Command::new("python3");
        python.args(["-c", PROGRAM]).args([inside, outside]);
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = python.envs(faults.env()).spawn() else {
            skip("python3 cannot be run");
            return None;
        };
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Program {
            child,
            orders,
            answers,
        })
    }

    /// The error of a deed, or 0.
    fn errno(&mut self, deed: &str) -> i32 {
        writeln!(self.orders, "{deed}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        match answer.trim() {
            "ok" => 0,
            number => number.parse().unwrap(),
        }
    }

    #[track_caller]
    fn assert_all(&mut self, deeds: &[&str], errno: i32) {
        for deed in deeds {
            assert_eq!(self.errno(deed), errno, "{deed}");
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a test with a program below whose first folder the disk fails.
fn with_program(test: impl FnOnce(&DiskFaults, &mut Program)) {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("data"), folder.path().join("data2"));
    let Some(faults) = DiskFaults::new(&inside) else {
        return;
    };
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    let Some(mut program) = Program::start(&faults, &inside, &outside) else {
        return;
    };
    test(&faults, &mut program);
}

#[test]
fn each_kind_of_call_fails_alone_until_the_disk_is_healed() {
    with_program(|faults, program| {
        let all = || {
            [
                &SYNCS[..],
                &WRITES[..],
                &OPENS[..],
                &["read", "outside"][..],
            ]
            .concat()
        };
        program.assert_all(&all(), 0);
        faults.fail_fsync(libc::EIO);
        program.assert_all(&SYNCS, libc::EIO);
        program.assert_all(&WRITES, 0);
        program.assert_all(&OPENS, 0);
        program.assert_all(&["read", "outside"], 0);
        faults.fail_writes(libc::ENOSPC);
        program.assert_all(&SYNCS, libc::EIO);
        program.assert_all(&WRITES, libc::ENOSPC);
        faults.heal();
        program.assert_all(&all(), 0);
        faults.fail_opens(libc::EROFS);
        program.assert_all(&OPENS, libc::EROFS);
        program.assert_all(&SYNCS, 0);
        program.assert_all(&["read", "outside"], 0);
        faults.heal();
        program.assert_all(&all(), 0);
    });
}

#[test]
fn calls_fail_after_so_many_and_as_often_as_told_and_are_counted() {
    with_program(|faults, program| {
        let seen = faults.seen(Operation::Sync);
        faults.fail(Operation::Sync, libc::EIO, 2, 1);
        let errors: Vec<i32> = (0..5).map(|_| program.errno("fsync")).collect();
        assert_eq!(errors, [0, 0, libc::EIO, 0, 0]);
        assert_eq!(faults.seen(Operation::Sync) - seen, 5);
        assert_eq!(faults.failed(Operation::Sync), 1);
        assert_eq!(faults.failed(Operation::Write), 0);
        let opened = faults.seen(Operation::Open);
        program.assert_all(&["read", "outside"], 0);
        assert_eq!(faults.seen(Operation::Open), opened);
    });
}

#[test]
fn a_slow_disk_delays_what_is_on_it_and_nothing_else() {
    with_program(|faults, program| {
        faults.slow(100);
        let mut time = |deed| {
            let started = Instant::now();
            assert_eq!(program.errno(deed), 0);
            started.elapsed()
        };
        let delay = Duration::from_millis(100);
        assert!(time("fsync") >= delay);
        assert!(time("write") >= delay);
        assert!(time("open") >= delay);
        let seen = faults.seen(Operation::Write);
        time("outside");
        assert_eq!(faults.seen(Operation::Write), seen);
    });
}

#[test]
fn a_small_disk_fills_up_and_has_room_again() {
    let Some(disk) = SmallDisk::new(2) else {
        return;
    };
    let file = disk.path().join("file");
    fs::write(&file, PAGE).unwrap();
    let taken = disk.fill();
    assert!((1 << 20..2 << 20).contains(&taken), "{taken}");
    assert_eq!(disk.fill(), 0);
    let full = fs::write(disk.path().join("other"), PAGE);
    assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(fs::read(&file).unwrap(), PAGE);
    disk.free();
    fs::write(disk.path().join("other"), PAGE).unwrap();
    let folder = disk.path().to_owned();
    drop(disk);
    assert!(!folder.exists());
}

#[test]
fn a_small_disk_can_be_read_only_unless_somebody_writes() {
    let app = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::at(&app.path().join("data"), 1) else {
        return;
    };
    let path = disk.path().join("file");
    let file = fs::File::create(&path).unwrap();
    assert!(disk.set_read_only(true).is_err());
    drop(file);
    disk.set_read_only(true).unwrap();
    let refused = fs::write(&path, "no");
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    disk.set_read_only(false).unwrap();
    fs::write(&path, "yes").unwrap();
    drop(disk);
    assert!(!path.exists() && app.path().join("data").is_dir());
}
