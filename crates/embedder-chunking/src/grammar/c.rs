//! C and C++.

use tree_sitter::Node;

use super::{
    Action, Found, Grammar, Inside, Pattern, Rule, Site, WithoutBody, bodiless_functions, find,
    namespaces, pass, rule, types,
};
use crate::definition::QualifiedName;
use crate::symbol::SymbolKind;

pub(crate) static C: Grammar = Grammar::new(tree_sitter_c::LANGUAGE, &[RULES], &[]);
pub(crate) static CPP: Grammar = Grammar::new(
    tree_sitter_cpp::LANGUAGE,
    &[RULES, CPP_RULES],
    &["access_specifier"],
);

const RULES: &[Rule] = &[
    with_body("struct_specifier"),
    with_body("union_specifier"),
    with_body("enum_specifier"),
    find("function_definition", function),
    find("declaration", declaration),
    find("type_definition", type_definition),
    find("preproc_def", constant),
    bodiless_functions("preproc_function_def"),
    pass("translation_unit"),
    pass("declaration_list"),
    pass("field_declaration_list"),
    pass("linkage_specification"),
    pass("preproc_if"),
    pass("preproc_ifdef"),
    pass("preproc_elif"),
    pass("preproc_else"),
];

const CPP_RULES: &[Rule] = &[
    with_body("class_specifier"),
    namespaces("namespace_definition"),
    types("alias_declaration"),
    types("concept_definition"),
    find("field_declaration", member),
    pass("template_declaration"),
];

/// `struct point { … }` defines a type, `struct point *p` only uses it.
const fn with_body(node: &'static str) -> Rule {
    rule(
        node,
        Action::Define(Pattern {
            kind: SymbolKind::Type,
            name: "name",
            without_body: WithoutBody::Nothing,
            inside: Inside::Members,
        }),
    )
}

/// What a declarator declares, and whether that is a function (not a pointer to one).
struct Declared {
    name: Option<QualifiedName>,
    is_function: bool,
}

/// Follows a declarator, written inside out in C, to the name in its middle: `int (*(*f)(int))[3]` declares `f`.
fn declared(site: &Site<'_, '_>, declarator: Node<'_>) -> Declared {
    let mut node = declarator;
    let mut is_function = false;
    loop {
        let inner = match node.kind() {
            "function_declarator"
            | "pointer_declarator"
            | "array_declarator"
            | "init_declarator"
            | "attributed_declarator"
            | "parenthesized_declarator"
            | "reference_declarator" => node
                .child_by_field_name("declarator")
                .or_else(|| node.named_child(0)),
            _ => None,
        };
        let Some(inner) = inner else { break };
        // What stands nearest to the name decides: `(*f)(int)` is a pointer, `*f(int)` a function.
        is_function = match node.kind() {
            "parenthesized_declarator" | "attributed_declarator" => is_function,
            kind => kind == "function_declarator",
        };
        node = inner;
    }
    let mut text = site.text(node);
    // A conversion operator is the one name that holds its parameters: `operator bool() const`.
    if holds_conversion(node) {
        let end = text.iter().position(|&byte| byte == b'(');
        text = &text[..end.unwrap_or(text.len())];
        is_function = true;
    }
    let name = QualifiedName::parse(text);
    Declared { name, is_function }
}

fn holds_conversion(mut name: Node<'_>) -> bool {
    while let ("qualified_identifier", Some(inner)) =
        (name.kind(), name.child_by_field_name("name"))
    {
        name = inner;
    }
    name.kind() == "operator_cast"
}

fn function(site: &Site<'_, '_>) -> Found {
    let declarator = site.field("declarator");
    let name = declarator.and_then(|declarator| declared(site, declarator).name);
    Found::one(site, SymbolKind::Function, name, Inside::Nothing)
}

/// Prototypes and variables; `extern` without a value announces a variable that is defined elsewhere.
fn declaration(site: &Site<'_, '_>) -> Found {
    let external = site.has_modifier("storage_class_specifier", "extern");
    declarators(site, |declarator, is_function| {
        if is_function || (external && declarator.kind() != "init_declarator") {
            SymbolKind::Declaration
        } else {
            SymbolKind::Variable
        }
    })
}

