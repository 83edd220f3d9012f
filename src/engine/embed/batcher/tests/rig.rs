//! A batcher with an encoder that tells what it is given and waits to be let go on.

use std::collections::HashMap;
use std::sync::{Condvar, mpsc};

use super::super::*;

/// How long a test waits for what must come. It ends tests that would hang, and delays none.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A text of `len` tokens that are all `id`.
pub(in super::super) fn text(id: u32, len: usize) -> Tokens {
    Tokens {
        ids: vec![id; len],
        truncated: false,
    }
}

/// What the fake encoder makes of [`text`].
pub(super) fn vector(id: u32, len: usize) -> [f32; 2] {
    [id as f32, len as f32]
}

/// What observers are told.
#[derive(Default)]
pub(in super::super) struct Count {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    load: HashMap<Lane, (usize, usize)>,
    dropped: HashMap<DropReason, usize>,
    encoded: usize,
    panicked: usize,
}

impl Count {
    pub(in super::super) fn load(&self, lane: Lane) -> (usize, usize) {
        lock(&self.told)
            .load
            .get(&lane)
            .copied()
            .unwrap_or_default()
    }

    pub(in super::super) fn dropped_in_all(&self) -> usize {
        lock(&self.told).dropped.values().sum()
    }

    pub(super) fn encoded(&self) -> usize {
        lock(&self.told).encoded
    }

    pub(super) fn panicked(&self) -> usize {
        lock(&self.told).panicked
    }

    pub(super) fn dropped_for(&self, reason: DropReason) -> usize {
        lock(&self.told).dropped.get(&reason).copied().unwrap_or(0)
    }
}

impl BatchObserver for Count {
    fn batch(&self, _: Lane, texts: usize, tokens: usize, _: Duration) {
        assert!(texts > 0 && tokens > 0);
        lock(&self.told).encoded += texts;
    }

    fn queue(&self, lane: Lane, items: usize, tokens: usize) {
        lock(&self.told).load.insert(lane, (items, tokens));
    }

    fn dropped(&self, _: Lane, reason: DropReason, texts: usize) {
        *lock(&self.told).dropped.entry(reason).or_default() += texts;
    }

    fn panicked(&self) {
        lock(&self.told).panicked += 1;
    }
}

/// Says which texts it is given, and encodes them once the first of them is let go.
struct Fake {
    begun: mpsc::Sender<Vec<u32>>,
    gate: Gate,
}

#[derive(Default)]
struct Gate {
    verdicts: Mutex<Verdicts>,
    changed: Condvar,
}

#[derive(Default)]
struct Verdicts {
    all_go: bool,
    of_ids: HashMap<u32, Verdict>,
}

#[derive(Clone, Copy)]
enum Verdict {
    Go,
    Panic,
}

impl Encode for Fake {
    fn dimensions(&self) -> usize {
        2
    }

    fn encode(&self, _: &mut Workspace, texts: &[Tokens]) -> Vec<f32> {
        let ids: Vec<u32> = texts.iter().map(|text| text.ids[0]).collect();
        let first = ids[0];
        // The test may have ended.
        let _ = self.begun.send(ids);
        let waits =
            |verdicts: &mut Verdicts| !verdicts.all_go && !verdicts.of_ids.contains_key(&first);
        let verdicts = lock(&self.gate.verdicts);
        let verdicts = self.gate.changed.wait_while(verdicts, waits).unwrap();
        let verdict = verdicts.of_ids.get(&first).copied();
        drop(verdicts);
        match verdict {
            Some(Verdict::Panic) => panic!("a defect"),
            Some(Verdict::Go) | None => texts
                .iter()
                .flat_map(|text| vector(text.ids[0], text.ids.len()))
                .collect(),
        }
    }
}

/// A batcher with the fake encoder. Texts have different ids.
pub(super) struct Rig {
    pub(super) batcher: Arc<Batcher>,
    fake: Arc<Fake>,
    begun: mpsc::Receiver<Vec<u32>>,
    pub(super) count: Arc<Count>,
}

impl Rig {
    pub(super) fn new(limits: BatcherLimits, threads: Threads) -> Rig {
        let (sender, begun) = mpsc::channel();
        let fake = Arc::new(Fake {
            begun: sender,
            gate: Gate::default(),
        });
        let count = Arc::new(Count::default());
        let (encoder, observer) = (Arc::clone(&fake), Arc::clone(&count));
        Rig {
            batcher: Batcher::start(encoder, limits, threads, observer).unwrap(),
            fake,
            begun,
            count,
        }
    }

    pub(super) fn submit(&self, texts: Vec<Tokens>) -> Pending {
        self.batcher.submit(Lane::Interactive, texts, None).unwrap()
    }

    /// Keeps the thread of a lane busy with the text `id` until it is let go.
    pub(super) fn occupy(&self, lane: Lane, id: u32) -> Pending {
        let pending = self
            .batcher
            .submit(lane, vec![text(id, 256)], None)
            .unwrap();
        assert_eq!(self.begun(), [id]);
        pending
    }

    /// The texts of the next batch that begins.
    pub(super) fn begun(&self) -> Vec<u32> {
        self.begun.recv_timeout(PATIENCE).unwrap()
    }

    /// Lets the batch go whose first text is `id`.
    pub(super) fn go(&self, id: u32) {
        self.decide(id, Verdict::Go);
    }

    /// Makes the batch panic whose first text is `id`.
    pub(super) fn panic(&self, id: u32) {
        self.decide(id, Verdict::Panic);
    }

    fn decide(&self, id: u32, verdict: Verdict) {
        lock(&self.fake.gate.verdicts).of_ids.insert(id, verdict);
        self.fake.gate.changed.notify_all();
    }

    pub(super) fn go_all(&self) {
        lock(&self.fake.gate.verdicts).all_go = true;
        self.fake.gate.changed.notify_all();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Dropping the batcher waits for its threads, also in a test that fails.
        self.go_all();
    }
}
