//! What the ignore files of a repository leave out.
//!
//! They are compiled to automata, and whoever wrote them may mean these to be large: what may be written is counted over the
//! whole repository, so that all of it compiled is a few hundred megabytes at the very worst, and usually nothing.

use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Says which files are not indexed.
pub(super) const IGNORE_FILE: &str = ".embedderignore";

/// Bytes of one of these files that are read.
pub(super) const IGNORE_BYTES_MAX: u64 = 64 * 1_024;

/// Files of a repository that say so.
const FILES_MAX: usize = 1_000;

/// Bytes of all of them.
const BYTES_MAX: usize = 512 * 1_024;

/// Rules in all of them.
const RULES_MAX: usize = 10_000;

/// Wildcards in all of them, each run of stars being one.
const WILDCARDS_MAX: usize = 1_000;

/// Files around each other, which are kept at the same time.
const NESTED_MAX: usize = 8;

/// What is left out below a folder, by its own file and those around it.
pub(super) struct Ignored {
    rules: Gitignore,
    around: Option<Arc<Ignored>>,
    nested: usize,
}

/// How much has been written in the ignore files of a repository.
#[derive(Default)]
pub(super) struct Written {
    files: usize,
    bytes: usize,
    rules: usize,
    wildcards: usize,
    is_nested_too_deeply: bool,
}

impl Written {
    /// Whether it is more than may be.
    pub(super) fn is_too_much(&self) -> bool {
        self.files > FILES_MAX
            || self.bytes > BYTES_MAX
            || self.rules > RULES_MAX
            || self.wildcards > WILDCARDS_MAX
            || self.is_nested_too_deeply
    }

    fn count(&mut self, text: &str) {
        self.files += 1;
        self.bytes += text.len();
        for line in text.lines().filter(|line| is_rule(line)) {
            self.rules += 1;
            self.wildcards += wildcards(line);
        }
    }
}

impl Ignored {
    /// Reads the file of a folder. None of it counts where that would be too much.
    pub(super) fn read(
        folder: &str,
        text: &str,
        around: Option<Arc<Ignored>>,
        written: &mut Written,
    ) -> Option<Arc<Ignored>> {
        let nested = around.as_ref().map_or(0, |around| around.nested) + 1;
        written.count(text);
        written.is_nested_too_deeply |= nested > NESTED_MAX;
        if written.is_too_much() {
            return around;
        }
        let mut builder = GitignoreBuilder::new(folder);
        for line in text.lines() {
            // A line that cannot be read excludes nothing, as in the file of a folder.
            let _ = builder.add_line(None, line);
        }
        match builder.build() {
            Ok(rules) => Some(Arc::new(Ignored {
                rules,
                around,
                nested,
            })),
            Err(_) => around,
        }
    }

    /// Whether a file or folder is left out. What is said nearest to it counts.
    pub(super) fn leaves_out(&self, path: &str, is_folder: bool) -> bool {
        let mut next = Some(self);
        while let Some(ignored) = next {
            match ignored.rules.matched(path, is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => next = ignored.around.as_deref(),
            }
        }
        false
    }
}

fn is_rule(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn wildcards(rule: &str) -> usize {
    let mut before = ' ';
    let mut count = 0;
    for character in rule.chars() {
        let is_new_star = character == '*' && before != '*';
        count += usize::from(is_new_star || matches!(character, '?' | '[' | '{'));
        before = character;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, around: Option<Arc<Ignored>>) -> (Option<Arc<Ignored>>, Written) {
        let mut written = Written::default();
        let read = Ignored::read("", text, around, &mut written);
        (read, written)
    }

    #[test]
    fn what_is_said_nearest_counts() {
        let (outer, _) = read("*.txt\nbuild/\n", None);
        let inner = Ignored::read("a", "!keep.txt\n", outer.clone(), &mut Written::default());
        let (outer, inner) = (outer.unwrap(), inner.unwrap());
        assert!(outer.leaves_out("a/keep.txt", false));
        assert!(!inner.leaves_out("a/keep.txt", false));
        assert!(inner.leaves_out("a/other.txt", false));
        assert!(inner.leaves_out("build", true));
        assert!(!inner.leaves_out("a/b.rs", false));
    }

    #[test]
    fn what_costs_too_much_is_not_compiled() {
        let stars = format!("{}z\n", "*a".repeat(60)).repeat(20);
        let lines = "name\n".repeat(RULES_MAX + 1);
        for text in [stars, lines] {
            let (read, written) = read(&text, None);
            assert!(read.is_none() && written.is_too_much());
        }
        let (ordinary, written) = read("# all of it\n\n**/target/**/*.rs\n", None);
        assert!(ordinary.is_some() && !written.is_too_much());
        assert_eq!((written.rules, written.wildcards), (1, 3));
        let mut written = Written::default();
        let mut around = None;
        for _ in 0..NESTED_MAX {
            around = Ignored::read("", "*.a\n", around, &mut written);
        }
        assert!(!written.is_too_much());
        Ignored::read("", "*.a\n", around, &mut written);
        assert!(written.is_too_much());
    }
}
