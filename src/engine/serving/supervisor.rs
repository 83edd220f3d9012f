//! Repairs what fails, outside of requests.
//!
//! A thread looks once a second. What a circuit breaker has opened for, or what is plainly broken, has a
//! [`RecoveryStrategy`]; it is tried when the breaker opens, and at most three times in ten minutes: what repairs do not
//! mend is somebody's to look at. A repair never closes a breaker: its probes do. Each is counted and told in the log.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use embedder_reliability::Timestamp;
use embedder_reliability::circuit_breaker::CircuitState;
use embedder_reliability::recovery::{RecoveryBudget, Repair};

use super::Service;
use super::live::Commit;
use crate::clock;
use crate::error::Result;
use crate::observability::metrics::{Dependency, RecoveryOutcome};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);

/// A batch takes tenths of a second; one that takes this long never ends.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(30);

/// What is done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecoveryStrategy {
    /// The model is loaded anew, with new threads; those that hang are left to themselves.
    RestartEncoder,
    /// The text indexes are built anew from the store.
    RebuildTextIndex,
    /// The vectors are read anew from the store.
    ReloadVectors,
    /// The database is opened anew.
    ReopenStore,
    /// All answers are forgotten.
    ClearCache,
}

/// How a repair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecoveryResult {
    /// It works again, as far as can be seen.
    Recovered,
    /// Some of it works again.
    PartialRecovery,
    /// It does not.
    RecoveryFailed,
    /// It was not tried: too often in too short a time.
    RetryLater,
}

/// What the supervisor remembers.
#[derive(Default)]
pub(super) struct Memory {
    budgets: HashMap<Dependency, RecoveryBudget>,
    /// The epoch of the breaker for which a repair was tried last.
    repaired: HashMap<Dependency, u64>,
    /// Whether it was told that no repair may be tried.
    told: HashMap<Dependency, bool>,
    /// Whether the model, and the provider, did not work when they were looked at last.
    embedder_failed: [bool; 2],
}

impl RecoveryStrategy {
    fn of(dependency: Dependency) -> Option<RecoveryStrategy> {
        match dependency {
            Dependency::Encoder => Some(RecoveryStrategy::RestartEncoder),
            Dependency::LexicalIndex => Some(RecoveryStrategy::RebuildTextIndex),
            Dependency::VectorIndex => Some(RecoveryStrategy::ReloadVectors),
            Dependency::ContentStore => Some(RecoveryStrategy::ReopenStore),
            Dependency::Cache => Some(RecoveryStrategy::ClearCache),
            // What is elsewhere cannot be repaired from here.
            Dependency::EmbeddingProvider | Dependency::HubStore | Dependency::Disk => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            RecoveryStrategy::RestartEncoder => "restart the encoder",
            RecoveryStrategy::RebuildTextIndex => "build the text index anew",
            RecoveryStrategy::ReloadVectors => "read the vectors anew",
            RecoveryStrategy::ReopenStore => "open the store anew",
            RecoveryStrategy::ClearCache => "forget all answers",
        }
    }
}

impl RecoveryResult {
    fn label(self) -> RecoveryOutcome {
        match self {
            RecoveryResult::Recovered => RecoveryOutcome::Recovered,
            RecoveryResult::PartialRecovery => RecoveryOutcome::PartialRecovery,
            RecoveryResult::RecoveryFailed => RecoveryOutcome::RecoveryFailed,
            RecoveryResult::RetryLater => RecoveryOutcome::RetryLater,
        }
    }
}

impl Service {
    /// Looks after what fails until the server ends.
    pub(super) fn supervise(&self) {
        let mut memory = Memory::default();
        while self.rest_for(EVERY) {
            self.supervise_once(&mut memory);
        }
    }

    pub(super) fn supervise_once(&self, memory: &mut Memory) {
        let now = self.clock.now();
        self.follow_level(now);
        // A defect of a repair must not end all others.
        let looked = catch_unwind(AssertUnwindSafe(|| self.look_after(memory, now)));
        if looked.is_err() {
            tracing::error!("A repair panicked");
        }
    }

    fn look_after(&self, memory: &mut Memory, now: Timestamp) {
        self.catch_up();
        let dependencies: Vec<_> = self.dependencies.all().map(|(name, _)| name).collect();
        for dependency in dependencies {
            let Some(strategy) = RecoveryStrategy::of(dependency) else {
                continue;
            };
            let Some(epoch) = self.wants_repair(dependency, memory) else {
                continue;
            };
            let budget = memory.budgets.entry(dependency).or_default();
            match budget.ask(now) {
                Repair::Now => {}
                Repair::Later => continue,
                Repair::UsedUp => {
                    let told = memory.told.entry(dependency).or_default();
                    if !std::mem::replace(told, true) {
                        self.ended(dependency, strategy, RecoveryResult::RetryLater);
                    }
                    continue;
                }
            }
            memory.told.insert(dependency, false);
            memory.repaired.insert(dependency, epoch);
            let result = self.repair(strategy);
            self.ended(dependency, strategy, result);
        }
        let encoder = Some(&self.dependencies.encoder);
        let provider = self.dependencies.provider.as_ref();
        for (is_remote, circuit) in [(false, encoder), (true, provider)] {
            let works =
                circuit.is_none_or(|circuit| circuit.breaker().state() == CircuitState::Closed);
            let had_failed = &mut memory.embedder_failed[usize::from(is_remote)];
            if std::mem::replace(had_failed, !works) && works {
                self.fillers.by(is_remote).start_afresh();
                self.fill_pending();
            }
        }
    }

