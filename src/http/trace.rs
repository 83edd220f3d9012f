//! What a request is called: its id, and the trace it belongs to.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName};

/// The header with the request's id, in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header of W3C Trace Context.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Ids that clients may choose: long enough to be one, short enough for a log line.
const ID_CHARS: std::ops::RangeInclusive<usize> = 8..=64;

/// The names of one request.
#[derive(Debug, Clone)]
pub(crate) struct RequestNames {
    /// The client's own id, if it is one, else a new one.
    pub(crate) id: String,
    /// 32 hexadecimal digits.
    pub(crate) trace_id: String,
    /// The span of this request: 16 hexadecimal digits.
    span_id: String,
    is_sampled: bool,
}

impl RequestNames {
    /// Takes them from the headers, or makes new ones from `fresh`.
    pub(super) fn of(headers: &HeaderMap, fresh: uuid::Uuid) -> RequestNames {
        let id = headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| is_id(id))
            .map_or_else(|| fresh.to_string(), str::to_owned);
        let bytes = fresh.as_bytes();
        let parent = headers
            .get(TRACEPARENT)
            .and_then(|value| value.to_str().ok())
            .and_then(parse);
        let (trace_id, is_sampled) = parent.unwrap_or_else(|| (hex(bytes), false));
        RequestNames {
            id,
            trace_id,
            // The last eight bytes of a version 7 id are random.
            span_id: hex(&bytes[8..]),
            is_sampled,
        }
    }

    /// Returns the trace context to send on, and back.
    pub(super) fn traceparent(&self) -> String {
        let flags = u8::from(self.is_sampled);
        format!("00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }
}

fn is_id(id: &str) -> bool {
    ID_CHARS.contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Reads trace id and sampling flag of a `traceparent`. What is malformed is ignored as a whole, as the standard asks.
fn parse(text: &str) -> Option<(String, bool)> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, len| {
        text.len() == len
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_whole = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    // Later versions may append parts, this one has four.
    let is_known = version != "ff" && (version != "00" || parts.next().is_none());
    let is_named = trace.bytes().any(|b| b != b'0') && span.bytes().any(|b| b != b'0');
    let flags = u8::from_str_radix(flags, 16).ok()?;
    (is_whole && is_known && is_named).then(|| (trace.to_owned(), flags & 1 == 1))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn names(header: HeaderName, value: &str) -> RequestNames {
        let mut headers = HeaderMap::new();
        headers.insert(header, HeaderValue::from_str(value).unwrap());
        RequestNames::of(&headers, uuid::Uuid::now_v7())
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_its_own() {
        let names = names(TRACEPARENT, PARENT);
        assert_eq!(names.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        let sent = names.traceparent();
        assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert!(sent.ends_with("-01") && !sent.contains("00f067aa0ba902b7"));
        assert!(parse(&sent).is_some());
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one() {
        for malformed in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(parse(malformed), None, "{malformed}");
            let names = names(TRACEPARENT, malformed);
            assert_eq!(names.trace_id.len(), 32);
            assert!(parse(&names.traceparent()).is_some());
        }
        assert!(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
    }

    #[test]
    fn a_clients_id_is_kept_if_it_is_one() {
        assert_eq!(names(REQUEST_ID, "order-12345").id, "order-12345");
        for not_one in [
            "short",
            "with space 1",
            "line\u{e9}feed-1234",
            &"x".repeat(65),
        ] {
            assert_ne!(names(REQUEST_ID, not_one).id, not_one);
        }
    }

    proptest! {
        #[test]
        fn any_header_gives_names_that_are_well_formed(value in "[ -~]{0,80}") {
            let names = names(TRACEPARENT, &value);
            prop_assert!(parse(&names.traceparent()).is_some());
        }
    }
}
