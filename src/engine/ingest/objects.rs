//! The objects of a bare repository of ours, read with limits.

use std::path::Path;
use std::sync::Arc;

use gix_hash::{ObjectId, oid};
use gix_object::{FindExt, Kind, TreeRef};
use gix_odb::store::init::Options;
use gix_odb::{HeaderExt, Store};

use crate::error::{Error, Result};

/// Bytes of a tree: a folder of tens of thousands of files.
const TREE_BYTES_MAX: u64 = 16 * 1_024 * 1_024;

/// Tags that name a tag.
const TAGS_MAX: usize = 8;

/// Differences that an object may be put together from; git itself makes no more than 50.
const DELTAS_MAX: u32 = 4_095;

/// Buffers of an object's size that putting it together takes.
const BUFFERS_OF_OBJECT: u64 = 3;

/// Reads objects, for one thread.
pub(super) struct Objects(gix_odb::HandleArc);

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) bytes: u64,
}

/// Opens the objects of a bare repository, of which none may be larger than a tree may, or than this.
///
/// # Errors
/// What cannot be read.
pub(super) fn open(repository: &Path, bytes_max: u64) -> Result<Arc<Store>> {
    let most = bytes_max
        .max(TREE_BYTES_MAX)
        .saturating_mul(BUFFERS_OF_OBJECT);
    let options = Options {
        alloc_limit_bytes: usize::try_from(most).ok(),
        ..Options::default()
    };
    let objects = repository.join("objects");
    let store = Store::at_opts(
        objects.clone(),
        gix_hash::Kind::Sha1,
        &mut std::iter::empty(),
        options,
    );
    let store = store.map_err(|error| Error::io("read", &objects, error))?;
    Ok(Arc::new(store))
}

impl Objects {
    pub(super) fn of(store: &Arc<Store>) -> Objects {
        Objects(store.to_cache_arc())
    }

    /// Returns what an object is.
    ///
    /// # Errors
    /// In words: what is not there, and what is put together from too much.
    pub(super) fn header(&self, id: &oid) -> Result<Header, String> {
        let header = self.0.header(id).map_err(told)?;
        if header
            .num_deltas()
            .is_some_and(|deltas| deltas > DELTAS_MAX)
        {
            return Err("put together from too many differences".to_owned());
        }
        Ok(Header {
            kind: header.kind(),
            bytes: header.size(),
        })
    }

    /// Reads a tree, and returns how many bytes it has as well.
    ///
    /// # Errors
    /// In words: what is not there, is no tree, or is larger than one may be.
    pub(super) fn tree<'a>(
        &self,
        id: &oid,
        buffer: &'a mut Vec<u8>,
    ) -> Result<(TreeRef<'a>, u64), String> {
        let bytes = self.header(id)?.bytes;
        if bytes > TREE_BYTES_MAX {
            return Err(format!("too large: {bytes} bytes of names"));
        }
        let tree = self.0.find_tree(id, buffer).map_err(told)?;
        Ok((tree, bytes))
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// In words: what is not there, is no file, or is larger than this.
    pub(super) fn blob(&self, id: &oid, bytes_max: u64) -> Result<Vec<u8>, String> {
        if self.header(id)?.bytes > bytes_max {
            return Err("it is too large".to_owned());
        }
        let mut buffer = Vec::new();
        self.0.find_blob(id, &mut buffer).map_err(told)?;
        Ok(buffer)
    }

    /// Returns the commit that a name stands for, and its tree.
    ///
    /// # Errors
    /// In words: what names no commit.
    pub(super) fn commit_and_tree(&self, named: &str) -> Result<(ObjectId, ObjectId), String> {
        let mut id = ObjectId::from_hex(named.as_bytes()).map_err(told)?;
        for _ in 0..TAGS_MAX {
            let mut buffer = Vec::new();
            match self.header(&id)?.kind {
                Kind::Commit => {
                    let commit = self.0.find_commit(&id, &mut buffer).map_err(told)?;
                    return Ok((id, commit.tree()));
                }
                Kind::Tag => {
                    let tag = self.0.find_tag(&id, &mut buffer).map_err(told)?;
                    id = tag.target();
                }
                Kind::Tree | Kind::Blob => break,
            }
        }
        Err("it names no commit".to_owned())
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
