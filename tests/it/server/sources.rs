//! Folders: which may be indexed, how a job is followed, stopped and taken up again, and what can be read afterwards.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::app::{App, wait_until, write_tree};
use crate::support::server::{Answer, TestServer, paths, without_names};

/// The app's folder, as it is on disk.
fn base(app: &App) -> PathBuf {
    app.dir.path().canonicalize().unwrap()
}

fn write_project(folder: &Path) {
    write_tree(
        folder,
        &[
            (
                "src/harbour.rs",
                "/// Opens the harbour.\npub fn open_harbour() {\n    lower_chain();\n}\n",
            ),
            (
                "src/violin.rs",
                "/// Tunes the violin.\npub fn tune_violin() {\n    tighten_strings();\n}\n",
            ),
            ("readme.md", "# Harbour\n\nShips enter by day.\n"),
        ],
    );
}

/// Many files of functions with words of their own.
fn write_many(folder: &Path, files: usize) {
    for file in 0..files {
        let functions: String = (0..4)
            .map(|number| {
                format!(
                    "/// Weighs parcel {number} of lorry {file} and writes the sum into its ledger.\n\
                     pub fn weigh_{file}_{number}(parcel: &str) -> usize {{\n    \
                     let ledger_{file} = parcel.len() * {number} + {file};\n    ledger_{file} + {number}\n}}\n\n"
                )
            })
            .collect();
        write_tree(
            folder,
            &[(&format!("part{}/file{file}.rs", file % 7), &functions)],
        );
    }
}

fn add(server: &TestServer, path: impl AsRef<Path>) -> Answer {
    let body = json!({"path": path.as_ref()});
    server.post("/v1/collections/code/sources", &body)
}

fn make_code(server: &TestServer) {
    server
        .put("/v1/collections/code", &json!({"kind": "code"}))
        .with_status(201);
}

