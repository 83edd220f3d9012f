//! Cuts a text into chunks, given where it may be cut and how well each place suits.
//!
//! Parsers propose [`Break`]s at line starts, each with a level: the depth of what begins there, so a lower level is a
//! better place. Where proposals lie too far apart the lines between them are proposed too, and inside an overlong
//! line places every few hundred characters. One rule then picks among all of them.

use std::collections::VecDeque;
use std::ops::Range;

use crate::limits::Limits;
use crate::lines::{self, LineStyle};
use crate::text::Text;

/// Added to the level of line starts that no parser proposed: what begins there is part of something, so they come
/// after the places that parsers propose within any nesting that people write.
const LEVEL_OF_LINES: u32 = 64;

/// Level of a place inside an overlong line: any line start is better.
const LEVEL_INSIDE_LINE: u32 = u32::MAX;

/// Characters after which an overlong line is cut by preference.
const DELIMITERS: &[u8] = b" \t\r;,{}()[]<>|&";

/// A place where a chunk may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Break {
    pub(crate) at: usize,
    /// The lower, the better.
    pub(crate) level: u32,
}

/// Cuts `text` at the best of `breaks`, which are line starts in ascending order.
///
/// The ranges returned tile the text, none is empty, and none has more characters than `limits.chunk_chars_max`.
pub(crate) fn cut(
    text: &Text<'_>,
    breaks: &[Break],
    definition_lines: &[usize],
    style: &LineStyle,
    limits: &Limits,
) -> Vec<Range<usize>> {
    let mut cutter = Cutter::new(text, limits);
    let mut start = Break { at: 0, level: 0 };
    let end = Break {
        at: text.len(),
        level: 0,
    };
    for &next in breaks.iter().chain([&end]) {
        if text.chars(start.at..next.at) > limits.chunk_chars_max {
            let piece = text.line_of(start.at)..text.line_of(next.at - 1) + 1;
            let level = start.level.saturating_add(LEVEL_OF_LINES);
            lines::breaks(text, piece, level, style, definition_lines, &mut |line| {
                cutter.push_line(line);
            });
        }
        cutter.push_line(next);
        start = next;
    }
    cutter.finish()
}

/// Holds the places seen since the last cut until it is clear which is the best.
struct Cutter<'t, 'a> {
    text: &'t Text<'a>,
    limits: &'t Limits,
    /// Where the chunk under way begins.
    start: usize,
    /// Line start last pushed.
    line_start: usize,
    /// Places after `start`, all within reach of one chunk.
    pending: VecDeque<Break>,
    chunks: Vec<Range<usize>>,
}

impl<'t, 'a> Cutter<'t, 'a> {
    fn new(text: &'t Text<'a>, limits: &'t Limits) -> Self {
        Self {
            text,
            limits,
            start: 0,
            line_start: 0,
            pending: VecDeque::new(),
            chunks: Vec::new(),
        }
    }

    /// Takes the next line start, and before it the places inside the line that ends there if it is overlong.
    fn push_line(&mut self, next: Break) {
        if next.at <= self.line_start {
            return;
        }
        // Only a single line can still be longer than a chunk here.
        let mut from = self.line_start;
        while self.text.chars(from..next.at) > self.limits.chunk_chars_max {
            from = self.place_inside_line(from);
            self.push(Break {
                at: from,
                level: LEVEL_INSIDE_LINE,
            });
        }
        self.line_start = next.at;
        self.push(next);
    }

    /// A place about `chunk_chars` after `from`, after a delimiter if there is one in the last quarter.
    fn place_inside_line(&self, from: usize) -> usize {
        let aim = self.text.advance(from, self.limits.chunk_chars);
        let quarter = aim - (aim - from) / 4;
        let delimiter = self.text.bytes[quarter..aim]
            .iter()
            .rposition(|byte| DELIMITERS.contains(byte));
        let at = delimiter.map_or(aim, |back| quarter + back + 1);
        self.text.cuttable(at)
    }

    fn push(&mut self, place: Break) {
        while self.text.chars(self.start..place.at) > self.limits.chunk_chars_max {
            let Some(best) = self.best_pending() else {
                debug_assert!(false, "two places lie further apart than a chunk");
                break;
            };
            self.cut_at(best);
        }
        self.pending.push_back(place);
    }

