//! An index job in the server that is measured, and how fast it is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use serde_json::{Value, json};

use super::child::ServerProcess;
use super::client::{Client, Request};
use crate::engine::bench::corpus;
use crate::engine::ingest::BYTES_PER_CHUNK;
use crate::engine::serving::jobs::{JobProgress, JobView, Phase};
use crate::error::{Error, Result};

/// The collection that the job fills. It is taken out afterwards.
const COLLECTION: &str = "/v1/collections/bench-job";

/// What every file's name begins with. It is part of what is embedded, so that no vector is there already: the other
/// collection may hold the same files.
const PREFIX: &str = "benched_";

/// How often the job is asked how far it is.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// An index job.
pub(super) struct IndexJob<'a> {
    server: &'a ServerProcess,
    client: Client,
    id: String,
}

/// How fast a job was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Speed {
    /// From the start until text search had everything.
    pub(super) chunks_per_s: f64,
    /// After that.
    pub(super) vectors_per_s: f64,
}

impl<'a> IndexJob<'a> {
    /// Has a folder indexed into a new collection.
    ///
    /// # Errors
    /// Those of the server.
    pub(super) fn start(server: &'a ServerProcess, folder: &Path) -> Result<IndexJob<'a>> {
        let mut client = server.client()?;
        // A measurement that was interrupted may have left it.
        let left = client.ask(&server.request("DELETE", COLLECTION, None))?;
        if !matches!(left.status, 200 | 404) {
            return Err(left.unexpected());
        }
        let path = json!({"path": folder.to_string_lossy()});
        client.json(&server.request("POST", "/v1/admin/roots", Some(&path)))?;
        client.json(&server.request("PUT", COLLECTION, Some(&json!({"kind": "code"}))))?;
        let sources = format!("{COLLECTION}/sources");
        let added = client.json(&server.request("POST", &sources, Some(&path)))?;
        let id = added
            .pointer("/job/id")
            .and_then(Value::as_str)
            .ok_or_else(|| Error::Internal(format!("a source without a job: {added}")))?;
        Ok(IndexJob {
            server,
            client,
            id: id.to_owned(),
        })
    }

    /// Watches the job while it makes all of its text searchable, and then for `time` while it computes vectors.
    ///
    /// # Errors
    /// A job that ends before that; those of the server; [`Error::Interrupted`] when `stop` was set.
    pub(super) fn watch(&mut self, time: Duration, stop: &AtomicBool) -> Result<Speed> {
        let asking = self.itself("GET");
        let started = Instant::now();
        let mut meter = Meter::new(time);
        loop {
            let view: JobView = serde_json::from_value(self.client.json(&asking)?)
                .map_err(|error| Error::Internal(format!("a job that is none: {error}")))?;
            if let Some(speed) = meter.read(started.elapsed(), &view.progress) {
                return Ok(speed);
            }
            if view.state.is_final() {
                return Err(ended_early(&view));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            thread::sleep(POLL_EVERY);
        }
    }

    /// Stops the job and takes its collection out.
    ///
    /// # Errors
    /// Those of the server.
    pub(super) fn end(mut self) -> Result<()> {
        let cancelling = self.itself("DELETE");
        self.client.json(&cancelling)?;
        let deleting = self.server.request("DELETE", COLLECTION, None);
        self.client.json(&deleting).map(drop)
    }

    fn itself(&self, method: &str) -> Request {
        let path = format!("/v1/jobs/{}", self.id);
        self.server.request(method, &path, None)
    }
}

/// Turns what a job says from time to time into its speed.
#[derive(Debug)]
struct Meter {
    time: Duration,
    first: Option<Reading>,
    /// The chunks a second, and the first vectors after them.
    vectors_begun: Option<(f64, Reading)>,
}

/// How much was done at a moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Duration,
    done: u64,
}

impl Reading {
    /// What was done a second since an earlier reading.
    fn per_second_since(self, earlier: Reading) -> f64 {
        let elapsed = self.at.saturating_sub(earlier.at).as_secs_f64();
        self.done.saturating_sub(earlier.done) as f64 / elapsed.max(1e-9)
    }
}

impl Meter {
    fn new(time: Duration) -> Meter {
        Meter {
            time,
            first: None,
            vectors_begun: None,
        }
    }

