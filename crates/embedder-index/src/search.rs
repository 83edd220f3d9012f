//! The whole ranking of one search: retrieve, fuse, apply the rules, order, guarantee, explain.
//!
//! Everything is computed over arrays with a score for every chunk; nothing is cut before the rules have spoken, except
//! that cosines are exact only for the chunks that come into question.

mod explanation;
mod ordering;

use std::{borrow::Cow, sync::Arc};

use serde::Serialize;

use crate::{
    allowed::Allowed,
    catalogue::{Catalogue, Slot},
    chunk::ChunkId,
    error::Error,
    explain::Explanation,
    fusion::{Mode, Spread, median},
    lexical::{Postings, TermScores},
    path::{self, Prior},
    query::{ParsedQuery, Shape},
    rules::{BOOSTS, BoostRule, Boosts, Context, FILE_EVIDENCE, Rule, RuleSet, defining_chunks},
    top,
    vectors::{NOT_ALLOWED, QueryVector, Vectors},
};
use explanation::explain;
use ordering::{Placed, guarantee_definitions, saturated};

/// Chunks that speak for their files.
const EVIDENCE_CHUNKS: usize = 100;

/// Chunks whose cosines are computed exactly before evidence is taken: more than the hundred that are then the best, so
/// that rounding decides nothing at the border.
const RESCORED_CHUNKS: usize = 256;

/// The cover of a heading that holds nearly all of the query and little else.
const WHOLE_HEADING: f32 = 0.7;

/// What to search for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The query.
    pub query: &'a ParsedQuery,
    /// The query's vector; without it meaning takes no part.
    pub vector: Option<&'a QueryVector>,
    /// Which retrievers take part.
    pub mode: Mode,
    /// The chunks that may be found; all of them where there is no filter.
    pub allowed: Option<&'a Allowed>,
    /// How many hits are wanted.
    pub limit: usize,
    /// The rules that take part. Without [`Rule::Saturation`] an agent gets every good piece of one file.
    pub rules: RuleSet,
    /// Whether each hit says why it is where it is.
    pub explain: bool,
}

impl<'a> Request<'a> {
    /// A search for the ten best, by everything there is.
    pub fn new(query: &'a ParsedQuery) -> Self {
        Self {
            query,
            vector: None,
            mode: Mode::Hybrid,
            allowed: None,
            limit: 10,
            rules: RuleSet::ALL,
            explain: false,
        }
    }

    /// The vector, where the mode has a use for it.
    pub(crate) fn scanned_vector(&self) -> Option<&'a QueryVector> {
        match self.mode {
            Mode::Text => None,
            Mode::Vector | Mode::Hybrid => self.vector,
        }
    }
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// The chunk.
    pub id: ChunkId,
    /// Its score; only the order within one search means something.
    pub score: f32,
    /// Which of the query's identifiers it defines, by their places in [`ParsedQuery::identifiers`].
    pub defines: Vec<usize>,
    /// Where the score comes from, if it was asked for.
    pub explanation: Option<Explanation>,
}

/// What a rule did in one search.
struct Applied {
    rule: &'static BoostRule,
    /// What a boost of 1 adds.
    scale: f32,
    boosts: Boosts,
}

/// The cosines of one search.
struct Meaning<'a> {
    query: &'a QueryVector,
    /// By row; approximate, exact for the rows in question.
    cosines: Vec<f32>,
    spread: Spread,
    weight: f32,
}

/// One search under way.
struct Search<'a> {
    catalogue: &'a Catalogue,
    vectors: &'a Vectors,
    request: &'a Request<'a>,
    is_symbol: bool,
    terms: Vec<Arc<TermScores>>,
    /// What a BM25F score is multiplied by; 0 where words take no part.
    text_scale: f32,
    meaning: Option<Meaning<'a>>,
    /// By slot.
    scores: Vec<f32>,
    /// What each score is multiplied by in the end, by slot; 0 for an empty one.
    priors: Cow<'a, [f32]>,
    applied: Vec<Applied>,
}

pub(crate) fn search(
    catalogue: &Catalogue,
    postings: &Postings,
    vectors: &Vectors,
    request: &Request<'_>,
    cosines: Vec<f32>,
) -> Result<Vec<Hit>, Error> {
    let mut query = request.query.clone();
    let is_symbol = match query.shape {
        Shape::Identifier => true,
        Shape::Word => query
            .identifiers
            .iter()
            .all(|word| catalogue.defines(&word.name)),
        Shape::Prose => false,
    };
    if query.shape == Shape::Word && !is_symbol {
        query.identifiers.clear();
    }
    let request = Request {
        query: &query,
        ..*request
    };
    let terms = query
        .terms
        .iter()
        .map(|term| postings.term(term, catalogue, &request.rules))
        .collect::<Result<_, _>>()?;
    let mut search = Search {
        catalogue,
        vectors,
        request: &request,
        is_symbol,
        terms,
        text_scale: 0.0,
        meaning: None,
        scores: vec![0.0; catalogue.slots_len()],
        priors: priors(catalogue, &request.rules),
        applied: Vec::new(),
    };
    search.add_text();
    search.add_meaning(cosines);
    let best = search.best_fused();
    search.apply_rules(&best);
    search.spare_named_sections();
    for (score, prior) in search.scores.iter_mut().zip(&*search.priors) {
        *score *= prior;
    }
    let mut placed = search.ordered();
    let context = search.context(&best);
    let definitions: Vec<Vec<Slot>> = query
        .identifiers
        .iter()
        .map(|identifier| defining_chunks(&context, identifier))
        .collect();
    if request.rules.has(Rule::DefinitionGuarantee) {
        guarantee_definitions(&context, &definitions, &mut placed, request.limit);
    }
    Ok(placed
        .into_iter()
        .filter_map(|placed| search.hit(placed, &best, &definitions))
        .collect())
}

