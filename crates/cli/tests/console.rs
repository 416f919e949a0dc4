//! The operator's console as operators and auditors see it: a real browser and a real OpenID provider, on the pages of a
//! real broker over TLS, with authority, archive and two hospitals behind it. Every page with its main action, in both
//! themes, on a phone and on a desktop, and without JavaScript; what needs attention comes first; whoever has no role stays
//! outside; and nothing of a patient is in any page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use support::browser::{Provider, SECRET, private_file};
use support::pages::{Certificate, Pages, Shown};
use support::patient::{resources, search};
use support::{Party, SYSTEM, World, bundle, identifier, json_of, run, succeeded, text, until, until_within};

const A: Party = Party::HospitalA;
const B: Party = Party::HospitalB;
const PATHS: [&str; 8] =
    ["/", "/participants", "/sessions", "/refusals", "/keys", "/audit", "/diagnosis", "/throughput"];
/// How long a gateway may take that joins anew, and comes to a broker that was told of it.
const JOINS: Duration = Duration::from_mins(2);
/// Patients' numbers are long, so that no other number of a page holds one.
const PATIENT: usize = 48_151_623;

/// An exchange whose broker has a console.
struct Site {
    world: World,
    url: String,
    provider: Provider,
    certificate: Certificate,
}

impl Site {
    fn start(place: &Path) -> Option<Self> {
        let certificate = Certificate::make(place);
        let address = support::free_address();
        let url = format!("https://localhost:{}", address.port());
        let mut world = World::start_with(&[
            (Party::Archive, "audit.cosign_every", json!("1s")),
            (Party::Broker, "audit.cosign_every", json!("1s")),
            (A, "audit.cosign_every", json!("1s")),
            (B, "audit.cosign_every", json!("1s")),
        ]);
        let provider = Provider::start_with(
            &world,
            &json!({
                "client_id": "console", "client_secret": SECRET, "redirect_uris": [format!("{url}/login/callback")],
                "post_logout_redirect_uris": [format!("{url}/signed-out")],
                "roles": {"olga": ["staff", "operators"], "axel": ["auditors"], "gast": ["staff"]},
            }),
        )?;
        // Without a certificate a console is for this computer alone.
        world.set(Party::Broker, "console.address", json!("0.0.0.0:0"));
        world.stop(Party::Broker);
        let said = world.restart_or_refusal(Party::Broker).expect("a console in the open without TLS");
        assert!(said.contains("console.certificate"), "{said}");
        let secret = private_file(&world, "console.secret", SECRET);
        for (key, value) in [
            ("address", json!(address)),
            ("public_url", json!(url)),
            ("certificate", json!(certificate.file)),
            ("key", json!(certificate.key)),
            ("trusted_proxies", json!(["127.0.0.1"])),
            ("ask_every", json!("500ms")),
            ("certificates_below", json!("12h")),
            ("sign_in.provider.issuer", json!(provider.issuer)),
            ("sign_in.provider.client_id", json!("console")),
            ("sign_in.provider.secret_file", json!(secret)),
            ("sign_in.operators", json!(["operators"])),
            ("sign_in.auditors", json!(["auditors"])),
            ("sign_in.provider.inside", json!(true)),
        ] {
            world.set(Party::Broker, &format!("console.{key}"), value);
        }
        world.restart(Party::Broker);
        Some(Self { world, url, provider, certificate })
    }

