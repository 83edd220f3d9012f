//! From the start of the process to the first `/readyz` that says yes, and the memory that the server has then.

use std::path::Path;

use serde::Serialize;

use super::Setting;
use super::child::{Placement, ServerProcess};
use crate::engine::bench::Spread;
use crate::error::Result;

/// Times the server is started.
pub const STARTS: usize = 7;

/// What was measured of starting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReadyFigures {
    /// From the start of the process until it was ready: model and collections loaded.
    pub ready_ms: Spread,
    /// Resident memory at that moment; none where the system does not tell it.
    pub resident_mb: Option<Spread>,
}

/// Starts the server again and again on what [`corpus`](super::super::corpus) built in `data_dir`.
///
/// # Errors
/// Those of the server; [`Error::Interrupted`](crate::error::Error::Interrupted).
pub fn ready(setting: &Setting<'_>, data_dir: &Path) -> Result<ReadyFigures> {
    let mut ready_ms = Vec::new();
    let mut resident = Vec::new();
    for _ in 0..STARTS {
        setting.go_on()?;
        let server = ServerProcess::start(setting, data_dir, Placement::AllCores)?;
        ready_ms.push(server.ready_after().as_secs_f64() * 1e3);
        resident.push(server.resident_bytes().map(|bytes| bytes as f64 / 1e6));
    }
    let resident: Option<Vec<f64>> = resident.into_iter().collect();
    Ok(ReadyFigures {
        ready_ms: Spread::of(ready_ms),
        resident_mb: resident.map(Spread::of),
    })
}
