//! Documents that clients hand over: found at once, replaced whole, gone for good, and still there after a restart.

use std::thread;

use serde_json::{Value, json};

use crate::support::app::{App, wait_until};
use crate::support::server::{TestServer, encoded, paths, word};

/// A server without a model and an empty collection `notes`.
fn notes(app: &App) -> TestServer {
    let server = TestServer::start(app, &[], &[]);
    server.make_documents("notes");
    server
}

/// Writes a document into `notes` and returns what that did.
fn write(server: &TestServer, id: &str, text: &str) -> Value {
    server.write("notes", &[(id, text)])["results"][0]["status"].clone()
}

fn address(id: &str) -> String {
    format!("/v1/collections/notes/documents/{}", encoded(id))
}

#[test]
fn a_document_is_found_by_its_words_the_moment_it_is_acknowledged() {
    let app = App::text_only();
    let server = notes(&app);
    for round in 0..60 {
        let (id, word) = (format!("{round}.txt"), word(round));
        assert_eq!(
            write(&server, &id, &format!("The word is {word}.\n")),
            "created"
        );
        assert_eq!(server.find("notes", &word), [id], "round {round}");
    }
}

#[test]
fn a_document_is_replaced_as_a_whole() {
    let app = App::text_only();
    let server = notes(&app);
    let generation = || {
        server.get("/v1/collections/notes").ok()["generation"]
            .as_u64()
            .unwrap()
    };
    let (old, new) = (word(1), word(2));
    assert_eq!(write(&server, "a", &old), "created");
    let first = generation();
    assert_eq!(write(&server, "a", &old), "unchanged");
    assert_eq!(generation(), first);
    assert_eq!(write(&server, "a", &new), "updated");
    assert!(generation() > first);
    assert_eq!(server.find("notes", &new), ["a"]);
    assert!(server.find("notes", &old).is_empty());
    let document = server.get(&address("a")).ok();
    assert_eq!(
        (&document["id"], &document["text"]),
        (&json!("a"), &json!(new))
    );
    assert_eq!(document["embedding"], "unavailable", "there is no model");
    assert_eq!(
        server.get("/v1/collections/notes").ok()["counts"]["files"],
        1
    );
}

#[test]
fn a_deleted_document_is_found_no_more() {
    let app = App::text_only();
    let server = notes(&app);
    for round in 0..20 {
        let word = word(round);
        write(&server, "stays", &format!("{word} stays"));
        write(&server, "goes", &format!("{word} goes"));
        assert_eq!(server.find("notes", &word).len(), 2);
        server.delete(&address("goes")).with_status(204);
        assert_eq!(server.find("notes", &word), ["stays"], "round {round}");
        server.get(&address("goes")).problem(404, "not_found");
        server.delete(&address("goes")).problem(404, "not_found");
    }
}

#[test]
fn an_id_may_be_a_path_in_any_script() {
    let app = App::text_only();
    let server = notes(&app);
    let long = "x".repeat(512);
    let ids = [
        "dossier/été/日本 語.md",
        "a?b#c%2F",
        "../up",
        "+ &=",
        "%",
        "🦀",
        &long,
    ];
    for (number, id) in ids.into_iter().enumerate() {
        let word = word(number);
        assert_eq!(write(&server, id, &word), "created", "{id}");
        assert_eq!(server.find("notes", &word), [id]);
        let document = server.get(&address(id)).ok();
        assert_eq!(
            (&document["id"], &document["text"]),
            (&json!(id), &json!(word))
        );
        let lines = server
            .get(&format!("/v1/collections/notes/files/{}", encoded(id)))
            .ok();
        assert_eq!(lines["text"], word);
    }
    for id in ids {
        server.delete(&address(id)).with_status(204);
        server.get(&address(id)).problem(404, "not_found");
    }
}

#[test]
fn facts_are_kept_and_filtered_by() {
    let app = App::text_only();
    let server = notes(&app);
    let word = word(7);
    let document = |id: &str, team: &str| {
        json!({"id": id, "text": word, "language": "markdown",
               "metadata": {"Team": team, "size": 3, "open": true}})
    };
    let body = json!({"documents": [document("a", "red"), document("b", "blue")]});
    server.post("/v1/collections/notes/documents", &body).ok();
    let stored = server.get(&address("a")).ok();
    assert_eq!(
        stored["metadata"],
        json!({"team": "red", "size": "3", "open": "true"})
    );
    assert_eq!(stored["language"], "markdown");
    let find = |filter: Value| {
        let body = json!({"query": word, "mode": "text", "filter": filter});
        paths(&server.post("/v1/collections/notes/search", &body).ok())
    };
    assert_eq!(find(json!({"metadata": {"team": "blue"}})), ["b"]);
    assert_eq!(
        find(json!({"metadata": {"team": "red", "size": "3"}})),
        ["a"]
    );
    assert!(find(json!({"metadata": {"team": "green"}})).is_empty());
    assert_eq!(find(json!({"path": ["b"]})), ["b"]);
}

