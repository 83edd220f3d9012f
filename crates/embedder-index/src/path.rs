//! What a file's path says: its stem, its folders, and how likely such a file is to be the answer.
//!
//! Paths are relative to the indexed root, with `/` between their parts.

use crate::rules::{Rule, RuleSet};

/// Folders of a path that are searched; further up they name the product, not the file.
const FOLDERS_MAX: usize = 3;

/// File names that say nothing of their own: such a file is known by its folder.
const NAMELESS_STEMS: [&str; 5] = ["mod", "index", "__init__", "lib", "main"];

/// However many priors apply to a path, a file is never multiplied by less: a repository may be about just that.
const PRIOR_MIN: f32 = 0.1;

/// The name that stands for a file: its file name up to the first dot, or its folder's name where the file name only
/// marks an entry point (`mod`, `index`, `__init__`, `lib`, `main`).
pub fn stem(path: &str) -> &str {
    let mut parts = path.rsplit('/');
    let file_name = parts.next().unwrap_or(path).trim_start_matches('.');
    let stem = file_name.split('.').next().unwrap_or(file_name);
    if NAMELESS_STEMS.contains(&stem) {
        return parts
            .next()
            .filter(|folder| !folder.is_empty())
            .unwrap_or(stem);
    }
    stem
}

/// The last folders of a path, outermost first.
pub fn folders(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let start = folders
        .rmatch_indices('/')
        .nth(FOLDERS_MAX - 1)
        .map_or(0, |(at, _)| at + 1);
    folders[start..]
        .split('/')
        .filter(|folder| !folder.is_empty())
}

/// Why a file is less likely to be the answer than its text makes it look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prior {
    /// Tests, specifications, mocks, fixtures, benchmarks.
    Test,
    /// Examples, samples and documentation folders.
    Example,
    /// Compatibility layers, legacy, vendored or generated code.
    Compat,
    /// Documents, licences, change logs.
    Prose,
    /// Files that only pass on the names of others.
    ReExport,
    /// Types without bodies beside the code they describe.
    TypeStub,
}

impl Prior {
    /// Every prior, in the order explanations name them.
    pub const ALL: [Self; 6] = [
        Self::Test,
        Self::Example,
        Self::Compat,
        Self::Prose,
        Self::ReExport,
        Self::TypeStub,
    ];

    /// The rule that lowers such files.
    pub fn rule(self) -> Rule {
        match self {
            Self::Test => Rule::PriorTest,
            Self::Example => Rule::PriorExample,
            Self::Compat => Rule::PriorCompat,
            Self::Prose => Rule::PriorProse,
            Self::ReExport => Rule::PriorReExport,
            Self::TypeStub => Rule::PriorTypeStub,
        }
    }

    /// Whether a path is of this kind.
    pub fn applies_to(self, path: &str) -> bool {
        let path = path.to_ascii_lowercase();
        let (folders, file_name) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut folders = folders.split('/');
        match self {
            Self::Test => {
                folders.any(|folder| TEST_FOLDERS.contains(&folder)) || is_test_file(file_name)
            }
            Self::Example => {
                !is_prose(file_name) && folders.any(|folder| EXAMPLE_FOLDERS.contains(&folder))
            }
            Self::Compat => {
                folders.any(|folder| COMPAT_FOLDERS.contains(&folder)) || is_compat_file(file_name)
            }
            Self::Prose => is_prose(file_name) || is_notice(file_name),
            Self::ReExport => RE_EXPORT_FILES.contains(&file_name),
            Self::TypeStub => file_name.ends_with(".d.ts") || file_name.ends_with(".pyi"),
        }
    }
}

/// The product of the factors of those `rules` whose priors apply to a path, 1 where none does.
pub fn prior(path: &str, rules: &RuleSet) -> f32 {
    let product: f32 = Prior::ALL
        .iter()
        .filter(|prior| rules.has(prior.rule()) && prior.applies_to(path))
        .map(|prior| rules.factor(prior.rule()))
        .product();
    product.max(PRIOR_MIN)
}

const TEST_FOLDERS: [&str; 22] = [
    "test",
    "tests",
    "__tests__",
    "testdata",
    "test_data",
    "testutil",
    "testutils",
    "spec",
    "specs",
    "__specs__",
    "mock",
    "mocks",
    "__mocks__",
    "fixture",
    "fixtures",
    "__fixtures__",
    "snapshots",
    "__snapshots__",
    "bench",
    "benches",
    "benchmark",
    "benchmarks",
];

/// Whether a file is a document. A document in a folder of documents is what was written to be read.
fn is_prose(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    PROSE_EXTENSIONS.contains(&extension)
}

/// Recognises licences, change logs and lists of names, with or without an extension.
fn is_notice(file_name: &str) -> bool {
    let stem = file_name.split(['.', '-', '_']).next().unwrap_or(file_name);
    let extension = file_name
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    // `ChangeLog-1.4` is one, `history.rs` is not.
    let is_code = extension.starts_with(char::is_alphabetic);
    NOTICES.contains(&stem) && !is_code
}

const NOTICES: [&str; 12] = [
    "authors",
    "changelog",
    "changes",
    "contributors",
    "copying",
    "credits",
    "history",
    "licence",
    "license",
    "maintainers",
    "news",
    "notice",
];

const PROSE_EXTENSIONS: [&str; 6] = ["md", "mdx", "markdown", "rst", "adoc", "txt"];

const EXAMPLE_FOLDERS: [&str; 9] = [
    "example",
    "examples",
    "sample",
    "samples",
    "demo",
    "demos",
    "doc",
    "docs",
    "tutorials",
];

