//! A set of the values of a small enum.

use std::fmt;
use std::marker::PhantomData;

/// A value of a small enum.
pub trait Member: Copy + 'static {
    /// Every value; at most 16.
    const ALL: &'static [Self];

    /// Returns the place of the value among all.
    fn position(self) -> u32;
}

/// Some of the values of a small enum.
pub struct Set<T> {
    bits: u16,
    of: PhantomData<T>,
}

impl<T> Set<T> {
    /// None of them.
    pub const EMPTY: Set<T> = Set::from_bits(0);

    pub(super) const fn from_bits(bits: u16) -> Set<T> {
        Set {
            bits,
            of: PhantomData,
        }
    }

    pub(super) const fn bits(self) -> u16 {
        self.bits
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// Returns what is in one of the two.
    #[must_use]
    pub const fn union(self, other: Set<T>) -> Set<T> {
        Set::from_bits(self.bits | other.bits)
    }
}

impl<T: Member> Set<T> {
    /// Whether a value is in it.
    pub fn contains(self, value: T) -> bool {
        self.bits >> value.position() & 1 == 1
    }

    /// Puts a value in.
    pub fn insert(&mut self, value: T) {
        self.bits |= 1 << value.position();
    }

    /// Takes a value out.
    pub fn remove(&mut self, value: T) {
        self.bits &= !(1 << value.position());
    }

    /// Returns its values, in the order of the enum.
    pub fn iter(self) -> impl Iterator<Item = T> {
        T::ALL
            .iter()
            .copied()
            .filter(move |value| self.contains(*value))
    }
}

impl<T: Member> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Set<T> {
        let mut set = Set::EMPTY;
        for value in values {
            set.insert(value);
        }
        set
    }
}

// Derived, these would ask the same of `T`.
impl<T> Clone for Set<T> {
    fn clone(&self) -> Set<T> {
        *self
    }
}

impl<T> Copy for Set<T> {}

impl<T> Default for Set<T> {
    fn default() -> Set<T> {
        Set::EMPTY
    }
}

impl<T> PartialEq for Set<T> {
    fn eq(&self, other: &Set<T>) -> bool {
        self.bits == other.bits
    }
}

impl<T> Eq for Set<T> {}

impl<T: Member + fmt::Debug> fmt::Debug for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
