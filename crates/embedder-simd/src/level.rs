//! Which instruction set a kernel runs on.

#[cfg(target_arch = "x86_64")]
use crate::isa::avx2::Avx2;
use crate::isa::{Isa, portable::Portable};

/// An instruction set that this machine can run, chosen once and handed to every kernel.
///
/// A value other than `Portable` carries the proof that the CPU has the instructions, so a kernel needs no check of its
/// own and no caller can ask for what the machine lacks. Wider sets become further variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// Plain Rust that the compiler vectorises as far as the target's baseline allows.
    Portable,
    /// AVX2 with fused multiply-add: x86-64 from about 2013 on.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

impl Level {
    /// The fastest level of this machine.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }

    /// Every level of this machine, slowest first. Tests run each.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::Portable];
        if Self::best() != Self::Portable {
            levels.push(Self::best());
        }
        levels
    }

    /// The level's name, as reports and log lines print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
        }
    }

    /// Runs a kernel with this level's instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.run(kernel),
        }
    }
}

/// A computation that is written once and compiled for every instruction set.
pub(crate) trait Kernel {
    type Output;

    /// Must be `#[inline(always)]`, as must all that it calls with lanes in hand: only code that ends up inside the
    /// function with the target features is compiled with them.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_level_is_the_last_available_one() {
        assert_eq!(Level::available().last(), Some(&Level::best()));
        assert_eq!(Level::available().first(), Some(&Level::Portable));
    }
}
