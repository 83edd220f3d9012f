use proptest::prelude::*;
use tantivy::directory::RamDirectory;

use super::*;
use crate::{
    LexicalIndex, Mode, ParsedQuery, Rule, RuleSet, SymbolKind, VectorSet,
    corpus::{DIMENSIONS, Sample, effect, found, index, query_vector, search},
};

/// A corpus in which every rule has something to do.
fn samples() -> Vec<Sample> {
    vec![
        Sample::new(1, "src/http/retry.rs", "retries a request after a delay")
            .defining(SymbolKind::Function, "retry_request"),
        Sample::new(2, "src/http/retry.rs", "the delay doubles each time")
            .defining(SymbolKind::Type, "Backoff"),
        Sample::new(3, "src/http/client.rs", "sends a request; see Backoff").within("HttpClient"),
        Sample::new(
            4,
            "tests/retry.rs",
            "checks that the delay doubles and retries end",
        ),
        Sample::new(5, "docs/backoff.md", "about the delay of a retry")
            .defining(SymbolKind::Heading, "Backoff"),
        Sample::new(6, "src/lib.rs", "nothing of the kind"),
        Sample::new(7, "src/http/mod.rs", "request").defining(SymbolKind::Namespace, "http"),
    ]
}

fn with_vectors() -> Vec<Sample> {
    let vectors = [
        [1.0, 0.0, 0.0, 0.0],
        [0.9, 0.4, 0.0, 0.0],
        [0.5, 0.5, 0.5, 0.0],
        [0.7, 0.0, 0.7, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
        [-1.0, 0.0, 0.0, 0.1],
    ];
    samples()
        .into_iter()
        .zip(vectors)
        .map(|(sample, vector)| sample.vector(vector))
        .collect()
}

const QUERIES: [&str; 6] = [
    "delay before a retry",
    "Backoff",
    "HttpClient request",
    "retry_request",
    "http",
    "request",
];

fn searched(collection: &Collection, query: &str, mode: Mode) -> Vec<Hit> {
    let query = ParsedQuery::parse(query);
    let vector = query_vector([0.8, 0.6, 0.1, 0.0]);
    let request = Request {
        vector: Some(&vector),
        mode,
        explain: true,
        ..Request::new(&query)
    };
    collection.search(&request).unwrap()
}

const MODES: [Mode; 3] = [Mode::Text, Mode::Vector, Mode::Hybrid];

#[test]
fn answers_do_not_depend_on_the_order_of_indexing_or_on_segments() {
    let samples = with_vectors();
    let reference = index(&samples, usize::MAX);
    let mut reversed = samples.clone();
    reversed.reverse();
    for other in [
        index(&samples, 1),
        index(&reversed, usize::MAX),
        index(&reversed, 2),
    ] {
        for query in QUERIES {
            for mode in MODES {
                assert_eq!(
                    searched(&other, query, mode),
                    searched(&reference, query, mode),
                    "{query} {mode:?}"
                );
            }
        }
    }
}

#[test]
fn answers_do_not_depend_on_what_was_deleted_or_replaced() {
    let samples = with_vectors();
    let (index, _) = LexicalIndex::open_or_create(RamDirectory::create()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut collection = Collection::new(index.reader().unwrap(), DIMENSIONS);
    let mut put = |collection: &mut Collection, sample: &Sample| {
        writer.put(&sample.record, &sample.text).unwrap();
        collection.put(&sample.record);
        if let Some(vector) = &sample.vector {
            collection.put_vector(sample.record.id, vector).unwrap();
        }
        writer.commit(1).unwrap();
    };
    for sample in &samples {
        let id = sample.record.id.0;
        put(
            &mut collection,
            &Sample::new(id + 100, "old/delay.rs", "delay retry").vector([1.0, 1.0, 0.0, 0.0]),
        );
        put(
            &mut collection,
            &Sample::new(id, "old/Backoff.rs", "request").defining(SymbolKind::Type, "Backoff"),
        );
        put(&mut collection, sample);
        // Applied twice, as after a crash between commit and acknowledgement.
        put(&mut collection, sample);
    }
    for sample in &samples {
        let id = ChunkId(sample.record.id.0 + 100);
        writer.delete(id);
        collection.delete(id);
    }
    writer.commit(2).unwrap();
    collection.refresh().unwrap();
    let reference = crate::corpus::index(&samples, usize::MAX);
    for query in QUERIES {
        for mode in MODES {
            assert_eq!(
                searched(&collection, query, mode),
                searched(&reference, query, mode),
                "{query} {mode:?}"
            );
        }
    }
}

#[test]
fn explanations_add_up_to_the_score() {
    let collection = index(&with_vectors(), 3);
    for query in QUERIES {
        for mode in MODES {
            for hit in searched(&collection, query, mode) {
                let explanation = hit.explanation.unwrap();
                let effects: f32 = explanation.rules.iter().map(|rule| rule.effect).sum();
                let sum = explanation.fusion.text + explanation.fusion.vector + effects;
                assert!(
                    (sum - hit.score).abs() < 1e-4,
                    "{query} {mode:?}: {sum} is not {}: {explanation:?}",
                    hit.score
                );
                assert_eq!(explanation.score, hit.score);
                let bm25 = explanation.bm25.map_or(0.0, |bm25| {
                    bm25.terms.iter().map(|term| term.score).sum::<f32>() - bm25.score
                });
                assert!(bm25.abs() < 1e-5);
            }
        }
    }
}

#[test]
fn ranks_in_an_explanation_are_those_of_each_retriever() {
    let hits = searched(
        &index(&with_vectors(), 3),
        "delay before a retry",
        Mode::Hybrid,
    );
    let mut by_cosine: Vec<(usize, f32)> = hits
        .iter()
        .map(|hit| hit.explanation.as_ref().unwrap().vector.unwrap())
        .map(|vector| (vector.rank, vector.cosine))
        .collect();
    by_cosine.sort_unstable_by_key(|&(rank, _)| rank);
    assert!(by_cosine.is_sorted_by(|a, b| a.1 >= b.1), "{by_cosine:?}");
    assert_eq!(by_cosine[0].0, 1);
}

#[test]
fn a_filter_is_applied_before_the_best_are_picked() {
    let mut samples: Vec<Sample> = (1..=200)
        .map(|id| Sample::new(id, "src/good.rs", "needle needle").vector([1.0, 0.0, 0.0, 0.0]))
        .collect();
    samples.push(
        Sample::new(201, "lib/poor.rs", "one needle in a long text of hay")
            .vector([0.1, 1.0, 0.0, 0.0]),
    );
    let collection = index(&samples, 50);
    let allowed = collection.allow(|_, path, _| path.starts_with("lib/"));
    assert_eq!(allowed.len(), 1);
    let query = ParsedQuery::parse("needle");
    let vector = query_vector([1.0, 0.0, 0.0, 0.0]);
    for mode in MODES {
        let request = Request {
            vector: Some(&vector),
            mode,
            allowed: Some(&allowed),
            ..Request::new(&query)
        };
        let hits = collection.search(&request).unwrap();
        assert_eq!(
            hits.iter().map(|hit| hit.id.0).collect::<Vec<_>>(),
            [201],
            "{mode:?}"
        );
    }
    assert_eq!(
        collection.nearest(&vector, 5, Some(&allowed)).unwrap()[0].0,
        ChunkId(201)
    );
    let nothing = collection.allow(|_, _, _| false);
    assert!(nothing.is_empty());
    let request = Request {
        vector: Some(&vector),
        allowed: Some(&nothing),
        ..Request::new(&query)
    };
    assert!(collection.search(&request).unwrap().is_empty());
}

#[test]
fn languages_can_be_filtered() {
    let mut samples = vec![
        Sample::new(1, "a.rs", "needle"),
        Sample::new(2, "a.py", "needle"),
    ];
    samples[0].record.language = Some("rust".to_owned());
    let collection = index(&samples, 1);
    let allowed = collection.allow(|_, _, language| language == Some("rust"));
    let query = ParsedQuery::parse("needle");
    let hits = collection
        .search(&Request {
            allowed: Some(&allowed),
            ..Request::new(&query)
        })
        .unwrap();
    assert_eq!(hits.len(), 1);
}

#[test]
fn chunks_without_vectors_are_found_by_their_words() {
    let mut samples = with_vectors();
    samples[0].vector = None;
    let collection = index(&samples, 3);
    assert_eq!(collection.vectors_len(), 6);
    let hits = searched(&collection, "retry_request", Mode::Hybrid);
    assert_eq!(hits[0].id, ChunkId(1));
    let by_meaning = searched(&collection, "delay", Mode::Vector);
    assert!(by_meaning.iter().all(|hit| hit.id != ChunkId(1)));
    assert_eq!(by_meaning.len(), 6, "a small collection gives all it has");
}

#[test]
fn a_definition_is_found_before_its_words_are_committed() {
    let mut collection = index(&samples(), 3);
    collection.put(
        &Sample::new(9, "src/new.rs", "")
            .defining(SymbolKind::Type, "BrandNew")
            .record,
    );
    assert_eq!(found(&collection, "BrandNew"), [9]);
}

#[test]
fn a_path_lifts_only_what_something_else_has_found() {
    let mut collection = index(&samples(), 3);
    collection.put(
        &Sample::new(9, "src/brand.rs", "")
            .defining(SymbolKind::Type, "BrandNew")
            .record,
    );
    let hits = search(&collection, "BrandNew");
    assert_eq!(hits[0].id, ChunkId(9));
    assert_eq!(effect(&hits[0], "path_words"), 0.0);
    assert_eq!(effect(&hits[0], "definition"), hits[0].score);
}

#[test]
fn a_deleted_chunk_is_never_found_again() {
    let mut collection = index(&with_vectors(), 3);
    collection.delete(ChunkId(1));
    for mode in MODES {
        assert!(
            searched(&collection, "retry_request", mode)
                .iter()
                .all(|hit| hit.id != ChunkId(1)),
            "{mode:?}"
        );
    }
    collection.put(&Sample::new(8, "src/other.rs", "").record);
    assert!(
        found(&collection, "retry_request")
            .iter()
            .all(|&id| id != 8),
        "a new chunk inherits no words"
    );
    assert_eq!(collection.len(), 7);
}

#[test]
fn a_definition_asked_for_is_among_the_first_ten() {
    // The definition is a long test file's constant, which every rule puts last; hundreds of chunks talk about it.
    let mut samples: Vec<Sample> = (1..=300)
        .map(|id| {
            let path = format!("retry/policy{id}.rs");
            Sample::new(id, &path, "retry policy RetryPolicy")
                .defining(SymbolKind::Function, "retry_policy_delay")
        })
        .collect();
    let hay = "hay ".repeat(500);
    samples.push(
        Sample::new(301, "vendor/tests/x/y/z.rs", &hay)
            .defining(SymbolKind::Variable, "RetryPolicy"),
    );
    let collection = index(&samples, 100);
    for query in [
        "RetryPolicy",
        "how does the retry policy of RetryPolicy delay",
    ] {
        let hits = search(&collection, query);
        let place = hits.iter().position(|hit| hit.id == ChunkId(301));
        assert!(place.is_some(), "{query}");
        assert!(hits.is_sorted_by(|a, b| a.score >= b.score), "{query}");
    }
    let prose = search(
        &collection,
        "how does the retry policy of RetryPolicy delay",
    );
    assert!(effect(&prose[9], "definition_guarantee") > 0.0);
    let query = ParsedQuery::parse("how does the retry policy of RetryPolicy delay");
    let hits = collection
        .search(&Request {
            limit: 3,
            ..Request::new(&query)
        })
        .unwrap();
    assert_eq!(hits.len(), 3);
    assert_eq!(hits[2].id, ChunkId(301));
}

#[test]
fn each_of_several_identifiers_has_a_definition_among_the_first_ten() {
    let mut samples: Vec<Sample> = (1..=50)
        .map(|id| {
            Sample::new(
                id,
                &format!("src/{id}.rs"),
                "AlphaOne BetaTwo needle needle",
            )
        })
        .collect();
    samples.push(
        Sample::new(51, "tests/a.rs", &"hay ".repeat(300))
            .defining(SymbolKind::Variable, "AlphaOne"),
    );
    samples.push(
        Sample::new(52, "tests/b.rs", &"hay ".repeat(300))
            .defining(SymbolKind::Variable, "BetaTwo"),
    );
    let found = found(&index(&samples, 9), "needle of AlphaOne and BetaTwo");
    assert!(found.contains(&51) && found.contains(&52), "{found:?}");
}

#[test]
fn without_saturation_chunks_of_one_file_keep_their_scores() {
    let samples = [
        Sample::new(1, "a.rs", "needle needle needle"),
        Sample::new(2, "a.rs", "needle needle hay"),
        Sample::new(3, "b.rs", "needle hay hay"),
    ];
    let collection = index(&samples, 9);
    let query = ParsedQuery::parse("needle");
    let ids = |saturate| {
        let request = Request {
            rules: if saturate {
                RuleSet::ALL
            } else {
                RuleSet::ALL.without(Rule::Saturation)
            },
            mode: Mode::Text,
            ..Request::new(&query)
        };
        collection
            .search(&request)
            .unwrap()
            .iter()
            .map(|hit| hit.id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(false), [1, 2, 3]);
    assert_eq!(ids(true), [1, 3, 2]);
}

#[test]
fn a_rule_that_is_left_out_does_nothing_and_is_named_nowhere() {
    let collection = index(&with_vectors(), 3);
    let vector = query_vector([1.0, 0.0, 0.0, 0.0]);
    for text in ["delay of retry_request", "Backoff", "how long is the delay"] {
        let query = ParsedQuery::parse(text);
        let named = |rules| -> std::collections::BTreeSet<String> {
            let request = Request {
                vector: Some(&vector),
                rules,
                explain: true,
                ..Request::new(&query)
            };
            let hits = collection.search(&request).unwrap();
            let explanations = hits.iter().filter_map(|hit| hit.explanation.as_ref());
            explanations
                .flat_map(|explanation| {
                    let sum: f32 = explanation.rules.iter().map(|rule| rule.effect).sum();
                    let fused = explanation.fusion.text + explanation.fusion.vector;
                    assert!((fused + sum - explanation.score).abs() < 1e-4);
                    explanation.rules.iter().map(|rule| rule.rule.clone())
                })
                .collect()
        };
        assert!(!named(RuleSet::ALL).is_empty(), "{text}");
        assert!(named(RuleSet::NONE).is_empty(), "{text}");
        for rule in Rule::all() {
            let left = named(RuleSet::ALL.without(rule));
            assert!(!left.contains(rule.name()), "{text}: {}", rule.name());
        }
    }
}

#[test]
fn words_that_cover_little_of_the_query_count_less_beside_meaning() {
    let samples = [
        Sample::new(1, "a.rs", "delay").vector([0.0, 1.0, 0.0, 0.0]),
        Sample::new(2, "b.rs", "nothing of it").vector([1.0, 0.0, 0.0, 0.0]),
        Sample::new(3, "c.rs", "hay").vector([0.0, 0.0, 1.0, 0.0]),
    ];
    let collection = index(&samples, 9);
    let vector = query_vector([1.0, 0.0, 0.0, 0.0]);
    let text_share = |text: &str, rules| {
        let query = ParsedQuery::parse(text);
        let request = Request {
            vector: Some(&vector),
            rules,
            explain: true,
            ..Request::new(&query)
        };
        let hits = collection.search(&request).unwrap();
        let hit = hits.iter().find(|hit| hit.id == ChunkId(1)).unwrap();
        hit.explanation.as_ref().unwrap().fusion.text
    };
    assert_eq!(text_share("delay", RuleSet::ALL), 1.0);
    let unknown = "delay between unheard words elsewhere";
    assert!(text_share(unknown, RuleSet::ALL) < 0.5);
    assert_eq!(
        text_share(unknown, RuleSet::ALL.without(Rule::QueryCover)),
        1.0
    );
}

#[test]
fn a_section_that_is_asked_for_by_its_heading_is_not_lowered_as_a_document() {
    let samples = [
        Sample::new(1, "src/folder.rs", "folder answers folder answers"),
        Sample::new(2, "GUIDE.md", "how it goes: a folder becomes answers")
            .defining(SymbolKind::Heading, "How a folder becomes answers"),
        Sample::new(3, "GUIDE.md", "folder answers")
            .defining(SymbolKind::Heading, "What folder names mean in answers"),
    ];
    let collection = index(&samples, 9);
    let hits = search(&collection, "How a folder becomes answers");
    let lowered = |id: u64| {
        let hit = hits.iter().find(|hit| hit.id == ChunkId(id)).unwrap();
        effect(hit, "prior_prose") < 0.0
    };
    assert_eq!(hits[0].id, ChunkId(2));
    assert!(!lowered(1) && !lowered(2) && lowered(3));
}

#[test]
fn fields_are_weighed_by_the_rules_of_the_request() {
    let samples = [
        Sample::new(1, "a.rs", "needle hay"),
        Sample::new(2, "b.rs", "hay hay").defining(SymbolKind::Function, "needle"),
    ];
    let collection = index(&samples, 9);
    let query = ParsedQuery::parse("hay of the needle");
    let score = |rules: RuleSet| {
        let request = Request {
            mode: Mode::Text,
            rules,
            explain: true,
            ..Request::new(&query)
        };
        let hits = collection.search(&request).unwrap();
        let hit = hits.iter().find(|hit| hit.id == ChunkId(2)).unwrap();
        hit.explanation
            .as_ref()
            .unwrap()
            .bm25
            .as_ref()
            .unwrap()
            .score
    };
    let (usual, without) = (
        score(RuleSet::ALL),
        score(RuleSet::ALL.without(Rule::FieldSymbols)),
    );
    let half = score(RuleSet::ALL.scaled(Rule::FieldSymbols, 0.5));
    assert!(without < half && half < usual, "{without} {half} {usual}");
    assert_eq!(
        score(RuleSet::ALL),
        usual,
        "what is remembered is unchanged"
    );
}

#[test]
fn an_empty_collection_or_query_finds_nothing() {
    let empty = index(&[], 1);
    assert!(empty.is_empty());
    for query in ["", "anything", "How::much"] {
        for mode in MODES {
            assert!(searched(&empty, query, mode).is_empty());
        }
    }
    assert!(found(&index(&samples(), 3), "").is_empty());
    assert!(found(&index(&samples(), 3), "zzzz").is_empty());
}

#[test]
fn a_query_of_another_model_is_refused() {
    let collection = index(&with_vectors(), 3);
    let query = ParsedQuery::parse("delay");
    let vector = QueryVector::new(&[1.0, 0.0]).unwrap();
    let request = Request {
        vector: Some(&vector),
        ..Request::new(&query)
    };
    assert!(matches!(
        collection.search(&request),
        Err(Error::Dimensions {
            found: 2,
            expected: 4
        })
    ));
    assert!(
        collection
            .search(&Request {
                mode: Mode::Text,
                ..request
            })
            .is_ok(),
        "words need no vector"
    );
}

#[test]
fn cosines_scanned_in_parts_give_the_same_answer() {
    let collection = index(&with_vectors(), 3);
    let query = ParsedQuery::parse("delay before a retry");
    let vector = query_vector([0.8, 0.6, 0.1, 0.0]);
    let request = Request {
        vector: Some(&vector),
        ..Request::new(&query)
    };
    let mut cosines = vec![0.0; collection.vectors_len()];
    let (first, second) = cosines.split_at_mut(3);
    collection.scan(&vector, 0..3, None, first).unwrap();
    collection.scan(&vector, 3..7, None, second).unwrap();
    assert_eq!(
        collection.search_scanned(&request, cosines).unwrap(),
        collection.search(&request).unwrap()
    );
}

#[test]
fn files_of_one_path_from_two_sources_are_two_files() {
    let mut samples = vec![
        Sample::new(1, "src/a.rs", "needle needle"),
        Sample::new(2, "src/a.rs", "needle needle"),
    ];
    let of_one_file = index(&samples, 9);
    samples[1].record.file = crate::FileId(7);
    let of_two_files = index(&samples, 9);
    let scores = |collection: &Collection| -> Vec<f32> {
        let query = ParsedQuery::parse("needle");
        let hits = collection.search(&Request::new(&query)).unwrap();
        hits.iter().map(|hit| hit.score).collect()
    };
    let (one, two) = (scores(&of_one_file), scores(&of_two_files));
    assert!(
        one[1] < one[0],
        "the second chunk of a file counts less: {one:?}"
    );
    assert!(
        (two[0] - two[1]).abs() < 1e-6,
        "each is the first of its file: {two:?}"
    );
}

#[test]
fn a_replaced_chunk_loses_its_vector() {
    let mut collection = index(&with_vectors(), 3);
    assert!(collection.vector(ChunkId(1)).is_some());
    collection.put(&samples()[0].record);
    assert!(collection.vector(ChunkId(1)).is_none());
    collection
        .put_vector(ChunkId(999), &[0.0; DIMENSIONS])
        .unwrap();
    assert_eq!(collection.vectors_len(), 6);
    collection.set_vectors(VectorSet::new(2));
    assert_eq!(collection.vectors_len(), 0);
    collection.put_vector(ChunkId(1), &[1.0, 0.0]).unwrap();
}

fn a_sample(id: u64) -> impl Strategy<Value = Sample> {
    let words = prop::collection::vec(
        prop::sample::select(vec!["alpha", "beta", "gammaDelta", "how", "Epsilon"]),
        0..8,
    );
    let path = prop::sample::select(vec![
        "alpha/x.rs",
        "beta.rs",
        "tests/alpha.rs",
        "x/y/gamma.rs",
        "x/index.ts",
    ]);
    let name = prop::sample::select(vec![
        "alpha",
        "Alpha",
        "gammaDelta",
        "beta_alpha",
        "Epsilon",
    ]);
    let vector = prop::option::of([-1.0f32..1.0, -1.0f32..1.0, -1.0f32..1.0, -1.0f32..1.0]);
    (words, path, name, any::<bool>(), vector).prop_map(
        move |(words, path, name, is_type, vector)| {
            let kind = if is_type {
                SymbolKind::Type
            } else {
                SymbolKind::Variable
            };
            let sample = Sample::new(id, path, &words.join(" ")).defining(kind, name);
            Sample { vector, ..sample }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_corpus_gives_the_same_answers_in_any_order(
        samples in (1u64..30).prop_flat_map(|count| (1..=count).map(a_sample).collect::<Vec<_>>()),
        query in prop::sample::select(vec!["alpha", "how Epsilon beta", "gammaDelta", "Alpha::beta", "x", "delta of beta"]),
        commit_every in 1usize..9,
    ) {
        let reference = index(&samples, usize::MAX);
        let mut reversed = samples.clone();
        reversed.reverse();
        let other = index(&reversed, commit_every);
        for mode in MODES {
            let (a, b) = (searched(&reference, query, mode), searched(&other, query, mode));
            prop_assert_eq!(&a, &b);
            prop_assert!(a.len() <= 10);
            for hit in &a {
                let explanation = hit.explanation.as_ref().unwrap();
                let effects: f32 = explanation.rules.iter().map(|rule| rule.effect).sum();
                let sum = explanation.fusion.text + explanation.fusion.vector + effects;
                prop_assert!((sum - hit.score).abs() < 1e-4, "{} is not {}", sum, hit.score);
            }
        }
    }
}