fn id_of(job: &Value) -> String {
    job["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_path_outside_of_the_allowed_roots_is_refused_and_nothing_is_told_of_it() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    make_code(&server);
    let base = base(&app);
    write_project(&base.join("outside"));
    write_project(&base.join("allowed"));
    write_project(&base.join("allowed-as-well"));
    let refused = |path: &Path| without_names(add(&server, path).problem(403, "forbidden"));
    // Nothing is allowed at first; what is there, is a file, or is not there at all is refused alike.
    let expected = refused(&base.join("outside"));
    assert_eq!(refused(&base.join("allowed")), expected);
    server.allow(&base.join("allowed"));
    for path in [
        base.join("outside"),
        base.join("outside/readme.md"),
        base.join("outside/nowhere"),
        base.join("nowhere"),
        base.join("allowed-as-well"),
        base.clone(),
        base.join("allowed/../outside"),
        base.join("allowed/../nowhere"),
        base.join("allowed/src/../../outside"),
        PathBuf::from("/"),
        PathBuf::from("/etc"),
        PathBuf::from("allowed"),
        PathBuf::from("."),
        PathBuf::new(),
    ] {
        assert_eq!(refused(&path), expected, "{}", path.display());
    }
    // A link is judged by where it leads.
    symlink(base.join("outside"), base.join("allowed/link")).unwrap();
    assert_eq!(refused(&base.join("allowed/link")), expected);
    assert_eq!(refused(&base.join("allowed/link/src")), expected);
    // Inside, what is wrong is told.
    add(&server, base.join("allowed/readme.md")).problem(404, "not_found");
    add(&server, base.join("allowed/nowhere")).problem(404, "not_found");
    add(&server, base.join("allowed/src")).with_status(202);
    let nul = format!("{}/allowed/\0", base.display());
    let status = add(&server, nul).status;
    assert!((400..500).contains(&status), "{status}");
}

#[test]
fn a_folder_is_indexed_once_its_root_is_allowed() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let project = base(&app).join("project");
    write_project(&project);
    symlink("/etc", project.join("etc")).unwrap();
    let job = server.index("code", &project);
    assert_eq!(job["progress"]["phase"], "ended");
    assert_eq!(job["report"]["changed"], 3);
    assert_eq!(server.find("code", "open_harbour")[0], "src/harbour.rs");
    // Everything below a root may be indexed, and the same again has nothing to do.
    let again = server.index("code", &project);
    assert_eq!(again["report"]["changed"], 0);
    let sources = server.get("/v1/collections/code/sources").ok();
    let [source] = sources["sources"].as_array().unwrap().as_slice() else {
        panic!("{sources}")
    };
    assert_eq!(source["kind"], "folder");
    assert_eq!(source["path"], project.to_str().unwrap());
    assert_eq!(
        (&source["files"], &source["skipped"]["symbolic link"]),
        (&json!(3), &json!(1))
    );
    // What was changed is followed by the next job.
    write_tree(
        &project,
        &[("src/harbour.rs", "pub fn close_harbour() {}\n")],
    );
    fs::remove_file(project.join("src/violin.rs")).unwrap();
    let changed = server.index("code", &project);
    assert_eq!(
        (&changed["report"]["changed"], &changed["report"]["removed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(server.find("code", "close_harbour")[0], "src/harbour.rs");
    assert!(
        !server
            .find("code", "tune_violin")
            .contains(&"src/violin.rs".to_owned())
    );
    // Only a part of it.
    write_tree(
        &project,
        &[
            ("src/new.rs", "pub fn lantern() {}\n"),
            ("new.md", "# Glacier\n"),
        ],
    );
    let body = json!({"path": project, "within": ["src"]});
    let part = server
        .post("/v1/collections/code/sources", &body)
        .with_status(202)
        .body;
    server.end_of_job(&id_of(&part["job"]));
    assert_eq!(server.find("code", "lantern"), ["src/new.rs"]);
    assert!(server.find("code", "glacier").is_empty());
}

#[test]
fn a_root_that_is_taken_back_is_not_indexed_again() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let project = base(&app).join("project");
    write_project(&project);
    server.index("code", &project);
    let roots = server.get("/v1/admin/roots").ok();
    assert_eq!(roots["roots"], json!([project]));
    let take_back = || {
        server
            .ask("DELETE", "/v1/admin/roots")
            .json(&json!({"path": project}))
            .send()
    };
    assert_eq!(take_back().ok()["roots"], json!([]));
    take_back().problem(404, "not_found");
    add(&server, &project).problem(403, "forbidden");
    assert_eq!(
        server.find("code", "open_harbour")[0],
        "src/harbour.rs",
        "what is indexed stays"
    );
}

#[test]
fn a_source_goes_with_everything_that_came_from_it() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let (one, other) = (base(&app).join("one"), base(&app).join("other"));
    write_project(&one);
    write_tree(&other, &[("lib.rs", "pub fn compass() {}\n")]);
    let job = server.index("code", &one);
    server.index("code", &other);
    let source = format!(
        "/v1/collections/code/sources/{}",
        job["source"].as_str().unwrap()
    );
    assert_eq!(server.get(&source).ok()["path"], one.to_str().unwrap());
    server.delete(&source).with_status(204);
    assert!(server.find("code", "open_harbour").is_empty());
    assert_eq!(server.find("code", "compass"), ["lib.rs"]);
    server.get(&source).problem(404, "not_found");
    server.delete(&source).problem(404, "not_found");
    assert!(one.join("readme.md").exists(), "the folder stays as it is");
}

#[test]
fn a_job_is_followed_live_until_it_has_ended() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let project = base(&app).join("project");
    write_many(&project, 80);
    server.allow(&project);
    let id = id_of(&server.begin_index("code", &project));
    let address = format!("/v1/jobs/{id}/events");
    let events = server.events(&address);
    let states: Vec<_> = events
        .iter()
        .map(|(_, job)| job["state"].as_str().unwrap())
        .collect();
    let place = |state: &str| {
        ["queued", "running", "done"]
            .iter()
            .position(|known| *known == state)
    };
    assert!(
        states.iter().all(|state| place(state).is_some()),
        "{states:?}"
    );
    assert!(states.is_sorted_by_key(|state| place(state)), "{states:?}");
    for (kind, job) in &events {
        assert_eq!((kind.as_str(), &job["id"]), ("job", &json!(id)));
    }
    let (_, last) = events.last().unwrap();
    assert_eq!(
        (&last["state"], &last["progress"]["phase"]),
        (&json!("done"), &json!("ended"))
    );
    assert_eq!(last["report"]["changed"], 80);
    // Of one that has ended there is one event.
    let job = server.get(&format!("/v1/jobs/{id}")).ok();
    assert_eq!(server.events(&address), [("job".to_owned(), job)]);
    let jobs = server.get("/v1/jobs?limit=1").ok();
    assert_eq!(jobs["jobs"][0]["id"], *id);
    server
        .get("/v1/jobs/job_0/events")
        .problem(404, "not_found");
}