#[test]
fn of_a_batch_all_is_written_or_nothing() {
    let app = App::text_only();
    let server = notes(&app);
    let good = json!({"id": "good", "text": "a good document"});
    let facts = |count: usize, key: &str, value: &str| {
        let facts = (0..count).map(|number| (format!("{key}{number}"), json!(value)));
        let facts: serde_json::Map<String, Value> = facts.collect();
        json!({"id": "bad", "text": "a text", "metadata": facts})
    };
    let long_id = "x".repeat(513);
    let bad = [
        json!({"id": "good", "text": "twice"}),
        json!({"id": "", "text": "no id"}),
        json!({"id": "a\nb", "text": "a line break"}),
        json!({"id": "a\u{0}b", "text": "a NUL"}),
        json!({"id": long_id, "text": "a long id"}),
        json!({"id": "bad", "text": "a\u{0}b"}),
        json!({"id": "bad", "text": "x".repeat(2 * 1024 * 1024)}),
        json!({"id": "bad", "text": "a text", "language": "klingon"}),
        json!({"id": "bad", "text": "a text", "vector": [1.0, 0.0]}),
        json!({"id": "bad", "text": "a text", "metadata": {"list": ["a"]}}),
        json!({"id": "bad", "text": "a text", "metadata": {"nothing": null}}),
        json!({"id": "bad", "text": "a text", "metadata": {"": "no key"}}),
        facts(65, "k", "v"),
        facts(1, &"k".repeat(64), "v"),
        facts(1, "k", &"v".repeat(1_025)),
        json!({"id": "bad"}),
        json!({"text": "no id"}),
        json!({"id": 1, "text": "a number"}),
    ];
    let send = |documents: Vec<Value>| {
        server.post(
            "/v1/collections/notes/documents",
            &json!({"documents": documents}),
        )
    };
    for bad in bad {
        let answer = send(vec![good.clone(), bad.clone()]);
        let shown: String = bad.to_string().chars().take(100).collect();
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text);
        assert!(answer.text.len() < 4_000, "{}", answer.text.len());
        server.get(&address("good")).problem(404, "not_found");
    }
    let many = |count: usize| (0..count).map(|id| json!({"id": id.to_string(), "text": word(id)}));
    send(Vec::new()).with_status(400);
    send(many(1_001).collect()).with_status(400);
    assert_eq!(
        server.get("/v1/collections/notes").ok()["counts"]["files"],
        0
    );
    let written = send(many(1_000).collect()).ok();
    assert_eq!(written["results"].as_array().unwrap().len(), 1_000);
    assert_eq!(server.find("notes", &word(999)), ["999"]);
}

#[test]
fn a_collection_is_of_one_kind() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let make = |name: &str, body: Value| server.put(&format!("/v1/collections/{name}"), &body);
    make("code", json!({"kind": "code"})).with_status(201);
    make("notes", json!({"kind": "documents"})).with_status(201);
    make("points", json!({"kind": "vectors", "dimensions": 3})).with_status(201);
    make("notes", json!({"kind": "documents"})).with_status(200);
    make("notes", json!({"kind": "code"})).problem(409, "conflict");
    make("points", json!({"kind": "vectors", "dimensions": 4})).problem(409, "conflict");
    for body in [
        json!({"kind": "vectors"}),
        json!({"kind": "vectors", "dimensions": 0}),
        json!({"kind": "vectors", "dimensions": 8_193}),
        json!({"kind": "vectors", "dimensions": -1}),
        json!({"kind": "documents", "dimensions": 3}),
        json!({"kind": "pictures"}),
        json!({}),
    ] {
        make("other", body).with_status(400);
    }
    for name in ["a%2Fb", "a%5Cb", "a%0Ab", &"x".repeat(129)] {
        make(name, json!({"kind": "documents"})).with_status(400);
    }
    let documents = json!({"documents": [{"id": "a", "text": "a text"}]});
    server
        .post("/v1/collections/code/documents", &documents)
        .with_status(400);
    server
        .post("/v1/collections/points/documents", &documents)
        .with_status(400);
    server
        .post("/v1/collections/missing/documents", &documents)
        .problem(404, "not_found");
    server
        .get("/v1/collections/other")
        .problem(404, "not_found");
    let view = server.get("/v1/collections/points").ok();
    assert_eq!(
        (&view["kind"], &view["dimensions"]),
        (&json!("vectors"), &json!(3))
    );
    let names = server.get("/v1/collections").ok();
    let names = names["collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["code", "notes", "points"]);
}

