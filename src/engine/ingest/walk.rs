//! Which files of a folder are indexed, and why the others are not.
//!
//! The walk obeys `.gitignore` (also outside of a git repository) and `.embedderignore`, never follows a symbolic
//! link, and leaves out files that hold secrets, are generated, or are known not to be text. What an ignore file
//! excludes is not mentioned again; what is left out for another reason is reported with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use ignore::WalkBuilder;

use super::names::{is_never_walked, skip_by_name};
use crate::error::{Error, Result};

/// More files than this in one source is almost always a mistake (a home directory, a mounted archive).
pub const FILES_MAX: usize = 1_000_000;

/// A file of a source, as found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Relative to the root, separated by `/`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of its last change in nanoseconds since the epoch.
    pub changed_ns: i64,
    /// Why the file is not to be indexed, if it is not.
    pub skip: Option<String>,
    /// By what its content is known in a repository, where it is from one.
    pub object: Option<[u8; 20]>,
}

/// Lists the files below `root` in order of their paths.
///
/// Where `within` names folders, relative to `root`, only these are walked. A folder below `root` that cannot be read is
/// reported as a skipped file of that path. The program's own `data_dir` is never walked.
///
/// # Errors
/// When `root` itself cannot be read, or holds more than [`FILES_MAX`] files; when a folder of `within` is not below
/// `root`.
pub fn walk(
    root: &Path,
    within: &[String],
    file_bytes_max: u64,
    data_dir: &Path,
) -> Result<Vec<FoundFile>> {
    let within = within
        .iter()
        .map(|folder| checked_within(root, folder))
        .collect::<Result<Vec<_>>>()?;
    std::fs::read_dir(root).map_err(|error| Error::io("read", root, error))?;
    let walk = builder(root, within.clone(), data_dir).build();
    let mut files = Vec::new();
    for entry in walk {
        match entry {
            Ok(entry) => {
                let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
                if entry.depth() > 0 && !is_folder {
                    files.push(examine(root, &entry, file_bytes_max));
                }
            }
            Err(error) => files.extend(unreadable(root, &error)),
        }
        if files.len() > FILES_MAX {
            return Err(Error::Argument {
                problem: format!("{} holds more than {FILES_MAX} files", root.display()),
                remedy: "name a smaller folder, or exclude some with .embedderignore".to_owned(),
            });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    check_found(root, &within, &files)?;
    Ok(files)
}

/// Returns the folders that a walk of `root` comes through, `root` among them.
///
/// # Errors
/// When `root` itself cannot be read.
pub fn indexed_folders(root: &Path, data_dir: &Path) -> Result<BTreeSet<PathBuf>> {
    std::fs::read_dir(root).map_err(|error| Error::io("read", root, error))?;
    let walk = builder(root, Vec::new(), data_dir).build();
    let folders = walk
        .flatten()
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_dir()))
        .map(ignore::DirEntry::into_path);
    Ok(folders.collect())
}

/// Whether what changed at these paths can make a difference to a walk of `root`: a file that is walked, or one that is no
/// more and may have been.
pub fn concerns(root: &Path, paths: &BTreeSet<PathBuf>, data_dir: &Path) -> bool {
    let mut walked: BTreeMap<&Path, BTreeSet<PathBuf>> = BTreeMap::new();
    paths.iter().any(|path| {
        let (Some(folder), true) = (path.parent(), path.starts_with(root)) else {
            return true;
        };
        if std::fs::symlink_metadata(path).is_err() {
            return true;
        }
        let there = walked.entry(folder).or_insert_with(|| {
            let mut builder = builder(folder, Vec::new(), data_dir);
            let walk = builder.max_depth(Some(1)).build();
            walk.flatten().map(ignore::DirEntry::into_path).collect()
        });
        there.contains(path)
    })
}

/// Says what a walk comes through: nothing that is ignored, never walked, or our own; of `within`, where it names folders,
/// those alone.
fn builder(root: &Path, within: Vec<PathBuf>, data_dir: &Path) -> WalkBuilder {
    let data_dir = data_dir
        .canonicalize()
        .unwrap_or_else(|_| data_dir.to_owned());
    let mut builder = WalkBuilder::new(root);
    builder
        .hidden(false)
        .require_git(false)
        .follow_links(false)
        .add_custom_ignore_filename(".embedderignore")
        .filter_entry(move |entry| {
            let name = entry.file_name().to_str().unwrap_or_default();
            let path = entry.path();
            let is_wanted = within.is_empty()
                || within
                    .iter()
                    .any(|folder| path.starts_with(folder) || folder.starts_with(path));
            entry.depth() == 0 || (is_wanted && !is_never_walked(name) && path != data_dir)
        });
    builder
}

