//! Who is calling, and whether they may.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use embedder_reliability::Timestamp;
use embedder_reliability::admission::CallerId;

use super::app::App;
use super::browser::{self, SessionCookie};
use super::extract::Deadline;
use super::listener::Peer;
use super::problem::Problem;
use super::quotas::Asking;
use super::routes::{Needs, Route};
use crate::clock;
use crate::clock::now_ms;
use crate::engine::access::{CsrfToken, KeyId, Principal};
use crate::engine::audit::DenialReason;
use crate::engine::serving::measure::auth_failure;
use crate::error::{Error, ErrorCode};
use crate::observability::metrics::AuthFailure;

/// Longest answer of an address that has no limit of its own.
const OPEN_ENDED: Duration = Duration::from_secs(24 * 60 * 60);

/// The one whose request this is.
#[derive(Clone)]
pub(super) struct Caller {
    principal: Arc<Principal>,
    app: App,
    route: &'static str,
    is_at: &'static Route,
    address: Option<IpAddr>,
    /// When its first unit of work was taken.
    began: Timestamp,
}

impl Caller {
    pub(super) fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Returns who it is, to share fairly among: the key, or where nobody is asked for one the address.
    pub(super) fn id(&self) -> CallerId {
        let mut hasher = DefaultHasher::new();
        match self.principal.key_id {
            Some(key) => key.hash(&mut hasher),
            None => self.address.hash(&mut hasher),
        }
        CallerId(hasher.finish())
    }

    /// Takes the units of work of a request whose size is known now.
    pub(super) fn take_all(&self, units: u32, now: Timestamp) -> Result<(), Problem> {
        let asking = Asking {
            principal: &self.principal,
            route: self.is_at,
            now,
        };
        let metrics = self.app.service.metrics();
        self.app
            .quotas
            .take_all(&asking, self.began, units, metrics)
    }

    /// Whether there is a collection of this name for the caller.
    pub(super) fn sees(&self, collection: &str) -> bool {
        self.principal.sees(collection)
    }

    /// Refuses a collection that the caller may not see, as if it were not there.
    pub(super) fn must_see(&self, collection: &str) -> Result<(), Problem> {
        if self.principal.sees(collection) {
            return Ok(());
        }
        let key_id = self.principal.key_id;
        note(
            &self.app,
            DenialReason::Collection,
            key_id,
            self.address,
            self.route,
        );
        Err(Error::CollectionMissing {
            name: collection.chars().take(128).collect(),
            known: Vec::new(),
        }
        .into())
    }

    /// Returns who it is, for the audit log.
    pub(super) fn actor(&self) -> String {
        self.principal.actor()
    }
}

/// Counts a request that is refused.
pub(super) fn note(
    app: &App,
    reason: DenialReason,
    key_id: Option<KeyId>,
    address: Option<IpAddr>,
    route: &'static str,
) {
    app.service
        .access
        .note_denial(reason, key_id, address, route);
    if let Some(failure) = auth_failure(reason) {
        app.service.metrics().auth_failures_total[failure].inc();
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| Problem::new(ErrorCode::Unauthenticated, "a key is needed"))
    }
}

