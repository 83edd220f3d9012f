//! Open files: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Error, Result};

/// What the process has open beside its connections.
const OTHERS: u64 = 64;

/// Raises the limit of open files so that there is room for so many connections.
///
/// # Errors
/// A limit that the system does not let be raised so far.
pub(super) fn allow(connections: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + OTHERS;
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let is_allowed = limit.maximum.is_none_or(|maximum| maximum >= wanted);
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    if is_allowed && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(Error::Argument {
        problem: format!("the load needs {wanted} open files, more than this process may have"),
        remedy: format!("raise the limit: ulimit -n {wanted}"),
    })
}
