//! The patient portal as patients and their helpers see it: a real browser with a passkey, on the gateway's real pages over
//! TLS, beside a real broker, archive and a second hospital. Every page with its main action, in both themes, on a phone and
//! on a desktop, by keyboard, and without JavaScript; and a record full of injections, none of which does anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "portal/forms.rs"]
mod forms;
#[path = "portal/helper.rs"]
mod helper;
#[path = "portal/looked.rs"]
mod looked;
#[path = "portal/papers.rs"]
mod papers;
#[path = "portal/record.rs"]
mod record;
#[path = "portal/sharing.rs"]
mod sharing;
mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sharing::at_b;
use support::pages::{Certificate, PHONE, Pages, Shown};
use support::payloads::{self, STRUCK};
use support::{Party, World, encode, identifier, json_of, run, succeeded, text};

const A: Party = Party::HospitalA;
const B: Party = Party::HospitalB;

/// Hospital A with its gateway over TLS, and a browser of its patients.
struct Site {
    world: World,
    url: String,
    certificate: Certificate,
}

impl Site {
    fn start(place: &Path) -> Self {
        let certificate = Certificate::make(place);
        let address = support::free_address();
        let url = format!("https://localhost:{}", address.port());
        let world = World::start_with(&[
            (A, "fhir.address", json!(address)),
            (A, "fhir.public_url", json!(url)),
            (A, "fhir.certificate", json!(certificate.file)),
            (A, "fhir.key", json!(certificate.key)),
            (A, "emergency.at_registration.hospitals", json!(["hospital-a", "hospital-b"])),
            (A, "emergency.at_registration.labels", json!(["general"])),
        ]);
        Self { world, url, certificate }
    }

