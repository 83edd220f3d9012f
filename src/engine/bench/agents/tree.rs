//! The repository that is worked in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, ErrorCode, Result};

/// Files of a folder.
const FILES_OF_FOLDER: usize = 100;

/// Of so many files one differs between the branches.
const DIFFERENT_ONE_IN: usize = 100;

/// Functions of a file.
const FUNCTIONS: usize = 4;

/// A branch of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Branch {
    Main,
    Other,
}

impl Branch {
    fn name(self) -> &'static str {
        match self {
            Branch::Main => "main",
            Branch::Other => "other",
        }
    }

    /// A word that stands in every file in which this branch is different, and nowhere else.
    pub(super) fn word(self) -> &'static str {
        match self {
            Branch::Main => "zebrawood",
            Branch::Other => "quartzite",
        }
    }
}

/// The repository.
pub(super) struct Tree {
    folder: PathBuf,
    files: usize,
}

impl Tree {
    /// Makes it with so many files, on the branch `main`.
    pub(super) fn make(folder: &Path, files: usize) -> Result<Tree> {
        let tree = Tree {
            folder: folder.to_owned(),
            files,
        };
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|error| Error::io("remove", folder, error))?;
        }
        for number in 0..files {
            tree.write(number, Branch::Main)?;
        }
        tree.git(&["init", "--quiet", "--initial-branch=main"])?;
        tree.commit()?;
        tree.git(&["checkout", "--quiet", "-b", "other"])?;
        for number in (0..files).step_by(DIFFERENT_ONE_IN) {
            tree.write(number, Branch::Other)?;
        }
        tree.commit()?;
        tree.switch(Branch::Main)?;
        Ok(tree)
    }

    /// Returns its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns in how many files the branches differ.
    pub(super) fn different(&self) -> usize {
        self.files.div_ceil(DIFFERENT_ONE_IN)
    }

    /// Switches to a branch.
    pub(super) fn switch(&self, branch: Branch) -> Result<()> {
        self.git(&["checkout", "--quiet", branch.name()])
    }

    /// Saves a file of its own with this word in it.
    pub(super) fn save(&self, word: &str) -> Result<()> {
        let path = self.folder.join("scratch.py");
        let text = format!("def {word}(it):\n    \"\"\"Says {word} of it.\"\"\"\n    return it\n");
        fs::write(&path, text).map_err(|error| Error::io("write", &path, error))
    }

    /// Takes the file of its own away.
    pub(super) fn clear(&self) -> Result<()> {
        let path = self.folder.join("scratch.py");
        fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))
    }

    fn write(&self, number: usize, branch: Branch) -> Result<()> {
        let folder = self
            .folder
            .join(format!("part{}", number / FILES_OF_FOLDER));
        fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        let path = folder.join(format!("module_{number}.py"));
        let word = if number.is_multiple_of(DIFFERENT_ONE_IN) {
            branch.word()
        } else {
            "common"
        };
        let functions: String = (0..FUNCTIONS)
            .map(|function| {
                format!(
                    "def weigh_{number}_{function}(parcel):\n    \"\"\"Weighs parcel {function} of lorry {number}, {word}.\"\"\"\n    \
                     ledger = len(parcel) * {function} + {number}\n    return ledger\n\n\n"
                )
            })
            .collect();
        fs::write(&path, functions).map_err(|error| Error::io("write", &path, error))
    }

    fn commit(&self) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", "a state"])
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        let status = Command::new("git")
            .args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"])
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|error| Error::io("run", "git", error))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Reported {
            code: ErrorCode::Io,
            message: format!("git {} failed", arguments.join(" ")),
            remedy: Some("what it says stands above".to_owned()),
        })
    }
}
