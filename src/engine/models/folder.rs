//! A model's folder, as the encoder reads it.

use std::fs;
use std::io;
use std::path::PathBuf;

use embedder_inference::ModelFiles;

use super::files;

/// Reads the files of a model from its folder: one that was pulled, or any sentence-transformers folder. A path that
/// leads out of the folder and a file beyond all measure are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    dir: PathBuf,
}

impl ModelFolder {
    /// The model in `dir`.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
}

impl ModelFiles for ModelFolder {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if !files::is_plain(name) {
            return Err(format!("{name:?} is not a path inside a model's folder"));
        }
        let path = self.dir.join(name);
        let failed = |error: io::Error| format!("{} cannot be read: {error}", path.display());
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > files::bytes_max(name) => {
                let bytes_max = files::bytes_max(name);
                Err(format!(
                    "{} is larger than the {bytes_max} bytes that are accepted",
                    path.display()
                ))
            }
            Ok(_) => fs::read(&path).map(Some).map_err(failed),
            Err(error) if files::is_absence(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_files_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("1_Pooling")).unwrap();
        fs::write(dir.path().join("1_Pooling/config.json"), "{}").unwrap();
        let folder = ModelFolder::at(dir.path());
        assert_eq!(
            folder.read("1_Pooling/config.json"),
            Ok(Some(b"{}".to_vec()))
        );
        assert_eq!(folder.read("config.json"), Ok(None));
        assert!(
            folder
                .read("1_Pooling")
                .unwrap_err()
                .contains("cannot be read")
        );
        assert!(folder.read("../secret").unwrap_err().contains("not a path"));
        assert!(
            folder
                .read("/etc/passwd")
                .unwrap_err()
                .contains("not a path")
        );
    }

    #[test]
    fn a_file_beyond_all_measure_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create(dir.path().join("config.json")).unwrap();
        file.set_len(files::bytes_max("config.json") + 1).unwrap();
        assert!(
            ModelFolder::at(dir.path())
                .read("config.json")
                .unwrap_err()
                .contains("larger than")
        );
    }
}
