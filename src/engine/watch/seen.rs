//! What was seen of a folder since somebody looked.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedder_reliability::Timestamp;
use notify::event::{CreateKind, ModifyKind, RemoveKind};
use notify::{Event, EventKind};

use super::due::{Changes, Due};

/// Paths that are remembered; more are as good as everything.
const PATHS_MAX: usize = 256;

/// Files that say which others are looked at.
const IGNORE_FILES: [&str; 3] = [".gitignore", ".ignore", ".embedderignore"];

/// What was seen of a folder since somebody looked.
pub(crate) struct Seen {
    state: Mutex<State>,
    /// Called when something was seen.
    told: Box<dyn Fn() + Send + Sync>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

#[derive(Default)]
struct State {
    changes: Changes,
    news: News,
}

/// What has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Paths that are there now, were, or both.
    pub(crate) paths: BTreeSet<PathBuf>,
    /// Whether other folders may be there now, or may be looked at.
    pub(crate) has_other_folders: bool,
    /// Whether there is more than the paths say.
    pub(crate) is_everything: bool,
}

impl Seen {
    /// Nothing seen yet. `told` is called from another thread whenever something is.
    pub(crate) fn new(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        told: impl Fn() + Send + Sync + 'static,
    ) -> Seen {
        Seen {
            state: Mutex::default(),
            told: Box::new(told),
            now: Box::new(now),
        }
    }

    /// Takes note of what the operating system tells.
    pub(super) fn hear(&self, event: notify::Result<Event>) {
        let Ok(event) = event else {
            // Whatever was lost.
            return self.note_everything();
        };
        if event.need_rescan() {
            return self.note_everything();
        }
        let is_folder = match event.kind {
            // Looking reads, and says nothing about what is there.
            EventKind::Access(_) => return,
            EventKind::Create(kind) => kind != CreateKind::File,
            EventKind::Remove(kind) => kind != RemoveKind::File,
            EventKind::Modify(ModifyKind::Name(_)) => true,
            EventKind::Modify(_) | EventKind::Any | EventKind::Other => false,
        };
        {
            let mut state = self.lock();
            state.changes.note((self.now)());
            let news = &mut state.news;
            news.has_other_folders |= is_folder;
            for path in event.paths {
                let name = path.file_name().and_then(OsStr::to_str);
                news.has_other_folders |= name.is_some_and(|name| IGNORE_FILES.contains(&name));
                if news.paths.len() < PATHS_MAX {
                    news.paths.insert(path);
                } else {
                    news.is_everything = true;
                }
            }
        }
        (self.told)();
    }

    /// Says that anything may have changed.
    pub(crate) fn note_everything(&self) {
        {
            let mut state = self.lock();
            state.changes.note((self.now)());
            state.news.is_everything = true;
            state.news.has_other_folders = true;
        }
        (self.told)();
    }

    /// Says when it is to be looked.
    pub(crate) fn due(&self, now: Timestamp) -> Due {
        self.lock().changes.due(now)
    }

    /// Takes what has changed: from here on it is looked at.
    pub(crate) fn take(&self) -> News {
        let mut state = self.lock();
        state.changes.begin();
        std::mem::take(&mut state.news)
    }

    /// Says that it was looked, and how long that took.
    pub(crate) fn looked(&self, took: Duration) {
        let now = (self.now)();
        self.lock().changes.looked(took, now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use notify::event::{AccessKind, DataChange, Flag, RenameMode};

    use super::*;

    fn seen() -> (Seen, Arc<AtomicUsize>) {
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let seen = Seen::new(
            || Timestamp::ZERO,
            move || {
                count.fetch_add(1, Ordering::Relaxed);
            },
        );
        (seen, told)
    }

    fn event(kind: EventKind, path: &str) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(path.into()))
    }

    #[test]
    fn what_changes_is_told_by_its_path() {
        let (seen, told) = seen();
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        seen.hear(event(written, "/a/one.rs"));
        seen.hear(event(EventKind::Create(CreateKind::File), "/a/two.rs"));
        seen.hear(event(EventKind::Access(AccessKind::Any), "/a/three.rs"));
        assert_eq!(told.load(Ordering::Relaxed), 2);
        let news = seen.take();
        assert_eq!(
            news.paths,
            ["/a/one.rs", "/a/two.rs"].map(PathBuf::from).into()
        );
        assert!(!news.has_other_folders && !news.is_everything);
        assert_eq!(seen.take(), News::default());
    }

    #[test]
    fn folders_and_ignore_files_change_what_is_watched() {
        let check = |kind: EventKind, path: &str| {
            let (seen, _) = seen();
            seen.hear(event(kind, path));
            assert!(seen.take().has_other_folders, "{kind:?} {path}");
        };
        check(EventKind::Create(CreateKind::Folder), "/a/b");
        check(EventKind::Remove(RemoveKind::Folder), "/a/b");
        check(
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)),
            "/a/b",
        );
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        check(written, "/a/.gitignore");
        check(written, "/a/.embedderignore");
    }

    #[test]
    fn a_storm_is_no_more_than_everything() {
        let (seen, _) = seen();
        for number in 0..100_000 {
            let path = format!("/a/{number}.rs");
            seen.hear(event(EventKind::Create(CreateKind::File), &path));
        }
        let news = seen.take();
        assert_eq!(news.paths.len(), PATHS_MAX);
        assert!(news.is_everything);
    }

    #[test]
    fn events_that_were_lost_are_everything() {
        let (seen, _) = seen();
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        seen.hear(Ok(lost));
        assert!(seen.take().is_everything);
        seen.hear(Err(notify::Error::generic("lost")));
        assert!(seen.take().is_everything);
    }
}
