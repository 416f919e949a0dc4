//! Decisions, row by row: who asks for what, what is permitted, what is missing.

use sealwort_consent::{
    Action, CompiledDirective, Decision, Missing, Party, Patient, Period, Purpose, REQUEST_TAGS_MAX, Request,
    TIME_SECONDS_MAX, Terms,
};

use crate::testkit::{compiled, directive, for_ever, party, period, reading, request, tag, tags, terms};

const READ: &[Action] = &[Action::Read];
const TREAT: &[Purpose] = &[Purpose::Treatment];

/// What a row expects: labels permitted, or the code and sentence of a denial.
enum Expected<'a> {
    Permit(&'a [u8]),
    Deny(Missing, &'a str),
}
use Expected::{Deny, Permit};

fn check(row: &str, compiled: &CompiledDirective, request: &Request, expected: &Expected<'_>) {
    let decision = compiled.decide(request);
    let mut asked = request.tags.clone();
    asked.sort_unstable();
    asked.dedup();
    let mut answered = [decision.permitted(), decision.withheld()].concat();
    answered.sort_unstable();
    assert_eq!(answered, asked, "{row}: each label is permitted or withheld");
    match expected {
        Permit(labels) => {
            assert_eq!(decision.permitted(), tags(labels), "{row}: permitted");
            assert_eq!(decision.missing(), None, "{row}");
            assert!(decision.is_permitted(), "{row}");
        }
        Deny(missing, sentence) => {
            assert_eq!(decision.missing(), Some(missing), "{row}: missing");
            assert_eq!(&missing.to_string(), sentence, "{row}: sentence");
            assert!(decision.permitted().is_empty() && !decision.is_permitted(), "{row}");
        }
    }
}

#[test]
fn hospital_action_purpose_and_label_must_all_be_granted() {
    let compiled = compiled(vec![
        reading("b", &[1, 2]),
        terms("b", &[Action::Write], &[3], &[Purpose::Research], for_ever()),
        terms("c", READ, &[1], TREAT, for_ever()),
        terms("b", READ, &[2, 4], &[Purpose::Treatment, Purpose::PatientRequest], for_ever()),
    ]);
    let ask = |labels: &[u8]| request("b", labels);
    let check = |row: &str, request: Request, expected: Expected<'_>| {
        check(row, &compiled, &request, &expected);
    };

    check("one label", ask(&[1]), Permit(&[1]));
    check("a label by two provisions", ask(&[2]), Permit(&[2]));
    check("labels by different provisions", ask(&[4, 1]), Permit(&[1, 4]));
    check("some labels only", ask(&[9, 1, 3]), Permit(&[1]));
    check("repeated labels", ask(&[1, 1, 1]), Permit(&[1]));
    check("another hospital's own", request("c", &[1, 2]), Permit(&[1]));
    check(
        "unknown hospital",
        request("d", &[1]),
        Deny(Missing::Provision { party: party("d") }, "the patient has given sealwort://demo/gateway/d no consent"),
    );
    check(
        "action not granted",
        Request { action: Action::Emergency, ..ask(&[1]) },
        Deny(
            Missing::Action { requested: Action::Emergency, granted: vec![Action::Read, Action::Write] },
            "the patient's consent does not cover the action emergency; it covers read, write",
        ),
    );
    check(
        "purpose granted for another action only",
        Request { purpose: Purpose::Research, ..ask(&[3]) },
        Deny(
            Missing::Purpose {
                requested: Purpose::Research,
                granted: vec![Purpose::Treatment, Purpose::PatientRequest],
            },
            "the patient's consent does not cover the purpose HRESCH; it covers TREAT, PATRQT",
        ),
    );
    check(
        "labels granted for another action only",
        ask(&[3]),
        Deny(
            Missing::Labels { granted: tags(&[1, 2, 4]) },
            "the patient's consent covers none of the labels asked for; it covers 3 others",
        ),
    );
    check(
        "label granted for another purpose only",
        Request { purpose: Purpose::PatientRequest, ..ask(&[1]) },
        Deny(
            Missing::Labels { granted: tags(&[2, 4]) },
            "the patient's consent covers none of the labels asked for; it covers 2 others",
        ),
    );
    check("no label", ask(&[]), Deny(Missing::NothingRequested, "the request names no label"));
    check(
        "another patient's consent",
        Request { patient: Patient::new([1; 32]), ..ask(&[1]) },
        Deny(Missing::OtherPatient, "the consent at hand is another patient's"),
    );
}

