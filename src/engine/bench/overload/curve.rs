//! What a server does with half of the load that it can serve, and with ten times as much.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::bars::{Bar, MustBe};
use super::plan::{Load, PhaseOutcome, PhasePlan, StreamPlan};
use super::schedule::Arrivals;
use super::target::{Asker, Class, Target, ms};
use super::{Capacity, Overload};
use crate::engine::bench::server::Percentiles;
use crate::engine::bench::server::client::Request;
use crate::error::Result;

/// The loads, as multiples of the capacity.
const LOADS: [f64; 6] = [0.5, 0.8, 1.0, 2.0, 5.0, 10.0];

/// The load that the others are compared with, and to which the heaviest falls back.
const USUAL: f64 = 0.8;

/// The load at which probes are asked.
const HEAVIEST: f64 = 10.0;

/// What must be left of the peak at loads above the capacity, where serving costs much more than refusing.
const SHARES: [(f64, f64); 3] = [(2.0, 0.95), (5.0, 0.92), (10.0, 0.90)];

/// What may be missing from the bound on goodput, of the peak.
const TOLERANCE: f64 = 0.03;

/// Probes a second.
const PROBES_PER_S: f64 = 50.0;

/// How long it is watched, at least, whether the server is itself again.
const RECOVERY_MIN: Duration = Duration::from_secs(10);

/// What was measured of a class of requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassFigures {
    /// The class.
    pub class: Class,
    /// When an answer comes in time.
    pub deadline_ms: u64,
    /// Requests a second that are served in time when a few clients ask without a pause.
    pub capacity_per_s: f64,
    /// The highest goodput that was measured, at whatever load.
    pub peak_per_s: f64,
    /// Processor time of the server for a request that it serves; none where the system does not tell it.
    pub serve_us: Option<f64>,
    /// Processor time of the server for a request that it refuses; none where none was refused.
    pub refuse_us: Option<f64>,
    /// Load by load.
    pub loads: Vec<LoadFigures>,
    /// How long `/livez` took on the ops listener at the heaviest load; none where a probe was not answered.
    pub livez: Option<Percentiles>,
    /// After how many seconds at the usual load, straight after the heaviest, requests were served in time again; none
    /// where they were not.
    pub recovered_after_s: Option<f64>,
    /// What it must reach.
    pub bars: Vec<Bar>,
}

/// What was measured of a load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadFigures {
    /// The load, as a multiple of the capacity.
    pub load: f64,
    /// Requests a second that were due.
    pub offered_per_s: f64,
    /// Requests a second that were served in time.
    pub goodput_per_s: f64,
    /// The same as a part of the peak.
    pub share_of_peak: f64,
    /// The part of the peak that refusing leaves, beyond the capacity: what a server can reach that refuses at the cost
    /// that was measured, without the tolerance.
    pub bound: Option<f64>,
    /// Requests a second that were refused by 503 or 429.
    pub shed_per_s: f64,
    /// Of these, how many in all were not told when to try again.
    pub shed_silently: u64,
    /// Requests a second that were not sent, because every connection of the generator was busy.
    pub late_per_s: f64,
    /// Requests in all that were served after the deadline.
    pub slow: u64,
    /// Requests in all that were sent and neither served nor refused.
    pub failed: u64,
    /// Answers in all, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// How long those took that were served.
    pub accepted: Option<Percentiles>,
    /// The 99th percentile of that, as a multiple of that at the usual load.
    pub p99_ratio: Option<f64>,
    /// How long those took that were refused.
    pub refused: Option<Percentiles>,
    /// How much later than due requests were sent: what the generator itself adds to latencies.
    pub lag: Option<Percentiles>,
}

