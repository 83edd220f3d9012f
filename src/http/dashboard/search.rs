//! Searching from a page.

use axum::response::Response;
use maud::{Markup, html};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::json;

use embedder_index::Explanation;

use super::collection::in_address;
use super::layout::{Page, Place};
use super::visitor::Visitor;
use super::words::count;
use crate::engine::access::Scope;
use crate::engine::search::{Answer, Hit, Mode};
use crate::engine::serving::collections::CollectionView;
use crate::engine::visible::visible;
use crate::error::Result;
use crate::http::collections::CollectionList;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::mcp::Call;

/// Hits of a page.
const HITS: usize = 20;

/// Lines shown of each.
const SNIPPET_LINES: usize = 10;

/// Words of a question that are marked.
const MARKED_MAX: usize = 32;

/// Shorter words are everywhere.
const MARKED_CHARS_MIN: usize = 2;

/// What is asked.
#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    collection: String,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    path: String,
}

/// The page of the search.
pub(in crate::http) async fn show(
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let collections = if visitor.may(Scope::CollectionsRead) {
        let all = Call::get(&["v1", "collections"], &[]);
        visitor.ask::<CollectionList>(all).await?.collections
    } else {
        Vec::new()
    };
    let answer = if asked.q.is_empty() {
        None
    } else {
        Some(asked.of(&visitor).await)
    };
    let title = if asked.q.is_empty() {
        "Search".to_owned()
    } else {
        format!("{} – search", asked.q)
    };
    let page = Page {
        title: &title,
        visitor: Some(&visitor),
        live: None,
        place: Place::Search,
    };
    Ok(page.answer(&html! {
        h1 { "Search" }
        (asked.form(&collections))
        @match &answer {
            None => p.faint { "A question in plain words, a name, or a piece of code." },
            Some(Err(error)) => p.notice.bad role="alert" { (error.with_remedy()) },
            Some(Ok(answer)) => (asked.list(answer)),
        }
    }))
}

impl Asked {
    async fn of(&self, visitor: &Visitor) -> Result<Answer> {
        let path: Vec<&str> = self.path.split_whitespace().collect();
        let mode = self.mode.unwrap_or(Mode::Hybrid);
        let mut body = json!({
            "query": self.q,
            "mode": mode,
            "limit": HITS,
            "snippet_lines": SNIPPET_LINES,
            // Where text is scanned there is no score to explain.
            "explain": mode.is_ranked(),
            "filter": {"path": path},
        });
        if !self.collection.is_empty() {
            body["collections"] = json!([self.collection]);
        }
        visitor.ask(Call::post(&["v1", "search"], body)).await
    }

    fn form(&self, collections: &[CollectionView]) -> Markup {
        let mode = self.mode.unwrap_or(Mode::Hybrid);
        html! {
            form.ask action="/search" role="search" {
                label.wide { "Question" input type="search" name="q" value=(self.q) required autofocus[self.q.is_empty()]; }
                label { "Collection"
                    select name="collection" {
                        option value="" { "all" }
                        @for one in collections {
                            option value=(one.name) selected[one.name == self.collection] { (one.name) }
                        }
                    }
                }
                label { "How"
                    select name="mode" {
                        @for one in Mode::ALL {
                            option value=(one.name()) selected[one == mode] { (one.name()) }
                        }
                    }
                }
                label { "Paths" input name="path" value=(self.path) placeholder="src/**/*.rs"; }
                button type="submit" { "Search" }
            }
        }
    }

    fn list(&self, answer: &Answer) -> Markup {
        let meta = &answer.meta;
        let marks = self.marks();
        html! {
            p.faint role="status" {
                (count(answer.hits.len() as u64, "hit", "hits")) ", served by " (meta.served_by.name())
                " in " (format!("{:.1} ms", meta.took_ms))
                @if let Some(share) = meta.embedded_fraction.filter(|share| *share < 1.0) {
                    ", " (super::words::percent(share)) " of the vectors are there"
                }
            }
            @if meta.degraded {
                p.notice.warn {
                    "Less than was asked for: "
                    @for (index, reason) in meta.reasons.iter().enumerate() {
                        @if index > 0 { ", " }
                        (reason.name().replace('_', " "))
                    }
                }
            }
            ol.hits {
                @for (number, hit) in (1..).zip(&answer.hits) {
                    li { (one(number, hit, marks.as_ref())) }
                }
            }
        }
    }

