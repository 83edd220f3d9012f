//! The table of all rules: name, weight, and what each is for.

use std::fmt;

/// A part of the ranking that has a weight and can be left out: to see what it is worth, or because it is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Names of what a chunk defines, as a field of BM25F.
    FieldSymbols,
    /// Names of what encloses a chunk, as a field of BM25F.
    FieldScope,
    /// The file's stem, as a field of BM25F.
    FieldStem,
    /// The last folders of the path, as a field of BM25F.
    FieldFolders,
    /// Words count less where no chunk holds much of the query.
    QueryCover,
    /// Many good chunks in one file.
    FileEvidence,
    /// Words of the query in the path.
    PathWords,
    /// Definitions of identifiers that the query names.
    Definition,
    /// Definitions whose names are made of the query's words.
    NameCover,
    /// Tests, specifications, mocks, fixtures, benchmarks.
    PriorTest,
    /// Examples, samples and code in documentation folders.
    PriorExample,
    /// Compatibility layers, legacy, vendored or generated code.
    PriorCompat,
    /// Prose about code.
    PriorProse,
    /// Files that only pass on the names of others.
    PriorReExport,
    /// Types without bodies beside the code they describe.
    PriorTypeStub,
    /// Each further chunk of a file counts less.
    Saturation,
    /// A definition of each named identifier is among the first hits.
    DefinitionGuarantee,
}

/// What a rule's number means.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Weight {
    /// An occurrence in the field counts as many in the body.
    Field(f32),
    /// Where the rule applies fully, so many times the best score is added.
    Adds {
        /// When the query is one identifier.
        symbol: f32,
        /// When it is prose.
        prose: f32,
    },
    /// The score is multiplied by it.
    Multiplies(f32),
    /// Applies below this share.
    Share(f32),
    /// Hits are moved up to be among so many first.
    Within(usize),
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(weight) => write!(f, "field x {weight}"),
            Self::Adds { symbol, prose } if symbol == prose => write!(f, "+ {prose}"),
            Self::Adds { symbol, prose } => write!(f, "+ {prose} (identifier: + {symbol})"),
            Self::Multiplies(factor) => write!(f, "x {factor}"),
            Self::Share(share) => write!(f, "share {share}"),
            Self::Within(count) => write!(f, "first {count}"),
        }
    }
}

/// A line of the table.
struct Row {
    rule: Rule,
    name: &'static str,
    weight: Weight,
    meaning: &'static str,
}

const fn row(rule: Rule, name: &'static str, weight: Weight, meaning: &'static str) -> Row {
    Row {
        rule,
        name,
        weight,
        meaning,
    }
}

const fn adds(symbol: f32, prose: f32) -> Weight {
    Weight::Adds { symbol, prose }
}

/// Every rule, in the order of [`Rule`], which is the order in which they are applied.
const TABLE: [Row; 17] = [
    row(
        Rule::FieldSymbols,
        "field_symbols",
        Weight::Field(4.0),
        "names of what a chunk defines say what it is about",
    ),
    row(
        Rule::FieldScope,
        "field_scope",
        Weight::Field(0.5),
        "names of what encloses a chunk: a method answers for its class",
    ),
    row(
        Rule::FieldStem,
        "field_stem",
        Weight::Field(4.0),
        "people name files after what is in them",
    ),
    row(
        Rule::FieldFolders,
        "field_folders",
        Weight::Field(2.0),
        "and folders after what their files have in common",
    ),
    row(
        Rule::QueryCover,
        "query_cover",
        Weight::Share(0.8),
        "words count in full beside meaning only where some chunk holds so much of the query's rarity",
    ),
    row(
        Rule::FileEvidence,
        "file_evidence",
        adds(0.5, 0.5),
        "many good chunks in one file speak for it, and so for its best chunk (1.6 times as much without meaning)",
    ),
    row(
        Rule::PathWords,
        "path_words",
        adds(1.5, 1.5),
        "words of the query in the file's stem and folders, also by their beginnings",
    ),
    row(
        Rule::Definition,
        "definition",
        adds(2.0, 0.5),
        "where an identifier that the query names is defined, types before functions before variables",
    ),
    row(
        Rule::NameCover,
        "name_cover",
        adds(0.0, 0.25),
        "definitions whose names are made of words of the question",
    ),
    row(
        Rule::PriorTest,
        "prior_test",
        Weight::Multiplies(0.3),
        "tests, mocks, fixtures and benchmarks repeat the words of what they are about",
    ),
    row(
        Rule::PriorExample,
        "prior_example",
        Weight::Multiplies(0.3),
        "so do examples, samples, demos, and code in documentation folders",
    ),
    row(
        Rule::PriorCompat,
        "prior_compat",
        Weight::Multiplies(0.3),
        "compatibility layers, legacy, vendored and generated code, and translations, are rarely meant",
    ),
    row(
        Rule::PriorProse,
        "prior_prose",
        Weight::Multiplies(0.5),
        "documents come after the code they are about, where both answer",
    ),
    row(
        Rule::PriorReExport,
        "prior_re_export",
        Weight::Multiplies(0.5),
        "files that only pass on the names of others (`__init__.py`, `index.ts`, `prelude.rs`)",
    ),
    row(
        Rule::PriorTypeStub,
        "prior_type_stub",
        Weight::Multiplies(0.7),
        "types without bodies (`.d.ts`, `.pyi`) beside the code they describe",
    ),
    row(
        Rule::Saturation,
        "saturation",
        Weight::Multiplies(0.3),
        "a further chunk of a file tells less than the first chunk of another; once more for each one before it",
    ),
    row(
        Rule::DefinitionGuarantee,
        "definition_guarantee",
        Weight::Within(10),
        "an identifier that is asked for has a definition among the first hits, whatever else scores",
    ),
];

