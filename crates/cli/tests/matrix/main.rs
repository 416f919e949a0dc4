//! Role × way of asking × situation of the patient × purpose of use, through running services: who is shown what. What
//! is expected follows from a plain reading of what the patient said, written out by hand below. Each resource has a word
//! of its own, so that whatever leaks is named, wherever in an answer it stands; totals, orders and links count as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod hidden;
mod soon;
#[path = "../support/mod.rs"]
mod support;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use support::receiver::Receiver;
use support::{Answer, Client, Party, World, parts};

const ROLES: [&str; 4] = ["physician", "nurse", "clerk", "researcher"];
const PURPOSES: [&str; 5] = ["TREAT", "ETREAT", "HRESCH", "PATRQT", "BTG"];
/// Entries of one batch, which has to be answered in time on a busy machine, too.
const IN_BATCH: usize = 12;
/// Requests that are under way at the same time.
const AT_ONCE: usize = 6;
/// As it is by default.
const CRL_EVERY: &str = "5s";
/// How long the consent that runs out is in force.
const IN_FORCE: Duration = Duration::from_secs(20);

/// What the patient said, and who asks: the hospital that keeps the consent (`Own`), or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    Own,
    /// Nothing was said of the hospital that asks.
    Other,
    /// All hospitals may read for treatment, physicians and nurses alone.
    Consented,
    /// The same, and taken back.
    Withdrawn,
    /// The same, until before the asking.
    Expired,
    /// By command: this hospital may read and write all, for treatment.
    Granted,
    /// The same, and the patient denies everything to everybody.
    Refused,
    /// All may do all, except that psychiatry is for physicians, and HIV for nobody.
    Labelled,
    /// Psychiatry alone, to physicians, for treatment: not even the Patient.
    PsychiatryOnly,
}
use Situation::{Consented, Expired, Granted, Labelled, Other, Own, PsychiatryOnly, Refused, Withdrawn};

const SITUATIONS: [Situation; 9] =
    [Own, Other, Consented, Withdrawn, Expired, Granted, Refused, Labelled, PsychiatryOnly];

impl Situation {
    fn key(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The hospital that asks.
    fn asks_at(self) -> Party {
        if self == Own { Party::HospitalA } else { Party::HospitalB }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Normal,
    Psychiatry,
    Hiv,
}
use Label::{Hiv, Normal, Psychiatry};

/// The plain reading: whether this role is shown what has this label.
fn may_see(situation: Situation, role: &str, purpose: &str, label: Label) -> bool {
    let treating = purpose == "TREAT" || purpose == "ETREAT";
    let bedside = role == "physician" || role == "nurse";
    // Breaking the glass takes an emergency access, and nobody here has one.
    purpose != "BTG"
        && match situation {
            Own => true,
            Other | Withdrawn | Expired | Refused => false,
            Consented => treating && bedside,
            Granted => purpose == "TREAT",
            Labelled => label == Normal || (label == Psychiatry && role == "physician"),
            PsychiatryOnly => label == Psychiatry && treating && role == "physician",
        }
}

/// Resources of each patient: name, type, label, and the Encounter that it is part of.
const THINGS: [(&str, &str, Label, &str); 8] = [
    ("patient", "Patient", Normal, ""),
    ("encn", "Encounter", Normal, ""),
    ("encp", "Encounter", Psychiatry, ""),
    // Observations from the oldest to the newest.
    ("obsn", "Observation", Normal, "encn"),
    ("obsx", "Observation", Normal, "encp"),
    ("obsp", "Observation", Psychiatry, "encn"),
    ("obsh", "Observation", Hiv, "encp"),
    ("conh", "Condition", Hiv, "encn"),
];
/// Those with a second version. The word of the first one ends in `old`.
const TWICE: [&str; 2] = ["obsn", "obsp"];

fn word(key: &str, thing: &str, old: bool) -> String {
    format!("word{key}{thing}{}end", if old { "old" } else { "" })
}

fn resource(key: &str, (name, kind, label, encounter): (&str, &str, Label, &str), old: bool) -> Value {
    let word = word(key, name, old);
    let subject = json!({"reference": format!("Patient/{key}-patient")});
    let code = json!({"coding": [{"system": "urn:code", "code": name}], "text": word});
    let day = THINGS.iter().position(|thing| thing.0 == name).unwrap_or(THINGS.len());
    let encounter = (!encounter.is_empty()).then(|| json!({"reference": format!("Encounter/{key}-{encounter}")}));
    let mut resource = match kind {
        "Patient" => json!({"identifier": [{"system": "urn:matrix", "value": key}], "name": [{"family": word}]}),
        "Encounter" => json!({
            "status": "finished", "subject": subject, "type": [code],
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "identifier": [{"system": "urn:encounter", "value": format!("{key}-{name}")}],
        }),
        "Condition" => json!({"subject": subject, "code": code, "encounter": encounter}),
        _ => json!({
            "status": "final", "subject": subject, "code": code, "encounter": encounter,
            "effectiveDateTime": format!("2026-01-0{day}"),
            "identifier": [{"system": "urn:observation", "value": format!("{key}-{name}")}],
        }),
    };
    resource["resourceType"] = json!(kind);
    resource["id"] = json!(format!("{key}-{name}"));
    let sensitivity = match label {
        Normal => return resource,
        Psychiatry => "PSY",
        Hiv => "HIV",
    };
    resource["meta"] =
        json!({"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": sensitivity}]});
    resource
}

