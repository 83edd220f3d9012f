//! Work that nobody waits for, more of it than the server can do, beside requests that somebody waits for.

use serde::Serialize;

use super::Overload;
use super::bars::{Bar, MustBe};
use super::plan::{Load, PhaseOutcome};
use super::target::{Asker, Class, Target};
use crate::engine::bench::server::Percentiles;
use crate::error::Result;

/// How much is asked that somebody waits for, as a multiple of the capacity.
const INTERACTIVE: f64 = 0.5;

/// How much is asked that nobody waits for.
const BULK: f64 = 2.0;

/// What was measured of both, with texts of 128 tokens and by the same key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PriorityFigures {
    /// Requests a second that are served in time when a few clients ask without a pause.
    pub capacity_per_s: f64,
    /// Requests a second that were due and that somebody waits for.
    pub interactive_per_s: f64,
    /// Of a hundred of these, those that were served in time.
    pub interactive_percent: Option<f64>,
    /// How long those took that were served.
    pub interactive: Option<Percentiles>,
    /// Requests a second that were due and that nobody waits for.
    pub bulk_per_s: f64,
    /// Of these, those that were served in time.
    pub bulk_goodput_per_s: f64,
    /// Of these, those that were refused.
    pub bulk_shed_per_s: f64,
    /// What it must reach.
    pub bars: Vec<Bar>,
}

/// Measures requests that somebody waits for beside others that nobody waits for.
///
/// # Errors
/// A model that cannot be loaded; those of the server and of the generator;
/// [`Error::Interrupted`](crate::error::Error::Interrupted).
pub fn priorities(overload: &Overload<'_>) -> Result<PriorityFigures> {
    let target = Target::start(overload, Class::Embed128)?;
    let capacity = overload.capacity(&target)?;
    let bulk = Asker {
        token: None,
        is_bulk: true,
    };
    let name = format!("priorities: {INTERACTIVE}x that somebody waits for beside {BULK}x of bulk");
    let load = Load::Open {
        per_second: vec![INTERACTIVE * capacity.per_s, BULK * capacity.per_s],
    };
    let streams = target.streams(&[Asker::OWNER, bulk]);
    let measured = overload.offer(&target, streams, vec![overload.phase(name, load)])?;
    Ok(figures(capacity.per_s, &measured.phases[0]))
}

fn figures(capacity_per_s: f64, phase: &PhaseOutcome) -> PriorityFigures {
    let (interactive, bulk) = (&phase.streams[0], &phase.streams[1]);
    let per_s = |count: u64| count as f64 / phase.seconds;
    let interactive_percent = interactive.good_percent();
    PriorityFigures {
        capacity_per_s,
        interactive_per_s: per_s(interactive.due),
        interactive_percent,
        interactive: interactive.accepted,
        bulk_per_s: per_s(bulk.due),
        bulk_goodput_per_s: per_s(bulk.good),
        bulk_shed_per_s: per_s(bulk.shed),
        bars: vec![Bar::new(
            format!("served in time at {INTERACTIVE}x beside {BULK}x of bulk"),
            interactive_percent,
            MustBe::AtLeast(99.0),
            " %",
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bench::overload::plan::StreamOutcome;

    #[test]
    fn those_who_wait_are_counted_apart_from_bulk() {
        let check = |good: u64, holds: bool| {
            let phase = PhaseOutcome {
                seconds: 10.0,
                cpu_s: None,
                streams: vec![
                    StreamOutcome {
                        due: 500,
                        good,
                        ..StreamOutcome::default()
                    },
                    StreamOutcome {
                        due: 2_000,
                        good: 450,
                        shed: 1_550,
                        ..StreamOutcome::default()
                    },
                ],
            };
            let figures = figures(100.0, &phase);
            assert_eq!(figures.interactive_per_s, 50.0);
            let bulk = (figures.bulk_goodput_per_s, figures.bulk_shed_per_s);
            assert_eq!((figures.bulk_per_s, bulk), (200.0, (45.0, 155.0)));
            assert_eq!(figures.bars[0].holds, holds, "{good} of 500");
        };
        check(500, true);
        check(495, true);
        check(494, false);
    }
}
