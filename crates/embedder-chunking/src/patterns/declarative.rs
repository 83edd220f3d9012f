//! Schemas, settings and documents. Every pattern is anchored at the start of a line.

use super::PatternSet;
use crate::symbol::SymbolKind::{Declaration, Function, Heading, Namespace, Type, Variable};

pub(crate) static ASCIIDOC: PatternSet = PatternSet::new(&[(Heading, r"^={1,6}\s+(\S.*)$")]);

pub(crate) static GRAPHQL: PatternSet = PatternSet::new(&[
    (
        Type,
        r"^\s*(?:extend\s+)?(?:type|interface|enum|input|scalar|union)\s+(\w+)",
    ),
    (
        Function,
        r"^\s*(?:query|mutation|subscription|fragment)\s+(\w+)",
    ),
    (Declaration, r"^\s*directive\s+@(\w+)"),
]);

pub(crate) static LATEX: PatternSet = PatternSet::new(&[
    (
        Heading,
        r"^\s*\\(?:part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?\{([^}]+)\}",
    ),
    (Function, r"^\s*\\(?:re)?newcommand\*?\{?\\(\w+)"),
    (Function, r"^\s*\\(?:re)?newenvironment\{(\w+)"),
]);

pub(crate) static PROTOBUF: PatternSet = PatternSet::new(&[
    (Namespace, r"^package\s+([\w.]+)"),
    (Type, r"^\s*(?:message|enum|service)\s+(\w+)"),
    (Declaration, r"^\s*rpc\s+(\w+)"),
]);

pub(crate) static SQL: PatternSet = PatternSet::new(&[
    (
        Type,
        r#"(?i)^\s*create\s+(?:or\s+replace\s+)?(?:(?:temp|temporary|unlogged|global|local|virtual|external|materialized|recursive)\s+)*(?:table|view|type|domain)\s+(?:if\s+not\s+exists\s+)?([\w."`\[\]]+)"#,
    ),
    (
        Function,
        r#"(?i)^\s*create\s+(?:or\s+(?:replace|alter)\s+)?(?:constraint\s+)?(?:function|procedure|trigger|aggregate|macro)\s+(?:if\s+not\s+exists\s+)?([\w."`\[\]]+)"#,
    ),
    (
        Variable,
        r#"(?i)^\s*create\s+(?:unique\s+|clustered\s+)*(?:index|sequence|role|user|policy)\s+(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?([\w."`\[\]]+)"#,
    ),
    (
        Namespace,
        r#"(?i)^\s*create\s+(?:schema|database|extension)\s+(?:if\s+not\s+exists\s+)?([\w."`\[\]-]+)"#,
    ),
]);

pub(crate) static TERRAFORM: PatternSet = PatternSet::new(&[
    (Type, r#"^(?:resource|data)\s+"[^"]+"\s+("[^"]+")"#),
    (Namespace, r#"^(?:module|provider)\s+("[^"]+")"#),
    (Variable, r#"^(?:variable|output)\s+("[^"]+")"#),
]);

pub(crate) static TOML: PatternSet =
    PatternSet::new(&[(Heading, r"^\s*\[{1,2}([^\[\]]+)\]{1,2}\s*(?:[#;].*)?$")]);

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn definitions_are_found() {
        check(
            "a.sql",
            "CREATE TABLE IF NOT EXISTS app.users\n(\n  id INT\n);\ncreate or replace function area(r int) returns int as $$\n  select 1;\n$$ language sql;\nCREATE UNIQUE INDEX by_name ON users (name);\n",
            "1-4 type app.users\n5-6 function area\n8-8 variable by_name\n",
        );
        check(
            "a.proto",
            "package shapes.v1;\nmessage Circle {\n  int32 r = 1;\n}\nservice Areas {\n  rpc Area(Circle) returns (Reply);\n}\n",
            "1-1 namespace shapes.v1\n2-4 type Circle\n5-7 type Areas\n6-6 declaration Areas.Area\n",
        );
        check(
            "a.tf",
            "resource \"aws_instance\" \"web\" {\n  ami = 1\n}\nvariable \"region\" {}\n",
            "1-3 type web\n4-4 variable region\n",
        );
        check(
            "a.graphql",
            "type Query {\n  a: Int\n}\nenum E { A }\n",
            "1-3 type Query\n4-4 type E\n",
        );
        check(
            "a.toml",
            "[package]\nname = 1\n[[bin]]\npath = 2\n",
            "1-1 heading package\n3-3 heading bin\n",
        );
    }
}
