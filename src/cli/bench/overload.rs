//! `embedder bench overload`, and the process that it has its load made by.

use std::time::Duration;

use serde::Serialize;

use super::with_model_folder;
use crate::cli::{Context, output};
use crate::engine::bench::overload::{
    self, Bar, Class, ClassFigures, FairnessFigures, LoadFigures, MustBe, Overload, PriorityFigures,
};
use crate::engine::bench::server::{Cores, Percentiles, Setting};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Measure these parts alone, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// Seconds that each load is measured.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Seconds that each load goes on before that.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(..=3_600))]
    warm_up_seconds: u64,
    /// Makes the same load again.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Embedding texts of 128 tokens.
    #[value(name = "embed128")]
    Embed128,
    /// Embedding texts of 16 tokens.
    #[value(name = "embed16")]
    Embed16,
    /// A search whose answer is remembered.
    #[value(name = "search-cached")]
    SearchCached,
    /// Five keys, one of which asks for twenty times its share.
    #[value(name = "fairness")]
    Fairness,
    /// Requests that somebody waits for, beside bulk.
    #[value(name = "priorities")]
    Priorities,
}

/// What `bench overload` prints; parts that were not measured are left out.
#[derive(Debug, Serialize)]
struct Figures {
    cores_apart: bool,
    seconds: u64,
    warm_up_seconds: u64,
    seed: u64,
    classes: Vec<ClassFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fairness: Option<FairnessFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priorities: Option<PriorityFigures>,
}

impl Part {
    fn of(class: Class) -> Part {
        match class {
            Class::Embed128 => Part::Embed128,
            Class::Embed16 => Part::Embed16,
            Class::SearchCached => Part::SearchCached,
        }
    }
}

impl Args {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let figures = measure(context, args)?;
    if args.json {
        output::json(&figures)
    } else {
        print(&figures)
    }
}

/// Makes the load of the plan on standard input.
pub(super) fn client(context: &Context) -> Result<()> {
    let mut input = std::io::stdin().lock();
    let measured = overload::offer(&mut input, &context.stop, &output::note)?;
    output::json(&measured)
}

fn measure(context: &Context, args: &Args) -> Result<Figures> {
    let config = with_model_folder(&context.config)?;
    let cores = Cores::choose();
    let overload = Overload {
        setting: Setting {
            config: &config,
            cores,
            stop: &context.stop,
        },
        time: Duration::from_secs(args.seconds),
        warm_up: Duration::from_secs(args.warm_up_seconds),
        seed: args.seed,
    };
    let mut figures = Figures {
        cores_apart: cores.are_apart(),
        seconds: args.seconds,
        warm_up_seconds: args.warm_up_seconds,
        seed: args.seed,
        classes: Vec::new(),
        fairness: None,
        priorities: None,
    };
    for class in Class::ALL {
        if args.has(Part::of(class)) {
            output::note(&format!("measuring {}", class.name()));
            figures.classes.push(overload::curve(&overload, class)?);
        }
    }
    if args.has(Part::Fairness) {
        output::note("measuring fairness");
        figures.fairness = Some(overload::fairness(&overload)?);
    }
    if args.has(Part::Priorities) {
        output::note("measuring priorities");
        figures.priorities = Some(overload::priorities(&overload)?);
    }
    Ok(figures)
}

fn print(figures: &Figures) -> Result<()> {
    output::line(if figures.cores_apart {
        "server with one encoder thread and load on a core each"
    } else {
        "server and load share what there is: this process has one core, or cannot choose among them"
    })?;
    output::line(&format!(
        "each load {} s after {} s of warming up; latency from when requests were due",
        figures.seconds, figures.warm_up_seconds
    ))?;
    for class in &figures.classes {
        print_class(class)?;
    }
    if let Some(fairness) = &figures.fairness {
        print_fairness(fairness)?;
    }
    if let Some(priorities) = &figures.priorities {
        print_priorities(priorities)?;
    }
    Ok(())
}

