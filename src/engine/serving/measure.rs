//! What the engine tells of itself, as the metrics have it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::audit::DenialReason;
use crate::engine::embed::batcher::{self, BatchObserver};
use crate::engine::search::Meta;
use crate::observability::metrics::{
    AuthFailure, DegradationReason, DropReason, JobOutcome, Lane, Metrics, ServedBy,
};
use crate::store::JobState;

/// Counts what the batcher does.
pub(crate) struct BatchMeasure(pub(crate) Arc<Metrics>);

impl BatchObserver for BatchMeasure {
    fn batch(
        &self,
        lane: batcher::Lane,
        texts: usize,
        tokens: usize,
        queue_wait_of_oldest: Duration,
    ) {
        let lane = lane_of(lane);
        self.0.embed_texts_total[lane].add(texts as u64);
        self.0.embed_tokens_total[lane].add(tokens as u64);
        self.0.embed_batch_texts.observe(texts);
        self.0.embed_batch_tokens.observe(tokens);
        self.0.embed_queue_wait_seconds[lane].observe(queue_wait_of_oldest);
    }

    fn queue(&self, lane: batcher::Lane, items: usize, tokens: usize) {
        let lane = lane_of(lane);
        self.0.embed_queue_items[lane].set(i64::try_from(items).unwrap_or(i64::MAX));
        self.0.embed_queue_tokens[lane].set(i64::try_from(tokens).unwrap_or(i64::MAX));
    }

    fn dropped(&self, _: batcher::Lane, reason: batcher::DropReason, texts: usize) {
        let reason = match reason {
            batcher::DropReason::Cancelled => DropReason::Cancelled,
            batcher::DropReason::Expired => DropReason::Expired,
            batcher::DropReason::Panicked => DropReason::Panicked,
            batcher::DropReason::Stopped => DropReason::Stopped,
        };
        self.0.embed_dropped_total[reason].add(texts as u64);
    }

    fn panicked(&self) {
        self.0.panics_total.inc();
    }
}

pub(crate) fn lane_of(lane: batcher::Lane) -> Lane {
    match lane {
        batcher::Lane::Interactive => Lane::Interactive,
        batcher::Lane::Bulk => Lane::Bulk,
    }
}

/// Counts a search that was answered.
pub(crate) fn searched(metrics: &Metrics, meta: &Meta) {
    if let Some(served_by) = ServedBy::from_name(meta.served_by.name()) {
        metrics.search_requests_total[served_by].inc();
        metrics.search_latency_seconds[served_by]
            .observe(Duration::from_secs_f64(meta.took_ms.max(0.0) / 1e3));
    }
    for reason in &meta.reasons {
        if let Some(reason) = DegradationReason::from_name(reason.name()) {
            metrics.degradation_events_total[reason].inc();
        }
    }
}

/// Counts a job that ended.
pub(crate) fn job_ended(metrics: &Metrics, state: JobState) {
    let outcome = match state {
        JobState::Done => JobOutcome::Done,
        JobState::Failed => JobOutcome::Failed,
        JobState::Cancelled => JobOutcome::Cancelled,
        JobState::Queued | JobState::Running => return,
    };
    metrics.jobs_ended_total[outcome].inc();
}

/// Returns what a denial is to the metrics; none where it is about no key.
pub(crate) fn auth_failure(reason: DenialReason) -> Option<AuthFailure> {
    match reason {
        DenialReason::NoKey => Some(AuthFailure::Missing),
        DenialReason::MalformedKey => Some(AuthFailure::Malformed),
        DenialReason::UnknownKey => Some(AuthFailure::Unknown),
        DenialReason::ExpiredKey => Some(AuthFailure::Expired),
        DenialReason::RevokedKey => Some(AuthFailure::Revoked),
        DenialReason::Scope => Some(AuthFailure::Scope),
        DenialReason::Collection => Some(AuthFailure::Collection),
        DenialReason::Csrf | DenialReason::CrossSite | DenialReason::Misdirected => None,
    }
}
