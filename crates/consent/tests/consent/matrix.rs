//! Role × action × situation of the patient × purpose × label, every cell, against a plain reading of what the patient
//! said. The reading is written out by hand below and calls nothing of the crate.

use sealwort_consent::{
    Action, Among, CompiledDirective, Directive, Effect, Everything, Party, Period, Purpose, Request, Rule, Terms,
    UserRole, compile,
};

use crate::testkit::{DIGEST, EXCHANGE, ISSUED, PATIENT, party, tag, tags, withdrawal};

const ROLES: [Option<&str>; 5] = [None, Some("physician"), Some("nurse"), Some("clerk"), Some("researcher")];
/// 1 is ordinary, 2 is psychiatry, 3 is HIV; 4 is nobody's.
const LABELS: [u8; 4] = [1, 2, 3, 4];
const NOW: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    /// The hospital that keeps the consent asks.
    Own,
    /// A hospital of which the patient said nothing.
    Other,
    /// All hospitals may read for treatment, physicians and nurses alone; breaking the glass is for physicians.
    Consented,
    /// The same, and taken back from this hospital.
    Withdrawn,
    /// The same, until a second ago.
    Expired,
    /// The last second of the same.
    Ending,
    /// All may do all, except that psychiatry is for physicians and HIV for nobody.
    Labelled,
    /// The patient refuses everything, and this hospital had a grant.
    Refused,
    /// All hospitals but this one.
    LeftOut,
}

const SITUATIONS: [Situation; 9] = [
    Situation::Own,
    Situation::Other,
    Situation::Consented,
    Situation::Withdrawn,
    Situation::Expired,
    Situation::Ending,
    Situation::Labelled,
    Situation::Refused,
    Situation::LeftOut,
];

/// What the patient said, read plainly.
fn expected(situation: Situation, role: Option<&str>, action: Action, purpose: Purpose, label: u8) -> bool {
    let treating = purpose == Purpose::Treatment || purpose == Purpose::EmergencyTreatment;
    let at_bedside = role == Some("physician") || role == Some("nurse");
    let consented = label != 4
        && ((action == Action::Read && treating && at_bedside)
            || (action == Action::Emergency && purpose == Purpose::BreakTheGlass && role == Some("physician")));
    match situation {
        Situation::Own => label != 4 && action != Action::Emergency,
        Situation::Other | Situation::Withdrawn | Situation::Expired | Situation::Refused | Situation::LeftOut => false,
        Situation::Consented | Situation::Ending => consented,
        Situation::Labelled => {
            let label_allows = label == 1 || (label == 2 && role == Some("physician"));
            let glass = purpose == Purpose::BreakTheGlass;
            let urgent = glass || purpose == Purpose::EmergencyTreatment;
            label_allows && if action == Action::Emergency { urgent } else { !glass }
        }
    }
}

