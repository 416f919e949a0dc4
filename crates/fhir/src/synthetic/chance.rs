//! Chance from a seed: `SplitMix64` (Steele, Lea, Flood 2014). Quick and even; for invented patients, never
//! for keys.

/// A sequence of numbers that its seed fixes.
pub(super) struct Chance(u64);

impl Chance {
    /// The sequence of the `index`-th patient of a seed.
    pub(super) fn new(seed: u64, index: u64) -> Self {
        Self(mixed(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)) ^ mixed(index.wrapping_mul(0xD1B5_4A32_D192_ED03)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    /// A number from `low` to `high`, both included. The bias of the remainder does not matter here.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let range = u64::try_from(high - low + 1).unwrap_or(1);
        low + i64::try_from(self.next() % range).unwrap_or_default()
    }

    /// True once in `times`.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    /// One of several.
    pub(super) fn pick<'a, T, const N: usize>(&mut self, from: &'a [T; N]) -> &'a T {
        let at = usize::try_from(self.next() % u64::try_from(N).unwrap_or(1)).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "invariant: a remainder of N is below N, and lists are not empty")]
        &from[at]
    }

    /// A uuid of version 4.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0x0FFF,
            0x8000 | ((low >> 48) & 0x3FFF),
            low & 0xFFFF_FFFF_FFFF
        )
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn splitmix_vectors() {
        // The first outputs for the state 1234567, as published with the reference code.
        let mut chance = Chance(1_234_567);
        let found: Vec<u64> = (0..3).map(|_| chance.next()).collect();
        assert_eq!(found, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn stays_in_range() {
        let mut chance = Chance::new(1, 2);
        for _ in 0..1000 {
            assert!((-3..=4).contains(&chance.between(-3, 4)));
            let uuid = chance.uuid();
            assert_eq!((uuid.len(), uuid.as_bytes()[14], uuid.split('-').count()), (36, b'4', 5));
        }
    }
}
