//! How large the parts of an upload are.
//!
//! Parts are held in memory, so small ones are better; but S3 takes 10,000 of one object at most.
//! They begin as small as S3 allows, since most archives are small, and grow with the object, up to
//! a size of which several fit into memory.

/// The smallest that S3 takes, but for the last part of an object, which may have any size (Amazon
/// S3 user guide, "Amazon S3 multipart upload limits").
pub(super) const SMALLEST: usize = 5 << 20;

/// The largest: what memory has to hold at least once. S3 takes 5 GiB.
pub(super) const LARGEST: usize = 64 << 20;

/// How many parts an object may have (Amazon S3 user guide, "Amazon S3 multipart upload limits").
pub(super) const MOST: u32 = 10_000;

/// How many parts there are of each size but the largest.
const STEP: u32 = 1000;

/// The largest object that can be uploaded, 448 GiB: all parts that there may be.
pub(super) const LARGEST_OBJECT: u64 = {
    let (mut sum, mut number) = (0, 1);
    while number <= MOST {
        sum += size(number) as u64;
        number += 1;
    }
    sum
};

/// Bytes of the part with this number, of which the first is 1. The last part of an object may have
/// fewer.
pub(super) const fn size(number: u32) -> usize {
    let doublings = number.saturating_sub(1) / STEP;
    // Beyond, shifting would lose bits.
    let grown = if doublings < usize::BITS - SMALLEST.ilog2() - 1 {
        SMALLEST << doublings
    } else {
        LARGEST
    };
    if grown < LARGEST { grown } else { LARGEST }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn parts_grow_in_steps() {
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
            assert_eq!(size(number), mib * MIB, "part {number}");
        }
    }

    #[test]
    fn every_part_is_one_that_s3_takes_and_memory_holds() {
        for number in 1..=MOST {
            assert!((5 * MIB..=64 * MIB).contains(&size(number)), "part {number}");
            assert!(
                size(number) >= size(number.saturating_sub(1)),
                "part {number} is not smaller than the one before"
            );
        }
    }

    #[test]
    fn all_parts_together_are_the_largest_object() {
        let sum: u64 = (1..=MOST).map(|number| size(number) as u64).sum();
        assert_eq!(sum, LARGEST_OBJECT);
        assert_eq!(LARGEST_OBJECT, (1000 * (5 + 10 + 20 + 40) + 6000 * 64) * MIB as u64);
        assert_eq!(LARGEST_OBJECT >> 30, 448);
    }

    #[test]
    fn parts_stay_a_small_share_of_their_object() {
        // Up to 5 GB, an object is sent in the smallest parts; a hundred uploads of 20 MB never
        // need larger ones.
        let begun: u64 = (1..=1000).map(|number| size(number) as u64).sum();
        assert!(begun >= 5_000_000_000);
    }
}
