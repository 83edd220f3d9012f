//! Every address with what it needs, in one table: the router, the guard, the metrics and the documentation are made of it.

use axum::Router;
use axum::middleware;
use axum::routing::{self, MethodRouter};

use super::app::App;
use super::{
    admin, collections, dashboard, documents, drills, embeddings, files, guard, jobs, mcp, pages,
    probes, resilience, search, sessions, sources,
};
use crate::engine::access::Scope;

/// What an address asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// What a form of our own pages holds: the page's handler shows it to the address that does what is asked.
    Form,
    /// A key, of any scope.
    Key,
    /// A key of this scope.
    Scope(Scope),
}

/// A kind of work, by what it needs most of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// The encoder.
    Embedding,
    /// Threads that search.
    Searching,
    /// Neither.
    Any,
}

/// An address.
pub(super) struct Route {
    /// `GET`, `PUT`, …
    pub(super) method: &'static str,
    /// Its path, with the names of its parts in braces.
    pub(super) path: &'static str,
    /// What it asks of its caller.
    pub(super) needs: Needs,
    /// What kind of work it is.
    pub(super) work: Work,
    /// Whether its body may be large and its answer take long.
    pub(super) is_bulk: bool,
    /// Whether its answer may take as long as it wants: it is made of calls that have limits of their own.
    pub(super) is_open_ended: bool,
    /// Whether it answers on the ops listener as well.
    pub(super) is_ops: bool,
    /// Whether it is a page of the dashboard, and no part of the API.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "the documentation of the API is compared with the rest"
        )
    )]
    pub(super) is_page: bool,
    handler: fn() -> MethodRouter<App>,
}

impl Route {
    /// Whether it writes documents.
    pub(super) fn is_write(&self) -> bool {
        self.is_bulk && self.work != Work::Embedding
    }
}

const fn route(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    handler: fn() -> MethodRouter<App>,
) -> Route {
    Route {
        method,
        path,
        needs,
        work: Work::Any,
        is_bulk: false,
        is_open_ended: false,
        is_ops: false,
        is_page: false,
        handler,
    }
}

const fn open_ended(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    handler: fn() -> MethodRouter<App>,
) -> Route {
    Route {
        is_open_ended: true,
        ..route(method, path, needs, handler)
    }
}

const fn page(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    handler: fn() -> MethodRouter<App>,
) -> Route {
    Route {
        is_page: true,
        ..route(method, path, needs, handler)
    }
}

const fn bulk(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    handler: fn() -> MethodRouter<App>,
) -> Route {
    Route {
        is_bulk: true,
        ..route(method, path, needs, handler)
    }
}

const fn searching(path: &'static str, handler: fn() -> MethodRouter<App>) -> Route {
    Route {
        work: Work::Searching,
        ..route("POST", path, Of(Searching), handler)
    }
}

const fn embedding(path: &'static str, handler: fn() -> MethodRouter<App>) -> Route {
    Route {
        work: Work::Embedding,
        ..bulk("POST", path, Of(Embed), handler)
    }
}

const fn ops(path: &'static str, needs: Needs, handler: fn() -> MethodRouter<App>) -> Route {
    Route {
        is_ops: true,
        ..route("GET", path, needs, handler)
    }
}

use Needs::{Form, Key, Nothing, Scope as Of};
use Scope::{
    AdminAudit, AdminBreakers, AdminKeys, AdminRoots, CollectionsRead, CollectionsWrite, Embed,
    OpsRead, Search as Searching, SourcesWrite,
};