/// Lets a request through to its handler if its caller may make it, and no longer than its deadline.
pub(super) async fn guard(
    State((app, route)): State<(App, &'static Route)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let limits = &app.service.config().server;
    let time_max = if route.is_open_ended {
        OPEN_ENDED
    } else if route.is_bulk {
        limits.embed_time_max
    } else {
        limits.request_time_max
    };
    let deadline = Deadline::of(request.headers(), clock::now(), time_max)?;
    let peer = request.extensions().get::<Peer>().copied();
    let peer = peer.map(|peer| peer.address.ip());
    let address = peer.map(|peer| app.quotas.client(peer, request.headers()));
    let now = app.service.clock.at(deadline.began);
    let principal = identify(&app, route, &request, peer, address, now)?;
    let taken = match &principal {
        Some(principal) if !app.is_ops => {
            let asking = Asking {
                principal,
                route,
                now,
            };
            Some(app.quotas.take(&asking, 1, app.service.metrics())?)
        }
        Some(_) => None,
        None => {
            // Probes cost nothing, and who is refused one takes the server for dead.
            if !app.is_ops && !route.is_ops {
                app.quotas
                    .without_key(address, now, app.service.metrics())?;
            }
            None
        }
    };
    let extensions = request.extensions_mut();
    extensions.insert(route);
    extensions.insert(deadline);
    let mut asking = None;
    if let Some(principal) = principal {
        let caller = Caller {
            principal,
            app: app.clone(),
            route: route.path,
            is_at: route,
            address,
            began: now,
        };
        asking = Some(caller.id());
        extensions.insert(caller);
    }
    let answer = tokio::time::timeout_at(deadline.at.into(), next.run(request)).await;
    let answer = answer.map(|mut answer| {
        if let Some(taken) = taken {
            taken.tell(answer.headers_mut());
        }
        answer
    });
    let answer = answer.map_err(|_| {
        Problem::new(
            ErrorCode::Timeout,
            "the answer was not ready at the deadline",
        )
        .with_remedy("allow more time, or ask for less at once")
    })?;
    match asking {
        Some(caller) => {
            let pressure = app.service.memory.pressure();
            let unread = app.unread_answers();
            // What was done is told, and how the server is.
            let is_due = route.is_write() || route.is_ops;
            Ok(unread.count(caller, answer, is_due, pressure)?)
        }
        None => Ok(answer),
    }
}

/// Returns who is calling; nobody where the address asks for nothing and the caller shows no key.
fn identify(
    app: &App,
    route: &Route,
    request: &Request,
    peer: Option<IpAddr>,
    address: Option<IpAddr>,
    at: Timestamp,
) -> Result<Option<Arc<Principal>>, Problem> {
    let headers = request.headers();
    let now = now_ms();
    let denied = |reason: DenialReason, key_id: Option<KeyId>, problem: Problem| {
        note(app, reason, key_id, address, route.path);
        problem
    };
    if route.needs == Needs::Form {
        // A form cannot send the header that a session needs to change something; what it holds in its place is looked at
        // by the address that does what is asked.
        return Ok(None);
    }
    if app.no_auth {
        return Ok(Some(app.service.access.anonymous()));
    }
    // The peer itself: who a header names is never an authorisation.
    if app.is_ops && peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return Ok(Some(app.service.access.local_ops()));
    }
    let principal = match bearer(headers) {
        Some(token) => match app.service.access.authenticate(token, now) {
            Ok(principal) => Some(principal),
            // A probe with an old key is still a probe.
            Err(_) if route.needs == Needs::Nothing => None,
            Err(error) => {
                let problem = denied(error.into(), error.key_id(), unknown_key());
                throttle(app, address, at)?;
                return Err(problem);
            }
        },
        None => {
            let session = SessionCookie::of(headers, request.uri())
                .read(headers)
                .and_then(|cookie| app.service.access.session(cookie, now));
            match session {
                Some((principal, csrf)) if is_meant(request.method(), headers, &csrf) => {
                    Some(principal)
                }
                Some((principal, _)) => {
                    let problem = Problem::new(
                        ErrorCode::CrossSite,
                        "a session that changes something sends its X-CSRF-Token",
                    );
                    return Err(denied(DenialReason::Csrf, principal.key_id, problem));
                }
                None => None,
            }
        }
    };
    let Some(principal) = principal else {
        return match route.needs {
            Needs::Nothing | Needs::Form => Ok(None),
            Needs::Key | Needs::Scope(_) => {
                let problem = denied(DenialReason::NoKey, None, no_key());
                app.quotas.without_key(address, at, app.service.metrics())?;
                Err(problem)
            }
        };
    };
    if let Needs::Scope(scope) = route.needs
        && !principal.may(scope)
    {
        let problem = Problem::new(
            ErrorCode::Forbidden,
            format!("the key has not the scope `{}`", scope.name()),
        )
        .with_remedy("ask the operator for a key with this scope (`embedder keys create`)");
        return Err(denied(DenialReason::Scope, principal.key_id, problem));
    }
    Ok(Some(principal))
}

/// Counts a key that does not open, and refuses to say so to an address that has shown too many.
fn throttle(app: &App, address: Option<IpAddr>, now: Timestamp) -> Result<(), Problem> {
    let metrics = app.service.metrics();
    app.quotas
        .wrong_key(address, now, metrics)
        .inspect_err(|_| metrics.auth_failures_total[AuthFailure::Throttled].inc())
}

/// Returns the key that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// Whether a request with a session's cookie comes from one of our own pages.
fn is_meant(method: &Method, headers: &HeaderMap, csrf: &CsrfToken) -> bool {
    let sent = headers
        .get(browser::CSRF)
        .and_then(|value| value.to_str().ok());
    browser::is_safe(method) || sent.is_some_and(|sent| csrf.matches(sent))
}

fn no_key() -> Problem {
    Problem::new(ErrorCode::Unauthenticated, "a key is needed").with_remedy(
        "send Authorization: Bearer KEY; `embedder keys local` prints the key of this machine's owner",
    )
}

/// One answer for every key that does not open: which of them it was is nobody's business.
fn unknown_key() -> Problem {
    Problem::new(ErrorCode::Unauthenticated, "the key is not known here")
        .with_remedy("check the key; it may have expired or been revoked")
}