    /// Of the places that give a chunk of reasonable size, the one with the lowest level; among equals the last that
    /// keeps to the size aimed at, else the first beyond it. Without any of reasonable size, the best of all.
    fn best_pending(&self) -> Option<usize> {
        let min = self.limits.chunk_chars_min();
        self.best(|place| self.size(place) >= min)
            .or_else(|| self.best(|_| true))
    }

    fn best(&self, fits: impl Fn(&Break) -> bool) -> Option<usize> {
        let aim = self.limits.chunk_chars;
        let merit = |place: &&Break| {
            let size = self.size(place);
            let distance = if size <= aim { aim - size } else { size };
            (place.level, distance)
        };
        let fitting = self.pending.iter().filter(|place| fits(place));
        fitting.min_by_key(merit).map(|place| place.at)
    }

    /// Characters from the start of the chunk under way.
    fn size(&self, place: &Break) -> usize {
        self.text.chars(self.start..place.at)
    }

    fn cut_at(&mut self, at: usize) {
        self.chunks.push(self.start..at);
        self.start = at;
        while self.pending.front().is_some_and(|place| place.at <= at) {
            self.pending.pop_front();
        }
    }

    /// Cuts what is left, which is within reach of one chunk, in two if both parts are of reasonable size.
    fn finish(mut self) -> Vec<Range<usize>> {
        let end = self.text.len();
        let min = self.limits.chunk_chars_min();
        if self.text.chars(self.start..end) > self.limits.chunk_chars {
            let halves =
                |place: &Break| self.size(place) >= min && self.text.chars(place.at..end) >= min;
            if let Some(best) = self.best(halves) {
                self.cut_at(best);
            }
        }
        if self.start < end {
            self.cut_at(end);
        }
        self.chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::LineStyle;

    fn sizes(source: &str, breaks: &[(usize, u32)]) -> Vec<usize> {
        let limits = Limits {
            chunk_chars: 100,
            chunk_chars_max: 160,
            ..Limits::default()
        };
        let breaks: Vec<Break> = breaks
            .iter()
            .map(|&(at, level)| Break { at, level })
            .collect();
        let text = Text::new(source.as_bytes());
        cut(&text, &breaks, &[], &LineStyle::PROSE, &limits)
            .into_iter()
            .map(|range| range.len())
            .collect()
    }

    /// `count` lines of ten bytes each.
    fn lines(count: usize) -> String {
        "123456789\n".repeat(count)
    }

    #[test]
    fn a_text_within_the_aim_is_one_chunk() {
        assert_eq!(sizes("", &[]), [0usize; 0]);
        assert_eq!(sizes(&lines(10), &[(50, 0)]), [100]);
    }

    #[test]
    fn siblings_are_merged_up_to_the_aim() {
        let every_three: Vec<(usize, u32)> = (1..10).map(|n| (n * 30, 1)).collect();
        assert_eq!(sizes(&lines(30), &every_three), [90, 90, 60, 60]);
    }

    #[test]
    fn a_better_place_ends_a_chunk_early() {
        assert_eq!(
            sizes(&lines(20), &[(60, 0), (90, 1), (120, 1)]),
            [60, 60, 80]
        );
    }

    #[test]
    fn a_piece_up_to_the_maximum_stays_whole() {
        assert_eq!(sizes(&lines(26), &[(130, 0)]), [130, 130]);
    }

    #[test]
    fn a_piece_without_places_is_cut_at_lines() {
        assert_eq!(sizes(&lines(29), &[]), [100, 100, 90]);
        assert_eq!(sizes(&lines(25), &[]), [100, 100, 50]);
    }

    #[test]
    fn only_an_overlong_line_is_split() {
        let long = "x".repeat(300);
        assert_eq!(sizes(&format!("a\n{long}\nb\n"), &[]), [102, 100, 103]);
        let fits = "x".repeat(159);
        assert_eq!(sizes(&format!("{fits}\n{fits}\n"), &[]), [160, 160]);
    }

    #[test]
    fn an_overlong_line_is_split_after_a_delimiter() {
        let words = "abcdef ".repeat(40);
        assert_eq!(sizes(&words, &[]), [98, 98, 84]);
    }
}
