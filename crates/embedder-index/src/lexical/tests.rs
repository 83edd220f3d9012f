use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use tantivy::directory::RamDirectory;

use super::{bm25::K1, *};
use crate::{
    analysis::Analyser,
    catalogue::Catalogue,
    chunk::{ChunkId, ChunkRecord, SymbolKind},
    corpus::Sample,
    path,
};

fn create() -> LexicalIndex {
    LexicalIndex::open_or_create(RamDirectory::create())
        .unwrap()
        .0
}

/// The scores of a term by chunk.
fn scores(reader: &LexicalReader, records: &[ChunkRecord], term: &str) -> BTreeMap<u64, f32> {
    let mut catalogue = Catalogue::default();
    records.iter().for_each(|record| {
        catalogue.put(record);
    });
    let scores = Postings::new(reader, &catalogue)
        .term(term, &catalogue, &crate::RuleSet::ALL)
        .unwrap();
    scores
        .matches
        .iter()
        .map(|&(slot, score)| (catalogue.chunk(slot).unwrap().id.0, score))
        .collect()
}

/// BM25F as it is written down, over the living chunks, in f64.
fn expected_scores(samples: &BTreeMap<u64, Sample>, term: &str) -> BTreeMap<u64, f32> {
    let mut analyser = Analyser::default();
    let mut fields = |sample: &Sample| {
        let record = &sample.record;
        let symbols = record
            .definitions
            .iter()
            .filter(|definition| definition.kind.is_searched());
        let symbols: Vec<&str> = symbols.map(|definition| definition.name.as_str()).collect();
        let folders: Vec<&str> = path::folders(&record.path).collect();
        [
            sample.text.clone(),
            symbols.join(" "),
            record.scope.join(" "),
            path::stem(&record.path).to_owned(),
            folders.join(" "),
        ]
        .map(|text| {
            analyser
                .terms(&text)
                .iter()
                .map(str::to_owned)
                .collect::<Vec<String>>()
        })
    };
    let documents: BTreeMap<u64, [Vec<String>; 5]> = samples
        .iter()
        .map(|(&id, sample)| (id, fields(sample)))
        .collect();
    let total = documents.len() as f64;
    let matching = documents
        .values()
        .filter(|fields| fields.iter().flatten().any(|found| found == term))
        .count() as f64;
    let idf = (1.0 + (total - matching + 0.5) / (matching + 0.5)).ln();
    let average = |field: usize| {
        documents
            .values()
            .map(|fields| fields[field].len() as f64)
            .sum::<f64>()
            / total
    };
    let scores = documents.iter().filter_map(|(&id, fields)| {
        let frequency: f64 = FIELDS
            .into_iter()
            .enumerate()
            .map(|(at, field)| {
                let tf = fields[at].iter().filter(|found| *found == term).count() as f64;
                let b = f64::from(field.length_influence());
                if tf == 0.0 {
                    0.0
                } else {
                    f64::from(field.weight()) * tf
                        / (1.0 - b + b * fields[at].len() as f64 / average(at))
                }
            })
            .sum();
        let k1 = f64::from(K1);
        (frequency > 0.0).then(|| (id, (idf * (k1 + 1.0) * frequency / (k1 + frequency)) as f32))
    });
    scores.collect()
}

#[derive(Clone, Debug)]
enum Step {
    Put(Sample),
    Delete(u64),
    Commit,
}

