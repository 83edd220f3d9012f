//! Literal and regular-expression search: a scan of the stored text, for what an index cannot find.
//!
//! The regular expressions are those of the `regex` crate: linear in the text, whatever the pattern.

use std::cmp::Reverse;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use super::filter::Filter;
use crate::error::{Error, Result};
use crate::store::{ChunkRow, CollectionId, FileId, Metadata, Store};

/// Memory for one compiled pattern; a pattern that needs more is a mistake or an attack.
const REGEX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A chunk in which a match starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScanHit {
    pub(super) chunk: ChunkRow,
    /// Line of the first match, counted from the chunk's first line as 0.
    pub(super) line: usize,
    /// How many matches start in the chunk.
    pub(super) matches: usize,
    /// Whether the chunk defines exactly what was searched for.
    pub(super) is_definition: bool,
}

/// What is looked for.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    name: Option<String>,
}

impl Pattern {
    pub(super) fn literal(query: &str) -> Result<Pattern> {
        let mut pattern = Self::regex(&regex::escape(query))?;
        pattern.name = Some(query.trim().to_owned());
        Ok(pattern)
    }

    pub(super) fn regex(query: &str) -> Result<Pattern> {
        let regex = RegexBuilder::new(query)
            .multi_line(true)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| {
                let text = error.to_string();
                let detail = text
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                Error::Query {
                    problem: format!("not a regular expression: {detail}"),
                    remedy: "see https://docs.rs/regex/latest/regex/#syntax, or use --mode literal"
                        .to_owned(),
                }
            })?;
        Ok(Pattern { regex, name: None })
    }
}

/// Scans a collection and returns the best `limit` chunks: definitions first, then by the number of matches, then in
/// order of place. Duplicates of a text are found at each of their places. When `out_of_time` turns true, what was
/// found until then is the answer.
pub(super) fn scan(
    store: &dyn Store,
    collection: CollectionId,
    pattern: &Pattern,
    filter: &Filter,
    metadata: &HashMap<FileId, Metadata>,
    limit: usize,
    out_of_time: &mut dyn FnMut() -> bool,
) -> Result<Vec<ScanHit>> {
    let mut hits = Vec::new();
    let mut file: Vec<ChunkRow> = Vec::new();
    store.texts(collection, &mut |chunk| {
        if file.first().is_some_and(|first| first.file != chunk.file) {
            scan_file(&mut file, pattern, &mut hits);
            keep_best(&mut hits, limit);
        }
        let is_allowed = filter.allows(
            &chunk.path,
            chunk.language.as_deref(),
            metadata.get(&chunk.file),
        );
        if is_allowed {
            file.push(chunk);
        }
        !out_of_time()
    })?;
    scan_file(&mut file, pattern, &mut hits);
    sort(&mut hits);
    hits.truncate(limit);
    Ok(hits)
}

/// Scans the chunks of one file as the one text they were cut from, so that a match may cross their borders.
fn scan_file(file: &mut Vec<ChunkRow>, pattern: &Pattern, hits: &mut Vec<ScanHit>) {
    let chunks = std::mem::take(file);
    let mut text = String::with_capacity(chunks.iter().map(|chunk| chunk.text.len()).sum());
    let mut ends = Vec::with_capacity(chunks.len());
    for chunk in &chunks {
        text.push_str(&chunk.text);
        ends.push(text.len());
    }
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for hit in pattern.regex.find_iter(&text).filter(|hit| !hit.is_empty()) {
        let index = ends.partition_point(|&end| end <= hit.start());
        match found.last_mut() {
            Some((last, _, matches)) if *last == index => *matches += 1,
            _ => found.push((index, hit.start(), 1)),
        }
    }
    if found.is_empty() {
        return;
    }
    let mut chunks: Vec<Option<ChunkRow>> = chunks.into_iter().map(Some).collect();
    for (index, at, matches) in found {
        let start = if index == 0 { 0 } else { ends[index - 1] };
        let line = text[start..at].matches('\n').count();
        let Some(chunk) = chunks.get_mut(index).and_then(Option::take) else {
            continue;
        };
        let is_definition = chunk
            .symbols
            .iter()
            .any(|symbol| Some(&symbol.name) == pattern.name.as_ref());
        hits.push(ScanHit {
            chunk,
            line,
            matches,
            is_definition,
        });
    }
}

