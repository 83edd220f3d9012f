//! Which connections are free, and what became of requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::engine::bench::overload::plan::{PhasePlan, StreamOutcome, StreamPlan};
use crate::engine::bench::overload::tally::{End, Tally};

/// Where a request counts that is due in the measured part of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// The phase.
    pub(super) phase: usize,
    /// When it is due, from the beginning of the measured part.
    pub(super) due: Duration,
}

/// What the generator and its connections share. All of them are on one thread, so nobody waits for the lock.
pub(super) struct Board {
    state: Mutex<State>,
    /// Told of each request that has ended.
    pub(super) ended: Notify,
}

struct State {
    /// Of each stream, the connections that are free. Who comes last is used first, so that no more are open than are
    /// needed.
    free: Vec<Vec<usize>>,
    under_way: usize,
    /// Phase by phase, stream by stream.
    tallies: Vec<Vec<Tally>>,
}

impl Board {
    /// All connections are free.
    pub(super) fn new(streams: &[Arc<StreamPlan>], phases: &[PhasePlan]) -> Board {
        let tallies = |phase: &PhasePlan| -> Vec<Tally> {
            let deadlines = streams
                .iter()
                .map(|stream| Duration::from_millis(stream.deadline_ms));
            deadlines
                .map(|deadline| Tally::new(deadline, phase.is_recovery))
                .collect()
        };
        let free =
            |stream: &Arc<StreamPlan>| -> Vec<usize> { (0..stream.connections).rev().collect() };
        Board {
            state: Mutex::new(State {
                free: streams.iter().map(free).collect(),
                under_way: 0,
                tallies: phases.iter().map(tallies).collect(),
            }),
            ended: Notify::new(),
        }
    }

    /// Takes a free connection of a stream for a request that is sent so much later than it was due; none, if there is
    /// none. Either is counted.
    pub(super) fn take(
        &self,
        stream: usize,
        lag: Duration,
        counted: Option<Counted>,
    ) -> Option<usize> {
        let mut state = self.lock();
        let place = state.free[stream].pop();
        state.under_way += usize::from(place.is_some());
        if let Some(Counted { phase, due }) = counted {
            let tally = &mut state.tallies[phase][stream];
            match place {
                Some(_) => tally.sent(lag),
                None => tally.late(due),
            }
        }
        place
    }

    /// Counts a request that has ended so long after it was due, and gives its connection back.
    pub(super) fn give_back(
        &self,
        (stream, place): (usize, usize),
        latency: Duration,
        counted: Option<Counted>,
        end: End,
    ) {
        let mut state = self.lock();
        if let Some(Counted { phase, due }) = counted {
            state.tallies[phase][stream].ended(due, latency, end);
        }
        state.free[stream].push(place);
        state.under_way -= 1;
        drop(state);
        self.ended.notify_one();
    }

    /// Returns how many requests have been sent and have not ended.
    pub(super) fn under_way(&self) -> usize {
        self.lock().under_way
    }

    /// Sums up, phase by phase and stream by stream. Nothing is counted afterwards.
    pub(super) fn outcomes(&self) -> Vec<Vec<StreamOutcome>> {
        let phases = std::mem::take(&mut self.lock().tallies);
        phases
            .into_iter()
            .map(|streams| streams.into_iter().map(Tally::outcome).collect())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
