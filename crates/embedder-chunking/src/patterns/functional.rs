//! Functional languages. Every pattern is anchored at the start of a line.

use super::PatternSet;
use crate::symbol::SymbolKind::{Declaration, Function, Impl, Namespace, Type, Variable};

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

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn definitions_are_found() {
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
    }
}
