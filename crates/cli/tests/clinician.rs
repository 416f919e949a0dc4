//! The clinician's view as people see it: a doctor of hospital B signs in at B's own provider, in a real browser, and reads
//! what hospital A stored. Finding, the summary, results, sources and signatures, what is withheld, emergency access, the
//! launch from the record system; in both themes, on a phone and on a desktop, with and without JavaScript.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use serde_json::{Value, json};
use support::browser::{Browser, Provider, configure};
use support::pages::{Pages, Shown};
use support::smart::{App, access_token, hidden};
use support::{Party, SYSTEM, World, encode, identifier, json_of, parts, run, succeeded, text};

const A: Party = Party::HospitalA;
const B: Party = Party::HospitalB;
/// Sensitive matter, which the patient does not share; its words must never show at B.
const SECRET: &str = "Viral load of something nobody is to know";
const REASON: &str = "found unconscious on the street";

#[test]
fn a_doctor_reads_what_another_hospital_stored() {
    let mut world = World::start_with(&[
        (A, "emergency.at_registration.hospitals", json!(["hospital-b"])),
        (A, "emergency.at_registration.labels", json!(["general"])),
        (B, "emergency.second_person", json!(["nurse"])),
    ]);
    let Some(provider) = Provider::start(&world, world.address(B)) else { return };
    world.set(B, "sign_in.patient_claim", json!("mrn"));
    world.set(B, "sign_in.patient_system", json!(SYSTEM));
    configure(&mut world, B, &provider.issuer.clone());
    let Some(mut pages) = Pages::start(world.path(), "clinician", None) else { return };
    for record in [record(), closed(), nobody_asked(), payloads()] {
        world.put(A, record.to_string().as_bytes()).unwrap().done();
    }
    for patient in [1, 3, 4] {
        let grant =
            json!({"patient": identifier(patient), "to": "hospital-b", "actions": ["read"], "labels": ["general"]});
        world.request(A, "POST", "/consent/grant", grant.to_string().as_bytes()).unwrap().done();
    }
    let view = View { url: format!("{}/clinician", world.url(B)) };
    let first = view.sign_in(&mut pages, "dr-a");
    first.says("Find a patient").says("dr-a, physician").says("Treatment");
    view.finds_and_reads(&mut pages);
    view.shows_sources(&world, &mut pages);
    view.says_what_is_withheld(&mut pages);
    view.keeps_to_the_purpose(&mut pages);
    view.breaks_the_glass(&mut pages);
    view.runs_no_payload(&mut pages);
    view.works_without_scripts(&mut pages);
    view.is_opened_from_the_record_system(&world, &mut pages);
    view.takes_no_foreign_form(&mut pages);
    // A patient who signs in at the same provider is none of the staff.
    let mut patient = Browser::default();
    patient.sign_in(&world.url(B), "pat").with(200);
    let cookie = patient.session();
    let page = world.client_with(B, None).send("GET", "/clinician/patients/p1", &[("Cookie", cookie.as_str())], "");
    let page = page.with(403).text();
    assert!(page.contains("for the hospital") && !page.contains("Penicillin"), "{page}");
    drop(provider);
}

/// Where there is no provider, users show a token; the launch of other apps is the same for all.
#[test]
fn record_systems_launch_apps_and_tokens_sign_in() {
    let world = World::start();
    world.put(A, record().to_string().as_bytes()).unwrap().done();
    parts(&[("launches", &|| launches(&world)), ("signing in by token", &|| signs_in_by_token(&world))]);
}

struct View {
    url: String,
}

impl View {
    fn patient(&self, page: &str) -> String {
        format!("{}/patients/p1{page}?for=TREAT", self.url)
    }

    /// By the provider's own pages.
    fn sign_in(&self, pages: &mut Pages, user: &str) -> Shown {
        pages.open(&self.url);
        pages.fill_target(&json!("input[name=login]"), user);
        pages.fill_target(&json!("input[name=password]"), "any");
        let mut page = pages.follow_target(&json!("button[type=submit]"));
        for _ in 0..2 {
            if page.url.starts_with(&self.url) {
                return page;
            }
            page = pages.follow_target(&json!("button[type=submit]"));
        }
        assert!(page.url.starts_with(&self.url), "{page:?}");
        page
    }

