//! Making the next version, and what may follow what.

use std::collections::BTreeSet;

use sealwort_consent::{
    Action, Change, CompiledDirective, Directive, DirectiveError, LabelTag, PROVISIONS_MAX, Patient, Predecessor,
    Purpose, Request, SuccessorError, Terms, Withdrawal, check_successor,
};

use crate::testkit::{
    DIGEST, EXCHANGE, Generator, ISSUED, PATIENT, directive, for_ever, party, period, reading, tag, tags, terms,
    withdrawal,
};

fn follow(current: &Directive, next: &Directive) -> Result<Change, SuccessorError> {
    check_successor(Some(Predecessor { directive: current, digest: DIGEST }), next)
}

fn ids(directive: &Directive) -> Vec<u32> {
    directive.provisions().iter().map(|provision| provision.id().as_u32()).collect()
}

/// The bytes of a directive with one field of its outer array changed.
fn alter(directive: &Directive, change: impl FnOnce(&mut Outer)) -> Directive {
    let mut outer: Outer = minicbor::decode(&directive.to_bytes()).unwrap();
    change(&mut outer);
    Directive::from_bytes(&minicbor::to_vec(outer).unwrap()).unwrap()
}

type ByteArray<const N: usize> = minicbor::bytes::ByteArray<N>;
type Tags = Vec<ByteArray<16>>;

#[derive(minicbor::Encode, minicbor::Decode)]
struct Outer {
    #[n(0)]
    format: u64,
    #[n(1)]
    exchange: String,
    #[n(2)]
    patient: ByteArray<32>,
    #[n(3)]
    version: u64,
    #[n(4)]
    epoch: u64,
    #[n(5)]
    issued_at: u64,
    #[n(6)]
    previous: ByteArray<32>,
    #[n(7)]
    last_provision: u32,
    #[n(8)]
    provisions: Vec<Inner>,
}

#[derive(minicbor::Encode, minicbor::Decode)]
struct Inner {
    #[n(0)]
    id: u32,
    #[n(1)]
    grantees: (u8, Vec<String>),
    #[n(2)]
    roles: (u8, Vec<String>),
    #[n(3)]
    actions: Vec<u8>,
    #[n(4)]
    purposes: Vec<u8>,
    #[n(5)]
    from: u64,
    #[n(6)]
    until: Option<u64>,
    #[n(7)]
    tags: Tags,
}

#[test]
fn the_first_directive_has_version_one() {
    let first = directive(vec![reading("b", &[1])]);
    assert_eq!((first.version(), first.epoch(), first.previous()), (1, 1, [0; 32]));
    assert_eq!(check_successor(None, &first), Ok(Change::First));
    let second = first.grant(ISSUED, DIGEST, Vec::new()).unwrap();
    let refused = SuccessorError::Version { expected: 1, found: 2 };
    assert_eq!(check_successor(None, &second), Err(refused));
    let name = Directive::first("Demo", PATIENT, ISSUED, Vec::new());
    assert_eq!(name, Err(DirectiveError::ExchangeName));
}

#[test]
fn a_grant_widens_in_the_same_epoch() {
    let first = directive(vec![reading("b", &[1])]);
    let second = first.grant(2_000, DIGEST, vec![reading("c", &[1]), reading("b", &[2])]).unwrap();
    assert_eq!((second.version(), second.epoch(), second.issued_at()), (2, 1, 2_000));
    assert_eq!(second.previous(), DIGEST);
    assert_eq!(ids(&second), [1, 2, 3]);
    assert_eq!(follow(&first, &second), Ok(Change::Widened));
}

#[test]
fn granting_twice_changes_nothing() {
    let first = directive(vec![reading("b", &[1, 2])]);
    let again = vec![reading("b", &[1, 2]), reading("b", &[2])];
    let second = first.grant(ISSUED, DIGEST, again).unwrap();
    assert_eq!(second.provisions(), first.provisions());
    assert_eq!(follow(&first, &second), Ok(Change::Unchanged));
}