    /// Lets text indexes that failed follow the store again, if they can: that costs little and is no repair.
    fn catch_up(&self) {
        let all: Vec<_> = self.library().values().cloned().collect();
        for live in all.iter().filter(|live| live.is_behind()) {
            let caught_up = self
                .connections
                .take()
                .and_then(|mut db| live.sync(&mut *db, &self.data_dir, Commit::Now));
            if let Err(error) = caught_up {
                let name = &live.collection().name;
                tracing::debug!(collection = %name, "The text index of {name} is behind: {error}");
            }
        }
    }

    /// Returns the epoch of a breaker that wants a repair which was not tried yet.
    fn wants_repair(&self, dependency: Dependency, memory: &Memory) -> Option<u64> {
        let circuit = self.dependencies.by_name(dependency.name())?;
        let found = circuit.breaker().snapshot(self.clock.now());
        let was_opened = found.state == CircuitState::Open
            && found.manual.is_none()
            && memory.repaired.get(&dependency) != Some(&found.epoch);
        (was_opened || self.is_plainly_broken(dependency)).then_some(found.epoch)
    }

    fn is_plainly_broken(&self, dependency: Dependency) -> bool {
        match dependency {
            Dependency::Encoder => self.model.get().is_ok_and(|model| {
                let stuck = model.batcher().stuck_for(clock::now());
                !model.batcher().is_healthy() || stuck.is_some_and(|stuck| stuck > STUCK_AFTER)
            }),
            Dependency::ContentStore => self.connections.writer().has_failed(),
            Dependency::LexicalIndex => self.library().values().any(|live| live.is_broken()),
            Dependency::VectorIndex
            | Dependency::Cache
            | Dependency::EmbeddingProvider
            | Dependency::HubStore
            | Dependency::Disk => false,
        }
    }

    /// Does what there is to do about a failure.
    pub(crate) fn repair(&self, strategy: RecoveryStrategy) -> RecoveryResult {
        let repaired = match strategy {
            RecoveryStrategy::RestartEncoder => self.restart_encoder(),
            RecoveryStrategy::RebuildTextIndex => return self.rebuild_text_indexes(),
            RecoveryStrategy::ReloadVectors => return self.reload_vectors(),
            RecoveryStrategy::ReopenStore => self.reopen_store(),
            RecoveryStrategy::ClearCache => {
                self.answers.clear();
                Ok(())
            }
        };
        match repaired {
            Ok(()) => RecoveryResult::Recovered,
            Err(error) => {
                tracing::warn!("To {} did not help: {error}", strategy.name());
                RecoveryResult::RecoveryFailed
            }
        }
    }

    fn restart_encoder(&self) -> Result<()> {
        let old = self.model.get().ok();
        let model = self.load_model_anew()?;
        self.model.set(Ok(model));
        if let Some(old) = old {
            old.batcher().abandon();
        }
        Ok(())
    }

    fn rebuild_text_indexes(&self) -> RecoveryResult {
        let all: Vec<_> = self.library().values().cloned().collect();
        let broken: Vec<_> = all
            .iter()
            .filter(|live| live.is_broken())
            .cloned()
            .collect();
        // Where a search failed and nothing is known to be broken, it may be any of them.
        let suspects = if broken.is_empty() { all } else { broken };
        let rebuilt = suspects.iter().map(|live| {
            let mut db = self.connections.take()?;
            live.rebuild(&mut *db, &self.data_dir, self.vectors_for(live).as_ref())
        });
        sum_up(rebuilt)
    }

    fn reload_vectors(&self) -> RecoveryResult {
        let all: Vec<_> = self.library().values().cloned().collect();
        let read = all.iter().map(|live| {
            let db = self.connections.take()?;
            live.reread_vectors(db.store(), self.vectors_for(live).as_ref())
        });
        sum_up(read)
    }

    fn reopen_store(&self) -> Result<()> {
        self.connections.forget_idle();
        if self.connections.writer().has_failed() {
            self.connections.writer().reopen()?;
        }
        self.connections.take()?.store().last_seq()?;
        Ok(())
    }

    fn ended(&self, dependency: Dependency, strategy: RecoveryStrategy, result: RecoveryResult) {
        self.metrics.recoveries_total[dependency][result.label()].inc();
        let (name, outcome, what) = (dependency.name(), result.label().name(), strategy.name());
        match result {
            RecoveryResult::Recovered | RecoveryResult::PartialRecovery => {
                tracing::warn!(
                    dependency = name,
                    outcome,
                    "Repaired {name}: {what}: {outcome}"
                );
            }
            RecoveryResult::RecoveryFailed | RecoveryResult::RetryLater => {
                tracing::error!(
                    dependency = name,
                    outcome,
                    "{name} is not repaired: {what}: {outcome}"
                );
            }
        }
    }
}

fn sum_up(repairs: impl Iterator<Item = Result<()>>) -> RecoveryResult {
    let (mut good, mut bad) = (0, 0);
    for repaired in repairs {
        match repaired {
            Ok(()) => good += 1,
            Err(error) => {
                tracing::warn!("A repair did not help: {error}");
                bad += 1;
            }
        }
    }
    match (good, bad) {
        (_, 0) => RecoveryResult::Recovered,
        (0, _) => RecoveryResult::RecoveryFailed,
        _ => RecoveryResult::PartialRecovery,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn some_of_several_repairs_are_a_partial_recovery() {
        let check = |repairs: &[bool], expected| {
            let repairs = repairs.iter().map(|is_good| match is_good {
                true => Ok(()),
                false => Err(Error::Interrupted),
            });
            assert_eq!(sum_up(repairs), expected);
        };
        check(&[true, true], RecoveryResult::Recovered);
        check(&[true, false], RecoveryResult::PartialRecovery);
        check(&[false], RecoveryResult::RecoveryFailed);
        check(&[], RecoveryResult::Recovered);
    }
}
