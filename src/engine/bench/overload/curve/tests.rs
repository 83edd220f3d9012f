use super::*;
use crate::engine::bench::overload::plan::StreamOutcome;

fn latency(p99_ms: f64) -> Percentiles {
    Percentiles {
        p50_us: p99_ms * 500.0,
        p95_us: p99_ms * 900.0,
        p99_us: p99_ms * 1e3,
        max_us: p99_ms * 2e3,
    }
}

/// Ten seconds of a server that serves for 10 ms of processor time and refuses for 0.1 ms, as many as that leaves.
fn phase(load: f64) -> PhaseOutcome {
    let due = (load * 1_000.0) as u64;
    let good = (bound(load, 0.01) * 1_000.0) as u64;
    let shed = due - good;
    PhaseOutcome {
        seconds: 10.0,
        cpu_s: Some(good as f64 * 0.01 + shed as f64 * 0.0001),
        streams: vec![
            StreamOutcome {
                due,
                good,
                shed,
                accepted: Some(latency(10.0 + load)),
                refused: (shed > 0).then(|| latency(1.0)),
                ..StreamOutcome::default()
            },
            StreamOutcome {
                accepted: (load == HEAVIEST).then(|| latency(3.0)),
                ..StreamOutcome::default()
            },
        ],
    }
}

fn measured(class: Class, change: impl Fn(&mut [PhaseOutcome])) -> ClassFigures {
    let capacity = Capacity {
        per_s: 100.0,
        serve_s: Some(0.01),
    };
    let mut phases: Vec<PhaseOutcome> = LOADS.iter().map(|&load| phase(load)).collect();
    change(&mut phases);
    let mut recovery = phase(USUAL);
    recovery.streams[0].recovered_after_s = Some(1.5);
    figures(class, &capacity, &phases, &recovery)
}

/// The bars that do not hold.
fn missed(figures: &ClassFigures) -> Vec<&str> {
    let missed = figures.bars.iter().filter(|bar| !bar.holds);
    missed.map(|bar| bar.what.as_str()).collect()
}

#[test]
fn the_bound_is_what_refusing_leaves() {
    let check = |load, cost, expected: f64| {
        let bound = bound(load, cost);
        assert!((bound - expected).abs() < 1e-9, "{load} {cost}: {bound}");
    };
    check(0.5, 0.1, 0.5);
    check(1.0, 0.1, 1.0);
    check(10.0, 0.0, 1.0);
    // 1.1 % at ten times the capacity leaves nine tenths.
    check(10.0, 0.011, 0.89 / 0.989);
    check(2.0, 0.5, 0.0);
    check(10.0, 0.2, 0.0);
    check(10.0, 1.0, 0.0);
}

#[test]
fn a_refusal_costs_what_serving_leaves_of_the_processor_time() {
    let (two, five) = (phase(2.0), phase(5.0));
    let cost = refuse_s(0.01, &[&two, &five]).unwrap();
    assert!((cost - 0.0001).abs() < 1e-9, "{cost}");
    // Where batches make serving cheaper than it was, nothing is left for refusing.
    assert_eq!(refuse_s(0.02, &[&two]), Some(0.0));
    assert_eq!(refuse_s(0.01, &[&phase(1.0)]), None, "none was refused");
    let unknown = PhaseOutcome {
        cpu_s: None,
        ..phase(2.0)
    };
    assert_eq!(refuse_s(0.01, &[&unknown]), None);
}

#[test]
fn loads_are_compared_with_the_peak_and_with_the_usual_load() {
    let figures = measured(Class::Embed128, |_| {});
    assert_eq!(figures.peak_per_s, 100.0);
    assert_eq!(figures.serve_us, Some(10_000.0));
    let by = |load: f64| figures.loads.iter().find(|l| l.load == load).unwrap();
    assert_eq!((by(0.5).offered_per_s, by(0.5).share_of_peak), (50.0, 0.5));
    assert_eq!((by(0.5).bound, by(0.8).p99_ratio), (None, Some(1.0)));
    assert!(by(10.0).p99_ratio.unwrap() > 1.8);
    assert!(by(10.0).bound.unwrap() < by(2.0).bound.unwrap());
    assert_eq!(figures.livez, Some(latency(3.0)));
    assert_eq!(figures.recovered_after_s, Some(1.5));
    assert_eq!(missed(&figures), Vec::<&str>::new());
}

#[test]
fn the_peak_may_be_above_the_capacity() {
    let figures = measured(Class::Embed128, |phases| phases[3].streams[0].good = 1_200);
    assert_eq!(figures.peak_per_s, 120.0);
    assert_eq!(figures.loads[2].share_of_peak, 100.0 / 120.0);
}

#[test]
fn cheap_requests_are_held_against_the_bound_and_costly_ones_against_a_share() {
    let fewer = |phases: &mut [PhaseOutcome]| phases[5].streams[0].good = 880;
    let of_the_peak = "goodput at 10x, of the peak";
    assert_eq!(missed(&measured(Class::Embed128, fewer)), [of_the_peak]);
    // The processor time that is missing went to refusals: at such a cost no more can be served.
    assert_eq!(missed(&measured(Class::Embed16, fewer)), [""; 0]);
    let far_fewer = |phases: &mut [PhaseOutcome]| {
        phases[5].streams[0].good = 700;
        phases[5].cpu_s = Some(8.0);
    };
    assert_eq!(missed(&measured(Class::Embed16, far_fewer)), [of_the_peak]);
}

#[test]
fn what_was_not_sent_cost_the_server_nothing() {
    let bound_of = |late| {
        let figures = measured(Class::Embed16, move |phases| {
            phases[5].streams[0].late = late;
        });
        figures.loads[5].bound.unwrap()
    };
    assert!(bound_of(5_000) > bound_of(0));
}

#[test]
fn every_promise_that_is_not_kept_is_seen() {
    let figures = measured(Class::Embed128, |phases| {
        let heaviest = &mut phases[5];
        heaviest.streams[0].accepted = Some(latency(30.0));
        heaviest.streams[0].refused = Some(latency(6.0));
        heaviest.streams[0].shed_silently = 1;
        heaviest.streams[0].broken = 1;
        heaviest.streams[1].accepted = Some(latency(11.0));
    });
    assert_eq!(
        missed(&figures),
        [
            "p99 at 10x, of that at 0.8x",
            "p99 of refusals at 10x",
            "refusals without Retry-After",
            "neither served nor refused",
            "p99 of /livez at 10x",
        ]
    );
    let mut phases: Vec<PhaseOutcome> = LOADS.iter().map(|&load| phase(load)).collect();
    phases[5].streams[1].broken = 1;
    let capacity = Capacity {
        per_s: 100.0,
        serve_s: None,
    };
    let figures = super::figures(Class::Embed16, &capacity, &phases, &phase(USUAL));
    assert_eq!(
        missed(&figures),
        ["p99 of /livez at 10x", "served in time again at 0.8x"]
    );
}
