//! What an operator sees of breakers and of the level of service, and what they may decide about them.

use std::time::Duration;

use embedder_reliability::Timestamp;
use embedder_reliability::circuit_breaker::{CircuitState, ManualMode};
use embedder_reliability::degradation::{
    Assessment, DegradationMode, Feature, Member, Part, ServiceLevel, Set,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Service;
use super::level::{FORCED_MAX, Forced};
use crate::engine::audit::AuditKind;
use crate::error::{Error, Result};
use crate::outbound::circuit::Circuit;

/// A dependency with what stands before it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BreakerView {
    /// The dependency.
    pub dependency: String,
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// What somebody decided by hand: `forced_open`, `forced_closed` or `metrics_only`.
    pub manual: Option<String>,
    /// How long that holds, in seconds.
    pub manual_for_s: Option<u64>,
    /// When a call may pass again, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Requests that failed in a row.
    pub consecutive_failures: u32,
    /// Calls in the window.
    pub calls: u32,
    /// Of these, how many failed.
    pub failed: u32,
    /// Of these, how many were slow.
    pub slow: u32,
    /// How often in a row probes failed.
    pub reopened: u32,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls that may be under way.
    pub at_once_max: usize,
    /// How long an attempt may take, in milliseconds.
    pub timeout_ms: u64,
    /// Attempts at a call.
    pub attempts: u32,
    /// What is left to spend on trying again, of 500.
    pub retry_budget: u64,
}

/// All breakers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BreakerList {
    /// One a dependency.
    pub breakers: Vec<BreakerView>,
}

/// What is decided about a breaker.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakerOrder {
    /// What.
    pub action: BreakerAction,
    /// For how long, in seconds, 1 to 86,400; by default an hour. Nothing to `reset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86400)]
    pub for_s: Option<u64>,
}

/// What can be decided about a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerAction {
    /// Calls are refused.
    ForceOpen,
    /// Calls pass.
    ForceClosed,
    /// Calls pass and are measured.
    MetricsOnly,
    /// It decides by itself, as if nothing had failed.
    Reset,
}

/// A way in which the service is less than whole.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ModeView {
    /// Its name.
    pub mode: String,
    /// What answers instead, best first.
    pub fallbacks: Vec<String>,
    /// What that means for security, and what bounds it.
    pub security: String,
}

/// How much of the service there is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DegradationView {
    /// `Full`, `Degraded` or `Minimal`.
    pub level: String,
    /// Why it is not all.
    pub modes: Vec<ModeView>,
    /// What fails, or is decided by hand.
    pub causes: Vec<String>,
    /// What is off.
    pub features_off: Vec<String>,
    /// What an operator has switched off.
    pub switched_off: Vec<String>,
    /// For how long still, in seconds.
    pub switched_off_for_s: Option<u64>,
}

/// What is switched off.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DegradationOrder {
    /// Parts of the search: `embedder`, `vector_index`, `lexical_index`, `cache`, `store`.
    #[schema(max_items = 5, min_items = 1)]
    pub off: Vec<String>,
    /// For how long, in seconds, 1 to 86,400; by default an hour.
    #[serde(default = "hour", skip_serializing_if = "is_hour")]
    #[schema(minimum = 1, maximum = 86400)]
    pub for_s: u64,
}

/// How long an order holds where nothing is said.
const HOUR_S: u64 = 3_600;

fn hour() -> u64 {
    HOUR_S
}

fn is_hour(seconds: &u64) -> bool {
    *seconds == HOUR_S
}

impl Service {
    /// Returns what stands before each dependency.
    pub fn breakers(&self) -> BreakerList {
        let all = self.dependencies.all();
        BreakerList {
            breakers: all.map(|(_, circuit)| view_of(circuit)).collect(),
        }
    }

    /// Does what an operator decides about a breaker, on record.
    ///
    /// # Errors
    /// A dependency that there is none of; a time that is out of range; a full audit log.
    pub fn order_breaker(
        &self,
        actor: &str,
        dependency: &str,
        order: &BreakerOrder,
    ) -> Result<BreakerView> {
        let circuit = self
            .dependencies
            .by_name(dependency)
            .ok_or_else(|| self.no_such_dependency(dependency))?;
        let time = order_time(order.for_s.unwrap_or(HOUR_S))?;
        let subject = format!("{} {}", circuit.name(), order.action.name());
        self.access
            .record(AuditKind::BreakerForced, actor, &subject)?;
        let now = self.clock.now();
        let (breaker, until) = (circuit.breaker(), now.plus(time));
        match order.action {
            BreakerAction::ForceOpen => breaker.force_open(now, until),
            BreakerAction::ForceClosed => breaker.force_closed(now, until),
            BreakerAction::MetricsOnly => breaker.metrics_only(now, until),
            BreakerAction::Reset => breaker.reset(now),
        }
        self.follow_level(now);
        Ok(view_of(circuit))
    }

    /// Returns how much of the service there is.
    pub fn degradation(&self) -> DegradationView {
        let now = self.clock.now();
        let assessment = self.assess_all(now);
        let modes = assessment.modes.iter().map(|mode| ModeView {
            mode: mode.name().to_owned(),
            fallbacks: mode
                .fallbacks()
                .iter()
                .map(|fallback| fallback.name().to_owned())
                .collect(),
            security: mode.security_implication().to_owned(),
        });
        let forced = self.forced(now);
        let off = forced.map(|forced| forced.parts).unwrap_or_default();
        DegradationView {
            level: assessment.level.name().to_owned(),
            modes: modes.collect(),
            causes: self.causes(&assessment, now),
            features_off: names(assessment.features_off, Feature::name),
            switched_off: names(off, Part::name),
            switched_off_for_s: forced.map(|forced| now.until(forced.until).as_secs()),
        }
    }

