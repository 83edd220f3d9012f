//! Whether the answers are right, on real code and real documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use embedder::config::Config;
use embedder::engine::search::{Mode, Reader, SearchRequest};
use embedder::store::CollectionId;
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner};

use crate::support::app::{App, skip};

/// Three corpora of the evaluation set, of three languages.
const CORPORA: [&str; 3] = ["express", "flask", "serde"];

/// Identifiers asked for in each.
const IDENTIFIERS: u32 = 150;

fn corpora() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let folder = target.join("eval/code");
    if CORPORA.iter().all(|corpus| folder.join(corpus).is_dir()) {
        return Some(folder);
    }
    skip("the corpora are not there; eval/code/corpora fetches them");
    None
}

fn reader(app: &App) -> Reader {
    let settings = [
        ("EMBEDDER_DATA_DIR", app.data_dir().display().to_string()),
        ("HOME", app.dir.path().display().to_string()),
        ("EMBEDDER_MODEL", "/nonexistent".to_owned()),
    ];
    let settings: BTreeMap<String, String> = settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Reader::open(&Config::load(BTreeMap::new(), &settings).unwrap()).unwrap()
}

/// The identifiers that chunks of code define. (There are others: `operator<<`, `impl Serialize for !`.)
fn defined_names(reader: &Reader, collection: CollectionId) -> Vec<String> {
    let mut names = Vec::new();
    let each = &mut |chunk: embedder::store::ChunkRow| {
        let of_code = chunk
            .symbols
            .into_iter()
            .filter(|symbol| symbol.kind.is_code());
        names.extend(of_code.map(|symbol| symbol.name));
    };
    reader
        .store()
        .canonical_chunks(collection, false, each)
        .unwrap();
    names.retain(|name| {
        !name.starts_with(|c: char| c.is_numeric())
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    });
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn an_identifier_that_is_defined_somewhere_has_a_definition_among_the_first_ten() {
    let Some(folder) = corpora() else { return };
    let app = App::text_only();
    for corpus in CORPORA {
        app.ok(&[
            "index",
            "--text-only",
            folder.join(corpus).to_str().unwrap(),
        ]);
    }
    let mut reader = reader(&app);
    for corpus in CORPORA {
        let collection = reader.collection(corpus).unwrap();
        let names = defined_names(&reader, collection.id);
        assert!(names.len() > 100, "{corpus}: {} names", names.len());
        // A fixed seed: what is asked does not change from run to run.
        let mut runner = TestRunner::new_with_rng(
            RunnerConfig {
                cases: IDENTIFIERS,
                failure_persistence: None,
                ..RunnerConfig::default()
            },
            TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        );
        let reader = std::cell::RefCell::new(&mut reader);
        let asked = (prop::sample::select(names), prop::bool::ANY);
        let result = runner.run(&asked, |(name, in_a_sentence)| {
            // A lower-case word in a sentence is a word, not a name; quoted it is one.
            let query = if in_a_sentence {
                format!("what calls `{name}` and why")
            } else {
                name.clone()
            };
            let request = SearchRequest {
                collections: vec![corpus.to_owned()],
                ..SearchRequest::new(query, Mode::Text)
            };
            let mut reader = reader.borrow_mut();
            let answer = reader.search(&request).unwrap();
            let ids: Vec<_> = answer
                .hits
                .iter()
                .map(|hit| embedder::store::ChunkId(hit.id))
                .collect();
            let chunks = reader.store().chunks(&ids).unwrap();
            let defines = chunks
                .iter()
                .any(|chunk| chunk.symbols.iter().any(|symbol| symbol.name == name));
            prop_assert!(defines, "{corpus}: no definition of {name:?} among {ids:?}");
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Questions about this repository's own documents, and the document that answers each.
const QUESTIONS: &[(&str, &str)] = &[
    ("how do I start on a fresh machine", "README.md"),
    ("what does exit code 74 mean", "docs/operating.md"),
    (
        "where are the index and the store kept on disk",
        "docs/operating.md",
    ),
    (
        "the program says that the data directory is locked",
        "docs/operating.md",
    ),
    (
        "which environment variable sets the number of threads",
        "docs/operating.md",
    ),
    (
        "how fast is hybrid search with 100,000 chunks",
        "docs/benchmarks.md",
    ),
    ("how much memory does the model need", "docs/benchmarks.md"),
    (
        "which defects did random inputs find in the grammars",
        "docs/fuzzing.md",
    ),
    (
        "in which direction may modules depend on each other",
        "ARCHITECTURE.md",
    ),
    (
        "how do I run the checks before sending a change",
        "CONTRIBUTING.md",
    ),
    (
        "licence of the questions used for measuring",
        "eval/README.md",
    ),
    (
        "which files are left out because they may hold secrets",
        "docs/operating.md",
    ),
];

#[test]
fn questions_about_our_own_documents_are_answered_by_them() {
    let Some(app) = App::with_model() else { return };
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = app.dir.path().join("documents");
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs/operating.md",
        "docs/benchmarks.md",
        "docs/fuzzing.md",
        "docs/ranking.md",
        "eval/README.md",
    ] {
        let to = root.join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(repository.join(file), to).unwrap();
    }
    app.ok(&["index", root.to_str().unwrap()]);
    let mut wrong = Vec::new();
    for (question, expected) in QUESTIONS {
        let answer = app.json(&["search", question, "-n", "3"]);
        let hits = answer["hits"].as_array().unwrap();
        let paths: Vec<&str> = hits
            .iter()
            .map(|hit| hit["path"].as_str().unwrap())
            .collect();
        if !paths.contains(expected) {
            wrong.push((question, expected, paths.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