    fn page(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Does what the provider's pages want: who, and yes. The page that the provider leads back to.
    fn sign_in(&self, pages: &mut Pages, user: &str) -> Shown {
        pages.tell(&json!({"forget": true}));
        let mut shown = pages.open(&self.page("/participants"));
        for _ in 0..3 {
            if shown.url.starts_with(&self.url) {
                return shown;
            }
            assert!(shown.url.starts_with(&self.provider.issuer), "{}", shown.url);
            if pages.count("input[name=login]") > 0 {
                pages.fill_target(&json!("input[name=login]"), user);
                pages.fill_target(&json!("input[name=password]"), "any");
            }
            shown = pages.follow_target(&json!("button[type=submit]"));
        }
        assert!(shown.url.starts_with(&self.url), "the provider does not let {user} go: {}", shown.url);
        shown
    }

    fn audit(&self, arguments: &[&str]) -> Value {
        let folder = self.world.folder(Party::Broker);
        json_of(&run(&[&["audit", "search", "--folder", text(&folder), "--json"], arguments].concat()))
    }

    /// All that a page must not hold: the patient's name and number, the pseudonym, and a user of the hospital.
    fn of_patients(&self) -> Vec<String> {
        let found = self.audit(&["--kind", "request-decided"]);
        let one = found.as_array().unwrap().iter().find(|one| one["patient"].is_string()).expect("a decision");
        let pseudonym = one["patient"].as_str().unwrap().to_owned();
        assert!(pseudonym.len() >= 32, "{pseudonym}");
        let known = [format!("Family{PATIENT}"), PATIENT.to_string(), SYSTEM.to_owned(), "dr-test".to_owned()];
        known.into_iter().chain([pseudonym]).collect()
    }

    fn revoke(&self, name: &str) -> Output {
        run(&["ca", "revoke", name, "--config", text(&self.world.config(Party::Ca))])
    }
}

#[test]
fn operators_see_what_needs_attention_and_nothing_of_patients() {
    let place = tempfile::tempdir().unwrap();
    if Pages::start(place.path(), "console", None).is_none() {
        return;
    }
    let Some(mut site) = Site::start(place.path()) else { return };
    let mut browser = Pages::start(place.path(), "console", Some(&site.certificate)).unwrap();
    let pages = &mut browser;
    traffic(&site);
    only_roles_get_in(&site, pages);
    // Who was on the way to a page begins at the overview.
    let first = site.sign_in(pages, "olga");
    first.says("Overview").says("olga (operator)");
    overview(&site, pages);
    participants(&site, pages);
    forms_are_of_their_session(&site, pages);
    sessions(&site, pages);
    refusals(&site, pages);
    keys(&site, pages);
    audit(&site, pages);
    diagnosis(&site, pages);
    throughput(&site, pages);
    nothing_of_patients(&site, pages);
    commands_exist(&site, pages);
    without_scripts(&site, pages);
    other_routes_are_not_here(&site, pages);
    attention(&mut site, pages);
    auditors_change_nothing(&site, pages);
    what_was_done_is_entered(&site);
}

/// A patient of hospital A, whom hospital B is refused.
fn traffic(site: &Site) {
    // The hospitals come back to the broker that was started anew.
    until(|| site.world.put(A, &bundle(PATIENT, 3)).ok().filter(|answer| answer.status == 200));
    until(|| (resources(&site.world, A, PATIENT) > 3).then_some(()));
    assert_eq!(resources(&site.world, B, PATIENT), 0);
    assert!(search(PATIENT).contains(&PATIENT.to_string()) && identifier(PATIENT).starts_with(SYSTEM));
}

fn only_roles_get_in(site: &Site, pages: &mut Pages) {
    // Behind a proxy the client's address counts; what stands before it in the header, anybody can write.
    pages.tell(&json!({"headers": {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}}));
    let shown = site.sign_in(pages, "gast");
    pages.tell(&json!({"headers": {}}));
    assert_eq!(shown.status, 403);
    shown.says("You were not signed in").says("you are gast").says("no role");
    pages.check_accessible("refused");
    pages.screenshot("refused");
    let shown = pages.open(&site.page("/keys"));
    assert!(shown.url.starts_with(&site.provider.issuer) || shown.status == 403, "{}", shown.url);
    let callback = pages.open(&site.page("/login/callback?code=x&state=y"));
    assert_eq!(callback.status, 403);
    callback.says("not one that this browser began");
    // That one comes from no sign-in that began here: anybody can ask for it, so that it is no entry.
    let entered = site.audit(&["--kind", "signed-in"]);
    let refused: Vec<_> = entered.as_array().unwrap().iter().filter(|one| one["outcome"] == "refused").collect();
    assert!(refused.iter().all(|one| one["user"] == "gast"), "{entered:#}");
    let from = |address: &str| refused.iter().any(|one| one["details"]["address"] == address);
    assert!(from("203.0.113.9") && !from("198.51.100.1"), "{entered:#}");
}

/// A form of another site or of another session does nothing, whatever its sender may do.
fn forms_are_of_their_session(site: &Site, pages: &mut Pages) {
    pages.open(&site.page("/sessions")).says("olga (operator)");
    let session = pages.evaluate("document.querySelector('input[name=session]').value");
    let session = session.as_str().unwrap();
    for path in ["/sessions/end", "/sessions/people/end", "/logout", "/audit/verify", "/diagnosis/ask"] {
        for form in ["", "form=x&"] {
            let body = format!("new URLSearchParams('{form}session={session}')");
            let post = format!("fetch('{path}', {{method: 'POST', body: {body}}}).then((answer) => answer.status)");
            assert_eq!(pages.evaluate(&post), 403, "{path} {form}");
        }
    }
    pages.open(&site.page("/audit")).says("The log was not verified since this broker started");
    pages.open(&site.page("/sessions")).says("olga (operator)");
    assert_eq!(pages.count(&format!("input[value='{session}']")), 1, "it goes on");
}

fn overview(site: &Site, pages: &mut Pages) {
    until(|| pages.open(&site.page("/")).contains("Nothing needs attention").then_some(()));
    let shown = pages.check("overview", &site.page("/"));
    shown.says("Gateways here").says("2 / 2").says("This broker").says("sealwort://test/broker/broker");
    // It renews itself, without a new page, and stops when it is told to.
    pages.evaluate("document.querySelector('#overview').dataset.first = '1'");
    pages.tell(&json!({"wait": {"expression": "document.querySelectorAll('#overview .findings, #overview .note').length > 0 && window.performance.getEntriesByType('resource').some((one) => one.name.includes('part=1'))"}}));
    assert_eq!(pages.count("#overview #attention"), 1, "the part is put in its place");
    let paused = pages.follow("Pause");
    paused.says("Paused");
    assert_eq!(pages.count("[hx-trigger]"), 0);
    pages.follow("Go on").says("Renews itself");
    assert_eq!(pages.count("[hx-trigger]"), 1);
}

fn participants(site: &Site, pages: &mut Pages) {
    let shown = pages.check("participants", &site.page("/participants"));
    for name in ["hospital-a", "hospital-b", "archive", "broker"] {
        shown.says(name);
    }
    shown.says("days left").is_silent_about("revoked").says("sealwort ca revoke NAME");
    pages.fill("Which", "gateway");
    let filtered = pages.follow("Show");
    filtered.says("2 parties").says("hospital-a");
    assert_eq!(pages.count("tbody tr"), 2);
}

fn sessions(site: &Site, pages: &mut Pages) {
    let shown = pages.check("sessions", &site.page("/sessions"));
    shown.says("gateway/hospital-a").says("gateway/hospital-b");
    let of_a = "[...document.querySelectorAll('tbody tr')].find((row) => row.innerText.includes('hospital-a'))";
    let before = pages.evaluate(&format!("{of_a}.querySelector('code').innerText"));
    let button = pages.evaluate(&format!("{of_a}.querySelector('button').ariaLabel"));
    pages.follow(button.as_str().unwrap()).says("The session was ended");
    assert!(
        !pages
            .evaluate("document.querySelector('table').innerText")
            .as_str()
            .unwrap()
            .contains(before.as_str().unwrap())
    );
    // The hospital goes on with another one, once it has noticed.
    until(|| {
        let served = resources(&site.world, A, PATIENT) > 3;
        (served && pages.open(&site.page("/sessions")).contains("gateway/hospital-a")).then_some(())
    });
}

fn refusals(site: &Site, pages: &mut Pages) {
    until(|| {
        assert_eq!(resources(&site.world, B, PATIENT), 0);
        pages.open(&site.page("/refusals")).contains("consent-no-provision").then_some(())
    });
    let shown = pages.check("refusals", &site.page("/refusals"));
    shown.says("consent-no-provision").says("consent does not name this hospital");
    assert!(pages.count("tbody svg.chart") > 0);
    pages.fill("Over", "168");
    pages.follow("Show").says("consent-no-provision");
}

fn keys(site: &Site, pages: &mut Pages) {
    let name = |pages: &mut Pages| pages.text_of("#kek ~ dl dd code");
    let shown = pages.check("keys", &site.page("/keys"));
    shown.says("in the file kek.key").says("Next renewal");
    let before = name(pages);
    let folder = site.world.folder(Party::Broker);
    let command = format!("sealwort store rotate-key --folder {}", folder.display());
    shown.says(&command);
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    succeeded(&run(&arguments));
    until(|| {
        pages.open(&site.page("/keys"));
        (name(pages) != before).then_some(())
    });
}

fn audit(site: &Site, pages: &mut Pages) {
    pages.open(&site.page("/audit"));
    pages.fill("What happened", "request-decided");
    pages.fill("How it ended", "done");
    let found = pages.follow("Search");
    assert!(pages.count("#results tbody tr") > 0, "{}", found.text);
    found.says("request-decided").says("hospital-a").says("Patients, and names of hospitals' users, are left out");
    pages.check("audit", &found.url);
    // Newest first, page by page; each search is an entry itself.
    pages.evaluate("Promise.all(Array.from({length: 60}, () => fetch('/audit?find=1'))).then(() => 0)");
    let all = pages.open(&site.page("/audit?find=1"));
    assert_eq!(pages.count("#results tbody tr"), 50, "{}", all.text);
    let numbers = "[...document.querySelectorAll('#results tbody th')].map((one) => Number(one.innerText))";
    let first: Vec<u64> = serde_json::from_value(pages.evaluate(numbers)).unwrap();
    assert!(first.is_sorted_by(|one, next| one > next), "{first:?}");
    pages.follow("Older entries");
    let second: Vec<u64> = serde_json::from_value(pages.evaluate(numbers)).unwrap();
    assert_eq!(second.first().map(|number| number + 1), first.last().copied());
    // The whole log, and who else vouches for it.
    until(|| {
        pages.open(&site.page("/audit"));
        let verified = pages.follow("Verify the whole log now");
        (verified.contains("are as they were signed") && verified.contains("Others vouch for the log")).then_some(())
    });
    pages.check_accessible("verified");
    pages.screenshot("verified");
}

fn diagnosis(site: &Site, pages: &mut Pages) {
    let shown = pages.check("diagnosis", &site.page("/diagnosis"));
    shown.says("broker → archive").says("broker → certificate authority").says("gateway hospital-a → broker");
    shown.says("reached").says("answered in").says("the same, to within a second").says("sealwort 0.1.0");
    shown.says("embedded (SQLite)").says("Commits of the audit log").is_silent_about("not reached");
    pages.follow("Ask archive and authority now").says("were asked again");
}

fn throughput(site: &Site, pages: &mut Pages) {
    let shown = pages.check("throughput", &site.page("/throughput"));
    shown.says("Requests and refusals per second").says("How long answers took").says("Requests in this hour");
    assert_eq!(pages.count("#charts svg.wide"), 2);
    assert!(pages.count("#charts table tbody tr") > 0, "the numbers are there as a table, too");
}

/// What the pages are made of, not only what is seen of them.
fn nothing_of_patients(site: &Site, pages: &mut Pages) {
    let secrets = site.of_patients();
    let searches = ["/audit?find=1", "/audit?find=1&kind=request-decided", "/audit?find=1&kind=patient-registered"];
    for path in PATHS.iter().chain(&searches) {
        let html = pages.evaluate(&format!("fetch({path:?}).then((answer) => answer.text())"));
        let html = html.as_str().unwrap();
        assert!(html.contains("<h1>"), "{path}: {html}");
        for secret in &secrets {
            assert!(!html.contains(secret.as_str()), "{path} holds {secret}");
        }
    }
}

/// What a page tells to type is there to be typed: the command, and each option of it.
fn commands_exist(site: &Site, pages: &mut Pages) {
    let mut seen = 0;
    for path in PATHS {
        pages.open(&site.page(path));
        let typed = pages.evaluate("[...document.querySelectorAll('pre.command code')].map((one) => one.innerText)");
        let typed: Vec<String> = serde_json::from_value(typed).unwrap();
        for command in typed.iter().filter(|command| command.starts_with("sealwort ")) {
            let words: Vec<&str> = command.split_whitespace().skip(1).collect();
            let verbs: Vec<&str> = words
                .iter()
                .copied()
                .take_while(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
                .take_while(|word| !word.starts_with('-'))
                .collect();
            let help = run(&[&verbs[..], &["--help"]].concat());
            succeeded(&help);
            let help = String::from_utf8(help.stdout).unwrap();
            for option in words.iter().filter(|word| word.starts_with('-')) {
                assert!(help.contains(option), "{command}: {option} is no option: {help}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

fn without_scripts(site: &Site, pages: &mut Pages) {
    pages.scripts(false);
    pages.open(&site.page("/")).says("Nothing needs attention");
    pages.follow("Audit log");
    pages.fill("What happened", "session-begun");
    pages.follow("Search").says("hospital-a");
    // A walk that takes longer goes on in the background.
    pages.follow("Verify the whole log now");
    until(|| pages.open(&site.page("/audit")).contains("are as they were signed").then_some(()));
    pages.follow("Throughput");
    assert_eq!(pages.count("svg.wide"), 2);
    pages.follow("Diagnosis");
    pages.follow("Ask archive and authority now").says("were asked again");
    pages.scripts(true);
}

/// What gateways and load balancers ask for is on another listener, and pages are not there.
fn other_routes_are_not_here(site: &Site, pages: &mut Pages) {
    for path in ["/v1/channel", "/v1/authenticate/1", "/v1/log/checkpoint", "/readyz", "/nothing"] {
        let shown = pages.open(&site.page(path));
        assert_eq!(shown.status, 404, "{path}");
        shown.says("There is no such page");
    }
    pages.check_accessible("nowhere");
}

/// A gateway whose certificates end soon, and one that was revoked, come first, with what mends it; then an archive that is
/// away before both.
fn attention(site: &mut Site, pages: &mut Pages) {
    // Hospital A joins anew, and is given certificates for two hours.
    site.world.set(Party::Ca, "party_lifetime", json!("2h"));
    site.world.stop(Party::Ca);
    site.world.restart(Party::Ca);
    site.world.stop(A);
    fs::remove_file(site.world.folder(A).join("membership.json")).unwrap();
    fs::remove_file(site.world.path().join("hospital-a.invitation")).unwrap();
    site.world.join(A);
    site.world.restart(A);
    succeeded(&site.revoke("hospital-b"));
    let wanted =
        ["The certificates of gateway hospital-b are revoked", "The certificates of gateway hospital-a end in"];
    until_within(JOINS, || {
        let shown = pages.open(&site.page("/"));
        wanted.iter().all(|wanted| shown.contains(wanted)).then_some(())
    });
    assert_eq!(pages.evaluate("document.querySelectorAll('.findings > li').length"), 2);
    let shown = pages.check("attention", &site.page("/"));
    shown.says("sealwort ca invite gateway hospital-b --out hospital-b.invitation");
    commands_exist(site, pages);
    pages.open(&site.page("/"));
    shown.says("sealwort doctor --role gateway --config FILE").says("On the computer of the gateway hospital-a");
    assert_eq!(pages.evaluate("document.querySelector('main h2').innerText"), "Needs attention", "it comes first");
    pages.open(&site.page("/participants?show=attention")).says("2 parties").says("revoked").says("ends soon");
    // The archive goes away, and comes back.
    site.world.kill(Party::Archive);
    until(|| pages.open(&site.page("/")).contains("The archive at").then_some(()));
    let first = pages.text_of(".findings > li:first-child");
    assert!(first.contains("is not reached") && first.contains("sealwort archive --config FILE"), "{first}");
    pages.screenshot("archive-away");
    pages.open(&site.page("/diagnosis")).says("not reached");
    site.world.restart(Party::Archive);
    until(|| (!pages.open(&site.page("/")).contains("is not reached")).then_some(()));
}

fn auditors_change_nothing(site: &Site, pages: &mut Pages) {
    pages.follow("Sign out");
    let shown = pages.open(&site.page("/signed-out"));
    shown.says("You are signed out");
    pages.check_accessible("signed out");
    let shown = site.sign_in(pages, "axel");
    shown.says("axel (auditor)");
    until(|| pages.open(&site.page("/sessions")).contains("operators only").then_some(()));
    assert_eq!(pages.count("main button"), 0);
    // Nor by a form that the page does not offer, and nobody by one of another session.
    let post = |form: &str| {
        format!(
            "fetch('/sessions/end', {{method: 'POST', body: new URLSearchParams({{form: {form}, session: '00'}})}}).then((answer) => answer.status)"
        )
    };
    let own = "document.querySelector('input[name=form]').value";
    assert_eq!(pages.evaluate(&post(own)), 403);
    assert_eq!(pages.evaluate(&post("'x'")), 403);
    pages.open(&site.page("/audit"));
    pages.follow("Search").says("entries");
    // An operator signs somebody out here.
    site.sign_in(pages, "olga");
    pages.open(&site.page("/sessions"));
    assert!(pages.text_of("#people").contains("axel"));
    pages.follow("End the session of axel").says("They are signed out here");
    let people = pages.text_of("#people");
    assert!(people.contains("olga") && !people.contains("axel"), "{people}");
}

/// Who was let in and who was not, what was searched, and what was ended.
fn what_was_done_is_entered(site: &Site) {
    let by = |kind: &str, user: &str, fits: &dyn Fn(&Value) -> bool| {
        let found = site.audit(&["--kind", kind, "--user", user]);
        let of_console = |one: &&Value| one["details"]["method"] == "console" && fits(one);
        assert!(found.as_array().unwrap().iter().any(|one| of_console(&one)), "{kind} of {user}: {found:#}");
    };
    by("signed-in", "olga", &|one| one["outcome"] == "done" && one["role"] == "operator");
    by("signed-in", "axel", &|one| one["role"] == "auditor");
    by("signed-in", "gast", &|one| one["outcome"] == "refused" && one["code"] == "access-refused");
    by("signed-out", "olga", &|one| one["details"]["reason"] == "signed out");
    by("log-searched", "olga", &|one| one["details"]["query"] == "kind request-decided, outcome done");
    by("log-searched", "axel", &|one| one["details"]["query"] == "everything");
    by("sign-in-ended", "olga", &|one| one["details"]["subject"] == "axel");
    by("session-ended", "olga", &|one| {
        one["peer"] == "sealwort://test/gateway/hospital-a" && one["details"]["reason"] == "by an operator"
    });
}
