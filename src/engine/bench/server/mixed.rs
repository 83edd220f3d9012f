//! Searches that come at a fixed rate, and what an index job in the same server makes of them, and they of it.
//!
//! The job is measured twice in each round, with the same files: alone, and beside the searches.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{panic, thread};

use serde::Serialize;
use serde_json::{Value, json};

use super::Setting;
use super::child::{Placement, ServerProcess};
use super::client::Request;
use super::job::{IndexJob, Speed, folder_to_index};
use super::load::{Rotation, Schedule, Tally, open_loop};
use super::questions::questions;
use crate::engine::bench::Spread;
use crate::engine::bench::corpus::COLLECTION;
use crate::error::{Error, Result};

/// Searches a second: some forty developers who type without a pause.
const PER_SECOND: u64 = 100;

/// Connections that the searches come by.
const CONNECTIONS: usize = 16;

/// Different questions: more than are asked in all rounds, so that no answer and no vector is remembered.
const QUESTIONS: usize = 30_000;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Mixed<'a> {
    /// The data directory in which [`corpus`](super::super::corpus) built the collection that is searched.
    pub data_dir: &'a Path,
    /// Where the files of the job come from.
    pub corpus: &'a Path,
    /// How many chunks the job has, about. It must not be done too early.
    pub job_chunks: u64,
    /// How long searches are measured, and how long the computing of vectors.
    pub time: Duration,
    /// Times all of it is measured.
    pub rounds: usize,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MixedFigures {
    /// Searches a second.
    pub per_second: u64,
    /// Connections that they came by.
    pub connections: usize,
    /// Times all of it was measured.
    pub rounds: usize,
    /// Searches alone.
    pub without_job: LoadFigures,
    /// Searches beside the job, from its beginning.
    pub with_job: LoadFigures,
    /// Chunks that the job made searchable by text, a second.
    pub chunks: JobFigures,
    /// Vectors that the job computed, a second.
    pub vectors: JobFigures,
}

/// How searches were answered, round by round. A latency begins when the search was due.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LoadFigures {
    /// Half were faster.
    pub p50_ms: Spread,
    /// 99 of 100 were faster.
    pub p99_ms: Spread,
    /// The slowest of all.
    pub max_ms: f64,
    /// Searches answered, in all rounds.
    pub answered: u64,
    /// Of these, those with less than was asked for.
    pub degraded: u64,
    /// Of these, those whose answer was remembered.
    pub cached: u64,
    /// Searches that were refused.
    pub failed: u64,
}

/// How fast a part of the job was, round by round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct JobFigures {
    /// A second, without searches.
    pub alone: Spread,
    /// A second, beside them.
    pub loaded: Spread,
    /// What was left of the speed.
    pub share: Spread,
}

/// Measures searches and a job, apart and together.
///
/// # Errors
/// A job that is done too early; those of the server; [`Error::Interrupted`].
///
/// # Panics
/// When there are no rounds.
pub fn mixed(setting: &Setting<'_>, mixed: &Mixed<'_>) -> Result<MixedFigures> {
    let mut config = setting.config.clone();
    config.data_dir = mixed.data_dir.to_owned();
    let questions = questions(&config, QUESTIONS)?;
    let folder = mixed
        .data_dir
        .with_file_name(format!("job-{}", mixed.job_chunks));
    let folder = folder_to_index(mixed.corpus, &folder, mixed.job_chunks)?;
    let server = ServerProcess::start(setting, mixed.data_dir, Placement::AllCores)?;
    let searches: Vec<Request> = questions
        .iter()
        .map(|question| search(&server, question))
        .collect();
    check_mode(&server, &searches[0])?;
    let rotation = Rotation::new(&searches);
    let within = Schedule::within(PER_SECOND, mixed.time);
    let (mut without_job, mut with_job) = (Vec::new(), Vec::new());
    let (mut alone, mut loaded) = (Vec::new(), Vec::new());
    for _ in 0..mixed.rounds {
        let mut clients = server.clients(CONNECTIONS)?;
        without_job.push(open_loop(&mut clients, &rotation, within, setting.stop)?);
        setting.go_on()?;

        let mut job = IndexJob::start(&server, &folder)?;
        alone.push(job.watch(mixed.time, setting.stop)?);
        job.end()?;

        let (tally, speed) = both(setting, &server, &rotation, &folder, mixed.time)?;
        with_job.push(tally);
        loaded.push(speed);
    }
    Ok(MixedFigures {
        per_second: PER_SECOND,
        connections: CONNECTIONS,
        rounds: mixed.rounds,
        without_job: LoadFigures::of(without_job)?,
        with_job: LoadFigures::of(with_job)?,
        chunks: JobFigures::of(&alone, &loaded, |speed| speed.chunks_per_s),
        vectors: JobFigures::of(&alone, &loaded, |speed| speed.vectors_per_s),
    })
}