/// Returns the path of a folder that must lie below `root`, without a link on the way: links are never followed.
fn checked_within(root: &Path, folder: &str) -> Result<PathBuf> {
    let refused = |problem: String| Error::Argument {
        problem,
        remedy: "--within takes a folder below the indexed one, relative to it".to_owned(),
    };
    let mut path = root.to_owned();
    for part in Path::new(folder).components() {
        match part {
            Component::CurDir => continue,
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(refused(format!(
                    "{folder:?} is not relative to {}, or leads out of it",
                    root.display()
                )));
            }
        }
        let metadata = std::fs::symlink_metadata(&path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Error::PathMissing(path.clone())
            } else {
                Error::io("read", &path, error)
            }
        })?;
        if metadata.is_symlink() {
            return Err(refused(format!("{} is a symbolic link", path.display())));
        }
        if !metadata.is_dir() {
            return Err(Error::NotAFolder(path));
        }
    }
    if folder.is_empty() {
        return Err(refused("the folder's name is empty".to_owned()));
    }
    Ok(path)
}

/// Refuses folders without a file: they are excluded by an ignore file, or mistaken, and would empty the collection.
fn check_found(root: &Path, within: &[PathBuf], files: &[FoundFile]) -> Result<()> {
    let holds_file = |folder: &PathBuf| {
        files
            .iter()
            .any(|file| root.join(&file.path).starts_with(folder))
    };
    match within.iter().find(|folder| !holds_file(folder)) {
        None => Ok(()),
        Some(folder) => Err(Error::Argument {
            problem: format!("{} has no file to index", folder.display()),
            remedy: "it is empty, or an ignore file excludes it".to_owned(),
        }),
    }
}

fn examine(root: &Path, entry: &ignore::DirEntry, file_bytes_max: u64) -> FoundFile {
    let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
    let path = relative
        .to_string_lossy()
        .replace(std::path::MAIN_SEPARATOR, "/");
    let skipped = |bytes, reason: String| FoundFile {
        path: path.clone(),
        bytes,
        changed_ns: 0,
        skip: Some(reason),
        object: None,
    };
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return skipped(0, format!("{UNREADABLE}{error}")),
    };
    if relative.to_str().is_none() {
        return skipped(metadata.len(), "the file name is not UTF-8".to_owned());
    }
    let skip = if metadata.is_symlink() {
        Some("symbolic link".to_owned())
    } else if !metadata.is_file() {
        Some("not a regular file".to_owned())
    } else {
        skip_by_name(&path).map(str::to_owned).or_else(|| {
            let bytes = metadata.len();
            (bytes > file_bytes_max)
                .then(|| format!("too large: {bytes} bytes, the limit is {file_bytes_max}"))
        })
    };
    FoundFile {
        path,
        bytes: metadata.len(),
        changed_ns: changed_ns(&metadata),
        skip,
        object: None,
    }
}

/// Returns when a file last changed, in nanoseconds since the epoch, 0 where that is not known: the later of the times of
/// its content and of its entry. The first alone can be set to anything, and archives and copies do.
pub(super) fn changed_ns(metadata: &std::fs::Metadata) -> i64 {
    let since_epoch = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let modified = since_epoch
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0);
    modified.max(entry_changed_ns(metadata))
}

