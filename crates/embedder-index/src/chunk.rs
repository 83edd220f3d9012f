//! What the index knows of a chunk: where it is, what it defines, what encloses it.

use serde::{Deserialize, Serialize};

/// The store's row id of a chunk. It is only ever compared for equality: no order of results depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChunkId(pub u64);

/// The store's row id of a file: two sources of a collection may hold files of the same path.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct FileId(pub u64);

#[cfg(test)]
impl FileId {
    /// In tests a path is a file: a number for it (FNV-1a).
    pub(crate) fn of(path: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(path.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

/// What kind of thing a definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymbolKind {
    /// A class, struct, enum, trait, interface or alias.
    Type,
    /// A function or method with its body.
    Function,
    /// An implementation block of a type.
    Impl,
    /// A constant, static or field.
    Variable,
    /// A prototype without a body.
    Declaration,
    /// A module, package or namespace.
    Namespace,
    /// A heading of a document.
    Heading,
}

impl SymbolKind {
    /// Whether the name goes into the symbols field. Variables are too many and namespaces repeat in every file.
    pub fn is_searched(self) -> bool {
        match self {
            Self::Type | Self::Function | Self::Impl | Self::Declaration | Self::Heading => true,
            Self::Variable | Self::Namespace => false,
        }
    }

    /// Whether the name is an identifier of the code: a heading is not.
    pub fn is_code(self) -> bool {
        self != Self::Heading
    }

    /// The kind in one word, for explanations.
    pub fn name(self) -> &'static str {
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
}

/// A name that a chunk defines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The name alone, without qualifiers.
    pub name: String,
    /// What it names.
    pub kind: SymbolKind,
    /// First line of the whole definition, from 1.
    pub start_line: u32,
    /// Last line of the whole definition; it may lie beyond the chunk.
    pub end_line: u32,
}

/// A chunk as the catalogue keeps it. Its text is needed only once, when it enters the lexical index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// The store's row id.
    pub id: ChunkId,
    /// The file it belongs to.
    pub file: FileId,
    /// Path relative to the indexed root, with `/` between its parts.
    pub path: String,
    /// The language's name, where it is known.
    pub language: Option<String>,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// What the chunk defines, in order.
    pub definitions: Vec<Definition>,
    /// Names of the definitions around the chunk, outermost first.
    pub scope: Vec<String>,
}
