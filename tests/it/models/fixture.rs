//! A tiny model, a folder to pull it into, and a caller that takes notes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use embedder::engine::models::{
    KnownFile, KnownModel, KnownWheel, MANIFEST_FILE, Models, Pin, PullError, PullRequest,
    PullSources, Pulled,
};
use embedder::outbound::Timeouts;
use embedder::outbound::control::{Control, Pause, Progress, Sleep};
use tempfile::TempDir;

use crate::support::hub::{FakeHub, sha256};

pub(crate) const NAME: &str = "tiny";
pub(crate) const REPOSITORY: &str = "owner/tiny";
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// Large enough for several blocks, so that a transfer can break in its middle.
const WEIGHTS_BYTES: usize = 400_000;

/// Files that have the form of a model's and no meaning.
pub(crate) fn files() -> BTreeMap<&'static str, Vec<u8>> {
    let header = b"{\"__metadata__\":{}}";
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend_from_slice(header);
    let mut state = 1_u32;
    weights.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(WEIGHTS_BYTES - weights.len()),
    );
    let tokenizer = format!("{{\"model\":{{\"vocab\":\"{}\"}}}}", "x".repeat(20_000));
    let modules = r#"[{"idx":0,"path":"","type":"Transformer"},{"idx":1,"path":"1_Pooling","type":"Pooling"},
        {"idx":2,"path":"2_Normalize","type":"Normalize"}]"#;
    BTreeMap::from([
        ("config.json", b"{\"model_type\":\"bert\"}".to_vec()),
        ("modules.json", modules.as_bytes().to_vec()),
        (
            "1_Pooling/config.json",
            b"{\"pooling_mode_mean_tokens\":true}".to_vec(),
        ),
        ("tokenizer.json", tokenizer.into_bytes()),
        (WEIGHTS, weights),
    ])
}

/// The tiny model as a known one: weights and tokenizer pinned, the rest by shape.
pub(crate) fn known() -> KnownModel<'static> {
    let pinned = files().into_iter().map(|(name, bytes)| KnownFile {
        name,
        sha256: sha256(&bytes).leak(),
        bytes: bytes.len() as u64,
        pin: if matches!(name, WEIGHTS | "tokenizer.json") {
            Pin::Exact
        } else {
            Pin::Shape
        },
    });
    KnownModel {
        name: NAME,
        repository: REPOSITORY,
        revision: "main",
        licence: "MIT",
        files: pinned.collect::<Vec<_>>().leak(),
        wheel: Some(KnownWheel {
            package: "tiny-wheel",
            version: "1.2",
            prefix: "tiny_wheel/model/",
        }),
    }
}

/// A caller that notes what it is told, and interrupts after so many bytes.
pub(crate) struct Notes {
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) waits: Mutex<Vec<Duration>>,
    pub(crate) bytes: AtomicU64,
    pub(crate) interrupt: AtomicBool,
    pub(crate) interrupt_after: u64,
    /// Whether time really passes, as it must where another process is waited for.
    pub(crate) sleeps: bool,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            lines: Mutex::default(),
            waits: Mutex::default(),
            bytes: AtomicU64::default(),
            interrupt: AtomicBool::default(),
            interrupt_after: u64::MAX,
            sleeps: false,
        }
    }
}

impl Notes {
    pub(crate) fn control(&self) -> Control<'_> {
        Control {
            progress: self,
            interrupt: &self.interrupt,
            pause: self,
        }
    }

    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(text))
    }

    pub(crate) fn waited(&self) -> Duration {
        self.waits.lock().unwrap().iter().sum()
    }
}

impl Progress for Notes {
    fn begin(&self, what: &str, bytes_total: Option<u64>) {
        self.note(format!("begin {what} {bytes_total:?}"));
    }
    fn resumed(&self, at: u64) {
        self.note(format!("resumed {at}"));
    }
    fn advance(&self, bytes: u64) {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= self.interrupt_after {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
    fn retrying(&self, reason: &str, wait: Duration) {
        self.note(format!("retrying in {wait:?}: {reason}"));
    }
    fn finish(&self) {
        self.note("finish".to_owned());
    }
    fn source_failed(&self, source: &str, reason: &str) {
        self.note(format!("failed {source}: {reason}"));
    }
    fn waiting(&self, what: &str) {
        self.note(format!("waiting for {what}"));
    }
}

impl Pause for Notes {
    fn pause(&self, duration: Duration) {
        self.waits.lock().unwrap().push(duration);
        if self.sleeps {
            Sleep.pause(duration);
        }
    }
}

/// A folder for models with a hub to pull from and, until a test sets one up, no Python.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) hub: FakeHub,
    pub(crate) sources: PullSources,
    pub(crate) notes: Notes,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = FakeHub::start(&files());
        let sources = PullSources {
            hub_endpoint: hub.endpoint(),
            python: PathBuf::from("/nonexistent/python3"),
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                stall: Duration::from_secs(20),
            },
            ..PullSources::default()
        };
        Self {
            folder,
            hub,
            sources,
            notes: Notes::default(),
        }
    }

    pub(crate) fn models(&self) -> Models {
        Models::at(self.folder.path().join("models"))
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.models().dir().join(NAME)
    }

    /// Where a pull from the hub gathers its files.
    pub(crate) fn staged(&self, file: &str) -> PathBuf {
        self.models()
            .dir()
            .join(".partial")
            .join(NAME)
            .join("hub/files")
            .join(file)
    }

    pub(crate) fn pull(&self) -> Result<Pulled, PullError> {
        self.pull_named(NAME, false)
    }

    pub(crate) fn pull_named(&self, name: &str, force: bool) -> Result<Pulled, PullError> {
        let known = [known()];
        self.models().pull(
            &PullRequest {
                name,
                known: &known,
                force,
            },
            &self.sources,
            &self.notes.control(),
        )
    }

    /// Why the pull fails.
    pub(crate) fn failure(&self) -> String {
        self.pull().unwrap_err().to_string()
    }

    /// The model is there, with exactly its files and their bytes, and nothing of the pull is left.
    pub(crate) fn assert_whole(&self, dir: &Path) {
        let mut expected = files();
        for (name, bytes) in &expected {
            assert_eq!(fs::read(dir.join(name)).unwrap(), *bytes, "{name}");
        }
        expected.insert(MANIFEST_FILE, Vec::new());
        let found: Vec<_> = all_files(dir);
        assert_eq!(
            found,
            expected
                .keys()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        );
        let partial = self.models().dir().join(".partial");
        assert_eq!(
            all_files(&partial)
                .iter()
                .filter(|name| !name.ends_with(".lock"))
                .count(),
            0
        );
    }

    /// No model is there, and no part of one where a model would be.
    pub(crate) fn assert_nothing(&self) {
        assert!(!self.home().exists());
        assert_eq!(self.models().installed().unwrap(), []);
    }
}

/// Paths of all files below a folder, sorted.
pub(crate) fn all_files(folder: &Path) -> Vec<String> {
    fn collect(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                found.push(
                    path.strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    found.sort();
    found
}
