//! From a file on disk to what the store keeps of it: read, hashed, cut into chunks, each with what it defines.
//!
//! A file that cannot be used is quarantined with its reason and never stops the rest, not even when it makes a
//! parser panic.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use embedder_chunking::{Chunk, Language, Limits};
use embedder_index::embedded_text::chunk_text;
use embedder_index::{ChunkId, ChunkRecord, Definition, FileId, SymbolKind};

use super::files::ReadFile;
use super::front_matter::front_matter;
use super::walk::{FoundFile, UNREADABLE};
use crate::config::Config;
use crate::store::{DuplicateKey, EmbedHash, FileChange, FileRow, Metadata, NewChunk, NewFile};

/// The version of everything that decides what a chunk holds: chunking, symbols, and the text that is embedded.
/// Raised with each change of these, so that the next run cuts every file anew.
pub const PIPELINE_VERSION: u32 = 1;

/// Shorter texts (a closing brace, a lone import) repeat by chance and are not merged.
const DUPLICATE_CHARS_MIN: usize = 40;

/// Turns files into changes of the store. Shared by the threads of a run.
pub(super) struct Preparer<'a> {
    limits: Limits,
    parse_time_max: Duration,
    known: &'a HashMap<String, FileRow>,
}

impl<'a> Preparer<'a> {
    pub(super) fn new(config: &Config, known: &'a HashMap<String, FileRow>) -> Preparer<'a> {
        Preparer {
            limits: limits_of(config),
            parse_time_max: Duration::from_millis(config.parse_ms_max),
            known,
        }
    }

    /// Reads one file. Whatever is wrong with it becomes the reason for which it is skipped.
    pub(super) fn prepare(&self, reader: &mut dyn ReadFile, file: &FoundFile) -> FileChange {
        let changed_ns = reader.settled(file.changed_ns);
        let skip = |reason: String| FileChange::Skip {
            path: file.path.clone(),
            bytes: file.bytes,
            changed_ns,
            reason,
        };
        let bytes = match reader.read(file) {
            Ok(bytes) => bytes,
            Err(error) => return skip(format!("{UNREADABLE}{error}")),
        };
        let hash = *blake3::hash(&bytes).as_bytes();
        if let Some(row) = self.known.get(&file.path)
            && row.hash == Some(hash)
            && row.skipped.is_none()
        {
            return FileChange::Touch {
                id: row.id,
                changed_ns,
            };
        }
        let text = Text {
            path: &file.path,
            language: Language::of(&file.path, &bytes),
            bytes: &bytes,
        };
        match text.cut(&self.limits, self.parse_time_max) {
            Ok(chunks) => FileChange::Put(NewFile {
                path: file.path.clone(),
                bytes: bytes.len() as u64,
                changed_ns,
                hash,
                language: text.language.map(Language::name),
                metadata: text.metadata(),
                chunks,
            }),
            Err(reason) => skip(reason),
        }
    }
}

/// Returns the chunker's limits.
pub(crate) fn limits_of(config: &Config) -> Limits {
    Limits {
        file_bytes_max: usize::try_from(config.file_bytes_max).unwrap_or(usize::MAX),
        ..Limits::default()
    }
}

/// A text to be cut into chunks: of a file, or handed over by a client.
pub(crate) struct Text<'a> {
    /// What it goes by; a part of what is embedded.
    pub(crate) path: &'a str,
    /// The language it is read as.
    pub(crate) language: Option<Language>,
    /// Its content.
    pub(crate) bytes: &'a [u8],
}

impl Text<'_> {
    /// Cuts it; when `time_max` has passed, by lines.
    ///
    /// # Errors
    /// Why it cannot be used, in words for the user.
    pub(crate) fn cut(&self, limits: &Limits, time_max: Duration) -> Result<Vec<NewChunk>, String> {
        let started = Instant::now();
        let out_of_time = || started.elapsed() > time_max;
        // A panic here is a defect of a parser; the text pays for it, not the run.
        let cut = catch_unwind(AssertUnwindSafe(|| {
            embedder_chunking::chunk_as(self.language, self.bytes, limits, &out_of_time)
        }));
        match cut {
            Ok(Ok(chunked)) => Ok(chunked
                .chunks
                .iter()
                .map(|chunk| self.new_chunk(chunk))
                .collect()),
            Ok(Err(refused)) => Err(refused.to_string()),
            Err(_) => Err("the parser failed: please report this file".to_owned()),
        }
    }

    /// Returns the facts that it says of itself.
    fn metadata(&self) -> Metadata {
        let is_markdown = |language: Language| language.name() == "markdown";
        if self.language.is_some_and(is_markdown) {
            front_matter(&String::from_utf8_lossy(self.bytes))
        } else {
            Metadata::new()
        }
    }

    fn new_chunk(&self, chunk: &Chunk) -> NewChunk {
        let text = String::from_utf8_lossy(&self.bytes[chunk.bytes.clone()]).into_owned();
        let record = ChunkRecord {
            // What is embedded does not depend on the ids, which the store gives later.
            id: ChunkId(0),
            file: FileId(0),
            path: self.path.to_owned(),
            language: self.language.map(|language| language.name().to_owned()),
            start_line: chunk.start_line,
            end_line: chunk.end_line,
            definitions: chunk.symbols.iter().map(definition).collect(),
            scope: chunk.scope.clone(),
        };
        NewChunk {
            start_line: chunk.start_line,
            end_line: chunk.end_line,
            duplicate_key: duplicate_key(&text),
            embed_hash: embed_hash(&chunk_text(&record, &text)),
            symbols: record.definitions,
            scope: record.scope,
            text,
        }
    }
}

/// The chunker and the index know nothing of each other: this is where they meet.
fn definition(symbol: &embedder_chunking::Symbol) -> Definition {
    use embedder_chunking::SymbolKind as Cut;
    let kind = match symbol.kind {
        Cut::Type => SymbolKind::Type,
        Cut::Function => SymbolKind::Function,
        Cut::Impl => SymbolKind::Impl,
        Cut::Variable => SymbolKind::Variable,
        Cut::Declaration => SymbolKind::Declaration,
        Cut::Namespace => SymbolKind::Namespace,
        Cut::Heading => SymbolKind::Heading,
    };
    Definition {
        name: symbol.name.clone(),
        kind,
        start_line: symbol.start_line,
        end_line: symbol.end_line,
    }
}

/// Returns the identity of a text to be embedded.
pub(super) fn embed_hash(text: &str) -> EmbedHash {
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// Returns the identity of a chunk's text with its white space folded, or none for short texts.
fn duplicate_key(text: &str) -> Option<DuplicateKey> {
    let mut hasher = blake3::Hasher::new();
    let mut chars = 0;
    for word in text.split_whitespace() {
        hasher.update(word.as_bytes());
        hasher.update(b" ");
        chars += word.chars().count() + 1;
    }
    let mut key = DuplicateKey::default();
    let len = key.len();
    key.copy_from_slice(&hasher.finalize().as_bytes()[..len]);
    (chars > DUPLICATE_CHARS_MIN).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_does_not_tell_texts_apart_and_short_ones_have_no_key() {
        let text = "fn area(width: f64, height: f64) -> f64 { width * height }";
        assert_eq!(
            duplicate_key(text),
            duplicate_key(&text.replace(' ', "\n\t"))
        );
        assert!(duplicate_key(text).is_some());
        assert_ne!(
            duplicate_key(text),
            duplicate_key(&text.replace("area", "size"))
        );
        assert_eq!(duplicate_key("    }\n}\n"), None);
    }
}
