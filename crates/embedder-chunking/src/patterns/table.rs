//! The patterns of each language. Every pattern is anchored at the start of a line.

use super::PatternSet;
use crate::symbol::SymbolKind::{Declaration, Function, Heading, Impl, Namespace, Type, Variable};

/// Keywords that most languages share, for files whose grammar could not be used and languages without own patterns.
pub(crate) static GENERIC: PatternSet = PatternSet::new(&[
    (
        Type,
        r"^\s*(?:(?:export|default|public|private|protected|internal|abstract|final|sealed|static|pub|partial|data|case)\s+)*(?:class|struct|interface|enum|trait|union|record|protocol)\s+([A-Za-z_]\w*)\s*(?:$|[^\w\s=;]|extends|implements|where)",
    ),
    (
        Function,
        r"^\s*(?:(?:export|default|public|private|protected|internal|static|pub(?:\(\w+\))?|async|unsafe|const|extern|override|final)\s+)*(?:def|fn|func|fun|function|sub|proc)\s+(?:\([^)]*\)\s*)?([A-Za-z_][\w.]*)\s*(?:$|[(<{\[:=?!])",
    ),
    (
        Namespace,
        r"^\s*(?:namespace|package|module)\s+([A-Za-z_][\w.:\\]*)",
    ),
]);

pub(crate) static ASCIIDOC: PatternSet = PatternSet::new(&[(Heading, r"^={1,6}\s+(\S.*)$")]);

pub(crate) static ASSEMBLY: PatternSet = PatternSet::new(&[
    (Function, r"^([A-Za-z_][\w$.]*):"),
    (Variable, r"^\s*\.(?:equ|set)\s+(\w+)"),
]);

pub(crate) static CLOJURE: PatternSet = PatternSet::new(&[
    (Namespace, r"^\(ns\s+(?:\^\S+\s+)*([^\s()]+)"),
    (
        Type,
        r"^\s*\((?:defrecord|deftype|defprotocol|definterface)\s+([^\s()]+)",
    ),
    (
        Function,
        r"^\s*\((?:defn-?|defmacro|defmulti|defmethod|deftest)\s+(?:\^\S+\s+)*([^\s()]+)",
    ),
    (Variable, r"^\((?:def|defonce)\s+(?:\^\S+\s+)*([^\s()]+)"),
]);

pub(crate) static CMAKE: PatternSet = PatternSet::new(&[
    (Function, r"(?i)^\s*(?:function|macro)\s*\(\s*(\w+)"),
    (
        Type,
        r"(?i)^\s*add_(?:library|executable|custom_target)\s*\(\s*([\w:.-]+)",
    ),
    (Variable, r"(?i)^(?:set|option)\s*\(\s*(\w+)"),
]);

pub(crate) static DART: PatternSet = PatternSet::new(&[
    (
        Type,
        r"^\s*(?:(?:abstract|base|final|sealed|interface|mixin)\s+)*(?:class|mixin|enum|typedef|extension\s+type)\s+(\w+)",
    ),
    (Impl, r"^extension\s+(?:\w+\s+)?on\s+(\w+)"),
    (
        Function,
        r"^\s*(?:(?:static|external|factory|const)\s+)*(?:[\w<>?,.\[\]]+\s+)?(?:get\s+|set\s+|operator\s*)?([\w.]+)\s*\([^;]*(?:\{|=>)\s*",
    ),
    (
        Variable,
        r"^(?:final|const|late|var)\s+(?:[\w<>?, ]+\s+)?(\w+)\s*=",
    ),
]);

pub(crate) static ELIXIR: PatternSet = PatternSet::new(&[
    (Type, r"^\s*(?:defmodule|defprotocol)\s+([\w.]+)"),
    (Impl, r"^\s*defimpl\s+[\w.]+,\s*for:\s*([\w.]+)"),
    (
        Function,
        r"^\s*(?:defp?|defmacrop?|defguardp?|defdelegate)\s+([a-z_]\w*[?!]?)",
    ),
    (Declaration, r"^\s*@(?:callback|macrocallback)\s+(\w+[?!]?)"),
    (Type, r"^\s*@(?:typep?|opaque)\s+(\w+)"),
]);

