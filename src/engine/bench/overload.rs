//! The server under more load than it can serve: what of its work is left.
//!
//! * [`curve()`]: a class of requests from half of what the server can serve to ten times as much, and back;
//! * [`fairness()`]: keys that stay within their share beside one that does not;
//! * [`priorities()`]: requests that somebody waits for beside more bulk than the server can do.
//!
//! First a few clients that ask without a pause show how much there is to be had: the *capacity*. Then requests come
//! as those of many people do, at random moments that a seed and a rate alone decide ([`offer()`]), whatever became of
//! those before; latencies begin when a request was due. What counts is the *goodput*: answers of 2xx before their
//! deadline.
//!
//! The server is a process with one encoder thread on one core, the load another process on another core. What a
//! request costs the server is read from its processor time, so that the cost of a refusal and of an answer can be told
//! apart.

use std::time::Duration;

use self::plan::{Load, PhaseOutcome, PhasePlan, Plan, StreamPlan};
use self::target::{Asker, Target, ms};
use crate::engine::bench::server::Setting;
use crate::error::{Error, Result};

mod answer;
mod bars;
mod curve;
mod fairness;
mod generator;
mod plan;
mod priorities;
mod process;
mod recovery;
mod schedule;
mod tally;
mod target;

pub use bars::{Bar, MustBe};
pub use curve::{ClassFigures, LoadFigures, curve};
pub use fairness::{FairnessFigures, fairness};
pub use generator::offer;
pub use plan::Measured;
pub use priorities::{PriorityFigures, priorities};
pub use target::Class;

/// What every part of the measurement goes by.
#[derive(Clone, Copy)]
pub struct Overload<'a> {
    /// Settings, cores and what ends it. The model is named by its folder.
    pub setting: Setting<'a>,
    /// How long each load is measured.
    pub time: Duration,
    /// How long each load goes on before that.
    pub warm_up: Duration,
    /// Makes the same load again.
    pub seed: u64,
}

/// How much a server can serve.
struct Capacity {
    /// Requests a second that are served in time.
    per_s: f64,
    /// Processor time for each, in seconds; none where the system does not tell it.
    serve_s: Option<f64>,
}

impl Overload<'_> {
    /// Finds out how much a server can serve.
    ///
    /// # Errors
    /// Those of the server and of the generator; a server that serves nothing; [`Error::Interrupted`].
    fn capacity(&self, target: &Target) -> Result<Capacity> {
        let clients = target.class.clients();
        let class = target.class.name();
        let name = format!("{class}: {clients} clients that ask without a pause");
        let phase = self.phase(name, Load::Closed { clients });
        let streams = target.streams(&[Asker::OWNER]);
        let measured = self.offer(target, streams, vec![phase])?;
        Capacity::of(&measured.phases[0]).ok_or_else(|| {
            Error::Internal(format!(
                "the server served nothing in time: {:?}",
                measured.phases[0].streams[0]
            ))
        })
    }

    /// Makes a load to be measured as long as all of them.
    fn phase(&self, name: String, load: Load) -> PhasePlan {
        PhasePlan {
            name,
            load,
            warm_up_ms: ms(self.warm_up),
            measured_ms: ms(self.time),
            is_recovery: false,
        }
    }

    /// Has a load made. What comes back has the phases and the streams that were planned.
    fn offer(
        &self,
        target: &Target,
        streams: Vec<StreamPlan>,
        phases: Vec<PhasePlan>,
    ) -> Result<Measured> {
        let plan = Plan {
            process: target.server.process(),
            seed: self.seed,
            streams,
            phases,
        };
        let measured = process::offer(&self.setting, target.data_dir.path(), &plan)?;
        let is_whole = measured.phases.len() == plan.phases.len()
            && measured
                .phases
                .iter()
                .all(|phase| phase.streams.len() == plan.streams.len());
        if is_whole {
            return Ok(measured);
        }
        Err(Error::Internal(
            "the load generator has left something out".to_owned(),
        ))
    }
}

impl Capacity {
    /// Returns what clients show that ask without a pause; nothing where nothing was served in time.
    fn of(phase: &PhaseOutcome) -> Option<Capacity> {
        let stream = &phase.streams[0];
        (stream.good > 0).then(|| Capacity {
            per_s: stream.good as f64 / phase.seconds,
            serve_s: phase.cpu_s.map(|cpu_s| cpu_s / stream.served() as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::plan::StreamOutcome;
    use super::*;

    #[test]
    fn the_capacity_is_what_is_served_in_time_and_costs_what_is_served_at_all() {
        let phase = |good, slow| PhaseOutcome {
            seconds: 20.0,
            cpu_s: Some(18.0),
            streams: vec![StreamOutcome {
                due: 2_000,
                good,
                slow,
                ..StreamOutcome::default()
            }],
        };
        let capacity = Capacity::of(&phase(1_600, 200)).unwrap();
        assert_eq!((capacity.per_s, capacity.serve_s), (80.0, Some(0.01)));
        assert!(Capacity::of(&phase(0, 200)).is_none());
    }
}
