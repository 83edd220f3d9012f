//! Bash and its relatives.

use super::{Found, Grammar, Inside, Rule, Site, bodiless_functions, find, pass};
use crate::symbol::SymbolKind;

pub(crate) static BASH: Grammar = Grammar::new(tree_sitter_bash::LANGUAGE, &[RULES], &[]);

const RULES: &[Rule] = &[
    bodiless_functions("function_definition"),
    find("variable_assignment", assignment),
    pass("program"),
    pass("declaration_command"),
    pass("variable_assignments"),
    pass("if_statement"),
    pass("elif_clause"),
    pass("else_clause"),
    pass("compound_statement"),
    pass("list"),
];

/// `X=1`; `a[1]=2` fills an array that is defined elsewhere.
fn assignment(site: &Site<'_, '_>) -> Found {
    let name = site
        .field("name")
        .filter(|name| name.kind() == "variable_name");
    Found::one(site, SymbolKind::Variable, site.name(name), Inside::Nothing)
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn both_styles_of_functions_and_global_variables_are_found() {
        check(
            "a.sh",
            "\
#!/bin/bash
X=1
readonly Y=2
declare -r Z=3
foo() { local a=1; b=2; }
function bar {
  :
}
function baz() ( : )
if true; then cond() { :; }; fi
list=(1 2)
list[0]=3
A=1 command
",
            "\
2-2 variable X
3-3 variable Y
4-4 variable Z
5-5 function foo
6-8 function bar
9-9 function baz
10-10 function cond
11-11 variable list
",
        );
    }
}
