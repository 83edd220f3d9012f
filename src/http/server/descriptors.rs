//! File descriptors: each connection takes one, and the store needs some whatever happens.
//!
//! The usual limit of a process is 1,024 open files, less than the connections that are allowed. Were all of them
//! connections, no file of the store could be opened.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for the store, its indexes, files that are read, and the ops listener.
const KEPT: u64 = 256;

/// Raises the limit of open files as far as `connections` need it and the system allows, and returns how many of them
/// leave the store its descriptors.
pub(super) fn room_for(connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let mut allowed = limit.current.unwrap_or(u64::MAX);
    let wanted = KEPT + connections as u64;
    if allowed < wanted {
        let raised = wanted.min(limit.maximum.unwrap_or(u64::MAX));
        let new = Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        };
        if setrlimit(Resource::Nofile, new).is_ok() {
            allowed = raised;
        }
    }
    let room = room(allowed, connections);
    if room < connections {
        tracing::warn!(
            connections = room,
            asked = connections,
            open_files = allowed,
            "Fewer connections than server.connections_max: the limit of open files leaves no more (ulimit -n, LimitNOFILE)"
        );
    }
    room
}

/// Returns how many connections fit beside what is kept.
fn room(allowed: u64, connections: usize) -> usize {
    let kept = KEPT.min(allowed / 2);
    usize::try_from(allowed - kept).map_or(connections, |room| connections.min(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_store_its_descriptors() {
        for (allowed, connections, expected) in [
            (20_000, 4096, 4096),
            (4096 + KEPT, 4096, 4096),
            (4096, 4096, 4096 - 256),
            (1024, 4096, 768),
            (1024, 10, 10),
            (64, 4096, 32),
            (u64::MAX, 4096, 4096),
        ] {
            assert_eq!(room(allowed, connections), expected, "{allowed}");
        }
    }
}
