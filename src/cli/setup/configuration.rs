//! The server's entry in the configuration of a client.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};
use jsonc_parser::json;
use toml_edit::{Array, DocumentMut, Item, Table, value};

/// The name that clients know the server by.
const NAME: &str = "embedder";

/// How a configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON, with comments where there are some.
    Json,
    /// TOML.
    Toml,
}

/// Returns a configuration with the server's entry, and all else as it was.
///
/// # Errors
/// Text that cannot be read, or is something else than a configuration.
pub(super) fn with_server(
    format: Format,
    text: &str,
    command: &str,
    arguments: &[String],
) -> Result<String, String> {
    match format {
        Format::Json => in_json(text, command, arguments),
        Format::Toml => in_toml(text, command, arguments),
    }
}

fn in_json(text: &str, command: &str, arguments: &[String]) -> Result<String, String> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let root =
        CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| error.to_string())?;
    let servers = root
        .object_value()
        .ok_or("it holds no object")?
        .object_value_or_create("mcpServers")
        .ok_or("`mcpServers` is no object")?;
    let entry = servers
        .object_value_or_create(NAME)
        .ok_or("`embedder` is no object")?;
    // What the user has put beside, such as `env`, stays.
    let arguments = arguments.iter().map(|argument| json!(argument.as_str()));
    let arguments = CstInputValue::Array(arguments.collect());
    for (name, value) in [("command", json!(command)), ("args", arguments)] {
        match entry.get(name) {
            Some(there) => there.set_value(value),
            None => {
                entry.append(name, value);
            }
        }
    }
    Ok(root.to_string())
}

fn in_toml(text: &str, command: &str, arguments: &[String]) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.to_string())?;
    let servers = document
        .entry("mcp_servers")
        .or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        })
        .as_table_like_mut()
        .ok_or("`mcp_servers` is no table")?;
    let entry = servers
        .entry(NAME)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_like_mut()
        .ok_or("`mcp_servers.embedder` is no table")?;
    entry.insert("command", value(command));
    entry.insert("args", value(Array::from_iter(arguments)));
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mcp() -> [String; 1] {
        ["mcp".to_owned()]
    }

    fn json(text: &str) -> serde_json::Value {
        serde_json::from_str(&in_json(text, "embedder", &mcp()).unwrap()).unwrap()
    }

    #[test]
    fn the_entry_is_made_and_made_once() {
        let expected = serde_json::json!({"command": "embedder", "args": ["mcp"]});
        for text in [
            "",
            "{}",
            "{\"mcpServers\": {}}",
            "{\"mcpServers\": {\"embedder\": {\"command\": \"old\"}}}",
        ] {
            assert_eq!(json(text)["mcpServers"]["embedder"], expected, "{text}");
        }
        for format in [Format::Json, Format::Toml] {
            let once = with_server(format, "", "embedder", &mcp()).unwrap();
            assert_eq!(
                with_server(format, &once, "embedder", &mcp()).unwrap(),
                once
            );
        }
    }

    #[test]
    fn all_else_stays_as_it_was() {
        let text = "{\n  // mine\n  \"z\": 1,\n  \"mcpServers\": {\n    \"other\": { \"url\": \"x\" }\n  },\n  \"a\": 2\n}\n";
        let after = in_json(text, "embedder", &mcp()).unwrap();
        for line in text.lines().filter(|line| !line.contains("other")) {
            assert!(after.contains(line), "{line}: {after}");
        }
        assert!(after.contains("\"other\": { \"url\": \"x\" }"), "{after}");

        let text = "# mine\nmodel = \"m\"\n\n[mcp_servers.other]\nurl = \"x\"\n";
        let after = in_toml(text, "/opt/embedder", &mcp()).unwrap();
        assert!(after.starts_with(text), "{after}");
        assert!(
            after.contains(
                "[mcp_servers.embedder]\ncommand = \"/opt/embedder\"\nargs = [\"mcp\"]\n"
            ),
            "{after}"
        );
    }

    #[test]
    fn what_the_user_has_put_into_the_entry_stays() {
        let text =
            "{\"mcpServers\": {\"embedder\": {\"command\": \"old\", \"env\": {\"A\": \"1\"}}}}";
        let after = json(text);
        assert_eq!(after["mcpServers"]["embedder"]["env"]["A"], "1");
        assert_eq!(after["mcpServers"]["embedder"]["command"], "embedder");
        let text = "[mcp_servers.embedder]\ncommand = \"old\"\nstartup_timeout_sec = 20\n";
        let after = in_toml(text, "embedder", &mcp()).unwrap();
        assert!(after.contains("startup_timeout_sec = 20"), "{after}");
        assert!(after.contains("command = \"embedder\""), "{after}");
    }

    #[test]
    fn what_is_no_configuration_is_left_alone() {
        for text in ["[]", "{", "{\"mcpServers\": 1}"] {
            assert!(in_json(text, "embedder", &mcp()).is_err(), "{text}");
        }
        for text in ["= 1", "mcp_servers = 1"] {
            assert!(in_toml(text, "embedder", &mcp()).is_err(), "{text}");
        }
    }
}
