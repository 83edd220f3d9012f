//! A local folder as the source.

use std::fs;
use std::path::PathBuf;

use super::fixture::{Scene, WEIGHTS, files};

/// A scene whose source is a folder with the model's files.
fn scene() -> (Scene, PathBuf) {
    let mut scene = Scene::new();
    let folder = scene.folder.path().join("given");
    for (name, bytes) in files() {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    scene.sources.from = Some(folder.clone());
    (scene, folder)
}

#[test]
fn a_folder_is_copied_and_no_network_used() {
    let (scene, folder) = scene();
    fs::write(folder.join("README.md"), "not wanted").unwrap();
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    assert_eq!(
        pulled.manifest.source,
        format!("folder {}", folder.display())
    );
    assert_eq!(pulled.manifest.revision, None);
    assert_eq!(scene.hub.seen(), []);
}

#[test]
fn a_folder_can_be_given_any_name() {
    let (scene, _) = scene();
    let pulled = scene.pull_named("my-own", false).unwrap();
    scene.assert_whole(&pulled.dir);
    assert_eq!(pulled.manifest.name, "my-own");
}

#[cfg(unix)]
#[test]
fn links_are_followed_as_in_the_hubs_cache() {
    let (scene, folder) = scene();
    let blob = scene.folder.path().join("blob");
    fs::rename(folder.join(WEIGHTS), &blob).unwrap();
    std::os::unix::fs::symlink(&blob, folder.join(WEIGHTS)).unwrap();
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
    assert!(
        !fs::symlink_metadata(pulled.dir.join(WEIGHTS))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn a_folder_with_other_weights_is_not_the_known_model() {
    let (scene, folder) = scene();
    let mut weights = files()[WEIGHTS].clone();
    weights[1_000] ^= 1;
    fs::write(folder.join(WEIGHTS), weights).unwrap();
    let error = scene.failure();
    assert!(error.contains("model.safetensors: sha256"), "{error}");
    assert!(
        error.contains("Remedy: give a sentence-transformers folder"),
        "{error}"
    );
    scene.assert_nothing();
}

#[test]
fn what_is_wrong_with_a_folder_is_named() {
    let (scene, folder) = scene();
    fs::write(folder.join(WEIGHTS), &files()[WEIGHTS][..5]).unwrap();
    let error = scene.pull_named("my-own", false).unwrap_err().to_string();
    assert!(
        error.contains("model.safetensors is no safetensors file: it has only 5 bytes"),
        "{error}"
    );
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    assert!(scene.failure().contains("it has no tokenizer.json"));
    fs::create_dir(folder.join("tokenizer.json")).unwrap();
    assert!(scene.failure().contains("tokenizer.json is not a file"));
    fs::remove_dir_all(&folder).unwrap();
    assert!(scene.failure().contains("there is no such folder"));
    scene.assert_nothing();
}
