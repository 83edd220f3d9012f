//! What a ranked search needs, brought into memory.

use std::sync::Arc;
use std::thread;

use embedder_index::VectorSet;

use super::view::{View, index_id};
use super::{Mode, Reader};
use crate::config::Config;
use crate::engine::embed::Embedder;
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{Collection, CollectionId, ModelId, Store};

impl Reader {
    /// Loads what a ranked search of these collections needs and is not loaded: model and vectors on a thread of their
    /// own, and beside it chunks and words, which take as long. A model that cannot be had is an error only where
    /// vectors alone are asked for.
    pub(super) fn prepare(
        &mut self,
        mode: Mode,
        collections: &[Collection],
        with_places: bool,
    ) -> Result<()> {
        let stale: Vec<&Collection> = collections
            .iter()
            .filter(|collection| {
                !self
                    .views
                    .get(&collection.id)
                    .is_some_and(|view| view.is_of(collection))
            })
            .collect();
        let without_vectors: Vec<&Collection> = collections
            .iter()
            .filter(|collection| {
                let view = self.views.get(&collection.id);
                !view.is_some_and(|view| view.is_of(collection) && view.has_vectors())
            })
            .collect();
        let by_meaning = mode != Mode::Text
            && self.model_problem.is_none()
            && (self.embedder.is_none() || !without_vectors.is_empty());
        let known_embedder = self.embedder.clone();
        let (config, data_dir, db) = (&self.config, &self.data_dir, &self.db);
        let (views, meaning) = thread::scope(|scope| {
            let meaning = by_meaning.then(|| {
                scope.spawn(|| Meaning::load(config, data_dir, known_embedder, &without_vectors))
            });
            let views: Result<Vec<View>> = stale
                .iter()
                .map(|collection| View::open(db, data_dir, collection))
                .collect();
            (views, meaning.map(thread::ScopedJoinHandle::join))
        });
        for (collection, view) in stale.iter().zip(views?) {
            self.views.insert(collection.id, view);
        }
        let meaning = meaning
            .transpose()
            .map_err(|_| Error::Internal("loading the vectors panicked".to_owned()))?;
        match meaning {
            Some(Meaning::Ready { embedder, sets }) => {
                self.embedder = Some(embedder);
                for (collection, set) in without_vectors.iter().zip(sets?) {
                    if let Some(view) = self.views.get_mut(&collection.id) {
                        view.set_vectors(set);
                    }
                }
            }
            Some(Meaning::NoModel(error)) if mode == Mode::Vector => return Err(error),
            Some(Meaning::NoModel(error)) => self.model_problem = Some(error.with_remedy()),
            None => {}
        }
        if with_places {
            for collection in collections {
                if let Some(view) = self.views.get(&collection.id) {
                    view.load_places(&self.db, collection.id)?;
                }
            }
        }
        Ok(())
    }
}

/// The model, and what it made of collections.
enum Meaning {
    Ready {
        embedder: Arc<Embedder>,
        sets: Result<Vec<VectorSet>>,
    },
    NoModel(Error),
}

impl Meaning {
    /// Loads the model, unless it is known, and the vectors, by a connection of its own.
    fn load(
        config: &Config,
        data_dir: &DataDir,
        known: Option<Arc<Embedder>>,
        collections: &[&Collection],
    ) -> Meaning {
        let embedder = match known.map_or_else(|| Embedder::load(config).map(Arc::new), Ok) {
            Ok(embedder) => embedder,
            Err(error) => return Meaning::NoModel(error),
        };
        let read_all = || -> Result<Vec<VectorSet>> {
            let db = ContentDb::open_read_only(data_dir.path())?;
            collections
                .iter()
                .map(|collection| vectors_of(&db, collection, &embedder))
                .collect()
        };
        let sets = read_all();
        Meaning::Ready { embedder, sets }
    }
}

fn vectors_of(
    store: &dyn Store,
    collection: &Collection,
    embedder: &Embedder,
) -> Result<VectorSet> {
    let model = store.model(embedder.fingerprint())?;
    read_vectors(store, collection.id, model, embedder.dimensions())
}

/// Reads the vectors of a collection by a model.
pub(crate) fn read_vectors(
    store: &dyn Store,
    collection: CollectionId,
    model: Option<ModelId>,
    dimensions: usize,
) -> Result<VectorSet> {
    let mut set = VectorSet::new(dimensions);
    if let Some(model) = model {
        let mut unusable = 0_u64;
        store.vectors(collection, model, &mut |chunk, vector| {
            // One that cannot be used must not take the others with it.
            unusable += u64::from(set.push(index_id(chunk), vector).is_err());
        })?;
        if unusable > 0 {
            tracing::warn!(
                collection = collection.0,
                unusable,
                "Stored vectors cannot be used and are left out"
            );
        }
    }
    Ok(set)
}
