//! From a file on disk to what the store keeps of it: read, hashed, cut into chunks, each with what it defines.
//!
//! A file that cannot be used is quarantined with its reason and never stops the rest, not even when it makes a
//! parser panic.

use std::collections::HashMap;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use embedder_chunking::{Chunk, Language, Limits};
use embedder_index::embedded_text::chunk_text;
use embedder_index::{ChunkId, ChunkRecord, Definition, FileId, SymbolKind};

use super::front_matter::front_matter;
use super::walk::{FoundFile, UNREADABLE};
use crate::config::Config;
use crate::store::{DuplicateKey, EmbedHash, FileChange, FileRow, Metadata, NewChunk, NewFile};

/// The version of everything that decides what a chunk holds: chunking, symbols, and the text that is embedded.
/// Raised with each change of these, so that the next run cuts every file anew.
pub const PIPELINE_VERSION: u32 = 1;

/// A file written to within this time of being read may be written to again in the same tick of the file system's
/// clock. It is stored without its time, so the next run compares its content.
const RACY: Duration = Duration::from_secs(2);

/// Shorter texts (a closing brace, a lone import) repeat by chance and are not merged.
const DUPLICATE_CHARS_MIN: usize = 40;

/// Turns files into changes of the store. Shared by the threads of a run.
pub(super) struct Preparer<'a> {
    root: &'a Path,
    limits: Limits,
    parse_time_max: Duration,
    known: &'a HashMap<String, FileRow>,
}

impl<'a> Preparer<'a> {
    pub(super) fn new(
        root: &'a Path,
        config: &Config,
        known: &'a HashMap<String, FileRow>,
    ) -> Preparer<'a> {
        Preparer {
            root,
            limits: limits_of(config),
            parse_time_max: Duration::from_millis(config.parse_ms_max),
            known,
        }
    }

    /// Reads one file. Whatever is wrong with it becomes the reason for which it is skipped.
    pub(super) fn prepare(&self, file: &FoundFile) -> FileChange {
        let skip = |reason: String| FileChange::Skip {
            path: file.path.clone(),
            bytes: file.bytes,
            changed_ns: file.changed_ns,
            reason,
        };
        let bytes = match self.read(&file.path) {
            Ok(bytes) => bytes,
            Err(error) => return skip(format!("{UNREADABLE}{error}")),
        };
        let hash = *blake3::hash(&bytes).as_bytes();
        let changed_ns = settled(file.changed_ns);
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

    /// Reads a file that may have been swapped for something else since it was listed: a link is not followed, a pipe
    /// is not waited for, nothing outside of the root is read, and no more than the limit.
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let path = self.root.join(path);
        let parent = path.parent().unwrap_or(self.root).canonicalize()?;
        if !parent.starts_with(self.root) {
            return Err(io::Error::other("it lies outside of the folder"));
        }
        let mut options = std::fs::OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            libc::O_NOFOLLOW | libc::O_NONBLOCK,
        );
        let file = options.open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        // One byte more than the limit, so that the chunker refuses what has grown.
        file.take(self.limits.file_bytes_max as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Returns the chunker's limits.
pub(crate) fn limits_of(config: &Config) -> Limits {
    Limits {
        file_bytes_max: usize::try_from(config.file_bytes_max).unwrap_or(usize::MAX),
        ..Limits::default()
    }
}

/// Returns the time to store: none for a file so young that it may change again without its time changing.
fn settled(changed_ns: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let age = i64::try_from(now.as_nanos())
        .unwrap_or(i64::MAX)
        .saturating_sub(changed_ns);
    if age < RACY.as_nanos() as i64 {
        0
    } else {
        changed_ns
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

    #[test]
    fn a_file_written_to_a_moment_ago_is_compared_again_next_time() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as i64;
        assert_eq!(settled(now), 0);
        assert_eq!(settled(now - 10_000_000_000), now - 10_000_000_000);
        assert_eq!(
            settled(now + 10_000_000_000),
            0,
            "a time in the future is not trusted either"
        );
    }
}
