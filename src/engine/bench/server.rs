//! The server as its clients meet it: a process of its own, load from threads of this one, over loopback.
//!
//! * [`embed()`]: tokens a second through the server beside those of the encoder alone, in turns on the same core;
//! * [`empty()`]: what a request costs that asks for nothing, and one whose answer is in the cache;
//! * [`mixed()`]: searches that come at a fixed rate, without and with an index job in the same server;
//! * [`ready()`]: from the start of the process to `/readyz`, and the memory that it has then;
//! * [`metrics()`]: what counting costs, in this process.
//!
//! Where server and load are measured against each other each has a core of its own. What is compared is measured in
//! turns, so that a machine that becomes slower becomes so for both; of repeated figures the median counts, and the
//! lowest and the highest are shown beside it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Config;
use crate::error::{Error, Result};

pub(super) mod child;
pub(super) mod client;
mod embed;
mod empty;
mod job;
pub(super) mod latencies;
mod load;
mod metrics;
mod mixed;
pub(super) mod pinning;
mod questions;
mod ready;
pub(super) mod texts;

pub use embed::{EmbedFigures, embed};
pub use empty::{EmptyFigures, Rounds, empty};
pub use latencies::Percentiles;
pub use metrics::{MetricsFigures, metrics};
pub use mixed::{JobFigures, LoadFigures, Mixed, MixedFigures, mixed};
pub use pinning::Cores;
pub use ready::{ReadyFigures, STARTS, ready};

/// What every part of the measurement goes by.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The settings. The model is named by its folder, for the server looks for it from another data directory.
    pub config: &'a Config,
    /// The cores of server and load.
    pub cores: Cores,
    /// Ends the measurement when set.
    pub stop: &'a AtomicBool,
}

impl Setting<'_> {
    /// Says that the measurement goes on.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when it was asked to stop.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}
