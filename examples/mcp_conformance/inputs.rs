//! Tools that ask the client for something first, over several requests and without a session. What is to be known again
//! goes with the client, and is sealed.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, InputRequiredResult,
    InputResponses,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

use crate::{of, result};

/// Seals what goes with the client. A program of the tests has no secret.
const KEY: [u8; 32] = *b"a key of the conformance fixture";

/// A question for the person.
pub(crate) fn ask(message: &str, field: &str, kind: &str) -> Value {
    json!({"method": "elicitation/create", "params": {
        "message": message,
        "requestedSchema": {
            "type": "object", "properties": {field: {"type": kind}}, "required": [field],
        },
    }})
}

/// What was answered to a question; none where that is not what was asked for.
pub(crate) fn asked_for(
    responses: Option<&InputResponses>,
    name: &str,
    field: &str,
) -> Option<String> {
    let answer = responses?.get(name)?;
    if answer["action"] != "accept" {
        return None;
    }
    match &answer["content"][field] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(other.to_string())
        }
    }
}

fn sampling(text: &str, tokens: u32) -> Value {
    json!({"method": "sampling/createMessage", "params": {
        "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
        "maxTokens": tokens,
    }})
}

fn roots() -> Value {
    json!({"method": "roots/list", "params": {}})
}

fn seal(what: &str) -> String {
    format!(
        "{what}.{}",
        blake3::keyed_hash(&KEY, what.as_bytes()).to_hex()
    )
}

fn unseal(state: Option<&String>) -> Result<String, ErrorData> {
    let refused = || ErrorData::invalid_params("the state is not one of ours", None);
    let state = state.ok_or_else(refused)?;
    let (what, _) = state.rsplit_once('.').ok_or_else(refused)?;
    if seal(what) == *state {
        Ok(what.to_owned())
    } else {
        Err(refused())
    }
}

fn required(requests: Value, state: Option<String>) -> CallToolResponse {
    InputRequiredResult::new(Some(of(requests)), state).into()
}

fn done(text: &str) -> CallToolResponse {
    let content = json!({"content": [{"type": "text", "text": text}]});
    result::<CallToolResult>(content).into()
}

pub(crate) fn call(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let responses = request.input_responses.as_ref();
    let state = request.request_state.as_ref();
    let response = |name: &str| responses.and_then(|responses| responses.get(name));
    let name = || ask("What is your name?", "name", "string");
    Ok(match &*request.name {
        "test_input_required_result_elicitation" => match asked_for(responses, "user_name", "name")
        {
            Some(name) => done(&format!("Hello, {name}!")),
            None => required(json!({"user_name": name()}), None),
        },
        "test_input_required_result_sampling" => match response("capital_question") {
            Some(answer) => done(answer["content"]["text"].as_str().unwrap_or_default()),
            None => {
                let question = sampling("What is the capital of France?", 100);
                required(json!({"capital_question": question}), None)
            }
        },
        "test_input_required_result_list_roots" => match response("client_roots") {
            Some(answer) => done(&format!("The roots: {}", answer["roots"])),
            None => required(json!({"client_roots": roots()}), None),
        },
        "test_input_required_result_request_state" => {
            if responses.is_none() {
                let question = ask("Please confirm", "ok", "boolean");
                return Ok(required(
                    json!({"confirm": question}),
                    Some(seal("confirm")),
                ));
            }
            unseal(state)?;
            done("state-ok")
        }
        "test_input_required_result_tampered_state" => {
            if responses.is_none() && state.is_none() {
                let question = ask("Please confirm", "ok", "boolean");
                return Ok(required(
                    json!({"confirm": question}),
                    Some(seal("tampered")),
                ));
            }
            unseal(state)?;
            done("It is what it was.")
        }
        "test_input_required_result_multiple_inputs" => {
            let all = ["user_name", "greeting", "client_roots"];
            if all.iter().all(|name| response(name).is_some()) {
                unseal(state)?;
                return Ok(done("All of it is here."));
            }
            required(
                json!({
                    "user_name": name(),
                    "greeting": sampling("Generate a greeting", 50),
                    "client_roots": roots(),
                }),
                Some(seal("several")),
            )
        }
        "test_input_required_result_multi_round" => {
            let first = || ask("Step 1: What is your name?", "name", "string");
            let second = || ask("Step 2: What is your favorite color?", "color", "string");
            let Some(state) = state else {
                return Ok(required(json!({"step1": first()}), Some(seal("round 1"))));
            };
            let round = unseal(Some(state))?;
            match round.strip_prefix("round 2: ") {
                Some(name) => match asked_for(responses, "step2", "color") {
                    Some(color) => done(&format!("{name} likes {color}.")),
                    None => required(json!({"step2": second()}), Some(state.clone())),
                },
                None => match asked_for(responses, "step1", "name") {
                    Some(name) => {
                        let state = seal(&format!("round 2: {name}"));
                        required(json!({"step2": second()}), Some(state))
                    }
                    None => required(json!({"step1": first()}), Some(state.clone())),
                },
            }
        }
        "test_input_required_result_capabilities" => {
            let capabilities = context.meta.client_capabilities();
            let mut requests = json!({});
            if let Some(capabilities) = capabilities {
                if capabilities.sampling.is_some() {
                    requests["sampled"] = sampling("Say something", 50);
                }
                if capabilities.elicitation.is_some() {
                    requests["asked"] = name();
                }
            }
            if responses.is_some() {
                return Ok(done("Thank you."));
            }
            required(requests, None)
        }
        name => {
            return Err(ErrorData::invalid_params(
                format!("there is no tool `{name}`"),
                None,
            ));
        }
    })
}