/// Measures a class of requests: its capacity, then load by load, then how soon the server is itself again.
///
/// # Errors
/// A model that cannot be loaded; those of the server and of the generator;
/// [`Error::Interrupted`](crate::error::Error::Interrupted).
pub fn curve(overload: &Overload<'_>, class: Class) -> Result<ClassFigures> {
    let target = Target::start(overload, class)?;
    let capacity = overload.capacity(&target)?;
    let mut streams = target.streams(&[Asker::OWNER]);
    streams.push(probes(&target));
    let phase = |load: f64, what: &str| {
        let per_second = load * capacity.per_s;
        let probes = if load == HEAVIEST { PROBES_PER_S } else { 0.0 };
        let name = format!("{}: {what}{load}x, {per_second:.0} a second", class.name());
        let load = Load::Open {
            per_second: vec![per_second, probes],
        };
        overload.phase(name, load)
    };
    let mut phases: Vec<PhasePlan> = LOADS.iter().map(|&load| phase(load, "")).collect();
    phases.push(PhasePlan {
        warm_up_ms: 0,
        measured_ms: ms(overload.time.max(RECOVERY_MIN)),
        is_recovery: true,
        ..phase(USUAL, "back to ")
    });
    let measured = overload.offer(&target, streams, phases)?;
    let (recovery, loads) = measured
        .phases
        .split_last()
        .expect("there are as many as were planned");
    Ok(figures(class, &capacity, loads, recovery))
}

/// Asks the ops listener whether the server lives.
fn probes(target: &Target) -> StreamPlan {
    let ops = target.server.ops_address();
    StreamPlan {
        server: ops,
        requests: vec![Request::new("GET", "/livez", ops, None, None).into_text()],
        connections: 8,
        arrivals: Arrivals::Even,
        deadline_ms: 1_000,
        give_up_ms: 10_000,
    }
}

/// Sums up the outcomes of [`LOADS`], and of the recovery after them.
fn figures(
    class: Class,
    capacity: &Capacity,
    phases: &[PhaseOutcome],
    recovery: &PhaseOutcome,
) -> ClassFigures {
    let mut loads: Vec<LoadFigures> = LOADS
        .iter()
        .zip(phases)
        .map(|(&load, phase)| LoadFigures::of(load, phase))
        .collect();
    let peak_per_s = loads
        .iter()
        .map(|load| load.goodput_per_s)
        .fold(capacity.per_s, f64::max);
    let beyond: Vec<&PhaseOutcome> = LOADS
        .iter()
        .zip(phases)
        .filter_map(|(&load, phase)| (load > 1.0).then_some(phase))
        .collect();
    let refuse_s = capacity
        .serve_s
        .and_then(|serve_s| refuse_s(serve_s, &beyond));
    let cost = refuse_s.zip(capacity.serve_s);
    let usual_p99 = loads
        .iter()
        .find(|load| load.load == USUAL)
        .and_then(|load| load.accepted)
        .map(|accepted| accepted.p99_us);
    for load in &mut loads {
        load.share_of_peak = load.goodput_per_s / peak_per_s;
        load.p99_ratio = load
            .accepted
            .zip(usual_p99)
            .map(|(accepted, usual)| accepted.p99_us / usual);
        // What was not sent cost nothing.
        let sent = (load.offered_per_s - load.late_per_s) / capacity.per_s;
        load.bound = cost
            .filter(|_| load.load > 1.0)
            .map(|(refuse_s, serve_s)| bound(sent, refuse_s / serve_s));
    }
    // Those that were answered say nothing where others were not.
    let probes = |phase: &PhaseOutcome| {
        let probes = phase.streams.get(1)?;
        probes
            .accepted
            .filter(|_| probes.late + probes.failed() == 0)
    };
    let mut figures = ClassFigures {
        class,
        deadline_ms: ms(class.deadline()),
        capacity_per_s: capacity.per_s,
        peak_per_s,
        serve_us: capacity.serve_s.map(|s| s * 1e6),
        refuse_us: refuse_s.map(|s| s * 1e6),
        loads,
        livez: phases.last().and_then(probes),
        recovered_after_s: recovery.streams[0].recovered_after_s,
        bars: Vec::new(),
    };
    figures.bars = bars(&figures);
    figures
}

