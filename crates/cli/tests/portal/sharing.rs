//! *Sharing*: who is offered, what is previewed, given and stopped, and what a wrong form says.

use serde_json::json;

use super::support::pages::Pages;
use super::support::{encode, identifier, until};
use super::{B, Site, no_foreign_words, record};

/// What hospital B is shown of the patient: status and how many resources.
pub(super) fn at_b(site: &Site) -> (u16, usize) {
    let found = site.world.get(B, &format!("/fhir/Patient?identifier={}", encode(&identifier(1)))).unwrap();
    let Some(id) =
        found.is_success().then(|| found.json()["entry"][0]["resource"]["id"].as_str().map(str::to_owned)).flatten()
    else {
        return (found.status, 0);
    };
    let all = site.world.get(B, &format!("/fhir/Patient/{id}/$everything?_count=500")).unwrap();
    let count = if all.is_success() { all.json()["entry"].as_array().map_or(0, Vec::len) } else { 0 };
    (all.status, count)
}

pub(super) fn sharing(site: &Site, pages: &mut Pages) {
    assert_eq!(at_b(site).1, 0, "not shared yet");
    let shown = pages.check("sharing", &site.page("/sharing"));
    shown.says("Share with somebody new").says("Receipt of your decisions").says("confirmed by the exchange");
    let before = version(pages);
    // What would they see? Nothing changes by asking.
    until_offered(pages, &site.page("/sharing"));
    pages.fill("Name of the hospital in this exchange", "hospital-b");
    pages.fill("For how long", "30");
    let preview = pages.follow("What would they see?");
    preview.says("hospital-b would see").says("Nothing has changed yet").says("Kept back").says("Mental health (1)");
    preview.says("Asthma").is_silent_about("Therapy notes");
    pages.check_accessible("preview");
    pages.screenshot("preview");
    no_foreign_words(&preview);
    assert_eq!(at_b(site).1, 0);
    // Give: at once, with its receipt.
    let given = pages.follow("Share exactly this");
    given.says("Shared. It counts from now on.").says("hospital-b").says("Everything but what is confidential");
    assert_eq!(version(pages), before + 1);
    let (status, count) = at_b(site);
    assert!(status == 200 && count > 10, "{status}: {count}");
    pages.check("sharing-given", &site.page("/sharing"));
    let preview = pages.follow("What would they see?: hospital-b");
    preview.says("hospital-b would see").is_silent_about("Nothing has changed yet");
    wrong_forms(site, pages, before + 1);
    // Stop: at once.
    pages.open(&site.page("/sharing"));
    let stopped = pages.follow("Stop sharing with hospital-b");
    stopped.says("Stopped. It counts from now on");
    let cards = "[...document.querySelectorAll('.card h2')].filter((one) => one.innerText === 'hospital-b').length";
    assert_eq!(pages.evaluate(cards), 0);
    assert_eq!(version(pages), before + 2);
    assert_eq!(at_b(site).1, 0);
    // A consent document is ended by the same button.
    site.put(&record::consent("sealwort://test/gateway/hospital-b"));
    assert_eq!(at_b(site).0, 200);
    pages.open(&site.page("/sharing")).says("A signed consent document allows this");
    pages.follow("Stop sharing with hospital-b").says("Stopped");
    assert_eq!(at_b(site).1, 0);
    // Where a document and a grant both allow it, both are ended.
    site.put(&record::consent("sealwort://test/gateway/hospital-b"));
    pages.open(&site.page("/sharing"));
    pages.fill("Name of the hospital in this exchange", "hospital-b");
    pages.fill("For how long", "30");
    pages.follow("Share").says("Shared");
    assert_eq!(at_b(site).0, 200);
    pages.follow("Stop sharing with hospital-b").says("Stopped. It counts from now on");
    assert_eq!(at_b(site).1, 0);
    // One that is about others as well is not ended by it.
    let mut both = record::consent("sealwort://test/gateway/hospital-b");
    let actors = both["entry"][0]["resource"]["provision"]["actor"].as_array_mut().unwrap();
    let mut other = actors[0].clone();
    other["reference"]["identifier"]["value"] = json!("sealwort://test/gateway/hospital-c");
    actors.push(other);
    site.put(&both);
    pages.open(&site.page("/sharing"));
    let refused = pages.follow("Stop sharing with hospital-b");
    assert_eq!(refused.status, 409);
    refused.says("Nothing was changed");
    assert_eq!(at_b(site).0, 200);
    both["entry"][0]["resource"]["status"] = json!("inactive");
    site.put(&both);
    assert_eq!(at_b(site).1, 0);
}

/// The list beside the field has the other hospitals once they have come to the broker. It needs no script.
pub(super) fn until_offered(pages: &mut Pages, sharing: &str) {
    until(|| {
        pages.open(sharing);
        let offered = pages.evaluate("[...document.querySelectorAll('#hospitals option')].map((one) => one.value)");
        (offered == json!(["hospital-b"])).then_some(())
    });
}

/// The version on the receipt.
pub(super) fn version(pages: &mut Pages) -> u64 {
    pages.text_of("#receipt dl > div:first-child dd").trim().parse().unwrap()
}

/// What is wrong in the form is told beside its field, what was filled in stays, and nothing changes.
fn wrong_forms(site: &Site, pages: &mut Pages, version_then: u64) {
    for name in ["no such hospital!", "hospitl-b"] {
        for button in ["Share", "What would they see?"] {
            pages.open(&site.page("/sharing"));
            pages.fill("Name of the hospital in this exchange", name);
            pages.fill("For how long", "7");
            pages.click(&json!("input[value=results]"));
            let wrong = pages.follow_target(&json!(if button == "Share" {
                "#give button:not([formaction])"
            } else {
                "#give button[formaction]"
            }));
            assert_eq!(wrong.status, 422, "{name}: {}", wrong.text);
            let beside = pages.text_of("#to-wrong");
            assert!(beside.contains("No hospital of this exchange has that name"), "{button}: {beside}");
            let kept = "[document.querySelector('#to').value, document.querySelector('#to').getAttribute('aria-describedby'), \
                        document.querySelector('#days').value, document.querySelector('input[value=results]').checked, \
                        document.querySelector('input[value=problems]').checked]";
            assert_eq!(pages.evaluate(kept), json!([name, "to-wrong to-hint", "7", false, true]));
        }
    }
    pages.check_accessible("sharing-wrong");
    pages.open(&site.page("/sharing"));
    pages.fill("Name of the hospital in this exchange", "hospital-b");
    pages.evaluate("document.querySelectorAll('#give input[name=category]:checked').forEach((one) => one.click())");
    let wrong = pages.follow_target(&json!("#give button:not([formaction])"));
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    assert!(pages.text_of("#category-wrong").contains("Choose at least one thing"));
    pages.open(&site.page("/sharing"));
    assert_eq!(version(pages), version_then);
}