fn a_step() -> impl Strategy<Value = Step> {
    let word = prop::sample::select(vec![
        "alpha",
        "betaGamma",
        "gamma",
        "delta_alpha",
        "running",
        "x",
    ]);
    let text = prop::collection::vec(word.clone(), 0..12).prop_map(|words| words.join(" "));
    let put = (
        0u64..12,
        prop::sample::select(vec!["alpha/gamma.rs", "src/beta/mod.rs", "x.rs"]),
        text,
        word,
    );
    prop_oneof![
        6 => put.prop_map(|(id, path, text, name)| {
            Step::Put(Sample::new(id, path, &text).defining(SymbolKind::Type, name).within("gammaScope"))
        }),
        1 => (0u64..12).prop_map(Step::Delete),
        2 => Just(Step::Commit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn scores_are_those_of_the_formula_over_the_living_chunks(steps in prop::collection::vec(a_step(), 1..40)) {
        let index = create();
        let mut writer = index.writer().unwrap();
        let mut living: BTreeMap<u64, Sample> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(sample) => {
                    writer.put(&sample.record, &sample.text).unwrap();
                    living.insert(sample.record.id.0, sample);
                }
                Step::Delete(id) => {
                    writer.delete(ChunkId(id));
                    living.remove(&id);
                }
                Step::Commit => writer.commit(1).unwrap(),
            }
        }
        writer.commit(2).unwrap();
        let reader = index.reader().unwrap();
        let records: Vec<ChunkRecord> = living.values().map(|sample| sample.record.clone()).collect();
        for term in ["alpha", "gamma", "=betagamma", "beta", "run", "scope", "nowhere"] {
            let (found, expected) = (scores(&reader, &records, term), expected_scores(&living, term));
            prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{}", term);
            for (id, score) in found {
                prop_assert!((score - expected[&id]).abs() < 1e-5, "{} in {}: {} {}", term, id, score, expected[&id]);
            }
        }
    }
}

#[test]
fn a_commit_carries_the_number_of_its_last_operation() {
    let directory = RamDirectory::create();
    let (index, opened) = LexicalIndex::open_or_create(directory.clone()).unwrap();
    assert_eq!(opened, Opened::Created);
    let mut writer = index.writer().unwrap();
    writer
        .put(&Sample::new(1, "a.rs", "").record, "alpha")
        .unwrap();
    writer.commit(41).unwrap();
    writer.commit(42).unwrap();
    writer
        .put(&Sample::new(2, "b.rs", "").record, "alpha")
        .unwrap();
    // What was not committed is gone, as after a crash.
    drop((writer, index));
    let (index, opened) = LexicalIndex::open_or_create(directory.clone()).unwrap();
    assert_eq!(opened, Opened::Existing { applied: 42 });
    assert_eq!(LexicalIndex::open_read_only(directory).unwrap().1, 42);
    let records = [
        Sample::new(1, "a.rs", "").record,
        Sample::new(2, "b.rs", "").record,
    ];
    assert_eq!(
        scores(&index.reader().unwrap(), &records, "alpha")
            .into_keys()
            .collect::<Vec<_>>(),
        [1]
    );
}

#[test]
fn an_index_that_was_never_committed_is_empty() {
    let directory = RamDirectory::create();
    drop(LexicalIndex::open_or_create(directory.clone()).unwrap());
    let (_, opened) = LexicalIndex::open_or_create(directory).unwrap();
    assert_eq!(opened, Opened::Existing { applied: 0 });
}

#[test]
fn there_is_one_writer_at_a_time() {
    let index = create();
    let writer = index.writer().unwrap();
    assert!(matches!(index.writer(), Err(Error::Locked)));
    drop(writer);
    assert!(index.writer().is_ok());
}

#[test]
fn a_reader_beside_the_writer_sees_commits_when_it_reloads() {
    let directory = RamDirectory::create();
    assert!(matches!(
        LexicalIndex::open_read_only(directory.clone()),
        Err(Error::Missing)
    ));
    let (index, _) = LexicalIndex::open_or_create(directory.clone()).unwrap();
    let mut reader = LexicalIndex::open_read_only(directory)
        .unwrap()
        .0
        .reader()
        .unwrap();
    let mut writer = index.writer().unwrap();
    let sample = Sample::new(1, "a.rs", "alpha");
    writer.put(&sample.record, &sample.text).unwrap();
    writer.commit(1).unwrap();
    let records = [sample.record];
    assert!(scores(&reader, &records, "alpha").is_empty());
    reader.reload().unwrap();
    assert_eq!(scores(&reader, &records, "alpha").len(), 1);
}