    /// A command of the hospital's staff.
    fn staff(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sealwort"))
            .args(arguments)
            .args(["--gateway", &self.url, "--cacert", text(&self.certificate.file)])
            .env_clear()
            .env("SEALWORT_CLIENT__TOKEN", self.world.token_of_user(A))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn put(&self, bundle: &Value) {
        let file = self.world.path().join(format!("{}.json", support::letters(8)));
        fs::write(&file, bundle.to_string()).unwrap();
        succeeded(&self.staff(&["put", text(&file)]));
    }

    fn page(&self, path: &str) -> String {
        format!("{}/portal/own{path}", self.url)
    }

    /// A new browser, in which a patient makes a passkey by an invitation and is signed in by it.
    fn sign_in(&self, place: &Path, patient: &str) -> Option<Pages> {
        let mut pages = Pages::start(place, "portal", Some(&self.certificate))?;
        let invited = json_of(&self.staff(&["passkey", "invite", patient, "--json"]));
        pages.open(&format!("{}/portal", self.url)).says("You decide who can open it");
        pages.follow("Sign in with a passkey");
        pages.fill_target(&json!("#code"), invited["code"].as_str().unwrap());
        let landed = pages.follow_target(&json!("#invitation button"));
        assert_eq!(landed.url, self.page(""), "after signing in a patient is on the portal: {}", landed.text);
        Some(pages)
    }
}

#[test]
fn a_patient_sees_decides_and_takes_along() {
    let place = tempfile::tempdir().unwrap();
    if Pages::start(place.path(), "portal", None).is_none() {
        return;
    }
    let site = Site::start(place.path());
    site.put(&record::bundle());
    site.put(&record::labelled());
    let enrolled =
        ["device", "enrol", "p1", "--kind", "pulse oximeter", "--measure", "oxygen-saturation", "--model", "PO-1"];
    succeeded(&site.staff(&enrolled));
    in_an_emergency(&site);
    let mut pages = site.sign_in(place.path(), "p1").unwrap();
    let pages = &mut pages;
    the_first_page(&site, pages);
    in_order_of_time(&site, pages);
    let fingerprint = one_thing(&site, pages, place.path());
    sharing::sharing(&site, pages);
    looked::who_looked(&site, pages, place.path());
    devices(&site, pages);
    taking_along(&site, pages, place.path(), &fingerprint);
    papers::check(&site, pages, place.path());
    looks_are_entered(&site);
    helpers(&site, pages);
    by_keyboard(&site, pages);
    without_scripts(&site, pages);
    forms::forms_are_the_sessions_own(&site, pages);
    // The door, and what is told after it is closed.
    pages.open(&site.page("/export"));
    let gone = pages.follow("Sign out");
    gone.says("signed out");
    pages.follow("Open your health record again").says("Sign in with a passkey");
    pages.check("door", &format!("{}/portal", site.url)).says("Sign in with a passkey");
    let shown = pages.open(&site.page("/timeline"));
    assert_eq!(shown.url, format!("{}/portal", site.url), "who is not signed in sees nothing");
}

/// Somebody at hospital B breaks the glass.
fn in_an_emergency(site: &Site) {
    let doctor = site.world.client(B);
    let asked = |text: &str, confirmation: &str| {
        let parts =
            [("patient", &*identifier(1)), ("reason", "unconscious"), ("text", text), ("confirmation", confirmation)];
        let parts: Vec<_> = parts.iter().map(|(name, value)| json!({"name": name, "valueString": value})).collect();
        doctor.send(
            "POST",
            "/fhir/$emergency-access",
            &[],
            json!({"resourceType": "Parameters", "parameter": parts}).to_string(),
        )
    };
    asked("found unconscious on the street", "I open the record of 1 in an emergency").with(201);
    let glass = [("Purpose-Of-Use", "BTG")];
    doctor.send("GET", &format!("/fhir/Patient?identifier={}", encode(&identifier(1))), &glass, "").with(200);
}

fn the_first_page(site: &Site, pages: &mut Pages) {
    let shown = pages.check("summary", &site.page(""));
    shown.says("Your own record: Ada Beispiel");
    // The ribbon: what is sealed, who can open it, who opened it last.
    shown.says("all encrypted").says("Who can open it").says("Last opened by somebody else").says("dr-test");
    // The newest of each, with number, unit and range of the data; blood pressure as a pair.
    let pressure = pages.evaluate(&card("Blood pressure", ".big"));
    assert_eq!(pressure, "142/91 mmHg");
    assert_eq!(pages.evaluate(&card("Heart rate", ".big")), "64.0 per minute");
    shown.says("above the usual range").says("Usual, says the record: 90 to 140 mmHg");
    // No range in the data, none on the page.
    assert!(!pages.evaluate(&card("Weight", ".big")).is_null());
    assert_eq!(pages.evaluate(&card("Weight", ".usual")), Value::Null);
    assert_eq!(pages.evaluate(&card("Weight", ".band")), Value::Null);
    assert_eq!(pages.count("svg.chart"), 3, "each measurement with more than one value has a chart");
    assert!(pages.count("svg.chart .band") > 0);
    shown.says("Ibuprofen").says("one in the morning").says("Asthma").says("Peanuts").says("Tetanus");
    shown.is_silent_about("(disorder)").is_silent_about("Old fracture").is_silent_about("Body temperature");
    no_foreign_words(&shown);
}

/// A text within the card of this heading.
fn card(heading: &str, selector: &str) -> String {
    format!(
        "[...document.querySelectorAll('.card')].find((card) => card.querySelector('h3')?.innerText.startsWith({heading:?}))\
         ?.querySelector({selector:?})?.textContent.trim()"
    )
}

/// Nothing of how it is built is shown to patients.
#[track_caller]
fn no_foreign_words(shown: &Shown) {
    for word in
        ["FHIR", "Observation", "MedicationRequest", "resource", "pseudonym", "http://", "loinc", "TREAT", "Patient/"]
    {
        let found = shown.text.contains(word);
        assert!(!found, "{} shows {word:?}:\n{}", shown.url, shown.text);
    }
}

fn in_order_of_time(site: &Site, pages: &mut Pages) {
    let shown = pages.check("timeline", &site.page("/timeline"));
    shown.says("Check-up at the practice").says("Heart rate").says("Letter from the specialist");
    no_foreign_words(&shown);
    // Grouped by visit: what belongs to it stands below it.
    let of_visit = pages.evaluate(
        "[...document.querySelectorAll('section.visit')].find((one) => one.innerText.includes('Check-up at the practice')).innerText",
    );
    assert!(of_visit.as_str().unwrap().contains("142/91"), "{of_visit}");
    // Words and a kind narrow it; they stand in no address.
    pages.fill("Words to look for", "ASTHMA");
    let found = pages.follow("Find");
    found.says("1 entry").says("Asthma").is_silent_about("Heart rate");
    assert_eq!(found.url, site.page("/timeline"));
    pages.fill("Words to look for", "nothing-like-this");
    pages.follow("Find").says("Nothing in your record fits");
    pages.fill("Words to look for", "");
    pages.fill("What kind", "vaccine");
    pages.follow("Find").says("Tetanus").is_silent_about("Asthma");
    pages.open(&site.page("/timeline?kind=vital")).says("Blood pressure").is_silent_about("Tetanus");
}

/// Gives back the fingerprint of the letter's receipt.
fn one_thing(site: &Site, pages: &mut Pages, place: &Path) -> String {
    pages.open(&site.page("/timeline"));
    let shown = pages.follow("Letter from the specialist");
    let url = shown.url.clone();
    assert!(!url.contains("letter") && !url.contains("p1"), "an address names nothing: {url}");
    let shown = pages.check("item", &url);
    shown.says("Document").says("Written and signed by").says("hospital-a").says("Place in your log");
    no_foreign_words(&shown);
    let original = pages.download(&json!({"name": "Download the original"}), &place.join("original"));
    let original: Value = serde_json::from_slice(&fs::read(original).unwrap()).unwrap();
    assert_eq!((&original["resourceType"], &original["id"]), (&json!("DocumentReference"), &json!("letter")));
    let document = pages.download(&json!({"name": "Download document 1 (txt, 1 kB)"}), &place.join("document"));
    assert_eq!(fs::read_to_string(document).unwrap(), record::LETTER);
    let fingerprint = pages.text_of("dd code");
    assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()), "{fingerprint}");
    let missing = pages.open(&site.page(&format!("/item/{}", "0".repeat(24))));
    assert_eq!(missing.status, 404);
    missing.says("Go back to the summary");
    fingerprint
}

