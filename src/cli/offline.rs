//! `hub.db` while no server runs: who may write to the data directory may do everything in it.

use crate::clock::now_ms;
use crate::config::Config;
use crate::engine::access::{NewKey, Pepper, Token, granted, mint_key, rotate_key, system_random};
use crate::engine::audit::AuditKind;
use crate::error::{Error, Result};
use crate::store::StoreError;
use crate::store::data_dir::{DataDir, WriterLock};
use crate::store::sqlite::hub::{AuditBudget, HubChange, HubDb, HubError, KeyRow, NewAuditRecord};

/// How the audit log names whoever works on the data directory itself, without a key.
pub(super) const ACTOR_OWNER: &str = "owner";

/// The hub database with the right to write to it.
pub(super) struct OfflineHub {
    pub(super) db: HubDb,
    pepper: Pepper,
    budget: AuditBudget,
    _lock: WriterLock,
}

/// Opens the hub database for reading; none where there has never been one.
///
/// # Errors
/// A damaged database.
pub(super) fn read(config: &Config) -> Result<Option<HubDb>> {
    match HubDb::open_read_only(&config.data_dir) {
        Ok(db) => Ok(Some(db)),
        Err(StoreError::Absent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl OfflineHub {
    /// Opens the hub database for writing, made if there was none.
    ///
    /// # Errors
    /// A locked data directory; a damaged database; a secret that others may read.
    pub(super) fn open(config: &Config) -> Result<OfflineHub> {
        let data_dir = DataDir::new(&config.data_dir);
        let lock = data_dir.lock()?;
        let db = HubDb::open(data_dir.path())?;
        let pepper = Pepper::load_or_create(data_dir.path(), &db.keys()?, &mut system_random)?;
        Ok(OfflineHub {
            db,
            pepper,
            budget: AuditBudget::new(config.server.audit_bytes_max),
            _lock: lock,
        })
    }

    /// Makes a key.
    ///
    /// # Errors
    /// A key that cannot be; a full audit log.
    pub(super) fn create_key(&mut self, new: &NewKey) -> Result<(Token, KeyRow)> {
        let (token, row) = mint_key(new, &self.pepper, now_ms(), &mut system_random)?;
        let change = HubChange::PutKey(row.clone());
        let record = record(AuditKind::KeyCreated, &row.id).with_detail(&granted(&row));
        self.db.change(&change, record, self.budget)?;
        Ok((token, row))
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// An unknown key; a full audit log.
    pub(super) fn revoke_key(&mut self, id: &str) -> Result<()> {
        let change = HubChange::RevokeKey {
            id: id.to_owned(),
            at_ms: now_ms(),
        };
        self.act(&change, AuditKind::KeyRevoked, id)
    }

    /// Makes a key that takes the place of another, which is good for `overlap_ms` longer.
    ///
    /// # Errors
    /// An unknown key or one that has ended; a full audit log.
    pub(super) fn rotate_key(&mut self, id: &str, overlap_ms: u64) -> Result<(Token, KeyRow)> {
        let old = self.key(id)?;
        let rotation = rotate_key(&old, overlap_ms, &self.pepper, now_ms(), &mut system_random)?;
        self.act(&rotation.change, AuditKind::KeyRotated, id)?;
        let row = self.key(rotation.id.as_str())?;
        Ok((rotation.token, row))
    }

    /// Closes the database in good order.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn close(self) -> Result<()> {
        Ok(self.db.close()?)
    }

    fn key(&self, id: &str) -> Result<KeyRow> {
        let row = self.db.keys()?.into_iter().find(|row| row.id == id);
        row.ok_or_else(|| Error::from(HubError::KeyMissing { id: id.to_owned() }))
    }

    /// Makes a change with its record.
    fn act(&mut self, change: &HubChange, kind: AuditKind, subject: &str) -> Result<()> {
        self.db.change(change, record(kind, subject), self.budget)?;
        Ok(())
    }
}

fn record(kind: AuditKind, subject: &str) -> NewAuditRecord {
    kind.record(now_ms(), ACTOR_OWNER, subject)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::access::KeyRing;

    fn config(dir: &tempfile::TempDir) -> Config {
        let data_dir = dir.path().display().to_string();
        let flags = BTreeMap::from([("data_dir".to_owned(), data_dir)]);
        let environment = BTreeMap::from([("HOME".to_owned(), "/nonexistent".to_owned())]);
        Config::load(flags, &environment).unwrap()
    }

    #[test]
    fn keys_are_made_changed_and_recorded_without_a_server() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        assert!(read(&config).unwrap().is_none());
        let mut hub = OfflineHub::open(&config).unwrap();
        let new = NewKey {
            name: "ci".to_owned(),
            scopes: "search".parse().unwrap(),
            collections: None,
            tenant: None,
            expires_ms: None,
            rate_limit: None,
        };
        let (first, row) = hub.create_key(&new).unwrap();
        let (second, _) = hub.rotate_key(&row.id, 60_000).unwrap();
        hub.revoke_key(&row.id).unwrap();
        assert!(hub.revoke_key("0123456789ab").is_err());
        let ring = KeyRing::new(hub.pepper.clone(), &hub.db.keys().unwrap());
        assert!(ring.authenticate(&first.expose(), now_ms()).is_err());
        assert!(ring.authenticate(&second.expose(), now_ms()).is_ok());
        hub.close().unwrap();

        let db = read(&config).unwrap().unwrap();
        let records = db.audit_records(0, 10).unwrap();
        let told: Vec<_> = records
            .iter()
            .map(|record| (record.kind.as_str(), record.actor.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("key.created", ACTOR_OWNER),
                ("key.rotated", ACTOR_OWNER),
                ("key.revoked", ACTOR_OWNER)
            ]
        );
        assert!(db.verify(None).unwrap().is_whole());
    }

    #[test]
    fn two_do_not_write_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        let _first = OfflineHub::open(&config).unwrap();
        assert!(matches!(
            OfflineHub::open(&config),
            Err(Error::Locked { .. })
        ));
    }
}
