//! What changes on a page while somebody looks at it, as events: each holds a part of the page anew.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use maud::Markup;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::watch;

use super::collection::Shown;
use super::jobs::{all, detail, list_of};
use super::overview::Overview;
use super::visitor::Visitor;
use crate::engine::serving::jobs::JobView;
use crate::error::Result;
use crate::http::app::App;
use crate::http::extract::Query;
use crate::mcp::Call;

/// How often is looked while a job is under way.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often is looked while nothing is: ages grow, and a folder may have been looked at.
const LOOK_SELDOM: Duration = Duration::from_secs(10);

/// How often a quiet stream says that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// When a browser should ask again after its stream broke off.
const RETRY: Duration = Duration::from_secs(3);

/// Which page.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::http) struct Which {
    page: Name,
    #[serde(default)]
    id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Overview,
    Collection,
    Jobs,
    Job,
}

/// A part of a page.
#[derive(Clone, PartialEq)]
struct Part {
    id: &'static str,
    html: String,
}

/// Tells what changes on a page, until its visitor leaves, or may not see it any more.
pub(in crate::http) async fn live(
    State(app): State<App>,
    visitor: Visitor,
    Query(which): Query<Which>,
) -> Response {
    let looking = Looking {
        visitor,
        which,
        shown: Vec::new(),
        waiting: Vec::new(),
        is_over: false,
        draining: app.service.draining(),
        looked: Instant::now(),
        was_at_work: true,
        app,
    };
    let alive = KeepAlive::new().interval(ALIVE_EVERY);
    Sse::new(looking.events()).keep_alive(alive).into_response()
}

/// Somebody who looks at a page.
struct Looking {
    visitor: Visitor,
    which: Which,
    /// The parts as they are on the page.
    shown: Vec<Part>,
    /// Those that are still to be told.
    waiting: Vec<Part>,
    /// Whether nothing changes any more.
    is_over: bool,
    draining: watch::Receiver<bool>,
    /// When was looked last.
    looked: Instant,
    /// Whether a job was under way then.
    was_at_work: bool,
    app: App,
}

impl Looking {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(Some(self), |looking| async {
            let mut looking = looking?;
            let event = looking.next().await?;
            let next = (event.0 == Told::More).then_some(looking);
            Some((Ok(event.1.retry(RETRY)), next))
        })
    }

    async fn next(&mut self) -> Option<(Told, Event)> {
        loop {
            if let Some(part) = self.waiting.pop() {
                let data = json!({"id": part.id, "html": part.html}).to_string();
                return Some((Told::More, Event::default().event("part").data(data)));
            }
            if self.is_over {
                return Some((Told::Last, Event::default().event("end").data("{}")));
            }
            let is_first = self.shown.is_empty();
            let mut is_due = is_first;
            while !is_due {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    _ = self.draining.wait_for(|draining| *draining) => return None,
                }
                let is_at_work = self.app.service.jobs.counts() != (0, 0);
                // What has just ended is still to be shown.
                is_due = is_at_work || self.was_at_work || self.looked.elapsed() >= LOOK_SELDOM;
                self.was_at_work = is_at_work;
            }
            self.looked = Instant::now();
            // Whoever may not see it any more, or where it is gone, loads the page again and is told there.
            let (parts, is_over) = self.look().await.ok()?;
            self.is_over = is_over;
            let is_new = |part: &&Part| !self.shown.contains(part);
            self.waiting = parts.iter().filter(is_new).cloned().collect();
            self.shown = parts;
        }
    }

    /// Returns the parts as they are now, and whether they stay so.
    async fn look(&self) -> Result<(Vec<Part>, bool)> {
        let visitor = &self.visitor;
        let part = |(id, html): (&'static str, Markup)| Part {
            id,
            html: html.into_string(),
        };
        Ok(match self.which.page {
            Name::Overview => {
                // Each of its parts may be missing; who asks may not.
                let who = Call::get(&["v1", "whoami"], &[]);
                visitor.ask::<IgnoredAny>(who).await?;
                let parts = Overview::ask(visitor).await.parts();
                (parts.into_iter().map(part).collect(), false)
            }
            Name::Collection => {
                let parts = Shown::ask(visitor, &self.which.id).await?.parts();
                (parts.into_iter().map(part).collect(), false)
            }
            Name::Jobs => {
                let jobs = all(visitor).await?;
                (vec![part(("jobs", list_of(&jobs)))], false)
            }
            Name::Job => {
                let call = Call::get(&["v1", "jobs", &self.which.id], &[]);
                let job: JobView = visitor.ask(call).await?;
                (vec![part(("job", detail(&job)))], job.state.is_final())
            }
        })
    }
}

#[derive(PartialEq)]
enum Told {
    More,
    Last,
}
