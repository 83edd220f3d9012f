//! Flags, environment and file as one lookup of strings.

use std::collections::BTreeMap;

/// A lookup of strings by name.
pub trait Strings {
    /// Returns the string of this name; empty counts as absent.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub struct Environment;

impl Strings for Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

impl Strings for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name)
            .filter(|value| !value.is_empty())
            .cloned()
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// This environment variable.
    Environment(&'static str),
    /// The configuration file.
    File,
    /// Nobody set it.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Flag => f.write_str("flag"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::File => f.write_str("file"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// One layer of settings, by key.
pub type Layer = BTreeMap<String, String>;

/// The layers over each other.
pub struct Layers<'a> {
    /// The strongest: flags, by key.
    pub flags: Layer,
    /// Then the environment, by variable.
    pub environment: &'a dyn Strings,
    /// Then the file, by dotted key.
    pub file: Layer,
}

impl Layers<'_> {
    /// Returns the strongest value of a setting and where it came from.
    pub fn get(&self, key: &str, variables: &[&'static str]) -> Option<(String, Origin)> {
        if let Some(value) = Strings::get(&self.flags, key) {
            return Some((value, Origin::Flag));
        }
        for variable in variables {
            if let Some(value) = self.environment.get(variable) {
                return Some((value, Origin::Environment(variable)));
            }
        }
        Strings::get(&self.file, key).map(|value| (value, Origin::File))
    }
}
