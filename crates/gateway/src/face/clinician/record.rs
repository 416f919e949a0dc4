//! A record as one visit reads it: what the FHIR face answered, beside who signed each entry and where it stands in the log.
//! And the banner of every page of a patient: who it is, and the allergies.

use std::collections::{BTreeMap, HashMap};

use http::Method;
use maud::{Markup, html};
use sealwort_fhir::plain::{Absent, Plain, Standing as Counts};
use sealwort_fhir::{IssueCode, ResourceId, ResourceType};
use sealwort_pages::date;
use sealwort_pages::words::clinician as words;
use sealwort_smart::Action;
use serde_json::Value;

use super::reading::{self, named, text};
use super::visit::Visit;
use super::{PURPOSE, href, purpose_options};
use crate::emergency::Access;
use crate::error::GatewayError;
use crate::seen::Seen;

/// Most pages of one answer that are read.
const PAGES_MAX: usize = 20;

/// Who signed an entry, and where it is.
pub(super) struct Source {
    /// The hospital's name.
    pub(super) hospital: String,
    /// Its whole identity.
    pub(super) identity: String,
    /// When it was signed.
    pub(super) signed: u64,
    /// Place in the patient's log.
    pub(super) place: u64,
    /// Last place of that log that was read.
    pub(super) read_to: Option<u64>,
    /// Hash of the entry.
    pub(super) hash: String,
    /// Which version of the resource it is.
    pub(super) version: u64,
}

/// What a visit read of a patient.
pub(super) struct Record {
    pub(super) id: String,
    pub(super) patient: Value,
    /// What was read, the Patient among it, in the order of the answer.
    pub(super) resources: Vec<Value>,
    /// Entries whose keys consent does not give.
    pub(super) withheld: u64,
    /// Last place of the log that was read.
    pub(super) read_to: u64,
    /// How many of them the banner is made from: the Patient and all allergies.
    of_banner: usize,
    places: HashMap<String, usize>,
    seen: Seen,
}

impl Record {
    /// Reads who the patient of this id is, with all their allergies, and whatever else these URLs of the FHIR face answer
    /// with; they are relative to the patient: `$summary`.
    pub(super) async fn read(visit: &mut Visit, id: &str, more: &[&str]) -> Result<Self, GatewayError> {
        // What is in a path is a name before it is part of a URL.
        let of: ResourceId = id.parse().map_err(|_| super::super::read::not_found())?;
        let (mut resources, mut withheld, mut of_banner) = (Vec::new(), 0, None);
        for page in ["$everything?_type=Patient,AllergyIntolerance"].iter().chain(more) {
            let mut next = Some(format!("Patient/{of}/{page}"));
            let mut pages = 0;
            while let Some(url) = next.take() {
                pages += 1;
                if pages > PAGES_MAX {
                    return Err(too_long());
                }
                let reply = visit.ask(&Method::GET, &url).await?;
                withheld = reply.withheld;
                let bundle = reading::bundle(&reply.content)?;
                let relative = |url: String| url.strip_prefix(&format!("{}/", visit.gateway.base)).map(str::to_owned);
                next = bundle.next.and_then(relative);
                resources.extend(bundle.entries.into_iter().map(|entry| entry.resource));
            }
            of_banner.get_or_insert(resources.len());
        }
        let is_patient = |one: &&Value| named(one) == Some((ResourceType::PATIENT, of.as_str()));
        let patient = resources.iter().find(is_patient).cloned().ok_or_else(super::super::read::not_found)?;
        // The same record once more, as this visit may see it, for who signed what was shown.
        let seen = Box::pin(visit.gateway.see(&visit.asking, ResourceType::PATIENT, &of, Action::Read)).await?;
        let place = |(at, one): (usize, &Value)| named(one).map(|(kind, id)| (format!("{kind}/{id}"), at));
        let places = resources.iter().enumerate().filter_map(place).collect();
        let read_to = seen.view.at.sequence;
        let of_banner = of_banner.unwrap_or_default();
        Ok(Self { id: of.to_string(), patient, resources, withheld, read_to, of_banner, places, seen })
    }

    /// A number of the patient with its system, by which people know them better than by an id.
    pub(super) fn number(&self, visit: &Visit) -> Option<String> {
        let known = |one: &Value| Some(format!("{}|{}", text(one, "system")?, text(one, "value")?));
        reading::numbers(&self.patient, visit.gateway.sign_in.patient_system()).into_iter().find_map(known)
    }

    /// Whether this reading is one by an emergency access.
    pub(super) fn is_opened_by(&self, visit: &Visit, access: &Access) -> bool {
        let is_of = |patient| visit.gateway.roster.are_one(patient, self.seen.view.patient);
        visit.asking.purpose == access.purpose && access.patient.parse().is_ok_and(is_of)
    }

    /// A resource that was read, by its relative reference.
    pub(super) fn find(&self, reference: &str) -> Option<&Value> {
        self.resources.get(*self.places.get(reference)?)
    }