fn print_class(figures: &ClassFigures) -> Result<()> {
    output::line("")?;
    output::line(&format!(
        "{}: {:.0} a second when a few clients ask without a pause, {:.0} at the peak; deadline {} ms",
        figures.class.name(),
        figures.capacity_per_s,
        figures.peak_per_s,
        figures.deadline_ms
    ))?;
    if let (Some(serve_us), Some(refuse_us)) = (figures.serve_us, figures.refuse_us) {
        output::line(&format!(
            "processor time: {serve_us:.0} us to serve, {refuse_us:.1} us to refuse, {:.4}x",
            refuse_us / serve_us
        ))?;
    }
    output::line(
        "| load | offered/s | goodput/s | of peak |  bound |   shed/s |   late/s | p50 ms | p99 ms | to 0.8x | shed p99 ms |",
    )?;
    output::line(
        "|-----:|----------:|----------:|--------:|-------:|---------:|---------:|-------:|-------:|--------:|------------:|",
    )?;
    for load in &figures.loads {
        output::line(&row(load))?;
    }
    if let Some(Percentiles {
        p50_us,
        p99_us,
        max_us,
        ..
    }) = figures.livez
    {
        output::line(&format!(
            "/livez at the heaviest load: p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms",
            p50_us / 1e3,
            p99_us / 1e3,
            max_us / 1e3
        ))?;
    }
    let lags = figures.loads.iter().filter_map(|load| load.lag);
    let lag_us = lags.map(|lag| lag.p99_us).fold(0.0, f64::max);
    output::line(&format!(
        "of 100 requests of each load 99 were sent within {:.2} ms of when they were due",
        lag_us / 1e3
    ))?;
    for load in figures.loads.iter().filter(|load| load.failed > 0) {
        let statuses: Vec<String> = load
            .statuses
            .iter()
            .map(|(status, count)| format!("{count} of {status}"))
            .collect();
        output::line(&format!(
            "at {}x {} were neither served nor refused; answers: {}",
            load.load,
            load.failed,
            statuses.join(", ")
        ))?;
    }
    print_bars(&figures.bars)
}

fn print_fairness(figures: &FairnessFigures) -> Result<()> {
    output::line("")?;
    output::line(&format!(
        "fairness: {} keys with {:.1} a second each, one with {:.0}, of {:.0} that can be served",
        figures.keys, figures.modest_per_s, figures.greedy_per_s, figures.capacity_per_s
    ))?;
    output::line(&format!(
        "served in time of what the {} ask: {:.1} % alone, {:.1} % beside the other; the one that loses the most loses \
         {:.1} %",
        figures.keys, figures.alone_percent, figures.beside_percent, figures.worst_loss_percent
    ))?;
    output::line(&format!(
        "served in time of what the other asks: {:.0} a second",
        figures.greedy_goodput_per_s
    ))?;
    print_bars(&figures.bars)
}

fn print_priorities(figures: &PriorityFigures) -> Result<()> {
    output::line("")?;
    output::line(&format!(
        "priorities: {:.0} a second that somebody waits for beside {:.0} of bulk, of {:.0} that can be served",
        figures.interactive_per_s, figures.bulk_per_s, figures.capacity_per_s
    ))?;
    if let Some(Percentiles { p50_us, p99_us, .. }) = figures.interactive {
        output::line(&format!(
            "who waits: p50 {:.1} ms, p99 {:.1} ms",
            p50_us / 1e3,
            p99_us / 1e3
        ))?;
    }
    output::line(&format!(
        "of bulk {:.0} a second were served in time and {:.0} refused",
        figures.bulk_goodput_per_s, figures.bulk_shed_per_s
    ))?;
    print_bars(&figures.bars)
}

fn print_bars(bars: &[Bar]) -> Result<()> {
    output::line(
        "| what                                             |   measured |         bar |        |",
    )?;
    output::line(
        "|--------------------------------------------------|-----------:|------------:|--------|",
    )?;
    for bar in bars {
        output::line(&bar_row(bar))?;
    }
    Ok(())
}

/// Writes a load as a row of its table.
fn row(load: &LoadFigures) -> String {
    let ratio = |ratio: Option<f64>, decimals: usize| {
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.decimals$}x"))
    };
    let ms = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), |us| format!("{:.1}", us / 1e3));
    let p50_us = load.accepted.map(|accepted| accepted.p50_us);
    let p99_us = load.accepted.map(|accepted| accepted.p99_us);
    let refused_us = load.refused.map(|refused| refused.p99_us);
    format!(
        "| {:>3}x | {:>9.1} | {:>9.1} | {:>7} | {:>6} | {:>8.1} | {:>8.1} | {:>6} | {:>6} | {:>7} | {:>11} |",
        load.load,
        load.offered_per_s,
        load.goodput_per_s,
        ratio(Some(load.share_of_peak), 3),
        ratio(load.bound, 3),
        load.shed_per_s,
        load.late_per_s,
        ms(p50_us),
        ms(p99_us),
        ratio(load.p99_ratio, 2),
        ms(refused_us)
    )
}

