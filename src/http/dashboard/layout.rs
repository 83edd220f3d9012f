//! What all pages have in common.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};
use super::visitor::Visitor;
use crate::engine::visible::visible;
use crate::http::problem::ProblemBody;

/// Our own style and script, by their addresses; nothing from elsewhere, in nobody's frame. The reference of the API has its
/// style within.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page.
pub(super) struct Page<'a> {
    /// What it is called.
    pub(super) title: &'a str,
    /// Who looks at it.
    pub(super) visitor: Option<&'a Visitor>,
    /// The address that tells what changes on it.
    pub(super) live: Option<String>,
    /// Which of the places in the head it is.
    pub(super) place: Place,
}

/// A place in the head of each page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Search,
    Jobs,
    Other,
}

impl Page<'_> {
    /// Returns it around its content.
    pub(super) fn around(&self, content: &Markup) -> Markup {
        let at = |place: Place| (self.place == place).then_some("page");
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · embedder" }
                    link rel="stylesheet" href=(STYLE.address());
                    link rel="icon" type="image/svg+xml" href=(ICON.address());
                    @if self.live.is_some() {
                        script src=(SCRIPT.address()) defer {}
                    }
                }
                body data-live=[self.live.as_deref()] {
                    a.skip href="#content" { "Skip to the content" }
                    header {
                        a.brand href="/" { "embedder" }
                        @if let Some(visitor) = self.visitor {
                            nav aria-label="Pages" {
                                a href="/" aria-current=[at(Place::Overview)] { "Overview" }
                                a href="/search" aria-current=[at(Place::Search)] { "Search" }
                                a href="/jobs" aria-current=[at(Place::Jobs)] { "Jobs" }
                                a href="/docs" { "API" }
                            }
                            div.who {
                                span { (visitor.name()) }
                                @if let Some(csrf) = visitor.csrf_token() {
                                    form method="post" action="/sign-out" {
                                        input type="hidden" name="csrf" value=(csrf);
                                        button.quiet type="submit" { "Sign out" }
                                    }
                                }
                            }
                        }
                    }
                    main #content tabindex="-1" { (content) }
                    p #connection role="status" hidden {
                        "The connection to the server is lost; what is shown may be old."
                    }
                    footer { "embedder " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    }

    /// Returns it as an answer.
    pub(super) fn answer(&self, content: &Markup) -> Response {
        html(Bytes::from(self.around(content).into_string()), POLICY)
    }
}

/// Returns a page that says what is wrong, to somebody who may not be signed in.
pub(in crate::http) fn refusal(problem: &ProblemBody) -> Response {
    let page = Page {
        title: "That did not work",
        visitor: None,
        live: None,
        place: Place::Other,
    };
    let what = problem.detail.as_deref().unwrap_or(problem.title);
    page.answer(&html! {
        h1 { "That did not work" }
        div.notice.bad role="alert" {
            p { (visible(what)) }
            @if let Some(remedy) = &problem.remedy {
                p { (visible(remedy)) }
            }
        }
        p { a href="/" { "To the overview" } }
        p.faint { "Request " code { (problem.request_id) } ", as the server's log has it." }
    })
}

/// Returns a page with the headers that keep it to itself.
pub(in crate::http) fn html(bytes: Bytes, policy: &'static str) -> Response {
    let mut response = ([(CONTENT_TYPE, "text/html; charset=utf-8")], bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // With none at all a browser says of its own forms that they come from nowhere.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
