//! Folders that are watched: what is saved, moved or deleted in them is found a moment later, whatever made it so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{App, wait_until, write_tree};
use crate::support::server::{TestServer, word};

/// Within this a saved file is found, on a quiet machine. A test waits longer and prints what it saw: `docs/benchmarks.md`
/// has the figures.
const SECOND: Duration = Duration::from_secs(1);

/// A folder that a server watches as `code`.
struct Watching {
    app: App,
    server: TestServer,
    folder: PathBuf,
}

impl Watching {
    fn start(files: &[(&str, &str)]) -> Watching {
        let app = App::text_only();
        let folder = app.dir.path().canonicalize().unwrap().join("project");
        fs::create_dir(&folder).unwrap();
        write_tree(&folder, files);
        Watching::folder(app, folder)
    }

    fn folder(app: App, folder: PathBuf) -> Watching {
        let server = TestServer::start(&app, &[], &[]);
        server
            .put("/v1/collections/code", &json!({"kind": "code"}))
            .with_status(201);
        server.allow(&folder);
        let source = json!({"path": folder, "watch": true});
        let added = server
            .post("/v1/collections/code/sources", &source)
            .with_status(202)
            .body;
        let job = server.end_of_job(added["job"]["id"].as_str().unwrap());
        assert_eq!(job["state"], "done", "{job}");
        Watching {
            app,
            server,
            folder,
        }
    }

    fn write(&self, path: &str, content: &str) {
        write_tree(&self.folder, &[(path, content)]);
    }

    /// Waits until a word is found in these files and no others, and returns how long that took.
    fn finds(&self, word: &str, expected: &[&str]) -> Duration {
        let began = Instant::now();
        wait_until(&format!("`{word}` is found in {expected:?}"), || {
            let mut found = self.server.find("code", word);
            found.sort();
            found == expected
        });
        began.elapsed()
    }

    /// The first line of a metric.
    fn metric(&self, name: &str) -> f64 {
        let metrics = self.server.ops("/metrics").send().text;
        let line = metrics.lines().find(|line| line.starts_with(name));
        let count = line.and_then(|line| line.rsplit(' ').next());
        count
            .and_then(|count| count.parse().ok())
            .expect("a metric")
    }

    fn collection(&self) -> Value {
        self.server.get("/v1/collections/code").ok()
    }
}

/// `git` in a folder, without any configuration of this machine.
fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].iter().flat_map(|who| {
            [
                (format!("GIT_{who}_NAME"), "a"),
                (format!("GIT_{who}_EMAIL"), "a@example.com"),
            ]
        }))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "git {arguments:?}");
}

#[test]
fn what_is_saved_moved_and_deleted_is_noticed() {
    let watching = Watching::start(&[("src/lamp.rs", "pub fn rosewood() {}\n")]);
    wait_until("it is watched", || {
        watching.collection()["freshness"]["watched"] == true
    });
    watching.write("src/door.rs", "pub fn quartzite() {}\n");
    let took = watching.finds("quartzite", &["src/door.rs"]);
    eprintln!("a new file was found after {} ms", took.as_millis());
    watching.write("src/door.rs", "pub fn zebrawood() {}\n");
    let took = watching.finds("zebrawood", &["src/door.rs"]);
    eprintln!("a saved file was found after {} ms", took.as_millis());
    if took > SECOND {
        eprintln!("that is more than a second");
    }
    watching.finds("quartzite", &[]);
    // As editors save: beside it, then in its place.
    watching.write("src/.door.rs.swp", "pub fn obsidian() {}\n");
    let (beside, place) = (
        watching.folder.join("src/.door.rs.swp"),
        watching.folder.join("src/door.rs"),
    );
    fs::rename(&beside, &place).unwrap();
    watching.finds("obsidian", &["src/door.rs"]);
    // A folder that is new, with what is in it, and deeper.
    watching.write("new/deep/cellar.rs", "pub fn jacaranda() {}\n");
    watching.finds("jacaranda", &["new/deep/cellar.rs"]);
    watching.write("new/deep/cellar.rs", "pub fn malachite() {}\n");
    watching.finds("malachite", &["new/deep/cellar.rs"]);
    // Moved, with all that is in it.
    fs::rename(watching.folder.join("new"), watching.folder.join("old")).unwrap();
    watching.finds("malachite", &["old/deep/cellar.rs"]);
    watching.write("old/deep/cellar.rs", "pub fn sandalwood() {}\n");
    watching.finds("sandalwood", &["old/deep/cellar.rs"]);
    fs::remove_dir_all(watching.folder.join("old")).unwrap();
    watching.finds("sandalwood", &[]);
    fs::remove_file(&place).unwrap();
    watching.finds("obsidian", &[]);
    watching.finds("rosewood", &["src/lamp.rs"]);
}

