//! Where a text without a syntax tree may be cut: line starts, rated by what a reader sees.
//!
//! Good places are lines with little indentation that follow a blank line or begin a definition. Bad ones are lines
//! that belong to what is above: closing brackets, blank lines, and what a comment speaks about.

use std::ops::Range;

use crate::cut::Break;
use crate::text::Text;

/// Columns of indentation beyond which deeper is no worse.
const INDENT_COLUMNS_MAX: u32 = 80;

/// Columns a tab counts for.
const TAB_COLUMNS: u32 = 4;

/// Ratings of line starts, added to twice the indentation: small steps order places of equal indentation, large ones
/// come after every indentation.
const DEFINITION: u32 = 0;
const AFTER_BLANK: u32 = 1;
const ORDINARY: u32 = 3;
const AFTER_COMMENT: u32 = 200;
const CLOSER: u32 = 400;
const BLANK: u32 = 500;
const INSIDE_FENCE: u32 = 1_000;

/// What lines mean in a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineStyle {
    /// How a line begins that is, or continues, a comment or an attribute of the line after it.
    pub(crate) comments: &'static [&'static str],
    /// Whether lines between code fences (three backticks or tildes) belong together.
    pub(crate) fences: bool,
}

impl LineStyle {
    /// Running text: nothing is a comment.
    pub(crate) const PROSE: Self = Self {
        comments: &[],
        fences: false,
    };
    /// Markdown: running text with fenced code.
    pub(crate) const FENCED: Self = Self {
        comments: &[],
        fences: true,
    };
    /// Code of any language: what is a comment nearly everywhere.
    pub(crate) const CODE: Self = Self {
        comments: &["//", "/*", "* ", "*/", "#", "--", ";;", "@", "<!--"],
        fences: false,
    };
}

/// Hands every line start of `lines` but the first to `sink`, in order, rated from `level` upwards.
pub(crate) fn breaks(
    text: &Text<'_>,
    lines: Range<usize>,
    level: u32,
    style: &LineStyle,
    definition_lines: &[usize],
    sink: &mut dyn FnMut(Break),
) {
    let mut above = None;
    let mut fence = Fence::default();
    for line in lines {
        let look = Look::of(text.line(line), style);
        let inside_fence = style.fences && fence.holds(text.line(line));
        if let Some(above) = above {
            let defines = definition_lines.binary_search(&line).is_ok();
            let mut rating = look.rating(above, defines);
            if inside_fence {
                rating += INSIDE_FENCE;
            }
            sink(Break {
                at: text.line_start(line),
                level: level.saturating_add(rating),
            });
        }
        above = Some(look.shape);
    }
}

/// Indentation of a line in columns.
pub(crate) fn indent_columns(line: &[u8]) -> u32 {
    let mut columns = 0u32;
    for byte in line {
        match byte {
            b' ' => columns += 1,
            b'\t' => columns += TAB_COLUMNS,
            _ => break,
        }
    }
    columns
}

/// What a line is at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Blank,
    Comment,
    /// Ends what is above: a bracket, `end`, a closing tag.
    Closer,
    Ordinary,
}

impl Shape {
    pub(crate) fn of(line: &[u8], style: &LineStyle) -> Self {
        let trimmed = line.trim_ascii();
        let starts_with = |prefix: &&str| trimmed.starts_with(prefix.as_bytes());
        if trimmed.is_empty() {
            Self::Blank
        } else if trimmed == b"*" || style.comments.iter().any(starts_with) {
            Self::Comment
        } else if closes(trimmed) {
            Self::Closer
        } else {
            Self::Ordinary
        }
    }
}

fn closes(trimmed: &[u8]) -> bool {
    let word_end = trimmed
        .iter()
        .position(|byte| !byte.is_ascii_alphabetic())
        .unwrap_or(trimmed.len());
    let (word, rest) = trimmed.split_at(word_end);
    let ends_here = rest.iter().all(|byte| b";,). ".contains(byte));
    trimmed.starts_with(b"</")
        || matches!(trimmed[0], b'}' | b')' | b']')
        || (ends_here && matches!(word, b"end" | b"END" | b"done" | b"fi" | b"esac"))
}

