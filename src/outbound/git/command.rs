//! How `git` is run: with the environment and the configuration that are written here, and no others.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::address::Addresses;
use super::error::GitError;
use super::url::{GitUrl, Scheme};
use crate::config::Git as GitAccess;

/// A server that sends less than this many bytes a second for so long has stalled.
const SLOW_BYTES: u32 = 1_024;
const SLOW_FOR_S: u32 = 30;

/// What one object may unpack to.
const OBJECT_BYTES_MAX: &str = "256m";

/// How long a connection by ssh may take to be made.
const CONNECT_S: u32 = 10;

/// A run of `git` in a repository.
pub(super) struct Run<'a> {
    access: &'a GitAccess,
    repository: &'a Path,
    configuration: Vec<(String, String)>,
    ssh: Option<String>,
}

impl<'a> Run<'a> {
    /// A run that asks nobody.
    pub(super) fn alone(access: &'a GitAccess, repository: &'a Path) -> Run<'a> {
        let never = [
            ("protocol.allow", "never"),
            // Neither is there anything to run, but what is not there cannot be run later either.
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("core.pager", "cat"),
            ("credential.helper", ""),
            // What does not change the repository any more: no replaced, lent or lazily fetched objects.
            ("core.useReplaceRefs", "false"),
            ("gc.auto", "0"),
            // What is large is not held in memory.
            ("core.bigFileThreshold", "4m"),
            ("maintenance.auto", "false"),
            // One file for each fetch.
            ("fetch.unpackLimit", "1"),
            ("pack.threads", "1"),
        ];
        let configuration = never
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Run {
            access,
            repository,
            configuration: configuration.collect(),
            ssh: None,
        }
    }

    /// A run that asks the repository's host, at these addresses and no others.
    ///
    /// # Errors
    /// ssh without a key.
    pub(super) fn with_remote(
        access: &'a GitAccess,
        repository: &'a Path,
        url: &GitUrl,
        addresses: &Addresses,
    ) -> Result<Run<'a>, GitError> {
        let mut run = Run::alone(access, repository);
        match url.scheme() {
            Scheme::Https => run.by_https(url, addresses),
            Scheme::Ssh => run.by_ssh(url, addresses)?,
        }
        Ok(run)
    }

    fn set(&mut self, key: &str, value: impl Into<String>) {
        self.configuration.push((key.to_owned(), value.into()));
    }

    fn by_https(&mut self, url: &GitUrl, addresses: &Addresses) {
        self.set("protocol.https.allow", "always");
        // A redirect would lead to an address that nobody has looked at, with the credentials for another.
        self.set("http.followRedirects", "false");
        self.set("http.proxy", "");
        self.set("http.sslVerify", "true");
        self.set("http.lowSpeedLimit", SLOW_BYTES.to_string());
        self.set("http.lowSpeedTime", SLOW_FOR_S.to_string());
        let host = url.host().trim_matches(['[', ']']);
        if host.parse::<std::net::IpAddr>().is_err() {
            let to = format!("{host}:{}:{}", url.port(), addresses.for_curl());
            self.set("http.curloptResolve", to);
        }
        if let Some(file) = &self.access.ca_file {
            self.set("http.sslCAInfo", file.display().to_string());
        }
        if let Some(file) = &self.access.credentials_file {
            let file = quoted(&file.display().to_string());
            // It is asked and never told: a host that refuses a password would have it erased.
            let ask = format!("git credential-store --file={file} get");
            let helper = format!("!f() {{ test \"$1\" = get && {ask}; }}; f");
            self.set("credential.helper", helper);
        }
    }

    fn by_ssh(&mut self, url: &GitUrl, addresses: &Addresses) -> Result<(), GitError> {
        self.set("protocol.ssh.allow", "always");
        let key = self.access.ssh_key_file.as_ref();
        let key = key.ok_or(GitError::NoSshKey)?.display().to_string();
        // Where the operator names those that are known, no others are.
        let (known, known_to_all) = match &self.access.ssh_known_hosts_file {
            Some(file) => (file.display().to_string(), "/dev/null"),
            None => ("/dev/null".to_owned(), "/etc/ssh/ssh_known_hosts"),
        };
        let host = url.host().trim_matches(['[', ']']);
        let alias = match url.port() {
            22 => host.to_owned(),
            port => format!("[{host}]:{port}"),
        };
        let options = [
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "PermitLocalCommand=no".to_owned(),
            "ControlMaster=no".to_owned(),
            format!("ConnectTimeout={CONNECT_S}"),
            format!("ServerAliveInterval={SLOW_FOR_S}"),
            format!("UserKnownHostsFile=\"{known}\""),
            format!("GlobalKnownHostsFile={known_to_all}"),
            // It is known by its name and connected to by the address that was looked at.
            format!("HostKeyAlias={alias}"),
            format!("HostName={}", addresses.first()),
        ];
        let options = options
            .iter()
            .map(|option| format!(" -o {}", quoted(option)));
        let options: String = options.collect();
        self.ssh = Some(format!("ssh -F none -i {}{options}", quoted(&key)));
        Ok(())
    }

    /// Returns the command with these arguments. What it asks for and what it is configured by stands in its environment,
    /// where other users do not see it. Dropped, it is killed.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.access.program);
        command
            .args(["--git-dir", "."])
            .args(arguments)
            .current_dir(self.repository)
            .env_clear()
            .env("PATH", &self.access.search_path)
            // Where a configuration of the user would be looked for, and is none.
            .env("HOME", self.repository)
            .env("XDG_CONFIG_HOME", self.repository)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS", "/bin/false")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_ALLOW_PROTOCOL", "https:ssh")
            // What is read here is of this kind.
            .env("GIT_DEFAULT_HASH", "sha1")
            .env("GIT_DEFAULT_REF_FORMAT", "files")
            // A single object that unpacks to more is no source code.
            .env("GIT_ALLOC_LIMIT", OBJECT_BYTES_MAX)
            .env("LC_ALL", "C")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(ssh) = &self.ssh {
            command.env("GIT_SSH_COMMAND", ssh);
            command.env("GIT_SSH_VARIANT", "ssh");
        }
        command.env("GIT_CONFIG_COUNT", self.configuration.len().to_string());
        for (number, (key, value)) in self.configuration.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        // What it starts is killed with it.
        command.process_group(0);
        command
    }
}

/// Returns a text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_shell_stays_one() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's; $(x)"), "'it'\\''s; $(x)'");
    }
}
