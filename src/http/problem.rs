//! Errors as clients see them: RFC 9457 problem documents, from every layer.
//!
//! A handler, an extractor or a middleware returns a [`Problem`]; it travels as an extension of an empty answer, and the
//! pipeline writes the document at the very end, when request id and trace are known. So no layer can answer with an error
//! of another shape, and what a server error was caused by reaches the log alone.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::dashboard;
use super::quotas::set_fields;
use crate::error::{Error, ErrorCode, Full, LogLevel};
use crate::observability::log_sampler::Sampled;

/// The media type of problem documents.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Longest detail in bytes: details quote what the client sent.
const DETAIL_BYTES_MAX: usize = 1_000;

/// When a client should come back where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who reads an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// A program.
    Client,
    /// A program that reads errors as OpenAI writes them.
    OpenAiClient,
    /// Somebody who looks at a page.
    Person,
}

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    code: ErrorCode,
    detail: String,
    remedy: Option<String>,
    retry_after: Option<Duration>,
    /// What was full.
    full: Option<Full>,
    /// The values of RateLimit-Policy and RateLimit.
    rate_limit: Option<Box<(String, String)>>,
    /// What is told to the operator and not to the client.
    cause: Option<String>,
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// Always `about:blank`: `code` tells kinds apart.
    r#type: &'static str,
    /// What the code means.
    pub(super) title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The stable code.
    code: &'static str,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    /// The id of the request, which the server's log has as well.
    pub(super) request_id: String,
    /// The id of the trace.
    trace_id: String,
    /// Whether the same request can succeed later.
    retryable: bool,
    /// When it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The same in the shape that OpenAI clients read; on their routes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<OpenAiError>,
}

/// An error as OpenAI clients read it.
#[derive(Debug, Serialize, ToSchema)]
struct OpenAiError {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: &'static str,
}

impl Problem {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Problem {
        Problem {
            code,
            detail: detail.into(),
            remedy: None,
            retry_after: None,
            full: None,
            rate_limit: None,
            cause: None,
        }
    }

    /// Returns what was full, where that is why.
    pub(super) fn full(&self) -> Option<Full> {
        self.full
    }

    #[must_use]
    pub(super) fn with_remedy(mut self, remedy: impl Into<String>) -> Problem {
        self.remedy = Some(remedy.into());
        self
    }

    #[must_use]
    pub(super) fn with_retry_after(mut self, retry_after: Duration) -> Problem {
        self.retry_after = Some(retry_after);
        self
    }

    /// Adds the values of RateLimit-Policy and RateLimit.
    #[must_use]
    pub(super) fn with_rate_limit(mut self, fields: Option<(String, String)>) -> Problem {
        self.rate_limit = fields.map(Box::new);
        self
    }