#[test]
fn files_that_are_left_out_are_listed_with_their_reasons() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let project = base(&app).join("project");
    write_tree(
        &project,
        &[
            ("a.rs", "fn a() {}\n"),
            (".env", "KEY=1\n"),
            ("b.txt", "bin\0ary"),
            ("c.png", "x"),
        ],
    );
    let id = id_of(&server.index("code", &project));
    let failures = |query: &str| {
        let listed = server.get(&format!("/v1/jobs/{id}/failures{query}")).ok();
        let listed = listed["failures"].as_array().unwrap().clone();
        let line = |file: &Value| {
            format!(
                "{}: {}",
                file["path"].as_str().unwrap(),
                file["reason"].as_str().unwrap()
            )
        };
        listed.iter().map(line).collect::<Vec<_>>()
    };
    let all = [
        ".env: may hold secrets",
        "b.txt: binary file: NUL byte at offset 3",
        "c.png: not text",
    ];
    assert_eq!(failures(""), all);
    assert_eq!(failures("?limit=1"), all[..1]);
    assert_eq!(failures("?after=b.txt"), all[2..]);
}

#[test]
fn a_job_that_is_stopped_keeps_what_it_did() {
    let Some(app) = App::with_model() else { return };
    let server = TestServer::start(&app, &[], &[]);
    let project = base(&app).join("project");
    write_many(&project, 200);
    write_project(&base(&app).join("small"));
    server.allow(&base(&app));
    let running = id_of(&server.begin_index("code", &project));
    let waiting = id_of(&server.begin_index("code", &base(&app).join("small")));
    // One that waits for its turn ends at once.
    assert_eq!(
        server.delete(&format!("/v1/jobs/{waiting}")).ok()["state"],
        "cancelled"
    );
    wait_until("vectors are being computed", || {
        let job = server.get(&format!("/v1/jobs/{running}")).ok();
        assert!(
            ["queued", "running"].contains(&job["state"].as_str().unwrap()),
            "{job}"
        );
        job["progress"]["phase"] == "vectors"
    });
    server
        .delete(&format!("/v1/jobs/{running}"))
        .with_status(200);
    let ended = server.end_of_job(&running);
    assert_eq!(ended["state"], "cancelled");
    assert_eq!(
        server.delete(&format!("/v1/jobs/{running}")).ok(),
        ended,
        "it stays as it is"
    );
    assert_eq!(server.find("code", "weigh_13_2")[0], "part6/file13.rs");
    assert!(server.find("code", "open_harbour").is_empty());
    server.delete("/v1/jobs/job_0").problem(404, "not_found");
}

#[test]
fn jobs_that_a_server_leaves_are_done_by_the_next() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let project = base(&app).join("project");
    let small = base(&app).join("small");
    write_many(&project, 600);
    write_project(&small);
    server.allow(&base(&app));
    let first = id_of(&server.begin_index("code", &project));
    let second = id_of(&server.begin_index("small", &small));
    server.stop();
    let server = TestServer::start(&app, &[], &[]);
    for id in [&first, &second] {
        let job = server.end_of_job(id);
        assert_eq!(job["state"], "done", "{job}");
    }
    assert_eq!(
        server.get("/v1/collections/code").ok()["counts"]["files"],
        600
    );
    assert_eq!(server.find("code", "weigh_599_3")[0], "part4/file599.rs");
    assert_eq!(server.find("small", "open_harbour")[0], "src/harbour.rs");
}

