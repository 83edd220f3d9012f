//! Words of the query in the file's path: people name files after what is in them.
//!
//! ```text
//! p(f) = min(1, P_stem + 0.5 * P_folders)
//! P_stem = sum idf(t) * g(t, stem) / sum idf(t)        P_folders the same, times (1 - g(t, stem))
//! ```
//! over the words of the query; g is 1 for the same word and less for one that begins like it; idf counts files.

use super::{Boosts, Context};
use crate::catalogue::{FileIndex, Files, Slot};

/// What a folder's name counts beside the file's own.
const FOLDERS_SHARE: f32 = 0.5;

/// How a word of the query lies in the paths, over all files; zeros between words.
struct Likeness {
    stem: Vec<f32>,
    folders: Vec<f32>,
    touched: Vec<FileIndex>,
}

impl Likeness {
    fn new(files: usize) -> Self {
        Self {
            stem: vec![0.0; files],
            folders: vec![0.0; files],
            touched: Vec::new(),
        }
    }

    fn find(&mut self, term: &str, files: &Files) {
        for (likeness, word) in files.words_like(term) {
            for &file in &word.stem_of {
                self.touch(file);
                let of_stem = &mut self.stem[file.index()];
                *of_stem = of_stem.max(likeness);
            }
            for &file in &word.folder_of {
                self.touch(file);
                let of_folders = &mut self.folders[file.index()];
                *of_folders = of_folders.max(likeness);
            }
        }
    }

    fn touch(&mut self, file: FileIndex) {
        if self.stem[file.index()] == 0.0 && self.folders[file.index()] == 0.0 {
            self.touched.push(file);
        }
    }

    /// Hands over what was found and forgets it.
    fn drain(&mut self) -> impl Iterator<Item = (FileIndex, f32, f32)> {
        let (stem, folders) = (&mut self.stem, &mut self.folders);
        self.touched.drain(..).map(|file| {
            (
                file,
                std::mem::take(&mut stem[file.index()]),
                std::mem::take(&mut folders[file.index()]),
            )
        })
    }
}

pub(super) fn boosts(context: &Context<'_>) -> Boosts {
    let files = context.catalogue.files();
    let total: f32 = context
        .query
        .word_terms()
        .map(|(place, _)| context.terms[place].file_idf)
        .sum();
    if total <= 0.0 {
        return Boosts::Files(Vec::new());
    }
    let mut overlaps = vec![0.0f32; files.indices_len()];
    let mut touched = Vec::new();
    let mut likeness = Likeness::new(files.indices_len());
    for (place, term) in context.query.word_terms() {
        let share = context.terms[place].file_idf / total;
        likeness.find(term, files);
        for (file, stem, folders) in likeness.drain() {
            if overlaps[file.index()] == 0.0 {
                touched.push(file);
            }
            overlaps[file.index()] += share * (stem + FOLDERS_SHARE * folders * (1.0 - stem));
        }
    }
    Boosts::Files(
        touched
            .into_iter()
            .map(|file| (file, overlaps[file.index()].min(1.0)))
            .collect(),
    )
}

pub(super) fn detail(context: &Context<'_>, slot: Slot) -> String {
    let Some(chunk) = context.catalogue.chunk(slot) else {
        return String::new();
    };
    let files = context.catalogue.files();
    let holds = |term: &str| {
        let mut words = files.words_like(term);
        words.any(|(_, word)| {
            word.stem_of.contains(&chunk.file) || word.folder_of.contains(&chunk.file)
        })
    };
    let words: Vec<&str> = context
        .query
        .word_terms()
        .map(|(_, term)| term)
        .filter(|term| holds(term))
        .collect();
    format!("{} holds {}", files.path(chunk.file), words.join(", "))
}
