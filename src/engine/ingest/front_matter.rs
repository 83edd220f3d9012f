//! The facts at the head of a Markdown file, between two lines of `---`: what a metadata filter asks for.
//!
//! Only scalars and flat lists are facts; a list becomes its items joined by commas. Anything else in the block is
//! passed over: front matter is for people, and a filter must not fail for it.

use crate::store::Metadata;

/// Facts kept of one file; a longer head is data, not facts.
const FACTS_MAX: usize = 32;

/// Longest value of a fact in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// Reads the facts of a Markdown text; empty where it has no front matter.
pub(super) fn front_matter(text: &str) -> Metadata {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines();
    let mut facts = Metadata::new();
    if lines.next().map(str::trim_end) != Some("---") {
        return facts;
    }
    let mut block = Metadata::new();
    for line in lines {
        if matches!(line.trim_end(), "---" | "...") {
            facts = block;
            break;
        }
        if block.len() == FACTS_MAX {
            break;
        }
        if let Some((key, value)) = fact(line) {
            block.insert(key, value);
        }
    }
    facts
}

fn fact(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let value = value.trim();
    if !is_key || value.is_empty() || value.len() > VALUE_BYTES_MAX {
        return None;
    }
    let value = match value
        .strip_prefix('[')
        .and_then(|list| list.strip_suffix(']'))
    {
        Some(list) => list.split(',').map(unquote).collect::<Vec<_>>().join(","),
        None => unquote(value),
    };
    Some((key.to_lowercase(), value))
}

fn unquote(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\'']
        .iter()
        .find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote));
    inner.unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected = expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(front_matter(text), expected);
    }

    #[test]
    fn scalars_and_flat_lists_are_facts() {
        check(
            "---\ntitle: \"A: b\"\nTags: [x, 'y']\nnested:\n  a: 1\n---\n# A\n",
            &[("title", "A: b"), ("tags", "x,y")],
        );
    }

    #[test]
    fn a_file_without_a_closed_block_has_no_facts() {
        check("# Title\n---\na: b\n---\n", &[]);
        check("---\na: b\n", &[]);
        check("", &[]);
    }
}
