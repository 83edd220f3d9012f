//! Parses a source file and reads its tree: which definitions it holds and where it is best cut.
//!
//! The trees of hostile files are as deep as the files are long, so both walks move a cursor and keep their own stack
//! instead of recursing.

mod breaks;
mod definitions;
mod nesting;

use std::cell::Cell;
use std::ops::ControlFlow;

use tree_sitter::{ParseOptions, ParseState, Parser, Tree};

use crate::cut::Break;
use crate::definition::Definition;
use crate::grammar::Grammar;
use crate::limits::Limits;
use crate::text::Text;

/// Bytes the parser gets between two looks at the caller's clock: some milliseconds of its slowest reading.
const READ_BYTES: usize = 64 * 1024;

/// Nodes walked between two looks at the caller's clock.
const NODES_PER_CLOCK_CHECK: u32 = 1_024;

/// What a syntax tree says about a file.
pub(crate) struct TreeOutline {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) breaks: Vec<Break>,
}

/// Why a file with a grammar is not parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unparsed {
    TimedOut,
    Minified,
    TooDeep,
}

/// Parses `text` and reads the tree.
pub(crate) fn outline(
    text: &Text<'_>,
    grammar: &Grammar,
    limits: &Limits,
    out_of_time: &dyn Fn() -> bool,
) -> Result<TreeOutline, Unparsed> {
    if text.len() / limits.mean_line_bytes_max.max(1) > text.line_count() {
        return Err(Unparsed::Minified);
    }
    if nesting::exceeds(text.bytes, limits.nesting_max) || grammar.overflows(text.bytes) {
        return Err(Unparsed::TooDeep);
    }
    parse_and_read(text, grammar, limits, out_of_time).ok_or(Unparsed::TimedOut)
}

/// `None` when time is up.
fn parse_and_read(
    text: &Text<'_>,
    grammar: &Grammar,
    limits: &Limits,
    out_of_time: &dyn Fn() -> bool,
) -> Option<TreeOutline> {
    let tree = parse(&grammar.shown(text.bytes), grammar, out_of_time)?;
    let mut budget = Budget::new(out_of_time);
    let definitions = definitions::read(&tree, grammar, text, &mut budget)?;
    let breaks = breaks::read(&tree, grammar, text, limits, &mut budget)?;
    Some(TreeOutline {
        definitions,
        breaks,
    })
}

/// `None` when time is up.
fn parse(bytes: &[u8], grammar: &Grammar, out_of_time: &dyn Fn() -> bool) -> Option<Tree> {
    let mut parser = Parser::new();
    parser
        .set_language(&grammar.language())
        .expect("the grammars are built for this tree-sitter");
    let cancelled = Cell::new(false);
    let cancels = || {
        cancelled.set(cancelled.get() || out_of_time());
        cancelled.get()
    };
    // The parser asks `progress` every hundred steps, but a step may read to the end of the file and back. When time is
    // up in between, the file ends there and then.
    let mut read = |at: usize, _| match cancels() {
        true => &[][..],
        false => &bytes[at.min(bytes.len())..(at + READ_BYTES).min(bytes.len())],
    };
    let mut progress = |_: &ParseState| match cancels() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let tree = parser.parse_with_options(&mut read, None, Some(options))?;
    (!cancelled.get()).then_some(tree)
}

/// Counts nodes and asks the clock now and then.
struct Budget<'a> {
    out_of_time: &'a dyn Fn() -> bool,
    nodes: u32,
}

impl<'a> Budget<'a> {
    fn new(out_of_time: &'a dyn Fn() -> bool) -> Self {
        Self {
            out_of_time,
            nodes: 0,
        }
    }

    /// `None` when time is up.
    fn spend_node(&mut self) -> Option<()> {
        self.nodes = self.nodes.wrapping_add(1);
        let asks = self.nodes.is_multiple_of(NODES_PER_CLOCK_CHECK);
        (!(asks && (self.out_of_time)())).then_some(())
    }
}
