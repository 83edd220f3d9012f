//! Python (and Starlark, which is a subset).

use tree_sitter::Node;

use super::{Found, Grammar, Inside, Rule, Site, bodiless_functions, find, pass, scanner, types};
use crate::definition::QualifiedName;
use crate::symbol::SymbolKind;

pub(crate) static PYTHON: Grammar =
    Grammar::new(tree_sitter_python::LANGUAGE, &[RULES], &["decorator"])
        .unless(scanner::python_overflows);

const RULES: &[Rule] = &[
    types("class_definition"),
    bodiless_functions("function_definition"),
    find("type_alias_statement", type_alias),
    find("assignment", assignment),
    pass("module"),
    pass("decorated_definition"),
    pass("block"),
    pass("expression_statement"),
    // Definitions under a condition: `if TYPE_CHECKING:`, `try: import …`.
    pass("if_statement"),
    pass("elif_clause"),
    pass("else_clause"),
    pass("try_statement"),
    pass("except_clause"),
    pass("finally_clause"),
    pass("with_statement"),
];

fn type_alias(site: &Site<'_, '_>) -> Found {
    Found::one(
        site,
        SymbolKind::Type,
        site.name(site.field("left")),
        Inside::Nothing,
    )
}

/// `X = 1`, `X: int = 1`, `A, B = 1, 2` and `A = B = 1` in a module; in a class they are fields.
fn assignment(site: &Site<'_, '_>) -> Found {
    let mut found = Found::nothing(Inside::Nothing);
    if site.enclosing == Some(SymbolKind::Type) {
        return found;
    }
    let mut chain = Some(site.node);
    while let Some(link) = chain.filter(|link| link.kind() == "assignment") {
        let left = link.child_by_field_name("left");
        if let Some(list) = left.filter(|left| left.kind() == "pattern_list") {
            for target in list.named_children(&mut list.walk()) {
                found.define(site, SymbolKind::Variable, variable(site, Some(target)));
            }
        } else {
            found.define(site, SymbolKind::Variable, variable(site, left));
        }
        chain = link.child_by_field_name("right");
    }
    found
}

/// A plain name; `shape.sides = 4` and `shapes[0] = x` change what is defined elsewhere.
fn variable(site: &Site<'_, '_>, target: Option<Node<'_>>) -> Option<QualifiedName> {
    site.name(target.filter(|target| target.kind() == "identifier"))
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn classes_functions_and_module_variables_are_found() {
        check(
            "a.py",
            "\
LIMIT: int = 3
A, B = 1, 2
first = second = None
type Vector = list[float]
obj.attr = 3

@dataclass
class Shape(Base):
    sides = 4

    @property
    def area(self):
        local = 1
        def helper(): pass
        return local

    class Meta:
        async def deep(self): pass

if TYPE_CHECKING:
    def conditional(): pass
else:
    OTHER = 1
for i in range(3):
    loop = i
",
            "\
1-1 variable LIMIT
2-2 variable A
2-2 variable B
3-3 variable first
3-3 variable second
4-4 type Vector
8-18 type Shape
12-15 function Shape.area
17-18 type Shape.Meta
18-18 function Shape.Meta.deep
21-21 function conditional
23-23 variable OTHER
",
        );
    }

    #[test]
    fn definitions_in_broken_code_are_still_found() {
        check(
            "a.py",
            "def (:\n\ndef whole(a):\n    return a\n",
            "3-4 function whole\n",
        );
    }
}
