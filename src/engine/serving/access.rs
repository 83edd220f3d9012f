//! Who may do what in a running server, and what they did.
//!
//! Keys, allowed roots and the audit log are in `hub.db`; what each request asks (keys, sessions) is in memory. An
//! administrative act and its record are one transaction. Denials are counted and recorded together, so that somebody who
//! knocks a million times fills no disk.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::jobs::ending;
use crate::clock::now_ms;
use crate::engine::access::{
    AuthError, CsrfToken, KeyId, KeyRing, LocalKey, NewKey, Pepper, Principal, Scope, Scopes,
    Session, Sessions, Token, granted, mint_key, rotate_key, system_random,
};
use crate::engine::audit::{AuditKind, Auditor, Denial, DenialReason, address_prefix};
use crate::error::{Error, ErrorCode, Result};
use crate::observability::metrics::Metrics;
use crate::store::StoreError;
use crate::store::sqlite::hub::{
    ACTOR_SERVER, AllowedRoot, AuditBudget, AuditHead, AuditRecord, HubChange, HubDb, HubError,
    HubResult, KeyRow, NewAuditRecord, Verification,
};

/// Room in the audit log without which no act is begun: the records of all acts that run at once, each of which names
/// things of a few hundred bytes.
const ACT_BYTES_MAX: u64 = 16 * 1024;

/// Who may do what, and what they did.
pub struct Access {
    /// Gone when the server has ended.
    hub: Mutex<Option<HubDb>>,
    /// Whether the disk failed a commit of it, so that it is opened anew before it is used again.
    has_failed: AtomicBool,
    ring: Arc<KeyRing>,
    sessions: Sessions,
    auditor: Auditor,
    budget: AuditBudget,
    /// Folders below which sources may lie, as they are on disk.
    roots: RwLock<BTreeSet<PathBuf>>,
    anonymous: Arc<Principal>,
    local_ops: Arc<Principal>,
}

