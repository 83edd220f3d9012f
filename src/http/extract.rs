//! What handlers take from a request, each refused as a problem where it cannot be used.

use std::time::{Duration, Instant};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use embedder_reliability::admission::Priority;
use serde::de::DeserializeOwned;

use super::app::App;
use super::guard::Caller;
use super::problem::Problem;
use super::routes::{Route, Work};
use super::whole_body;
use crate::engine::serving::door::Inside;
use crate::error::ErrorCode;

/// The caller's deadline, in milliseconds from now.
pub(super) const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// The header by which a caller says that nobody waits: `bulk`.
const PRIORITY: HeaderName = HeaderName::from_static("x-priority");

/// The header by which a caller says that it has asked before, and how often.
const RETRY_ATTEMPT: HeaderName = HeaderName::from_static("x-retry-attempt");

/// A JSON body. Its type must be `application/json`, it must be whole, and every field must be known.
pub(super) struct Json<T>(pub(super) T);

/// The same, behind the door of the address's kind of work: the body is whole before the door is tried, and is not looked at
/// by those who are refused.
pub(super) struct Admitted<T> {
    pub(super) body: T,
    /// To be kept until the work is done.
    pub(super) inside: Inside,
}

/// The query of the address. Every parameter must be known.
pub(super) struct Query<T>(pub(super) T);

/// Parts of the path.
pub(super) struct Path<T>(pub(super) T);

/// When an answer must be there, and when the head of the request came: the one reading of the clock that all it passes go
/// by. What is decided once its body is there goes by another, because a client may take its time with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) began: Instant,
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let bytes = body_of(request, app).await?;
        parse(&bytes).map(Json)
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Admitted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let extensions = request.extensions();
        let (Some(caller), Some(deadline), Some(route)) = (
            extensions.get::<Caller>().cloned(),
            extensions.get::<Deadline>().copied(),
            extensions.get::<&'static Route>().copied(),
        ) else {
            return Err(Problem::new(
                ErrorCode::Internal,
                "a request without a guard",
            ));
        };
        let (is_bulk, priority) = priority_of(request.headers());
        if is_bulk {
            app.service.memory.check_bulk()?;
        }
        let bytes = body_of(request, app).await?;
        let doors = &app.service.doors;
        let door = match route.work {
            Work::Embedding if is_bulk => &doors.bulk_embed,
            Work::Embedding => &doors.embed,
            Work::Any if route.is_bulk => &doors.write,
            Work::Searching | Work::Any => &doors.search,
        };
        // The body may have taken its time.
        let now = app.service.clock.now();
        let inside = door.enter(caller.id(), priority, now, deadline.at).await?;
        let body = parse(&bytes)?;
        Ok(Admitted { body, inside })
    }
}

/// Reads the whole of a JSON body, of the size that the address takes.
async fn body_of(request: Request, app: &App) -> Result<Bytes, Problem> {
    require_json(request.headers())?;
    let is_bulk = request
        .extensions()
        .get::<&'static Route>()
        .is_some_and(|route| route.is_bulk);
    let limits = &app.service.config().server;
    let limit = if is_bulk {
        limits.bulk_bytes_max
    } else {
        limits.body_bytes_max
    };
    whole_body::read(request, limit, &app.service.memory).await
}

/// Returns whether nobody waits for a request, and who goes before it.
fn priority_of(headers: &HeaderMap) -> (bool, Priority) {
    let is_bulk = headers.get(PRIORITY).is_some_and(|value| value == "bulk");
    let attempt = headers.get(RETRY_ATTEMPT).map(|value| value.as_bytes());
    let priority = if attempt.is_some_and(|attempt| attempt != b"0") {
        Priority::Retried
    } else if is_bulk {
        Priority::Bulk
    } else {
        Priority::Interactive
    };
    (is_bulk, priority)
}

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|rejection| {
                Problem::new(ErrorCode::InvalidRequest, rejection.body_text())
                    .with_remedy("see /docs for the parameters of this address")
            })
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Path(value)| Path(value))
            .map_err(|rejection| Problem::new(ErrorCode::MalformedRequest, rejection.body_text()))
    }
}

impl FromRequestParts<App> for Deadline {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Deadline>()
            .copied()
            .ok_or_else(|| Problem::new(ErrorCode::Internal, "a request without a deadline"))
    }
}

impl Deadline {
    fn after(now: Instant, time: Duration) -> Deadline {
        Deadline {
            at: now + time,
            began: now,
        }
    }

