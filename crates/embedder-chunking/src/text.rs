//! A file's bytes with what is asked of them over and over: where lines start, how many characters a range has.

use std::ops::Range;

/// Distance between two stored character counts; a query scans at most this many bytes at each end.
const COUNT_EVERY_BYTES: usize = 1_024;

/// Bytes of a file, its line starts and its character counts.
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    line_starts: Vec<u32>,
    /// Characters before each multiple of [`COUNT_EVERY_BYTES`]; `None` when a byte counts as a character, in ASCII
    /// and in text that is not valid UTF-8.
    char_counts: Option<Vec<u32>>,
}

impl<'a> Text<'a> {
    /// Indexes `bytes`, which must be fewer than 2^32 (see [`crate::Limits`]).
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut line_starts = Vec::new();
        if !bytes.is_empty() {
            line_starts.push(0);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            if byte == b'\n' && at + 1 < bytes.len() {
                line_starts.push(offset(at + 1));
            }
        }
        let counts_bytes = bytes.is_ascii() || std::str::from_utf8(bytes).is_err();
        let char_counts = (!counts_bytes).then(|| {
            let mut total = 0;
            let blocks = bytes.chunks(COUNT_EVERY_BYTES);
            std::iter::once(0)
                .chain(blocks.map(|block| {
                    total += count_chars(block);
                    offset(total)
                }))
                .collect()
        });
        Self {
            bytes,
            line_starts,
            char_counts,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn line_count(&self) -> usize {
        self.line_starts.len()
    }

    /// The line, from 0, that holds the byte at `at`; the last line for offsets past the end.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        let lines_started = self
            .line_starts
            .partition_point(|&start| start as usize <= at);
        lines_started.saturating_sub(1)
    }

    /// Bytes of a line with its line end; empty past the last line.
    pub(crate) fn line_range(&self, line: usize) -> Range<usize> {
        self.line_start(line)..self.line_start(line + 1)
    }

    /// Where a line starts; the end of the text past the last line.
    pub(crate) fn line_start(&self, line: usize) -> usize {
        self.line_starts
            .get(line)
            .map_or(self.len(), |&start| start as usize)
    }

    /// A line without its line end.
    pub(crate) fn line(&self, line: usize) -> &'a [u8] {
        let bytes = &self.bytes[self.line_range(line)];
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }

    /// Characters in a range; bytes where the text is not valid UTF-8.
    pub(crate) fn chars(&self, range: Range<usize>) -> usize {
        match &self.char_counts {
            None => range.end.saturating_sub(range.start),
            Some(counts) => self
                .chars_before(counts, range.end)
                .saturating_sub(self.chars_before(counts, range.start)),
        }
    }

    fn chars_before(&self, counts: &[u32], at: usize) -> usize {
        let block = at / COUNT_EVERY_BYTES;
        counts[block] as usize + count_chars(&self.bytes[block * COUNT_EVERY_BYTES..at])
    }

    /// The offset `chars` characters after `from`, at most the end of the text.
    pub(crate) fn advance(&self, from: usize, chars: usize) -> usize {
        if self.char_counts.is_none() {
            return (from + chars).min(self.len());
        }
        self.bytes[from..]
            .iter()
            .enumerate()
            .filter(|&(_, &byte)| starts_char(byte))
            .nth(chars)
            .map_or(self.len(), |(skipped, _)| from + skipped)
    }

    /// Nearest offset at or before `at` that is neither inside a valid UTF-8 character nor between CR and LF.
    pub(crate) fn cuttable(&self, at: usize) -> usize {
        let bytes = self.bytes;
        if at == 0 || at >= bytes.len() {
            return at;
        }
        if bytes[at - 1] == b'\r' && bytes[at] == b'\n' {
            return at - 1;
        }
        // A character is at most four bytes, so its lead byte is at most three before an offset inside it.
        for back in 1..=at.min(3) {
            let lead = at - back;
            let width = match bytes[lead] {
                0xC2..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF4 => 4,
                _ => continue,
            };
            let end = (lead + width).min(bytes.len());
            if width > back && std::str::from_utf8(&bytes[lead..end]).is_ok() {
                return lead;
            }
        }
        at
    }
}

/// Offsets fit in 32 bits because larger files are refused.
fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("files of 4 GiB and more are refused")
}

fn starts_char(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

fn count_chars(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| starts_char(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_line_feeds() {
        let cases: &[(&str, usize)] = &[
            ("", 0),
            ("a", 1),
            ("a\n", 1),
            ("a\nb", 2),
            ("\n\n", 2),
            ("a\rb\r\n", 1),
        ];
        for (text, lines) in cases {
            assert_eq!(Text::new(text.as_bytes()).line_count(), *lines, "{text:?}");
        }
        let text = Text::new(b"one\r\ntwo\n");
        assert_eq!((text.line(0), text.line(1)), (&b"one"[..], &b"two"[..]));
        assert_eq!(
            (text.line_of(4), text.line_of(5), text.line_of(99)),
            (0, 1, 1)
        );
    }

    #[test]
    fn characters_are_counted_across_blocks() {
        let source = "é日x😀\n".repeat(1_000);
        let text = Text::new(source.as_bytes());
        assert_eq!(text.chars(0..source.len()), 5_000);
        assert_eq!(text.chars(11..22), 5);
        assert_eq!(text.advance(0, 5), 11);
        assert_eq!(text.advance(0, 9_999), source.len());
    }

    #[test]
    fn bytes_count_as_characters_in_broken_utf8() {
        let text = Text::new(b"\x80\x80\x80\x80");
        assert_eq!(text.chars(0..4), 4);
        assert_eq!(text.advance(0, 3), 3);
    }

    #[test]
    fn a_cut_never_falls_into_a_character_or_a_line_end() {
        let text = Text::new("a😀\r\n".as_bytes());
        let cuts: Vec<usize> = (0..=7).map(|at| text.cuttable(at)).collect();
        assert_eq!(cuts, [0, 1, 1, 1, 1, 5, 5, 7]);
        let broken = Text::new(b"\xf0\x80\x80\x80");
        assert_eq!(broken.cuttable(2), 2);
    }
}
