//! Which folder feeds which collection.

use std::path::{Path, PathBuf};

use super::PIPELINE_VERSION;
use super::repository::Repository;
use crate::error::{Error, Result};
use crate::store::{Collection, CollectionKind, Source, SourceKind, Store, StoreWriter};

/// Returns the absolute path of a folder to be indexed.
///
/// # Errors
/// A path that is missing, a file, or not UTF-8.
pub fn checked_root(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(Error::Argument {
            problem: "a path with a NUL byte".to_owned(),
            remedy: "check the spelling of the path".to_owned(),
        });
    }
    let root = path.canonicalize().map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Error::PathMissing(path.to_owned())
        } else {
            Error::io("read", path, error)
        }
    })?;
    if !root.is_dir() {
        return Err(Error::NotAFolder(path.to_owned()));
    }
    if root.to_str().is_none() {
        return Err(Error::Argument {
            problem: format!("the path {} is not UTF-8", root.display()),
            remedy: "rename the folder".to_owned(),
        });
    }
    Ok(root)
}

pub(super) fn folder_name(root: &Path) -> String {
    root.file_name().map_or_else(
        || "root".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Returns the name of the collection that a folder feeds or would feed, and its source if it is known.
///
/// # Errors
/// A name that holds another folder; a folder inside an indexed one; those of the store.
pub fn find_source(
    store: &dyn Store,
    root: &Path,
    asked: Option<&str>,
) -> Result<(String, Option<Source>)> {
    let collections = store.collections()?;
    for collection in &collections {
        if asked.is_some_and(|asked| asked != collection.name) {
            continue;
        }
        if let Some(source) = store
            .sources(collection.id)?
            .into_iter()
            .find(|source| source.folder() == Some(root))
        {
            return Ok((collection.name.clone(), Some(source)));
        }
    }
    if asked.is_none() {
        refuse_nested(store, &collections, root)?;
    }
    let name = asked.map_or_else(|| folder_name(root), str::to_owned);
    if asked.is_none() && collections.iter().any(|collection| collection.name == name) {
        return Err(Error::Argument {
            problem: format!("the collection `{name}` holds another folder of that name"),
            remedy: "pass --collection NAME: a new name for a collection of its own, this one to search both as one"
                .to_owned(),
        });
    }
    Ok((name, None))
}

/// Returns the collection and the source of a folder, made if they are not there.
///
/// # Errors
/// A name that cannot be one, or that holds another folder; a folder inside an indexed one; those of the store.
pub fn claim_source(
    db: &mut dyn StoreWriter,
    root: &Path,
    asked: Option<&str>,
) -> Result<(Collection, Source)> {
    let (name, _) = find_source(db.store(), root, asked)?;
    let collection = claim_collection(db, &name)?;
    let root = root.to_str().expect("checked_root refuses other paths");
    let source = db.put_source(collection.id, SourceKind::Folder, root, PIPELINE_VERSION)?;
    Ok((collection, source))
}

/// Returns the collection and the source of a repository's branch, made if they are not there. `may_sign_in` allows it to be
/// fetched with what the operator has to sign in with, from here on.
///
/// # Errors
/// A name that cannot be one, or that holds something else; those of the store.
pub fn claim_repository(
    db: &mut dyn StoreWriter,
    repository: &Repository,
    asked: Option<&str>,
    may_sign_in: bool,
) -> Result<(Collection, Source)> {
    let name = match asked {
        Some(name) => name.to_owned(),
        None => name_of_repository(db.store(), repository)?,
    };
    let collection = claim_collection(db, &name)?;
    let root = repository.to_string();
    let mut source = db.put_source(collection.id, SourceKind::Git, &root, PIPELINE_VERSION)?;
    if may_sign_in && !source.may_sign_in {
        db.let_sign_in(source.id)?;
        source.may_sign_in = true;
    }
    Ok((collection, source))
}

/// Returns the name of the collection that holds a repository's branch already, or would.
///
/// # Errors
/// A collection of that name that holds something else; those of the store.
pub fn name_of_repository(store: &dyn Store, repository: &Repository) -> Result<String> {
    let root = repository.to_string();
    let collections = store.collections()?;
    for collection in &collections {
        let sources = store.sources(collection.id)?;
        let is_it = |source: &Source| source.kind == SourceKind::Git && source.root == root;
        if sources.iter().any(is_it) {
            return Ok(collection.name.clone());
        }
    }
    let name = repository.name();
    if collections.iter().any(|collection| collection.name == name) {
        return Err(Error::Argument {
            problem: format!("the collection `{name}` holds something else"),
            remedy: "pass --collection NAME: a new name for a collection of its own, this one to search both as one"
                .to_owned(),
        });
    }
    Ok(name.to_owned())
}

fn claim_collection(db: &mut dyn StoreWriter, name: &str) -> Result<Collection> {
    check_collection_name(name)?;
    let collection = db.put_collection(name, CollectionKind::Code)?;
    if collection.kind != CollectionKind::Code {
        return Err(Error::Argument {
            problem: format!("the collection `{name}` holds {}", collection.kind.name()),
            remedy: "folders and repositories go into collections of code: name another one"
                .to_owned(),
        });
    }
    Ok(collection)
}

/// Longest name of a collection in bytes.
const COLLECTION_NAME_BYTES_MAX: usize = 128;

/// Refuses what cannot be the name of a collection.
///
/// # Errors
/// An empty or overlong name, one with slashes or control characters.
pub fn check_collection_name(name: &str) -> Result<()> {
    let is_fine = !name.is_empty()
        && name.len() <= COLLECTION_NAME_BYTES_MAX
        && !name
            .chars()
            .any(|c| c.is_control() || c == '/' || c == '\\');
    if is_fine {
        return Ok(());
    }
    Err(Error::Argument {
        problem: format!("{name:?} cannot be the name of a collection"),
        remedy: format!(
            "use 1 to {COLLECTION_NAME_BYTES_MAX} bytes without slashes and control characters"
        ),
    })
}

/// A folder inside an indexed one is indexed already: a second collection of it would answer everything twice.
fn refuse_nested(store: &dyn Store, collections: &[Collection], root: &Path) -> Result<()> {
    for collection in collections {
        for source in store.sources(collection.id)? {
            let Some(outer) = source.folder() else {
                continue;
            };
            if root.starts_with(outer) {
                return Err(Error::Argument {
                    problem: format!(
                        "{} is part of the collection `{}`",
                        root.display(),
                        collection.name
                    ),
                    remedy: format!(
                        "run `embedder index {}`, or pass --collection NAME for a collection of its own",
                        outer.display()
                    ),
                });
            }
        }
    }
    Ok(())
}
