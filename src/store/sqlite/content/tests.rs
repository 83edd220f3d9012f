//! The store's promises: elections, the log, damage, versions.

use std::fs;
use std::path::Path;

use super::*;
use crate::store::{
    ChunkId, Collection, CollectionKind, FileChange, FileId, JobRow, JobState, NewChunk, NewFile,
    Op, OpKind, Source, SourceKind, Store, StoreWriter,
};

struct Fixture {
    dir: tempfile::TempDir,
    db: ContentDb,
    collection: Collection,
    source: Source,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let mut db = ContentDb::open(dir.path()).unwrap();
    let collection = db.put_collection("code", CollectionKind::Code).unwrap();
    let source = db
        .put_source(collection.id, SourceKind::Folder, "/src", 1)
        .unwrap();
    Fixture {
        dir,
        db,
        collection,
        source,
    }
}

fn chunk(text: &str, line: u32) -> NewChunk {
    let hash = blake3::hash(text.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    NewChunk {
        start_line: line,
        end_line: line,
        text: text.to_owned(),
        symbols: vec![],
        scope: vec!["outer".to_owned()],
        duplicate_key: (text.len() >= 4).then_some(key),
        embed_hash: *hash.as_bytes(),
    }
}

fn file(path: &str, texts: &[&str]) -> FileChange {
    FileChange::Put(NewFile {
        path: path.to_owned(),
        bytes: 1,
        changed_ns: 1,
        hash: [7; 32],
        language: Some("rust"),
        metadata: Default::default(),
        chunks: texts
            .iter()
            .zip(1..)
            .map(|(text, line)| chunk(text, line))
            .collect(),
    })
}

impl Fixture {
    fn apply(&mut self, changes: &[FileChange]) {
        self.db.apply(&self.source, changes).unwrap();
    }

    fn id_of(&self, path: &str) -> FileId {
        self.db
            .files(self.source.id)
            .unwrap()
            .into_iter()
            .find(|file| file.path == path)
            .unwrap()
            .id
    }

    fn canonical(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.db
            .canonical_chunks(self.collection.id, true, &mut |chunk| {
                found.push(format!("{}: {}", chunk.path, chunk.text));
            })
            .unwrap();
        found.sort();
        found
    }

    /// Replays the log and returns the texts that an index following it would hold.
    fn replayed(&self) -> usize {
        let mut live = std::collections::BTreeSet::new();
        for Op { chunk, kind, .. } in self
            .db
            .ops_after(self.collection.id, 0, usize::MAX >> 1)
            .unwrap()
        {
            match kind {
                OpKind::Put => live.insert(chunk),
                OpKind::Delete => live.remove(&chunk),
            };
        }
        let mut canonical = std::collections::BTreeSet::new();
        let mut collect = |row: crate::store::ChunkRow| {
            canonical.insert(row.id);
        };
        self.db
            .canonical_chunks(self.collection.id, false, &mut collect)
            .unwrap();
        assert_eq!(live, canonical);
        live.len()
    }
}

#[test]
fn of_equal_chunks_the_shallowest_then_shortest_path_is_indexed() {
    let mut f = fixture();
    f.apply(&[
        file("a/b/c.rs", &["same text"]),
        file("zz/long.rs", &["same text"]),
        file("zz/s.rs", &["same text", "x"]),
    ]);
    assert_eq!(f.canonical(), ["zz/s.rs: same text", "zz/s.rs: x"]);
    let duplicates = f.db.duplicates(f.collection.id).unwrap();
    assert_eq!(
        duplicates
            .iter()
            .map(|d| d.path.as_str())
            .collect::<Vec<_>>(),
        ["a/b/c.rs", "zz/long.rs"]
    );
    assert_eq!(f.replayed(), 2);
}

#[test]
fn when_the_indexed_copy_goes_another_takes_its_place() {
    let mut f = fixture();
    f.apply(&[file("a.rs", &["same text"]), file("b/b.rs", &["same text"])]);
    f.apply(&[FileChange::Remove {
        id: f.id_of("a.rs"),
    }]);
    assert_eq!(f.canonical(), ["b/b.rs: same text"]);
    assert_eq!(f.replayed(), 1);
}

#[test]
fn a_changed_file_replaces_its_chunks_and_an_untouched_generation_stays() {
    let mut f = fixture();
    f.apply(&[file("a.rs", &["one text", "two text"])]);
    let before = f.db.collections().unwrap()[0].generation;
    f.apply(&[file("a.rs", &["one text", "three text"])]);
    assert_eq!(f.canonical(), ["a.rs: one text", "a.rs: three text"]);
    let after = f.db.collections().unwrap()[0].generation;
    assert_eq!(after, before + 1);
    f.apply(&[FileChange::Touch {
        id: f.id_of("a.rs"),
        changed_ns: 9,
    }]);
    assert_eq!(f.db.collections().unwrap()[0].generation, after);
    assert_eq!(f.replayed(), 2);
}

#[test]
fn a_file_that_turns_unfit_loses_its_chunks_and_keeps_its_reason() {
    let mut f = fixture();
    f.apply(&[file("a.rs", &["one text"])]);
    let skip = FileChange::Skip {
        path: "a.rs".to_owned(),
        bytes: 5,
        changed_ns: 2,
        reason: "not text".to_owned(),
    };
    f.apply(&[skip]);
    assert!(f.canonical().is_empty());
    assert_eq!(
        f.db.files(f.source.id).unwrap()[0].skipped.as_deref(),
        Some("not text")
    );
    let counts = f.db.counts(f.collection.id, None).unwrap();
    assert_eq!((counts.files, counts.skipped, counts.chunks), (0, 1, 0));
}

#[test]
fn a_vector_is_shared_by_equal_texts_and_collected_when_none_is_left() {
    let mut f = fixture();
    let model = f.db.put_model("print", "name", 2).unwrap();
    f.apply(&[file("a.rs", &["cd", "ab"]), file("b.rs", &["ab"])]);
    let pending =
        f.db.pending_vectors(f.collection.id, model, ChunkId(0), 100)
            .unwrap();
    assert_eq!(
        pending
            .iter()
            .map(|row| row.text.as_str())
            .collect::<Vec<_>>(),
        ["cd", "ab"]
    );
    let vectors: Vec<_> = pending
        .iter()
        .map(|row| (row.embed_hash, vec![1.0, -0.5]))
        .collect();
    f.db.put_vectors(model, &vectors).unwrap();
    let counts = f.db.counts(f.collection.id, Some(model)).unwrap();
    assert_eq!((counts.chunks, counts.embedded), (3, 3));
    let mut loaded = Vec::new();
    f.db.vectors(f.collection.id, model, &mut |id, vector| {
        loaded.push((id, vector.to_vec()));
    })
    .unwrap();
    assert_eq!(loaded.len(), 3);
    assert!(loaded.iter().all(|(_, vector)| vector == &[1.0, -0.5]));
    f.apply(&[file("a.rs", &["ab"])]);
    assert_eq!(f.db.collect_vectors(0).unwrap(), 1);
    assert_eq!(
        f.db.counts(f.collection.id, Some(model)).unwrap().embedded,
        2
    );
    f.apply(&[file("a.rs", &[]), file("b.rs", &[])]);
    assert_eq!(f.db.collect_vectors(0).unwrap(), 0, "the newest stays");
    let last = f.db.last_vector().unwrap();
    f.db.put_vectors(model, &[([9; 32], vec![1.0, 0.0])])
        .unwrap();
    assert!(f.db.last_vector().unwrap() > last, "so numbers grow");
}

#[test]
fn a_trimmed_log_remembers_how_far_it_was_trimmed() {
    let mut f = fixture();
    f.apply(&[file("a.rs", &["one text", "two text"])]);
    let last = f.db.last_seq().unwrap();
    f.db.trim_ops(f.collection.id, last).unwrap();
    assert!(f.db.ops_after(f.collection.id, 0, 10).unwrap().is_empty());
    assert_eq!(f.db.trimmed_seq(f.collection.id).unwrap(), last);
    f.apply(&[file("b.rs", &["three text"])]);
    assert!(
        f.db.ops_after(f.collection.id, last, 10)
            .unwrap()
            .iter()
            .all(|op| op.seq > last)
    );
}

fn close(fixture: Fixture) -> tempfile::TempDir {
    fixture.db.close().unwrap();
    fixture.dir
}

fn reopen(dir: &Path) -> StoreError {
    ContentDb::open(dir).unwrap_err()
}

#[test]
fn a_file_that_is_not_a_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    fs::write(
        &path,
        "this is not a database, but somebody's letter ".repeat(50),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    let error = reopen(dir.path());
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.remedy().unwrap().contains("restore"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_truncated_database_is_refused() {
    let mut f = fixture();
    let texts: Vec<String> = (0..2000)
        .map(|i| format!("chunk number {i} with some text"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    f.apply(&[file("a.rs", &texts)]);
    // As after a crash: not closed in good order, so the structure is checked.
    let Fixture { dir, db, .. } = f;
    db.connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    drop(db);
    let path = dir.path().join(FILE_NAME);
    let len = fs::metadata(&path).unwrap().len();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(len / 2 / 4096 * 4096)
        .unwrap();
    let error = reopen(dir.path());
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_store_that_vanished_is_not_replaced_by_an_empty_one() {
    let dir = close(fixture());
    fs::create_dir(dir.path().join(INDEX_FOLDER)).unwrap();
    fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
    assert!(matches!(reopen(dir.path()), StoreError::Vanished { .. }));
    assert!(matches!(
        ContentDb::open_read_only(dir.path()),
        Err(StoreError::Vanished { .. })
    ));
    fs::write(dir.path().join(FILE_NAME), "").unwrap();
    assert!(matches!(reopen(dir.path()), StoreError::Damaged { .. }));
}

#[test]
fn a_reader_of_an_unused_directory_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        ContentDb::open_read_only(dir.path()),
        Err(StoreError::Absent { .. })
    ));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn vectors_are_handed_out_as_they_come_for_every_chunk_that_has_them() {
    let mut f = fixture();
    let model = f.db.put_model("print", "name", 1).unwrap();
    f.apply(&[file("a.rs", &["ab", "cd"]), file("b.rs", &["ab"])]);
    let hash = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
    let after = |f: &Fixture, after| {
        let mut found = Vec::new();
        let mut each = |number, chunk, vector: &[f32]| found.push((number, chunk, vector[0]));
        f.db.vectors_after(f.collection.id, model, after, &mut each)
            .unwrap();
        found
    };
    f.db.put_vectors(model, &[(hash("ab"), vec![1.0])]).unwrap();
    let first = after(&f, 0);
    assert_eq!(first.len(), 2, "two chunks have this text");
    let seen = f.db.last_vector().unwrap();
    assert!(after(&f, seen).is_empty());
    f.db.put_vectors(model, &[(hash("cd"), vec![2.0])]).unwrap();
    let second = after(&f, seen);
    assert_eq!(second.len(), 1);
    assert!(second[0].0 > seen && (second[0].2 - 2.0).abs() < f32::EPSILON);
    let mut of = Vec::new();
    f.db.vectors_of(&[first[0].1, ChunkId(999)], model, &mut |chunk, vector| {
        of.push((chunk, vector.to_vec()));
    })
    .unwrap();
    assert_eq!(of, [(first[0].1, vec![1.0])]);
}

#[test]
fn a_source_is_taken_out_with_its_files_and_a_copy_elsewhere_takes_their_place() {
    let mut f = fixture();
    f.apply(&[file("a.rs", &["same text", "own text"])]);
    let documents =
        f.db.put_source(f.collection.id, SourceKind::Documents, "", 1)
            .unwrap();
    assert_eq!(documents.folder(), None);
    f.db.apply(&documents, &[file("deep/b.md", &["same text"])])
        .unwrap();
    assert_eq!(f.canonical(), ["a.rs: own text", "a.rs: same text"]);
    let source = f.source.clone();
    f.db.delete_source(&source).unwrap();
    assert_eq!(f.canonical(), ["deep/b.md: same text"]);
    f.replayed();
    assert_eq!(f.db.sources(f.collection.id).unwrap(), [documents]);
}

#[test]
fn jobs_are_kept_and_those_that_ended_long_ago_forgotten() {
    let mut f = fixture();
    let job = |number: u32, state| JobRow {
        id: format!("job-{number:05}"),
        collection: "code".to_owned(),
        source: f.source.id,
        within: vec!["src".to_owned()],
        with_vectors: true,
        state,
        created_ms: 1,
        started_ms: Some(2),
        finished_ms: None,
        report: None,
        error: Some(("io".to_owned(), "cannot".to_owned())),
    };
    let open = job(0, JobState::Running);
    let ended: Vec<JobRow> = (1..=1_005).map(|n| job(n, JobState::Done)).collect();
    f.db.put_job(&open).unwrap();
    for job in &ended {
        f.db.put_job(job).unwrap();
    }
    assert_eq!(f.db.job("job-00000").unwrap(), Some(open.clone()));
    assert_eq!(f.db.open_jobs().unwrap(), [open]);
    assert_eq!(f.db.job("job-00005").unwrap(), None);
    assert_eq!(
        f.db.jobs(2).unwrap(),
        [ended[1_004].clone(), ended[1_003].clone()]
    );
}

#[test]
fn a_store_of_the_first_version_is_migrated_with_all_that_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let old = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    old.execute_batch(schema::MIGRATIONS[0]).unwrap();
    old.execute_batch(
        "INSERT INTO collection (name, kind, generation, trimmed) VALUES ('gone', 'code', 1, 1), ('kept', 'code', 7, 3);
         DELETE FROM collection WHERE name = 'gone';
         INSERT INTO source (collection_id, root, pipeline) VALUES (2, '/src', 1);
         INSERT INTO file (source_id, path, bytes, changed_ns) VALUES (1, 'a.rs', 1, 1);
         INSERT INTO collection (name, kind) VALUES ('last', 'code');
         DELETE FROM collection WHERE name = 'last';",
    )
    .unwrap();
    old.pragma_update(None, "application_id", schema::APPLICATION_ID)
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    assert!(matches!(
        ContentDb::open_read_only(dir.path()),
        Err(StoreError::TooOld { .. })
    ));
    let mut db = ContentDb::open(dir.path()).unwrap();
    let kept = db.collections().unwrap().remove(0);
    assert_eq!((kept.name.as_str(), kept.generation), ("kept", 7));
    let source = db.sources(kept.id).unwrap().remove(0);
    assert_eq!(source.folder(), Some(Path::new("/src")));
    assert_eq!(db.files(source.id).unwrap().len(), 1);
    assert_eq!(db.trimmed_seq(kept.id).unwrap(), 3);
    let (new, made) = db
        .create_collection("new", CollectionKind::Vectors, Some(3))
        .unwrap();
    assert!(made && new.id > crate::store::CollectionId(3), "{new:?}");
    db.delete_collection(kept.id).unwrap();
    assert!(
        db.files(source.id).unwrap().is_empty(),
        "cascades still work"
    );
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let f = fixture();
    f.db.connection
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let dir = close(f);
    assert!(matches!(
        reopen(dir.path()),
        StoreError::TooNew { found: 99, .. }
    ));
}

#[test]
fn another_programs_database_is_refused() {
    let f = fixture();
    f.db.connection
        .pragma_update(None, "application_id", 1)
        .unwrap();
    let dir = close(f);
    assert!(matches!(reopen(dir.path()), StoreError::Damaged { .. }));
}

#[test]
fn a_reader_sees_what_the_writer_committed_while_it_writes() {
    let mut f = fixture();
    let reader = ContentDb::open_read_only(f.dir.path()).unwrap();
    assert_eq!(reader.counts(f.collection.id, None).unwrap().chunks, 0);
    f.apply(&[file("a.rs", &["one text"])]);
    assert_eq!(reader.counts(f.collection.id, None).unwrap().chunks, 1);
    assert_eq!(
        reader
            .chunk_at(f.source.id, "a.rs", 1)
            .unwrap()
            .unwrap()
            .text,
        "one text"
    );
    assert_eq!(reader.chunk_at(f.source.id, "a.rs", 2).unwrap(), None);
}