    fn find(&self, pages: &mut Pages, patient: usize) -> Shown {
        pages.open(&self.url);
        pages.fill("Patient's number", &identifier(patient));
        pages.follow("Find and open")
    }

    fn finds_and_reads(&self, pages: &mut Pages) {
        pages.check("find", &self.url);
        // One click from the number to the record, and no patient in any address but the id of the Patient.
        let page = self.find(pages, 1);
        assert_eq!(page.url, self.patient(""));
        page.says("Ada Example").says("born 12 May 1970").says("Penicillin (").says("high risk");
        assert!(!page.title.contains("Ada"), "{}", page.title);
        let page = pages.check("summary", &self.patient(""));
        page.says("Problems").says("Asthma").says("Medicines").says("Salbutamol").says("two puffs when needed");
        page.says("Patient summary").says("hospital-a").says("signature verified");
        page.is_silent_about("entered in error by somebody").is_silent_about(SECRET);
        let page = pages.check("results", &self.patient("/results"));
        page.says("6.2 mmol/L").says("above the range that came with it").says("reference range 3.5 to 5.1 mmol/L");
        page.says("no reference range came with it").says("Upper blood pressure").says("Blood group");
        assert!(pages.count("svg.chart") >= 3);
        // For screen readers each chart has a sentence, and a table of the same numbers.
        assert_eq!(pages.count("svg.chart[role=img][aria-label*='in 12 months']"), pages.count("svg.chart"));
        assert_eq!(pages.count("details.numbers table caption"), pages.count("svg.chart"));
        // Known by now, so by name and birth date, too: one click; of two by the same name, a list.
        pages.open(&self.url);
        pages.fill("Family name", "Example");
        pages.fill_target(&json!("#birthdate"), "1970-05-12");
        assert_eq!(pages.follow("Find and open").url, self.patient(""));
        self.find(pages, 3).says("No allergies recorded").is_silent_about("None known (noted");
        let page = self.find(pages, 4);
        page.says("None known (noted 4 May 2026)").is_silent_about("No allergies recorded");
        pages.open(&self.url);
        pages.fill("Family name", "Example");
        pages.follow("Find and open").says("2 patients are found").says("Ada Example").says("Bea Example");
        pages.check_accessible("a list of patients");
        pages.screenshot("list");
        assert_eq!(pages.follow("Ada Example").url, self.patient(""));
        pages.open(&self.url);
        pages.fill("Patient's number", "no-such-number");
        pages.follow("Find and open").says("Nobody is found");
    }

    fn shows_sources(&self, world: &World, pages: &mut Pages) {
        pages.open(&self.patient(""));
        let page = pages.follow_target(&json!("#section-11450-4 a.chip"));
        page.says("sealwort://").says("hospital-a").says("signature verified").says("Place in the log").says("UTC");
        let url = page.url.clone();
        assert!(url.contains("/patients/p1/Condition/"), "{url}");
        pages.check("item", &url).says("The entry as it is stored");
        // An entry is looked for in this patient's record alone.
        let page = pages.open(&format!("{}/patients/p3/Condition/p1-asthma?for=TREAT", self.url));
        assert_eq!(page.status, 404);
        page.says("Nothing like that is known here").is_silent_about("Asthma");
        // One look, one entry, with the purpose; it is in B's log once the page is there.
        let looks = || {
            let folder = world.folder(B);
            let search = ["audit", "search", "--folder", text(&folder), "--kind", "record-read", "--json"];
            let found = json_of(&run(&search));
            let found = found.as_array().unwrap().clone();
            found.into_iter().filter(|one| one["user"] == "dr-a").collect::<Vec<Value>>()
        };
        let before = looks().len();
        pages.open(&self.patient("/results"));
        let after = looks();
        assert_eq!(after.len(), before + 1, "{after:#?}");
        assert!(after.iter().all(|one| one["purpose"] == "TREAT" && one["role"] == "physician"), "{after:#?}");
    }

    fn says_what_is_withheld(&self, pages: &mut Pages) {
        let page = pages.open(&self.patient(""));
        page.says("1 entry of this record is withheld by the patient's consent");
        let page = pages.follow("What to do");
        assert_eq!(page.url, self.patient("/withheld"));
        let page = pages.check("withheld", &self.patient("/withheld"));
        page.says("1 entry is").says("How to ask the patient").says("hospital-b").is_silent_about(SECRET);
        // The allergies above tell of hives.
        assert!(!page.text.contains("HIV"), "{}", page.text);
        page.is_silent_about("sexual");
        assert_eq!(pages.open(&format!("{}/patients/p1/Observation/p1-secret?for=TREAT", self.url)).status, 404);
    }

