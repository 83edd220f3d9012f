//! What a tool is called with.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Reads the arguments of a tool.
///
/// # Errors
/// [`Error::Argument`], which names the argument that is missing, unknown or of the wrong kind.
pub(super) fn read<T: DeserializeOwned>(arguments: Option<Map<String, Value>>) -> Result<T> {
    let arguments = Value::Object(arguments.unwrap_or_default());
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." {
            String::new()
        } else {
            format!("`{path}`: ")
        };
        Error::Argument {
            problem: format!("{at}{}", error.inner()),
            remedy: "see the tool's schema in tools/list".to_owned(),
        }
    })
}

/// Makes sure that a number is within its limits.
///
/// # Errors
/// [`Error::Argument`].
pub(super) fn within(name: &str, value: usize, least: usize, most: usize) -> Result<usize> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::Argument {
        problem: format!("`{name}` is {value}"),
        remedy: format!("{least} to {most}"),
    })
}
