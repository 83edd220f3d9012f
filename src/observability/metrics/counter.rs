//! Single numbers: what is counted, what goes up and down, and what is read from elsewhere.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::encode::Encoder;
use super::family::{Metric, Start};
use super::table::Kind;

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A count that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

/// A number that is read from elsewhere now and then. It is absent until it could be read.
#[derive(Debug)]
pub struct Reading(AtomicU64);

/// A count that somebody else keeps, such as the operating system. It is absent until it could be read.
#[derive(Debug, Default)]
pub struct ReadCounter(Reading);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds so many.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, number: i64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Reading {
    /// Replaces the number; `None`, and what is not finite, makes it absent.
    pub fn set(&self, number: Option<f64>) {
        let number = number
            .filter(|number| number.is_finite())
            .unwrap_or(f64::NAN);
        self.0.store(number.to_bits(), Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|number| number.is_finite())
    }
}

impl Default for Reading {
    /// Returns an absent number.
    fn default() -> Reading {
        Reading(AtomicU64::new(f64::NAN.to_bits()))
    }
}

impl ReadCounter {
    /// Replaces the count; `None` makes it absent.
    pub fn set(&self, count: Option<f64>) {
        self.0.set(count);
    }

    /// Returns the count.
    pub fn get(&self) -> Option<f64> {
        self.0.get()
    }
}

impl Metric for Counter {
    const KIND: Kind = Kind::Counter;

    fn new(_: &Start) -> Counter {
        Counter::default()
    }

    fn write(&self, encoder: &mut Encoder) {
        encoder.sample("", self.get());
    }
}

impl Metric for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn new(_: &Start) -> Gauge {
        Gauge::default()
    }

    fn write(&self, encoder: &mut Encoder) {
        encoder.sample("", self.get());
    }
}

impl Metric for Reading {
    const KIND: Kind = Kind::Gauge;

    fn new(_: &Start) -> Reading {
        Reading::default()
    }

    fn write(&self, encoder: &mut Encoder) {
        if let Some(number) = self.get() {
            encoder.sample("", number);
        }
    }
}

impl Metric for ReadCounter {
    const KIND: Kind = Kind::Counter;

    fn new(_: &Start) -> ReadCounter {
        ReadCounter::default()
    }

    fn write(&self, encoder: &mut Encoder) {
        self.0.write(encoder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_and_gauges_go_both_ways() {
        let counter = Counter::default();
        counter.inc();
        counter.add(41);
        assert_eq!(counter.get(), 42);
        let gauge = Gauge::default();
        gauge.inc();
        gauge.dec();
        gauge.dec();
        assert_eq!(gauge.get(), -1);
        gauge.set(7);
        assert_eq!(gauge.get(), 7);
    }

    #[test]
    fn a_reading_is_absent_until_it_is_a_number() {
        let reading = Reading::default();
        assert_eq!(reading.get(), None);
        for (number, expected) in [
            (Some(0.0), Some(0.0)),
            (Some(f64::INFINITY), None),
            (Some(-0.5), Some(-0.5)),
            (Some(f64::NAN), None),
            (Some(1e300), Some(1e300)),
            (None, None),
        ] {
            reading.set(number);
            assert_eq!(reading.get(), expected, "{number:?}");
        }
    }
}
