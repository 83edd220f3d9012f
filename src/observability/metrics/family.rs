//! Metrics with labels.

use std::marker::PhantomData;
use std::ops::Index;

use super::encode::Encoder;
use super::label::{Label, Values};
use super::table::Kind;

/// What the table can be made of.
pub(super) trait Metric: Sized {
    /// What it is to Prometheus.
    const KIND: Kind;

    /// Makes one that nothing was counted with.
    fn new(start: &Start) -> Self;

    /// Writes its samples, under the name and the labels that the encoder is at.
    fn write(&self, encoder: &mut Encoder);
}

/// A metric for each value of a label; `family[value]` is one of them. For two labels, families nest.
#[derive(Debug)]
pub struct Family<L, M> {
    members: Box<[(&'static str, M)]>,
    label: PhantomData<fn(L)>,
}

/// What is known of labels at the start only.
pub(super) struct Start {
    routes: Vec<&'static str>,
    version: &'static str,
}

impl Start {
    pub(super) fn new(routes: &[&'static str], version: &'static str) -> Start {
        let mut distinct = Vec::with_capacity(routes.len());
        for route in routes {
            if !distinct.contains(route) {
                distinct.push(*route);
            }
        }
        Start {
            routes: distinct,
            version,
        }
    }

    fn values(&self, values: Values) -> Vec<&'static str> {
        match values {
            Values::Closed(all) => all(),
            Values::Routes => self.routes.clone(),
            Values::Version => vec![self.version],
        }
    }
}

impl<L: Label, M> Family<L, M> {
    /// Returns the values of the label, in the order of their positions.
    pub fn values(&self) -> impl Iterator<Item = &'static str> {
        self.members.iter().map(|(value, _)| *value)
    }
}

impl<L: Label, M> Index<L> for Family<L, M> {
    type Output = M;

    /// Returns the metric of a value.
    ///
    /// # Panics
    /// With a [`Route`](super::Route) of other [`Metrics`](super::Metrics).
    fn index(&self, value: L) -> &M {
        &self.members[value.position()].1
    }
}

impl<L: Label, M: Metric> Metric for Family<L, M> {
    const KIND: Kind = M::KIND;

    fn new(start: &Start) -> Family<L, M> {
        Family {
            members: start
                .values(L::INFO.values)
                .into_iter()
                .map(|value| (value, M::new(start)))
                .collect(),
            label: PhantomData,
        }
    }

    fn write(&self, encoder: &mut Encoder) {
        for (value, member) in &self.members {
            encoder.labelled(L::INFO.name, value, |encoder| member.write(encoder));
        }
    }
}
