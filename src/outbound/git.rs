//! Git remotes: clone and fetch by the system's `git`, into bare repositories of ours.
//!
//! Nothing of a repository is ever executed or checked out: `git` brings objects, and they are read as data. It runs without
//! any configuration but ours, speaks https and ssh alone, follows no redirect, and connects to the address that was looked
//! at here and to no other, so that a name cannot lead into a private network.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use embedder_reliability::circuit_breaker::BreakerPolicy;
use embedder_reliability::retry::RetryPolicy;
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::sync::OnceCell;

use super::circuit::{CallError, Circuit, CircuitPolicy, Purpose, Unobserved};
use super::control::POLL;
use crate::clock::Clock;
use crate::config::Git as GitAccess;

mod address;
mod command;
mod copy;
mod error;
mod url;

pub use error::GitError;
pub use url::{GitRef, GitUrl, Refused};

use address::Addresses;
use command::Run;
use copy::Copy;
use error::fault_of;

/// What was fetched last, as the repository names it.
pub const FETCHED: &str = "refs/embedder/fetched";

/// Hosts of which is remembered how they fare.
const HOSTS_MAX: usize = 256;

/// The first version of git that obeys all of what it is told here: `http.curloptResolve` is of 2.37.
const VERSION_MIN: (u32, u32) = (2, 37);

/// Memory of a process of git beside the packs that it maps.
const MEMORY_BYTES_MAX: u64 = 2 * 1_024 * 1_024 * 1_024;

/// The end of what git says that is read for the reason.
const SAID_BYTES_MAX: u64 = 16 * 1024;

/// Characters of that which are passed on.
const REASON_CHARS_MAX: usize = 300;

/// Packs of a copy. With more it is made anew, without what is no longer needed.
const PACKS_MAX: usize = 32;

/// Fetches repositories.
pub struct Git {
    access: GitAccess,
    breaker: BreakerPolicy,
    retry: RetryPolicy,
    clock: Clock,
    seed: u64,
    /// What stands before each host.
    hosts: Mutex<BTreeMap<String, Arc<Circuit>>>,
    /// Whether the program is new enough, once that was looked at.
    is_new_enough: OnceCell<()>,
}

/// What is to be fetched.
#[derive(Clone, Copy)]
pub struct Fetch<'a> {
    /// The repository.
    pub url: &'a GitUrl,
    /// The branch or tag; that which the repository names as its own where there is none.
    pub reference: Option<&'a GitRef>,
    /// The folder of the bare repository that it goes to.
    pub into: &'a Path,
    /// Ends the fetch when set.
    pub stop: &'a AtomicBool,
    /// Is told how many bytes there are.
    pub told: &'a (dyn Fn(u64) + Sync),
}

impl Git {
    /// Fetches by these means.
    pub fn new(
        access: GitAccess,
        breaker: BreakerPolicy,
        retry: RetryPolicy,
        clock: Clock,
        seed: u64,
    ) -> Git {
        Git {
            access,
            breaker,
            retry,
            clock,
            seed,
            hosts: Mutex::default(),
            is_new_enough: OnceCell::new(),
        }
    }

    /// Brings what a repository's branch or tag is now; [`FETCHED`] names it from then on. What was fetched before stays
    /// where this fails.
    ///
    /// # Errors
    /// A host that may not be asked, cannot be reached or refuses; a repository that is larger or takes longer than it may; the
    /// disk; [`GitError::Interrupted`] when `stop` was set.
    pub async fn fetch(&self, fetch: Fetch<'_>) -> Result<(), GitError> {
        let stopped = async {
            while !fetch.stop.load(Ordering::Relaxed) {
                tokio::time::sleep(POLL).await;
            }
        };
        // Whatever is waited for, who asks to stop need not.
        tokio::select! {
            biased;
            () = stopped => Err(GitError::Interrupted),
            fetched = self.fetch_with_retries(fetch) => fetched,
        }
    }

    async fn fetch_with_retries(&self, fetch: Fetch<'_>) -> Result<(), GitError> {
        self.is_new_enough
            .get_or_try_init(|| self.check_version())
            .await?;
        let circuit = self.circuit(fetch.url.host())?;
        let attempt = |_| self.fetch_once(fetch);
        let fetched = circuit
            .call(Purpose::Answer, None, attempt, GitError::fault)
            .await;
        fetched.map_err(|error| match error {
            CallError::Failed(error) => error,
            CallError::Open(open) => GitError::LeftAlone {
                host: fetch.url.host().to_owned(),
                retry_after: open.retry_after(),
            },
            CallError::Busy => GitError::Busy,
            CallError::TimedOut(_) | CallError::Deadline => {
                GitError::TimedOut(self.access.time_max)
            }
        })
    }

