//! What a git repository elsewhere is called, and which of its branches.

use std::fmt;

/// Bytes of an address or the name of a branch.
const BYTES_MAX: usize = 1_024;

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `https://host/path`
    Https,
    /// `ssh://user@host/path`, or `user@host:path`.
    Ssh,
}

/// The address of a git repository: https or ssh, without a secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitUrl {
    scheme: Scheme,
    user: Option<String>,
    host: String,
    port: u16,
    path: String,
}

/// The name of a branch or tag, or in full what it is called in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRef(String);

/// Why a text names no repository or branch that may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Refused {
    /// What is wrong with it; it holds no secret.
    pub problem: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

fn refused<T>(problem: &'static str, remedy: &'static str) -> Result<T, Refused> {
    Err(Refused { problem, remedy })
}

impl GitUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// Any other scheme; a password in it; what `git` or `ssh` could take for an option.
    pub fn parse(text: &str) -> Result<GitUrl, Refused> {
        if text.len() > BYTES_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return refused(
                "the address is too long, or holds white space",
                "name the repository as https://host/path or ssh://user@host/path",
            );
        }
        let url = match in_short_form(text) {
            Some(url) => url,
            None => text.to_owned(),
        };
        let Ok(url) = reqwest::Url::parse(&url) else {
            return refused(
                "it is not the address of a git repository",
                "name the repository as https://host/path or ssh://user@host/path",
            );
        };
        let (scheme, default_port) = match url.scheme() {
            "https" => (Scheme::Https, 443),
            "ssh" => (Scheme::Ssh, 22),
            _ => {
                return refused(
                    "repositories are fetched by https and ssh alone",
                    "name it as https://host/path or ssh://user@host/path",
                );
            }
        };
        if url.password().is_some() || (scheme == Scheme::Https && !url.username().is_empty()) {
            return refused(
                "the address holds a user or a password",
                "leave it away, and put credentials into the file that git.credentials_file names",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refused(
                "the address holds `?` or `#`",
                "leave that away; a branch is named by `ref`",
            );
        }
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let user = url.username();
        let path = url.path();
        if host.is_empty() || path.len() < 2 {
            return refused(
                "the address lacks a host or a path",
                "name the repository as https://host/path or ssh://user@host/path",
            );
        }
        let could_be_option = |text: &str| text.starts_with('-');
        if could_be_option(&host)
            || could_be_option(user)
            || path[1..].split('/').any(could_be_option)
        {
            return refused(
                "a part of the address begins with `-`",
                "check its spelling",
            );
        }
        let url = GitUrl {
            scheme,
            user: (!user.is_empty()).then(|| user.to_owned()),
            port: url.port().unwrap_or(default_port),
            host,
            path: path.to_owned(),
        };
        // Written out, with what stands for other letters, it is longer.
        if url.to_string().len() > BYTES_MAX {
            return refused("the address is too long", "check its spelling");
        }
        Ok(url)
    }

    /// Returns how it is reached.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether it is reached by ssh.
    pub fn is_ssh(&self) -> bool {
        self.scheme == Scheme::Ssh
    }

    /// Returns the host, in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the name that a copy would have: the last part of the path, without `.git`.
    pub fn name(&self) -> &str {
        let last = self.path.trim_end_matches('/').rsplit('/').next();
        let last = last.unwrap_or_default();
        last.strip_suffix(".git").unwrap_or(last)
    }
}

/// Returns `user@host:path` as the address that it is short for.
fn in_short_form(text: &str) -> Option<String> {
    if text.contains("://") {
        return None;
    }
    let (place, path) = text.split_once(':')?;
    let (user, host) = place.split_once('@')?;
    let is_plain = |part: &str| !part.is_empty() && !part.contains(['/', '@', ':']);
    (is_plain(user) && is_plain(host))
        .then(|| format!("ssh://{user}@{host}/{}", path.trim_start_matches('/')))
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default_port) = match self.scheme {
            Scheme::Https => ("https", 443),
            Scheme::Ssh => ("ssh", 22),
        };
        write!(f, "{scheme}://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        if self.port != default_port {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl GitRef {
    /// Reads the name of a branch or tag, by the rules of `git check-ref-format`.
    ///
    /// # Errors
    /// What cannot be one; what `git` could take for an option or for more than one.
    pub fn parse(text: &str) -> Result<GitRef, Refused> {
        let is_bad = |character: char| {
            character.is_control()
                || matches!(character, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')
        };
        let is_bad_part =
            |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        if text.is_empty()
            || text.len() > BYTES_MAX
            || text == "@"
            || text.starts_with(['-', '+'])
            || text.ends_with('.')
            || text.contains("..")
            || text.contains("@{")
            || text.chars().any(is_bad)
            || text.split('/').any(is_bad_part)
        {
            return refused(
                "it is not the name of a branch or tag",
                "name one as `main` or `v1.2`, or in full as `refs/heads/main`",
            );
        }
        Ok(GitRef(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let check = |text: &str, expected: &str, name: &str| {
            let url = GitUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.name()), (expected, name));
            assert_eq!(GitUrl::parse(expected).unwrap(), url);
        };
        check(
            "https://Example.com/a/b.git",
            "https://example.com/a/b.git",
            "b",
        );
        check("https://h:8443/b/", "https://h:8443/b/", "b");
        check("https://h:443/b", "https://h/b", "b");
        check("git@h:a/b.git", "ssh://git@h/a/b.git", "b");
        check("ssh://git@h:2222/b", "ssh://git@h:2222/b", "b");
        check("https://[::1]:80/b", "https://[::1]:80/b", "b");
    }

    #[test]
    fn what_could_do_something_else_is_refused() {
        for text in [
            "",
            "http://h/b",
            "git://h/b",
            "file:///etc",
            "ext::sh -c x",
            "ext::sh",
            "/srv/repository",
            "https://user:secret@h/b",
            "https://token@h/b",
            "https://h/b?x=1",
            "https://h/b#main",
            "https://h",
            "https://h/",
            "ssh://-oProxyCommand=x/b",
            "ssh://-l@h/b",
            "-u@h:b",
            "ssh://h/--upload-pack=x",
            "https://h/a b",
            "https://h/a\nb",
            &format!("https://h/{}", "é".repeat(500)),
        ] {
            assert!(GitUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_holds_no_secret() {
        let refused = GitUrl::parse("https://user:secret@h/b").unwrap_err();
        assert!(!format!("{refused}{refused:?}").contains("secret"));
    }

    #[test]
    fn names_of_branches_are_those_of_git() {
        for name in ["main", "feature/a-b", "v1.2.3", "refs/heads/main", "a@b"] {
            assert_eq!(GitRef::parse(name).unwrap().as_str(), name);
        }
        for name in [
            "", "-d", "+main", "a..b", "a:b", "a b", "a~1", "a^", "@", "a@{1}", "/a", "a/", "a//b",
            ".a", "a/.b", "a.lock", "a.", "a\nb", "a*", "a?", "[a", "a\\b",
        ] {
            assert!(GitRef::parse(name).is_err(), "{name}");
        }
    }
}
