//! Which files make a model, and how large they may be.

use std::io;

use serde::Deserialize;

pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const MODULES: &str = "modules.json";

/// Every model has these.
const REQUIRED: [&str; 3] = ["config.json", TOKENIZER, WEIGHTS];

/// Sentence-transformers models may have these; [`MODULES`] comes before all others, because it names more.
const OPTIONAL: [&str; 2] = [
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// An encoder of two thousand million parameters in f16; none for a CPU comes near.
const WEIGHTS_BYTES_MAX: u64 = 4 << 30;

/// Vocabularies of a quarter of a million entries take 17 MB.
const TOKENIZER_BYTES_MAX: u64 = 128 << 20;

/// Any of the small JSON files.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Modules of one model; real ones have two or three.
const MODULES_MAX: usize = 16;

/// The largest size that is accepted for a file.
pub(super) fn bytes_max(name: &str) -> u64 {
    match name {
        WEIGHTS => WEIGHTS_BYTES_MAX,
        TOKENIZER => TOKENIZER_BYTES_MAX,
        _ => CONFIG_BYTES_MAX,
    }
}

/// Whether a model is nothing without this file.
pub(super) fn is_required(name: &str) -> bool {
    REQUIRED.contains(&name)
}

/// The files to get after [`MODULES`], small ones first, so that a model that is refused is refused early.
pub(super) fn names(module_configs: Vec<String>) -> Vec<String> {
    let fixed = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    [
        fixed(&REQUIRED[..1]),
        fixed(&OPTIONAL),
        module_configs,
        fixed(&REQUIRED[1..]),
    ]
    .concat()
}

/// The configuration files of the modules that `modules.json` lists, such as `1_Pooling/config.json`.
///
/// # Errors
/// When it is not a list of modules, is too long, or a module's path is not a plain folder name.
pub(super) fn module_configs(modules_json: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Module {
        path: String,
    }
    let modules: Vec<Module> = serde_json::from_slice(modules_json)
        .map_err(|error| format!("{MODULES} is not a list of modules: {error}"))?;
    if modules.len() > MODULES_MAX {
        return Err(format!(
            "{MODULES} lists {} modules, at most {MODULES_MAX} are accepted",
            modules.len()
        ));
    }
    let mut configs = Vec::new();
    for Module { path } in modules {
        let config = format!("{path}/config.json");
        if path.is_empty() || configs.contains(&config) {
            continue;
        }
        if path.contains('/') || !is_plain(&path) {
            return Err(format!(
                "{MODULES} names the path {path:?}, which is not a plain folder name"
            ));
        }
        configs.push(config);
    }
    Ok(configs)
}

/// Whether the error only says that there is no such file.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether the text is a path of plain names below a model's folder: nothing absolute, nothing that climbs, nothing
/// hidden.
pub(super) fn is_plain(path: &str) -> bool {
    let plain = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !part.is_empty() && part.len() <= 128 && !part.starts_with('.') && part.bytes().all(allowed)
    };
    path.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_name_their_configuration() {
        let json = br#"[{"idx":0,"path":"","type":"T"},{"idx":1,"path":"1_Pooling","type":"P"},{"path":"2_Normalize"}]"#;
        assert_eq!(
            module_configs(json).unwrap(),
            ["1_Pooling/config.json", "2_Normalize/config.json"]
        );
        assert_eq!(module_configs(b"[]").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn modules_that_climb_are_refused() {
        for path in ["..", "../../etc", "/etc", "a/b", "a\\\\b", ".ssh", "a b"] {
            let json = format!(r#"[{{"path":"{path}"}}]"#);
            assert!(
                module_configs(json.as_bytes())
                    .unwrap_err()
                    .contains("plain folder name"),
                "{path}"
            );
        }
        assert!(module_configs(b"{}").is_err());
        let many = format!("[{}]", vec![r#"{"path":"a"}"#; 17].join(","));
        assert!(
            module_configs(many.as_bytes())
                .unwrap_err()
                .contains("at most 16")
        );
    }

    #[test]
    fn the_weights_come_last() {
        let names = names(vec!["1_Pooling/config.json".to_owned()]);
        assert_eq!(names.first().unwrap(), "config.json");
        assert_eq!(names.last().unwrap(), WEIGHTS);
        assert_eq!(names.len(), 6);
    }
}
