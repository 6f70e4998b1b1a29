//! Money: 256-bit amounts of base units, and the multiply-divide every rule of payment is made of.
//!
//! A fee is bytes times price and may need 133 bits when both are hostile; a reward multiplies it by 10^18 again. So
//! amounts are 256 bits wide, as on the chain, and products are 512 bits wide before they are divided. All divisions
//! round down: rounding never creates money.

use ruint::Uint;
pub use ruint::aliases::U256;

use crate::params::PPM;

type U512 = Uint<512, 8>;

/// Base units of a currency (atto-NFC or atto-NB).
pub type Amount = U256;

/// floor(`a` x `b` / `d`) with a 512-bit product. `None` when `d` is zero or the result needs more than 256 bits.
#[must_use]
pub fn mul_div(a: Amount, b: Amount, d: Amount) -> Option<Amount> {
    if d.is_zero() {
        return None;
    }
    let product: U512 = a.widening_mul(b);
    Amount::checked_from_limbs_slice((product / U512::from(d)).as_limbs())
}

/// floor(`a` x `ppm` / 10^6). `ppm` above one million is taken as one million, so the result never exceeds `a`.
#[must_use]
pub fn share(a: Amount, ppm: u64) -> Amount {
    mul_div(a, Amount::from(ppm.min(PPM)), Amount::from(PPM)).unwrap_or(a)
}

/// floor(`x` x (10^6 + `extra_ppm`) / 10^6), the largest count when it does not fit.
#[must_use]
pub fn allow_above(x: u64, extra_ppm: u64) -> u64 {
    let product = u128::from(x) * (u128::from(PPM) + u128::from(extra_ppm));
    u64::try_from(product / u128::from(PPM)).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(bytes: [u8; 32]) -> Amount {
        Amount::from_le_bytes(bytes)
    }

    proptest! {
        #[test]
        fn a_quotient_times_its_divisor_plus_a_smaller_rest_is_the_product(
            a: [u8; 32], b: [u8; 32], d: [u8; 32], shift in 0usize..255,
        ) {
            let (a, b, d) = (amount(a) >> shift, amount(b), (amount(d) >> (255 - shift)).max(Amount::from(1)));
            let product: U512 = a.widening_mul(b);
            match mul_div(a, b, d) {
                Some(q) => {
                    let back: U512 = q.widening_mul(d);
                    prop_assert!(back <= product);
                    prop_assert!(product - back < U512::from(d));
                }
                None => prop_assert!(product / U512::from(d) > U512::from(Amount::MAX)),
            }
        }

        #[test]
        fn the_wide_product_agrees_with_schoolbook_multiplication(a: [u64; 4], b: [u64; 4]) {
            let mut limbs = [0u64; 8];
            for (i, x) in a.iter().enumerate() {
                let mut carry = 0u128;
                for (j, y) in b.iter().enumerate() {
                    let sum = u128::from(*x) * u128::from(*y) + u128::from(limbs[i + j]) + carry;
                    limbs[i + j] = u64::try_from(sum & u128::from(u64::MAX)).unwrap();
                    carry = sum >> 64;
                }
                limbs[i + 4] = u64::try_from(carry).unwrap();
            }
            let product: U512 = Amount::from_limbs(a).widening_mul(Amount::from_limbs(b));
            prop_assert_eq!(product, U512::from_limbs(limbs));
        }

        #[test]
        fn small_values_agree_with_plain_arithmetic(a: u64, b: u64, d in 1u64..) {
            let want = u128::from(a) * u128::from(b) / u128::from(d);
            prop_assert_eq!(mul_div(Amount::from(a), Amount::from(b), Amount::from(d)), Some(Amount::from(want)));
        }

        #[test]
        fn a_share_never_exceeds_the_whole(a: [u8; 32], ppm: u64) {
            prop_assert!(share(amount(a), ppm) <= amount(a));
        }
    }

    #[test]
    fn hostile_operands_give_no_result_instead_of_a_panic() {
        assert_eq!(mul_div(Amount::MAX, Amount::MAX, Amount::from(1)), None);
        assert_eq!(mul_div(Amount::MAX, Amount::MAX, Amount::ZERO), None);
        assert_eq!(mul_div(Amount::MAX, Amount::MAX, Amount::MAX), Some(Amount::MAX));
        assert_eq!(allow_above(u64::MAX, 150_000), u64::MAX);
    }
}
