//! Documents with headings: Markdown and reStructuredText. A section is what search wants back.

mod markdown;
mod rst;

use crate::cut::Break;
use crate::definition::{Definition, NAME_BYTES_MAX};
use crate::symbol::SymbolKind;
use crate::text::Text;

/// How headings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Markup {
    Markdown,
    Rst,
}

/// The sections of a document.
pub(crate) struct Sections {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) breaks: Vec<Break>,
}

/// A heading as it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heading {
    /// Line it begins on, from 0.
    line: usize,
    /// 1 for the outermost.
    level: u32,
    title: String,
}

/// Reads the sections of a document; each reaches to the next heading of its own level or a higher one.
pub(crate) fn read(text: &Text<'_>, markup: Markup) -> Sections {
    let headings = match markup {
        Markup::Markdown => markdown::headings(text),
        Markup::Rst => rst::headings(text),
    };
    let breaks = headings
        .iter()
        .map(|heading| Break {
            at: text.line_start(heading.line),
            level: heading.level,
        })
        .collect();
    Sections {
        definitions: definitions(text, headings),
        breaks,
    }
}

fn definitions(text: &Text<'_>, headings: Vec<Heading>) -> Vec<Definition> {
    let mut definitions: Vec<Definition> = Vec::with_capacity(headings.len());
    // Sections that have not ended, with their levels, outermost first.
    let mut open: Vec<(usize, u32)> = Vec::new();
    for heading in headings {
        let start = text.line_start(heading.line);
        while let Some((section, _)) = open.pop_if(|(_, level)| *level >= heading.level) {
            definitions[section].bytes.end = start;
        }
        open.push((definitions.len(), heading.level));
        definitions.push(Definition {
            name: heading.title,
            owners: Vec::new(),
            kind: SymbolKind::Heading,
            bytes: start..text.len(),
        });
    }
    definitions
}

/// A heading's text as its name: without surrounding space, of bearable length.
fn title(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii();
    let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    // Drops a character that the bound has cut in two.
    let title = String::from_utf8_lossy(bytes);
    title
        .trim_end_matches(char::REPLACEMENT_CHARACTER)
        .trim()
        .to_owned()
}
