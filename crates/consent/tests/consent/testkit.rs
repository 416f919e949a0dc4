//! Short ways to write the values that the tests are made of, and a small seeded generator.

use sealwort_consent::{
    Action, CompiledDirective, Directive, LabelTag, Party, Patient, Period, Purpose, Request, Terms, Withdrawal,
};

pub(crate) const EXCHANGE: &str = "demo";
pub(crate) const PATIENT: Patient = Patient::new([0x5f; 32]);
/// Stands for the SHA-256 of the directive before.
pub(crate) const DIGEST: [u8; 32] = [0xd1; 32];
pub(crate) const ISSUED: u64 = 1_000;

pub(crate) fn party(name: &str) -> Party {
    Party::new(format!("sealwort://demo/gateway/{name}")).unwrap()
}

pub(crate) fn tag(number: u8) -> LabelTag {
    LabelTag::new([number; 16])
}

pub(crate) fn tags(numbers: &[u8]) -> Vec<LabelTag> {
    numbers.iter().copied().map(tag).collect()
}

pub(crate) fn period(from: u64, until: u64) -> Period {
    Period::new(from, Some(until)).unwrap()
}

pub(crate) fn for_ever() -> Period {
    Period::new(0, None).unwrap()
}

pub(crate) fn terms(grantee: &str, actions: &[Action], labels: &[u8], purposes: &[Purpose], period: Period) -> Terms {
    Terms::new(party(grantee), actions.iter().copied(), tags(labels), purposes.iter().copied(), period).unwrap()
}

/// Reading for treatment, for ever.
pub(crate) fn reading(grantee: &str, labels: &[u8]) -> Terms {
    terms(grantee, &[Action::Read], labels, &[Purpose::Treatment], for_ever())
}

pub(crate) fn directive(terms: Vec<Terms>) -> Directive {
    Directive::first(EXCHANGE, PATIENT, ISSUED, terms).unwrap()
}

pub(crate) fn compiled(terms: Vec<Terms>) -> CompiledDirective {
    CompiledDirective::compile(&directive(terms)).unwrap()
}

pub(crate) fn withdrawal(grantee: &str) -> Withdrawal {
    Withdrawal { grantee: party(grantee), actions: None, tags: None, purposes: None }
}

/// A request to read for treatment at second 5000.
pub(crate) fn request(grantee: &str, labels: &[u8]) -> Request {
    Request {
        party: party(grantee),
        patient: PATIENT,
        role: None,
        action: Action::Read,
        tags: tags(labels),
        purpose: Purpose::Treatment,
        now: 5_000,
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): seeded, so that a failure can be run again.
pub(crate) struct Generator(u64);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// One to all of the items, in random order, some repeated.
    pub(crate) fn some<T: Copy>(&mut self, items: &[T]) -> Vec<T> {
        let count = items.len() as u64;
        (0..=self.below(count)).map(|_| items[usize::try_from(self.below(count)).unwrap()]).collect()
    }
}
