//! The files of a commit, read from a bare repository without a checkout.
//!
//! Whoever made the repository may mean harm: its trees can name files that lead out of a folder, be nested without end, or
//! hold the same tree a million times, and its objects can unpack to more than there is memory. What is read here are
//! bytes and names, none of which is ever a path of this machine's, and all of it has a limit.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::files::{ReadFile, SourceFiles};
use super::ignored::{IGNORE_BYTES_MAX, IGNORE_FILE, Ignored, Written};
use super::names::{is_never_walked, skip_by_name};
use super::objects::{self, Objects};
use super::walk::{FILES_MAX, FoundFile, UNREADABLE};
use crate::error::{Error, Result};

/// Folders within each other.
const DEPTH_MAX: usize = 64;

/// Bytes of all paths.
const PATH_BYTES_MAX: usize = 256 * 1_024 * 1_024;

/// Bytes of all trees, each counted as often as it is named.
const TREES_BYTES_MAX: u64 = 1_024 * 1_024 * 1_024;

/// Entries of trees that are looked at for each file that may be found.
const ENTRIES_MAX: usize = 2 * FILES_MAX;

/// How long listing may take: an ordinary repository takes a second, one that was made to be slow would take hours.
const LIST_TIME_MAX: Duration = Duration::from_secs(120);

/// The files of a commit.
pub(super) struct CommitFiles {
    store: Arc<gix_odb::Store>,
    repository: PathBuf,
    commit: ObjectId,
    tree: ObjectId,
    within: Vec<String>,
    file_bytes_max: u64,
}

/// A folder that is still to be looked at.
struct Folder {
    path: String,
    tree: ObjectId,
    depth: usize,
    ignored: Option<Arc<Ignored>>,
}

/// What is found.
struct Found<'a> {
    stop: &'a AtomicBool,
    until: Instant,
    files: Vec<FoundFile>,
    entries: usize,
    path_bytes: usize,
    tree_bytes: u64,
    ignored: Written,
}

impl Found<'_> {
    fn new(stop: &AtomicBool) -> Found<'_> {
        Found {
            stop,
            until: Instant::now() + LIST_TIME_MAX,
            files: Vec::new(),
            entries: 0,
            path_bytes: 0,
            tree_bytes: 0,
            ignored: Written::default(),
        }
    }

    /// Refuses more than there may be, or what takes longer than it may.
    fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let problem = if self.is_too_much() {
            format!(
                "the repository holds more than {FILES_MAX} files, or more of names and folders than that many have"
            )
        } else if self.ignored.is_too_much() {
            format!("the {IGNORE_FILE} files of the repository hold more rules than may be")
        } else if Instant::now() > self.until {
            format!(
                "listing the repository takes longer than {} s",
                LIST_TIME_MAX.as_secs()
            )
        } else {
            return Ok(());
        };
        Err(Error::Argument {
            problem,
            remedy: format!("name folders of it, or exclude some with {IGNORE_FILE}, simply"),
        })
    }

    fn is_too_much(&self) -> bool {
        self.files.len() > FILES_MAX
            || self.entries > ENTRIES_MAX
            || self.path_bytes > PATH_BYTES_MAX
            || self.tree_bytes > TREES_BYTES_MAX
    }
}

impl CommitFiles {
    /// Reads the commit that a reference of a bare repository names. Where `within` names folders, only these are listed.
    ///
    /// # Errors
    /// A repository that cannot be read; a reference that names no commit.
    pub(super) fn open(
        repository: &Path,
        reference: &str,
        within: &[String],
        file_bytes_max: u64,
    ) -> Result<CommitFiles> {
        let path = repository.join(reference);
        let named =
            std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        // Whole objects are read, so what one may be is what a file or folder may be.
        let store = objects::open(repository, file_bytes_max)?;
        let (commit, tree) = Objects::of(&store)
            .commit_and_tree(named.trim())
            .map_err(|problem| unusable(repository, &problem))?;
        Ok(CommitFiles {
            store,
            repository: repository.to_owned(),
            commit,
            tree,
            within: within
                .iter()
                .map(|folder| plain(folder))
                .filter(|folder| !folder.is_empty())
                .collect(),
            file_bytes_max,
        })
    }

