//! How much one caller may ask, layer by layer.
//!
//! An address is counted by what it sends without a key, and by keys that do not open; nobody who shows a good key suffers
//! from others at the same address. A key, a tenant, a kind of work and all together are counted in units of work, where
//! limits were set; a key that was given a limit has that in the place of the one for keys. All layers must let a request
//! pass; what earlier ones took is given back when a later one refuses.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use embedder_reliability::Timestamp;
use embedder_reliability::rate_limiter::{
    AddressLimiter, Network, RateLimitAlgorithm, RateLimitConfig, RateLimitFields, RateLimitResult,
    RateLimiter, SingleLimiter, client_address,
};

use super::problem::Problem;
use super::routes::{Route, Work};
use crate::config::RateLimits;
use crate::engine::access::Principal;
use crate::error::ErrorCode;
use crate::observability::metrics::{LimitLayer, Metrics};

pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Units of a document that is written: it is cut, stored, indexed and embedded.
pub(super) const UNITS_A_DOCUMENT: u32 = 10;

/// Tokens of a unit of embedding, beside the one for each text.
const TOKENS_A_UNIT: usize = 256;

/// From which part of its quota on a caller is told how much is left.
const TOLD_BELOW: f64 = 0.2;

/// The limits in force.
pub(crate) struct Quotas {
    address: Option<AddressLimiter>,
    auth_failures: Option<AddressLimiter>,
    /// From the narrowest to the widest.
    layers: Vec<Layer>,
    /// How the units of keys are counted that have limits of their own.
    algorithm: RateLimitAlgorithm,
    trusted: Vec<Network>,
    hasher: RandomState,
}

/// A limit in units of work.
struct Layer {
    of: LimitLayer,
    limiter: RateLimiter<u64>,
    fields: RateLimitFields,
}

/// What counts the units of a request on one layer.
#[derive(Clone, Copy)]
enum Counter<'a> {
    /// The limit of a layer, and by what it counts the request.
    Layer(&'a Layer, u64),
    /// The limit that is the key's own.
    Own(&'a SingleLimiter),
}

/// Which limit refused a request, and how.
struct Refused<'a> {
    by: Counter<'a>,
    result: RateLimitResult,
}

/// What a request took, to be told to its caller.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// The values of RateLimit-Policy and RateLimit, where little is left.
    told: Option<(String, String)>,
}

/// Whose request it is.
pub(super) struct Asking<'a> {
    pub(super) principal: &'a Principal,
    pub(super) route: &'static Route,
    pub(super) now: Timestamp,
}

impl Quotas {
    pub(crate) fn new(limits: &RateLimits) -> Quotas {
        let layers = [
            (LimitLayer::Key, &limits.key),
            (LimitLayer::Tenant, &limits.tenant),
            (LimitLayer::Search, &limits.search),
            (LimitLayer::Embed, &limits.embed),
            (LimitLayer::Write, &limits.write),
            (LimitLayer::All, &limits.all),
        ];
        Quotas {
            address: limits.address.map(AddressLimiter::new),
            auth_failures: limits.auth_failures.map(AddressLimiter::new),
            layers: layers
                .into_iter()
                .filter_map(|(of, config)| Some(Layer::new(of, (*config)?)))
                .collect(),
            algorithm: limits.algorithm,
            trusted: limits.trusted_proxies.clone(),
            hasher: RandomState::new(),
        }
    }

