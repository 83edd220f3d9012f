//! Languages that are compiled, most of them object-oriented, and the patterns for what has none of its own. Every pattern is anchored at the start of a line.

use super::PatternSet;
use crate::symbol::SymbolKind::{Declaration, Function, Impl, Namespace, Type, Variable};

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

pub(crate) static ASSEMBLY: PatternSet = PatternSet::new(&[
    (Function, r"^([A-Za-z_][\w$.]*):"),
    (Variable, r"^\s*\.(?:equ|set)\s+(\w+)"),
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

pub(crate) static FORTRAN: PatternSet = PatternSet::new(&[
    (Namespace, r"(?i)^\s*(?:module|program)\s+(\w+)\s*(?:!.*)?$"),
    (Type, r"(?i)^\s*type\s*(?:,[^:]*)?(?:::)?\s+(\w+)\s*$"),
    (
        Function,
        r"(?i)^\s*(?:(?:pure|elemental|recursive|integer|real|logical|character|complex|double precision|type)(?:\([^)]*\))?\s+)*(?:subroutine|function)\s+(\w+)",
    ),
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
    fn definitions_are_found() {
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
            "a.zig",
            "const std = @import(\"std\");\npub const Shape = struct {\n    x: u8,\n    pub fn area(self: Shape) u8 {\n        const y = 1;\n    }\n};\ntest \"area works\" {\n}\n",
            "1-1 variable std\n2-7 type Shape\n4-6 function Shape.area\n8-9 function area works\n",
        );
        check(
            "a.dart",
            "abstract class Shape {\n  double area() {\n    return 1;\n  }\n}\nvoid main() => run();\n",
            "1-5 type Shape\n2-4 function Shape.area\n6-6 function main\n",
        );
        check(
            "a.nim",
            "type\n  Shape = object\n    x: int\nproc area*(s: Shape): int =\n  1\n",
            "2-3 type Shape\n4-5 function area\n",
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
