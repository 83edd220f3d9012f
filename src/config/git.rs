//! How git repositories are fetched.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::{Environment, Strings};

/// The newest commit is what is searched; the rest of the history is of no use yet.
const DEPTH: u64 = 1;

/// The sources of a large project with one commit are some hundred megabytes.
const BYTES_MAX: u64 = 2 * 1_024 * 1_024 * 1_024;

const TIME_S_MAX: u64 = 600;

const AT_ONCE_MAX: u64 = 2;

/// A branch that is watched is seldom waited for.
const FETCH_EVERY_S: u64 = 300;

/// What `git` may use of this machine, and how much it may bring.
#[derive(Debug, Clone)]
pub struct Git {
    /// The program.
    pub program: PathBuf,
    /// Where programs are found, as in `PATH`.
    pub search_path: String,
    /// Hosts that may be in a private network, in lower case.
    pub private_hosts: Vec<String>,
    /// Certificates of the authorities that are trusted for https, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// User names and passwords for https, one address a line, as git's `store` keeps them; each is sent to its host alone.
    pub credentials_file: Option<PathBuf>,
    /// The key for ssh.
    pub ssh_key_file: Option<PathBuf>,
    /// The keys by which hosts are known to ssh; the system's where there is none.
    pub ssh_known_hosts_file: Option<PathBuf>,
    /// Commits of history that are fetched.
    pub depth: u32,
    /// Bytes that a repository may be on disk.
    pub bytes_max: u64,
    /// How long a fetch may take.
    pub time_max: Duration,
    /// Repositories that are fetched at once from one host.
    pub at_once_max: usize,
    /// How often a repository that is watched is fetched again.
    pub fetch_every: Duration,
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Git {
    let file = |reader: &mut Reader<'_>, key| reader.text(key, None).map(PathBuf::from);
    let private_hosts = reader.text("git.private_hosts", None).unwrap_or_default();
    let git = Git {
        program: reader
            .text("git.program", Some("git"))
            .unwrap_or_default()
            .into(),
        search_path: Environment.get("PATH").unwrap_or_default(),
        private_hosts: private_hosts
            .split(',')
            .map(|host| host.trim().to_lowercase())
            .filter(|host| !host.is_empty())
            .collect(),
        ca_file: file(reader, "git.ca_file"),
        credentials_file: file(reader, "git.credentials_file"),
        ssh_key_file: file(reader, "git.ssh_key_file"),
        ssh_known_hosts_file: file(reader, "git.ssh_known_hosts_file"),
        depth: u32::try_from(reader.number("git.depth", DEPTH, 1..=1_000_000)).unwrap_or(1),
        bytes_max: reader.number("git.bytes_max", BYTES_MAX, 1 << 20..=1 << 40),
        time_max: Duration::from_secs(reader.number("git.time_s_max", TIME_S_MAX, 1..=86_400)),
        at_once_max: reader.number("git.at_once_max", AT_ONCE_MAX, 1..=64) as usize,
        fetch_every: Duration::from_secs(reader.number(
            "git.fetch_every_s",
            FETCH_EVERY_S,
            10..=86_400,
        )),
    };
    // Relative ones would depend on where the server was started.
    for (key, path) in [
        ("git.ca_file", &git.ca_file),
        ("git.credentials_file", &git.credentials_file),
        ("git.ssh_key_file", &git.ssh_key_file),
        ("git.ssh_known_hosts_file", &git.ssh_known_hosts_file),
    ] {
        if path.as_ref().is_some_and(|path| !path.is_absolute()) {
            reader
                .problems
                .push(format!("{key} must be an absolute path"));
        }
    }
    git
}
