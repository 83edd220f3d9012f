//! What a chunk defines.

use std::fmt;

/// A definition that begins in a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// The name alone, without qualifiers: `area` for `Shape::area`.
    pub name: String,
    /// What is defined.
    pub kind: SymbolKind,
    /// First line of the whole definition, from 1.
    pub start_line: u32,
    /// Last line of the whole definition, from 1 and inclusive; it may lie past the end of the chunk.
    pub end_line: u32,
}

/// What a [`Symbol`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SymbolKind {
    /// Class, struct, enum, union, trait, interface, record or type alias.
    Type,
    /// Function, method, constructor or macro.
    Function,
    /// Block that adds members to a type defined elsewhere; its name is the type's.
    Impl,
    /// Constant, static or variable of a module, constant or property of a type. Fields and locals are left out.
    Variable,
    /// Prototype: a function that is announced without a body.
    Declaration,
    /// Namespace, package or module.
    Namespace,
    /// Section of a document.
    Heading,
}

impl SymbolKind {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 7] = [
        Self::Type,
        Self::Function,
        Self::Impl,
        Self::Variable,
        Self::Declaration,
        Self::Namespace,
        Self::Heading,
    ];

    /// The kind's name as it is stored and shown: `"type"`, `"function"`, ….
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Function => "function",
            Self::Impl => "impl",
            Self::Variable => "variable",
            Self::Declaration => "declaration",
            Self::Namespace => "namespace",
            Self::Heading => "heading",
        }
    }

    /// The kind that [`Self::as_str`] calls `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for SymbolKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_parses_from_its_own_name() {
        for kind in SymbolKind::ALL {
            assert_eq!(SymbolKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(SymbolKind::parse("class"), None);
    }
}