fn rule(effect: Effect) -> Rule {
    Rule {
        place: String::new(),
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

fn roles(names: &[&str]) -> Among<UserRole> {
    Among::these(names.iter().map(|name| UserRole::new(*name).unwrap()))
}

fn consented(until: Option<u64>, hospitals: Option<Among<Party>>) -> Rule {
    let period = Some(Period::new(0, until).unwrap());
    Rule {
        exceptions: vec![
            Rule {
                roles: Some(roles(&["physician", "nurse"])),
                actions: Some(vec![Action::Read]),
                purposes: Some(vec![Purpose::Treatment, Purpose::EmergencyTreatment]),
                hospitals: hospitals.clone(),
                period,
                ..rule(Effect::Permit)
            },
            Rule {
                roles: Some(roles(&["physician"])),
                purposes: Some(vec![Purpose::BreakTheGlass]),
                hospitals,
                period,
                ..rule(Effect::Permit)
            },
        ],
        ..rule(Effect::Deny)
    }
}

/// The patient's directive, and the hospital that asks.
fn directive(situation: Situation) -> (Directive, Party) {
    let everything = Everything { authority: party("own"), tags: tags(&[1, 2, 3]) };
    let own = Terms::new(
        party("own"),
        [Action::Read, Action::Write],
        tags(&[1, 2, 3]),
        Purpose::ALL,
        Period::new(0, None).unwrap(),
    )
    .unwrap();
    let granted = Terms::new(party("b"), Action::ALL, tags(&[1, 2]), Purpose::ALL, Period::ALWAYS).unwrap();
    let (asks, standing, statements) = match situation {
        Situation::Own => ("own", vec![own], vec![rule(Effect::Deny)]),
        Situation::Other => ("b", vec![own], vec![consented(None, Some(party("c").into()))]),
        Situation::Consented | Situation::Withdrawn => ("b", vec![own], vec![consented(None, None)]),
        Situation::Expired => ("b", vec![own], vec![consented(Some(NOW), None)]),
        Situation::Ending => ("b", vec![own], vec![consented(Some(NOW + 1), None)]),
        Situation::Refused => ("b", vec![own, granted], vec![rule(Effect::Deny), rule(Effect::Permit)]),
        Situation::LeftOut => ("b", vec![own], vec![consented(None, Some(Among::all_but([party("b")])))]),
        Situation::Labelled => {
            let psychiatry = Rule {
                tags: Some(tags(&[2])),
                exceptions: vec![Rule { roles: Some(roles(&["physician"])), ..rule(Effect::Permit) }],
                ..rule(Effect::Deny)
            };
            let hiv = Rule { tags: Some(tags(&[3])), ..rule(Effect::Deny) };
            ("b", vec![own], vec![Rule { exceptions: vec![psychiatry, hiv], ..rule(Effect::Permit) }])
        }
    };
    let compiled = compile(&everything, &standing, &statements).unwrap();
    // Statements leave the hospital that keeps the consent as it was, unless they name it.
    if situation == Situation::Own {
        assert_eq!(compiled.standing, standing);
    }
    let permitted = compiled.permitted.into_iter().map(|sentence| sentence.terms);
    let terms = compiled.standing.into_iter().chain(permitted).collect();
    let mut directive = Directive::first(EXCHANGE, PATIENT, ISSUED, terms).unwrap();
    if situation == Situation::Withdrawn {
        directive = directive.withdraw(ISSUED, DIGEST, &withdrawal("b")).unwrap();
        assert_eq!(directive.epoch(), 2);
    }
    (Directive::from_bytes(&directive.to_bytes()).unwrap(), party(asks))
}

#[test]
fn every_cell_is_as_the_patient_said() {
    let (mut cells, mut permitted) = (0, 0);
    for situation in SITUATIONS {
        let (directive, asks) = directive(situation);
        let compiled = CompiledDirective::compile(&directive).unwrap();
        for role in ROLES {
            for action in Action::ALL {
                for purpose in Purpose::ALL {
                    let request = |labels: &[u8]| Request {
                        party: asks.clone(),
                        patient: PATIENT,
                        role: role.map(|role| UserRole::new(role).unwrap()),
                        action,
                        tags: tags(labels),
                        purpose,
                        now: NOW,
                    };
                    // All labels at once must answer as each alone does.
                    let together = compiled.decide(&request(&LABELS));
                    for label in LABELS {
                        let wanted = expected(situation, role, action, purpose, label);
                        let place = format!("{situation:?} {role:?} {action} {purpose} label {label}");
                        assert_eq!(compiled.decide(&request(&[label])).is_permitted(), wanted, "{place}");
                        assert_eq!(together.permitted().contains(&tag(label)), wanted, "{place}, asked together");
                        cells += 2;
                        permitted += u32::from(wanted);
                    }
                }
            }
        }
    }
    println!("{cells} cells, {permitted} permitted pairs, no difference");
    assert!(cells >= 5_000 && permitted > 300, "{cells} cells, {permitted} permitted");
}