impl Rule {
    /// Every rule, in the order in which they are applied.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.rule)
    }

    /// The rule of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| row.name == name)
            .map(|row| row.rule)
    }

    /// Its name, as explanations have it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its weight.
    pub const fn weight(self) -> Weight {
        TABLE[self as usize].weight
    }

    /// Why it is there, in a line.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// The rules that take part in a search, and their weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RuleSet {
    on: u32,
    weights: [Weight; TABLE.len()],
}

impl RuleSet {
    /// Every rule with the weight of the table.
    pub const ALL: Self = {
        let mut weights = [Weight::Within(0); TABLE.len()];
        let mut place = 0;
        while place < TABLE.len() {
            weights[place] = TABLE[place].weight;
            place += 1;
        }
        Self {
            on: (1 << TABLE.len()) - 1,
            weights,
        }
    };

    /// No rule: words and meaning alone.
    pub const NONE: Self = Self { on: 0, ..Self::ALL };

    /// The set without a rule.
    #[must_use]
    pub fn without(mut self, rule: Rule) -> Self {
        self.on &= !(1 << rule as u32);
        self
    }

    /// The set with a rule's weights multiplied by a factor; a rule that counts hits keeps its count.
    #[must_use]
    pub fn scaled(mut self, rule: Rule, by: f32) -> Self {
        let weight = &mut self.weights[rule as usize];
        *weight = match *weight {
            Weight::Field(number) => Weight::Field(number * by),
            Weight::Adds { symbol, prose } => adds(symbol * by, prose * by),
            Weight::Multiplies(number) => Weight::Multiplies((number * by).min(1.0)),
            Weight::Share(number) => Weight::Share(number * by),
            Weight::Within(count) => Weight::Within(count),
        };
        self
    }

    /// Whether a rule takes part.
    pub fn has(&self, rule: Rule) -> bool {
        self.on & 1 << rule as u32 != 0
    }

    /// The weight that a rule has here.
    pub fn weight(&self, rule: Rule) -> Weight {
        self.weights[rule as usize]
    }

    /// Whether each of some rules takes part with the weight of the table.
    pub(crate) fn has_defaults(&self, rules: &[Rule]) -> bool {
        rules
            .iter()
            .all(|&rule| self.has(rule) && self.weight(rule) == rule.weight())
    }

    /// The number of a rule that multiplies, weighs a field or has a share; 1 of others, and of one that takes no part.
    pub fn factor(&self, rule: Rule) -> f32 {
        match self.weight(rule) {
            Weight::Multiplies(number) | Weight::Field(number) | Weight::Share(number)
                if self.has(rule) =>
            {
                number
            }
            Weight::Multiplies(_)
            | Weight::Field(_)
            | Weight::Share(_)
            | Weight::Adds { .. }
            | Weight::Within(_) => 1.0,
        }
    }

    /// What a rule adds where it applies fully, in units of the best score; 0 where it takes no part.
    pub(crate) fn added(&self, rule: Rule, is_symbol: bool) -> f32 {
        match self.weight(rule) {
            Weight::Adds { symbol, prose } if self.has(rule) => {
                if is_symbol {
                    symbol
                } else {
                    prose
                }
            }
            Weight::Adds { .. }
            | Weight::Field(_)
            | Weight::Multiplies(_)
            | Weight::Share(_)
            | Weight::Within(_) => 0.0,
        }
    }
}

impl Default for RuleSet {
    fn default() -> Self {
        Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_rule_at_its_place_with_a_name_of_its_own() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(row.rule as usize, place, "{}", row.name);
            assert_eq!(Rule::by_name(row.name), Some(row.rule));
        }
        assert_eq!(Rule::by_name("none"), None);
    }

    #[test]
    fn a_set_is_all_or_without_some() {
        let set = RuleSet::ALL.without(Rule::Saturation);
        assert!(set.has(Rule::DefinitionGuarantee) && set.has(Rule::FieldSymbols));
        assert!(!set.has(Rule::Saturation));
        assert_eq!(
            Rule::all().fold(RuleSet::ALL, RuleSet::without),
            RuleSet::NONE
        );
        assert_eq!(set.factor(Rule::Saturation), 1.0);
        assert_eq!(RuleSet::NONE.added(Rule::PathWords, true), 0.0);
    }

    #[test]
    fn weights_are_scaled_and_priors_stay_priors() {
        let set = RuleSet::ALL
            .scaled(Rule::Definition, 0.5)
            .scaled(Rule::PriorTypeStub, 9.0);
        assert_eq!(set.added(Rule::Definition, true), 1.0);
        assert_eq!(set.added(Rule::Definition, false), 0.25);
        assert_eq!(set.factor(Rule::PriorTypeStub), 1.0);
        assert!(set.has_defaults(&[Rule::PathWords]) && !set.has_defaults(&[Rule::Definition]));
        assert!(
            !set.without(Rule::PathWords)
                .has_defaults(&[Rule::PathWords])
        );
    }
}