    /// Returns which dependencies cannot be used, and why.
    fn causes(&self, assessment: &Assessment, now: Timestamp) -> Vec<String> {
        let broken = self.dependencies.all().filter_map(|(_, circuit)| {
            let found = circuit.breaker().snapshot(now);
            let name = circuit.name();
            let by_hand = found.manual.map(|manual| {
                let seconds = now.until(manual.until).as_secs();
                format!("{name}: {} for another {seconds} s", manual.mode.name())
            });
            let is_closed = found.state == CircuitState::Closed;
            by_hand.or_else(|| {
                (!is_closed)
                    .then(|| format!("{name}: its circuit breaker is {}", found.state.name()))
            })
        });
        let model = self
            .model
            .get()
            .err()
            .map(|_| "encoder: there is no model".to_owned());
        let mut causes: Vec<_> = broken.chain(model).collect();
        let is_whole = assessment.level == ServiceLevel::Full;
        let is_spared = assessment.modes.contains(DegradationMode::Overload);
        if causes.is_empty() && !is_whole && !is_spared && self.forced(now).is_none() {
            causes.push("nothing any more; it is whole again when that has lasted".to_owned());
        }
        causes
    }

    /// Switches these parts off for a while, on record, and all others on.
    ///
    /// # Errors
    /// A part that there is none of; a time that is out of range; a full audit log.
    pub fn order_degradation(
        &self,
        actor: &str,
        order: Option<&DegradationOrder>,
    ) -> Result<DegradationView> {
        let now = self.clock.now();
        let forced = match order {
            Some(order) => {
                if order.off.is_empty() {
                    return Err(Error::Argument {
                        problem: "no part is named".to_owned(),
                        remedy: "name what goes off; DELETE switches everything on".to_owned(),
                    });
                }
                let parts: Set<Part> = order
                    .off
                    .iter()
                    .map(|name| Part::from_name(name).ok_or_else(|| no_such_part(name)))
                    .collect::<Result<_>>()?;
                let until = now.plus(order_time(order.for_s)?);
                Some(Forced { parts, until })
            }
            None => None,
        };
        let off = forced.map(|forced| forced.parts).unwrap_or_default();
        let subject = match names(off, Part::name) {
            none if none.is_empty() => "all on".to_owned(),
            off => format!("{} off", off.join(" ")),
        };
        self.access
            .record(AuditKind::DegradationForced, actor, &subject)?;
        self.force(forced);
        self.follow_level(now);
        Ok(self.degradation())
    }

    /// Whether the service is whole.
    pub fn is_whole(&self) -> bool {
        self.level().level == ServiceLevel::Full
    }

    fn no_such_dependency(&self, name: &str) -> Error {
        let known: Vec<_> = self
            .dependencies
            .all()
            .map(|(name, _)| name.name())
            .collect();
        Error::Argument {
            problem: format!(
                "there is no dependency {:?}",
                name.chars().take(64).collect::<String>()
            ),
            remedy: format!("there are: {}", known.join(", ")),
        }
    }
}

impl BreakerAction {
    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            BreakerAction::ForceOpen => ManualMode::ForcedOpen.name(),
            BreakerAction::ForceClosed => ManualMode::ForcedClosed.name(),
            BreakerAction::MetricsOnly => ManualMode::MetricsOnly.name(),
            BreakerAction::Reset => "reset",
        }
    }
}

fn view_of(circuit: &Circuit) -> BreakerView {
    let now = circuit.clock().now();
    let found = circuit.breaker().snapshot(now);
    let policy = circuit.policy();
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let waits = found.state != CircuitState::Closed;
    BreakerView {
        dependency: circuit.name().to_owned(),
        state: found.state.name().to_owned(),
        manual: found.manual.map(|manual| manual.mode.name().to_owned()),
        manual_for_s: found.manual.map(|manual| now.until(manual.until).as_secs()),
        retry_after_ms: found.retry_after.filter(|_| waits).map(ms),
        consecutive_failures: found.consecutive_failures,
        calls: found.window.calls,
        failed: found.window.failed,
        slow: found.window.slow,
        reopened: found.reopened,
        in_flight: circuit.in_flight(),
        at_once_max: policy.at_once_max,
        timeout_ms: ms(policy.timeout),
        attempts: policy.retry.attempts,
        retry_budget: circuit.budget().balance(),
    }
}

fn order_time(seconds: u64) -> Result<Duration> {
    let time = Duration::from_secs(seconds);
    if time.is_zero() || time > FORCED_MAX {
        return Err(Error::Argument {
            problem: format!("nothing can be decided for {seconds} s"),
            remedy: format!("use 1 to {}", FORCED_MAX.as_secs()),
        });
    }
    Ok(time)
}

fn no_such_part(name: &str) -> Error {
    let known: Vec<_> = Part::ALL.iter().map(|part| part.name()).collect();
    Error::Argument {
        problem: format!(
            "there is no part {:?}",
            name.chars().take(64).collect::<String>()
        ),
        remedy: format!("there are: {}", known.join(", ")),
    }
}

fn names<T: Member>(set: Set<T>, name: impl Fn(T) -> &'static str) -> Vec<String> {
    set.iter().map(|value| name(value).to_owned()).collect()
}
