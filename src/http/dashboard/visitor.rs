//! Who looks at a page, and what they may see.

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use serde::de::DeserializeOwned;

use crate::engine::access::Scope;
use crate::error::{Error, ErrorCode, Result};
use crate::http::app::App;
use crate::http::browser;
use crate::http::in_process::{InProcess, Shown};
use crate::http::problem::Problem;
use crate::http::sessions::WhoAmI;
use crate::mcp::Call;

/// Somebody who looks at a page, signed in.
pub(in crate::http) struct Visitor {
    api: Shown,
    who: WhoAmI,
}

impl Visitor {
    /// Returns what they are called.
    pub(super) fn name(&self) -> &str {
        &self.who.name
    }

    /// Returns the counterpart of their session's cookie; none where nobody is asked for a key.
    pub(super) fn csrf_token(&self) -> Option<&str> {
        self.who.csrf_token.as_deref()
    }

    /// Whether their key has a scope. What it has not is not asked for: that would be a denial.
    pub(super) fn may(&self, scope: Scope) -> bool {
        let holds = |held: &String| {
            Scope::from_name(held).is_some_and(|held| held == scope || held == Scope::Admin)
        };
        self.who.scopes.iter().any(holds)
    }

    /// Makes a call of the API as them, which changes nothing.
    ///
    /// # Errors
    /// What the API refuses.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        match self.csrf_token() {
            // A question may be a POST, too.
            Some(csrf) => self.change(call, csrf).await,
            None => call.of(&self.api).await,
        }
    }

    /// Makes a call that changes something, with what the form held as the counterpart.
    ///
    /// # Errors
    /// A form of another site; what the API refuses.
    pub(super) async fn change<T: DeserializeOwned>(&self, call: Call, csrf: &str) -> Result<T> {
        let csrf = HeaderValue::from_str(csrf).map_err(|_| Error::Argument {
            problem: "the form holds no token".to_owned(),
            remedy: "load the page again".to_owned(),
        })?;
        let api = self.api.clone().with(browser::CSRF, csrf);
        call.of(&api).await
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    /// Who is not signed in is led to where that is done.
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        let Some(api) = parts.extensions.get::<InProcess>() else {
            let error = Error::Internal("no addresses".to_owned());
            return Err(Problem::from(error).into_response());
        };
        let api = api.for_caller(parts);
        match Call::get(&["v1", "whoami"], &[]).of(&api).await {
            Ok(who) => Ok(Visitor { api, who }),
            Err(error) if error.code() == ErrorCode::Unauthenticated => {
                Err(Redirect::to("/sign-in").into_response())
            }
            Err(error) => Err(Problem::from(error).into_response()),
        }
    }
}