/// Every address.
#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    ops("/livez", Nothing, || routing::get(probes::livez)),
    ops("/readyz", Nothing, || routing::get(probes::readyz)),
    ops("/startupz", Nothing, || routing::get(probes::startupz)),
    ops("/health", Nothing, || routing::get(probes::health)),
    ops("/metrics", Of(OpsRead), || routing::get(probes::metrics)),

    page("GET", "/", Nothing, || routing::get(dashboard::overview)),
    page("GET", "/search", Nothing, || routing::get(dashboard::search)),
    page("GET", "/collections/{collection}", Nothing, || routing::get(dashboard::collection)),
    page("GET", "/collections/{collection}/files/{path}", Nothing, || routing::get(dashboard::file)),
    page("GET", "/jobs", Nothing, || routing::get(dashboard::jobs)),
    page("GET", "/jobs/{id}", Nothing, || routing::get(dashboard::job)),
    page("POST", "/jobs/{id}/cancel", Form, || dashboard::form(dashboard::cancel_job)),
    page("GET", "/live", Nothing, || routing::get(dashboard::live)),
    page("GET", "/sign-in", Nothing, || routing::get(dashboard::sign_in)),
    page("POST", "/sign-in", Form, || dashboard::form(dashboard::signed_in)),
    page("POST", "/sign-out", Form, || dashboard::form(dashboard::sign_out)),
    page("GET", "/assets/{name}", Nothing, || routing::get(dashboard::asset)),
    route("GET", "/docs", Nothing, || routing::get(pages::docs)),
    route("GET", "/openapi.json", Nothing, || routing::get(pages::openapi)),
    route("GET", "/session", Nothing, || routing::get(sessions::redeem)),
    route("DELETE", "/session", Key, || routing::delete(sessions::end)),
    route("GET", "/v1/whoami", Key, || routing::get(sessions::whoami)),

    embedding("/v1/embeddings", || routing::post(embeddings::create)),
    route("GET", "/v1/models", Of(Embed), || routing::get(embeddings::list_models)),
    route("GET", "/v1/models/{model}", Of(Embed), || routing::get(embeddings::get_model)),

    route("GET", "/v1/collections", Of(CollectionsRead), || routing::get(collections::list)),
    route("GET", "/v1/collections/{collection}", Of(CollectionsRead), || routing::get(collections::get)),
    route("PUT", "/v1/collections/{collection}", Of(CollectionsWrite), || routing::put(collections::put)),
    route("DELETE", "/v1/collections/{collection}", Of(CollectionsWrite), || routing::delete(collections::delete)),

    bulk("POST", "/v1/collections/{collection}/documents", Of(CollectionsWrite), || routing::post(documents::put)),
    route("GET", "/v1/collections/{collection}/documents/{id}", Of(CollectionsRead), || routing::get(documents::get)),
    route("DELETE", "/v1/collections/{collection}/documents/{id}", Of(CollectionsWrite), || routing::delete(documents::delete)),

    route("POST", "/v1/collections/{collection}/sources", Of(SourcesWrite), || routing::post(sources::add)),
    route("GET", "/v1/collections/{collection}/sources", Of(CollectionsRead), || routing::get(sources::list)),
    route("GET", "/v1/collections/{collection}/sources/{id}", Of(CollectionsRead), || routing::get(sources::get)),
    route("GET", "/v1/collections/{collection}/sources/{id}/skipped", Of(CollectionsRead), || routing::get(sources::skipped)),
    route("DELETE", "/v1/collections/{collection}/sources/{id}", Of(SourcesWrite), || routing::delete(sources::delete)),

    open_ended("POST", "/mcp", Key, || routing::post(mcp::answer)),

    searching("/v1/collections/{collection}/search", || routing::post(search::in_collection)),
    searching("/v1/search", || routing::post(search::in_several)),
    searching("/v1/collections/{collection}/related", || routing::post(search::related)),
    route("GET", "/v1/collections/{collection}/files/{path}", Of(Searching), || routing::get(files::read)),

    route("GET", "/v1/jobs", Of(CollectionsRead), || routing::get(jobs::list)),
    route("GET", "/v1/jobs/{id}", Of(CollectionsRead), || routing::get(jobs::get)),
    route("DELETE", "/v1/jobs/{id}", Of(SourcesWrite), || routing::delete(jobs::cancel)),
    route("GET", "/v1/jobs/{id}/events", Of(CollectionsRead), || routing::get(jobs::events)),
    route("GET", "/v1/jobs/{id}/failures", Of(CollectionsRead), || routing::get(jobs::failures)),

    route("GET", "/v1/admin/status", Of(OpsRead), || routing::get(admin::status)),
    route("GET", "/v1/admin/keys", Of(AdminKeys), || routing::get(admin::list_keys)),
    route("POST", "/v1/admin/keys", Of(AdminKeys), || routing::post(admin::create_key)),
    route("DELETE", "/v1/admin/keys/{id}", Of(AdminKeys), || routing::delete(admin::revoke_key)),
    route("POST", "/v1/admin/keys/{id}/rotate", Of(AdminKeys), || routing::post(admin::rotate_key)),
    route("GET", "/v1/admin/roots", Of(AdminRoots), || routing::get(admin::list_roots)),
    route("POST", "/v1/admin/roots", Of(AdminRoots), || routing::post(admin::add_root)),
    route("DELETE", "/v1/admin/roots", Of(AdminRoots), || routing::delete(admin::remove_root)),
    route("GET", "/v1/admin/breakers", Of(OpsRead), || routing::get(resilience::breakers)),
    route("PUT", "/v1/admin/breakers/{dependency}", Of(AdminBreakers), || routing::put(resilience::order_breaker)),
    route("GET", "/v1/admin/degradation", Of(OpsRead), || routing::get(resilience::degradation)),
    route("PUT", "/v1/admin/degradation", Of(AdminBreakers), || routing::put(resilience::order_degradation)),
    route("DELETE", "/v1/admin/degradation", Of(AdminBreakers), || routing::delete(resilience::end_degradation)),
    route("POST", "/v1/admin/drills/breaker", Of(AdminBreakers), || routing::post(drills::drill_breaker)),
    route("POST", "/v1/admin/drills/retry", Of(AdminBreakers), || routing::post(drills::drill_retry)),
    route("POST", "/v1/admin/drills/degradation", Of(AdminBreakers), || routing::post(drills::drill_degradation)),
    route("POST", "/v1/admin/drills/recovery", Of(AdminBreakers), || routing::post(drills::drill_recovery)),
    route("POST", "/v1/admin/sessions", Key, || routing::post(sessions::open)),
    route("GET", "/v1/admin/audit", Of(AdminAudit), || routing::get(admin::audit)),
    route("GET", "/v1/admin/audit/verify", Of(AdminAudit), || routing::get(admin::verify_audit)),
];

