//! Measurements on this machine, of the program as users run it: the real store, the real index, the real model.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub mod agents;
pub mod corpus;
mod cpu;
pub mod index;
pub mod overload;
pub mod search;
pub mod server;

/// Percentiles of a series of durations, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_ms: f64,
    /// 95 of 100 were faster.
    pub p95_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
}

impl Latency {
    /// Sums up a series.
    ///
    /// # Panics
    /// When the series is empty.
    pub fn of(mut series: Vec<Duration>) -> Latency {
        assert!(
            !series.is_empty(),
            "a series to be summed up has at least one value"
        );
        series.sort_unstable();
        let at = |share: f64| {
            let index = ((series.len() as f64 * share).ceil() as usize).clamp(1, series.len()) - 1;
            (series[index].as_secs_f64() * 1e6).round() / 1e3
        };
        Latency {
            p50_ms: at(0.50),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
        }
    }

    /// Returns how much slower the slow ones are than the usual ones.
    pub fn tail(&self) -> f64 {
        self.p99_ms / self.p50_ms.max(1e-6)
    }
}

/// A figure measured several times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The lowest.
    pub min: f64,
    /// The one in the middle; of an even number, the mean of the two there.
    pub median: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// Sums up a series.
    ///
    /// # Panics
    /// When the series is empty.
    pub fn of(mut series: Vec<f64>) -> Spread {
        assert!(
            !series.is_empty(),
            "a series to be summed up has at least one value"
        );
        series.sort_unstable_by(f64::total_cmp);
        let len = series.len();
        Spread {
            min: series[0],
            median: f64::midpoint(series[(len - 1) / 2], series[len / 2]),
            max: series[len - 1],
        }
    }
}

/// Returns the folder with the sources of this program's own dependencies: real code of many authors and languages.
pub fn default_corpus(home: Option<PathBuf>) -> Option<PathBuf> {
    let registry = home?.join("registry/src");
    std::fs::read_dir(registry)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
}

/// Resident memory of this process in bytes, where the system tells it.
pub fn resident_bytes() -> Option<u64> {
    resident_bytes_of(std::process::id())
}

/// Resident memory of a process in bytes, where the system tells it.
pub fn resident_bytes_of(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_series() {
        let series = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(
            Latency::of(series),
            Latency {
                p50_ms: 50.0,
                p95_ms: 95.0,
                p99_ms: 99.0
            }
        );
        let one = Latency::of(vec![Duration::from_millis(7)]);
        assert_eq!((one.p50_ms, one.p99_ms, one.tail()), (7.0, 7.0, 1.0));
    }

    #[test]
    fn a_spread_has_its_middle_between_the_two_in_the_middle() {
        let check = |series: &[f64], min, median, max| {
            let expected = Spread { min, median, max };
            assert_eq!(Spread::of(series.to_vec()), expected, "{series:?}");
        };
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[4.0, 1.0], 1.0, 2.5, 4.0);
        check(&[9.0, 1.0, 2.0], 1.0, 2.0, 9.0);
        check(&[8.0, 2.0, 1.0, 3.0], 1.0, 2.5, 8.0);
    }
}