/// Bounds the memory of a pattern that matches everywhere.
fn keep_best(hits: &mut Vec<ScanHit>, limit: usize) {
    if hits.len() > limit.saturating_mul(4).max(256) {
        sort(hits);
        hits.truncate(limit);
    }
}

fn sort(hits: &mut [ScanHit]) {
    let key = |hit: &ScanHit| (Reverse(hit.is_definition), Reverse(hit.matches));
    let place = |hit: &ScanHit| (hit.chunk.path.clone(), hit.chunk.start_line, hit.chunk.id);
    hits.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| place(a).cmp(&place(b))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ChunkId, SourceId};
    use embedder_index::{Definition, SymbolKind};

    fn chunk(id: i64, text: &str, defines: &[&str]) -> ChunkRow {
        let symbols = defines.iter().map(|name| Definition {
            name: (*name).to_owned(),
            kind: SymbolKind::Function,
            start_line: 1,
            end_line: 1,
        });
        ChunkRow {
            id: ChunkId(id),
            file: FileId(1),
            source: SourceId(1),
            path: "a.rs".to_owned(),
            language: None,
            ordinal: id as u32,
            start_line: id as u32,
            end_line: id as u32,
            text: text.to_owned(),
            symbols: symbols.collect(),
            scope: vec![],
            embed_hash: [0; 32],
        }
    }

    fn check(pattern: Pattern, chunks: Vec<ChunkRow>, expected: &[i64]) -> Vec<ScanHit> {
        let mut hits = Vec::new();
        scan_file(&mut chunks.clone(), &pattern, &mut hits);
        sort(&mut hits);
        let ids: Vec<_> = hits.iter().map(|hit| hit.chunk.id).collect();
        assert_eq!(
            ids,
            expected.iter().map(|&id| ChunkId(id)).collect::<Vec<_>>()
        );
        hits
    }

    #[test]
    fn a_match_across_a_border_belongs_to_the_chunk_it_starts_in() {
        let chunks = vec![chunk(1, "one\ntwo ", &[]), chunk(2, "three\n", &[])];
        let hits = check(Pattern::literal("two three").unwrap(), chunks, &[1]);
        assert_eq!(hits[0].line, 1);
    }

    #[test]
    fn the_definition_comes_before_the_uses_and_more_uses_before_fewer() {
        let chunks = vec![
            chunk(1, "send()\n", &[]),
            chunk(2, "send() send()\n", &[]),
            chunk(3, "fn send\n", &["send"]),
        ];
        check(Pattern::literal("send").unwrap(), chunks, &[3, 2, 1]);
    }

    #[test]
    fn a_literal_is_not_a_pattern_and_an_empty_match_is_none() {
        check(
            Pattern::literal("a.c").unwrap(),
            vec![chunk(1, "abc a.c\n", &[])],
            &[1],
        );
        check(
            Pattern::literal("a.c").unwrap(),
            vec![chunk(1, "abc\n", &[])],
            &[],
        );
        check(
            Pattern::regex("x*").unwrap(),
            vec![chunk(1, "abc\n", &[])],
            &[],
        );
        check(
            Pattern::regex("^b").unwrap(),
            vec![chunk(1, "a\nb\n", &[])],
            &[1],
        );
    }

    #[test]
    fn a_broken_pattern_is_told_in_one_line() {
        let error = Pattern::regex("a(").unwrap_err();
        assert_eq!(error.to_string().lines().count(), 1);
        assert!(error.to_string().contains("unclosed group"), "{error}");
        assert!(
            Pattern::regex("(a{1000}){1000}").is_err(),
            "a pattern of a gigabyte is refused"
        );
    }
}