impl LoadFigures {
    /// What the outcome of a load says by itself; what needs the others follows.
    fn of(load: f64, phase: &PhaseOutcome) -> LoadFigures {
        let stream = &phase.streams[0];
        let per_s = |count: u64| count as f64 / phase.seconds;
        LoadFigures {
            load,
            offered_per_s: per_s(stream.due),
            goodput_per_s: per_s(stream.good),
            share_of_peak: 0.0,
            bound: None,
            shed_per_s: per_s(stream.shed),
            shed_silently: stream.shed_silently,
            late_per_s: per_s(stream.late),
            slow: stream.slow,
            failed: stream.failed(),
            statuses: stream.statuses.clone(),
            accepted: stream.accepted,
            p99_ratio: None,
            refused: stream.refused,
            lag: stream.lag,
        }
    }
}

/// Returns the processor time of a refusal in seconds: what is left of that of the loads beyond the capacity when what
/// was served is taken off, at its own cost. None where nothing was refused or the system does not tell.
fn refuse_s(serve_s: f64, phases: &[&PhaseOutcome]) -> Option<f64> {
    let (mut left_s, mut shed) = (0.0_f64, 0_u64);
    for phase in phases {
        let stream = &phase.streams[0];
        left_s += phase.cpu_s? - serve_s * stream.served() as f64;
        shed += stream.shed;
    }
    (shed > 0).then(|| (left_s / shed as f64).max(0.0))
}

/// Returns the part of its capacity that a server can still serve at `load` times of it, where refusing a request costs
/// `cost` of what serving it costs: g·s + (x − g)·ρ·s = s, with g served and x − g refused, is g = (1 − xρ) / (1 − ρ).
fn bound(load: f64, cost: f64) -> f64 {
    if load <= 1.0 {
        return load;
    }
    if cost >= 1.0 {
        return 0.0;
    }
    ((1.0 - load * cost) / (1.0 - cost)).max(0.0)
}

fn bars(figures: &ClassFigures) -> Vec<Bar> {
    let mut bars = Vec::new();
    let at = |load: f64| figures.loads.iter().find(|measured| measured.load == load);
    for (load, share) in SHARES {
        let Some(figures_of_load) = at(load) else {
            continue;
        };
        let share = if figures.class.is_costly() {
            Some(share)
        } else {
            figures_of_load
                .bound
                .map(|bound| (bound - TOLERANCE).max(0.0))
        };
        // Without a bound there is nothing to compare with: no request was refused, or the system tells no times.
        if let Some(share) = share {
            let what = format!("goodput at {load}x, of the peak");
            let measured = Some(figures_of_load.share_of_peak);
            bars.push(Bar::new(what, measured, MustBe::AtLeast(share), "x"));
        }
    }
    if let Some(heaviest) = at(HEAVIEST) {
        let what = format!("p99 at {HEAVIEST}x, of that at {USUAL}x");
        bars.push(Bar::new(what, heaviest.p99_ratio, MustBe::AtMost(2.0), "x"));
        if let Some(refused) = heaviest.refused {
            let what = format!("p99 of refusals at {HEAVIEST}x");
            let measured = Some(refused.p99_us / 1e3);
            bars.push(Bar::new(what, measured, MustBe::AtMost(5.0), " ms"));
        }
    }
    let all = |count: fn(&LoadFigures) -> u64| {
        let counts = figures.loads.iter().map(count);
        Some(counts.sum::<u64>() as f64)
    };
    let none = MustBe::AtMost(0.0);
    bars.extend([
        Bar::new(
            "refusals without Retry-After",
            all(|load| load.shed_silently),
            none,
            "",
        ),
        Bar::new(
            "neither served nor refused",
            all(|load| load.failed),
            none,
            "",
        ),
        Bar::new(
            format!("p99 of /livez at {HEAVIEST}x"),
            figures.livez.map(|livez| livez.p99_us / 1e3),
            MustBe::AtMost(10.0),
            " ms",
        ),
        Bar::new(
            format!("served in time again at {USUAL}x"),
            figures.recovered_after_s,
            MustBe::AtMost(5.0),
            " s",
        ),
    ]);
    bars
}

#[cfg(test)]
mod tests;
