//! What users ask, on a small repository of several languages.

use std::path::Path;

use crate::support::app::{App, places, write_tree};

const FILES: &[(&str, &str)] = &[
    (
        "src/retry.rs",
        "//! Retrying with back-off.\n\n/// Waits longer after each failure.\npub struct RetryPolicy {\n    pub attempts: u32,\n}\n\n\
         impl RetryPolicy {\n    /// Returns how long to wait before the next attempt.\n    pub fn delay(&self, attempt: u32) -> u64 {\n        \
         100 << attempt\n    }\n}\n",
    ),
    (
        "src/server.py",
        "class HttpServer:\n    \"\"\"Accepts connections and hands them to workers.\"\"\"\n\n    def serve_forever(self):\n        \
         while True:\n            self.accept_connection()\n\n    def accept_connection(self):\n        pass\n",
    ),
    (
        "web/cart.ts",
        "export interface CartItem { price: number; quantity: number }\n\n\
         // Sums up what the customer has to pay.\nexport function totalPrice(items: CartItem[]): number {\n  \
         return items.reduce((sum, item) => sum + item.price * item.quantity, 0);\n}\n",
    ),
    (
        "docs/deploy.md",
        "---\ntags: [ops, release]\n---\n# Deploying\n\nBuild the image first.\n\n## Rolling back\n\n\
         When a release misbehaves, switch the traffic to the previous version and open an incident.\n",
    ),
    (
        "tests/test_server.py",
        "def test_serve_forever():\n    HttpServer().serve_forever()\n",
    ),
];

fn indexed(app: &App) {
    let root = app.dir.path().join("shop");
    write_tree(&root, FILES);
    app.ok(&["index", root.to_str().unwrap()]);
}

#[test]
fn text_search_finds_definitions_words_and_headings_and_says_that_there_is_no_model() {
    let app = App::text_only();
    indexed(&app);
    let first = |query: &str| places(&app.json(&["search", query]))[0].clone();
    assert_eq!(first("RetryPolicy"), "src/retry.rs:1");
    assert_eq!(first("HttpServer"), "src/server.py:1");
    assert_eq!(
        first("how is the total price of the cart computed"),
        "web/cart.ts:1"
    );
    assert!(first("roll back a release").starts_with("docs/deploy.md:"));
    let answer = app.json(&["search", "RetryPolicy"]);
    assert_eq!(answer["meta"]["served_by"], "text");
    assert_eq!(answer["meta"]["degraded"], true);
    assert_eq!(answer["meta"]["reasons"][0], "model_missing");
    let run = app.ok(&["search", "RetryPolicy"]);
    assert!(run.err().contains("no model"), "{}", run.err());
}

#[test]
fn hybrid_and_vector_search_find_by_meaning() {
    let Some(app) = App::with_model() else { return };
    indexed(&app);
    let answer = app.json(&["search", "amount due for a shopping basket"]);
    assert_eq!(answer["meta"]["served_by"], "hybrid");
    assert_eq!(answer["meta"]["degraded"], false);
    assert_eq!(answer["meta"]["embedded_fraction"], 1.0);
    assert!(places(&answer)[0].starts_with("web/cart.ts:"), "{answer}");
    let answer = app.json(&[
        "search",
        "sum of the prices of items in a shopping cart",
        "--mode",
        "vector",
    ]);
    assert_eq!(answer["meta"]["served_by"], "vector");
    assert!(places(&answer)[0].starts_with("web/cart.ts:"), "{answer}");
}

#[test]
fn vector_search_without_a_model_is_refused_not_degraded() {
    let app = App::text_only();
    indexed(&app);
    app.fails(
        &["search", "money", "--mode", "vector"],
        69,
        &["not installed", "embedder models pull"],
    );
}

#[test]
fn literal_and_regex_search_find_the_very_text() {
    let app = App::text_only();
    indexed(&app);
    assert_eq!(
        app.places(&["search", "100 << attempt", "--mode", "literal"]),
        ["src/retry.rs:1"]
    );
    let answer = app.json(&["search", r"def \w+_connection\(", "--mode", "regex"]);
    assert_eq!(places(&answer), ["src/server.py:1"]);
    assert_eq!(answer["meta"]["served_by"], "regex");
    assert!(
        answer["hits"][0]["snippet"]["text"]
            .as_str()
            .unwrap()
            .contains("def accept_connection")
    );
    app.fails(
        &["search", "a(", "--mode", "regex"],
        64,
        &["not a regular expression", "unclosed group"],
    );
    assert!(
        app.places(&["search", "attempt <<", "--mode", "literal"])
            .is_empty()
    );
}

