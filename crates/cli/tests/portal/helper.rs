//! A helper: whose record it is, on every page, and what was given.

use serde_json::json;

use super::sharing::until_offered;
use super::support::browser::{Browser, Provider, configure};
use super::support::pages::Pages;
use super::support::{SYSTEM, World, bundle, json_of, run, succeeded, text};
use super::{A, record};

/// A helper chooses whose record, and sees on every page whose it is and what was given.
#[test]
fn a_helper_knows_whose_record_it_is() {
    let place = tempfile::tempdir().unwrap();
    let mut world =
        World::start_with(&[(A, "sign_in.patient_claim", json!("mrn")), (A, "sign_in.patient_system", json!(SYSTEM))]);
    let Some(provider) = Provider::start(&world, world.address(A)) else { return };
    let Some(mut pages) = Pages::start(place.path(), "portal-helper", None) else { return };
    configure(&mut world, A, &provider.issuer.clone());
    for patient in [1, 2] {
        world.put(A, &bundle(patient, 3)).unwrap().done();
    }
    world.put(A, record::labelled().to_string().as_bytes()).unwrap().done();
    let gateway = world.url(A);
    let add =
        |patient: &str, rights: &str| {
            let given = ["delegate", "add", patient, "--account", "anna", "--name", "Anna", "--relationship", "GUARD"];
            json_of(&world.run_at(
                A,
                &[&given[..], &["--rights", rights, "--labels", "general", "--days", "30", "--json"]].concat(),
            ))
        };
    let (first, _) = (add("p1", "read"), add("p2", "read,consent"));
    let mut anna = Browser::default();
    anna.sign_in(&gateway, "anna").with(200);
    let session = anna.session();
    let (name, value) = session.split_once('=').unwrap();
    pages.tell(&json!({"cookies": [{"name": name, "value": value, "url": gateway}]}));
    let choice = pages.check("choice", &format!("{gateway}/portal"));
    choice.says("Whose record?").says("Given Family1").says("Given Family2").says("legal guardian");
    let shown = pages.follow("Given Family1");
    assert!(shown.url.ends_with(first["id"].as_str().unwrap()), "{}", shown.url);
    for page in ["Timeline", "Sharing", "Devices", "Take along", "Helpers"] {
        pages.follow(page).says("You act for Given Family1 (legal guardian)").is_silent_about("Family2");
    }
    let shown = pages.check("summary", &shown.url);
    // How much is hidden is not theirs to know.
    shown.says("You act for Given Family1").says("What the patient did not let you see is not shown, and not counted");
    shown.is_silent_about("kept back");
    // The list of who looked is for who may see everything.
    let looked = pages.follow("Who looked");
    assert_eq!(looked.status, 403);
    looked.says("You act for Given Family1").says("Ask the patient to look");
    pages.follow("Helpers").says("Only the patient, or the hospital, chooses");
    // Deciding is a right of its own.
    pages.follow("Sharing").says("the patient did not let you decide");
    assert_eq!(pages.count(".danger"), 0);
    for (path, body, status) in [
        ("/sharing", "to=hospital-b&category=problems&purpose=TREAT&days=30", 403),
        ("/sharing/stop", "to=sealwort://test/gateway/hospital-b", 403),
        ("/delegates", "name=E&account=e&relationship=FRND&right=read&days=7&sees=all", 404),
        ("/delegates/end", "id=0123456789abcdef", 404),
    ] {
        let answered = pages.evaluate(&format!(
            "fetch({:?}, {{method: 'POST', body: new URLSearchParams({body:?} + '&form=' + document.querySelector('[name=form]').value)}})\
             .then((answer) => answer.text().then(() => answer.status))",
            format!("{}{path}", shown.url)
        ));
        assert_eq!(answered, status, "{path}");
    }
    let folder = world.folder(A);
    let search =
        ["audit", "search", "--folder", text(&folder), "--kind", "consent-changed", "--json", "--most", "1000"];
    let entered = json_of(&run(&search));
    let refused = entered.as_array().unwrap().iter().filter(|one| one["code"] == "delegation-insufficient");
    assert_eq!(refused.count(), 2, "{entered:#}");
    // The first page asks for nothing that is not theirs: one look at the list was refused, the one that was tried.
    let search = ["audit", "search", "--folder", text(&folder), "--kind", "log-shown", "--json", "--most", "1000"];
    let entered = json_of(&run(&search));
    let refused = entered.as_array().unwrap().iter().filter(|one| one["code"] == "log-readers-only");
    assert_eq!(refused.count(), 1, "{entered:#}");
    pages.follow("Choose another record");
    pages.follow("Given Family2");
    let sharing = pages.follow("Sharing").url;
    until_offered(&mut pages, &sharing);
    pages.fill("Name of the hospital in this exchange", "hospital-b");
    pages.follow("Share").says("Shared. It counts from now on.");
    // Ended: with the next click nothing is shown any more.
    succeeded(&world.run_at(A, &["delegate", "remove", first["id"].as_str().unwrap()]));
    let ended = pages.open(&shown.url);
    assert_eq!(ended.status, 404);
    ended.says("choose a record that you can open").is_silent_about("Family1");
    let landed = pages.open(&format!("{gateway}/portal"));
    assert!(landed.url.starts_with(&format!("{gateway}/portal/")), "one record is left, and needs no choice");
    landed.says("You act for Given Family2");
    // Of two delegations for one patient each page acts by its own.
    for (rights, may_decide) in [("read", false), ("read,consent", true), ("read", false)] {
        let id = add("p1", rights)["id"].as_str().unwrap().to_owned();
        let shown = pages.open(&format!("{gateway}/portal/{id}/sharing"));
        assert_eq!(pages.count("#give"), u64::from(may_decide), "{rights}: {}", shown.text);
    }
}
