//! Arithmetic on numbers wider than 64 bits.

/// Divides, rounding down; `u64::MAX` for what is more. What fits into 64 bits, as nearly everything does, takes the
/// processor's own division.
pub(super) fn divide(dividend: u128, divisor: u64) -> u64 {
    match u64::try_from(dividend) {
        Ok(dividend) => dividend / divisor,
        Err(_) => u64::try_from(dividend / u128::from(divisor)).unwrap_or(u64::MAX),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn wide_and_narrow_numbers_are_divided_alike() {
        for (dividend, divisor, expected) in [
            (7, 2, 3),
            (u128::from(u64::MAX), 1, u64::MAX),
            (u128::from(u64::MAX) + 1, 2, 1 << 63),
            (u128::MAX, u64::MAX, u64::MAX),
            (u128::MAX, 3, u64::MAX),
        ] {
            assert_eq!(divide(dividend, divisor), expected);
        }
    }
}