#[test]
fn a_period_starts_inclusive_and_ends_exclusive() {
    let compiled = compiled(vec![
        terms("b", READ, &[1], TREAT, period(100, 200)),
        terms("b", READ, &[1, 2], TREAT, period(300, 400)),
    ]);
    let ask = |now: u64| Request { now, ..request("b", &[1]) };
    let check = |row: &str, request: Request, expected: Expected<'_>| {
        check(row, &compiled, &request, &expected);
    };
    let starts = |from, at| (Missing::NotStarted { from }, format!("the patient's consent starts at {at}"));
    let (first, first_text) = starts(100, "1970-01-01T00:01:40Z");
    let (second, second_text) = starts(300, "1970-01-01T00:05:00Z");
    let ended = "the patient's consent ended at 1970-01-01T00:06:40Z";

    check("at the beginning of time", ask(0), Deny(first.clone(), &first_text));
    check("a second before", ask(99), Deny(first, &first_text));
    check("the first second", ask(100), Permit(&[1]));
    check("the last second", ask(199), Permit(&[1]));
    check("a second after, with more to come", ask(200), Deny(second.clone(), &second_text));
    check("just before the second period", ask(299), Deny(second.clone(), &second_text));
    check("second period", ask(300), Permit(&[1]));
    check("after everything", ask(400), Deny(Missing::Ended { until: 400 }, ended));
    check("at the last second of 9999", ask(TIME_SECONDS_MAX), Deny(Missing::Ended { until: 400 }, ended));
    let out_of_range = "the clock here is beyond the year 9999";
    check("past 9999", ask(TIME_SECONDS_MAX + 1), Deny(Missing::Time, out_of_range));
    check("past Cedar's numbers", ask(u64::MAX), Deny(Missing::Time, out_of_range));
    // The first period never covered label 2, so its end is not what is missing.
    let label = Request { now: 150, ..request("b", &[2]) };
    check("a label whose period is to come", label, Deny(second, &second_text));
}

#[test]
fn the_widest_period_is_served() {
    let whole = Period::new(TIME_SECONDS_MAX - 1, Some(TIME_SECONDS_MAX)).unwrap();
    let compiled = compiled(vec![terms("b", READ, &[1], TREAT, whole)]);
    let ask = |now| compiled.decide(&Request { now, ..request("b", &[1]) }).is_permitted();
    assert_eq!([TIME_SECONDS_MAX - 2, TIME_SECONDS_MAX - 1, TIME_SECONDS_MAX].map(ask), [false, true, false]);
}

#[test]
fn a_decision_says_until_when_all_of_it_holds() {
    let compiled = compiled(vec![
        terms("b", READ, &[1], TREAT, period(0, 6_000)),
        terms("b", READ, &[1, 2], TREAT, period(0, 7_000)),
        terms("b", READ, &[2, 3], TREAT, for_ever()),
    ]);
    let until = |labels: &[u8]| compiled.decide(&request("b", labels)).permitted_until();
    assert_eq!(until(&[1]), Some(7_000), "the longer of two");
    assert_eq!(until(&[2]), None, "one of two has no end");
    assert_eq!(until(&[1, 2, 3]), Some(7_000), "the label that ends first");
    assert_eq!(until(&[9]), None, "nothing permitted");
}

#[test]
fn without_a_directive_everything_is_withheld() {
    let decision = Decision::no_directive(&request("b", &[2, 1, 2]));
    assert!(!decision.is_permitted());
    assert_eq!(decision.withheld(), tags(&[1, 2]));
    assert_eq!(decision.missing().unwrap().code(), "consent-no-directive");
}

#[test]
fn an_empty_directive_permits_nothing() {
    let compiled = compiled(Vec::new());
    let sentence = "the patient has given sealwort://demo/gateway/b no consent";
    let missing = Missing::Provision { party: party("b") };
    check("empty", &compiled, &request("b", &[1]), &Deny(missing, sentence));
}

#[test]
fn a_request_names_a_limited_number_of_labels() {
    let all: Vec<u8> = (0..=u8::try_from(REQUEST_TAGS_MAX).unwrap()).collect();
    let compiled = compiled(vec![reading("b", &all[1..])]);
    check("at the limit", &compiled, &request("b", &all[1..]), &Permit(&all[1..]));
    let count = REQUEST_TAGS_MAX + 1;
    let sentence = "the request names 17 labels, more than the 16 allowed";
    check("past it", &compiled, &request("b", &all), &Deny(Missing::TooManyLabels { count }, sentence));
}

/// Identities that would be syntax if policies were put together as text.
#[test]
fn identities_are_never_read_as_policy_syntax() {
    let hostile = [
        r#"b"||true||""#,
        r#"b",action,resource);permit(principal,action,resource);//"#,
        r"b\",
        r#"b\""#,
        r"\u{62}",
        r#"Party::"b""#,
        "*",
        "b*",
        "?principal",
        "__entity",
        "{\"__entity\":{\"type\":\"Party\",\"id\":\"b\"}}",
        "${b}",
        "'b'/*",
    ];
    let ask = |party: &Party| Request { party: party.clone(), ..request("b", &[1]) };
    for uri in hostile {
        let grantee = Party::new(uri).unwrap();
        let purposes = TREAT.iter().copied();
        let terms = Terms::new(grantee.clone(), [Action::Read], [tag(1)], purposes, for_ever()).unwrap();
        let compiled = CompiledDirective::compile(&directive(vec![terms])).unwrap();
        assert!(compiled.decide(&ask(&grantee)).is_permitted(), "{uri}: itself");
        for other in hostile.iter().filter(|other| **other != uri).chain(&["b", "sealwort://demo/gateway/b"]) {
            let other = Party::new(*other).unwrap();
            assert!(!compiled.decide(&ask(&other)).is_permitted(), "{uri}: {other}");
        }
    }
}

#[test]
fn a_compiled_directive_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<CompiledDirective>();
}
