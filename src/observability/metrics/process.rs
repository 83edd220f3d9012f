//! What the operating system knows of this process, as Linux tells it in `/proc` (proc(5)). Elsewhere nothing is known.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::table::Metrics;

/// Ticks of `/proc` in a second: `USER_HZ`, which is 100 on every processor that Linux and Rust share, whatever the
/// kernel's own clock is.
const TICKS_PER_SECOND: u64 = 100;

/// The bytes of what `/proc` calls `kB`.
const KIB: u64 = 1024;

/// What is known of this process; `None` where it could not be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Process {
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
    /// Resident pages that no file backs: the kernel can drop the others.
    pub(super) unbacked_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) cpu_time: Option<Duration>,
    /// Seconds since the epoch.
    pub(super) started: Option<f64>,
    pub(super) threads: Option<u64>,
}

impl Process {
    /// Reads what there is below `root`, which is `/` but in tests.
    pub(super) fn read(root: &Path) -> Process {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let stat = text("proc/self/stat");
        let status = text("proc/self/status");
        let in_status = |name| kib(&status, name);
        Process {
            open_fds: open_fds(&root.join("proc/self/fd")),
            max_fds: max_fds(&text("proc/self/limits")),
            resident_bytes: in_status("VmRSS:"),
            unbacked_bytes: unbacked(&status),
            virtual_bytes: in_status("VmSize:"),
            cpu_time: field(&stat, 14)
                .zip(field(&stat, 15))
                .map(|(user, system)| ticks(user + system)),
            started: field(&stat, 22)
                .zip(number(&text("proc/stat"), "btime"))
                .map(|(since_boot, boot)| boot as f64 + ticks(since_boot).as_secs_f64()),
            threads: field(&stat, 20),
        }
    }

    /// Reads the resident pages that no file backs alone.
    pub(super) fn read_memory(root: &Path) -> Option<u64> {
        unbacked(&fs::read_to_string(root.join("proc/self/status")).ok()?)
    }

    /// Shows it.
    pub(super) fn record(&self, metrics: &Metrics) {
        let number = |number: Option<u64>| number.map(|number| number as f64);
        metrics.process_open_fds.set(number(self.open_fds));
        metrics.process_max_fds.set(number(self.max_fds));
        metrics
            .process_resident_memory_bytes
            .set(number(self.resident_bytes));
        metrics
            .process_virtual_memory_bytes
            .set(number(self.virtual_bytes));
        metrics
            .process_cpu_seconds_total
            .set(self.cpu_time.map(|time| time.as_secs_f64()));
        metrics.process_start_time_seconds.set(self.started);
        metrics.process_threads.set(number(self.threads));
    }
}

/// The number after a name at the start of a line.
pub(super) fn number(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The resident pages that no file backs, by `/proc/self/status`.
fn unbacked(status: &str) -> Option<u64> {
    kib(status, "RssAnon:")
        .zip(kib(status, "RssShmem:"))
        .map(|(anonymous, shared)| anonymous + shared)
}

/// The bytes of a line such as `VmRSS:  1684 kB`.
pub(super) fn kib(text: &str, name: &str) -> Option<u64> {
    number(text, name)?.checked_mul(KIB)
}

/// A field of `/proc/self/stat`, counted from 1 as the manual does. The second is the program's name, in which there
/// may be spaces and parentheses.
fn field(stat: &str, position: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(position - 3)?.parse().ok()
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * (1_000 / TICKS_PER_SECOND))
}

fn open_fds(folder: &Path) -> Option<u64> {
    // Looking at the folder opens it, and shows that.
    Some((fs::read_dir(folder).ok()?.count() as u64).saturating_sub(1))
}

/// The soft limit, which is the one that counts; none where there is no limit.
fn max_fds(limits: &str) -> Option<u64> {
    number(limits, "Max open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a (b) c) S 1 77 77 0 -1 4194560 1500 0 3 0 1234 66 0 0 20 0 9 0 5050 81920000 600 \
                        18446744073709551615 1 1 0 0 0 0 0 4096 17642 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0";

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let of_process = root.path().join("proc/self");
        fs::create_dir_all(of_process.join("fd")).unwrap();
        for fd in 0..5 {
            fs::write(of_process.join("fd").join(fd.to_string()), "").unwrap();
        }
        fs::write(of_process.join("stat"), STAT).unwrap();
        fs::write(
            of_process.join("status"),
            "Name:\ta (b) c\nVmSize:\t   80000 kB\nVmRSS:\t    2400 kB\nRssAnon:\t    1000 kB\n\
             RssFile:\t    1392 kB\nRssShmem:\t       8 kB\n",
        )
        .unwrap();
        fs::write(
            of_process.join("limits"),
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max cpu time              unlimited            unlimited            seconds   \n\
             Max open files            1024                 524288               files     \n",
        )
        .unwrap();
        fs::write(
            root.path().join("proc/stat"),
            "cpu  1 2 3\nbtime 1700000000\n",
        )
        .unwrap();
        root
    }

    #[test]
    fn everything_is_read_although_the_name_is_odd() {
        let process = Process::read(root().path());
        let expected = Process {
            open_fds: Some(4),
            max_fds: Some(1_024),
            resident_bytes: Some(2_400 * 1_024),
            unbacked_bytes: Some(1_008 * 1_024),
            virtual_bytes: Some(80_000 * 1_024),
            cpu_time: Some(Duration::from_secs(13)),
            started: Some(1_700_000_050.5),
            threads: Some(9),
        };
        assert_eq!(process, expected);
    }

    #[test]
    fn what_is_not_there_or_makes_no_sense_is_not_known() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Process::read(empty.path()), Process::default());
        let root = root();
        for file in ["proc/self/stat", "proc/self/status", "proc/self/limits"] {
            fs::write(root.path().join(file), "nonsense ) x\nVmRSS: kB\n").unwrap();
        }
        fs::remove_dir_all(root.path().join("proc/self/fd")).unwrap();
        assert_eq!(Process::read(root.path()), Process::default());
    }

    #[test]
    fn no_limit_of_open_files_is_not_a_number() {
        assert_eq!(max_fds("Max open files  unlimited  unlimited  files"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_known() {
        let process = Process::read(Path::new("/"));
        assert!(process.resident_bytes > Some(0));
        assert!(process.virtual_bytes >= process.resident_bytes);
        assert!(process.open_fds <= process.max_fds);
        assert!(process.started > Some(1_500_000_000.0));
    }
}
