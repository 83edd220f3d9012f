//! Collects the definitions of a syntax tree.

use tree_sitter::Tree;

use super::Budget;
use crate::definition::Definition;
use crate::grammar::{Found, Grammar, Inside, Site};
use crate::symbol::SymbolKind;
use crate::text::Text;

/// All definitions by where they start, each before those inside it; `None` when time is up.
pub(super) fn read(
    tree: &Tree,
    grammar: &Grammar,
    text: &Text<'_>,
    budget: &mut Budget<'_>,
) -> Option<Vec<Definition>> {
    let mut definitions = Vec::new();
    // For every node above the cursor, the kind of the innermost definition down to it.
    let mut enclosing: Vec<Option<SymbolKind>> = Vec::new();
    let mut cursor = tree.walk();
    loop {
        budget.spend_node()?;
        let around = enclosing.last().copied().flatten();
        let site = Site {
            node: cursor.node(),
            source: text.bytes,
            enclosing: around,
        };
        let found = grammar
            .find(&site)
            .unwrap_or_else(|| Found::nothing(Inside::Nothing));
        let defined = found.definitions.first().map(|found| found.kind);
        definitions.extend(found.definitions);
        if found.inside == Inside::Members && cursor.goto_first_child() {
            enclosing.push(defined.or(around));
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                // A variable is found before the type that its declaration defines, and starts after it.
                definitions.sort_by_key(|found| found.bytes.start);
                return Some(definitions);
            }
            enclosing.pop();
        }
    }
}
