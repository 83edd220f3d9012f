use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chunk::{ChunkId, ChunkRecord, FileId};

/// A small generator, so that large sets repeat exactly.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn vector(&mut self, dimensions: usize) -> Vec<f32> {
        (0..dimensions)
            .map(|_| self.unit() + self.unit() + self.unit())
            .collect()
    }

    fn near(&mut self, centre: &[f32], distance: f32) -> Vec<f32> {
        centre
            .iter()
            .map(|value| value + distance * self.unit())
            .collect()
    }
}

fn catalogue(count: usize) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for number in 0..count {
        catalogue.put(&ChunkRecord {
            id: ChunkId(number as u64),
            file: FileId(number as u64),
            path: format!("{number:06}"),
            language: None,
            start_line: 1,
            end_line: 1,
            definitions: Vec::new(),
            scope: Vec::new(),
        });
    }
    catalogue
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

/// Compares the ten nearest to each query with those that computing every cosine in f64 finds.
fn check_nearest(stored: &[Vec<f32>], queries: &[Vec<f32>]) {
    let dimensions = stored[0].len();
    let mut vectors = Vectors::new(dimensions);
    for (number, vector) in stored.iter().enumerate() {
        vectors.put(Slot::new(number), vector).unwrap();
    }
    let catalogue = catalogue(stored.len());
    for query in queries {
        let found = vectors.nearest(&QueryVector::new(query).unwrap(), 10, None, &catalogue);
        let mut exact: Vec<(f64, usize)> = stored
            .iter()
            .enumerate()
            .map(|(number, vector)| {
                let (a, b) = (unit(vector), unit(query));
                (
                    a.iter()
                        .zip(&b)
                        .map(|(&a, &b)| f64::from(a) * f64::from(b))
                        .sum(),
                    number,
                )
            })
            .collect();
        exact.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        assert_eq!(found.len(), 10.min(stored.len()));
        for ((slot, cosine), (expected, number)) in found.into_iter().zip(exact) {
            // Which of two vectors comes first may differ where f32 cannot tell their cosines apart.
            assert!(
                (f64::from(cosine) - expected).abs() < 1e-6,
                "{slot:?} {cosine}, expected {number} {expected}"
            );
        }
    }
}

#[test]
fn the_nearest_of_random_vectors_are_all_found() {
    let mut random = Random(1);
    let stored: Vec<Vec<f32>> = (0..5_000).map(|_| random.vector(96)).collect();
    let queries: Vec<Vec<f32>> = (0..20).map(|_| random.vector(96)).collect();
    check_nearest(&stored, &queries);
}

#[test]
fn the_nearest_of_vectors_closer_than_a_byte_can_tell_are_all_found() {
    let mut random = Random(2);
    let centres: Vec<Vec<f32>> = (0..5).map(|_| random.vector(64)).collect();
    let stored: Vec<Vec<f32>> = (0..3_000)
        .map(|number| random.near(&centres[number % 5], 0.002))
        .collect();
    check_nearest(&stored, &centres);
}

#[test]
fn a_vector_with_one_huge_value_hides_nothing() {
    let mut random = Random(3);
    let mut stored: Vec<Vec<f32>> = (0..500).map(|_| random.vector(32)).collect();
    stored[7] = std::iter::once(1000.0).chain(random.vector(31)).collect();
    let queries = vec![stored[7].clone(), stored[8].clone(), random.vector(32)];
    check_nearest(&stored, &queries);
}

#[test]
fn a_scan_in_parts_is_the_whole_scan() {
    let mut random = Random(4);
    let mut vectors = Vectors::new(20);
    for number in 0..2_500 {
        vectors.put(Slot::new(number), &random.vector(20)).unwrap();
    }
    let query = QueryVector::new(&random.vector(20)).unwrap();
    let mut whole = vec![0.0; 2_500];
    vectors.scan(&query, 0..2_500, None, &mut whole);
    for border in [0, 1, 1_023, 1_024, 1_025, 2_500] {
        let mut parts = vec![0.0; 2_500];
        let (before, after) = parts.split_at_mut(border);
        vectors.scan(&query, 0..border, None, before);
        vectors.scan(&query, border..2_500, None, after);
        assert_eq!(parts, whole, "border {border}");
    }
}

#[test]
fn only_allowed_vectors_are_near() {
    let mut vectors = Vectors::new(2);
    for number in 0..3_000 {
        vectors
            .put(Slot::new(number), &[1.0, number as f32 / 1_000.0])
            .unwrap();
    }
    let mut allowed = Allowed::none(3_000);
    for number in [2_999, 1_500, 10] {
        allowed.insert(Slot::new(number));
    }
    let query = QueryVector::new(&[1.0, 0.0]).unwrap();
    let nearest = vectors.nearest(&query, 10, Some(&allowed), &catalogue(3_000));
    let slots: Vec<usize> = nearest.iter().map(|(slot, _)| slot.index()).collect();
    assert_eq!(slots, [10, 1_500, 2_999]);
}