    /// Who signed a resource that was read.
    pub(super) fn source(&self, resource: &Value) -> Option<Source> {
        let (kind, id) = named(resource)?;
        // Of the version that is shown: another one may have been written meanwhile.
        let shown = text(resource.get("meta")?, "versionId")?;
        let held = self.seen.find(kind, &id.parse().ok()?)?;
        let version = held.versions().find(|one| one.number.to_string() == shown)?;
        let identity = version.origin.author.to_string();
        Some(Source {
            hospital: identity.rsplit('/').next().unwrap_or_default().to_owned(),
            identity,
            signed: version.changed.as_secs(),
            place: version.origin.entry.sequence,
            // Of a patient with merged identities there are several logs.
            read_to: Some(self.read_to).filter(|_| version.origin.log == self.seen.view.patient),
            hash: version.origin.entry.head.to_string(),
            version: version.number,
        })
    }

    /// The hospital that signed a resource, as a link to all that is known of it.
    pub(super) fn source_link(&self, visit: &Visit, resource: &Value) -> Markup {
        let source = named(resource).zip(self.source(resource));
        html! {
            @if let Some(((kind, id), source)) = source {
                a .chip.good href=(href(visit, &self.id, &format!("{kind}/{id}"))) {
                    span .hidden { (words::SOURCE) " " } (source.hospital) " " span aria-hidden="true" { "✓" }
                    span .hidden { (words::VERIFIED) }
                }
            } @else {
                span .quiet { (words::NO_SOURCE) }
            }
        }
    }

    /// Who it is, for which purpose, what they are allergic to, and what is withheld: on every page of the patient.
    pub(super) fn banner(&self, visit: &Visit) -> Markup {
        html! {
            section .banner.patient aria-label=(words::PATIENT) {
                div .row {
                    div {
                        p .name { strong { (reading::person(&self.patient)) } }
                        p .quiet { (reading::about_person(&self.patient, visit)) }
                    }
                    @if visit.asking.purpose == crate::emergency::BREAK_THE_GLASS {
                        p .chip.error { (words::PURPOSE) ": " (words::BREAKING) }
                    } @else {
                        form method="get" action={(super::PATH) "/patients/" (self.id)} {
                            label for="banner-purpose" { (words::PURPOSE) }
                            select #banner-purpose name=(PURPOSE) { (purpose_options(&visit.asking.purpose)) }
                            button .quiet type="submit" { (words::CHANGE) }
                        }
                    }
                }
                (self.allergies(visit))
            }
        }
    }

    fn allergies(&self, visit: &Visit) -> Markup {
        let allergies = Allergies::of(self.resources.iter().take(self.of_banner));
        let class = if matches!(allergies, Allergies::Some(_)) { "error" } else { "quiet" };
        html! {
            div .allergies.(class) {
                p {
                    strong { (words::ALLERGIES) ": " }
                    @match &allergies {
                        Allergies::NotRecorded if self.withheld > 0 => { (words::ALLERGIES_NONE_SEEN) },
                        Allergies::NotRecorded => { (words::ALLERGIES_NOT_RECORDED) },
                        Allergies::NoneKnown(told) => { (told.join(" ")) },
                        Allergies::Some(list) => { (list.join("; ")) },
                    }
                }
                @if self.withheld > 0 {
                    p {
                        (words::allergies_withheld(self.withheld)) " "
                        a href=(href(visit, &self.id, "withheld")) { (words::WITHHELD_MORE) }
                    }
                }
            }
        }
    }
}

/// An entry in a list.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) says: Markup,
    pub(super) when: String,
    pub(super) source: Markup,
}

/// A list of entries, each with who signed it; on a phone a card each. `says` heads what they say.
pub(super) fn table(caption: &str, says: &str, rows: impl Iterator<Item = Row>) -> Markup {
    html! {
        table .stack.entries {
            caption .hidden { (caption) }
            thead { tr {
                th scope="col" { (words::WHAT) }
                th scope="col" { (says) }
                th scope="col" { (words::WHEN) }
                th scope="col" { (words::SOURCE_COLUMN) }
            } }
            tbody { @for row in rows { tr {
                th scope="row" { (row.what) }
                td data-column=(says) { (row.says) }
                td data-column=(words::WHEN) { (row.when) }
                td data-column=(words::SOURCE_COLUMN) { (row.source) }
            } } }
        }
    }
}

fn too_long() -> GatewayError {
    GatewayError::request(
        413,
        IssueCode::TooLong,
        "record-too-long",
        "the record has more entries than this page reads, and it shows none rather than some",
        "read it with an app that reads page by page",
    )
}

/// What a record says of allergies. That nothing is recorded is not that nothing is known, and neither is that there is
/// none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allergies {
    NotRecorded,
    /// Somebody asked, and noted that there is none, of all or of some kind: what they noted, in sentences.
    NoneKnown(Vec<String>),
    Some(Vec<String>),
}

