//! A whole service in a folder of its own, without a face and without a model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::documents::{NewDocument, Written};
use super::*;
use crate::engine::search::{Mode, SearchRequest};
use crate::error::ErrorCode;
use crate::store::{CollectionKind, JobRow, JobState, SourceKind, StoreWriter};

const DEADLINE: Duration = Duration::from_secs(60);

fn new_source(folder: &std::path::Path) -> super::sources::NewSource {
    super::sources::NewSource {
        may_sign_in: false,
        origin: crate::engine::ingest::Origin::Folder(folder.to_owned()),
        within: Vec::new(),
        with_vectors: false,
        watch: None,
    }
}

fn open(data_dir: &Path) -> Arc<Service> {
    let flags = BTreeMap::from([
        ("data_dir".to_owned(), data_dir.display().to_string()),
        ("threads".to_owned(), "2".to_owned()),
    ]);
    let config = Config::load(flags, &BTreeMap::new()).unwrap();
    let service = Service::open(config, Arc::new(Metrics::new(&[], "test"))).unwrap();
    service.warm().unwrap();
    service
}

fn document(id: &str, text: &str) -> NewDocument {
    NewDocument {
        id: id.to_owned(),
        text: text.to_owned(),
        language: None,
        metadata: BTreeMap::new(),
        vector: None,
    }
}

/// The terms of somebody who has time.
fn terms(service: &Service) -> Terms {
    let now = service.clock.now();
    Terms {
        now,
        deadline: service.clock.moment(now.plus(DEADLINE)),
        lowest: embedder_reliability::degradation::Rung::Cached,
        tenant: None,
    }
}

/// The ids of the documents that a search finds, best first.
fn found(service: &Arc<Service>, collection: &str, request: SearchRequest) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let live = service.live(collection).unwrap();
    let found = runtime.block_on(service.search(vec![live], request, &terms(service)));
    let hits = &found.unwrap().answer.hits;
    hits.iter().map(|hit| hit.path.clone()).collect()
}

fn words(service: &Arc<Service>, collection: &str, query: &str) -> Vec<String> {
    let request = SearchRequest::new(query.to_owned(), Mode::Text);
    found(service, collection, request)
}

#[test]
fn what_is_acknowledged_is_found_and_what_is_deleted_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service
        .create_collection("notes", CollectionKind::Documents, None)
        .unwrap();
    for round in 0..20 {
        let id = format!("{round}.md");
        let text = format!("unique{round} words of a note");
        let put = |text: &str| {
            service
                .put_documents("notes", &[document(&id, text)])
                .unwrap()
        };
        assert_eq!(put(&text), [Written::Created]);
        assert_eq!(
            words(&service, "notes", &format!("unique{round}")),
            [id.as_str()]
        );
        assert_eq!(put(&text), [Written::Unchanged]);
        assert_eq!(put("something else"), [Written::Updated]);
        assert!(words(&service, "notes", &format!("unique{round}")).is_empty());
        assert_eq!(put(&text), [Written::Updated]);
        if round % 2 == 0 {
            service.delete_document("notes", &id).unwrap();
            assert!(words(&service, "notes", &format!("unique{round}")).is_empty());
        }
    }
    service.close();
    drop(service);
    let service = open(dir.path());
    assert_eq!(words(&service, "notes", "unique7"), ["7.md"]);
    assert!(words(&service, "notes", "unique8").is_empty());
    assert_eq!(
        service.document("notes", "7.md").unwrap().text,
        "unique7 words of a note"
    );
    service.close();
}

#[test]
fn a_document_that_is_replaced_is_never_missing() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service
        .create_collection("notes", CollectionKind::Documents, None)
        .unwrap();
    let put = |round: u32| {
        let text = format!("the constant word and round {round} of it");
        service
            .put_documents("notes", &[document("a.md", &text)])
            .unwrap();
    };
    put(0);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..60 {
                put(round);
            }
            is_done.store(true, Ordering::Release);
        });
        let mut searches = 0;
        while !is_done.load(Ordering::Acquire) {
            let hits = words(&service, "notes", "constant");
            assert!(!hits.is_empty(), "it was missing at search {searches}");
            searches += 1;
        }
        assert!(searches > 0);
    });
    service.close();
}