#[test]
fn a_deleted_collection_leaves_nothing_to_the_next_of_its_name() {
    let app = App::text_only();
    let server = notes(&app);
    let word = word(3);
    write(&server, "a", &word);
    let removed = server.delete("/v1/collections/notes").ok();
    assert_eq!(removed["collection"], "notes");
    server
        .get("/v1/collections/notes")
        .problem(404, "not_found");
    server.get(&address("a")).problem(404, "not_found");
    server
        .delete("/v1/collections/notes")
        .problem(404, "not_found");
    server.make_documents("notes");
    assert!(server.find("notes", &word).is_empty());
    assert_eq!(write(&server, "a", &word), "created");
    assert_eq!(server.find("notes", &word), ["a"]);
}

#[test]
fn vectors_of_clients_are_searched_by_vector() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server
        .put(
            "/v1/collections/points",
            &json!({"kind": "vectors", "dimensions": 3}),
        )
        .with_status(201);
    let send = |id: &str, vector: Value| {
        let document = json!({"id": id, "text": format!("the point {id}"), "vector": vector});
        let body = json!({"documents": [document]});
        server.post("/v1/collections/points/documents", &body)
    };
    for (id, vector) in [("east", [1, 0, 0]), ("north", [0, 1, 0]), ("up", [0, 0, 1])] {
        let written = send(id, json!(vector)).ok();
        assert_eq!(written["results"][0]["status"], "created");
        assert_eq!(written["embedding"], "ready");
    }
    let search = |body: Value| server.post("/v1/collections/points/search", &body);
    let nearest = |vector: Value| {
        let answer = search(json!({"vector": vector, "mode": "vector"}))
            .with_status(200)
            .body;
        assert_eq!(answer["meta"]["served_by"], "vector");
        paths(&answer)
    };
    assert_eq!(nearest(json!([0.9, 0.3, 0.1])), ["east", "north", "up"]);
    assert_eq!(nearest(json!([0, -0.5, 7]))[0], "up");
    assert_eq!(server.find("points", "north")[0], "north");
    // A vector of another length, or none at all, is neither stored nor asked for.
    for vector in [
        json!([1, 0]),
        json!([1, 0, 0, 0]),
        json!([]),
        json!([1e39, 0, 0]),
    ] {
        send("bad", vector.clone()).with_status(400);
        search(json!({"vector": vector, "mode": "vector"})).with_status(400);
    }
    for vector in [
        json!([0, 0, 0]),
        json!(null),
        json!(["a", 0, 0]),
        json!("1,0,0"),
    ] {
        send("bad", vector).with_status(400);
    }
    search(json!({"query": "north", "mode": "vector"})).problem(400, "invalid_query");
    search(json!({"query": "north", "mode": "literal", "vector": [1, 0, 0]}))
        .problem(400, "invalid_query");
    // The same text with another vector is another document.
    assert_eq!(
        send("east", json!([1, 0, 0])).ok()["results"][0]["status"],
        "unchanged"
    );
    assert_eq!(
        send("east", json!([-1, 0, 0])).ok()["results"][0]["status"],
        "updated"
    );
    assert_eq!(nearest(json!([-1, 0.1, 0]))[0], "east");
    // They need no embedder, so that one switched off by hand takes nothing away.
    let off = json!({"off": ["embedder"], "for_s": 600});
    assert_eq!(
        server.put("/v1/admin/degradation", &off).ok()["level"],
        "Degraded"
    );
    assert_eq!(nearest(json!([-1, 0.2, 0]))[0], "east");
    // What they do need is switched off for them as well, and that is the only reason.
    let off = json!({"off": ["embedder", "vector_index"], "for_s": 600});
    server.put("/v1/admin/degradation", &off).with_status(200);
    let refused = search(json!({"vector": [1, 0, 0], "mode": "vector"}));
    refused.problem(503, "dependency_unavailable");
    server.delete("/v1/admin/degradation").with_status(200);
    assert_eq!(nearest(json!([-1, 0.1, 0]))[0], "east");
    server
        .delete("/v1/collections/points/documents/east")
        .with_status(204);
    assert!(!nearest(json!([-1, 0, 0])).contains(&"east".to_owned()));
    assert_eq!(
        server.get("/v1/collections/points").ok()["embedded_fraction"],
        1.0
    );
}

