//! What a token may do, cell by cell: tokens of every shape of scope read, search, follow, count, write and delete at a
//! running gateway. Each resource has a word of its own. An answer must have the words of the resources that a small
//! model of the scopes allows, and no other; a write must happen or leave everything as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::BTreeSet;

use sealwort_fhir::same_content;
use serde_json::{Value, json};
use support::smart::{App, access_token};
use support::{Answer, Client, Party, World};

/// What there is: name, whose it is, category. `own` is the hospital's own record.
const THINGS: [Thing; 8] = [
    Thing("Patient/one", "one", ""),
    Thing("Observation/one-vital", "one", "vital-signs"),
    Thing("Observation/one-lab", "one", "laboratory"),
    Thing("Condition/one-condition", "one", ""),
    Thing("Patient/two", "two", ""),
    Thing("Observation/two-vital", "two", "vital-signs"),
    Thing("Observation/two-lab", "two", "laboratory"),
    Thing("Practitioner/own", "own", ""),
];
/// The most that the app may be granted.
const REGISTERED: &str = "system/*.cruds user/*.cruds patient/*.cruds";
/// The word of what is created and of what replaces something.
const NEW_WORD: &str = "wordofnew";

/// Scopes, the patient that the token is about (empty for an app's own token, `-` for a user's about nobody), and what
/// they allow: whose resources, which type (empty for all), which letters, which category.
type Role = (&'static str, &'static str, &'static [Rule]);
type Rule = (&'static str, &'static str, &'static str, &'static str);

const ROLES: [Role; 27] = [
    ("system/Observation.rs", "", &[("all", "Observation", "rs", "")]),
    ("system/Observation.r", "", &[("all", "Observation", "r", "")]),
    ("system/Observation.s", "", &[("all", "Observation", "s", "")]),
    ("system/*.rs", "", &[("all", "", "rs", "")]),
    ("system/*.cruds", "", &[("all", "", "cruds", "")]),
    ("system/Observation.rs?category=laboratory", "", &[("all", "Observation", "rs", "laboratory")]),
    ("system/Observation.cruds?category=vital-signs", "", &[("all", "Observation", "cruds", "vital-signs")]),
    (
        "system/Patient.rs system/Observation.rs?category=laboratory",
        "",
        &[("all", "Patient", "rs", ""), ("all", "Observation", "rs", "laboratory")],
    ),
    ("system/Observation.read", "", &[("all", "Observation", "rs", "")]),
    ("system/Observation.write", "", &[("all", "Observation", "cud", "")]),
    ("system/*.*", "", &[("all", "", "cruds", "")]),
    ("system/Observation.c", "", &[("all", "Observation", "c", "")]),
    ("system/Observation.u", "", &[("all", "Observation", "u", "")]),
    ("system/Observation.d", "", &[("all", "Observation", "d", "")]),
    ("system/*.cud", "", &[("all", "", "cud", "")]),
    ("system/Practitioner.rs", "", &[("all", "Practitioner", "rs", "")]),
    ("system/Patient.s system/Observation.r", "", &[("all", "Patient", "s", ""), ("all", "Observation", "r", "")]),
    ("user/*.rs", "-", &[("all", "", "rs", "")]),
    ("user/Observation.cruds", "-", &[("all", "Observation", "cruds", "")]),
    ("user/*.read", "-", &[("all", "", "rs", "")]),
    ("patient/*.rs", "one", &[("one", "", "rs", "")]),
    ("patient/Observation.rs", "one", &[("one", "Observation", "rs", "")]),
    ("patient/*.cruds", "one", &[("one", "", "cruds", "")]),
    ("patient/Observation.rs?category=vital-signs", "two", &[("two", "Observation", "rs", "vital-signs")]),
    (
        "patient/Observation.u?category=laboratory patient/*.r",
        "two",
        &[("two", "Observation", "u", "laboratory"), ("two", "", "r", "")],
    ),
    (
        "patient/Observation.cruds user/Patient.rs",
        "one",
        &[("one", "Observation", "cruds", ""), ("all", "Patient", "rs", "")],
    ),
    (
        "patient/Patient.r user/Observation.s?category=laboratory",
        "two",
        &[("two", "Patient", "r", ""), ("all", "Observation", "s", "laboratory")],
    ),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Thing(&'static str, &'static str, &'static str);

impl Thing {
    fn kind(self) -> &'static str {
        self.0.split('/').next().unwrap()
    }

    fn id(self) -> &'static str {
        self.0.split('/').nth(1).unwrap()
    }

    /// A word that stands in this resource alone.
    fn word(self) -> String {
        format!("wordof{}end", self.id().replace('-', ""))
    }

    fn resource(self) -> Value {
        resource(self.kind(), self.1, self.2, &self.word(), Some(self.id()))
    }
}

fn resource(kind: &str, whose: &str, category: &str, word: &str, id: Option<&str>) -> Value {
    let mut resource = match kind {
        "Patient" => json!({"identifier": [{"system": "urn:scopes", "value": whose}], "name": [{"family": word}]}),
        "Practitioner" => json!({"name": [{"family": word}]}),
        "Condition" => json!({"subject": {"reference": format!("Patient/{whose}")}, "code": {"text": word}}),
        _ => json!({
            "status": "final", "subject": {"reference": format!("Patient/{whose}")}, "code": {"text": word},
            "category": [{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category,
            }]}],
        }),
    };
    resource["resourceType"] = json!(kind);
    if let Some(id) = id {
        resource["id"] = json!(id);
    }
    resource
}