#[test]
fn a_wider_grant_takes_the_place_of_what_it_covers() {
    let first = directive(vec![reading("b", &[1]), reading("c", &[1]), reading("b", &[2])]);
    let second = first.grant(ISSUED, DIGEST, vec![reading("b", &[1, 2, 3])]).unwrap();
    assert_eq!(ids(&second), [2, 4]);
    assert_eq!(follow(&first, &second), Ok(Change::Widened));
}

#[test]
fn a_withdrawal_starts_an_epoch_and_never_reuses_an_id() {
    let first = directive(vec![reading("b", &[1]), reading("c", &[1]), reading("c", &[2])]);
    let second = first.withdraw(2_000, DIGEST, &withdrawal("c")).unwrap();
    assert_eq!((second.version(), second.epoch()), (2, 2));
    assert_eq!(ids(&second), [1]);
    assert_eq!(second.last_provision().as_u32(), 3);
    assert_eq!(follow(&first, &second), Ok(Change::Narrowed));
    let third = second.grant(2_000, DIGEST, vec![reading("c", &[1])]).unwrap();
    assert_eq!((third.version(), third.epoch()), (3, 2));
    assert_eq!(ids(&third), [1, 4]);
    assert_eq!(follow(&second, &third), Ok(Change::Widened));
    let fourth = third.withdraw(2_000, DIGEST, &withdrawal("c")).unwrap();
    assert_eq!((fourth.version(), fourth.epoch()), (4, 3));
}

#[test]
fn a_withdrawal_that_touches_nothing_is_refused() {
    let first = directive(vec![reading("b", &[1])]);
    let check = |withdrawal: Withdrawal| {
        let refused = first.withdraw(ISSUED, DIGEST, &withdrawal);
        assert_eq!(refused, Err(DirectiveError::NothingToWithdraw), "{withdrawal:?}");
    };
    check(withdrawal("c"));
    check(Withdrawal { actions: Some(vec![Action::Write]), ..withdrawal("b") });
    check(Withdrawal { tags: Some(tags(&[2])), ..withdrawal("b") });
    check(Withdrawal { purposes: Some(vec![Purpose::Research]), ..withdrawal("b") });
    check(Withdrawal { tags: Some(Vec::new()), ..withdrawal("b") });
}

/// Random withdrawals against the set of single permissions, counted one by one.
#[test]
fn a_partial_withdrawal_takes_exactly_what_it_names() {
    type Cell = (Action, LabelTag, Purpose);
    let cells = |directive: &Directive| -> BTreeSet<Cell> {
        let provisions = directive.provisions().iter().map(sealwort_consent::Provision::terms);
        provisions
            .flat_map(|it| {
                let pairs = it.actions().iter().flat_map(|action| it.tags().iter().map(move |tag| (*action, *tag)));
                pairs.flat_map(|(action, tag)| it.purposes().iter().map(move |purpose| (action, tag, *purpose)))
            })
            .collect()
    };
    let mut random = Generator::new(3);
    let labels = [1, 2, 3, 4];
    let mut touched = 0;
    for round in 0..2_000 {
        let sentences: Vec<Terms> = (0..=random.below(4))
            .map(|_| {
                let (actions, labels) = (random.some(&Action::ALL), random.some(&labels));
                terms("b", &actions, &labels, &random.some(&Purpose::ALL[..4]), for_ever())
            })
            .collect();
        let first = directive(sentences);
        let withdrawal = Withdrawal {
            grantee: party("b"),
            actions: (random.below(2) == 0).then(|| random.some(&Action::ALL)),
            tags: (random.below(2) == 0).then(|| tags(&random.some(&labels))),
            purposes: (random.below(2) == 0).then(|| random.some(&Purpose::ALL[..4])),
        };
        let before = cells(&first);
        let kept: BTreeSet<Cell> = before
            .iter()
            .copied()
            .filter(|(action, tag, purpose)| {
                let named = withdrawal.actions.as_ref().is_none_or(|it| it.contains(action))
                    && withdrawal.tags.as_ref().is_none_or(|it| it.contains(tag))
                    && withdrawal.purposes.as_ref().is_none_or(|it| it.contains(purpose));
                !named
            })
            .collect();
        match first.withdraw(ISSUED, DIGEST, &withdrawal) {
            Ok(second) => {
                assert_eq!(cells(&second), kept, "round {round}: {withdrawal:?}\n{first:?}");
                assert_eq!(follow(&first, &second), Ok(Change::Narrowed), "round {round}");
                touched += 1;
            }
            Err(error) => {
                assert_eq!(error, DirectiveError::NothingToWithdraw, "round {round}");
                assert_eq!(before, kept, "round {round}");
            }
        }
    }
    assert!(touched > 500);
}