    /// Looks at a folder: adds its files to what is found, and returns the folders in it.
    fn look(
        &self,
        objects: &Objects,
        folder: &Folder,
        found: &mut Found<'_>,
    ) -> Result<Vec<Folder>, String> {
        let mut buffer = Vec::new();
        let (tree, bytes) = objects.tree(&folder.tree, &mut buffer)?;
        found.tree_bytes += bytes;
        let ignored = ignored_in(objects, folder, &tree, found);
        let mut folders = Vec::new();
        for entry in &tree.entries {
            found.entries += 1;
            found.path_bytes += folder.path.len() + entry.filename.len();
            // The caller sees why.
            if found.check().is_err() {
                return Ok(folders);
            }
            let lossy = String::from_utf8_lossy(entry.filename).into_owned();
            let path = match folder.path.as_str() {
                "" => lossy,
                parent => format!("{parent}/{lossy}"),
            };
            let name = entry.filename.as_ref();
            let is_folder = entry.mode.is_tree();
            if is_folder && std::str::from_utf8(name).is_ok_and(is_never_walked) {
                continue;
            }
            let is_left_out = |ignored: &Arc<Ignored>| ignored.leaves_out(&path, is_folder);
            if !self.is_wanted(&path, is_folder) || ignored.as_ref().is_some_and(is_left_out) {
                continue;
            }
            let skip = |reason: &str| Some(reason.to_owned());
            let (bytes, skip) = if !is_name(name) {
                (0, skip("the file name is not one"))
            } else if std::str::from_utf8(name).is_err() {
                (0, skip("the file name is not UTF-8"))
            } else if is_folder && folder.depth >= DEPTH_MAX {
                (0, skip("nested too deeply"))
            } else if is_folder {
                folders.push(Folder {
                    path,
                    tree: entry.oid.to_owned(),
                    depth: folder.depth + 1,
                    ignored: ignored.clone(),
                });
                continue;
            } else if entry.mode.is_commit() {
                (0, skip("another repository"))
            } else if entry.mode.is_link() {
                (0, skip("symbolic link"))
            } else {
                match objects.header(entry.oid) {
                    Ok(header) if header.kind != Kind::Blob => (0, skip("not a regular file")),
                    Ok(header) => (header.bytes, self.skip_of(&path, header.bytes)),
                    Err(problem) => (0, Some(format!("{UNREADABLE}{problem}"))),
                }
            };
            found.files.push(FoundFile {
                path,
                bytes,
                changed_ns: stamp(entry.oid),
                skip,
                object: object_of(entry.oid),
            });
        }
        Ok(folders)
    }

    fn skip_of(&self, path: &str, bytes: u64) -> Option<String> {
        skip_by_name(path).map(str::to_owned).or_else(|| {
            let limit = self.file_bytes_max;
            (bytes > limit).then(|| format!("too large: {bytes} bytes, the limit is {limit}"))
        })
    }

    fn is_wanted(&self, path: &str, is_folder: bool) -> bool {
        self.within.is_empty()
            || self
                .within
                .iter()
                .any(|folder| is_below(path, folder) || (is_folder && is_below(folder, path)))
    }

    /// Refuses folders without a file, which would empty the collection.
    fn check_found(&self, files: &[FoundFile]) -> Result<()> {
        let is_empty = |folder: &&String| files.iter().all(|file| !is_below(&file.path, folder));
        match self.within.iter().find(is_empty) {
            None => Ok(()),
            Some(folder) => Err(Error::Argument {
                problem: format!("{folder} has no file to index"),
                remedy: format!("it is not in this commit, or {IGNORE_FILE} excludes it"),
            }),
        }
    }
}

