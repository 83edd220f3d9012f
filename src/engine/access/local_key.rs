//! The key of this machine: whoever may read the data directory may do everything.
//!
//! The first start makes it. Commands on the same machine read it from its file and show it like any other key, so
//! there is one way in, and the file's permissions are what protects it. To have another one, remove the file and start
//! the server again: the old one is revoked then.

use std::path::Path;

use super::private_file;
use super::{AccessError, Pepper, Scope, Scopes, Token};
use crate::store::sqlite::hub::{HubChange, KeyRow};

/// The file's name inside the data directory.
pub const LOCAL_KEY_FILE: &str = "local.key";

/// What the key is called. No other key may have this name.
pub const LOCAL_KEY_NAME: &str = "local";

/// More bytes than a token and the end of its line have.
const FILE_BYTES_MAX: u64 = 128;

/// The key of this machine.
#[derive(Debug, Clone)]
pub struct LocalKey {
    token: Token,
}

impl LocalKey {
    /// Reads the local key of a data directory, for a command that wants to speak to its server.
    ///
    /// # Errors
    /// [`AccessError::LocalKeyMissing`], [`AccessError::Exposed`], [`AccessError::Malformed`], [`AccessError::Io`].
    pub fn read(data_dir: &Path) -> Result<LocalKey, AccessError> {
        let path = data_dir.join(LOCAL_KEY_FILE);
        load(&path)?.ok_or(AccessError::LocalKeyMissing { path })
    }

