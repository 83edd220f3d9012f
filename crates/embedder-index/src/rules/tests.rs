use crate::{
    SymbolKind::{Declaration, Function, Heading, Impl, Namespace, Type, Variable},
    corpus::{Sample, effect, found, index, search},
};

/// The best score after file evidence: what boosts are counted in. With one file in question, the best chunk has all of
/// words and eight tenths of that again.
const UNIT: f32 = 1.8;

#[track_caller]
fn assert_near(found: f32, expected: f32) {
    assert!(
        (found - expected).abs() < 1e-4,
        "{found}, expected {expected}"
    );
}

/// The effects of a rule on each sample, by id.
fn effects(samples: &[Sample], query: &str, rule: &str) -> Vec<(u64, f32)> {
    let hits = search(&index(samples, usize::MAX), query);
    let mut effects: Vec<(u64, f32)> = hits
        .iter()
        .map(|hit| (hit.id.0, effect(hit, rule)))
        .collect();
    effects.sort_by_key(|&(id, _)| id);
    effects
}

#[test]
fn the_best_chunk_of_a_file_with_many_good_ones_is_lifted() {
    let samples = [
        Sample::new(1, "alone.rs", "needle"),
        Sample::new(2, "many.rs", "needle needle"),
        Sample::new(3, "many.rs", "needle"),
        Sample::new(4, "many.rs", "needle"),
        Sample::new(5, "none.rs", "hay"),
    ];
    let effects = effects(&samples, "needle", "file_evidence");
    // Chunk 2 is the best, so its file has the most evidence: the whole weight, without meaning.
    assert_near(effects[1].1, 0.8);
    assert!(effects[0].1 > 0.0 && effects[0].1 < 0.8, "{effects:?}");
    assert_eq!((effects[2].1, effects[3].1), (0.0, 0.0));
}

