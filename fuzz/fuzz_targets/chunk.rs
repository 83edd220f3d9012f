//! Any bytes under any file name keep the chunker's guarantees. The first line of the input is the file name.

#![no_main]

use std::cell::Cell;

use embedder_chunking::Limits;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/embedder-chunking/tests/it/invariants.rs"]
mod invariants;

/// Looks at the clock before time is up.
const CLOCK_LOOKS: u32 = 20_000;

fuzz_target!(|input: &[u8]| {
    let name_end = input.iter().position(|&byte| byte == b'\n');
    let (name, bytes) = input.split_at(name_end.map_or(input.len(), |feed| feed + 1));
    let looks = Cell::new(0);
    let out_of_time = || {
        looks.set(looks.get() + 1);
        looks.get() > CLOCK_LOOKS
    };
    // Small chunks have more ends to go wrong at.
    let small = Limits {
        chunk_chars: 40,
        chunk_chars_max: 64,
        ..Limits::default()
    };
    let limits = if bytes.len().is_multiple_of(2) {
        small
    } else {
        Limits::default()
    };
    let name = String::from_utf8_lossy(name);
    invariants::check(name.trim_end(), bytes, &limits, &out_of_time);
});
