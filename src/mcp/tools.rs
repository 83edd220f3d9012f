//! The tools, as clients are told of them. Every word of it is read by a model with each conversation, so there are few.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolName {
    Search,
    Related,
    Read,
    Index,
    Status,
}

impl ToolName {
    /// Every tool, the ones used most first.
    pub(super) const ALL: [ToolName; 5] = [
        ToolName::Search,
        ToolName::Related,
        ToolName::Read,
        ToolName::Index,
        ToolName::Status,
    ];

    /// Returns its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            ToolName::Search => "search",
            ToolName::Related => "related",
            ToolName::Read => "read",
            ToolName::Index => "index",
            ToolName::Status => "status",
        }
    }

    /// Finds a tool by its name.
    pub(super) fn find(name: &str) -> Option<ToolName> {
        ToolName::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Describes the tool.
    pub(super) fn describe(self) -> Tool {
        let (description, properties, required): (&str, Value, &[&str]) = match self {
            ToolName::Search => (
                "Search the indexed code and documents by meaning, words and names. Ask one focused question; then read the places it names.",
                json!({
                    "query": {"type": "string", "description": "A question, words or an identifier; in the modes literal and regex the text itself."},
                    "collection": collection(),
                    "mode": {"type": "string", "enum": ["hybrid", "text", "vector", "literal", "regex"], "default": "hybrid"},
                    "path": {"type": "array", "items": {"type": "string"}, "description": "Globs, e.g. src/**/*.rs"},
                    "language": {"type": "array", "items": {"type": "string"}},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 10},
                    "max_tokens": max_tokens(1_500),
                }),
                &["query"],
            ),
            ToolName::Related => (
                "Find code like the code at a place.",
                json!({
                    "path": {"type": "string", "description": "As search names it."},
                    "line": {"type": "integer", "minimum": 1},
                    "collection": collection(),
                    "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 5},
                    "max_tokens": max_tokens(1_500),
                }),
                &["path", "line"],
            ),
            ToolName::Read => (
                "Read lines of an indexed file, as it was indexed.",
                json!({
                    "path": {"type": "string", "description": "As search names it."},
                    "from": {"type": "integer", "minimum": 1, "default": 1},
                    "to": {"type": "integer", "minimum": 1},
                    "collection": collection(),
                    "max_tokens": max_tokens(4_000),
                }),
                &["path"],
            ),
            ToolName::Index => (
                "Index a folder, or bring its index up to date; tells progress and waits up to 45 s for the end. Unchanged files cost nothing.",
                json!({
                    "path": {"type": "string", "description": "The folder; the workspace by default."},
                    "collection": {"type": "string", "description": "Where to; the folder's own by default."},
                }),
                &[],
            ),
            ToolName::Status => (
                "Say what is indexed, how fresh and complete it is, and whether anything is wrong.",
                json!({"collection": collection()}),
                &[],
            ),
        };
        let mut schema = JsonObject::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), properties);
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        schema.insert("additionalProperties".to_owned(), json!(false));
        let reads = self != ToolName::Index;
        let annotations = ToolAnnotations::new()
            .read_only(reads)
            .destructive(false)
            .idempotent(true)
            .open_world(false);
        Tool::new(self.name(), description, Arc::new(schema)).with_annotations(annotations)
    }
}

fn collection() -> Value {
    json!({"type": "string", "description": "The workspace's by default, else all."})
}

fn max_tokens(default: u32) -> Value {
    json!({"type": "integer", "minimum": 100, "maximum": 20_000, "default": default})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schemas of `any of`, and of several types at once, are refused by some clients.
    #[test]
    fn no_schema_has_a_union() {
        fn check(value: &Value) {
            match value {
                Value::Object(fields) => {
                    for (name, field) in fields {
                        assert!(!["anyOf", "oneOf", "allOf", "not"].contains(&name.as_str()));
                        assert!(name != "type" || field.is_string(), "{field}");
                        check(field);
                    }
                }
                Value::Array(items) => items.iter().for_each(check),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        for tool in ToolName::ALL {
            let tool = tool.describe();
            check(&Value::Object(tool.input_schema.as_ref().clone()));
        }
    }

    #[test]
    fn a_tool_is_found_by_its_name() {
        for tool in ToolName::ALL {
            assert_eq!(ToolName::find(tool.name()), Some(tool));
            assert_eq!(tool.describe().name, tool.name());
        }
        assert_eq!(ToolName::find("delete"), None);
    }
}
