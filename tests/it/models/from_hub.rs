//! A hub that works.

use std::fs;

use embedder::engine::models::{Manifest, ModelName, PullError};
use embedder::outbound::Secret;

use super::fixture::{NAME, REPOSITORY, Scene, WEIGHTS, all_files, files};
use crate::support::hub::{COMMIT, Fault, sha256};

#[test]
fn a_known_model_is_pulled_whole() {
    let scene = Scene::new();
    let pulled = scene.pull().unwrap();
    assert_eq!(pulled.dir, scene.home());
    assert!(!pulled.already_there && pulled.failures.is_empty());
    scene.assert_whole(&pulled.dir);
    let manifest = Manifest::read(&pulled.dir).unwrap().unwrap();
    assert_eq!(manifest, pulled.manifest);
    assert_eq!(manifest.source, format!("hub {}", scene.hub.endpoint()));
    assert_eq!(manifest.revision.as_deref(), Some(COMMIT));
    assert_eq!(manifest.licence.as_deref(), Some("MIT"));
    let weights = manifest
        .files
        .iter()
        .find(|file| file.name == WEIGHTS)
        .unwrap();
    assert_eq!(weights.sha256, sha256(&files()[WEIGHTS]));
    assert_eq!(weights.bytes, files()[WEIGHTS].len() as u64);
}

#[test]
fn a_known_model_answers_to_its_repository() {
    let scene = Scene::new();
    assert_eq!(
        scene.pull_named(REPOSITORY, false).unwrap().manifest.name,
        NAME
    );
}

#[test]
fn all_files_are_of_one_commit() {
    let scene = Scene::new();
    scene.pull().unwrap();
    let at_hub: Vec<_> = scene
        .hub
        .seen()
        .into_iter()
        .filter(|seen| !seen.at_store)
        .collect();
    assert!(at_hub[0].path.contains("/resolve/main/"), "{at_hub:?}");
    assert!(
        at_hub[1..].iter().all(|seen| seen.path.contains(COMMIT)),
        "{at_hub:?}"
    );
}

#[test]
fn progress_counts_every_byte_once() {
    let scene = Scene::new();
    scene.pull().unwrap();
    let total: u64 = files().values().map(|bytes| bytes.len() as u64).sum();
    assert_eq!(scene.notes.bytes.into_inner(), total);
    assert!(
        scene
            .notes
            .lines
            .lock()
            .unwrap()
            .contains(&format!("begin {WEIGHTS} Some({})", files()[WEIGHTS].len()))
    );
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let mut scene = Scene::new();
    scene.sources.hub_token = Some(Secret::new("hf_secret"));
    scene.pull().unwrap();
    for seen in scene.hub.seen() {
        let expected = (!seen.at_store).then_some("Bearer hf_secret");
        assert_eq!(seen.authorization.as_deref(), expected, "{seen:?}");
    }
    assert!(!scene.hub.seen_at_store(WEIGHTS).is_empty());
}

#[test]
fn the_token_is_in_no_message() {
    let mut scene = Scene::new();
    scene.sources.hub_token = Some(Secret::new("hf_secret"));
    scene.hub.fault(WEIGHTS, Fault::Status(401, None));
    let error = scene.pull().unwrap_err();
    assert!(!format!("{error} {error:?} {:?}", scene.sources).contains("hf_secret"));
    assert!(!scene.notes.has("hf_secret"));
}

#[test]
fn any_repository_can_be_pulled_without_pins() {
    let scene = Scene::new();
    let pulled = scene.pull_named("someone/other-model", false).unwrap();
    assert_eq!(
        pulled.dir,
        scene.models().dir().join("someone--other-model")
    );
    scene.assert_whole(&pulled.dir);
    assert_eq!(pulled.manifest.licence, None);
    let name = ModelName::parse("someone/other-model").unwrap();
    assert_eq!(scene.models().path_of(&name).unwrap(), pulled.dir);
}

#[test]
fn without_pins_the_announced_sum_counts() {
    let scene = Scene::new();
    for _ in 0..2 {
        scene
            .hub
            .fault(WEIGHTS, Fault::AnnounceSum("ab".repeat(32)));
    }
    let error = scene
        .pull_named("someone/other-model", false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("{} is expected", "ab".repeat(32))),
        "{error}"
    );
    assert_eq!(
        all_files(&scene.models().dir().join("someone--other-model")),
        Vec::<String>::new()
    );
}

#[test]
fn a_hub_with_other_weights_is_left_before_they_are_transferred() {
    let scene = Scene::new();
    scene
        .hub
        .fault(WEIGHTS, Fault::AnnounceSum("ab".repeat(32)));
    let error = scene.failure();
    assert!(error.contains("the hub announces sha256 abab"), "{error}");
    assert_eq!(scene.hub.seen_at_store(WEIGHTS).len(), 1);
    assert!(!scene.staged(WEIGHTS).exists());
    scene.assert_nothing();
}

#[test]
fn small_files_may_be_reformatted_but_must_be_json() {
    let scene = Scene::new();
    scene
        .hub
        .replace("config.json", b"{ \"model_type\" : \"bert\" }\n".to_vec());
    let pulled = scene.pull().unwrap();
    assert_eq!(
        fs::read(pulled.dir.join("config.json")).unwrap(),
        b"{ \"model_type\" : \"bert\" }\n"
    );

    let scene = Scene::new();
    scene
        .hub
        .fault("config.json", Fault::Portal("<html>Please log in</html>"));
    let error = scene.failure();
    assert!(error.contains("config.json is not JSON"), "{error}");
    scene.assert_nothing();
    // Nothing of the portal's page stays to spoil the next pull.
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
}

#[test]
fn optional_files_may_be_absent_and_required_ones_not() {
    let scene = Scene::new();
    scene.hub.remove("modules.json");
    scene.hub.remove("1_Pooling/config.json");
    let pulled = scene.pull().unwrap();
    assert!(!pulled.dir.join("modules.json").exists());

    let scene = Scene::new();
    scene.hub.remove(WEIGHTS);
    let error = scene.failure();
    assert!(
        error.contains("it has no model.safetensors, which every model needs"),
        "{error}"
    );
    scene.assert_nothing();
}

#[test]
fn modules_cannot_name_files_outside_the_model() {
    let scene = Scene::new();
    scene
        .hub
        .replace("modules.json", br#"[{"path":"../../../etc"}]"#.to_vec());
    let error = scene.failure();
    assert!(error.contains("not a plain folder name"), "{error}");
    assert!(
        scene
            .hub
            .seen()
            .iter()
            .all(|seen| !seen.path.contains("etc"))
    );
}

#[test]
fn names_that_are_no_names_are_refused() {
    let scene = Scene::new();
    for name in ["../escape", "/etc/passwd", "a/b/c", ""] {
        assert!(
            matches!(scene.pull_named(name, false), Err(PullError::Name(_))),
            "{name}"
        );
    }
    assert_eq!(scene.hub.seen(), []);
    assert!(!scene.models().dir().exists());
}

#[test]
fn a_short_name_that_nobody_knows_gets_a_hint() {
    let scene = Scene::new();
    let error = scene
        .pull_named("unheard-of", false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("only names of the form owner/name"),
        "{error}"
    );
    assert!(
        error.contains("Remedy: give the model as owner/name"),
        "{error}"
    );
    assert_eq!(scene.hub.seen(), []);
}
