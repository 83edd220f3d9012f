//! What the server leaves of the encoder's speed.
//!
//! Many clients with a text each, against the encoder alone on the same core: one thread, tokens in, vectors out,
//! batches as full as the encoder takes them. On that core the server also reads requests, cuts texts into tokens, puts
//! them together to batches and writes vectors as text.

use std::hint::black_box;
use std::time::{Duration, Instant};

use embedder_inference::{InputKind, Tokens, Workspace};
use serde::Serialize;
use serde_json::{Value, json};

use super::child::{Placement, ServerProcess};
use super::client::{Client, Request};
use super::latencies::Percentiles;
use super::load::{Rotation, Tally, Until, Work, closed_loop};
use super::{Setting, pinning, texts};
use crate::engine::bench::Spread;
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};

/// Clients at once.
const CLIENTS: usize = 32;

/// The lengths of texts in tokens: that of a chunk of code with room to spare, and that of a question.
const LENGTHS: [usize; 2] = [128, 16];

/// Different texts of each length.
const TEXTS: usize = 256;

/// Tokens of a batch of the encoder alone: as many as it passes through its layers at a time.
const BATCH_TOKENS: usize = 256;

/// How long each side works before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// Tokens a second through the server and without it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EmbedFigures {
    /// Tokens of each text.
    pub tokens: usize,
    /// Clients at once.
    pub clients: usize,
    /// Times that both were measured, one after the other.
    pub pairs: usize,
    /// Tokens a second of the encoder alone.
    pub alone: Spread,
    /// Tokens a second through the server.
    pub server: Spread,
    /// The server's beside the encoder's, pair by pair.
    pub ratio: Spread,
    /// How long the clients waited.
    pub latency: Percentiles,
}

/// Measures `pairs` pairs, each side for about `time`.
///
/// # Errors
/// A model that cannot be loaded; those of the server; [`Error::Interrupted`].
///
/// # Panics
/// When there are no pairs.
pub fn embed(setting: &Setting<'_>, pairs: usize, time: Duration) -> Result<Vec<EmbedFigures>> {
    let embedder = Embedder::load(setting.config)?;
    let scratch =
        tempfile::tempdir().map_err(|error| Error::io("create", std::env::temp_dir(), error))?;
    let server = ServerProcess::start(setting, scratch.path(), Placement::OneCore)?;
    LENGTHS
        .into_iter()
        .map(|tokens| {
            let texts = texts::texts(&embedder, tokens, TEXTS)?;
            let mut alone = Alone::new(&embedder, &texts, tokens);
            let requests = requests(&server, embedder.name(), &texts);
            let mut clients = server.clients(CLIENTS)?;
            check_tokens(&mut clients[0], &requests[0], tokens)?;
            let rotation = Rotation::new(&requests);
            let mut through_server = |time| -> Result<Work> {
                let (until, core) = (Until::Time(time), setting.cores.load);
                let work = closed_loop(&mut clients, &rotation, until, core, setting.stop)?;
                work.tally.must_be_whole()?;
                Ok(work)
            };
            alone.encode(setting, WARM_UP)?;
            through_server(WARM_UP)?;
            let mut figures = Pairs::default();
            for pair in 0..pairs {
                setting.go_on()?;
                // Who is first changes, so that neither has always the warmer machine.
                if pair % 2 == 0 {
                    let encoded = alone.encode(setting, time)?;
                    figures.push(tokens, encoded, through_server(time)?);
                } else {
                    let work = through_server(time)?;
                    figures.push(tokens, alone.encode(setting, time)?, work);
                }
            }
            Ok(figures.summed_up(tokens))
        })
        .collect()
}

/// The encoder without a server.
struct Alone<'a> {
    embedder: &'a Embedder,
    workspace: Workspace,
    batches: Vec<Vec<Tokens>>,
}

impl<'a> Alone<'a> {
    fn new(embedder: &'a Embedder, texts: &[String], tokens: usize) -> Alone<'a> {
        let tokenize = |text: &String| embedder.tokenize(text, InputKind::Document);
        Alone {
            embedder,
            workspace: Workspace::default(),
            batches: texts
                .chunks((BATCH_TOKENS / tokens).max(1))
                .map(|batch| batch.iter().map(tokenize).collect())
                .collect(),
        }
    }

    /// Encodes for a while where the server would, and returns the tokens a second.
    fn encode(&mut self, setting: &Setting<'_>, time: Duration) -> Result<f64> {
        pinning::on(setting.cores.server, || {
            let mut tokens = 0;
            let started = Instant::now();
            for batch in self.batches.iter().cycle() {
                if started.elapsed() >= time {
                    break;
                }
                black_box(self.embedder.encode(&mut self.workspace, batch));
                tokens += batch.iter().map(|text| text.ids.len()).sum::<usize>();
            }
            Ok(tokens as f64 / started.elapsed().as_secs_f64())
        })
    }
}

/// What the pairs measured so far came to.
#[derive(Default)]
struct Pairs {
    alone: Vec<f64>,
    server: Vec<f64>,
    tally: Tally,
}

impl Pairs {
    fn push(&mut self, tokens: usize, alone: f64, work: Work) {
        let answered = work.tally.answered() * tokens;
        self.alone.push(alone);
        self.server
            .push(answered as f64 / work.elapsed.as_secs_f64());
        self.tally.append(work.tally);
    }

    fn summed_up(self, tokens: usize) -> EmbedFigures {
        let ratios = self.server.iter().zip(&self.alone);
        EmbedFigures {
            tokens,
            clients: CLIENTS,
            pairs: self.alone.len(),
            ratio: Spread::of(ratios.map(|(server, alone)| server / alone).collect()),
            alone: Spread::of(self.alone),
            server: Spread::of(self.server),
            latency: self
                .tally
                .latencies
                .percentiles()
                .expect("every series had answers"),
        }
    }
}

fn requests(server: &ServerProcess, model: &str, texts: &[String]) -> Vec<Request> {
    texts
        .iter()
        .map(|text| {
            let body = json!({"model": model, "input": text});
            server.request("POST", "/v1/embeddings", Some(&body))
        })
        .collect()
}

/// Makes sure that both sides are given the same work.
fn check_tokens(client: &mut Client, request: &Request, tokens: usize) -> Result<()> {
    let answer = client.json(request)?;
    let counted = answer
        .pointer("/usage/prompt_tokens")
        .and_then(Value::as_u64);
    if counted == Some(tokens as u64) {
        return Ok(());
    }
    Err(Error::Internal(format!(
        "the server counts {counted:?} tokens in a text of {tokens}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let work = |answers: usize, secs| {
            let mut tally = Tally::default();
            for _ in 0..answers {
                tally.latencies.push(Duration::from_millis(4));
            }
            Work {
                tally,
                elapsed: Duration::from_secs(secs),
            }
        };
        let mut pairs = Pairs::default();
        // The machine is half as fast in the second pair, for both.
        pairs.push(16, 800.0, work(100, 2));
        pairs.push(16, 400.0, work(50, 2));
        pairs.push(16, 800.0, work(90, 2));
        let figures = pairs.summed_up(16);
        let spread = |min, median, max| Spread { min, median, max };
        assert_eq!(figures.server, spread(400.0, 720.0, 800.0));
        assert_eq!(figures.alone, spread(400.0, 800.0, 800.0));
        assert_eq!(figures.ratio, spread(0.9, 1.0, 1.0));
        assert_eq!(figures.latency.max_us, 4_000.0);
        assert_eq!((figures.pairs, figures.tokens), (3, 16));
    }
}
