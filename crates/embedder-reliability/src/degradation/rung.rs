//! What a search falls back to, step by step.

use super::{Assessment, Feature};

/// A way to answer a search, from the best to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// By words and meaning.
    Hybrid,
    /// By words.
    Text,
    /// By meaning.
    Vector,
    /// By a scan of the store.
    Direct,
    /// By an earlier answer.
    Cached,
    /// By none: the answer is empty and says so.
    Minimal,
}

impl Rung {
    /// Every rung.
    pub const ALL: [Rung; 6] = [
        Self::Hybrid,
        Self::Text,
        Self::Vector,
        Self::Direct,
        Self::Cached,
        Self::Minimal,
    ];

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Rung::Hybrid => "hybrid",
            Rung::Text => "text",
            Rung::Vector => "vector",
            Rung::Direct => "direct",
            Rung::Cached => "cached",
            Rung::Minimal => "minimal",
        }
    }

    /// Returns the share of the time that a request has, in per cent, that this rung may use: one that hangs must leave
    /// the next ones enough.
    pub fn deadline_percent(self) -> u32 {
        match self {
            Rung::Hybrid => 60,
            Rung::Text | Rung::Vector => 20,
            Rung::Direct => 10,
            Rung::Cached | Rung::Minimal => 5,
        }
    }

    /// How far down it is; rungs of the same depth are as good as each other.
    pub fn depth(self) -> u32 {
        match self {
            Rung::Hybrid => 0,
            Rung::Text | Rung::Vector => 1,
            Rung::Direct => 2,
            Rung::Cached => 3,
            Rung::Minimal => 4,
        }
    }

    fn can_be_tried(self, service: &Assessment) -> bool {
        let semantic = service.has(Feature::SemanticSearch);
        let lexical = service.has(Feature::LexicalRanking);
        let fresh = service.has(Feature::FreshAnswers);
        match self {
            Rung::Hybrid => semantic && lexical && fresh,
            Rung::Text => lexical && fresh,
            Rung::Vector => semantic && fresh,
            Rung::Direct => fresh,
            Rung::Cached | Rung::Minimal => true,
        }
    }
}

/// Returns the rungs that a search tries in turn: from the one that was asked for, of those that the service can do, down
/// to `lowest`. A search by words does not fall back to meaning: that would answer another question. Nor does one by
/// meaning to words, unless whoever asks allows less than meaning.
pub fn ladder(asked: Rung, lowest: Rung, service: &Assessment) -> impl Iterator<Item = Rung> {
    let service = *service;
    let is_reached = move |rung: Rung| {
        let beside = match asked {
            Rung::Hybrid => true,
            Rung::Vector => lowest != Rung::Vector && rung == Rung::Text,
            Rung::Text | Rung::Direct | Rung::Cached | Rung::Minimal => false,
        };
        beside || rung.depth() > asked.depth()
    };
    let below = Rung::ALL
        .into_iter()
        .filter(move |rung| *rung != asked && is_reached(*rung));
    std::iter::once(asked)
        .chain(below)
        .filter(move |rung| rung.depth() <= lowest.depth() && rung.can_be_tried(&service))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::{Inputs, Part, assess};
    use super::*;

    #[test]
    fn rungs_follow_from_what_is_asked_and_what_works() {
        use Rung::{Cached, Direct, Hybrid, Minimal, Text, Vector};
        let check = |asked, lowest, failed: &[Part], expected: &[Rung]| {
            let service = assess(&Inputs {
                failed: failed.iter().copied().collect(),
                ..Inputs::default()
            });
            let rungs: Vec<_> = ladder(asked, lowest, &service).collect();
            assert_eq!(rungs, expected, "{asked:?} {failed:?}");
        };
        let all = [Hybrid, Text, Vector, Direct, Cached, Minimal];
        check(Hybrid, Minimal, &[], &all);
        check(Hybrid, Cached, &[], &all[..5]);
        check(Hybrid, Text, &[], &[Hybrid, Text, Vector]);
        check(Hybrid, Hybrid, &[], &[Hybrid]);
        check(Text, Cached, &[], &[Text, Direct, Cached]);
        check(Vector, Vector, &[], &[Vector]);
        check(Vector, Text, &[], &[Vector, Text]);
        check(Vector, Cached, &[], &[Vector, Text, Direct, Cached]);
        check(Vector, Cached, &[Part::Embedder], &[Text, Direct, Cached]);
        check(Hybrid, Cached, &[Part::Embedder], &[Text, Direct, Cached]);
        check(
            Hybrid,
            Cached,
            &[Part::VectorIndex],
            &[Text, Direct, Cached],
        );
        check(
            Hybrid,
            Cached,
            &[Part::LexicalIndex],
            &[Vector, Direct, Cached],
        );
        check(
            Hybrid,
            Cached,
            &[Part::LexicalIndex, Part::Embedder],
            &[Direct, Cached],
        );
        check(Hybrid, Minimal, &[Part::Store], &[Cached, Minimal]);
        check(Hybrid, Text, &[Part::Store], &[]);
        check(Direct, Direct, &[Part::LexicalIndex], &[Direct]);
    }

    #[test]
    fn the_shares_of_one_way_down_are_all_of_the_time() {
        let down = [
            Rung::Hybrid,
            Rung::Text,
            Rung::Direct,
            Rung::Cached,
            Rung::Minimal,
        ];
        let shares: u32 = down.iter().map(|rung| rung.deadline_percent()).sum();
        assert_eq!(shares, 100);
    }
}
