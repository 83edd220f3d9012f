//! What is said of model folders that cannot be used: which file, what is wrong, what to do.

use embedder_inference::{Encoder, Level, ModelError};

use crate::support::Folder;

/// Why a folder is refused.
fn refusal(folder: &Folder) -> ModelError {
    match Encoder::load(folder, Level::best()) {
        Err(error) => error,
        Ok(_) => panic!("the folder was accepted"),
    }
}

/// Asserts that the message is one line and has all of `parts`.
fn check(folder: &Folder, parts: &[&str]) {
    let message = refusal(folder).to_string();
    assert!(!message.contains('\n'), "{message}");
    for part in parts {
        assert!(
            message.contains(part),
            "{message:?} does not contain {part:?}"
        );
    }
}

/// The tiny model with one value of `config.json` replaced.
fn with_config(key: &str, value: serde_json::Value) -> Folder {
    let mut config: serde_json::Value =
        serde_json::from_slice(&Folder::tiny().content("config.json")).unwrap();
    config[key] = value;
    Folder::tiny().with("config.json", config.to_string())
}

const AGAIN: &str = "pull the model again";

#[test]
fn missing_files_are_named() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        check(&Folder::tiny().without(name), &[name, "missing", AGAIN]);
    }
    let folder = Folder::tiny()
        .with_modules("mean_tokens", true)
        .without("1_Pooling/config.json");
    check(&folder, &["1_Pooling/config.json", "missing", AGAIN]);
}

#[test]
fn unreadable_files_are_named_with_the_reason() {
    struct Locked;
    impl embedder_inference::ModelFiles for Locked {
        fn read(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
            Err("permission denied".to_owned())
        }
    }
    let error = Encoder::load(&Locked, Level::best()).err().unwrap();
    assert_eq!(
        error,
        ModelError::Unreadable {
            file: "modules.json".into(),
            reason: "permission denied".into()
        }
    );
}

#[test]
fn damaged_json_is_named() {
    for name in [
        "config.json",
        "tokenizer.json",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer_config.json",
        "config_sentence_transformers.json",
    ] {
        for content in [
            "",
            "{",
            "[1",
            "\"text\"",
            "\u{0}",
            "{\"prompts\": 1, \"max_seq_length\": -1, \"model_max_length\": []}",
        ] {
            check(
                &Folder::tiny().with(name, content),
                &[name, "damaged", AGAIN],
            );
        }
    }
}

#[test]
fn weights_cut_short_anywhere_are_refused() {
    let weights = Folder::tiny().content("model.safetensors");
    for len in (0..weights.len())
        .step_by(997)
        .chain([7, 8, 9, weights.len() - 1])
    {
        let folder = Folder::tiny().with("model.safetensors", &weights[..len]);
        check(&folder, &["model.safetensors", "damaged", AGAIN]);
    }
    // A header that claims to be longer than the file, and one beyond any file.
    for claimed in [weights.len() as u64, u64::MAX] {
        let mut weights = weights.clone();
        weights[..8].copy_from_slice(&claimed.to_le_bytes());
        check(
            &Folder::tiny().with("model.safetensors", weights),
            &["model.safetensors", "damaged"],
        );
    }
}

#[test]
fn other_families_and_variants_are_refused_by_name() {
    for (key, value) in [
        ("model_type", "roberta"),
        ("model_type", "xlm-roberta"),
        ("model_type", "mpnet"),
        ("model_type", "distilbert"),
        ("hidden_act", "gelu_new"),
        ("hidden_act", "relu"),
        ("position_embedding_type", "relative_key"),
    ] {
        check(
            &with_config(key, value.into()),
            &["config.json", key, value, "is supported"],
        );
    }
    check(&with_config("is_decoder", true.into()), &["is_decoder"]);
    check(
        &Folder::tiny().with("config.json", r#"{"model_type": "gpt2", "n_embd": 8}"#),
        &["model_type gpt2"],
    );
}

#[test]
fn sizes_outside_their_limits_are_refused() {
    for key in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
        "type_vocab_size",
    ] {
        for value in [0u64, 1 << 40] {
            check(
                &with_config(key, value.into()),
                &["config.json", key, &value.to_string(), AGAIN],
            );
        }
    }
    check(
        &with_config("num_attention_heads", 5.into()),
        &["5 attention heads do not divide a hidden size of 36"],
    );
    check(
        &with_config("layer_norm_eps", (-1.0).into()),
        &["layer_norm_eps"],
    );
}

