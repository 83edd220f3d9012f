//! Text of others, with nothing in it that hides or moves what is seen.
//!
//! A file can hold characters that no reader sees and a model reads all the same: controls that move a terminal's cursor,
//! marks that turn the direction of the line, letters without a width, tags. They are shown for what they are, as `\u{202e}`;
//! line breaks and tabs stay.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns the text with every character shown that would not be seen.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_hidden) else {
        return Cow::Borrowed(text);
    };
    let mut shown = String::with_capacity(text.len() + 16);
    shown.push_str(&text[..first]);
    for character in text[first..].chars() {
        if is_hidden(character) {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is not seen, or changes how others are: of the general categories Cc and Cf all but line break and
/// tab, with the separators of lines and paragraphs, the variation selectors and the fillers (Unicode 16, DerivedCoreProperties,
/// `Default_Ignorable_Code_Point`).
fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        character if character.is_control() => true,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_as_it_is() {
        for text in ["", "fn main() {\n\tprintln!(\"héllo, 世界 👋\");\n}\n"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_hides_or_moves_is_shown() {
        let check = |text: &str, expected: &str| assert_eq!(visible(text), expected);
        check("a\u{202e}b", "a\\u{202e}b");
        check("\u{1b}[2Jgone", "\\u{1b}[2Jgone");
        check("in\u{200b}visible\u{feff}", "in\\u{200b}visible\\u{feff}");
        check("tag\u{e0041}", "tag\\u{e0041}");
        check("line\r\n", "line\\u{d}\n");
        check("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}");
        check("\u{85}\u{2028}", "\\u{85}\\u{2028}");
    }
}