/// Prototypes of methods; fields are left out.
fn member(site: &Site<'_, '_>) -> Found {
    let mut found = declarators(site, |_, is_function| {
        if is_function {
            SymbolKind::Declaration
        } else {
            SymbolKind::Variable
        }
    });
    found
        .definitions
        .retain(|found| found.kind == SymbolKind::Declaration);
    found
}

fn type_definition(site: &Site<'_, '_>) -> Found {
    declarators(site, |_, _| SymbolKind::Type)
}

/// Each declarator of a node, and below it the type that the declaration may define: `struct point { … } origin;`.
fn declarators(site: &Site<'_, '_>, kind: impl Fn(Node<'_>, bool) -> SymbolKind) -> Found {
    let mut found = Found::nothing(Inside::Members);
    let own_type = site.field("type");
    let defines_type = own_type.is_some_and(|own| own.child_by_field_name("body").is_some());
    let mut cursor = site.node.walk();
    for declarator in site.node.children_by_field_name("declarator", &mut cursor) {
        let declared = declared(site, declarator);
        let kind = kind(declarator, declared.is_function);
        if defines_type && kind != SymbolKind::Type {
            // The variable does not enclose the members of its type.
            let bytes = declarator.start_byte()..site.node.end_byte();
            found.define_over(bytes, kind, declared.name);
        } else {
            found.define(site, kind, declared.name);
        }
    }
    found
}

/// `#define LIMIT 3`; without a value it is a switch or an include guard.
fn constant(site: &Site<'_, '_>) -> Found {
    let name = site.field("value").and_then(|_| site.field("name"));
    Found::one(site, SymbolKind::Variable, site.name(name), Inside::Nothing)
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn a_declarator_is_followed_to_its_name() {
        check(
            "a.c",
            "\
#ifndef A_H
#define A_H
#define LIMIT 3
#define MAX(a, b) ((a) > (b) ? (a) : (b))
struct point { int x; } *origin;
typedef struct { int q; } Pair, *PairPtr;
typedef int (*callback)(int);
int *(*fp)(int);
int *proto(int a, char *b);
static int *def(int a) { int local; return 0; }
int (*returns_fp(void))(int) { return 0; }
extern int announced;
int table[3] = {1}, count = 2;
enum colour { RED };
struct point *use;
struct point later;
#ifdef X
void inside(void) {}
#else
int otherwise;
#endif
void old(a) int a; { }
#endif
",
            "\
3-3 variable LIMIT
4-4 function MAX
5-5 type point
5-5 variable origin
6-6 type Pair
6-6 type PairPtr
7-7 type callback
8-8 variable fp
9-9 declaration proto
10-10 function def
11-11 function returns_fp
12-12 declaration announced
13-13 variable table
13-13 variable count
14-14 type colour
15-15 variable use
16-16 variable later
18-18 function inside
20-20 variable otherwise
22-22 function old
",
        );
    }

    #[test]
    fn cpp_names_keep_their_qualifiers() {
        check(
            "a.cpp",
            "\
namespace a::b {
class C : public D {
 public:
  C();
  ~C() {}
  int m() const;
  bool operator==(const C&) const { return true; }
  operator int() const;
  static int field;
  template <class T> void t() {}
  struct Inner { void deep(); };
};
}
int a::C::m() const { return 1; }
template <typename T> struct V<T*> { };
template <> void spec<int>() {}
using X = int;
enum class E { A };
namespace { int hidden; }
a::C::~C() {}
bool a::C::operator<(const C& o) { return true; }
extern \"C\" { int k(void); }
template <class T> T a::V<T>::get() { }
a::C::operator bool() const { return true; }
int& ref() { }
class Forward;
void F::operator()(int x) { }
",
            "\
1-13 namespace a.b
2-12 type a.b.C
4-4 declaration a.b.C.C
5-5 function a.b.C.~C
6-6 declaration a.b.C.m
7-7 function a.b.C.operator==
8-8 declaration a.b.C.operator int
10-10 function a.b.C.t
11-11 type a.b.C.Inner
11-11 declaration a.b.C.Inner.deep
14-14 function a.C.m
15-15 type V
16-16 function spec
17-17 type X
18-18 type E
19-19 variable hidden
20-20 function a.C.~C
21-21 function a.C.operator<
22-22 declaration k
23-23 function a.V.get
24-24 function a.C.operator bool
25-25 function ref
27-27 function F.operator()
",
        );
    }
}
