//! How fast a model encodes and loads, one thread, on every level of this machine.
//!
//! `cargo bench -p embedder-inference`, with `EMBEDDER_TEST_MODEL` naming a folder other than the one that the tests
//! download to. Prints the median run and the fastest one, which other work on the machine disturbs least.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures and prints"
)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use embedder_inference::{Encoder, InputKind, Level, ModelFiles, Tokens, Workspace};

/// Texts and tokens of each, special ones included.
const CASES: [(usize, usize); 4] = [(32, 16), (32, 128), (8, 256), (1, 16)];

/// Each figure is of what fits into this time.
const TIME_PER_CASE: Duration = Duration::from_secs(2);
const RUNS_MIN: usize = 7;

struct Folder(PathBuf);

impl ModelFiles for Folder {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(std::fs::read(self.0.join(name)).ok())
    }
}

fn main() {
    let named = std::env::var_os("EMBEDDER_TEST_MODEL").map(PathBuf::from);
    let downloaded = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("models/all-MiniLM-L6-v2");
    let folder = Folder(named.unwrap_or(downloaded));
    if !folder.0.join("model.safetensors").exists() {
        println!("skipped: there is no model in {}", folder.0.display());
        return;
    }
    for level in Level::available() {
        let load = time(|| Encoder::load(&folder, level).unwrap());
        println!("{:<9} load       {}", level.name(), in_ms(&load));
        let encoder = Encoder::load(&folder, level).unwrap();
        for (texts, tokens) in CASES {
            let batch = batch(&encoder, texts, tokens);
            let mut workspace = Workspace::new();
            let runs = time(|| encoder.encode(&mut workspace, &batch));
            println!(
                "{:<9} {texts:>3} x {tokens:<4} {} {:>8.0} tokens/s {:>6.1} GFLOP/s",
                level.name(),
                in_ms(&runs),
                (texts * tokens) as f64 / runs.fastest,
                flop(&encoder, texts, tokens) / runs.fastest / 1e9,
            );
        }
    }
    let encoder = Encoder::load(&folder, Level::best()).unwrap();
    let sentence = "the quick brown fox jumps over the lazy dog, and the dog does not mind. ";
    for (what, text) in [
        ("750 bytes", sentence.repeat(10)),
        ("10 MB", sentence.repeat(145_000)),
        ("10 MB, one word", "a".repeat(10_000_000)),
    ] {
        let runs = time(|| encoder.tokenize(&text, InputKind::Document));
        println!("tokenize  {what:<16} {}", in_ms(&runs));
    }
}

fn in_ms(runs: &Runs) -> String {
    format!(
        "{:>9.3} ms median {:>9.3} ms fastest",
        runs.median * 1e3,
        runs.fastest * 1e3
    )
}

/// Different texts of exactly so many tokens.
fn batch(encoder: &Encoder, texts: usize, tokens: usize) -> Vec<Tokens> {
    // Each of them one token in any English vocabulary.
    let words = [
        "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "world",
    ];
    let text = |text: usize| {
        let words: Vec<&str> = (0..tokens - 2)
            .map(|i| words[(i * i + i + 3 * text) % words.len()])
            .collect();
        let tokenized = encoder.tokenize(&words.join(" "), InputKind::Document);
        assert_eq!(tokenized.ids.len(), tokens);
        tokenized
    };
    (0..texts).map(text).collect()
}

/// Multiplications and additions of the linear layers and of attention.
fn flop(encoder: &Encoder, texts: usize, tokens: usize) -> f64 {
    let model = encoder.architecture();
    let linear = 2 * (4 * model.hidden * model.hidden + 2 * model.hidden * model.intermediate);
    let attention = 4 * tokens * model.hidden;
    (texts * tokens * model.layers * (linear + attention)) as f64
}

/// How long runs of one piece of work took, in seconds.
struct Runs {
    median: f64,
    fastest: f64,
}

fn time<T>(mut work: impl FnMut() -> T) -> Runs {
    black_box(work());
    let start = Instant::now();
    let mut seconds = Vec::new();
    while start.elapsed() < TIME_PER_CASE || seconds.len() < RUNS_MIN {
        let start = Instant::now();
        black_box(work());
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Runs {
        median: seconds[seconds.len() / 2],
        fastest: seconds[0],
    }
}