const COMPAT_FOLDERS: [&str; 17] = [
    "compat",
    "_compat",
    "legacy",
    "deprecated",
    "vendor",
    "vendored",
    "_vendor",
    "third_party",
    "thirdparty",
    "third-party",
    "node_modules",
    "build-aux",
    "locales",
    "translations",
    "generated",
    "__generated__",
    "gen",
];

const RE_EXPORT_FILES: [&str; 9] = [
    "__init__.py",
    "index.ts",
    "index.tsx",
    "index.js",
    "index.jsx",
    "index.mjs",
    "index.mts",
    "package-info.java",
    "prelude.rs",
];

/// Recognises `test_x.py`, `x_test.go`, `x.spec.ts`, `XTest.java` (lower-cased `xtest`), `conftest.py` and their like.
fn is_test_file(file_name: &str) -> bool {
    let (stem, rest) = file_name.split_once('.').unwrap_or((file_name, ""));
    let by_prefix = ["test_", "mock_", "bench_"]
        .iter()
        .any(|prefix| stem.starts_with(prefix));
    let by_suffix = [
        "_test", "_tests", "_spec", "_mock", "_bench", "-test", "-spec",
    ];
    let by_suffix = by_suffix.iter().any(|suffix| stem.ends_with(suffix));
    let by_name = matches!(stem, "test" | "tests" | "conftest");
    let by_extension = rest
        .split('.')
        .rev()
        .skip(1)
        .any(|part| matches!(part, "test" | "tests" | "spec" | "mock"));
    let by_class = ["java", "kt", "cs", "swift", "scala", "php"].contains(&rest)
        && (stem.ends_with("test") || stem.ends_with("tests") || stem.ends_with("testcase"));
    by_prefix || by_suffix || by_name || by_extension || by_class
}

/// Recognises generated and compatibility files that lie among hand-written ones.
fn is_compat_file(file_name: &str) -> bool {
    let stem = file_name.split('.').next().unwrap_or(file_name);
    let by_autotools = [
        "configure",
        "aclocal.m4",
        "ltmain.sh",
        "config.guess",
        "config.sub",
    ];
    matches!(stem, "compat" | "_compat" | "legacy")
        || by_autotools.contains(&file_name)
        || stem.ends_with("_compat")
        || stem.ends_with("_pb2")
        || stem.ends_with("_pb2_grpc")
        || file_name.ends_with(".pb.go")
        || file_name.ends_with(".min.js")
        || file_name.contains(".generated.")
        || file_name.contains(".g.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_name_the_file_or_the_folder_it_stands_for() {
        for (path, expected) in [
            ("src/http/router.rs", "router"),
            ("src/http/mod.rs", "http"),
            ("pkg/__init__.py", "pkg"),
            ("components/Button/index.tsx", "Button"),
            ("main.go", "main"),
            ("lib.rs", "lib"),
            ("types.d.ts", "types"),
            ("src/.eslintrc.json", "eslintrc"),
            ("Makefile", "Makefile"),
            ("", ""),
        ] {
            assert_eq!(stem(path), expected, "{path}");
        }
    }

    #[test]
    fn only_the_last_three_folders_count() {
        for (path, expected) in [
            ("a/b/c/d/e.rs", vec!["b", "c", "d"]),
            ("a/b.rs", vec!["a"]),
            ("b.rs", vec![]),
            ("/a//b.rs", vec!["a"]),
            ("a/b/c/d.rs", vec!["a", "b", "c"]),
        ] {
            assert_eq!(folders(path).collect::<Vec<_>>(), expected, "{path}");
        }
    }

    #[test]
    fn priors_know_their_files() {
        for (path, expected) in [
            ("src/router.rs", vec![]),
            ("src/latest/contest.py", vec![]),
            ("src/index/writer.rs", vec![]),
            ("tests/router.rs", vec![Prior::Test]),
            ("src/router_test.go", vec![Prior::Test]),
            ("src/router.spec.ts", vec![Prior::Test]),
            ("src/main/java/RouterTest.java", vec![Prior::Test]),
            ("src/attest.c", vec![]),
            ("Tests/RouterTests.swift", vec![Prior::Test]),
            ("benches/router.rs", vec![Prior::Test]),
            ("examples/hello.rs", vec![Prior::Example]),
            ("docs/guide.md", vec![Prior::Prose]),
            ("COPYING", vec![Prior::Prose]),
            ("ChangeLog-1.4", vec![Prior::Prose]),
            ("src/history.rs", vec![]),
            ("src/license_check.c", vec![]),
            ("build-aux/ltmain.sh", vec![Prior::Compat]),
            ("docs/conf.py", vec![Prior::Example]),
            ("vendor/x/y.go", vec![Prior::Compat]),
            ("api/service.pb.go", vec![Prior::Compat]),
            ("pkg/__init__.py", vec![Prior::ReExport]),
            ("src/index.ts", vec![Prior::ReExport]),
            ("src/types.d.ts", vec![Prior::TypeStub]),
            ("tests/pkg/__init__.py", vec![Prior::Test, Prior::ReExport]),
        ] {
            let found: Vec<Prior> = Prior::ALL
                .into_iter()
                .filter(|prior| prior.applies_to(path))
                .collect();
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn priors_multiply_down_to_their_bound() {
        let prior_of = |path| prior(path, &RuleSet::ALL);
        assert_eq!(prior_of("src/router.rs"), 1.0);
        assert!((prior_of("tests/pkg/__init__.py") - 0.15).abs() < 1e-6);
        assert_eq!(prior_of("vendor/x/examples/tests/index.ts"), PRIOR_MIN);
        let without_tests = RuleSet::ALL.without(Rule::PriorTest);
        assert_eq!(prior("tests/pkg/__init__.py", &without_tests), 0.5);
    }
}
