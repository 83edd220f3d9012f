//! JavaScript with JSX, TypeScript and TSX.

use tree_sitter::Node;

use super::{
    Found, Grammar, Inside, Rule, Site, bodiless_functions, declarations, find, namespaces, pass,
    types,
};
use crate::definition::QualifiedName;
use crate::symbol::SymbolKind;

pub(crate) static JAVASCRIPT: Grammar = Grammar::new(
    tree_sitter_javascript::LANGUAGE,
    &[RULES, JAVASCRIPT_RULES],
    &["decorator"],
);
pub(crate) static TYPESCRIPT: Grammar = Grammar::new(
    tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
    &[RULES, TYPESCRIPT_RULES],
    &["decorator"],
);
pub(crate) static TSX: Grammar = Grammar::new(
    tree_sitter_typescript::LANGUAGE_TSX,
    &[RULES, TYPESCRIPT_RULES],
    &["decorator"],
);

/// Parts of a path that say where a member is put, not whose it is.
const EXPORTS: &[&str] = &[
    "exports",
    "module",
    "prototype",
    "window",
    "globalThis",
    "global",
    "self",
    "this",
];

/// Functions whose callback is the body of a module.
const MODULE_WRAPPERS: &[&str] = &["define", "require", "requirejs"];

const RULES: &[Rule] = &[
    types("class_declaration"),
    bodiless_functions("function_declaration"),
    bodiless_functions("generator_function_declaration"),
    bodiless_functions("method_definition"),
    find("variable_declarator", variable),
    find("assignment_expression", assignment),
    find("pair", pair),
    find("export_statement", export),
    find("call_expression", call),
    pass("program"),
    pass("class"),
    pass("class_body"),
    pass("lexical_declaration"),
    pass("variable_declaration"),
    pass("expression_statement"),
    pass("statement_block"),
    pass("object"),
    pass("if_statement"),
    pass("else_clause"),
    pass("try_statement"),
    // On the way to the body of `(function () { … }).call(this)`.
    pass("parenthesized_expression"),
    pass("unary_expression"),
    pass("member_expression"),
    pass("arguments"),
    pass("function_expression"),
    pass("arrow_function"),
];

const JAVASCRIPT_RULES: &[Rule] = &[find("field_definition", field)];

const TYPESCRIPT_RULES: &[Rule] = &[
    types("abstract_class_declaration"),
    types("interface_declaration"),
    types("type_alias_declaration"),
    types("enum_declaration"),
    namespaces("module"),
    namespaces("internal_module"),
    declarations("function_signature"),
    declarations("method_signature"),
    declarations("abstract_method_signature"),
    find("public_field_definition", field),
    pass("ambient_declaration"),
    pass("interface_body"),
    pass("as_expression"),
    pass("satisfies_expression"),
];

/// What a value makes of the name it is given to.
fn kind_of(value: Option<Node<'_>>) -> (SymbolKind, Inside) {
    match value.map_or("", |value| value.kind()) {
        "arrow_function" | "function_expression" | "generator_function" => {
            (SymbolKind::Function, Inside::Nothing)
        }
        "class" => (SymbolKind::Type, Inside::Members),
        "object" | "as_expression" | "satisfies_expression" => {
            (SymbolKind::Variable, Inside::Members)
        }
        _ => (SymbolKind::Variable, Inside::Nothing),
    }
}

fn variable(site: &Site<'_, '_>) -> Found {
    let (kind, inside) = kind_of(site.field("value"));
    let name = site
        .field("name")
        .filter(|name| name.kind() == "identifier");
    Found::one(site, kind, site.name(name), inside)
}

/// A class field: a method if it holds a function, else left out.
fn field(site: &Site<'_, '_>) -> Found {
    let (kind, _) = kind_of(site.field("value"));
    if kind != SymbolKind::Function {
        return Found::nothing(Inside::Nothing);
    }
    // The field is called `property` in JavaScript and `name` in TypeScript.
    let name = site.field("property").or_else(|| site.field("name"));
    Found::one(site, kind, site.name(name), Inside::Nothing)
}

/// `key: function () {}` in an object.
fn pair(site: &Site<'_, '_>) -> Found {
    let (kind, inside) = kind_of(site.field("value"));
    if kind == SymbolKind::Variable {
        return Found::nothing(inside);
    }
    Found::one(site, kind, site.name(site.field("key")), inside)
}

/// `exports.x = …`, `Foo.prototype.bar = function …`, `module.exports = …`.
fn assignment(site: &Site<'_, '_>) -> Found {
    let right = site.field("right");
    let (kind, inside) = kind_of(right);
    // `a = b = function () {}`: the next assignment has its own rule.
    let inside = match right.map_or("", |right| right.kind()) {
        "assignment_expression" => Inside::Members,
        _ => inside,
    };
    let path = site
        .field("left")
        .filter(|left| left.kind() == "member_expression");
    let Some(path) = site.name(path) else {
        return Found::nothing(inside);
    };
    let exported = path.owners.iter().any(|owner| owner == "exports");
    let name = if EXPORTS.contains(&path.name.as_str()) {
        // `module.exports = function parse() {}` is called what the function calls itself.
        site.name(right.and_then(|right| right.child_by_field_name("name")))
    } else if kind != SymbolKind::Variable || exported {
        let owners = path.owners.into_iter();
        let owners = owners.filter(|owner| !EXPORTS.contains(&owner.as_str()));
        Some(QualifiedName {
            owners: owners.collect(),
            name: path.name,
        })
    } else {
        None
    };
    Found::one(site, kind, name, inside)
}

