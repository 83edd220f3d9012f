//! Where a model's files come from.

use serde::de::DeserializeOwned;

use crate::ModelError;

/// A model folder, wherever it is kept.
///
/// A map from name to content is one:
///
/// ```
/// use std::collections::HashMap;
/// use embedder_inference::ModelFiles;
///
/// struct InMemory(HashMap<&'static str, Vec<u8>>);
///
/// impl ModelFiles for InMemory {
///     fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
///         Ok(self.0.get(name).cloned())
///     }
/// }
/// # assert_eq!(InMemory(HashMap::new()).read("config.json"), Ok(None));
/// ```
pub trait ModelFiles {
    /// The content of the file `name`, a path relative to the folder with `/` between its parts, such as
    /// `1_Pooling/config.json`; `None` when there is no such file.
    ///
    /// # Errors
    /// The reason, in one line, why a file that exists cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String>;
}

/// A file that may be absent.
pub(crate) fn optional(files: &dyn ModelFiles, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
    files.read(name).map_err(|reason| ModelError::Unreadable {
        file: name.to_owned(),
        reason,
    })
}

/// A file that must be there.
pub(crate) fn required(files: &dyn ModelFiles, name: &str) -> Result<Vec<u8>, ModelError> {
    optional(files, name)?.ok_or_else(|| ModelError::MissingFile {
        file: name.to_owned(),
    })
}

/// A JSON file that may be absent.
pub(crate) fn optional_json<T: DeserializeOwned>(
    files: &dyn ModelFiles,
    name: &str,
) -> Result<Option<T>, ModelError> {
    optional(files, name)?
        .map(|bytes| parse(name, &bytes))
        .transpose()
}

/// A JSON file that must be there.
pub(crate) fn required_json<T: DeserializeOwned>(
    files: &dyn ModelFiles,
    name: &str,
) -> Result<T, ModelError> {
    parse(name, &required(files, name)?)
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ModelError> {
    serde_json::from_slice(bytes).map_err(|error| ModelError::Malformed {
        file: name.to_owned(),
        reason: error.to_string(),
    })
}
