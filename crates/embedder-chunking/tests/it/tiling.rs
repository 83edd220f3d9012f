//! The guarantees on arbitrary bytes, on mutated source of every language, and whenever the time runs out.

use std::cell::Cell;

use embedder_chunking::{Language, Limits, Parsing, chunk};
use proptest::prelude::*;

use crate::invariants::check;
use crate::samples::{SAMPLES, parsed};

/// Pieces that parsers trip over, to be put anywhere.
const FRAGMENTS: &[&str] = &[
    "\r\n", "\r", "\n\n\n", "\u{feff}", "\0", "\"", "'", "`", "/*", "*/", "#", "//", "<<EOF\n",
    "{", "}", "(", ")", "[", "]", "<", ">", "é", "日本", "😀", "\t", "\\\n", "```\n", "# ", "@",
    "${", "=> ",
];

fn small_limits() -> impl Strategy<Value = Limits> {
    (16usize..200, 0usize..200).prop_map(|(aim, more)| Limits {
        chunk_chars: aim,
        chunk_chars_max: aim + more,
        ..Limits::default()
    })
}

fn extension() -> impl Strategy<Value = String> {
    let extensions: Vec<&str> = Language::all()
        .flat_map(Language::extensions)
        .chain(["txt"])
        .collect();
    proptest::sample::select(extensions).prop_map(|extension| format!("file.{extension}"))
}

/// An edit of a file: where, how much is taken out, what is put in.
fn edit() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let fragment = proptest::sample::select(FRAGMENTS).prop_map(|text| text.as_bytes().to_vec());
    let noise = proptest::collection::vec(any::<u8>(), 0..4);
    (
        any::<prop::sample::Index>(),
        0usize..40,
        prop_oneof![4 => fragment, 1 => noise],
    )
}

fn edited(text: &str, edits: Vec<(prop::sample::Index, usize, Vec<u8>)>) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, taken, put) in edits {
        let at = at.index(bytes.len() + 1);
        let end = (at + taken).min(bytes.len());
        bytes.splice(at..end, put);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_tiled(
        path in extension(),
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        limits in small_limits(),
    ) {
        check(&path, &bytes, &limits, &|| false);
    }

    #[test]
    fn arbitrary_text_is_tiled(path in extension(), text in "(\\PC|\r|\n|\t| ){0,600}", limits in small_limits()) {
        check(&path, text.as_bytes(), &limits, &|| false);
    }

    #[test]
    fn mutated_source_is_tiled(
        sample in proptest::sample::select(SAMPLES),
        edits in proptest::collection::vec(edit(), 0..8),
        limits in small_limits(),
    ) {
        let (path, text) = sample;
        check(path, &edited(text, edits), &limits, &|| false);
    }

    #[test]
    fn running_out_of_time_at_any_moment_leaves_a_whole_answer(
        sample in proptest::sample::select(SAMPLES),
        steps in 0usize..60,
    ) {
        let (path, text) = sample;
        let asked = Cell::new(0);
        let out_of_time = || {
            asked.set(asked.get() + 1);
            asked.get() > steps
        };
        check(path, text.as_bytes(), &Limits::default(), &out_of_time);
    }
}

#[test]
fn every_sample_is_tiled_with_every_line_end() {
    for (path, text) in SAMPLES {
        for text in [
            (*text).to_owned(),
            text.replace('\n', "\r\n"),
            text.replace('\n', "\r"),
            format!("\u{feff}{text}"),
        ] {
            check(path, text.as_bytes(), &Limits::default(), &|| false);
            check(
                path,
                text.trim_end().as_bytes(),
                &Limits::default(),
                &|| false,
            );
        }
    }
}

#[test]
fn a_file_out_of_time_says_so_and_is_cut_by_lines() {
    for (path, text) in parsed() {
        let chunked = chunk(path, text.as_bytes(), &Limits::default(), &|| true).unwrap();
        assert_eq!(chunked.parsing, Parsing::TimedOut, "{path}");
        assert!(!chunked.chunks.is_empty());
    }
}

#[test]
fn an_empty_file_has_no_chunks() {
    for language in Language::all() {
        let path = format!("file.{}", language.extensions().next().unwrap_or("txt"));
        let chunked = chunk(&path, b"", &Limits::default(), &|| false).unwrap();
        assert!(chunked.chunks.is_empty(), "{path}");
    }
}

