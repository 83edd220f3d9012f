//! Takes a collection out: what was derived from its folders goes, the folders stay.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::data_dir::DataDir;
use crate::store::sqlite::content::ContentDb;
use crate::store::{Counts, Store, StoreError, StoreWriter};

/// What was taken out.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Removed {
    /// The collection's name.
    pub collection: String,
    /// How much it held.
    pub counts: Counts,
    /// Vectors that nothing refers to any more.
    pub vectors: u64,
}

/// Takes a collection out.
///
/// # Errors
/// [`Error::CollectionMissing`] with the names there are; a locked data directory; a damaged store.
pub fn remove(config: &Config, name: &str) -> Result<Removed> {
    let data_dir = DataDir::new(&config.data_dir);
    // Opening as a writer would make an empty store where there is none.
    match ContentDb::open_read_only(data_dir.path()) {
        Err(StoreError::Absent { .. }) => {
            return Err(Error::NothingIndexed(config.data_dir.clone()));
        }
        opened => drop(opened?),
    }
    let _lock = data_dir.lock()?;
    let mut db = ContentDb::open(data_dir.path())?;
    let collections = db.collections()?;
    let Some(collection) = collections
        .iter()
        .find(|collection| collection.name == name)
    else {
        db.close()?;
        let known = collections
            .into_iter()
            .map(|collection| collection.name)
            .collect();
        return Err(Error::CollectionMissing {
            name: name.to_owned(),
            known,
        });
    };
    let counts = db.counts(collection.id, None)?;
    let sources = db.sources(collection.id)?;
    db.delete_collection(collection.id)?;
    for source in sources {
        data_dir.forget_source(source.id)?;
    }
    let vectors = db.collect_vectors(0)?;
    let folder = data_dir.index_folder(collection.id);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &folder, error));
        }
        _ => {}
    }
    db.close()?;
    Ok(Removed {
        collection: name.to_owned(),
        counts,
        vectors,
    })
}
