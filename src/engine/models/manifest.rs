//! What is written beside a model's files: where they came from and what they are.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files;

/// The manifest's name in a model's folder.
pub const MANIFEST_FILE: &str = "embedder-model.json";

/// The form of the manifest; another number is another form.
const FORMAT: u32 = 1;

/// A larger file is no manifest.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Where a model came from and what its files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The model's name.
    pub name: String,
    /// Where it came from, for people: `hub https://…`, `pip …`, `folder …`.
    pub source: String,
    /// The commit, or else branch, tag or version, where the source has such a thing.
    pub revision: Option<String>,
    /// The licence, where it is known, as an SPDX identifier.
    pub licence: Option<String>,
    /// Its files.
    pub files: Vec<FileRecord>,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path in the model's folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 sum in lower-case hexadecimal.
    pub sha256: String,
}

impl Manifest {
    pub(super) fn new(
        name: String,
        source: String,
        revision: Option<String>,
        licence: Option<String>,
        files: Vec<FileRecord>,
    ) -> Self {
        Self {
            format: FORMAT,
            name,
            source,
            revision,
            licence,
            files,
        }
    }

    /// Reads the manifest of a model's folder; `None` if there is none.
    ///
    /// # Errors
    /// Says in a line what is wrong with it.
    pub fn read(folder: &Path) -> Result<Option<Self>, String> {
        let path = folder.join(MANIFEST_FILE);
        let bytes = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MANIFEST_BYTES_MAX => {
                return Err(format!("{MANIFEST_FILE} is too large"));
            }
            Ok(_) => fs::read(&path)
                .map_err(|error| format!("{MANIFEST_FILE} cannot be read: {error}"))?,
            Err(error) if files::is_absence(&error) => return Ok(None),
            Err(error) => return Err(format!("{MANIFEST_FILE} cannot be read: {error}")),
        };
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| format!("{MANIFEST_FILE} is damaged: {error}"))?;
        if manifest.format != FORMAT {
            return Err(format!(
                "{MANIFEST_FILE} has format {}, this program reads {FORMAT}",
                manifest.format
            ));
        }
        match manifest
            .files
            .iter()
            .find(|file| !files::is_plain(&file.name))
        {
            Some(file) => Err(format!(
                "{MANIFEST_FILE} names {:?}, which is not a plain path",
                file.name
            )),
            None => Ok(Some(manifest)),
        }
    }

    /// Writes the manifest into a folder and flushes it to disk.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let mut file = File::create(folder.join(MANIFEST_FILE))?;
        file.write_all(&text)?;
        file.sync_all()
    }

    /// Says which file is missing or of another size, if any. Cheap: the contents are not read.
    pub(super) fn damage(&self, folder: &Path) -> Option<String> {
        self.files
            .iter()
            .find_map(|file| match fs::metadata(folder.join(&file.name)) {
                Ok(metadata) if metadata.len() == file.bytes => None,
                Ok(metadata) => Some(format!(
                    "{} has {} bytes, not {}",
                    file.name,
                    metadata.len(),
                    file.bytes
                )),
                Err(error) => Some(format!("{} cannot be read: {error}", file.name)),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = FileRecord {
            name: "config.json".to_owned(),
            bytes: 2,
            sha256: "0".repeat(64),
        };
        Manifest::new(
            "a/b".to_owned(),
            "folder /m".to_owned(),
            None,
            None,
            vec![file],
        )
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(folder.path()), Ok(None));
        manifest().write(folder.path()).unwrap();
        assert_eq!(Manifest::read(folder.path()), Ok(Some(manifest())));
    }

    #[test]
    fn a_manifest_that_lies_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str, expected: &str| {
            fs::write(folder.path().join(MANIFEST_FILE), text).unwrap();
            let error = Manifest::read(folder.path()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("{", "damaged");
        let text = serde_json::to_string(&manifest()).unwrap();
        check(&text.replace("\"format\":1", "\"format\":2"), "format 2");
        check(
            &text.replace("config.json", "../config.json"),
            "not a plain path",
        );
    }

    #[test]
    fn damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = manifest();
        assert!(
            manifest
                .damage(folder.path())
                .unwrap()
                .contains("config.json cannot be read")
        );
        fs::write(folder.path().join("config.json"), "{").unwrap();
        assert_eq!(
            manifest.damage(folder.path()).unwrap(),
            "config.json has 1 bytes, not 2"
        );
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        assert_eq!(manifest.damage(folder.path()), None);
    }
}
