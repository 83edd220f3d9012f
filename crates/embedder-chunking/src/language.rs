//! Which language a file is in: by its name, its extension or its first line.

mod table;

use std::fmt;

use crate::grammar::Grammar;
use crate::headings::Markup;
use crate::patterns::PatternSet;
use table::LANGUAGES;

/// How much of a C header is read to tell C from C++.
const HEADER_HEAD_BYTES: usize = 16 * 1024;

/// What a C++ header has and a C header has not, at the start of a line.
const CPP_LINE_STARTS: &[&str] = &[
    "class ",
    "namespace ",
    "template",
    "public:",
    "private:",
    "protected:",
    "using ",
    "constexpr ",
    "enum class ",
];

/// A language this crate recognises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(u8);

/// A row of the language table. The columns hold words separated by spaces.
pub(crate) struct Row {
    /// The name, then its aliases.
    names: &'static str,
    /// Extensions in lower case; the longest that fits wins.
    extensions: &'static str,
    /// Whole file names, or what comes before their first dot.
    file_names: &'static str,
    /// Programs named in a `#!` line, without version.
    interpreters: &'static str,
    method: Method,
}

/// How files of a language are understood.
#[derive(Clone, Copy)]
pub(crate) enum Method {
    Tree(&'static Grammar),
    Headings(Markup),
    Patterns(&'static PatternSet),
    Lines,
}

impl Language {
    /// Every language, in order of name.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(LANGUAGES.len()).map(Self)
    }

    /// The language of a file, from its path and its first bytes (a few kilobytes suffice). `None` if none is known.
    pub fn of(path: &str, head: &[u8]) -> Option<Self> {
        let file_name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let language = by_extension(file_name)
            .or_else(|| by_file_name(file_name))
            .or_else(|| by_interpreter(head))?;
        if language.name() == "c" && file_name.ends_with(".h") && looks_like_cpp(head) {
            return Self::from_name("cpp");
        }
        Some(language)
    }

    /// The language with this name or alias (`"python"`, `"py"`, `"c++"`), in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim().to_lowercase();
        Self::all().find(|language| {
            let mut names = language.row().names.split(' ');
            names.any(|own| own == name)
        })
    }

    /// The name it is stored and filtered by: `"python"`, `"cpp"`, ….
    pub fn name(self) -> &'static str {
        let names = self.row().names;
        names.split_once(' ').map_or(names, |(name, _aliases)| name)
    }

    pub(crate) fn method(self) -> Method {
        self.row().method
    }

    /// Extensions of its files, without the dot.
    pub fn extensions(self) -> impl Iterator<Item = &'static str> {
        self.row().extensions.split_ascii_whitespace()
    }

    fn row(self) -> &'static Row {
        &LANGUAGES[usize::from(self.0)]
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Language({})", self.name())
    }
}

fn by_extension(file_name: &str) -> Option<Language> {
    // Capital letters tell C++ from C and R from nothing else: the one pair that lower case would mix up.
    if file_name.ends_with(".C") || file_name.ends_with(".H") {
        return Language::from_name("cpp");
    }
    let file_name = file_name.to_lowercase();
    let with_length = |language: Language| {
        let fitting = language.extensions().filter(|extension| {
            file_name
                .strip_suffix(extension)
                .is_some_and(|stem| stem.ends_with('.'))
        });
        fitting
            .map(|extension| extension.len())
            .max()
            .map(|length| (length, language))
    };
    Language::all()
        .filter_map(with_length)
        .max_by_key(|(length, _)| *length)
        .map(|(_, language)| language)
}

fn by_file_name(file_name: &str) -> Option<Language> {
    let stem = file_name
        .split_once('.')
        .map_or(file_name, |(stem, _)| stem);
    let named = |name: &str| {
        let own = |language: &Language| language.row().file_names.split(' ').any(|own| own == name);
        Language::all().find(|language| !name.is_empty() && own(language))
    };
    named(file_name).or_else(|| named(stem))
}

fn by_interpreter(head: &[u8]) -> Option<Language> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let line = head
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let program = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let mut interpreter = program(words.next()?);
    if interpreter == "env" {
        let command = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
        interpreter = program(command);
    }
    let unversioned =
        interpreter.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    Language::all().find(|language| {
        let mut programs = language.row().interpreters.split_ascii_whitespace();
        programs.any(|program| program == unversioned)
    })
}

fn looks_like_cpp(head: &[u8]) -> bool {
    let head = &head[..head.len().min(HEADER_HEAD_BYTES)];
    head.split(|&byte| byte == b'\n').any(|line| {
        let line = line.trim_ascii_start();
        let comment = line.starts_with(b"//") || line.starts_with(b"*") || line.starts_with(b"/*");
        let cpp = |start: &&str| line.starts_with(start.as_bytes());
        !comment && (CPP_LINE_STARTS.iter().any(cpp) || line.windows(2).any(|pair| pair == b"::"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, head: &str, expected: &str) {
        let language = Language::of(path, head.as_bytes());
        assert_eq!(language.map_or("-", Language::name), expected, "{path}");
    }

    #[test]
    fn a_file_is_known_by_extension_name_or_first_line() {
        check("src/main.rs", "", "rust");
        check("a\\b\\Program.CS", "", "csharp");
        check("types.d.ts", "", "typescript");
        check("view.tsx", "", "tsx");
        check("matrix.C", "", "cpp");
        check("matrix.c", "", "c");
        check("docker/Dockerfile.dev", "", "dockerfile");
        check("Makefile", "", "makefile");
        check("CMakeLists.txt", "", "cmake");
        check("bin/tool", "#!/usr/bin/env -S python3.12 -u\n", "python");
        check("bin/tool", "\u{feff}#! /bin/bash -e\n", "bash");
        check("bin/tool", "no shebang", "-");
        check("notes.txt", "", "-");
        check("rs", "", "-");
        check("", "", "-");
    }

    #[test]
    fn a_header_is_cpp_if_it_looks_so() {
        check("a.h", "#pragma once\nnamespace a {\n", "cpp");
        check("a.h", "std::string name();\n", "cpp");
        check(
            "a.h",
            "/* class of service */\nstruct a { int class_id; };\n",
            "c",
        );
    }

    #[test]
    fn names_and_aliases_are_found_in_any_case() {
        for (alias, name) in [
            ("py", "python"),
            ("TS", "typescript"),
            ("c++", "cpp"),
            ("C#", "csharp"),
            ("js", "javascript"),
            ("sh", "bash"),
            ("golang", "go"),
            ("kt", "kotlin"),
        ] {
            assert_eq!(Language::from_name(alias).unwrap().name(), name);
        }
        assert_eq!(Language::from_name("klingon"), None);
    }

    #[test]
    fn no_two_languages_claim_the_same_name_or_file() {
        let mut claims = Vec::new();
        for language in Language::all() {
            let row = language.row();
            for (column, words) in [
                ("name", row.names),
                ("extension", row.extensions),
                ("file", row.file_names),
                ("program", row.interpreters),
            ] {
                let words = words.split_ascii_whitespace();
                claims.extend(words.map(|word| format!("{column} {word}")));
            }
        }
        let count = claims.len();
        claims.sort();
        claims.dedup();
        assert_eq!(claims.len(), count);
    }

    #[test]
    fn the_table_is_sorted_by_name() {
        let names: Vec<&str> = Language::all().map(Language::name).collect();
        assert!(names.is_sorted());
        assert_eq!(names.len(), LANGUAGES.len());
    }
}
