//! What handlers share.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::activity::Activity;
use super::mcp::Tools;
use super::measure::RouteLabels;
use super::quotas::Quotas;
use super::unread_answers::UnreadAnswers;
use crate::engine::serving::Service;
use crate::observability::health::HealthChecker;
use crate::observability::log_sampler::LogSampler;

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

struct Shared {
    state: State,
    log: LogSampler,
    activity: Activity,
    unread_answers: Arc<UnreadAnswers>,
}

/// What is behind an [`App`].
pub(crate) struct State {
    pub(crate) service: Arc<Service>,
    pub(crate) health: Arc<HealthChecker>,
    /// How much one caller may ask.
    pub(crate) quotas: Arc<Quotas>,
    /// Whether nobody is asked for a key.
    pub(crate) no_auth: bool,
    /// Whether this is the listener for probes and metrics.
    pub(crate) is_ops: bool,
    /// The OpenAPI document.
    pub(crate) openapi: Bytes,
    /// The labels of addresses.
    pub(crate) labels: Arc<RouteLabels>,
    /// The page that shows it.
    pub(crate) docs: Bytes,
    /// What answers the Model Context Protocol in place of our own tools.
    pub(crate) tools: Option<Tools>,
}

/// Marks an answer that is an error by its status alone and is meant as it is: a probe that says no.
#[derive(Debug, Clone, Copy)]
pub(super) struct Final;

impl App {
    pub(crate) fn new(state: State) -> App {
        App(Arc::new(Shared {
            state,
            log: LogSampler::new(),
            activity: Activity::default(),
            unread_answers: Arc::default(),
        }))
    }

    /// Counts large answers until they are read.
    pub(super) fn unread_answers(&self) -> &Arc<UnreadAnswers> {
        &self.0.unread_answers
    }

    /// Knows when somebody used the server last.
    pub(super) fn activity(&self) -> &Activity {
        &self.0.activity
    }

    /// Decides which refusals are logged.
    pub(super) fn log(&self) -> &LogSampler {
        &self.0.log
    }
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0.state
    }
}
