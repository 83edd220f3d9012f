//! Words of a question that say nothing about what is asked for.
//!
//! They are left out of queries, never out of the index, and the list stays short: a word that names things in code
//! (`type`, `list`, `default`) is not on it.

/// Whether a query word, in lower case, is left out.
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// English function words, and what people write around the subject of a question about code. Sorted.
const STOP_WORDS: [&str; 97] = [
    "a",
    "about",
    "actually",
    "all",
    "also",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "been",
    "being",
    "between",
    "but",
    "by",
    "can",
    "code",
    "could",
    "defined",
    "did",
    "do",
    "does",
    "done",
    "each",
    "find",
    "for",
    "from",
    "give",
    "given",
    "had",
    "handle",
    "handled",
    "handles",
    "handling",
    "has",
    "have",
    "how",
    "i",
    "if",
    "implement",
    "implementation",
    "implemented",
    "implements",
    "in",
    "inside",
    "into",
    "is",
    "it",
    "its",
    "let",
    "like",
    "made",
    "make",
    "makes",
    "me",
    "my",
    "of",
    "on",
    "or",
    "our",
    "please",
    "should",
    "show",
    "so",
    "some",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "to",
    "use",
    "used",
    "uses",
    "using",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "who",
    "why",
    "will",
    "with",
    "work",
    "works",
    "would",
    "you",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_so_that_it_can_be_searched() {
        assert!(STOP_WORDS.is_sorted());
        for word in STOP_WORDS {
            assert!(is_stop_word(word));
        }
    }

    #[test]
    fn words_that_name_things_in_code_are_kept() {
        for word in ["type", "list", "default", "error", "request", "parse", ""] {
            assert!(!is_stop_word(word), "{word}");
        }
    }
}
