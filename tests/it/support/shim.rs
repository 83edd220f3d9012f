//! Libraries that are loaded before the C library, to make its calls fail: built from `tests/shim`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The library of this name, compiled once for all tests of a process; why it cannot be.
pub fn library(name: &'static str) -> Result<PathBuf, String> {
    static LIBRARIES: Mutex<BTreeMap<&str, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    let mut libraries = LIBRARIES.lock().unwrap();
    let library = libraries.entry(name).or_insert_with(|| build(name));
    library.clone()
}

fn build(name: &str) -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("such faults are made for Linux".to_owned());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/shim/{name}.c"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Another process may load it just now: it gets its name when it is whole.
    let made = folder.join(format!("{name}.{}.so", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]);
    let output = match cc.arg(&made).arg(&source).arg("-ldl").output() {
        Ok(output) => output,
        Err(error) => return Err(format!("cc cannot be run: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", source.display());
    let library = folder.join(format!("{name}.so"));
    fs::rename(&made, &library).unwrap();
    Ok(library)
}