    fn keeps_to_the_purpose(&self, pages: &mut Pages) {
        pages.open(&self.patient(""));
        pages.fill_target(&json!("#banner-purpose"), "HRESCH");
        let page = pages.follow("Change");
        assert!(page.url.ends_with("?for=HRESCH") && page.status == 403, "{page:?}");
        page.says("The patient's consent does not open this").says("for the purpose that you chose");
        page.is_silent_about("Ada Example").is_silent_about("Asthma");
        pages.check_accessible("a refusal");
        pages.screenshot("refused");
        assert_eq!(pages.open(&format!("{}/patients/p1?for=NONSENSE", self.url)).status, 400);
        assert_eq!(pages.open(&format!("{}/patients/p1?for=BTG", self.url)).status, 403);
        assert_eq!(pages.open(&format!("{}/patients/nobody", self.url)).status, 404);
    }

    fn breaks_the_glass(&self, pages: &mut Pages) {
        let page = self.find(pages, 2);
        assert_eq!(page.status, 403);
        page.says("The patient does not share this record with this hospital").is_silent_about("Closed");
        let page = pages.follow("Emergency access…");
        page.says("Before you open the record").says("are told").says("signed report").says("after 30 minutes");
        for theme in ["dark", "light"] {
            pages.theme(theme);
            pages.check_accessible("emergency");
            pages.screenshot(&format!("emergency-{theme}"));
        }
        let ask = |pages: &mut Pages, sentence: &str| {
            pages.fill("Reason", "unconscious");
            pages.fill("Why the record is needed now, in your own words", REASON);
            pages.fill("Type this sentence to confirm", sentence);
            pages.follow("Open the record in an emergency")
        };
        let page = ask(pages, "yes");
        assert_eq!(page.status, 422);
        page.says("nothing was opened").is_silent_about("Closed");
        let page = ask(pages, "I open the record of 2 in an emergency");
        assert_eq!(page.url, format!("{}/patients/p2?for=BTG", self.url));
        page.says("Emergency access is open").says("It ends by itself on").says("Closed").says("Latex");
        let page = pages.check("glass", &format!("{}/patients/p2?for=BTG", self.url));
        page.says("End emergency access").is_silent_about(SECRET);
        // It is seen on every other page, too, and opens nothing else.
        pages.open(&self.patient("")).says("Emergency access is open");
        for closed in ["p2?for=TREAT", "p1?for=BTG"] {
            let page = pages.open(&format!("{}/patients/{closed}", self.url));
            assert!(matches!(page.status, 403 | 404), "{closed}: {}", page.status);
            page.is_silent_about("Latex").is_silent_about("Penicillin");
        }
        pages.open(&self.url).says("Emergency accesses").says("yours");
        pages.check_accessible("an emergency access on the first page");
        let page = pages.follow("Open the record");
        assert_eq!(page.url, format!("{}/patients/p2?for=BTG", self.url));
        let page = pages.follow("End emergency access");
        assert_eq!(page.url, self.url);
        page.is_silent_about("Emergency access is open");
        let page = pages.open(&format!("{}/patients/p2?for=BTG", self.url));
        assert!(matches!(page.status, 403 | 404), "{}", page.status);
        page.is_silent_about("Closed").is_silent_about("Latex");
    }

    /// Texts of records are texts, wherever they stand.
    fn runs_no_payload(&self, pages: &mut Pages) {
        for page in ["", "/results", "/withheld"] {
            let url = format!("{}/patients/p4{page}?for=TREAT", self.url);
            let shown = pages.open(&url);
            assert_eq!(shown.status, 200, "{url}");
            pages.check_traffic(&url);
            assert_eq!(pages.evaluate("typeof window.hit"), "undefined");
        }
        pages.open(&format!("{}/patients/p4?for=TREAT", self.url)).says("<script>window.hit=1</script>");
        let url = format!("{}/patients/p4/Condition/p4-c0?for=TREAT", self.url);
        pages.open(&url).says(PAYLOADS[0]);
        pages.check_traffic(&url);
        self.find(pages, 4);
        pages.check_heard("finding somebody with a hostile name");
    }

