//! Answers by word from the stored text itself: no model, no index, only the store.
//!
//! It is what is left when everything derived is gone. Chunks that hold a word of the query are found by one scan, and
//! scored by how rare the words they hold are, with those of their path and of the names they define counted again.

use std::collections::HashMap;
use std::time::Duration;

use embedder_index::analysis::{identifiers, is_stop_word, parts};
use embedder_index::{Rule, RuleSet, path};
use regex::{RegexSet, RegexSetBuilder};

use super::answer::AnswerSize;
use super::filter::Filter;
use super::scanned::{self, Scan, facts_of};
use super::snippet::snippet;
use super::{Answer, Hit, SearchRequest, neighbours, symbol_of};
use crate::error::{Error, Result};
use crate::store::{ChunkId, ChunkRow, Collection, FileId, Store};

/// Distinct words of a query that are looked for: a bit of a [`Held`] each.
const WORDS_MAX: usize = 64;

/// Letters at the end of a longer word that its other forms do not share: `retry`, `retries`, `retried`.
const ENDING_CHARS: usize = 3;

/// A word is not cut to less than this.
const STEM_CHARS_MIN: usize = 4;

/// Letters of a word that are looked for; longer words are data.
const STEM_CHARS_MAX: usize = 64;

/// The words that a text holds, a bit each.
type Held = u64;

/// Shorter texts (a closing brace) repeat by chance.
const COPY_BYTES_MIN: usize = 40;

/// The words of a query as patterns.
struct Words {
    set: RegexSet,
    /// What a snippet should show.
    shown: Vec<String>,
    /// The names that may have been asked for.
    names: Vec<String>,
}

impl Words {
    fn new(query: &str) -> Result<Words> {
        // The parts of a compound are parts of a name, so none of them is a stop word.
        let mut all: Vec<(&str, bool)> = Vec::new();
        for identifier in identifiers(query) {
            let is_compound = parts(identifier).nth(1).is_some();
            for part in parts(identifier) {
                let is_known = all
                    .iter()
                    .any(|(known, _)| known.eq_ignore_ascii_case(part));
                if all.len() < WORDS_MAX && !is_known {
                    let is_stop =
                        is_stop_word(&part.to_lowercase()) || part.chars().nth(1).is_none();
                    all.push((part, is_compound || !is_stop));
                }
            }
        }
        let has_meaning = all.iter().any(|&(_, has_meaning)| has_meaning);
        let looked_for: Vec<String> = all
            .iter()
            .filter(|(_, is_meant)| *is_meant || !has_meaning)
            .map(|(word, _)| stem(word))
            .collect();
        let set = RegexSetBuilder::new(looked_for.iter().map(|word| regex::escape(word)))
            .case_insensitive(true)
            .build()
            .map_err(|error| Error::Internal(format!("words are no patterns: {error}")))?;
        let names = identifiers(query).take(WORDS_MAX).map(str::to_lowercase);
        let shown = looked_for.iter().map(|word| word.to_lowercase()).collect();
        let names = names.collect();
        Ok(Words { set, shown, names })
    }

    fn held_by(&self, text: &str) -> Held {
        self.set
            .matches(text)
            .iter()
            .fold(0, |held, word| held | 1 << word)
    }
}

/// The part of a word that its forms share, roughly; the index has a better one, and is not there.
fn stem(word: &str) -> String {
    let chars = word.chars().count();
    let kept = chars.saturating_sub(ENDING_CHARS);
    word.chars()
        .take(kept.clamp(STEM_CHARS_MIN, STEM_CHARS_MAX))
        .collect()
}

/// A chunk that holds a word.
struct Candidate {
    chunk: ChunkId,
    file: FileId,
    /// Folders and length of its path.
    nearness: (usize, usize),
    prior: f64,
    in_text: Held,
    in_path: Held,
    in_names: Held,
}

pub(super) fn search(
    store: &dyn Store,
    request: &SearchRequest,
    filter: &Filter,
    collections: &[Collection],
    time_max: Duration,
) -> Result<Answer> {
    let mut under_way = Scan::begin(time_max);
    let words = Words::new(&request.query)?;
    let mut found = Vec::new();
    for collection in collections {
        under_way.skipped_files += store.skipped_files(collection.id)?;
        let (candidates, chunks) = scan(
            store,
            collection,
            &words,
            filter,
            request.rules,
            &mut || under_way.is_over(),
        )?;
        let of_collection = best(&candidates, chunks, request).into_iter();
        found.extend(of_collection.map(|(id, score)| (score as f32, (collection, id))));
        found = scanned::best(found, request.limit);
    }
    let mut hits = Vec::new();
    let mut size = AnswerSize::default();
    for (score, (collection, id)) in found {
        let Some(chunk) = store.chunks(&[id])?.pop() else {
            continue;
        };
        let hit = hit(store, collection, chunk, score, &words, request)?;
        size.add(&hit)?;
        hits.push(hit);
    }
    Ok(under_way.answer(hits, request, collections))
}