#[test]
fn sizes_that_contradict_the_weights_are_refused_with_both_shapes() {
    check(
        &with_config("hidden_size", 48.into()),
        &["embeddings.word_embeddings.weight", "36]", "48]", AGAIN],
    );
    check(
        &with_config("intermediate_size", 53.into()),
        &["intermediate.dense", "[52", "[53"],
    );
    check(
        &with_config("num_hidden_layers", 3.into()),
        &["no tensor encoder.layer.2.attention.self.query", AGAIN],
    );
    check(
        &with_config("vocab_size", 10.into()),
        &["tokenizer.json", "only 10 embeddings"],
    );
}

#[test]
fn element_types_other_than_floats_are_refused() {
    let weights = Folder::tiny().content("model.safetensors");
    let header_end = 8 + u64::from_le_bytes(*weights.first_chunk().unwrap()) as usize;
    // The same number of bytes, so that only the type is wrong.
    let header = String::from_utf8(weights[8..header_end].to_vec())
        .unwrap()
        .replace("\"F16\"", "\"I16\"");
    let weights = [&weights[..8], header.as_bytes(), &weights[header_end..]].concat();
    check(
        &Folder::tiny().with("model.safetensors", weights),
        &["element type", "I16", "F32, F16 or BF16"],
    );
}

#[test]
fn other_modules_and_poolings_are_refused_by_name() {
    let module =
        |class: &str| format!(r#"{{"type": "sentence_transformers.models.{class}", "path": ""}}"#);
    let modules = |classes: &[&str]| {
        let modules: Vec<String> = classes.iter().map(|class| module(class)).collect();
        Folder::tiny().with("modules.json", format!("[{}]", modules.join(",")))
    };
    check(
        &modules(&["Transformer", "Pooling", "Dense"]),
        &["modules.json", "Transformer + Pooling + Dense"],
    );
    check(&modules(&["CLIPModel"]), &["modules.json", "CLIPModel"]);
    check(&modules(&[]), &["modules.json"]);

    for mode in ["max_tokens", "lasttoken", "weightedmean_tokens"] {
        let folder = Folder::tiny().with_modules(mode, true);
        let folder = folder.with(
            "1_Pooling/config.json",
            format!(r#"{{"pooling_mode_{mode}": true}}"#),
        );
        check(&folder, &["1_Pooling/config.json", mode, "mean or cls"]);
    }
    let both = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#;
    let pooling = |config: &str| {
        Folder::tiny()
            .with_modules("cls_token", true)
            .with("1_Pooling/config.json", config)
    };
    check(&pooling(both), &["cls_token + mean_tokens"]);
    check(&pooling("{}"), &["pooling_mode none"]);
    check(
        &pooling(r#"{"pooling_mode": "max"}"#),
        &["pooling_mode max"],
    );
    check(
        &pooling(r#"{"pooling_mode": "mean", "word_embedding_dimension": 384}"#),
        &["word_embedding_dimension is 384", "36"],
    );
}

#[test]
fn module_paths_stay_inside_the_folder() {
    for path in ["../other", "/etc", "a/../../b", "C:\\models"] {
        let modules = serde_json::json!([{"type": "Transformer", "path": path}, {"type": "Pooling", "path": ""}]);
        check(
            &Folder::tiny().with("modules.json", modules.to_string()),
            &["modules.json", "out of the model folder"],
        );
    }
}

#[test]
fn prompts_that_cannot_be_honoured_are_refused() {
    const NAME: &str = "config_sentence_transformers.json";
    let folder = Folder::tiny().with(NAME, r#"{"prompts": {}, "default_prompt_name": "query"}"#);
    check(&folder, &[NAME, "\"query\""]);
    let folder = Folder::tiny().with_modules("mean_tokens", true).with(
        "1_Pooling/config.json",
        r#"{"pooling_mode": "mean", "include_prompt": false}"#,
    );
    assert!(Encoder::load(&folder, Level::best()).is_ok());
    check(
        &folder.with(NAME, r#"{"prompts": {"query": "q: "}}"#),
        &["include_prompt false"],
    );
}

#[test]
fn a_length_without_room_for_a_token_is_refused() {
    for max in [0, 1, 2] {
        let config = format!(r#"{{"max_seq_length": {max}}}"#);
        check(
            &Folder::tiny().with("sentence_bert_config.json", config),
            &["sentence_bert_config.json", "3 to 48"],
        );
    }
}

#[test]
fn a_tokenizer_that_cannot_encode_every_text_is_refused() {
    let tokenizer = String::from_utf8(Folder::tiny().content("tokenizer.json")).unwrap();
    let tokenizer = tokenizer.replace(r#""unk_token":"[UNK]""#, r#""unk_token":"[ABSENT]""#);
    check(
        &Folder::tiny().with("tokenizer.json", tokenizer),
        &["tokenizer.json", "damaged"],
    );
}
