//! What the face tells of itself, as the metrics have it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::listener::{CloseReason, Observer, RefuseReason};
use super::routes::{self, UNMATCHED};
use crate::observability::metrics::{self, Metrics, Route, Status};

/// Finds the label of an address by its template.
pub(crate) struct RouteLabels(HashMap<String, Route>);

impl RouteLabels {
    pub(crate) fn new(metrics: &Metrics) -> RouteLabels {
        let of = |template: &'static str| metrics.route(template);
        // By the pattern that the router matched.
        let matched = routes::ROUTES
            .iter()
            .filter_map(|route| Some((route.pattern(), of(route.path)?)));
        let unmatched = of(UNMATCHED).map(|route| (UNMATCHED.to_owned(), route));
        RouteLabels(matched.chain(unmatched).collect())
    }

    fn of(&self, template: &str) -> Option<Route> {
        self.0
            .get(template)
            .or_else(|| self.0.get(UNMATCHED))
            .copied()
    }
}

/// A request that is being answered. It counts as such until it is dropped, also where its client went away.
pub(super) struct UnderWay<'a> {
    metrics: &'a Metrics,
    route: Option<Route>,
}

impl<'a> UnderWay<'a> {
    pub(super) fn begin(
        metrics: &'a Metrics,
        labels: &RouteLabels,
        template: &str,
    ) -> UnderWay<'a> {
        metrics.requests_in_flight.inc();
        UnderWay {
            metrics,
            route: labels.of(template),
        }
    }

    /// Counts the answer.
    pub(super) fn answered(&self, status: u16, elapsed: Duration) {
        if let Some(route) = self.route {
            self.metrics.requests_total[route][Status::of(status)].inc();
            self.metrics.request_duration_seconds[route].observe(elapsed);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.dec();
    }
}

/// Counts connections.
pub(super) struct Connections(pub(super) Arc<Metrics>);

impl Observer for Connections {
    fn opened(&self) {
        self.0.connections_total.inc();
        self.0.active_connections.inc();
    }

    fn closed(&self, reason: CloseReason) {
        self.0.active_connections.dec();
        if let Some(reason) = metrics::CloseReason::from_name(reason.name()) {
            self.0.connections_closed_total[reason].inc();
        }
    }

    fn refused(&self, reason: RefuseReason) {
        if let Some(reason) = metrics::RefuseReason::from_name(reason.name()) {
            self.0.connections_refused_total[reason].inc();
        }
    }
}