#[test]
fn files_of_one_path_are_told_apart_by_their_source() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    for (folder, word) in [("one", "harbour"), ("two", "violin")] {
        let folder = base(&app).join(folder);
        let own = format!("pub fn {word}() {{\n    open(\"{word}\");\n}}\n");
        let other = format!("pub fn beside_{word}() {{\n    close(\"{word} {word}\");\n}}\n");
        write_tree(&folder, &[("main.rs", &own), ("other.rs", &other)]);
        server.index("code", &folder);
    }
    let file = "/v1/collections/code/files/main.rs";
    server.get(file).problem(400, "usage");
    for word in ["harbour", "violin"] {
        let query = json!({"query": word, "mode": "literal", "filter": {"path": ["main.rs"]}});
        let answer = server.post("/v1/collections/code/search", &query).ok();
        let hit = &answer["hits"][0];
        assert_eq!(
            (&hit["path"], answer["hits"].as_array().unwrap().len()),
            (&json!("main.rs"), 1)
        );
        let source = hit["source"].as_str().unwrap();
        let lines = server.get(&format!("{file}?source={source}")).ok();
        assert!(lines["text"].as_str().unwrap().contains(word), "{lines}");
        let place = json!({"path": "main.rs", "line": 1, "source": source, "filter": {"path": ["other.rs"]}});
        let related = server.post("/v1/collections/code/related", &place).ok();
        let nearest = &related["hits"][0];
        assert_eq!(
            (&nearest["path"], &nearest["source"]),
            (&json!("other.rs"), &hit["source"])
        );
    }
    let nowhere = json!({"path": "main.rs", "line": 1, "source": "99"});
    let answer = server.post("/v1/collections/code/related", &nowhere);
    answer.problem(404, "not_found");
}

#[test]
fn lines_of_an_indexed_file_are_read_as_they_were_indexed() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let project = base(&app).join("project");
    write_project(&project);
    server.index("code", &project);
    let text = fs::read_to_string(project.join("src/harbour.rs")).unwrap();
    fs::write(project.join("src/harbour.rs"), "changed").unwrap();
    let read = |query: &str| {
        server.get(&format!(
            "/v1/collections/code/files/src%2Fharbour.rs{query}"
        ))
    };
    let check = |query: &str, from: u64, to: u64, expected: &str| {
        let lines = read(query).ok();
        assert_eq!(
            (
                lines["start_line"].as_u64(),
                lines["end_line"].as_u64(),
                lines["text"].as_str()
            ),
            (Some(from), Some(to), Some(expected)),
            "{query}"
        );
        assert_eq!(
            (&lines["total_lines"], &lines["language"]),
            (&json!(4), &json!("rust"))
        );
    };
    check("", 1, 4, &text);
    check(
        "?from=2&to=3",
        2,
        3,
        "pub fn open_harbour() {\n    lower_chain();\n",
    );
    check("?from=4", 4, 4, "}\n");
    check("?to=1", 1, 1, "/// Opens the harbour.\n");
    check("?from=9", 9, 8, "");
    for query in [
        "?from=3&to=2",
        "?from=-1",
        "?from=x",
        "?lines=1",
        "?from=99999999999",
    ] {
        read(query).with_status(400);
    }
    server
        .get("/v1/collections/code/files/src%2Fnowhere.rs")
        .problem(404, "not_found");
}

#[test]
fn what_is_like_a_place_is_found() {
    let Some(app) = App::with_model() else { return };
    let server = TestServer::start(&app, &[], &[]);
    let project = base(&app).join("project");
    write_tree(
        &project,
        &[
            (
                "read.rs",
                "/// Reads a file into a string.\npub fn read_file(path: &str) -> String {\n    std::fs::read_to_string(path).unwrap()\n}\n",
            ),
            (
                "load.rs",
                "/// Loads the text of a document from disk.\npub fn load_text(file: &str) -> String {\n    std::fs::read_to_string(file).unwrap_or_default()\n}\n",
            ),
            (
                "colour.rs",
                "/// Mixes red and blue paint.\npub fn mix(red: f32, blue: f32) -> f32 {\n    (red + blue) / 2.0\n}\n",
            ),
        ],
    );
    server.index("code", &project);
    let related = |path: &str, line: u32| {
        server.post(
            "/v1/collections/code/related",
            &json!({"path": path, "line": line}),
        )
    };
    let answer = related("read.rs", 2).with_status(200).body;
    assert_eq!(answer["meta"]["served_by"], "vector");
    assert_eq!(paths(&answer)[0], "load.rs");
    assert!(!paths(&answer).contains(&"read.rs".to_owned()));
    related("read.rs", 99).problem(404, "not_found");
    related("nowhere.rs", 1).problem(404, "not_found");
    assert!((400..500).contains(&related("read.rs", 0).status));
}