fn transaction(resources: impl IntoIterator<Item = Value>) -> String {
    let entry = |resource: Value| {
        let url = support::name_of(&resource);
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    };
    let entries: Vec<Value> = resources.into_iter().map(entry).collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string()
}

#[test]
fn everybody_is_shown_what_the_patient_said() {
    let bedside = "consent.actors.\"Group/bedside\".roles";
    let physicians = "consent.actors.\"Group/physicians\".roles";
    let place = tempfile::tempdir().unwrap();
    let authority = place.path().join("receiver.pem");
    let receiver = Receiver::start(&authority);
    let world = World::start_with(&[
        (Party::HospitalA, "subscriptions.inside", json!(true)),
        (Party::HospitalA, "subscriptions.authority", json!(authority)),
        (Party::HospitalB, "subscriptions.inside", json!(true)),
        (Party::HospitalB, "subscriptions.authority", json!(authority)),
        (Party::HospitalA, bedside, json!(["physician", "nurse"])),
        (Party::HospitalA, physicians, json!(["physician"])),
        (Party::HospitalA, "open.patients_max", json!(1000)),
        (Party::HospitalB, "open.patients_max", json!(1000)),
        (Party::HospitalA, "ca.crl_every", CRL_EVERY.into()),
        (Party::HospitalB, "ca.crl_every", CRL_EVERY.into()),
        (Party::Broker, "ca.crl_every", CRL_EVERY.into()),
        (Party::Archive, "ca.crl_every", CRL_EVERY.into()),
    ]);
    let (until, subscribed) = prepare(&world, &receiver);
    parts(&[
        ("hidden is as good as absent", &|| hidden::is_as_good_as_absent(&world)),
        ("every cell is as the patient said", &|| {
            std::thread::sleep(until.duration_since(SystemTime::now()).unwrap_or_default());
            cells(&world);
        }),
        ("every Subscription, too", &|| {
            let (cells, mut differences) = told::tell(&world, &receiver);
            differences.extend_from_slice(&subscribed);
            settle(SITUATIONS.len() * ROLES.len() * PURPOSES.len() + cells, &differences);
        }),
        ("what is taken back ends everywhere", &|| soon::what_is_taken_back_ends_everywhere(&world)),
    ]);
}

