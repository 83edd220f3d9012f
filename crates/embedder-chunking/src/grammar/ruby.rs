//! Ruby.

use super::{
    Found, Grammar, Inside, Rule, Site, bodiless_functions, find, namespaces, pass, scanner, types,
};
use crate::symbol::SymbolKind;

pub(crate) static RUBY: Grammar =
    Grammar::new(tree_sitter_ruby::LANGUAGE, &[RULES], &[]).through(scanner::ruby_without_heredocs);

/// Receivers whose `new` (or `define`) makes a class: `Point = Struct.new(:x, :y)`.
const CLASS_MAKERS: &[&[u8]] = &[b"Struct", b"Class", b"Data"];

const RULES: &[Rule] = &[
    types("class"),
    namespaces("module"),
    bodiless_functions("method"),
    find("singleton_method", singleton_method),
    find("assignment", assignment),
    pass("program"),
    pass("body_statement"),
    pass("singleton_class"),
    pass("if"),
    pass("unless"),
    pass("then"),
    pass("else"),
    // `private def x`, `RSpec.describe X do`, `included do`: locals there are lower case and have no rule.
    pass("call"),
    pass("argument_list"),
    pass("do_block"),
    pass("block"),
    pass("block_body"),
];

/// `def self.parse` belongs to the class around it, `def Shape.parse` to `Shape`.
fn singleton_method(site: &Site<'_, '_>) -> Found {
    let mut name = site.name(site.field("name"));
    let object = site
        .field("object")
        .filter(|object| object.kind() == "constant");
    if let (Some(name), Some(object)) = (&mut name, site.name(object)) {
        name.owners.push(object.name);
    }
    Found::one(site, SymbolKind::Function, name, Inside::Nothing)
}

/// Constants; other variables are locals of the file.
fn assignment(site: &Site<'_, '_>) -> Found {
    let left = site.field("left");
    let Some(constant) = left.filter(|left| matches!(left.kind(), "constant" | "scope_resolution"))
    else {
        return Found::nothing(Inside::Nothing);
    };
    let name = site.name(Some(constant));
    let receiver = site
        .field("right")
        .and_then(|right| right.child_by_field_name("receiver"));
    if receiver.is_some_and(|receiver| CLASS_MAKERS.contains(&site.text(receiver))) {
        Found::one(site, SymbolKind::Type, name, Inside::Members)
    } else {
        Found::one(site, SymbolKind::Variable, name, Inside::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn methods_classes_and_constants_are_found() {
        check(
            "a.rb",
            "\
module Shapes
  class Flat::Circle < Base
    PI = 3
    def self.parse(text); end
    def radius=(v)
      local = v
    end
    def ==(other); end
    def [](i); end
    def <=>(other); end
    class << self
      def build; end
    end
    private def secret?; end
    attr_accessor :q
  end
end

Point = Struct.new(:x) do
  def norm; end
end
def Shapes.area; end
counter = 1
RSpec.describe Shapes do
  def helper; end
end
",
            "\
1-17 namespace Shapes
2-16 type Shapes.Flat.Circle
3-3 variable Shapes.Flat.Circle.PI
4-4 function Shapes.Flat.Circle.parse
5-7 function Shapes.Flat.Circle.radius=
8-8 function Shapes.Flat.Circle.==
9-9 function Shapes.Flat.Circle.[]
10-10 function Shapes.Flat.Circle.<=>
12-12 function Shapes.Flat.Circle.build
14-14 function Shapes.Flat.Circle.secret?
19-21 type Point
20-20 function Point.norm
22-22 function Shapes.area
25-25 function helper
",
        );
    }
}
