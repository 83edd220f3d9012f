//! The fields of a chunk, what each weighs, and how they are laid out in the engine below.

use tantivy::schema::{
    self, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};

use crate::rules::{Rule, RuleSet};

/// A searched field of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// The text itself.
    Body,
    /// Names of what it defines.
    Symbols,
    /// Names of what encloses it.
    Scope,
    /// The file's stem.
    Stem,
    /// The last folders of its path.
    Folders,
}

/// Every field, in the order that arrays by field have.
pub(crate) const FIELDS: [Field; 5] = [
    Field::Body,
    Field::Symbols,
    Field::Scope,
    Field::Stem,
    Field::Folders,
];

impl Field {
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The rule that weighs the field; none of the body, which the others are measured by.
    pub(crate) fn rule(self) -> Option<Rule> {
        match self {
            Self::Body => None,
            Self::Symbols => Some(Rule::FieldSymbols),
            Self::Scope => Some(Rule::FieldScope),
            Self::Stem => Some(Rule::FieldStem),
            Self::Folders => Some(Rule::FieldFolders),
        }
    }

    /// What an occurrence weighs beside one in the body.
    pub(crate) fn weight(self) -> f32 {
        self.rule().map_or(1.0, |rule| RuleSet::ALL.factor(rule))
    }

    /// How far the field's length counts, BM25's b. Short fields vary in length for reasons other than content.
    pub(crate) fn length_influence(self) -> f32 {
        match self {
            Self::Body => 0.5,
            Self::Symbols | Self::Scope | Self::Stem | Self::Folders => 0.3,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Symbols => "symbols",
            Self::Scope => "scope",
            Self::Stem => "stem",
            Self::Folders => "folders",
        }
    }

    /// The column that holds the field's exact length in terms. The engine's own lengths are rounded to one byte.
    pub(super) fn length_name(self) -> &'static str {
        match self {
            Self::Body => "body_length",
            Self::Symbols => "symbols_length",
            Self::Scope => "scope_length",
            Self::Stem => "stem_length",
            Self::Folders => "folders_length",
        }
    }
}

/// The column of the chunk's id.
pub(super) const ID: &str = "id";

/// The engine's handles of the fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) id: schema::Field,
    pub(super) text: [schema::Field; FIELDS.len()],
    pub(super) length: [schema::Field; FIELDS.len()],
}

/// The schema of this version.
pub(super) fn build() -> (Schema, Layout) {
    let mut builder = Schema::builder();
    // Terms are joined by spaces when they arrive; neither positions nor rounded lengths are needed.
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("whitespace")
        .set_index_option(IndexRecordOption::WithFreqs)
        .set_fieldnorms(false);
    let text = TextOptions::default().set_indexing_options(indexing);
    let id = builder.add_u64_field(ID, NumericOptions::default().set_indexed().set_fast());
    let layout = Layout {
        id,
        text: FIELDS.map(|field| builder.add_text_field(field.name(), text.clone())),
        length: FIELDS.map(|field| {
            builder.add_u64_field(field.length_name(), NumericOptions::default().set_fast())
        }),
    };
    (builder.build(), layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_at_their_own_index() {
        for (index, field) in FIELDS.into_iter().enumerate() {
            assert_eq!(field.index(), index);
        }
    }
}
