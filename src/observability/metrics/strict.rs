//! A parser of both formats that refuses whatever their specifications do not allow, for tests.

use std::collections::{BTreeMap, BTreeSet};

use super::format::Format;

/// A family as it was read.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    name: String,
    kind: String,
    unit: String,
    pub(super) samples: Vec<Sample>,
}

/// A sample as it was read.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// Reads a whole scrape.
pub(super) fn parse(text: &str, format: Format) -> Result<Vec<Parsed>, String> {
    let is_openmetrics = format == Format::OpenMetrics;
    let body = match (text.strip_suffix("# EOF\n"), is_openmetrics) {
        (Some(body), true) => body,
        (None, false) => text,
        _ => return Err("`# EOF` ends OpenMetrics and nothing else".to_owned()),
    };
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let mut families: Vec<Parsed> = Vec::new();
    for line in body.lines() {
        let problem = |what: &str| Err(format!("{what}: {line}"));
        if let Some(comment) = line.strip_prefix("# ") {
            let Some((keyword, rest)) = comment.split_once(' ') else {
                return problem("a comment");
            };
            let Some((name, value)) = rest.split_once(' ') else {
                return problem("metadata without a value");
            };
            if keyword == "HELP" {
                if !is_name(name) || families.iter().any(|family| family.name == name) {
                    return problem("a name that is wrong or came before");
                }
                unescape(value, is_openmetrics)?;
                families.push(Parsed {
                    name: name.to_owned(),
                    ..Parsed::default()
                });
                continue;
            }
            let family = families.last_mut().filter(|family| family.name == name);
            let Some(family) = family.filter(|family| family.samples.is_empty()) else {
                return problem("metadata out of place");
            };
            match keyword {
                "TYPE" if family.kind.is_empty() => value.clone_into(&mut family.kind),
                "UNIT"
                    if is_openmetrics
                        && family.unit.is_empty()
                        && name.ends_with(&format!("_{value}")) =>
                {
                    value.clone_into(&mut family.unit);
                }
                _ => return problem("metadata that is wrong or came before"),
            }
        } else {
            let sample = parse_sample(line)?;
            match families.last_mut() {
                Some(family) if is_of(&sample.name, family, is_openmetrics) => {
                    family.samples.push(sample);
                }
                _ => return problem("a sample that is not of the family"),
            }
        }
    }
    for family in &families {
        check_family(family)?;
    }
    Ok(families)
}

fn parse_sample(line: &str) -> Result<Sample, String> {
    let problem = || format!("not a sample: {line}");
    let end = line.find(['{', ' ']).ok_or_else(problem)?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    while let Some(label) = rest.strip_prefix(['{', ',']) {
        let (label_name, quoted) = label.split_once("=\"").ok_or_else(problem)?;
        let mut is_escaped = false;
        let end = quoted
            .find(|c| {
                let is_end = c == '"' && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                is_end
            })
            .ok_or_else(problem)?;
        let value = unescape(&quoted[..end], true)?;
        let is_new = labels.insert(label_name.to_owned(), value).is_none();
        if !is_new || !is_name(label_name) {
            return Err(problem());
        }
        rest = &quoted[end + 1..];
    }
    let rest = if labels.is_empty() {
        rest
    } else {
        rest.strip_prefix('}').ok_or_else(problem)?
    };
    let value = rest.strip_prefix(' ').ok_or_else(problem)?;
    let is_plain = value
        .bytes()
        .all(|b| b.is_ascii_digit() || b".-".contains(&b));
    if !is_name(name) || !is_plain {
        return Err(problem());
    }
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().map_err(|_| problem())?,
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_of(sample: &str, family: &Parsed, is_openmetrics: bool) -> bool {
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" if is_openmetrics => &["_total"],
        "counter" | "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[],
    };
    let suffix = sample.strip_prefix(&family.name);
    suffix.is_some_and(|suffix| suffixes.contains(&suffix))
}

fn unescape(text: &str, is_quoted: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                Some('"') if is_quoted => '"',
                _ => return Err(format!("a wrong escape: {text}")),
            },
            other => other,
        });
    }
    Ok(out)
}

/// Checks what holds for the samples of a family together.
fn check_family(family: &Parsed) -> Result<(), String> {
    let problem = |what: &str| Err(format!("{}: {what}", family.name));
    if family.samples.is_empty() {
        return problem("no samples");
    }
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        if !seen.insert((&sample.name, &sample.labels)) {
            return problem("a sample came before");
        }
        if family.kind != "gauge" && sample.value < 0.0 {
            return problem("a negative count");
        }
    }
    if family.kind != "histogram" {
        return Ok(());
    }
    let mut histograms: BTreeMap<_, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        histograms.entry(labels).or_default().push(sample);
    }
    for samples in histograms.values() {
        let [buckets @ .., sum, count] = samples.as_slice() else {
            return problem("an incomplete histogram");
        };
        let bounds: Option<Vec<f64>> = buckets
            .iter()
            .map(|bucket| bucket.labels.get("le")?.parse().ok())
            .collect();
        let is_sorted = bounds.as_ref().is_some_and(|bounds| bounds.is_sorted());
        let is_cumulative = buckets.is_sorted_by_key(|bucket| bucket.value);
        let is_complete = buckets.last().is_some_and(|last| {
            last.labels.get("le").is_some_and(|le| le == "+Inf") && last.value == count.value
        });
        let is_named = sum.name.ends_with("_sum") && count.name.ends_with("_count");
        if !(is_sorted && is_cumulative && is_complete && is_named) {
            return problem("a histogram that does not add up");
        }
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_refused() {
    let check = |format, text: &str, is_allowed: bool| {
        assert_eq!(parse(text, format).is_ok(), is_allowed, "{text}");
    };
    let (text, openmetrics) = (Format::PrometheusText, Format::OpenMetrics);
    let head = "# HELP a b\n# TYPE a gauge\n";
    check(text, &format!("{head}a 1\n"), true);
    check(text, &format!("{head}a{{x=\"\\\"\"}} 1\n"), true);
    check(text, &format!("{head}a 1\na 1\n"), false);
    check(text, &format!("{head}a 1"), false);
    check(text, &format!("{head}a one\n"), false);
    check(text, &format!("{head}a 1\n{head}a 2\n"), false);
    check(text, &format!("{head}b 1\n"), false);
    check(text, &format!("{head}a{{x=\"\\q\"}} 1\n"), false);
    check(text, &format!("{head}a{{x=\"1\",x=\"2\"}} 1\n"), false);
    check(text, &format!("{head}a 1\n# EOF\n"), false);
    check(text, head, false);
    check(openmetrics, &format!("{head}a 1\n# EOF\n"), true);
    check(openmetrics, &format!("{head}a 1\n"), false);
    let counter = "# HELP a b\n# TYPE a counter\n";
    check(openmetrics, &format!("{counter}a_total 1\n# EOF\n"), true);
    check(openmetrics, &format!("{counter}a 1\n# EOF\n"), false);
    let unit = "# HELP a b\n# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n";
    check(openmetrics, unit, false);
    let histogram = |last, count| {
        format!(
            "# HELP a b\n# TYPE a histogram\na_bucket{{le=\"1.0\"}} 2\na_bucket{{le=\"+Inf\"}} {last}\n\
             a_sum 3\na_count {count}\n"
        )
    };
    check(text, &histogram(2, 2), true);
    check(text, &histogram(1, 1), false);
    check(text, &histogram(3, 2), false);
}
