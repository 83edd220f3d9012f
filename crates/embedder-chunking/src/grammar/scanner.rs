//! What the hand-written scanners of some grammars can keep in mind.
//!
//! Such a scanner writes its state (open heredocs, indentations) into a buffer of 1,024 bytes at every token. Those of
//! Ruby and Python check its end one or two bytes late, and tree-sitter then ends the process. So files that could fill
//! the buffer are told before the parser sees them, by bounds that hold whatever else the file says.

/// Size of the buffer: `TREE_SITTER_SERIALIZATION_BUFFER_SIZE`.
const BUFFER_BYTES: usize = 1_024;

/// A heredoc in Ruby's buffer beside its word: three flags and the length.
const HEREDOC_BYTES: usize = 4;

/// A string in Ruby's buffer.
const LITERAL_BYTES: usize = 5;

/// The length of a heredoc's word is kept in a byte.
const HEREDOC_WORD_MAX: usize = 255;

/// An indentation in Python's buffer.
const INDENT_BYTES: usize = 2;

/// What Python's buffer holds beside indentations: a flag, a count and at most 255 open strings.
const PYTHON_REST_BYTES: usize = 257;

/// Whether Ruby's scanner could run over its buffer: by all heredocs of the file being open at once, in as many strings
/// as there are interpolations open at once.
pub(super) fn ruby_overflows(bytes: &[u8]) -> bool {
    let mut heredocs = 0;
    let (mut braces, mut braces_max) = (0usize, 0usize);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'<' if bytes.get(at + 1) == Some(&b'<') => {
                let word = heredoc_word_len(&bytes[at + 2..]);
                if word > HEREDOC_WORD_MAX {
                    return true;
                }
                if word > 0 {
                    heredocs += HEREDOC_BYTES + word;
                }
            }
            b'{' => {
                braces += 1;
                braces_max = braces_max.max(braces);
            }
            b'}' => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    // Only where the two together come near the end of the buffer; strings alone are checked rightly.
    heredocs > 0 && 2 + heredocs + LITERAL_BYTES * (braces_max + 1) > BUFFER_BYTES - HEREDOC_BYTES
}

/// The length of the word that names a heredoc, after its `<<`; 0 where none begins.
fn heredoc_word_len(rest: &[u8]) -> usize {
    let rest = match rest.first() {
        Some(b'-' | b'~') => &rest[1..],
        _ => rest,
    };
    match rest.first() {
        Some(&quote @ (b'"' | b'\'' | b'`')) => {
            let word = &rest[1..];
            word.iter()
                .position(|&byte| byte == quote)
                .unwrap_or(word.len())
                .max(1)
        }
        // Beyond ASCII any byte may be part of a letter.
        _ => rest
            .iter()
            .take_while(|&&byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80)
            .count(),
    }
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
    fn ordinary_heredocs_fit() {
        let one = "sql = <<~SQL\n  select 1\nSQL\nlist << item\n";
        assert!(!ruby_overflows(one.repeat(100).as_bytes()));
        assert!(ruby_overflows(one.repeat(200).as_bytes()));
    }

    #[test]
    fn the_words_of_heredocs_are_measured_as_the_scanner_reads_them() {
        for (rest, expected) in [
            ("~SQL\n", 3),
            ("-'two words'", 9),
            ("\"\"", 1),
            (" item", 0),
            ("= 1", 0),
            ("é1)", 3),
            ("'open", 4),
        ] {
            assert_eq!(heredoc_word_len(rest.as_bytes()), expected, "{rest}");
        }
        assert!(ruby_overflows(format!("<<{}", "X".repeat(300)).as_bytes()));
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