#[test]
fn writers_that_come_together_are_all_found() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service
        .create_collection("notes", CollectionKind::Documents, None)
        .unwrap();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let service = &service;
            scope.spawn(move || {
                for round in 0..10 {
                    let word = format!("w{writer}r{round}x");
                    service
                        .put_documents("notes", &[document(&word, &word)])
                        .unwrap();
                    assert_eq!(words(service, "notes", &word), [word.as_str()]);
                }
            });
        }
    });
    assert_eq!(service.describe("notes").unwrap().counts.files, 80);
    service.close();
}

#[test]
fn vectors_of_clients_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service
        .create_collection("vectors", CollectionKind::Vectors, Some(3))
        .unwrap();
    let with = |id: &str, vector: &[f32]| NewDocument {
        vector: Some(vector.to_vec()),
        ..document(id, "the same text")
    };
    let all = [
        with("x", &[1.0, 0.0, 0.0]),
        with("y", &[0.0, 2.0, 0.0]),
        with("z", &[0.0, 0.0, 0.5]),
    ];
    service.put_documents("vectors", &all).unwrap();
    let near = |vector: &[f32]| {
        let mut request = SearchRequest::new(String::new(), Mode::Vector);
        request.vector = Some(vector.to_vec());
        request.limit = 1;
        found(&service, "vectors", request)
    };
    assert_eq!(near(&[0.1, 0.9, 0.0]), ["y"]);
    service
        .put_documents("vectors", &[with("y", &[-1.0, 0.0, 0.0])])
        .unwrap();
    assert_eq!(near(&[0.0, 0.1, 0.9]), ["z"]);
    assert_eq!(near(&[-0.9, 0.1, 0.0]), ["y"]);
    // The last two are finite, and their lengths are not, or vanish.
    for unusable in [
        &[1.0, 2.0][..],
        &[0.0; 3],
        &[f32::INFINITY, 0.0, 0.0],
        &[3e38, 3e38, 3e38],
        &[1e-44, 0.0, 0.0],
    ] {
        let refused = service.put_documents("vectors", &[with("bad", unusable)]);
        assert_eq!(
            refused.unwrap_err().code(),
            ErrorCode::Usage,
            "{unusable:?}"
        );
    }
    service.close();
}

#[test]
fn a_job_that_a_killed_server_left_is_done_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.rs"), "fn remembered() {}\n").unwrap();
    std::fs::write(folder.path().join("binary.rs"), b"\0\0\0").unwrap();
    let root = folder.path().canonicalize().unwrap();
    let service = open(dir.path());
    let caller = service.access.anonymous();
    service.access.add_root(&caller, &root).unwrap();
    service
        .create_collection("code", CollectionKind::Code, None)
        .unwrap();
    let mut db = service.connections.take().unwrap();
    let id = service.live("code").unwrap().collection().id;
    let source = db
        .put_source(id, SourceKind::Folder, root.to_str().unwrap(), 1)
        .unwrap();
    let row = JobRow {
        id: "job_left".to_owned(),
        collection: "code".to_owned(),
        source: source.id,
        within: Vec::new(),
        with_vectors: false,
        state: JobState::Running,
        created_ms: 1,
        started_ms: Some(2),
        finished_ms: None,
        report: None,
        error: None,
    };
    db.put_job(&row).unwrap();
    drop(db);
    service.close();
    drop(service);
    let service = open(dir.path());
    let started = Instant::now();
    while !service.job("job_left").unwrap().state.is_final() {
        assert!(started.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    let job = service.job("job_left").unwrap();
    assert_eq!(job.state, JobState::Done, "{job:?}");
    assert_eq!(job.report.unwrap().files, 2);
    let failures = service.job_failures("job_left", None, 10).unwrap();
    assert_eq!(failures[0].path, "binary.rs");
    assert_eq!(words(&service, "code", "remembered"), ["a.rs"]);
    service.close();
}

#[test]
fn a_stored_vector_that_cannot_be_used_takes_nothing_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service
        .create_collection("vectors", CollectionKind::Vectors, Some(2))
        .unwrap();
    let with = |id: &str, vector: &[f32]| NewDocument {
        vector: Some(vector.to_vec()),
        ..document(id, "text")
    };
    service
        .put_documents("vectors", &[with("a", &[1.0, 0.0]), with("b", &[0.0, 1.0])])
        .unwrap();
    service.close();
    drop(service);
    let db = rusqlite::Connection::open(dir.path().join("content.db")).unwrap();
    let huge: Vec<u8> = [3e38_f32, 3e38]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    db.execute("UPDATE vector SET data = ?1 WHERE id = 1", [huge])
        .unwrap();
    drop(db);
    let service = open(dir.path());
    let mut request = SearchRequest::new(String::new(), Mode::Vector);
    request.vector = Some(vec![0.1, 1.0]);
    assert_eq!(found(&service, "vectors", request), ["b"]);
    service
        .put_documents("vectors", &[with("c", &[1.0, 1.0])])
        .unwrap();
    service.close();
}