pub(crate) static ERLANG: PatternSet = PatternSet::new(&[
    (Namespace, r"^-module\(\s*([\w@]+)"),
    (Type, r"^-(?:record|type|opaque)\(?\s*(\w+)"),
    (Variable, r"^-define\(\s*(\w+)"),
    (Function, r"^([a-z][\w@]*)\(.*\)\s*(?:when\b.*)?->"),
]);

pub(crate) static FISH: PatternSet = PatternSet::new(&[
    (Function, r"^\s*function\s+([\w.-]+)"),
    (Variable, r"^set\s+(?:-\w+\s+)*(\w+)"),
]);

pub(crate) static FORTRAN: PatternSet = PatternSet::new(&[
    (Namespace, r"(?i)^\s*(?:module|program)\s+(\w+)\s*(?:!.*)?$"),
    (Type, r"(?i)^\s*type\s*(?:,[^:]*)?(?:::)?\s+(\w+)\s*$"),
    (
        Function,
        r"(?i)^\s*(?:(?:pure|elemental|recursive|integer|real|logical|character|complex|double precision|type)(?:\([^)]*\))?\s+)*(?:subroutine|function)\s+(\w+)",
    ),
]);

pub(crate) static FSHARP: PatternSet = PatternSet::new(&[
    (
        Namespace,
        r"^\s*(?:namespace|module)\s+(?:(?:rec|internal|private|public)\s+)*([\w.]+)",
    ),
    (
        Type,
        r"^\s*(?:type|and)\s+(?:(?:internal|private|public)\s+)*([A-Z]\w*)",
    ),
    (
        Function,
        r"^\s*(?:(?:static|abstract|override|default)\s+)*member\s+(?:inline\s+)?(?:\w+\.)?(\w+)",
    ),
    (
        Function,
        r"^\s*let\s+(?:(?:rec|inline|private|internal)\s+)*(\w+)\s+[\w(]",
    ),
    (
        Variable,
        r"^let\s+(?:(?:mutable|private|internal)\s+)*(\w+)\s*[=:]",
    ),
]);

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

pub(crate) static GROOVY: PatternSet = PatternSet::new(&[
    (Namespace, r"^package\s+([\w.]+)"),
    (
        Type,
        r"^\s*(?:(?:public|private|protected|abstract|final|static)\s+)*(?:class|interface|trait|enum)\s+(\w+)",
    ),
    (
        Function,
        r"^\s*(?:(?:public|private|protected|static|final|def|void|[A-Z]\w*(?:<[^>]*>)?)\s+)+(\w+)\s*\([^)]*\)\s*\{",
    ),
    (Function, r#"^\s*task\s+['"]?(\w+)"#),
]);

pub(crate) static HASKELL: PatternSet = PatternSet::new(&[
    (Namespace, r"^module\s+([\w.]+)"),
    (
        Type,
        r"^(?:data|newtype|type)\s+(?:family\s+|instance\s+)?([A-Z][\w']*)",
    ),
    (Type, r"^class\s+(?:.*=>\s*)?([A-Z][\w']*)"),
    (
        Impl,
        r"^instance\s+(?:.*=>\s*)?[A-Z][\w.']*\s+\(?([A-Z][\w.']*)",
    ),
    (
        Function,
        r"^(?:foreign\s+import\s+.*\s)?([a-z_][\w']*)(?:\s*,\s*[a-z_][\w']*)*\s*::",
    ),
]);

pub(crate) static JULIA: PatternSet = PatternSet::new(&[
    (Namespace, r"^\s*(?:bare)?module\s+(\w+)"),
    (
        Type,
        r"^\s*(?:(?:mutable\s+)?struct|(?:abstract|primitive)\s+type)\s+(\w+)",
    ),
    (Function, r"^\s*(?:@\w+\s+)*(?:function|macro)\s+([\w.]+!?)"),
    (
        Function,
        r"^([\w.]+!?)\([^=]*\)\s*(?:::\s*\S+\s*)?(?:where\s+.+)?=[^=]",
    ),
    (Variable, r"^const\s+(\w+)"),
]);

pub(crate) static KOTLIN: PatternSet = PatternSet::new(&[
    (Namespace, r"^package\s+([\w.]+)"),
    (
        Type,
        r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|private|internal|protected|open|abstract|sealed|data|inline|value|enum|annotation|inner|fun|companion|final|expect|actual)\s+)*(?:class|interface|object|typealias)\s+(\w+)",
    ),
    (
        Function,
        r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|private|internal|protected|open|abstract|override|suspend|operator|infix|inline|tailrec|external|final|expect|actual)\s+)*fun\s+(?:<[^>]*>\s*)?([\w.<>?]+|`[^`]+`)\s*\(",
    ),
    (
        Variable,
        r"^\s*(?:(?:public|private|internal|const|lateinit|override|expect|actual)\s+)*va[lr]\s+(?:<[^>]*>\s*)?([\w.]+)",
    ),
]);

pub(crate) static LATEX: PatternSet = PatternSet::new(&[
    (
        Heading,
        r"^\s*\\(?:part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?\{([^}]+)\}",
    ),
    (Function, r"^\s*\\(?:re)?newcommand\*?\{?\\(\w+)"),
    (Function, r"^\s*\\(?:re)?newenvironment\{(\w+)"),
]);

pub(crate) static LISP: PatternSet = PatternSet::new(&[
    (
        Type,
        r"(?i)^\s*\((?:cl-)?(?:defclass|defstruct|deftype|define-record-type|struct)\s+\(?([^\s()]+)",
    ),
    (
        Function,
        r"(?i)^\s*\((?:(?:cl-)?(?:defun|defmacro|defgeneric|defmethod|defsubst)|define-syntax|define-syntax-rule|define-macro)\*?\s+\(?([^\s()]+)",
    ),
    (Function, r"(?i)^\s*\(define\s+\(+([^\s()]+)"),
    (
        Variable,
        r"(?i)^\((?:defvar|defparameter|defconstant|defconst|defcustom|define)\s+([^\s()]+)",
    ),
    (
        Namespace,
        r"(?i)^\((?:defpackage|define-module|module)\s+\(?[:#']*([^\s()]+)",
    ),
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

pub(crate) static NIM: PatternSet = PatternSet::new(&[
    (
        Function,
        r"^\s*(?:proc|func|method|iterator|template|macro|converter)\s+(`[^`]+`|\w+)",
    ),
    (
        Type,
        r"^\s*(?:type\s+)?(\w+)\*?(?:\[[^\]]*\])?\s*(?:\{\.[^}]*\.\})?\s*=\s*(?:ref\s+|ptr\s+)?(?:object|enum|tuple|distinct|concept)\b",
    ),
    (Variable, r"^(?:const|let|var)\s+(\w+)"),
]);

