//! What the definitions of a language look like in its syntax tree.
//!
//! A [`Grammar`] is a parser and a table of [`Rule`]s, one for each kind of node that matters. Nodes without a rule
//! are not looked into, which keeps locals out and the walk short. Most rules only name a node kind, a symbol kind and
//! the field that holds the name; where a language is odder than that the rule is a function, beside its table.

mod bash;
mod c;
mod csharp;
mod ecmascript;
mod go;
mod java;
mod php;
mod python;
mod ruby;
mod rust;
mod scanner;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use tree_sitter::Node;
use tree_sitter_language::LanguageFn;

use crate::definition::{Definition, QualifiedName};
use crate::symbol::SymbolKind;

pub(crate) use bash::BASH;
pub(crate) use c::{C, CPP};
pub(crate) use csharp::CSHARP;
pub(crate) use ecmascript::{JAVASCRIPT, TSX, TYPESCRIPT};
pub(crate) use go::GO;
pub(crate) use java::JAVA;
pub(crate) use php::PHP;
pub(crate) use python::PYTHON;
pub(crate) use ruby::RUBY;
pub(crate) use rust::RUST;

/// A parser and what to make of its trees.
pub(crate) struct Grammar {
    language: LanguageFn,
    rules: &'static [&'static [Rule]],
    /// Nodes that belong to the sibling after them, besides comments: attributes, decorators.
    attached: &'static [&'static str],
    /// Whether a file could run over the memory of the grammar's scanner.
    overflows: Option<fn(&[u8]) -> bool>,
    /// What the parser sees in the place of a file: as long, with the same definitions at the same places.
    shown: Option<Shown>,
    nodes: OnceLock<NodeTable>,
}

/// Makes of a file what its parser may see.
type Shown = fn(&[u8]) -> Cow<'_, [u8]>;

/// What to do with nodes of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    node: &'static str,
    action: Action,
}

#[derive(Clone, Copy)]
enum Action {
    /// No definition itself, but definitions may lie inside.
    Pass,
    Define(Pattern),
    Find(fn(&Site<'_, '_>) -> Found),
}

/// A definition that is told from its fields.
#[derive(Clone, Copy)]
struct Pattern {
    kind: SymbolKind,
    /// Field that holds the name.
    name: &'static str,
    without_body: WithoutBody,
    inside: Inside,
}

/// What a definition without a `body` field is.
#[derive(Clone, Copy)]
enum WithoutBody {
    /// A definition all the same.
    Same,
    /// A prototype.
    Declaration,
    /// A mention of something defined elsewhere.
    Nothing,
}

/// Whether there is more to find below a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Look at the children.
    Members,
    /// What is below is local.
    Nothing,
}

/// A node that may be a definition, and where it stands.
pub(crate) struct Site<'t, 's> {
    pub(crate) node: Node<'t>,
    pub(crate) source: &'s [u8],
    /// Kind of the innermost definition around the node.
    pub(crate) enclosing: Option<SymbolKind>,
}

/// What a node defines; several names in `a, b = 1, 2`.
pub(crate) struct Found {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) inside: Inside,
}

impl Found {
    /// One definition that covers the node, if it has a usable name.
    fn one(
        site: &Site<'_, '_>,
        kind: SymbolKind,
        name: Option<QualifiedName>,
        inside: Inside,
    ) -> Self {
        let mut found = Self::nothing(inside);
        found.define(site, kind, name);
        found
    }

    /// Adds a definition that covers the node, if it has a usable name.
    fn define(&mut self, site: &Site<'_, '_>, kind: SymbolKind, name: Option<QualifiedName>) {
        self.define_over(site.node.byte_range(), kind, name);
    }

    /// Adds a definition that covers only part of the node.
    fn define_over(&mut self, bytes: Range<usize>, kind: SymbolKind, name: Option<QualifiedName>) {
        self.definitions.extend(name.map(|name| Definition {
            name: name.name,
            owners: name.owners,
            kind,
            bytes,
        }));
    }

