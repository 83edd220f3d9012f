//! Figures beside what they must reach.

use serde::Serialize;

/// A figure beside what it must reach.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// What was measured.
    pub what: String,
    /// How it came out; none where it could not be measured, which does not hold.
    pub measured: Option<f64>,
    /// What it must be.
    pub must_be: MustBe,
    /// The unit of both: `x` for a ratio, nothing for a count.
    pub unit: &'static str,
    /// Whether it is.
    pub holds: bool,
}

/// What a figure must be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MustBe {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

impl Bar {
    pub(super) fn new(
        what: impl Into<String>,
        measured: Option<f64>,
        must_be: MustBe,
        unit: &'static str,
    ) -> Bar {
        let holds = measured.is_some_and(|measured| match must_be {
            MustBe::AtLeast(bar) => measured >= bar,
            MustBe::AtMost(bar) => measured <= bar,
        });
        Bar {
            what: what.into(),
            measured,
            must_be,
            unit,
            holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_holds_at_its_bar_and_not_where_there_is_none() {
        let check = |measured, must_be, expected| {
            assert_eq!(Bar::new("a", measured, must_be, "x").holds, expected);
        };
        check(Some(0.9), MustBe::AtLeast(0.9), true);
        check(Some(0.899), MustBe::AtLeast(0.9), false);
        check(Some(2.0), MustBe::AtMost(2.0), true);
        check(Some(2.001), MustBe::AtMost(2.0), false);
        check(None, MustBe::AtMost(2.0), false);
        check(None, MustBe::AtLeast(0.0), false);
    }
}
