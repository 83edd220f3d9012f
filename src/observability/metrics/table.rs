//! The table of all metrics.

use std::time::Instant;

use super::counter::{Counter, Gauge, ReadCounter, Reading};
use super::encode::Encoder;
use super::family::{Family, Metric, Start};
use super::histogram::{BUCKETS, Durations, Sizes};
use super::label::{
    AuthFailure, BreakerState, CallOutcome, CloseReason, DegradationMode, DegradationReason,
    Dependency, Door, DropReason, JobOutcome, JobState, Label, LabelInfo, Lane, LimitLayer,
    RecoveryOutcome, RefuseReason, RetryStop, Route, ServedBy, ShedReason, Status,
    TransitionReason, Values, Version,
};
use crate::error::ErrorCode;

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; what tells something is its rate.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It says how amounts are spread.
    Histogram,
}

/// What a metric is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nothing: it counts, or is a state.
    One,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, from 0 to 1.
    Ratio,
}

/// What is said of a metric.
#[derive(Debug, Clone, Copy)]
pub struct MetricInfo {
    /// Its name, with the prefix of all.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// What it is measured in.
    pub unit: Unit,
    /// Its labels, outermost first.
    pub labels: &'static [LabelInfo],
    /// What it means.
    pub meaning: &'static str,
}

impl Kind {
    /// Returns the name that Prometheus knows.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Unit {
    /// Returns its name; `1` is no unit.
    pub fn name(self) -> &'static str {
        match self {
            Unit::One => "1",
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
            Unit::Ratio => "ratio",
        }
    }
}

impl MetricInfo {
    /// Returns the most series it can have with so many routes.
    pub fn series_max(&self, routes: usize) -> usize {
        let members: usize = self
            .labels
            .iter()
            .map(|label| match label.values {
                Values::Closed(all) => all().len(),
                Values::Routes => routes,
                Values::Version => 1,
            })
            .product();
        let samples = match self.kind {
            Kind::Counter | Kind::Gauge => 1,
            // The bucket without a bound, the sum and the count.
            Kind::Histogram => BUCKETS + 3,
        };
        members * samples
    }

    /// Returns the name that OpenMetrics gives the family: without the ending of a counter.
    pub fn family(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}

macro_rules! family {
    ($kind:ident) => { $kind };
    ($kind:ident, $label:ident $(, $inner:ident)*) => { Family<$label, family!($kind $(, $inner)*)> };
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ident $([$($label:ident),+])?, $unit:ident;)+) => {
        /// Every metric, a field each.
        #[derive(Debug)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $name: family!($kind $($(, $label)+)?),)+
            started: Instant,
        }

        /// What is said of every metric, in the order of the documentation.
        pub const METRICS: &[MetricInfo] = &[$(MetricInfo {
            name: concat!("embedder_", stringify!($name)),
            kind: <$kind as Metric>::KIND,
            unit: Unit::$unit,
            labels: &[$($(<$label as Label>::INFO),+)?],
            meaning: concat!($($doc),+).trim_ascii(),
        },)+];

        impl Metrics {
            pub(super) fn at_start(start: &Start) -> Metrics {
                Metrics {
                    $($name: Metric::new(start),)+
                    started: Instant::now(),
                }
            }

            pub(super) fn started(&self) -> Instant {
                self.started
            }

            pub(super) fn write(&self, encoder: &mut Encoder) {
                let mut table = METRICS.iter();
                $(
                    let info = table.next().expect("the table has as many lines as fields");
                    encoder.family(info, &self.$name);
                )+
            }
        }
    };
}