    fn works_without_scripts(&self, pages: &mut Pages) {
        pages.scripts(false);
        assert_eq!(self.find(pages, 1).url, self.patient(""));
        pages.follow("Results, 12 months").says("6.2 mmol/L");
        pages.follow("Withheld").says("How to ask the patient");
        self.find(pages, 2).says("does not share");
        pages.follow("Emergency access…").says("Before you open the record");
        pages.scripts(true);
    }

    fn is_opened_from_the_record_system(&self, world: &World, pages: &mut Pages) {
        let (folder, root) = (world.folder(B), world.url(B));
        let add = ["gateway", "app", "add", "clinician", "--dir", text(&folder), "--name", "Clinician's view"];
        let at = [format!("{root}/clinician/launch"), format!("{root}/clinician/launched")];
        let places = ["--launch", &at[0], "--redirect", &at[1], "--scope", "launch openid"];
        succeeded(&run(&[&add[..], &places].concat()));
        let mut system = App::register(world, B, "ehr", "launch system/Patient.rs system/Encounter.rs");
        let token = access_token(system.own_token("system/Patient.rs system/Encounter.rs"));
        let ehr = world.client_with(B, Some(token));
        let launch = |user: &str| {
            let wanted = json!({"app": "clinician", "user": user, "patient": identifier(1)});
            ehr.send("POST", "/auth/launch", &[], wanted.to_string()).with(201).json()
        };
        let begun = launch("dr-a");
        let url = begun["url"].as_str().unwrap();
        assert!(url.starts_with(&at[0]) && url.contains("iss=") && !url.contains("Patient"), "{url}");
        // No click at all: the view ends up at the patient of the launch.
        let page = pages.open(url);
        assert_eq!(page.url, self.patient(""));
        page.says("Ada Example");
        pages.screenshot("launched");
        // It counts once, for one user, and for this server.
        for (what, url) in [
            ("used", url.to_owned()),
            ("of another user", launch("dr-other")["url"].as_str().unwrap().to_owned()),
            ("invented", format!("{}?iss={}&launch=x", at[0], encode(&format!("{root}/fhir")))),
            ("foreign", format!("{}?iss={}&launch=x", at[0], encode("https://evil.example/fhir"))),
            ("without launch", at[0].clone()),
        ] {
            let page = pages.open(&url);
            assert_eq!(page.status, 400, "{what}: {page:?}");
            assert!(!page.contains("Ada Example"), "{what}");
            page.says("What to do:");
        }
        assert_eq!(pages.open(&format!("{root}/clinician/launched?code=x&state=y")).status, 400);
        // Somebody who is not signed in yet signs in on the way.
        let url = launch("dr-a")["url"].as_str().unwrap().to_owned();
        pages.tell(&json!({"forget": true}));
        pages.open(&url);
        pages.fill_target(&json!("input[name=login]"), "dr-a");
        pages.fill_target(&json!("input[name=password]"), "any");
        let mut page = pages.follow_target(&json!("button[type=submit]"));
        if !page.url.starts_with(&self.url) {
            page = pages.follow_target(&json!("button[type=submit]"));
        }
        assert_eq!(page.url, self.patient(""));
        // Apps that the hospital registered are opened from the patient's page.
        let growth = ["gateway", "app", "add", "growth", "--dir", text(&folder), "--name", "Growth chart"];
        let places = ["--launch", "https://growth.example/launch", "--redirect", "https://growth.example/back"];
        succeeded(&run(&[&growth[..], &places, &["--scope", "launch patient/*.rs"]].concat()));
        pages.open(&self.patient("")).says("Apps for this patient");
        pages.follow("Growth chart").says("Open growth");
        let link = pages.attribute_of(&json!("main a.button"), "href").unwrap();
        assert!(link.starts_with("https://growth.example/launch?iss="), "{link}");
        pages.check_accessible("an app to open");
    }

    fn takes_no_foreign_form(&self, pages: &mut Pages) {
        pages.open(&self.url);
        for path in ["find", "emergency", "emergency/open", "emergency/end", "emergency/approve", "patients/p1/apps"] {
            let send =
                format!("fetch('/clinician/{path}', {{method: 'POST', body: new URLSearchParams({{form: 'x'}})}})");
            assert_eq!(pages.evaluate(&format!("{send}.then((answer) => answer.status)")), 403, "{path}");
        }
        // Signed out, nothing is shown any more.
        pages.open(&self.patient(""));
        pages.follow("Sign out");
        // The provider asks whether its own session is to end as well.
        pages.follow_target(&json!("button[name=logout]"));
        let page = pages.open(&self.patient(""));
        assert!(!page.url.starts_with(&self.url) && !page.contains("Ada Example"), "{page:?}");
    }
}

