//! How many tokens a text is for those who read it, as an upper bound.
//!
//! Models cut text each in their own way, and none of their tables is worth loading to count a page. What all have in common:
//! a word is a token or a few, three digits are one, a run of punctuation is one or two, a line break is one. The bound is
//! compared with `o200k_base` in the tests.

/// Letters of a word that one token holds, at least.
const WORD: usize = 4;

/// Letters of what is no word that one token holds, at least: keys, sums, encoded bytes.
const NO_WORD: usize = 2;

/// Longer runs of letters are no words.
const WORD_MAX: usize = 20;

/// Digits of a number that one token holds.
const DIGITS: usize = 3;

/// Tokens of a character that few texts have.
const RARE: usize = 3;

/// Marks of a run that one token holds, at least.
const MARKS: usize = 2;

/// What a run of characters is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Digits,
    Marks,
    /// Blanks: they go with what follows.
    Blank,
    Break,
    /// Letters outside of ASCII.
    Other,
    /// Those that take a token for each of their bytes, or nearly so: pictures, rare scripts.
    Rare,
}

/// Returns about how many tokens a text is, rather more than fewer.
pub(super) fn tokens(text: &str) -> usize {
    let mut tokens = 0;
    let mut run: Option<(Kind, usize)> = None;
    for character in text.chars() {
        let kind = kind(character);
        match &mut run {
            Some((before, length)) if *before == kind => *length += 1,
            _ => {
                tokens += run.map_or(0, of_run);
                run = Some((kind, 1));
            }
        }
    }
    tokens + run.map_or(0, of_run)
}

fn of_run((kind, length): (Kind, usize)) -> usize {
    match kind {
        Kind::Word if length > WORD_MAX => length.div_ceil(NO_WORD),
        Kind::Word => length.div_ceil(WORD),
        Kind::Digits => length.div_ceil(DIGITS),
        Kind::Marks => length.div_ceil(MARKS),
        // A long indent is one of its own.
        Kind::Blank => usize::from(length > 1),
        Kind::Break => 1,
        Kind::Other => length,
        Kind::Rare => length * RARE,
    }
}

fn kind(character: char) -> Kind {
    match character {
        '\n' | '\r' => Kind::Break,
        ' ' | '\t' => Kind::Blank,
        'a'..='z' | 'A'..='Z' => Kind::Word,
        '0'..='9' => Kind::Digits,
        character if character.is_ascii() => Kind::Marks,
        '\u{80}'..='\u{7ff}'
        | '\u{3000}'..='\u{30ff}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}' => Kind::Other,
        _ => Kind::Rare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted() {
        let check = |text: &str, expected: usize| assert_eq!(tokens(text), expected, "{text:?}");
        check("", 0);
        check("word", 1);
        check("longer", 2);
        check("two words", 3);
        check("123456", 2);
        check("a = b;\n", 5);
        check("    indented", 3);
        check("日本語", 3);
    }

    #[test]
    fn it_is_an_upper_bound_that_is_not_far_off() {
        let exact = tiktoken_rs::o200k_base().unwrap();
        let check = |text: &str| {
            let (ours, theirs) = (tokens(text), exact.encode_ordinary(text).len());
            assert!(ours >= theirs, "{ours} < {theirs}: {text}");
            assert!(ours <= theirs * 2 + 8, "{ours} > 2 x {theirs}: {text}");
        };
        // This file, and another language's.
        check(include_str!("tokens.rs"));
        check(include_str!("tools.rs"));
        check(include_str!("../http/dashboard/style.css"));
        check(include_str!("../../scripts/mcp-client.py"));
        check(include_str!("../../docs/agents.md"));
        check(include_str!("../../justfile"));
    }
}
