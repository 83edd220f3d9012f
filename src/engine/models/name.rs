//! Names of models.

use std::fmt;

/// Characters of a name altogether; the hub allows 96 in each of the two parts.
const NAME_LEN_MAX: usize = 193;

/// A model's name, `name` or `owner/name`, that is safe in a path and in an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(String);

/// A text that is not a model's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a model's name: {reason}")]
pub struct NameError {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl ModelName {
    /// Checks a name: at most one `/`, and in each part letters, digits, `-`, `_` and `.`, neither first nor last a `-`
    /// or `.`, and nowhere `--` or `..`. These are the hub's own rules.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| NameError {
            text: text.chars().take(NAME_LEN_MAX).collect(),
            reason,
        };
        if text.len() > NAME_LEN_MAX {
            return Err(refuse("it is too long"));
        }
        if text.split('/').count() > 2 {
            return Err(refuse(
                "it is more than owner/name; a local folder goes with --from",
            ));
        }
        for part in text.split('/') {
            if part.is_empty() {
                return Err(refuse(
                    "a part of it is empty; a local folder goes with --from",
                ));
            }
            if !part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            {
                return Err(refuse("only letters, digits, '-', '_' and '.' are allowed"));
            }
            if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
                return Err(refuse("a part of it begins or ends with '-' or '.'"));
            }
            if part.contains("--") || part.contains("..") {
                return Err(refuse("it contains '--' or '..'"));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the model's folder: `owner--name`, so that no model's folder lies in another's. The mapping can be
    /// turned back because no part contains `--`.
    #[must_use]
    pub fn folder(&self) -> String {
        self.0.replace('/', "--")
    }

    /// Whether the name is `owner/name`, as the hub needs it.
    #[must_use]
    pub fn has_owner(&self) -> bool {
        self.0.contains('/')
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_accepted() {
        for text in ["all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5", "a/b", "x_1"] {
            assert_eq!(ModelName::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(
            ModelName::parse("BAAI/bge-small-en-v1.5").unwrap().folder(),
            "BAAI--bge-small-en-v1.5"
        );
    }

    #[test]
    fn what_could_leave_the_folder_is_refused() {
        let long = "x".repeat(500);
        let bad = [
            "", "/", "/etc", "a/", "..", "../x", "a/../b", "a/b/c", ".hidden", "a/.b", "a\\b",
            "a b", "a\0", "ä", "a--b", "-x", "x.", "C:x", "a?b", "a%2fb", "~", &long,
        ];
        for text in bad {
            assert!(ModelName::parse(text).is_err(), "{text:?}");
        }
    }
}
