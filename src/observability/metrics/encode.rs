//! The text of a scrape.

use std::fmt::{self, Display, Write};

use super::family::Metric;
use super::format::Format;
use super::table::{Kind, MetricInfo, Unit};

/// Bytes of a scrape of a server with a few dozen routes.
const TEXT_BYTES: usize = 256 * 1024;

/// Writes families one after the other.
pub(super) struct Encoder {
    text: String,
    format: Format,
    /// The family under way.
    name: &'static str,
    /// The labels under way, as they stand between braces.
    labels: String,
}

/// A whole amount of small units, shown exactly in a larger one.
pub(super) struct Decimal {
    pub(super) amount: u64,
    /// A power of ten.
    pub(super) per_unit: u64,
}

impl Encoder {
    pub(super) fn new(format: Format) -> Encoder {
        Encoder {
            text: String::with_capacity(TEXT_BYTES),
            format,
            name: "",
            labels: String::new(),
        }
    }

    /// Writes a family; nothing when it has no samples.
    pub(super) fn family(&mut self, info: &MetricInfo, metric: &impl Metric) {
        let begin = self.text.len();
        self.name = info.name;
        self.describe(info);
        let described = self.text.len();
        metric.write(self);
        if self.text.len() == described {
            self.text.truncate(begin);
        }
    }

    /// Adds a label to what is written meanwhile.
    pub(super) fn labelled(&mut self, name: &str, value: &str, write: impl FnOnce(&mut Encoder)) {
        let outer = self.labels.len();
        if outer > 0 {
            self.labels.push(',');
        }
        self.labels.push_str(name);
        self.labels.push_str("=\"");
        escape(&mut self.labels, value, true);
        self.labels.push('"');
        write(self);
        self.labels.truncate(outer);
    }

    /// Writes a sample; its name is that of the family and the suffix.
    pub(super) fn sample(&mut self, suffix: &str, value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        if !self.labels.is_empty() {
            self.text.push('{');
            self.text.push_str(&self.labels);
            self.text.push('}');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, " {value}");
    }

    /// Writes a bucket of a histogram; the last has no bound.
    pub(super) fn bucket(&mut self, bound: Option<Decimal>, count: u64) {
        // OpenMetrics wants `1.0`. The other format gets the same: how it is scraped must not change a series.
        let bound = match bound.map(|bound| bound.to_string()) {
            Some(bound) if bound.contains('.') => bound,
            Some(bound) => bound + ".0",
            None => "+Inf".to_owned(),
        };
        self.labelled("le", &bound, |encoder| encoder.sample("_bucket", count));
    }

    pub(super) fn finish(mut self) -> String {
        match self.format {
            Format::PrometheusText => {}
            Format::OpenMetrics => self.text.push_str("# EOF\n"),
        }
        self.text
    }

    fn describe(&mut self, info: &MetricInfo) {
        // To OpenMetrics the end of a counter's name belongs to its samples.
        let name = match (self.format, info.kind) {
            (Format::OpenMetrics, Kind::Counter) => info.family(),
            (Format::OpenMetrics, Kind::Gauge | Kind::Histogram) | (Format::PrometheusText, _) => {
                info.name
            }
        };
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(
            &mut self.text,
            info.meaning,
            self.format == Format::OpenMetrics,
        );
        let _ = writeln!(self.text, "\n# TYPE {name} {}", info.kind.name());
        if self.format == Format::OpenMetrics && info.unit != Unit::One {
            let _ = writeln!(self.text, "# UNIT {name} {}", info.unit.name());
        }
    }
}

/// Appends a text so that it stays on its line and, where that matters, within its quotes.
fn escape(out: &mut String, text: &str, is_quoted: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if is_quoted => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

impl Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.amount / self.per_unit, self.amount % self.per_unit);
        write!(f, "{whole}")?;
        if rest == 0 {
            return Ok(());
        }
        let digits = self.per_unit.ilog10() as usize;
        let fraction = format!("{rest:0digits$}");
        write!(f, ".{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::counter::Counter;
    use super::super::family::Start;
    use super::super::histogram::{Durations, Sizes};
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (amount, per_unit, expected) in [
            (0, 1_000_000_000, "0"),
            (1, 1_000_000_000, "0.000000001"),
            (500_000, 1_000_000_000, "0.0005"),
            (1_500_000_000, 1_000_000_000, "1.5"),
            (60_000_000_000, 1_000_000_000, "60"),
            (u64::MAX, 1_000_000_000, "18446744073.709551615"),
            (32_768, 1, "32768"),
        ] {
            assert_eq!(Decimal { amount, per_unit }.to_string(), expected);
        }
    }

    fn written(format: Format, info: MetricInfo, metric: &impl Metric) -> String {
        let mut encoder = Encoder::new(format);
        encoder.family(&info, metric);
        encoder.finish()
    }

    #[test]
    fn a_counter_loses_its_ending_in_the_metadata_of_openmetrics_alone() {
        let info = MetricInfo {
            name: "spent_seconds_total",
            kind: Kind::Counter,
            unit: Unit::Seconds,
            labels: &[],
            meaning: "A \"quoted\"\nback\\slash.",
        };
        let counter = Counter::default();
        counter.add(3);
        assert_eq!(
            written(Format::PrometheusText, info, &counter),
            "# HELP spent_seconds_total A \"quoted\"\\nback\\\\slash.\n\
             # TYPE spent_seconds_total counter\n\
             spent_seconds_total 3\n"
        );
        assert_eq!(
            written(Format::OpenMetrics, info, &counter),
            "# HELP spent_seconds A \\\"quoted\\\"\\nback\\\\slash.\n\
             # TYPE spent_seconds counter\n\
             # UNIT spent_seconds seconds\n\
             spent_seconds_total 3\n\
             # EOF\n"
        );
    }

    #[test]
    fn bounds_of_buckets_look_the_same_in_both_formats() {
        let info = MetricInfo {
            name: "h",
            kind: Kind::Histogram,
            unit: Unit::One,
            labels: &[],
            meaning: "",
        };
        let start = Start::new(&[], "");
        for format in [Format::PrometheusText, Format::OpenMetrics] {
            let sizes = Sizes::new(&start);
            sizes.observe(3);
            let text = written(format, info, &sizes);
            assert!(text.contains("h_bucket{le=\"2.0\"} 0\nh_bucket{le=\"4.0\"} 1\n"));
            assert!(text.contains("h_bucket{le=\"+Inf\"} 1\nh_sum 3\nh_count 1\n"));
            let durations = Durations::new(&start);
            durations.observe(Duration::from_micros(700));
            let text = written(format, info, &durations);
            assert!(text.contains("h_bucket{le=\"0.0005\"} 0\nh_bucket{le=\"0.001\"} 1\n"));
            assert!(text.contains("h_bucket{le=\"16.384\"} 1\n"));
            assert!(text.contains("h_sum 0.0007\n"));
        }
    }
}
