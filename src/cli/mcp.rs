//! `embedder mcp`: the tools over standard input and output, by the server of the data directory.
//!
//! A client starts one of these for each of its windows. It holds no model and no index: it finds the server, or starts
//! one, and asks that. Where the server has ended meanwhile, the next call starts another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rmcp::ServiceExt;

use super::Context;
use crate::error::{Error, Result};
use crate::mcp::{McpHandler, Root};

mod bridge;
pub(super) mod log;
mod starting;

use bridge::Bridge;
use starting::Starter;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder that the client works in [default: the repository around the current folder].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let root = match &args.root {
        Some(root) => std::path::absolute(root)
            .and_then(|root| root.canonicalize())
            .map_err(|error| Error::io("read", root, error))?,
        None => workspace(
            &std::env::current_dir()
                .map_err(|error| Error::io("read", Path::new("the current folder"), error))?,
        ),
    };
    let runtime = runtime()?;
    let bridge = Arc::new(Bridge::new(Starter::new(&context.config), Root::new(root)?));
    runtime.block_on(async {
        // Loading what it serves takes the server longer than a client takes to ask.
        let early = tokio::spawn(Arc::clone(&bridge).wake());
        let handler = McpHandler::new(bridge);
        let serving = handler.serve(rmcp::transport::stdio()).await;
        let ended = match serving {
            Ok(serving) => serving
                .waiting()
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
            // Nobody has asked anything: somebody wants to see whether it works.
            Err(_) => {
                if let Ok(woken) = early.await {
                    woken?;
                }
                super::output::note(
                    "the server answers; agents' programs speak to this command over its standard input",
                );
                return Ok(());
            }
        };
        early.abort();
        ended.map_err(|error| Error::Internal(format!("serving the client: {error}")))
    })
}

/// Starts a server of the data directory unless one runs, which leaves when nobody uses it any more.
///
/// # Errors
/// One that does not start, with what it says.
pub(super) fn start_server(context: &Context) -> Result<()> {
    let runtime = runtime()?;
    runtime
        .block_on(Starter::new(&context.config).find_or_start())
        .map(drop)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start", Path::new("the runtime"), error))
}

/// Returns the root of the repository around a folder; the folder itself where there is none.
pub(super) fn workspace(folder: &Path) -> PathBuf {
    let is_root = |folder: &&Path| folder.join(".git").exists();
    folder
        .ancestors()
        .find(is_root)
        .unwrap_or(folder)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_repository_around() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        assert_eq!(workspace(&inner), inner);
        std::fs::create_dir(dir.path().join("a/.git")).unwrap();
        assert_eq!(workspace(&inner), dir.path().join("a"));
        // A worktree has a file of this name.
        std::fs::write(inner.join(".git"), "gitdir: elsewhere").unwrap();
        assert_eq!(workspace(&inner), inner);
    }
}
