//! The two formats of a scrape, and which one a client wants.

/// The content type of [`Format::PrometheusText`].
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The content type of [`Format::OpenMetrics`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a scrape is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    PrometheusText,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Chooses by an `Accept` header: OpenMetrics where the client prefers it, else Prometheus' own text, which any
    /// client reads.
    pub fn from_accept(accept: Option<&str>) -> Format {
        let accept = accept.unwrap_or_default();
        let openmetrics = quality(accept, "application", "openmetrics-text", "1.0.0");
        let text = quality(accept, "text", "plain", "0.0.4");
        if openmetrics > text {
            Format::OpenMetrics
        } else {
            Format::PrometheusText
        }
    }

    /// Returns the value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::PrometheusText => PROMETHEUS_TEXT,
            Format::OpenMetrics => OPENMETRICS,
        }
    }
}

/// How much a media type is wanted, from 0 to 1: the quality of the most specific range that it falls into
/// (RFC 9110, 12.5.1). A range that names another version is one of another type.
fn quality(accept: &str, kind: &str, subtype: &str, version: &str) -> f32 {
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some((range_kind, range_subtype)) = parts.next().and_then(|name| name.split_once('/'))
        else {
            continue;
        };
        let precision = if range_kind.eq_ignore_ascii_case(kind) {
            match range_subtype {
                "*" => 2,
                name if name.eq_ignore_ascii_case(subtype) => 3,
                _ => continue,
            }
        } else if (range_kind, range_subtype) == ("*", "*") {
            1
        } else {
            continue;
        };
        let mut quality = Some(1.0);
        let mut is_other_version = false;
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.parse().ok().filter(|q| (0.0..=1.0).contains(q)),
                "version" => is_other_version = value != version,
                _ => {}
            }
        }
        if let Some(quality) = quality.filter(|_| !is_other_version)
            && (precision, quality) > best
        {
            best = (precision, quality);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: Option<&str>, expected: Format) {
        assert_eq!(Format::from_accept(accept), expected, "{accept:?}");
    }

    #[test]
    fn a_client_gets_what_it_prefers() {
        let (text, openmetrics) = (Format::PrometheusText, Format::OpenMetrics);
        check(None, text);
        check(Some(""), text);
        check(Some("*/*"), text);
        check(Some("text/html, */*;q=0.8"), text);
        check(Some("application/openmetrics-text"), openmetrics);
        check(
            Some("Application/OpenMetrics-Text; Version=1.0.0"),
            openmetrics,
        );
        check(
            Some("application/openmetrics-text;version=\"1.0.0\""),
            openmetrics,
        );
        check(Some("application/openmetrics-text;q=0"), text);
        check(
            Some("application/openmetrics-text;q=0.5,text/plain;q=0.4"),
            openmetrics,
        );
        check(
            Some("application/openmetrics-text;q=0.4,text/plain;q=0.5"),
            text,
        );
        check(
            Some("application/openmetrics-text;q=0.5, text/plain ; q=0.5"),
            text,
        );
        check(Some("application/*, text/*;q=0.1"), openmetrics);
        check(Some("application/json"), text);
    }

    #[test]
    fn the_header_of_prometheus_gets_openmetrics() {
        check(
            Some(
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ),
            Format::OpenMetrics,
        );
    }

    #[test]
    fn versions_that_are_not_spoken_do_not_count() {
        check(
            Some("application/openmetrics-text;version=0.0.1,text/plain;q=0.1"),
            Format::PrometheusText,
        );
        check(
            Some("text/plain;version=1.0.0,application/openmetrics-text;q=0.1"),
            Format::OpenMetrics,
        );
    }

    #[test]
    fn the_more_specific_range_counts_also_where_it_is_the_lower() {
        check(
            Some("*/*, application/openmetrics-text;q=0.1"),
            Format::PrometheusText,
        );
        check(Some("*/*, text/plain;q=0.1"), Format::OpenMetrics);
    }

    #[test]
    fn broken_headers_get_text() {
        for accept in [
            ";;;,,,",
            "application/openmetrics-text;q=nan",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=-1",
            "application/openmetrics-text;q=",
            "/",
            "=",
        ] {
            check(Some(accept), Format::PrometheusText);
        }
    }
}