#[test]
fn an_index_with_other_fields_is_refused() {
    let directory = RamDirectory::create();
    let mut schema = tantivy::schema::Schema::builder();
    schema.add_text_field("title", tantivy::schema::TEXT);
    Index::create(directory.clone(), schema.build(), IndexSettings::default()).unwrap();
    let error = LexicalIndex::open_or_create(directory).err().unwrap();
    assert!(error.wants_rebuild(), "{error}");
}

/// The files of an index with two segments, one of them with deleted chunks.
fn files_of_an_index() -> HashMap<PathBuf, Vec<u8>> {
    let directory = RamDirectory::create();
    let (index, _) = LexicalIndex::open_or_create(directory.clone()).unwrap();
    let mut writer = index.writer().unwrap();
    for id in 0..20 {
        let sample = Sample::new(id, "src/alpha.rs", "alpha beta gamma");
        writer.put(&sample.record, &sample.text).unwrap();
        if id == 9 {
            writer.commit(1).unwrap();
        }
    }
    writer.delete(ChunkId(3));
    writer.commit(2).unwrap();
    let mut files: Vec<PathBuf> = index
        .index
        .directory()
        .list_managed_files()
        .into_iter()
        .collect();
    files.extend(["meta.json", ".managed.json"].map(PathBuf::from));
    let files = files
        .into_iter()
        .filter(|path| directory.exists(path).unwrap());
    files
        .map(|path| (path.clone(), directory.atomic_read(&path).unwrap()))
        .collect()
}

/// Opens an index of these files, one of them changed, and searches it; either both work as ever, or a typed error says
/// that it is to be rebuilt.
fn check_damage(
    files: &HashMap<PathBuf, Vec<u8>>,
    damaged: &Path,
    content: Option<&[u8]>,
    what: &str,
) {
    let directory = RamDirectory::create();
    for (path, original) in files {
        let content = if path == damaged {
            content
        } else {
            Some(original.as_slice())
        };
        if let Some(content) = content {
            directory.atomic_write(path, content).unwrap();
        }
    }
    let context = format!("{} {what}", damaged.display());
    match LexicalIndex::open_or_create(directory) {
        Ok((_, Opened::Created)) => assert!(
            damaged.ends_with("meta.json") && content.is_none(),
            "{context}"
        ),
        Ok((index, Opened::Existing { applied })) => {
            assert_eq!(applied, 2, "{context}");
            let records: Vec<ChunkRecord> = (0..20)
                .map(|id| Sample::new(id, "src/alpha.rs", "").record)
                .collect();
            let found = scores(&index.reader().unwrap(), &records, "alpha");
            assert_eq!(found.len(), 19, "{context}");
            assert!(!found.contains_key(&3), "{context}");
        }
        Err(error) => assert!(error.wants_rebuild(), "{context}: {error}"),
    }
}

#[test]
fn no_truncation_of_any_file_is_a_panic_or_a_wrong_answer() {
    let files = files_of_an_index();
    assert!(files.len() >= 10, "two segments of several files");
    for (path, original) in &files {
        check_damage(&files, path, None, "missing");
        let length = original.len();
        for cut in [
            0,
            1,
            3,
            4,
            5,
            7,
            8,
            9,
            length / 2,
            length.saturating_sub(9),
            length.saturating_sub(1),
        ] {
            check_damage(
                &files,
                path,
                Some(&original[..cut.min(length)]),
                &format!("cut to {cut}"),
            );
        }
    }
}

#[test]
fn no_changed_byte_of_any_file_is_a_panic_or_a_wrong_answer() {
    let files = files_of_an_index();
    for (path, original) in &files {
        let step = 1 + original.len() / 60;
        for at in (0..original.len()).step_by(step) {
            for change in [0x01, 0x04, 0x80] {
                let mut changed = original.clone();
                changed[at] ^= change;
                check_damage(
                    &files,
                    path,
                    Some(&changed),
                    &format!("byte {at} ^ {change:#x}"),
                );
            }
        }
    }
}
