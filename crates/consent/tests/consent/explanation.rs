//! Which sentence decides: of a patient who said several things, each question is answered by the sentence that a reader
//! of the rules would point at, and the answer is the decision's.

use sealwort_consent::{Action, Effect, Everything, Explainer, Purpose, Request, Rule, Sentence, Terms, compile};

use crate::testkit::{directive, for_ever, party, reading, request, tags, terms};

const LABELS: [u8; 3] = [1, 2, 3];

fn rule(place: &str, effect: Effect) -> Rule {
    Rule {
        place: place.to_owned(),
        effect,
        hospitals: None,
        roles: None,
        actions: None,
        tags: None,
        purposes: None,
        period: None,
        exceptions: Vec::new(),
    }
}

/// A grant to b by command; a statement that permits treatment but label 2; one that denies c everything.
fn explainer() -> Explainer<String> {
    let everything = Everything { authority: party("own"), tags: tags(&LABELS) };
    let standing = [
        terms("own", &[Action::Read, Action::Write], &LABELS, &Purpose::ALL, for_ever()),
        terms("b", &[Action::Read], &[1, 2], &[Purpose::Research], for_ever()),
    ];
    let but = Rule { tags: Some(tags(&[2])), ..rule("treat.but", Effect::Deny) };
    let treat =
        Rule { purposes: Some(vec![Purpose::Treatment]), exceptions: vec![but], ..rule("treat", Effect::Permit) };
    let never = Rule { hospitals: Some(party("c").into()), ..rule("never", Effect::Deny) };
    let compiled = compile(&everything, &standing, &[treat, never]).unwrap();
    let all = compiled.permitted.iter().map(|sentence| sentence.terms.clone());
    let whole = directive(compiled.standing.iter().cloned().chain(all).collect());
    let named = |sentence: Sentence| (format!("{}:{}", sentence.statement, sentence.place), sentence.terms);
    let grant = |(place, terms): (usize, &Terms)| (format!("grant {place}"), terms.clone());
    let permitting = compiled.permitted.into_iter().map(named).chain(standing.iter().enumerate().map(grant));
    Explainer::new(&whole, permitting, compiled.denied.into_iter().map(named)).unwrap()
}

#[test]
fn the_sentence_that_decides_is_named() {
    let explainer = explainer();
    let ask = |hospital: &str, label: u8, purpose: Purpose| {
        let request = Request { purpose, ..request(hospital, &[label]) };
        let explanation = explainer.explain(&request);
        let because: Vec<&str> = explanation.because.iter().map(|name| name.as_str()).collect();
        (explanation.decision.is_permitted(), because.join(" "))
    };
    let (treatment, research) = (Purpose::Treatment, Purpose::Research);
    for (hospital, label, purpose, permitted, because) in [
        ("own", 1, research, true, "grant 0"),
        ("own", 2, treatment, true, "grant 0"),
        ("b", 1, treatment, true, "0:treat"),
        ("b", 2, treatment, false, "0:treat.but"),
        ("b", 1, research, true, "grant 1"),
        ("b", 2, research, true, "grant 1"),
        ("b", 3, research, false, ""),
        ("c", 1, treatment, false, "1:never"),
        ("c", 2, treatment, false, "0:treat.but 1:never"),
        ("d", 3, treatment, true, "0:treat"),
        ("d", 1, Purpose::Payment, false, ""),
    ] {
        assert_eq!(ask(hospital, label, purpose), (permitted, because.to_owned()), "{hospital} {label} {purpose}");
    }
}

/// More terms of one sentence than are compiled together.
#[test]
fn a_long_sentence_is_one_sentence() {
    let long: Vec<Terms> = (0..200).map(|number| reading(&format!("h{number}"), &[1])).collect();
    let explainer =
        Explainer::new(&directive(long.clone()), long.into_iter().map(|it| ("long", it)), Vec::new()).unwrap();
    for hospital in ["h0", "h100", "h199"] {
        assert_eq!(explainer.explain(&request(hospital, &[1])).because, [&"long"], "{hospital}");
    }
}
