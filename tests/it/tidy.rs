//! What lints cannot check: that arrows run one way, and that the documents name what there is.

use std::fs;
use std::path::{Path, PathBuf};

use embedder::config::SETTINGS;
use embedder::error::ErrorCode;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        // Samples are other people's kind of code: input of tests, never compiled.
        if path.ends_with("tests/samples") {
            continue;
        }
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

/// The files of a module: `src/name.rs` and what is below `src/name/`.
fn module(name: &str) -> Vec<PathBuf> {
    let folder = root().join("src").join(name);
    let mut files = if folder.is_dir() {
        sources(&folder)
    } else {
        Vec::new()
    };
    files.push(root().join(format!("src/{name}.rs")));
    files
}

#[test]
fn arrows_never_turn_back() {
    // Of each module, those above it: it must not know them.
    let above: &[(&str, &[&str])] = &[
        ("http", &["cli"]),
        ("engine", &["cli", "http"]),
        (
            "store",
            &["cli", "http", "engine", "outbound", "observability"],
        ),
        (
            "outbound",
            &["cli", "http", "engine", "store", "observability"],
        ),
        (
            "observability",
            &["cli", "http", "engine", "store", "outbound"],
        ),
        (
            "config",
            &[
                "cli",
                "http",
                "engine",
                "store",
                "outbound",
                "observability",
            ],
        ),
        (
            "error",
            &[
                "cli",
                "http",
                "engine",
                "store",
                "outbound",
                "observability",
                "config",
            ],
        ),
    ];
    for (name, forbidden) in above {
        for file in module(name) {
            let text = fs::read_to_string(&file).unwrap();
            for other in *forbidden {
                assert!(
                    !text.contains(&format!("crate::{other}")),
                    "{} uses {other}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn leaf_crates_know_each_other_only_through_simd() {
    for entry in fs::read_dir(root().join("crates")).unwrap().flatten() {
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let ours: Vec<_> = dependencies
            .lines()
            .filter(|line| line.starts_with("embedder"))
            .collect();
        assert!(
            ours.iter().all(|line| line.starts_with("embedder-simd")),
            "{}: {ours:?}",
            entry.path().display()
        );
    }
}

#[test]
fn unsafe_code_stays_in_the_kernels_and_says_why_it_is_sound() {
    for folder in ["src", "tests", "crates"] {
        for file in sources(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let is_kernel = file.starts_with(root().join("crates/embedder-simd"));
            let opened = text.matches("unsafe {").count();
            if is_kernel {
                let explained = text.matches("// SAFETY:").count();
                assert!(
                    opened <= explained,
                    "{}: {opened} unsafe blocks, {explained} reasons",
                    file.display()
                );
            } else if file != Path::new(file!()) && !file.ends_with("tidy.rs") {
                assert_eq!(opened, 0, "{}", file.display());
            }
        }
    }
}

#[test]
fn the_operators_page_names_every_setting_and_every_error_code() {
    let page = read("docs/operating.md");
    for setting in SETTINGS {
        assert!(
            page.contains(&format!("`{}`", setting.key)),
            "{}",
            setting.key
        );
        for variable in setting.variables {
            assert!(page.contains(variable), "{variable}");
        }
    }
    for code in ErrorCode::ALL {
        assert!(
            page.contains(&format!("`{}`", code.name())),
            "{}",
            code.name()
        );
        assert!(
            page.contains(&format!("| {} |", code.exit_code())),
            "{}",
            code.exit_code()
        );
    }
}

#[test]
fn the_readme_names_both_commands_and_every_subcommand() {
    let readme = read("README.md");
    assert!(readme.contains("cargo run --release -- quickstart"));
    assert!(readme.contains("cargo test --workspace"));
    assert!(
        read(".ci/run").contains("cargo test --workspace"),
        "what decides runs the same command"
    );
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_embedder"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help
        .split("Commands:")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    for line in commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
    {
        let command = line.split_whitespace().next().unwrap();
        assert!(
            command == "help" || readme.contains(command),
            "the README does not name `{command}`"
        );
    }
}

#[test]
fn the_page_on_metrics_is_the_table() {
    let page = read("docs/metrics.md");
    let table = embedder::observability::metrics::markdown();
    if page != table {
        // What it should be, to be copied.
        let expected = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics.md");
        fs::write(&expected, table).unwrap();
        panic!(
            "docs/metrics.md is not the table of metrics; {} is",
            expected.display()
        );
    }
}

#[test]
fn the_page_on_the_api_names_every_address() {
    let page = read("docs/api.md");
    let document = embedder::http::openapi();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let address = format!("`{} {path}`", method.to_uppercase());
            assert!(page.contains(&address), "docs/api.md lacks {address}");
        }
    }
}

#[test]
fn the_page_on_ranking_has_the_table_of_rules() {
    let page = std::fs::read_to_string(root().join("docs/ranking.md")).unwrap();
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let expected: Vec<String> = embedder_index::Rule::all()
        .map(|rule| {
            format!(
                "| `{}` | {} | {} |",
                rule.name(),
                rule.weight(),
                rule.meaning()
            )
        })
        .collect();
    assert_eq!(rows, expected);
}
