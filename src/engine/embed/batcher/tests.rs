//! The batcher with its threads, and an encoder that the test holds back batch by batch.

pub(super) mod rig;

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};

use rig::{PATIENCE, Rig, text, vector};

use super::*;

const LIMITS: BatcherLimits = BatcherLimits {
    items_max: 100,
    tokens_max: 10_000,
};

const ONE_EACH: Threads = Threads {
    interactive: 1,
    bulk: 1,
};

fn numbers(pending: Pending) -> Vec<f32> {
    pending.wait().unwrap().into_numbers()
}

#[test]
fn vectors_are_the_same_alone_and_batched() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let lens = [3, 100, 256, 300, 1, 155, 156];
    let texts = |ids: std::ops::Range<u32>| -> Vec<Tokens> {
        ids.zip(lens).map(|(id, len)| text(id, len)).collect()
    };
    let blocker = rig.occupy(Lane::Interactive, 99);
    let (first, second) = (rig.submit(texts(0..7)), rig.submit(texts(10..17)));
    rig.go_all();
    numbers(blocker);
    for (pending, start) in [(first, 0), (second, 10)] {
        let together = pending.wait().unwrap();
        assert_eq!((together.len(), together.dimensions()), (7, 2));
        for (found, text) in together.iter().zip(texts(start..start + 7)) {
            let alone = numbers(rig.submit(vec![text.clone()]));
            assert_eq!(found, alone);
            assert_eq!(found, vector(text.ids[0], text.ids.len()));
        }
    }
}

#[test]
fn a_large_request_does_not_hold_up_a_small_one() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let large = rig.submit((0..40).map(|id| text(id, 128)).collect());
    assert_eq!(rig.begun(), [0, 1]);
    let small = rig.submit(vec![text(100, 128)]);
    rig.go(0);
    assert_eq!(rig.begun(), [2, 100]);
    rig.go(2);
    assert_eq!(numbers(small), vector(100, 128));
    assert_eq!(rig.begun(), [3, 4]);
    rig.go_all();
    assert_eq!(large.wait().unwrap().len(), 40);
}

#[test]
fn every_idle_thread_takes_its_part_of_a_request() {
    let threads = Threads {
        interactive: 3,
        bulk: 1,
    };
    let rig = Rig::new(LIMITS, threads);
    for first in (0..60).step_by(3) {
        // By their tokens two batches would do, but no two of these texts fit one.
        let pending = rig.submit((first..first + 3).map(|id| text(id, 129)).collect());
        let mut begun: Vec<_> = (0..3).map(|_| rig.begun()).collect();
        begun.sort();
        assert_eq!(begun, [[first], [first + 1], [first + 2]]);
        for id in first..first + 3 {
            rig.go(id);
        }
        assert_eq!(pending.wait().unwrap().len(), 3);
    }
}

#[test]
fn cancelled_texts_are_not_computed() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let begun_in_part = rig.submit(vec![text(0, 256), text(1, 256)]);
    assert_eq!(rig.begun(), [0]);
    let waiting = rig.submit(vec![text(2, 10), text(3, 10), text(4, 10)]);
    let last = rig.submit(vec![text(5, 10)]);
    drop(waiting);
    drop(begun_in_part);
    // Their room is free at once, but for the text under way.
    assert_eq!(rig.count.load(Lane::Interactive), (2, 266));
    assert_eq!(rig.count.dropped_for(DropReason::Cancelled), 4);
    rig.go(0);
    assert_eq!(rig.begun(), [5]);
    rig.go(5);
    assert_eq!(numbers(last), vector(5, 10));
}

#[test]
fn expired_texts_are_not_computed() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let blocker = rig.occupy(Lane::Interactive, 0);
    let submit = |id, deadline| {
        let texts = vec![text(id, 10), text(id + 1, 10)];
        rig.batcher
            .submit(Lane::Interactive, texts, Some(deadline))
            .unwrap()
    };
    let expired = submit(10, Instant::now());
    let in_time = submit(20, Instant::now() + PATIENCE * 60);
    rig.go(0);
    assert_eq!(rig.begun(), [20, 21]);
    assert_eq!(expired.wait(), Err(BatchError::Expired));
    assert_eq!(rig.count.dropped_for(DropReason::Expired), 2);
    rig.go_all();
    assert_eq!(in_time.wait().unwrap().len(), 2);
    numbers(blocker);
}

#[test]
fn a_full_queue_has_room_again_when_an_answer_is_there() {
    let limits = BatcherLimits {
        items_max: 2,
        tokens_max: 1_000,
    };
    let rig = Rig::new(limits, ONE_EACH);
    let blocker = rig.occupy(Lane::Interactive, 0);
    let waiting = rig.submit(vec![text(1, 10)]);
    let submit = |texts| rig.batcher.submit(Lane::Interactive, texts, None);
    let retry_after = Duration::from_secs(1);
    assert_eq!(
        submit(vec![text(2, 1)]).unwrap_err(),
        Refused::Full { retry_after }
    );
    assert!(matches!(
        submit(vec![text(2, 1); 3]),
        Err(Refused::TooLarge { .. })
    ));
    // The other lane has room of its own.
    let bulk = rig
        .batcher
        .submit(Lane::Bulk, vec![text(3, 1), text(4, 1)], None);
    rig.go_all();
    numbers(blocker);
    let next = submit(vec![text(2, 1)]).unwrap();
    for pending in [waiting, next, bulk.unwrap()] {
        numbers(pending);
    }
    assert_eq!(rig.count.load(Lane::Interactive), (0, 0));
    assert_eq!(rig.count.load(Lane::Bulk), (0, 0));
}

