//! Indexing: what changes, what stays, what is left out, and that it ends well whatever happens.

use std::fs;

use crate::support::app::{App, wait_until, write_tree};

fn root(app: &App) -> std::path::PathBuf {
    app.dir.path().join("project")
}

fn index(app: &App) -> serde_json::Value {
    app.json(&["index", root(app).to_str().unwrap()])
}

/// Source files of several chunks each, with words of their own.
fn modules(count: usize) -> Vec<(String, String)> {
    const THINGS: [&str; 11] = [
        "invoice", "parcel", "ticket", "sensor", "harbour", "violin", "glacier", "lantern",
        "orchard", "compass", "anvil",
    ];
    const DEEDS: [&str; 7] = [
        "validate",
        "archive",
        "merge",
        "publish",
        "measure",
        "repair",
        "translate",
    ];
    let functions = |module: usize| {
        let thing = THINGS[module % THINGS.len()];
        let other = THINGS[(module / THINGS.len() + module * 3 + 1) % THINGS.len()];
        (0..6).map(move |number| {
            let deed = DEEDS[(module + number) % DEEDS.len()];
            format!(
                "/// Can {deed} the {thing} of case {number} in module {module} and looks at its {other}.\n\
                 pub fn handle_{module}_{number}({thing}: &str) -> Option<usize> {{\n    \
                 let {other}_position = {thing}.find(\"{deed}{module}\")?;\n    \
                 let value = {thing}[{other}_position..].len() * {module};\n    Some(value)\n}}\n\n"
            )
        })
    };
    (0..count)
        .map(|module| {
            (
                format!("m{}/file{module}.rs", module % 7),
                functions(module).collect(),
            )
        })
        .collect()
}

fn write_modules(app: &App, count: usize) {
    for (path, text) in modules(count) {
        write_tree(&root(app), &[(&path, &text)]);
    }
}

/// Every question of a fixed set with its answer, and the counts of the collection.
fn answers(app: &App) -> Vec<serde_json::Value> {
    let mut answers: Vec<serde_json::Value> = [
        "handle_3_2",
        "where is the harbour archived",
        "violin_position",
    ]
    .iter()
    .map(|query| {
        let mut answer = app.json(&["search", query]);
        let hits = answer["hits"].as_array_mut().unwrap();
        hits.iter_mut().for_each(|hit| hit["id"] = 0.into());
        answer["hits"].take()
    })
    .collect();
    answers.push(app.json(&["status"])["collections"][0]["counts"].clone());
    answers
}

#[test]
fn a_second_run_reads_and_embeds_nothing() {
    let Some(app) = App::with_model() else { return };
    write_modules(&app, 10);
    let first = index(&app);
    assert_eq!(first["changed"], 10);
    assert!(first["embedded_now"].as_u64().unwrap() > 10);
    assert_eq!(first["embedded"], first["chunks"]);
    let second = index(&app);
    assert_eq!(
        (second["changed"].as_u64(), second["embedded_now"].as_u64()),
        (Some(0), Some(0))
    );
    assert_eq!(second["chunks"], first["chunks"]);
}

