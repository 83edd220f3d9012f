//! Which core runs what. On one core server and load would take time from each other, and it would be the load that is
//! measured.

use std::{io, panic, thread};

use crate::error::{Error, Result};

/// A core, by the number that the system gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::bench) struct Core(usize);

/// A core for the server and another for its load; none of them where this process has not two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    pub(super) server: Option<Core>,
    pub(in crate::engine::bench) load: Option<Core>,
}

impl Cores {
    /// Takes the first two cores that this process may run on.
    pub fn choose() -> Cores {
        Cores::first_of(&allowed())
    }

    /// Whether server and load have a core each.
    pub fn are_apart(&self) -> bool {
        self.server != self.load
    }

    fn first_of(allowed: &[usize]) -> Cores {
        match *allowed {
            [server, load, ..] => Cores {
                server: Some(Core(server)),
                load: Some(Core(load)),
            },
            [] | [_] => Cores {
                server: None,
                load: None,
            },
        }
    }
}

impl Core {
    /// Keeps the calling thread, and what it starts afterwards, on this core.
    ///
    /// # Errors
    /// A refusal of the system.
    pub(super) fn pin(self) -> Result<()> {
        pin(self.0)
            .map_err(|error| Error::io("keep a thread on", format!("core {}", self.0), error))
    }
}

/// Does work on a thread of its own that stays on `core`, as do the processes that it starts.
///
/// # Errors
/// Those of the work; a refusal of the system.
pub(in crate::engine::bench) fn on<T: Send>(
    core: Option<Core>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            core.map_or(Ok(()), Core::pin)?;
            work()
        });
        working
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn allowed() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|&core| set.is_set(core))
        .collect()
}

/// Other systems do not let a thread be kept on a core.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn pin(core: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};

    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(io::Error::from)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn pin(_core: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_load_get_the_first_two_cores_or_none() {
        let check = |allowed: &[usize], expected: Option<(usize, usize)>| {
            let cores = Cores::first_of(allowed);
            let chosen = cores.server.zip(cores.load);
            assert_eq!(chosen.map(|(server, load)| (server.0, load.0)), expected);
            assert_eq!(cores.are_apart(), expected.is_some());
        };
        check(&[], None);
        check(&[3], None);
        check(&[0, 1], Some((0, 1)));
        check(&[2, 5, 7], Some((2, 5)));
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn work_stays_on_its_core_and_the_caller_does_not() {
        let before = allowed();
        let core = Core(before[0]);
        let inside = on(Some(core), || Ok(thread::spawn(allowed).join())).unwrap();
        assert_eq!(inside.unwrap(), [before[0]]);
        assert_eq!(allowed(), before);
    }
}
