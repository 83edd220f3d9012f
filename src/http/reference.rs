//! The reference of the API as a page: rendered once from the OpenAPI document, without a script.

use std::fmt::Write;

use serde_json::Value;

/// Deepest nesting of a schema that is shown; below it its name must do.
const DEPTH_MAX: usize = 4;

const STYLE: &str = "
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { border-bottom: 1px solid #8886; margin-top: 2.5rem; }
details { border: 1px solid #8886; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; } summary code { font-weight: 600; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .2rem .6rem; vertical-align: top; border-bottom: 1px solid #8883; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
.quiet { opacity: .7; }
";

/// Returns the page of the reference.
pub(super) fn render(document: &Value) -> String {
    let mut body = String::new();
    let info = &document["info"];
    let _ = write!(
        body,
        "<h1>{} {}</h1><p>{}</p><p><a href=\"/\">Dashboard</a> · <a href=\"/openapi.json\">openapi.json</a></p>",
        text(&info["title"]),
        text(&info["version"]),
        text(&info["description"])
    );
    for tag in tags(document) {
        let _ = write!(body, "<h2>{}</h2>", escape(&tag));
        for (path, method, operation) in operations(document) {
            if operation["tags"][0].as_str() == Some(&tag) {
                write_operation(&mut body, document, path, method, operation);
            }
        }
    }
    page("embedder API", &body)
}

/// Returns a page of ours around a body.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>",
        escape(title)
    )
}

/// Makes text safe inside a page.
pub(super) fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut safe, c| {
            match c {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '"' => safe.push_str("&quot;"),
                '\'' => safe.push_str("&#39;"),
                c => safe.push(c),
            }
            safe
        })
}

fn tags(document: &Value) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for (_, _, operation) in operations(document) {
        if let Some(tag) = operation["tags"][0].as_str()
            && !tags.iter().any(|known| known == tag)
        {
            tags.push(tag.to_owned());
        }
    }
    tags
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn write_operation(
    body: &mut String,
    document: &Value,
    path: &str,
    method: &str,
    operation: &Value,
) {
    let _ = write!(
        body,
        "<details><summary><span class=\"method\">{}</span><code>{}</code> {}</summary>",
        escape(&method.to_uppercase()),
        escape(path),
        text(&operation["summary"])
    );
    for paragraph in operation["description"]
        .as_str()
        .unwrap_or_default()
        .split("\n\n")
    {
        let _ = write!(body, "<p>{}</p>", escape(paragraph));
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let rows: String = parameters
        .map(|parameter| {
            format!(
                "<tr><td><code>{}</code></td><td class=\"quiet\">{}, {}</td><td>{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                escape(&type_of(&parameter["schema"])),
                text(&parameter["description"])
            )
        })
        .collect();
    if !rows.is_empty() {
        let _ = write!(body, "<h4>Parameters</h4><table>{rows}</table>");
    }
    if let Some(schema) = schema_of(&operation["requestBody"]) {
        body.push_str("<h4>Body</h4>");
        write_schema(body, document, schema, 0);
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let _ = write!(
            body,
            "<h4>{}</h4><p>{}</p>",
            escape(status),
            text(&response["description"])
        );
        if let Some(schema) = schema_of(response).filter(|_| status != "default") {
            write_schema(body, document, schema, 0);
        }
    }
    body.push_str("</details>");
}

fn schema_of(holder: &Value) -> Option<&Value> {
    let content = holder["content"].as_object()?;
    content.values().next().map(|media| &media["schema"])
}

fn write_schema(body: &mut String, document: &Value, schema: &Value, depth: usize) {
    let schema = resolve(document, schema);
    let Some(properties) = schema["properties"]
        .as_object()
        .filter(|_| depth < DEPTH_MAX)
    else {
        let _ = write!(body, "<p><code>{}</code></p>", escape(&type_of(schema)));
        return;
    };
    body.push_str("<table>");
    for (name, property) in properties {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|required| required.iter().any(|other| other == name));
        let inner = resolve(document, property);
        let description = property["description"]
            .as_str()
            .or(inner["description"].as_str());
        let _ = write!(
            body,
            "<tr><td><code>{}</code>{}</td><td class=\"quiet\">{}</td><td>{}",
            escape(name),
            if is_required { " *" } else { "" },
            escape(&type_of(property)),
            escape(description.unwrap_or_default())
        );
        let element = resolve(document, &inner["items"]);
        for nested in [inner, element] {
            if nested["properties"].is_object() {
                write_schema(body, document, nested, depth + 1);
            }
        }
        body.push_str("</td></tr>");
    }
    body.push_str("</table>");
}

/// Follows a reference, also one behind `oneOf` with null.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or(&Value::Null);
    }
    let options = schema["oneOf"].as_array().into_iter().flatten();
    let referring = options
        .into_iter()
        .find(|option| option["$ref"].is_string());
    referring.map_or(schema, |option| resolve(document, option))
}

fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
        return values.join(" | ");
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(options) = schema[key].as_array() {
            let options: Vec<_> = options.iter().map(type_of).collect();
            return options.join(" | ");
        }
    }
    let name = match schema["type"].as_array() {
        Some(names) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
            names.join(" | ")
        }
        None => schema["type"].as_str().unwrap_or("any").to_owned(),
    };
    if name.starts_with("array") {
        return format!("{name} of {}", type_of(&schema["items"]));
    }
    name
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_address_and_loads_nothing() {
        let document = crate::http::openapi();
        let page = render(&document);
        for (path, _, _) in operations(&document) {
            assert!(page.contains(&escape(path)), "{path}");
        }
        assert!(
            !page.contains("<script") && !page.contains("http://") && !page.contains("https://")
        );
    }

    #[test]
    fn text_is_text() {
        assert_eq!(escape("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
    }
}