#[cfg(unix)]
fn entry_changed_ns(metadata: &std::fs::Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;
    metadata
        .ctime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn entry_changed_ns(_: &std::fs::Metadata) -> i64 {
    0
}

/// How the reason begins for which a file or folder that cannot be read is skipped.
pub(super) const UNREADABLE: &str = "unreadable: ";

fn unreadable(root: &Path, error: &ignore::Error) -> Option<FoundFile> {
    let path = path_of(error)?.strip_prefix(root).ok()?;
    let path = path
        .to_string_lossy()
        .replace(std::path::MAIN_SEPARATOR, "/");
    let reason = error
        .io_error()
        .map_or_else(|| error.to_string(), ToString::to_string);
    Some(FoundFile {
        path,
        bytes: 0,
        changed_ns: 0,
        skip: Some(format!("{UNREADABLE}{reason}")),
        object: None,
    })
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other kinds speak of ignore files, not of paths"
    )]
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            path_of(err)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    fn check(files: &[(&str, &str)], expected: &[(&str, Option<&str>)]) {
        let dir = tree(files);
        let found = walk(dir.path(), &[], 100, Path::new("/nonexistent")).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|file| (file.path.as_str(), file.skip.as_deref()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn files_come_in_order_with_paths_relative_to_the_root() {
        check(
            &[("b.rs", "b"), ("a/z.rs", "z"), (".github/ci.yml", "x")],
            &[(".github/ci.yml", None), ("a/z.rs", None), ("b.rs", None)],
        );
    }

    #[test]
    fn ignore_files_are_obeyed_without_a_repository() {
        check(
            &[
                (".gitignore", "target\n"),
                ("target/x.rs", "x"),
                ("a/.embedderignore", "*.txt\n"),
                ("a/b.txt", "b"),
                ("a/c.rs", "c"),
            ],
            &[
                (".gitignore", None),
                ("a/.embedderignore", None),
                ("a/c.rs", None),
            ],
        );
    }

    #[test]
    fn secrets_generated_files_binaries_and_large_files_are_skipped_with_their_reason() {
        check(
            &[
                (".claude/commands/fix.md", "x"),
                (".claude/settings.local.json", "{}"),
                (".codex/config.toml", "x"),
                (".env", "KEY=1"),
                (".env.example", "KEY="),
                (".mcp.json", "{}"),
                ("Cargo.lock", "x"),
                ("big.txt", &"x".repeat(101)),
                ("hub.pepper", "x"),
                ("logo.png", "x"),
                ("tls/server.key", "x"),
            ],
            &[
                (".claude/commands/fix.md", None),
                (".claude/settings.local.json", Some("may hold secrets")),
                (".env", Some("may hold secrets")),
                (".env.example", None),
                (".mcp.json", Some("may hold secrets")),
                ("Cargo.lock", Some("generated")),
                ("big.txt", Some("too large: 101 bytes, the limit is 100")),
                ("hub.pepper", Some("may hold secrets")),
                ("logo.png", Some("not text")),
                ("tls/server.key", Some("may hold secrets")),
            ],
        );
    }

    #[test]
    fn only_the_folders_that_are_named_are_walked() {
        let files = ["a/x.rs", "a/b/y.rs", "ab/z.rs", "c/d/w.rs", "top.rs"];
        let dir = tree(&files.map(|path| (path, "x")));
        let within = |folders: &[&str]| {
            let folders: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
            walk(dir.path(), &folders, 100, Path::new("/nonexistent"))
                .map(|found| found.into_iter().map(|file| file.path).collect::<Vec<_>>())
        };
        assert_eq!(within(&["a"]).unwrap(), ["a/b/y.rs", "a/x.rs"]);
        assert_eq!(within(&["./a/b/", "c"]).unwrap(), ["a/b/y.rs", "c/d/w.rs"]);
        assert_eq!(within(&[]).unwrap().len(), 5);
        assert!(matches!(within(&["none"]), Err(Error::PathMissing(_))));
        assert!(matches!(within(&["top.rs"]), Err(Error::NotAFolder(_))));
        fs::create_dir(dir.path().join("empty")).unwrap();
        for outside in ["../a", "/a", "a/../..", "", "empty"] {
            assert!(
                matches!(within(&[outside]), Err(Error::Argument { .. })),
                "{outside}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_links_are_never_followed() {
        let outside = tree(&[("secret.rs", "x")]);
        let dir = tree(&[("a.rs", "a")]);
        std::os::unix::fs::symlink(outside.path(), dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret.rs"), dir.path().join("file.rs"))
            .unwrap();
        let through_a_link = walk(
            dir.path(),
            &["folder".to_owned()],
            100,
            Path::new("/nonexistent"),
        );
        assert!(matches!(through_a_link, Err(Error::Argument { .. })));
        let found = walk(dir.path(), &[], 100, Path::new("/nonexistent")).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|file| (file.path.as_str(), file.skip.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("a.rs", None),
                ("file.rs", Some("symbolic link")),
                ("folder", Some("symbolic link"))
            ]
        );
    }
}