#[test]
fn a_restart_keeps_everything() {
    let app = App::text_only();
    let server = notes(&app);
    for number in 0..30 {
        write(&server, &number.to_string(), &word(number));
    }
    server.delete(&address("7")).with_status(204);
    let seen = |server: &TestServer| {
        let documents: Vec<_> = (0..30)
            .map(|number| {
                let document = server.get(&address(&number.to_string()));
                (
                    document.status,
                    document.body["text"].clone(),
                    server.find("notes", &word(number)),
                )
            })
            .collect();
        (documents, server.get("/v1/collections/notes").ok())
    };
    let before = seen(&server);
    let key = server.key(&["search"], None);
    server.stop();
    let server = TestServer::start(&app, &[], &[]);
    assert_eq!(seen(&server), before);
    server.get(&address("7")).problem(404, "not_found");
    assert!(server.find("notes", &word(7)).is_empty());
    let found = server
        .ask("POST", "/v1/search")
        .key(&key)
        .json(&json!({"query": word(3), "mode": "text"}));
    assert_eq!(paths(&found.send().ok()), ["3"]);
}

#[test]
fn writers_side_by_side_each_find_what_they_wrote() {
    let app = App::text_only();
    let server = notes(&app);
    thread::scope(|scope| {
        for writer in 0..2 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..40 {
                    let (id, word) = (format!("{writer}-{round}"), word(writer * 100 + round));
                    write(server, &id, &word);
                    assert_eq!(server.find("notes", &word), [id]);
                }
            });
        }
    });
    assert_eq!(
        server.get("/v1/collections/notes").ok()["counts"]["files"],
        80
    );
}

#[test]
fn vectors_follow_and_then_the_answer_is_hybrid() {
    let Some(app) = App::with_model() else { return };
    let server = notes(&app);
    let written = server.write(
        "notes",
        &[
            (
                "pets",
                "The cat sleeps on the carpet in front of the fire.\n",
            ),
            (
                "money",
                "Quarterly revenue grew because of higher interest rates.\n",
            ),
            (
                "space",
                "The telescope photographs distant galaxies every night.\n",
            ),
        ],
    );
    assert_eq!(written["embedding"], "pending");
    let body = json!({"query": "a kitten dozing on a rug"});
    let mut answer = Value::Null;
    wait_until("the vectors are there", || {
        answer = server
            .post("/v1/collections/notes/search", &body)
            .with_status(200)
            .body;
        answer["meta"]["embedded_fraction"] == 1.0
    });
    assert_eq!(answer["meta"]["served_by"], "hybrid");
    assert_eq!(answer["meta"]["degraded"], false);
    assert_eq!(paths(&answer)[0], "pets");
    assert_eq!(server.get(&address("pets")).ok()["embedding"], "ready");
    let again = server.write(
        "notes",
        &[(
            "pets",
            "The cat sleeps on the carpet in front of the fire.\n",
        )],
    );
    assert_eq!(again["embedding"], "ready");
}

#[test]
fn the_size_of_an_answer_is_that_of_the_hits_which_it_holds() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    let text = "the harbour opens at dawn, and nobody is there to see it\n".repeat(1_000);
    let collections: Vec<_> = (0..6).map(|number| format!("notes-{number}")).collect();
    for (number, collection) in collections.iter().enumerate() {
        server.make_documents(collection);
        // Equal texts of a collection are one.
        let text = format!("{number}\n{text}");
        server.write(collection, &[("a", &text)]);
    }
    let search = |limit: usize, context: usize| {
        let query = json!({"query": "harbour", "mode": "literal", "collections": collections,
            "limit": limit, "context": context});
        server.post("/v1/search", &query)
    };
    let answer = search(40, 20).ok();
    assert_eq!(answer["hits"].as_array().unwrap().len(), 40);
    // What all have found together would be too much.
    search(240, 20).problem(413, "too_large");
}