    pub(super) fn code(&self) -> ErrorCode {
        self.code
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Writes the log line, once, where the error is handled, unless it is left out.
    pub(super) fn log(&self, sampled: Sampled) {
        if sampled == Sampled::LeftOut {
            return;
        }
        let (code, left_out) = (self.code.name(), sampled.left_out());
        let cause = self.cause.as_deref().unwrap_or(&self.detail);
        match self.code.log_level() {
            LogLevel::Debug => tracing::debug!(code, left_out, "Refused: {cause}"),
            LogLevel::Warn => tracing::warn!(code, left_out, "Refused: {cause}"),
            LogLevel::Error => tracing::error!(code, left_out, "Failed: {cause}"),
        }
    }

    /// Writes the document.
    pub(super) fn render(&self, request_id: &str, trace_id: &str, reader: Reader) -> Response {
        let retry_after =
            self.retry_after
                .or((self.code.is_transient() && self.code.http_status() == 503)
                    .then_some(RETRY_AFTER));
        let detail = (!self.detail.is_empty()).then(|| cut(&self.detail, DETAIL_BYTES_MAX));
        let remedy = self
            .remedy
            .as_deref()
            .map(|text| cut(text, DETAIL_BYTES_MAX));
        let error = (reader == Reader::OpenAiClient).then(|| OpenAiError {
            message: match (&detail, &remedy) {
                (Some(detail), Some(remedy)) => format!("{detail} ({remedy})"),
                (Some(detail), None) => detail.clone(),
                (None, _) => self.code.meaning().to_owned(),
            },
            r#type: openai_type(self.code),
            param: None,
            code: self.code.name(),
        });
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.code.meaning(),
            status: self.code.http_status(),
            code: self.code.name(),
            detail,
            remedy,
            request_id: request_id.to_owned(),
            trace_id: trace_id.to_owned(),
            retryable: self.code.is_transient(),
            retry_after_ms: retry_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            error,
        };
        let mut response = if reader == Reader::Person {
            dashboard::refusal(&body)
        } else {
            let bytes = serde_json::to_vec(&body).unwrap_or_default();
            let kind = HeaderValue::from_static(MEDIA_TYPE);
            ([(header::CONTENT_TYPE, kind)], bytes).into_response()
        };
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = retry_after {
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        if let Some(fields) = &self.rate_limit {
            let (policy, state) = &**fields;
            set_fields(headers, policy, state);
        }
        if self.code == ErrorCode::Unauthenticated {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"embedder\""),
            );
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let code = error.code();
        let (mut retry_after, mut full) = (None, None);
        if let Error::Busy {
            full: what,
            retry_after: after,
            ..
        } = &error
        {
            (retry_after, full) = (Some(*after), Some(*what));
        }
        if let Error::Unavailable {
            retry_after: after, ..
        } = &error
        {
            retry_after = Some(*after);
        }
        // What went wrong inside may name paths, hosts or texts: it is the operator's business. These were written for
        // clients.
        let is_for_clients = matches!(
            error,
            Error::Busy { .. } | Error::Unavailable { .. } | Error::Reported { .. }
        ) && code.http_status() != 500
            && code != ErrorCode::ModelUnavailable;
        if code.http_status() >= 500 && !is_for_clients {
            let remedy = if code == ErrorCode::ModelUnavailable {
                "`embedder models pull` installs one; the server finds it"
            } else if code.is_transient() {
                "try again in a moment; the server's log has the cause under this request id"
            } else {
                "the server's log has the cause under this request id"
            };
            return Problem {
                code,
                detail: String::new(),
                remedy: Some(remedy.to_owned()),
                retry_after,
                full,
                rate_limit: None,
                cause: Some(error.with_remedy()),
            };
        }
        let remedy = if let Error::CollectionMissing { .. } = &error {
            // Not the command line's, and not the names of others.
            Some("GET /v1/collections lists what there is, PUT makes one".to_owned())
        } else {
            error.remedy()
        };
        Problem {
            code,
            detail: error.to_string(),
            remedy,
            retry_after,
            full,
            rate_limit: None,
            cause: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn openai_type(code: ErrorCode) -> &'static str {
    match code.http_status() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    fn body(problem: &Problem, reader: Reader) -> serde_json::Value {
        let response = problem.render("request-1", "trace-1", reader);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        let bytes = futures_util::FutureExt::now_or_never(axum::body::to_bytes(
            response.into_body(),
            usize::MAX,
        ));
        serde_json::from_slice(&bytes.unwrap().unwrap()).unwrap()
    }

    #[test]
    fn every_code_gives_a_problem_document_of_its_status() {
        for &code in ErrorCode::ALL {
            let body = body(&Problem::new(code, "what happened"), Reader::Client);
            assert_eq!(body["status"], code.http_status());
            assert_eq!(body["code"], code.name());
            assert_eq!(body["request_id"], "request-1");
            assert!(body["title"].as_str().unwrap().len() > 10, "{body}");
            assert!(body.get("error").is_none());
        }
    }

    #[test]
    fn what_failed_inside_is_told_to_the_log_alone() {
        let canary = "/home/secret-canary/content.db";
        let errors = [
            Error::Internal(canary.to_owned()),
            Error::io("read", canary, std::io::Error::other(canary)),
            Error::io(
                "write",
                canary,
                std::io::Error::from(std::io::ErrorKind::StorageFull),
            ),
            Error::Locked {
                data_dir: canary.into(),
                pid: None,
            },
            StoreError::Stopped {
                path: canary.into(),
            }
            .into(),
            Error::Reported {
                code: ErrorCode::ModelUnavailable,
                message: canary.to_owned(),
                remedy: Some(canary.to_owned()),
            },
        ];
        for error in errors {
            let problem = Problem::from(error);
            assert!(problem.code.http_status() >= 500);
            let text = body(&problem, Reader::OpenAiClient).to_string();
            assert!(!text.contains("canary"), "{text}");
            assert!(problem.cause.unwrap().contains("canary"));
        }
    }

    #[test]
    fn openai_clients_find_the_shape_they_read() {
        let problem = Problem::new(ErrorCode::InvalidRequest, "it is too long")
            .with_remedy("send `truncate`");
        let body = body(&problem, Reader::OpenAiClient);
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["message"], "it is too long (send `truncate`)");
    }

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let problem = Problem::from(Error::Busy {
            full: Full::WorkQueue,
            what: "the queue is full".to_owned(),
            retry_after: Duration::from_millis(1_200),
        });
        let response = problem.render("r", "t", Reader::Client);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(body(&problem, Reader::Client)["retry_after_ms"], 1_200);
    }

    #[test]
    fn a_detail_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("abc", 10), "abc");
    }
}
