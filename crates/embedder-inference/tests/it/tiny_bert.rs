//! A random model with awkward sizes, and its variants, against the float64 reference, on every level of this machine.

use crate::support::{Expected, Folder, check_batches_never_change_bits};
use embedder_inference::{Encoder, InputKind, Level, Pooling, Tokens};

const COSINE_MIN: f64 = 0.99999;

/// The length that the reference was made with; the model has a few positions more.
const SENTENCE_CONFIG: &str = r#"{"max_seq_length": 40, "do_lower_case": false}"#;
const PROMPTS: &str =
    r#"{"prompts": {"query": "query: ", "passage": "text: "}, "default_prompt_name": null}"#;

fn tiny() -> Folder {
    Folder::tiny().with("sentence_bert_config.json", SENTENCE_CONFIG)
}

fn check(folder: &Folder, kind: InputKind, expected: &str) {
    for level in Level::available() {
        Expected::read(expected).check(&Encoder::load(folder, level).unwrap(), kind, COSINE_MIN);
    }
}

#[test]
fn mean_pooling_agrees_with_the_reference() {
    check(
        &tiny().with_modules("mean_tokens", true),
        InputKind::Document,
        "tiny-bert/expected-mean.json",
    );
}

#[test]
fn cls_pooling_agrees_with_the_reference() {
    check(
        &tiny().with_modules("cls_token", true),
        InputKind::Document,
        "tiny-bert/expected-cls.json",
    );
}

#[test]
fn a_bare_transformer_has_mean_pooling_and_vectors_as_they_come() {
    check(&tiny(), InputKind::Document, "tiny-bert/expected-bare.json");
}

#[test]
fn queries_and_documents_get_their_own_prompts() {
    let folder = tiny()
        .with_modules("mean_tokens", true)
        .with("config_sentence_transformers.json", PROMPTS);
    check(&folder, InputKind::Query, "tiny-bert/expected-query.json");
    check(
        &folder,
        InputKind::Document,
        "tiny-bert/expected-document.json",
    );
}

#[test]
fn tensors_may_be_f32_under_prefixed_names() {
    let weights = tiny().content("model-bert-f32.safetensors");
    let folder = tiny()
        .with_modules("mean_tokens", true)
        .with("model.safetensors", weights);
    check(&folder, InputKind::Document, "tiny-bert/expected-mean.json");
}

#[test]
fn layer_normalisations_may_have_their_old_names() {
    let mut weights = tiny().content("model.safetensors");
    let header_end = 8 + u64::from_le_bytes(*weights.first_chunk().unwrap()) as usize;
    let header = String::from_utf8(weights[8..header_end].to_vec()).unwrap();
    // Of the same length, so that nothing else in the file moves.
    let renamed = header
        .replace("LayerNorm.weight\":", "LayerNorm.gamma\": ")
        .replace("LayerNorm.bias", "LayerNorm.beta");
    assert_ne!(header, renamed);
    weights.splice(8..header_end, renamed.into_bytes());
    let folder = tiny()
        .with_modules("mean_tokens", true)
        .with("model.safetensors", weights);
    check(&folder, InputKind::Document, "tiny-bert/expected-mean.json");
}

