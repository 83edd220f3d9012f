//! The program under test: the real binary, in a data directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for what must come.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A data directory and the program working on it.
pub struct App {
    pub dir: tempfile::TempDir,
    model: Option<PathBuf>,
    /// Options of `ulimit` under which the program runs.
    pub ulimit: Option<&'static str>,
}

impl App {
    /// An empty data directory without a model: text search only.
    pub fn text_only() -> App {
        App {
            dir: tempfile::tempdir().unwrap(),
            model: None,
            ulimit: None,
        }
    }

    /// An empty data directory and the real model, which is fetched once into `target/`. `None`, after a line that says
    /// so, where the model is not to be had.
    pub fn with_model() -> Option<App> {
        let model = real_model()?;
        Some(App {
            dir: tempfile::tempdir().unwrap(),
            model: Some(model),
            ulimit: None,
        })
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The command with its environment: nothing of the user's settings, and no network.
    pub fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_embedder");
        let mut command = match self.ulimit {
            None => Command::new(program),
            Some(options) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit {options} && exec \"$0\" \"$@\"");
                shell.args(["-c", &script, program]);
                shell
            }
        };
        command
            .args(args)
            .env("EMBEDDER_DATA_DIR", self.data_dir())
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("HF_HUB_OFFLINE", "1")
            .env("EMBEDDER_PYTHON", "/nonexistent/python")
            .env_remove("EMBEDDER_MODEL")
            .stdin(Stdio::null())
            .current_dir(self.dir.path());
        if let Some(model) = &self.model {
            command.env("EMBEDDER_MODEL", model);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Run(self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed.
    pub fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert!(
            run.0.status.success(),
            "{args:?}\n{}\n{}",
            run.out(),
            run.err()
        );
        run
    }

    /// Runs a command that must fail with this exit code and one line that holds these parts.
    pub fn fails(&self, args: &[&str], code: i32, parts: &[&str]) -> Run {
        let run = self.run(args);
        run.assert_failure(code, parts);
        run
    }

    /// Runs a command with `--json` and returns what it printed.
    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let run = self.ok(&args);
        serde_json::from_str(&run.out()).unwrap_or_else(|error| panic!("{error}: {}", run.out()))
    }

    /// The `path:start_line` of each hit.
    pub fn places(&self, args: &[&str]) -> Vec<String> {
        places(&self.json(args))
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// The `path:start_line` of each hit of an answer.
pub fn places(answer: &Value) -> Vec<String> {
    let hits = answer["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| format!("{}:{}", hit["path"].as_str().unwrap(), hit["start_line"]))
        .collect()
}

/// What a command did.
pub struct Run(pub Output);

impl Run {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub fn assert_failure(&self, code: i32, parts: &[&str]) {
        let err = self.err();
        let errors: Vec<&str> = err
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(self.0.status.code(), Some(code), "{err}");
        assert_eq!(errors.len(), 1, "one line of error: {err}");
        for part in parts {
            assert!(
                errors[0].contains(part),
                "{part:?} is missing in {:?}",
                errors[0]
            );
        }
    }
}

/// Writes files below a folder.
pub fn write_tree(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// Polls until `done` is true.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a skip is a failure: continuous integration sets it, so that nothing is skipped there.
pub fn is_required() -> bool {
    std::env::var_os("EMBEDDER_TEST_REQUIRE").is_some_and(|value| value == "all")
}

/// Says that a test is skipped and why; a failure where everything is required.
pub fn skip(why: &str) {
    assert!(
        !is_required(),
        "skipped although EMBEDDER_TEST_REQUIRE=all: {why}"
    );
    eprintln!("skipped: {why}");
}

/// The folder of the real model, fetched once for all tests by the program itself.
pub fn real_model() -> Option<PathBuf> {
    static MODEL: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let model = MODEL.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_embedder"))
            .args(["models", "pull", "all-MiniLM-L6-v2", "--data-dir"])
            .arg(target)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(target.join("models/all-MiniLM-L6-v2"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    });
    match model {
        Ok(path) => Some(path.clone()),
        Err(error) => {
            skip(&format!("the model could not be fetched: {error}"));
            None
        }
    }
}
