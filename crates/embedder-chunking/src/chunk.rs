//! The way through the crate: a file's language decides how it is read, its outline where it is cut.

use std::ops::Range;

use crate::cut::{self, Break};
use crate::definition::Definition;
use crate::headings;
use crate::language::{Language, Method};
use crate::limits::Limits;
use crate::lines::LineStyle;
use crate::patterns::{self, PatternSet};
use crate::refused::Refused;
use crate::symbol::Symbol;
use crate::text::Text;
use crate::tree::{self, Unparsed};

/// Names kept in [`Chunk::scope`]: the innermost ones, should anyone nest deeper.
const SCOPE_NAMES_MAX: usize = 16;

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Which bytes of the file it holds.
    pub bytes: Range<usize>,
    /// Line of its first byte, from 1.
    pub start_line: u32,
    /// Line of its last byte, from 1 and inclusive. Lines end with a line feed.
    pub end_line: u32,
    /// Definitions that begin in it, in order.
    pub symbols: Vec<Symbol>,
    /// Names of the definitions that its first byte lies in, outermost first, then what else its symbols are
    /// qualified with: `Tree` for the Go method `func (t *Tree) Insert()`. At most 16.
    pub scope: Vec<String>,
}

/// A file cut into chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    /// The file's language, if it is known.
    pub language: Option<Language>,
    /// How the file was understood.
    pub parsing: Parsing,
    /// The chunks, in order; none for an empty file.
    pub chunks: Vec<Chunk>,
}

/// How a file was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parsing {
    /// By its syntax tree.
    Tree,
    /// By its headings.
    Headings,
    /// By lines, with symbols where the language's patterns found some.
    Lines,
    /// By lines although there is a grammar, because the time was up before the tree was read.
    TimedOut,
    /// By lines although there is a grammar, because the lines are as long as in minified code.
    Minified,
    /// By lines although there is a grammar, because its brackets nest deeper than any parser bears.
    TooDeep,
}

impl From<Unparsed> for Parsing {
    fn from(unparsed: Unparsed) -> Self {
        match unparsed {
            Unparsed::TimedOut => Self::TimedOut,
            Unparsed::Minified => Self::Minified,
            Unparsed::TooDeep => Self::TooDeep,
        }
    }
}

/// Cuts a file into chunks and finds what they define.
///
/// `path` only tells the language. `out_of_time` is asked every few hundred steps of parsing; once it returns true the
/// file is cut by lines instead, in time linear in its size. It is called from C code and must not panic.
///
/// # Errors
///
/// [`Refused`] for binary files, UTF-16 and files above the size limit.
pub fn chunk(
    path: &str,
    bytes: &[u8],
    limits: &Limits,
    out_of_time: &dyn Fn() -> bool,
) -> Result<Chunked, Refused> {
    chunk_as(Language::of(path, bytes), bytes, limits, out_of_time)
}

/// As [`chunk`], for a text the language of which is known, or is known to be none.
///
/// # Errors
///
/// As [`chunk`].
pub fn chunk_as(
    language: Option<Language>,
    bytes: &[u8],
    limits: &Limits,
    out_of_time: &dyn Fn() -> bool,
) -> Result<Chunked, Refused> {
    let limits = limits.in_range();
    Refused::check(bytes, limits.file_bytes_max)?;
    let text = Text::new(bytes);
    let mut outline = Outline::read(&text, language, &limits, out_of_time);
    // In broken files, as below a heading of bytes that are no text, what is defined may have no name.
    outline
        .definitions
        .retain(|definition| !definition.name.is_empty());
    let lines = outline.definitions.iter();
    let lines: Vec<usize> = lines.map(|found| text.line_of(found.bytes.start)).collect();
    let pieces = cut::cut(&text, &outline.breaks, &lines, &outline.style, &limits);
    Ok(Chunked {
        language,
        parsing: outline.parsing,
        chunks: deal(&text, pieces, &outline.definitions),
    })
}

/// What was read from a file before it is cut.
struct Outline {
    /// By where they start; each is before those inside it, and they nest.
    definitions: Vec<Definition>,
    breaks: Vec<Break>,
    style: LineStyle,
    parsing: Parsing,
}

