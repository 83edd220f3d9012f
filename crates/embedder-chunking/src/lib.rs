//! A file in, chunks and symbols out.
//!
//! [`chunk()`] cuts a file into pieces of about 750 characters that an index can store, and names what each piece
//! defines. Source files of thirteen languages are parsed with tree-sitter, Markdown and reStructuredText are cut at
//! their headings, and everything else is cut by lines with an eye on indentation, blank lines and what looks like a
//! definition.
//!
//! What holds for every input, valid or not:
//! - the chunks tile the file: every byte is in exactly one chunk, in order, and no chunk is empty;
//! - a line is split only when it alone is longer than [`Limits::chunk_chars_max`], and then neither inside a valid
//!   UTF-8 character nor between CR and LF;
//! - nothing panics, recurses or runs without asking the caller's clock: when time is up the file is cut by lines,
//!   which takes linear time, and [`Chunked::parsing`] says so.
//!
//! The crate is pure: bytes come in, the clock is a closure, nothing else is read.
//!
//! ```
//! use embedder_chunking::{Limits, SymbolKind, chunk};
//!
//! let source = b"def area(r):\n    return 3.14 * r * r\n";
//! let chunked = chunk("shapes.py", source, &Limits::default(), &|| false)?;
//! assert_eq!(chunked.chunks[0].bytes, 0..source.len());
//! assert_eq!(chunked.chunks[0].symbols[0].name, "area");
//! assert_eq!(chunked.chunks[0].symbols[0].kind, SymbolKind::Function);
//! # Ok::<(), embedder_chunking::Refused>(())
//! ```

#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chunk;
mod cut;
mod definition;
mod grammar;
mod headings;
mod language;
mod limits;
mod lines;
mod patterns;
mod refused;
mod symbol;
mod text;
mod tree;

#[cfg(test)]
mod outline;

pub use chunk::{Chunk, Chunked, Parsing, chunk, chunk_as};
pub use language::Language;
pub use limits::Limits;
pub use refused::Refused;
pub use symbol::{Symbol, SymbolKind};
