//! The values at the border: identifiers, words, periods, terms.

use sealwort_consent::{
    Action, PARTY_BYTES_MAX, Party, PartyError, Period, Purpose, TAGS_MAX, TIME_SECONDS_MAX, Terms, TermsError,
    UnknownWord,
};

use crate::testkit::{for_ever, party, tag, terms};

#[test]
fn words_are_read_back_as_written() {
    for action in Action::ALL {
        assert_eq!(action.as_str().parse(), Ok(action));
    }
    for purpose in Purpose::ALL {
        assert_eq!(purpose.as_str().parse(), Ok(purpose));
    }
    assert_eq!("Read".parse::<Action>(), Err(UnknownWord::Action));
    assert_eq!("treat".parse::<Purpose>(), Err(UnknownWord::Purpose));
}

#[test]
fn parties_are_short_visible_ascii() {
    let check = |uri: &str, expected: Option<PartyError>| {
        assert_eq!(Party::new(uri).err(), expected, "{uri:?}");
    };
    check("sealwort://demo/gateway/a", None);
    check(&"a".repeat(PARTY_BYTES_MAX), None);
    check("", Some(PartyError::Empty));
    let bytes = PARTY_BYTES_MAX + 1;
    check(&"a".repeat(bytes), Some(PartyError::TooLong { bytes }));
    check("a b", Some(PartyError::NotVisibleAscii));
    check("a\n", Some(PartyError::NotVisibleAscii));
    check("\u{e4}", Some(PartyError::NotVisibleAscii));
}

#[test]
fn periods_have_a_positive_length_and_end_by_the_year_9999() {
    let check = |from, until, expected: Option<TermsError>| {
        assert_eq!(Period::new(from, until).err(), expected, "{from} {until:?}");
    };
    check(0, None, None);
    check(5, Some(6), None);
    check(5, Some(5), Some(TermsError::PeriodEmpty));
    check(5, Some(4), Some(TermsError::PeriodEmpty));
    check(TIME_SECONDS_MAX - 1, Some(TIME_SECONDS_MAX), None);
    check(TIME_SECONDS_MAX + 1, None, Some(TermsError::PeriodOutOfRange));
    check(0, Some(u64::MAX), Some(TermsError::PeriodOutOfRange));
}

#[test]
fn terms_sort_their_sets_and_refuse_empty_or_long_ones() {
    let read = [Action::Read];
    let treat = [Purpose::Treatment];
    let check = |actions: &[Action], tags: usize, purposes: &[Purpose], expected| {
        let tags = (0..tags).map(|number| tag(u8::try_from(number).unwrap()));
        let actions = actions.iter().copied();
        let made = Terms::new(party("b"), actions, tags, purposes.iter().copied(), for_ever());
        assert_eq!(made.err(), expected);
    };
    check(&read, TAGS_MAX, &treat, None);
    check(&[], 1, &treat, Some(TermsError::NoActions));
    check(&read, 0, &treat, Some(TermsError::NoTags));
    check(&read, 1, &[], Some(TermsError::NoPurposes));
    let count = TAGS_MAX + 1;
    check(&read, count, &treat, Some(TermsError::TooManyTags { count }));

    let mixed = terms(
        "b",
        &[Action::Write, Action::Read, Action::Write],
        &[3, 1, 2, 1],
        &[Purpose::Research, Purpose::Treatment],
        for_ever(),
    );
    assert_eq!(mixed.actions(), [Action::Read, Action::Write]);
    assert_eq!(mixed.tags(), [tag(1), tag(2), tag(3)]);
    assert_eq!(mixed.purposes(), [Purpose::Treatment, Purpose::Research]);
}