metrics! {
    // name: kind [labels], unit

    /// Requests answered, by route and status; 429 and 503 are not counted in their classes.
    requests_total: Counter [Route, Status], One;
    /// Time from the head of a request to its answer.
    request_duration_seconds: Durations [Route], Seconds;
    /// Requests that are being answered.
    requests_in_flight: Gauge, One;
    /// Connections that are open.
    active_connections: Gauge, One;
    /// Connections accepted.
    connections_total: Counter, One;
    /// Connections not accepted.
    connections_refused_total: Counter [RefuseReason], One;
    /// Connections that ended.
    connections_closed_total: Counter [CloseReason], One;
    /// Requests refused because something was full.
    shed_total: Counter [ShedReason], One;
    /// Requests refused because a caller, or all together, asked too much.
    rate_limited_total: Counter [LimitLayer], One;
    /// Callers that a limit remembers.
    rate_limit_keys: Gauge [LimitLayer], One;
    /// Requests that may be in at a time.
    admission_limit: Gauge [Door], One;
    /// Requests that are in.
    admission_in_flight: Gauge [Door], One;
    /// Requests that wait to be let in.
    admission_waiting: Gauge [Door], One;
    /// Requests refused because of their key.
    auth_failures_total: Counter [AuthFailure], One;
    /// Answers that were errors, by their code.
    errors_total: Counter [ErrorCode], One;
    /// Panics that were caught; each is a defect.
    panics_total: Counter, One;

    /// Searches answered, by what answered them.
    search_requests_total: Counter [ServedBy], One;
    /// Time that searches took.
    search_latency_seconds: Durations [ServedBy], Seconds;
    /// Answers that were less than was asked for.
    degradation_events_total: Counter [DegradationReason], One;
    /// Searches whose answer was in the cache.
    cache_hits_total: Counter, One;
    /// Searches whose answer was not in the cache.
    cache_misses_total: Counter, One;
    /// Memory of the answers in the cache.
    cache_bytes: Gauge, Bytes;

    /// Requests for embeddings that were admitted.
    embed_requests_total: Counter [Lane], One;
    /// Texts embedded.
    embed_texts_total: Counter [Lane], One;
    /// Tokens embedded.
    embed_tokens_total: Counter [Lane], One;
    /// Texts of a batch.
    embed_batch_texts: Sizes, One;
    /// Tokens of a batch.
    embed_batch_tokens: Sizes, One;
    /// Texts that wait or are being embedded.
    embed_queue_items: Gauge [Lane], One;
    /// Tokens of the texts that wait or are being embedded.
    embed_queue_tokens: Gauge [Lane], One;
    /// Longest time that a text of a batch waited.
    embed_queue_wait_seconds: Durations [Lane], Seconds;
    /// Texts admitted and not embedded.
    embed_dropped_total: Counter [DropReason], One;

    /// Jobs that have not ended.
    jobs: Gauge [JobState], One;
    // Not `jobs_total`: without its ending that is the name of the gauge, which OpenMetrics forbids.
    /// Jobs that ended.
    jobs_ended_total: Counter [JobOutcome], One;
    /// Files of folders and repositories that were read and cut anew.
    index_files_read_total: Counter, One;
    /// Looks at watched folders in which something had changed.
    watch_looks_total: Counter, One;
    /// Documents written or deleted.
    documents_written_total: Counter, One;
    /// Chunks that have no vector yet.
    documents_pending_vectors: Gauge, One;

    /// Time that commits of the store took.
    store_commit_seconds: Durations, Seconds;
    /// Pieces of work that wait for the store's writer, or that it does.
    store_queue_depth: Gauge, One;
    /// Records written to the audit log.
    audit_records_total: Counter, One;
    /// Records that the audit log had no room for.
    audit_dropped_total: Counter, One;

    /// Whether the circuit breaker of a dependency is open (1) and calls are refused.
    circuit_breaker_open: Gauge [Dependency], One;
    /// The state of a dependency's circuit breaker: 1 for the one it is in.
    breaker_state: Gauge [Dependency, BreakerState], One;
    /// Changes of the state of a circuit breaker, by the new state.
    breaker_transitions_total: Counter [Dependency, BreakerState, TransitionReason], One;
    /// Calls of a dependency, by what became of them.
    breaker_calls_total: Counter [Dependency, CallOutcome], One;
    /// Calls that were tried again.
    retry_attempts_total: Counter [Dependency], One;
    /// Failed calls that were not tried again.
    retries_stopped_total: Counter [Dependency, RetryStop], One;
    /// What the callers of a dependency may still spend on trying again, of 500.
    retry_budget_balance: Gauge [Dependency], One;
    /// How much of the service there is: 0 all, 1 degraded, 2 minimal.
    degradation_level: Gauge, One;
    /// Whether the service is less than whole in this way (1).
    degradation_mode: Gauge [DegradationMode], One;
    /// Time spent in each way of being less than whole.
    degraded_seconds_total: ReadCounter [DegradationMode], Seconds;
    /// Repairs, by how they ended.
    recoveries_total: Counter [Dependency, RecoveryOutcome], One;
    /// Searches that a better way of answering could not answer, by what answered instead and why.
    fallbacks_total: Counter [ServedBy, DegradationReason], One;
    /// Time that health checks took.
    health_check_seconds: Durations [Dependency], Seconds;
    /// Health: 1 healthy, 0.5 degraded, 0 unhealthy.
    health_state: Reading [Dependency], One;

    /// Memory that the kernel cannot take back from the process: its resident pages that no file backs.
    memory_usage_bytes: Reading, Bytes;
    /// Memory that the process may use: the limit of its control group, else that of the machine.
    memory_limit_bytes: Reading, Bytes;
    /// How short memory is: 0 not at all, 1 what can be spared is spared, 2 large bodies are refused as well.
    memory_pressure: Gauge, One;
    /// Share of the processors the process may use that it used lately.
    cpu_usage_ratio: Reading, Ratio;
    /// Bytes used on the file system of the data directory, by anybody.
    disk_usage_bytes: Reading, Bytes;
    /// Bytes left to us on the file system of the data directory.
    disk_free_bytes: Reading, Bytes;

    /// Always 1; the label is what is of interest.
    build_info: Gauge [Version], One;
    /// Time since the start.
    uptime_seconds: Reading, Seconds;
    /// Open files and sockets.
    process_open_fds: Reading, One;
    /// Files and sockets that may be open at once.
    process_max_fds: Reading, One;
    /// Memory that is resident, mapped files included.
    process_resident_memory_bytes: Reading, Bytes;
    /// Address space.
    process_virtual_memory_bytes: Reading, Bytes;
    /// Processor time used.
    process_cpu_seconds_total: ReadCounter, Seconds;
    /// When the process started, in seconds since the epoch.
    process_start_time_seconds: Reading, Seconds;
    /// Threads.
    process_threads: Reading, One;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_say_kind_and_unit() {
        for info in METRICS {
            let name = info.name;
            assert_eq!(
                name.ends_with("_total"),
                info.kind == Kind::Counter,
                "{name}"
            );
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            // OpenMetrics demands it.
            let unit = format!("_{}", info.unit.name());
            assert!(
                info.unit == Unit::One || info.family().ends_with(&unit),
                "{name}"
            );
            assert!(info.meaning.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn no_two_families_have_one_name_in_either_format() {
        let names: BTreeSet<_> = METRICS.iter().map(|info| info.family()).collect();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn labels_are_distinct_and_leave_the_bound_of_a_bucket_alone() {
        for info in METRICS {
            let names: BTreeSet<_> = info.labels.iter().map(|label| label.name).collect();
            assert_eq!(names.len(), info.labels.len(), "{}", info.name);
            assert!(!names.contains("le"), "{}", info.name);
        }
    }
}