fn launches(world: &World) {
    let user = world.client(A);
    let discovered = user.get("/fhir/.well-known/smart-configuration").done().json();
    for capability in ["launch-ehr", "context-ehr-patient", "context-ehr-encounter"] {
        assert!(discovered["capabilities"].as_array().unwrap().contains(&json!(capability)), "{discovered}");
    }
    assert!(discovered["scopes_supported"].as_array().unwrap().contains(&json!("launch")));
    let mut chart = App::register(world, A, "chart", "launch patient/*.rs");
    let start = |wanted: &Value| user.send("POST", "/auth/launch", &[], wanted.to_string());
    let begun = start(&json!({"app": "chart", "patient": "p1", "encounter": "p1-visit"})).with(201).json();
    assert_eq!((&begun["url"], &begun["iss"]), (&Value::Null, &json!(format!("{}/fhir", world.url(A)))));
    // The app has the context of the launch, for the patient of the launch alone.
    let answer = chart.launched_token("launch patient/*.rs", begun["launch"].as_str().unwrap()).with(200).json();
    let context = ["patient", "encounter", "need_patient_banner"].map(|name| answer[name].clone());
    assert_eq!(context, [json!("p1"), json!("p1-visit"), json!(false)]);
    let token = answer["access_token"].as_str().unwrap();
    world.client_with(A, Some(token.to_owned())).get("/fhir/Patient/p1").with(200);
    // Who may not, and what cannot be launched.
    let of_app = world.client_with(A, Some(token.to_owned()));
    let wanted = json!({"app": "chart", "patient": "p1"}).to_string();
    assert_eq!(of_app.send("POST", "/auth/launch", &[], &wanted).refusal().1, "launch-not-allowed");
    let mut other = App::register(world, A, "lab", "system/Patient.rs");
    let own = access_token(other.own_token("system/Patient.rs"));
    let lab = world.client_with(A, Some(own));
    assert_eq!(lab.send("POST", "/auth/launch", &[], &wanted).refusal().1, "launch-not-allowed");
    world.client_with(A, None).send("POST", "/auth/launch", &[], &wanted).with(401);
    for (change, status, code) in [
        (json!({"app": "unknown", "patient": "p1"}), 422, "launch-refused"),
        (json!({"app": "chart", "patient": "nobody"}), 404, "resource-unknown"),
        (json!({"app": "chart", "patient": identifier(99)}), 404, "patient-unknown"),
        (json!({"app": "chart", "patient": "p1", "encounter": "elsewhere"}), 422, "launch-invalid"),
        (json!({"app": "chart", "patient": "p1", "user": "dr-other"}), 403, "launch-not-allowed"),
        (json!({"app": "chart", "patient": "p1", "more": 1}), 422, "launch-invalid"),
        (json!({"app": "chart"}), 422, "launch-invalid"),
    ] {
        let refusal = start(&change).refusal();
        assert_eq!((refusal.0, refusal.1.as_str()), (status, code), "{change}");
    }
    let mut system = App::register(world, A, "ehr", "launch system/Patient.rs");
    let ehr = world.client_with(A, Some(access_token(system.own_token("system/Patient.rs"))));
    assert_eq!(ehr.send("POST", "/auth/launch", &[], &wanted).refusal().1, "launch-invalid");
    let of_user = json!({"app": "chart", "patient": identifier(1), "user": "dr-test", "need_patient_banner": true});
    let begun = ehr.send("POST", "/auth/launch", &[], of_user.to_string()).with(201).json();
    let answer = chart.launched_token("launch patient/*.rs", begun["launch"].as_str().unwrap()).with(200).json();
    assert_eq!((&answer["patient"], &answer["need_patient_banner"]), (&json!("p1"), &json!(true)));
}

