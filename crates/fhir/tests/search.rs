//! Search over a small record made by hand: each type of parameter with its prefixes and modifiers, and what
//! must not be found. The expected sets were worked out by hand from R4's search page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use sealwort_fhir::search::{
    Corpus, Document, Handling, Ordinal, PatientNamed, Position, Query, SearchError, Visible, offered,
};
use sealwort_fhir::{ResourceId, ResourceType};
use serde_json::{Value, json};

const BASE: &str = "https://h.example/fhir";

/// The record: each resource is called by its id, and those ids are unique over the types.
fn resources() -> Vec<Value> {
    vec![
        json!({"resourceType": "Patient", "id": "p", "active": true, "gender": "female", "birthDate": "1970-03-05",
            "meta": {"security": [{"system": "http://s", "code": "R"}], "tag": [{"code": "t1", "display": "Tagged"}],
                "profile": ["http://profiles.example/A"], "source": "urn:x:1"},
            "identifier": [
                {"system": "http://mrn", "value": "12345", "type": {"coding": [{"system": "http://v2", "code": "MR"}], "text": "Record"}},
                {"value": "loose"}],
            "name": [{"use": "official", "family": "Ångström", "given": ["Anna", "Bea"], "prefix": ["Dr."]}],
            "telecom": [{"system": "phone", "value": "555-1"}, {"system": "email", "value": "a@x.example"}],
            "address": [{"line": ["1 High Street"], "city": "Köln", "postalCode": "50667", "country": "DE"}],
            "generalPractitioner": [{"reference": "Practitioner/dr"}], "deceasedBoolean": false}),
        json!({"resourceType": "Practitioner", "id": "dr", "name": [{"family": "House", "given": ["Greg"]}]}),
        json!({"resourceType": "Organization", "id": "org", "name": "General, Hospital|North $1\\2"}),
        json!({"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"},
            "subject": {"reference": "Patient/p"}, "serviceProvider": {"reference": "Organization/org"},
            "period": {"start": "2020-01-10T10:00:00Z", "end": "2020-01-12T10:00:00Z"}}),
        json!({"resourceType": "Encounter", "id": "e2", "status": "in-progress", "class": {"code": "IMP"},
            "subject": {"reference": "Patient/p/_history/3"}, "partOf": {"reference": "Encounter/e1"},
            "period": {"start": "2021-05-01"}}),
        json!({"resourceType": "Observation", "id": "w1", "status": "final",
            "category": [{"coding": [{"system": "http://cat", "code": "vital-signs"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7", "display": "Body Weight"}], "text": "Weighed"},
            "subject": {"reference": "Patient/p"}, "encounter": {"reference": "Encounter/e1"},
            "effectiveDateTime": "2020-01-10T10:30:00+01:00",
            "valueQuantity": {"value": 72.50, "unit": "kilogram", "system": "http://unitsofmeasure.org", "code": "kg"}}),
        json!({"resourceType": "Observation", "id": "w2", "status": "amended",
            "category": [{"coding": [{"system": "http://cat", "code": "vital-signs"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
            "subject": {"reference": "https://h.example/fhir/Patient/p"}, "encounter": {"reference": "Encounter/e2"},
            "effectiveDateTime": "2021-05",
            "valueQuantity": {"value": 100, "unit": "lb"}}),
        json!({"resourceType": "Observation", "id": "bp", "status": "final",
            "category": [{"coding": [{"system": "http://cat", "code": "VITAL-SIGNS"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
            "subject": {"reference": "Patient/p"}, "performer": [{"reference": "Practitioner/dr"}],
            "effectivePeriod": {"start": "2019-01-01", "end": "2019-12-31"},
            "component": [
                {"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}, "valueQuantity": {"value": 140, "code": "mm[Hg]"}},
                {"code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]}, "valueQuantity": {"value": 80, "code": "mm[Hg]"}}]}),
        json!({"resourceType": "Observation", "id": "foreign", "status": "final", "code": {"text": "Sundry"},
            "subject": {"reference": "https://other.example/fhir/Patient/p"},
            "performer": [{"identifier": {"system": "http://npi", "value": "9"}}, {"reference": "#inner"}, {"reference": "urn:uuid:7515d14b-843b-4210-8b6b-a33ab253d560"}],
            "contained": [{"resourceType": "Practitioner", "id": "inner", "name": [{"family": "House"}]}],
            "valueString": "Über alles"}),
        json!({"resourceType": "RiskAssessment", "id": "risk", "status": "final", "subject": {"reference": "Patient/p"},
            "prediction": [{"probabilityDecimal": 1e-5}, {"probabilityRange": {"low": {"value": 0.2}, "high": {"value": 0.4}}}]}),
        json!({"resourceType": "MedicationRequest", "id": "rx", "status": "active", "intent": "order",
            "subject": {"reference": "Patient/p"}, "medicationReference": {"reference": "Medication/med"}}),
        json!({"resourceType": "Medication", "id": "med", "code": {"coding": [{"system": "http://rx", "code": "aspirin"}]},
            "manufacturer": {"reference": "Organization/org"}}),
        json!({"resourceType": "Provenance", "id": "prov", "target": [{"reference": "Observation/w1"}, {"reference": "Patient/p"}]}),
        json!({"resourceType": "QuestionnaireResponse", "id": "qr", "status": "completed",
            "questionnaire": "http://q.example/Questionnaire/a|1.0", "subject": {"reference": "Patient/p"}}),
        json!({"resourceType": "ServiceRequest", "id": "sr", "status": "active", "intent": "order", "subject": {"reference": "Patient/p"},
            "occurrenceTiming": {"event": ["2022-03-01", "2022-06-01"]}, "instantiatesUri": ["http://acme.example/fhir/protocols/1"]}),
        json!({"resourceType": "DocumentReference", "id": "doc", "status": "current", "subject": {"reference": "Patient/p"},
            "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/a"}},
                {"code": "appends", "target": {"reference": "DocumentReference/b"}}]}),
        json!({"resourceType": "Invoice", "id": "bill", "status": "issued", "subject": {"reference": "Patient/p"},
            "totalGross": {"value": 48.00, "currency": "EUR"}}),
    ]
}

fn corpus_of(resources: &[Value]) -> Corpus {
    let mut corpus = Corpus::new(&[BASE]);
    for (number, tree) in (0..).zip(resources) {
        let resource_type = tree["resourceType"].as_str().unwrap().parse().unwrap();
        let updated_ms = 1_577_836_800_000 + i64::from(number) * 86_400_000;
        let document = Document::read(resource_type, tree["id"].as_str().unwrap(), updated_ms, tree);
        assert_eq!((document.id(), document.last_updated_ms()), (tree["id"].as_str().unwrap(), updated_ms));
        corpus.put(Ordinal::new(number).unwrap(), Arc::new(document));
    }
    corpus
}

fn read(search: &str, handling: Handling) -> Result<Query, SearchError> {
    let (kind, parameters) = search.split_once('?').unwrap();
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    let parameters: Vec<(String, String)> = parameters.split('&').filter(|p| !p.is_empty()).map(pair).collect();
    let kind = if kind.is_empty() { None } else { Some(kind.parse().unwrap()) };
    Query::parse(kind, &parameters, handling)
}

fn ids(corpus: &Corpus, ordinals: &[Ordinal]) -> String {
    ordinals.iter().map(|at| corpus.document(*at).unwrap().id()).collect::<Vec<_>>().join(" ")
}

/// Runs searches and compares the ids found, in order.
fn check(cases: &[(&str, &str)]) {
    check_in(&resources(), cases);
}

fn check_in(resources: &[Value], cases: &[(&str, &str)]) {
    let corpus = corpus_of(resources);
    for (search, expected) in cases {
        let query = read(search, Handling::Strict).unwrap_or_else(|e| panic!("{search}: {e}"));
        let found = query.run(&corpus, &Visible::Everything, None);
        assert_eq!(ids(&corpus, &found.matches), *expected, "{search}");
        assert_eq!(found.total, Some(found.matches.len() as u64), "{search}");
        let visible = Visible::Everything;
        let filter = query.filter(&corpus, &visible);
        for at in (0..).map_while(Ordinal::new).take(corpus.len()) {
            let accepted = filter.accepts(corpus.document(at).unwrap());
            assert_eq!(accepted, found.matches.contains(&at), "{search}: filter");
        }
    }
}

/// Whoever lets somebody search needs to know where the search leads.
#[test]
fn a_query_tells_the_types_that_its_links_go_through() {
    let cases = [
        ("Observation?code=a", ""),
        ("Observation?patient.name=a", "Patient"),
        ("Encounter?subject.name=a", "Patient"),
        ("Encounter?subject:Group.code=a", "Group"),
        ("Patient?_has:Observation:patient:code=a", "Observation"),
        ("Organization?_has:Encounter:service-provider:patient.name=a", "Encounter, Patient"),
        ("Observation?encounter.service-provider.name=a", "Encounter, Organization"),
        ("Observation?performer.name=a", "Organization|Patient|Practitioner|RelatedPerson"),
    ];
    for (search, expected) in cases {
        let (kind, text) = search.split_once('?').unwrap();
        let (name, value) = text.split_once('=').unwrap();
        let parameters = [(name.to_owned(), value.to_owned())];
        let query = Query::parse(Some(kind.parse().unwrap()), &parameters, Handling::Strict).unwrap();
        let links = query.links().into_iter().map(|types| {
            let mut names: Vec<&str> = types.into_iter().map(ResourceType::as_str).collect();
            names.sort_unstable();
            names.join("|")
        });
        assert_eq!(links.collect::<Vec<_>>().join(", "), expected, "{search}");
    }
}

#[test]
fn tokens() {
    check(&[
        ("Observation?code=http://loinc.org|29463-7", "w1 w2"),
        ("Observation?code=29463-7", "w1 w2"),
        ("Observation?code=http://loinc.org|", "w1 w2 bp"),
        ("Observation?code=http://other|29463-7", ""),
        ("Observation?code=|29463-7", ""),
        ("Observation?code=29463", ""),
        ("Observation?code=29463-7,85354-9", "w1 w2 bp"),
        ("Observation?code=29463-7&status=final", "w1"),
        ("Observation?category=http://cat|vital-signs", "w1 w2 bp"),
        ("Observation?code:not=29463-7", "bp foreign"),
        ("Observation?code:not=29463-7,85354-9", "foreign"),
        ("Observation?category:not=vital-signs", "foreign"),
        ("Observation?code:text=body", "w1"),
        ("Observation?code:text=WEIGH", "w1"),
        ("Observation?code:text=sund", "foreign"),
        ("Observation?code:missing=true", ""),
        ("Observation?category:missing=true", "foreign"),
        ("Observation?category:missing=false", "w1 w2 bp"),
        ("Observation?status=http://hl7.org/fhir/observation-status|amended", "w2"),
        ("Patient?gender=female", "p"),
        ("Patient?gender=male", ""),
        ("Patient?active=true", "p"),
        ("Patient?active=false", ""),
        ("Patient?active:not=false", "p"),
        ("Patient?deceased=false", "p"),
        ("Patient?deceased=true", ""),
        ("Patient?identifier=http://mrn|12345", "p"),
        ("Patient?identifier=|loose", "p"),
        ("Patient?identifier=|12345", ""),
        ("Patient?identifier:of-type=http://v2|MR|12345", "p"),
        ("Patient?identifier:of-type=http://v2|MR|loose", ""),
        ("Patient?identifier:of-type=http://v2|SS|12345", ""),
        ("Patient?identifier:text=record", "p"),
        ("Patient?phone=555-1", "p"),
        ("Patient?phone=a@x.example", ""),
        ("Patient?email=a@x.example", "p"),
        ("Patient?telecom=555-1", "p"),
        ("Patient?_id=p", "p"),
        ("Patient?_id=q,p", "p"),
        ("Patient?_id=q", ""),
        ("Patient?_security=http://s|R", "p"),
        ("Patient?_tag=t1", "p"),
        ("Patient?_tag:text=tag", "p"),
        ("?_tag=t1", "p"),
        ("?_tag:missing=true&_type=Patient,Practitioner", "dr"),
    ]);
}

#[test]
fn dates() {
    check(&[
        // bp spans 2019; w1 is at 09:30 UTC on 2020-01-10; w2 spans May 2021.
        ("Observation?date=2019", "bp"),
        ("Observation?date=2019-06", ""),
        ("Observation?date=2020-01-10", "w1"),
        ("Observation?date=2020-01-10T10:30:00+01:00", "w1"),
        ("Observation?date=2020-01-10T09:30Z", "w1"),
        ("Observation?date=2020-01-10T10:30Z", ""),
        ("Observation?date=ne2019", "w1 w2"),
        ("Observation?date=ne2019-06", "w1 w2 bp"),
        ("Observation?date=gt2019-06", "w1 w2 bp"),
        ("Observation?date=gt2020-01-10", "w2"),
        ("Observation?date=gt2021-05", ""),
        ("Observation?date=ge2021-05", "w2"),
        ("Observation?date=lt2019-06", "bp"),
        ("Observation?date=lt2019", ""),
        ("Observation?date=le2019", "bp"),
        ("Observation?date=le2020-01-10", "w1 bp"),
        ("Observation?date=sa2019-06", "w1 w2"),
        ("Observation?date=sa2020", "w2"),
        ("Observation?date=eb2019-06", ""),
        ("Observation?date=eb2021", "w1 bp"),
        ("Observation?date=ap2019-06", "bp"),
        ("Observation?date=ap2018", ""),
        ("Observation?date=ge2020&date=lt2021", "w1"),
        ("Observation?date:missing=true", "foreign"),
        ("Encounter?date=2020", "e1"),
        ("Encounter?date=gt2025", "e2"),
        ("Encounter?date=sa2021-04", "e2"),
        ("Encounter?date=eb2030", "e1"),
        ("Patient?birthdate=1970", "p"),
        ("Patient?birthdate=1970-03-05", "p"),
        ("Patient?birthdate=gt1970-03-05", ""),
        ("ServiceRequest?occurrence=2022", "sr"),
        ("ServiceRequest?occurrence=ap2022-04", "sr"),
        ("ServiceRequest?occurrence=sa2022-03-01", ""),
        ("Patient?_lastUpdated=2020-01-01", "p"),
        ("Patient?_lastUpdated=gt2020-01-01", ""),
        ("?_lastUpdated=lt2020-01-03", "p dr"),
    ]);
}

#[test]
fn strings_and_uris() {
    check(&[
        ("Patient?name=angs", "p"),
        ("Patient?name=ÅNGSTRÖM", "p"),
        ("Patient?name=ann", "p"),
        ("Patient?name=dr", "p"),
        ("Patient?name=nna", ""),
        ("Patient?name:contains=nna", "p"),
        ("Patient?name:exact=Ångström", "p"),
        ("Patient?name:exact=Angström", ""),
        ("Patient?name:exact=Ångstr", ""),
        ("Patient?family=ang", "p"),
        ("Patient?family=anna", ""),
        ("Patient?given=bea,zoe", "p"),
        ("Patient?given=bea&given=zoe", ""),
        ("Patient?name:missing=true", ""),
        ("Patient?address=koln", "p"),
        ("Patient?address-city=Köln", "p"),
        ("Patient?address-postalcode=506", "p"),
        ("Patient?address-state:missing=true", "p"),
        ("Observation?value-string=uber", "foreign"),
        (r"Organization?name=general\, hospital\|north \$1\\2", "org"),
        (r"Organization?name:exact=General\, Hospital\|North \$1\\2", "org"),
        ("Organization?name=general, hospital", "org"),
        ("Organization?name=hospital", ""),
        ("Patient?_profile=http://profiles.example/A", "p"),
        ("Patient?_profile=http://profiles.example/a", ""),
        ("Patient?_profile:below=http://profiles.example", "p"),
        ("Patient?_profile:below=http://profiles.exam", ""),
        ("Patient?_profile:above=http://profiles.example/A/b", "p"),
        ("Patient?_source=urn:x:1", "p"),
        ("ServiceRequest?instantiates-uri:below=http://acme.example/fhir/", "sr"),
        ("ServiceRequest?instantiates-uri=http://acme.example/fhir/", ""),
    ]);
}

#[test]
fn numbers_and_quantities() {
    check(&[
        ("Observation?value-quantity=72.5", "w1"),
        ("Observation?value-quantity=72.50", "w1"),
        ("Observation?value-quantity=72", ""),
        ("Observation?value-quantity=73", "w1"),
        ("Observation?value-quantity=7.25e1", "w1"),
        ("Observation?value-quantity=1e2", "w1 w2"),
        ("Observation?value-quantity=ne100", "w1"),
        ("Observation?value-quantity=gt72.4", "w1 w2"),
        ("Observation?value-quantity=gt72.5", "w2"),
        ("Observation?value-quantity=ge72.5", "w1 w2"),
        ("Observation?value-quantity=lt100", "w1"),
        ("Observation?value-quantity=le100", "w1 w2"),
        ("Observation?value-quantity=sa72.5", "w2"),
        ("Observation?value-quantity=eb100", "w1"),
        ("Observation?value-quantity=ap75", "w1"),
        ("Observation?value-quantity=ap90", ""),
        ("Observation?value-quantity=72.5|http://unitsofmeasure.org|kg", "w1"),
        ("Observation?value-quantity=72.5|http://unitsofmeasure.org|g", ""),
        ("Observation?value-quantity=72.5|http://other|kg", ""),
        ("Observation?value-quantity=72.5||kg", "w1"),
        ("Observation?value-quantity=72.5||kilogram", "w1"),
        ("Observation?value-quantity=gt1||lb", "w2"),
        ("Observation?value-quantity=lt1e999999999999", "w1 w2"),
        ("Observation?value-quantity=gt-1e999999999999", "w1 w2"),
        ("Observation?value-quantity:missing=true", "bp foreign"),
        ("Observation?component-value-quantity=140", "bp"),
        ("Invoice?totalgross=48|urn:iso:std:iso:4217|EUR", "bill"),
        ("Invoice?totalgross=48||USD", ""),
        ("RiskAssessment?probability=0.00001", "risk"),
        ("RiskAssessment?probability=gt0.3", "risk"),
        ("RiskAssessment?probability=gt0.4", ""),
        ("RiskAssessment?probability=lt0.00001", ""),
        ("RiskAssessment?probability=ge0.4", "risk"),
        ("RiskAssessment?probability=sa0.1", "risk"),
        ("RiskAssessment?probability=sa0.3", ""),
    ]);
}

#[test]
fn references() {
    check(&[
        ("Observation?subject=Patient/p", "w1 w2 bp"),
        ("Observation?subject=p", "w1 w2 bp"),
        ("Observation?subject:Patient=p", "w1 w2 bp"),
        ("Observation?subject:Group=p", ""),
        ("Observation?subject=https://h.example/fhir/Patient/p", "w1 w2 bp"),
        ("Observation?subject=https://other.example/fhir/Patient/p", "foreign"),
        ("Observation?subject=Patient/p/_history/2", "w1 w2 bp"),
        ("Observation?patient=p", "w1 w2 bp"),
        ("Encounter?subject=Patient/p", "e1 e2"),
        ("Observation?performer=Practitioner/inner", ""),
        ("Observation?performer:identifier=http://npi|9", "foreign"),
        ("Observation?performer:identifier=http://npi|8", ""),
        ("Observation?performer=urn:uuid:7515d14b-843b-4210-8b6b-a33ab253d560", ""),
        ("Observation?performer:missing=true", "w1 w2"),
        ("QuestionnaireResponse?questionnaire=http://q.example/Questionnaire/a", "qr"),
        ("QuestionnaireResponse?questionnaire=http://q.example/Questionnaire/a|1.0", "qr"),
        ("QuestionnaireResponse?questionnaire=http://q.example/Questionnaire/a|2.0", ""),
        ("QuestionnaireResponse?questionnaire=http://q.example/Questionnaire", ""),
    ]);
}

#[test]
fn composites() {
    check(&[
        ("Observation?code-value-quantity=29463-7$gt72", "w1 w2"),
        ("Observation?code-value-quantity=http://loinc.org|29463-7$72.5||kg", "w1"),
        ("Observation?code-value-quantity=8480-6$140", ""),
        ("Observation?component-code-value-quantity=8480-6$140", "bp"),
        ("Observation?component-code-value-quantity=8480-6$80", ""),
        ("Observation?combo-code-value-quantity=8462-4$80", "bp"),
        ("Observation?combo-code-value-quantity=29463-7$100", "w2"),
        ("Observation?combo-code-value-quantity=85354-9$80", ""),
        ("Observation?combo-code-value-quantity=8480-6$80,8480-6$140", "bp"),
        ("DocumentReference?relationship=replaces$DocumentReference/a", "doc"),
        ("DocumentReference?relationship=replaces$DocumentReference/b", ""),
    ]);
}

#[test]
fn chains() {
    check(&[
        ("Observation?subject:Patient.name=anna", "w1 w2 bp"),
        ("Observation?subject.name=anna", "w1 w2 bp"),
        ("Observation?patient.name=anna", "w1 w2 bp"),
        ("Observation?patient.name=house", ""),
        ("Observation?patient.identifier=http://mrn|12345", "w1 w2 bp"),
        // One performer is contained.
        ("Observation?performer.name=house", "bp foreign"),
        ("Observation?performer:Practitioner.name:exact=House", "bp foreign"),
        ("Observation?encounter.service-provider.name=general", "w1"),
        ("Observation?encounter:Encounter.part-of:Encounter.service-provider:Organization.name:contains=north", "w2"),
        ("Observation?patient.general-practitioner:Practitioner.family=house", "w1 w2 bp"),
        ("MedicationRequest?medication.code=aspirin", "rx"),
        ("MedicationRequest?medication.manufacturer.name=general", "rx"),
        ("Encounter?_has:Observation:encounter:code=29463-7", "e1 e2"),
        ("Encounter?_has:Observation:encounter:status=final", "e1"),
        ("Encounter?_has:Observation:encounter:code:not=29463-7", ""),
        ("Patient?_has:Observation:patient:code=85354-9", "p"),
        ("Patient?_has:Observation:patient:code=zero", ""),
        ("Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:code=85354-9", "dr"),
        ("Organization?_has:Encounter:service-provider:patient.name=anna", "org"),
        ("Observation?_has:Provenance:target:_id=prov", "w1"),
    ]);
}

#[test]
fn order() {
    check(&[
        ("Observation?_sort=date", "bp w1 w2 foreign"),
        ("Observation?_sort=-date", "w2 w1 bp foreign"),
        ("Observation?_sort=status,-date", "w2 w1 bp foreign"),
        ("Observation?_sort=-value-quantity", "w2 w1 bp foreign"),
        ("Observation?_sort=value-quantity", "w1 w2 bp foreign"),
        ("Observation?_sort=-_id", "w2 w1 foreign bp"),
        ("?_type=Patient,Practitioner,Organization&_sort=-_lastUpdated", "org dr p"),
        ("?_type=Practitioner,Patient", "p dr"),
        ("Patient?_sort=name,birthdate,gender,phone,_profile", "p"),
    ]);
}

#[test]
fn includes() {
    let corpus = corpus_of(&resources());
    for (search, expected) in [
        ("Observation?_id=w1&_include=Observation:subject", "p"),
        ("Observation?_id=w1&_include=Observation:subject:Patient", "p"),
        ("Observation?_id=w1&_include=Observation:subject:Group", ""),
        ("Observation?_id=w1&_include=Observation:encounter&_include=Encounter:service-provider", "e1"),
        ("Observation?_id=w1&_include=Observation:encounter&_include:iterate=Encounter:service-provider", "e1 org"),
        ("Observation?_id=w2&_include=Observation:encounter&_include:iterate=Encounter:part-of", "e2 e1"),
        ("Observation?_id=w1&_include=*", "e1 p"),
        ("Observation?_id=w1&_include=Observation:*", "e1 p"),
        ("Observation?_include=Observation:subject", "p"),
        ("Observation?_id=foreign&_include=Observation:performer&_include=Observation:subject", ""),
        ("Encounter?_include=Encounter:part-of", ""),
        ("Encounter?_id=e1&_revinclude=Observation:encounter", "w1"),
        ("Observation?_id=w1&_revinclude=Provenance:target", "prov"),
        ("Encounter?_id=e1&_revinclude=Observation:encounter&_revinclude:iterate=Provenance:target", "w1 prov"),
        ("Encounter?_id=e1&_revinclude=Observation:encounter&_revinclude=Provenance:target", "w1"),
        ("Encounter?_id=e1&_revinclude=Observation:encounter&_count=0", ""),
        ("Encounter?_id=e1&_revinclude=Observation:*&_summary=count", ""),
    ] {
        let found = read(search, Handling::Strict).unwrap().run(&corpus, &Visible::Everything, None);
        assert_eq!(ids(&corpus, &found.included), expected, "{search}");
        assert!(!found.included_cut);
    }
}

/// What a label hides leaves no trace: each search finds with the hidden resources what it finds in a record
/// that never had them.
#[test]
fn hidden_resources_leave_no_trace() {
    let all = resources();
    let corpus = corpus_of(&all);
    let searches = [
        "Observation?code=29463-7&_sort=-date",
        "Observation?encounter.status=finished",
        "Observation?subject.name=anna",
        "Encounter?_has:Observation:encounter:status=final",
        "Observation?_id=w1,bp&_include=*&_revinclude=Provenance:target",
        "Encounter?_include=Encounter:part-of&_revinclude=Observation:encounter",
        "?_lastUpdated=gt2019&_count=3",
        "Patient?_has:Observation:patient:_has:Provenance:target:_id=prov",
        "MedicationRequest?medication.manufacturer.name=general",
    ];
    for hidden in 0..all.len() {
        let mut without = corpus.clone();
        without.remove(Ordinal::new(u32::try_from(hidden).unwrap()).unwrap());
        assert_eq!((corpus.len(), without.len()), (all.len(), all.len() - 1));
        let kept = (0..all.len()).filter(|at| *at != hidden);
        let visible = Visible::only(kept.map(|at| Ordinal::new(u32::try_from(at).unwrap()).unwrap()));
        for search in searches {
            let query = read(search, Handling::Strict).unwrap();
            let expected = query.run(&without, &Visible::Everything, None);
            assert_eq!(query.run(&corpus, &visible, None), expected, "{search} without {hidden}");
        }
    }
}

/// R4 search, "contained" and "reference": chains look into what a resource holds; nothing else does.
#[test]
fn resources_inside_a_resource() {
    let all = [
        json!({"resourceType": "MedicationRequest", "id": "rx1", "medicationReference": {"reference": "#m"},
            "requester": {"reference": "#dr"},
            "contained": [
                {"resourceType": "Medication", "id": "m", "code": {"coding": [{"code": "aspirin"}]},
                    "manufacturer": {"reference": "#maker"}},
                {"resourceType": "Organization", "id": "maker", "name": "Acme", "partOf": {"reference": "Organization/group"}},
                {"resourceType": "Practitioner", "id": "dr", "name": [{"family": "House"}]},
                {"resourceType": "Practitioner", "id": "unused", "name": [{"family": "Wilson"}]}]}),
        json!({"resourceType": "MedicationRequest", "id": "rx2", "medicationReference": {"reference": "Medication/m"},
            "requester": {"reference": "#nobody"},
            "contained": [{"resourceType": "Medication", "id": "m", "code": {"coding": [{"code": "aspirin"}]}}]}),
        json!({"resourceType": "Medication", "id": "m", "code": {"coding": [{"code": "warfarin"}]}}),
        json!({"resourceType": "Organization", "id": "group", "name": "Holding"}),
        json!({"resourceType": "Bundle", "id": "b1", "type": "document", "entry": [
            {"resource": {"resourceType": "Composition", "id": "c", "status": "final", "subject": {"reference": "#who"},
                "meta": {"lastUpdated": "2001-02-03T00:00:00Z"},
                "contained": [{"resourceType": "Patient", "id": "who", "name": [{"family": "Inner"}]}]}},
            {"resource": {"resourceType": "Composition", "id": "second", "status": "amended"}}]}),
        json!({"resourceType": "Composition", "id": "c", "status": "preliminary"}),
        json!({"resourceType": "QuestionnaireResponse", "id": "qr", "questionnaire": "#q",
            "contained": [{"resourceType": "Questionnaire", "id": "q", "title": "Intake"}]}),
        json!({"resourceType": "Observation", "id": "circle", "hasMember": [{"reference": "#a"}],
            "contained": [
                {"resourceType": "Observation", "id": "a", "status": "final", "hasMember": [{"reference": "#b"}]},
                {"resourceType": "Observation", "id": "b", "status": "amended", "hasMember": [{"reference": "#a"}]}]}),
    ];
    check_in(
        &all,
        &[
            ("MedicationRequest?medication.code=aspirin", "rx1"),
            ("MedicationRequest?medication:Medication.code=aspirin", "rx1"),
            ("MedicationRequest?medication.code=warfarin", "rx2"),
            ("MedicationRequest?medication.code:not=warfarin", "rx1"),
            ("MedicationRequest?medication._id=m", "rx1 rx2"),
            ("MedicationRequest?medication.manufacturer.name=acme", "rx1"),
            ("MedicationRequest?medication.manufacturer.partof.name=holding", "rx1"),
            ("MedicationRequest?medication.manufacturer:missing=true", "rx2"),
            ("MedicationRequest?requester:Practitioner.name=house", "rx1"),
            ("MedicationRequest?requester:Organization.name=house", ""),
            ("MedicationRequest?requester:Practitioner.name=wilson", ""),
            ("MedicationRequest?requester:missing=false", "rx1 rx2"),
            ("MedicationRequest?requester=dr", ""),
            ("Practitioner?name=house", ""),
            ("Organization?name=acme", ""),
            ("Medication?_has:MedicationRequest:medication:_id=rx1", ""),
            ("Bundle?composition.status=final", "b1"),
            ("Bundle?composition.status=preliminary", ""),
            ("Bundle?composition.status=amended", ""),
            ("Bundle?composition._lastUpdated=2001", "b1"),
            ("Bundle?composition.subject:Patient.name=inner", "b1"),
            ("Bundle?composition=Composition/c", "b1"),
            ("Bundle?composition=second", ""),
            ("QuestionnaireResponse?questionnaire.title=intake", "qr"),
            ("QuestionnaireResponse?questionnaire.title=outtake", ""),
            ("Observation?has-member:Observation.has-member:Observation.status=amended", "circle"),
            ("Observation?has-member:Observation.status=amended", ""),
        ],
    );
    // What is held is hidden and included with its holder, never by itself.
    let corpus = corpus_of(&all);
    let found = |search: &str, visible: &Visible| read(search, Handling::Strict).unwrap().run(&corpus, visible, None);
    let search = "MedicationRequest?medication.code=aspirin";
    assert!(found(search, &Visible::only((1..8).filter_map(Ordinal::new))).matches.is_empty());
    assert_eq!(ids(&corpus, &found("MedicationRequest?_include=*", &Visible::Everything).included), "m");
    assert_eq!(ids(&corpus, &found("Bundle?_include=Bundle:composition", &Visible::Everything).included), "");
}

/// More contained resources than are looked into, each with a reference to the next, take no long time.
#[test]
fn many_contained_resources() {
    let one = |at: u32| json!({"resourceType": "Observation", "id": at.to_string(), "status": "final", "hasMember": [{"reference": format!("#{}", at + 1)}]});
    let contained: Vec<Value> = (1..20_000).map(one).collect();
    let all = [
        json!({"resourceType": "Observation", "id": "o", "hasMember": [{"reference": "#1"}, {"reference": "#19999"}], "contained": contained}),
    ];
    check_in(&all, &[("Observation?has-member:Observation.status=final", "o")]);
    assert!(corpus_of(&all).bytes() < 1000 * 300);
}

/// R4 datatypes, `Quantity`: a comparator makes the value a range that is open on one side.
#[test]
fn comparators() {
    let quantity = |id: &str, value: Value| json!({"resourceType": "Observation", "id": id, "valueQuantity": value});
    let all = [
        quantity("below", json!({"value": 4, "comparator": "<"})),
        quantity("up-to", json!({"value": 4, "comparator": "<="})),
        quantity("from", json!({"value": 60, "comparator": ">="})),
        quantity("above", json!({"value": 60, "comparator": ">", "unit": "mg"})),
        quantity("point", json!({"value": 4})),
        quantity("odd", json!({"value": 4, "comparator": "about"})),
    ];
    check_in(
        &all,
        &[
            ("Observation?value-quantity=4", "point odd"),
            ("Observation?value-quantity=60", ""),
            ("Observation?value-quantity=ne4", "below up-to from above"),
            ("Observation?value-quantity=gt100", "from above"),
            ("Observation?value-quantity=gt4", "from above"),
            ("Observation?value-quantity=lt4", "below up-to"),
            ("Observation?value-quantity=lt1", "below up-to"),
            ("Observation?value-quantity=ge100", "from above"),
            ("Observation?value-quantity=le1", "below up-to"),
            ("Observation?value-quantity=sa5", "from above"),
            ("Observation?value-quantity=sa100", ""),
            ("Observation?value-quantity=eb26.1", "below up-to point odd"),
            ("Observation?value-quantity=eb1", ""),
            ("Observation?value-quantity=ap100", "from above"),
            ("Observation?value-quantity=gt100||mg", "above"),
            ("Observation?value-quantity:missing=true", ""),
            ("Observation?_sort=value-quantity", "below up-to point odd from above"),
        ],
    );
}

/// R4 search, "uri": the canonical URL of a conformance resource with its version.
#[test]
fn canonical_urls_with_version() {
    let map = |id: &str, url: &str, version: &str| json!({"resourceType": "ConceptMap", "id": id, "url": url, "version": version});
    let all = [
        map("one", "http://x/m", "1.0"),
        map("two", "http://x/m", "2.0"),
        map("other", "http://x/n", "1.0"),
        json!({"resourceType": "ConceptMap", "id": "plain", "url": "http://x/m|3.0",
            "sourceCanonical": "http://v/a", "targetUri": "http://v/b"}),
        json!({"resourceType": "Subscription", "id": "hook", "channel": {"endpoint": "http://x/m"}}),
        json!({"resourceType": "Patient", "id": "pat", "meta": {"profile": ["http://x/p|1.0"]},
            "generalPractitioner": [{"reference": "#map"}],
            "contained": [map("map", "http://x/m", "1.0")]}),
    ];
    check_in(
        &all,
        &[
            ("ConceptMap?url=http://x/m", "one two"),
            ("ConceptMap?url=http://x/m|1.0", "one"),
            ("ConceptMap?url=http://x/m|3.0", "plain"),
            ("ConceptMap?url=http://x/m|1", ""),
            ("ConceptMap?url=http://x/m|", ""),
            ("ConceptMap?url=|1.0", ""),
            ("ConceptMap?url=http://x/m|2.0,http://x/n", "two other"),
            ("ConceptMap?url=http://x/m|1.0|1.0", ""),
            (r"ConceptMap?url=http://x/m\|1.0", ""),
            ("ConceptMap?url:below=http://x/m", "one two plain"),
            ("Subscription?url=http://x/m|1.0", ""),
            ("Patient?general-practitioner:ConceptMap.url=http://x/m|1.0", "pat"),
            ("Patient?general-practitioner:ConceptMap.url=http://x/m|2.0", ""),
            ("Patient?_profile:below=http://x/p", "pat"),
            ("Patient?_profile:below=http://x/p|1", ""),
            // FHIRPath: a canonical is a URI.
            ("ConceptMap?source-uri=http://v/a", "plain"),
            ("ConceptMap?source=http://v/a", "plain"),
            ("ConceptMap?target-uri=http://v/b", "plain"),
            ("ConceptMap?target=http://v/b", ""),
        ],
    );
}

/// R4 search, "string": punctuation and surplus white space do not count, and parts of a family name match.
#[test]
fn punctuation_and_parts_of_names() {
    let all = [
        json!({"resourceType": "Practitioner", "id": "a", "name": [{"family": "Carreno  Quinones", "given": ["Mary-Ann Sue"]}],
            "address": [{"postalCode": "02771-4421"}]}),
        json!({"resourceType": "Practitioner", "id": "b", "name": [{"family": "Müller-Lüdenscheidt"}]}),
        json!({"resourceType": "Observation", "id": "dip", "valueString": "+++", "code": {"text": "Film-coated tablet"}}),
        json!({"resourceType": "Observation", "id": "neg", "valueString": "negative", "code": {"text": "Film coated"}}),
    ];
    check_in(
        &all,
        &[
            ("Practitioner?address-postalcode=027714421", "a"),
            ("Practitioner?address-postalcode=02771-44", "a"),
            ("Practitioner?address-postalcode:exact=027714421", ""),
            ("Practitioner?family=carreno quinones", "a"),
            ("Practitioner?family=Quinones", "a"),
            ("Practitioner?name=quiñones", "a"),
            ("Practitioner?family=uinones", ""),
            ("Practitioner?family:exact=Quinones", ""),
            ("Practitioner?family:exact=Carreno  Quinones", "a"),
            ("Practitioner?given=maryann  sue", "a"),
            ("Practitioner?given=sue", ""),
            ("Practitioner?family=ludenscheidt", "b"),
            ("Practitioner?name=mullerludenscheidt", "b"),
            ("Practitioner?_sort=family", "a b"),
            ("Practitioner?_sort=-name", "b a"),
            ("Observation?value-string=+", "dip"),
            ("Observation?value-string=Negative!", "neg"),
            ("Observation?code:text=filmcoated", "dip"),
            ("Observation?code:text=film coated", "neg"),
        ],
    );
}

/// Texts are sorted by more than their first words, and so are pages.
#[test]
fn long_texts_in_order() {
    let long = "the same words ".repeat(20);
    let plan = |id: &str, last: &str| json!({"resourceType": "PlanDefinition", "id": id, "description": format!("{long}{last}")});
    let all = [plan("c", "notifying"), plan("a", "creating"), plan("b", "doing")];
    for (search, whole) in
        [("PlanDefinition?_sort=description", "a b c"), ("PlanDefinition?_sort=-description", "c b a")]
    {
        check_in(&all, &[(search, whole)]);
        let corpus = corpus_of(&all);
        let query = read(&format!("{search}&_count=1"), Handling::Strict).unwrap();
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..all.len() {
            let page = query.run(&corpus, &Visible::Everything, after.as_ref());
            found.extend(page.matches);
            after = page.next.map(|next| Position::from_bytes(&next.to_bytes()).unwrap());
        }
        assert_eq!((ids(&corpus, &found), after.is_none()), (whole.to_owned(), true), "{search}");
    }
}

#[test]
fn pages_fit_together() {
    let corpus = corpus_of(&resources());
    for (search, whole) in [
        ("Observation?", "w1 w2 bp foreign"),
        ("Observation?_total=none", "w1 w2 bp foreign"),
        ("Observation?_sort=date", "bp w1 w2 foreign"),
        ("Observation?_sort=-date", "w2 w1 bp foreign"),
        ("Observation?_sort=value-quantity,-status", "w1 w2 bp foreign"),
        ("Observation?_sort=category", "bp w1 w2 foreign"),
        ("?_type=Patient,Encounter", "p e1 e2"),
        ("?_type=Patient,Encounter&_sort=-_id", "p e2 e1"),
    ] {
        for count in 1..=5 {
            let query = read(&format!("{search}&_count={count}"), Handling::Strict).unwrap();
            let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = query.run(&corpus, &Visible::Everything, after.as_ref());
                assert!(!page.matches.is_empty(), "{search}: an empty page");
                assert_eq!(page.total, (!search.contains("_total=none")).then(|| whole.split(' ').count() as u64));
                found.extend(page.matches);
                pages += 1;
                // The position goes through the wire.
                after = page.next.map(|next| Position::from_bytes(&next.to_bytes()).unwrap());
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(ids(&corpus, &found), whole, "{search} by {count}");
            assert_eq!(pages, whole.split(' ').count().div_ceil(count), "{search} by {count}");
        }
    }
}

#[test]
fn a_page_goes_on_after_additions() {
    let mut all = resources();
    let query = read("Observation?_sort=-date&_count=2", Handling::Strict).unwrap();
    let first = query.run(&corpus_of(&all), &Visible::Everything, None);
    // One that sorts before what was seen, and one that comes after.
    all.push(json!({"resourceType": "Observation", "id": "newest", "effectiveDateTime": "2024"}));
    all.push(json!({"resourceType": "Observation", "id": "oldest", "effectiveDateTime": "1999"}));
    let corpus = corpus_of(&all);
    let second = query.run(&corpus, &Visible::Everything, first.next.as_ref());
    assert_eq!(ids(&corpus, &second.matches), "bp oldest");
    let third = query.run(&corpus, &Visible::Everything, second.next.as_ref());
    assert_eq!(ids(&corpus, &third.matches), "foreign");
    assert_eq!(third.next, None);
}

#[test]
fn counting_alone() {
    let corpus = corpus_of(&resources());
    for search in ["Observation?_count=0", "Observation?_summary=count", "Observation?_count=0&_total=none&_sort=date"]
    {
        let found = read(search, Handling::Strict).unwrap().run(&corpus, &Visible::Everything, None);
        assert_eq!((found.matches.len(), found.total, found.next), (0, Some(4), None), "{search}");
    }
}

#[test]
fn a_new_version_takes_the_place_of_the_old() {
    let mut corpus = corpus_of(&resources());
    let older = corpus.clone();
    let tree = json!({"resourceType": "Observation", "status": "cancelled", "code": {"coding": [{"code": "new"}]}});
    let at = corpus.ordinal("Observation".parse().unwrap(), &"w1".parse::<ResourceId>().unwrap()).unwrap();
    corpus.put(at, Arc::new(Document::read("Observation".parse().unwrap(), "w1", 0, &tree)));
    for (search, before, after) in [
        ("Observation?code=29463-7", "w1 w2", "w2"),
        ("Observation?code=new", "", "w1"),
        ("Observation?_id=w1", "w1", "w1"),
    ] {
        let query = read(search, Handling::Strict).unwrap();
        assert_eq!(ids(&older, &query.run(&older, &Visible::Everything, None).matches), before, "{search}");
        assert_eq!(ids(&corpus, &query.run(&corpus, &Visible::Everything, None).matches), after, "{search}");
    }
    assert_eq!(corpus.len(), older.len());
    for number in 0..u32::try_from(resources().len()).unwrap() {
        corpus.remove(Ordinal::new(number).unwrap());
    }
    assert!(corpus.is_empty());
    assert_eq!(corpus.ordinal(ResourceType::PATIENT, &"p".parse().unwrap()), None);
}

#[test]
fn refusals() {
    let many_values = format!("Patient?_id={}", vec!["a"; 501].join(","));
    let many_parameters = format!("Patient?{}", vec!["_id=a"; 101].join("&"));
    let many_together = format!("Patient?{}", vec![format!("_id={}", vec!["a"; 400].join(",")); 3].join("&"));
    let long = format!("Patient?name={}", "a".repeat(16 * 1024 + 1));
    let many_includes = format!("Encounter?{}", vec!["_include=Encounter:subject"; 21].join("&"));
    let cases = [
        ("Location?near=1|2", "search-not-supported"),
        ("Patient?phonetic=x", "search-not-supported"),
        ("Patient?_text=x", "search-not-supported"),
        ("Patient?_content=x", "search-not-supported"),
        ("Patient?_filter=x", "search-not-supported"),
        ("Patient?_query=x", "search-not-supported"),
        ("Patient?_list=x", "search-not-supported"),
        ("Patient?_contained=true", "search-not-supported"),
        ("Observation?code:in=http://v", "search-not-supported"),
        ("Observation?code:not-in=http://v", "search-not-supported"),
        ("Observation?code:above=x", "search-not-supported"),
        ("Observation?code:below=x", "search-not-supported"),
        ("Observation?code:exact=x", "search-not-supported"),
        ("Observation?date:exact=2020", "search-not-supported"),
        ("Observation?subject:above=x", "search-not-supported"),
        ("Observation?subject:patient=x", "search-not-supported"),
        ("Observation?code-value-quantity:missing=true", "search-not-supported"),
        ("Patient?name:not=x", "search-not-supported"),
        ("Patient?name:Exact=x", "search-not-supported"),
        ("Encounter?_include:recurse=Encounter:subject", "search-not-supported"),
        ("Encounter?_summary=text&_include=Encounter:subject", "search-not-supported"),
        ("Observation?date=yesterday", "bad-search-value"),
        ("Observation?date=xx2020", "bad-search-value"),
        ("Observation?date=2020-13", "bad-search-value"),
        ("Observation?code=a|b|c", "bad-search-value"),
        ("Observation?code=|", "bad-search-value"),
        ("Observation?code=a,,b", "bad-search-value"),
        (r"Observation?code=a\b", "bad-search-value"),
        (r"Observation?code=a\", "bad-search-value"),
        ("Observation?value-quantity=much", "bad-search-value"),
        ("Observation?value-quantity=1|kg", "bad-search-value"),
        ("Observation?value-quantity=1|s|", "bad-search-value"),
        ("Observation?value-quantity=NaN", "bad-search-value"),
        ("Observation?code:missing=yes", "bad-search-value"),
        ("Observation?code-value-quantity=a", "bad-search-value"),
        ("Observation?code-value-quantity=a$1$2", "bad-search-value"),
        ("Observation?subject=Zebra/1", "bad-search-value"),
        ("Observation?subject:Patient=Group/1", "bad-search-value"),
        ("Observation?code.name=x", "bad-search-value"),
        ("Observation?subject:Zebra.name=x", "bad-search-value"),
        ("Patient?_has:Observation=x", "bad-search-value"),
        ("Patient?_has:Observation:code:status=x", "bad-search-value"),
        ("Patient?identifier:of-type=a|b", "bad-search-value"),
        ("Patient?_count=-1", "bad-search-value"),
        ("Patient?_count=1&_count=2", "bad-search-value"),
        ("Patient?_sort=zebra", "bad-search-value"),
        ("Observation?_sort=code-value-quantity", "bad-search-value"),
        ("Patient?_total=all", "bad-search-value"),
        ("Patient?_summary=all", "bad-search-value"),
        ("Patient?_include=Patient", "bad-search-value"),
        ("Patient?_include=Patient:name", "bad-search-value"),
        ("Patient?_include=Patient:link:Zebra", "bad-search-value"),
        ("Patient?_revinclude=*", "bad-search-value"),
        ("?_type=Zebra", "bad-search-value"),
        ("Patient?_sort=name,name,name,name,name,name", "search-too-large"),
        ("Encounter?part-of.part-of.part-of.part-of.part-of.status=x", "search-too-large"),
        ("Provenance?target.subject.subject.subject.name=x", "search-too-large"),
        (many_values.as_str(), "search-too-large"),
        (many_together.as_str(), "search-too-large"),
        (many_parameters.as_str(), "search-too-large"),
        (long.as_str(), "search-too-large"),
        (many_includes.as_str(), "search-too-large"),
    ];
    for (search, code) in cases {
        for handling in [Handling::Lenient, Handling::Strict] {
            let Err(error) = read(search, handling) else { panic!("{search} is taken") };
            assert_eq!(error.code(), code, "{search}: {error}");
            assert_eq!(error.http_status(), 400);
            assert!(error.to_string().len() < 300, "{search}: {error}");
        }
    }
}

#[test]
fn unknown_parameters() {
    for search in [
        "Patient?zebra=1",
        "Patient?code=1",
        "Patient?Name=1",
        "Patient?name.x=",
        "Patient?name=",
        "Patient?_type=Patient",
        "Observation?subject.zebra=1",
        "Patient?_has:Observation:patient:zebra=1",
        "Patient?_has:Observation:zebra:code=1",
        "?_type=Patient,Observation&name=x",
        "?code=x",
    ] {
        let query = read(search, Handling::Lenient).unwrap();
        assert_eq!(query.ignored().len(), 1, "{search}");
        assert!(query.parameters().iter().all(|(name, _)| name == "_type"), "{search}");
        for handling in [Handling::Strict, Handling::Scope] {
            let Err(error) = read(search, handling) else { panic!("{search} is taken") };
            assert!(matches!(error.code(), "unknown-search-parameter" | "bad-search-value"), "{search}: {error}");
        }
    }
    let query = read("Patient?zebra=1&name=a&_count=5&_format=json", Handling::Lenient).unwrap();
    let kept: Vec<&str> = query.parameters().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((kept, query.count()), (vec!["name", "_count", "_format"], 5));
    assert_eq!(query.ignored(), ["zebra"]);
}

/// A scope lets through what its words say and no more.
#[test]
fn scopes_are_not_widened() {
    let corpus = corpus_of(&resources());
    let visible = Visible::Everything;
    for (search, expected) in [
        ("Observation?category=http://cat|vital-signs", "w1 w2"),
        ("Observation?category=http://cat|VITAL-SIGNS", "bp"),
        ("Observation?category=vital-signs", "w1 w2"),
        ("Observation?status=http://wrong|final", ""),
    ] {
        let query = read(search, Handling::Scope).unwrap();
        let filter = query.filter(&corpus, &visible);
        let accepted = (0..17).map_while(Ordinal::new).filter(|at| filter.accepts(corpus.document(*at).unwrap()));
        assert_eq!(ids(&corpus, &accepted.collect::<Vec<_>>()), expected, "{search}");
        // Not yet in the corpus.
        let tree =
            json!({"category": [{"coding": [{"system": "http://cat", "code": "vital-signs"}]}], "status": "final"});
        let written = Document::read("Observation".parse().unwrap(), "new", 0, &tree);
        assert_eq!(filter.accepts(&written), expected == "w1 w2", "{search}");
        let other = Document::read("Condition".parse().unwrap(), "new", 0, &tree);
        assert!(!filter.accepts(&other));
    }
    for search in ["Observation?_count=1", "Observation?_include=*", "Observation?_sort=date", "Observation?_format=x"]
    {
        assert!(read(search, Handling::Scope).is_err(), "{search}");
    }
}

#[test]
fn whose_record_it_is() {
    let id = |text: &str| Some(PatientNamed::Id(text.parse().unwrap()));
    for (search, expected) in [
        ("Observation?patient=p", id("p")),
        ("Observation?patient=Patient/p", id("p")),
        ("Observation?subject=Patient/p&code=x", id("p")),
        ("Observation?subject=p", id("p")),
        ("Observation?subject:Patient=p", id("p")),
        ("Observation?subject=https://h.example/fhir/Patient/p", id("p")),
        ("Observation?patient=p,p&subject=Patient/p", id("p")),
        ("Observation?patient._id=p", id("p")),
        ("Observation?patient=p&performer=Patient/q", id("p")),
        ("Observation?performer=Patient/q", id("q")),
        ("Observation?performer=q", None),
        ("Observation?subject=Group/g", None),
        ("Observation?subject:Group=g", None),
        ("Observation?code=x", None),
        ("Observation?patient.name=x", None),
        ("Patient?_id=p", id("p")),
        ("Patient?_id=p,q", Some(PatientNamed::Several)),
        ("Patient?name=p", None),
        ("Observation?patient=p&patient=q", Some(PatientNamed::Several)),
        ("Observation?patient=p,q", Some(PatientNamed::Several)),
        ("?_type=Observation,Condition&patient=p", id("p")),
        ("Coverage?beneficiary=p", id("p")),
    ] {
        assert_eq!(read(search, Handling::Lenient).unwrap().patient_named(), expected.as_ref(), "{search}");
    }
    for search in [
        "Patient?identifier=s|1",
        "Observation?patient.identifier=s|1",
        "Observation?subject:Patient.identifier=s|1",
        "Observation?patient:identifier=s|1",
    ] {
        let query = read(search, Handling::Strict).unwrap();
        let Some(PatientNamed::Identifier(token)) = query.patient_named() else { panic!("{search}") };
        assert_eq!(token.value.as_deref(), Some("1"));
        assert!(!format!("{:?}", query.patient_named()).contains('1'));
    }
}

#[test]
fn what_is_offered() {
    let all: usize = ResourceType::all().map(|of| offered(of).count()).sum();
    println!("{all} pairs of type and parameter");
    assert!(all > 1400 + 6 * 146, "{all}");
    let observation: Vec<&str> = offered("Observation".parse().unwrap()).map(|parameter| parameter.code).collect();
    for code in ["_id", "_lastUpdated", "code", "combo-code-value-quantity", "patient", "value-quantity"] {
        assert!(observation.contains(&code), "{code}");
    }
    for (name, code) in
        [("Location", "near"), ("Patient", "phonetic"), ("DetectedIssue", "status"), ("Patient", "_text")]
    {
        assert!(offered(name.parse().unwrap()).all(|parameter| parameter.code != code), "{name}.{code}");
    }
}

/// Odd trees give no values, and nothing worse.
#[test]
fn odd_trees() {
    let huge_exponent: Value = serde_json::from_str(r#"{"value": 1e99999999999999999999, "code": "kg"}"#).unwrap();
    let long_number: Value = serde_json::from_str(&format!("{{\"value\": {}}}", "1".repeat(100_000))).unwrap();
    for tree in [
        json!(null),
        json!([]),
        json!("x"),
        json!({"code": 7, "status": {"a": 1}, "subject": "Patient/p", "effectivePeriod": [], "component": {"code": []}}),
        json!({"code": {"coding": {"code": "one"}}, "valueQuantity": huge_exponent}),
        json!({"valueQuantity": long_number, "subject": {"reference": "Patient/".to_owned() + &"a".repeat(100_000)}}),
        json!({"component": vec![json!({"code": {"coding": [{"code": "x"}]}}); 70_000]}),
    ] {
        let document = Document::read("Observation".parse().unwrap(), "not an id", 0, &tree);
        assert_eq!(document.id(), "not an id");
        let mut corpus = Corpus::default();
        corpus.put(Ordinal::new(0).unwrap(), Arc::new(document));
        for search in [
            "Observation?code=one",
            "Observation?_sort=value-quantity&patient=p",
            "Observation?combo-code-value-quantity=x$1",
        ] {
            read(search, Handling::Strict).unwrap().run(&corpus, &Visible::Everything, None);
        }
    }
}
