//! Why a hit stands where it stands. The parts add up to the score.

use serde::{Deserialize, Serialize};

/// Where a hit's score comes from: the two shares of the fusion, then what each rule added or took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// How the hit was found by its words; none where no term of the query is in it.
    pub bm25: Option<Bm25Explanation>,
    /// How the hit was found by its meaning; none where it has no vector, or meaning was not asked.
    pub vector: Option<VectorExplanation>,
    /// What the two together gave.
    pub fusion: FusionExplanation,
    /// What each rule that applied did, in order.
    pub rules: Vec<RuleEffect>,
    /// The score: `fusion.text + fusion.vector` and the sum of the effects.
    pub score: f32,
}

/// A hit among the results by words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bm25Explanation {
    /// Its rank, from 1.
    pub rank: usize,
    /// Its BM25F score.
    pub score: f32,
    /// What each term of the query gave.
    pub terms: Vec<TermExplanation>,
}

/// What a term gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TermExplanation {
    /// The term as it is searched: a stemmed word, or the marked whole of a compound.
    pub term: String,
    /// Its rarity.
    pub idf: f32,
    /// Its part of the BM25F score.
    pub score: f32,
}

/// A hit among the results by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VectorExplanation {
    /// Its rank, from 1.
    pub rank: usize,
    /// The cosine of its vector and the query's.
    pub cosine: f32,
}

/// The two shares of the fused score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FusionExplanation {
    /// From words: the BM25F score beside the best one.
    pub text: f32,
    /// From meaning: the cosine between the median and the best one, times its weight.
    pub vector: f32,
}

/// What a rule did to the score of a hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleEffect {
    /// The rule's name.
    pub rule: String,
    /// What it added; negative where it took away.
    pub effect: f32,
    /// Why, in a few words.
    pub detail: String,
}
