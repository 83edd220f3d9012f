//! Files, their chunks, and the words of their paths.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{analysis::Analyser, catalogue::Slot, chunk::FileId, path, rules::RuleSet};

/// A prefix shorter than this matches by accident.
const PREFIX_CHARS_MIN: usize = 3;

/// A prefix counts for at least this much, however short it is beside the whole.
const PREFIX_LIKENESS_MIN: f32 = 0.5;

/// A file's place in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileIndex(u32);

impl FileIndex {
    /// The file of an empty slot.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A file of the collection.
pub(crate) struct File {
    id: FileId,
    path: Arc<str>,
    language: Option<Arc<str>>,
    chunks: Vec<Slot>,
    stem_words: Box<[Box<str>]>,
    prior: f32,
}

impl File {
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    pub(crate) fn chunks(&self) -> &[Slot] {
        &self.chunks
    }

    /// What the scores of its chunks are multiplied by.
    pub(crate) fn prior(&self) -> f32 {
        self.prior
    }

    /// The stemmed words of the file's stem.
    pub(crate) fn stem_words(&self) -> &[Box<str>] {
        &self.stem_words
    }
}

/// The files whose stem, or one of whose folders, holds a word.
#[derive(Default)]
pub(crate) struct PathWord {
    pub(crate) stem_of: Vec<FileIndex>,
    pub(crate) folder_of: Vec<FileIndex>,
}

/// Every file that was ever put into the catalogue; one without chunks is skipped everywhere.
#[derive(Default)]
pub(crate) struct Files {
    files: Vec<File>,
    by_id: HashMap<FileId, FileIndex>,
    languages: Vec<Arc<str>>,
    /// Ordered, so that the words with a prefix are neighbours.
    path_words: BTreeMap<Box<str>, PathWord>,
    /// Files that have chunks.
    count: usize,
}

impl Files {
    pub(super) fn intern(
        &mut self,
        id: FileId,
        path: &str,
        language: Option<&str>,
        analyser: &mut Analyser,
    ) -> FileIndex {
        let language = language.map(|language| self.intern_language(language));
        if let Some(&known) = self.by_id.get(&id) {
            self.files[known.index()].language = language;
            return known;
        }
        let index = FileIndex(u32::try_from(self.files.len()).expect("fewer than 2^32 files"));
        let stem_words = analyser.words(path::stem(path));
        for word in &stem_words {
            self.path_words
                .entry(word.clone())
                .or_default()
                .stem_of
                .push(index);
        }
        for word in path::folders(path).flat_map(|folder| analyser.words(folder)) {
            let files = &mut self.path_words.entry(word).or_default().folder_of;
            if files.last() != Some(&index) {
                files.push(index);
            }
        }
        let prior = path::prior(path, &RuleSet::ALL);
        let path = path.into();
        self.by_id.insert(id, index);
        self.files.push(File {
            id,
            path,
            language,
            chunks: Vec::new(),
            stem_words: stem_words.into(),
            prior,
        });
        index
    }

    pub(super) fn add_chunk(&mut self, file: FileIndex, slot: Slot) {
        let chunks = &mut self.files[file.index()].chunks;
        self.count += usize::from(chunks.is_empty());
        chunks.push(slot);
    }

    pub(super) fn remove_chunk(&mut self, file: FileIndex, slot: Slot) {
        let chunks = &mut self.files[file.index()].chunks;
        if let Some(at) = chunks.iter().position(|&chunk| chunk == slot) {
            chunks.swap_remove(at);
            self.count -= usize::from(chunks.is_empty());
        }
    }

    pub(crate) fn get(&self, file: FileIndex) -> &File {
        &self.files[file.index()]
    }

    pub(crate) fn path(&self, file: FileIndex) -> &str {
        self.get(file).path()
    }

    /// The files that have chunks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FileIndex, &File)> {
        let files = (0u32..).map(FileIndex).zip(&self.files);
        files.filter(|(_, file)| !file.chunks.is_empty())
    }

    /// The number of files that have chunks.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The length of an array with a place for every file.
    pub(crate) fn indices_len(&self) -> usize {
        self.files.len()
    }

    /// The path words like a term, with how like they are: 1 when equal, the ratio of lengths when one begins with the
    /// other.
    pub(crate) fn words_like<'f>(
        &'f self,
        term: &'f str,
    ) -> impl Iterator<Item = (f32, &'f PathWord)> {
        let from_prefix = if term.chars().count() >= PREFIX_CHARS_MIN {
            Some(term)
        } else {
            None
        };
        let longer = from_prefix.into_iter().flat_map(|prefix| {
            let from = self.path_words.range::<str, _>((
                std::ops::Bound::Excluded(prefix),
                std::ops::Bound::Unbounded,
            ));
            from.take_while(move |(word, _)| word.starts_with(prefix))
        });
        let shorter = term
            .char_indices()
            .skip(PREFIX_CHARS_MIN)
            .filter_map(|(end, _)| {
                let prefix = &term[..end];
                self.path_words.get_key_value(prefix)
            });
        let others = longer.chain(shorter).map(move |(word, files)| {
            let (a, b) = (word.chars().count() as f32, term.chars().count() as f32);
            ((a.min(b) / a.max(b)).max(PREFIX_LIKENESS_MIN), files)
        });
        self.path_words
            .get(term)
            .map(|files| (1.0, files))
            .into_iter()
            .chain(others)
    }

    fn intern_language(&mut self, language: &str) -> Arc<str> {
        if let Some(known) = self.languages.iter().find(|known| &***known == language) {
            return Arc::clone(known);
        }
        let new: Arc<str> = language.into();
        self.languages.push(Arc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(term: &str, expected: &[(&str, f32)]) {
        let mut files = Files::default();
        let mut analyser = Analyser::default();
        for path in [
            "config.rs",
            "configuration.rs",
            "con.rs",
            "co.rs",
            "router.rs",
        ] {
            let file = files.intern(FileId::of(path), path, None, &mut analyser);
            files.add_chunk(file, Slot::new(0));
        }
        let mut found: Vec<(String, f32)> = files
            .words_like(term)
            .flat_map(|(likeness, word)| word.stem_of.iter().map(move |&file| (file, likeness)))
            .map(|(file, likeness)| (path::stem(files.path(file)).to_owned(), likeness))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected: Vec<(String, f32)> = expected
            .iter()
            .map(|&(word, likeness)| (word.to_owned(), likeness))
            .collect();
        assert_eq!(found, expected, "{term}");
    }

    #[test]
    fn a_word_is_like_its_prefixes_of_three_letters() {
        // "configuration" is stemmed to "configur".
        check(
            "config",
            &[("con", 0.5), ("config", 1.0), ("configuration", 0.75)],
        );
        check(
            "conf",
            &[("con", 0.75), ("config", 4.0 / 6.0), ("configuration", 0.5)],
        );
        check("co", &[("co", 1.0)]);
        check("cache", &[]);
    }
}