pub(crate) static OBJECTIVE_C: PatternSet = PatternSet::new(&[
    (Type, r"^@(?:interface|protocol)\s+(\w+)"),
    (Impl, r"^@implementation\s+(\w+)"),
    (Declaration, r"^[-+]\s*\([^)]*\)\s*(\w+).*;\s*$"),
    (Function, r"^[-+]\s*\([^)]*\)\s*(\w+)"),
    (
        Function,
        r"^(?:static\s+|inline\s+)*[A-Za-z_]\w*[\s*]+\**(\w+)\s*\([^;]*$",
    ),
]);

pub(crate) static OCAML: PatternSet = PatternSet::new(&[
    (Namespace, r"^\s*module\s+(?:type\s+|rec\s+)?([A-Z]\w*)"),
    (
        Type,
        r"^\s*(?:type|class|exception)\s+(?:nonrec\s+)?(?:\([^)]*\)\s*|'\w+\s+)?(\w+)",
    ),
    (Declaration, r"^\s*(?:val|external)\s+(\w+)"),
    (
        Function,
        r"^(?:let|and)\s+(?:rec\s+)?(?:\(\s*)?([a-z_][\w']*)",
    ),
]);

pub(crate) static PASCAL: PatternSet = PatternSet::new(&[
    (Namespace, r"(?i)^\s*(?:unit|program|library)\s+([\w.]+)"),
    (
        Type,
        r"(?i)^\s*(\w+)(?:<[^>]*>)?\s*=\s*(?:packed\s+)?(?:class|record|interface|object)\b",
    ),
    (
        Function,
        r"(?i)^\s*(?:class\s+)?(?:procedure|function|constructor|destructor)\s+([\w.]+)",
    ),
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

pub(crate) static PROTOBUF: PatternSet = PatternSet::new(&[
    (Namespace, r"^package\s+([\w.]+)"),
    (Type, r"^\s*(?:message|enum|service)\s+(\w+)"),
    (Declaration, r"^\s*rpc\s+(\w+)"),
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

pub(crate) static SCALA: PatternSet = PatternSet::new(&[
    (Namespace, r"^package\s+(?:object\s+)?([\w.]+)"),
    (
        Type,
        r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:private|protected|final|sealed|abstract|case|implicit|open|opaque|override|lazy|inline|transparent)(?:\[\w+\])?\s+)*(?:class|trait|object|enum|type)\s+(\w+)",
    ),
    (
        Function,
        r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:private|protected|final|override|implicit|inline|transparent|infix)(?:\[\w+\])?\s+)*def\s+([^\s(\[:={]+)",
    ),
    (Function, r"^\s*given\s+(\w+)"),
    (
        Variable,
        r"^\s*(?:(?:private|protected|final|implicit|lazy|override|inline)(?:\[\w+\])?\s+)*va[lr]\s+(\w+)",
    ),
]);

pub(crate) static SOLIDITY: PatternSet = PatternSet::new(&[
    (
        Type,
        r"^\s*(?:abstract\s+)?(?:contract|interface|library|struct|enum|error|type)\s+(\w+)",
    ),
    (Function, r"^\s*(?:function|modifier|event)\s+(\w+)"),
    (Function, r"^\s*(constructor|receive|fallback)\s*\("),
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

pub(crate) static SWIFT: PatternSet = PatternSet::new(&[
    (
        Function,
        r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|private|fileprivate|internal|open|package|static|class|final|override|mutating|nonmutating|required|convenience|nonisolated|prefix|postfix|infix)(?:\(\w+\))?\s+)*func\s+([^\s(<]+)",
    ),
    (
        Function,
        r"^\s*(?:(?:public|private|fileprivate|internal|required|convenience|override|nonisolated)\s+)*(init|deinit|subscript)\b[?!]?\s*[<({]",
    ),
    (
        Type,
        r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|private|fileprivate|internal|open|package|final|indirect|distributed)\s+)*(?:class|struct|enum|protocol|actor|typealias|macro)\s+(\w+)",
    ),
    (
        Impl,
        r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|private|fileprivate|internal)\s+)*extension\s+([\w.]+)",
    ),
    (
        Variable,
        r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|private|fileprivate|internal|static|lazy|nonisolated)(?:\(\w+\))?\s+)*(?:let|var)\s+(\w+)",
    ),
]);

