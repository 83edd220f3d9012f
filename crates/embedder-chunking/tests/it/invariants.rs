//! What the crate guarantees for every file, checked from the bytes alone.

use embedder_chunking::{Chunk, Limits, Refused, chunk};

/// Chunks a file and checks the result; a refusal is checked to be deserved.
pub(crate) fn check(path: &str, bytes: &[u8], limits: &Limits, out_of_time: &dyn Fn() -> bool) {
    let chunked = match chunk(path, bytes, limits, out_of_time) {
        Ok(chunked) => chunked,
        Err(Refused::Binary { offset }) => return assert!(offset < 8_192 && bytes[offset] == 0),
        Err(Refused::Utf16) => return assert!(matches!(bytes[..2], [0xff, 0xfe] | [0xfe, 0xff])),
        Err(Refused::TooLarge { bytes: size, limit }) => return assert!(size > limit),
        Err(refused) => panic!("unknown refusal: {refused}"),
    };
    let mut end = 0;
    let mut line = 1;
    let lines = count_lines(bytes);
    for chunk in &chunked.chunks {
        assert_eq!(chunk.bytes.start, end, "chunks tile the file");
        assert!(!chunk.bytes.is_empty(), "no chunk is empty");
        end = chunk.bytes.end;
        line = check_lines(bytes, chunk, line);
        check_size(bytes, chunk, limits);
        check_end(bytes, end, limits);
        check_symbols(chunk, lines);
    }
    assert_eq!(end, bytes.len(), "chunks cover the file");
}

/// Start and end line agree with counting line feeds; returns the line after the chunk.
fn check_lines(bytes: &[u8], chunk: &Chunk, line: u32) -> u32 {
    assert_eq!(chunk.start_line, line, "start line of {:?}", chunk.bytes);
    let inside = &bytes[chunk.bytes.start..chunk.bytes.end - 1];
    let end_line = line + u32::try_from(count_feeds(inside)).unwrap();
    assert_eq!(chunk.end_line, end_line, "end line of {:?}", chunk.bytes);
    end_line + u32::from(bytes[chunk.bytes.end - 1] == b'\n')
}

fn check_size(bytes: &[u8], chunk: &Chunk, limits: &Limits) {
    let chars = count_chars(bytes, &bytes[chunk.bytes.clone()]);
    assert!(
        chars <= limits.chunk_chars_max,
        "{chars} characters in {:?}",
        chunk.bytes
    );
}

/// A chunk that ends inside a line splits one that is longer than any chunk, at a place that breaks nothing.
fn check_end(bytes: &[u8], end: usize, limits: &Limits) {
    if end == bytes.len() || bytes[end - 1] == b'\n' {
        return;
    }
    let start = bytes[..end].iter().rposition(|&byte| byte == b'\n');
    let stop = bytes[end..].iter().position(|&byte| byte == b'\n');
    let line = start.map_or(0, |feed| feed + 1)..stop.map_or(bytes.len(), |feed| end + feed + 1);
    let chars = count_chars(bytes, &bytes[line]);
    assert!(
        chars > limits.chunk_chars_max,
        "a line of {chars} characters is split at {end}"
    );
    assert!(
        !bytes[end - 1..].starts_with(b"\r\n"),
        "CR LF is split at {end}"
    );
    for back in 1..=end.min(3) {
        for width in back + 1..=4 {
            let character = bytes.get(end - back..end - back + width);
            let text = character.and_then(|bytes| std::str::from_utf8(bytes).ok());
            let whole = text.is_some_and(|text| text.chars().count() == 1);
            assert!(!whole, "a character is split at {end}");
        }
    }
}

fn check_symbols(chunk: &Chunk, lines: u32) {
    for symbol in &chunk.symbols {
        assert!(!symbol.name.is_empty());
        let starts_here =
            chunk.start_line <= symbol.start_line && symbol.start_line <= chunk.end_line;
        assert!(starts_here, "{symbol:?} in {:?}", chunk.bytes);
        assert!(
            symbol.start_line <= symbol.end_line && symbol.end_line <= lines,
            "{symbol:?}"
        );
    }
    assert!(chunk.scope.len() <= 16);
}

fn count_lines(bytes: &[u8]) -> u32 {
    let last_is_open = !bytes.is_empty() && !bytes.ends_with(b"\n");
    u32::try_from(count_feeds(bytes)).unwrap() + u32::from(last_is_open)
}

fn count_feeds(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Characters of a part of a file; bytes if the file is not valid UTF-8.
fn count_chars(file: &[u8], part: &[u8]) -> usize {
    match std::str::from_utf8(file) {
        Ok(_) => part.iter().filter(|&&byte| byte & 0xC0 != 0x80).count(),
        Err(_) => part.len(),
    }
}
