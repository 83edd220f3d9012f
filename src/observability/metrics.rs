//! What the program counts, and how Prometheus reads it.
//!
//! One table (`metrics/table.rs`) declares every metric with its labels, unit and meaning. The fields of [`Metrics`],
//! the list [`METRICS`], the text of a scrape and `docs/metrics.md` are made from it, so they cannot disagree.
//!
//! * Counting is one or two relaxed atomic additions: a metric is a field, a label value is a position in it.
//! * Values of labels come from closed sets or from lists that are fixed at the start, so the number of series is known
//!   before the first request and no request can add one.
//! * Nothing is shown that was not measured: what could not be read is left out.
//!
//! A scrape reads each number by itself. Those of one instant need not fit each other exactly, except that the count of
//! a histogram is always the sum of its buckets.

use std::path::Path;

mod cgroup;
mod counter;
mod encode;
mod family;
mod format;
mod histogram;
mod label;
mod markdown;
mod process;
mod system;
mod table;

#[cfg(test)]
mod strict;

pub use counter::{Counter, Gauge, ReadCounter, Reading};
pub use family::Family;
pub use format::{Format, OPENMETRICS, PROMETHEUS_TEXT};
pub use histogram::{BUCKETS, Durations, Histogram, Sizes};
pub use label::{
    AuthFailure, BreakerState, CallOutcome, CloseReason, DegradationMode, DegradationReason,
    Dependency, Door, DropReason, JobOutcome, JobState, Label, LabelInfo, Lane, LimitLayer,
    RecoveryOutcome, RefuseReason, RetryStop, Route, ServedBy, ShedReason, Status,
    TransitionReason, Values, Version,
};
pub use markdown::markdown;
pub use system::{SystemMetrics, memory_at_most, memory_in_use};
pub use table::{Kind, METRICS, MetricInfo, Metrics, Unit};

use encode::Encoder;
use family::Start;
use process::Process;

