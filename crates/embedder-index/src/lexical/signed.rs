//! A directory whose small files carry a checksum.
//!
//! The engine signs the files of its segments, but not the two that say which segments there are: a changed letter there
//! silently brings deleted chunks back. Here these files end in a line with the checksum of what comes before it, so
//! every byte of an index is under one.

use std::{fmt::Write as _, io, path::Path, sync::Arc};

use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, WatchCallback, WatchHandle, WritePtr,
    error::{DeleteError, LockError, OpenReadError, OpenWriteError},
};

/// A directory that signs what is written atomically, and refuses to read what does not match its signature.
#[derive(Clone, Debug)]
pub(super) struct SignedDirectory {
    inner: Box<dyn Directory>,
}

impl SignedDirectory {
    pub(super) fn new(inner: Box<dyn Directory>) -> Self {
        Self { inner }
    }
}

impl Directory for SignedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.inner.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.inner.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.inner.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.inner.open_write(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let signed = self.inner.atomic_read(path)?;
        let content = verified(&signed).ok_or_else(|| {
            let detail = format!("{} does not match its checksum", path.display());
            OpenReadError::wrap_io_error(
                io::Error::new(io::ErrorKind::InvalidData, detail),
                path.to_path_buf(),
            )
        })?;
        Ok(content.to_vec())
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let mut signed = data.to_vec();
        signed.extend_from_slice(signature(data).as_bytes());
        self.inner.atomic_write(path, &signed)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.inner.acquire_lock(lock)
    }

    fn watch(&self, watch_callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.inner.watch(watch_callback)
    }
}

/// The content of a signed file, if it is what was signed.
fn verified(signed: &[u8]) -> Option<&[u8]> {
    let content = &signed[..signed.len().checked_sub(signature(&[]).len())?];
    (signed[content.len()..] == *signature(content).as_bytes()).then_some(content)
}

fn signature(content: &[u8]) -> String {
    let mut signature = String::from("\n#");
    // Writing to a string does not fail.
    let _ = writeln!(signature, "{:016x}", fnv1a(content));
    signature
}

/// FNV-1a: enough against accidents, which is all that a checksum beside its data can be against.
fn fnv1a(content: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    content.iter().fold(OFFSET_BASIS, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use tantivy::directory::RamDirectory;

    use super::*;

    #[test]
    fn every_changed_byte_is_noticed() {
        let inner = RamDirectory::create();
        let directory = SignedDirectory::new(Box::new(inner.clone()));
        let path = Path::new("meta.json");
        directory.atomic_write(path, b"{\"segments\":[]}").unwrap();
        assert_eq!(directory.atomic_read(path).unwrap(), b"{\"segments\":[]}");
        let signed = inner.atomic_read(path).unwrap();
        for at in 0..signed.len() {
            for change in 1..=u8::MAX {
                let mut changed = signed.clone();
                changed[at] ^= change;
                assert_eq!(verified(&changed), None, "byte {at} ^ {change}");
            }
            assert_eq!(verified(&signed[..at]), None, "cut to {at}");
        }
    }

    #[test]
    fn an_empty_file_has_a_signature_too() {
        assert_eq!(verified(signature(&[]).as_bytes()), Some(&[][..]));
    }
}
