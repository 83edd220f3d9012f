//! Java.

use super::{
    Found, Grammar, Inside, Rule, Site, bodiless_functions, declarations, find, functions,
    namespaces, pass, types,
};
use crate::symbol::SymbolKind;

pub(crate) static JAVA: Grammar = Grammar::new(tree_sitter_java::LANGUAGE, &[RULES], &[]);

const RULES: &[Rule] = &[
    types("class_declaration"),
    types("interface_declaration"),
    types("enum_declaration"),
    types("record_declaration"),
    types("annotation_type_declaration"),
    functions("method_declaration"),
    bodiless_functions("constructor_declaration"),
    bodiless_functions("compact_constructor_declaration"),
    declarations("annotation_type_element_declaration"),
    namespaces("module_declaration"),
    find("field_declaration", field),
    find("constant_declaration", constants),
    find("package_declaration", package),
    pass("program"),
    pass("class_body"),
    pass("interface_body"),
    pass("enum_body"),
    pass("enum_body_declarations"),
    pass("enum_constant"),
    pass("annotation_type_body"),
];

/// Java has no module-level constants: `static final` fields stand in for them. Other fields are left out.
fn field(site: &Site<'_, '_>) -> Found {
    if site.has_modifier("modifiers", "static") && site.has_modifier("modifiers", "final") {
        constants(site)
    } else {
        Found::nothing(Inside::Nothing)
    }
}

fn constants(site: &Site<'_, '_>) -> Found {
    let mut cursor = site.node.walk();
    let mut found = Found::nothing(Inside::Nothing);
    for declarator in site.node.children_by_field_name("declarator", &mut cursor) {
        let name = site.name(declarator.child_by_field_name("name"));
        found.define(site, SymbolKind::Variable, name);
    }
    found
}

fn package(site: &Site<'_, '_>) -> Found {
    let mut cursor = site.node.walk();
    let mut children = site.node.named_children(&mut cursor);
    // Annotations may come before the name.
    let name = children.find(|child| child.kind().ends_with("identifier"));
    Found::one(
        site,
        SymbolKind::Namespace,
        site.name(name),
        Inside::Nothing,
    )
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn types_members_and_constants_are_found() {
        check(
            "A.java",
            "\
package com.example.shapes;

@Entity
public class A<T> extends B {
  public static final int MAX = 1, MIN = 0;
  private int field;
  A() { int local = 1; }
  @Override
  public void run() { new Thread(() -> {}); }
  abstract int missing();
  enum E { P { void inConstant() {} }; void inEnum() {} }
}
record R(int x) { R { } }
@interface N { int v() default 1; }
interface I { int K = 1; void f(); default void g() {} }
",
            "\
1-1 namespace com.example.shapes
3-12 type A
5-5 variable A.MAX
5-5 variable A.MIN
7-7 function A.A
8-9 function A.run
10-10 declaration A.missing
11-11 type A.E
11-11 function A.E.inConstant
11-11 function A.E.inEnum
13-13 type R
13-13 function R.R
14-14 type N
14-14 declaration N.v
15-15 type I
15-15 variable I.K
15-15 declaration I.f
15-15 function I.g
",
        );
    }
}