impl Allergies {
    pub(super) fn of<'v>(resources: impl Iterator<Item = &'v Value>) -> Self {
        let mut found = Vec::new();
        let mut none: BTreeMap<String, Plain> = BTreeMap::new();
        for resource in resources {
            let Some((kind, _)) = named(resource).filter(|(kind, _)| kind.as_str() == "AllergyIntolerance") else {
                continue;
            };
            let plain = Plain::of(kind, resource);
            if !plain.standing.holds() {
                continue;
            }
            if let Some(absent) = plain.absent {
                let at = |plain: &Plain| plain.at.map_or(i64::MIN, |at| at.seconds);
                let title = absent.title();
                if absent != Absent::NotAsked && none.get(&title).is_none_or(|known| at(known) < at(&plain)) {
                    none.insert(title, plain);
                }
                continue;
            }
            let name = plain.title.unwrap_or_else(|| words::UNNAMED_ALLERGY.to_owned());
            let mut more: Vec<String> = plain.more;
            more.extend(text(resource, "criticality").map(|code| words::criticality(code).to_owned()));
            more.extend((plain.standing == Counts::Open).then(|| words::UNCERTAIN.to_owned()));
            let told = if more.is_empty() { name } else { format!("{name} ({})", more.join(", ")) };
            // What endangers most stands first.
            if text(resource, "criticality") == Some("high") { found.insert(0, told) } else { found.push(told) }
        }
        if !found.is_empty() {
            return Self::Some(found);
        }
        if none.is_empty() {
            return Self::NotRecorded;
        }
        let of_all = none.values().any(|plain| plain.absent == Some(Absent::NoAllergy));
        let told = none.into_iter().map(|(title, plain)| {
            let uncertain = (plain.standing == Counts::Open).then_some(words::UNCERTAIN);
            words::allergies_none_known(&title, plain.at.as_ref().map(reading::readable).as_deref(), uncertain)
        });
        Self::NoneKnown(told.chain((!of_all).then(|| words::ALLERGIES_OTHERS.to_owned())).collect())
    }
}

/// The time of a signature, with the zone said.
pub(super) fn signed_at(source: &Source) -> Markup {
    html! { time datetime=(date::machine(source.signed)) { (date::moment(source.signed)) } }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_recorded_is_not_none_known() {
        let allergy = |code: &str, text: &str, more: &Value| {
            let mut one = json!({"resourceType": "AllergyIntolerance", "id": "a",
                "code": {"coding": [{"code": code}], "text": text}});
            for (name, value) in more.as_object().into_iter().flatten() {
                one.as_object_mut().map(|members| members.insert(name.clone(), value.clone()));
            }
            one
        };
        let status = |code: &str| json!({"verificationStatus": {"coding": [{"code": code}]}});
        let nothing = json!({});
        let dated = json!({"recordedDate": "2026-05-04"});
        let none = allergy("no-known-allergies", "No known allergies", &dated);
        let peanut = allergy("762952008", "Peanut", &nothing);
        let penicillin = allergy("1", "Penicillin", &json!({"criticality": "high"}));
        let snomed = |code: &str, more: &Value| {
            let mut one = allergy(code, "", more);
            one["code"] = json!({"coding": [{"system": "http://snomed.info/sct", "code": code}]});
            one
        };
        let sentence = |title: &str, when| words::allergies_none_known(title, when, None);
        let others = || words::ALLERGIES_OTHERS.to_owned();
        let older = json!({"recordedDate": "2019"});
        let cases = [
            (vec![], Allergies::NotRecorded),
            (vec![allergy("no-allergy-info", "?", &nothing)], Allergies::NotRecorded),
            (vec![snomed("1631000175102", &nothing)], Allergies::NotRecorded),
            (
                vec![none.clone(), snomed("716186003", &older)],
                Allergies::NoneKnown(vec![sentence("No known allergies", Some("4 May 2026"))]),
            ),
            (vec![allergy("1", "x", &status("refuted"))], Allergies::NotRecorded),
            (vec![snomed("409137002", &status("refuted"))], Allergies::NotRecorded),
            // That there is none of one kind says nothing of the others.
            (
                vec![allergy("no-known-medication-allergies", "No known medication allergies", &nothing)],
                Allergies::NoneKnown(vec![sentence("No known allergies to medicines", None), others()]),
            ),
            (
                vec![snomed("429625007", &dated), snomed("409137002", &status("unconfirmed"))],
                Allergies::NoneKnown(vec![
                    sentence("No known allergies to food", Some("4 May 2026")),
                    words::allergies_none_known("No known allergies to medicines", None, Some(words::UNCERTAIN)),
                    others(),
                ]),
            ),
            // A number means nothing without its system.
            (vec![allergy("716186003", "Peanut", &nothing)], Allergies::Some(vec!["Peanut".to_owned()])),
            (
                vec![peanut, none, penicillin],
                Allergies::Some(vec![format!("Penicillin ({})", words::criticality("high")), "Peanut".to_owned()]),
            ),
        ];
        for (resources, wanted) in cases {
            assert_eq!(Allergies::of(resources.iter()), wanted);
        }
    }
}
