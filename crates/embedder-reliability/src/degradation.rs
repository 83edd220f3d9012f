//! What the service can still do, as a function of what works.
//!
//! [`assess`] maps what has failed ([`Inputs`]) to a [`ServiceLevel`], the features that are off and the
//! [`DegradationMode`]s that say why. It is pure and monotone: one more failure never makes the service better, and a part
//! that recovers gives back exactly what its own failure took. [`ladder`] says what a search may fall back to.
//! [`GracefulDegradation`] adds time: down at once, up again only after a while without failures.
//!
//! Nothing here knows of security: keys, tenants, audit and limits hold on every level alike.

mod graceful;
mod inputs;
mod rung;
mod set;

pub use graceful::{Change, GracefulDegradation, HEALTHY_FOR, RAISE_INTERVAL};
pub use inputs::{Inputs, Part};
pub use rung::{Rung, ladder};
pub use set::{Member, Set};

/// How much of the service there is, from all to little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceLevel {
    /// All of it.
    Full,
    /// All answers can be had, some of them less good.
    Degraded,
    /// Core answers alone.
    Minimal,
}

impl ServiceLevel {
    /// Every level.
    pub const ALL: [ServiceLevel; 3] = [Self::Full, Self::Degraded, Self::Minimal];

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            ServiceLevel::Full => "Full",
            ServiceLevel::Degraded => "Degraded",
            ServiceLevel::Minimal => "Minimal",
        }
    }
}

macro_rules! members {
    ($(
        $(#[$meta:meta])+
        $type:ident {
            $($(#[$value_meta:meta])+ $variant:ident = $name:literal,)+
        }
    )+) => {$(
        $(#[$meta])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $($(#[$value_meta])+ $variant,)+
        }

        impl $type {
            /// Returns its stable name.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }

            /// Returns the one of this name.
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)+ _ => None }
            }
        }

        impl $crate::degradation::Member for $type {
            const ALL: &'static [$type] = &[$($type::$variant,)+];

            fn position(self) -> u32 {
                self as u32
            }
        }
    )+};
}
use members;

members! {
    /// A way in which the service is less than whole.
    DegradationMode {
        /// Nothing is found by meaning: the embedder or the vectors are lost.
        VectorSearch = "vector_search",
        /// Nothing is found by indexed words.
        TextIndex = "text_index",
        /// No answer is remembered.
        Caching = "caching",
        /// Neither words nor meaning: answers come from a scan of the store.
        BothIndexes = "both_indexes",
        /// The store cannot be read: answers are old ones, or empty.
        StoreReads = "store_reads",
        /// There is more to do than can be done well.
        Overload = "overload",
    }

    /// What can be off while the rest goes on.
    Feature {
        /// Search by meaning.
        SemanticSearch = "semantic_search",
        /// Search and ranking by indexed words.
        LexicalRanking = "lexical_ranking",
        /// Remembering answers.
        CacheWrites = "cache_writes",
        /// Any ranking better than counting words.
        Ranking = "ranking",
        /// Answers that show what the store holds now.
        FreshAnswers = "fresh_answers",
    }
}

/// What answers in place of what is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FallbackBehavior {
    /// Search by words.
    TextSearch,
    /// Search by meaning alone.
    VectorSearch,
    /// A scan of the store.
    DirectDatabase,
    /// An earlier answer to the same question.
    CachedResponse,
    /// An empty answer that says so.
    MinimalResponse,
}

impl FallbackBehavior {
    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            FallbackBehavior::TextSearch => "text_search",
            FallbackBehavior::VectorSearch => "vector_search",
            FallbackBehavior::DirectDatabase => "direct_database",
            FallbackBehavior::CachedResponse => "cached_response",
            FallbackBehavior::MinimalResponse => "minimal_response",
        }
    }
}

impl DegradationMode {
    /// Returns the best level that there is in this mode.
    pub fn level(self) -> ServiceLevel {
        match self {
            DegradationMode::VectorSearch
            | DegradationMode::TextIndex
            | DegradationMode::Caching
            | DegradationMode::Overload => ServiceLevel::Degraded,
            DegradationMode::BothIndexes | DegradationMode::StoreReads => ServiceLevel::Minimal,
        }
    }

