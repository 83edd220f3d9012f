//! Answers that are written to the socket as they are, because there is no request for the router to answer.
//!
//! hyper answers a request's head that it cannot read by itself, with an empty body. Every answer that is not a success
//! is RFC 9457 problem+json here, so [`GuardedIo`](super::guarded_io::GuardedIo) writes these in place of hyper's.

use std::sync::LazyLock;

use axum::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::error::ErrorCode;

/// When to try again a server that has no room: connections come and go within seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

const PROBLEM_JSON: &str = "application/problem+json";

/// Every answer as it is written, in the order of [`RawAnswer::ALL`].
static WRITTEN: LazyLock<[Vec<u8>; RawAnswer::ALL.len()]> =
    LazyLock::new(|| RawAnswer::ALL.map(RawAnswer::write));

/// An answer without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RawAnswer {
    /// The head of the request is not HTTP.
    MalformedRequest,
    /// The head of the request did not arrive in time.
    RequestTimeout,
    /// The address in the request's line is too long.
    UriTooLong,
    /// The head of the request is too large.
    HeadersTooLarge,
    /// There is no room for another connection.
    Overloaded,
}

impl RawAnswer {
    const ALL: [RawAnswer; 5] = [
        RawAnswer::MalformedRequest,
        RawAnswer::RequestTimeout,
        RawAnswer::UriTooLong,
        RawAnswer::HeadersTooLarge,
        RawAnswer::Overloaded,
    ];

    /// Returns what to write instead of an answer of hyper's own that begins like this, if it is one of those that
    /// hyper gives.
    pub(super) fn in_place_of(start: &[u8]) -> Option<RawAnswer> {
        // After a request of HTTP/1.0 hyper answers in kind.
        let status = start.strip_prefix(b"HTTP/1.")?.get(1..)?;
        match status.get(..5)? {
            b" 400 " => Some(RawAnswer::MalformedRequest),
            b" 408 " => Some(RawAnswer::RequestTimeout),
            b" 414 " => Some(RawAnswer::UriTooLong),
            b" 431 " => Some(RawAnswer::HeadersTooLarge),
            _ => None,
        }
    }

    /// Returns the answer as it is written to a connection of HTTP/1, which it ends.
    pub(super) fn bytes(self) -> &'static [u8] {
        &WRITTEN[self as usize]
    }

    /// Returns the answer for hyper to write.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.json()));
        *response.status_mut() = self.status();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response
    }

    fn status(self) -> StatusCode {
        match self {
            RawAnswer::MalformedRequest => StatusCode::BAD_REQUEST,
            RawAnswer::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            RawAnswer::UriTooLong => StatusCode::URI_TOO_LONG,
            RawAnswer::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            RawAnswer::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(self) -> ErrorCode {
        match self {
            RawAnswer::MalformedRequest => ErrorCode::MalformedRequest,
            RawAnswer::RequestTimeout => ErrorCode::RequestTimeout,
            RawAnswer::UriTooLong | RawAnswer::HeadersTooLarge => ErrorCode::HeadersTooLarge,
            RawAnswer::Overloaded => ErrorCode::Overloaded,
        }
    }

    fn title(self) -> &'static str {
        self.status().canonical_reason().unwrap_or_default()
    }

    fn json(self) -> String {
        let (title, status, code) = (self.title(), self.status().as_u16(), self.code());
        let retry_after = match self {
            RawAnswer::Overloaded => {
                format!(r#""retry_after_ms":{},"#, RETRY_AFTER_SECONDS * 1_000)
            }
            RawAnswer::MalformedRequest
            | RawAnswer::RequestTimeout
            | RawAnswer::UriTooLong
            | RawAnswer::HeadersTooLarge => String::new(),
        };
        format!(
            r#"{{"type":"about:blank","title":"{title}","status":{status},"code":"{}","retryable":{},{retry_after}"request_id":null}}"#,
            code.name(),
            code.is_transient(),
        )
    }

    fn write(self) -> Vec<u8> {
        let (status, title, body) = (self.status().as_u16(), self.title(), self.json());
        let retry_after = match self {
            RawAnswer::Overloaded => format!("retry-after: {RETRY_AFTER_SECONDS}\r\n"),
            RawAnswer::MalformedRequest
            | RawAnswer::RequestTimeout
            | RawAnswer::UriTooLong
            | RawAnswer::HeadersTooLarge => String::new(),
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status} {title}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {length}\r\n\
             connection: close\r\n{retry_after}\r\n{body}"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_whole_and_says_the_same_three_times() {
        for answer in RawAnswer::ALL {
            let text = std::str::from_utf8(answer.bytes()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let mut lines = head.split("\r\n");
            let status = answer.status().as_u16();
            assert_eq!(
                lines.next().unwrap(),
                format!("HTTP/1.1 {status} {}", answer.title())
            );
            let fields: Vec<_> = lines.collect();
            assert!(fields.contains(&"content-type: application/problem+json"));
            assert!(fields.contains(&"connection: close"));
            assert!(fields.contains(&format!("content-length: {}", body.len()).as_str()));
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["status"], status);
            assert_eq!(problem["title"], answer.title());
            assert_eq!(problem["code"], answer.code().name());
            assert_eq!(problem["type"], "about:blank");
            assert!(problem["request_id"].is_null());
        }
    }

    #[test]
    fn a_full_server_says_when_to_try_again() {
        let text = std::str::from_utf8(RawAnswer::Overloaded.bytes()).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(text.contains("\r\nretry-after: 1\r\n"));
        assert!(text.contains(r#""retryable":true,"retry_after_ms":1000,"#));
    }

    #[test]
    fn only_answers_that_hyper_gives_by_itself_have_a_place_to_take() {
        let check = |start: &str, expected: Option<RawAnswer>| {
            assert_eq!(
                RawAnswer::in_place_of(start.as_bytes()),
                expected,
                "{start}"
            );
        };
        check(
            "HTTP/1.1 400 Bad Request\r\n",
            Some(RawAnswer::MalformedRequest),
        );
        check(
            "HTTP/1.0 400 Bad Request\r\n",
            Some(RawAnswer::MalformedRequest),
        );
        check("HTTP/1.1 408 ", Some(RawAnswer::RequestTimeout));
        check("HTTP/1.1 414 ", Some(RawAnswer::UriTooLong));
        check("HTTP/1.1 431 ", Some(RawAnswer::HeadersTooLarge));
        check("HTTP/1.1 100 Continue\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\n", None);
        check("HTTP/1.1 400", None);
        check("HTTP/2.0 400 ", None);
        check("", None);
    }
}
