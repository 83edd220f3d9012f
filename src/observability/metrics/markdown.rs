//! The table of metrics as a page of the documentation.

use std::fmt::Write;

use super::format::{OPENMETRICS, PROMETHEUS_TEXT};
use super::histogram::BUCKETS;
use super::label::{LabelInfo, Values};
use super::table::METRICS;

/// Returns the text of `docs/metrics.md`.
pub fn markdown() -> String {
    let mut page = format!(
        "# Metrics\n\
         \n\
         Generated from the table in `src/observability/metrics/table.rs`; a test compares the two.\n\
         \n\
         `GET /metrics` answers in the text format of Prometheus (`{PROMETHEUS_TEXT}`) or, where the\n\
         `Accept` header prefers it, in OpenMetrics (`{OPENMETRICS}`).\n\
         Every value of a label is listed here or fixed at the start, so no request can add a series. What could\n\
         not be read is left out. Histograms have {BUCKETS} buckets that double: from 0.5 ms for seconds, from 1 for\n\
         counts.\n\
         \n\
         | name | type | unit | labels | meaning |\n\
         |---|---|---|---|---|\n"
    );
    for info in METRICS {
        let labels: Vec<String> = info.labels.iter().map(label).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            info.name,
            info.kind.name(),
            info.unit.name(),
            labels.join("; "),
            info.meaning,
        );
    }
    page
}

fn label(label: &LabelInfo) -> String {
    let values = match label.values {
        Values::Closed(all) => all()
            .iter()
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Values::Routes => "the route's template".to_owned(),
        Values::Version => "the program's version".to_owned(),
    };
    format!("`{}`: {values}", label.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_row_of_five_cells() {
        let page = markdown();
        for info in METRICS {
            let start = format!("| `{}` |", info.name);
            let mut rows = page.lines().filter(|line| line.starts_with(&start));
            let row = rows.next().unwrap_or_else(|| panic!("{}", info.name));
            assert_eq!(row.matches('|').count(), 6, "{row}");
            assert_eq!(rows.next(), None);
        }
        assert!(page.contains("`status`: `2xx`, `3xx`, `4xx`, `5xx`, `429`, `503` |"));
    }
}