/// Stores every patient with what they said, and subscribes while it is in force. When the last consent has run out, and
/// what was wrong.
fn prepare(world: &World, receiver: &Receiver) -> (SystemTime, Vec<String>) {
    let a = world.client(Party::HospitalA);
    for situation in SITUATIONS {
        let key = situation.key();
        let old = |thing: &&(&str, &str, Label, &str)| TWICE.contains(&thing.0);
        a.send("POST", "/fhir", &[], transaction(THINGS.map(|thing| resource(&key, thing, old(&&thing))))).with(200);
        let newer = THINGS.iter().filter(old).map(|thing| resource(&key, *thing, false));
        a.send("POST", "/fhir", &[], transaction(newer)).with(200);
    }
    let put = |situation: Situation, provision: &Value, status: &str| {
        let consent = consent(&situation.key(), provision, status);
        assert!(a.send("PUT", &format!("/fhir/{}", support::name_of(&consent)), &[], consent.to_string()).is_success());
    };
    let bedside = json!({
        "type": "permit", "actor": [actor("bedside")], "action": [action("access")], "purpose": [purpose("TREAT")],
    });
    put(Consented, &bedside, "active");
    put(Withdrawn, &bedside, "active");
    for granted in [Granted, Refused] {
        let patient = format!("urn:matrix|{}", granted.key());
        world.consent(Party::HospitalA, "grant", &patient, Party::HospitalB).unwrap().done();
    }
    put(Labelled, &labelled(), "active");
    put(
        PsychiatryOnly,
        &json!({
            "type": "permit", "actor": [actor("physicians")], "action": [action("access")],
            "purpose": [purpose("TREAT")], "securityLabel": [sensitivity("PSY")],
        }),
        "active",
    );
    let lasting: Vec<_> = SITUATIONS.into_iter().filter(|situation| *situation != Expired).collect();
    let mut differences = told::subscribe(world, receiver, &lasting);
    let until = SystemTime::now() + IN_FORCE;
    let mut expiring = bedside.clone();
    expiring["period"] = json!({"end": time::OffsetDateTime::from(until).replace_nanosecond(0).unwrap().format(
        &time::format_description::well_known::Rfc3339).unwrap()});
    put(Expired, &expiring, "active");
    differences.extend(told::subscribe(world, receiver, &[Expired]));
    // Hospital B has seen all of it while it might, so that it knows every id and holds every record open.
    let b = world.client(Party::HospitalB);
    for situation in [Withdrawn, Refused, Expired] {
        let found = b.get(&format!("/fhir/Observation?patient.identifier=urn:matrix%7C{}", situation.key()));
        assert_eq!(found.with(200).names().len(), 4, "{situation:?}");
        b.get(&format!("/fhir/Patient?identifier=urn:matrix%7C{}", situation.key())).with(200);
    }
    put(Withdrawn, &bedside, "inactive");
    put(Refused, &json!({"type": "deny"}), "active");
    (until + Duration::from_secs(2), differences)
}

fn labelled() -> Value {
    json!({"type": "permit", "provision": [
        {"type": "deny", "securityLabel": [sensitivity("PSY")],
         "provision": [{"type": "permit", "securityLabel": [sensitivity("PSY")], "actor": [actor("physicians")]}]},
        {"type": "deny", "securityLabel": [sensitivity("HIV")]},
    ]})
}

fn consent(key: &str, provision: &Value, status: &str) -> Value {
    let concept = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    json!({
        "resourceType": "Consent", "id": format!("{key}-consent"), "status": status,
        "meta": {"profile": ["https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentAdvanced"]},
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0")],
        "patient": {"reference": format!("Patient/{key}-patient")}, "dateTime": "2026-01-01",
        "policy": [{"uri": "https://hospital.example/policy"}], "provision": provision,
    })
}

fn actor(group: &str) -> Value {
    let system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
    json!({
        "role": {"coding": [{"system": system, "code": "IRCP"}]}, "reference": {"reference": format!("Group/{group}")},
    })
}

fn action(code: &str) -> Value {
    json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": code}]})
}

fn purpose(code: &str) -> Value {
    json!({"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": code})
}

fn sensitivity(code: &str) -> Value {
    json!({"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code})
}

// ---- ways of asking ----

/// What an answer must come to for those who may see some of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shows {
    /// This resource, or nothing by that name.
    One(Vec<String>),
    /// These words and this total; whether there is a further page.
    Found { words: Vec<String>, total: usize, more: bool },
    /// Nothing but these words; fewer are allowed. Somebody has to have looked before.
    AtMost(Vec<String>),
}

/// How a request leads to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    /// By an identifier, which is known everywhere: whoever may not see the record is refused.
    ByIdentifier,
    /// By an id, which a hospital knows that has seen it: to whoever may not, it is refused or unknown.
    ById,
}