    pub(crate) fn nothing(inside: Inside) -> Self {
        let definitions = Vec::new();
        Self {
            definitions,
            inside,
        }
    }
}

impl<'t, 's> Site<'t, 's> {
    pub(crate) fn text(&self, node: Node<'_>) -> &'s [u8] {
        &self.source[node.byte_range()]
    }

    pub(crate) fn name(&self, node: Option<Node<'_>>) -> Option<QualifiedName> {
        QualifiedName::parse(self.text(node?))
    }

    pub(crate) fn field(&self, field: &str) -> Option<Node<'t>> {
        self.node.child_by_field_name(field)
    }

    /// A definition of `kind` for each child in `field`.
    fn each(&self, kind: SymbolKind, field: &str) -> Found {
        let mut cursor = self.node.walk();
        let mut found = Found::nothing(Inside::Nothing);
        for name in self.node.children_by_field_name(field, &mut cursor) {
            found.define(self, kind, self.name(Some(name)));
        }
        found
    }

    /// Whether a child of kind `list` (or one of several) spells `word`, as in a list of modifiers.
    fn has_modifier(&self, list: &str, word: &str) -> bool {
        let mut cursor = self.node.walk();
        let mut children = self.node.children(&mut cursor);
        children.any(|child| {
            child.kind() == list
                && self
                    .text(child)
                    .split(|byte| !byte.is_ascii_alphanumeric())
                    .any(|own| own == word.as_bytes())
        })
    }
}

const fn rule(node: &'static str, action: Action) -> Rule {
    Rule { node, action }
}

const fn pass(node: &'static str) -> Rule {
    rule(node, Action::Pass)
}

const fn find(node: &'static str, find: fn(&Site<'_, '_>) -> Found) -> Rule {
    rule(node, Action::Find(find))
}

const fn define(
    node: &'static str,
    kind: SymbolKind,
    without_body: WithoutBody,
    inside: Inside,
) -> Rule {
    let name = "name";
    rule(
        node,
        Action::Define(Pattern {
            kind,
            name,
            without_body,
            inside,
        }),
    )
}

/// A type with its members inside.
const fn types(node: &'static str) -> Rule {
    define(node, SymbolKind::Type, WithoutBody::Same, Inside::Members)
}

/// A function; without a body it is a declaration.
const fn functions(node: &'static str) -> Rule {
    define(
        node,
        SymbolKind::Function,
        WithoutBody::Declaration,
        Inside::Nothing,
    )
}

/// A function that never has a `body` field.
const fn bodiless_functions(node: &'static str) -> Rule {
    define(
        node,
        SymbolKind::Function,
        WithoutBody::Same,
        Inside::Nothing,
    )
}

/// A prototype.
const fn declarations(node: &'static str) -> Rule {
    define(
        node,
        SymbolKind::Declaration,
        WithoutBody::Same,
        Inside::Nothing,
    )
}

const fn namespaces(node: &'static str) -> Rule {
    define(
        node,
        SymbolKind::Namespace,
        WithoutBody::Same,
        Inside::Members,
    )
}

const fn variables(node: &'static str) -> Rule {
    define(
        node,
        SymbolKind::Variable,
        WithoutBody::Same,
        Inside::Nothing,
    )
}

