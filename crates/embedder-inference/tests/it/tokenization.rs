//! Tokens of long, odd and hostile texts.

use embedder_inference::{Encoder, IdsError, InputKind, Level, Workspace};
use proptest::prelude::*;

use crate::support::Folder;

fn encoder() -> Encoder {
    Encoder::load(&Folder::tiny(), Level::best()).unwrap()
}

/// The tokens by the tokenizer alone, the whole text at once, cut afterwards.
struct Plain(tokenizers::Tokenizer);

impl Plain {
    fn new() -> Self {
        let mut tokenizer =
            tokenizers::Tokenizer::from_bytes(Folder::tiny().content("tokenizer.json")).unwrap();
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).unwrap();
        Self(tokenizer)
    }

    fn ids(&self, text: &str, max: usize) -> (Vec<u32>, bool) {
        let ids = self.0.encode(text, true).unwrap().get_ids().to_vec();
        if ids.len() <= max {
            return (ids, false);
        }
        ([&ids[..max - 1], &ids[ids.len() - 1..]].concat(), true)
    }
}

fn check(encoder: &Encoder, plain: &Plain, text: &str) {
    let tokens = encoder.tokenize(text, InputKind::Document);
    let start: String = text.chars().take(100).collect();
    assert_eq!(
        (tokens.ids, tokens.truncated),
        plain.ids(text, encoder.max_tokens()),
        "{start:?}… ({} bytes)",
        text.len()
    );
}

/// Pieces that meet at every kind of boundary: words, marks that are words of their own, blanks, characters that vanish
/// or combine, and special tokens.
const PIECES: [&str; 26] = [
    "a",
    "ability",
    "search",
    "index",
    " ",
    "  ",
    "\n",
    "\t",
    ".",
    "!",
    "_",
    "(",
    "\u{4f60}",
    "\u{597d}",
    "\u{301}",
    "e\u{301}",
    "\u{200b}",
    "\0",
    "\u{1f680}",
    "[SEP]",
    "[CLS]",
    "[",
    "]",
    "[MA",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "\u{df}",
];

