//! A collection of a given size, made of real code by the real pipeline, with random vectors.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::engine::ingest::progress::Progress;
use crate::engine::ingest::walk::walk;
use crate::engine::ingest::{BYTES_PER_CHUNK, IndexRequest, Origin, index};
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{ChunkId, Store, StoreWriter};

/// The collection's name.
pub const COLLECTION: &str = "bench";

/// Chunks given vectors in one transaction.
const PAGE: usize = 4_096;

/// Copies packages of `corpus` until indexing them gives at least `chunks` chunks, and gives each chunk a random unit
/// vector, as if `embedder` had made it. What was prepared before is kept.
///
/// # Errors
/// When the corpus has less to offer, and those of indexing.
pub fn build(
    config: &Config,
    corpus: &Path,
    chunks: u64,
    embedder: &Embedder,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<u64> {
    let root = config.data_dir.join("corpus");
    let mut have = existing(config)?;
    let mut bytes = chunks * BYTES_PER_CHUNK;
    while have < chunks {
        let copied = sample(corpus, &root, bytes)?;
        let collection = Some(COLLECTION.to_owned());
        let request = IndexRequest {
            origin: Origin::Folder(root.clone()),
            collection,
            within: Vec::new(),
            with_vectors: false,
        };
        have = index(config, &request, || None, progress, stop)?.chunks;
        if copied < bytes && have < chunks {
            return Err(Error::Argument {
                problem: format!(
                    "{} gives {have} chunks, {chunks} were asked for",
                    corpus.display()
                ),
                remedy: "name a larger folder with --source, or ask for fewer with --chunks"
                    .to_owned(),
            });
        }
        bytes += (chunks.saturating_sub(have) + 1_000) * BYTES_PER_CHUNK;
    }
    fill_with_random_vectors(config, embedder)?;
    Ok(have)
}

/// Copies the text files of packages, in order of their names, into `folder` until they hold `bytes` bytes; returns how
/// many they hold. What is there already is not copied again.
///
/// # Errors
/// When a file cannot be copied.
pub fn sample(corpus: &Path, folder: &Path, bytes: u64) -> Result<u64> {
    let mut packages: Vec<PathBuf> = std::fs::read_dir(corpus)
        .map_err(|error| Error::io("read", corpus, error))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    packages.sort();
    let mut copied = 0;
    for package in packages {
        let name = package.file_name().unwrap_or_default();
        for file in walk(&package, &[], FILE_BYTES_MAX, folder)?
            .iter()
            .filter(|file| file.skip.is_none())
        {
            if copied >= bytes {
                return Ok(copied);
            }
            copied += file.bytes;
            let to = folder.join(name).join(&file.path);
            if !to.exists() {
                let parent = to.parent().unwrap_or(folder);
                std::fs::create_dir_all(parent)
                    .map_err(|error| Error::io("create", parent, error))?;
                std::fs::copy(package.join(&file.path), &to)
                    .map_err(|error| Error::io("write", &to, error))?;
            }
        }
    }
    Ok(copied)
}

/// Larger files of packages are data.
const FILE_BYTES_MAX: u64 = 64 * 1024;

fn existing(config: &Config) -> Result<u64> {
    match ContentDb::open_read_only(&config.data_dir) {
        Ok(db) => match db
            .collections()?
            .into_iter()
            .find(|collection| collection.name == COLLECTION)
        {
            Some(collection) => Ok(db.counts(collection.id, None)?.chunks),
            None => Ok(0),
        },
        Err(crate::store::StoreError::Absent { .. }) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn fill_with_random_vectors(config: &Config, embedder: &Embedder) -> Result<()> {
    let _lock = DataDir::new(&config.data_dir).lock()?;
    let mut db = ContentDb::open(&config.data_dir)?;
    let model = db.put_model(
        embedder.fingerprint(),
        embedder.name(),
        embedder.dimensions(),
    )?;
    for collection in db.collections()? {
        let mut after = ChunkId(0);
        loop {
            let page = db.pending_vectors(collection.id, model, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let vectors: Vec<_> = page
                .iter()
                .map(|chunk| {
                    (
                        chunk.embed_hash,
                        random_unit_vector(&chunk.embed_hash, embedder.dimensions()),
                    )
                })
                .collect();
            db.put_vectors(model, &vectors)?;
        }
    }
    db.close()?;
    Ok(())
}

/// Returns a direction drawn evenly from all directions, the same for the same seed.
fn random_unit_vector(seed: &[u8; 32], dimensions: usize) -> Vec<f32> {
    let mut bytes = vec![0; dimensions * 8];
    blake3::Hasher::new_keyed(seed)
        .finalize_xof()
        .fill(&mut bytes);
    let uniform = |bytes: &[u8]| {
        let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        (f64::from(number) + 0.5) / (f64::from(u32::MAX) + 1.0)
    };
    // Box and Muller: independent normal coordinates have no preferred direction.
    let normal = |bytes: &[u8]| {
        (-2.0 * uniform(&bytes[..4]).ln()).sqrt()
            * (std::f64::consts::TAU * uniform(&bytes[4..])).cos()
    };
    let values: Vec<f64> = bytes.chunks_exact(8).map(normal).collect();
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    values
        .into_iter()
        .map(|value| (value / norm) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_vectors_have_length_one_and_depend_on_the_seed_alone() {
        let one = random_unit_vector(&[1; 32], 384);
        let norm: f32 = one.iter().map(|value| value * value).sum();
        assert!((norm - 1.0).abs() < 1e-5);
        assert_eq!(one, random_unit_vector(&[1; 32], 384));
        let other = random_unit_vector(&[2; 32], 384);
        let cosine: f32 = one.iter().zip(&other).map(|(a, b)| a * b).sum();
        assert!(cosine.abs() < 0.25, "{cosine}");
    }
}
