//! A definition as the parsers find it, before it is dealt out to chunks.

use std::ops::Range;

use crate::symbol::SymbolKind;

/// Longer names are data that looks like a name.
pub(crate) const NAME_BYTES_MAX: usize = 200;

/// A named definition and the bytes it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) name: String,
    /// What the name is qualified with at its definition, outermost first: `["shapes", "Circle"]` for
    /// `shapes::Circle::area`, the receiver's type for a Go method.
    pub(crate) owners: Vec<String>,
    pub(crate) kind: SymbolKind,
    pub(crate) bytes: Range<usize>,
}

/// A name split from its qualifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QualifiedName {
    pub(crate) owners: Vec<String>,
    pub(crate) name: String,
}

impl QualifiedName {
    /// A name without qualifiers, taken as it is.
    pub(crate) fn plain(name: &str) -> Option<Self> {
        Self::of(Vec::new(), name.to_owned())
    }

    /// Splits `a::b`, `a.b`, `a\b` and `a:b`, drops type arguments, and takes quotes off.
    /// `None` for what cannot be a name: empty, `_`, or longer than [`NAME_BYTES_MAX`].
    pub(crate) fn parse(source: &[u8]) -> Option<Self> {
        // A qualified name may carry long type arguments, but not without end.
        if source.len() > 4 * NAME_BYTES_MAX {
            return None;
        }
        let text = String::from_utf8_lossy(source);
        let text = text.trim();
        if text.starts_with(['\'', '"', '`']) {
            return Self::plain(text.trim_matches(['\'', '"', '`']));
        }
        // `[Symbol.iterator]` and Ruby's `[]` are names of one piece.
        if text.starts_with('[') {
            return Self::plain(text);
        }
        let (path, operator) = split_operator(text);
        let mut owners: Vec<String> = without_arguments(path)
            .split(['.', '\\', ':'])
            .map(|part| part.trim().trim_start_matches('#').to_owned())
            .filter(|part| !part.is_empty())
            .collect();
        let name = match operator {
            Some(operator) => operator.to_owned(),
            None => owners.pop()?,
        };
        Self::of(owners, name)
    }

    fn of(owners: Vec<String>, name: String) -> Option<Self> {
        let usable = !name.is_empty() && name != "_" && name.len() <= NAME_BYTES_MAX;
        usable.then_some(Self { owners, name })
    }
}

/// Splits `Circle::operator<` before its operator, whose characters would otherwise read as brackets or separators.
fn split_operator(text: &str) -> (&str, Option<&str>) {
    const KEYWORD: &str = "operator";
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in text.match_indices(KEYWORD) {
        let (before, after) = (&text[..at], &text[at + KEYWORD.len()..]);
        if !before.ends_with(is_word) && !after.is_empty() && !after.starts_with(is_word) {
            return (before, Some(&text[at..]));
        }
    }
    (text, None)
}

/// `Vec<T>::Map[K]` without `<T>` and `[K]`. A bracket counts only right after a word, so that Ruby's `<=>` stays.
fn without_arguments(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    let mut depth = 0usize;
    for c in path.chars() {
        let after_word = kept.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        match c {
            '<' | '[' if depth > 0 || after_word => depth += 1,
            '>' | ']' if depth > 0 => depth -= 1,
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_from_their_qualifiers() {
        let cases: &[(&str, Option<&str>)] = &[
            ("area", Some("area")),
            ("shapes::Circle::area", Some("shapes Circle area")),
            ("a.b.c", Some("a b c")),
            ("A\\B", Some("A B")),
            ("lib.io:open", Some("lib io open")),
            ("std::Vec<a::T>::push", Some("std Vec push")),
            ("Pair[K, V]", Some("Pair")),
            ("Circle::operator<", Some("Circle operator<")),
            ("operator bool", Some("operator bool")),
            ("operators", Some("operators")),
            ("operator", Some("operator")),
            ("<=>", Some("<=>")),
            ("[]", Some("[]")),
            ("value=", Some("value=")),
            ("#secret", Some("secret")),
            ("'quoted.name'", Some("quoted.name")),
            ("_", None),
            ("", None),
            ("::", None),
        ];
        for (source, expected) in cases {
            let parsed = QualifiedName::parse(source.as_bytes())
                .map(|name| [name.owners, vec![name.name]].concat().join(" "));
            assert_eq!(parsed.as_deref(), *expected, "{source}");
        }
        assert_eq!(QualifiedName::parse(&[b'x'; NAME_BYTES_MAX + 1]), None);
    }
}