impl Route {
    /// An address that is in no table: for tests alone.
    #[cfg(debug_assertions)]
    pub(super) const fn of_operator(
        method: &'static str,
        path: &'static str,
        needs: Needs,
    ) -> Route {
        route(method, path, needs, MethodRouter::new)
    }

    /// Returns the pattern of the router: ids of documents and paths of files may hold slashes, written as they are or as
    /// %2F.
    pub(super) fn pattern(&self) -> String {
        let may_hold_slashes =
            self.path.ends_with("/files/{path}") || self.path.ends_with("/documents/{id}");
        match self.path.rsplit_once('{') {
            Some((head, name)) if may_hold_slashes => format!("{head}{{*{name}"),
            _ => self.path.to_owned(),
        }
    }
}

/// The label of addresses that do not exist.
pub(super) const UNMATCHED: &str = "unmatched";

/// Returns the paths by which metrics tell addresses apart, each once, the last for all that do not exist.
pub(crate) fn labels() -> Vec<&'static str> {
    let mut labels: Vec<&'static str> = Vec::new();
    for route in ROUTES {
        if !labels.contains(&route.path) {
            labels.push(route.path);
        }
    }
    labels.push(UNMATCHED);
    labels
}

/// Makes the router of all addresses, or of those that the ops listener answers.
pub(super) fn router(app: &App, ops_only: bool) -> Router<App> {
    let chosen = ROUTES.iter().filter(|route| !ops_only || route.is_ops);
    chosen.fold(Router::new(), |router, route| {
        let state = (app.clone(), route);
        let handler =
            (route.handler)().route_layer(middleware::from_fn_with_state(state, guard::guard));
        router.route(&route.pattern(), handler)
    })
}