#[test]
fn filters_hold_before_the_best_are_picked() {
    let app = App::text_only();
    let root = app.dir.path().join("many");
    write_tree(&root, FILES);
    for index in 0..60 {
        let text = format!(
            "class HttpServer{index}:\n    \"\"\"http server serve forever\"\"\"\n    port = {index}\n"
        );
        write_tree(&root, &[(&format!("gen/m{index}.py"), &text)]);
    }
    app.ok(&["index", root.to_str().unwrap()]);
    let only = |extra: &[&str]| {
        let mut args = vec!["search", "http server serve forever", "-n", "1"];
        args.extend(extra);
        app.places(&args)
    };
    assert!(only(&["--path", "tests/**"])[0].starts_with("tests/test_server.py"));
    assert!(only(&["--path", "src"])[0].starts_with("src/server.py"));
    assert!(
        only(&["--language", "rust", "--mode", "text"])
            .iter()
            .all(|place| place.starts_with("src/retry.rs"))
    );
    let tagged = app.places(&["search", "release", "--metadata", "tags=ops"]);
    assert!(
        !tagged.is_empty()
            && tagged
                .iter()
                .all(|place| place.starts_with("docs/deploy.md")),
        "{tagged:?}"
    );
    assert!(
        app.places(&["search", "release", "--metadata", "tags=nothing"])
            .is_empty()
    );
}

#[test]
fn a_hit_shows_its_lines_its_neighbours_and_its_reasons() {
    let app = App::text_only();
    indexed(&app);
    let answer = app.json(&[
        "search",
        "Rolling back",
        "--context",
        "1",
        "--snippet-lines",
        "2",
        "--explain",
    ]);
    let hit = &answer["hits"][0];
    assert!(
        hit["snippet"]["text"].as_str().unwrap().lines().count() <= 2,
        "{hit}"
    );
    assert!(
        hit["explain"]["text"].is_object() || hit["explain"]["bm25"].is_object(),
        "{hit}"
    );
    assert!(hit["explain"]["rules"].is_array(), "{hit}");
    let run = app.ok(&["search", "RetryPolicy", "--explain"]);
    assert!(run.out().contains("definition"), "{}", run.out());
    let places_only = app.ok(&["search", "RetryPolicy", "--snippet-lines", "0"]);
    assert!(
        !places_only.out().contains("pub struct"),
        "{}",
        places_only.out()
    );
}

#[test]
fn equal_texts_are_shown_once_and_found_by_a_filter_on_either_place() {
    let app = App::text_only();
    let root = app.dir.path().join("copies");
    let text = "/// Parses the header of a frame and checks its length.\npub fn parse_frame_header(bytes: &[u8]) {}\n";
    write_tree(
        &root,
        &[("src/frame.rs", text), ("vendor/deep/down/frame.rs", text)],
    );
    app.ok(&["index", root.to_str().unwrap()]);
    assert_eq!(
        app.places(&["search", "parse_frame_header"]),
        ["src/frame.rs:1"]
    );
    assert_eq!(
        app.places(&["search", "parse_frame_header", "--path", "vendor"]),
        ["vendor/deep/down/frame.rs:1"]
    );
    assert_eq!(
        app.places(&["search", "parse_frame_header", "--mode", "literal"])
            .len(),
        2
    );
}

#[test]
fn related_code_is_found_from_a_place() {
    let Some(app) = App::with_model() else { return };
    indexed(&app);
    let answer = app.json(&["related", "src/server.py:4"]);
    let found = places(&answer);
    assert!(found[0].starts_with("tests/test_server.py"), "{found:?}");
    assert!(
        found
            .iter()
            .all(|place| !place.starts_with("src/server.py:1")),
        "{found:?}"
    );
    app.fails(
        &["related", "src/nothing.py:4"],
        66,
        &["src/nothing.py:4", "status"],
    );
    app.fails(&["related", "src/server.py"], 64, &["FILE:LINE"]);
}

