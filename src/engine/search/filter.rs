//! What a search is limited to, checked before anything is searched.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};
use crate::store::Metadata;

/// Patterns in one request; each is tried on every path.
const PATTERNS_MAX: usize = 64;

/// Which files a search may answer from, as the caller says it. All parts must hold; of several globs or languages one
/// must.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterSpec {
    /// Globs on the path. Without a slash: on the file name, anywhere. Without a wildcard: a file or a whole folder.
    pub paths: Vec<String>,
    /// Names of languages.
    pub languages: Vec<String>,
    /// Facts of the file; in a list of facts one must be equal.
    pub metadata: Metadata,
}

/// A checked filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    paths: Option<GlobSet>,
    languages: Vec<&'static str>,
    metadata: Metadata,
}

impl Filter {
    /// Checks a filter.
    ///
    /// # Errors
    /// A glob that is malformed; a language that is unknown, with the known ones in the remedy.
    pub fn new(spec: &FilterSpec) -> Result<Filter> {
        let languages = spec
            .languages
            .iter()
            .map(|name| language(name))
            .collect::<Result<_>>()?;
        Ok(Filter {
            paths: globs(&spec.paths)?,
            languages,
            metadata: spec.metadata.clone(),
        })
    }

    /// Whether every file passes.
    pub fn is_open(&self) -> bool {
        self.paths.is_none() && self.languages.is_empty() && self.metadata.is_empty()
    }

    /// Whether the filter asks for facts.
    pub fn needs_metadata(&self) -> bool {
        !self.metadata.is_empty()
    }

    /// Whether a file passes.
    pub fn allows(&self, path: &str, language: Option<&str>, metadata: Option<&Metadata>) -> bool {
        self.paths.as_ref().is_none_or(|globs| globs.is_match(path))
            && (self.languages.is_empty()
                || language.is_some_and(|language| self.languages.contains(&language)))
            && self.metadata.iter().all(|(key, wanted)| {
                let value = metadata.and_then(|metadata| metadata.get(key));
                value.is_some_and(|value| {
                    value == wanted || value.split(',').any(|item| item == wanted)
                })
            })
    }
}

fn language(name: &str) -> Result<&'static str> {
    embedder_chunking::Language::from_name(name)
        .map(|language| language.name())
        .ok_or_else(|| {
            let mut known: Vec<_> = embedder_chunking::Language::all()
                .map(|language| language.name())
                .collect();
            known.sort_unstable();
            Error::Argument {
                problem: format!("unknown language `{name}`"),
                remedy: format!("known are: {}", known.join(", ")),
            }
        })
}

fn globs(patterns: &[String]) -> Result<Option<GlobSet>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    if patterns.len() > PATTERNS_MAX {
        return Err(Error::Argument {
            problem: format!("{} path globs in one search", patterns.len()),
            remedy: format!("use at most {PATTERNS_MAX}"),
        });
    }
    let malformed = |pattern: &str, error: &globset::Error| Error::Argument {
        problem: format!("`{pattern}` is not a path glob: {}", error.kind()),
        remedy: "use *, **, ?, [a-z] and {a,b}, for example 'src/**/*.rs'".to_owned(),
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        for variant in variants(pattern) {
            let glob = GlobBuilder::new(&variant)
                .literal_separator(true)
                .build()
                .map_err(|error| malformed(pattern, &error))?;
            set.add(glob);
        }
    }
    set.build()
        .map(Some)
        .map_err(|error| malformed(&patterns.join(" "), &error))
}

/// Returns the globs on whole paths that a pattern stands for.
fn variants(pattern: &str) -> Vec<String> {
    let pattern = pattern
        .strip_prefix("./")
        .unwrap_or(pattern)
        .trim_end_matches('/');
    let has_wildcard = pattern.contains(['*', '?', '[', '{']);
    match (has_wildcard, pattern.contains('/')) {
        (true, true) => vec![pattern.to_owned()],
        (true, false) => vec![format!("**/{pattern}")],
        (false, true) => vec![pattern.to_owned(), format!("{pattern}/**")],
        (false, false) => vec![format!("**/{pattern}"), format!("**/{pattern}/**")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], path: &str, expected: bool) {
        let spec = FilterSpec {
            paths: patterns.iter().map(|&p| p.to_owned()).collect(),
            ..FilterSpec::default()
        };
        let filter = Filter::new(&spec).unwrap();
        assert_eq!(
            filter.allows(path, None, None),
            expected,
            "{patterns:?} on {path}"
        );
    }

    #[test]
    fn globs_mean_what_people_expect() {
        check(&["*.rs"], "a/b/c.rs", true);
        check(&["*.rs"], "a/b/c.py", false);
        check(&["src/*.rs"], "src/a.rs", true);
        check(&["src/*.rs"], "src/a/b.rs", false);
        check(&["src/**/*.rs"], "src/a/b.rs", true);
        check(&["src"], "src/a/b.rs", true);
        check(&["src/"], "src/a/b.rs", true);
        check(&["./src"], "src/a.rs", true);
        check(&["src/a"], "src/ab.rs", false);
        check(&["main.rs"], "x/main.rs", true);
        check(&["*.py", "*.rs"], "c.rs", true);
        check(&["{a,b}/**"], "b/c.rs", true);
        check(&[], "anything", true);
    }

    #[test]
    fn languages_and_facts_must_hold_too() {
        let metadata = |pairs: &[(&str, &str)]| -> Metadata {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let spec = FilterSpec {
            languages: vec!["py".to_owned()],
            metadata: metadata(&[("tags", "web")]),
            ..FilterSpec::default()
        };
        let filter = Filter::new(&spec).unwrap();
        assert!(filter.allows(
            "a.py",
            Some("python"),
            Some(&metadata(&[("tags", "http,web")]))
        ));
        assert!(!filter.allows(
            "a.py",
            Some("python"),
            Some(&metadata(&[("tags", "website")]))
        ));
        assert!(!filter.allows("a.py", Some("python"), None));
        assert!(!filter.allows("a.rs", Some("rust"), Some(&metadata(&[("tags", "web")]))));
    }

    #[test]
    fn mistakes_are_told_with_what_would_work() {
        let unknown = FilterSpec {
            languages: vec!["klingon".to_owned()],
            ..FilterSpec::default()
        };
        let error = Filter::new(&unknown).unwrap_err();
        assert!(error.remedy().unwrap().contains("python"), "{error}");
        let malformed = FilterSpec {
            paths: vec!["a[".to_owned()],
            ..FilterSpec::default()
        };
        assert!(
            Filter::new(&malformed)
                .unwrap_err()
                .to_string()
                .contains("a[")
        );
    }
}
