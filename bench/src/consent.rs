//! What a decision costs: the compiled directive, as broker and archive ask it at every access, beside the same question
//! answered by hand over the sentences as they stand. Both must give the same labels.

use std::hint::black_box;

use sealwort_consent::{
    Action, Among, CompiledDirective, Directive, LabelTag, Party, Patient, Period, Purpose, Request, Terms, UserRole,
};

use crate::Thoroughness;
use crate::measure::{CpuClock, Failure, Samples};
use crate::report::{Aim, Report, Row};

const DECISIONS: usize = 20_000;
const PATIENT: Patient = Patient::new([0x5f; 32]);
/// Hospitals that a directive's sentences are for, where they are not for one.
const HOSPITALS: u64 = 7;
const NOW: u64 = 5_000;
/// Labels that are asked for: all that there are. Sentences give the first eight.
const LABELS: u8 = 13;
/// The aim, for a patient with 20 sentences.
const MICROS_AIM: f64 = 50.0;

/// Whose sentences they are.
#[derive(Clone, Copy)]
enum For {
    OneHospital,
    Several,
    /// One hospital's physicians and nurses.
    Roles,
    /// Every hospital and role but some others.
    AllBut,
    /// One hospital, each for one label: the most that a decision can take.
    OneLabelEach,
}

/// A directive.
struct Case {
    name: &'static str,
    what: &'static str,
    sentences: u64,
    whose: For,
}

const CASES: [Case; 7] = [
    Case { name: "none", what: "no sentence", sentences: 0, whose: For::OneHospital },
    Case { name: "own", what: "the first directive", sentences: 1, whose: For::OneHospital },
    Case { name: "several", what: "20 sentences for 7 hospitals", sentences: 20, whose: For::Several },
    Case { name: "one", what: "20 sentences for 1 hospital", sentences: 20, whose: For::OneHospital },
    Case { name: "roles", what: "20 sentences for 2 roles of it", sentences: 20, whose: For::Roles },
    Case { name: "each", what: "20 sentences for a label each", sentences: 20, whose: For::OneLabelEach },
    Case { name: "all_but", what: "20 sentences for all but some", sentences: 20, whose: For::AllBut },
];

/// Measures and reports.
pub(crate) fn run(thoroughness: Thoroughness, report: &mut Report) -> Result<(), Failure> {
    let clock = CpuClock::calibrated();
    let decisions = thoroughness.times(DECISIONS);
    for case in &CASES {
        let directive = Directive::first("bench", PATIENT, NOW, sentences(case)?)?;
        let (compiling, compiled) = clock.time(|| CompiledDirective::compile(&directive));
        let compiled = compiled?;
        let request = request()?;
        let decided = compiled.decide(&request);
        if decided.permitted() != by_hand(&directive, &request) {
            return Err(format!("consent.{}: the decision and the plain reading differ", case.name).into());
        }
        let (mut ours, mut plain) = (Samples::default(), Samples::default());
        for _ in 0..decisions {
            ours.push_micros(clock.time(|| compiled.decide(black_box(&request))).0);
            plain.push_micros(clock.time(|| by_hand(black_box(&directive), black_box(&request))).0);
        }
        report.note(&format!(
            "consent.{}: {decisions} decisions in turns, {} of {} labels given, p99 {:.1} µs; compiling, once for each \
             version of a directive, took {:.0} µs",
            case.name,
            decided.permitted().len(),
            LABELS,
            ours.quantile(0.99),
            compiling.as_secs_f64() * 1e6,
        ));
        report.row(
            Row::new(format!("consent.{}", case.name), format!("a decision, {}", case.what), ours.median(), "µs")
                .against("the sentences read by hand", plain.median())
                .aim(Aim::AtMost(MICROS_AIM)),
        );
    }
    Ok(())
}

fn sentences(case: &Case) -> Result<Vec<Terms>, Failure> {
    let sentence = |number: u64| {
        let hospital = match case.whose {
            For::Several => number % HOSPITALS,
            For::OneHospital | For::Roles | For::AllBut | For::OneLabelEach => 0,
        };
        let grantees = match case.whose {
            For::AllBut => Among::all_but([party(HOSPITALS + 1)?]),
            _ => party(hospital)?.into(),
        };
        let actions = [Action::Read, Action::Write];
        let purposes = [Purpose::Treatment, Purpose::EmergencyTreatment, Purpose::PatientRequest];
        // Periods that do not cover each other, so that none is merged away.
        let period = Period::new(number, Some(1_000_000_000 + number))?;
        let labels = match case.whose {
            For::OneLabelEach => {
                let label = u8::try_from(number % u64::from(LABELS))?;
                label..label + 1
            }
            _ => 0..8,
        };
        let terms = Terms::new(grantees, actions, labels.map(tag), purposes, period)?;
        Ok(match case.whose {
            For::Roles => terms.for_roles(Among::these([role("physician")?, role("nurse")?]))?,
            For::AllBut => terms.for_roles(Among::all_but([role("clerk")?]))?,
            For::OneHospital | For::Several | For::OneLabelEach => terms,
        })
    };
    (0..case.sentences).map(sentence).collect()
}

fn request() -> Result<Request, Failure> {
    Ok(Request {
        party: party(0)?,
        patient: PATIENT,
        role: Some(role("physician")?),
        action: Action::Read,
        tags: (0..LABELS).map(tag).collect(),
        purpose: Purpose::Treatment,
        now: NOW,
    })
}

/// The labels that any sentence gives: what a decision comes to, without a policy engine and without saying why.
fn by_hand(directive: &Directive, request: &Request) -> Vec<LabelTag> {
    let gives = |terms: &Terms, tag: &LabelTag| {
        terms.grantees().holds(&request.party)
            && match &request.role {
                Some(role) => terms.roles().holds(role),
                None => matches!(terms.roles(), Among::AllBut(names) if names.is_empty()),
            }
            && terms.actions().contains(&request.action)
            && terms.purposes().contains(&request.purpose)
            && terms.period().from() <= request.now
            && terms.period().until().is_none_or(|until| request.now < until)
            && terms.tags().contains(tag)
    };
    let granted = |tag: &&LabelTag| directive.provisions().iter().any(|provision| gives(provision.terms(), tag));
    request.tags.iter().filter(granted).copied().collect()
}

fn party(number: u64) -> Result<Party, Failure> {
    Ok(Party::new(format!("sealwort://bench/gateway/hospital-{number}"))?)
}

fn role(name: &str) -> Result<UserRole, Failure> {
    Ok(UserRole::new(name)?)
}

fn tag(number: u8) -> LabelTag {
    LabelTag::new([number; 16])
}
