//! A Python with a package, in an environment of its own that is made once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::app::skip;

/// Returns a Python that can `import` a package of a version, or of any. `None`, after a line that says so, where it is not to be had.
pub fn python_with(package: &str, version: Option<&str>) -> Option<PathBuf> {
    /// Tests run side by side, and two cannot make one environment.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join(format!("venv-{package}"));
    let python = venv.join("bin/python");
    let run = |program: &Path, args: &[&str]| match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    if run(&python, &["-c", &format!("import {package}")]).is_ok() {
        return Some(python);
    }
    let wanted = version.map_or_else(
        || package.to_owned(),
        |version| format!("{package}=={version}"),
    );
    let venv = venv.to_str().unwrap();
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let made = run(Path::new("python3"), &["-m", "venv", venv])
        .and_then(|()| run(&python, &[&pip[..], &[&*wanted]].concat()));
    match made {
        Ok(()) => Some(python),
        Err(error) => {
            skip(&format!("no Python with {package}: {error}"));
            None
        }
    }
}
