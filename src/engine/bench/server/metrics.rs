//! What counting costs: a request counts a handful of times, and a scrape writes all that was counted.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::latencies::{Latencies, Percentiles};
use crate::engine::bench::Spread;
use crate::observability::metrics::{Dependency, Format, Metrics, Route, Status, SystemMetrics};

/// Times each operation is measured.
const ROUNDS: usize = 11;

/// Operations of a round.
const OPERATIONS: u32 = 1_000_000;

/// Scrapes measured.
const SCRAPES: usize = 1_000;

/// Routes that are told apart: somewhat more than the server has.
const ROUTES: usize = 64;

/// What was measured of counting, by one thread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MetricsFigures {
    /// Adding one to a counter with two labels.
    pub counter_ns: Spread,
    /// Counting a duration in a histogram with a label.
    pub histogram_ns: Spread,
    /// Series of a scrape.
    pub series: usize,
    /// Bytes of a scrape.
    pub scrape_bytes: usize,
    /// How long writing a scrape takes.
    pub scrape: Percentiles,
}

/// Measures in this process.
pub fn metrics() -> MetricsFigures {
    // As long as the program, as routes are; it ends soon.
    let routes: Vec<&'static str> = (0..ROUTES)
        .map(|n| &*format!("/v1/collections/{{collection}}/{n}").leak())
        .collect();
    let metrics = Metrics::new(&routes, env!("CARGO_PKG_VERSION"));
    let route = metrics
        .route(routes[ROUTES / 2])
        .expect("it is one of the routes");
    // Any folder that is there has a disk.
    fill(&metrics, &std::env::temp_dir());
    let mut scrapes = Latencies::default();
    for _ in 0..SCRAPES {
        let started = Instant::now();
        black_box(metrics.encode(Format::PrometheusText));
        scrapes.push(started.elapsed());
    }
    let text = metrics.encode(Format::PrometheusText);
    MetricsFigures {
        counter_ns: each_ns(|_| count(black_box(&metrics), route)),
        histogram_ns: each_ns(|n| observe(black_box(&metrics), route, n)),
        series: text.lines().filter(|line| !line.starts_with('#')).count(),
        scrape_bytes: text.len(),
        scrape: scrapes.percentiles().expect("there were scrapes"),
    }
}

fn count(metrics: &Metrics, route: Route) {
    metrics.requests_total[route][Status::Success].inc();
}

fn observe(metrics: &Metrics, route: Route, n: u32) {
    // From nothing to a minute, so that every bucket is met.
    let duration = Duration::from_micros(u64::from(n) * 60);
    metrics.request_duration_seconds[route].observe(duration);
}

/// Gives every metric a value that could be absent.
fn fill(metrics: &Metrics, folder: &Path) {
    let before = SystemMetrics::read(folder, None, Instant::now());
    SystemMetrics::read(folder, Some(&before), Instant::now()).record(metrics);
    for dependency in Dependency::ALL {
        metrics.health_state[*dependency].set(Some(1.0));
    }
}

/// Returns how long an operation takes, round by round.
fn each_ns(operation: impl Fn(u32)) -> Spread {
    let round = |_| {
        let started = Instant::now();
        for n in 0..OPERATIONS {
            operation(n);
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(OPERATIONS)
    };
    Spread::of((0..ROUNDS).map(round).collect())
}