    /// Returns what of a text is marked.
    fn marks(&self) -> Option<Regex> {
        let pattern = match self.mode {
            Some(Mode::Regex) => self.q.clone(),
            Some(Mode::Literal) => regex::escape(&self.q),
            _ => {
                let is_part = |c: char| !c.is_alphanumeric() && c != '_';
                let words = self.q.split(is_part);
                let words = words.filter(|word| word.chars().count() >= MARKED_CHARS_MIN);
                let words: Vec<String> = words.take(MARKED_MAX).map(regex::escape).collect();
                if words.is_empty() {
                    return None;
                }
                words.join("|")
            }
        };
        let is_exact = matches!(self.mode, Some(Mode::Regex | Mode::Literal));
        RegexBuilder::new(&pattern)
            .case_insensitive(!is_exact)
            .build()
            .ok()
    }
}

fn one(number: usize, hit: &Hit, marks: Option<&Regex>) -> Markup {
    let place = format!("{}:{}-{}", hit.path, hit.start_line, hit.end_line);
    let address = format!(
        "/collections/{}/files/{}?source={}&from={}&to={}#L{}",
        in_address(&hit.collection),
        in_address(&hit.path),
        in_address(&hit.source),
        hit.start_line,
        hit.end_line,
        hit.start_line
    );
    html! {
        h3 {
            (number) ". " a href=(address) { (visible(&place)) }
            @if let Some(symbol) = &hit.symbol { " " code { (visible(symbol)) } }
        }
        span.faint {
            (hit.collection)
            @if let Some(language) = &hit.language { " · " (language) }
            " · score " (format!("{:.3}", hit.score))
        }
        pre tabindex="0" role="region" aria-label={ "Lines of hit " (number) } {
            @for (line, text) in (hit.snippet.start_line..).zip(hit.snippet.text.lines()) {
                span.line {
                    a.n href=(format!("{}#L{line}", address.split('#').next().unwrap_or_default())) tabindex="-1" { (line) }
                    (marked(&visible(text), marks))
                }
            }
        }
        @if let Some(explanation) = &hit.explain {
            details { summary { "Why it is here" } (explained(explanation)) }
        }
    }
}

/// Returns a text with what was asked for marked in it.
fn marked(text: &str, marks: Option<&Regex>) -> Markup {
    let Some(marks) = marks else {
        return html! { (text) };
    };
    let mut at = 0;
    html! {
        @for found in marks.find_iter(text).filter(|found| !found.is_empty()) {
            @let before = &text[at..found.start()];
            ({ at = found.end(); before }) mark { (found.as_str()) }
        }
        (&text[at..])
    }
}

fn explained(explanation: &Explanation) -> Markup {
    let figure = |number: f32| format!("{number:+.3}");
    html! {
        table {
            thead { tr { th scope="col" { "What" } th scope="col" { "How" } th.figure scope="col" { "Score" } } }
            tbody {
                tr {
                    th scope="row" { "words" }
                    td {
                        @match &explanation.bm25 {
                            Some(bm25) => {
                                "rank " (bm25.rank) ":"
                                @for term in &bm25.terms { " " code { (term.term) } " " (format!("{:.2}", term.score)) }
                            }
                            None if explanation.fusion.text == 0.0 && explanation.vector.is_some() => "no word of it is here, or words were not asked for",
                            None => "none of them is here",
                        }
                    }
                    td.figure { (figure(explanation.fusion.text)) }
                }
                tr {
                    th scope="row" { "meaning" }
                    td {
                        @match &explanation.vector {
                            Some(vector) => { "rank " (vector.rank) ", cosine " (format!("{:.3}", vector.cosine)) }
                            None => "not compared",
                        }
                    }
                    td.figure { (figure(explanation.fusion.vector)) }
                }
                @for effect in &explanation.rules {
                    tr {
                        th scope="row" { "rule" }
                        td { (effect.rule.replace('_', " ")) ": " (visible(&effect.detail)) }
                        td.figure { (figure(effect.effect)) }
                    }
                }
                tr {
                    th scope="row" { "in all" } td {}
                    td.figure { (figure(explanation.score)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(query: &str, mode: Option<Mode>, text: &str) -> String {
        let asked = Asked {
            q: query.to_owned(),
            mode,
            ..Asked::default()
        };
        marked(text, asked.marks().as_ref()).into_string()
    }

    #[test]
    fn what_was_asked_for_is_marked_and_the_rest_is_text() {
        assert_eq!(
            shown("open file", None, "fn Open(<b>file</b>)"),
            "fn <mark>Open</mark>(&lt;b&gt;<mark>file</mark>&lt;/b&gt;)"
        );
        assert_eq!(shown("?", None, "a < b"), "a &lt; b");
        assert_eq!(
            shown("a.c", Some(Mode::Literal), "abc a.c"),
            "abc <mark>a.c</mark>"
        );
        assert_eq!(
            shown("a.c", Some(Mode::Regex), "abc a.c"),
            "<mark>abc</mark> <mark>a.c</mark>"
        );
        assert_eq!(shown("x*", Some(Mode::Regex), "ab"), "ab");
    }
}
