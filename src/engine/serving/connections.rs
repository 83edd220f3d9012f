//! Connections to the content database, lent to one thread at a time.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::store::StoreWriter;
use crate::store::sqlite::content::ContentDb;
use crate::store::sqlite::{SharedContent, WriterThread};

/// Connections kept for the next caller. Each has a page cache of its own; as many as searches run at once are worth it.
const KEPT_MAX: usize = 8;

/// Connections to the content database.
pub(crate) struct Connections {
    writer: Arc<WriterThread<ContentDb>>,
    data_dir: PathBuf,
    idle: Mutex<Vec<SharedContent>>,
}

/// A connection that goes back when it is dropped.
pub(crate) struct Connection<'a> {
    connections: &'a Connections,
    content: Option<SharedContent>,
}

impl Connections {
    pub(crate) fn new(writer: Arc<WriterThread<ContentDb>>, data_dir: PathBuf) -> Connections {
        Connections {
            writer,
            data_dir,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Lends a connection, a new one where none is idle.
    pub(crate) fn take(&self) -> Result<Connection<'_>> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let content = match idle {
            Some(content) => content,
            None => SharedContent::connect(&self.writer, &self.data_dir)?,
        };
        Ok(Connection {
            connections: self,
            content: Some(content),
        })
    }

    /// Closes the connections that nobody uses: the next ones are new.
    pub(crate) fn forget_idle(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Returns the writer that they hand their work to.
    pub(crate) fn writer(&self) -> &WriterThread<ContentDb> {
        &self.writer
    }
}

impl Connection<'_> {
    /// Returns the store as readers see it.
    pub(crate) fn store(&self) -> &dyn crate::store::Store {
        StoreWriter::store(&**self)
    }
}

impl Deref for Connection<'_> {
    type Target = SharedContent;

    fn deref(&self) -> &SharedContent {
        self.content.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Connection<'_> {
    fn deref_mut(&mut self) -> &mut SharedContent {
        self.content.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let mut idle = self
            .connections
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_MAX && !std::thread::panicking() {
            idle.extend(self.content.take());
        }
    }
}