    /// Returns the features that are off in this mode.
    pub fn features_off(self) -> &'static [Feature] {
        match self {
            DegradationMode::VectorSearch | DegradationMode::Overload => &[Feature::SemanticSearch],
            DegradationMode::TextIndex => &[Feature::LexicalRanking],
            DegradationMode::Caching => &[Feature::CacheWrites],
            DegradationMode::BothIndexes => &[Feature::Ranking],
            DegradationMode::StoreReads => &[Feature::FreshAnswers],
        }
    }

    /// Returns what answers in its place, best first.
    pub fn fallbacks(self) -> &'static [FallbackBehavior] {
        use FallbackBehavior as F;
        match self {
            DegradationMode::VectorSearch | DegradationMode::Overload => &[F::TextSearch],
            DegradationMode::TextIndex => &[F::VectorSearch, F::DirectDatabase],
            DegradationMode::Caching | DegradationMode::BothIndexes => &[F::DirectDatabase],
            DegradationMode::StoreReads => &[F::CachedResponse, F::MinimalResponse],
        }
    }

    /// Returns what the mode means for security, and what bounds it.
    pub fn security_implication(self) -> &'static str {
        match self {
            DegradationMode::VectorSearch => {
                "answers are less accurate; each one is flagged, and filters hold as always"
            }
            DegradationMode::TextIndex => {
                "scans of the store cost more; they have a bulkhead, a time limit and a row limit of their own"
            }
            DegradationMode::Caching => {
                "the store is asked more often; admission and bulkheads bound it"
            }
            DegradationMode::BothIndexes => {
                "every search scans the store; at most a few at a time, each for tens of milliseconds"
            }
            DegradationMode::StoreReads => {
                "answers may be old; they are those of the same key, and show their age"
            }
            DegradationMode::Overload => {
                "answers are less accurate while there is too much to do; each one is flagged"
            }
        }
    }
}

/// What the service can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    /// How much of it there is.
    pub level: ServiceLevel,
    /// Why it is not all.
    pub modes: Set<DegradationMode>,
    /// What is off.
    pub features_off: Set<Feature>,
}

impl Assessment {
    /// All is well.
    pub const FULL: Assessment = Assessment {
        level: ServiceLevel::Full,
        modes: Set::EMPTY,
        features_off: Set::EMPTY,
    };

    /// Whether a feature is on.
    pub fn has(&self, feature: Feature) -> bool {
        !self.features_off.contains(feature)
    }

    /// Returns what holds where this and another assessment hold.
    pub fn with(&self, other: &Assessment) -> Assessment {
        Assessment::of(self.modes.union(other.modes))
    }

    fn of(modes: Set<DegradationMode>) -> Assessment {
        let level = modes.iter().map(DegradationMode::level).max();
        let features_off = modes
            .iter()
            .flat_map(|mode| mode.features_off().iter().copied());
        Assessment {
            level: level.unwrap_or(ServiceLevel::Full),
            modes,
            features_off: features_off.collect(),
        }
    }
}

