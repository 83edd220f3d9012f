//! Who does what blocks, and what goes on behind requests.

use embedder_reliability::Timestamp;
use tokio::runtime::Handle;

#[cfg(test)]
use super::simulated::World;
use crate::clock::Clock;

/// Who does what blocks, and what goes on behind requests.
#[derive(Clone)]
pub(crate) enum Workers {
    /// Threads for it.
    Threads,
    /// Nobody but the one thread of a simulation.
    #[cfg(test)]
    Simulated(std::sync::Arc<World>),
}

/// The work panicked.
#[derive(Debug)]
pub(super) struct Panicked;

impl Workers {
    /// Does blocking work. Once begun it is done, also when nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let done = match self {
            Workers::Threads => tokio::task::spawn_blocking(work),
            #[cfg(test)]
            Workers::Simulated(world) => {
                let time = world.time_of_work();
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    work()
                })
            }
        };
        done.await.map_err(|_| Panicked)
    }

    /// Reads the time on a thread that a piece of work has started.
    pub(super) fn now(&self, clock: Clock) -> Timestamp {
        #[cfg(test)]
        let _entered = match self {
            Workers::Threads => None,
            Workers::Simulated(world) => Some(world.runtime.enter()),
        };
        clock.now()
    }

    /// Returns a number that is not the same in two servers.
    pub(super) fn random_seed(&self) -> u64 {
        match self {
            // Without randomness servers would probe in step, and nothing worse.
            Workers::Threads => getrandom::u64().unwrap_or_default(),
            #[cfg(test)]
            Workers::Simulated(world) => world.random_seed(),
        }
    }

    /// Whether there are threads.
    pub(super) fn are_threads(&self) -> bool {
        matches!(self, Workers::Threads)
    }
}

/// Lets a thread without a runtime of its own wait for calls that are made on one.
#[derive(Clone)]
pub(super) enum Waiter {
    /// On the server's runtime, whose threads go on meanwhile.
    On(Handle),
    /// The thread itself drives the runtime.
    #[cfg(test)]
    Drives(std::sync::Arc<World>),
}

impl Waiter {
    /// Waits for a call.
    ///
    /// # Panics
    /// On a thread that runs tasks.
    pub(super) fn wait_for<T>(&self, call: impl Future<Output = T>) -> T {
        match self {
            Waiter::On(runtime) => runtime.block_on(call),
            #[cfg(test)]
            Waiter::Drives(world) => world.runtime.block_on(call),
        }
    }
}
