//! Clocks that jump: those of a real program, by a library that is loaded before the C library
//! (`tests/shim/clock_faults.c` says which calls).

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

use tempfile::TempDir;

use super::app::skip;
use super::shim;

/// Length of the control file: what three clocks are ahead, and how often they were read, 8 bytes each.
const CONTROL_LEN: usize = 4 * 8;

/// Where the number of reads is.
const READS: u64 = 3 * 8;

const NANOS: i64 = 1_000_000_000;

/// A clock of the operating system. The number is its place in the control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The time of day, which somebody can set.
    Wall = 0,
    /// The time since the start, without that in which the machine slept.
    Monotonic = 1,
    /// The time since the start.
    Boot = 2,
}

/// The clocks of the processes that are started with [`ClockFaults::env`].
pub struct ClockFaults {
    library: String,
    control: File,
    control_path: String,
    /// Where the control file is; it goes with it.
    _folder: TempDir,
}

impl ClockFaults {
    /// Clocks that are right so far. `None`, after a line that says so, where there is no C compiler.
    pub fn new() -> Option<ClockFaults> {
        let library = match shim::library("clock_faults") {
            Ok(library) => library,
            Err(why) => {
                skip(&why);
                return None;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let control_path = folder.path().join("control");
        fs::write(&control_path, [0_u8; CONTROL_LEN]).unwrap();
        let mut options = OpenOptions::new();
        let control = options.read(true).write(true).open(&control_path).unwrap();
        Some(ClockFaults {
            library: library.to_str().unwrap().to_owned(),
            control,
            control_path: control_path.to_str().unwrap().to_owned(),
            _folder: folder,
        })
    }

    /// The environment of the program whose clocks they are.
    pub fn env(&self) -> [(&str, &str); 2] {
        [
            ("LD_PRELOAD", &self.library),
            ("CLOCK_FAULTS_CONTROL", &self.control_path),
        ]
    }

    /// Somebody sets the time of day: it is so many seconds ahead of the right one from now on, or behind.
    pub fn set_wall(&self, seconds: i64) {
        self.set(Clock::Wall, seconds);
    }

    /// The machine slept for so many seconds and woke up just now, as Linux tells its programs: the clock by which they
    /// wait has stood still.
    pub fn sleep(&self, seconds: i64) {
        for clock in [Clock::Wall, Clock::Boot] {
            self.set(clock, self.ahead(clock) + seconds);
        }
    }

    /// The machine stood still for so many seconds, and all its clocks went on, as where a virtual machine is paused.
    pub fn pause(&self, seconds: i64) {
        self.sleep(seconds);
        self.set(Clock::Monotonic, self.ahead(Clock::Monotonic) + seconds);
    }

    /// How often the programs have read a clock.
    pub fn reads(&self) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, READS).unwrap();
        u64::from_ne_bytes(bytes)
    }

    /// Seconds that a clock is ahead.
    fn ahead(&self, clock: Clock) -> i64 {
        let mut bytes = [0; 8];
        let place = clock as u64 * 8;
        self.control.read_exact_at(&mut bytes, place).unwrap();
        i64::from_ne_bytes(bytes) / NANOS
    }

    fn set(&self, clock: Clock, seconds: i64) {
        let place = clock as u64 * 8;
        let bytes = (seconds * NANOS).to_ne_bytes();
        self.control.write_all_at(&bytes, place).unwrap();
    }
}