    /// Takes what the job says; returns its speed once that is known.
    fn read(&mut self, at: Duration, progress: &JobProgress) -> Option<Speed> {
        let chunks = Reading {
            at,
            done: progress.chunks,
        };
        let first = *self.first.get_or_insert(chunks);
        if progress.phase != Phase::Vectors || progress.vectors_done == 0 {
            return None;
        }
        let vectors = Reading {
            at,
            done: progress.vectors_done,
        };
        let (chunks_per_s, begun) = *self
            .vectors_begun
            .get_or_insert_with(|| (chunks.per_second_since(first), vectors));
        (at - begun.at >= self.time).then(|| Speed {
            chunks_per_s,
            vectors_per_s: vectors.per_second_since(begun),
        })
    }
}

fn ended_early(view: &JobView) -> Error {
    match &view.error {
        Some(error) => Error::Internal(format!("the index job failed: {}", error.message)),
        None => Error::Argument {
            problem: format!(
                "the index job was done before it was measured, with {} chunks",
                view.progress.chunks
            ),
            remedy: "give it more with --job-chunks, or measure for fewer --seconds".to_owned(),
        },
    }
}

/// Copies about `chunks` chunks of `corpus` to `folder`, under names of their own. What was copied before is kept.
///
/// # Errors
/// Files that cannot be copied.
pub(super) fn folder_to_index(corpus: &Path, folder: &Path, chunks: u64) -> Result<PathBuf> {
    if !folder.is_dir() {
        // Whole or not there: what was interrupted is done again.
        let unfinished = folder.with_extension("unfinished");
        let begun = match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        begun
            .and_then(|()| fs::create_dir_all(&unfinished))
            .map_err(|error| Error::io("create", &unfinished, error))?;
        corpus::sample(corpus, &unfinished, chunks * BYTES_PER_CHUNK)?;
        rename_files(&unfinished)
            .and_then(|()| fs::rename(&unfinished, folder))
            .map_err(|error| Error::io("rename", &unfinished, error))?;
    }
    folder
        .canonicalize()
        .map_err(|error| Error::io("read", folder, error))
}

fn rename_files(folder: &Path) -> io::Result<()> {
    // Listed before anything is renamed: a folder that changes may list a file twice.
    let entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    for entry in entries {
        if entry.file_type()?.is_dir() {
            rename_files(&entry.path())?;
        } else {
            let mut name = std::ffi::OsString::from(PREFIX);
            name.push(entry.file_name());
            fs::rename(entry.path(), folder.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(phase: Phase, chunks: u64, vectors_done: u64) -> JobProgress {
        JobProgress {
            bytes_fetched: 0,
            phase,
            files_done: 0,
            files_total: 0,
            chunks,
            vectors_done,
            vectors_total: 1_000,
        }
    }

    #[test]
    fn each_phase_has_its_own_speed() {
        let mut meter = Meter::new(Duration::from_secs(2));
        let mut read = |ms, progress| meter.read(Duration::from_millis(ms), &progress);
        for (ms, phase, chunks) in [
            (500, Phase::Waiting, 0),
            (600, Phase::Walking, 0),
            (1_000, Phase::Text, 300),
            (2_300, Phase::Vectors, 2_000),
        ] {
            assert_eq!(read(ms, progress(phase, chunks, 0)), None);
        }
        assert_eq!(read(2_500, progress(Phase::Vectors, 2_000, 16)), None);
        assert_eq!(read(4_499, progress(Phase::Vectors, 2_000, 200)), None);
        let speed = Speed {
            chunks_per_s: 1_000.0,
            vectors_per_s: 100.0,
        };
        let last = progress(Phase::Vectors, 2_000, 216);
        assert_eq!(read(4_500, last), Some(speed));
    }

    #[test]
    fn a_folder_is_copied_once_under_new_names() {
        let scratch = tempfile::tempdir().unwrap();
        let corpus = scratch.path().join("corpus");
        fs::create_dir_all(corpus.join("one/src")).unwrap();
        fs::write(corpus.join("one/src/lib.rs"), "fn main() {}\n").unwrap();
        let folder = scratch.path().join("job");
        let made = folder_to_index(&corpus, &folder, 10).unwrap();
        let copy = made.join("one/src/benched_lib.rs");
        assert_eq!(fs::read_to_string(&copy).unwrap(), "fn main() {}\n");
        assert!(!made.join("one/src/lib.rs").exists());
        fs::remove_dir_all(&corpus).unwrap();
        assert_eq!(folder_to_index(&corpus, &folder, 10).unwrap(), made);
        assert!(copy.exists());
    }
}
