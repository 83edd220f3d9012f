//! Chunks that define an identifier the query names.

use super::{Boost, Boosts, Context, strongest};
use crate::{
    catalogue::{Catalogue, Chunk, DefinitionEntry, NameIndex, Slot},
    chunk::SymbolKind,
    query::Identifier,
};

/// A name that differs in case is likely another thing.
const OTHER_CASE: f32 = 0.6;

/// A definition elsewhere than the qualifier says.
const WITHOUT_QUALIFIER: f32 = 0.5;

/// A definition in a file whose whole name is in the query.
const IN_NAMED_FILE: f32 = 1.5;

/// Lines beyond which a longer definition counts no more.
const EXTENT_MAX: u32 = 255;

/// What the longest definition counts above the shortest: of two of one name, the longer is the thing itself.
const EXTENT_SHARE: f32 = 0.1;

pub(super) fn boosts(context: &Context<'_>) -> Boosts {
    let mut boosts = Vec::new();
    for identifier in &context.query.identifiers {
        for name in context.catalogue.names().spelled_like(&identifier.name) {
            let sites = context
                .catalogue
                .names()
                .sites(name)
                .iter()
                .filter(|site| context.is_allowed(site.slot));
            boosts.extend(sites.filter_map(|site| {
                let value = strength(context, identifier, name, site.slot)?;
                Some(Boost {
                    slot: site.slot,
                    value,
                })
            }));
        }
    }
    Boosts::Chunks(strongest(boosts))
}

pub(super) fn detail(context: &Context<'_>, slot: Slot) -> String {
    let Some(chunk) = context.catalogue.chunk(slot) else {
        return String::new();
    };
    let names = context.catalogue.names();
    let asked_for = |definition: &&DefinitionEntry| {
        let name = names.text(definition.name);
        context
            .query
            .identifiers
            .iter()
            .any(|identifier| identifier.name.eq_ignore_ascii_case(name))
    };
    let found = chunk.definitions.iter().filter(asked_for);
    let found: Vec<String> = found
        .map(|definition| format!("{} {}", definition.kind.name(), names.text(definition.name)))
        .collect();
    format!("defines {}", found.join(", "))
}

/// How strongly a chunk defines an identifier by a name that differs from it at most in case, or none where it does not.
fn strength(
    context: &Context<'_>,
    identifier: &Identifier,
    name: NameIndex,
    slot: Slot,
) -> Option<f32> {
    let catalogue = context.catalogue;
    let chunk = catalogue.chunk(slot)?;
    let definitions = chunk
        .definitions
        .iter()
        .filter(|definition| definition.name == name);
    let strengths = definitions
        .map(|definition| kind_strength(definition.kind) * extent_strength(definition.extent));
    let strongest = strengths.max_by(f32::total_cmp)?;
    let case = if catalogue.names().text(name) == identifier.name {
        1.0
    } else {
        OTHER_CASE
    };
    let qualified = match identifier.qualifiers.last() {
        Some(qualifier) if !lies_in(catalogue, chunk, qualifier) => WITHOUT_QUALIFIER,
        _ => 1.0,
    };
    let stem_words = catalogue.files().get(chunk.file).stem_words();
    let named_file =
        !stem_words.is_empty() && stem_words.iter().all(|word| context.query.has_word(word));
    Some(strongest * case * qualified * if named_file { IN_NAMED_FILE } else { 1.0 })
}

/// The allowed chunks of code that define an identifier, each once: by its exact spelling, or, where the query is
/// nothing but that identifier and nothing is spelled so, by any.
pub(crate) fn defining_chunks(context: &Context<'_>, identifier: &Identifier) -> Vec<Slot> {
    let names = context.catalogue.names();
    let exact = names
        .spelled_like(&identifier.name)
        .filter(|&name| names.text(name) == identifier.name);
    let exact = code_sites(context, exact);
    if !exact.is_empty() || !context.is_symbol {
        return exact;
    }
    code_sites(context, names.spelled_like(&identifier.name))
}

fn code_sites(context: &Context<'_>, names: impl Iterator<Item = NameIndex>) -> Vec<Slot> {
    let sites = names.flat_map(|name| context.catalogue.names().sites(name));
    let sites = sites.filter(|site| site.kind.is_code() && context.is_allowed(site.slot));
    let mut slots: Vec<Slot> = sites.map(|site| site.slot).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

fn kind_strength(kind: SymbolKind) -> f32 {
    match kind {
        SymbolKind::Type => 1.0,
        SymbolKind::Function => 0.8,
        SymbolKind::Impl => 0.5,
        SymbolKind::Variable | SymbolKind::Declaration => 0.4,
        SymbolKind::Namespace | SymbolKind::Heading => 0.2,
    }
}

fn extent_strength(lines: u32) -> f32 {
    // Eight doublings lead to the longest that counts.
    1.0 + EXTENT_SHARE * (1.0 + lines.min(EXTENT_MAX) as f32).log2() / 8.0
}

/// Whether a qualifier names something around the chunk: a scope, a part of the path, or another of its symbols.
fn lies_in(catalogue: &Catalogue, chunk: &Chunk, qualifier: &str) -> bool {
    let names = catalogue.names();
    let path = catalogue.files().path(chunk.file);
    let symbols = chunk.definitions.iter().map(|definition| definition.name);
    chunk
        .scope
        .iter()
        .copied()
        .chain(symbols)
        .any(|name| names.text(name).eq_ignore_ascii_case(qualifier))
        || path
            .split(['/', '.'])
            .any(|part| part.eq_ignore_ascii_case(qualifier))
}
