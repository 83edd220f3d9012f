//! `embedder search`.

use std::io::IsTerminal;

use embedder_index::{Explanation, Rule, RuleSet};

use super::{Context, output, served};
use crate::engine::search::filter::FilterSpec;
use crate::engine::search::{Answer, Hit, Mode, Reader, SearchRequest};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to look for: a question, words, a name. Several arguments are one query.
    #[arg(required = true)]
    query: Vec<String>,
    /// The collection; repeatable [default: the one holding the current folder, else all].
    #[arg(long, value_name = "NAME")]
    collection: Vec<String>,
    #[command(flatten)]
    shape: Shape,
    /// How to search.
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    mode: Mode,
    /// Leave a ranking rule out, for example `prior_test` to search tests as well as code; repeatable. `embedder eval
    /// rules` lists them; `all` is every one.
    #[arg(long, value_name = "RULE")]
    without: Vec<String>,
    /// Say of each hit why it is where it is.
    #[arg(long)]
    explain: bool,
}

/// Flags that `search` and `related` share.
#[derive(Debug, clap::Args)]
pub(super) struct Shape {
    /// How many hits.
    #[arg(long, short = 'n', default_value_t = 10, value_name = "N")]
    limit: usize,
    /// Only paths that match the glob; repeatable. A bare name stands for a file or a whole folder.
    #[arg(long, value_name = "GLOB")]
    path: Vec<String>,
    /// Only files of the language; repeatable.
    #[arg(long, value_name = "NAME")]
    language: Vec<String>,
    /// Only files with this fact in their front matter; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Lines shown of each hit; 0 shows the places alone.
    #[arg(long, default_value_t = 8, value_name = "N")]
    snippet_lines: usize,
    /// Chunks shown above and below each hit.
    #[arg(long, default_value_t = 0, value_name = "N")]
    context: u32,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Shape {
    /// Turns the flags into a request for `query`.
    pub(super) fn request(
        &self,
        query: String,
        mode: Mode,
        collections: Vec<String>,
    ) -> Result<SearchRequest> {
        let metadata = self.metadata.iter().map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_lowercase(), value.to_owned())),
            _ => Err(Error::Argument {
                problem: format!("--metadata {pair:?} is not KEY=VALUE"),
                remedy: "for example --metadata tags=web".to_owned(),
            }),
        });
        let filter = FilterSpec {
            paths: self.path.clone(),
            languages: self.language.clone(),
            metadata: metadata.collect::<Result<_>>()?,
        };
        Ok(SearchRequest {
            query,
            mode,
            collections,
            limit: self.limit,
            filter,
            snippet_lines: self.snippet_lines,
            context: self.context,
            explain: false,
            rules: RuleSet::ALL,
            vector: None,
        })
    }
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let mut request = args
        .shape
        .request(args.query.join(" "), args.mode, args.collection)?;
    request.explain = args.explain;
    request.rules = rules_without(&args.without)?;
    let server = served::find_for_model(context)?;
    let mut reader = Reader::open(&context.config)?;
    let answer = match &server {
        Some(server) => served::search(server, &reader, &request, &args.without)?,
        None => reader.search(&request)?,
    };
    if args.shape.json {
        output::json(&answer)
    } else {
        print(&answer)
    }
}

/// The rules that are left without some, by name; `all` is every one.
pub(super) fn rules_without(names: &[String]) -> Result<RuleSet> {
    let mut left = RuleSet::ALL;
    for name in names {
        left = match Rule::by_name(name) {
            Some(rule) => left.without(rule),
            None if name == "all" => Rule::all().fold(left, RuleSet::without),
            None => {
                return Err(Error::Argument {
                    problem: format!("there is no ranking rule {name:?}"),
                    remedy: "`embedder eval rules` lists them".to_owned(),
                });
            }
        };
    }
    Ok(left)
}

/// Prints an answer for people: hits on standard output, what limits them on standard error.
pub(super) fn print(answer: &Answer) -> Result<()> {
    let is_terminal = std::io::stdout().is_terminal();
    for hit in &answer.hits {
        print_hit(hit, is_terminal)?;
    }
    if answer.hits.is_empty() {
        output::line("nothing found")?;
    }
    for note in answer.meta.notes() {
        output::note(&format!("note: {note}"));
    }
    Ok(())
}

fn print_hit(hit: &Hit, is_terminal: bool) -> Result<()> {
    let (bold, dim, reset) = if is_terminal {
        ("\x1b[1m", "\x1b[2m", "\x1b[0m")
    } else {
        ("", "", "")
    };
    let symbol = hit.symbol.as_ref().map_or_else(String::new, |symbol| {
        format!("  {}", output::printable(symbol))
    });
    output::line(&format!(
        "{bold}{}:{}-{}{reset}{symbol}  {dim}{:.3}  {}{reset}",
        output::printable(&hit.path),
        hit.start_line,
        hit.end_line,
        hit.score,
        output::printable(&hit.collection)
    ))?;
    for (number, text) in (hit.snippet.start_line..).zip(hit.snippet.text.lines()) {
        output::line(&format!(
            "{dim}{number:>6}{reset}  {}",
            output::printable(text)
        ))?;
    }
    for part in &hit.context {
        output::line(&format!(
            "{dim}     … {}-{}{reset}",
            part.start_line, part.end_line
        ))?;
        for (text, number) in part.text.lines().zip(part.start_line..) {
            output::line(&format!(
                "{dim}{number:>6}{reset}  {}",
                output::printable(text)
            ))?;
        }
    }
    if let Some(explanation) = &hit.explain {
        for text in explained(explanation) {
            output::line(&format!("{dim}        {}{reset}", output::printable(&text)))?;
        }
    }
    output::line("")
}

/// Says line by line where a score comes from; the parts add up to it.
fn explained(explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    let fusion = explanation.fusion;
    if let Some(bm25) = &explanation.bm25 {
        let terms: Vec<_> = bm25
            .terms
            .iter()
            .map(|term| format!("{} {:.2}", term.term, term.score))
            .collect();
        lines.push(format!(
            "{:+.3}  words: rank {}, BM25F {:.2} ({})",
            fusion.text,
            bm25.rank,
            bm25.score,
            terms.join(", ")
        ));
    }
    if let Some(vector) = &explanation.vector {
        lines.push(format!(
            "{:+.3}  meaning: rank {}, cosine {:.3}",
            fusion.vector, vector.rank, vector.cosine
        ));
    }
    for rule in &explanation.rules {
        lines.push(format!(
            "{:+.3}  {}: {}",
            rule.effect, rule.rule, rule.detail
        ));
    }
    lines.push(format!("{:.3}  in all", explanation.score));
    lines
}