impl<'a> Search<'a> {
    fn context<'c>(&'c self, best: &'c [(Slot, f32)]) -> Context<'c> {
        Context {
            catalogue: self.catalogue,
            query: self.request.query,
            is_symbol: self.is_symbol,
            terms: &self.terms,
            allowed: self.request.allowed,
            by_meaning: self.meaning.is_some(),
            best,
            scores: &self.scores,
        }
    }

    /// Adds the share of words to each allowed chunk.
    fn add_text(&mut self) {
        if self.request.mode.text_weight() == 0.0 {
            return;
        }
        self.scores = self.text_scores();
        let max = max_of(&self.scores).max(self.covering_score());
        if max > 0.0 {
            self.text_scale = self.request.mode.text_weight() / max;
            let scale = self.text_scale;
            self.scores.iter_mut().for_each(|score| *score *= scale);
        }
    }

    /// What a chunk scores that holds enough of the query for its words to count in full beside meaning.
    fn covering_score(&self) -> f32 {
        if !self.request.rules.has(Rule::QueryCover) || self.request.scanned_vector().is_none() {
            return 0.0;
        }
        let words = self.request.query.word_terms();
        let rarity: f32 = words.map(|(place, _)| self.terms[place].idf).sum();
        self.request.rules.factor(Rule::QueryCover) * rarity
    }

    /// The BM25F score of each allowed chunk.
    fn text_scores(&self) -> Vec<f32> {
        let mut scores = vec![0.0f32; self.catalogue.slots_len()];
        for term in &self.terms {
            for &(slot, score) in &term.matches {
                scores[slot.index()] += score;
            }
        }
        match self.request.allowed {
            Some(allowed) => {
                for (slot, score) in scores.iter_mut().enumerate() {
                    if !allowed.contains(Slot::new(slot)) {
                        *score = 0.0;
                    }
                }
            }
            // A slot that was emptied since the statistics were counted has no prior left.
            None => scores
                .iter_mut()
                .zip(self.catalogue.priors())
                .for_each(|(score, prior)| {
                    *score = if *prior > 0.0 { *score } else { 0.0 };
                }),
        }
        scores
    }

    /// Adds the share of meaning to each allowed chunk that has a vector.
    fn add_meaning(&mut self, mut cosines: Vec<f32>) {
        let weight = self.request.mode.vector_weight(self.is_symbol);
        let Some(query) = self.request.scanned_vector() else {
            return;
        };
        let Some(median) = median(&cosines) else {
            return;
        };
        let contenders = self.vectors.contenders(&cosines, 1, query);
        let max = contenders.into_iter().map(|row| {
            let slot = self.vectors.slots()[row];
            cosines[row] = self.vectors.cosine(slot, query).unwrap_or(cosines[row]);
            cosines[row]
        });
        let spread = Spread {
            median,
            max: max.fold(NOT_ALLOWED, f32::max),
        };
        for (&slot, &cosine) in self.vectors.slots().iter().zip(&cosines) {
            if cosine != NOT_ALLOWED {
                self.scores[slot.index()] += weight * spread.share(cosine);
            }
        }
        self.meaning = Some(Meaning {
            query,
            cosines,
            spread,
            weight,
        });
    }

    /// The best chunks by fused score, with exact cosines.
    fn best_fused(&mut self) -> Vec<(Slot, f32)> {
        let count = if self.meaning.is_some() {
            RESCORED_CHUNKS
        } else {
            EVIDENCE_CHUNKS
        };
        let mut best = top::best(&self.scores, count, self.catalogue);
        for (slot, score) in &mut best {
            *score += self.make_exact(*slot, 1.0);
        }
        best.sort_unstable_by(|a, b| top::compare(*a, *b, self.catalogue));
        best.truncate(EVIDENCE_CHUNKS);
        best
    }

    /// Replaces the approximate cosine of a chunk by the exact one, and corrects its score, which has been multiplied by
    /// `factor` since. Returns the correction.
    fn make_exact(&mut self, slot: Slot, factor: f32) -> f32 {
        let Some(meaning) = &mut self.meaning else {
            return 0.0;
        };
        let (Some(row), Some(exact)) = (
            self.vectors.row_of(slot),
            self.vectors.cosine(slot, meaning.query),
        ) else {
            return 0.0;
        };
        if meaning.cosines[row] == NOT_ALLOWED {
            return 0.0;
        }
        let approximate = std::mem::replace(&mut meaning.cosines[row], exact);
        let correction = meaning.weight
            * (meaning.spread.share(exact) - meaning.spread.share(approximate))
            * factor;
        self.scores[slot.index()] += correction;
        correction
    }