#[test]
fn a_withdrawal_is_felt_by_the_next_decision() {
    let first = directive(vec![reading("b", &[1, 2, 3])]);
    let withdrawal = Withdrawal { tags: Some(tags(&[2])), ..withdrawal("b") };
    let second = first.withdraw(ISSUED, DIGEST, &withdrawal).unwrap();
    let decision = CompiledDirective::compile(&second).unwrap().decide(&Request {
        role: None,
        party: party("b"),
        patient: PATIENT,
        action: Action::Read,
        tags: tags(&[1, 2, 3]),
        purpose: Purpose::Treatment,
        now: ISSUED,
    });
    assert_eq!(decision.permitted(), tags(&[1, 3]));
    assert_eq!(decision.withheld(), [tag(2)]);
}

#[test]
fn each_rule_of_succession_has_a_negative() {
    let first = directive(vec![reading("b", &[1, 2]), reading("c", &[1])]);
    let first = first.grant(ISSUED, DIGEST, Vec::new()).unwrap();
    let next = first.grant(ISSUED, DIGEST, vec![reading("d", &[1])]).unwrap();
    assert_eq!(follow(&first, &next), Ok(Change::Widened));
    let check = |rule: &str, change: fn(&mut Outer), code: &str| {
        let refused = follow(&first, &alter(&next, change)).expect_err(rule);
        assert_eq!(refused.code(), code, "{rule}: {refused}");
    };
    check("other exchange", |it| it.exchange = "demo2".to_owned(), "successor-other-exchange");
    check("other patient", |it| it.patient = [1; 32].into(), "successor-other-patient");
    check("same version again", |it| it.version = 2, "successor-version");
    check("a version left out", |it| it.version = 4, "successor-version");
    check("a fork", |it| it.previous = [2; 32].into(), "successor-previous-digest");
    check("issued earlier", |it| it.issued_at -= 1, "successor-issued-earlier");
    check("epoch raised by two", |it| it.epoch = 3, "successor-epoch");
    check("provision dropped", |it| drop(it.provisions.remove(0)), "successor-epoch-not-raised");
    check("provision rewritten", |it| it.provisions[0].purposes = vec![0, 1], "successor-provision-rewritten");
    check(
        "label dropped",
        |it| {
            it.provisions[0].tags.remove(0);
        },
        "successor-provision-rewritten",
    );
    check(
        "label dropped under a new id",
        |it| {
            let mut narrowed = it.provisions.remove(0);
            narrowed.tags.remove(0);
            narrowed.id = 4;
            it.last_provision = 4;
            it.provisions.push(narrowed);
        },
        "successor-epoch-not-raised",
    );
    check(
        "period shortened under a new id",
        |it| {
            let mut narrowed = it.provisions.remove(0);
            narrowed.until = Some(1_000_000);
            narrowed.id = 4;
            it.last_provision = 4;
            it.provisions.push(narrowed);
        },
        "successor-epoch-not-raised",
    );
    check(
        "period started later under a new id",
        |it| {
            let mut narrowed = it.provisions.remove(0);
            narrowed.from = 1;
            narrowed.id = 4;
            it.last_provision = 4;
            it.provisions.push(narrowed);
        },
        "successor-epoch-not-raised",
    );
    check(
        "hospital exchanged under a new id",
        |it| {
            let mut moved = it.provisions.remove(0);
            moved.grantees = (0, vec!["sealwort://demo/gateway/e".to_owned()]);
            moved.id = 4;
            it.last_provision = 4;
            it.provisions.push(moved);
        },
        "successor-epoch-not-raised",
    );
    check(
        "highest id fell",
        |it| {
            it.provisions.truncate(1);
            it.last_provision = 1;
            it.epoch = 2;
        },
        "successor-provision-id-reused",
    );

    // The epoch never falls.
    let raised = first.withdraw(ISSUED, DIGEST, &withdrawal("c")).unwrap();
    let fallen = alter(&raised.grant(ISSUED, DIGEST, Vec::new()).unwrap(), |it| {
        it.epoch = 1;
    });
    assert_eq!(follow(&raised, &fallen), Err(SuccessorError::Epoch { current: 2, found: 1 }));
    // An id that was withdrawn is not given again.
    let granted = raised.grant(ISSUED, DIGEST, vec![reading("c", &[1])]).unwrap();
    let reused = alter(&granted, |it| {
        it.provisions[1].id = 2;
        it.last_provision = 2;
    });
    let code = follow(&raised, &reused).unwrap_err().code();
    assert_eq!(code, "successor-provision-id-reused");
}

