//! Sessions of browsers: a key is never typed into one.
//!
//! A command that holds a key asks for a one-time token and opens an address with it in the browser, which gets a
//! cookie for it. What is kept here of tokens and cookies is their hashes: neither a dump of the memory nor the time
//! that a look-up takes shows one. All of it is in memory; a restart ends every session.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{AccessError, KeyRing, Principal, SecretBytes};

/// Sessions at once: far more than people, few enough to be nothing in memory.
pub const SESSIONS_MAX: usize = 1_024;

/// One-time tokens at once. Each one is good for a minute.
pub const ONE_TIME_TOKENS_MAX: usize = 64;

/// How long a one-time token is good, in milliseconds: as long as a browser may take to start.
pub const ONE_TIME_MS: u64 = 60 * 1_000;

/// How long a session lasts in all, in milliseconds: a working day.
pub const SESSION_MS: u64 = 12 * 60 * 60 * 1_000;

/// How long a session lasts without being used, in milliseconds.
pub const SESSION_IDLE_MS: u64 = 60 * 60 * 1_000;

/// What the CSRF token of a session is the authentication code of.
const CSRF_MESSAGE: &[u8] = b"csrf";

/// The sessions of one server.
#[derive(Debug)]
pub struct Sessions {
    ring: Arc<KeyRing>,
    inner: Mutex<Inner>,
}

/// A session that was opened just now.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who it belongs to.
    pub principal: Arc<Principal>,
    /// The value of its cookie.
    pub cookie: SecretBytes,
    /// What the pages of the session send with each change.
    pub csrf: CsrfToken,
    /// When it ends at the latest, in milliseconds since the epoch.
    pub ends_ms: u64,
}

/// What a page of a session sends with each change, and a page of another site cannot know. Its `Debug` form hides it.
#[derive(Clone)]
pub struct CsrfToken(String);

#[derive(Debug, Default)]
struct Inner {
    tokens: HashMap<Digest, Pending>,
    sessions: HashMap<Digest, Live>,
}

/// The hash of a token or cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Digest([u8; 32]);

#[derive(Debug)]
struct Pending {
    principal: Arc<Principal>,
    expires_ms: u64,
}

#[derive(Debug)]
struct Live {
    principal: Arc<Principal>,
    opened_ms: u64,
    used_ms: u64,
}

impl Sessions {
    /// Starts with none.
    pub fn new(ring: Arc<KeyRing>) -> Sessions {
        Sessions {
            ring,
            inner: Mutex::default(),
        }
    }

