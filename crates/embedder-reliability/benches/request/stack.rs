//! All that a request passes, as the server composes it: a search by a key that has a tenant.

use std::sync::Mutex;
use std::time::Duration;

use embedder_reliability::Timestamp;
use embedder_reliability::admission::{
    Admission, AdmissionPolicy, Arrival, CallerId, LimitPolicy, Priority, Served,
};
use embedder_reliability::circuit_breaker::{BreakerPolicy, CircuitBreaker, Outcome};
use embedder_reliability::degradation::{Feature, GracefulDegradation};
use embedder_reliability::rate_limiter::{
    AddressLimiter, RateLimitAlgorithm, RateLimitConfig, RateLimitResult, RateLimiter,
};
use embedder_reliability::retry::RetryBudget;

/// The limits, the door, the level, the breakers and the budget.
pub(crate) struct Stack {
    address: AddressLimiter,
    /// Of the key, of its tenant, of the kind of work, of everything.
    limits: [RateLimiter<u64>; 4],
    door: Mutex<Admission<()>>,
    level: GracefulDegradation,
    /// Of the cache, the store, the text index, the vectors and the encoder.
    breakers: [CircuitBreaker; 5],
    budget: RetryBudget,
}

impl Stack {
    pub(crate) fn new() -> Stack {
        let limit = RateLimitConfig::try_new(
            RateLimitAlgorithm::TokenBucket,
            1_000_000_000,
            Duration::from_secs(1),
            None,
        )
        .expect("it is a limit");
        let policy = AdmissionPolicy {
            limit: LimitPolicy {
                min: 16,
                max: 16,
                initial: 16,
                wait_min: Duration::from_millis(5),
                services: 1.0,
            },
            waiting_max: 64,
            wait_max: Duration::from_millis(100),
        };
        Stack {
            address: AddressLimiter::new(limit),
            limits: [(); 4].map(|()| RateLimiter::new(limit)),
            door: Mutex::new(Admission::new(policy)),
            level: GracefulDegradation::default(),
            breakers: [(); 5].map(|()| {
                CircuitBreaker::new(BreakerPolicy::default(), 1).expect("it is a policy")
            }),
            budget: RetryBudget::default(),
        }
    }

    /// Passes one request that came at `now`; says whether all let it through.
    pub(crate) fn pass(&self, now: Timestamp) -> bool {
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let mut passed = is_allowed(self.address.peek(address, now, 1));
        for limit in &self.limits {
            passed &= is_allowed(limit.try_acquire_n(7, now, 1));
        }
        let arrival = self.door.lock().expect("nobody panics").arrive(
            CallerId(7),
            Priority::Interactive,
            now,
            None,
            || (),
        );
        passed &= self.level.current().has(Feature::SemanticSearch);
        for breaker in &self.breakers {
            match breaker.try_acquire(now) {
                Ok(permit) => permit.record(Outcome::Success, now),
                Err(_) => passed = false,
            }
        }
        self.budget.deposit();
        let Arrival::Admitted(ticket) = arrival else {
            return false;
        };
        let served = Served {
            waited: Duration::ZERO,
            took: Duration::from_millis(5),
            was_late: false,
        };
        let mut door = self.door.lock().expect("nobody panics");
        door.leave(ticket, Some(served), now);
        passed
    }
}

fn is_allowed(result: RateLimitResult) -> bool {
    matches!(result, RateLimitResult::Allowed { .. })
}
