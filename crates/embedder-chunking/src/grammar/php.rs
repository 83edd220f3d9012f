//! PHP, with the HTML around it.

use super::{
    Found, Grammar, Inside, Rule, Site, bodiless_functions, find, functions, namespaces, pass,
    types,
};
use crate::symbol::SymbolKind;

pub(crate) static PHP: Grammar = Grammar::new(tree_sitter_php::LANGUAGE_PHP, &[RULES], &[]);

const RULES: &[Rule] = &[
    types("class_declaration"),
    types("interface_declaration"),
    types("trait_declaration"),
    types("enum_declaration"),
    bodiless_functions("function_definition"),
    functions("method_declaration"),
    namespaces("namespace_definition"),
    find("const_element", constant),
    find("function_call_expression", define_call),
    pass("program"),
    pass("declaration_list"),
    pass("enum_declaration_list"),
    pass("const_declaration"),
    pass("expression_statement"),
    // `if (!function_exists('f')) { function f() {} }`
    pass("if_statement"),
    pass("else_clause"),
    pass("compound_statement"),
];

fn constant(site: &Site<'_, '_>) -> Found {
    Found::one(
        site,
        SymbolKind::Variable,
        site.name(site.node.named_child(0)),
        Inside::Nothing,
    )
}

/// `define('LIMIT', 1)`.
fn define_call(site: &Site<'_, '_>) -> Found {
    let function = site.field("function");
    let is_define = function.is_some_and(|function| site.text(function) == b"define");
    let arguments = site.field("arguments").filter(|_| is_define);
    let name = arguments.and_then(|arguments| arguments.named_child(0));
    let name = name.filter(|name| matches!(site.text(*name).first(), Some(b'\'' | b'"')));
    Found::one(site, SymbolKind::Variable, site.name(name), Inside::Nothing)
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn types_members_and_constants_are_found() {
        check(
            "a.php",
            "\
<html><?php
namespace App\\Models;
use C\\D;
const X = 1, Y = 2;
abstract class K extends L {
    const Z = 1;
    public $field;
    use Tr;
    public function m() { $local = function () {}; }
    abstract function n();
}
trait T { function t() {} }
enum E: string { case A = 'a'; const Q = 1; function f() {} }
interface I { function i(); }
function g() { function inner() {} }
if (!function_exists('h')) { function h() {} }
define('LIMIT', 1);
strlen('x');
?>
",
            "\
2-2 namespace App.Models
4-4 variable X
4-4 variable Y
5-11 type K
6-6 variable K.Z
9-9 function K.m
10-10 declaration K.n
12-12 type T
12-12 function T.t
13-13 type E
13-13 variable E.Q
13-13 function E.f
14-14 type I
14-14 declaration I.i
15-15 function g
16-16 function h
17-17 variable LIMIT
",
        );
        check(
            "b.php",
            "<?php\nnamespace A { function q() {} }\n",
            "2-2 namespace A\n2-2 function A.q\n",
        );
    }
}