    /// Makes a token that opens one session for this principal, once, within [`ONE_TIME_MS`].
    ///
    /// # Errors
    /// [`AccessError::TooMany`] while [`ONE_TIME_TOKENS_MAX`] of them wait to be used.
    pub fn open_token(
        &self,
        principal: &Arc<Principal>,
        now_ms: u64,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<SecretBytes, AccessError> {
        let mut inner = self.lock();
        inner.tokens.retain(|_, token| token.expires_ms > now_ms);
        if inner.tokens.len() >= ONE_TIME_TOKENS_MAX {
            return Err(AccessError::TooMany {
                what: "addresses that wait to be opened",
                retry_after: Duration::from_millis(ONE_TIME_MS),
            });
        }
        let token = SecretBytes::mint(random);
        let pending = Pending {
            principal: Arc::clone(principal),
            expires_ms: now_ms.saturating_add(ONE_TIME_MS),
        };
        inner.tokens.insert(Digest::of(&token), pending);
        Ok(token)
    }

    /// Opens the session of a one-time token, which is spent then.
    ///
    /// # Errors
    /// [`AccessError::OneTimeTokenSpent`], also where the key behind it has ended; [`AccessError::TooMany`] while there
    /// are [`SESSIONS_MAX`] of them, and the token is good as before.
    pub fn redeem(
        &self,
        token: &str,
        now_ms: u64,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Session, AccessError> {
        let token = SecretBytes::parse(token).ok_or(AccessError::OneTimeTokenSpent)?;
        let mut inner = self.lock();
        inner.sessions.retain(|_, session| session.is_live(now_ms));
        if inner.sessions.len() >= SESSIONS_MAX {
            return Err(AccessError::TooMany {
                what: "sessions",
                retry_after: Duration::from_millis(ONE_TIME_MS),
            });
        }
        let principal = inner
            .tokens
            .remove(&Digest::of(&token))
            .filter(|token| token.expires_ms > now_ms)
            .and_then(|token| self.current(&token.principal, now_ms))
            .ok_or(AccessError::OneTimeTokenSpent)?;
        let cookie = SecretBytes::mint(random);
        let live = Live {
            principal: Arc::clone(&principal),
            opened_ms: now_ms,
            used_ms: now_ms,
        };
        inner.sessions.insert(Digest::of(&cookie), live);
        Ok(Session {
            principal,
            csrf: CsrfToken::of(&cookie),
            cookie,
            ends_ms: now_ms.saturating_add(SESSION_MS),
        })
    }

    /// Finds the session of a cookie: who it belongs to, with what they may do now, and its CSRF token. A session that
    /// is over, or whose key is, is none.
    pub fn find(&self, cookie: &str, now_ms: u64) -> Option<(Arc<Principal>, CsrfToken)> {
        let cookie = SecretBytes::parse(cookie)?;
        let digest = Digest::of(&cookie);
        let mut inner = self.lock();
        let session = inner.sessions.get_mut(&digest)?;
        let principal = session
            .is_live(now_ms)
            .then(|| self.current(&session.principal, now_ms))
            .flatten();
        let Some(principal) = principal else {
            inner.sessions.remove(&digest);
            return None;
        };
        session.used_ms = session.used_ms.max(now_ms);
        Some((principal, CsrfToken::of(&cookie)))
    }

    /// Ends the session of a cookie and returns whether there was one.
    pub fn end(&self, cookie: &str) -> bool {
        SecretBytes::parse(cookie)
            .is_some_and(|cookie| self.lock().sessions.remove(&Digest::of(&cookie)).is_some())
    }

    /// Returns how many sessions there are, some of which may be over.
    pub fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks the principal's key up again; nobody where it has ended.
    fn current(&self, principal: &Arc<Principal>, now_ms: u64) -> Option<Arc<Principal>> {
        match principal.key_id {
            Some(id) => self.ring.principal(id, now_ms).ok(),
            None => Some(Arc::clone(principal)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CsrfToken {
    /// Whether this is what a page sent; compared in constant time.
    pub fn matches(&self, sent: &str) -> bool {
        self.0.as_bytes().ct_eq(sent.as_bytes()).into()
    }

    /// Returns the text, for the pages of the session.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// It follows from the cookie, so it need not be kept; the cookie does not follow from it.
    fn of(cookie: &SecretBytes) -> CsrfToken {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(cookie.bytes()).expect("HMAC takes a key of any length");
        mac.update(CSRF_MESSAGE);
        CsrfToken(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfToken(***)")
    }
}

impl Digest {
    fn of(secret: &SecretBytes) -> Digest {
        Digest(*blake3::hash(secret.bytes()).as_bytes())
    }
}

impl Live {
    fn is_live(&self, now_ms: u64) -> bool {
        now_ms < self.opened_ms.saturating_add(SESSION_MS)
            && now_ms < self.used_ms.saturating_add(SESSION_IDLE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{NOW_MS, minted, new_key, pepper};
    use super::super::{NewKey, system_random};
    use super::*;
    use crate::store::sqlite::hub::KeyRow;

    struct Fixture {
        sessions: Sessions,
        ring: Arc<KeyRing>,
        principal: Arc<Principal>,
        row: KeyRow,
    }

    fn fixture(new: &NewKey) -> Fixture {
        let (token, row) = minted(new, 0);
        let ring = Arc::new(KeyRing::new(pepper(), std::slice::from_ref(&row)));
        let principal = ring.authenticate(&token.expose(), NOW_MS).unwrap();
        Fixture {
            sessions: Sessions::new(Arc::clone(&ring)),
            ring,
            principal,
            row,
        }
    }

    impl Fixture {
        fn token(&self, now_ms: u64) -> Result<String, AccessError> {
            self.sessions
                .open_token(&self.principal, now_ms, &mut system_random)
                .map(|token| token.expose())
        }

        fn redeem(&self, token: &str, now_ms: u64) -> Result<Session, AccessError> {
            self.sessions.redeem(token, now_ms, &mut system_random)
        }

        /// A session that was opened at this time.
        fn cookie(&self, now_ms: u64) -> String {
            let token = self.token(now_ms).unwrap();
            self.redeem(&token, now_ms).unwrap().cookie.expose()
        }

        fn is_found(&self, cookie: &str, now_ms: u64) -> bool {
            self.sessions.find(cookie, now_ms).is_some()
        }
    }

    #[test]
    fn a_token_opens_one_session() {
        let fixture = fixture(&new_key());
        let token = fixture.token(NOW_MS).unwrap();
        let session = fixture.redeem(&token, NOW_MS + 5).unwrap();
        assert_eq!(session.principal, fixture.principal);
        assert_eq!(session.ends_ms, NOW_MS + 5 + SESSION_MS);
        let again = fixture.redeem(&token, NOW_MS + 5);
        assert!(matches!(again, Err(AccessError::OneTimeTokenSpent)));
        let cookie = session.cookie.expose();
        let (principal, csrf) = fixture.sessions.find(&cookie, NOW_MS + 6).unwrap();
        assert_eq!(principal, fixture.principal);
        assert_eq!(csrf.expose(), session.csrf.expose());
        // A token is no cookie, and a cookie is no token.
        assert!(!fixture.is_found(&token, NOW_MS + 6));
        assert!(fixture.redeem(&cookie, NOW_MS + 6).is_err());
    }

    #[test]
    fn a_token_is_good_for_a_minute() {
        let fixture = fixture(&new_key());
        let token = fixture.token(NOW_MS).unwrap();
        fixture.redeem(&token, NOW_MS + ONE_TIME_MS - 1).unwrap();
        let token = fixture.token(NOW_MS).unwrap();
        let late = fixture.redeem(&token, NOW_MS + ONE_TIME_MS);
        assert!(matches!(late, Err(AccessError::OneTimeTokenSpent)));
        let early = fixture.redeem(&token, NOW_MS);
        assert!(early.is_err(), "what came too late is spent");
    }

    #[test]
    fn what_is_no_token_opens_nothing() {
        let fixture = fixture(&new_key());
        let other = SecretBytes::mint(&mut system_random).expose();
        for token in ["", "x", &other] {
            let result = fixture.redeem(token, NOW_MS);
            assert!(matches!(result, Err(AccessError::OneTimeTokenSpent)));
            assert!(!fixture.is_found(token, NOW_MS));
            assert!(!fixture.sessions.end(token));
        }
        assert!(fixture.sessions.is_empty());
    }

    #[test]
    fn so_many_tokens_wait_and_no_more() {
        let fixture = fixture(&new_key());
        for _ in 0..ONE_TIME_TOKENS_MAX {
            fixture.token(NOW_MS).unwrap();
        }
        let refused = fixture.token(NOW_MS + ONE_TIME_MS - 1);
        assert!(matches!(refused, Err(AccessError::TooMany { .. })));
        fixture.token(NOW_MS + ONE_TIME_MS).unwrap();
    }

    #[test]
    fn so_many_sessions_live_and_no_more() {
        let fixture = fixture(&new_key());
        let cookies: Vec<String> = (0..SESSIONS_MAX).map(|_| fixture.cookie(NOW_MS)).collect();
        let token = fixture.token(NOW_MS).unwrap();
        let refused = fixture.redeem(&token, NOW_MS);
        assert!(matches!(refused, Err(AccessError::TooMany { .. })));
        assert!(fixture.sessions.end(&cookies[0]));
        fixture.redeem(&token, NOW_MS).unwrap();
        assert_eq!(fixture.sessions.len(), SESSIONS_MAX);
        // Those that are over make room by themselves.
        let later_ms = NOW_MS + SESSION_IDLE_MS;
        let cookie = fixture.cookie(later_ms);
        assert_eq!(fixture.sessions.len(), 1);
        assert!(fixture.is_found(&cookie, later_ms));
    }

    #[test]
    fn a_session_ends_when_it_is_not_used() {
        let fixture = fixture(&new_key());
        let cookie = fixture.cookie(NOW_MS);
        let mut now_ms = NOW_MS + SESSION_IDLE_MS - 1;
        assert!(fixture.is_found(&cookie, now_ms));
        // A clock that goes back for a moment takes nothing away.
        assert!(fixture.is_found(&cookie, NOW_MS));
        now_ms += SESSION_IDLE_MS - 1;
        assert!(fixture.is_found(&cookie, now_ms));
        now_ms += SESSION_IDLE_MS;
        assert!(!fixture.is_found(&cookie, now_ms));
        assert!(fixture.sessions.is_empty());
    }

    #[test]
    fn a_session_ends_after_a_day_of_use() {
        let fixture = fixture(&new_key());
        let cookie = fixture.cookie(NOW_MS);
        let step_ms = SESSION_IDLE_MS / 2;
        let mut age_ms = step_ms;
        while age_ms < SESSION_MS {
            assert!(fixture.is_found(&cookie, NOW_MS + age_ms), "{age_ms}");
            age_ms += step_ms;
        }
        assert!(!fixture.is_found(&cookie, NOW_MS + SESSION_MS));
    }

    #[test]
    fn a_session_can_be_ended() {
        let fixture = fixture(&new_key());
        let cookie = fixture.cookie(NOW_MS);
        assert!(fixture.sessions.end(&cookie));
        assert!(!fixture.is_found(&cookie, NOW_MS));
        assert!(!fixture.sessions.end(&cookie));
    }

    #[test]
    fn a_revoked_key_ends_its_sessions() {
        let mut fixture = fixture(&new_key());
        let cookie = fixture.cookie(NOW_MS);
        let token = fixture.token(NOW_MS).unwrap();
        fixture.row.revoked_ms = Some(NOW_MS);
        fixture.ring.replace(std::slice::from_ref(&fixture.row));
        assert!(!fixture.is_found(&cookie, NOW_MS));
        assert!(fixture.redeem(&token, NOW_MS).is_err());
        assert!(fixture.sessions.is_empty());
    }

    #[test]
    fn an_expired_key_ends_its_sessions() {
        let new = NewKey {
            expires_ms: Some(NOW_MS + 100),
            ..new_key()
        };
        let fixture = fixture(&new);
        let cookie = fixture.cookie(NOW_MS);
        assert!(fixture.is_found(&cookie, NOW_MS + 99));
        assert!(!fixture.is_found(&cookie, NOW_MS + 100));
    }

    #[test]
    fn a_session_may_do_what_its_key_may_do_now() {
        let mut fixture = fixture(&new_key());
        let cookie = fixture.cookie(NOW_MS);
        fixture.row.scopes = "search".to_owned();
        fixture.ring.replace(std::slice::from_ref(&fixture.row));
        let (principal, _) = fixture.sessions.find(&cookie, NOW_MS).unwrap();
        assert_eq!(principal.scopes, "search".parse().unwrap());
    }

    #[test]
    fn without_keys_there_are_sessions_as_well() {
        let mut fixture = fixture(&new_key());
        fixture.principal = Principal::anonymous();
        let cookie = fixture.cookie(NOW_MS);
        fixture.ring.replace(&[]);
        assert!(fixture.is_found(&cookie, NOW_MS));
    }

    #[test]
    fn a_csrf_token_belongs_to_its_session() {
        let fixture = fixture(&new_key());
        let csrf = |cookie: &str| fixture.sessions.find(cookie, NOW_MS).unwrap().1;
        let (one, other) = (fixture.cookie(NOW_MS), fixture.cookie(NOW_MS));
        assert!(csrf(&one).matches(csrf(&one).expose()));
        assert!(!csrf(&one).matches(csrf(&other).expose()));
        assert!(!csrf(&one).matches(""));
        assert!(!csrf(&one).matches(&one));
        assert_eq!(format!("{:?}", csrf(&one)), "CsrfToken(***)");
    }

    #[test]
    fn neither_tokens_nor_cookies_are_printed() {
        let fixture = fixture(&new_key());
        let cookie = fixture.cookie(NOW_MS);
        let token = fixture.token(NOW_MS).unwrap();
        let text = format!("{:?}", fixture.sessions);
        assert!(!text.contains(&cookie) && !text.contains(&token));
    }
}