impl Grammar {
    const fn new(
        language: LanguageFn,
        rules: &'static [&'static [Rule]],
        attached: &'static [&'static str],
    ) -> Self {
        Self {
            language,
            rules,
            attached,
            overflows: None,
            shown: None,
            nodes: OnceLock::new(),
        }
    }

    /// The grammar for files that `overflows` does not tell.
    const fn unless(mut self, overflows: fn(&[u8]) -> bool) -> Self {
        self.overflows = Some(overflows);
        self
    }

    /// The grammar for what `shown` makes of a file.
    const fn through(mut self, shown: Shown) -> Self {
        self.shown = Some(shown);
        self
    }

    /// What the parser may see of a file.
    pub(crate) fn shown<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        self.shown
            .map_or(Cow::Borrowed(bytes), |shown| shown(bytes))
    }

    /// Whether the parser must not see a file, because it would end the process.
    pub(crate) fn overflows(&self, bytes: &[u8]) -> bool {
        self.overflows.is_some_and(|overflows| overflows(bytes))
    }

    pub(crate) fn language(&self) -> tree_sitter::Language {
        self.language.into()
    }

    /// What `site` defines; `None` where there is nothing to find at the node or below.
    pub(crate) fn find(&self, site: &Site<'_, '_>) -> Option<Found> {
        // Broken code keeps its definitions.
        if site.node.is_error() {
            return Some(Found::nothing(Inside::Members));
        }
        let action = self.nodes().action(site.node.kind_id())?;
        Some(match action {
            Action::Pass => Found::nothing(Inside::Members),
            Action::Find(find) => find(site),
            Action::Define(pattern) => pattern.apply(site),
        })
    }

    /// Whether a node belongs to the sibling after it.
    pub(crate) fn attaches(&self, node: Node<'_>) -> bool {
        self.nodes().attached(node.kind_id())
    }

    fn nodes(&self) -> &NodeTable {
        self.nodes.get_or_init(|| NodeTable::new(self))
    }
}

impl Pattern {
    fn apply(self, site: &Site<'_, '_>) -> Found {
        let kind = match self.without_body {
            WithoutBody::Same => Some(self.kind),
            _ if site.field("body").is_some() => Some(self.kind),
            WithoutBody::Declaration => Some(SymbolKind::Declaration),
            WithoutBody::Nothing => None,
        };
        match kind {
            Some(kind) => Found::one(site, kind, site.name(site.field(self.name)), self.inside),
            None => Found::nothing(Inside::Nothing),
        }
    }
}

/// The rules by node kind number, so that the walk compares no strings.
struct NodeTable {
    actions: Vec<Option<Action>>,
    attached: Vec<bool>,
}

impl NodeTable {
    fn new(grammar: &Grammar) -> Self {
        let language = grammar.language();
        let count = language.node_kind_count();
        let kinds = (0..count).map(|id| {
            let id = u16::try_from(id).expect("node kinds are numbered in 16 bits");
            let named = language.node_kind_is_named(id);
            language.node_kind_for_id(id).filter(|_| named)
        });
        let (actions, attached) = kinds
            .map(|kind| {
                let rules = grammar.rules.iter().copied().flatten();
                let rule = rules.into_iter().find(|rule| Some(rule.node) == kind);
                let attached = kind.is_some_and(|kind| {
                    kind.contains("comment") || grammar.attached.contains(&kind)
                });
                (rule.map(|rule| rule.action), attached)
            })
            .unzip();
        Self { actions, attached }
    }

    fn action(&self, kind_id: u16) -> Option<Action> {
        self.actions.get(usize::from(kind_id)).copied().flatten()
    }

    fn attached(&self, kind_id: u16) -> bool {
        self.attached
            .get(usize::from(kind_id))
            .copied()
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_names_a_node_of_its_grammar() {
        let grammars = [
            ("bash", &BASH),
            ("c", &C),
            ("cpp", &CPP),
            ("csharp", &CSHARP),
            ("go", &GO),
            ("java", &JAVA),
            ("javascript", &JAVASCRIPT),
            ("php", &PHP),
            ("python", &PYTHON),
            ("ruby", &RUBY),
            ("rust", &RUST),
            ("tsx", &TSX),
            ("typescript", &TYPESCRIPT),
        ];
        for (name, grammar) in grammars {
            let language = grammar.language();
            let rules = grammar.rules.iter().copied().flatten();
            let nodes = rules
                .map(|rule| rule.node)
                .chain(grammar.attached.iter().copied());
            for node in nodes {
                assert_ne!(language.id_for_node_kind(node, true), 0, "{name}: {node}");
            }
        }
    }
}
