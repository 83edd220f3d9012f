//! The Model Context Protocol: the tools over HTTP and over standard input and output.

mod bridge;
mod conformance;
mod http;
mod official;
mod poisoned;
mod setup;
mod speech;
