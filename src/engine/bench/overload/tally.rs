//! What becomes of requests, counted as it happens.

use std::time::Duration;

use super::answer::Answer;
use super::plan::StreamOutcome;
use super::recovery::recovered_after;
use crate::engine::bench::server::latencies::Latencies;

/// How a request that was sent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By an answer.
    Answered(Answer),
    /// The connection broke, or could not be made.
    Broken,
    /// Nobody waits any more.
    GivenUp,
}

/// Counts the requests of one stream that are due in one phase.
pub(super) struct Tally {
    deadline: Duration,
    counts: StreamOutcome,
    accepted: Latencies,
    refused: Latencies,
    lag: Latencies,
    /// When each was due, and whether it was answered in time; where it is looked for recovery.
    timeline: Option<Vec<(Duration, bool)>>,
}

impl Tally {
    pub(super) fn new(deadline: Duration, is_recovery: bool) -> Tally {
        Tally {
            deadline,
            counts: StreamOutcome::default(),
            accepted: Latencies::default(),
            refused: Latencies::default(),
            lag: Latencies::default(),
            timeline: is_recovery.then(Vec::new),
        }
    }

    /// A request is sent, so much later than it was due.
    pub(super) fn sent(&mut self, lag: Duration) {
        self.counts.due += 1;
        self.lag.push(lag);
    }

    /// A request that was due at this moment of the phase could not be sent.
    pub(super) fn late(&mut self, due: Duration) {
        self.counts.due += 1;
        self.counts.late += 1;
        self.note(due, false);
    }

    /// A request that was due at this moment of the phase has ended, so long after that.
    pub(super) fn ended(&mut self, due: Duration, latency: Duration, end: End) {
        let counts = &mut self.counts;
        let mut is_good = false;
        match end {
            End::Answered(answer) => {
                *counts.statuses.entry(answer.status).or_default() += 1;
                match answer.status {
                    200..300 => {
                        is_good = latency <= self.deadline;
                        if is_good {
                            counts.good += 1;
                        } else {
                            counts.slow += 1;
                        }
                        self.accepted.push(latency);
                    }
                    429 | 503 => {
                        counts.shed += 1;
                        counts.shed_silently += u64::from(!answer.says_when);
                        self.refused.push(latency);
                    }
                    _ => counts.other += 1,
                }
            }
            End::Broken => counts.broken += 1,
            End::GivenUp => counts.given_up += 1,
        }
        self.note(due, is_good);
    }

    /// Sums it up.
    pub(super) fn outcome(self) -> StreamOutcome {
        StreamOutcome {
            accepted: self.accepted.percentiles(),
            refused: self.refused.percentiles(),
            lag: self.lag.percentiles(),
            recovered_after_s: self
                .timeline
                .and_then(recovered_after)
                .map(|after| after.as_secs_f64()),
            ..self.counts
        }
    }

    fn note(&mut self, due: Duration, is_good: bool) {
        if let Some(timeline) = &mut self.timeline {
            timeline.push((due, is_good));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_millis(250);

    fn answered(status: u16, says_when: bool) -> End {
        End::Answered(Answer {
            status,
            says_when,
            is_last: false,
        })
    }

    /// Counts requests, each with its end and how many milliseconds it took.
    fn tally(ends: &[(End, u64)]) -> StreamOutcome {
        let mut tally = Tally::new(DEADLINE, false);
        for &(end, latency_ms) in ends {
            tally.sent(Duration::from_micros(3));
            tally.ended(Duration::ZERO, Duration::from_millis(latency_ms), end);
        }
        tally.outcome()
    }

    #[test]
    fn only_a_success_within_the_deadline_is_good() {
        let ok = answered(200, false);
        let counted = tally(&[
            (ok, 1),
            (ok, 250),
            (answered(206, false), 2),
            (ok, 251),
            (answered(503, true), 1),
            (answered(500, false), 1),
            (End::Broken, 1),
            (End::GivenUp, 10_000),
        ]);
        assert_eq!((counted.due, counted.good, counted.slow), (8, 3, 1));
        assert_eq!((counted.shed, counted.other), (1, 1));
        assert_eq!((counted.broken, counted.given_up), (1, 1));
        assert_eq!((counted.served(), counted.failed()), (4, 3));
        assert_eq!(counted.good_percent(), Some(37.5));
        let statuses: Vec<(u16, u64)> = counted.statuses.into_iter().collect();
        assert_eq!(statuses, [(200, 3), (206, 1), (500, 1), (503, 1)]);
    }

    #[test]
    fn latencies_of_what_was_served_and_of_what_was_refused_are_kept_apart() {
        let ok = answered(200, false);
        let counted = tally(&[
            (ok, 300),
            (answered(503, true), 1),
            (answered(429, true), 2),
        ]);
        assert_eq!(counted.accepted.unwrap().max_us, 300_000.0);
        assert_eq!(counted.refused.unwrap().max_us, 2_000.0);
        assert_eq!(counted.lag.unwrap().p99_us, 3.0);
        assert_eq!(tally(&[]).accepted, None);
    }

    #[test]
    fn a_refusal_that_does_not_say_when_to_come_back_is_noticed() {
        let counted = tally(&[
            (answered(503, true), 1),
            (answered(503, false), 1),
            (answered(429, false), 1),
        ]);
        assert_eq!((counted.shed, counted.shed_silently), (3, 2));
    }

    #[test]
    fn what_could_not_be_sent_was_asked_for_nevertheless() {
        let mut tally = Tally::new(DEADLINE, false);
        tally.late(Duration::ZERO);
        tally.sent(Duration::ZERO);
        tally.ended(Duration::ZERO, Duration::ZERO, answered(200, false));
        let counted = tally.outcome();
        assert_eq!((counted.due, counted.late, counted.good), (2, 1, 1));
        assert_eq!(counted.good_percent(), Some(50.0));
    }

    #[test]
    fn recovery_is_seen_by_what_was_not_good() {
        let mut tally = Tally::new(DEADLINE, true);
        for ms in (0..3_000).step_by(10) {
            let due = Duration::from_millis(ms);
            match ms {
                0..500 => tally.late(due),
                500..1_000 => tally.ended(due, Duration::ZERO, answered(503, true)),
                _ => tally.ended(due, Duration::from_millis(1), answered(200, false)),
            }
        }
        assert_eq!(tally.outcome().recovered_after_s, Some(1.97));
    }
}
