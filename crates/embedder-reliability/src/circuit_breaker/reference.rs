//! A breaker as one would write it down: everything kept, nothing fast. The real one must say the same at each step.

use std::time::Duration;

use super::{BreakerPolicy, CircuitState, ManualMode, Outcome, WindowKind};
use crate::{Random, Timestamp};

/// What the reference lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admitted {
    epoch: u64,
    started: Timestamp,
    probe: Option<usize>,
}

#[derive(Debug)]
enum Probe {
    UnderWay(Timestamp),
    Given { is_success: bool },
    Returned,
}

/// The breaker in plain words.
pub(super) struct Reference {
    policy: BreakerPolicy,
    state: CircuitState,
    open_until: Timestamp,
    manual: Option<(ManualMode, Timestamp)>,
    epoch: u64,
    /// Since the breaker closed: when each call ended, whether it failed, whether it was slow.
    calls: Vec<(Timestamp, bool, bool)>,
    row: u32,
    reopened: u32,
    probes: Vec<Probe>,
    cancelled: u32,
    asked: Duration,
    random: Random,
}

impl Reference {
    pub(super) fn new(policy: BreakerPolicy, seed: u64) -> Reference {
        Reference {
            policy,
            state: CircuitState::Closed,
            open_until: Timestamp::ZERO,
            manual: None,
            epoch: 0,
            calls: Vec::new(),
            row: 0,
            reopened: 0,
            probes: Vec::new(),
            cancelled: 0,
            asked: Duration::ZERO,
            random: Random::from_seed(seed),
        }
    }

    pub(super) fn state(&self) -> CircuitState {
        match self.manual {
            Some((ManualMode::ForcedOpen, _)) => CircuitState::Open,
            Some(_) => CircuitState::Closed,
            None => self.state,
        }
    }

    pub(super) fn acquire(&mut self, now: Timestamp) -> Result<Admitted, Duration> {
        self.see(now);
        let admitted = |probe, epoch| Admitted {
            epoch,
            started: now,
            probe,
        };
        match self.manual {
            Some((ManualMode::ForcedOpen, until)) => return Err(now.until(until)),
            Some(_) => return Ok(admitted(None, self.epoch)),
            None => {}
        }
        if self.state == CircuitState::Open && now >= self.open_until {
            self.state = CircuitState::HalfOpen;
            self.epoch += 1;
            self.probes.clear();
            self.cancelled = 0;
            self.asked = Duration::ZERO;
        }
        if self.state == CircuitState::HalfOpen {
            for probe in &mut self.probes {
                if let Probe::UnderWay(since) = probe
                    && now >= since.plus(self.policy.probe_stay_max)
                {
                    *probe = Probe::Given { is_success: false };
                }
            }
            self.judge(now);
        }
        match self.state {
            CircuitState::Closed => Ok(admitted(None, self.epoch)),
            CircuitState::Open => Err(now.until(self.open_until)),
            CircuitState::HalfOpen => {
                let counted = self
                    .probes
                    .iter()
                    .filter(|probe| !matches!(probe, Probe::Returned))
                    .count();
                if counted < self.policy.probes as usize {
                    self.probes.push(Probe::UnderWay(now));
                    return Ok(admitted(Some(self.probes.len() - 1), self.epoch));
                }
                let oldest = self.probes.iter().filter_map(|probe| match probe {
                    Probe::UnderWay(since) => Some(*since),
                    Probe::Given { .. } | Probe::Returned => None,
                });
                let given_up = oldest.min().unwrap().plus(self.policy.probe_stay_max);
                Err(now.until(given_up))
            }
        }
    }

    /// `None` is a permit that was dropped.
    pub(super) fn end(&mut self, call: Admitted, outcome: Option<Outcome>, now: Timestamp) {
        if outcome.is_none() && call.probe.is_none() {
            return;
        }
        self.see(now);
        if call.epoch != self.epoch {
            return;
        }
        let is_slow = now.since(call.started) >= self.policy.slow_after;
        match (self.manual, self.state) {
            (Some(_), _) | (None, CircuitState::Open) => {}
            (None, CircuitState::Closed) => self.end_closed(outcome, is_slow, now),
            (None, CircuitState::HalfOpen) => {
                self.end_probe(call.probe.unwrap(), outcome, is_slow);
                self.judge(now);
            }
        }
    }