/// Texts of up to 6,000 pieces, which are longer than the first prefix that is tried.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop_oneof![
        prop::collection::vec(piece, 0..6_000).prop_map(|pieces| pieces.concat()),
        // A few pieces over and over: all blanks, one endless word, nothing but special tokens.
        (
            prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..4),
            1..3_000usize
        )
            .prop_map(|(pieces, count)| pieces.concat().repeat(count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cutting_before_tokenising_never_changes_the_tokens(text in pieces()) {
        check(&encoder(), &Plain::new(), &text);
    }
}

#[test]
fn a_longer_text_keeps_the_tokens_of_its_start() {
    let encoder = encoder();
    let words = "search the index for a token and merge the value ".repeat(500);
    let long = encoder.tokenize(&words, InputKind::Document);
    assert!(long.truncated);
    assert_eq!(long.ids.len(), encoder.max_tokens());
    for len in [60, 200, 400, 5_000, 20_000] {
        let short = encoder.tokenize(
            &words[..words.floor_char_boundary(len)],
            InputKind::Document,
        );
        let kept = short.ids.len() - 1;
        // The last word may have been cut in the middle.
        let whole = kept.saturating_sub(8);
        assert_eq!(short.ids[..whole], long.ids[..whole]);
        assert_eq!(short.ids.last(), long.ids.last());
    }
}

#[test]
fn a_text_is_truncated_exactly_from_one_token_too_many() {
    let encoder = encoder();
    let room = encoder.max_tokens() - 2;
    for (count, truncated) in [(room - 1, false), (room, false), (room + 1, true)] {
        let tokens = encoder.tokenize(&"a ".repeat(count), InputKind::Document);
        assert_eq!(tokens.truncated, truncated, "{count} words");
        assert_eq!(tokens.ids.len(), count.min(room) + 2);
    }
}

#[test]
fn ten_megabytes_of_anything_are_tokenised_from_their_start() {
    let encoder = encoder();
    let plain = Plain::new();
    for piece in [
        "word ", "a", " ", "\0", "!", "\u{6f22}", "[SEP]", "\u{301}", "\u{fffd}", "a\u{300}",
    ] {
        let text = piece.repeat((10 << 20) / piece.len());
        let tokens = encoder.tokenize(&text, InputKind::Document);
        assert!(tokens.truncated, "{piece:?}");
        let start = &text[..text.floor_char_boundary(100_000)];
        assert_eq!(
            tokens.ids,
            plain.ids(start, encoder.max_tokens()).0,
            "{piece:?}"
        );
    }
}

#[test]
fn lowercasing_is_done_when_the_folder_asks_for_it() {
    let cased = String::from_utf8(Folder::tiny().content("tokenizer.json")).unwrap();
    let cased = cased.replace(r#""lowercase":true"#, r#""lowercase":false"#);
    let folder = Folder::tiny().with("tokenizer.json", cased);
    let lower = folder.clone().with(
        "sentence_bert_config.json",
        r#"{"max_seq_length": 48, "do_lower_case": true}"#,
    );
    let ids = |folder: &Folder, text| {
        Encoder::load(folder, Level::best())
            .unwrap()
            .tokenize(text, InputKind::Document)
            .ids
    };
    assert_ne!(ids(&folder, "SEARCH"), ids(&folder, "search"));
    assert_eq!(ids(&lower, "SEARCH"), ids(&folder, "search"));
}

#[test]
fn ids_get_the_special_tokens_that_they_lack() {
    let encoder = encoder();
    let check = |text: &str| {
        let tokens = encoder.tokenize(text, InputKind::Document);
        let [_, content @ .., _] = tokens.ids.as_slice() else {
            panic!("{text:?} has no special tokens")
        };
        let end = tokens.ids.len() - 1;
        for ids in [content, &tokens.ids[1..], &tokens.ids[..end], &tokens.ids] {
            if !ids.is_empty() {
                let found = encoder.tokens_of_ids(ids).unwrap();
                assert_eq!(
                    (&found.ids, found.truncated),
                    (&tokens.ids, false),
                    "{ids:?}"
                );
            }
        }
    };
    check("");
    check("a");
    check("search the index for a token");
    check(&"a ".repeat(encoder.max_tokens() - 2));
}

#[test]
fn ids_that_the_model_cannot_read_are_refused() {
    let encoder = encoder();
    let (max, vocabulary) = (encoder.max_tokens(), encoder.architecture().vocabulary);
    let known = encoder.tokenize("a", InputKind::Document).ids;
    let (first, word, last) = (known[0], known[1], known[2]);
    let check = |ids: &[u32], expected: IdsError| {
        assert_eq!(
            encoder.tokens_of_ids(ids),
            Err(expected),
            "{} ids",
            ids.len()
        );
    };
    let unknown = |position, id| IdsError::Unknown {
        position,
        id,
        vocabulary,
    };
    let too_many = |count| IdsError::TooMany { count, max };
    check(&[], IdsError::Empty);
    check(&[vocabulary as u32], unknown(0, vocabulary as u32));
    check(&[first, word, u32::MAX, last], unknown(2, u32::MAX));
    let around = |before: &[u32], after: &[u32]| [before, &vec![word; max - 1], after].concat();
    check(&around(&[], &[]), too_many(max + 1));
    check(&around(&[first], &[]), too_many(max + 1));
    check(&around(&[first], &[last]), too_many(max + 1));
    check(&vec![u32::MAX; 1 << 20], too_many((1 << 20) + 2));
}

#[test]
fn the_last_id_and_the_longest_list_can_be_encoded() {
    let encoder = encoder();
    let last = encoder.architecture().vocabulary as u32 - 1;
    let longest = vec![last; encoder.max_tokens() - 2];
    let tokens = encoder.tokens_of_ids(&longest).unwrap();
    assert_eq!(tokens.ids.len(), encoder.max_tokens());
    let vector = encoder.encode(&mut Workspace::new(), &[tokens]);
    assert!(vector.iter().all(|number| number.is_finite()));
}