struct Way {
    name: &'static str,
    path: String,
    leads: Leads,
    shows: Shows,
}

/// One patient, through the eyes of one role and purpose.
struct Eyes<'a> {
    key: &'a str,
    sees: &'a dyn Fn(Label) -> bool,
}

impl Eyes<'_> {
    fn see(&self, name: &str) -> bool {
        THINGS.iter().any(|(thing, _, label, _)| *thing == name && (self.sees)(*label))
    }

    fn words<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
        names.into_iter().filter(|name| self.see(name)).map(|name| word(self.key, name, false)).collect()
    }

    /// Visible resources of a type.
    fn of(&self, kind: &str) -> Vec<&'static str> {
        let of_kind = THINGS.iter().filter(|(_, of, _, _)| *of == kind);
        of_kind.map(|(name, ..)| *name).filter(|name| self.see(name)).collect()
    }

    fn found(&self, names: &[&str]) -> Shows {
        let words = self.words(names.iter().copied());
        Shows::Found { total: words.len(), words, more: false }
    }

    fn versions(&self, names: &[&str]) -> Shows {
        let both = names.iter().filter(|name| self.see(name)).flat_map(|name| {
            let old = TWICE.contains(name).then(|| word(self.key, name, true));
            [Some(word(self.key, name, false)), old].into_iter().flatten()
        });
        let words: Vec<String> = both.collect();
        Shows::Found { total: words.len(), words, more: false }
    }

    /// Every way of asking for something of this patient.
    fn ways(&self) -> Vec<Way> {
        let key = self.key;
        let by = format!("patient.identifier=urn:matrix%7C{key}");
        // To be found by the patient's identifier is to be found through the Patient, who has to be shown as well.
        let through = |name: &&str| self.see("patient") && self.see(name);
        let part_of = |encounter: &str| {
            let observations = THINGS.iter().filter(move |thing| thing.1 == "Observation" && thing.3 == encounter);
            observations.map(|thing| thing.0).filter(through).collect::<Vec<_>>()
        };
        let of = |kind| self.of(kind).into_iter().filter(through).collect::<Vec<_>>();
        let (observations, encounters) = (of("Observation"), of("Encounter"));
        let including: Vec<&str> = encounters.iter().copied().filter(|it| !part_of(it).is_empty()).collect();
        let including_back: Vec<&str> = encounters.iter().flat_map(|it| part_of(it)).collect();
        let beside = |matches: &[&'static str], more: &[&'static str]| Shows::Found {
            words: self.words([matches, more].concat()),
            total: matches.len(),
            more: false,
        };
        let chained = if self.see("encp") { part_of("encp") } else { Vec::new() };
        let has = |encounter: &'static str, observation| {
            if through(&encounter) && self.see(observation) { vec![encounter] } else { Vec::new() }
        };
        let newest = observations.last().copied();
        let mut ways = Vec::new();
        let mut add = |name, leads, path: String, shows| ways.push(Way { name, path, leads, shows });
        // First, before a refusal lets go of what somebody else saw.
        let family = word(key, "patient", false);
        add("roster", Leads::ById, format!("Patient?family={family}"), Shows::AtMost(self.words(["patient"])));
        // Then what opens the record.
        add(
            "search by identifier",
            Leads::ByIdentifier,
            format!("Patient?identifier=urn:matrix%7C{key}"),
            self.found(&["patient"]),
        );
        for (name, kind, ..) in THINGS {
            add("read", Leads::ById, format!("{kind}/{key}-{name}"), Shows::One(self.words([name])));
        }
        for (name, number) in [("obsn", 1), ("obsn", 2), ("obsp", 1), ("obsp", 2)] {
            let words = self.see(name).then(|| word(key, name, number == 1));
            let path = format!("Observation/{key}-{name}/_history/{number}");
            add("vread", Leads::ById, path, Shows::One(words.into_iter().collect()));
        }
        for name in TWICE {
            let shows = if self.see(name) { self.versions(&[name]) } else { Shows::One(Vec::new()) };
            add("history of one", Leads::ById, format!("Observation/{key}-{name}/_history"), shows);
        }
        add(
            "history of a type",
            Leads::ById,
            format!("Observation/_history?patient={key}-patient"),
            // Who is not shown the Patient cannot name it by its id.
            if self.see("patient") { self.versions(&observations) } else { Shows::AtMost(self.all_words()) },
        );
        add("search", Leads::ByIdentifier, format!("Observation?{by}"), self.found(&observations));
        add(
            "search by code",
            Leads::ByIdentifier,
            format!("Condition?{by}&code=urn:code%7Cconh"),
            self.found(&of("Condition")),
        );
        for name in ["obsn", "obsp", "obsh"] {
            let own = format!("urn:observation%7C{key}-{name}");
            add("search by id alone", Leads::ById, format!("Observation?_id={key}-{name}"), self.found(&[name]));
            let shown: Vec<&str> = [name].into_iter().filter(through).collect();
            add("search by id", Leads::ByIdentifier, format!("Observation?{by}&_id={key}-{name}"), self.found(&shown));
            let path = format!("Observation?{by}&identifier={own}");
            add("search by own identifier", Leads::ByIdentifier, path, self.found(&shown));
        }
        add(
            "compartment",
            Leads::ById,
            format!("Patient/{key}-patient/Observation"),
            if self.see("patient") { self.found(&observations) } else { Shows::AtMost(self.all_words()) },
        );
        add(
            "_include",
            Leads::ByIdentifier,
            format!("Observation?{by}&_include=Observation:encounter"),
            beside(&observations, &including),
        );
        add(
            "_revinclude",
            Leads::ByIdentifier,
            format!("Encounter?{by}&_revinclude=Observation:encounter"),
            beside(&encounters, &including_back),
        );
        add(
            "chain",
            Leads::ByIdentifier,
            format!("Observation?{by}&encounter.identifier=urn:encounter%7C{key}-encp"),
            self.found(&chained),
        );
        for (encounter, observation) in [("encn", "obsp"), ("encp", "obsh"), ("encp", "obsx")] {
            let path = format!("Encounter?{by}&_has:Observation:encounter:code=urn:code%7C{observation}");
            add("_has", Leads::ByIdentifier, path, self.found(&has(encounter, observation)));
        }
        let words = self.words(newest);
        let shows = Shows::Found { words, total: observations.len(), more: observations.len() > 1 };
        add("order and page", Leads::ByIdentifier, format!("Observation?{by}&_sort=-date&_count=1"), shows);
        let shows = Shows::Found { words: Vec::new(), total: observations.len(), more: false };
        add("count", Leads::ByIdentifier, format!("Observation?{by}&_summary=count"), shows);
        let everything: Vec<&str> = THINGS.iter().map(|thing| thing.0).collect();
        let whole = if self.see("patient") { self.found(&everything) } else { Shows::One(Vec::new()) };
        add("$everything", Leads::ById, format!("Patient/{key}-patient/$everything?_type={TYPES}"), whole);
        let summary = if self.see("patient") { Shows::AtMost(self.all_words()) } else { Shows::One(Vec::new()) };
        add("$summary", Leads::ById, format!("Patient/{key}-patient/$summary"), summary);
        ways
    }

    /// All that these eyes may see, in all versions.
    fn all_words(&self) -> Vec<String> {
        let seen = THINGS.iter().map(|thing| thing.0).filter(|name| self.see(name));
        seen.flat_map(|name| [word(self.key, name, false), word(self.key, name, true)]).collect()
    }
}

