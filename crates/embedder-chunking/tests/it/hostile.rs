//! Files made to break parsers, in every language: each is cut whole, in a thread with the ordinary small stack, before
//! a clock that counts steps runs out by much.

use std::cell::Cell;

use embedder_chunking::{Language, Limits, Parsing, chunk};

use crate::invariants::check;

/// What threads get by default.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Looks at the clock before time is up; one comes about every hundred steps of a parser.
const CLOCK_LOOKS: u32 = 200;

/// A path for each way a file is understood: every grammar, every kind of headings, patterns, lines, none.
const PATHS: &[&str] = &[
    "a.py", "a.js", "a.ts", "a.tsx", "a.go", "a.java", "a.rs", "a.c", "a.cpp", "a.cs", "a.rb",
    "a.php", "a.sh", "a.md", "a.rst", "a.kt", "a.sql", "a.css", "a.txt",
];

/// Checks `body` in every language, in a small thread.
fn check_everywhere(body: &[u8]) {
    for path in PATHS {
        let mut bytes = if path.ends_with("php") {
            b"<?php\n".to_vec()
        } else {
            Vec::new()
        };
        bytes.extend_from_slice(body);
        let run = move || {
            let looks = Cell::new(0);
            let out_of_time = || {
                looks.set(looks.get() + 1);
                looks.get() > CLOCK_LOOKS
            };
            check(path, &bytes, &Limits::default(), &out_of_time);
            assert!(
                looks.get() <= CLOCK_LOOKS + 1,
                "{path}: works on after time is up"
            );
        };
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(run)
            .unwrap();
        thread.join().unwrap();
    }
}

/// `unit` so many times, on lines of a length that people write.
fn nested(unit: &str, count: usize) -> Vec<u8> {
    let mut body = String::with_capacity(count * (unit.len() + 1));
    for n in 1..=count {
        body.push_str(unit);
        if n % 40 == 0 {
            body.push('\n');
        }
    }
    body.into_bytes()
}

#[test]
fn nesting_without_end_neither_overflows_nor_hangs() {
    for unit in [
        "(",
        "{",
        "[",
        "<",
        "<a>",
        "f(",
        "%w(",
        "template<",
        "class A{",
        "${",
        "$(",
        "void (*",
    ] {
        check_everywhere(&nested(unit, 100_000));
    }
}

#[test]
fn nesting_without_brackets_neither_overflows_nor_hangs() {
    for unit in [
        "a = ",
        "- ",
        "! ",
        "a ? b : ",
        "x => ",
        "a ",
        "if a then ",
        "else if a ",
        "not ",
        "a::",
        "begin ",
    ] {
        check_everywhere(&nested(unit, 50_000));
    }
}

#[test]
fn unfinished_tokens_neither_overflow_nor_hang() {
    for unit in [
        "\"", "'", "`", "/*", "<<E\n", "#if X\n", "```\n", "\\\n", "# ", "@a\n", "}\n", ")",
    ] {
        check_everywhere(&nested(unit, 30_000));
    }
}

#[test]
fn nesting_just_below_the_limit_is_parsed() {
    let depth = Limits::default().nesting_max;
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("f(", ")"),
        ("{", "}"),
        ("a(b[", "])"),
    ] {
        let levels = depth / open.matches(['(', '[', '{']).count();
        check_everywhere(&[nested(open, levels), nested(close, levels)].concat());
    }
    let source = format!("x = {}1{}\n", "(\n".repeat(depth), ")\n".repeat(depth));
    let parsing = |source: &str| {
        chunk("a.py", source.as_bytes(), &Limits::default(), &|| false)
            .unwrap()
            .parsing
    };
    assert_eq!(parsing(&source), Parsing::Tree);
    assert_eq!(parsing(&format!("({source}")), Parsing::TooDeep);
}

#[test]
fn indentation_without_end_neither_overflows_nor_hangs() {
    let body: String = (0..1_500)
        .map(|depth| format!("{}if x:\n", " ".repeat(depth)))
        .collect();
    check_everywhere(body.as_bytes());
}

#[test]
fn definitions_nested_without_end_keep_a_short_scope() {
    let bytes = "module A\n".repeat(100_000);
    let chunked = chunk("a.rb", bytes.as_bytes(), &Limits::default(), &|| false).unwrap();
    assert_eq!(chunked.parsing, Parsing::Tree);
    assert!(chunked.chunks.last().unwrap().scope.len() <= 16);
}

#[test]
fn ten_megabytes_on_one_line_are_cut() {
    let bytes = "let a = 1; ".repeat(950_000);
    for path in PATHS {
        let chunked = chunk(path, bytes.as_bytes(), &Limits::default(), &|| false).unwrap();
        let end = chunked.chunks.iter().fold(0, |end, chunk| {
            assert_eq!(chunk.bytes.start, end);
            assert!(chunk.bytes.len() <= Limits::default().chunk_chars_max);
            chunk.bytes.end
        });
        assert_eq!(end, bytes.len());
    }
}

#[test]
fn odd_bytes_are_bytes_like_any_other() {
    let mut late_nul = b"ok();\n".repeat(1_500);
    late_nul.extend_from_slice(b"a\0b\n\0\n");
    check_everywhere(&late_nul);
    let bodies: [&[u8]; 8] = [
        b"\n",
        b"\r",
        b"\r\r\r\n\r",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbfclass A {\n}\n",
        b"\xff\xfa\x80\x80def f():\n\xc3",
        b"def f(): pass\r\ndef g(): pass\rdef h(): pass",
        b"\x0c\x0b \x1b[0m\n\x7f",
    ];
    for body in bodies {
        check_everywhere(body);
        check_everywhere(&body.repeat(500));
    }
}

#[test]
fn every_language_survives_a_line_of_everything() {
    let everything: String = (1..=255u8).map(char::from).collect::<String>().repeat(20);
    for language in Language::all() {
        let path = format!("file.{}", language.extensions().next().unwrap_or("txt"));
        check(&path, everything.as_bytes(), &Limits::default(), &|| false);
    }
}

#[test]
fn the_memory_of_a_scanner_is_not_run_over() {
    // In Ruby and Python these ended the process, in tree-sitter itself.
    for count in [100, 127, 145, 146, 170, 200, 205, 255, 256, 300] {
        check_everywhere(&b"<<E\n".repeat(count));
        check_everywhere(&b"f(<<EE, <<~'X Y')\n".repeat(count));
        let mut mixed = "\"#{".repeat(count).into_bytes();
        mixed.extend(b"<<EOF\n".repeat(count));
        check_everywhere(&mixed);
        check_everywhere(format!("x = <<{}\n", "W".repeat(count)).as_bytes());
    }
    for depth in [300, 380, 400, 510, 511, 600] {
        let stairs: String = (0..depth)
            .map(|n| format!("{}if x:\n", " ".repeat(n)))
            .collect();
        check_everywhere(stairs.as_bytes());
        check_everywhere(format!("f'{{\n{stairs}").as_bytes());
    }
}