#[test]
fn what_is_ignored_stays_out_and_an_ignore_file_counts_at_once() {
    let watching = Watching::start(&[(".gitignore", "target\n"), ("a.rs", "pub fn first() {}\n")]);
    watching.write("target/made.rs", "pub fn mechanical() {}\n");
    watching.write(".env", "PASSWORD=swordfish\n");
    watching.write("b.rs", "pub fn second() {}\n");
    watching.finds("second", &["b.rs"]);
    watching.finds("mechanical", &[]);
    watching.finds("swordfish", &[]);
    watching.write(".gitignore", "target\nb.rs\n");
    watching.finds("second", &[]);
    watching.write(".gitignore", "\n");
    watching.finds("second", &["b.rs"]);
    watching.finds("mechanical", &["target/made.rs"]);
}

#[test]
fn branches_rebases_and_worktrees_are_followed() {
    let app = App::text_only();
    let folder = app.dir.path().canonicalize().unwrap().join("project");
    fs::create_dir(&folder).unwrap();
    let many: Vec<(String, String)> = (0..300)
        .map(|number| {
            (
                format!("src/f{number}.rs"),
                format!("pub fn unchanged{}() {{}}\n", word(number)),
            )
        })
        .collect();
    for (path, content) in &many {
        write_tree(&folder, &[(path, content)]);
    }
    git(&folder, &["init", "--initial-branch=main"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-m", "one"]);
    git(&folder, &["checkout", "-b", "side"]);
    write_tree(
        &folder,
        &[
            ("src/f0.rs", "pub fn zebrawood() {}\n"),
            ("src/more.rs", "pub fn jacaranda() {}\n"),
        ],
    );
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-m", "two"]);
    let watching = Watching::folder(app, folder.clone());
    watching.finds("zebrawood", &["src/f0.rs"]);
    let before = watching.metric("embedder_index_files_read_total");

    git(&folder, &["checkout", "main"]);
    let took = watching.finds("zebrawood", &[]);
    eprintln!("another branch was found after {} ms", took.as_millis());
    watching.finds("jacaranda", &[]);
    watching.finds(&format!("unchanged{}", word(0)), &["src/f0.rs"]);
    // No more than what differs was read, though git may write a file of another in between.
    let read = || watching.metric("embedder_index_files_read_total") - before;
    wait_until("it is counted", || read() >= 1.0);
    assert!(read() <= 4.0, "{}", read());

    write_tree(&folder, &[("src/f1.rs", "pub fn quartzite() {}\n")]);
    git(&folder, &["commit", "-a", "-m", "three"]);
    git(&folder, &["checkout", "side"]);
    git(&folder, &["rebase", "main"]);
    watching.finds("quartzite", &["src/f1.rs"]);
    watching.finds("zebrawood", &["src/f0.rs"]);

    // A worktree within is another folder of files; the repository itself is none.
    git(&folder, &["worktree", "add", "tree", "main"]);
    watching.finds(&format!("unchanged{}", word(0)), &["tree/src/f0.rs"]);
    git(&folder, &["worktree", "remove", "tree"]);
    watching.finds(&format!("unchanged{}", word(0)), &[]);
    // A folder that was made anew is another one of the same name.
    fs::remove_dir_all(folder.join("src")).unwrap();
    write_tree(&folder, &[("src/f9.rs", "pub fn obsidian() {}\n")]);
    watching.finds("obsidian", &["src/f9.rs"]);
    watching.finds("quartzite", &[]);
    write_tree(&folder, &[("src/f9.rs", "pub fn malachite() {}\n")]);
    watching.finds("malachite", &["src/f9.rs"]);
}

#[test]
fn an_unchanged_text_is_never_embedded_again() {
    let Some(app) = App::with_model() else {
        return;
    };
    let folder = app.dir.path().canonicalize().unwrap().join("project");
    fs::create_dir(&folder).unwrap();
    write_tree(
        &folder,
        &[
            ("a.rs", "pub fn rosewood() {}\n"),
            ("b.rs", "pub fn quartzite() {}\n"),
        ],
    );
    let watching = Watching::folder(app, folder.clone());
    let embedded = || watching.metric("embedder_embed_texts_total{lane=\"bulk\"");
    wait_until("every vector is there", || {
        watching.collection()["embedded_fraction"] == 1.0
    });
    let before = embedded();
    fs::rename(folder.join("a.rs"), folder.join("c.rs")).unwrap();
    watching.finds("rosewood", &["c.rs"]);
    fs::rename(folder.join("c.rs"), folder.join("a.rs")).unwrap();
    watching.finds("rosewood", &["a.rs"]);
    let content = fs::read(folder.join("b.rs")).unwrap();
    fs::write(folder.join("b.rs"), &content).unwrap();
    // What comes back, as with a branch, has its vector still.
    fs::remove_file(folder.join("a.rs")).unwrap();
    watching.finds("rosewood", &[]);
    write_tree(&folder, &[("a.rs", "pub fn rosewood() {}\n")]);
    watching.finds("rosewood", &["a.rs"]);
    // Something else is seen after it.
    write_tree(&folder, &[("note.txt.png", "x")]);
    std::fs::remove_file(folder.join("note.txt.png")).unwrap();
    write_tree(&folder, &[("last.rs", "pub fn zebrawood() {}\n")]);
    watching.finds("zebrawood", &["last.rs"]);
    wait_until("every vector is there", || {
        watching.collection()["embedded_fraction"] == 1.0
    });
    assert_eq!(embedded() - before, 1.0);
}

#[test]
fn a_storm_of_changes_leads_to_little_work_and_the_right_result() {
    let watching = Watching::start(&[("a.rs", "pub fn first() {}\n")]);
    let path = |number: usize| watching.folder.join(format!("f{}.rs", number % 500));
    for number in 0..100_000 {
        if number % 10 == 9 {
            let _ = fs::remove_file(path(number));
        } else {
            fs::write(
                path(number),
                format!("pub fn storm{}() {{}}\n", word(number)),
            )
            .unwrap();
        }
    }
    watching.write("last.rs", "pub fn jacaranda() {}\n");
    watching.finds("jacaranda", &["last.rs"]);
    // The last of each file: 99,500 to 99,999, without each tenth.
    watching.finds(
        &format!("storm{}", word(99_998)),
        &[&format!("f{}.rs", 99_998 % 500)],
    );
    watching.finds(&format!("storm{}", word(50_000)), &[]);
    let files = watching.collection()["counts"]["files"].as_u64().unwrap();
    assert_eq!(files, 450 + 2);
    let looks = watching.metric("embedder_watch_looks_total");
    assert!(looks < 200.0, "{looks} looks");
    eprintln!("100,000 changes led to {looks} looks");
}

#[test]
fn a_server_that_is_started_anew_finds_what_happened_meanwhile_and_watches_on() {
    let watching = Watching::start(&[("a.rs", "pub fn first() {}\n")]);
    let Watching {
        app,
        server,
        folder,
    } = watching;
    server.stop();
    write_tree(&folder, &[("b.rs", "pub fn meanwhile() {}\n")]);
    let server = TestServer::start(&app, &[], &[]);
    let watching = Watching {
        app,
        server,
        folder,
    };
    watching.finds("meanwhile", &["b.rs"]);
    watching.write("c.rs", "pub fn afterwards() {}\n");
    watching.finds("afterwards", &["c.rs"]);
    let source = json!({"path": watching.folder, "watch": false});
    watching
        .server
        .post("/v1/collections/code/sources", &source)
        .with_status(202);
    assert_eq!(watching.collection()["freshness"]["watched"], false);
    assert!(watching.app.data_dir().exists());
}

#[test]
fn what_is_asked_literally_is_never_old() {
    // Nothing else is asked: what ranks is not loaded.
    let watching = Watching::start(&[("a.rs", "pub fn first() {}\n")]);
    let hits = |text: &str| {
        let question = json!({"query": text, "mode": "literal"});
        let answer = watching
            .server
            .post("/v1/collections/code/search", &question)
            .ok();
        answer["hits"].as_array().unwrap().len()
    };
    assert_eq!((hits("fn first"), hits("fn second")), (1, 0));
    watching.write("b.rs", "pub fn second() {}\n");
    wait_until("it is found", || hits("fn second") == 1);
    fs::remove_file(watching.folder.join("a.rs")).unwrap();
    wait_until("it is gone", || hits("fn first") == 0);
    let source = &watching.server.get("/v1/collections/code/sources").ok()["sources"][0];
    let id = source["id"].as_str().unwrap();
    watching
        .server
        .delete(&format!("/v1/collections/code/sources/{id}"))
        .with_status(204);
    assert_eq!(hits("fn second"), 0);
}

#[test]
fn a_folder_that_is_not_allowed_any_more_is_not_read() {
    let watching = Watching::start(&[("a.rs", "pub fn first() {}\n")]);
    let roots = |method: &str| {
        watching
            .server
            .ask(method, "/v1/admin/roots")
            .json(&json!({"path": watching.folder}))
            .send()
    };
    roots("DELETE").ok();
    watching.write("b.rs", "pub fn second() {}\n");
    wait_until("it is said", || {
        let freshness = &watching.collection()["freshness"];
        freshness["watched"] == false && freshness["watch_problem"].is_string()
    });
    assert!(watching.server.find("code", "second").is_empty());
    assert_eq!(watching.server.find("code", "first"), ["a.rs"]);
    assert!(roots("POST").status < 300);
    watching.finds("second", &["b.rs"]);
    assert_eq!(watching.collection()["freshness"]["watched"], true);
}

#[test]
fn a_folder_is_followed_when_one_around_it_is_renamed() {
    let app = App::text_only();
    let around = app.dir.path().canonicalize().unwrap().join("around");
    let folder = around.join("project");
    write_tree(&folder, &[("a.rs", "pub fn first() {}\n")]);
    let watching = Watching::folder(app, folder);
    fs::rename(&around, around.with_extension("away")).unwrap();
    watching.write("b.rs", "pub fn second() {}\n");
    watching.finds("second", &["b.rs"]);
    watching.finds("first", &[]);
    watching.write("b.rs", "pub fn third() {}\n");
    watching.finds("third", &["b.rs"]);
}

#[test]
fn what_is_watched_is_watched_whole() {
    let watching = Watching::start(&[("a.rs", "fn a() {}\n"), ("src/b.rs", "fn b() {}\n")]);
    let ask = |more: Value| {
        let mut source = json!({"path": watching.folder, "within": ["src"]});
        let fields = source.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        watching
            .server
            .post("/v1/collections/code/sources", &source)
    };
    ask(json!({})).problem(400, "usage");
    ask(json!({"watch": true})).problem(400, "usage");
    let job = ask(json!({"watch": false})).with_status(202).body;
    let job = watching
        .server
        .end_of_job(job["job"]["id"].as_str().unwrap());
    assert_eq!(job["report"]["removed"], 1, "{job}");
}

#[test]
fn a_folder_that_goes_and_comes_back_is_followed() {
    let watching = Watching::start(&[("a.rs", "pub fn first() {}\n")]);
    let away = watching.folder.with_extension("away");
    fs::rename(&watching.folder, &away).unwrap();
    // What is gone as a whole may be a disk that is not mounted: it stays found, and that is said.
    wait_until("it is said", || {
        let collection = watching.collection();
        collection["freshness"]["watched"] == false
    });
    assert_eq!(watching.server.find("code", "first"), ["a.rs"]);
    // Another one of its name; without anything to watch it is looked at from time to time.
    fs::create_dir(&watching.folder).unwrap();
    watching.write("b.rs", "pub fn second() {}\n");
    watching.finds("second", &["b.rs"]);
    watching.finds("first", &[]);
    watching.write("b.rs", "pub fn third() {}\n");
    watching.finds("third", &["b.rs"]);
    assert_eq!(watching.collection()["freshness"]["watched"], true);
}
