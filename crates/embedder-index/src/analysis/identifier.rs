//! Finds identifiers in text and splits them into parts.
//!
//! Letters of every script count. Scripts written without spaces (Chinese, Japanese) have no word borders to find, so a
//! run of them gives overlapping pairs of characters, which is what works without a dictionary.

/// Fewer digits than this are counters and indices, not something to search for; three are status codes and ports.
const NUMBER_DIGITS_MIN: usize = 3;

/// The identifiers, words and longer numbers of `text`, in order.
pub fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    Identifiers {
        rest: text,
        unspaced: "",
    }
}

struct Identifiers<'t> {
    rest: &'t str,
    /// What is left of a run in a script without spaces.
    unspaced: &'t str,
}

impl<'t> Iterator for Identifiers<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        loop {
            if let Some(pair) = self.next_pair() {
                return Some(pair);
            }
            let start = self.rest.find(is_word_char)?;
            let from = &self.rest[start..];
            let unspaced = from.starts_with(is_unspaced);
            let end = from
                .find(|c: char| !is_word_char(c) || is_unspaced(c) != unspaced)
                .unwrap_or(from.len());
            let (run, rest) = from.split_at(end);
            self.rest = rest;
            if unspaced {
                if run.chars().nth(1).is_none() {
                    return Some(run);
                }
                self.unspaced = run;
            } else if is_searchable(run) {
                return Some(run);
            }
        }
    }
}

impl<'t> Identifiers<'t> {
    fn next_pair(&mut self) -> Option<&'t str> {
        let mut chars = self.unspaced.chars();
        let first = chars.next()?;
        let Some(second) = chars.next() else {
            self.unspaced = "";
            return None;
        };
        let pair = &self.unspaced[..first.len_utf8() + second.len_utf8()];
        self.unspaced = &self.unspaced[first.len_utf8()..];
        Some(pair)
    }
}

/// A run without letters is worth finding only when it is a number of some length.
fn is_searchable(run: &str) -> bool {
    run.chars().any(char::is_alphabetic)
        || run.bytes().filter(u8::is_ascii_digit).count() >= NUMBER_DIGITS_MIN
}

fn is_word_char(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || c == '_'
    } else {
        c.is_alphanumeric()
    }
}

/// Han, Hiragana and Katakana: the blocks of scripts written without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// The parts of an identifier: split at `_` and where a camel-case hump begins.
///
/// A run of capitals is one part up to the hump that follows it (`HTTPServer` is `HTTP`, `Server`), and a plural `s`
/// stays with its capitals (`parseURLs` is `parse`, `URLs`). Digits belong to the part before them.
pub fn parts(identifier: &str) -> impl Iterator<Item = &str> {
    identifier
        .split('_')
        .filter(|piece| !piece.is_empty())
        .flat_map(humps)
}

fn humps(piece: &str) -> impl Iterator<Item = &str> {
    let mut rest = piece;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = rest.split_at(hump_end(rest));
        rest = after;
        Some(part)
    })
}

/// Where the first part of `piece` ends.
fn hump_end(piece: &str) -> usize {
    let mut chars = piece.char_indices().peekable();
    let Some((_, mut previous)) = chars.next() else {
        return 0;
    };
    while let Some((at, current)) = chars.next() {
        if current.is_uppercase() {
            let next = chars.peek().map(|&(_, next)| next);
            let begins_a_word = previous.is_uppercase()
                && next.is_some_and(char::is_lowercase)
                && !is_plural_ending(&piece[at + current.len_utf8()..]);
            if !previous.is_uppercase() || begins_a_word {
                return at;
            }
        }
        previous = current;
    }
    piece.len()
}

/// Whether what follows a run of capitals is no more than their plural `s`.
fn is_plural_ending(after: &str) -> bool {
    let Some(rest) = after.strip_prefix('s') else {
        return false;
    };
    !rest.starts_with(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_split_where_their_style_says() {
        for (identifier, expected) in [
            ("camelCase", vec!["camel", "Case"]),
            ("PascalCaseName", vec!["Pascal", "Case", "Name"]),
            ("snake_case_name", vec!["snake", "case", "name"]),
            ("SCREAMING_SNAKE", vec!["SCREAMING", "SNAKE"]),
            ("HTTPServer", vec!["HTTP", "Server"]),
            ("parseHTML5Document", vec!["parse", "HTML5", "Document"]),
            ("base64Encode", vec!["base64", "Encode"]),
            ("utf8", vec!["utf8"]),
            ("IDs", vec!["IDs"]),
            ("parseURLsFast", vec!["parse", "URLs", "Fast"]),
            ("x", vec!["x"]),
            ("__dunder__", vec!["dunder"]),
            ("___", vec![]),
            ("ÄpfelBaum", vec!["Äpfel", "Baum"]),
        ] {
            assert_eq!(
                parts(identifier).collect::<Vec<_>>(),
                expected,
                "{identifier}"
            );
        }
    }

    #[test]
    fn identifiers_are_found_in_any_text() {
        for (text, expected) in [
            ("fn main() { a->b::c }", vec!["fn", "main", "a", "b", "c"]),
            ("x = 12 + 4096;", vec!["x", "4096"]),
            ("naïve Größe привет", vec!["naïve", "Größe", "привет"]),
            ("検索 engine 検", vec!["検索", "engine", "検"]),
            ("全文検索v2", vec!["全文", "文検", "検索", "v2"]),
            ("_ __ ___", vec![]),
            ("emoji 🦀 crab", vec!["emoji", "crab"]),
        ] {
            assert_eq!(identifiers(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