impl Access {
    /// Opens `hub.db` of a data directory, whose lock the caller holds, and mints the local admin key if there is none.
    /// At the first start the folders of `sources`, which the owner had indexed, become allowed roots.
    ///
    /// # Errors
    /// A damaged database; secrets that others may read; those of the disk.
    pub fn open(
        data_dir: &Path,
        audit_bytes_max: u64,
        sources: impl IntoIterator<Item = PathBuf>,
    ) -> Result<Access> {
        let mut hub = HubDb::open(data_dir)?;
        let budget = AuditBudget::new(audit_bytes_max);
        let rows = hub.keys()?;
        let pepper = Pepper::load_or_create(data_dir, &rows, &mut system_random)?;
        let local = LocalKey::load_or_create(data_dir, &mut system_random)?;
        let local_id = local.token().id().to_string();
        for change in local.enrolment(&rows, &pepper, now_ms()) {
            let record = if let HubChange::RevokeKey { id, .. } = &change {
                record(AuditKind::KeyRevoked, ACTOR_SERVER, id)
            } else {
                record(AuditKind::KeyCreated, ACTOR_SERVER, &local_id)
            };
            hub.change(&change, record, budget)?;
        }
        let started = record(
            AuditKind::ServerStarted,
            ACTOR_SERVER,
            env!("CARGO_PKG_VERSION"),
        );
        match hub.append(vec![started], budget) {
            // With a full log the server starts as well, and refuses what it could not record.
            Ok(_) | Err(HubError::AuditFull { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if rows.is_empty() {
            // The first start: what the owner had indexed without a server is allowed, once.
            for folder in sources {
                let path = folder.display().to_string();
                let record = record(AuditKind::RootAdded, ACTOR_SERVER, &path);
                let root = AllowedRoot {
                    path,
                    added_ms: now_ms(),
                    added_by: ACTOR_SERVER.to_owned(),
                };
                hub.change(&HubChange::AddRoot(root), record, budget)?;
            }
        }
        let roots = hub
            .roots()?
            .into_iter()
            .map(|root| PathBuf::from(root.path));
        let ring = Arc::new(KeyRing::new(pepper, &hub.keys()?));
        Ok(Access {
            roots: RwLock::new(roots.collect()),
            hub: Mutex::new(Some(hub)),
            has_failed: AtomicBool::new(false),
            sessions: Sessions::new(Arc::clone(&ring)),
            ring,
            auditor: Auditor::new(),
            budget,
            anonymous: Principal::anonymous(),
            local_ops: Arc::new(Principal {
                key_id: None,
                name: "local".to_owned(),
                scopes: Scopes::from_iter([Scope::OpsRead]),
                collections: None,
                tenant: None,
                expires_ms: None,
                limit: None,
            }),
        })
    }

    /// Returns whose key this is.
    ///
    /// # Errors
    /// Why it opens nothing; for the log, not for the client.
    pub fn authenticate(&self, token: &str, now_ms: u64) -> Result<Arc<Principal>, AuthError> {
        self.ring.authenticate(token, now_ms)
    }

    /// Everybody, where nobody is asked for a key.
    pub fn anonymous(&self) -> Arc<Principal> {
        Arc::clone(&self.anonymous)
    }

    /// Whoever asks the ops listener from this machine.
    pub fn local_ops(&self) -> Arc<Principal> {
        Arc::clone(&self.local_ops)
    }

    /// Counts a request that was refused.
    pub fn note_denial(
        &self,
        reason: DenialReason,
        key_id: Option<KeyId>,
        address: Option<IpAddr>,
        route: &'static str,
    ) {
        self.auditor.note_denial(Denial {
            reason,
            key_id: key_id.map(|id| id.to_string()),
            address_prefix: address.map_or_else(|| "unknown".to_owned(), address_prefix),
            route,
        });
    }

    /// Returns every key, the oldest first. What is stored of a key does not open anything.
    ///
    /// # Errors
    /// Those of the database.
    pub fn keys(&self) -> Result<Vec<KeyRow>> {
        self.hub(|hub| Ok(hub.keys()?))
    }

    fn key(&self, id: &str) -> Result<KeyRow> {
        let row = self.keys()?.into_iter().find(|row| row.id == id);
        row.ok_or_else(|| HubError::KeyMissing { id: id.to_owned() }.into())
    }

    /// Whether a key still opens anything; everybody does where nobody is asked for one.
    pub fn is_valid(&self, principal: &Principal, now_ms: u64) -> bool {
        principal
            .key_id
            .is_none_or(|id| self.ring.principal(id, now_ms).is_ok())
    }

    /// Makes a key; its token is nowhere but in what is returned.
    ///
    /// # Errors
    /// A name, scopes or an expiry that cannot be; rights that the caller does not have; a full audit log.
    pub fn create_key(&self, caller: &Principal, new: &NewKey) -> Result<(Token, KeyRow)> {
        caller.may_mint(new)?;
        let (token, row) = mint_key(new, self.ring.pepper(), now_ms(), &mut system_random)?;
        let change = HubChange::PutKey(row.clone());
        let record =
            record(AuditKind::KeyCreated, &caller.actor(), &row.id).with_detail(&granted(&row));
        self.change(&change, record)?;
        Ok((token, row))
    }

    /// Revokes a key; nothing is done with it from now on.
    ///
    /// # Errors
    /// An unknown key; rights that the caller does not have; a full audit log.
    pub fn revoke_key(&self, caller: &Principal, id: &str) -> Result<()> {
        // Else the right to make weak keys would be the right to lock the strong ones out.
        let row = self.key(id)?;
        caller.may_end(&row)?;
        if row.revoked_ms.is_some() {
            return Ok(());
        }
        let change = HubChange::RevokeKey {
            id: id.to_owned(),
            at_ms: now_ms(),
        };
        self.act(&change, AuditKind::KeyRevoked, &caller.actor(), id)
    }

    /// Makes a key that takes the place of another, which goes on for `overlap_ms`.
    ///
    /// # Errors
    /// An unknown key or one that has ended; rights that the caller does not have; a full audit log.
    pub fn rotate_key(
        &self,
        caller: &Principal,
        id: &str,
        overlap_ms: u64,
    ) -> Result<(Token, KeyRow)> {
        let old = self.key(id)?;
        caller.may_rotate(&old)?;
        let rotation = rotate_key(
            &old,
            overlap_ms,
            self.ring.pepper(),
            now_ms(),
            &mut system_random,
        )?;
        self.act(&rotation.change, AuditKind::KeyRotated, &caller.actor(), id)?;
        let made = rotation.id.to_string();
        let row = self.keys()?.into_iter().find(|row| row.id == made);
        row.map(|row| (rotation.token, row))
            .ok_or_else(|| Error::Internal("a key that was just made is gone".to_owned()))
    }

    /// Refuses a path that lies below none of the allowed roots, without looking at what is there.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`].
    pub fn check_root(&self, path: &Path) -> Result<()> {
        let is_plain = path.is_absolute()
            && !path.as_os_str().as_encoded_bytes().contains(&0)
            && path
                .components()
                .all(|part| !matches!(part, std::path::Component::ParentDir));
        let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner);
        if is_plain && roots.iter().any(|root| path.starts_with(root)) {
            return Ok(());
        }
        Err(Error::Reported {
            code: ErrorCode::Forbidden,
            message: "this path lies outside of the folders that may be indexed".to_owned(),
            remedy: Some(
                "use an absolute path below an allowed root; an operator adds roots (`embedder index PATH` on the \
                 server's machine, or POST /v1/admin/roots)"
                    .to_owned(),
            ),
        })
    }

    /// Returns the allowed roots.
    pub fn roots(&self) -> Vec<PathBuf> {
        let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner);
        roots.iter().cloned().collect()
    }

    /// Allows a folder and what is below it.
    ///
    /// # Errors
    /// A path that is missing or no folder; too many roots; a full audit log.
    pub fn add_root(&self, caller: &Principal, path: &Path) -> Result<PathBuf> {
        if !path.is_absolute() {
            return Err(Error::Argument {
                problem: "the path is not absolute".to_owned(),
                remedy: "give it from the root of the server's file system".to_owned(),
            });
        }
        let root = crate::engine::ingest::checked_root(path)?;
        let text = root.display().to_string();
        let change = HubChange::AddRoot(AllowedRoot {
            path: text.clone(),
            added_ms: now_ms(),
            added_by: caller.actor(),
        });
        if !self.roots().contains(&root) {
            self.act(&change, AuditKind::RootAdded, &caller.actor(), &text)?;
            self.roots
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(root.clone());
        }
        Ok(root)
    }

    /// Allows a folder no longer; what was indexed from it stays.
    ///
    /// # Errors
    /// A folder that is not allowed; a full audit log.
    pub fn remove_root(&self, caller: &Principal, path: &Path) -> Result<()> {
        let text = path.display().to_string();
        let change = HubChange::RemoveRoot { path: text.clone() };
        self.act(&change, AuditKind::RootRemoved, &caller.actor(), &text)?;
        self.roots
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(path);
        Ok(())
    }

    /// Refuses an administrative act that could not be recorded, before it is begun.
    ///
    /// # Errors
    /// [`ErrorCode::AuditFull`].
    pub fn may_act(&self) -> Result<()> {
        self.hub(|hub| {
            let used = hub.audit_used_bytes()?;
            if used + ACT_BYTES_MAX <= self.budget.bytes() {
                return Ok(());
            }
            Err(HubError::AuditFull {
                used_bytes: used,
                budget_bytes: self.budget.bytes(),
            })
        })
    }

    /// Records what happened elsewhere.
    ///
    /// # Errors
    /// A full audit log; those of the database.
    pub fn record(&self, kind: AuditKind, actor: &str, subject: &str) -> Result<()> {
        let records = vec![record(kind, actor, subject)];
        self.hub(|hub| hub.append(records, self.budget).map(drop))
    }

    /// Returns records of the audit log after a number, in order.
    ///
    /// # Errors
    /// Those of the database.
    pub fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        self.hub(|hub| Ok(hub.audit_records(after, limit)?))
    }

