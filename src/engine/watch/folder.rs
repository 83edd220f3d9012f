//! The watch on the folders of one source.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::seen::Seen;
use crate::error::{Error, ErrorCode, Result};

/// The watch on the folders of one source: those alone that are looked at, for what a build writes elsewhere is nobody's
/// business.
pub(crate) struct FolderWatch {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

impl FolderWatch {
    /// Watches nothing yet; `seen` hears of what changes.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn new(seen: &Arc<Seen>) -> Result<FolderWatch> {
        let seen = Arc::clone(seen);
        let hear = move |event| seen.hear(event);
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(hear, config)
            .map_err(|error| unwatchable(Path::new("the folder"), &error))?;
        Ok(FolderWatch {
            watcher,
            folders: BTreeSet::new(),
        })
    }

    /// Watches these folders and no others, and returns whether some of them were not watched before. Those that are gone
    /// meanwhile are left out: that is told as a change of the folder around them.
    ///
    /// Each is named to the operating system again, which costs little: one that was deleted and made anew since, or another
    /// that has taken its place, is no longer the one that was watched.
    ///
    /// # Errors
    /// More folders than the operating system watches; its others. Those that can be watched are.
    pub(crate) fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> Result<bool> {
        for gone in self.folders.difference(folders) {
            // It ends by itself where the folder is no more.
            let _ = self.watcher.unwatch(gone);
        }
        let mut followed = BTreeSet::new();
        let mut failed = None;
        for folder in folders {
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    followed.insert(folder.clone());
                }
                Err(error) if !folder.is_dir() => {
                    tracing::debug!("A folder is gone before it is watched: {error}");
                }
                Err(error) => {
                    failed = Some(unwatchable(folder, &error));
                    break;
                }
            }
        }
        let has_new = !followed.is_subset(&self.folders);
        self.folders = followed;
        failed.map_or(Ok(has_new), Err)
    }

    /// Ends all watches: what was watched may be something else now.
    pub(crate) fn let_go(&mut self) {
        for folder in std::mem::take(&mut self.folders) {
            // Those that are gone have ended by themselves.
            let _ = self.watcher.unwatch(&folder);
        }
    }
}

fn unwatchable(folder: &Path, error: &notify::Error) -> Error {
    let (problem, remedy) = match error.kind {
        ErrorKind::MaxFilesWatch => (
            "it has more folders than this system watches".to_owned(),
            "raise fs.inotify.max_user_watches, or exclude folders with .embedderignore",
        ),
        ErrorKind::Generic(_)
        | ErrorKind::Io(_)
        | ErrorKind::PathNotFound
        | ErrorKind::WatchNotFound
        | ErrorKind::InvalidConfig(_) => (error.to_string(), "see the limits of inotify"),
    };
    Error::Reported {
        code: ErrorCode::Io,
        message: format!("{} cannot be watched: {problem}", folder.display()),
        remedy: Some(remedy.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use embedder_reliability::Timestamp;

    use super::*;

    /// How long the operating system may take.
    const DEADLINE: Duration = Duration::from_secs(10);

    /// After that all is told that there is.
    const SETTLE: Duration = Duration::from_millis(200);

    #[test]
    fn what_happens_in_a_folder_is_seen_and_elsewhere_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        let (sender, told) = mpsc::sync_channel(1_000);
        let tell = move || {
            let _ = sender.try_send(());
        };
        let seen = Arc::new(Seen::new(|| Timestamp::ZERO, tell));
        let mut watch = FolderWatch::new(&seen).unwrap();
        watch
            .follow(&[inside.clone(), dir.path().join("gone")].into())
            .unwrap();
        std::fs::write(outside.join("one.rs"), "1").unwrap();
        std::fs::write(inside.join("two.rs"), "2").unwrap();
        told.recv_timeout(DEADLINE).unwrap();
        let news = seen.take();
        assert_eq!(news.paths, [inside.join("two.rs")].into());

        assert!(watch.follow(&[outside.clone()].into()).unwrap());
        assert!(!watch.follow(&[outside.clone()].into()).unwrap());
        while told.try_recv().is_ok() {}
        seen.take();
        std::fs::write(inside.join("three.rs"), "3").unwrap();
        std::fs::write(outside.join("four.rs"), "4").unwrap();
        told.recv_timeout(DEADLINE).unwrap();
        assert_eq!(seen.take().paths, [outside.join("four.rs")].into());

        // Made anew, it is another folder of the same name.
        std::fs::remove_dir_all(&outside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        watch.follow(&[outside.clone()].into()).unwrap();
        while told.recv_timeout(SETTLE).is_ok() {}
        seen.take();
        std::fs::write(outside.join("five.rs"), "5").unwrap();
        told.recv_timeout(DEADLINE).unwrap();
        assert_eq!(seen.take().paths, [outside.join("five.rs")].into());
    }
}
