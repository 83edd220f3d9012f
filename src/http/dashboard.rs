//! The dashboard: pages for people, made on the server, readable without a script, and kept up to date by one.
//!
//! A page asks the server's own API for what its visitor may see, and puts it into words. What a page's script may do is show
//! anew what the server sends; what changes something is a form, which holds the counterpart of the session's cookie.

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::{self, MethodRouter};

use super::app::App;

mod assets;
mod collection;
mod file;
mod jobs;
mod layout;
mod live;
mod overview;
mod search;
mod sign_in;
mod visitor;
mod words;

pub(super) use assets::asset;
pub(super) use collection::show as collection;
pub(super) use file::show as file;
pub(super) use jobs::{cancel as cancel_job, list as jobs, show as job};
pub(super) use layout::{html, refusal};
pub(super) use live::live;
pub(super) use overview::show as overview;
pub(super) use search::show as search;
pub(super) use sign_in::{show as sign_in, sign_in as signed_in, sign_out};

/// Bytes of a form: a key and a token.
const FORM_BYTES_MAX: usize = 16 * 1_024;

/// Takes a form, which nobody has signed.
pub(super) fn form<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    routing::post(handler).layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}