impl SourceFiles for CommitFiles {
    fn list(&self, stop: &AtomicBool) -> Result<Vec<FoundFile>> {
        let objects = Objects::of(&self.store);
        let mut found = Found::new(stop);
        let mut folders = vec![Folder {
            path: String::new(),
            tree: self.tree,
            depth: 0,
            ignored: None,
        }];
        while let Some(folder) = folders.pop() {
            found.check()?;
            match self.look(&objects, &folder, &mut found) {
                Ok(inner) => folders.extend(inner),
                Err(problem) if folder.depth == 0 => {
                    return Err(unusable(&self.repository, &problem));
                }
                Err(problem) => found.files.push(FoundFile {
                    path: folder.path,
                    bytes: 0,
                    changed_ns: 0,
                    skip: Some(format!("{UNREADABLE}{problem}")),
                    object: None,
                }),
            }
        }
        found.check()?;
        self.check_found(&found.files)?;
        found.files.sort_by(|a, b| a.path.cmp(&b.path));
        // A tree can name a file twice.
        found.files.dedup_by(|a, b| a.path == b.path);
        Ok(found.files)
    }

    fn commit(&self) -> Option<String> {
        Some(self.commit.to_string())
    }

    fn reader(&self) -> Box<dyn ReadFile + '_> {
        Box::new(Reader {
            objects: Objects::of(&self.store),
            bytes_max: self.file_bytes_max,
        })
    }
}

/// Reads files of a commit, for one thread.
struct Reader {
    objects: Objects,
    bytes_max: u64,
}

impl ReadFile for Reader {
    fn read(&mut self, file: &FoundFile) -> io::Result<Vec<u8>> {
        let object = file.object.ok_or(io::ErrorKind::NotFound)?;
        let read = self.objects.blob(&ObjectId::from(object), self.bytes_max);
        read.map_err(io::Error::other)
    }

    fn settled(&self, changed_ns: i64) -> i64 {
        changed_ns
    }
}

/// Returns what is left out below a folder: what is in those around it, and what its own file says.
fn ignored_in(
    objects: &Objects,
    folder: &Folder,
    tree: &gix_object::TreeRef<'_>,
    found: &mut Found<'_>,
) -> Option<Arc<Ignored>> {
    let around = folder.ignored.clone();
    let is_ignore_file = |entry: &&gix_object::tree::EntryRef<'_>| {
        entry.mode.is_blob() && entry.filename == IGNORE_FILE
    };
    let Some(entry) = tree.entries.iter().find(is_ignore_file) else {
        return around;
    };
    let Ok(text) = objects.blob(entry.oid, IGNORE_BYTES_MAX) else {
        return around;
    };
    let text = String::from_utf8_lossy(&text);
    Ignored::read(&folder.path, &text, around, &mut found.ignored)
}

/// Returns what stands for a file's time: it is another one when the content is.
fn stamp(id: &gix_hash::oid) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.as_bytes()[..8]);
    // Never 0, which says that nothing is known.
    (i64::from_be_bytes(first) & i64::MAX) | 1
}

/// Returns an id as a file of a run knows it.
fn object_of(id: &gix_hash::oid) -> Option<[u8; 20]> {
    id.as_bytes().try_into().ok()
}

/// Whether a name can be that of a file in a folder.
fn is_name(name: &[u8]) -> bool {
    let is_git = name.eq_ignore_ascii_case(b".git");
    !name.is_empty()
        && name != b"."
        && name != b".."
        && !is_git
        && !name.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0))
}

/// Whether a path is another one, or below it.
fn is_below(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns a folder's name as it stands in a path.
fn plain(folder: &str) -> String {
    let parts = folder
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

fn unusable(repository: &Path, problem: &str) -> Error {
    Error::Reported {
        code: crate::error::ErrorCode::BadUpstream,
        message: format!("the repository cannot be read: {problem}"),
        remedy: Some(format!(
            "check it with `git fsck`; {} is our copy, which may be deleted",
            repository.display()
        )),
    }
}
