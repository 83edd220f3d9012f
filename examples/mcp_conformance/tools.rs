//! Tools of every kind of answer.

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, ProgressNotificationParam,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

use crate::{of, result};

/// A picture of one dot.
pub(crate) const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A sound of nothing.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

/// Between two pieces of news.
const PAUSE: Duration = Duration::from_millis(50);

const NAMES: [&str; 21] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_tool_with_logging",
    "test_logging_tool",
    "test_streaming_elicitation",
    "test_missing_capability",
    "test_sampling",
    "test_elicitation",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
];

pub(crate) fn list() -> Value {
    let tools: Vec<Value> = NAMES
        .iter()
        .map(|name| {
            json!({
                "name": name,
                "description": "For the conformance suite.",
                "inputSchema": {"type": "object", "properties": {}},
            })
        })
        .collect();
    json!({"tools": tools})
}

pub(crate) async fn call(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let text = |text: &str| json!({"type": "text", "text": text});
    let content = match &*request.name {
        "test_simple_text" => json!([text("This is a simple text response for testing.")]),
        "test_image_content" => json!([{"type": "image", "data": PNG, "mimeType": "image/png"}]),
        "test_audio_content" => json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]),
        "test_embedded_resource" => json!([{"type": "resource", "resource": {
            "uri": "test://embedded-resource", "mimeType": "text/plain",
            "text": "This is an embedded resource content.",
        }}]),
        "test_multiple_content_types" => json!([
            text("Multiple content types test:"),
            {"type": "image", "data": PNG, "mimeType": "image/png"},
            {"type": "resource", "resource": {
                "uri": "test://mixed-content-resource", "mimeType": "application/json",
                "text": "{\"test\":\"data\",\"value\":123}",
            }},
        ]),
        "test_error_handling" => {
            let said = json!({
                "isError": true,
                "content": [text("This tool intentionally returns an error for testing")],
            });
            return Ok(result::<CallToolResult>(said).into());
        }
        "test_tool_with_progress" => {
            if let Some(token) = context.meta.get_progress_token() {
                for done in [0.0, 50.0, 100.0] {
                    let progress = ProgressNotificationParam::new(token.clone(), done);
                    // Who does not listen any more is noticed when the request ends.
                    let _ = context
                        .peer
                        .notify_progress(progress.with_total(100.0))
                        .await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            json!([text("Done.")])
        }
        "test_tool_with_logging" | "test_logging_tool" => {
            // The newer version asks for messages with each request; the older one has asked before.
            let is_older = context.meta.protocol_version().is_none();
            let is_asked = is_older || context.meta.log_level().is_some();
            for said in [
                "Tool execution started",
                "Tool processing data",
                "Tool execution completed",
            ] {
                if !is_asked {
                    break;
                }
                let message = json!({"level": "info", "data": said});
                let _ = context.peer.notify_logging_message(of(message)).await;
                tokio::time::sleep(PAUSE).await;
            }
            json!([text("Done.")])
        }
        "test_missing_capability" => {
            let has_sampling = context
                .meta
                .client_capabilities()
                .is_some_and(|capabilities| capabilities.sampling.is_some());
            if !has_sampling {
                return Err(ErrorData::missing_required_client_capability(of(
                    json!({"sampling": {}}),
                )));
            }
            json!([text("The client can sample.")])
        }
        "test_streaming_elicitation" => json!([text("Nothing is asked on the stream.")]),
        name => {
            return Err(ErrorData::invalid_params(
                format!("there is no tool `{name}`"),
                None,
            ));
        }
    };
    Ok(result::<CallToolResult>(json!({"content": content})).into())
}
