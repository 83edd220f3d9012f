//! Gathers a model's files from one source into a staging area and checks each.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::files;
use super::known::{KnownFile, KnownModel, Pin};
use super::{FileRecord, PullError};
use crate::outbound::checksum;
use crate::outbound::control::Control;

/// Bytes copied at a time, which is also how often an interrupt is looked for.
const BLOCK_BYTES: usize = 256 * 1024;

/// Where the files of one source are gathered. It may hold what an earlier, interrupted pull left there.
#[derive(Debug, Clone)]
pub(super) struct Area {
    root: PathBuf,
}

impl Area {
    pub(super) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder that becomes the model's.
    pub(super) fn staging(&self) -> PathBuf {
        self.root.join("files")
    }

    /// A place for what must not become part of the model.
    pub(super) fn aside(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// A file to get.
pub(super) struct WantedFile<'a> {
    pub(super) name: &'a str,
    pub(super) bytes_max: u64,
    /// The exact file, where only that will do.
    pub(super) exact: Option<&'a KnownFile<'a>>,
}

/// A place that may have a model.
pub(super) trait Source {
    /// Its name in messages and manifests.
    fn label(&self) -> String;

    /// Puts one file into the area; `None` if the source does not have it.
    fn file(
        &mut self,
        wanted: &WantedFile<'_>,
        area: &Area,
        control: &Control<'_>,
    ) -> Result<Option<FileRecord>, SourceError>;

    /// The commit or version that the files belong to, once some have been got.
    fn revision(&self) -> Option<String>;
}

/// Why a source gave no model.
#[derive(Debug)]
pub(super) enum SourceError {
    /// The next source may do better.
    Failed(String),
    /// No source could: the disk is full, or the user has had enough.
    Stop(PullError),
}

impl<E: Into<PullError>> From<E> for SourceError {
    fn from(error: E) -> Self {
        Self::Stop(error.into())
    }
}

/// Gets all files of a model into the area's staging folder.
pub(super) fn gather(
    source: &mut dyn Source,
    known: Option<&KnownModel<'_>>,
    area: &Area,
    control: &Control<'_>,
) -> Result<Vec<FileRecord>, SourceError> {
    let modules = get(source, files::MODULES, known, area, control)?;
    let configs = match &modules {
        Some(_) => {
            let path = area.staging().join(files::MODULES);
            let json = fs::read(&path).map_err(|error| PullError::io(&path, error))?;
            files::module_configs(&json).map_err(SourceError::Failed)?
        }
        None => Vec::new(),
    };
    let mut records = Vec::from_iter(modules);
    for name in files::names(configs) {
        match get(source, &name, known, area, control)? {
            Some(record) => records.push(record),
            None if files::is_required(&name) => {
                return Err(SourceError::Failed(format!(
                    "it has no {name}, which every model needs"
                )));
            }
            None => {}
        }
    }
    Ok(records)
}

/// Gets one file and checks it. One that is wrong does not stay, or a later pull would go on with it.
fn get(
    source: &mut dyn Source,
    name: &str,
    known: Option<&KnownModel<'_>>,
    area: &Area,
    control: &Control<'_>,
) -> Result<Option<FileRecord>, SourceError> {
    let known = known.and_then(|known| known.file(name));
    let exact = known.filter(|file| file.pin == Pin::Exact);
    let wanted = WantedFile {
        name,
        bytes_max: files::bytes_max(name),
        exact,
    };
    let Some(record) = source.file(&wanted, area, control)? else {
        return Ok(None);
    };
    let path = area.staging().join(name);
    if let Err(reason) = check(&record, known, &path) {
        fs::remove_file(&path).map_err(|error| PullError::io(&path, error))?;
        return Err(SourceError::Failed(reason));
    }
    Ok(Some(record))
}

fn check(record: &FileRecord, known: Option<&KnownFile<'_>>, path: &Path) -> Result<(), String> {
    let name = &record.name;
    if let Some(known) = known.filter(|known| known.sha256 != record.sha256) {
        match known.pin {
            Pin::Exact => {
                let (found, expected) = (&record.sha256, known.sha256);
                return Err(format!(
                    "{name}: sha256 {found}, but {expected} is expected"
                ));
            }
            Pin::Shape => {
                tracing::warn!(file = %name, "{name} differs from the one known for this model");
            }
        }
    }
    match name.as_str() {
        files::WEIGHTS => check_safetensors(path)
            .map_err(|reason| format!("{name} is no safetensors file: {reason}")),
        _ => check_json(path).map_err(|reason| format!("{name} is not JSON: {reason}")),
    }
}

fn check_json(path: &Path) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice::<IgnoredAny>(&bytes)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// A safetensors file begins with the length of its header, eight bytes little-endian, and the header, a JSON object.
/// <https://github.com/huggingface/safetensors#format>
fn check_safetensors(path: &Path) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let len = file.metadata().map_err(|error| error.to_string())?.len();
    let mut head = [0; 9];
    file.read_exact(&mut head)
        .map_err(|_| format!("it has only {len} bytes"))?;
    let [length @ .., first] = head;
    let header = u64::from_le_bytes(length);
    if first != b'{' || header > len - length.len() as u64 {
        return Err(format!(
            "its header of {header} bytes does not fit into {len}"
        ));
    }
    Ok(())
}

/// Copies a file from a reader into the area, up to the accepted size, and flushes it to disk.
pub(super) fn stage(
    reader: &mut dyn Read,
    bytes_total: u64,
    wanted: &WantedFile<'_>,
    area: &Area,
    control: &Control<'_>,
) -> Result<FileRecord, SourceError> {
    let name = wanted.name;
    if bytes_total > wanted.bytes_max {
        return Err(too_large(wanted));
    }
    let path = area.staging().join(name);
    let disk = |error: io::Error| PullError::io(&path, error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| PullError::io(folder, error))?;
    }
    let mut file = File::create(&path).map_err(disk)?;
    control.progress.begin(name, Some(bytes_total));
    let (mut sum, mut bytes) = (Sha256::new(), 0);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        control.check()?;
        let read = match reader.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(SourceError::Failed(format!(
                    "{name} cannot be read: {error}"
                )));
            }
        };
        bytes += read as u64;
        if bytes > wanted.bytes_max {
            return Err(too_large(wanted));
        }
        sum.update(&block[..read]);
        file.write_all(&block[..read]).map_err(disk)?;
        control.progress.advance(read as u64);
    }
    file.sync_all().map_err(disk)?;
    control.progress.finish();
    Ok(FileRecord {
        name: name.to_owned(),
        bytes,
        sha256: checksum::hex(sum),
    })
}

fn too_large(wanted: &WantedFile<'_>) -> SourceError {
    SourceError::Failed(format!(
        "{} is larger than the {} bytes that are accepted",
        wanted.name, wanted.bytes_max
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(bytes: &[u8]) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        check_safetensors(file.path())
    }

    #[test]
    fn weights_must_begin_with_a_header_that_fits() {
        assert_eq!(weights(b"\x02\0\0\0\0\0\0\0{}"), Ok(()));
        assert!(weights(b"\x03\0\0\0\0\0\0\0{}").is_err());
        assert!(weights(b"\xff\xff\xff\xff\xff\xff\xff\xff{}").is_err());
        assert!(weights(b"<!DOCTYPE html><html>").is_err());
        assert!(weights(b"").unwrap_err().contains("0 bytes"));
    }
}
