//! What is in place before and after a pull.

use std::fs;
use std::sync::atomic::Ordering;
use std::thread;

use embedder::engine::models::{MANIFEST_FILE, ModelName, Models, PullError, PullRequest};

use super::fixture::{NAME, Notes, Scene, WEIGHTS, files, known};
use crate::support::hub::Fault;

/// Takes the model's lock as another process would.
fn hold_lock(scene: &Scene) -> fs::File {
    let partial = scene.models().dir().join(".partial");
    fs::create_dir_all(&partial).unwrap();
    let lock = fs::File::create(partial.join("tiny.lock")).unwrap();
    lock.try_lock().unwrap();
    lock
}

fn name() -> ModelName {
    ModelName::parse(NAME).unwrap()
}

#[test]
fn a_model_that_is_there_is_left_alone() {
    let scene = Scene::new();
    let first = scene.pull().unwrap();
    let requests = scene.hub.seen().len();
    let second = scene.pull().unwrap();
    assert!(second.already_there);
    assert_eq!((second.dir, second.manifest), (first.dir, first.manifest));
    assert_eq!(scene.hub.seen().len(), requests);
}

#[test]
fn force_replaces_a_model() {
    let scene = Scene::new();
    let pulled = scene.pull().unwrap();
    fs::write(pulled.dir.join("extra"), "x").unwrap();
    let pulled = scene.pull_named(NAME, true).unwrap();
    assert!(!pulled.already_there);
    scene.assert_whole(&pulled.dir);
}

#[test]
fn a_forced_pull_that_fails_keeps_the_old_model() {
    let scene = Scene::new();
    let dir = scene.pull().unwrap().dir;
    scene.hub.remove(WEIGHTS);
    assert!(scene.pull_named(NAME, true).is_err());
    assert_eq!(fs::read(dir.join(WEIGHTS)).unwrap(), files()[WEIGHTS]);
    assert!(
        scene
            .models()
            .verify(&name(), &scene.notes.control())
            .is_ok()
    );
}

#[test]
fn a_model_that_lost_files_is_pulled_again() {
    let scene = Scene::new();
    let dir = scene.pull().unwrap().dir;
    fs::write(dir.join(WEIGHTS), "short").unwrap();
    let damaged = scene.models().path_of(&name()).unwrap_err().to_string();
    assert!(
        damaged.contains("model.safetensors has 5 bytes, not 400000"),
        "{damaged}"
    );
    assert!(
        damaged.contains("Remedy: embedder models pull tiny --force"),
        "{damaged}"
    );
    assert!(scene.models().installed().unwrap()[0].damage.is_some());
    assert!(!scene.pull().unwrap().already_there);
    scene.assert_whole(&dir);
}

#[test]
fn a_folder_of_someone_else_is_not_touched() {
    let scene = Scene::new();
    fs::create_dir_all(scene.home()).unwrap();
    fs::write(scene.home().join("precious"), "x").unwrap();
    assert!(matches!(scene.pull(), Err(PullError::Occupied { .. })));
    assert_eq!(scene.hub.seen(), []);
    assert!(scene.home().join("precious").exists());
    let pulled = scene.pull_named(NAME, true).unwrap();
    scene.assert_whole(&pulled.dir);
}

#[test]
fn two_pulls_at_once_are_one() {
    let scene = Scene::new();
    let models = scene.models();
    thread::scope(|scope| {
        let pulls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (known, notes) = (
                        [known()],
                        Notes {
                            sleeps: true,
                            ..Notes::default()
                        },
                    );
                    let request = PullRequest {
                        name: NAME,
                        known: &known,
                        force: false,
                    };
                    models
                        .pull(&request, &scene.sources, &notes.control())
                        .unwrap()
                })
            })
            .collect();
        let pulled: Vec<_> = pulls.into_iter().map(|pull| pull.join().unwrap()).collect();
        assert_eq!(
            pulled.iter().filter(|pulled| !pulled.already_there).count(),
            1
        );
    });
    assert_eq!(scene.hub.seen_at_store(WEIGHTS).len(), 1);
    scene.assert_whole(&scene.home());
}

#[test]
fn one_that_waits_for_another_pull_can_be_interrupted() {
    let mut scene = Scene::new();
    scene.notes.sleeps = true;
    let _held = hold_lock(&scene);
    thread::scope(|scope| {
        let pull = scope.spawn(|| scene.pull());
        while !scene.notes.has("waiting for another process") {
            thread::yield_now();
        }
        scene.notes.interrupt.store(true, Ordering::Relaxed);
        assert!(matches!(pull.join().unwrap(), Err(PullError::Interrupted)));
    });
    assert_eq!(scene.hub.seen(), []);
}

