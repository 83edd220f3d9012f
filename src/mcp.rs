//! The Model Context Protocol: five tools for agents, over HTTP at `/mcp` and over stdio.
//!
//! A thin face over the server's own API: a tool call becomes calls of an [`Api`], and what those answer is told as text
//! that is short enough for a model to read. Keys, scopes, limits and what happens when something fails are those of the
//! API, because it is the API that is called. Nothing is kept between two calls, so a client may come by any connection,
//! and the server may be another one each time.
//!
//! What files say is data: it is told line by line, each with its number, after the place that it is from.

mod api;
mod arguments;
mod file;
mod handler;
mod index;
mod listing;
mod read;
mod related;
mod root;
mod search;
mod status;
mod tokens;
mod tools;

pub(crate) use api::{Answering, Api, Call};
pub(crate) use handler::{Caller, Doors, McpHandler};
pub(crate) use root::Root;