/// Scans a collection; returns what holds a word, and how many chunks there are.
fn scan(
    store: &dyn Store,
    collection: &Collection,
    words: &Words,
    filter: &Filter,
    rules: RuleSet,
    is_over: &mut dyn FnMut() -> bool,
) -> Result<(Vec<Candidate>, usize)> {
    let metadata = facts_of(store, collection, filter)?;
    let (mut candidates, mut chunks): (Vec<Candidate>, usize) = (Vec::new(), 0);
    let mut of_file: Option<(FileId, Held, f64)> = None;
    // Of copies of one text that the filter lets through the one nearest to the root stands for all, as in the index.
    let mut copies: HashMap<[u8; 32], usize> = HashMap::new();
    store.texts(collection.id, &mut |chunk| {
        chunks += 1;
        if filter.allows(
            &chunk.path,
            chunk.language.as_deref(),
            metadata.get(&chunk.file),
        ) {
            let (_, in_path, prior) = match of_file {
                Some(known) if known.0 == chunk.file => known,
                _ => *of_file.insert((
                    chunk.file,
                    words.held_by(&chunk.path),
                    f64::from(path::prior(&chunk.path, &rules)),
                )),
            };
            let in_text = words.held_by(&chunk.text);
            let names = chunk
                .symbols
                .iter()
                .map(|symbol| words.held_by(&symbol.name));
            let in_names = names.fold(0, |held, name| held | name);
            if in_text | in_path | in_names != 0 {
                let candidate = Candidate {
                    chunk: chunk.id,
                    file: chunk.file,
                    nearness: (chunk.path.matches('/').count(), chunk.path.len()),
                    prior,
                    in_text,
                    in_path,
                    in_names,
                };
                let hash = *blake3::hash(chunk.text.as_bytes()).as_bytes();
                match copies.get(&hash) {
                    Some(&at) if chunk.text.len() > COPY_BYTES_MIN => {
                        if candidate.nearness < candidates[at].nearness {
                            candidates[at] = candidate;
                        }
                    }
                    _ => {
                        copies.insert(hash, candidates.len());
                        candidates.push(candidate);
                    }
                }
            }
        }
        !is_over()
    })?;
    Ok((candidates, chunks))
}

/// The best candidates with their scores, best first; of equals the earlier place.
fn best(candidates: &[Candidate], chunks: usize, request: &SearchRequest) -> Vec<(ChunkId, f64)> {
    let rarity = |word: u32| {
        let holding = candidates
            .iter()
            .filter(|one| one.in_text >> word & 1 == 1)
            .count() as f64;
        ((chunks as f64 + 1.0) / (holding + 0.5)).ln().max(0.0)
    };
    let rarities: Vec<f64> = (0..Held::BITS).map(rarity).collect();
    let weight = |held: Held| -> f64 {
        let words = (0..Held::BITS).filter(|word| held >> word & 1 == 1);
        words.map(|word| rarities[word as usize]).sum()
    };
    let mut scored: Vec<(&Candidate, f64)> = candidates
        .iter()
        .map(|one| {
            let score = weight(one.in_text) + weight(one.in_path) + weight(one.in_names);
            (one, score * one.prior)
        })
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    // The scan goes by place, and the sort is stable.
    let (mut seen, factor) = (
        HashMap::new(),
        f64::from(request.rules.factor(Rule::Saturation)),
    );
    let mut saturated: Vec<(ChunkId, f64)> = scored
        .into_iter()
        .map(|(one, score)| {
            let nth = seen.entry(one.file).or_insert(0);
            *nth += 1;
            (one.chunk, score * factor.powi(*nth - 1))
        })
        .collect();
    saturated.sort_by(|a, b| b.1.total_cmp(&a.1));
    saturated.truncate(request.limit);
    saturated
}

fn hit(
    store: &dyn Store,
    collection: &Collection,
    chunk: ChunkRow,
    score: f32,
    words: &Words,
    request: &SearchRequest,
) -> Result<Hit> {
    Ok(Hit {
        id: chunk.id.0,
        collection: collection.name.clone(),
        source: chunk.source.0.to_string(),
        start_line: chunk.start_line,
        end_line: chunk.end_line,
        symbol: symbol_of(&chunk, &words.names),
        score,
        snippet: snippet(
            &chunk.text,
            chunk.start_line,
            &words.shown,
            request.snippet_lines,
        ),
        context: neighbours(store, &chunk, request.context)?,
        explain: None,
        path: chunk.path,
        language: chunk.language,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_their_other_forms_and_inside_names() {
        let words = Words::new("how are retries delayed in HttpClient").unwrap();
        assert_eq!(words.shown, ["retr", "dela", "http", "clie"]);
        assert_eq!(words.held_by("fn retry(after: Delay)"), 0b0011);
        assert_eq!(words.held_by("MyHTTPclient"), 0b1100);
        assert_eq!(words.held_by("nothing of it"), 0);
    }

    #[test]
    fn a_query_of_stop_words_alone_is_looked_for_as_it_is() {
        assert_eq!(
            Words::new("how does it").unwrap().shown,
            ["how", "does", "it"]
        );
        assert!(Words::new("?!").unwrap().shown.is_empty());
        assert_eq!(Words::new("?!").unwrap().held_by("?!"), 0);
    }

    #[test]
    fn more_words_than_bits_are_cut() {
        let many: String = (0..200).map(|number| format!("word{number}x ")).collect();
        assert_eq!(Words::new(&many).unwrap().shown.len(), WORDS_MAX);
    }
}