fn devices(site: &Site, pages: &mut Pages) {
    let shown = pages.check("devices", &site.page("/devices"));
    shown
        .says("pulse oximeter")
        .says("PO-1")
        .says("oxygen saturation")
        .says("Devices that you sign in with")
        .says("Made");
    shown.says("Hip implant");
    no_foreign_words(&shown);
}

fn taking_along(site: &Site, pages: &mut Pages, place: &Path, fingerprint: &str) {
    let shown = pages.check("export", &site.page("/export"));
    no_foreign_words(&shown);
    let summary = pages.download(&json!({"name": "Download the summary"}), &place.join("summary"));
    let summary: Value = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    assert_eq!(
        (&summary["type"], &summary["entry"][0]["resource"]["resourceType"]),
        (&json!("document"), &json!("Composition"))
    );
    // Over HTTP/2, compressed, as browsers ask for it.
    let everything = pages.download(&json!({"name": "Download everything"}), &place.join("everything"));
    let mut folder = zip::ZipArchive::new(fs::File::open(everything).unwrap()).unwrap();
    for part in [
        "p1/p1.phr",
        "p1/ips.json",
        "p1/consent.json",
        "p1/access-log.json",
        "p1/manifest.json",
        "p1/manifest.json.jws",
    ] {
        assert!(folder.by_name(part).is_ok(), "{part}");
    }
    // The receipt of the page is the provenance of the file.
    let mut record = String::new();
    std::io::Read::read_to_string(&mut folder.by_name("p1/p1.phr").unwrap(), &mut record).unwrap();
    let is_of_letter = |line: &&str| line.contains("\"Provenance\"") && line.contains("DocumentReference/letter");
    let provenance = record.lines().find(is_of_letter).unwrap();
    assert!(provenance.contains(fingerprint), "{fingerprint}: {provenance}");
    let log = site.world.log_text(A);
    assert!(!log.contains("panicked"), "{}", log.lines().find(|line| line.contains("panicked")).unwrap_or_default());
    pages.open(&site.page("/export"));
    let print = pages.follow("Open the page to print");
    print.says("Ada Beispiel").says("Born").says("Peanuts").says("142/91");
    pages.check("print", &site.page("/print"));
    no_foreign_words(&print);
    // On paper there are no buttons and no navigation.
    pages.tell(&json!({"media": "print"}));
    for hidden in ["nav", ".account form", ".screen"] {
        let shown = pages
            .evaluate(&format!("[...document.querySelectorAll('{hidden}')].every((one) => one.offsetParent === null)"));
        assert_eq!(shown, true, "{hidden}");
    }
    pages.tell(&json!({"media": "screen"}));
    let pdf = place.join("print.pdf");
    pages.tell(&json!({"pdf": text(&pdf)}));
    assert!(fs::read(&pdf).unwrap().starts_with(b"%PDF"));
}