#[test]
fn the_transformer_may_have_a_folder_of_its_own() {
    let mut folder = tiny().with_modules("mean_tokens", true);
    let modules = String::from_utf8(folder.content("modules.json")).unwrap();
    folder = folder.with(
        "modules.json",
        modules.replacen(r#""path": """#, r#""path": "0_Transformer""#, 1),
    );
    for name in [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "sentence_bert_config.json",
    ] {
        let content = folder.content(name);
        folder = folder
            .with(&format!("0_Transformer/{name}"), content)
            .without(name);
    }
    check(&folder, InputKind::Document, "tiny-bert/expected-mean.json");
}

#[test]
fn a_text_has_the_same_bits_alone_or_in_any_batch() {
    let expected = Expected::read("tiny-bert/expected-mean.json");
    for level in Level::available() {
        let encoder = Encoder::load(&tiny(), level).unwrap();
        let tokens: Vec<Tokens> = expected
            .texts
            .iter()
            .map(|text| encoder.tokenize(text, InputKind::Document))
            .collect();
        check_batches_never_change_bits(&encoder, &tokens);
    }
}

#[test]
fn no_texts_give_no_vectors() {
    let encoder = Encoder::load(&tiny(), Level::best()).unwrap();
    assert!(encoder.encode(&mut Default::default(), &[]).is_empty());
}

#[test]
#[should_panic(expected = "not in the model's vocabulary")]
fn tokens_of_another_model_are_refused() {
    let encoder = Encoder::load(&tiny(), Level::best()).unwrap();
    let tokens = Tokens {
        ids: vec![2, 1_000_000, 3],
        truncated: false,
    };
    encoder.encode(&mut Default::default(), &[tokens]);
}

#[test]
fn the_architecture_is_what_the_files_say() {
    let encoder = Encoder::load(&tiny().with_modules("cls_token", true), Level::best()).unwrap();
    let architecture = encoder.architecture();
    assert_eq!(
        (architecture.hidden, architecture.heads, architecture.layers),
        (36, 3, 2)
    );
    assert_eq!(
        (architecture.intermediate, architecture.positions),
        (52, 48)
    );
    assert_eq!(
        (architecture.pooling, architecture.normalize),
        (Pooling::Cls, true)
    );
    assert_eq!(encoder.max_tokens(), 40);
}

#[test]
fn the_maximum_length_is_never_more_than_the_positions() {
    for (name, config) in [
        ("sentence_bert_config.json", r#"{"max_seq_length": 512}"#),
        ("sentence_bert_config.json", r#"{"max_seq_length": null}"#),
        ("tokenizer_config.json", r#"{"model_max_length": 1e30}"#),
    ] {
        let folder = Folder::tiny().with(name, config);
        assert_eq!(
            Encoder::load(&folder, Level::best()).unwrap().max_tokens(),
            48,
            "{name} {config}"
        );
    }
    let folder = Folder::tiny().with("tokenizer_config.json", r#"{"model_max_length": 20}"#);
    assert_eq!(
        Encoder::load(&folder, Level::best()).unwrap().max_tokens(),
        20
    );
}

#[test]
fn fingerprints_tell_apart_what_changes_vectors_and_nothing_else() {
    let fingerprint = |folder: Folder, level| {
        Encoder::load(&folder, level)
            .unwrap()
            .fingerprint()
            .as_str()
            .to_owned()
    };
    let base = || tiny().with_modules("mean_tokens", true);
    let same = fingerprint(base(), Level::best());
    assert_eq!(same.len(), 64);
    assert_eq!(same, fingerprint(base(), Level::Portable));
    assert_eq!(
        same,
        fingerprint(base().with("README.md", "something else"), Level::best())
    );

    let mut weights = base().content("model.safetensors");
    *weights.last_mut().unwrap() ^= 1;
    let tokenizer = String::from_utf8(base().content("tokenizer.json"))
        .unwrap()
        .replace("true", "true ");
    let mut seen = vec![same];
    for changed in [
        tiny().with_modules("cls_token", true),
        tiny().with_modules("mean_tokens", false),
        base().with("config_sentence_transformers.json", PROMPTS),
        base().with("sentence_bert_config.json", r#"{"max_seq_length": 39}"#),
        base().with(
            "sentence_bert_config.json",
            r#"{"max_seq_length": 40, "do_lower_case": true}"#,
        ),
        base().with("model.safetensors", weights),
        base().with("tokenizer.json", tokenizer),
    ] {
        let fingerprint = fingerprint(changed, Level::best());
        assert!(!seen.contains(&fingerprint));
        seen.push(fingerprint);
    }
}