    fn apply_rules(&mut self, best: &[(Slot, f32)]) {
        self.apply(&FILE_EVIDENCE, best, max_of(&self.scores));
        let max = max_of(&self.scores);
        // A definition counts even where no word is found, as before its words are committed.
        let unit = if max > 0.0 { max } else { 1.0 };
        for rule in &BOOSTS {
            self.apply(rule, best, unit);
        }
    }

    fn apply(&mut self, rule: &'static BoostRule, best: &[(Slot, f32)], unit: f32) {
        let scale = unit * self.request.rules.added(rule.rule, self.is_symbol);
        if scale == 0.0 {
            return;
        }
        let boosts = (rule.boosts)(&self.context(best));
        boosts.add_to(&mut self.scores, scale, self.catalogue);
        self.applied.push(Applied {
            rule,
            scale,
            boosts,
        });
    }

    /// Takes the prior of documents off the sections whose heading is what is asked for: who says the name of a section
    /// wants the section.
    fn spare_named_sections(&mut self) {
        let rules = &self.request.rules;
        let covers = self
            .applied
            .iter()
            .find(|applied| applied.rule.rule == Rule::NameCover);
        let (true, Some(Boosts::Chunks(boosts))) = (
            rules.has(Rule::PriorProse),
            covers.map(|applied| &applied.boosts),
        ) else {
            return;
        };
        for boost in boosts.iter().filter(|boost| boost.value >= WHOLE_HEADING) {
            let Some(chunk) = self.catalogue.chunk(boost.slot) else {
                continue;
            };
            let path = self.catalogue.files().path(chunk.file);
            if Prior::Prose.applies_to(path) {
                let without = rules.without(Rule::PriorProse);
                self.priors.to_mut()[boost.slot.index()] = path::prior(path, &without);
            }
        }
    }

    /// The best chunks in their final order.
    fn ordered(&mut self) -> Vec<Placed> {
        let limit = self.request.limit.min(self.catalogue.len());
        let saturation = self.request.rules.factor(Rule::Saturation);
        // Four chunks a file is what the best files commonly have among the candidates.
        let mut count = (4 * limit).max(64);
        loop {
            let mut best = top::best(&self.scores, count, self.catalogue);
            let complete = best.len() < count;
            let bound = best.last().map_or(0.0, |&(_, score)| score);
            for (slot, score) in &mut best {
                let prior = self.priors[slot.index()];
                *score += self.make_exact(*slot, prior);
            }
            best.sort_unstable_by(|a, b| top::compare(*a, *b, self.catalogue));
            let placed = saturated(&best, self.catalogue, saturation, limit);
            // What was not looked at scores at most `bound`, however few chunks of its file come before it.
            if complete
                || placed
                    .last()
                    .is_some_and(|last| placed.len() == limit && last.score >= bound)
                || limit == 0
            {
                return placed;
            }
            count *= 4;
        }
    }

    fn hit(&self, placed: Placed, best: &[(Slot, f32)], definitions: &[Vec<Slot>]) -> Option<Hit> {
        let chunk = self.catalogue.chunk(placed.slot)?;
        let defines = definitions
            .iter()
            .enumerate()
            .filter(|(_, slots)| slots.binary_search(&placed.slot).is_ok());
        let explanation = self.request.explain.then(|| explain(self, &placed, best));
        Some(Hit {
            id: chunk.id,
            score: placed.score,
            defines: defines.map(|(identifier, _)| identifier).collect(),
            explanation,
        })
    }
}

/// The priors of all slots: those that are kept where every rule takes part.
fn priors<'a>(catalogue: &'a Catalogue, rules: &RuleSet) -> Cow<'a, [f32]> {
    if rules.has_defaults(&Prior::ALL.map(Prior::rule)) {
        return Cow::Borrowed(catalogue.priors());
    }
    let mut priors = vec![0.0; catalogue.slots_len()];
    for (_, file) in catalogue.files().iter() {
        let prior = path::prior(file.path(), rules);
        file.chunks()
            .iter()
            .for_each(|slot| priors[slot.index()] = prior);
    }
    Cow::Owned(priors)
}

fn max_of(scores: &[f32]) -> f32 {
    // In lanes, because a maximum of floats in one lane waits for the one before it.
    const LANES: usize = 16;
    let (groups, tail) = scores.as_chunks::<LANES>();
    let mut maxima = [0.0f32; LANES];
    for group in groups {
        for lane in 0..LANES {
            maxima[lane] = if group[lane] > maxima[lane] {
                group[lane]
            } else {
                maxima[lane]
            };
        }
    }
    maxima
        .into_iter()
        .chain(tail.iter().copied())
        .fold(0.0, f32::max)
}
