//! What a tool is called with.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
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

/// Reads a list, or what somebody gives in place of a list of one.
///
/// # Errors
/// What is neither a text nor a list of texts.
pub(super) fn one_or_several<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text, or a list of texts")]
    enum OneOrSeveral {
        One(String),
        Several(Vec<String>),
    }
    Ok(match OneOrSeveral::deserialize(deserializer)? {
        OneOrSeveral::One(one) => vec![one],
        OneOrSeveral::Several(several) => several,
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