    /// Says whether the audit log is what was written.
    ///
    /// # Errors
    /// Those of the database.
    pub fn verify_audit(&self, head: Option<AuditHead>) -> Result<Verification> {
        self.hub(|hub| Ok(hub.verify(head)?))
    }

    /// Makes a one-time token for a browser's session with the rights of a key.
    ///
    /// # Errors
    /// Too many that were not used yet.
    pub fn open_session(&self, caller: &Arc<Principal>, now_ms: u64) -> Result<String> {
        let token = self
            .sessions
            .open_token(caller, now_ms, &mut system_random)?;
        Ok(token.expose())
    }

    /// Turns a one-time token into a session.
    ///
    /// # Errors
    /// A token that is unknown, used or old; too many sessions.
    pub fn redeem_session(&self, token: &str, now_ms: u64) -> Result<Session> {
        Ok(self.sessions.redeem(token, now_ms, &mut system_random)?)
    }

    /// Returns whose session a cookie is, with what each change must carry.
    pub fn session(&self, cookie: &str, now_ms: u64) -> Option<(Arc<Principal>, CsrfToken)> {
        self.sessions.find(cookie, now_ms)
    }

    /// Ends a session.
    pub fn end_session(&self, cookie: &str) {
        self.sessions.end(cookie);
    }