const TYPES: &str = "Patient,Encounter,Observation,Condition";

// ---- the cells ----

/// An answer, alone or in a batch.
struct Told {
    status: u16,
    body: Value,
}

impl Told {
    fn words(&self) -> BTreeSet<String> {
        // The links of a Bundle repeat what was asked.
        let text =
            if self.body["resourceType"] == "Bundle" { self.body["entry"].to_string() } else { self.body.to_string() };
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.filter(|word| word.starts_with("word") && word.ends_with("end")).map(str::to_owned).collect()
    }

    fn code(&self) -> &str {
        self.body["issue"][0]["details"]["coding"][0]["code"].as_str().unwrap_or_default()
    }

    fn has_more(&self) -> bool {
        self.body["link"].as_array().is_some_and(|links| links.iter().any(|link| link["relation"] == "next"))
    }

    /// What is wrong with it.
    fn differs(&self, way: &Way, sees_some: bool) -> Option<String> {
        let found = self.words();
        let none = BTreeSet::new();
        let (words, total, more, exact) = match &way.shows {
            Shows::One(words) => (words.iter().cloned().collect(), None, None, true),
            Shows::Found { words, total, more } => (words.iter().cloned().collect(), Some(*total), Some(*more), true),
            Shows::AtMost(words) => (words.iter().cloned().collect(), None, None, false),
        };
        let words = if sees_some { &words } else { &none };
        if !found.is_subset(words) {
            return Some(format!("shows {:?}", found.difference(words).collect::<Vec<_>>()));
        }
        if exact && sees_some && found != *words {
            return Some(format!("does not show {:?}", words.difference(&found).collect::<Vec<_>>()));
        }
        if let (true, Some(total)) = (sees_some && self.status == 200, total)
            && self.body["total"] != json!(total)
        {
            return Some(format!("has the total {} and not {total}", self.body["total"]));
        }
        if more.is_some_and(|more| sees_some && more != self.has_more()) {
            return Some(format!("leads to a further page: {}", self.has_more()));
        }
        let refused = self.status == 403
            && ["consent-", "emergency-", "purpose-"].iter().any(|begins| self.code().starts_with(begins));
        let unknown = self.status == 404 && ["resource-unknown", "patient-unknown"].contains(&self.code());
        let empty = self.status == 200 && self.body["total"] == json!(0);
        let fits = match (&way.shows, way.leads) {
            _ if way.name == "roster" => self.status == 200 || refused,
            (_, Leads::ByIdentifier) if !sees_some => refused,
            (_, Leads::ById) if !sees_some => refused || unknown || empty,
            (Shows::One(words), _) if words.is_empty() => unknown,
            (Shows::AtMost(_), _) => self.status == 200 || unknown,
            _ => self.status == 200,
        };
        (!fits).then(|| format!("has status {} and code {:?}", self.status, self.code()))
    }
}