    fn end_closed(&mut self, outcome: Option<Outcome>, is_slow: bool, now: Timestamp) {
        match outcome {
            None | Some(Outcome::Ignored) => return,
            Some(Outcome::Success) => {
                self.row = 0;
                self.calls.push((now, false, is_slow));
            }
            Some(Outcome::Failure { is_last }) => {
                self.row += u32::from(is_last);
                self.calls.push((now, true, is_slow));
            }
            Some(Outcome::Overload { retry_after }) => {
                self.calls.push((now, true, is_slow));
                if let Some(wait) = retry_after
                    && wait >= self.policy.open_for
                {
                    return self.trip(now, wait);
                }
            }
        }
        let (calls, failed, slow) = self.window(now);
        let percent = |part: usize| part * 100 / calls.max(1);
        let is_judged = calls >= self.policy.calls_min as usize;
        if self.row >= self.policy.consecutive_failures
            || is_judged && failed * 100 >= self.policy.failure_percent as usize * calls
            || is_judged && percent(slow) >= self.policy.slow_percent as usize
        {
            self.trip(now, Duration::ZERO);
        }
    }

    fn window(&self, now: Timestamp) -> (usize, usize, usize) {
        let counted: Vec<_> = match self.policy.window {
            WindowKind::Count { calls } => {
                let from = self.calls.len().saturating_sub(calls as usize);
                self.calls[from..].to_vec()
            }
            WindowKind::Time { length, buckets } => {
                let bucket = length.as_nanos() as u64 / u64::from(buckets);
                let number = |at: Timestamp| at.as_nanos() / bucket;
                let is_in = |at: Timestamp| number(at) + u64::from(buckets) > number(now);
                let all = self.calls.iter().copied();
                all.filter(|(at, ..)| is_in(*at)).collect()
            }
        };
        let failed = counted.iter().filter(|(_, failed, _)| *failed).count();
        let slow = counted.iter().filter(|(_, _, slow)| *slow).count();
        (counted.len(), failed, slow)
    }

    fn end_probe(&mut self, probe: usize, outcome: Option<Outcome>, is_slow: bool) {
        if !matches!(self.probes[probe], Probe::UnderWay(_)) {
            return;
        }
        self.probes[probe] = match outcome {
            Some(Outcome::Success) => Probe::Given {
                is_success: !is_slow,
            },
            Some(Outcome::Failure { .. }) => Probe::Given { is_success: false },
            Some(Outcome::Overload { retry_after }) => {
                self.asked = self.asked.max(retry_after.unwrap_or_default());
                Probe::Given { is_success: false }
            }
            Some(Outcome::Ignored) => Probe::Returned,
            None if self.cancelled < self.policy.cancels_max => {
                self.cancelled += 1;
                Probe::Returned
            }
            None => Probe::Given { is_success: false },
        };
    }

    fn judge(&mut self, now: Timestamp) {
        let given = |success: bool| {
            let same = |probe: &&Probe| matches!(probe, Probe::Given { is_success } if *is_success == success);
            self.probes.iter().filter(same).count() as u32
        };
        if given(true) >= self.policy.successes_needed {
            self.state = CircuitState::Closed;
            self.epoch += 1;
            self.calls.clear();
            self.row = 0;
            self.reopened = 0;
        } else if given(false) > self.policy.probes - self.policy.successes_needed {
            self.trip(now, self.asked);
        }
    }

    fn trip(&mut self, now: Timestamp, asked: Duration) {
        let again = self.state == CircuitState::HalfOpen;
        self.reopened = if again { self.reopened + 1 } else { 0 };
        let mut stay = self.policy.open_for;
        for _ in 0..self.reopened {
            stay = (stay * 2).min(self.policy.open_max);
        }
        if self.reopened > 0 {
            let jitter = 0.8 + 0.4 * self.random.unit();
            stay = stay.mul_f64(jitter).min(self.policy.open_max);
        }
        self.open_until = now.plus(stay.max(asked.min(self.policy.open_max)));
        self.state = CircuitState::Open;
        self.epoch += 1;
        self.calls.clear();
        self.row = 0;
    }

    pub(super) fn force(&mut self, mode: ManualMode, until: Timestamp, now: Timestamp) {
        self.see(now);
        if self.state == CircuitState::HalfOpen {
            self.state = CircuitState::Open;
            self.open_until = now;
        }
        self.manual = Some((mode, until));
        self.epoch += 1;
    }

    pub(super) fn reset(&mut self) {
        self.manual = None;
        self.state = CircuitState::Closed;
        self.epoch += 1;
        self.calls.clear();
        self.row = 0;
        self.reopened = 0;
    }

    /// What was decided by hand may be over.
    pub(super) fn see(&mut self, now: Timestamp) {
        if self.manual.is_some_and(|(_, until)| now >= until) {
            self.manual = None;
            self.epoch += 1;
            if self.state == CircuitState::Closed {
                self.calls.clear();
                self.row = 0;
                self.reopened = 0;
            }
        }
    }
}