struct Look {
    shape: Shape,
    indent_columns: u32,
}

impl Look {
    fn of(line: &[u8], style: &LineStyle) -> Self {
        Self {
            shape: Shape::of(line, style),
            indent_columns: indent_columns(line).min(INDENT_COLUMNS_MAX),
        }
    }

    fn rating(&self, above: Shape, defines: bool) -> u32 {
        let place = match (self.shape, above) {
            (Shape::Blank, _) => BLANK,
            (Shape::Closer, _) => CLOSER,
            (_, Shape::Comment) => AFTER_COMMENT,
            (Shape::Ordinary, _) if defines => DEFINITION,
            (Shape::Comment, _) | (_, Shape::Blank) => AFTER_BLANK,
            (Shape::Ordinary, Shape::Ordinary | Shape::Closer) => ORDINARY,
        };
        place + 2 * self.indent_columns
    }
}

/// A Markdown code fence, followed line by line.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    /// Character and length of the fence that is open.
    open: Option<(u8, usize)>,
}

impl Fence {
    /// Takes the next line and tells whether it lies inside a fence; the opening line does not, the closing one does.
    pub(crate) fn holds(&mut self, line: &[u8]) -> bool {
        let trimmed = line.trim_ascii();
        let marker = trimmed.first().copied().unwrap_or(b' ');
        let length = trimmed.iter().take_while(|&&byte| byte == marker).count();
        let fence = matches!(marker, b'`' | b'~') && length >= 3;
        match self.open {
            Some((open, least)) => {
                if fence && marker == open && length >= least && length == trimmed.len() {
                    self.open = None;
                }
                true
            }
            None => {
                // Backticks again on the same line make it a code span, not a fence.
                if fence && !(marker == b'`' && trimmed[length..].contains(&b'`')) {
                    self.open = Some((marker, length));
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratings(source: &str, style: &LineStyle) -> Vec<u32> {
        let text = Text::new(source.as_bytes());
        let mut levels = Vec::new();
        breaks(&text, 0..text.line_count(), 0, style, &[], &mut |place| {
            levels.push(place.level);
        });
        levels
    }

    #[test]
    fn lines_that_belong_to_what_is_above_rate_worst() {
        let source = "a {\n    b\n}\n\n// c\nd {\n";
        let expected = [ORDINARY + 8, CLOSER, BLANK, AFTER_BLANK, AFTER_COMMENT];
        assert_eq!(ratings(source, &LineStyle::CODE), expected);
    }

    #[test]
    fn a_fence_holds_its_lines_together() {
        let source = "text\n\n```rust\nfn a() {}\n\nfn b() {}\n```\nmore\n";
        let inside: Vec<bool> = ratings(source, &LineStyle::FENCED)
            .into_iter()
            .map(|level| level >= INSIDE_FENCE)
            .collect();
        assert_eq!(inside, [false, false, true, true, true, true, false]);
    }

    #[test]
    fn a_fence_closes_only_with_its_own_marker() {
        let mut fence = Fence::default();
        let lines = [
            "~~~~ js",
            "```",
            "~~~",
            "~~~~~",
            "after",
            "``` a ``` b",
            "plain",
        ];
        let held: Vec<bool> = lines
            .iter()
            .map(|line| fence.holds(line.as_bytes()))
            .collect();
        assert_eq!(held, [false, true, true, true, false, false, false]);
    }

    #[test]
    fn closing_words_end_their_line() {
        for (line, shape) in [
            ("end", Shape::Closer),
            ("  end;", Shape::Closer),
            ("} else {", Shape::Closer),
            ("</div>", Shape::Closer),
            ("endpoint = 1", Shape::Ordinary),
            ("end of story", Shape::Ordinary),
        ] {
            assert_eq!(
                Shape::of(line.as_bytes(), &LineStyle::CODE),
                shape,
                "{line}"
            );
        }
    }
}
