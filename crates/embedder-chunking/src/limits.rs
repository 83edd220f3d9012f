//! The limits of a chunking run, each with its reason.

/// Aimed-at size of a chunk. Retrieval quality is flat from 750 to 1,200 characters and falls outside; the small end
/// makes the snippets short.
const CHUNK_CHARS: usize = 750;

/// A definition up to 1.6 times the aim stays whole; a longer one is opened and cut inside.
const CHUNK_CHARS_MAX: usize = 1_200;

/// Below this a chunk could not hold a multi-byte character and a line end whole.
const CHUNK_CHARS_LEAST: usize = 16;

/// No source file that a person wrote is this large; the bound keeps memory per worker in the hundreds of megabytes.
const FILE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Offsets are kept in 32 bits, here and in tree-sitter, so no setting may go past them.
const FILE_BYTES_CEILING: usize = u32::MAX as usize / 2;

/// Files whose lines are longer than this on average are minified or generated: their syntax tree costs much and has
/// no line starts to cut at.
const MEAN_LINE_BYTES_MAX: usize = 1_000;

/// People stay under 100 levels, and clang stops at 256. Beyond this the parser's own stack and time are at risk.
const NESTING_MAX: usize = 1_000;

/// How large a file and its chunks may be. `Default` gives the values the index is tuned for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size a chunk aims at, in characters. Default 750; values under 16 count as 16.
    pub chunk_chars: usize,
    /// Size no chunk exceeds, in characters. Default 1,200; values under `chunk_chars` count as `chunk_chars`.
    pub chunk_chars_max: usize,
    /// Larger files are refused, in bytes. Default 10 MiB; values above 2 GiB count as 2 GiB.
    pub file_bytes_max: usize,
    /// Files with longer lines than this on average are cut by lines without parsing, in bytes. Default 1,000.
    pub mean_line_bytes_max: usize,
    /// Files with more brackets open at once are cut by lines without parsing. Default 1,000, which is also the most.
    pub nesting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_chars: CHUNK_CHARS,
            chunk_chars_max: CHUNK_CHARS_MAX,
            file_bytes_max: FILE_BYTES_MAX,
            mean_line_bytes_max: MEAN_LINE_BYTES_MAX,
            nesting_max: NESTING_MAX,
        }
    }
}

impl Limits {
    /// The same limits with every value in its documented range.
    pub(crate) fn in_range(&self) -> Self {
        let chunk_chars = self.chunk_chars.max(CHUNK_CHARS_LEAST);
        Self {
            chunk_chars,
            chunk_chars_max: self.chunk_chars_max.max(chunk_chars),
            file_bytes_max: self.file_bytes_max.min(FILE_BYTES_CEILING),
            mean_line_bytes_max: self.mean_line_bytes_max,
            nesting_max: self.nesting_max.min(NESTING_MAX),
        }
    }

    /// Smallest chunk that is worth ending early at a better place.
    pub(crate) fn chunk_chars_min(&self) -> usize {
        self.chunk_chars / 2
    }
}
