//! `embedder setup`: tells an agent's program of the tools, in its own configuration.
//!
//! What else is in the file stays as it is, comments too. What is changed is shown; `--dry-run` shows it and changes nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Context, output};
use crate::config::Origin;
use crate::engine::embed::Embedder;
use crate::error::{Error, ErrorCode, Result};

mod configuration;

use configuration::{Format, with_server};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose configuration.
    #[arg(value_enum)]
    client: Client,
    /// For all projects of this user, and not for the one around the current folder.
    #[arg(long)]
    user: bool,
    /// Show what would be changed, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A program that agents run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Client {
    /// Claude Code.
    Claude,
    /// Cursor.
    Cursor,
    /// Codex.
    Codex,
}

impl Client {
    /// Returns where its configuration is, below the project or the user's folder (the clients' own documentation,
    /// November 2026).
    fn file(self, is_users: bool) -> &'static str {
        match (self, is_users) {
            (Client::Claude, false) => ".mcp.json",
            (Client::Claude, true) => ".claude.json",
            (Client::Cursor, _) => ".cursor/mcp.json",
            (Client::Codex, _) => ".codex/config.toml",
        }
    }

    fn format(self) -> Format {
        match self {
            Client::Claude | Client::Cursor => Format::Json,
            Client::Codex => Format::Toml,
        }
    }

    /// Returns what has to be done beside.
    fn next_step(self, is_users: bool) -> &'static str {
        match (self, is_users) {
            (Client::Claude, false) => {
                "start Claude Code in the project and allow the server `embedder`; /mcp lists it"
            }
            (Client::Claude, true) => "start Claude Code anew; /mcp lists it",
            (Client::Cursor, _) => "switch it on in Cursor's settings, under MCP",
            (Client::Codex, false) => {
                "start Codex in the project, which must be trusted; /mcp lists it"
            }
            (Client::Codex, true) => "start Codex anew; /mcp lists it",
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let base = if args.user {
        home()?
    } else {
        let here = std::env::current_dir()
            .map_err(|error| Error::io("read", Path::new("the current folder"), error))?;
        super::mcp::workspace(&here)
    };
    let path = base.join(args.client.file(args.user));
    // A link stays one: what it leads to is changed.
    let path = path.canonicalize().unwrap_or(path);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("read", &path, error)),
    };
    let command = command()?;
    let text = before.as_deref().unwrap_or_default();
    let after = with_server(args.client.format(), text, &command, &arguments(context)).map_err(
        |problem| Error::Reported {
            code: ErrorCode::InvalidRequest,
            message: format!("{} cannot be read: {problem}", path.display()),
            remedy: Some("mend it, or move it away".to_owned()),
        },
    )?;
    if before.as_deref() == Some(after.as_str()) {
        return output::line(&format!("{}: it is there already", path.display()));
    }
    output::line(&format!("{}:", path.display()))?;
    for line in difference(text, &after) {
        output::line(&line)?;
    }
    if args.dry_run {
        return Ok(());
    }
    write(&path, &after)?;
    tell_of_surroundings(context);
    output::note(&format!("next: {}", args.client.next_step(args.user)));
    Ok(())
}

/// Returns how the program is started: by its name where that finds it.
fn command() -> Result<String> {
    let program = std::env::current_exe()
        .and_then(|program| program.canonicalize())
        .map_err(|error| Error::io("find", Path::new("this program"), error))?;
    let name = "embedder";
    let found = crate::config::search_path(name).and_then(|path| path.canonicalize().ok());
    if found.as_ref() == Some(&program) {
        return Ok(name.to_owned());
    }
    Ok(program.display().to_string())
}

/// Returns what the program is started with: what this one was told by flags holds for the server as well.
fn arguments(context: &Context) -> Vec<String> {
    let mut arguments = vec!["mcp".to_owned()];
    for (setting, value, origin) in context.config.table() {
        let flag = match setting.key {
            "data_dir" => "--data-dir",
            "model" => "--model",
            _ => continue,
        };
        if *origin == Origin::Flag {
            // A client starts it in any folder.
            let is_path = setting.key == "data_dir" || Embedder::is_folder(value);
            let whole = std::path::absolute(value).ok().filter(|_| is_path);
            let value = whole.map_or_else(|| value.clone(), |whole| whole.display().to_string());
            arguments.extend([flag.to_owned(), value]);
        }
    }
    arguments
}

/// Says what may keep the tools from working as they do here.
fn tell_of_surroundings(context: &Context) {
    for (setting, _, origin) in context.config.table() {
        if let (Origin::Environment(variable), "data_dir" | "model") = (origin, setting.key) {
            output::note(&format!(
                "note: {variable} is set here, which a client that is started elsewhere does not know; --{} writes it down",
                setting.key.replace('_', "-")
            ));
        }
    }
    if let Err(error) = Embedder::folder(&context.config) {
        output::note(&format!(
            "note: search is by words alone so far: {}",
            error.with_remedy()
        ));
    }
}

fn home() -> Result<PathBuf> {
    crate::config::home().ok_or_else(|| Error::Argument {
        problem: "the user's folder is not known".to_owned(),
        remedy: "set HOME, or leave --user away".to_owned(),
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = || {
        std::fs::create_dir_all(folder)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(text.as_bytes())?;
        if let Ok(before) = std::fs::metadata(path) {
            temporary.as_file().set_permissions(before.permissions())?;
        }
        temporary.persist(path)?;
        Ok(())
    };
    written().map_err(|error| Error::io("write", path, error))
}

/// Returns the lines that differ, with what is before and after them.
fn difference(before: &str, after: &str) -> Vec<String> {
    /// Lines around.
    const AROUND: usize = 2;
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = |pairs: usize| pairs.min(old.len()).min(new.len());
    let first = (0..same(usize::MAX))
        .take_while(|&at| old[at] == new[at])
        .count();
    let last = (1..=same(usize::MAX) - first)
        .take_while(|&back| old[old.len() - back] == new[new.len() - back])
        .count();
    let lines = |sign: &str, lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| format!("{sign}{line}")).collect()
    };
    let end = new.len() - last;
    [
        lines("  ", &new[first.saturating_sub(AROUND)..first]),
        lines("- ", &old[first..old.len() - last]),
        lines("+ ", &new[first..end]),
        lines("  ", &new[end..new.len().min(end + AROUND)]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        assert_eq!(difference("", "a\nb\n"), ["+ a", "+ b"]);
        assert_eq!(
            difference("1\n2\n3\n4\n5\n6\n", "1\n2\n3\nx\n4\n5\n6\n"),
            ["  2", "  3", "+ x", "  4", "  5"]
        );
        assert_eq!(
            difference("a\nb\nc\n", "a\nx\nc\n"),
            ["  a", "- b", "+ x", "  c"]
        );
        assert!(
            difference("a\n", "a\n")
                .iter()
                .all(|line| line.starts_with("  "))
        );
        assert_eq!(difference("a\na\n", "a\na\na\n"), ["  a", "  a", "+ a"]);
    }
}
