//! The real default model against the float64 reference. Needs the model; says so and passes without it, unless
//! `EMBEDDER_TEST_REQUIRE=all`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::support::{Expected, Folder, check_batches_never_change_bits};
use embedder_inference::{Encoder, InputKind, Level, Tokens};

/// Where the model is: a folder named by `EMBEDDER_TEST_MODEL`, or where the workspace's tests download it to.
fn model_folder() -> Option<PathBuf> {
    let named = std::env::var_os("EMBEDDER_TEST_MODEL").map(PathBuf::from);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = named.unwrap_or_else(|| target.join("models/all-MiniLM-L6-v2"));
    if folder.join("model.safetensors").exists() {
        return Some(folder);
    }
    let required = std::env::var("EMBEDDER_TEST_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "all-MiniLM-L6-v2 is not in {}", folder.display());
    // Not `eprintln!`, which the test harness captures: a skip must be seen.
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "skipped: all-MiniLM-L6-v2 is not in {}",
        folder.display()
    )
    .unwrap();
    None
}

/// The model on every level of this machine, or on none.
fn encoders() -> impl Iterator<Item = Encoder> {
    let folder = model_folder().map(Folder::at);
    folder.into_iter().flat_map(|folder| {
        Level::available()
            .into_iter()
            .map(move |level| Encoder::load(&folder, level).unwrap())
    })
}

#[test]
fn tokens_and_vectors_agree_with_the_float64_reference() {
    let expected = Expected::read("minilm.json");
    assert!(expected.texts.len() >= 120);
    for encoder in encoders() {
        expected.check(&encoder, InputKind::Document, 0.99999);
    }
}

#[test]
fn a_text_has_the_same_bits_alone_or_in_any_batch() {
    let expected = Expected::read("minilm.json");
    for encoder in encoders() {
        // A twelfth of the texts has short and long ones among them, and keeps the portable level's share below a few seconds.
        let texts = expected.texts.iter().step_by(12);
        let tokens: Vec<Tokens> = texts
            .map(|text| encoder.tokenize(text, InputKind::Query))
            .collect();
        check_batches_never_change_bits(&encoder, &tokens);
    }
}

#[test]
fn its_files_describe_it() {
    for encoder in encoders() {
        let architecture = encoder.architecture();
        assert_eq!(
            (architecture.hidden, architecture.layers, architecture.heads),
            (384, 6, 12)
        );
        assert_eq!((encoder.dimensions(), encoder.max_tokens()), (384, 256));
        assert!(architecture.normalize);
    }
}
