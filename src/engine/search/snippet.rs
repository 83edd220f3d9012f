//! The few lines of a chunk that show why it was found.

use serde::{Deserialize, Serialize};

/// Some lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Snippet {
    /// Number of the first line, from 1.
    pub start_line: u32,
    /// The lines, without a final line break.
    pub text: String,
}

/// Longest line shown, in characters: a minified file must not fill the terminal.
const LINE_CHARS_MAX: usize = 240;

/// Returns the `lines_max` lines that hold most of the words, the earliest of equals. Words are in lower case.
///
/// `start_line` is the number of the text's first line. With `lines_max` 0 there is no text, only the place.
pub fn snippet(text: &str, start_line: u32, words: &[String], lines_max: usize) -> Snippet {
    let lines: Vec<&str> = text.lines().collect();
    let held: Vec<Vec<usize>> = lines.iter().map(|line| words_in(line, words)).collect();
    // Without lines to show, the place is that of the best single line.
    let size = lines_max.max(1);
    let starts = 0..=lines.len().saturating_sub(size);
    let best = starts.max_by_key(|&start| {
        let window = &held[start..lines.len().min(start + size)];
        let distinct: std::collections::BTreeSet<_> = window.iter().flatten().collect();
        let starts_with_a_hit = window.first().is_some_and(|line| !line.is_empty());
        let starts_with_text = lines.get(start).is_some_and(|line| !line.trim().is_empty());
        (
            distinct.len(),
            starts_with_a_hit,
            starts_with_text,
            std::cmp::Reverse(start),
        )
    });
    window(&lines, start_line, best.unwrap_or(0), lines_max)
}

/// Returns the `lines_max` lines around one line of the text, counted from 0.
pub fn around(text: &str, start_line: u32, line: usize, lines_max: usize) -> Snippet {
    let lines: Vec<&str> = text.lines().collect();
    let before = lines_max.saturating_sub(1) / 2;
    let last_start = lines.len().saturating_sub(lines_max);
    window(
        &lines,
        start_line,
        line.saturating_sub(before).min(last_start),
        lines_max,
    )
}

fn window(lines: &[&str], start_line: u32, start: usize, lines_max: usize) -> Snippet {
    let end = lines.len().min(start + lines_max);
    let shown = lines.get(start..end).unwrap_or_default();
    // Blank lines at the end show nothing.
    let len = shown
        .iter()
        .rposition(|line| !line.trim().is_empty())
        .map_or(0, |last| last + 1);
    let text = shown[..len]
        .iter()
        .map(|line| cut(line))
        .collect::<Vec<_>>()
        .join("\n");
    Snippet {
        start_line: start_line + start as u32,
        text,
    }
}

fn words_in(line: &str, words: &[String]) -> Vec<usize> {
    let line = line.to_lowercase();
    words
        .iter()
        .enumerate()
        .filter(|(_, word)| line.contains(word.as_str()))
        .map(|(index, _)| index)
        .collect()
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, words: &[&str], lines_max: usize, expected: (u32, &str)) {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let found = snippet(text, 10, &words, lines_max);
        assert_eq!((found.start_line, found.text.as_str()), expected);
    }

    #[test]
    fn the_lines_with_most_of_the_words_are_shown() {
        check(
            "a\nb\nfn Send(retry)\n  retry\nz\n",
            &["send", "retry"],
            2,
            (12, "fn Send(retry)\n  retry"),
        );
    }

    #[test]
    fn without_a_word_it_is_the_first_lines_with_text() {
        check("\n\na\nb\nc\n", &["x"], 2, (12, "a\nb"));
        check("", &["x"], 3, (10, ""));
    }

    #[test]
    fn no_lines_asked_for_gives_the_place_alone() {
        check("a\nb\n", &["b"], 0, (11, ""));
    }

    #[test]
    fn a_place_is_shown_with_what_is_around_it() {
        let found = around("a\nb\nc\nd\ne\n", 1, 3, 3);
        assert_eq!((found.start_line, found.text.as_str()), (3, "c\nd\ne"));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "é".repeat(LINE_CHARS_MAX + 1);
        assert_eq!(
            around(&long, 1, 0, 1).text.chars().count(),
            LINE_CHARS_MAX + 1
        );
    }
}