    /// Writes down what was gathered: when keys were used, and what was denied.
    pub(crate) fn keep_house(&self, metrics: &Metrics) {
        let used = self.ring.take_used();
        let denials = self.auditor.take_denials(now_ms());
        if used.is_empty() && denials.is_empty() {
            return;
        }
        let count = denials.len() as u64;
        let written = self.hub(|hub| {
            hub.touch_keys(&used)?;
            hub.append(denials, self.budget)
        });
        match written {
            Ok(appended) => {
                metrics.audit_records_total.add(count - appended.skipped);
                metrics.audit_dropped_total.add(appended.skipped);
            }
            Err(error) => {
                metrics.audit_dropped_total.add(count);
                tracing::error!("Denials could not be recorded: {error}");
            }
        }
    }

    /// Writes down the last of it and closes the database.
    pub(crate) fn close(&self, metrics: &Metrics) {
        self.keep_house(metrics);
        if let Err(error) = self.record(
            AuditKind::ServerStopped,
            ACTOR_SERVER,
            env!("CARGO_PKG_VERSION"),
        ) {
            tracing::warn!("The end could not be recorded: {error}");
        }
        if let Some(hub) = self.lock().take()
            && let Err(error) = hub.close()
        {
            tracing::warn!("hub.db was not closed in good order: {error}");
        }
    }

    /// Whether the database answers.
    pub(crate) fn is_alive(&self) -> bool {
        self.hub(|hub| Ok(hub.audit_head()?)).is_ok()
    }

    /// Makes a change with its record, and lets the keys in memory follow.
    fn act(&self, change: &HubChange, kind: AuditKind, actor: &str, subject: &str) -> Result<()> {
        self.change(change, record(kind, actor, subject))
    }

    fn change(&self, change: &HubChange, record: NewAuditRecord) -> Result<()> {
        self.hub(|hub| {
            hub.change(change, record, self.budget)?;
            // Under the same lock, so that the ring never goes back to an older state.
            self.ring.replace(&hub.keys()?);
            Ok(())
        })
    }

    fn hub<T>(&self, work: impl FnOnce(&mut HubDb) -> HubResult<T>) -> Result<T> {
        let mut hub = self.lock();
        let hub = hub.as_mut().ok_or_else(ending)?;
        if self.has_failed.load(Ordering::Relaxed) {
            // A second commit might report success for what the first one lost.
            hub.recover()?;
            self.has_failed.store(false, Ordering::Relaxed);
            tracing::warn!("Keys and audit log are written again: their database was opened anew");
        }
        let done = work(hub);
        if let Err(HubError::Store(error @ StoreError::Disk { .. })) = &done {
            self.has_failed.store(true, Ordering::Relaxed);
            tracing::error!(
                "Keys and audit log are not written until their database was opened anew: {error}"
            );
        }
        Ok(done?)
    }

    fn lock(&self) -> MutexGuard<'_, Option<HubDb>> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(kind: AuditKind, actor: &str, subject: &str) -> NewAuditRecord {
    kind.record(now_ms(), actor, subject)
}
