use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::Random;

fn policy(limit: usize, waiting_max: usize) -> AdmissionPolicy {
    AdmissionPolicy {
        limit: LimitPolicy {
            min: limit,
            max: limit,
            initial: limit,
            wait_min: Duration::from_millis(5),
            services: 2.0,
        },
        waiting_max,
        wait_max: Duration::from_millis(100),
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::after_origin(Duration::from_millis(ms))
}

fn arrive(
    admission: &mut Admission<&'static str>,
    caller: u64,
    priority: Priority,
    ms: u64,
    name: &'static str,
) -> Arrival {
    admission.arrive(CallerId(caller), priority, at(ms), None, || name)
}

fn admitted(arrival: Arrival) -> Ticket {
    match arrival {
        Arrival::Admitted(ticket) => ticket,
        Arrival::Queued { .. } | Arrival::Refused(_) => panic!("{arrival:?}"),
    }
}

fn queued(arrival: &Arrival) -> u64 {
    match arrival {
        Arrival::Queued { number, .. } => *number,
        Arrival::Admitted(_) | Arrival::Refused(_) => panic!("{arrival:?}"),
    }
}

fn shed(arrival: &Arrival) -> Shed {
    match arrival {
        Arrival::Refused(shed) => *shed,
        Arrival::Admitted(_) | Arrival::Queued { .. } => panic!("{arrival:?}"),
    }
}

#[test]
fn a_burst_waits_and_goes_in_as_others_leave() {
    let mut admission = Admission::new(policy(1, 10));
    let first = admitted(arrive(&mut admission, 1, Priority::Interactive, 0, "first"));
    queued(&arrive(
        &mut admission,
        1,
        Priority::Interactive,
        1,
        "second",
    ));
    queued(&arrive(
        &mut admission,
        1,
        Priority::Interactive,
        1,
        "third",
    ));
    assert!(admission.next(at(2)).is_none());
    admission.leave(first, None, at(3));
    let (waker, second) = admission.next(at(3)).unwrap();
    assert_eq!(waker, "second");
    assert!(admission.next(at(3)).is_none());
    admission.leave(second, None, at(4));
    assert_eq!(admission.next(at(4)).unwrap().0, "third");
}

#[test]
fn nobody_waits_too_long_nor_beyond_a_deadline() {
    let mut admission = Admission::new(policy(1, 10));
    let first = admitted(arrive(&mut admission, 1, Priority::Interactive, 0, "first"));
    let priority = Priority::Interactive;
    let soon = admission.arrive(CallerId(1), priority, at(0), Some(at(10)), || "soon");
    let Arrival::Queued { until, .. } = soon else {
        panic!("{soon:?}")
    };
    assert_eq!(until, at(10));
    queued(&arrive(&mut admission, 1, priority, 0, "late"));
    admission.leave(first, None, at(10));
    assert_eq!(admission.next(at(10)).unwrap().0, "late");
    assert_eq!(admission.load(at(10)).waiting, 0);
}

#[test]
fn one_who_leaves_the_line_is_not_called() {
    let mut admission = Admission::new(policy(1, 10));
    let first = admitted(arrive(&mut admission, 1, Priority::Interactive, 0, "first"));
    let left = queued(&arrive(&mut admission, 1, Priority::Interactive, 0, "left"));
    admission.abandon(left);
    admission.abandon(left);
    admission.leave(first, None, at(1));
    assert!(admission.next(at(1)).is_none());
    assert_eq!(admission.load(at(1)).in_flight, 0);
}

#[test]
fn the_line_is_bounded() {
    let mut admission = Admission::new(policy(1, 2));
    let _first = admitted(arrive(&mut admission, 1, Priority::Interactive, 0, "first"));
    for _ in 0..2 {
        queued(&arrive(
            &mut admission,
            1,
            Priority::Interactive,
            0,
            "waits",
        ));
    }
    let refused = arrive(&mut admission, 1, Priority::Interactive, 0, "too many");
    assert_eq!(shed(&refused), Shed::WaitingFull);
}

#[test]
fn higher_priorities_go_first_and_retries_are_refused_first() {
    let mut admission = Admission::new(policy(4, 10));
    let tickets: Vec<_> = (0..4)
        .map(|_| admitted(arrive(&mut admission, 1, Priority::Interactive, 0, "in")))
        .collect();
    queued(&arrive(&mut admission, 1, Priority::Bulk, 0, "bulk"));
    queued(&arrive(
        &mut admission,
        1,
        Priority::Interactive,
        0,
        "interactive",
    ));
    let retried = arrive(&mut admission, 1, Priority::Retried, 0, "retried");
    assert_eq!(shed(&retried), Shed::Taken);
    for ticket in tickets {
        admission.leave(ticket, None, at(1));
    }
    assert_eq!(admission.next(at(1)).unwrap().0, "interactive");
    assert_eq!(admission.next(at(1)).unwrap().0, "bulk");
}

#[test]
fn while_all_is_taken_only_those_below_their_share_wait() {
    let mut admission = Admission::new(policy(6, 10));
    let mut tickets: Vec<_> = (0..6)
        .map(|_| {
            admitted(arrive(
                &mut admission,
                1,
                Priority::Interactive,
                0,
                "greedy",
            ))
        })
        .collect();
    // Not a burst any more.
    let refused = arrive(&mut admission, 1, Priority::Interactive, 1_000, "greedy");
    assert_eq!(shed(&refused), Shed::Taken);
    queued(&arrive(
        &mut admission,
        2,
        Priority::Interactive,
        1_000,
        "modest",
    ));
    admission.leave(tickets.pop().unwrap(), None, at(1_001));
    assert_eq!(admission.next(at(1_001)).unwrap().0, "modest");
}

#[test]
fn what_was_taken_is_forgotten_although_nobody_comes() {
    let mut admission = Admission::new(policy(2, 10));
    let tickets = [1, 2].map(|caller| {
        admitted(arrive(
            &mut admission,
            caller,
            Priority::Interactive,
            0,
            "busy",
        ))
    });
    assert!(!admission.is_taken(at(0)));
    // It is while they are in, whoever looks,
    assert!(admission.is_taken(at(2_000)));
    for ticket in tickets {
        admission.leave(ticket, None, at(2_000));
    }
    assert!(admission.is_taken(at(2_000)));
    // and is not when they have left.
    assert!(!admission.is_taken(at(5_000)));
    assert!(admission.load(at(5_000)).taken < 0.1);
}

/// One server that works for 8 ms on a request, and callers that come at random; returns what share of its requests each
/// caller had served.
fn simulate(offered: &[f64], seconds: u64, seed: u64) -> Vec<f64> {
    const SERVICE: Duration = Duration::from_millis(8);
    let mut admission = Admission::new(AdmissionPolicy {
        limit: LimitPolicy {
            min: 4,
            max: 64,
            initial: 16,
            wait_min: Duration::from_millis(5),
            services: 2.0,
        },
        waiting_max: 64,
        wait_max: Duration::from_millis(100),
    });
    let mut random = Random::from_seed(seed);
    let mut gap = |rate: f64| Duration::from_secs_f64(-(1.0 - random.unit()).ln() / rate);
    let mut arrivals: BTreeMap<Timestamp, usize> = BTreeMap::new();
    for (caller, rate) in offered.iter().enumerate() {
        arrivals.insert(Timestamp::ZERO.plus(gap(*rate)), caller);
    }
    let end = at(seconds * 1_000);
    let mut inside: std::collections::VecDeque<(Ticket, usize, Timestamp)> = Default::default();
    let mut busy_until = Timestamp::ZERO;
    let (mut asked, mut served) = (vec![0_u32; offered.len()], vec![0_u32; offered.len()]);
    while let Some((now, caller)) = arrivals.pop_first() {
        if now > end {
            break;
        }
        // What the server finishes until then.
        while let Some(since) = inside.front().map(|(_, _, since)| *since) {
            let begins = busy_until.max(since);
            let done = begins.plus(SERVICE);
            if done > now {
                break;
            }
            busy_until = done;
            let (ticket, owner, since) = inside.pop_front().unwrap();
            served[owner] += 1;
            let how = Served {
                waited: begins.since(since),
                took: SERVICE,
                was_late: false,
            };
            admission.leave(ticket, Some(how), done);
            while let Some((owner, ticket)) = admission.next(done) {
                inside.push_back((ticket, owner, done));
            }
        }
        let next = now.plus(gap(offered[caller]));
        arrivals.insert(next, caller);
        asked[caller] += 1;
        let id = CallerId(caller as u64);
        match admission.arrive(id, Priority::Interactive, now, None, || caller) {
            Arrival::Admitted(ticket) => inside.push_back((ticket, caller, now)),
            Arrival::Queued { .. } | Arrival::Refused(_) => {}
        }
    }
    let share = |(served, asked): (u32, u32)| f64::from(served) / f64::from(asked);
    served.into_iter().zip(asked).map(share).collect()
}

#[test]
fn a_caller_at_twenty_times_its_share_takes_nothing_from_the_others() {
    // The server does 125 a second: 25 for each of five.
    let modest = 22.0;
    let alone = simulate(&[modest; 4], 300, 1);
    let beside = simulate(&[modest, modest, modest, modest, 500.0], 300, 1);
    for (caller, (alone, beside)) in alone.iter().zip(&beside).enumerate() {
        let lost = (alone - beside) / alone;
        assert!(
            lost <= 0.02,
            "caller {caller} loses {lost:.3}: {alone:.3}, {beside:.3}"
        );
    }
}

#[test]
fn the_server_is_kept_busy_at_any_overload() {
    for times in [2.0, 5.0, 10.0] {
        let offered = 125.0 * times;
        let served = simulate(&[offered], 120, 2)[0] * times;
        assert!(
            served >= 0.98,
            "{served} of what it can do, at {times} times that"
        );
    }
}

#[test]
fn below_what_it_can_do_hardly_anything_is_refused() {
    let served = simulate(&[100.0], 300, 3)[0];
    assert!(served >= 0.995, "{served}");
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Arrive(u64, Priority, Option<u64>),
    Leave(usize),
    Abandon(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop::sample::select(Priority::ALL.to_vec());
    let arrive = (0_u64..4, priority, prop::option::of(0_u64..200));
    let step = prop_oneof![
        2 => (0_u64..60).prop_map(Step::Pass),
        4 => arrive.prop_map(|(caller, priority, ms)| Step::Arrive(caller, priority, ms)),
        3 => (0_usize..100).prop_map(Step::Leave),
        1 => (0_usize..100).prop_map(Step::Abandon),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn limits_hold_and_nothing_is_lost(steps in steps(), limit in 1_usize..8, waiting_max in 0_usize..8) {
        let mut admission: Admission<u64> = Admission::new(policy(limit, waiting_max));
        let (mut ms, mut serial) = (0, 0);
        let mut tickets = Vec::new();
        let mut waiting: HashMap<u64, (u64, Timestamp)> = HashMap::new();
        for step in steps {
            match step {
                Step::Pass(passed) => ms += passed,
                Step::Arrive(caller, priority, within) => {
                    serial += 1;
                    let deadline = within.map(|within| at(ms + within));
                    let found = admission.arrive(CallerId(caller), priority, at(ms), deadline, || serial);
                    match found {
                        Arrival::Admitted(ticket) => tickets.push(ticket),
                        Arrival::Queued { number, until } => {
                            prop_assert!(until <= at(ms + 100));
                            waiting.insert(serial, (number, until));
                        }
                        Arrival::Refused(_) => {}
                    }
                }
                Step::Leave(index) if !tickets.is_empty() => {
                    let ticket = tickets.swap_remove(index % tickets.len());
                    admission.leave(ticket, None, at(ms));
                    while let Some((serial, ticket)) = admission.next(at(ms)) {
                        let (_, until) = waiting.remove(&serial).expect("it waited, once");
                        prop_assert!(until > at(ms));
                        tickets.push(ticket);
                    }
                }
                Step::Leave(_) => {}
                Step::Abandon(index) => {
                    let mut serials: Vec<_> = waiting.keys().copied().collect();
                    serials.sort_unstable();
                    if !serials.is_empty() {
                        let (number, _) = waiting.remove(&serials[index % serials.len()]).unwrap();
                        admission.abandon(number);
                    }
                }
            }
            let load = admission.load(at(ms));
            prop_assert!(load.in_flight == tickets.len() && load.in_flight <= limit);
            prop_assert!(load.waiting <= waiting_max);
        }
        for ticket in tickets {
            admission.leave(ticket, None, at(ms));
        }
        while let Some((_, ticket)) = admission.next(at(ms)) {
            admission.leave(ticket, None, at(ms));
        }
        prop_assert!(admission.callers.have_nothing() && admission.waiting.is_empty());
    }
}
