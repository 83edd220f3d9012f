//! A branch of a repository elsewhere, and how it gets here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::clock::Clock;
use crate::config::{Config, Git as GitAccess};
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::git::{Fetch, Git, GitError, GitRef, GitUrl, Refused};
use crate::store::Source;
use crate::store::data_dir::DataDir;

/// A branch of a repository elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    url: GitUrl,
    /// The branch or tag; that which the repository names as its own where there is none.
    reference: Option<GitRef>,
}

impl Repository {
    /// Reads an address and the name of a branch.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn new(url: &str, reference: Option<&str>) -> Result<Repository> {
        let refused = |refused: Refused| Error::Argument {
            problem: refused.problem.to_owned(),
            remedy: refused.remedy.to_owned(),
        };
        Ok(Repository {
            url: GitUrl::parse(url).map_err(refused)?,
            reference: reference.map(GitRef::parse).transpose().map_err(refused)?,
        })
    }

    /// Reads what [`fmt::Display`] has written.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn parse(text: &str) -> Result<Repository> {
        match text.split_once('#') {
            Some((url, reference)) => Repository::new(url, Some(reference)),
            None => Repository::new(text, None),
        }
    }

    /// Whether it is asked for with what the operator has to sign in with there, so that it may be nobody else's to read.
    fn is_signed_in_to(&self, access: &GitAccess) -> bool {
        self.url.is_ssh() || names_host(access.credentials_file.as_deref(), self.url.host())
    }

    /// Refuses a fetch with the operator's credentials for somebody who may not decide that.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`].
    pub fn check_sign_in(&self, access: &GitAccess, may_sign_in: bool) -> Result<()> {
        if may_sign_in || !self.is_signed_in_to(access) {
            return Ok(());
        }
        Err(Error::Reported {
            code: ErrorCode::Forbidden,
            message: "the repository is fetched with the operator's credentials".to_owned(),
            remedy: Some(
                "ask the operator to add it, or for a key with the scope `admin:roots`".to_owned(),
            ),
        })
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Returns the branch or tag that was asked for.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_ref().map(GitRef::as_str)
    }

    /// Returns the name that a copy would have.
    pub fn name(&self) -> &str {
        self.url.name()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)?;
        match &self.reference {
            Some(reference) => write!(f, "#{}", reference.as_str()),
            None => Ok(()),
        }
    }
}

/// Brings repositories here, and keeps them for the next time.
pub struct Repositories {
    git: Git,
    access: GitAccess,
    data_dir: DataDir,
}

impl Repositories {
    /// Keeps them in the data directory.
    pub fn new(config: &Config, clock: Clock, seed: u64) -> Repositories {
        let resilience = &config.resilience;
        let (breaker, retry) = (resilience.breaker.clone(), resilience.retry);
        Repositories {
            git: Git::new(config.git.clone(), breaker, retry, clock, seed),
            access: config.git.clone(),
            data_dir: DataDir::new(&config.data_dir),
        }
    }

    /// Brings what a repository's branch is now, and returns the folder of our bare copy. `told` hears how many bytes that has.
    ///
    /// # Errors
    /// A host that is signed in to for a source that may not be; one that may not be asked, cannot be reached or refuses; a repository that is larger or takes longer than it may; the
    /// disk; [`Error::Interrupted`] when `stop` was set.
    pub fn fetch(
        &self,
        repository: &Repository,
        source: &Source,
        stop: &AtomicBool,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf> {
        // What the operator signs in with may have come after the source.
        repository.check_sign_in(&self.access, source.may_sign_in)?;
        let folder = self.data_dir.repository_folder(source.id);
        let fetch = Fetch {
            url: &repository.url,
            reference: repository.reference.as_ref(),
            into: &folder,
            stop,
            told,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Internal(format!("no runtime: {error}")))?;
        runtime
            .block_on(self.git.fetch(fetch))
            .map_err(|error| told_of(repository, error))?;
        Ok(folder)
    }
}

/// Whether a file of credentials has some for a host. One that cannot be read may have some for any.
fn names_host(file: Option<&Path>, host: &str) -> bool {
    let Some(file) = file else {
        return false;
    };
    let Ok(text) = std::fs::read_to_string(file) else {
        return true;
    };
    text.lines().any(|line| {
        let url = reqwest::Url::parse(line.trim());
        url.is_ok_and(|url| {
            url.host_str()
                .is_some_and(|named| named.eq_ignore_ascii_case(host))
        })
    })
}

/// Says in the words of the user why a repository could not be fetched.
fn told_of(repository: &Repository, error: GitError) -> Error {
    let (code, remedy) = match &error {
        GitError::Interrupted => return Error::Interrupted,
        GitError::LeftAlone { retry_after, .. } => {
            return Error::Unavailable {
                code: ErrorCode::DependencyUnavailable,
                what: format!("{}: {error}", repository.url),
                retry_after: *retry_after,
            };
        }
        GitError::Lookup { .. } | GitError::Busy | GitError::InUse => {
            (ErrorCode::DependencyUnavailable, "try again later")
        }
        GitError::Private { .. } => (
            ErrorCode::Forbidden,
            "the operator may allow the host by its name in the setting git.private_hosts",
        ),
        GitError::NoSshKey => (
            ErrorCode::InvalidRequest,
            "the operator sets git.ssh_key_file and git.ssh_known_hosts_file; or use https",
        ),
        GitError::Start { .. } => (
            ErrorCode::DependencyUnavailable,
            "install git, or name it in the setting git.program",
        ),
        GitError::TooOld { .. } => (
            ErrorCode::DependencyUnavailable,
            "install a newer git, or name one in the setting git.program",
        ),
        GitError::TooLarge { .. } => (ErrorCode::TooLarge, "raise the setting git.bytes_max"),
        GitError::TimedOut(_) => (ErrorCode::Timeout, "raise the setting git.time_s_max"),
        GitError::Disk { .. } => (ErrorCode::Io, "see whether the disk is full"),
        GitError::Failed { reason, .. } if reason.contains("No space left") => {
            (ErrorCode::DiskFull, "free some space")
        }
        GitError::Failed { reason, .. } if reason.contains("returned error: 30") => (
            ErrorCode::BadUpstream,
            "redirects are not followed: name the address that it leads to",
        ),
        GitError::Failed { .. } => (
            ErrorCode::BadUpstream,
            "check the address and the branch; credentials stand in the file that git.credentials_file names",
        ),
    };
    Error::Reported {
        code,
        message: format!("{} cannot be fetched: {error}", repository.url),
        remedy: Some(remedy.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (url, reference, written) in [
            ("https://h/a.git", None, "https://h/a.git"),
            ("git@h:a", Some("v1/x"), "ssh://git@h/a#v1/x"),
        ] {
            let repository = Repository::new(url, reference).unwrap();
            assert_eq!(repository.to_string(), written);
            assert_eq!(Repository::parse(written).unwrap(), repository);
            assert_eq!(repository.reference(), reference);
        }
        assert!(Repository::new("https://h/a", Some("-x")).is_err());
        assert!(Repository::parse("https://h/a#").is_err());
    }
}
