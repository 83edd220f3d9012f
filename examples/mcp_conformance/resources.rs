//! Resources of every kind.

use rmcp::model::{ErrorData, ReadResourceResponse, ReadResourceResult};
use serde_json::{Value, json};

use crate::result;
use crate::tools::PNG;

pub(crate) fn list() -> Value {
    json!({"resources": [
        {"uri": "test://static-text", "name": "text", "mimeType": "text/plain"},
        {"uri": "test://static-binary", "name": "binary", "mimeType": "image/png"},
        {"uri": "test://watched-resource", "name": "watched", "mimeType": "text/plain"},
    ]})
}

pub(crate) fn templates() -> Value {
    json!({"resourceTemplates": [
        {"uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": "application/json"},
    ]})
}

pub(crate) fn read(uri: &str) -> Result<ReadResourceResponse, ErrorData> {
    let text = |kind: &str, text: &str| json!({"uri": uri, "mimeType": kind, "text": text});
    let id = uri
        .strip_prefix("test://template/")
        .and_then(|rest| rest.strip_suffix("/data"));
    let content = match (uri, id) {
        (_, Some(id)) => {
            let data =
                json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            text("application/json", &data.to_string())
        }
        ("test://static-text" | "test://watched-resource", None) => text(
            "text/plain",
            "This is the content of the static text resource.",
        ),
        ("test://static-binary", None) => json!({"uri": uri, "mimeType": "image/png", "blob": PNG}),
        _ => {
            let data = json!({"uri": uri});
            return Err(ErrorData::invalid_params("Resource not found", Some(data)));
        }
    };
    Ok(result::<ReadResourceResult>(json!({"contents": [content]})).into())
}