/// The model: whether a rule of the role has this letter for such a resource.
fn allows(role: &Role, letter: char, kind: &str, whose: &str, category: &str) -> bool {
    role.2.iter().any(|(records, of_kind, letters, of_category)| {
        (*records == "all" || *records == whose)
            && (of_kind.is_empty() || *of_kind == kind)
            && letters.contains(letter)
            && (of_category.is_empty() || *of_category == category)
    })
}

fn may(role: &Role, letter: char, thing: Thing) -> bool {
    allows(role, letter, thing.kind(), thing.1, thing.2)
}

/// Words in an answer.
fn words(answer: &Answer) -> BTreeSet<String> {
    let text = answer.text();
    let all = THINGS.iter().map(|thing| thing.word()).chain([NEW_WORD.to_owned()]);
    all.filter(|word| text.contains(word.as_str())).collect()
}

/// One role at work.
struct Cells<'a> {
    role: &'a Role,
    app: Client,
    /// Who may do everything.
    whole: &'a Client,
    count: usize,
}

#[test]
fn a_token_does_what_its_scopes_say_and_nothing_else() {
    let world = World::start();
    let whole = world.client(Party::HospitalA);
    for thing in THINGS {
        whole.send("PUT", &format!("/fhir/{}", thing.0), &[], thing.resource().to_string()).with(201);
    }
    let mut app = App::register(&world, Party::HospitalA, "cells", REGISTERED);
    let mut count = 0;
    for role in &ROLES {
        let (scopes, about, _) = role;
        let answer = match *about {
            "" => app.own_token(scopes),
            "-" => app.user_token(scopes, None),
            patient => app.user_token(scopes, Some(patient)),
        };
        let token = access_token(answer);
        let app = world.client_with(Party::HospitalA, Some(token));
        let mut cells = Cells { role, app, whole: &whole, count: 0 };
        cells.reads();
        cells.searches();
        cells.writes();
        cells.creates();
        // Nothing is changed by what was refused, and everything else was put back.
        for thing in THINGS {
            let now = whole.get(&format!("/fhir/{}", thing.0)).with(200);
            assert!(same_content(&now.body, thing.resource().to_string().as_bytes()), "{scopes}: {}", now.text());
        }
        println!("{} cells: {scopes}", cells.count);
        count += cells.count;
    }
    println!("{} roles, {count} cells", ROLES.len());
}