#[test]
fn collections_are_chosen_by_name_or_by_the_current_folder() {
    let app = App::text_only();
    let (one, two) = (app.dir.path().join("one"), app.dir.path().join("two"));
    write_tree(&one, &[("a.rs", "pub fn shared_name_in_one() {}\n")]);
    write_tree(&two, &[("sub/b.rs", "pub fn shared_name_in_two() {}\n")]);
    app.ok(&["index", one.to_str().unwrap()]);
    app.ok(&["index", two.to_str().unwrap()]);
    let names = |answer: &serde_json::Value| -> Vec<String> {
        let hits = answer["hits"].as_array().unwrap();
        hits.iter()
            .map(|hit| hit["collection"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut all = names(&app.json(&["search", "shared name"]));
    all.sort();
    assert_eq!(all, ["one", "two"]);
    assert_eq!(
        names(&app.json(&["search", "shared name", "--collection", "two"])),
        ["two"]
    );
    let inside = |folder: &Path| {
        let output = app
            .command(&["search", "shared name", "--json"])
            .current_dir(folder)
            .output()
            .unwrap();
        names(&serde_json::from_slice(&output.stdout).unwrap())
    };
    assert_eq!(inside(&two.join("sub")), ["two"]);
    app.fails(
        &["search", "x", "--collection", "three"],
        66,
        &["three", "one, two"],
    );
}

#[test]
fn related_without_a_model_is_answered_from_words_and_says_so() {
    let app = App::text_only();
    indexed(&app);
    let answer = app.json(&["related", "src/server.py:1"]);
    assert_eq!(answer["meta"]["served_by"], "text");
    assert_eq!(answer["meta"]["reasons"][0], "model_missing");
    assert!(
        places(&answer)[0].starts_with("tests/test_server.py"),
        "{answer}"
    );
}

#[test]
fn facts_of_one_source_do_not_speak_for_a_file_of_another() {
    let app = App::text_only();
    for (folder, tag) in [("one", "web"), ("two", "cli")] {
        let text = format!("---\ntags: {tag}\n---\n# Guide\n\nHow the {tag} tool is set up.\n");
        write_tree(app.dir.path(), &[(&format!("{folder}/index.md"), &text)]);
        app.ok(&["index", folder, "--collection", "guides"]);
    }
    for mode in ["text", "literal"] {
        let answer = app.json(&["search", "tool", "--metadata", "tags=web", "--mode", mode]);
        let hits = answer["hits"].as_array().unwrap();
        assert_eq!(hits.len(), 1, "{mode}: {answer}");
        assert!(
            hits[0]["snippet"]["text"].as_str().unwrap().contains("web"),
            "{mode}: {answer}"
        );
    }
}

#[test]
fn a_definition_is_among_the_first_ten_also_when_several_collections_are_asked() {
    let app = App::text_only();
    let callers: Vec<(String, String)> = (0..12)
        .map(|number| {
            let path = format!("retry_request_{number}.py");
            (
                path,
                format!("# why is it slow {number}\nretry_request()\n"),
            )
        })
        .collect();
    let callers: Vec<(&str, &str)> = callers
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    for (name, files) in [
        ("callers", &callers[..]),
        (
            "tested",
            &[("tests/t.py", "def retry_request():\n    pass\n")][..],
        ),
    ] {
        let root = app.dir.path().join(name);
        write_tree(&root, files);
        app.ok(&["index", root.to_str().unwrap()]);
    }
    let found = |extra: &[&str]| {
        let args = [
            &["search", "why is retry_request slow", "--mode", "text"],
            extra,
        ]
        .concat();
        places(&app.json(&args)).contains(&"tests/t.py:1".to_owned())
    };
    assert!(found(&[]));
    assert!(!found(&[
        "--without",
        "definition_guarantee",
        "--without",
        "definition"
    ]));
}

#[test]
fn direct_search_needs_no_index_and_shows_one_of_many_copies() {
    let app = App::text_only();
    let root = app.dir.path().join("copies");
    let client = "class HttpClient:\n    def retry(self):\n        return self.send(attempts=3)\n";
    write_tree(
        &root,
        &[
            ("a/client.py", client),
            ("b/client.py", client),
            ("c/client.py", client),
            (
                "src/lib.rs",
                "/// Retries what failed.\npub fn retries() -> u32 { 3 }\n",
            ),
            (
                "tests/test_retry.py",
                "def test_retry():\n    assert retry(3)\n",
            ),
        ],
    );
    app.ok(&["index", root.to_str().unwrap()]);
    std::fs::remove_dir_all(app.data_dir().join("index")).unwrap();
    let answer = app.json(&[
        "search",
        "how are failed requests retried",
        "--mode",
        "direct",
    ]);
    assert_eq!(answer["meta"]["served_by"], "direct");
    let found = places(&answer);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[..2].contains(&"src/lib.rs:1".to_owned()), "{found:?}");
    assert_eq!(found[2], "tests/test_retry.py:1", "tests come last");
    let in_c = places(&app.json(&["search", "HttpClient", "--mode", "direct", "--path", "c/**"]));
    assert_eq!(in_c, ["c/client.py:1"]);
    app.fails(
        &["search", "x", "--mode", "direct", "--explain"],
        64,
        &["no scores"],
    );
    app.fails(
        &["search", "x", "--mode", "regex", "--without", "saturation"],
        64,
        &["no ranking"],
    );
    app.fails(
        &["search", "x", "--without", "bogus"],
        64,
        &["bogus", "eval rules"],
    );
}

#[test]
fn a_rule_can_be_left_out() {
    let app = App::text_only();
    indexed(&app);
    let first = |extra: &[&str]| {
        let args = [&["search", "serve_forever test"], extra].concat();
        places(&app.json(&args))[0].clone()
    };
    assert_eq!(first(&[]), "src/server.py:1");
    assert_eq!(
        first(&["--without", "prior_test"]),
        "tests/test_server.py:1"
    );
}