    /// Returns who the client is: the peer, or whom a trusted proxy names.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.trusted.is_empty() {
            return peer;
        }
        let values = |name: HeaderName| -> Vec<&str> {
            let all = headers.get_all(name).into_iter();
            all.map(|value| value.to_str().unwrap_or("")).collect()
        };
        let (forwarded_for, forwarded) = (values(FORWARDED_FOR), values(FORWARDED));
        client_address(
            peer,
            forwarded_for.into_iter(),
            forwarded.into_iter(),
            &self.trusted,
        )
    }

    /// Counts a request without a key.
    ///
    /// # Errors
    /// 429, with the time to come back.
    pub(super) fn without_key(
        &self,
        address: Option<IpAddr>,
        now: Timestamp,
        metrics: &Metrics,
    ) -> Result<(), Problem> {
        count(
            self.address.as_ref(),
            LimitLayer::Address,
            address,
            now,
            metrics,
        )
    }

    /// Counts a key that does not open.
    ///
    /// # Errors
    /// 429, with the time to come back.
    pub(super) fn wrong_key(
        &self,
        address: Option<IpAddr>,
        now: Timestamp,
        metrics: &Metrics,
    ) -> Result<(), Problem> {
        count(
            self.auth_failures.as_ref(),
            LimitLayer::AuthFailures,
            address,
            now,
            metrics,
        )
    }

    /// Takes units of work on every layer that concerns the request.
    ///
    /// # Errors
    /// 429, with the time to come back; 413 where as much is never let through at once.
    pub(super) fn take(
        &self,
        asking: &Asking<'_>,
        units: u32,
        metrics: &Metrics,
    ) -> Result<Taken, Problem> {
        self.acquire(asking, units).map_err(|refused| {
            metrics.rate_limited_total[refused.by.of()].inc();
            refused.problem(units)
        })
    }

    /// Takes all units of a request for which one was taken when it began, because its size was not known.
    ///
    /// # Errors
    /// As [`Quotas::take`]. The one unit is spent then: reading the request was work.
    pub(super) fn take_all(
        &self,
        asking: &Asking<'_>,
        began: Timestamp,
        units: u32,
        metrics: &Metrics,
    ) -> Result<(), Problem> {
        if units <= 1 {
            return Ok(());
        }
        for counter in self.counters(asking) {
            counter.refund(began, asking.now, 1);
        }
        if self.acquire(asking, units).is_ok() {
            return Ok(());
        }
        // When to come back depends on what has been spent, so it is asked after that.
        let _ = self.acquire(asking, 1);
        self.take(asking, units, metrics).map(drop)
    }

    fn acquire<'a>(&'a self, asking: &'a Asking<'_>, units: u32) -> Result<Taken, Refused<'a>> {
        let mut told: Option<(f64, (String, String))> = None;
        let mut taken: Vec<Counter<'_>> = Vec::new();
        for counter in self.counters(asking) {
            let result = counter.acquire(asking.now, units);
            if !result.is_allowed() {
                for earlier in taken {
                    earlier.refund(asking.now, asking.now, units);
                }
                return Err(Refused {
                    by: counter,
                    result,
                });
            }
            taken.push(counter);
            let left = counter.left(&result);
            if left < TOLD_BELOW && told.as_ref().is_none_or(|(least, _)| left < *least) {
                told = counter.tell(&result).map(|fields| (left, fields));
            }
        }
        Ok(Taken {
            told: told.map(|(_, fields)| fields),
        })
    }

    /// Returns what counts the request, from the narrowest to the widest.
    fn counters<'a>(&'a self, asking: &'a Asking<'_>) -> impl Iterator<Item = Counter<'a>> {
        let own = asking.principal.limit.as_ref();
        let of_key = own.map(|own| Counter::Own(own.limiter(self.algorithm)));
        let of_layers = self.layers.iter().filter_map(move |layer| {
            let is_replaced = own.is_some() && layer.of == LimitLayer::Key;
            let key = self.key_of(layer.of, asking).filter(|_| !is_replaced)?;
            Some(Counter::Layer(layer, key))
        });
        of_key.into_iter().chain(of_layers)
    }

    /// Returns by what a layer counts the request; none where it does not concern it.
    fn key_of(&self, layer: LimitLayer, asking: &Asking<'_>) -> Option<u64> {
        let work = asking.route.work;
        match layer {
            LimitLayer::Key => asking.principal.key_id.map(|key| self.hasher.hash_one(key)),
            LimitLayer::Tenant => {
                let tenant = asking.principal.tenant.as_ref()?;
                Some(self.hasher.hash_one(tenant))
            }
            LimitLayer::Search => (work == Work::Searching).then_some(0),
            LimitLayer::Embed => (work == Work::Embedding).then_some(0),
            LimitLayer::Write => asking.route.is_write().then_some(0),
            LimitLayer::All => Some(0),
            LimitLayer::Address | LimitLayer::AuthFailures => None,
        }
    }

    /// Brings the metrics up to date that are read and not counted.
    pub(crate) fn measure(&self, metrics: &Metrics) {
        let keys = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        for (of, limiter) in [
            (LimitLayer::Address, &self.address),
            (LimitLayer::AuthFailures, &self.auth_failures),
        ] {
            if let Some(limiter) = limiter {
                metrics.rate_limit_keys[of].set(keys(limiter.stats().keys));
            }
        }
        for layer in &self.layers {
            metrics.rate_limit_keys[layer.of].set(keys(layer.limiter.len()));
        }
    }
}

impl Layer {
    fn new(of: LimitLayer, config: RateLimitConfig) -> Layer {
        Layer {
            of,
            fields: fields_of(of, &config),
            limiter: RateLimiter::new(config),
        }
    }
}

