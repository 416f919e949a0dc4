//! The clinician's view as people see it: a doctor of hospital B signs in at B's own provider, in a real browser, and reads
//! what hospital A stored. Finding, the summary, results, sources and signatures, what is withheld, emergency access, the
//! launch from the record system; in both themes, on a phone and on a desktop, with and without JavaScript.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "clinician/launches.rs"]
mod launches;
#[path = "clinician/record.rs"]
mod record;
mod support;

use std::net::TcpListener;

use record::SECRET;
use serde_json::{Value, json};
use support::browser::{Browser, Provider, configure};
use support::pages::{Pages, Shown};
use support::payloads::{self, STRUCK};
use support::smart::{App, access_token};
use support::{Party, SYSTEM, World, encode, identifier, json_of, parts, run, succeeded, text};

const A: Party = Party::HospitalA;
const B: Party = Party::HospitalB;
/// Clicks from the first page to the record of whoever is looked for.
const CLICKS_MAX: u32 = 3;
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
    for record in
        [record::record(), record::closed(), record::nobody_asked(), record::none_known(), record::half_open()]
    {
        world.put(A, record.to_string().as_bytes()).unwrap().done();
    }
    share(&world, &[1, 3, 4, 5]);
    let view = View { url: format!("{}/clinician", world.url(B)) };
    let first = view.sign_in(&mut pages, "dr-a");
    first.says("Find a patient").says("dr-a, physician").says("Treatment");
    view.finds_and_reads(&mut pages);
    view.shows_sources(&world, &mut pages);
    view.says_what_is_withheld(&mut pages);
    view.keeps_to_the_purpose(&mut pages);
    view.breaks_the_glass(&mut pages);
    view.works_without_scripts(&mut pages);
    view.is_opened_from_the_record_system(&world, &mut pages);
    view.takes_no_foreign_form(&mut pages);
    // A patient who signs in at the same provider is none of the staff.
    let mut patient = Browser::default();
    patient.sign_in(&world.url(B), "pat").with(200);
    let cookie = patient.session();
    let page = world.client_with(B, None).send("GET", "/clinician/patients/p1", &[("Cookie", cookie.as_str())], "");
    let page = page.with(403).text();
    assert!(page.contains("for the hospital") && page.contains("href=\"/portal\""), "{page}");
    assert!(!page.contains("Penicillin"), "{page}");
    drop(provider);
}

/// Where there is no provider, users show a token; the launch of other apps is the same for all.
#[test]
fn record_systems_launch_apps_and_tokens_sign_in() {
    let world = World::start();
    world.put(A, record::record().to_string().as_bytes()).unwrap().done();
    parts(&[
        ("launches", &|| launches::launches(&world)),
        ("signing in by token", &|| launches::signs_in_by_token(&world)),
    ]);
}

