//! Times the index over 100,000 synthetic chunks: what it costs to load, and what a search costs by words, by meaning
//! and by both, with all rules.
//!
//! The text is made of identifiers and words whose frequencies fall off as they do in code (Zipf), so that common terms
//! have posting lists as long as real ones. Run with `cargo bench -p embedder-index`; an argument changes the number of
//! chunks.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and prints"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::time::{Duration, Instant};

use embedder_index::{
    ChunkId, ChunkRecord, Collection, Definition, FileId, LexicalIndex, Mode, ParsedQuery,
    QueryVector, Request, SymbolKind,
};
use tantivy::directory::RamDirectory;

const CHUNKS: usize = 100_000;
const CHUNKS_PER_FILE: usize = 8;
const DIMENSIONS: usize = 384;
const VOCABULARY: usize = 30_000;
const WORDS_PER_CHUNK: usize = 110;
const QUERIES: usize = 500;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.unit() * limit as f64) as usize
    }

    /// A rank from 0, as likely as the word of that rank in a text: log-uniform, which is Zipf's law with exponent 1.
    fn rank(&mut self) -> usize {
        ((VOCABULARY as f64).powf(self.unit()) as usize).min(VOCABULARY) - 1
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSIONS)
            .map(|_| (self.unit() + self.unit() + self.unit() - 1.5) as f32)
            .collect()
    }
}

/// A word for each rank, in syllables, so that words look like words and none is another's stem.
fn word(rank: usize) -> String {
    const SYLLABLES: [&str; 20] = [
        "ka", "lo", "mi", "ter", "ro", "vu", "sen", "da", "pol", "qui", "ba", "ner", "to", "fi",
        "gul", "zo", "wa", "hep", "ju", "cor",
    ];
    let mut word = String::new();
    let mut rest = rank + SYLLABLES.len();
    while rest > 0 {
        word.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
    }
    word
}

fn identifier(random: &mut Random) -> String {
    let parts: Vec<String> = (0..1 + random.below(3))
        .map(|_| word(random.rank()))
        .collect();
    parts.join("_")
}

fn chunk(number: usize, random: &mut Random) -> (ChunkRecord, String) {
    let file = number / CHUNKS_PER_FILE;
    let mut of_file = Random(file as u64 * 7_919 + 1);
    let path = format!(
        "src/{}/{}/{}.rs",
        word(of_file.below(60)),
        word(of_file.rank()),
        identifier(&mut of_file)
    );
    let mut text = String::new();
    for at in 0..WORDS_PER_CHUNK {
        if at % 6 == 0 {
            text.push_str(&identifier(random));
        } else {
            text.push_str(&word(random.rank()));
        }
        text.push_str(if at % 10 == 9 { ";\n" } else { " " });
    }
    let definitions = (0..1 + random.below(3)).map(|at| Definition {
        name: identifier(random),
        kind: if at == 0 {
            SymbolKind::Type
        } else {
            SymbolKind::Function
        },
        start_line: 1,
        end_line: 20,
    });
    let line = u32::try_from(number % CHUNKS_PER_FILE).unwrap() * 25 + 1;
    let record = ChunkRecord {
        id: ChunkId(number as u64),
        file: FileId((number / CHUNKS_PER_FILE) as u64),
        path,
        language: Some("rust".to_owned()),
        start_line: line,
        end_line: line + 24,
        definitions: definitions.collect(),
        scope: vec![identifier(random)],
    };
    (record, text)
}

/// Questions of four to seven words and, every third time, one identifier that is defined.
fn queries(records: &[ChunkRecord], random: &mut Random) -> Vec<ParsedQuery> {
    let queries = (0..QUERIES).map(|number| {
        if number % 3 == 0 {
            return ParsedQuery::parse(&records[random.below(records.len())].definitions[0].name);
        }
        let words: Vec<String> = (0..4 + random.below(4))
            .map(|_| word(random.rank()))
            .collect();
        ParsedQuery::parse(&format!("how does the {} work", words.join(" ")))
    });
    queries.collect()
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    println!("{what:<44}{:>10.1} ms", start.elapsed().as_secs_f64() * 1e3);
    result
}

/// Prints percentiles over the queries, each timed as the median of five runs after one that warms up: what a query
/// costs, and not what else the machine was doing.
fn report(what: &str, queries: &[ParsedQuery], mut run: impl FnMut(&ParsedQuery)) {
    queries.iter().for_each(&mut run);
    let mut times: Vec<Duration> = queries
        .iter()
        .map(|query| {
            let mut runs = [(); 5].map(|()| {
                let start = Instant::now();
                run(query);
                start.elapsed()
            });
            runs.sort_unstable();
            runs[2]
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what:<32}p50 {:>7.3} ms   p95 {:>7.3} ms   p99 {:>7.3} ms",
        at(0.5),
        at(0.95),
        at(0.99)
    );
}

fn main() {
    let count = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(CHUNKS);
    let mut random = Random(42);
    let chunks: Vec<(ChunkRecord, String)> = (0..count)
        .map(|number| chunk(number, &mut random))
        .collect();
    let vectors: Vec<Vec<f32>> = (0..count).map(|_| random.vector()).collect();

    let (index, _) = LexicalIndex::open_or_create(RamDirectory::create()).unwrap();
    let mut writer = index.writer().unwrap();
    timed("lexical index: put", || {
        chunks
            .iter()
            .for_each(|(record, text)| writer.put(record, text).unwrap());
    });
    timed("lexical index: commit", || writer.commit(1).unwrap());
    timed("lexical index: finish merges", || writer.finish().unwrap());

    let mut collection = timed("open the reader", || {
        Collection::new(index.reader().unwrap(), DIMENSIONS)
    });
    timed("load metadata", || {
        chunks.iter().for_each(|(record, _)| collection.put(record));
    });
    timed("refresh statistics", || collection.refresh().unwrap());
    timed("load vectors", || {
        for ((record, _), vector) in chunks.iter().zip(&vectors) {
            collection.put_vector(record.id, vector).unwrap();
        }
    });
    drop(vectors);

    let records: Vec<ChunkRecord> = chunks.into_iter().map(|(record, _)| record).collect();
    let queries = queries(&records, &mut random);
    let query_vector = QueryVector::new(&random.vector()).unwrap();
    let mut found = 0;
    for (name, mode) in [
        ("text", Mode::Text),
        ("vector", Mode::Vector),
        ("hybrid", Mode::Hybrid),
    ] {
        report(&format!("{name} search"), &queries, |query| {
            let request = Request {
                vector: Some(&query_vector),
                mode,
                ..Request::new(query)
            };
            found += collection.search(&request).unwrap().len();
        });
    }
    report("text search, explained", &queries, |query| {
        let request = Request {
            mode: Mode::Text,
            explain: true,
            ..Request::new(query)
        };
        found += collection.search(&request).unwrap().len();
    });
    report("scan of all vectors", &queries, |_| {
        let mut cosines = vec![0.0; collection.vectors_len()];
        collection
            .scan(&query_vector, 0..cosines.len(), None, &mut cosines)
            .unwrap();
        found += usize::from(cosines[0] > 0.9);
    });
    println!("{found} hits over {count} chunks");
}
