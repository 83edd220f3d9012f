//! One who asks for far more than a fair share, and what the others notice of it.

use serde::Serialize;

use super::Overload;
use super::bars::{Bar, MustBe};
use super::plan::{Load, PhaseOutcome};
use super::target::{Asker, Class, Target};
use crate::engine::access::{CreatedKey, Token};
use crate::error::{Error, Result};

/// Keys that stay within their share.
const MODEST: usize = 4;

/// How much of its share each of them asks for.
const OF_SHARE: f64 = 0.9;

/// How many times its share the other one asks for.
const GREED: f64 = 20.0;

/// What was measured of keys beside each other, with texts of 128 tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FairnessFigures {
    /// Requests a second that are served in time when a few clients ask without a pause.
    pub capacity_per_s: f64,
    /// Keys that stay within their share.
    pub keys: usize,
    /// Requests a second of each of them.
    pub modest_per_s: f64,
    /// Requests a second of the key that does not.
    pub greedy_per_s: f64,
    /// Of a hundred requests of the modest ones together those that were served in time, without the greedy one.
    pub alone_percent: f64,
    /// The same beside the greedy one.
    pub beside_percent: f64,
    /// What the greedy one takes of that, of a hundred.
    pub loss_percent: f64,
    /// What it takes of the one that loses the most.
    pub worst_loss_percent: f64,
    /// Requests a second of the greedy one that were served in time.
    pub greedy_goodput_per_s: f64,
    /// What it must reach.
    pub bars: Vec<Bar>,
}

/// Measures keys that ask for their share, without and with another one that asks for many times its share.
///
/// # Errors
/// A model that cannot be loaded; those of the server and of the generator; [`Error::Interrupted`].
pub fn fairness(overload: &Overload<'_>) -> Result<FairnessFigures> {
    let target = Target::start(overload, Class::Embed128)?;
    let capacity = overload.capacity(&target)?;
    let keys = keys(&target, MODEST + 1)?;
    let askers: Vec<Asker<'_>> = keys
        .iter()
        .map(|token| Asker {
            token: Some(token),
            is_bulk: false,
        })
        .collect();
    let share_per_s = capacity.per_s / askers.len() as f64;
    let phase = |greed: f64| {
        let mut per_second = vec![share_per_s * OF_SHARE; MODEST];
        per_second.push(share_per_s * greed);
        let name = format!(
            "fairness: {MODEST} keys at {OF_SHARE} of their share, one at {greed} times its share"
        );
        overload.phase(name, Load::Open { per_second })
    };
    let streams = target.streams(&askers);
    let measured = overload.offer(&target, streams, vec![phase(0.0), phase(GREED)])?;
    let [alone, beside] = measured.phases.as_slice() else {
        return Err(Error::Internal("two phases were planned".to_owned()));
    };
    figures(capacity.per_s, alone, beside)
        .ok_or_else(|| Error::Internal("a key was served nothing even alone".to_owned()))
}

/// Makes keys that may embed.
fn keys(target: &Target, count: usize) -> Result<Vec<Token>> {
    let mut client = target.server.client()?;
    (0..count)
        .map(|number| {
            let body = serde_json::json!({"name": format!("key {number}"), "scopes": ["embed"]});
            let asking = target.server.request("POST", "/v1/admin/keys", Some(&body));
            let made: CreatedKey = serde_json::from_value(client.json(&asking)?)
                .map_err(|error| Error::Internal(format!("a key that is none: {error}")))?;
            Token::parse(&made.token)
                .ok_or_else(|| Error::Internal("a key that is none".to_owned()))
        })
        .collect()
}

/// Compares parts of what was due, not rates: by chance a second has some more requests or some fewer. None where a key
/// was asked or served nothing alone.
fn figures(
    capacity_per_s: f64,
    alone: &PhaseOutcome,
    beside: &PhaseOutcome,
) -> Option<FairnessFigures> {
    let of_key = |phase: &PhaseOutcome, key: usize| phase.streams[key].good_percent();
    let of_all = |phase: &PhaseOutcome| {
        let modest = &phase.streams[..MODEST];
        let due: u64 = modest.iter().map(|stream| stream.due).sum();
        let good: u64 = modest.iter().map(|stream| stream.good).sum();
        (due > 0).then(|| good as f64 * 100.0 / due as f64)
    };
    let loss = |alone: f64, beside: f64| (alone > 0.0).then(|| (1.0 - beside / alone) * 100.0);
    let (alone_percent, beside_percent) = (of_all(alone)?, of_all(beside)?);
    let losses: Option<Vec<f64>> = (0..MODEST)
        .map(|key| loss(of_key(alone, key)?, of_key(beside, key)?))
        .collect();
    let loss_percent = loss(alone_percent, beside_percent)?;
    let share_per_s = capacity_per_s / (MODEST + 1) as f64;
    let greedy = &beside.streams[MODEST];
    Some(FairnessFigures {
        capacity_per_s,
        keys: MODEST,
        modest_per_s: share_per_s * OF_SHARE,
        greedy_per_s: share_per_s * GREED,
        alone_percent,
        beside_percent,
        loss_percent,
        worst_loss_percent: losses?.into_iter().fold(f64::MIN, f64::max),
        greedy_goodput_per_s: greedy.good as f64 / beside.seconds,
        bars: vec![Bar::new(
            format!("what the others lose to a key at {GREED} times its share"),
            Some(loss_percent),
            MustBe::AtMost(2.0),
            " %",
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bench::overload::plan::StreamOutcome;

    /// Ten seconds of five keys, each with what was due and what was served in time.
    fn phase(keys: [(u64, u64); MODEST + 1]) -> PhaseOutcome {
        let stream = |(due, good)| StreamOutcome {
            due,
            good,
            ..StreamOutcome::default()
        };
        PhaseOutcome {
            seconds: 10.0,
            cpu_s: None,
            streams: keys.map(stream).into(),
        }
    }

    #[test]
    fn the_others_lose_what_of_their_own_requests_is_served_no_more() {
        let alone = phase([(200, 200), (200, 200), (100, 100), (100, 100), (0, 0)]);
        // More were due by chance, which is neither gain nor loss.
        let beside = phase([(220, 220), (220, 220), (110, 99), (110, 110), (5_000, 400)]);
        let figures = figures(125.0, &alone, &beside).unwrap();
        assert_eq!((figures.modest_per_s, figures.greedy_per_s), (22.5, 500.0));
        assert_eq!(figures.alone_percent, 100.0);
        assert!((figures.loss_percent - 100.0 / 60.0).abs() < 1e-9);
        assert!((figures.worst_loss_percent - 10.0).abs() < 1e-9);
        assert_eq!(figures.greedy_goodput_per_s, 40.0);
        assert!(figures.bars[0].holds);
    }

    #[test]
    fn a_loss_of_more_than_two_of_a_hundred_is_too_much() {
        let alone = phase([(100, 100), (100, 100), (100, 100), (100, 100), (0, 0)]);
        let beside = phase([(100, 90), (100, 100), (100, 100), (100, 100), (900, 900)]);
        assert!(!figures(1.0, &alone, &beside).unwrap().bars[0].holds);
    }

    #[test]
    fn what_was_not_served_alone_cannot_be_compared() {
        let alone = phase([(0, 0), (100, 100), (100, 100), (100, 100), (0, 0)]);
        assert_eq!(figures(1.0, &alone, &alone), None);
        let alone = phase([(100, 0), (100, 100), (100, 100), (100, 100), (0, 0)]);
        assert_eq!(figures(1.0, &alone, &alone), None);
    }
}
