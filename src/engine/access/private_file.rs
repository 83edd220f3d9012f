//! Files that only their owner may read, and that are whole or not there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::AccessError;

/// Reads a file, or nothing where there is none.
///
/// A longer file than `len_max` is cut off there: what was written by [`create`] never is.
///
/// # Errors
/// [`AccessError::Exposed`] where others than its owner may read or write it: the secret may be known by now.
pub(super) fn read(path: &Path, len_max: u64) -> Result<Option<Vec<u8>>, AccessError> {
    let failed = |source| AccessError::Io {
        verb: "read",
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Of the open file, so that it cannot be another one that is looked at.
    if let Some(mode) = shared_mode(&file).map_err(failed)? {
        return Err(AccessError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Vec::new();
    file.take(len_max).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Makes a file with this content and returns whether it did: one that is there is left alone. Nobody ever sees a part
/// of it, also when the power fails.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<bool, AccessError> {
    write(path, content).map_err(|source| AccessError::Io {
        verb: "create",
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, content: &[u8]) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Temporary files are made with the mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            sync_folder(folder)?;
            Ok(true)
        }
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(refused) => Err(refused.error),
    }
}

/// Returns the permissions, if they are wider than the owner's own.
#[cfg(unix)]
fn shared_mode(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    Ok((mode & 0o177 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn shared_mode(_file: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert_eq!(read(&path, 9).unwrap(), None);
        assert!(create(&path, b"first").unwrap());
        assert!(!create(&path, b"second").unwrap());
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"first");
        assert_eq!(read(&path, 2).unwrap().unwrap(), b"fi");
        // Nothing is left behind.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_read_is_refused() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create(&path, b"secret").unwrap();
        for (mode, is_private) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o700, false),
        ] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match read(&path, 9) {
                Ok(_) => assert!(is_private, "{mode:o}"),
                Err(error) => {
                    assert!(!is_private, "{mode:o}: {error}");
                    let error = crate::error::Error::from(error);
                    assert_eq!(error.code(), crate::error::ErrorCode::PermissionDenied);
                    assert!(error.remedy().unwrap().contains("chmod 600"));
                }
            }
        }
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/such/secret");
        assert!(matches!(create(&path, b"x"), Err(AccessError::Io { .. })));
    }
}
