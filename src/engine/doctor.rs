//! Checks everything that can be wrong with an installation, and says of each what to do.
//!
//! Nothing is changed, and the checks run beside a writer.

use std::path::Path;

use embedder_simd::Level;
use serde::Serialize;

use crate::config::Config;
use crate::engine::access::Pepper;
use crate::engine::embed::Embedder;
use crate::engine::ingest::lexical::open_existing;
use crate::engine::models::{ModelName, Models};
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::control::Control;
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::sqlite::hub::HubDb;
use crate::store::{Collection, Store, StoreError};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// In order.
    Ok,
    /// Works, but something is missing.
    Warning,
    /// Does not work.
    Problem,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do; empty where there is nothing to do.
    pub remedy: String,
}

impl Check {
    fn ok(name: &str, detail: impl Into<String>) -> Check {
        Check {
            name: name.to_owned(),
            verdict: Verdict::Ok,
            detail: detail.into(),
            remedy: String::new(),
        }
    }

    fn failed(name: &str, verdict: Verdict, error: &Error) -> Check {
        let remedy = error.remedy().unwrap_or_default();
        Check {
            name: name.to_owned(),
            verdict,
            detail: error.to_string(),
            remedy,
        }
    }
}

/// Runs every check.
pub fn doctor(config: &Config, control: &Control<'_>) -> Vec<Check> {
    let mut checks = vec![
        processor(),
        data_dir(&config.data_dir),
        model_files(config, control),
        model(config),
    ];
    let data_dir = DataDir::new(&config.data_dir);
    if let Some(pid) = data_dir.writer() {
        checks.push(Check::ok("writer", format!("process {pid} is writing")));
    }
    match ContentDb::open_read_only(data_dir.path()) {
        Err(error @ StoreError::Absent { .. }) => {
            checks.push(Check::failed("store", Verdict::Warning, &error.into()));
        }
        Err(error) => checks.push(Check::failed("store", Verdict::Problem, &error.into())),
        Ok(db) => {
            checks.push(store(&db));
            match db.collections() {
                Ok(collections) => {
                    checks.extend(
                        collections
                            .iter()
                            .map(|collection| index(&db, &data_dir, collection)),
                    );
                }
                Err(error) => checks.push(Check::failed(
                    "collections",
                    Verdict::Problem,
                    &error.into(),
                )),
            }
        }
    }
    checks.push(keys(&config.data_dir));
    checks
}

/// Whether the keys of a server can be read, and what they are hashed by.
fn keys(data_dir: &Path) -> Check {
    let name = "keys";
    let keys = match HubDb::open_read_only(data_dir).and_then(|hub| hub.keys()) {
        Ok(keys) => keys,
        Err(StoreError::Absent { .. }) => return Check::ok(name, "no server has run here yet"),
        Err(error) => return Check::failed(name, Verdict::Problem, &error.into()),
    };
    match Pepper::load_existing(data_dir, &keys) {
        Ok(_) => Check::ok(name, format!("{} in hub.db", keys.len())),
        Err(error) => Check::failed(name, Verdict::Problem, &error.into()),
    }
}

fn processor() -> Check {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let level = Level::best();
    let check = Check::ok(
        "processor",
        format!("{threads} threads, kernels for {}", level.name()),
    );
    if level == Level::Portable {
        return Check {
            verdict: Verdict::Warning,
            remedy: "embedding is several times slower than on a processor with AVX2".to_owned(),
            ..check
        };
    }
    check
}

fn data_dir(path: &Path) -> Check {
    let name = "data directory";
    if !path.exists() {
        return Check::ok(name, format!("{} does not exist yet", path.display()));
    }
    match tempfile::tempfile_in(path) {
        Ok(_) => Check::ok(name, format!("{} is writable", path.display())),
        Err(error) => Check::failed(name, Verdict::Problem, &Error::io("write to", path, error)),
    }
}

/// Reads the installed model's files and compares them with the sums of their manifest.
fn model_files(config: &Config, control: &Control<'_>) -> Check {
    let name = "model files";
    if Embedder::is_folder(&config.model) {
        return Check::ok(
            name,
            format!(
                "{} is a folder of your own, without checksums",
                config.model
            ),
        );
    }
    let verified = ModelName::parse(&config.model)
        .map_err(Into::into)
        .and_then(|model| Models::at(config.models_dir()).verify(&model, control));
    match verified {
        Ok(manifest) => Check::ok(
            name,
            format!("{} files match their checksums", manifest.files.len()),
        ),
        Err(error) => Check::failed(name, Verdict::Warning, &error.into()),
    }
}

fn model(config: &Config) -> Check {
    match Embedder::load(config) {
        Ok(embedder) => {
            let norm = embedder
                .embed_query("a check")
                .iter()
                .map(|value| value * value)
                .sum::<f32>()
                .sqrt();
            let detail = format!(
                "{} gives {} dimensions (norm {norm:.3}), reads {} tokens",
                embedder.name(),
                embedder.dimensions(),
                embedder.max_tokens()
            );
            Check::ok("model", detail)
        }
        // Without a model text search works; one that is there and cannot be used is a fault.
        Err(error) if error.code() == ErrorCode::ModelUnavailable => {
            Check::failed("model", Verdict::Warning, &error)
        }
        Err(error) => Check::failed("model", Verdict::Problem, &error),
    }
}

fn store(db: &ContentDb) -> Check {
    match db.check_structure() {
        Ok(()) => Check::ok("store", format!("{} is sound", db.path().display())),
        Err(error) => Check::failed("store", Verdict::Problem, &error.into()),
    }
}

fn index(db: &ContentDb, data_dir: &DataDir, collection: &Collection) -> Check {
    let name = format!("index of `{}`", collection.name);
    let folder = data_dir.index_folder(collection.id);
    let remedy =
        "run `embedder index` on its folder: the index is rebuilt from the store".to_owned();
    let behind = || -> Result<u64> {
        let (_, applied) = open_existing(&folder)?;
        Ok(db.ops_after(collection.id, applied, usize::MAX >> 1)?.len() as u64)
    };
    match behind() {
        Ok(0) => Check::ok(&name, "sound and up to date with the store"),
        Ok(behind) => Check {
            verdict: Verdict::Warning,
            remedy,
            ..Check::ok(&name, format!("sound, {behind} changes behind the store"))
        },
        Err(error) => Check {
            remedy,
            ..Check::failed(&name, Verdict::Warning, &error)
        },
    }
}
