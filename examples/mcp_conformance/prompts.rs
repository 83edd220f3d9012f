//! Prompts of every kind.

use rmcp::model::{ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult};
use serde_json::{Value, json};

use crate::inputs::{ask, asked_for};
use crate::tools::PNG;
use crate::{of, result};

pub(crate) fn list() -> Value {
    let argument =
        |name: &str| json!({"name": name, "description": "For the suite.", "required": true});
    json!({"prompts": [
        {"name": "test_simple_prompt", "description": "A text."},
        {"name": "test_prompt_with_arguments", "description": "A text of two.",
         "arguments": [argument("arg1"), argument("arg2")]},
        {"name": "test_prompt_with_embedded_resource", "description": "A resource.",
         "arguments": [argument("resourceUri")]},
        {"name": "test_prompt_with_image", "description": "A picture."},
        {"name": "test_input_required_result_prompt", "description": "A question first."},
    ]})
}

pub(crate) fn get(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let argument = |name: &str| -> String {
        let arguments = request.arguments.as_ref();
        let value = arguments.and_then(|arguments| arguments.get(name));
        value
            .and_then(|value| serde_json::to_value(value).ok())
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let says = |content: Value| json!({"role": "user", "content": content});
    let text = |text: &str| says(json!({"type": "text", "text": text}));
    let messages = match &*request.name {
        "test_simple_prompt" => json!([text("This is a simple prompt for testing.")]),
        "test_prompt_with_arguments" => json!([text(&format!(
            "Prompt with arguments: arg1='{}', arg2='{}'",
            argument("arg1"),
            argument("arg2")
        ))]),
        "test_prompt_with_embedded_resource" => json!([
            says(json!({"type": "resource", "resource": {
                "uri": argument("resourceUri"), "mimeType": "text/plain",
                "text": "Embedded resource content for testing.",
            }})),
            text("Please process the embedded resource above."),
        ]),
        "test_prompt_with_image" => json!([
            says(json!({"type": "image", "data": PNG, "mimeType": "image/png"})),
            text("Please analyze the image above."),
        ]),
        "test_input_required_result_prompt" => {
            let question = ask("What context should the prompt use?", "context", "string");
            match asked_for(request.input_responses.as_ref(), "user_context", "context") {
                None => return Ok(of_inputs(json!({"user_context": question}))),
                Some(context) => json!([text(&format!("Context: {context}"))]),
            }
        }
        name => {
            return Err(ErrorData::invalid_params(
                format!("there is no prompt `{name}`"),
                None,
            ));
        }
    };
    Ok(result::<GetPromptResult>(json!({"messages": messages})).into())
}

fn of_inputs(requests: Value) -> GetPromptResponse {
    rmcp::model::InputRequiredResult::from_input_requests(of(requests)).into()
}