/// Writes a bar as a row of its table.
fn bar_row(bar: &Bar) -> String {
    let (sign, must_be) = match bar.must_be {
        MustBe::AtLeast(must_be) => (">=", must_be),
        MustBe::AtMost(must_be) => ("<=", must_be),
    };
    let measured = bar
        .measured
        .map_or_else(|| "-".to_owned(), |measured| number(measured, bar.unit));
    let must_be = format!("{sign} {}", number(must_be, bar.unit));
    let verdict = if bar.holds { "holds" } else { "missed" };
    format!(
        "| {:<48} | {measured:>10} | {must_be:>11} | {verdict:<6} |",
        bar.what
    )
}

fn number(number: f64, unit: &str) -> String {
    let decimals = match unit {
        "x" => 3,
        "" => 0,
        _ => 1,
    };
    format!("{number:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn all_is_measured_unless_parts_are_named() {
        let args = |only: &[Part]| Args {
            only: only.to_vec(),
            seconds: 1,
            warm_up_seconds: 0,
            seed: 1,
            json: false,
        };
        let all = args(&[]);
        assert!(Class::ALL.into_iter().all(|class| all.has(Part::of(class))));
        assert!(all.has(Part::Fairness) && all.has(Part::Priorities));
        let some = args(&[Part::Embed16, Part::Fairness]);
        assert!(some.has(Part::of(Class::Embed16)) && some.has(Part::Fairness));
        assert!(!some.has(Part::of(Class::Embed128)) && !some.has(Part::Priorities));
    }

    #[test]
    fn a_load_is_a_row_in_which_ratios_end_in_x() {
        let latency = |ms: f64| Percentiles {
            p50_us: ms * 500.0,
            p95_us: ms * 900.0,
            p99_us: ms * 1e3,
            max_us: ms * 2e3,
        };
        let mut load = LoadFigures {
            load: 10.0,
            offered_per_s: 1_003.2,
            goodput_per_s: 91.0,
            share_of_peak: 0.91,
            bound: Some(0.95),
            shed_per_s: 912.0,
            shed_silently: 0,
            late_per_s: 0.0,
            slow: 0,
            failed: 0,
            statuses: BTreeMap::new(),
            accepted: Some(latency(80.0)),
            p99_ratio: Some(1.5),
            refused: Some(latency(2.0)),
            lag: None,
        };
        assert_eq!(
            row(&load),
            "|  10x |    1003.2 |      91.0 |  0.910x | 0.950x |    912.0 |      0.0 |   40.0 |   80.0 |   1.50x |         2.0 |"
        );
        load.load = 0.5;
        load.bound = None;
        load.refused = None;
        assert_eq!(
            row(&load),
            "| 0.5x |    1003.2 |      91.0 |  0.910x |      - |    912.0 |      0.0 |   40.0 |   80.0 |   1.50x |           - |"
        );
    }

    #[test]
    fn a_figure_stands_beside_its_bar() {
        let check = |measured, must_be, unit, holds, expected: &str| {
            let bar = Bar {
                what: "what".to_owned(),
                measured,
                must_be,
                unit,
                holds,
            };
            let row = bar_row(&bar);
            let cells: Vec<&str> = row.split('|').skip(2).map(str::trim).collect();
            assert_eq!(cells.join(" ").trim(), expected);
        };
        let at_least = MustBe::AtLeast(0.9);
        check(Some(0.91), at_least, "x", true, "0.910x >= 0.900x holds");
        check(None, at_least, "x", false, "- >= 0.900x missed");
        let at_most = MustBe::AtMost(10.0);
        check(
            Some(12.34),
            at_most,
            " ms",
            false,
            "12.3 ms <= 10.0 ms missed",
        );
        check(Some(0.0), MustBe::AtMost(0.0), "", true, "0 <= 0 holds");
    }
}
