//! Chance from a seed that is printed, so that a case can be tried again.

use std::sync::OnceLock;

use sealwort_proto::testing::Seeded;

/// The seed where `SEALWORT_SEED` sets none.
const SEED: u64 = 20_301_231;

/// The seed of this run; printed once.
pub fn seed() -> u64 {
    static CHOSEN: OnceLock<u64> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let chosen = std::env::var("SEALWORT_SEED").ok().map(|text| text.parse().expect("SEALWORT_SEED is a number"));
        let seed = chosen.unwrap_or(SEED);
        println!("seed {seed} (set another with SEALWORT_SEED)");
        seed
    })
}

/// Everything random on this thread from the seed and the name of what is tried, until the guard is dropped.
pub fn seeded(what: &str) -> (Chance, Seeded) {
    let mut chance = Chance::from_seed(what);
    let guard = Seeded::install(chance.next());
    (chance, guard)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub struct Chance(u64);

impl Chance {
    /// Chance for what is tried, from the seed of this run.
    pub fn from_seed(what: &str) -> Self {
        what.bytes().fold(Self(seed()), |chance, byte| Self(chance.0.wrapping_mul(31).wrapping_add(u64::from(byte))))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }
}