#[test]
fn changed_added_and_removed_files_are_followed() {
    let app = App::text_only();
    write_tree(
        &root(&app),
        &[
            ("a.rs", "fn alpha_one() {}\n"),
            ("b.rs", "fn beta_one() {}\n"),
        ],
    );
    index(&app);
    write_tree(
        &root(&app),
        &[
            ("a.rs", "fn alpha_two() {}\n"),
            ("c.rs", "fn gamma_one() {}\n"),
        ],
    );
    fs::remove_file(root(&app).join("b.rs")).unwrap();
    let report = index(&app);
    assert_eq!(
        (report["changed"].as_u64(), report["removed"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(app.places(&["search", "alpha_two"])[0], "a.rs:1");
    assert_eq!(app.places(&["search", "gamma_one"])[0], "c.rs:1");
    assert!(
        app.places(&["search", "beta_one"])
            .iter()
            .all(|place| !place.starts_with("b.rs"))
    );
    assert!(
        app.places(&["search", "alpha_one", "--mode", "literal"])
            .is_empty()
    );
}

#[test]
fn skipped_files_are_listed_with_their_reasons() {
    let app = App::text_only();
    write_tree(
        &root(&app),
        &[
            ("a.rs", "fn a() {}\n"),
            (".env", "KEY=1\n"),
            ("b.txt", "bin\0ary"),
            ("c.png", "x"),
        ],
    );
    let big = "x".repeat(2_000);
    write_tree(&root(&app), &[("big.txt", &big)]);
    let output = app
        .command(&["index", root(&app).to_str().unwrap(), "--json"])
        .env("EMBEDDER_INDEX_FILE_BYTES_MAX", "1000")
        .output()
        .unwrap();
    assert!(output.status.success());
    let status = app.json(&["status"]);
    let skipped = status["collections"][0]["skipped"].as_array().unwrap();
    let listed: Vec<_> = skipped
        .iter()
        .map(|file| {
            format!(
                "{}: {}",
                file["path"].as_str().unwrap(),
                file["reason"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            ".env: may hold secrets",
            "b.txt: binary file: NUL byte at offset 3",
            "big.txt: too large: 2000 bytes, the limit is 1000",
            "c.png: not text",
        ]
    );
    assert!(
        app.ok(&["status", "--skipped"])
            .out()
            .contains("b.txt  binary file")
    );
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let app = App::text_only();
    write_modules(&app, 3);
    let plan = app.json(&["index", root(&app).to_str().unwrap(), "--dry-run"]);
    assert_eq!(
        (plan["collection"].as_str(), plan["changed"].as_u64()),
        (Some("project"), Some(3))
    );
    assert!(!app.data_dir().exists());
    index(&app);
    let plan = app.json(&["index", root(&app).to_str().unwrap(), "--dry-run"]);
    // Files a moment old are read again, because they could change within one tick of the clock.
    assert_eq!(plan["removed"], 0);
}

#[test]
fn a_file_is_read_again_when_the_reason_to_skip_it_is_gone_or_its_content_changed_in_secret() {
    let app = App::text_only();
    write_tree(
        &root(&app),
        &[
            ("long.rs", &"fn long_one() {}\n".repeat(100)),
            ("same.rs", "fn same_one() {}\n"),
        ],
    );
    let limited = app
        .command(&["index", root(&app).to_str().unwrap()])
        .env("EMBEDDER_INDEX_FILE_BYTES_MAX", "1000")
        .output()
        .unwrap();
    assert!(limited.status.success());
    // Another text of the same length with the same time of modification, as archives and copies make them.
    let same = root(&app).join("same.rs");
    let modified = fs::metadata(&same).unwrap().modified().unwrap();
    fs::write(&same, "fn same_two() {}\n").unwrap();
    fs::File::options()
        .write(true)
        .open(&same)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    index(&app);
    assert_eq!(app.places(&["search", "long_one"])[0], "long.rs:1");
    assert_eq!(
        app.places(&["search", "same_two", "--mode", "literal"]),
        ["same.rs:1"]
    );
}

#[test]
fn the_data_directory_is_private_and_never_indexed() {
    let app = App::text_only();
    write_tree(&root(&app), &[("a.rs", "fn a() {}\n")]);
    let data = root(&app).join("data");
    for _ in 0..2 {
        let report = app.json(&[
            "index",
            root(&app).to_str().unwrap(),
            "--data-dir",
            data.to_str().unwrap(),
        ]);
        assert_eq!(report["files"], 1);
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&data), mode(&data.join("content.db"))),
        (0o700, 0o600)
    );
}

#[test]
fn an_interrupted_first_run_is_not_begun_again() {
    let app = App::text_only();
    for (path, text) in modules(1_500) {
        write_tree(&root(&app), &[(&path, &text)]);
    }
    let mut child = app.spawn(&["index", root(&app).to_str().unwrap()]);
    let files = |app: &App| {
        let status: serde_json::Value =
            serde_json::from_str(&app.run(&["status", "--json"]).out()).unwrap_or_default();
        status["collections"][0]["counts"]["files"]
            .as_u64()
            .unwrap_or(0)
    };
    wait_until("some files are stored", || {
        files(&app) > 0 || child.try_wait().unwrap().is_some()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let before = files(&app);
    let report = index(&app);
    assert_eq!(
        report["changed"].as_u64().unwrap() + before,
        1_500,
        "{before} were stored before"
    );
}

#[test]
fn a_folder_inside_an_indexed_one_is_not_indexed_twice() {
    let app = App::text_only();
    write_modules(&app, 3);
    index(&app);
    let inside = root(&app).join("m1");
    app.fails(
        &["index", inside.to_str().unwrap()],
        64,
        &["part of the collection `project`", "embedder index"],
    );
    app.ok(&["index", inside.to_str().unwrap(), "--collection", "m1"]);
}

#[test]
fn a_store_from_a_backup_is_not_answered_from_an_index_that_is_ahead_of_it() {
    let app = App::text_only();
    write_tree(&root(&app), &[("a.rs", "fn alpha_one() {}\n")]);
    index(&app);
    let store = app.data_dir().join("content.db");
    let backup = fs::read(&store).unwrap();
    write_tree(&root(&app), &[("a.rs", "fn alpha_two() {}\n")]);
    index(&app);
    fs::write(&store, backup).unwrap();
    assert_eq!(app.places(&["search", "alpha_one"]), ["a.rs:1"]);
    assert_eq!(
        app.places(&["search", "alpha_one", "--mode", "literal"]),
        ["a.rs:1"]
    );
}

#[test]
fn a_removed_collection_is_gone_and_its_folder_is_not() {
    let app = App::text_only();
    write_modules(&app, 3);
    index(&app);
    app.fails(&["remove", "nothing"], 66, &["nothing", "project"]);
    app.ok(&["remove", "project"]);
    app.fails(&["search", "handle_1_1"], 66, &["nothing is indexed"]);
    assert!(!app.data_dir().join("index/1").exists());
    assert!(root(&app).join("m1/file1.rs").exists());
    index(&app);
    assert!(app.places(&["search", "handle_1_1"])[0].starts_with("m1/file1.rs"));
}

#[test]
fn two_folders_of_one_name_are_not_mixed_by_accident() {
    let app = App::text_only();
    write_tree(
        app.dir.path(),
        &[("x/src/a.rs", "fn a() {}\n"), ("y/src/b.rs", "fn b() {}\n")],
    );
    let (x, y) = (app.dir.path().join("x/src"), app.dir.path().join("y/src"));
    app.ok(&["index", x.to_str().unwrap()]);
    app.fails(
        &["index", y.to_str().unwrap()],
        64,
        &["`src`", "--collection"],
    );
    app.ok(&["index", y.to_str().unwrap(), "--collection", "y"]);
    app.ok(&["index", x.to_str().unwrap()]);
    let names: Vec<_> = app.json(&["status"])["collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].clone())
        .collect();
    assert_eq!(names, ["src", "y"]);
}

#[test]
fn an_index_folder_that_is_missing_damaged_or_foreign_is_rebuilt_from_the_store() {
    let app = App::text_only();
    write_modules(&app, 4);
    index(&app);
    let expected = answers(&app);
    let folder = app.data_dir().join("index/1");
    let damage: [(&str, &dyn Fn()); 4] = [
        ("missing", &|| fs::remove_dir_all(&folder).unwrap()),
        ("truncated", &|| {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                if entry
                    .path()
                    .extension()
                    .is_some_and(|end| end == "idx" || end == "term")
                {
                    fs::write(entry.path(), "x").unwrap();
                }
            }
        }),
        ("garbled", &|| {
            fs::write(folder.join("meta.json"), "{}").unwrap();
        }),
        ("another version", &|| {
            let meta = fs::read_to_string(folder.join("meta.json")).unwrap();
            assert!(meta.contains("payload"), "{meta}");
            let payload = meta.find("\"payload\"").unwrap();
            fs::write(
                folder.join("meta.json"),
                format!("{}\"payload\": \"v999 1\"\n}}", &meta[..payload]),
            )
            .unwrap();
        }),
    ];
    for (what, break_it) in damage {
        break_it();
        // A reader answers all the same, from memory, and says so in the log.
        let reader = app.ok(&["search", "handle_3_2"]);
        assert!(
            reader.err().contains("text index"),
            "{what}: {}",
            reader.err()
        );
        assert!(reader.out().contains("handle_3_2"), "{what}");
        let writer = app.ok(&["index", root(&app).to_str().unwrap()]);
        assert!(
            writer.err().contains("from the store"),
            "{what}: {}",
            writer.err()
        );
        assert_eq!(answers(&app), expected, "{what}");
    }
}

#[test]
fn a_damaged_store_refuses_to_start_and_is_left_as_it_is() {
    let app = App::text_only();
    write_modules(&app, 4);
    index(&app);
    let store = app.data_dir().join("content.db");
    let garbage = vec![0x5a; 8192];
    fs::write(&store, &garbage).unwrap();
    for args in [
        &["index", "project"][..],
        &["search", "x"][..],
        &["status"][..],
    ] {
        app.fails(args, 65, &["damaged", "restore", "content.db"]);
    }
    assert_eq!(fs::read(&store).unwrap(), garbage);
    fs::remove_file(&store).unwrap();
    app.fails(&["index", "project"], 65, &["missing", "restore"]);
    assert!(!store.exists());
}

#[test]
fn ctrl_c_leaves_a_usable_index_and_the_next_run_goes_on() {
    let Some(app) = App::with_model() else { return };
    write_modules(&app, 120);
    let mut child = app.spawn(&["index", root(&app).to_str().unwrap()]);
    let pid = child.id().to_string();
    wait_until("vectors are being computed", || {
        let status = app.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status.out()).unwrap_or_default();
        status["collections"][0]["counts"]["embedded"]
            .as_u64()
            .unwrap_or(0)
            > 0
            || child.try_wait().unwrap().is_some()
    });
    // While they are, a search answers from text and says how far they are.
    let answer = app.json(&["search", "handle_3_2"]);
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let status = child.wait().unwrap();
    assert_eq!(
        status.code(),
        Some(130),
        "the run was interrupted while it embedded"
    );
    let fraction = answer["meta"]["embedded_fraction"].as_f64().unwrap();
    assert!(fraction > 0.0 && fraction < 1.0, "{fraction}");
    assert_eq!(answer["meta"]["degraded"], false);
    if fraction < 0.9 {
        assert_eq!(answer["meta"]["served_by"], "text");
    }
    let counts = app.json(&["status"])["collections"][0]["counts"].clone();
    let before = counts["embedded"].as_u64().unwrap();
    assert!(
        before > 0 && before < counts["chunks"].as_u64().unwrap(),
        "{counts}"
    );
    let report = index(&app);
    assert_eq!(report["changed"], 0);
    assert_eq!(report["embedded"], report["chunks"]);
    assert!(
        report["embedded_now"].as_u64().unwrap() <= counts["chunks"].as_u64().unwrap() - before
    );
}

#[test]
fn a_run_killed_at_any_moment_is_completed_by_the_next_with_the_same_answers() {
    let Some(app) = App::with_model() else { return };
    write_modules(&app, 60);
    let undisturbed = App::with_model().unwrap();
    write_modules(&undisturbed, 60);
    let whole = std::time::Instant::now();
    index(&undisturbed);
    let whole = whole.elapsed();
    let expected = answers(&undisturbed);
    // Moments spread over the run by the golden ratio: scattered, yet the same in every run of this test.
    for kill in 1..=10u32 {
        let _ = fs::remove_dir_all(app.data_dir());
        let at = whole.mul_f64((f64::from(kill) * 0.618_034).fract());
        let mut child = app.spawn(&["index", root(&app).to_str().unwrap()]);
        let started = std::time::Instant::now();
        while started.elapsed() < at && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
        let report = index(&app);
        assert_eq!(report["embedded"], report["chunks"], "killed after {at:?}");
        assert_eq!(answers(&app), expected, "killed after {at:?}");
        assert!(app.ok(&["doctor"]).out().contains("is sound"));
    }
}