fn cells(world: &World) {
    let mut clients: BTreeMap<(Party, &str), String> = BTreeMap::new();
    for party in [Party::HospitalA, Party::HospitalB] {
        for role in ROLES {
            clients.insert((party, role), world.token(party, &format!("the-{role}"), role));
        }
    }
    let mut all: Vec<(Situation, &str, &str)> = Vec::new();
    for purpose in PURPOSES {
        for role in ROLES {
            all.extend(SITUATIONS.map(|situation| (situation, role, purpose)));
        }
    }
    let (next, cells) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let differences: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((situation, role, purpose)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let party = situation.asks_at();
                    let client = world.client_with(party, Some(clients[&(party, *role)].clone()));
                    let sees = |label| may_see(*situation, role, purpose, label);
                    let key = situation.key();
                    let cell = Cell { client: &client, purpose, eyes: Eyes { key: &key, sees: &sees } };
                    let (count, wrong) = cell.ask_all();
                    cells.fetch_add(count, Ordering::Relaxed);
                    let wrong = wrong.into_iter().map(|it| format!("{situation:?}, {role}, {purpose}, {it}"));
                    differences.lock().unwrap().extend(wrong);
                }
            });
        }
    });
    let cells = cells.into_inner();
    settle(cells, &differences.into_inner().unwrap());
    assert!(cells >= 8_000);
}

