//! Signing in with a key, and out.

use axum::http::header::{AUTHORIZATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::jobs::Change;
use super::layout::{Page, Place};
use super::visitor::Visitor;
use crate::error::{Error, ErrorCode, Result};
use crate::http::app::Final;
use crate::http::browser::SessionCookie;
use crate::http::in_process::InProcess;
use crate::http::problem::Problem;
use crate::http::sessions::OpenedSession;
use crate::mcp::Call;

/// A key that somebody has typed.
#[derive(Deserialize)]
pub(in crate::http) struct Typed {
    #[serde(default)]
    key: String,
}

/// The page to sign in on.
pub(in crate::http) async fn show() -> Response {
    page(None)
}

/// Signs in with a key: leads to a one-time address that sets the session's cookie.
pub(in crate::http) async fn sign_in(
    Extension(api): Extension<InProcess>,
    parts: Parts,
    Form(typed): Form<Typed>,
) -> Response {
    let opened: Result<OpenedSession> = async {
        let key = HeaderValue::from_str(&format!("Bearer {}", typed.key.trim()));
        let mut key = key.map_err(|_| Error::Argument {
            problem: "that is no key".to_owned(),
            remedy: "`embedder keys local` prints the key of this machine's owner".to_owned(),
        })?;
        key.set_sensitive(true);
        let api = api.for_caller(&parts).with(AUTHORIZATION, key);
        Call::post(&["v1", "admin", "sessions"], json!({}))
            .of(&api)
            .await
    }
    .await;
    match opened {
        Ok(opened) => Redirect::to(&opened.path).into_response(),
        Err(error) => page(Some(&error)),
    }
}

/// Signs out.
pub(in crate::http) async fn sign_out(
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
    Form(form): Form<Change>,
) -> Result<Response, Problem> {
    let call = Call::delete(&["session"]);
    visitor.change::<IgnoredAny>(call, &form.csrf).await?;
    let mut answer = Redirect::to("/sign-in").into_response();
    if let Ok(cookie) = SessionCookie::of(&headers, &uri).clear().parse() {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(answer)
}

fn page(refused: Option<&Error>) -> Response {
    let page = Page {
        title: "Sign in",
        visitor: None,
        live: None,
        place: Place::Other,
    };
    let mut answer = page.answer(&content(refused));
    if let Some(error) = refused
        && let Ok(status) = error.code().http_status().try_into()
    {
        *answer.status_mut() = status;
        // It is meant as it is.
        answer.extensions_mut().insert(Final);
    }
    answer
}

fn content(refused: Option<&Error>) -> Markup {
    html! {
        h1 { "Sign in" }
        @if let Some(error) = refused {
            p.notice.bad role="alert" {
                @if error.code() == ErrorCode::Unauthenticated {
                    "This key does not open anything here. It may have expired or been revoked."
                } @else {
                    (error.with_remedy())
                }
            }
        }
        form.ask method="post" action="/sign-in" {
            label.wide { "Key"
                input type="password" name="key" required autofocus autocomplete="current-password" spellcheck="false";
            }
            button type="submit" { "Sign in" }
        }
        p.faint {
            "On the server's machine " code { "embedder open" } " signs this browser in, and "
            code { "embedder keys local" } " prints the owner's key."
        }
    }
}