    /// Reads the local key of a data directory, and makes it if there is none. Its server then does what
    /// [`LocalKey::enrolment`] says.
    ///
    /// # Errors
    /// As [`LocalKey::read`], without `LocalKeyMissing`.
    pub fn load_or_create(
        data_dir: &Path,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<LocalKey, AccessError> {
        let path = data_dir.join(LOCAL_KEY_FILE);
        if let Some(key) = load(&path)? {
            return Ok(key);
        }
        let line = format!("{}\n", Token::mint(random).expose());
        private_file::create(&path, line.as_bytes())?;
        // Another process may have been faster: what counts is what is on disk.
        LocalKey::read(data_dir)
    }

    /// Returns the token, to be shown to the server.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Returns what must be written so that this key is accepted and no earlier local one is; nothing where that is so.
    /// A local key that somebody revoked stays revoked.
    pub fn enrolment(&self, rows: &[KeyRow], pepper: &Pepper, now_ms: u64) -> Vec<HubChange> {
        let id = self.token.id().to_string();
        let mac = pepper.mac(&self.token);
        let revoke = |row: &KeyRow| {
            let is_earlier = row.name == LOCAL_KEY_NAME && row.id != id && row.revoked_ms.is_none();
            is_earlier.then(|| HubChange::RevokeKey {
                id: row.id.clone(),
                at_ms: now_ms,
            })
        };
        let mut changes: Vec<HubChange> = rows.iter().filter_map(revoke).collect();
        if !rows.iter().any(|row| row.id == id && row.mac == mac) {
            changes.push(HubChange::PutKey(KeyRow {
                id,
                name: LOCAL_KEY_NAME.to_owned(),
                mac,
                scopes: Scopes::from_iter([Scope::Admin]).to_string(),
                collections: None,
                tenant: None,
                created_ms: now_ms,
                expires_ms: None,
                revoked_ms: None,
                last_used_ms: None,
                replaced_by: None,
                limit_per_s: None,
                limit_burst: None,
            }));
        }
        changes
    }
}

fn load(path: &Path) -> Result<Option<LocalKey>, AccessError> {
    let Some(bytes) = private_file::read(path, FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    let token = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| Token::parse(text.trim_end()));
    match token {
        Some(token) => Ok(Some(LocalKey { token })),
        None => Err(AccessError::Malformed {
            path: path.to_owned(),
            what: "a key",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::KeyRing;
    use super::super::samples::{counting, pepper};
    use super::*;

    fn made(dir: &Path, start: u8) -> LocalKey {
        LocalKey::load_or_create(dir, &mut counting(start)).unwrap()
    }

    /// What the rows are after the changes.
    fn applied(mut rows: Vec<KeyRow>, changes: Vec<HubChange>) -> Vec<KeyRow> {
        for change in changes {
            match &change {
                HubChange::PutKey(row) => {
                    rows.retain(|other| other.id != row.id);
                    rows.push(row.clone());
                }
                HubChange::RevokeKey { id, at_ms } => {
                    let row = rows.iter_mut().find(|row| row.id == *id).unwrap();
                    row.revoked_ms = Some(*at_ms);
                }
                HubChange::ReplaceKey { .. }
                | HubChange::AddRoot(_)
                | HubChange::RemoveRoot { .. }
                | HubChange::Nothing => panic!("{change:?}"),
            }
        }
        rows
    }

    #[test]
    fn it_is_made_once_and_read_by_others() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            LocalKey::read(dir.path()),
            Err(AccessError::LocalKeyMissing { .. })
        ));
        let first = made(dir.path(), 0).token().expose();
        assert_eq!(made(dir.path(), 100).token().expose(), first);
        assert_eq!(LocalKey::read(dir.path()).unwrap().token().expose(), first);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::fs::{Permissions, metadata, set_permissions};
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        made(dir.path(), 0);
        let path = dir.path().join(LOCAL_KEY_FILE);
        assert_eq!(metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660, 0o644] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = |result: Result<LocalKey, AccessError>| {
                let error = crate::error::Error::from(result.unwrap_err());
                assert_eq!(error.code(), crate::error::ErrorCode::PermissionDenied);
                assert!(error.remedy().unwrap().contains("chmod 600"));
            };
            refused(LocalKey::read(dir.path()));
            refused(LocalKey::load_or_create(dir.path(), &mut counting(0)));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        for content in ["", "\n", "emb_x", "0"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(LOCAL_KEY_FILE);
            private_file::create(&path, content.as_bytes()).unwrap();
            let result = LocalKey::load_or_create(dir.path(), &mut counting(0));
            assert!(matches!(result, Err(AccessError::Malformed { .. })));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn it_may_do_everything_once_it_is_enrolled() {
        let dir = tempfile::tempdir().unwrap();
        let key = made(dir.path(), 0);
        let rows = applied(vec![], key.enrolment(&[], &pepper(), 7));
        let ring = KeyRing::new(pepper(), &rows);
        let found = ring.authenticate(&key.token().expose(), 8).unwrap();
        assert_eq!(found.name, LOCAL_KEY_NAME);
        assert!(found.may(Scope::Admin) && found.sees("anything"));
        assert_eq!(key.enrolment(&rows, &pepper(), 9), []);
    }

    #[test]
    fn a_new_one_ends_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let old = made(dir.path(), 0);
        let rows = applied(vec![], old.enrolment(&[], &pepper(), 7));
        std::fs::remove_file(dir.path().join(LOCAL_KEY_FILE)).unwrap();
        let new = made(dir.path(), 100);
        let rows = applied(rows.clone(), new.enrolment(&rows, &pepper(), 8));
        let ring = KeyRing::new(pepper(), &rows);
        assert!(ring.authenticate(&new.token().expose(), 9).is_ok());
        assert!(ring.authenticate(&old.token().expose(), 9).is_err());
        assert_eq!(new.enrolment(&rows, &pepper(), 9), []);
    }

    #[test]
    fn a_revoked_one_is_not_enrolled_again() {
        let dir = tempfile::tempdir().unwrap();
        let key = made(dir.path(), 0);
        let mut rows = applied(vec![], key.enrolment(&[], &pepper(), 7));
        rows[0].revoked_ms = Some(8);
        assert_eq!(key.enrolment(&rows, &pepper(), 9), []);
    }
}
