//! Breakers by the name of an endpoint.

use std::collections::HashMap;
use std::sync::Arc;

use super::CircuitBreaker;
use crate::sync::{Mutex, lock};

/// Endpoints that have a breaker of their own. Those that come later share one.
pub const ENDPOINTS_MAX: usize = 256;

/// The breakers of endpoints that are not known when the program is written, such as hosts. Their number is bounded:
/// whoever can name an endpoint must not be able to fill the memory.
pub struct BreakerRegistry {
    breakers: Mutex<HashMap<Box<str>, Arc<CircuitBreaker>>>,
    make: Box<dyn Fn(&str) -> CircuitBreaker + Send + Sync>,
    overflow: Arc<CircuitBreaker>,
}

impl BreakerRegistry {
    /// Makes an empty one. `make` makes the breaker of an endpoint; it is asked for `overflow` at once, for the one that
    /// later endpoints share.
    pub fn new(make: impl Fn(&str) -> CircuitBreaker + Send + Sync + 'static) -> BreakerRegistry {
        BreakerRegistry {
            breakers: Mutex::new(HashMap::new()),
            overflow: Arc::new(make("overflow")),
            make: Box::new(make),
        }
    }

    /// Returns the breaker of an endpoint.
    pub fn of(&self, endpoint: &str) -> Arc<CircuitBreaker> {
        let mut breakers = lock(&self.breakers);
        if let Some(known) = breakers.get(endpoint) {
            return Arc::clone(known);
        }
        if breakers.len() >= ENDPOINTS_MAX {
            return Arc::clone(&self.overflow);
        }
        let breaker = Arc::new((self.make)(endpoint));
        breakers.insert(Box::from(endpoint), Arc::clone(&breaker));
        breaker
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::BreakerPolicy;
    use super::*;

    #[test]
    fn endpoints_beyond_the_limit_share_a_breaker() {
        let registry =
            BreakerRegistry::new(|_| CircuitBreaker::new(BreakerPolicy::default(), 1).unwrap());
        let first = registry.of("host 0");
        for number in 1..ENDPOINTS_MAX {
            assert!(!Arc::ptr_eq(
                &first,
                &registry.of(&format!("host {number}"))
            ));
        }
        assert!(Arc::ptr_eq(&first, &registry.of("host 0")));
        let later = registry.of("one more");
        assert!(Arc::ptr_eq(&later, &registry.of("and another")));
        assert!(!Arc::ptr_eq(&first, &later));
    }
}