/// 200 injections in names, values, notes and narratives: the record of one patient, stored at A and read at B. On every
/// page they are text, they run nothing, and they fetch nothing.
#[test]
fn what_a_record_holds_is_text_and_nothing_else() {
    let world = World::start();
    let Some(mut pages) = Pages::start(world.path(), "clinician-injections", None) else { return };
    // Whoever fetches something from here is heard.
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let payloads = payloads::all(&trap.local_addr().unwrap().to_string());
    assert_eq!(payloads.len(), 200);
    for bundle in payloads::bundles(1, &payloads).into_iter().chain([payloads::person(2, &payloads)]) {
        world.put(A, bundle.to_string().as_bytes()).unwrap().done();
    }
    share(&world, &[1, 2]);
    let view = View { url: format!("{}/clinician", world.url(B)) };
    pages.open(&view.url);
    pages.fill_target(&json!("input[name=token]"), world.token_of_user(B));
    assert_eq!(pages.follow_target(&json!("button[type=submit]")).url, view.url);
    let mut seen = String::new();
    let look = |pages: &mut Pages, shown: &Shown| {
        assert_eq!(shown.status, 200, "{}: {}", shown.url, shown.text);
        assert_eq!(pages.evaluate(STRUCK), json!([]), "{}", shown.url);
        pages.check_traffic(&shown.url);
        // What is folded away is on the page all the same.
        pages.evaluate("document.body.textContent").as_str().unwrap().to_owned()
    };
    for patient in [2, 1] {
        let shown = view.find(&mut pages, patient);
        seen.push_str(&look(&mut pages, &shown));
    }
    for page in ["/results", "/withheld"] {
        let shown = pages.open(&view.patient(page));
        seen.push_str(&look(&mut pages, &shown));
        pages.screenshot(&page[1..]);
    }
    // Names that strike in a list of people, too; they were learnt by reading.
    let list = support::until(|| {
        pages.open(&view.url);
        pages.fill("Given name", payloads::GIVEN);
        let shown = pages.follow("Find and open");
        shown.contains("2 patients are found").then_some(shown)
    });
    list.says(&payloads[0].1).says(&payloads[26].1);
    look(&mut pages, &list);
    // What those do not list, and some of the others: an entry with all that is stored of it, its narrative, too.
    let is_seen = |number: usize, seen: &str| seen.contains(&format!("#{number:03}#"));
    let shown_alone: Vec<_> =
        payloads.iter().filter(|(number, _)| number % 9 == 0 || !is_seen(*number, &seen)).collect();
    for (number, payload) in shown_alone {
        let shown = pages.open(&view.patient(&format!("/{}", payloads::path(*number))));
        seen.push_str(&look(&mut pages, &shown));
        let stored = pages.evaluate("JSON.parse(document.querySelector('pre').textContent)");
        let narrative = stored["text"]["div"].as_str().unwrap();
        assert!(narrative.contains(&format!("#{number:03}#")), "{narrative}");
        assert!(stored.to_string().contains(&json!(payload).to_string()), "{payload}: {stored:#}");
    }
    pages.screenshot("item");
    let missing: Vec<usize> =
        payloads.iter().map(|(number, _)| *number).filter(|number| !is_seen(*number, &seen)).collect();
    assert!(missing.is_empty(), "stored and not shown: {missing:?}");
    assert!(trap.accept().is_err(), "something was fetched");
}