#[test]
fn words_in_the_path_lift_every_found_chunk_of_the_file() {
    let samples = [
        Sample::new(1, "src/retry.rs", "delay"),
        Sample::new(2, "src/retry.rs", "delay"),
        Sample::new(3, "retry/other.rs", "delay"),
        Sample::new(4, "src/other.rs", "delay"),
        Sample::new(5, "src/retry.rs", "nothing of it"),
    ];
    let effects = effects(&samples, "retry delay", "path_words");
    // Chunk 5 is found by its file's name.
    assert_eq!(
        effects.iter().map(|&(id, _)| id).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    let (stem, folder) = (effects[0].1, effects[2].1);
    assert!(stem > 0.0);
    assert_near(effects[1].1, stem);
    assert_near(effects[4].1, stem);
    assert_near(folder, stem / 2.0);
    assert_eq!(effects[3].1, 0.0);
}

#[test]
fn a_folder_does_not_count_again_what_the_stem_says() {
    let samples = [
        Sample::new(1, "retry/retry.rs", "x"),
        Sample::new(2, "other/retry.rs", "x"),
    ];
    let effects = effects(&samples, "retry", "path_words");
    assert_near(effects[0].1, effects[1].1);
}

#[test]
fn kinds_of_definitions_differ_in_strength() {
    let kinds = [
        (Type, 1.0),
        (Function, 0.8),
        (Impl, 0.5),
        (Variable, 0.4),
        (Declaration, 0.4),
        (Namespace, 0.2),
        (Heading, 0.2),
    ];
    for (kind, strength) in kinds {
        // The mention makes the unit the same whatever the definition's words weigh.
        let samples = [Sample::new(1, "a.rs", "Widget").defining(kind, "Widget")];
        let effects = effects(&samples, "Widget", "definition");
        assert_near(effects[0].1, 2.0 * strength * UNIT);
    }
}

#[test]
fn case_qualifier_extent_and_file_name_change_the_strength() {
    let plain =
        |path: &str, name: &str| Sample::new(1, path, "widget Widget open x").defining(Type, name);
    let strength = |sample: Sample, query: &str| {
        let effects = effects(std::slice::from_ref(&sample), query, "definition");
        effects[0].1 / (2.0 * UNIT)
    };
    assert_near(strength(plain("a.rs", "Widget"), "Widget"), 1.0);
    assert_near(strength(plain("a.rs", "widget"), "Widget"), 0.6);
    assert_near(strength(plain("widget.rs", "Widget"), "Widget"), 1.5);
    assert_near(strength(plain("a.rs", "open"), "Widget::open"), 0.5);
    assert_near(
        strength(plain("a.rs", "open").within("Widget"), "Widget::open"),
        1.0,
    );
    assert_near(strength(plain("Widget/a.rs", "open"), "Widget.open"), 1.0);
    let mut long = plain("a.rs", "Widget");
    long.record.definitions[0].end_line = 1_000;
    assert_near(strength(long, "Widget"), 1.1);
}

#[test]
fn an_identifier_in_prose_counts_a_quarter_of_an_identifier_alone() {
    let samples = [Sample::new(1, "a.rs", "Widget drawing").defining(Type, "Widget")];
    assert_near(
        effects(&samples, "drawing one Widget", "definition")[0].1,
        0.5 * UNIT,
    );
    assert_eq!(
        effects(&samples, "drawing one widget", "definition")[0].1,
        0.0
    );
}

#[test]
fn names_made_of_the_words_of_the_question_are_lifted() {
    let samples = [
        Sample::new(1, "a.rs", "retry delay").defining(Function, "retry_delay"),
        Sample::new(2, "b.rs", "retry delay").defining(Function, "retry_delay_of_each_request"),
        Sample::new(3, "c.rs", "retry delay").defining(Type, "RetryDelay"),
        Sample::new(4, "d.rs", "retry delay"),
        Sample::new(5, "e.rs", "retry delay").defining(Namespace, "retry_delay"),
    ];
    let effects = effects(&samples, "delay of a retry", "name_cover");
    let [function, longer, kind, none, namespace] = effects
        .iter()
        .map(|&(_, effect)| effect)
        .collect::<Vec<_>>()[..]
    else {
        panic!("all are found: {effects:?}");
    };
    assert_near(function, 0.8 * kind);
    assert!(longer < function && longer > 0.0);
    assert_eq!((none, namespace), (0.0, 0.0));
}

#[test]
fn stop_words_of_the_question_cover_their_part_of_a_name() {
    let covered = [Sample::new(1, "a.rs", "user id").defining(Function, "user_by_id")];
    let uncovered = [Sample::new(1, "a.rs", "user id").defining(Function, "user_xx_id")];
    let with = effects(&covered, "user by id", "name_cover")[0].1;
    let without = effects(&uncovered, "user by id", "name_cover")[0].1;
    assert_near(without, with * 2.0 / 3.0);
}

#[test]
fn tests_examples_and_stubs_come_after_what_they_are_about() {
    let paths = ["src/a.rs", "src/a.pyi", "src/__init__.py", "tests/b.rs"];
    let samples: Vec<Sample> = paths
        .iter()
        .zip(1..)
        .map(|(path, id)| Sample::new(id, path, "needle needle needle"))
        .collect();
    let hits = search(&index(&samples, 2), "needle");
    assert_eq!(
        hits.iter().map(|hit| hit.id.0).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert!(effect(&hits[3], "prior_test") < 0.0);
    assert!(effect(&hits[0], "prior_test") == 0.0);
}

#[test]
fn a_second_chunk_of_a_file_counts_half() {
    let samples = [
        Sample::new(1, "a.rs", "needle needle needle needle"),
        Sample::new(2, "a.rs", "needle needle needle hay"),
        Sample::new(3, "b.rs", "needle hay hay hay"),
        Sample::new(4, "c.rs", "hay"),
        Sample::new(5, "d.rs", "hay"),
    ];
    assert_eq!(found(&index(&samples, 9), "needle"), [1, 3, 2]);
}
