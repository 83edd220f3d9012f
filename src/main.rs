//! The program: parse, run, exit. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    embedder::cli::run()
}