impl Outline {
    fn read(
        text: &Text<'_>,
        language: Option<Language>,
        limits: &Limits,
        out_of_time: &dyn Fn() -> bool,
    ) -> Self {
        match language.map(Language::method) {
            Some(Method::Tree(grammar)) => {
                match tree::outline(text, grammar, limits, out_of_time) {
                    Ok(outline) => Self {
                        definitions: outline.definitions,
                        breaks: outline.breaks,
                        style: LineStyle::CODE,
                        parsing: Parsing::Tree,
                    },
                    Err(unparsed) => Self::by_patterns(text, &patterns::GENERIC, unparsed.into()),
                }
            }
            Some(Method::Headings(markup)) => {
                let sections = headings::read(text, markup);
                Self {
                    definitions: sections.definitions,
                    breaks: sections.breaks,
                    style: LineStyle::FENCED,
                    parsing: Parsing::Headings,
                }
            }
            Some(Method::Patterns(patterns)) => Self::by_patterns(text, patterns, Parsing::Lines),
            Some(Method::Lines) => Self::by_lines(LineStyle::CODE),
            None => Self::by_lines(LineStyle::PROSE),
        }
    }

    fn by_patterns(text: &Text<'_>, patterns: &PatternSet, parsing: Parsing) -> Self {
        Self {
            definitions: patterns.read(text),
            parsing,
            ..Self::by_lines(LineStyle::CODE)
        }
    }

    fn by_lines(style: LineStyle) -> Self {
        Self {
            definitions: Vec::new(),
            breaks: Vec::new(),
            style,
            parsing: Parsing::Lines,
        }
    }
}

/// Gives each piece the definitions that begin in it and the names it lies in.
fn deal(text: &Text<'_>, pieces: Vec<Range<usize>>, definitions: &[Definition]) -> Vec<Chunk> {
    let mut upcoming = definitions.iter().peekable();
    // Definitions that began before the piece and may reach into it, outermost first.
    let mut open: Vec<&Definition> = Vec::new();
    let mut chunks = Vec::with_capacity(pieces.len());
    for bytes in pieces {
        // They nest, so those that have ended are the last.
        while open
            .pop_if(|inner| inner.bytes.end <= bytes.start)
            .is_some()
        {}
        let mut scope = scope_of(&open);
        let mut symbols = Vec::new();
        while let Some(definition) = upcoming.next_if(|next| next.bytes.start < bytes.end) {
            symbols.push(symbol(text, definition));
            extend_scope(&mut scope, &definition.owners);
            if definition.bytes.end > bytes.end {
                open.push(definition);
            }
        }
        chunks.push(Chunk {
            start_line: line_number(text, bytes.start),
            end_line: line_number(text, bytes.end - 1),
            bytes,
            symbols,
            scope,
        });
    }
    chunks
}

/// Names of nested definitions with their qualifiers, outermost first, the innermost [`SCOPE_NAMES_MAX`].
fn scope_of(open: &[&Definition]) -> Vec<String> {
    let inner = &open[open.len().saturating_sub(SCOPE_NAMES_MAX)..];
    let mut names: Vec<String> = inner
        .iter()
        .flat_map(|definition| definition.owners.iter().chain([&definition.name]))
        .cloned()
        .collect();
    names.drain(..names.len().saturating_sub(SCOPE_NAMES_MAX));
    names
}

fn extend_scope(scope: &mut Vec<String>, owners: &[String]) {
    for owner in owners {
        if scope.len() < SCOPE_NAMES_MAX && !scope.contains(owner) {
            scope.push(owner.clone());
        }
    }
}

fn symbol(text: &Text<'_>, definition: &Definition) -> Symbol {
    let Range { start, end } = definition.bytes;
    // A node may hold the line end after it; the definition ends on the line before.
    let end = text.bytes[start..end].trim_ascii_end().len() + start;
    Symbol {
        name: definition.name.clone(),
        kind: definition.kind,
        start_line: line_number(text, start),
        end_line: line_number(text, end.max(start + 1) - 1),
    }
}

/// The number, from 1, of the line that holds a byte.
fn line_number(text: &Text<'_>, at: usize) -> u32 {
    u32::try_from(text.line_of(at) + 1).expect("files of 4 GiB and more are refused")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The definitions of a file, one a line: `first-last kind Qualified.name`.
    pub(crate) fn outline(path: &str, source: &str) -> String {
        let text = Text::new(source.as_bytes());
        let language = Language::of(path, source.as_bytes());
        let definitions = Outline::read(&text, language, &Limits::default(), &|| false).definitions;
        let mut around: Vec<&Definition> = Vec::new();
        let mut outline = String::new();
        for definition in &definitions {
            around.retain(|outer| outer.bytes.end > definition.bytes.start);
            // Two names of one statement stand beside each other.
            let outer = around
                .iter()
                .filter(|outer| outer.bytes != definition.bytes);
            let path = outer
                .flat_map(|outer| outer.owners.iter().chain([&outer.name]))
                .chain(&definition.owners)
                .chain([&definition.name])
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(".");
            let symbol = symbol(&text, definition);
            let (first, last) = (symbol.start_line, symbol.end_line);
            outline.push_str(&format!("{first}-{last} {} {path}\n", symbol.kind));
            around.push(definition);
        }
        outline
    }
}