fn signs_in_by_token(world: &World) {
    let nobody = world.client_with(A, None);
    let page = nobody.get("/clinician/patients/p1?for=TREAT").with(401).text();
    assert!(page.contains("Your token of this gateway") && !page.contains("Ada"), "{page}");
    assert_eq!(hidden(&page, "page"), "/clinician/patients/p1?for=TREAT");
    let token = world.token_of_user(A);
    let form = |page: &str| format!("token={}&request=&page={}", encode(token), encode(page));
    let fields = [("Content-Type", "application/x-www-form-urlencoded")];
    let signed_in = nobody.send("POST", "/auth/sign-in", &fields, form("/clinician/patients/p1?for=TREAT")).with(303);
    assert_eq!(signed_in.field("location"), Some("/clinician/patients/p1?for=TREAT"));
    let elsewhere = nobody.send("POST", "/auth/sign-in", &fields, form("https://evil.example/")).with(303);
    assert!(elsewhere.field("location").unwrap().starts_with("/auth/"), "{elsewhere:?}");
    let cookie = signed_in.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let get = |path: &str| nobody.send("GET", path, &[("Cookie", cookie.as_str())], "");
    let page = get("/clinician/patients/p1?for=TREAT").with(200).text();
    assert!(page.contains("Ada Example") && page.contains("dr-test"), "{page}");
    let with = |body: String| {
        nobody.send("POST", "/clinician/sign-out", &[("Cookie", cookie.as_str()), fields[0]], body).status
    };
    assert_eq!(with("form=x".to_owned()), 403);
    assert_eq!(with(format!("form={}", hidden(&page, "form"))), 303);
}

/// An entry of a transaction.
fn entry(resource: &Value) -> Value {
    let name = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    json!({"fullUrl": format!("https://a.example/{name}"), "resource": resource, "request": {"method": "PUT", "url": name}})
}

fn transaction(resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources.iter().map(entry).collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

fn person(number: usize, given: &str, family: &str, born: &str) -> Value {
    json!({"resourceType": "Patient", "id": format!("p{number}"), "gender": "female", "birthDate": born,
        "identifier": [{"system": SYSTEM, "value": number.to_string()}], "name": [{"family": family, "given": [given]}]})
}

fn of(patient: usize, kind: &str, id: &str, more: &Value) -> Value {
    let whose = if kind == "AllergyIntolerance" { "patient" } else { "subject" };
    let mut one = json!({"resourceType": kind, "id": format!("p{patient}-{id}"), whose: {"reference": format!("Patient/p{patient}")}});
    for (name, value) in more.as_object().unwrap() {
        one[name] = value.clone();
    }
    one
}

/// So many days ago, as FHIR writes a day.
fn ago(days: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(now - days * 86_400).unwrap()).unwrap();
    at.date().to_string()
}

fn clinical(code: &str) -> Value {
    json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": code}]})
}

fn of_allergy(code: &str) -> Value {
    json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": code}]})
}