/// Returns what the service can do when these have failed.
pub fn assess(inputs: &Inputs) -> Assessment {
    let lost = inputs.lost();
    let vectors = lost.contains(Part::Embedder) || lost.contains(Part::VectorIndex);
    let words = lost.contains(Part::LexicalIndex);
    let modes = [
        (DegradationMode::VectorSearch, vectors),
        (DegradationMode::TextIndex, words),
        (DegradationMode::Caching, lost.contains(Part::Cache)),
        (DegradationMode::BothIndexes, vectors && words),
        (DegradationMode::StoreReads, lost.contains(Part::Store)),
        (DegradationMode::Overload, inputs.is_overloaded),
    ];
    let holding = modes.into_iter().filter(|(_, holds)| *holds);
    Assessment::of(holding.map(|(mode, _)| mode).collect())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn all_inputs() -> impl Iterator<Item = Inputs> {
        (0..1 << (2 * Part::ALL.len() + 1)).map(|bits: u32| {
            let parts = |shift: usize| {
                let is_in = move |part: &&Part| bits >> shift >> part.position() & 1 == 1;
                Part::ALL.iter().filter(is_in).copied().collect()
            };
            Inputs {
                failed: parts(1),
                forced: parts(1 + Part::ALL.len()),
                is_overloaded: bits & 1 == 1,
            }
        })
    }

    fn is_no_better(worse: &Assessment, better: &Assessment) -> bool {
        worse.level >= better.level
            && better.modes.iter().all(|mode| worse.modes.contains(mode))
            && better
                .features_off
                .iter()
                .all(|off| worse.features_off.contains(off))
    }

    #[test]
    fn one_more_failure_never_makes_it_better() {
        for inputs in all_inputs() {
            let before = assess(&inputs);
            for part in Part::ALL {
                let mut worse = inputs;
                worse.failed.insert(*part);
                assert!(
                    is_no_better(&assess(&worse), &before),
                    "{inputs:?} and {part:?}"
                );
            }
            let worse = Inputs {
                is_overloaded: true,
                ..inputs
            };
            assert!(is_no_better(&assess(&worse), &before), "{inputs:?}");
        }
    }

    #[test]
    fn what_recovers_gives_back_its_own_loss_and_no_other() {
        for inputs in all_inputs() {
            for recovered in Part::ALL {
                let mut left = inputs;
                left.failed.remove(*recovered);
                left.forced.remove(*recovered);
                // As if the recovered part had never failed.
                let others: Set<Part> = inputs
                    .lost()
                    .iter()
                    .filter(|part| part != recovered)
                    .collect();
                let expected = assess(&Inputs {
                    failed: others,
                    forced: Set::EMPTY,
                    is_overloaded: inputs.is_overloaded,
                });
                assert_eq!(assess(&left), expected);
            }
        }
    }

    #[test]
    fn each_loss_has_its_mode_level_features_and_fallback() {
        use DegradationMode as M;
        use FallbackBehavior as F;
        let check = |failed: &[Part], mode: M, level, off: &[Feature], fallback: &[F]| {
            let inputs = Inputs {
                failed: failed.iter().copied().collect(),
                ..Inputs::default()
            };
            let found = assess(&inputs);
            assert!(found.modes.contains(mode), "{failed:?}: {found:?}");
            assert_eq!(found.level, level, "{failed:?}");
            assert!(off.iter().all(|feature| !found.has(*feature)), "{found:?}");
            assert_eq!(mode.fallbacks(), fallback);
            assert!(!mode.security_implication().is_empty());
        };
        let (degraded, minimal) = (ServiceLevel::Degraded, ServiceLevel::Minimal);
        let semantic = &[Feature::SemanticSearch];
        check(
            &[Part::Embedder],
            M::VectorSearch,
            degraded,
            semantic,
            &[F::TextSearch],
        );
        check(
            &[Part::VectorIndex],
            M::VectorSearch,
            degraded,
            semantic,
            &[F::TextSearch],
        );
        check(
            &[Part::LexicalIndex],
            M::TextIndex,
            degraded,
            &[Feature::LexicalRanking],
            &[F::VectorSearch, F::DirectDatabase],
        );
        check(
            &[Part::Cache],
            M::Caching,
            degraded,
            &[Feature::CacheWrites],
            &[F::DirectDatabase],
        );
        check(
            &[Part::Embedder, Part::LexicalIndex],
            M::BothIndexes,
            minimal,
            &[Feature::Ranking],
            &[F::DirectDatabase],
        );
        check(
            &[Part::Store],
            M::StoreReads,
            minimal,
            &[Feature::FreshAnswers],
            &[F::CachedResponse, F::MinimalResponse],
        );
        assert_eq!(assess(&Inputs::default()), Assessment::FULL);
    }

    #[test]
    fn names_lead_back_to_what_they_name() {
        for mode in DegradationMode::ALL {
            assert_eq!(DegradationMode::from_name(mode.name()), Some(*mode));
        }
        assert_eq!(Feature::from_name("everything"), None);
    }
}