impl Cells<'_> {
    /// Asks, and holds the words of the answer against those of what may be shown. What shows something is a success.
    fn shows(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &str, expected: &[Thing]) -> Answer {
        self.count += 1;
        let answer = self.app.send(method, &format!("/fhir/{path}"), fields, body);
        let expected: BTreeSet<String> = expected.iter().map(|thing| thing.word()).collect();
        // The request itself may name a word, and a history has versions that other roles wrote, each judged by itself.
        let asked = format!("{path} {body}");
        let besides = |word: &String| asked.contains(word.as_str()) || (path.contains("_history") && word == NEW_WORD);
        let found: BTreeSet<String> =
            words(&answer).into_iter().filter(|word| expected.contains(word) || !besides(word)).collect();
        assert_eq!(found, expected, "{}: {method} {path}: {}", self.role.0, answer.text());
        assert!(answer.status < 500, "{}: {method} {path}: {}", self.role.0, answer.text());
        assert!(expected.is_empty() || answer.status == 200, "{}: {path}: {}", self.role.0, answer.status);
        answer
    }

    fn of(&self, letter: char, which: impl Fn(Thing) -> bool) -> Vec<Thing> {
        THINGS.into_iter().filter(|thing| which(*thing) && may(self.role, letter, *thing)).collect()
    }

    fn reads(&mut self) {
        for thing in THINGS {
            let readable = self.of('r', |other| other == thing);
            let answer = self.shows("GET", thing.0, &[], "", &readable);
            if readable.is_empty() {
                let (status, ..) = answer.refusal();
                assert!(matches!(status, 403 | 404), "{}: {}: {status}", self.role.0, thing.0);
            }
            self.shows("GET", thing.0, &[("Accept", "text/html")], "", &readable);
            self.shows("GET", &format!("{}/_history/1", thing.0), &[], "", &readable);
            self.shows("GET", &format!("{}/_history", thing.0), &[], "", &readable);
            self.shows("GET", &format!("{}?_elements=name,code", thing.0), &[], "", &readable);
        }
        let gets: Vec<Value> =
            THINGS.iter().map(|thing| json!({"request": {"method": "GET", "url": thing.0}})).collect();
        for kind in ["batch", "transaction"] {
            let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": gets}).to_string();
            let readable = self.of('r', |_| true);
            self.shows("POST", "", &[], &bundle, &readable);
        }
        for patient in ["one", "two"] {
            // Whoever may read the Patient is shown what else may be read.
            let visible = !self.of('r', |thing| thing.kind() == "Patient" && thing.1 == patient).is_empty();
            let readable = self.of('r', |thing| visible && thing.1 == patient);
            self.shows("GET", &format!("Patient/{patient}/$everything"), &[], "", &readable);
            let observations = self.of('r', |thing| visible && thing.1 == patient && thing.kind() == "Observation");
            self.shows("GET", &format!("Patient/{patient}/$everything?_type=Observation"), &[], "", &observations);
            self.exported(patient, &readable);
            // A summary chooses among what may be read.
            self.count += 1;
            let summary = words(&self.app.get(&format!("/fhir/Patient/{patient}/$summary")));
            let readable: BTreeSet<String> = readable.iter().map(|thing| thing.word()).collect();
            assert!(summary.is_subset(&readable), "{}: $summary: {summary:?}", self.role.0);
        }
    }

    /// An export, fetched file by file.
    fn exported(&mut self, patient: &str, readable: &[Thing]) {
        self.count += 1;
        let begun =
            self.app.send("GET", &format!("/fhir/Patient/{patient}/$export"), &[("Prefer", "respond-async")], "");
        let mut found = BTreeSet::new();
        if let Some(place) = begun.field("content-location") {
            for file in self.app.follow(place).with(200).json()["output"].as_array().unwrap() {
                found.extend(words(&self.app.follow(file["url"].as_str().unwrap()).with(200)));
            }
        }
        let expected: BTreeSet<String> = readable.iter().map(|thing| thing.word()).collect();
        assert_eq!(found, expected, "{}: $export of {patient}", self.role.0);
    }

    /// A search whose matches are known, by total and by words.
    fn finds(&mut self, path: &str, matches: &[Thing], besides: &[Thing]) {
        let answer = self.shows("GET", path, &[], "", &[matches, besides].concat());
        if answer.status == 200 {
            assert_eq!(answer.json()["total"], json!(matches.len()), "{}: {path}: {}", self.role.0, answer.text());
        }
    }

    fn searches(&mut self) {
        for patient in ["one", "two"] {
            let of = |cells: &Self, kind: &str, category: &str| {
                cells.of('s', |thing| {
                    thing.1 == patient && thing.kind() == kind && (category.is_empty() || category == thing.2)
                })
            };
            let person = of(self, "Patient", "");
            let all = of(self, "Observation", "");
            for kind in ["Observation", "Condition"] {
                let found = of(self, kind, "");
                self.finds(&format!("{kind}?patient={patient}"), &found, &[]);
                self.finds(&format!("{kind}?subject=Patient/{patient}&_summary=false"), &found, &[]);
                // Who may not find the Patient cannot guess at it through what refers to it.
                let chained = if person.is_empty() { Vec::new() } else { found.clone() };
                self.finds(&format!("{kind}?patient.identifier=urn:scopes%7C{patient}"), &chained, &[]);
                self.finds(
                    &format!("{kind}?patient={patient}&subject:Patient.family=wordof{patient}end"),
                    &chained,
                    &[],
                );
                self.finds(&format!("Patient/{patient}/{kind}"), &found, &[]);
                self.shows("GET", &format!("{kind}/_history?patient={patient}"), &[], "", &found);
                let form = [("Content-Type", "application/x-www-form-urlencoded")];
                self.shows("POST", &format!("{kind}/_search"), &form, &format!("patient={patient}"), &found);
                let counted = self.app.get(&format!("/fhir/{kind}?patient={patient}&_summary=count"));
                if counted.status == 200 {
                    assert_eq!(counted.json()["total"], json!(found.len()), "{}: {}", self.role.0, counted.text());
                }
                self.count += 1;
            }
            for category in ["vital-signs", "laboratory"] {
                let found = of(self, "Observation", category);
                self.finds(&format!("Observation?patient={patient}&category={category}"), &found, &[]);
                self.finds(
                    &format!("Observation?patient={patient}&category:not={category}&_sort=-date"),
                    &{
                        let other = if category == "laboratory" { "vital-signs" } else { "laboratory" };
                        of(self, "Observation", other)
                    },
                    &[],
                );
                // What may not be found answers no question about who has it.
                let has = if found.is_empty() { Vec::new() } else { person.clone() };
                self.finds(&format!("Patient?_id={patient}&_has:Observation:subject:category={category}"), &has, &[]);
            }
            self.finds(&format!("Patient?_id={patient}"), &person, &[]);
            self.finds(&format!("Patient?identifier=urn:scopes%7C{patient}"), &person, &[]);
            let included = if all.is_empty() { Vec::new() } else { person.clone() };
            self.finds(&format!("Observation?patient={patient}&_include=Observation:subject"), &all, &included);
            let including = if person.is_empty() { Vec::new() } else { all.clone() };
            self.finds(&format!("Patient?_id={patient}&_revinclude=Observation:subject"), &person, &including);
            // The roster of the hospital is for scopes about more than one patient.
            let whoever = self
                .role
                .2
                .iter()
                .any(|rule| rule.0 == "all" && (rule.1.is_empty() || rule.1 == "Patient") && rule.2.contains('s'));
            let listed = if whoever { person } else { Vec::new() };
            self.shows("GET", &format!("Patient?family=wordof{patient}end"), &[], "", &listed);
        }
        let own = self.of('s', |thing| thing.kind() == "Practitioner");
        self.finds("Practitioner?family=wordofownend", &own, &[]);
    }

    /// Whether a write is done, by its status; what it shows may be read.
    fn writes_if(&mut self, allowed: bool, readable: bool, answer: &Answer, what: &str) {
        self.count += 1;
        let told = format!("{}: {what}: {} {}", self.role.0, answer.status, answer.text());
        if allowed {
            assert!(answer.is_success(), "{told}");
        } else {
            assert!(matches!(answer.refusal().0, 403 | 404), "{told}");
        }
        assert!(words(answer).is_empty() || readable, "{told}");
    }

    fn put_back(&self, thing: Thing) {
        self.whole.send("PUT", &format!("/fhir/{}", thing.0), &[], thing.resource().to_string()).done();
    }

    fn writes(&mut self) {
        for thing in THINGS {
            let path = format!("/fhir/{}", thing.0);
            let (update, delete, read) =
                (may(self.role, 'u', thing), may(self.role, 'd', thing), may(self.role, 'r', thing));
            let same = thing.resource().to_string();
            let answer = self.app.send("PUT", &path, &[], &same);
            self.writes_if(update, read, &answer, &format!("PUT {path}"));
            let text = if matches!(thing.kind(), "Patient" | "Practitioner") { "/name/0/family" } else { "/code/text" };
            let renamed = json!([{"op": "replace", "path": text, "value": NEW_WORD}]).to_string();
            let answer = self.app.send("PATCH", &path, &[("Content-Type", "application/json-patch+json")], &renamed);
            self.writes_if(update, read, &answer, &format!("PATCH {path}"));
            if update {
                self.put_back(thing);
            }
            if thing.kind() == "Observation" {
                // A filter is about the resource as it was and as it is to be.
                let other = if thing.2 == "laboratory" { "vital-signs" } else { "laboratory" };
                let moved = resource("Observation", thing.1, other, NEW_WORD, Some(thing.id())).to_string();
                let allowed = update && allows(self.role, 'u', "Observation", thing.1, other);
                let answer = self.app.send("PUT", &path, &[], &moved);
                self.writes_if(allowed, allows(self.role, 'r', "Observation", thing.1, other), &answer, "PUT moved");
                if allowed {
                    self.put_back(thing);
                }
            }
            let answer = self.app.send("DELETE", &path, &[], "");
            // Who may not see it is told that there is nothing; it is there all the same, which the end of a role checks.
            if delete || !answer.is_success() {
                self.writes_if(delete, false, &answer, &format!("DELETE {path}"));
            } else {
                self.writes_if(true, false, &answer, &format!("DELETE {path}"));
                self.whole.get(&path).with(200);
            }
            if delete {
                assert_eq!(self.whole.get(&path).status, 410, "{}: {path}", self.role.0);
                self.put_back(thing);
            }
        }
    }

    fn creates(&mut self) {
        for (patient, category) in
            [("one", "vital-signs"), ("one", "laboratory"), ("two", "vital-signs"), ("two", "laboratory")]
        {
            let new = resource("Observation", patient, category, NEW_WORD, None);
            let (create, read) = (
                allows(self.role, 'c', "Observation", patient, category),
                allows(self.role, 'r', "Observation", patient, category),
            );
            let entry = json!({"resource": new, "request": {"method": "POST", "url": "Observation"}});
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}).to_string();
            let full = [("Prefer", "return=representation")];
            for (path, body) in [("/fhir/Observation", new.to_string()), ("/fhir", bundle)] {
                let answer = self.app.send("POST", path, &full, body);
                self.writes_if(create, read, &answer, &format!("POST {path} for {patient}, {category}"));
                let created = self.whole.get(&format!("/fhir/Observation?patient={patient}&code:text={NEW_WORD}"));
                let names = created.with(200).names();
                assert_eq!(names.len(), usize::from(create), "{}: POST {path}: {names:?}", self.role.0);
                for name in names {
                    self.whole.send("DELETE", &format!("/fhir/{name}"), &[], "").with(204);
                }
            }
        }
    }
}
