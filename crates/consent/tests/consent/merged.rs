//! What two consents have in common, against the plain rule: permitted is what both permit.

use sealwort_consent::{Action, Terms, in_common};

use crate::testkit::{Generator, compiled, request, tag, terms};

const ROUNDS: usize = 200;
const GRANTEES: [&str; 3] = ["a", "b", "c"];

fn some_terms(generator: &mut Generator) -> Vec<Terms> {
    let count = 1 + generator.below(4);
    let one = |generator: &mut Generator| {
        let labels: Vec<u8> = (1..=3).filter(|_| generator.below(3) > 0).collect();
        let labels = if labels.is_empty() { vec![1] } else { labels };
        let actions: &[Action] = if generator.below(2) == 0 { &[Action::Read] } else { &[Action::Read, Action::Write] };
        let from = generator.below(4) * 2_000;
        let period = crate::testkit::period(from, from + 4_000);
        let grantee = GRANTEES[usize::try_from(generator.below(3)).unwrap()];
        terms(grantee, actions, &labels, &[sealwort_consent::Purpose::Treatment], period)
    };
    (0..count).map(|_| one(generator)).collect()
}

#[test]
fn what_two_consents_have_in_common_is_what_both_permit() {
    let mut generator = Generator::new(7);
    let (mut permitted, mut denied) = (0, 0);
    for round in 0..ROUNDS {
        let (one, other) = (some_terms(&mut generator), some_terms(&mut generator));
        let common = in_common(&one, &other);
        let (one, other) = (compiled(one), compiled(other));
        let common = (!common.is_empty()).then(|| compiled(common));
        for grantee in GRANTEES {
            for label in 1..=3 {
                for action in [Action::Read, Action::Write] {
                    for now in [1_000, 3_000, 5_000, 7_000, 9_000] {
                        let asked = sealwort_consent::Request { action, now, ..request(grantee, &[label]) };
                        let both = one.decide(&asked).is_permitted() && other.decide(&asked).is_permitted();
                        let found = common.as_ref().is_some_and(|common| common.decide(&asked).is_permitted());
                        assert_eq!(found, both, "round {round}: {asked:?}");
                        if both { permitted += 1 } else { denied += 1 }
                    }
                }
            }
        }
    }
    assert!(permitted > 300 && denied > 300, "{permitted} permitted, {denied} denied");
}

#[test]
fn terms_are_the_same_for_another_patient_under_other_tags() {
    let of_one = crate::testkit::reading("a", &[1, 2]);
    let twin = |number: &sealwort_consent::LabelTag| (*number == tag(1)).then(|| tag(9));
    assert_eq!(of_one.retagged(twin), Some(crate::testkit::reading("a", &[9])));
    assert_eq!(of_one.retagged(|_| None), None);
}