#[test]
fn making_and_deleting_at_once_leaves_a_collection_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    for round in 0..20 {
        let name = format!("race{round}");
        let make = || service.create_collection(&name, CollectionKind::Documents, None);
        make().unwrap();
        let written = std::thread::scope(|scope| {
            scope.spawn(|| service.delete_collection(&name).unwrap());
            let writer = scope.spawn(|| {
                make().unwrap();
                service.put_documents(&name, &[document("a", "acknowledged")])
            });
            writer.join().unwrap()
        });
        match (written, service.live(&name)) {
            // Written to the old one and deleted with it, or never there.
            (_, Err(_)) => {}
            (Ok(_), Ok(_)) => {
                let found = words(&service, &name, "acknowledged");
                assert!(found == ["a"] || found.is_empty());
                assert!(service.describe(&name).is_ok());
            }
            (Err(error), Ok(_)) => {
                assert_eq!(error.code(), ErrorCode::NotFound);
                assert!(service.describe(&name).is_ok());
            }
        }
        // Whatever came of it, the name can be used.
        make().unwrap();
        service
            .put_documents(&name, &[document("b", "again")])
            .unwrap();
        assert_eq!(words(&service, &name, "again"), ["b"]);
    }
    service.close();
}

#[test]
fn an_old_jobs_failures_are_never_those_of_another_source() {
    let dir = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.bin.rs"), b"\0").unwrap();
    let root = folder.path().canonicalize().unwrap();
    let service = open(dir.path());
    let caller = service.access.anonymous();
    service.access.add_root(&caller, &root).unwrap();
    let end_of = |id: &str| {
        let started = Instant::now();
        while !service.job(id).unwrap().state.is_final() {
            assert!(started.elapsed() < DEADLINE);
            std::thread::yield_now();
        }
    };
    let add = |name: &str| {
        service
            .create_collection(name, CollectionKind::Code, None)
            .unwrap();
        service.add_source(name, new_source(&root)).unwrap()
    };
    let (source, job) = add("own");
    end_of(&job.id);
    assert_eq!(service.job_failures(&job.id, None, 10).unwrap().len(), 1);
    service.delete_source("own", &source.id).unwrap();
    let (other, other_job) = add("other");
    end_of(&other_job.id);
    assert_ne!(other.id, source.id, "ids are not used twice");
    assert!(service.job_failures(&job.id, None, 10).unwrap().is_empty());
    service.close();
}

#[test]
fn documents_are_no_source_that_could_be_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service
        .create_collection("notes", CollectionKind::Documents, None)
        .unwrap();
    service
        .put_documents("notes", &[document("a", "text of a note")])
        .unwrap();
    assert!(service.sources("notes").unwrap().is_empty());
    let refused = service.delete_source("notes", "1").unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotFound);
    assert_eq!(words(&service, "notes", "note"), ["a"]);
    service.close();
}

#[test]
fn a_root_that_was_taken_back_stays_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let service = open(dir.path());
    let caller = service.access.anonymous();
    service.access.add_root(&caller, &root).unwrap();
    service
        .create_collection("code", CollectionKind::Code, None)
        .unwrap();
    service.add_source("code", new_source(&root)).unwrap();
    service.access.remove_root(&caller, &root).unwrap();
    service.close();
    drop(service);
    let service = open(dir.path());
    assert!(service.access.roots().is_empty());
    let refused = service.add_source("code", new_source(&root));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Forbidden);
    service.close();
}

#[test]
fn a_deleted_collection_is_gone_for_those_who_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service
        .create_collection("notes", CollectionKind::Documents, None)
        .unwrap();
    service
        .put_documents("notes", &[document("a", "text of a note")])
        .unwrap();
    let held = service.live("notes").unwrap();
    service.delete_collection("notes").unwrap();
    assert!(service.live("notes").is_err());
    assert_eq!(
        service.open_view(&held).unwrap_err().code(),
        ErrorCode::NotFound
    );
    assert!(!dir.path().join("index/1").exists());
    assert!(
        service
            .create_collection("notes", CollectionKind::Vectors, Some(2))
            .unwrap()
    );
    service.close();
}
