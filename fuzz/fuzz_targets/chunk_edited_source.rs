//! Real source of every language, edited: moved about, repeated and sprinkled with tokens that open, close and escape.
//! It reaches deeper into the grammars than bytes made up from nothing.

#![no_main]

use std::cell::Cell;

use embedder_chunking::Limits;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/embedder-chunking/tests/it/invariants.rs"]
mod invariants;

/// Looks at the clock before time is up.
const CLOCK_LOOKS: u32 = 20_000;

/// A source file grows no larger than this by edits.
const SOURCE_BYTES_MAX: usize = 200_000;

const SAMPLES: &[(&str, &[u8])] = &[
    (
        "a.cs",
        include_bytes!("../../crates/embedder-chunking/tests/samples/Orders.cs"),
    ),
    (
        "a.c",
        include_bytes!("../../crates/embedder-chunking/tests/samples/table.c"),
    ),
    (
        "a.cpp",
        include_bytes!("../../crates/embedder-chunking/tests/samples/matrix.cpp"),
    ),
    (
        "a.go",
        include_bytes!("../../crates/embedder-chunking/tests/samples/queue.go"),
    ),
    (
        "a.java",
        include_bytes!("../../crates/embedder-chunking/tests/samples/Ledger.java"),
    ),
    (
        "a.js",
        include_bytes!("../../crates/embedder-chunking/tests/samples/router.js"),
    ),
    (
        "a.kt",
        include_bytes!("../../crates/embedder-chunking/tests/samples/Client.kt"),
    ),
    (
        "a.lua",
        include_bytes!("../../crates/embedder-chunking/tests/samples/tree.lua"),
    ),
    (
        "a.md",
        include_bytes!("../../crates/embedder-chunking/tests/samples/manual.md"),
    ),
    (
        "a.php",
        include_bytes!("../../crates/embedder-chunking/tests/samples/Mailer.php"),
    ),
    (
        "a.py",
        include_bytes!("../../crates/embedder-chunking/tests/samples/inventory.py"),
    ),
    (
        "a.rb",
        include_bytes!("../../crates/embedder-chunking/tests/samples/account.rb"),
    ),
    (
        "a.rs",
        include_bytes!("../../crates/embedder-chunking/tests/samples/cache.rs"),
    ),
    (
        "a.rst",
        include_bytes!("../../crates/embedder-chunking/tests/samples/manual.rst"),
    ),
    (
        "a.sh",
        include_bytes!("../../crates/embedder-chunking/tests/samples/deploy.sh"),
    ),
    (
        "a.sql",
        include_bytes!("../../crates/embedder-chunking/tests/samples/schema.sql"),
    ),
    (
        "a.ts",
        include_bytes!("../../crates/embedder-chunking/tests/samples/store.ts"),
    ),
    (
        "a.tsx",
        include_bytes!("../../crates/embedder-chunking/tests/samples/view.tsx"),
    ),
];

const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"(",
    b")",
    b"[",
    b"]",
    b"<",
    b">",
    b"\"",
    b"'",
    b"`",
    b"\\",
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b"/*",
    b"*/",
    b"//",
    b"#",
    b"<<E\n",
    b"E\n",
    b"${",
    b"=>",
    b"->",
    b"::",
    b";",
    b":",
    b",",
    b".",
    b"=",
    b"@",
    b"?",
    b"!",
    b"&",
    b"*",
    b"|",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\x80",
    b"\0",
    b"class ",
    b"def ",
    b"fn ",
    b"func ",
    b"function ",
    b"if ",
    b"else ",
    b"case ",
    b"template<",
    b"operator",
    b"namespace ",
    b"struct ",
    b"async ",
    b"```\n",
    b"---\n",
    b"===\n",
    b"?>",
    b"<?php ",
    b"\nend\n",
    b"#if X\n",
    b"#endif\n",
    b"r#\"",
    b"    ",
];

#[derive(Debug, Arbitrary)]
struct Edits {
    sample: u8,
    chunk_chars: u8,
    edits: Vec<Edit>,
}

#[derive(Debug, Arbitrary)]
enum Edit {
    /// A token, so many times.
    Insert {
        at: u16,
        token: u8,
        times: u8,
    },
    Delete {
        at: u16,
        bytes: u8,
    },
    /// Part of the file once more, elsewhere.
    Copy {
        from: u16,
        bytes: u16,
        to: u16,
    },
    /// Part of a file in another language.
    Graft {
        sample: u8,
        from: u16,
        bytes: u8,
        to: u16,
    },
}

impl Edit {
    fn apply(&self, source: &mut Vec<u8>) {
        match *self {
            Self::Insert { at, token, times } => {
                let token = TOKENS[usize::from(token) % TOKENS.len()];
                insert(source, at, &token.repeat(usize::from(times)));
            }
            Self::Delete { at, bytes } => {
                let from = place(source, at);
                let to = source.len().min(from + usize::from(bytes));
                source.drain(from..to);
            }
            Self::Copy { from, bytes, to } => {
                let part = part(source, from, bytes).to_vec();
                insert(source, to, &part);
            }
            Self::Graft {
                sample,
                from,
                bytes,
                to,
            } => {
                let (_, other) = SAMPLES[usize::from(sample) % SAMPLES.len()];
                insert(source, to, part(other, from, bytes.into()));
            }
        }
    }
}

fn place(source: &[u8], at: u16) -> usize {
    usize::from(at) % (source.len() + 1)
}

fn part(source: &[u8], from: u16, bytes: u16) -> &[u8] {
    let from = place(source, from);
    &source[from..source.len().min(from + usize::from(bytes))]
}

fn insert(source: &mut Vec<u8>, at: u16, bytes: &[u8]) {
    if source.len() + bytes.len() <= SOURCE_BYTES_MAX {
        let at = place(source, at);
        source.splice(at..at, bytes.iter().copied());
    }
}

fuzz_target!(|edits: Edits| {
    let (path, sample) = SAMPLES[usize::from(edits.sample) % SAMPLES.len()];
    let mut source = sample.to_vec();
    for edit in &edits.edits {
        edit.apply(&mut source);
    }
    let looks = Cell::new(0);
    let out_of_time = || {
        looks.set(looks.get() + 1);
        looks.get() > CLOCK_LOOKS
    };
    let chunk_chars = usize::from(edits.chunk_chars).max(16);
    let limits = Limits {
        chunk_chars,
        chunk_chars_max: chunk_chars * 8 / 5,
        ..Limits::default()
    };
    invariants::check(path, &source, &limits, &out_of_time);
});
