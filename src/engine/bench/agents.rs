//! What somebody waits for who works beside a server: a saved file until it is found, another branch until all of it is, the
//! tools until they answer; and what the server does while nothing happens.
//!
//! Server and tools are this program again, in processes of their own, on all cores. The folder is made for the measurement:
//! a repository of many small files, with a second branch in which one in a hundred is different.

use std::path::Path;

use serde::Serialize;

use super::Spread;
use super::server::Setting;
use super::server::child::{Placement, ServerProcess};
use crate::error::Result;

mod bridge;
mod tree;
mod watched;

use bridge::{cold, warm};
use tree::Tree;
use watched::Watched;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AgentsFigures {
    /// Files of the folder.
    pub files: usize,
    /// Files in which the branches differ.
    pub different: usize,
    /// From the end of saving a file until a search finds it.
    pub saved_ms: Spread,
    /// From the end of switching branches until a search finds all that is different.
    pub switched_ms: Spread,
    /// Files that were read anew for each switch.
    pub switch_reads: Spread,
    /// Share of one core that the server takes while nothing happens, in per cent; none where the system does not tell.
    pub idle_cpu_percent: Option<f64>,
    /// From the start of the bridge to the answer of the first tool, beside a running server.
    pub warm_ms: Spread,
    /// The same where no server runs.
    pub cold_ms: Spread,
}

/// Measures in a folder that is empty, or that it has filled before.
///
/// # Errors
/// Those of the disk, of `git` and of the server; [`crate::error::Error::Interrupted`].
pub fn measure(setting: &Setting<'_>, folder: &Path, files: usize) -> Result<AgentsFigures> {
    let tree = Tree::make(&folder.join("project"), files)?;
    let data_dir = folder.join("data");
    let (saved_ms, switched, idle_cpu_percent, warm_ms) = {
        let server = ServerProcess::start_with_ops(setting, &data_dir, Placement::AllCores)?;
        let mut watched = Watched::index(setting, &server, &tree)?;
        let saved = watched.saved()?;
        let switched = watched.switched()?;
        let idle = watched.idle()?;
        (saved, switched, idle, warm(setting, &data_dir, &tree)?)
    };
    Ok(AgentsFigures {
        files,
        different: tree.different(),
        saved_ms,
        switched_ms: switched.ms,
        switch_reads: switched.reads,
        idle_cpu_percent,
        warm_ms,
        cold_ms: cold(setting, &data_dir, &tree)?,
    })
}
