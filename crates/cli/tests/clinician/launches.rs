//! What record systems do beside the view: launches of any app, and signing in with a token where there is no provider.

use serde_json::{Value, json};

use crate::A;
use crate::support::smart::{App, access_token, hidden};
use crate::support::{World, encode, identifier};

pub(crate) fn launches(world: &World) {
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

pub(crate) fn signs_in_by_token(world: &World) {
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