/// Each kind of look has its entry, in the patient's own name.
fn looks_are_entered(site: &Site) {
    let folder = site.world.folder(A);
    for kind in ["record-read", "consent-read", "consent-changed", "log-shown", "list-read", "exported"] {
        let search = ["audit", "search", "--folder", text(&folder), "--kind", kind, "--json", "--most", "1000"];
        let found = json_of(&run(&search));
        let own = found.as_array().unwrap().iter().filter(|one| one["role"] == "patient" && one["purpose"] == "PATRQT");
        assert!(own.count() > 0, "{kind}: {found:#}");
    }
}

fn helpers(site: &Site, pages: &mut Pages) {
    pages.check("delegates", &site.page("/delegates")).says("Nobody acts for you");
    pages.fill("Their name", "Anna <b>Muster</b>");
    pages.fill("The name with which they sign in at this hospital", "anna");
    pages.fill("Who they are to you", "GUARD");
    pages.fill("For how long", "30");
    let added = pages.follow("Let them act for me");
    added
        .says("They can open your record from now on")
        .says("Anna <b>Muster</b>")
        .says("legal guardian")
        .says("see your record");
    pages.check("delegates-added", &site.page("/delegates"));
    pages.open(&site.page("")).says("Anna <b>Muster</b>, who acts for you");
    pages.open(&site.page("/delegates"));
    let listed = json_of(&site.staff(&["delegate", "list", "p1", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    pages
        .follow("End this: Anna <b>Muster</b>")
        .says("Everything that they had open is closed")
        .says("Nobody acts for you");
    assert_eq!(json_of(&site.staff(&["delegate", "list", "p1", "--json"])), json!([]));
    // What is wrong is told in words, and nothing is done.
    pages.fill("Their name", "Eve");
    pages.fill("The name with which they sign in at this hospital", "eve");
    pages.click(&json!("input[name=right][value=read]"));
    let wrong = pages.follow("Let them act for me");
    assert_eq!(wrong.status, 422);
    wrong.says("at least one thing that they may do");
}

fn by_keyboard(site: &Site, pages: &mut Pages) {
    // The first stop leads past the navigation.
    pages.open(&site.page(""));
    let first = pages.press("Tab", 1);
    assert_eq!(first["name"], "Skip to the content");
    pages.press("Enter", 1);
    assert_eq!(pages.evaluate("document.activeElement.id"), "content");
    // The main action of a page is reached and done with keys alone.
    pages.open(&site.page(""));
    pages.tab_to("Change who can open it");
    pages.press_to_leave("Enter").says("Share with somebody new");
    pages.tab_to("Share");
    pages.open(&site.page("/timeline"));
    pages.tab_to("Find");
    pages.press_to_leave("Enter").says("Check-up at the practice");
    pages.open(&site.page("/looked"));
    pages.tab_to("Download with proof");
    pages.open(&site.page("/export"));
    pages.tab_to("Download everything");
    pages.open(&site.page("/delegates"));
    pages.tab_to("Let them act for me");
}

fn without_scripts(site: &Site, pages: &mut Pages) {
    pages.scripts(false);
    pages.viewport(PHONE);
    pages.open(&site.page("")).says("142/91");
    pages.follow("Sharing");
    pages.fill("Name of the hospital in this exchange", "hospital-b");
    pages.follow("Share").says("Shared. It counts from now on.");
    assert_eq!(at_b(site).0, 200);
    pages.follow("Stop sharing with hospital-b").says("Stopped");
    assert_eq!(at_b(site).1, 0);
    pages.follow("Timeline");
    pages.fill("Words to look for", "asthma");
    pages.follow("Find").says("1 entry");
    for page in ["/looked", "/devices", "/export", "/delegates", "/print"] {
        let shown = pages.open(&site.page(page));
        assert_eq!(shown.status, 200, "{page}");
    }
    pages.scripts(true);
    pages.viewport(support::pages::DESKTOP);
}

/// 200 injections in names, values, notes and narratives of one patient's record: they are text on every page, they run
/// nothing, and they fetch nothing.
#[test]
fn what_a_record_holds_is_text_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    if Pages::start(place.path(), "portal", None).is_none() {
        return;
    }
    // Whoever fetches something from here is heard.
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let payloads = payloads::all(&trap.local_addr().unwrap().to_string());
    assert_eq!(payloads.len(), 200);
    let site = Site::start(place.path());
    for bundle in payloads::bundles(2, &payloads) {
        site.put(&bundle);
    }
    let mut pages = site.sign_in(place.path(), "p2").unwrap();
    let mut seen = String::new();
    let look = |pages: &mut Pages, shown: &Shown| {
        assert_eq!(shown.status, 200, "{}: {}", shown.url, shown.text);
        // A script that ran would have left its mark, on this page or by a request.
        assert_eq!(pages.evaluate(STRUCK), json!([]), "{}", shown.url);
        pages.check_traffic(&shown.url);
    };
    for page in ["", "/sharing", "/looked?own=1", "/devices", "/print", "/delegates", "/timeline"] {
        let shown = pages.open(&site.page(page));
        look(&mut pages, &shown);
        seen.push_str(&shown.text);
    }
    // Everything once, page by page, and what hides behind some of it.
    let mut items: Vec<String> = Vec::new();
    loop {
        let hrefs = pages.evaluate("[...document.querySelectorAll('.events a')].map((one) => one.href)");
        items.extend(hrefs.as_array().unwrap().iter().map(|href| href.as_str().unwrap().to_owned()));
        if pages.evaluate("[...document.querySelectorAll('button')].some((one) => one.innerText === 'Older')") != true {
            break;
        }
        let shown = pages.follow("Older");
        pages.check_heard("older");
        assert_eq!(pages.evaluate("typeof window.struck"), "undefined");
        seen.push_str(&shown.text);
    }
    let missing: Vec<&usize> =
        payloads.iter().map(|(number, _)| number).filter(|number| !seen.contains(&format!("#{number:03}#"))).collect();
    assert!(missing.is_empty(), "stored and not shown: {missing:?}");
    for item in items.iter().step_by(9) {
        let shown = pages.open(item);
        look(&mut pages, &shown);
    }
    pages.screenshot("injections");
    assert!(trap.accept().is_err(), "something was fetched");
}
