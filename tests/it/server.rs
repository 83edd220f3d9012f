//! The server, from outside: over HTTP, by signals, by what it leaves on disk.

mod audit;
mod bad_input;
mod browsers;
mod cli;
mod crash;
mod documents;
mod drills;
mod embeddings;
mod health;
mod keys;
mod routes;
mod sources;
