//! Chunks that define an identifier the query names.

use super::{Boost, Context, strongest};
use crate::{
    catalogue::{Catalogue, Chunk, DefinitionEntry, Slot},
    chunk::SymbolKind,
    query::{Identifier, ParsedQuery},
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

pub(super) fn boosts(context: &Context<'_>) -> Vec<Boost> {
    let mut boosts = Vec::new();
    for identifier in &context.query.identifiers {
        for name in context.catalogue.names().spelled_like(&identifier.name) {
            let sites = context.catalogue.names().sites(name).iter().filter(|&&slot| context.is_allowed(slot));
            boosts.extend(sites.filter_map(|&slot| {
                let value = strength(context.catalogue, context.query, identifier, slot)?;
                Some(Boost { slot, value })
            }));
        }
    }
    strongest(boosts)
}

pub(super) fn detail(context: &Context<'_>, slot: Slot) -> String {
    let Some(chunk) = context.catalogue.chunk(slot) else {
        return String::new();
    };
    let names = context.catalogue.names();
    let asked_for = |definition: &&DefinitionEntry| {
        let name = names.text(definition.name);
        context.query.identifiers.iter().any(|identifier| identifier.name.eq_ignore_ascii_case(name))
    };
    let found = chunk.definitions.iter().filter(asked_for);
    let found: Vec<String> =
        found.map(|definition| format!("{} {}", definition.kind.name(), names.text(definition.name))).collect();
    format!("defines {}", found.join(", "))
}

/// How strongly a chunk defines an identifier, or none where it does not.
pub(crate) fn strength(catalogue: &Catalogue, query: &ParsedQuery, identifier: &Identifier, slot: Slot) -> Option<f32> {
    let chunk = catalogue.chunk(slot)?;
    let definitions = chunk.definitions.iter().filter_map(|definition| {
        let name = catalogue.names().text(definition.name);
        let case = if name == identifier.name {
            1.0
        } else if name.to_lowercase() == identifier.name.to_lowercase() {
            OTHER_CASE
        } else {
            return None;
        };
        Some(kind_strength(definition.kind) * case * extent_strength(definition.extent))
    });
    let strongest = definitions.max_by(f32::total_cmp)?;
    let qualified = match identifier.qualifiers.last() {
        Some(qualifier) if !lies_in(catalogue, chunk, qualifier) => WITHOUT_QUALIFIER,
        _ => 1.0,
    };
    let stem_words = catalogue.files().get(chunk.file).stem_words();
    let named_file = !stem_words.is_empty() && stem_words.iter().all(|word| query.has_word(word));
    Some(strongest * qualified * if named_file { IN_NAMED_FILE } else { 1.0 })
}

/// The allowed chunks of code that define an identifier: by its exact spelling, or where nothing is spelled so and
/// `any_case` says so, by any.
pub(crate) fn defining_chunks(context: &Context<'_>, identifier: &Identifier) -> Vec<Slot> {
    let names = context.catalogue.names();
    let exact = names.spelled_like(&identifier.name).filter(|&name| names.text(name) == identifier.name);
    let exact = code_sites(context, exact);
    if !exact.is_empty() || !context.is_symbol {
        return exact;
    }
    code_sites(context, names.spelled_like(&identifier.name))
}

fn code_sites(context: &Context<'_>, names: impl Iterator<Item = crate::catalogue::NameIndex>) -> Vec<Slot> {
    let mut slots = Vec::new();
    for name in names {
        let sites = context.catalogue.names().sites(name).iter().copied();
        slots.extend(sites.filter(|&slot| {
            let definitions = context.catalogue.chunk(slot).map_or(&[][..], |chunk| &chunk.definitions);
            context.is_allowed(slot)
                && definitions.iter().any(|definition| definition.name == name && definition.kind.is_code())
        }));
    }
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
    chunk.scope.iter().copied().chain(symbols).any(|name| names.text(name).eq_ignore_ascii_case(qualifier))
        || path.split(['/', '.']).any(|part| part.eq_ignore_ascii_case(qualifier))
}
