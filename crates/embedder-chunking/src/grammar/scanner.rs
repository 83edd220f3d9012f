//! What the hand-written scanners of some grammars can keep in mind.
//!
//! Such a scanner writes its state (open heredocs, indentations) into a buffer of 1,024 bytes at every token. Those of
//! Ruby and Python check its end one or two bytes late, and tree-sitter then ends the process. So what could fill the
//! buffer is kept from the parser.

use std::borrow::Cow;

/// Size of the buffer: `TREE_SITTER_SERIALIZATION_BUFFER_SIZE`.
const BUFFER_BYTES: usize = 1_024;

/// An indentation in Python's buffer.
const INDENT_BYTES: usize = 2;

/// What Python's buffer holds beside indentations: a flag, a count and at most 255 open strings.
const PYTHON_REST_BYTES: usize = 257;

/// Ruby without heredocs, byte for byte as long: Ruby's scanner runs over its buffer only while one is open.
///
/// A heredoc becomes an empty string and its lines become blank. What only looks like the beginning of one, because no
/// line ends it, becomes another operator, so the scanner never sees a heredoc.
pub(super) fn ruby_without_heredocs(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut blanked = Cow::Borrowed(bytes);
    let mut at = 0;
    // Where the next heredoc's lines may begin: behind those of the one before it on the same line.
    let mut body = 0;
    while let Some(found) = find(&bytes[at..], b"<<") {
        let start = at + found;
        at = start + 1;
        let Some(opener) = Opener::read(&bytes[start..]) else {
            continue;
        };
        let line_end = find(&bytes[start..], b"\n").map_or(bytes.len(), |feed| start + feed + 1);
        body = line_end.max(body);
        let target = blanked.to_mut();
        match opener.end_of_body(&bytes[body..]) {
            Some(len) => {
                target[start..start + opener.len].fill(b' ');
                target[start] = b'"';
                target[start + opener.len - 1] = b'"';
                for byte in &mut target[body..body + len] {
                    if !matches!(byte, b'\n' | b'\r') {
                        *byte = b' ';
                    }
                }
                at = start + opener.len;
                body += len;
            }
            // `class <<self` stays what it is; the name of what is opened does not matter.
            None if bytes[..start].trim_ascii_end().ends_with(b"class")
                && opener.word.len() > 1 =>
            {
                target[start + 2] = b' ';
            }
            None => target[start..start + 2].copy_from_slice(b"+ "),
        }
    }
    blanked
}

/// What opens a heredoc: `<<~WORD`, `<<-'WORD'`, `<<WORD`.
struct Opener<'a> {
    word: &'a [u8],
    len: usize,
}

impl<'a> Opener<'a> {
    /// Reads an opener at the start of `bytes`, which begin with `<<`.
    fn read(bytes: &'a [u8]) -> Option<Opener<'a>> {
        let mark = usize::from(matches!(bytes.get(2), Some(b'-' | b'~')));
        let rest = &bytes[2 + mark..];
        let (word, len) = match rest.first() {
            Some(&quote @ (b'"' | b'\'' | b'`')) => {
                let word = &rest[1..];
                let end = word
                    .iter()
                    .position(|&byte| byte == quote)
                    .unwrap_or(word.len());
                (&word[..end], (end + 2).min(rest.len()))
            }
            _ => {
                // Beyond ASCII any byte may be part of a letter.
                let is_word =
                    |&&byte: &&u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
                let end = rest.iter().take_while(is_word).count();
                (&rest[..end], end)
            }
        };
        (len > 0).then_some(Opener {
            word,
            len: 2 + mark + len,
        })
    }

    /// The length of `lines` up to and with the one that ends the heredoc.
    fn end_of_body(&self, lines: &[u8]) -> Option<usize> {
        if self.word.is_empty() || self.word.contains(&b'\n') {
            return None;
        }
        let mut len = 0;
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            len += line.len();
            if line.trim_ascii() == self.word {
                return Some(len);
            }
            if len > BODY_BYTES_MAX {
                break;
            }
        }
        None
    }
}

/// How far the end of a heredoc is looked for; bounds the time for a file of openers alone.
const BODY_BYTES_MAX: usize = 16 * 1024;

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Whether Python's scanner could run over its buffer. The indentations it keeps grow, so there are at most as many as
/// the widest is wide.
pub(super) fn python_overflows(bytes: &[u8]) -> bool {
    let widest = (BUFFER_BYTES - PYTHON_REST_BYTES) / INDENT_BYTES - 1;
    let mut width = 0;
    let mut in_indent = true;
    let mut previous = b'\n';
    for &byte in bytes {
        match byte {
            // A line that goes on with a backslash goes on with its indentation.
            b'\n' if previous != b'\\' => (width, in_indent) = (0, true),
            b'\n' | b'\r' | b'\\' => {}
            b' ' | b'\x0c' if in_indent => width += 1,
            b'\t' if in_indent => width += 8,
            _ => in_indent = false,
        }
        if width > widest {
            return true;
        }
        if byte != b'\r' {
            previous = byte;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heredocs_become_empty_strings_and_other_shifts_stay_operators() {
        for (source, expected) in [
            (
                "a = <<~SQL\n  x {\nSQL\nb\n",
                "a = \"    \"\n     \n   \nb\n",
            ),
            (
                "f(<<A, <<'B')\n1\nA\n2\nB\nc\n",
                "f(\" \", \"   \")\n \n \n \n \nc\n",
            ),
            ("list << item\n", "list << item\n"),
            ("list <<item\n", "list + item\n"),
            ("out <<\"text\"\n", "out + \"text\"\n"),
            ("class <<self\nend\n", "class << elf\nend\n"),
            ("<<'open", "+ 'open"),
        ] {
            let blanked = ruby_without_heredocs(source.as_bytes());
            assert_eq!(String::from_utf8_lossy(&blanked), expected);
        }
    }

    #[test]
    fn no_opener_is_left_whatever_comes() {
        for unit in [
            "<<E\n",
            "<<<<E",
            "<<\"",
            "<<~'\n'",
            "\"#{<<E\n",
            "<<\u{e9}",
            "class <<self ",
        ] {
            let source = unit.repeat(300);
            let blanked = ruby_without_heredocs(source.as_bytes());
            assert_eq!(blanked.len(), source.len());
            let left = (0..blanked.len() - 1)
                .filter(|&at| blanked[at..].starts_with(b"<<"))
                .filter(|&at| Opener::read(&blanked[at..]).is_some());
            assert_eq!(left.count(), 0, "{unit:?}");
        }
    }

    #[test]
    fn indentation_counts_only_at_the_start_of_lines() {
        let aligned = format!("x = 1{}# note\n", " ".repeat(1_000));
        assert!(!python_overflows(aligned.as_bytes()));
        assert!(!python_overflows(
            format!("{}x\n", " ".repeat(300)).as_bytes()
        ));
        assert!(python_overflows(
            format!("{}x\n", " ".repeat(400)).as_bytes()
        ));
        assert!(python_overflows(" \\\r\n".repeat(400).as_bytes()));
    }
}
