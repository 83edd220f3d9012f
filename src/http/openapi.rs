//! The OpenAPI document, generated from the handlers.
//!
//! What concerns every address (keys, problems, the deadline header) is added here from the table of routes, so that it
//! cannot be forgotten at one of them.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::problem::{MEDIA_TYPE, ProblemBody};
use super::routes::{Needs, ROUTES, Route};
use super::{
    admin, collections, documents, drills, embeddings, files, jobs, mcp, pages, probes, resilience,
    search, sessions, sources,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "embedder",
        description = "Hybrid search over code and documents, with its own CPU embedding engine. Every answer that is \
                       not 2xx is a problem document (RFC 9457). Keys go into `Authorization: Bearer KEY`."
    ),
    components(schemas(ProblemBody)),
    paths(
        probes::livez,
        probes::readyz,
        probes::startupz,
        probes::health,
        probes::metrics,
        pages::docs,
        pages::openapi,
        sessions::redeem,
        sessions::end,
        sessions::whoami,
        sessions::open,
        embeddings::create,
        embeddings::list_models,
        embeddings::get_model,
        collections::list,
        collections::get,
        collections::put,
        collections::delete,
        documents::put,
        documents::get,
        documents::delete,
        sources::add,
        sources::list,
        sources::get,
        sources::skipped,
        sources::delete,
        search::in_collection,
        search::in_several,
        search::related,
        mcp::answer,
        files::read,
        jobs::list,
        jobs::get,
        jobs::cancel,
        jobs::events,
        jobs::failures,
        admin::status,
        admin::list_keys,
        admin::create_key,
        admin::revoke_key,
        admin::rotate_key,
        admin::list_roots,
        admin::add_root,
        admin::remove_root,
        drills::drill_breaker,
        drills::drill_retry,
        drills::drill_degradation,
        drills::drill_recovery,
        resilience::breakers,
        resilience::order_breaker,
        resilience::degradation,
        resilience::order_degradation,
        resilience::end_degradation,
        admin::audit,
        admin::verify_audit,
    )
)]
struct Document;

/// Returns the document.
pub(crate) fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({
        "key": {"type": "http", "scheme": "bearer", "description": "a key made by `embedder keys create`"},
    });
    document["servers"] = json!([{"url": "/"}]);
    for route in ROUTES {
        let method = route.method.to_ascii_lowercase();
        let pointer = route.path.replace('~', "~0").replace('/', "~1");
        if let Some(operation) = document
            .pointer_mut(&format!("/paths/{pointer}/{method}"))
            .and_then(Value::as_object_mut)
        {
            complete(operation, route);
        }
    }
    document
}

fn complete(operation: &mut Map<String, Value>, route: &Route) {
    // Functions of two files may have one name; with its group before it, each is told apart.
    let name = |key: &str| {
        operation
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let tag = operation
        .get("tags")
        .and_then(|tags| tags[0].as_str())
        .unwrap_or_default()
        .to_owned();
    if let Some(id) = name("operationId") {
        operation.insert("operationId".to_owned(), Value::from(format!("{tag}_{id}")));
    }
    let deadline = json!({
        "name": "X-Request-Timeout-Ms", "in": "header", "required": false,
        "description": "how long the caller waits for the answer",
        "schema": {"type": "integer", "minimum": 1},
    });
    if let Some(parameters) = operation
        .entry("parameters")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    {
        parameters.push(deadline);
    }
    let security = match route.needs {
        Needs::Nothing | Needs::Form => json!([]),
        Needs::Key => json!([{"key": []}]),
        Needs::Scope(scope) => json!([{"key": [scope.name()]}]),
    };
    operation.insert("security".to_owned(), security);
    if let Needs::Scope(scope) = route.needs {
        let text = operation
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let text = format!("{text}\n\nNeeds the scope `{}`.", scope.name());
        operation.insert("description".to_owned(), Value::from(text.trim()));
    }
    let problem = json!({
        "description": "What went wrong, and what to do about it",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
    });
    if let Some(responses) = operation
        .entry("responses")
        .or_insert_with(|| json!({}))
        .as_object_mut()
    {
        responses.entry("default").or_insert(problem);
    }
}

/// Returns method and path of every documented address.
#[cfg(test)]
fn documented() -> std::collections::BTreeSet<(String, String)> {
    let document = document();
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    let operations = paths.into_iter().flat_map(|(path, operations)| {
        let methods: Vec<String> = operations
            .as_object()
            .map(|methods| methods.keys().map(|method| method.to_uppercase()).collect())
            .unwrap_or_default();
        methods
            .into_iter()
            .map(move |method| (method, path.clone()))
    });
    operations.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_documented_and_every_documented_address_exists() {
        let existing = ROUTES
            .iter()
            .filter(|route| !route.is_page)
            .map(|route| (route.method.to_owned(), route.path.to_owned()))
            .collect();
        assert_eq!(documented(), existing);
    }

    #[test]
    fn every_operation_says_what_it_needs_and_how_it_fails() {
        let document = document();
        let mut ids = std::collections::BTreeSet::new();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        for route in ROUTES.iter().filter(|route| !route.is_page) {
            let operation = &document["paths"][route.path][route.method.to_lowercase()];
            assert!(operation["security"].is_array(), "{}", route.path);
            assert!(
                operation["responses"]["default"].is_object(),
                "{}",
                route.path
            );
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{id} twice");
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{} has no description", route.path);
        }
    }
}
