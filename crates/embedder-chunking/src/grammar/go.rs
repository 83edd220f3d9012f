//! Go.

use super::{Found, Grammar, Inside, Rule, Site, declarations, find, functions, pass, types};
use crate::symbol::SymbolKind;

pub(crate) static GO: Grammar = Grammar::new(tree_sitter_go::LANGUAGE, &[RULES], &[]);

const RULES: &[Rule] = &[
    functions("function_declaration"),
    find("method_declaration", method),
    types("type_spec"),
    types("type_alias"),
    declarations("method_elem"),
    find("const_spec", value),
    find("var_spec", value),
    find("package_clause", package),
    pass("source_file"),
    pass("type_declaration"),
    pass("interface_type"),
    pass("const_declaration"),
    pass("var_declaration"),
    pass("var_spec_list"),
];

/// `func (r *Tree[K]) Insert()` belongs to `Tree`.
fn method(site: &Site<'_, '_>) -> Found {
    let mut name = site.name(site.field("name"));
    let receiver = site.field("receiver").map(|receiver| site.text(receiver));
    if let (Some(name), Some(receiver)) = (&mut name, receiver) {
        name.owners.extend(receiver_type(receiver));
    }
    Found::one(site, SymbolKind::Function, name, Inside::Nothing)
}

/// The type's name in `(r *Tree[K])`: the last word before its type arguments.
fn receiver_type(receiver: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(receiver);
    let before_arguments = text.split('[').next()?;
    let mut words = before_arguments.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.rfind(|word| !word.is_empty()).map(str::to_owned)
}

fn value(site: &Site<'_, '_>) -> Found {
    site.each(SymbolKind::Variable, "name")
}

fn package(site: &Site<'_, '_>) -> Found {
    Found::one(
        site,
        SymbolKind::Namespace,
        site.name(site.node.named_child(0)),
        Inside::Nothing,
    )
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn methods_belong_to_their_receiver_and_groups_are_opened() {
        check(
            "a.go",
            "\
package tree

import \"fmt\"

type (
\tNode struct{ x int }
\tAlias = int
)

type Walker interface {
\tWalk(n *Node) error
\tfmt.Stringer
}

func (t *Tree[K, V]) Insert(k K) { local := 1; _ = local }
func (Node) Len() int { return 0 }
func New[T any]() *T { return nil }
func asm(a int) int

const (
\tFirst = iota
\tSecond
)

var x, y int
var (
\tdefaultTree = New[int]()
)
var _ Walker = (*Node)(nil)
",
            "\
1-1 namespace tree
6-6 type Node
7-7 type Alias
10-13 type Walker
11-11 declaration Walker.Walk
15-15 function Tree.Insert
16-16 function Node.Len
17-17 function New
18-18 declaration asm
21-21 variable First
22-22 variable Second
25-25 variable x
25-25 variable y
27-27 variable defaultTree
",
        );
    }
}
