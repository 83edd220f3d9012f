//! Takes the score of a hit apart again.

use super::{Placed, Search};
use crate::{
    catalogue::Slot,
    explain::{
        Bm25Explanation, Explanation, FusionExplanation, RuleEffect, TermExplanation,
        VectorExplanation,
    },
    path::Prior,
    rules::Rule,
    vectors::NOT_ALLOWED,
};

/// Explains a hit. Only asked for a page of hits, so it looks things up instead of having kept them.
pub(super) fn explain(search: &Search<'_>, placed: &Placed, best: &[(Slot, f32)]) -> Explanation {
    let bm25 = bm25(search, placed.slot);
    let vector = vector(search, placed.slot);
    let fusion = FusionExplanation {
        text: bm25
            .as_ref()
            .map_or(0.0, |bm25| bm25.score * search.text_scale),
        vector: match (&search.meaning, &vector) {
            (Some(meaning), Some(vector)) => meaning.weight * meaning.spread.share(vector.cosine),
            _ => 0.0,
        },
    };
    let mut rules = boosts(search, placed.slot, best, fusion.text + fusion.vector);
    let boosted = fusion.text + fusion.vector + rules.iter().map(|rule| rule.effect).sum::<f32>();
    rules.extend(priors(search, placed.slot, boosted));
    if placed.saturated != placed.unsaturated {
        rules.push(RuleEffect {
            rule: Rule::Saturation.name().to_owned(),
            effect: placed.saturated - placed.unsaturated,
            detail: format!("{} better chunks of this file", placed.nth_of_file),
        });
    }
    if let Some(identifier) = &placed.guaranteed_for {
        rules.push(RuleEffect {
            rule: Rule::DefinitionGuarantee.name().to_owned(),
            effect: placed.score - placed.saturated,
            detail: format!("moved up because it defines {identifier}"),
        });
    }
    Explanation {
        bm25,
        vector,
        fusion,
        rules,
        score: placed.score,
    }
}

fn bm25(search: &Search<'_>, slot: Slot) -> Option<Bm25Explanation> {
    let terms = search
        .request
        .query
        .terms
        .iter()
        .zip(&search.terms)
        .filter_map(|(term, scores)| {
            let &(_, score) = scores.matches.iter().find(|&&(found, _)| found == slot)?;
            Some(TermExplanation {
                term: term.clone(),
                idf: scores.idf,
                score,
            })
        });
    let terms: Vec<TermExplanation> = terms.collect();
    if terms.is_empty() || search.text_scale == 0.0 {
        return None;
    }
    let all = search.text_scores();
    let score = all[slot.index()];
    Some(Bm25Explanation {
        rank: 1 + all.iter().filter(|&&other| other > score).count(),
        score,
        terms,
    })
}

fn vector(search: &Search<'_>, slot: Slot) -> Option<VectorExplanation> {
    let meaning = search.meaning.as_ref()?;
    let row = search.vectors.row_of(slot)?;
    let cosine = meaning.cosines[row];
    if cosine == NOT_ALLOWED {
        return None;
    }
    Some(VectorExplanation {
        rank: 1 + meaning
            .cosines
            .iter()
            .filter(|&&other| other > cosine)
            .count(),
        cosine,
    })
}

fn boosts(search: &Search<'_>, slot: Slot, best: &[(Slot, f32)], fused: f32) -> Vec<RuleEffect> {
    let context = search.context(best);
    let mut score = fused;
    let effects = search.applied.iter().filter_map(|applied| {
        let effect = applied.scale * applied.boosts.of(slot, score > 0.0, search.catalogue)?;
        score += effect;
        Some(RuleEffect {
            rule: applied.rule.rule.name().to_owned(),
            effect,
            detail: (applied.rule.detail)(&context, slot),
        })
    });
    effects.collect()
}

/// The priors of the hit's file, one after the other, down to the bound they have together.
fn priors(search: &Search<'_>, slot: Slot, boosted: f32) -> Vec<RuleEffect> {
    let Some(chunk) = search.catalogue.chunk(slot) else {
        return Vec::new();
    };
    let path = search.catalogue.files().path(chunk.file);
    let bound = search.priors[slot.index()];
    let mut factor = 1.0;
    let mut effects = Vec::new();
    let rules = &search.request.rules;
    for prior in Prior::ALL {
        let rule = prior.rule();
        let lowered = (factor * rules.factor(rule)).max(bound);
        // A section that is asked for by its heading is spared.
        if rules.has(rule) && prior.applies_to(path) && lowered < factor {
            effects.push(RuleEffect {
                rule: rule.name().to_owned(),
                effect: boosted * (lowered - factor),
                detail: format!("{path} counts {:.2} of its score", rules.factor(rule)),
            });
            factor = lowered;
        }
    }
    effects
}