pub(crate) static TERRAFORM: PatternSet = PatternSet::new(&[
    (Type, r#"^(?:resource|data)\s+"[^"]+"\s+("[^"]+")"#),
    (Namespace, r#"^(?:module|provider)\s+("[^"]+")"#),
    (Variable, r#"^(?:variable|output)\s+("[^"]+")"#),
]);

pub(crate) static TOML: PatternSet =
    PatternSet::new(&[(Heading, r"^\s*\[{1,2}([^\[\]]+)\]{1,2}\s*(?:[#;].*)?$")]);

pub(crate) static VIM: PatternSet = PatternSet::new(&[
    (
        Function,
        r"^\s*(?:export\s+)?(?:fu|function|def)!?\s+([\w:.#<>]+)",
    ),
    (Function, r"^\s*command!?\s+(?:-\S+\s+)*(\w+)"),
    (Variable, r"^let\s+([\w:]+)\s*="),
]);

pub(crate) static ZIG: PatternSet = PatternSet::new(&[
    (
        Function,
        r#"^\s*(?:(?:pub|export|inline|noinline|extern(?:\s+"[^"]*")?)\s+)*fn\s+(\w+)"#,
    ),
    (
        Type,
        r"^\s*(?:pub\s+)?const\s+(\w+)\s*(?::\s*type\s*)?=\s*(?:packed\s+|extern\s+)?(?:struct|enum|union|opaque|error)\b",
    ),
    (
        Variable,
        r"^\s*(?:pub\s+|export\s+|threadlocal\s+)*(?:const|var)\s+(\w+)",
    ),
    (Function, r#"^test\s+("[^"]+")"#),
]);

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn definitions_of_the_languages_without_a_grammar_are_found() {
        check(
            "a.swift",
            "public final class A: B {\n    var x = 1\n    init(a: Int) {\n    }\n    static func make<T>() -> T { }\n}\nextension A: C {\n}\nlet top = 1\n",
            "1-6 type A\n3-4 function A.init\n5-5 function A.make\n7-8 impl A\n9-9 variable top\n",
        );
        check(
            "a.scala",
            "package a.b\n\nsealed trait Shape {\n  def area: Double\n}\ncase class Circle(r: Double) extends Shape {\n  override def area = 1.0\n}\nval Pi = 3\n",
            "1-1 namespace a.b\n3-5 type Shape\n4-4 function Shape.area\n6-8 type Circle\n7-7 function Circle.area\n9-9 variable Pi\n",
        );
        check(
            "a.ex",
            "defmodule App.Shape do\n  @type t :: map\n  def area(r), do: r\n  defp hidden?(x) do\n    x\n  end\nend\ndefimpl String.Chars, for: App.Shape do\nend\n",
            "1-7 type App.Shape\n2-2 type App.Shape.t\n3-3 function App.Shape.area\n4-6 function App.Shape.hidden?\n8-9 impl App.Shape\n",
        );
        check(
            "a.hs",
            "module Data.Shape where\n\ndata Shape = Circle\n  deriving Show\n\narea :: Shape -> Double\narea Circle = 1\n\ninstance Eq a => Eq (Box a) where\n  a == b = True\n",
            "1-1 namespace Data.Shape\n3-4 type Shape\n6-6 function area\n9-10 impl Box\n",
        );
        check(
            "a.lua",
            "local M = {}\n\nfunction M.new(x)\n  local y = 1\n  return x\nend\n\nM.area = function(self)\nend\nlocal function hidden() end\n",
            "1-1 variable M\n3-6 function M.new\n8-9 function M.area\n10-10 function hidden\n",
        );
        check(
            "a.zig",
            "const std = @import(\"std\");\npub const Shape = struct {\n    x: u8,\n    pub fn area(self: Shape) u8 {\n        const y = 1;\n    }\n};\ntest \"area works\" {\n}\n",
            "1-1 variable std\n2-7 type Shape\n4-6 function Shape.area\n8-9 function area works\n",
        );
        check(
            "a.sql",
            "CREATE TABLE IF NOT EXISTS app.users\n(\n  id INT\n);\ncreate or replace function area(r int) returns int as $$\n  select 1;\n$$ language sql;\nCREATE UNIQUE INDEX by_name ON users (name);\n",
            "1-4 type app.users\n5-6 function area\n8-8 variable by_name\n",
        );
        check(
            "Makefile",
            "CC := gcc\n\nbuild: main.o\n\t$(CC) main.o\n\n.PHONY: clean\nclean:\n\trm x\n",
            "1-1 variable CC\n3-4 function build\n6-6 function PHONY\n7-8 function clean\n",
        );
        check(
            "a.dart",
            "abstract class Shape {\n  double area() {\n    return 1;\n  }\n}\nvoid main() => run();\n",
            "1-5 type Shape\n2-4 function Shape.area\n6-6 function main\n",
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
    }

    #[test]
    fn definitions_of_scripting_and_functional_languages_are_found() {
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
        check(
            "a.jl",
            "module Shapes\nstruct Circle\n  r\nend\narea(c) = c.r\nend\n",
            "1-1 namespace Shapes\n2-4 type Circle\n5-6 function area\n",
        );
        check(
            "a.ml",
            "module Shape = struct\n  type t = int\nend\nlet rec area r =\n  r\n",
            "1-3 namespace Shape\n2-2 type Shape.t\n4-5 function area\n",
        );
        check(
            "a.clj",
            "(ns app.shape)\n(defn area [r]\n  r)\n(def limit 3)\n",
            "1-1 namespace app.shape\n2-3 function area\n4-4 variable limit\n",
        );
        check(
            "a.erl",
            "-module(shape).\n-record(circle, {r}).\narea(X) when X > 0 ->\n    X.\n",
            "1-1 namespace shape\n2-2 type circle\n3-4 function area\n",
        );
        check(
            "a.nim",
            "type\n  Shape = object\n    x: int\nproc area*(s: Shape): int =\n  1\n",
            "2-3 type Shape\n4-5 function area\n",
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
        check(
            "a.vue",
            "<script>\nexport function area() {\n  return 1;\n}\n</script>\n",
            "2-4 function area\n",
        );
    }

    #[test]
    fn generic_patterns_stay_clear_of_prose() {
        check(
            "a.thrift",
            "struct Circle {\n  1: i32 r\n}\n",
            "1-3 type Circle\n",
        );
        check("a.vue", "<p>class action against\nfunction of x</p>\n", "");
    }
}