#[test]
fn an_epoch_may_be_raised_without_need() {
    let first = directive(vec![reading("b", &[1])]);
    let second = alter(&first.grant(ISSUED, DIGEST, Vec::new()).unwrap(), |it| {
        it.epoch = 2;
    });
    assert_eq!(follow(&first, &second), Ok(Change::Narrowed));
}

#[test]
fn what_is_over_may_be_left_out_in_the_same_epoch() {
    let treat = [Purpose::Treatment];
    let first = directive(vec![terms("b", &[Action::Read], &[1], &treat, period(0, 3_000))]);
    let without = |issued_at| {
        let next = first.grant(issued_at, DIGEST, Vec::new()).unwrap();
        alter(&next, |it| it.provisions.clear())
    };
    assert_eq!(follow(&first, &without(3_000)), Ok(Change::Widened));
    let code = follow(&first, &without(2_999)).unwrap_err().code();
    assert_eq!(code, "successor-epoch-not-raised");
}

#[test]
fn what_is_over_makes_room_when_the_list_is_full() {
    let treat = [Purpose::Treatment];
    let name = |number: usize| format!("h{number}");
    let sentences = (0..PROVISIONS_MAX).map(|number| {
        let until = if number < 2 { 3_000 } else { 9_000 };
        terms(&name(number), &[Action::Read], &[1], &treat, period(0, until))
    });
    let full = directive(sentences.collect());
    let one_more = vec![reading("b", &[1])];
    let count = PROVISIONS_MAX + 1;
    let refused = full.grant(2_999, DIGEST, one_more.clone());
    assert_eq!(refused, Err(DirectiveError::TooManyProvisions { count }));
    let next = full.grant(3_000, DIGEST, one_more).unwrap();
    assert_eq!(next.provisions().len(), PROVISIONS_MAX - 1);
    assert_eq!(follow(&full, &next), Ok(Change::Widened));
}

#[test]
fn time_does_not_run_backwards() {
    let first = directive(vec![reading("b", &[1])]);
    let earlier = ISSUED - 1;
    let refused = Err(DirectiveError::IssuedBeforePrevious);
    assert_eq!(first.grant(earlier, DIGEST, Vec::new()), refused);
    assert_eq!(first.withdraw(earlier, DIGEST, &withdrawal("b")), refused);
    let late = Directive::first(EXCHANGE, Patient::new([0; 32]), u64::MAX, Vec::new());
    assert_eq!(late, Err(DirectiveError::IssuedOutOfRange));
}
