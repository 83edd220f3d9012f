//! Headings of reStructuredText: a line of text underlined, and perhaps overlined, with punctuation. The order in which
//! the adornments first appear gives their levels.

use super::{Heading, title};
use crate::text::Text;

/// Characters shorter underlines than which are accidents.
const UNDERLINE_CHARS_MIN: usize = 2;

pub(super) fn headings(text: &Text<'_>) -> Vec<Heading> {
    let mut headings = Vec::new();
    // Adornments in order of appearance: the character, and whether there is a line above too.
    let mut levels: Vec<(u8, bool)> = Vec::new();
    for line in 1..text.line_count() {
        let Some(mark) = adornment(text.line(line)) else {
            continue;
        };
        let name = text.line(line - 1);
        if !is_title(name, text.line(line)) {
            continue;
        }
        let overlined = line >= 2
            && text
                .line(line - 2)
                .starts_with(text.line(line).trim_ascii_end());
        let adornment = (mark, overlined);
        let known = levels.iter().position(|own| *own == adornment);
        let level = known.unwrap_or_else(|| {
            levels.push(adornment);
            levels.len() - 1
        });
        headings.push(Heading {
            line: line - 1 - usize::from(overlined),
            level: u32::try_from(level + 1).expect("there are few punctuation marks"),
            title: title(name),
        });
    }
    headings
}

/// The punctuation mark that a line repeats.
fn adornment(line: &[u8]) -> Option<u8> {
    let line = line.trim_ascii_end();
    let mark = *line.first().filter(|byte| byte.is_ascii_punctuation())?;
    let repeats = line.len() >= UNDERLINE_CHARS_MIN && line.iter().all(|&byte| byte == mark);
    repeats.then_some(mark)
}

/// Whether `name` is text no longer than the line under it. Text with an overline may be indented.
fn is_title(name: &[u8], underline: &[u8]) -> bool {
    let characters = String::from_utf8_lossy(name.trim_ascii_end())
        .chars()
        .count();
    let is_text = !name.trim_ascii().is_empty() && adornment(name).is_none();
    is_text && characters <= underline.trim_ascii_end().len()
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn adornments_nest_in_order_of_appearance() {
        check(
            "a.rst",
            "=====\nTitle\n=====\n\nPart\n----\ntext\n\nDeep\n~~~~\n\n::\n\n  code\n\nOther\n-----\n",
            "1-17 heading Title\n5-14 heading Title.Part\n9-14 heading Title.Part.Deep\n16-17 heading Title.Other\n",
        );
    }

    #[test]
    fn a_line_of_punctuation_alone_is_no_heading() {
        check("a.rst", "text longer than\n---\n\n----\n\n...\n", "");
    }
}
