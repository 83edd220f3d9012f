//! C#.

use super::{
    Found, Grammar, Inside, Rule, Site, bodiless_functions, find, functions, namespaces, pass,
    types, variables,
};
use crate::definition::QualifiedName;
use crate::symbol::SymbolKind;

pub(crate) static CSHARP: Grammar = Grammar::new(tree_sitter_c_sharp::LANGUAGE, &[RULES], &[]);

const RULES: &[Rule] = &[
    types("class_declaration"),
    types("interface_declaration"),
    types("struct_declaration"),
    types("record_declaration"),
    types("enum_declaration"),
    types("delegate_declaration"),
    functions("method_declaration"),
    bodiless_functions("constructor_declaration"),
    bodiless_functions("local_function_statement"),
    variables("property_declaration"),
    namespaces("namespace_declaration"),
    namespaces("file_scoped_namespace_declaration"),
    find("destructor_declaration", destructor),
    find("operator_declaration", operator),
    find("conversion_operator_declaration", operator),
    find("field_declaration", field),
    pass("compilation_unit"),
    pass("declaration_list"),
    pass("global_statement"),
    pass("preproc_if"),
    pass("preproc_else"),
];

/// `const` and `static readonly` fields stand in for module-level constants. Other fields are left out.
fn field(site: &Site<'_, '_>) -> Found {
    let is = |word| site.has_modifier("modifier", word);
    let mut found = Found::nothing(Inside::Nothing);
    if !(is("const") || (is("static") && is("readonly"))) {
        return found;
    }
    let mut cursor = site.node.walk();
    let mut children = site.node.named_children(&mut cursor);
    if let Some(list) = children.find(|child| child.kind() == "variable_declaration") {
        for declarator in list.named_children(&mut list.walk()) {
            let name = site.name(declarator.child_by_field_name("name"));
            let is_declarator = declarator.kind() == "variable_declarator";
            found.define(site, SymbolKind::Variable, name.filter(|_| is_declarator));
        }
    }
    found
}

fn destructor(site: &Site<'_, '_>) -> Found {
    let name = site.name(site.field("name"));
    let name = name.and_then(|name| QualifiedName::plain(&format!("~{}", name.name)));
    Found::one(site, SymbolKind::Function, name, Inside::Nothing)
}

/// `operator +` and `implicit operator int` have no name field: what stands before the parameters is their name.
fn operator(site: &Site<'_, '_>) -> Found {
    const KEYWORD: &[u8] = b"operator";
    let name = site.field("parameters").and_then(|parameters| {
        let before = &site.source[site.node.start_byte()..parameters.start_byte()];
        let at = before
            .windows(KEYWORD.len())
            .rposition(|window| window == KEYWORD)?;
        let words = String::from_utf8_lossy(&before[at..]);
        let name = words.split_whitespace().collect::<Vec<_>>().join(" ");
        QualifiedName::plain(&name)
    });
    Found::one(site, SymbolKind::Function, name, Inside::Nothing)
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn types_members_and_constants_are_found() {
        check(
            "A.cs",
            "\
namespace Shapes.Flat;
using System;
[Attr]
public class C<T> : D
{
    public int Size { get; set; }
    const int K = 1;
    private static readonly object Gate = new();
    private readonly int field;
    public C() { var local = 1; }
    ~C() { }
    public static C operator +(C a, C b) => a;
    public static implicit operator int(C c) => 1;
    void M() { void Local() { } }
    int X() => 1;
    delegate void Del();
    enum En { A }
}
record R(int X);
interface I { void F(); }
abstract class Z { protected abstract void Q(); }
",
            "\
1-1 namespace Shapes.Flat
3-18 type C
6-6 variable C.Size
7-7 variable C.K
8-8 variable C.Gate
10-10 function C.C
11-11 function C.~C
12-12 function C.operator +
13-13 function C.operator int
14-14 function C.M
15-15 function C.X
16-16 type C.Del
17-17 type C.En
19-19 type R
20-20 type I
20-20 declaration I.F
21-21 type Z
21-21 declaration Z.Q
",
        );
    }

    #[test]
    fn namespaces_in_braces_and_top_level_functions_are_found() {
        check(
            "B.cs",
            "namespace A.B\n{\n    struct S { }\n}\n",
            "1-4 namespace A.B\n3-3 type A.B.S\n",
        );
        check(
            "Program.cs",
            "int Twice(int x) { return 2 * x; }\n",
            "1-1 function Twice\n",
        );
    }
}