#[test]
fn what_is_no_vector_of_the_collection_is_refused() {
    let mut vectors = Vectors::new(2);
    assert!(matches!(
        vectors.put(Slot::new(0), &[1.0]),
        Err(Error::Dimensions {
            found: 1,
            expected: 2
        })
    ));
    assert!(matches!(
        vectors.put(Slot::new(0), &[f32::NAN, 1.0]),
        Err(Error::NotFinite)
    ));
    assert_eq!(vectors.len(), 0);
    assert!(matches!(
        QueryVector::new(&[f32::INFINITY]),
        Err(Error::NotFinite)
    ));
}

#[test]
fn a_vector_of_zeros_is_similar_to_nothing() {
    let mut vectors = Vectors::new(2);
    vectors.put(Slot::new(0), &[0.0, 0.0]).unwrap();
    let query = QueryVector::new(&[1.0, 0.0]).unwrap();
    assert_eq!(vectors.cosine(Slot::new(0), &query), Some(0.0));
}

#[test]
fn a_prepared_set_refuses_what_is_no_vector_and_stays_as_it_was() {
    let mut set = VectorSet::new(2);
    set.push(ChunkId(0), &[3.0, 4.0]).unwrap();
    assert!(matches!(
        set.push(ChunkId(1), &[1.0]),
        Err(Error::Dimensions {
            found: 1,
            expected: 2
        })
    ));
    assert!(matches!(
        set.push(ChunkId(0), &[1.0, f32::NAN]),
        Err(Error::NotFinite)
    ));
    let vectors = Vectors::of(set, &catalogue(2));
    assert_eq!(vectors.len(), 1);
    assert_eq!(vectors.get(Slot::new(0)), Some(&[0.6, 0.8][..]));
}

proptest! {
    #[test]
    fn a_prepared_set_is_the_same_as_vectors_put_one_by_one(pushed in prop::collection::vec((0u64..30, -5.0f32..5.0), 0..60)) {
        let catalogue = catalogue(20);
        let (mut set, mut vectors) = (VectorSet::new(2), Vectors::new(2));
        for &(id, value) in &pushed {
            set.push(ChunkId(id), &[value, 1.0]).unwrap();
            if let Some(slot) = catalogue.slot(ChunkId(id)) {
                vectors.put(slot, &[value, 1.0]).unwrap();
            }
        }
        let of_set = Vectors::of(set, &catalogue);
        prop_assert_eq!(of_set.len(), vectors.len());
        for slot in (0..20).map(Slot::new) {
            prop_assert_eq!(of_set.get(slot), vectors.get(slot));
        }
        for (row, &slot) in of_set.slots().iter().enumerate() {
            prop_assert_eq!(of_set.row_of(slot), Some(row));
        }
    }

    #[test]
    fn vectors_are_those_of_a_map(operations in prop::collection::vec((0usize..40, prop::option::of(-5.0f32..5.0)), 0..200)) {
        let mut vectors = Vectors::new(3);
        let mut model: BTreeMap<usize, f32> = BTreeMap::new();
        // Enough rows that deleting moves rows from one block to another.
        for number in 0..BLOCK_ROWS {
            vectors.put(Slot::new(number + 100), &[1.0, 0.0, 0.0]).unwrap();
        }
        for (slot, value) in operations {
            match value {
                Some(value) => {
                    vectors.put(Slot::new(slot), &[value, 1.0, 0.0]).unwrap();
                    model.insert(slot, value);
                }
                None => {
                    vectors.delete(Slot::new(slot));
                    model.remove(&slot);
                }
            }
        }
        prop_assert_eq!(vectors.len(), BLOCK_ROWS + model.len());
        let query = QueryVector::new(&[0.0, 1.0, 0.0]).unwrap();
        let mut scores = vec![0.0; vectors.len()];
        vectors.scan(&query, 0..scores.len(), None, &mut scores);
        for (&slot, score) in vectors.slots().iter().zip(scores) {
            let expected = model.get(&slot.index()).map_or(0.0, |value| 1.0 / (value * value + 1.0).sqrt());
            prop_assert!((vectors.cosine(slot, &query).unwrap() - expected).abs() < 1e-5);
            prop_assert!((score - expected).abs() < 0.02);
        }
        for slot in 0..40 {
            prop_assert_eq!(vectors.get(Slot::new(slot)).is_some(), model.contains_key(&slot));
        }
    }
}