/// Patients let hospital B read what is ordinary.
fn share(world: &World, patients: &[usize]) {
    for patient in patients {
        let grant =
            json!({"patient": identifier(*patient), "to": "hospital-b", "actions": ["read"], "labels": ["general"]});
        world.request(A, "POST", "/consent/grant", grant.to_string().as_bytes()).unwrap().done();
    }
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

    /// By number, from the first page.
    fn find(&self, pages: &mut Pages, patient: usize) -> Shown {
        pages.open(&self.url);
        pages.fill("Patient's number", &identifier(patient));
        let page = pages.follow("Find and open");
        in_few_clicks(pages);
        page
    }

    fn finds_and_reads(&self, pages: &mut Pages) {
        pages.check("find", &self.url);
        // No patient is in any address but the id of the Patient.
        let page = self.find(pages, 1);
        assert_eq!(page.url, self.patient(""));
        page.says("Ada Example").says("born 12 May 1970").says("Penicillin (").says("high risk");
        assert!(!page.title.contains("Ada"), "{}", page.title);
        let page = pages.check("summary", &self.patient(""));
        page.says("Problems").says("Asthma").says("Medicines").says("Salbutamol").says("two puffs when needed");
        page.says("10 mg in the morning").says("20 mg in the evening");
        page.says("Patient summary").says("hospital-a").says("signature verified");
        page.is_silent_about("entered in error by somebody").is_silent_about(SECRET);
        self.signs_every_entry(pages, ".entries tbody tr");
        let page = pages.check("results", &self.patient("/results"));
        page.says("6.2 mmol/L").says("above the range that came with it").says("reference range 3.5 to 5.1 mmol/L");
        page.says("no reference range came with it").says("Upper blood pressure").says("Blood group");
        assert!(pages.count("svg.chart") >= 3);
        // For screen readers each chart has a sentence, and a table of the same numbers.
        assert_eq!(pages.count("svg.chart[role=img][aria-label*='in 12 months']"), pages.count("svg.chart"));
        assert_eq!(pages.count("details.numbers table caption"), pages.count("svg.chart"));
        self.signs_every_entry(pages, ".multiples > li, .entries tbody tr");
        // A number alone, and its kind out of the list.
        pages.open(&self.url);
        pages.fill("Patient's number", "1");
        pages.fill("Kind of number", SYSTEM);
        assert_eq!(pages.follow("Find and open").url, self.patient(""));
        in_few_clicks(pages);
        // Known by now, so by name and birth date, too; of two by the same name, a list.
        pages.open(&self.url);
        pages.fill("Family name", "Example");
        pages.fill_target(&json!("#birthdate"), "1970-05-12");
        assert_eq!(pages.follow("Find and open").url, self.patient(""));
        in_few_clicks(pages);
        self.find(pages, 3).says("No allergies recorded").is_silent_about("No known allergies (noted");
        let page = self.find(pages, 4);
        page.says("No known allergies (noted 4 May 2026)").is_silent_about("No allergies recorded");
        // What is withheld may be one: then nobody says that nobody noted any.
        let page = self.find(pages, 5);
        page.says("No allergy is among what you may see").is_silent_about("Nobody has noted");
        pages.open(&self.url);
        pages.fill("Family name", "Example");
        pages.follow("Find and open").says("2 patients are found").says("Ada Example").says("Bea Example");
        pages.check_accessible("a list of patients");
        pages.screenshot("list");
        assert_eq!(pages.follow("Ada Example").url, self.patient(""));
        in_few_clicks(pages);
        pages.open(&self.url);
        pages.fill("Patient's number", "no-such-number");
        pages.follow("Find and open").says("Nobody is found");
    }

    /// Each entry of the page at hand says who signed it, and leads to the whole signature.
    fn signs_every_entry(&self, pages: &mut Pages, entries: &str) {
        let links = format!(
            "[...document.querySelectorAll({entries:?})].map((one) => [...one.querySelectorAll('a.chip.good')]\
             .map((link) => [link.href, link.textContent]))"
        );
        let links: Vec<Vec<(String, String)>> = serde_json::from_value(pages.evaluate(&links)).unwrap();
        assert!(!links.is_empty());
        let mut followed = std::collections::BTreeSet::new();
        for of_entry in links {
            let [(href, text)] = of_entry.as_slice() else { panic!("an entry has not one source: {of_entry:?}") };
            let says = |wanted: &str| text.to_lowercase().contains(wanted);
            assert!(says("signed by") && says("hospital-a") && says("signature verified"), "{text}");
            assert!(href.starts_with(&format!("{}/patients/p1/", self.url)), "{href}");
            followed.insert(href.clone());
        }
        for href in followed {
            let page = pages.open(&href);
            page.says("Signed by").says("sealwort://test/gateway/hospital-a").says("signature verified");
            page.says("Signed on").says("UTC").says("Place in the log").says("Hash of the entry");
        }
    }

    fn shows_sources(&self, world: &World, pages: &mut Pages) {
        pages.open(&self.patient(""));
        let url = pages.follow_target(&json!("#section-11450-4 a.chip")).url;
        assert!(url.contains("/patients/p1/Condition/"), "{url}");
        pages.check("item", &url).says("The entry as it is stored");
        // An entry is looked for in this patient's record alone.
        let page = pages.open(&format!("{}/patients/p3/Condition/p1-asthma?for=TREAT", self.url));
        assert_eq!(page.status, 404);
        page.says("Nothing like that is known here").is_silent_about("Asthma");
        // One look, one entry, with the purpose; it is in B's log once the page is there.
        let looks = || {
            let folder = world.folder(B);
            let search =
                ["audit", "search", "--folder", text(&folder), "--kind", "record-read", "--json", "--most", "1000"];
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
        assert_eq!(pages.attribute_of(&json!("#text"), "maxlength").as_deref(), Some("4000"));
        let page = ask(pages, "yes");
        assert_eq!(page.status, 422);
        page.says("nothing was opened").is_silent_about("Closed");
        let page = ask(pages, "I open the record of 2 in an emergency");
        assert_eq!(page.url, format!("{}/patients/p2?for=BTG", self.url));
        page.says("Emergency access is open").says("It ends by itself on").says("Closed").says("Latex");
        let page = pages.check("glass", &format!("{}/patients/p2?for=BTG", self.url));
        page.says("End emergency access").says("You are reading the record of 2").is_silent_about(SECRET);
        // What stays withheld all the same, and how to ask once the patient can be asked: for treatment.
        let page = pages.check("glass-withheld", &format!("{}/patients/p2/withheld?for=BTG", self.url));
        page.says("1 entry is")
            .says("How to ask the patient")
            .says("for the purpose “Treatment”")
            .is_silent_about(SECRET);
        // It is seen on every other page, too, and opens nothing else: the reason is told, and how to ask.
        pages.open(&self.patient("")).says("Emergency access is open").says("this page is not of it");
        for page in ["p2", "p2/results", "p2/withheld"] {
            let page = pages.open(&format!("{}/patients/{page}?for=TREAT", self.url));
            assert_eq!(page.status, 403, "{page:?}");
            page.says("The patient does not share this record with this hospital").says("How to ask the patient");
            page.says("for the purpose “Treatment”").is_silent_about("Latex").is_silent_about("Closed");
        }
        let page = pages.open(&format!("{}/patients/p1?for=BTG", self.url));
        assert_eq!(page.status, 403);
        page.says("No emergency access of yours to this patient is open").is_silent_about("Penicillin");
        pages.open(&self.url).says("Emergency accesses").says("yours");
        pages.check_accessible("an emergency access on the first page");
        let page = pages.follow("Open the record");
        assert_eq!(page.url, format!("{}/patients/p2?for=BTG", self.url));
        let page = pages.follow("End emergency access");
        assert_eq!(page.url, self.url);
        page.is_silent_about("Emergency access is open");
        let page = pages.open(&format!("{}/patients/p2?for=BTG", self.url));
        assert_eq!(page.status, 403);
        page.says("No emergency access of yours to this patient is open").says("or it has ended");
        page.is_silent_about("Closed").is_silent_about("Latex");
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
        // Still below the patient's banner, for the purpose that was chosen, and in the patient's log.
        pages.follow("Growth chart").says("Open Growth chart").says("Ada Example").says("Allergies");
        let launched = json_of(&run(&[
            "audit",
            "search",
            "--folder",
            text(&folder),
            "--kind",
            "token-issued",
            "--user",
            "dr-a",
            "--json",
        ]));
        let of_patient = |one: &&Value| {
            one["details"]["application"] == "growth" && one["purpose"] == "TREAT" && one["patient"].is_string()
        };
        assert_eq!(launched.as_array().unwrap().iter().filter(of_patient).count(), 1, "{launched:#}");
        let send = "fetch('/clinician/patients/p1/apps', {method: 'POST', body: new URLSearchParams({app: 'growth', for: 'HRESCH', \
            form: document.querySelector('[name=form]').value})}).then((answer) => answer.status)";
        assert_eq!(pages.evaluate(send), 403, "consent for research was never given");
        pages.open(&self.patient(""));
        pages.follow("Growth chart");
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

/// Whoever was looked for was found soon enough.
#[track_caller]
fn in_few_clicks(pages: &Pages) {
    let clicks = pages.clicks();
    assert!((1..=CLICKS_MAX).contains(&clicks), "{clicks} clicks from the first page");
}
