//! What callers need to know of a breaker, in one atomic number: its epoch, its state, and what to do.

use crate::circuit_breaker::CircuitState;

/// What a caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::circuit_breaker) enum Gate {
    /// Makes the call.
    Pass,
    /// Gives up, unless the time of refusal is over: then it asks.
    Refuse,
    /// Asks the control.
    Ask,
}

/// Epoch, state and gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::circuit_breaker) struct Word(u64);

const STATE_SHIFT: u32 = 2;
const EPOCH_SHIFT: u32 = 4;

impl Word {
    pub(in crate::circuit_breaker) fn new(epoch: u64, state: CircuitState, gate: Gate) -> Word {
        let gate = match gate {
            Gate::Pass => 0,
            Gate::Refuse => 1,
            Gate::Ask => 2,
        };
        let state = match state {
            CircuitState::Closed => 0,
            CircuitState::Open => 1,
            CircuitState::HalfOpen => 2,
        };
        Word(epoch << EPOCH_SHIFT | state << STATE_SHIFT | gate)
    }

    pub(in crate::circuit_breaker) fn from_bits(bits: u64) -> Word {
        Word(bits)
    }

    pub(in crate::circuit_breaker) fn bits(self) -> u64 {
        self.0
    }

    pub(in crate::circuit_breaker) fn gate(self) -> Gate {
        match self.0 & 3 {
            0 => Gate::Pass,
            1 => Gate::Refuse,
            _ => Gate::Ask,
        }
    }

    pub(in crate::circuit_breaker) fn state(self) -> CircuitState {
        match self.0 >> STATE_SHIFT & 3 {
            0 => CircuitState::Closed,
            1 => CircuitState::Open,
            _ => CircuitState::HalfOpen,
        }
    }

    pub(in crate::circuit_breaker) fn epoch(self) -> u64 {
        self.0 >> EPOCH_SHIFT
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_put_in() {
        for epoch in [0, 1, 1 << 40] {
            for state in CircuitState::ALL {
                for gate in [Gate::Pass, Gate::Refuse, Gate::Ask] {
                    let word = Word::from_bits(Word::new(epoch, state, gate).bits());
                    assert_eq!(
                        (word.epoch(), word.state(), word.gate()),
                        (epoch, state, gate)
                    );
                }
            }
        }
    }
}
