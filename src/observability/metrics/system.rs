//! What the process takes of the machine, and what there is.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::cgroup::memory_limit;
use super::process::Process;
use super::table::Metrics;

/// What the process takes of the machine, and what there is; `None` where it could not be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct SystemMetrics {
    /// Memory that the kernel cannot take back from the process, in bytes.
    pub memory_usage_bytes: Option<u64>,
    /// Memory that the process may use, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Share of the processors the process may use that it used since the reading before.
    pub cpu_usage_ratio: Option<f64>,
    /// Bytes used on the file system of the data directory, by anybody.
    pub disk_usage_bytes: Option<u64>,
    /// Bytes left to us there.
    pub disk_free_bytes: Option<u64>,
    /// Open files and sockets.
    pub open_fds: Option<u64>,
    /// Files and sockets that may be open at once.
    pub max_fds: Option<u64>,
    /// What the next reading is compared with.
    #[serde(skip)]
    cpu: Option<CpuReading>,
}

/// How much processor time the process had used at an instant.
#[derive(Debug, Clone, Copy, PartialEq)]
struct CpuReading {
    used: Duration,
    at: Instant,
}

impl SystemMetrics {
    /// Reads everything. The share of the processors is that since `previous`, so the first reading has none.
    ///
    /// A network file system that hangs makes this hang.
    pub fn read(data_dir: &Path, previous: Option<&SystemMetrics>, now: Instant) -> SystemMetrics {
        let root = Path::new("/");
        let process = Process::read(root);
        let cpu = process.cpu_time.map(|used| CpuReading { used, at: now });
        let disk = Disk::read(data_dir);
        SystemMetrics {
            memory_usage_bytes: process.unbacked_bytes,
            memory_limit_bytes: memory_limit(root),
            cpu_usage_ratio: previous
                .and_then(|previous| previous.cpu)
                .zip(cpu)
                .and_then(|(before, after)| share(before, after, processors()?)),
            disk_usage_bytes: disk.map(|disk| disk.used_bytes),
            disk_free_bytes: disk.map(|disk| disk.free_bytes),
            open_fds: process.open_fds,
            max_fds: process.max_fds,
            cpu,
        }
    }

    /// Shows it; what is not known disappears.
    pub fn record(&self, metrics: &Metrics) {
        let number = |number: Option<u64>| number.map(|number| number as f64);
        metrics
            .memory_usage_bytes
            .set(number(self.memory_usage_bytes));
        metrics
            .memory_limit_bytes
            .set(number(self.memory_limit_bytes));
        metrics.cpu_usage_ratio.set(self.cpu_usage_ratio);
        metrics.disk_usage_bytes.set(number(self.disk_usage_bytes));
        metrics.disk_free_bytes.set(number(self.disk_free_bytes));
    }
}

/// Returns the memory that the kernel cannot take back from this process, in bytes.
pub fn memory_in_use() -> Option<u64> {
    Process::read_memory(Path::new("/"))
}

/// Returns the memory that this process may use, in bytes: the tightest limit of its control groups and the machine.
pub fn memory_at_most() -> Option<u64> {
    memory_limit(Path::new("/"))
}

/// The file system of a folder.
#[derive(Debug, Clone, Copy)]
struct Disk {
    used_bytes: u64,
    free_bytes: u64,
}

impl Disk {
    #[cfg(unix)]
    fn read(folder: &Path) -> Option<Disk> {
        let stat = rustix::fs::statvfs(folder).ok()?;
        Some(Disk {
            used_bytes: stat
                .f_blocks
                .saturating_sub(stat.f_bfree)
                .saturating_mul(stat.f_frsize),
            // Some of what is free is kept for the administrator.
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    #[cfg(not(unix))]
    fn read(_folder: &Path) -> Option<Disk> {
        None
    }
}

/// The share of so many processors that was used between two readings. The operating system counts in hundredths of a
/// second, which over a short time can seem more than all.
fn share(before: CpuReading, after: CpuReading, processors: f64) -> Option<f64> {
    let elapsed = after.at.checked_duration_since(before.at)?;
    let used = after.used.checked_sub(before.used)?;
    let share = used.as_secs_f64() / (elapsed.as_secs_f64() * processors);
    share.is_finite().then_some(share.min(1.0))
}

/// Control groups and affinity are accounted for.
fn processors() -> Option<f64> {
    thread::available_parallelism()
        .ok()
        .map(|count| count.get() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_the_processors_is_that_between_two_readings() {
        let begin = Instant::now();
        let reading = |at_ms, used_ms| CpuReading {
            used: Duration::from_millis(used_ms),
            at: begin + Duration::from_millis(at_ms),
        };
        for (before, after, processors, expected) in [
            (reading(0, 0), reading(1_000, 500), 1.0, Some(0.5)),
            (reading(0, 100), reading(5_000, 5_100), 4.0, Some(0.25)),
            (reading(0, 0), reading(5, 10), 1.0, Some(1.0)),
            (reading(0, 0), reading(5_000, 0), 1.0, Some(0.0)),
            (reading(0, 0), reading(0, 0), 1.0, None),
            (reading(1_000, 0), reading(0, 10), 1.0, None),
            (reading(0, 10), reading(1_000, 0), 1.0, None),
        ] {
            assert_eq!(share(before, after, processors), expected);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let first = SystemMetrics::read(folder.path(), None, now);
        assert_eq!(first.cpu_usage_ratio, None);
        assert!(first.memory_limit_bytes > first.memory_usage_bytes);
        assert!(first.disk_usage_bytes.is_some());
        let later = now + Duration::from_secs(1);
        let second = SystemMetrics::read(folder.path(), Some(&first), later);
        let ratio = second.cpu_usage_ratio.unwrap();
        assert!((0.0..=1.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let system = SystemMetrics::read(&gone, None, Instant::now());
        assert_eq!(system.disk_usage_bytes, None);
        assert_eq!(system.disk_free_bytes, None);
    }

    #[test]
    fn what_is_kept_for_the_next_reading_is_not_shown() {
        let json = serde_json::to_value(SystemMetrics::default()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 7);
    }
}
