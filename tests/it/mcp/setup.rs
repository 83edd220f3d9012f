//! `embedder setup`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{App, write_tree};

/// Runs it in a folder, with a home of its own.
fn setup(app: &App, folder: &Path, arguments: &[&str]) -> (String, bool) {
    let all = [&["setup"], arguments].concat();
    let output = app
        .command(&all)
        .current_dir(folder)
        .env("HOME", app.dir.path().join("home"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        output.status.success(),
    )
}

fn entry_of(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["mcpServers"]["embedder"].clone()
}

#[test]
fn each_client_gets_its_entry_once_and_keeps_the_rest() {
    let app = App::text_only();
    let project = app.dir.path().join("project");
    write_tree(
        &project,
        &[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (
                ".mcp.json",
                "{\n  \"mcpServers\": {\n    \"other\": {\"command\": \"other\"}\n  }\n}\n",
            ),
            (".codex/config.toml", "# mine\nmodel = \"m\"\n"),
            ("src/lib.rs", ""),
        ],
    );
    let command = json!({"command": env!("CARGO_BIN_EXE_embedder"), "args": ["mcp"]});
    for (client, file) in [("claude", ".mcp.json"), ("cursor", ".cursor/mcp.json")] {
        // From a folder of the project it is the project's file all the same.
        let (shown, is_ok) = setup(&app, &project.join("src"), &[client, "--dry-run"]);
        assert!(is_ok && shown.contains("+"), "{shown}");
        let before = fs::read_to_string(project.join(file)).ok();
        assert!(before.is_none_or(|text| !text.contains("\"mcp\"")));
        let (said, is_ok) = setup(&app, &project.join("src"), &[client]);
        assert!(is_ok && said.contains("next:"), "{said}");
        assert_eq!(entry_of(&project.join(file)), command);
        let (said, is_ok) = setup(&app, &project, &[client]);
        assert!(is_ok && said.contains("there already"), "{said}");
    }
    let text = fs::read_to_string(project.join(".mcp.json")).unwrap();
    assert!(
        text.contains("\"other\": {\"command\": \"other\"}"),
        "{text}"
    );
    let (_, is_ok) = setup(&app, &project, &["codex"]);
    assert!(is_ok);
    let text = fs::read_to_string(project.join(".codex/config.toml")).unwrap();
    assert!(text.starts_with("# mine\nmodel = \"m\"\n"), "{text}");
    assert!(text.contains("[mcp_servers.embedder]"), "{text}");
}

#[test]
fn what_was_said_by_flags_is_written_down_for_any_folder() {
    let app = App::text_only();
    let project = app.dir.path().canonicalize().unwrap().join("project");
    write_tree(&project, &[("src/lib.rs", "")]);
    let (said, is_ok) = setup(&app, &project, &["claude", "--data-dir", "data"]);
    assert!(is_ok, "{said}");
    assert!(said.contains("embedder models pull"), "{said}");
    let data_dir = project.join("data");
    assert_eq!(
        entry_of(&project.join(".mcp.json"))["args"],
        json!(["mcp", "--data-dir", data_dir])
    );
    let (said, _) = setup(&app, &project, &["cursor"]);
    assert!(said.contains("EMBEDDER_DATA_DIR is set here"), "{said}");
}

#[test]
fn a_user_has_it_everywhere_and_what_is_broken_is_left_alone() {
    let app = App::text_only();
    let home = app.dir.path().join("home");
    fs::create_dir_all(&home).unwrap();
    for (client, file) in [
        ("claude", ".claude.json"),
        ("cursor", ".cursor/mcp.json"),
        ("codex", ".codex/config.toml"),
    ] {
        let (said, is_ok) = setup(&app, &home, &[client, "--user"]);
        assert!(is_ok, "{said}");
        assert!(home.join(file).is_file(), "{file}");
    }
    fs::write(home.join(".claude.json"), "{ broken").unwrap();
    let (said, is_ok) = setup(&app, &home, &["claude", "--user"]);
    assert!(!is_ok && said.contains("cannot be read"), "{said}");
    assert_eq!(
        fs::read_to_string(home.join(".claude.json")).unwrap(),
        "{ broken"
    );
}