    async fn check_version(&self) -> Result<(), GitError> {
        let output = tokio::process::Command::new(&self.access.program)
            .arg("version")
            .env_clear()
            .env("PATH", &self.access.search_path)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|source| self.not_started(source))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match version(&said) {
            Some(version) if version >= VERSION_MIN => Ok(()),
            _ => Err(GitError::TooOld {
                said: reason(&said),
                least: VERSION_MIN,
            }),
        }
    }

    fn not_started(&self, source: io::Error) -> GitError {
        GitError::Start {
            program: self.access.program.clone(),
            source,
        }
    }

    /// Returns what stands before a host.
    fn circuit(&self, host: &str) -> Result<Arc<Circuit>, GitError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(circuit) = hosts.get(host) {
            return Ok(Arc::clone(circuit));
        }
        if hosts.len() >= HOSTS_MAX {
            // Those that nobody is asking now are forgotten with what they did.
            hosts.retain(|_, circuit| circuit.in_flight() > 0);
        }
        let mut breaker = self.breaker.clone();
        // A large repository is no slow host: what takes too long ends by its own limits.
        breaker.slow_after = self.access.time_max;
        let policy = CircuitPolicy {
            timeout: self.access.time_max,
            at_once_max: self.access.at_once_max,
            wait_max: self.access.time_max,
            retry: self.retry,
            breaker,
        };
        let circuit = Circuit::new("git", policy, self.clock, self.seed, Arc::new(Unobserved))
            .map(Arc::new)
            .map_err(|_| GitError::Busy)?;
        hosts.insert(host.to_owned(), Arc::clone(&circuit));
        Ok(circuit)
    }

    async fn fetch_once(&self, fetch: Fetch<'_>) -> Result<(), GitError> {
        let addresses = Addresses::of(fetch.url, &self.access.private_hosts).await?;
        let copy = Copy::lock(fetch.into)?;
        if copy.is_worn(self.access.bytes_max) {
            copy.remove()?;
        }
        if copy.is_whole() {
            copy.clear_leftovers();
        } else {
            self.make(&copy).await?;
        }
        let run = Run::with_remote(&self.access, fetch.into, fetch.url, &addresses)?;
        let reference = fetch.reference.map_or("HEAD", GitRef::as_str);
        let arguments = [
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            &format!("--depth={}", self.access.depth),
            &fetch.url.to_string(),
            &format!("+{reference}:{FETCHED}"),
        ];
        let mut fetched = self.run(&run, &arguments, &copy, fetch.told).await;
        let bytes_max = self.access.bytes_max;
        if fetched.is_ok() && copy.bytes() > bytes_max {
            // It came faster than was looked.
            fetched = Err(GitError::TooLarge { bytes_max });
        }
        if matches!(fetched, Err(GitError::TooLarge { .. })) {
            // Nobody wants what there is of it.
            copy.remove()?;
        }
        fetched
    }

    /// Makes the bare repository, all of it or none.
    async fn make(&self, copy: &Copy) -> Result<(), GitError> {
        copy.remove()?;
        let fresh = copy.fresh()?;
        let run = Run::alone(&self.access, &fresh);
        let arguments = [
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--initial-branch=none",
        ];
        self.run(&run, &arguments, copy, &|_| {}).await?;
        copy.keep(&fresh)
    }

    /// Runs `git` until it ends or has brought too much. Dropped, it is killed with all that it has started.
    async fn run(
        &self,
        run: &Run<'_>,
        arguments: &[&str],
        copy: &Copy,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<(), GitError> {
        // The copy is locked for as long as the process lives, also where it outlives this one.
        let mut child = run
            .command(arguments)
            .stdin(copy.lock_for_child()?)
            .spawn()
            .map_err(|source| self.not_started(source))?;
        let mut group = Group::of(&child);
        group.limit_memory(self.access.bytes_max);
        let stderr = child.stderr.take();
        let said = async {
            let mut said = Vec::new();
            if let Some(stderr) = stderr {
                // What cannot be read says nothing.
                let _ = stderr.take(SAID_BYTES_MAX).read_to_end(&mut said).await;
            }
            said
        };
        let watched = async {
            loop {
                tokio::time::sleep(POLL).await;
                let bytes = copy.bytes();
                told(bytes);
                if bytes > self.access.bytes_max {
                    return GitError::TooLarge {
                        bytes_max: self.access.bytes_max,
                    };
                }
            }
        };
        let ended = async { tokio::join!(child.wait(), said) };
        let (status, said) = tokio::select! {
            ended = ended => ended,
            error = watched => return Err(error),
        };
        let status = status.map_err(|source| self.not_started(source))?;
        group.has_ended();
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        Err(GitError::Failed {
            status,
            reason: reason(&said),
            fault: fault_of(&said),
        })
    }
}

/// The processes that `git` has started with itself. Dropped, they are killed, unless they have ended.
struct Group(Option<rustix::process::Pid>);

impl Group {
    fn of(child: &Child) -> Group {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Group(pid.and_then(rustix::process::Pid::from_raw))
    }

    fn has_ended(&mut self) {
        self.0 = None;
    }

    /// Bounds the address space, which holds packs as well: what a few kilobytes unpack to can be anything.
    fn limit_memory(&self, bytes_max: u64) {
        #[cfg(target_os = "linux")]
        if let Some(pid) = self.0 {
            use rustix::process::{Resource, Rlimit, prlimit};
            let limit = Some(bytes_max.saturating_mul(2).saturating_add(MEMORY_BYTES_MAX));
            let limit = Rlimit {
                current: limit,
                maximum: limit,
            };
            // It may have ended already.
            let _ = prlimit(Some(pid), Resource::As, limit);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // They may have ended already.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Returns the line that says why, without what could do something to a terminal.
fn reason(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines()
        .find(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .or_else(|| lines().next_back())
        .unwrap_or("it gave no reason");
    line.chars()
        .filter(|c| !c.is_control())
        .take(REASON_CHARS_MAX)
        .collect()
}

/// Reads `git version 2.47.3` and the like.
fn version(said: &str) -> Option<(u32, u32)> {
    let numbers = said.trim().strip_prefix("git version ")?;
    let mut numbers = numbers.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("git version 2.47.3\n"), Some((2, 47)));
        assert_eq!(version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(version("git version 2.52.0.windows.1"), Some((2, 52)));
        assert_eq!(version("busybox"), None);
    }

    #[test]
    fn the_reason_is_what_was_fatal() {
        let check = |said: &str, expected: &str| assert_eq!(reason(said), expected);
        check("remote: x\nfatal: no\nmore\n", "fatal: no");
        check("ssh: no route\n\n", "ssh: no route");
        check("", "it gave no reason");
        check("fatal: \u{1b}[31mred", "fatal: [31mred");
    }
}