impl Metrics {
    /// Makes all metrics: counts at zero, readings not read yet.
    ///
    /// `routes` are the templates that requests are counted by, one of them for addresses that match none. A template
    /// that comes twice is one route.
    pub fn new(routes: &[&'static str], version: &'static str) -> Metrics {
        let metrics = Metrics::at_start(&Start::new(routes, version));
        metrics.build_info[Version].set(1);
        metrics
    }

    /// Returns the label of a route; none when it is not among those given at the start. For the start, not for each
    /// request: it compares texts.
    pub fn route(&self, template: &str) -> Option<Route> {
        self.request_duration_seconds
            .values()
            .position(|value| value == template)
            .map(Route)
    }

    /// Writes all that is known now. Reads a few files of `/proc`; 2,000 series take a fraction of a millisecond.
    pub fn encode(&self, format: Format) -> String {
        let uptime = self.started().elapsed().as_secs_f64();
        self.uptime_seconds.set(Some(uptime));
        Process::read(Path::new("/")).record(self);
        let mut encoder = Encoder::new(format);
        self.write(&mut encoder);
        encoder.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::strict::{self, Parsed};
    use super::*;
    use crate::error::ErrorCode;

    const BOTH: [Format; 2] = [Format::PrometheusText, Format::OpenMetrics];

    /// Two real routes and one that tries every escape.
    const ROUTES: [&str; 3] = ["/v1/search", "/v1/collections/{c}", "/\\\"\n{x}"];

    fn parsed(metrics: &Metrics, format: Format) -> Vec<Parsed> {
        let text = metrics.encode(format);
        strict::parse(&text, format).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
    }

    fn value(families: &[Parsed], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        families
            .iter()
            .flat_map(|family| &family.samples)
            .find(|sample| {
                sample.name == name
                    && sample.labels.len() == labels.len()
                    && labels.iter().all(|(name, value)| {
                        sample.labels.get(*name).map(String::as_str) == Some(*value)
                    })
            })
            .map(|sample| sample.value)
    }

    #[test]
    fn both_formats_are_well_formed_when_nothing_and_when_something_was_counted() {
        let metrics = Metrics::new(&ROUTES, "1.2.3");
        for format in BOTH {
            parsed(&metrics, format);
        }
        for template in ROUTES {
            let route = metrics.route(template).unwrap();
            for status in Status::ALL {
                metrics.requests_total[route][*status].inc();
            }
            metrics.request_duration_seconds[route].observe(Duration::from_millis(3));
            metrics.request_duration_seconds[route].observe(Duration::from_secs(60));
        }
        metrics.embed_batch_tokens.observe(200);
        for format in BOTH {
            let families = parsed(&metrics, format);
            for template in ROUTES {
                let labels = [("route", template), ("status", "503")];
                let requests = value(&families, "embedder_requests_total", &labels);
                assert_eq!(requests, Some(1.0), "{template:?}");
                let sum = value(
                    &families,
                    "embedder_request_duration_seconds_sum",
                    &[("route", template)],
                );
                assert_eq!(sum, Some(60.003));
            }
            let version = value(&families, "embedder_build_info", &[("version", "1.2.3")]);
            assert_eq!(version, Some(1.0));
            let breaker = [("dependency", "encoder")];
            let open = value(&families, "embedder_circuit_breaker_open", &breaker);
            assert_eq!(open, Some(0.0));
        }
    }

    #[test]
    fn what_was_not_read_is_left_out() {
        let metrics = Metrics::new(&ROUTES, "1");
        for format in BOTH {
            assert!(!metrics.encode(format).contains("health_state"));
        }
        metrics.health_state[Dependency::Cache].set(Some(0.5));
        for format in BOTH {
            let families = parsed(&metrics, format);
            let state = |name| value(&families, "embedder_health_state", &[("dependency", name)]);
            assert_eq!(state("cache"), Some(0.5));
            assert_eq!(state("disk"), None);
        }
        metrics.health_state[Dependency::Cache].set(None);
        let text = metrics.encode(Format::PrometheusText);
        assert!(!text.contains("health_state"));
    }

    #[test]
    fn sixty_routes_stay_far_below_five_thousand_series() {
        let routes: Vec<&'static str> = (0..60)
            .map(|n| &*Box::leak(format!("/{n}").into_boxed_str()))
            .collect();
        let bound: usize = METRICS.iter().map(|info| info.series_max(60)).sum();
        assert!(bound <= 5_000, "{bound}");
        let metrics = Metrics::new(&routes, "1");
        SystemMetrics::default().record(&metrics);
        for dependency in Dependency::ALL {
            metrics.health_state[*dependency].set(Some(1.0));
        }
        for format in BOTH {
            let series: usize = parsed(&metrics, format)
                .iter()
                .map(|family| family.samples.len())
                .sum();
            assert!(series <= bound, "{series} of {bound}");
            // Only readings of the system, which not every system has, may lack.
            assert!(series + 20 >= bound, "{series} of {bound}");
        }
    }

    #[test]
    fn a_route_that_comes_twice_is_one() {
        let metrics = Metrics::new(&["/a", "/b", "/a"], "1");
        assert_eq!(metrics.request_duration_seconds.values().count(), 2);
        assert_eq!(metrics.route("/a"), Some(Route(0)));
        assert_eq!(metrics.route("/b"), Some(Route(1)));
        assert_eq!(metrics.route("/c"), None);
        parsed(&metrics, Format::OpenMetrics);
    }

    #[test]
    fn every_error_code_has_its_own_counter() {
        let metrics = Metrics::new(&[], "1");
        for (count, code) in (1..).zip(ErrorCode::ALL) {
            metrics.errors_total[*code].add(count);
        }
        let families = parsed(&metrics, Format::PrometheusText);
        for (count, code) in (1_u32..).zip(ErrorCode::ALL) {
            let errors = value(&families, "embedder_errors_total", &[("code", code.name())]);
            assert_eq!(errors, Some(f64::from(count)));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_is_read_at_each_scrape() {
        let metrics = Metrics::new(&[], "1");
        let families = parsed(&metrics, Format::PrometheusText);
        for name in [
            "embedder_process_open_fds",
            "embedder_process_resident_memory_bytes",
            "embedder_process_start_time_seconds",
            "embedder_process_threads",
        ] {
            assert!(value(&families, name, &[]) > Some(0.0), "{name}");
        }
    }
}
