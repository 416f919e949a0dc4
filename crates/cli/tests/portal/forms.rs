//! Whose forms are taken: those of the session's own pages alone. And staff, who have no record here.

use serde_json::{Value, json};

use super::sharing::version;
use super::support::browser::{Browser, FORM, Provider, configure, split};
use super::support::pages::Pages;
use super::support::{Client, SYSTEM, World, bundle, encode, identifier, json_of, run, text};
use super::{A, B, Site};

/// What each form of the portal sends, without the session's secret.
const FORMS: [(&str, &str); 7] = [
    ("/timeline", "words=asthma&kind="),
    ("/sharing", "to=hospital-b&category=problems&purpose=TREAT&days=30"),
    ("/sharing/preview", "to=hospital-b&category=problems&purpose=TREAT&days=30"),
    ("/sharing/stop", "to=sealwort://test/gateway/hospital-b"),
    ("/looked/question/gateway-1", "question=why"),
    ("/delegates", "name=E&account=e&relationship=FRND&right=read&days=7&sees=all"),
    ("/delegates/end", "id=0123456789abcdef"),
];

/// A form without the session's secret does nothing, whichever it is.
pub(super) fn forms_are_the_sessions_own(site: &Site, pages: &mut Pages) {
    pages.open(&site.page("/sharing"));
    let before = version(pages);
    for (path, body) in FORMS {
        for secret in ["", "&form=", "&form=0123456789abcdef0123456789abcdef"] {
            let status = pages.evaluate(&format!(
                "fetch({:?}, {{method: 'POST', body: new URLSearchParams({:?})}}).then((answer) => answer.status)",
                site.page(path),
                format!("{body}{secret}")
            ));
            assert_eq!(status, 403, "{path} {secret:?}");
        }
    }
    pages.open(&site.page("/sharing"));
    assert_eq!(version(pages), before);
    assert_eq!(json_of(&site.staff(&["delegate", "list", "p1", "--json"])), json!([]));
    // Nobody's own record is at another handle.
    let other = pages.open(&format!("{}/portal/0123456789abcdef", site.url));
    assert_eq!(other.status, 404);
}

/// Forms of another site do nothing, with the session's cookie or without it; and whoever signed in to work here is told
/// that the portal is not for that.
#[test]
fn forms_of_other_sites_and_staff_do_nothing() {
    let mut world =
        World::start_with(&[(A, "sign_in.patient_claim", json!("mrn")), (A, "sign_in.patient_system", json!(SYSTEM))]);
    let Some(provider) = Provider::start(&world, world.address(A)) else { return };
    configure(&mut world, A, &provider.issuer.clone());
    world.put(A, &bundle(1, 3)).unwrap().done();
    let gateway = world.url(A);
    let (mut pat, mut staff) = (Browser::default(), Browser::default());
    assert!(pat.sign_in(&gateway, "pat").with(200).text().contains("Patient/p1"));
    staff.sign_in(&gateway, "dr-a").with(200);
    let client = Client::new(world.address(A), None);
    let post = |path: &str, body: &str, cookie: &str, origin: &str| {
        let fields = [FORM, ("Cookie", cookie), ("Origin", origin)];
        client.send("POST", &format!("/portal/own{path}"), &fields, body)
    };
    let host = split(&gateway).0;
    let shown = pat.send(&host, "/portal/own/sharing", None).with(200).text();
    assert!(shown.contains("Receipt of your decisions"), "{shown}");
    let (own, foreign) = (gateway.as_str(), "https://elsewhere.example");
    for (path, body) in FORMS {
        for forged in ["", "&form=0123456789abcdef0123456789abcdef"] {
            post(path, &format!("{body}{forged}"), &pat.session(), foreign).with(403);
        }
        // Browsers keep the cookie from forms of another site; then nobody is signed in.
        let turned = post(path, body, "", foreign).with(303);
        assert_eq!(turned.field("location"), Some("/portal"), "{path}");
        // Who signed in to work here has no record to send a form about, whatever its secret.
        let turned = post(path, body, &staff.session(), own).with(303);
        assert_eq!(turned.field("location"), Some("/portal"), "{path}");
    }
    let entered = |kind: &str| {
        let folder = world.folder(A);
        let search = ["audit", "search", "--folder", text(&folder), "--kind", kind, "--json", "--most", "1000"];
        let found: Value = json_of(&run(&search));
        found.as_array().unwrap().iter().filter(|one| one["role"] == "patient").count()
    };
    assert_eq!((entered("consent-changed"), entered("delegate-changed")), (0, 0));
    // What staff see.
    let door = staff.send(&host, "/portal", None).with(200).text();
    assert!(door.contains("You are signed in to work at the hospital"), "{door}");
    assert!(!door.contains("Whose record?") && !door.contains("/portal/own"), "{door}");
    for path in ["", "/timeline", "/looked", "/sharing", "/export", "/print", "/delegates"] {
        let turned = staff.send(&host, &format!("/portal/own{path}"), None).with(303);
        assert_eq!(turned.field("location"), Some("/portal"), "{path}");
    }
}

/// At a hospital that does not keep them, decisions about sharing are looked at and not changed.
#[test]
fn decisions_are_made_where_they_are_kept() {
    let mut world =
        World::start_with(&[(B, "sign_in.patient_claim", json!("mrn")), (B, "sign_in.patient_system", json!(SYSTEM))]);
    let Some(provider) = Provider::start(&world, world.address(B)) else { return };
    configure(&mut world, B, &provider.issuer.clone());
    world.put(A, &bundle(1, 3)).unwrap().done();
    world.consent(A, "grant", "p1", B).unwrap().done();
    world.get(B, &format!("/fhir/Patient?identifier={}", encode(&identifier(1)))).unwrap().done();
    world.get(B, "/fhir/Patient/p1/$everything").unwrap().done();
    let gateway = world.url(B);
    let mut pat = Browser::default();
    assert!(pat.sign_in(&gateway, "pat").with(200).text().contains("Patient/p1"));
    let shown = pat.send(&split(&gateway).0, "/portal/own/sharing", None).with(200).text();
    assert!(shown.contains("hospital-a keeps your decisions about sharing"), "{shown}");
    assert!(shown.contains("<dt>Kept and signed by</dt><dd>hospital-a</dd>"), "{shown}");
    for form in ["id=\"give\"", "/portal/own/sharing/stop"] {
        assert!(!shown.contains(form), "{form}: {shown}");
    }
}