    /// Reads the caller's deadline; no later than `time_max` from now.
    pub(super) fn of(
        headers: &HeaderMap,
        now: Instant,
        time_max: Duration,
    ) -> Result<Deadline, Problem> {
        let Some(value) = headers.get(REQUEST_TIMEOUT) else {
            return Ok(Deadline::after(now, time_max));
        };
        let ms = value.to_str().ok().and_then(|text| text.parse().ok());
        match ms {
            Some(ms @ 1..) => Ok(Deadline::after(
                now,
                Duration::from_millis(ms).min(time_max),
            )),
            _ => Err(Problem::new(
                ErrorCode::InvalidRequest,
                "the header X-Request-Timeout-Ms is not a whole number of milliseconds from 1 on",
            )
            .with_remedy("for example X-Request-Timeout-Ms: 2000")),
        }
    }
}

/// Refuses a body that is not plain JSON. A page of another site cannot send this type without asking first.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim)
        .unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            ErrorCode::UnsupportedMediaType,
            format!("the body's type is {media_type:?}"),
        )
        .with_remedy("send Content-Type: application/json"));
    }
    // A few kilobytes of an encoded body can be gigabytes, so bodies come as they are.
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(
            Problem::new(ErrorCode::UnsupportedMediaType, "the body is encoded")
                .with_remedy("send it without Content-Encoding"),
        );
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        unreadable(&error.into_inner(), &place)
    })?;
    json.end().map_err(|error| unreadable(&error, "."))?;
    Ok(value)
}

fn unreadable(error: &serde_json::Error, place: &str) -> Problem {
    let code = if error.is_data() {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::MalformedRequest
    };
    let at = if place == "." {
        String::new()
    } else {
        format!(" at `{place}`")
    };
    Problem::new(code, format!("the body cannot be read{at}: {error}"))
        .with_remedy("see /docs for what this address takes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Body {
        number: u32,
        list: Option<Vec<String>>,
    }

    fn code_of(text: &str) -> Option<ErrorCode> {
        parse::<Body>(text.as_bytes())
            .err()
            .map(|problem| problem.code())
    }

    #[test]
    fn what_is_no_json_is_told_from_json_that_does_not_fit() {
        assert_eq!(code_of(r#"{"number": 1}"#), None);
        for malformed in ["", "{", "{\"number\": }", "nonsense", "{\"number\": NaN}"] {
            assert_eq!(
                code_of(malformed),
                Some(ErrorCode::MalformedRequest),
                "{malformed}"
            );
        }
        for unfit in [
            "[]",
            r#"{"number": "1"}"#,
            r#"{"number": -1}"#,
            r#"{"number": 1, "unknown": 2}"#,
            r#"{"number": 1, "number": 2}"#,
            r#"{"number": 1, "list": [1]}"#,
        ] {
            assert_eq!(code_of(unfit), Some(ErrorCode::InvalidRequest), "{unfit}");
        }
    }

    #[test]
    fn depth_does_not_exhaust_the_stack() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(code_of(&deep), Some(ErrorCode::InvalidRequest));
        assert!(parse::<serde_json::Value>(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Body>(&bytes);
        }

        #[test]
        fn any_deadline_is_read_or_refused(value in "[ -~]{0,20}") {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_TIMEOUT, value.parse().unwrap());
            let now = Instant::now();
            if let Ok(Deadline { at, .. }) = Deadline::of(&headers, now, Duration::from_secs(5)) {
                prop_assert!(at > now && at <= now + Duration::from_secs(5));
            }
        }
    }

    #[test]
    fn only_json_as_it_is_is_taken() {
        let headers = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            pairs.collect::<HeaderMap>()
        };
        let json = ("content-type", "application/json");
        assert!(require_json(&headers(&[json])).is_ok());
        assert!(
            require_json(&headers(&[(
                "content-type",
                "Application/JSON; charset=utf-8"
            )]))
            .is_ok()
        );
        for refused in [
            vec![],
            vec![("content-type", "text/plain")],
            vec![("content-type", "application/x-www-form-urlencoded")],
            vec![json, ("content-encoding", "gzip")],
        ] {
            let problem = require_json(&headers(&refused)).unwrap_err();
            assert_eq!(
                problem.code(),
                ErrorCode::UnsupportedMediaType,
                "{refused:?}"
            );
        }
    }
}