/// `export default` of something without a name is called `default`; any other export has its own rule inside.
fn export(site: &Site<'_, '_>) -> Found {
    let value = site.field("value");
    let (kind, inside) = kind_of(value);
    if kind == SymbolKind::Variable {
        return Found::nothing(Inside::Members);
    }
    let name = site.name(value.and_then(|value| value.child_by_field_name("name")));
    Found::one(
        site,
        kind,
        name.or_else(|| QualifiedName::plain("default")),
        inside,
    )
}

/// Looks into calls that wrap a module: `(function () { … })()` and `define(function () { … })`.
fn call(site: &Site<'_, '_>) -> Found {
    let Some(function) = site.field("function") else {
        return Found::nothing(Inside::Nothing);
    };
    let wraps = match function.kind() {
        "identifier" => {
            let name = site.text(function);
            MODULE_WRAPPERS
                .iter()
                .any(|wrapper| wrapper.as_bytes() == name)
        }
        // `(function () { … }).call(this)`; a chain of ordinary calls ends at its identifier.
        "member_expression" => function
            .child_by_field_name("object")
            .is_some_and(|object| object.kind() == "parenthesized_expression"),
        kind => matches!(
            kind,
            "parenthesized_expression" | "function_expression" | "arrow_function"
        ),
    };
    Found::nothing(if wraps {
        Inside::Members
    } else {
        Inside::Nothing
    })
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn every_way_to_write_a_function_is_found() {
        check(
            "a.js",
            "\
const add = (a, b) => a + b, limit = 3;
exports.parse = function () { function local() {} };
Foo.prototype.bar = function named() {};
module.exports = { get() {}, put: function () {}, 'del': () => 1, nested: { deep() {} } };
class A extends B { static x = 1; onClick = () => 2; #secret() {} get size() { } }
function* generate() {}
export async function load() {}
const { a, b } = require('c');
const C = class { inner() {} };
element.onclick = 3;
exports.VERSION = '1';
module.exports = function parser() {};
export const api = { call() {} };
",
            "\
1-1 function add
1-1 variable limit
2-2 function parse
3-3 function Foo.bar
4-4 function get
4-4 function put
4-4 function del
4-4 function deep
5-5 type A
5-5 function A.onClick
5-5 function A.secret
5-5 function A.size
6-6 function generate
7-7 function load
9-9 type C
9-9 function C.inner
11-11 variable VERSION
12-12 function parser
13-13 variable api
13-13 function api.call
",
        );
    }

    #[test]
    fn default_exports_have_a_name() {
        check(
            "a.js",
            "export default function () {}\n",
            "1-1 function default\n",
        );
        check(
            "a.js",
            "export default class Named {}\n",
            "1-1 type Named\n",
        );
        check(
            "a.mjs",
            "export default class { go() {} }\n",
            "1-1 type default\n1-1 function default.go\n",
        );
        check(
            "a.js",
            "export default () => 1;\n",
            "1-1 function default\n",
        );
        check(
            "a.js",
            "export default { data() {} };\n",
            "1-1 function data\n",
        );
    }

    #[test]
    fn the_body_of_a_module_wrapper_is_a_module() {
        check(
            "a.js",
            "(function () {\n  function inner() {}\n})();\n",
            "2-2 function inner\n",
        );
        check(
            "a.js",
            "!function () { var x = 1; }();\n",
            "1-1 variable x\n",
        );
        check(
            "a.js",
            "(function () { class K {} }).call(this);\n",
            "1-1 type K\n",
        );
        check(
            "a.js",
            "define(['a'], function (a) { function amd() {} });\n",
            "1-1 function amd\n",
        );
        check(
            "a.js",
            "(function (root, make) {}(this, function ($) { function umd() {} }));\n",
            "1-1 function umd\n",
        );
        check(
            "a.test.js",
            "it('works', () => { const local = () => 1; });\n",
            "",
        );
    }

    #[test]
    fn jsx_components_are_functions() {
        check(
            "view.jsx",
            "export const View = ({ a }) => <div onClick={() => 1}>{a}</div>;\n",
            "1-1 function View\n",
        );
        check(
            "view.tsx",
            "export function View<T>(props: P<T>): JSX.Element {\n  return <p>{props.a}</p>;\n}\n",
            "1-3 function View\n",
        );
    }

    #[test]
    fn typescript_tells_declarations_from_definitions() {
        check(
            "a.ts",
            "\
declare function f(x: number): string;
declare module \"pkg\" { export function g(): void; }
namespace A.B { export const x = 1; }
abstract class P<T> {
  abstract m(): void;
  private h = () => 1;
  n(): void;
  n(x?: any): void {}
  @dec() d() {}
}
function over(a: string): void;
function over(a: any) {}
interface I { m(): void; p: string }
type Q<T> = string | T;
export enum E { A }
declare const cc: number;
declare global { interface Window { } }
export const routes = { list() {} } as const;
",
            "\
1-1 declaration f
2-2 namespace pkg
2-2 declaration pkg.g
3-3 namespace A.B
3-3 variable A.B.x
4-10 type P
5-5 declaration P.m
6-6 function P.h
7-7 declaration P.n
8-8 function P.n
9-9 function P.d
11-11 declaration over
12-12 function over
13-13 type I
13-13 declaration I.m
14-14 type Q
15-15 type E
16-16 variable cc
17-17 type Window
18-18 variable routes
18-18 function routes.list
",
        );
    }
}