/// Searches for as long as the job is watched.
fn both(
    setting: &Setting<'_>,
    server: &ServerProcess,
    rotation: &Rotation<'_>,
    folder: &Path,
    time: Duration,
) -> Result<(Tally, Speed)> {
    let mut clients = server.clients(CONNECTIONS)?;
    let schedule = Schedule::endless(PER_SECOND);
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let searching = scope.spawn(|| open_loop(&mut clients, rotation, schedule, &end));
        let watched = IndexJob::start(server, folder).and_then(|mut job| {
            let speed = job.watch(time, setting.stop);
            end.store(true, Ordering::Relaxed);
            let ended = job.end();
            speed.and_then(|speed| ended.map(|()| speed))
        });
        // Also where the job could not be started.
        end.store(true, Ordering::Relaxed);
        let tally = searching
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic));
        Ok((tally?, watched?))
    })
}

fn search(server: &ServerProcess, question: &str) -> Request {
    let path = format!("/v1/collections/{COLLECTION}/search");
    let body = json!({"query": question, "mode": "hybrid"});
    server.request("POST", &path, Some(&body))
}

/// Makes sure that searches are answered as they are asked.
fn check_mode(server: &ServerProcess, search: &Request) -> Result<()> {
    let answer = server.client()?.json(search)?;
    let served_by = answer.pointer("/meta/served_by").and_then(Value::as_str);
    if served_by == Some("hybrid") {
        return Ok(());
    }
    Err(Error::Internal(format!(
        "hybrid was asked for, not {served_by:?}"
    )))
}

impl LoadFigures {
    /// # Errors
    /// A round without an answer.
    fn of(rounds: Vec<Tally>) -> Result<LoadFigures> {
        let mut all = Tally::default();
        let (mut p50_ms, mut p99_ms, mut max_ms) = (Vec::new(), Vec::new(), 0.0_f64);
        let mut answered = 0;
        for tally in rounds {
            if tally.answered() == 0 {
                tally.must_be_whole()?;
            }
            answered += tally.answered() as u64;
            all.degraded += tally.degraded;
            all.cached += tally.cached;
            all.failed += tally.failed;
            if let Some(latency) = tally.latencies.percentiles() {
                p50_ms.push(latency.p50_us / 1e3);
                p99_ms.push(latency.p99_us / 1e3);
                max_ms = max_ms.max(latency.max_us / 1e3);
            }
        }
        Ok(LoadFigures {
            p50_ms: Spread::of(p50_ms),
            p99_ms: Spread::of(p99_ms),
            max_ms,
            answered,
            degraded: all.degraded,
            cached: all.cached,
            failed: all.failed,
        })
    }
}

impl JobFigures {
    fn of(alone: &[Speed], loaded: &[Speed], part: fn(&Speed) -> f64) -> JobFigures {
        let pairs = alone.iter().zip(loaded);
        JobFigures {
            share: Spread::of(pairs.map(|(a, b)| part(b) / part(a)).collect()),
            alone: Spread::of(alone.iter().map(part).collect()),
            loaded: Spread::of(loaded.iter().map(part).collect()),
        }
    }
}