#[test]
fn a_lock_that_is_never_freed_is_named() {
    let scene = Scene::new();
    let _held = hold_lock(&scene);
    let error = scene.failure();
    assert!(
        error.contains("another process is pulling this model and holds"),
        "{error}"
    );
    assert!(error.contains("tiny.lock"), "{error}");
}

#[test]
fn a_crash_while_replacing_loses_no_model() {
    let scene = Scene::new();
    scene.pull().unwrap();
    // This is how things stand between the two renames of a replacement.
    let old = scene.models().dir().join(".partial/tiny.old");
    fs::rename(scene.home(), &old).unwrap();
    scene.hub.fault("modules.json", Fault::Status(401, None));
    assert!(scene.pull().unwrap().already_there);
    scene.assert_whole(&scene.home());
}

#[test]
fn remains_of_another_version_do_not_enter_the_model() {
    let scene = Scene::new();
    for name in ["2_Dense/config.json", "stray.bin"] {
        let staged = scene.staged(name);
        fs::create_dir_all(staged.parent().unwrap()).unwrap();
        fs::write(staged, "{}").unwrap();
    }
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_not_kept_full() {
    let scene = Scene::new();
    let staged = scene.staged("tokenizer.json");
    fs::create_dir_all(staged.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &staged).unwrap();
    let error = scene.pull().unwrap_err();
    assert!(matches!(error, PullError::DiskFull { .. }), "{error}");
    assert!(
        error.to_string().starts_with("the disk is full: ")
            && error.to_string().contains("tokenizer.json")
    );
    assert!(!scene.models().dir().join(".partial/tiny").exists());
    let pulled = scene.pull().unwrap();
    scene.assert_whole(&pulled.dir);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_may_not_be_written_is_named() {
    let scene = Scene::new();
    let known = [known()];
    let request = PullRequest {
        name: NAME,
        known: &known,
        force: false,
    };
    // Nobody may make folders here, not even root.
    let models = Models::at("/sys/embedder-models");
    let error = models
        .pull(&request, &scene.sources, &scene.notes.control())
        .unwrap_err();
    assert!(matches!(error, PullError::Denied { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("no permission: /sys/embedder-models"),
        "{error}"
    );
}

#[test]
fn a_file_in_place_of_the_folder_is_named() {
    let scene = Scene::new();
    fs::write(scene.models().dir(), "a file").unwrap();
    let error = scene.failure();
    assert!(error.contains("models"), "{error}");
    assert_eq!(scene.hub.seen(), []);
}

#[test]
fn installed_models_are_listed() {
    let scene = Scene::new();
    assert_eq!(scene.models().installed().unwrap(), []);
    scene.pull().unwrap();
    scene.pull_named("someone/other-model", false).unwrap();
    fs::create_dir(scene.models().dir().join("not-a-model")).unwrap();
    let installed = scene.models().installed().unwrap();
    let names: Vec<_> = installed
        .iter()
        .map(|model| model.manifest.name.as_str())
        .collect();
    assert_eq!(names, ["someone/other-model", NAME]);
    assert!(
        installed
            .iter()
            .all(|model| model.damage.is_none() && model.bytes() > 400_000)
    );
}

#[test]
fn verify_reads_every_byte() {
    let scene = Scene::new();
    let error = scene
        .models()
        .verify(&name(), &scene.notes.control())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Remedy: embedder models pull tiny"),
        "{error}"
    );
    let dir = scene.pull().unwrap().dir;
    assert!(
        scene
            .models()
            .verify(&name(), &scene.notes.control())
            .is_ok()
    );

    let mut weights = files()[WEIGHTS].clone();
    weights[200_000] ^= 1;
    fs::write(dir.join(WEIGHTS), weights).unwrap();
    assert!(scene.models().path_of(&name()).is_ok());
    let error = scene
        .models()
        .verify(&name(), &scene.notes.control())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("tiny is damaged: model.safetensors has sha256"),
        "{error}"
    );

    fs::write(dir.join(MANIFEST_FILE), "{").unwrap();
    assert!(matches!(
        scene.models().path_of(&name()),
        Err(PullError::Damaged { .. })
    ));
}
