//! The program: parse, run, exit. Everything else is in the library.

use std::process::ExitCode;

/// A server holds much now and little later, and what it gives up must not be counted against it: this gives memory back
/// to the operating system within ten seconds, by a thread of its own.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    embedder::cli::run()
}
