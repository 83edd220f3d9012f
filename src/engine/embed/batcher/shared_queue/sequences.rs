//! Random sequences of what callers and workers do to one queue, without threads and with a clock of their own.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::super::batch::BATCH_TOKENS;
use super::super::request::Vectors;
use super::super::tests::rig::{Count, text};
use super::*;

const LIMITS: BatcherLimits = BatcherLimits {
    items_max: 20,
    tokens_max: 2_000,
};

const WORKERS: usize = 2;

/// How long requests with a deadline have.
const ALLOWED: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
enum Step {
    Submit {
        lens: Vec<usize>,
        has_deadline: bool,
    },
    /// Of the pending requests, the one with this number modulo theirs.
    Cancel(usize),
    Take(usize),
    Complete(usize),
    Panic(usize),
    /// A second passes.
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![1..=60usize, Just(128usize), 250..=300usize];
    let submit = (prop::collection::vec(len, 0..12), any::<bool>());
    prop_oneof![
        4 => submit.prop_map(|(lens, has_deadline)| Step::Submit { lens, has_deadline }),
        1 => (0..100usize).prop_map(Step::Cancel),
        4 => (0..WORKERS).prop_map(Step::Take),
        4 => (0..WORKERS).prop_map(Step::Complete),
        1 => (0..WORKERS).prop_map(Step::Panic),
        1 => Just(Step::Tick),
    ]
}

/// A queue, and what is known of it from outside. Every text has an id of its own.
struct World {
    queue: Arc<SharedQueue>,
    count: Arc<Count>,
    now: Instant,
    batches: [Batch; WORKERS],
    pending: Vec<(Vec<u32>, Pending)>,
    admitted: usize,
    computed: usize,
    begun: HashSet<u32>,
    cancelled: HashSet<u32>,
    deadlines: HashMap<u32, Instant>,
}

impl World {
    fn new() -> World {
        let count = Arc::new(Count::default());
        let observer = Arc::clone(&count) as Arc<dyn BatchObserver>;
        let queue = SharedQueue::new(Lane::Bulk, LIMITS, WORKERS, 1, observer);
        World {
            queue: Arc::new(queue),
            count,
            now: Instant::now(),
            batches: Default::default(),
            pending: Vec::new(),
            admitted: 0,
            computed: 0,
            begun: HashSet::new(),
            cancelled: HashSet::new(),
            deadlines: HashMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { lens, has_deadline } => self.submit(&lens, has_deadline),
            Step::Cancel(which) if !self.pending.is_empty() => {
                let which = which % self.pending.len();
                let (ids, pending) = self.pending.swap_remove(which);
                drop(pending);
                self.cancelled.extend(ids);
            }
            Step::Cancel(_) => {}
            Step::Take(worker) => self.take(worker),
            Step::Complete(worker) => self.complete(worker),
            Step::Panic(worker) if !self.batches[worker].is_empty() => {
                self.queue.abort(worker, &mut self.batches[worker]);
            }
            Step::Panic(_) => {}
            Step::Tick => self.now += Duration::from_secs(1),
        }
        let unanswered = self.admitted - self.computed - self.count.dropped_in_all();
        assert_eq!(self.count.load(Lane::Bulk).0, unanswered);
    }

    fn submit(&mut self, lens: &[usize], has_deadline: bool) {
        let first = self.admitted as u32;
        let ids: Vec<u32> = (first..).take(lens.len()).collect();
        let texts: Vec<Tokens> = ids
            .iter()
            .zip(lens)
            .map(|(&id, &len)| text(id, len))
            .collect();
        let deadline = has_deadline.then(|| self.now + ALLOWED);

        let (items, tokens) = self.count.load(Lane::Bulk);
        let (items, tokens) = (items + lens.len(), tokens + lens.iter().sum::<usize>());
        let fits = items <= LIMITS.items_max && tokens <= LIMITS.tokens_max;
        match self.queue.submit(texts, deadline, self.now) {
            Ok(pending) => {
                assert!(fits, "{items} texts with {tokens} tokens were admitted");
                self.admitted += ids.len();
                if let Some(deadline) = deadline {
                    self.deadlines.extend(ids.iter().map(|&id| (id, deadline)));
                }
                self.pending.push((ids, pending));
            }
            Err(refused) => assert!(!fits, "{items} texts with {tokens} tokens: {refused}"),
        }
    }

    fn take(&mut self, worker: usize) {
        let batch = &mut self.batches[worker];
        if !batch.is_empty() {
            return;
        }
        self.queue
            .take(lock(&self.queue.state), worker, batch, self.now);
        assert!(batch.tokens() <= BATCH_TOKENS || batch.texts().len() == 1);
        for text in batch.texts() {
            let id = text.ids[0];
            assert!(self.begun.insert(id), "text {id} was begun twice");
            assert!(!self.cancelled.contains(&id), "text {id} was cancelled");
            let deadline = self.deadlines.get(&id);
            assert!(
                deadline.is_none_or(|&deadline| self.now < deadline),
                "text {id} had expired"
            );
        }
    }

    fn complete(&mut self, worker: usize) {
        let batch = &mut self.batches[worker];
        if batch.is_empty() {
            return;
        }
        self.computed += batch.texts().len();
        let vectors: Vec<f32> = batch
            .texts()
            .iter()
            .map(|text| text.ids[0] as f32)
            .collect();
        self.queue.complete(worker, batch, &vectors, self.now);
    }

    /// Lets the workers end, after all that waits or, when the queue is stopped, without it.
    fn end(&mut self, stops: bool) {
        if stops {
            self.queue.stop();
            let refused = self.queue.submit(vec![text(0, 1)], None, self.now);
            assert!(matches!(refused, Err(Refused::Stopped)));
        }
        for worker in 0..WORKERS {
            self.complete(worker);
        }
        while !lock(&self.queue.state).queue.is_empty() {
            assert!(!stops);
            self.take(0);
            self.complete(0);
        }
        assert_eq!(self.count.load(Lane::Bulk), (0, 0));
        assert_eq!(self.computed + self.count.dropped_in_all(), self.admitted);
        for (ids, pending) in &mut self.pending {
            match answer(pending) {
                None => panic!("texts {ids:?} were not answered"),
                Some(Err(error)) => assert!(stops || error != BatchError::Stopped),
                Some(Ok(vectors)) => {
                    let expected: Vec<f32> = ids.iter().map(|&id| id as f32).collect();
                    assert_eq!(vectors.into_numbers(), expected);
                }
            }
        }
    }
}

fn answer(pending: &mut Pending) -> Option<Result<Vectors, BatchError>> {
    match Pin::new(pending).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

proptest! {
    #[test]
    fn every_admitted_text_is_computed_or_dropped_once(
        steps in prop::collection::vec(step(), 0..150),
        stops in any::<bool>(),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.end(stops);
    }
}
