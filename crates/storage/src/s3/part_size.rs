//! Sizes of the parts of an upload.
//!
//! Parts are held in memory, so small ones are better, but S3 accepts at most 10,000 of one object.
//! They start with the minimum of S3, because most archives are small, and grow with the object up
//! to a size of which several fit into memory.

/// Minimum size in bytes, except for the last part of an object (Amazon S3 user guide, "Amazon S3
/// multipart upload limits").
pub(super) const MIN: usize = 5 << 20;

/// Maximum size in bytes, for which there must be memory at least once. The limit of S3 is 5 GiB.
pub(super) const MAX: usize = 64 << 20;

/// Maximum number of parts of an object (Amazon S3 user guide, "Amazon S3 multipart upload
/// limits").
pub(super) const MAX_COUNT: u32 = 10_000;

/// Number of parts of each size below the maximum.
const STEP: u32 = 1000;

/// Maximum size of an object, 448 GiB: the sum of the sizes of all parts.
pub(super) const MAX_OBJECT: u64 = {
    let (mut sum, mut number) = (0, 1);
    while number <= MAX_COUNT {
        sum += of(number) as u64;
        number += 1;
    }
    sum
};

/// Size in bytes of the part with this number, counted from 1. The last part of an object may be
/// smaller.
pub(super) const fn of(number: u32) -> usize {
    let doublings = number.saturating_sub(1) / STEP;
    // Limited so that the shift does not overflow.
    let size = if doublings < usize::BITS - MIN.ilog2() - 1 { MIN << doublings } else { MAX };
    if size < MAX { size } else { MAX }
}

/// Total size in bytes of this number of parts.
pub(super) fn total(count: u32) -> u64 {
    (1..=count).map(|number| of(number) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn grows_in_steps() {
        let table = [
            (1, 5),
            (2, 5),
            (1000, 5),
            (1001, 10),
            (2000, 10),
            (2001, 20),
            (3000, 20),
            (3001, 40),
            (4000, 40),
            (4001, 64),
            (10_000, 64),
            (u32::MAX, 64),
        ];
        for (number, mib) in table {
            assert_eq!(of(number), mib * MIB, "part {number}");
        }
    }

    #[test]
    fn is_within_the_limits_and_never_decreases() {
        for number in 1..=MAX_COUNT {
            assert!((5 * MIB..=64 * MIB).contains(&of(number)), "part {number}");
            assert!(of(number) >= of(number.saturating_sub(1)), "part {number}");
        }
    }

    #[test]
    fn adds_up_to_the_maximum_object() {
        assert_eq!(total(MAX_COUNT), MAX_OBJECT);
        assert_eq!(MAX_OBJECT, (1000 * (5 + 10 + 20 + 40) + 6000 * 64) * MIB as u64);
        assert_eq!(MAX_OBJECT >> 30, 448);
    }

    #[test]
    fn is_the_minimum_for_objects_up_to_5_gb() {
        assert!(total(1000) >= 5_000_000_000);
    }
}