impl Counter<'_> {
    fn of(self) -> LimitLayer {
        match self {
            Counter::Layer(layer, _) => layer.of,
            Counter::Own(_) => LimitLayer::Key,
        }
    }

    fn config(&self) -> &RateLimitConfig {
        match self {
            Counter::Layer(layer, _) => layer.limiter.config(),
            Counter::Own(limiter) => limiter.config(),
        }
    }

    fn acquire(self, now: Timestamp, units: u32) -> RateLimitResult {
        match self {
            Counter::Layer(layer, key) => layer.limiter.try_acquire_n(key, now, units),
            Counter::Own(limiter) => limiter.try_acquire_n(now, units),
        }
    }

    /// Gives back what was taken at that time.
    fn refund(self, taken_at: Timestamp, now: Timestamp, units: u32) {
        match self {
            Counter::Layer(layer, key) => layer.limiter.refund(key, taken_at, now, units),
            Counter::Own(limiter) => limiter.refund(taken_at, now, units),
        }
    }

    /// Returns which part of the quota is left.
    fn left(self, result: &RateLimitResult) -> f64 {
        let RateLimitResult::Allowed { remaining, .. } = result else {
            return 0.0;
        };
        let config = self.config();
        f64::from(*remaining) / f64::from(config.limit().max(config.burst()))
    }

    fn tell(self, result: &RateLimitResult) -> Option<(String, String)> {
        let tell =
            |fields: &RateLimitFields| Some((fields.policy().to_owned(), fields.state(result)?));
        match self {
            Counter::Layer(layer, _) => tell(&layer.fields),
            Counter::Own(limiter) => tell(&fields_of(LimitLayer::Key, limiter.config())),
        }
    }
}

impl Refused<'_> {
    fn problem(self, units: u32) -> Problem {
        let whose = match self.by.of() {
            LimitLayer::Key => "the key",
            LimitLayer::Tenant => "the tenant",
            LimitLayer::Address | LimitLayer::AuthFailures => "the address",
            LimitLayer::Search | LimitLayer::Embed | LimitLayer::Write | LimitLayer::All => {
                "all callers together"
            }
        };
        let told = self.by.tell(&self.result);
        match self.result {
            RateLimitResult::TooLarge { max } => Problem::new(
                ErrorCode::TooLarge,
                format!("this is {units} units of work, and {whose} may ask for {max} at once"),
            )
            .with_remedy("split the request; what cannot be split needs a larger burst"),
            RateLimitResult::Limited { retry_after, .. } => limited(whose, retry_after),
            RateLimitResult::Allowed { .. } => limited(whose, Duration::ZERO),
        }
        .with_rate_limit(told)
    }
}

impl Taken {
    /// Tells the caller how much is left, where that is little.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if let Some((policy, state)) = &self.told {
            set_fields(headers, policy, state);
        }
    }
}

fn fields_of(of: LimitLayer, config: &RateLimitConfig) -> RateLimitFields {
    RateLimitFields::try_new(of.name(), config).expect("a label is a token")
}

/// Returns the units of embedding texts of so many tokens.
pub(super) fn units_of_texts(texts: usize, tokens: usize) -> u32 {
    let units = texts + tokens.div_ceil(TOKENS_A_UNIT);
    u32::try_from(units).unwrap_or(u32::MAX)
}

pub(super) fn set_fields(headers: &mut HeaderMap, policy: &str, state: &str) {
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

fn count(
    limiter: Option<&AddressLimiter>,
    layer: LimitLayer,
    address: Option<IpAddr>,
    now: Timestamp,
    metrics: &Metrics,
) -> Result<(), Problem> {
    let (Some(limiter), Some(address)) = (limiter, address) else {
        return Ok(());
    };
    let result = limiter.try_acquire_n(address, now, 1);
    if result.is_allowed() {
        return Ok(());
    }
    metrics.rate_limited_total[layer].inc();
    let whose = if layer == LimitLayer::AuthFailures {
        "with wrong keys the address"
    } else {
        "the address"
    };
    let RateLimitResult::Limited { retry_after, .. } = result else {
        return Err(limited(whose, Duration::ZERO));
    };
    let fields = fields_of(layer, limiter.config());
    let told = fields
        .state(&result)
        .map(|state| (fields.policy().to_owned(), state));
    Err(limited(whose, retry_after).with_rate_limit(told))
}

fn limited(whose: &str, retry_after: Duration) -> Problem {
    Problem::new(
        ErrorCode::RateLimited,
        format!("{whose} asked for as much as may be asked for now"),
    )
    .with_remedy("come back when Retry-After has passed")
    .with_retry_after(retry_after)
}
