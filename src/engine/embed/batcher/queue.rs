//! What one lane has to do, in the order of service: the rules of admission, turns and dropping.
//!
//! It knows no clock, lock or thread; those are [`SharedQueue`](super::shared_queue::SharedQueue)'s.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedder_inference::Tokens;

use super::batch::Batch;
use super::load::Load;
use super::request::Request;
use super::throughput::Throughput;
use super::{BatcherLimits, Refused};

/// The texts of a request that are not begun.
pub(super) struct Waiting {
    request: Arc<Request>,
    texts: VecDeque<Tokens>,
    load: Load,
    /// How many texts of the request came before these.
    begun: usize,
    deadline: Option<Instant>,
    since: Instant,
}

impl Waiting {
    /// All texts of a request that is admitted now.
    pub(super) fn new(
        request: Arc<Request>,
        texts: Vec<Tokens>,
        load: Load,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Waiting {
        Waiting {
            request,
            texts: texts.into(),
            load,
            begun: 0,
            deadline,
            since: now,
        }
    }

    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    pub(super) fn texts(&self) -> usize {
        self.load.texts
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Moves the next text into a batch, if there is room for it.
    fn begin_next(&mut self, batch: &mut Batch) -> bool {
        let has_room = |text: &mut Tokens| batch.has_room_for(text.ids.len());
        let Some(text) = self.texts.pop_front_if(has_room) else {
            return false;
        };
        self.load -= Load {
            texts: 1,
            tokens: text.ids.len(),
        };
        batch.push(text, &self.request, self.begun, self.since);
        self.begun += 1;
        true
    }
}

/// The queue of one lane.
pub(super) struct Queue {
    limits: BatcherLimits,
    /// Who waits, by turn: the first is served next. Turns only grow and none is used twice, so that a request, which
    /// knows its own, is found and taken out without a search.
    waiting: BTreeMap<u64, Waiting>,
    last_turn: u64,
    /// What is admitted and not answered: waiting or in a batch under way.
    load: Load,
    /// When the batch of each worker began, where it has one.
    under_way: Vec<Option<Instant>>,
    throughput: Throughput,
    is_stopped: bool,
}

impl Queue {
    pub(super) fn new(limits: BatcherLimits, workers: usize) -> Queue {
        Queue {
            limits,
            waiting: BTreeMap::new(),
            last_turn: 0,
            load: Load::default(),
            under_way: vec![None; workers],
            throughput: Throughput::default(),
            is_stopped: false,
        }
    }

    pub(super) fn load(&self) -> Load {
        self.load
    }

    /// Returns how long one worker usually takes for so many tokens.
    pub(super) fn time_of(&self, tokens: usize) -> Option<Duration> {
        self.throughput.time_of(tokens)
    }

    /// Whether no text waits; batches may be under way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// When the oldest batch under way began.
    pub(super) fn oldest_batch(&self) -> Option<Instant> {
        self.under_way.iter().flatten().min().copied()
    }

    /// Makes room for a request, or says why there is none. The one rule for requests of one text and of many.
    pub(super) fn admit(&mut self, request: Load) -> Result<(), Refused> {
        let BatcherLimits {
            items_max,
            tokens_max,
        } = self.limits;
        if self.is_stopped {
            return Err(Refused::Stopped);
        }
        if !request.fits(self.limits) {
            return Err(Refused::TooLarge {
                items_max,
                tokens_max,
            });
        }
        let load = self.load + request;
        if !load.fits(self.limits) {
            let workers = self.under_way.len();
            return Err(Refused::Full {
                retry_after: self.throughput.retry_after(self.load.tokens, workers),
            });
        }
        self.load = load;
        Ok(())
    }

    /// Puts the texts of an admitted request last in the order of service.
    pub(super) fn push(&mut self, waiting: Waiting) {
        if waiting.texts() == 0 {
            return;
        }
        self.last_turn += 1;
        waiting.request.set_turn(self.last_turn);
        self.waiting.insert(self.last_turn, waiting);
    }

    /// Fills an empty batch for a worker: a text of the request whose turn it is, which then goes last, a text of the
    /// next, and so on until a text does not fit or none is left. That text is then the first of the next batch.
    ///
    /// Takes out requests whose deadline has passed when their turn comes, and returns them.
    pub(super) fn take(&mut self, worker: usize, batch: &mut Batch, now: Instant) -> Vec<Waiting> {
        let mut expired = Vec::new();
        while let Some(mut first) = self.waiting.first_entry() {
            if first.get().is_expired(now) {
                let waiting = first.remove();
                self.load -= waiting.load;
                expired.push(waiting);
            } else if first.get_mut().begin_next(batch) {
                let waiting = first.remove();
                self.push(waiting);
            } else {
                break;
            }
        }
        if !batch.is_empty() {
            self.under_way[worker] = Some(now);
        }
        expired
    }

    /// Frees the room of a worker's batch that was encoded.
    pub(super) fn complete(&mut self, worker: usize, batch: &Batch, now: Instant) {
        if let Some(began) = self.end(worker, batch) {
            let elapsed = now.saturating_duration_since(began);
            self.throughput.record(batch.tokens(), elapsed);
        }
    }

    /// Frees the room of a worker's batch that panicked, takes out what its requests still had waiting and returns it.
    pub(super) fn abort(&mut self, worker: usize, batch: &Batch) -> Vec<Waiting> {
        self.end(worker, batch);
        batch
            .requests()
            .filter_map(|request| self.remove(request))
            .collect()
    }

    /// Takes out what a request has waiting, if anything.
    pub(super) fn remove(&mut self, request: &Request) -> Option<Waiting> {
        let waiting = self.waiting.remove(&request.turn())?;
        self.load -= waiting.load;
        Some(waiting)
    }

    /// Admits nothing from now on, takes out all that waits and returns it.
    pub(super) fn stop(&mut self) -> Vec<Waiting> {
        self.is_stopped = true;
        let waiting: Vec<_> = mem::take(&mut self.waiting).into_values().collect();
        for waiting in &waiting {
            self.load -= waiting.load;
        }
        waiting
    }

    /// Frees the room of a worker's batch and returns when the batch began.
    fn end(&mut self, worker: usize, batch: &Batch) -> Option<Instant> {
        self.load -= batch.load();
        self.under_way[worker].take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: BatcherLimits = BatcherLimits {
        items_max: 10,
        tokens_max: 1_000,
    };

    /// Texts of these lengths whose tokens are all `id`.
    fn texts(id: u32, lens: &[usize]) -> Vec<Tokens> {
        let text = |&len: &usize| Tokens {
            ids: vec![id; len],
            truncated: false,
        };
        lens.iter().map(text).collect()
    }

    fn push(queue: &mut Queue, texts: Vec<Tokens>, deadline: Option<Instant>, now: Instant) {
        let load = Load::of(&texts);
        let (request, _) = Request::new(texts.len(), 1);
        queue.admit(load).unwrap();
        queue.push(Waiting::new(request, texts, load, deadline, now));
    }

    /// Which requests the texts of the next batch are of.
    fn take(queue: &mut Queue, now: Instant) -> Vec<u32> {
        let mut batch = Batch::default();
        queue.take(0, &mut batch, now);
        queue.complete(0, &batch, now);
        batch.texts().iter().map(|text| text.ids[0]).collect()
    }

    #[test]
    fn requests_are_served_in_turn() {
        let now = Instant::now();
        let check = |requests: &[&[usize]], expected: &[&[u32]]| {
            let mut queue = Queue::new(BatcherLimits::default(), 1);
            for (request, lens) in requests.iter().enumerate() {
                push(&mut queue, texts(request as u32, lens), None, now);
            }
            let mut batches = Vec::new();
            while !queue.is_empty() {
                batches.push(take(&mut queue, now));
            }
            assert_eq!(batches, expected, "{requests:?}");
            assert_eq!(queue.load(), Load::default());
        };
        check(&[], &[]);
        check(&[&[1], &[1], &[1]], &[&[0, 1, 2]]);
        check(&[&[100; 5], &[100]], &[&[0, 1], &[0, 0], &[0, 0]]);
        check(
            &[&[100; 4], &[100; 2], &[100]],
            &[&[0, 1], &[2, 0], &[1, 0], &[0]],
        );
        // Exactly full, and one token too many.
        check(&[&[128; 2], &[128]], &[&[0, 1], &[0]]);
        check(&[&[128, 129], &[128], &[1]], &[&[0, 1], &[2, 0]]);
        check(&[&[255, 1], &[2]], &[&[0], &[1, 0]]);
        // A longer text goes alone, whatever else waits.
        check(&[&[1, 512, 1], &[1]], &[&[0, 1], &[0], &[0]]);
        check(&[&[512], &[1]], &[&[0], &[1]]);
    }

    #[test]
    fn one_rule_admits_one_text_and_many() {
        let check = |load: (usize, usize), request: (usize, usize), expected: &str| {
            let load_of = |(texts, tokens)| Load { texts, tokens };
            let mut queue = Queue::new(LIMITS, 1);
            queue.admit(load_of(load)).unwrap();
            let found = match queue.admit(load_of(request)) {
                Ok(()) => "admitted",
                Err(Refused::Full { .. }) => "full",
                Err(Refused::TooLarge { .. }) => "too large",
                Err(Refused::Stopped) => "stopped",
            };
            assert_eq!(found, expected, "{request:?} beside {load:?}");
            let admitted = if found == "admitted" { request } else { (0, 0) };
            assert_eq!(queue.load(), load_of(load) + load_of(admitted));
        };
        check((0, 0), (10, 1_000), "admitted");
        check((0, 0), (11, 11), "too large");
        check((0, 0), (1, 1_001), "too large");
        check((9, 9), (1, 1), "admitted");
        check((9, 9), (2, 2), "full");
        check((10, 10), (1, 1), "full");
        check((1, 999), (1, 1), "admitted");
        check((1, 999), (1, 2), "full");
        check((1, 1), (9, 999), "admitted");
        check((1, 1), (10, 999), "full");
        check((10, 1_000), (0, 0), "admitted");
    }

    #[test]
    fn what_is_full_says_when_to_try_again() {
        let now = Instant::now();
        let mut queue = Queue::new(LIMITS, 2);
        push(&mut queue, texts(0, &[200]), None, now);
        let mut batch = Batch::default();
        queue.take(1, &mut batch, now);
        queue.complete(1, &batch, now + Duration::from_secs(2));
        // 1,000 tokens on two workers of 100 tokens a second.
        push(&mut queue, texts(0, &[500, 500]), None, now);
        let refused = queue.admit(Load {
            texts: 1,
            tokens: 1,
        });
        let retry_after = Duration::from_secs(5);
        assert_eq!(refused, Err(Refused::Full { retry_after }));
    }

    #[test]
    fn expired_requests_are_taken_out_when_their_turn_comes() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut queue = Queue::new(LIMITS, 1);
        push(&mut queue, texts(0, &[10, 10]), Some(later), now);
        push(&mut queue, texts(1, &[256]), None, now);
        push(&mut queue, texts(2, &[10]), Some(later), now);
        assert_eq!(take(&mut queue, now), [0]);
        let mut batch = Batch::default();
        let expired = queue.take(0, &mut batch, later);
        assert_eq!(batch.texts()[0].ids[0], 1);
        let expired: Vec<_> = expired
            .iter()
            .map(|waiting| waiting.texts[0].ids[0])
            .collect();
        assert_eq!(expired, [2, 0]);
        assert_eq!(queue.load(), batch.load());
    }

    #[test]
    fn the_oldest_batch_is_found_among_the_workers() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut queue = Queue::new(LIMITS, 3);
        let (mut first, mut second) = (Batch::default(), Batch::default());
        push(&mut queue, texts(0, &[256, 256]), None, now);
        assert_eq!(queue.oldest_batch(), None);
        queue.take(2, &mut first, now);
        queue.take(0, &mut second, later);
        assert_eq!(queue.oldest_batch(), Some(now));
        queue.complete(2, &first, later);
        assert_eq!(queue.oldest_batch(), Some(later));
        queue.abort(0, &second);
        assert_eq!(queue.oldest_batch(), None);
    }
}