/// A patient whose record has something in every part of the view.
fn record() -> Value {
    let laboratory = json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]);
    let vital = json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}]);
    let loinc =
        |code: &str, text: &str| json!({"coding": [{"system": "http://loinc.org", "code": code}], "text": text});
    let mut resources = vec![
        person(1, "Ada", "Example", "1970-05-12"),
        of(
            1,
            "AllergyIntolerance",
            "penicillin",
            &json!({"clinicalStatus": of_allergy("active"), "criticality": "high",
            "code": {"text": "Penicillin"}, "reaction": [{"manifestation": [{"text": "Hives"}]}]}),
        ),
        of(
            1,
            "Condition",
            "asthma",
            &json!({"clinicalStatus": clinical("active"), "code": {"text": "Asthma"},
            "onsetDateTime": "1999-03", "recorder": {"display": "Dr. Grey"}}),
        ),
        of(
            1,
            "Condition",
            "mistake",
            &json!({"code": {"text": "entered in error by somebody"}, "verificationStatus":
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "entered-in-error"}]}}),
        ),
        of(
            1,
            "MedicationStatement",
            "salbutamol",
            &json!({"status": "active", "effectiveDateTime": "2026-01-10",
            "medicationCodeableConcept": {"text": "Salbutamol inhaler"}, "dosage": [{"text": "two puffs when needed"}]}),
        ),
        of(
            1,
            "Encounter",
            "visit",
            &json!({"status": "finished", "period": {"start": ago(40)},
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}}),
        ),
        of(
            1,
            "Observation",
            "group",
            &json!({"status": "final", "code": {"text": "Blood group"}, "category": laboratory,
            "effectiveDateTime": ago(2000), "valueString": "A positive"}),
        ),
        of(
            1,
            "Observation",
            "secret",
            &json!({"status": "final", "code": {"text": SECRET}, "effectiveDateTime": ago(20),
            "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}]}}),
        ),
    ];
    for (number, value) in [4.1, 4.4, 4.0, 4.7, 5.0, 6.2].into_iter().enumerate() {
        let days = 330 - u64::try_from(number).unwrap() * 60;
        resources.push(of(1, "Observation", &format!("potassium-{number}"), &json!({
            "status": "final", "code": loinc("2823-3", "Potassium"), "category": laboratory, "effectiveDateTime": ago(days),
            "valueQuantity": {"value": value, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
            "referenceRange": [{"low": {"value": 3.5, "unit": "mmol/L"}, "high": {"value": 5.1, "unit": "mmol/L"}}],
        })));
        let part = |code: &str, value: usize| json!({"code": loinc(code, "part"), "valueQuantity": {"value": value, "unit": "mmHg"}});
        resources.push(of(1, "Observation", &format!("pressure-{number}"), &json!({
            "status": "final", "code": loinc("85354-9", "Blood pressure"), "category": vital, "effectiveDateTime": ago(days),
            "component": [part("8480-6", 120 + number * 3), part("8462-4", 78 + number)],
        })));
        resources.push(of(1, "Observation", &format!("weight-{number}"), &json!({
            "status": "final", "code": loinc("29463-7", "Body weight"), "category": vital, "effectiveDateTime": ago(days),
            "valueQuantity": {"value": 70 + number, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
        })));
    }
    transaction(&resources)
}

/// A patient who shares nothing with B but in an emergency.
fn closed() -> Value {
    let latex = json!({"clinicalStatus": of_allergy("active"), "code": {"text": "Latex"}});
    let secret = json!({"status": "final", "code": {"text": SECRET},
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}]}});
    transaction(&[
        person(2, "Cleo", "Closed", "1988-01-02"),
        of(2, "AllergyIntolerance", "latex", &latex),
        of(2, "Observation", "secret", &secret),
    ])
}

/// A patient without an entry about allergies.
fn nobody_asked() -> Value {
    transaction(&[person(3, "Bea", "Example", "1990-02-03")])
}

const PAYLOADS: [&str; 12] = [
    "<script>window.hit=1</script>",
    "\"><img src=x onerror=window.hit=1>",
    "' onmouseover='window.hit=1",
    "<svg/onload=window.hit=1>",
    "javascript:window.hit=1",
    "</title></style></textarea><script>window.hit=1</script>",
    "<iframe src=//evil.example></iframe>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<a href=javascript:window.hit=1>x</a>",
    "<form action=//evil.example><button>x</button></form>",
    "{{constructor.constructor('window.hit=1')()}}",
    "<div hx-get=//evil.example hx-trigger=load>x</div>",
];

/// A patient whose every text is an attack.
fn payloads() -> Value {
    let mut patient = person(4, PAYLOADS[1], PAYLOADS[0], "1960-06-07");
    patient["text"] = json!({"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">&lt;script&gt;window.hit=1&lt;/script&gt;</div>"});
    let none = json!({"recordedDate": "2026-05-04", "clinicalStatus": of_allergy("active"), "code": {"text": "No known allergies",
        "coding": [{"system": "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips", "code": "no-known-allergies"}]}});
    let mut resources = vec![patient, of(4, "AllergyIntolerance", "none", &none)];
    for (number, payload) in PAYLOADS.iter().enumerate() {
        let problem = json!({"clinicalStatus": clinical("active"), "code": {"text": payload}, "note": [{"text": payload}],
            "recorder": {"display": payload}});
        resources.push(of(4, "Condition", &format!("c{number}"), &problem));
        let value = json!({"status": "final", "code": {"text": payload}, "effectiveDateTime": ago(10), "interpretation": [{"text": payload}],
            "valueQuantity": {"value": 5, "unit": payload}});
        resources.push(of(4, "Observation", &format!("o{number}"), &value));
        let words = json!({"status": "final", "code": {"text": format!("w {payload}")}, "effectiveDateTime": ago(10), "valueString": payload});
        resources.push(of(4, "Observation", &format!("w{number}"), &words));
    }
    transaction(&resources)
}
