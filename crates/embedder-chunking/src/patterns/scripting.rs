//! Scripting languages, build files among them. Every pattern is anchored at the start of a line.

use super::PatternSet;
use crate::symbol::SymbolKind::{Function, Namespace, Type, Variable};

pub(crate) static CMAKE: PatternSet = PatternSet::new(&[
    (Function, r"(?i)^\s*(?:function|macro)\s*\(\s*(\w+)"),
    (
        Type,
        r"(?i)^\s*add_(?:library|executable|custom_target)\s*\(\s*([\w:.-]+)",
    ),
    (Variable, r"(?i)^(?:set|option)\s*\(\s*(\w+)"),
]);

pub(crate) static FISH: PatternSet = PatternSet::new(&[
    (Function, r"^\s*function\s+([\w.-]+)"),
    (Variable, r"^set\s+(?:-\w+\s+)*(\w+)"),
]);

pub(crate) static LUA: PatternSet = PatternSet::new(&[
    (Function, r"^\s*(?:local\s+)?function\s+([\w.:]+)"),
    (Function, r"^\s*(?:local\s+)?([\w.]+)\s*=\s*function\b"),
    (
        Variable,
        r"^(?:local\s+)?([A-Za-z_][\w.]*)\s*(?:<\w+>\s*)?=[^=]",
    ),
]);

pub(crate) static MAKEFILE: PatternSet = PatternSet::new(&[
    (
        Variable,
        r"^(?:export\s+|override\s+)*([\w.-]+)\s*(?:[:?+!]|::)?=",
    ),
    (Function, r"^define\s+(\w+)"),
    (Function, r"^@?([\w.%/-]+)(?:\s+[^:=#]*)?::?(?:[^=]|$)"),
]);

pub(crate) static PERL: PatternSet = PatternSet::new(&[
    (Namespace, r"^\s*package\s+([\w:]+)"),
    (Function, r"^\s*sub\s+([\w:]+)"),
    (Variable, r"^(?:our\s+|use\s+constant\s+)[$@%]?(\w+)"),
]);

pub(crate) static POWERSHELL: PatternSet = PatternSet::new(&[
    (
        Function,
        r"(?i)^\s*(?:function|filter|workflow)\s+(?:\w+:)?([\w-]+)",
    ),
    (Type, r"(?i)^\s*(?:class|enum)\s+(\w+)"),
    (Variable, r"(?i)^\$(?:script:|global:)?(\w+)\s*="),
]);

pub(crate) static R: PatternSet = PatternSet::new(&[
    (
        Function,
        r"^\s*`?([\w.]+)`?\s*(?:<-|=)\s*(?:function\b|\\\()",
    ),
    (
        Type,
        r#"^\s*(?:\w+\s*<-\s*)?(?:setClass|setRefClass|R6Class)\(\s*['"](\w+)"#,
    ),
    (Function, r#"^\s*(?:setMethod|setGeneric)\(\s*['"]([\w.]+)"#),
    (Variable, r"^([A-Za-z.][\w.]*)\s*<-"),
]);

pub(crate) static VIM: PatternSet = PatternSet::new(&[
    (
        Function,
        r"^\s*(?:export\s+)?(?:fu|function|def)!?\s+([\w:.#<>]+)",
    ),
    (Function, r"^\s*command!?\s+(?:-\S+\s+)*(\w+)"),
    (Variable, r"^let\s+([\w:]+)\s*="),
]);

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn definitions_are_found() {
        check(
            "a.lua",
            "local M = {}\n\nfunction M.new(x)\n  local y = 1\n  return x\nend\n\nM.area = function(self)\nend\nlocal function hidden() end\n",
            "1-1 variable M\n3-6 function M.new\n8-9 function M.area\n10-10 function hidden\n",
        );
        check(
            "Makefile",
            "CC := gcc\n\nbuild: main.o\n\t$(CC) main.o\n\n.PHONY: clean\nclean:\n\trm x\n",
            "1-1 variable CC\n3-4 function build\n6-6 function PHONY\n7-8 function clean\n",
        );
        check(
            "a.pl",
            "package App::Shape;\nsub area {\n  my $x = 1;\n}\n",
            "1-1 namespace App.Shape\n2-4 function area\n",
        );
        check(
            "a.r",
            "area <- function(r) {\n  x <- 1\n}\nlimit <- 3\n",
            "1-3 function area\n4-4 variable limit\n",
        );
    }
}
