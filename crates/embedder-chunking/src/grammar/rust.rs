//! Rust.

use super::{
    Found, Grammar, Inside, Rule, Site, bodiless_functions, declarations, find, namespaces, pass,
    types, variables,
};
use crate::symbol::SymbolKind;

pub(crate) static RUST: Grammar =
    Grammar::new(tree_sitter_rust::LANGUAGE, &[RULES], &["attribute_item"]);

const RULES: &[Rule] = &[
    types("struct_item"),
    types("enum_item"),
    types("union_item"),
    types("trait_item"),
    find("type_item", type_alias),
    bodiless_functions("function_item"),
    bodiless_functions("macro_definition"),
    declarations("function_signature_item"),
    find("impl_item", implementation),
    namespaces("mod_item"),
    variables("const_item"),
    variables("static_item"),
    pass("source_file"),
    pass("declaration_list"),
    pass("foreign_mod_item"),
];

/// A type alias; the associated types that every `impl` repeats are left out.
fn type_alias(site: &Site<'_, '_>) -> Found {
    if site.enclosing == Some(SymbolKind::Impl) {
        return Found::nothing(Inside::Nothing);
    }
    Found::one(
        site,
        SymbolKind::Type,
        site.name(site.field("name")),
        Inside::Nothing,
    )
}

/// `impl<T> fmt::Display for a::Shape<T>` is named `Shape`.
fn implementation(site: &Site<'_, '_>) -> Found {
    let mut subject = site.field("type");
    // From the outside in: references and pointers to, arguments of, paths to the type's own name.
    while let Some(inner) = subject.and_then(|node| {
        ["type", "name", "trait"]
            .iter()
            .find_map(|field| node.child_by_field_name(field))
    }) {
        subject = Some(inner);
    }
    Found::one(site, SymbolKind::Impl, site.name(subject), Inside::Members)
}

#[cfg(test)]
mod tests {
    use crate::outline::check;

    #[test]
    fn items_and_their_members_are_found() {
        check(
            "a.rs",
            "\
//! Docs.
/// A shape.
#[derive(Debug)]
pub struct Shape<T>(T);
impl<T> fmt::Display for a::Shape<T> {
    type Out = u8;
    const SIDES: u8 = 4;
    fn fmt(&self) { let local = 1; fn inner() {} }
}
impl &'a dyn Foo {}
mod tests;
mod inline { pub(crate) async fn go() {} }
extern \"C\" { fn ext(); static ZED: u8; }
macro_rules! shape { () => {} }
static WORLD: u8 = 1;
pub trait Area { fn area(&self) -> f64; type Unit; fn twice(&self) -> f64 { 2.0 } }
union Bits { a: u8 }
type Alias = Shape<u8>;
const _: () = ();
",
            "\
4-4 type Shape
5-9 impl Shape
7-7 variable Shape.SIDES
8-8 function Shape.fmt
10-10 impl Foo
11-11 namespace tests
12-12 namespace inline
12-12 function inline.go
13-13 declaration ext
13-13 variable ZED
14-14 function shape
15-15 variable WORLD
16-16 type Area
16-16 declaration Area.area
16-16 function Area.twice
17-17 type Bits
18-18 type Alias
",
        );
    }
}
