//! Source files of many languages, small but written as people write them.

use embedder_chunking::{Language, Limits, Parsing, chunk};

/// File name and text of each sample.
pub(crate) const SAMPLES: &[(&str, &str)] = &[
    ("Client.kt", include_str!("../samples/Client.kt")),
    ("Ledger.java", include_str!("../samples/Ledger.java")),
    ("Mailer.php", include_str!("../samples/Mailer.php")),
    ("Orders.cs", include_str!("../samples/Orders.cs")),
    ("account.rb", include_str!("../samples/account.rb")),
    ("cache.rs", include_str!("../samples/cache.rs")),
    ("deploy.sh", include_str!("../samples/deploy.sh")),
    ("inventory.py", include_str!("../samples/inventory.py")),
    ("manual.md", include_str!("../samples/manual.md")),
    ("manual.rst", include_str!("../samples/manual.rst")),
    ("matrix.cpp", include_str!("../samples/matrix.cpp")),
    ("queue.go", include_str!("../samples/queue.go")),
    ("router.js", include_str!("../samples/router.js")),
    ("schema.sql", include_str!("../samples/schema.sql")),
    ("store.ts", include_str!("../samples/store.ts")),
    ("table.c", include_str!("../samples/table.c")),
    ("tree.lua", include_str!("../samples/tree.lua")),
    ("view.tsx", include_str!("../samples/view.tsx")),
];

/// The samples that have a grammar.
pub(crate) fn parsed() -> impl Iterator<Item = (&'static str, &'static str)> {
    let has_grammar = |path: &str, text: &str| {
        let chunked = chunk(path, text.as_bytes(), &Limits::default(), &|| false).unwrap();
        chunked.parsing == Parsing::Tree
    };
    SAMPLES
        .iter()
        .copied()
        .filter(move |(path, text)| has_grammar(path, text))
}

#[test]
fn there_is_a_sample_for_every_grammar() {
    let languages: Vec<&str> = parsed()
        .map(|(path, text)| Language::of(path, text.as_bytes()).unwrap().name())
        .collect();
    let expected = [
        "java",
        "php",
        "csharp",
        "ruby",
        "rust",
        "bash",
        "python",
        "cpp",
        "go",
        "javascript",
        "typescript",
        "c",
        "tsx",
    ];
    assert_eq!(languages, expected);
}

#[test]
fn samples_define_what_a_reader_would_list() {
    let names = |sample: &str| {
        let (path, text) = SAMPLES.iter().find(|(path, _)| *path == sample).unwrap();
        let chunked = chunk(path, text.as_bytes(), &Limits::default(), &|| false).unwrap();
        let symbols = chunked.chunks.into_iter().flat_map(|chunk| chunk.symbols);
        symbols
            .map(|symbol| symbol.name)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        names("inventory.py"),
        "DEFAULT_SHELF LOW HIGH Item scarce Meta OutOfStock __init__ restock tomllib total"
    );
    assert_eq!(
        names("table.c"),
        "SLOTS_MIN HASH slot table_t table visit_fn state masks verbose find table_new table_dump table_dump \
         table_comparator find"
    );
    assert_eq!(
        names("store.ts"),
        "node:events EventEmitter Shelf SIZE Side open open open Store read get close FileStore constructor read \
         logged Keys VERSION"
    );
    assert_eq!(
        names("queue.go"),
        "queue ErrClosed minWorkers maxWorkers Job state Runner Run Queue New Push Each run"
    );
    assert_eq!(
        names("matrix.cpp"),
        "dense Number Matrix Row Matrix Matrix ~Matrix operator() operator== operator bool transposed Cursor next \
         ~Matrix transposed Order kEpsilon close algebra_version ALGEBRA_CHECK"
    );
    assert_eq!(
        names("manual.md"),
        "Manual Installation From source Configuration Reference"
    );
}
