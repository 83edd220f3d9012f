//! The official Python client, over both transports, doing what `docs/agents.md` says.

use std::path::Path;
use std::process::Command;

use super::bridge::Ending;
use crate::support::app::{App, write_tree};
use crate::support::python::python_with;
use crate::support::server::TestServer;

fn write_project(folder: &Path) {
    write_tree(
        folder,
        &[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (
                "src/lamp.py",
                "def switch_on(lamp):\n    lamp.light = True\n",
            ),
        ],
    );
}

fn run(mut command: Command) {
    let output = command.env("NO_PROXY", "127.0.0.1").output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
}

fn script(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mcp-client.py"));
    command
}

#[test]
fn it_indexes_and_searches_over_standard_input_and_output() {
    let Some(python) = python_with("mcp", Some("2.3.0")) else {
        return;
    };
    let app = App::text_only();
    let _ending = Ending(&app);
    let folder = app.dir.path().join("project");
    write_project(&folder);
    let mut command = script(&python);
    command
        .arg("stdio")
        .arg(env!("CARGO_BIN_EXE_embedder"))
        .arg(&folder)
        .arg(app.data_dir());
    run(command);
}

#[test]
fn it_indexes_and_searches_over_http() {
    let Some(python) = python_with("mcp", Some("2.3.0")) else {
        return;
    };
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let folder = app.dir.path().join("project");
    write_project(&folder);
    let mut command = script(&python);
    command
        .arg("http")
        .arg(format!("{}/mcp", server.url))
        .arg(&folder)
        .arg(&server.admin);
    run(command);
}
