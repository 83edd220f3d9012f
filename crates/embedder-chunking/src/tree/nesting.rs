//! How deeply the brackets of a file nest.
//!
//! The parser is written in C. Where a bracket can mean two things it follows both, and joins and frees what it
//! followed by recursion, one frame a level: 20,000 nested parentheses overflow the stack of a thread in C, C++, Java,
//! C# and PHP. In the same place some grammars take time that grows with the square of the depth, without asking the
//! clock in between. So depth is measured before the parser sees a file.

/// Whether more than `depth_max` brackets are open at once.
///
/// Brackets in strings and comments count too; those of a real file even out. A `<` counts until `>`, or until a brace
/// or semicolon shows that it was an operator.
pub(super) fn exceeds(bytes: &[u8], depth_max: usize) -> bool {
    let mut brackets = 0usize;
    let mut angles = 0usize;
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => {
                brackets += 1;
                angles = 0;
            }
            b'}' => {
                brackets = brackets.saturating_sub(1);
                angles = 0;
            }
            b';' => angles = 0,
            // `<<` and `<=` are operators.
            b'<' if rest.next_if(|next| matches!(next, b'<' | b'=')).is_none() => angles += 1,
            b'>' => angles = angles.saturating_sub(1),
            _ => {}
        }
        if brackets > depth_max || angles > depth_max {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_open_counts() {
        let cases = [
            ("((()))", 3, false),
            ("((()))", 2, true),
            ("()()()()", 1, false),
            (")))(((", 3, false),
            ("f(g[h{", 2, true),
            ("a<b<c<d", 2, true),
            ("a<b; c<d; e<f;", 1, false),
            ("vec<vec<a>> x, y<z>", 2, false),
            ("1<<2<<3<<4 <= 5", 0, false),
        ];
        for (source, depth_max, expected) in cases {
            assert_eq!(exceeds(source.as_bytes(), depth_max), expected, "{source}");
        }
    }
}
