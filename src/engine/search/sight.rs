//! What a search looks at: the store, collections in memory, the model. A command holds them alone, a server shares them.

use std::sync::Arc;
use std::time::Instant;

use embedder_index::QueryVector;

use super::filter::Filter;
use super::view::View;
use super::{
    Answer, COMPLETE_ENOUGH, Meta, Mode, Place, Reason, SearchRequest, Searched, millis_since,
    ranked, related,
};
use crate::error::{Error, Result};
use crate::store::{Collection, Counts, Store};

/// What a search looks at.
pub(crate) struct Sight<'a> {
    pub(crate) store: &'a dyn Store,
    /// The collections that are searched.
    pub(crate) views: Vec<(&'a Collection, &'a View)>,
    /// The name of the model in use.
    pub(crate) model: Option<&'a str>,
    /// The query's vector, where it was computed.
    pub(crate) vector: Option<Arc<QueryVector>>,
    /// What is missing for the answer that was asked for.
    pub(crate) missing: Option<Missing>,
    /// Threads that may scan vectors.
    pub(crate) threads: usize,
}

/// Why an answer cannot be what was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    pub(crate) reason: Reason,
    /// The problem with its remedy, for people.
    pub(crate) problem: String,
}

impl Sight<'_> {
    /// Whether a search in this mode would use the query's vector.
    pub(crate) fn wants_vector(&self, asked: Mode) -> bool {
        asked == Mode::Vector || (asked == Mode::Hybrid && self.is_complete_enough())
    }

    /// Answers by word and by meaning.
    pub(crate) fn search(
        &self,
        started: Instant,
        request: &SearchRequest,
        filter: &Filter,
    ) -> Result<Answer> {
        ranked::search(self, started, request, filter)
    }

    /// Finds what is like the code at a place.
    pub(crate) fn related(
        &self,
        started: Instant,
        place: &Place,
        request: &SearchRequest,
        filter: &Filter,
    ) -> Result<Answer> {
        related::search(self, started, place, request, filter)
    }

    /// Returns what a search of one of the collections looks at.
    pub(super) fn of(&self, collection: &Collection) -> Sight<'_> {
        let views = self.views.iter().copied();
        Sight {
            store: self.store,
            views: views
                .filter(|(known, _)| known.id == collection.id)
                .collect(),
            model: self.model,
            vector: None,
            missing: self.missing.clone(),
            threads: self.threads,
        }
    }

    pub(super) fn view(&self, collection: &Collection) -> Result<&View> {
        self.views
            .iter()
            .find(|(known, _)| known.id == collection.id)
            .map(|(_, view)| *view)
            .ok_or_else(|| Error::Internal("a collection was not loaded".to_owned()))
    }

    /// Returns the mode that can serve: text where there is no vector to compare with, or not enough of them yet.
    pub(super) fn serving(&self, asked: Mode) -> Mode {
        if asked == Mode::Hybrid && !(self.vector.is_some() && self.is_complete_enough()) {
            Mode::Text
        } else {
            asked
        }
    }

    pub(super) fn meta(&self, started: Instant, served_by: Mode) -> Meta {
        let counts = self.counts();
        let collections: Vec<Searched> = self
            .views
            .iter()
            .map(|(collection, view)| Searched {
                name: collection.name.clone(),
                generation: view.generation(),
            })
            .collect();
        Meta {
            served_by: served_by.into(),
            degraded: self.missing.is_some(),
            reasons: self.missing.iter().map(|missing| missing.reason).collect(),
            took_ms: millis_since(started),
            embedded_fraction: self.model.is_some().then(|| counts.embedded_fraction()),
            skipped_files: counts.skipped,
            model_problem: self.missing.as_ref().map(|missing| missing.problem.clone()),
            age_ms: None,
            changes_behind: self.views.iter().map(|(_, view)| view.behind).sum(),
            model: self.model.map(str::to_owned),
            collections,
        }
    }

    fn is_complete_enough(&self) -> bool {
        let counts = self.counts();
        // Where there is nothing, nothing is missing.
        let has_any = counts.chunks == 0 || counts.embedded > 0;
        has_any && counts.embedded_fraction() >= COMPLETE_ENOUGH
    }

    fn counts(&self) -> Counts {
        self.views
            .iter()
            .fold(Counts::default(), |sum, (_, view)| Counts {
                chunks: sum.chunks + view.counts.chunks,
                embedded: sum.embedded + view.counts.embedded,
                skipped: sum.skipped + view.counts.skipped,
                files: 0,
            })
    }
}
