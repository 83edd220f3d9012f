//! What an agent without this program does: grep for the words of the question, and read.
//!
//! The baseline is a good grep, not a straw man: stop words are left out, matching ignores case, the files with most of
//! the words come first, and of each file only the matching lines with two around them are read, up to a limit.

use std::collections::BTreeSet;

use embedder_index::analysis::{identifiers, is_stop_word};
use regex::RegexSetBuilder;

use super::dataset::{Place, Question};
use super::{TOKENS_MAX, metric, tokens_of};

/// Lines shown above and below a match.
const AROUND: usize = 2;

/// Lines shown of one file, as `grep -m` limits it.
const LINES_PER_FILE_MAX: usize = 60;

/// Tokens read until a line of an answer was seen; [`TOKENS_MAX`] where none is.
pub(super) fn tokens_until_relevant(question: &Question, files: &[(String, String)]) -> u64 {
    let words: BTreeSet<String> = identifiers(&question.query)
        .map(str::to_lowercase)
        .filter(|word| !is_stop_word(word))
        .collect();
    let set = RegexSetBuilder::new(words.iter().map(|word| regex::escape(word)))
        .case_insensitive(true)
        .build();
    let Ok(set) = set else { return TOKENS_MAX };
    let mut found: Vec<(usize, &str, Vec<Shown>)> = Vec::new();
    for (path, text) in files {
        let mut held = BTreeSet::new();
        let mut matching = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let matches = set.matches(line);
            if matches.matched_any() {
                held.extend(matches.iter());
                matching.push(number);
            }
        }
        if !matching.is_empty() {
            found.push((held.len(), path, shown(text, &matching)));
        }
    }
    found.sort_by(|(a, a_path, _), (b, b_path, _)| b.cmp(a).then(a_path.cmp(b_path)));
    let mut tokens = 0;
    for (_, path, lines) in &found {
        for line in lines {
            tokens += tokens_of(&format!("{path}:{}:{}\n", line.number, line.text));
            let place = Place {
                path,
                start_line: line.number,
                end_line: line.number,
            };
            if metric::first_relevant(question, &[place]).is_some() {
                return tokens.min(TOKENS_MAX);
            }
            if tokens >= TOKENS_MAX {
                return TOKENS_MAX;
            }
        }
    }
    TOKENS_MAX
}

struct Shown<'a> {
    number: u32,
    text: &'a str,
}

fn shown<'a>(text: &'a str, matching: &[usize]) -> Vec<Shown<'a>> {
    let mut numbers = BTreeSet::new();
    for &line in matching {
        numbers.extend(line.saturating_sub(AROUND)..=line + AROUND);
    }
    let lines = text.lines().enumerate();
    lines
        .filter(|(number, _)| numbers.contains(number))
        .take(LINES_PER_FILE_MAX)
        .map(|(number, text)| Shown {
            number: number as u32 + 1,
            text,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::eval::dataset::{Category, Target};

    fn check(query: &str, path: &str, expected: u64) {
        let question = Question {
            query: query.to_owned(),
            category: Category::Semantic,
            relevant: vec![Target {
                path: path.to_owned(),
                start_line: None,
                end_line: None,
            }],
            secondary: Vec::new(),
        };
        let files = [
            ("a".to_owned(), "one\n".to_owned()),
            ("b".to_owned(), "one\nx\nx\nx\nTwo\n".to_owned()),
            ("c".to_owned(), "three\n".to_owned()),
        ];
        assert_eq!(tokens_until_relevant(&question, &files), expected);
    }

    #[test]
    fn the_file_with_most_of_the_words_is_read_first() {
        check("how are one and two", "b", tokens_of("b:1:one\n"));
        let read_before = ["b:1:one\n", "b:2:x\n", "b:3:x\n", "b:4:x\n", "b:5:Two\n"];
        let before: u64 = read_before.iter().map(|line| tokens_of(line)).sum();
        check("one two", "a", before + tokens_of("a:1:one\n"));
    }

    #[test]
    fn what_no_word_leads_to_is_never_found() {
        check("one two", "c", TOKENS_MAX);
        check("the of", "a", TOKENS_MAX);
    }
}