#[test]
fn a_comment_stays_with_its_item() {
    let items = [
        (
            "a.rs",
            "/// Docs of N.\n#[inline]\nfn f_N() {\n    go(N);\n}\n",
        ),
        ("a.py", "# Docs of N.\n@decorated\ndef f_N():\n    go(N)\n"),
        (
            "a.js",
            "/** Docs of N. */\nexport function f_N() {\n  go(N);\n}\n",
        ),
        (
            "a.ts",
            "class C_N {\n  /** Docs of N. */\n  @dec()\n  f_N() {\n    go(N);\n  }\n}\n",
        ),
        ("a.go", "// Docs of N.\nfunc f_N() {\n\tgo(N)\n}\n"),
        (
            "A.java",
            "class C_N {\n  /** Docs of N. */\n  @Deprecated\n  void f_N() {\n    go(N);\n  }\n}\n",
        ),
        (
            "a.c",
            "/* Docs of N. */\nstatic int\nf_N(void)\n{\n\tgo(N);\n}\n",
        ),
        (
            "a.cpp",
            "// Docs of N.\ntemplate <class T>\nvoid f_N() {\n  go(N);\n}\n",
        ),
        (
            "a.cs",
            "class C_N {\n  /// <summary>Docs of N.</summary>\n  [Attr]\n  void f_N() {\n    go(N);\n  }\n}\n",
        ),
        ("a.rb", "# Docs of N.\ndef f_N\n  go(N)\nend\n"),
        ("a.sh", "# Docs of N.\nf_N() {\n  go N\n}\n"),
        (
            "a.kt",
            "/** Docs of N. */\n@Test\nfun f_N() {\n    go(N)\n}\n",
        ),
        ("a.lua", "-- Docs of N.\nfunction f_N()\n  go(N)\nend\n"),
    ];
    for (path, item) in items {
        let source: String = (100..200)
            .map(|n| item.replace('N', &n.to_string()) + "\n")
            .collect();
        let chunked = chunk(path, source.as_bytes(), &Limits::default(), &|| false).unwrap();
        assert!(chunked.chunks.len() > 3, "{path}");
        for chunk in chunked.chunks {
            let text = &source[chunk.bytes];
            let docs = text.matches("Docs of").count();
            let calls = text.matches("go").count();
            assert_eq!(
                docs, calls,
                "{path}: a comment and its item are apart in\n{text}"
            );
        }
    }
}

#[test]
fn a_chunk_inside_a_definition_knows_what_it_is_inside_of() {
    let lines: String = (0..80)
        .map(|n| format!("            total += price_of({n}) * count_of({n})\n"))
        .collect();
    let source = format!("class Shop:\n    class Till:\n        def add(self):\n{lines}");
    let chunked = chunk("shop.py", source.as_bytes(), &Limits::default(), &|| false).unwrap();
    assert_eq!(chunked.chunks[0].scope, [""; 0]);
    assert_eq!(chunked.chunks[1].scope, ["Shop", "Till", "add"]);

    let lines: String = (0..80)
        .map(|n| format!("\ttotal += priceOf({n}) * countOf({n})\n"))
        .collect();
    let source = format!("func (t *Till) Add() {{\n{lines}}}\n");
    let chunked = chunk("shop.go", source.as_bytes(), &Limits::default(), &|| false).unwrap();
    assert_eq!(chunked.chunks[0].scope, ["Till"]);
    assert_eq!(chunked.chunks[1].scope, ["Till", "Add"]);
    assert_eq!(chunked.chunks[0].symbols[0].end_line, 82);
}

#[test]
fn a_section_is_a_chunk_when_it_fits() {
    let section = |n: u32| format!("## Part {n}\n\n{}\n\n", "words ".repeat(100));
    let source: String = (0..4).map(section).collect();
    let chunked = chunk("a.md", source.as_bytes(), &Limits::default(), &|| false).unwrap();
    assert_eq!(chunked.parsing, Parsing::Headings);
    let headings: Vec<&str> = chunked
        .chunks
        .iter()
        .map(|chunk| chunk.symbols[0].name.as_str())
        .collect();
    assert_eq!(headings, ["Part 0", "Part 1", "Part 2", "Part 3"]);
}
