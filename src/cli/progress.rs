//! Progress of long commands: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use super::output;
use crate::engine::ingest::progress::{Event, Progress};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Reports an index run on standard error.
pub(super) struct IndexProgress {
    bar: Option<ProgressBar>,
    state: Mutex<State>,
    is_quiet: bool,
}

struct State {
    phase: Phase,
    phase_started: Instant,
    printed: Instant,
    chunks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Walking,
    Files,
    Vectors,
}

impl IndexProgress {
    pub(super) fn new() -> IndexProgress {
        let bar = std::io::stderr()
            .is_terminal()
            .then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(100));
            bar.set_message("listing files");
        }
        let now = Instant::now();
        let state = State {
            phase: Phase::Walking,
            phase_started: now,
            printed: now,
            chunks: 0,
        };
        IndexProgress {
            bar,
            state: Mutex::new(state),
            is_quiet: false,
        }
    }

    /// Without the lines that speak to somebody who wants to search.
    pub(super) fn quiet() -> IndexProgress {
        IndexProgress {
            is_quiet: true,
            ..IndexProgress::new()
        }
    }

    /// Takes the bar off the terminal.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, line: &str) {
        if self.is_quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.println(line),
            None => output::note(line),
        }
    }

    fn step(
        &self,
        state: &mut State,
        phase: Phase,
        done: u64,
        total: u64,
        unit: &str,
        extra: &str,
    ) {
        if state.phase != phase {
            state.phase = phase;
            state.phase_started = Instant::now();
            if let Some(bar) = &self.bar {
                let template = "{msg} [{bar:30}] {human_pos}/{human_len} {prefix}, {eta} left";
                let style = ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                bar.reset();
                bar.set_style(style.progress_chars("=> "));
                bar.set_message(if phase == Phase::Files {
                    "reading"
                } else {
                    "embedding"
                });
            }
        }
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_prefix(format!("{unit}{extra}"));
            }
            None if state.printed.elapsed() >= LINE_EVERY && done < total => {
                state.printed = Instant::now();
                let spent = state.phase_started.elapsed();
                let left = spent.mul_f64((total - done) as f64 / done.max(1) as f64);
                output::note(&format!(
                    "{done}/{total} {unit}{extra}, about {} left",
                    HumanDuration(left)
                ));
            }
            None => {}
        }
    }
}

impl Progress for IndexProgress {
    fn report(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        match event {
            Event::Fetching { bytes } => {
                // Only whoever waits long wants to know.
                if *bytes == 0 {
                    self.say("fetching the repository");
                } else if self.bar.is_none() && state.printed.elapsed() >= LINE_EVERY {
                    state.printed = Instant::now();
                    self.say(&format!("{} fetched", HumanBytes(*bytes)));
                } else if let Some(bar) = &self.bar {
                    bar.set_message(format!("fetching, {}", HumanBytes(*bytes)));
                }
            }
            Event::Walked {
                files,
                to_read,
                bytes,
            } => {
                self.say(&format!(
                    "{files} files found, {to_read} to read ({})",
                    HumanBytes(*bytes)
                ));
            }
            Event::Files {
                done,
                total,
                chunks,
            } => {
                state.chunks = *chunks;
                self.step(
                    &mut state,
                    Phase::Files,
                    *done,
                    *total,
                    "files",
                    &format!(", {chunks} chunks"),
                );
            }
            Event::TextReady {
                elapsed,
                vectors_follow,
            } => {
                let next = if *vectors_follow {
                    "; vectors follow"
                } else {
                    ""
                };
                self.say(&format!(
                    "text search is ready after {:.2} s{next}",
                    elapsed.as_secs_f64()
                ));
            }
            Event::Vectors { done, total } => {
                self.step(&mut state, Phase::Vectors, *done, *total, "vectors", "");
            }
        }
    }
}