#[test]
fn a_panic_fails_the_requests_of_its_batch_alone() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let blocker = rig.occupy(Lane::Interactive, 0);
    let failed = [
        rig.submit(vec![text(1, 128), text(2, 128)]),
        rig.submit(vec![text(10, 128)]),
    ];
    let other = rig.submit(vec![text(20, 128)]);
    rig.go(0);
    assert_eq!(rig.begun(), [1, 10]);
    rig.panic(1);
    // The text 2 waited too, but its request has failed.
    assert_eq!(rig.begun(), [20]);
    rig.go(20);
    assert_eq!(numbers(other), vector(20, 128));
    for failed in failed {
        assert_eq!(failed.wait(), Err(BatchError::Panicked));
    }
    numbers(blocker);
    assert_eq!(rig.count.panicked(), 1);
    assert_eq!(rig.count.dropped_for(DropReason::Panicked), 3);
    assert_eq!(rig.count.load(Lane::Interactive), (0, 0));
    assert!(rig.batcher.is_healthy());
}

#[test]
fn stopping_fails_what_waits_and_lets_batches_end() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let under_way = [rig.occupy(Lane::Interactive, 0), rig.occupy(Lane::Bulk, 10)];
    let waiting = [Lane::Interactive, Lane::Bulk].map(|lane| {
        let texts = vec![text(20, 1), text(21, 1)];
        rig.batcher.submit(lane, texts, None).unwrap()
    });
    thread::scope(|scope| {
        scope.spawn(|| rig.batcher.stop());
        for waiting in waiting {
            assert_eq!(waiting.wait(), Err(BatchError::Stopped));
        }
        rig.go_all();
        for under_way in under_way {
            assert_eq!(under_way.wait().unwrap().len(), 1);
        }
    });
    for lane in Lane::ALL {
        let refused = rig.batcher.submit(lane, vec![text(30, 1)], None);
        assert_eq!(refused.unwrap_err(), Refused::Stopped);
        assert_eq!(rig.count.load(lane), (0, 0));
    }
    assert_eq!(rig.count.dropped_for(DropReason::Stopped), 4);
    assert!(!rig.batcher.is_healthy());
    rig.batcher.stop();
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let bulk = rig.occupy(Lane::Bulk, 0);
    let more_bulk = rig
        .batcher
        .submit(Lane::Bulk, vec![text(1, 1)], None)
        .unwrap();
    rig.go(2);
    let interactive = rig.submit(vec![text(2, 1)]);
    assert_eq!(numbers(interactive), vector(2, 1));
    // The interactive thread has nothing to do, and leaves what waits in the other lane.
    assert_eq!(rig.begun(), [2]);
    assert_eq!(rig.count.load(Lane::Bulk), (2, 257));
    rig.go_all();
    numbers(bulk);
    numbers(more_bulk);
}

#[test]
fn the_oldest_batch_under_way_is_timed() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let later = || Instant::now() + PATIENCE;
    assert_eq!(rig.batcher.stuck_for(later()), None);
    let pending = rig.occupy(Lane::Bulk, 0);
    assert!(rig.batcher.stuck_for(later()).unwrap() >= PATIENCE);
    rig.go(0);
    numbers(pending);
    assert_eq!(rig.batcher.stuck_for(later()), None);
}

#[test]
fn a_request_of_no_texts_is_answered_at_once() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let blocker = rig.occupy(Lane::Interactive, 0);
    assert!(rig.submit(Vec::new()).wait().unwrap().is_empty());
    rig.go(0);
    numbers(blocker);
}

struct Bell(mpsc::Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.send(()).unwrap();
    }
}

#[test]
fn an_answer_wakes_the_task_that_waits_for_it() {
    let rig = Rig::new(LIMITS, ONE_EACH);
    let (sender, rung) = mpsc::channel();
    let waker = Waker::from(Arc::new(Bell(sender)));
    let mut context = Context::from_waker(&waker);
    let mut pending = pin!(rig.occupy(Lane::Interactive, 7));
    assert!(pending.as_mut().poll(&mut context).is_pending());
    rig.go(7);
    rung.recv_timeout(PATIENCE).unwrap();
    let Poll::Ready(answer) = pending.as_mut().poll(&mut context) else {
        panic!("woken without an answer")
    };
    assert_eq!(answer.unwrap().into_numbers(), vector(7, 256));
}

#[test]
fn many_callers_and_threads_lose_nothing() {
    const CALLERS: u32 = 4;
    const REQUESTS: u32 = 50;
    let threads = Threads {
        interactive: 3,
        bulk: 2,
    };
    let rig = Rig::new(BatcherLimits::default(), threads);
    rig.go_all();
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let batcher = &rig.batcher;
            scope.spawn(move || {
                let lane = Lane::ALL[caller as usize % 2];
                let request =
                    |number: u32| (0..number % 7).map(move |id| (id, (number + id) as usize + 1));
                let submit = |number| {
                    let texts = request(number).map(|(id, len)| text(id, len)).collect();
                    batcher.submit(lane, texts, None).unwrap()
                };
                let pending: Vec<_> = (0..REQUESTS).map(submit).collect();
                for (number, pending) in (0..).zip(pending) {
                    if number % 5 == 0 {
                        drop(pending);
                        continue;
                    }
                    let expected: Vec<f32> = request(number)
                        .flat_map(|(id, len)| vector(id, len))
                        .collect();
                    assert_eq!(numbers(pending), expected);
                }
            });
        }
    });
    rig.batcher.stop();
    let texts: u32 = (0..REQUESTS).map(|number| number % 7).sum::<u32>() * CALLERS;
    let found = rig.count.encoded() + rig.count.dropped_in_all();
    assert_eq!(found, texts as usize);
    for lane in Lane::ALL {
        assert_eq!(rig.count.load(lane), (0, 0));
    }
}
