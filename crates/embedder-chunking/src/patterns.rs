//! Definitions by regular expressions, line by line, for languages without a grammar here.
//!
//! A line that looks like a definition is one. Where it ends is told by indentation: before the next line that is
//! indented no deeper, unless that line closes it.

mod compiled;
mod declarative;
mod functional;
mod scripting;

use std::sync::OnceLock;

use regex::bytes::Regex;

use crate::definition::{Definition, QualifiedName};
use crate::lines::{LineStyle, Shape, indent_columns};
use crate::symbol::SymbolKind;
use crate::text::Text;

pub(crate) use compiled::*;
pub(crate) use declarative::*;
pub(crate) use functional::*;
pub(crate) use scripting::*;

/// Longer lines are data, and are not searched.
const LINE_BYTES_MAX: usize = 500;

/// A line that begins so holds a statement, however much the rest looks like a C-like function's head.
const STATEMENT_WORDS: &[&[u8]] = &[
    b"if", b"else", b"for", b"while", b"switch", b"catch", b"return", b"do", b"new", b"await",
    b"throw",
];

/// The patterns of a language, tried in order; the first group of each is the name.
pub(crate) struct PatternSet {
    patterns: &'static [(SymbolKind, &'static str)],
    compiled: OnceLock<Vec<(SymbolKind, Regex)>>,
}

impl PatternSet {
    pub(crate) const fn new(patterns: &'static [(SymbolKind, &'static str)]) -> Self {
        Self {
            patterns,
            compiled: OnceLock::new(),
        }
    }

    /// The definitions of a text in order, each before those inside it. Takes time linear in the text.
    pub(crate) fn read(&self, text: &Text<'_>) -> Vec<Definition> {
        let mut reader = Reader {
            definitions: Vec::new(),
            open: Vec::new(),
            content_end: 0,
        };
        for line in 0..text.line_count() {
            let bytes = text.line(line);
            let shape = Shape::of(bytes, &LineStyle::CODE);
            let indent = indent_columns(bytes);
            if shape == Shape::Blank {
                continue;
            }
            let start = text.line_start(line);
            let end = start + bytes.len();
            reader.close(bytes, end, shape, indent);
            reader.content_end = end;
            if let Some((kind, name)) = self.find(bytes) {
                reader.open(kind, name, start, indent);
            }
        }
        reader.finish()
    }

    fn find(&self, line: &[u8]) -> Option<(SymbolKind, QualifiedName)> {
        if line.len() > LINE_BYTES_MAX || STATEMENT_WORDS.contains(&first_word(line)) {
            return None;
        }
        self.compiled().iter().find_map(|(kind, regex)| {
            // Most lines match nothing, and captures cost an allocation.
            let captures = regex.is_match(line).then(|| regex.captures(line))?;
            let name = captures?.get(1)?.as_bytes();
            let name = match *kind == SymbolKind::Heading {
                true => QualifiedName::plain(String::from_utf8_lossy(name).trim()),
                false => QualifiedName::parse(name),
            };
            Some((*kind, name?))
        })
    }

    fn compiled(&self) -> &[(SymbolKind, Regex)] {
        self.compiled.get_or_init(|| {
            let compile = |&(kind, pattern): &(SymbolKind, &str)| {
                (
                    kind,
                    Regex::new(pattern).expect("the patterns of the table are valid"),
                )
            };
            self.patterns.iter().map(compile).collect()
        })
    }
}

fn first_word(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| !byte.is_ascii_alphabetic());
    &line[..end.unwrap_or(line.len())]
}

/// Follows the indentation of a text.
struct Reader {
    definitions: Vec<Definition>,
    /// Definitions that have not ended, with their indentation, outermost first.
    open: Vec<(usize, u32)>,
    /// End of the last line that is not blank.
    content_end: usize,
}

impl Reader {
    /// Ends the definitions that the next line is not part of. A line that closes a definition is its last.
    fn close(&mut self, line: &[u8], line_end: usize, shape: Shape, indent: u32) {
        // A brace on a line of its own opens the body of what is above.
        let opens_body = matches!(line.trim_ascii(), b"{" | b"(");
        while let Some(&(definition, own_indent)) = self.open.last() {
            if indent > own_indent || (indent == own_indent && opens_body) {
                break;
            }
            let closes = indent == own_indent && shape == Shape::Closer;
            self.definitions[definition].bytes.end = match closes {
                true => line_end,
                false => self.content_end,
            };
            self.open.pop();
            if closes {
                break;
            }
        }
    }

    fn open(&mut self, kind: SymbolKind, name: QualifiedName, start: usize, indent: u32) {
        let around = |kind: SymbolKind| {
            let mut open = self.open.iter();
            open.any(|&(definition, _)| self.definitions[definition].kind == kind)
        };
        let local = around(SymbolKind::Function);
        let field =
            kind == SymbolKind::Variable && (around(SymbolKind::Type) || around(SymbolKind::Impl));
        if local || field {
            return;
        }
        self.open.push((self.definitions.len(), indent));
        self.definitions.push(Definition {
            name: name.name,
            owners: name.owners,
            kind,
            bytes: start..self.content_end,
        });
    }

    fn finish(mut self) -> Vec<Definition> {
        for (definition, _) in self.open {
            self.definitions[definition].bytes.end = self.content_end;
        }
        self.definitions
    }
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn indentation_tells_where_a_definition_ends() {
        check(
            "a.kt",
            "\
class A {

    fun one() {
        val local = 1
        fun inner() {}
    }

    val field = 2
    fun two() = 3
}

fun top()
{
    go()
}

val after = 1
",
            "\
1-10 type A
3-6 function A.one
9-9 function A.two
12-15 function top
17-17 variable after
",
        );
    }

    #[test]
    fn overlong_lines_and_control_words_are_no_definitions() {
        check("a.dart", "  if (x) {\n  }\n  while (y) {\n  }\n", "");
        check(
            "a.lua",
            &format!("function f() return '{}' end\n", "x".repeat(600)),
            "",
        );
    }
}
