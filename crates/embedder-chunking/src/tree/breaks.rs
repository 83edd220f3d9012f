//! Finds the line starts of a syntax tree where a chunk may begin.

use tree_sitter::{Node, Tree, TreeCursor};

use super::Budget;
use crate::cut::Break;
use crate::grammar::Grammar;
use crate::limits::Limits;
use crate::text::Text;

/// Fields whose nodes are members of a list or whole definitions. Nodes in other fields (a name, a body) are parts of
/// the node above and are not cut off from it.
const MEMBER_FIELDS: &[&str] = &["member", "alternative", "declaration", "definition"];

/// What is indented further does not count as the beginning of its line; this bounds the look back.
const INDENT_BYTES_MAX: usize = 1_000;

/// The best places of a tree, in order: where a node begins its line, and the nodes around it are too large for one
/// chunk. The level of a place is the number of such nodes. `None` when time is up.
pub(super) fn read(
    tree: &Tree,
    grammar: &Grammar,
    text: &Text<'_>,
    limits: &Limits,
    budget: &mut Budget<'_>,
) -> Option<Vec<Break>> {
    let mut places = Places {
        text,
        breaks: Vec::new(),
        level: 0,
        first_line_start: 0,
    };
    let mut parents: Vec<Parent> = Vec::new();
    let mut above: Option<Sibling> = None;
    let mut cursor = tree.walk();
    loop {
        budget.spend_node()?;
        let node = cursor.node();
        if node.is_named() {
            let sibling = places.visit(&cursor, above, grammar);
            let extent = sibling.group_start..node.end_byte();
            let opens = text.chars(extent) > limits.chunk_chars_max
                && text.line_of(node.start_byte()) != text.line_of(node.end_byte());
            if opens && cursor.goto_first_child() {
                parents.push(Parent {
                    sibling,
                    first_line_start: places.first_line_start,
                });
                places.open(node);
                above = None;
                continue;
            }
            above = Some(sibling);
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some(places.breaks);
            }
            if let Some(parent) = parents.pop() {
                above = Some(parent.sibling);
                places.close(parent.first_line_start);
            }
        }
    }
}

/// A node above the cursor, to go on from when the cursor is back at it.
struct Parent {
    sibling: Sibling,
    first_line_start: usize,
}

/// The named node before the cursor among its siblings.
#[derive(Debug, Clone, Copy)]
struct Sibling {
    /// Whether it is a comment or an attribute on a line of its own, which belongs to what follows.
    attaches: bool,
    /// Where it starts, or the first of the comments attached to it.
    group_start: usize,
    end: usize,
}

struct Places<'t, 'a> {
    text: &'t Text<'a>,
    breaks: Vec<Break>,
    /// How many nodes are open around the cursor.
    level: u32,
    /// Start of the line on which the innermost open node begins: a place there is the node's own.
    first_line_start: usize,
}

impl Places<'_, '_> {
    fn open(&mut self, node: Node<'_>) {
        self.level += 1;
        self.first_line_start = self.text.line_start(self.text.line_of(node.start_byte()));
    }

    fn close(&mut self, first_line_start: usize) {
        self.level -= 1;
        self.first_line_start = first_line_start;
    }

    /// Notes the place before the node at the cursor, if there is one.
    fn visit(
        &mut self,
        cursor: &TreeCursor<'_>,
        above: Option<Sibling>,
        grammar: &Grammar,
    ) -> Sibling {
        let node = cursor.node();
        let start = node.start_byte();
        let line_start = self.text.line_start(self.text.line_of(start));
        let before = &self.text.bytes[line_start..start];
        let begins_line = before.len() <= INDENT_BYTES_MAX && before.trim_ascii().is_empty();
        let attached =
            above.filter(|above| above.attaches && begins_line && self.adjoin(above.end, start));
        if begins_line && attached.is_none() && is_member(cursor) {
            self.push(line_start);
        }
        Sibling {
            attaches: begins_line && grammar.attaches(node),
            group_start: attached.map_or(start, |above| above.group_start),
            end: node.end_byte(),
        }
    }

    fn push(&mut self, at: usize) {
        let after_last = self.breaks.last().is_none_or(|last| at > last.at);
        if at > self.first_line_start && after_last {
            self.breaks.push(Break {
                at,
                level: self.level,
            });
        }
    }

    /// Whether no blank line lies between two siblings. A comment may or may not hold its own line end.
    fn adjoin(&self, end: usize, start: usize) -> bool {
        let last = self.text.bytes[..end].trim_ascii_end().len();
        self.text.line_of(start) <= self.text.line_of(last.saturating_sub(1)) + 1
    }
}

fn is_member(cursor: &TreeCursor<'_>) -> bool {
    cursor
        .field_name()
        .is_none_or(|field| MEMBER_FIELDS.contains(&field))
}