fn settle(cells: usize, differences: &[String]) {
    println!("{cells} cells, {} differences", differences.len());
    for difference in differences {
        println!("  {difference}");
    }
    assert!(differences.is_empty(), "{} cells differ", differences.len());
}

/// One role at one patient's record, for one purpose.
struct Cell<'a> {
    client: &'a Client,
    purpose: &'a str,
    eyes: Eyes<'a>,
}

impl Cell<'_> {
    fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let purpose = ("Purpose-Of-Use", self.purpose);
        self.client.send(method, &format!("/fhir/{path}"), &[&[purpose], fields].concat(), body)
    }

    /// Each way alone and in a batch. How many were asked, and what differs. A refusal is the same in a batch for every
    /// purpose, and each takes all three parties: one purpose will do.
    fn ask_all(&self) -> (usize, Vec<String>) {
        let sees_some = [Normal, Psychiatry, Hiv].into_iter().any(|label| (self.eyes.sees)(label));
        let ways = self.eyes.ways();
        let mut wrong = Vec::new();
        for way in &ways {
            let answer = self.send("GET", &way.path, &[], "");
            let told = Told { status: answer.status, body: answer.json() };
            let differs = told.differs(way, sees_some);
            wrong.extend(differs.map(|it| format!("{} ({}): {it}", way.name, way.path)));
        }
        let mut batched = 0;
        for ways in ways.chunks(IN_BATCH).filter(|_| sees_some || self.purpose == "TREAT") {
            batched += ways.len();
            wrong.extend(self.batch(ways, sees_some));
        }
        wrong.extend(self.export().map(|it| format!("Bulk export: {it}")));
        (ways.len() + batched + 1, wrong)
    }

    /// What differs in a batch.
    fn batch(&self, ways: &[Way], sees_some: bool) -> Vec<String> {
        let entry = |way: &Way| json!({"request": {"method": "GET", "url": way.path}});
        let entries: Vec<Value> = ways.iter().map(entry).collect();
        let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": entries}).to_string();
        let answers = self.send("POST", "", &[], &batch).with(200).entries();
        assert_eq!(answers.len(), ways.len());
        let mut wrong = Vec::new();
        for (way, answer) in ways.iter().zip(answers) {
            let status = answer["response"]["status"].as_str().unwrap()[..3].parse().unwrap();
            let body = if status == 200 { answer["resource"].clone() } else { answer["response"]["outcome"].clone() };
            let differs = Told { status, body }.differs(way, sees_some);
            wrong.extend(differs.map(|it| format!("{} ({}) in a batch: {it}", way.name, way.path)));
        }
        wrong
    }

    /// What is wrong with a Bulk export: its manifest with the numbers, and every file.
    fn export(&self) -> Option<String> {
        let path = format!("Patient/{}-patient/$export?_type={TYPES}", self.eyes.key);
        let begun = self.send("GET", &path, &[("Prefer", "respond-async")], "");
        if !self.eyes.see("patient") {
            return (![403, 404].contains(&begun.status)).then(|| format!("began with status {}", begun.status));
        }
        if begun.status != 202 {
            return Some(format!("did not begin: {}", begun.text()));
        }
        let inside = |url: &str| url.split_once("/fhir/").unwrap().1.to_owned();
        let manifest = self.send("GET", &inside(begun.field("content-location").unwrap()), &[], "").with(200).json();
        let mut found = BTreeSet::new();
        for file in manifest["output"].as_array().unwrap() {
            let kind = file["type"].as_str().unwrap();
            let lines = self.send("GET", &inside(file["url"].as_str().unwrap()), &[], "").with(200).text();
            let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if json!([lines.len(), self.eyes.of(kind).len()]) != json!([file["count"], file["count"]]) {
                return Some(format!("{} lines of {kind}, and the manifest says {}", lines.len(), file["count"]));
            }
            found.extend(lines.into_iter().flat_map(|body| Told { status: 200, body }.words()));
        }
        let wanted: BTreeSet<String> = self.eyes.words(THINGS.iter().map(|thing| thing.0)).into_iter().collect();
        (found != wanted).then(|| format!("shows {found:?} and not {wanted:?}"))
    }
}
