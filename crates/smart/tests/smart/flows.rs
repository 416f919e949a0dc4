//! Whole flows, in a straight line from discovery to the end of access.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use sealwort_smart::{
    Action, Apps, AuthorizationServer, Context, ErrorCode, KeptAccess, NumericDate, PatientChoice, Permission, Reader,
    TokenFault, User, describe,
};
use serde_json::{Value, json};

use crate::keys::SigningKey;
use crate::world::{
    CALLBACK, LAB, NOW, assertion, backend, code, consent, exchange, form, launch, monitor_key, parameter, randomness,
    request, server, user, ward_key,
};

fn later(seconds: u64) -> NumericDate {
    NOW.plus(seconds)
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn an_app_is_started_alone_and_sees_one_patient_until_it_gives_up_its_access() {
    let (mut server, mut random, dr_a) = (server(), randomness(), user("dr-a"));
    let document = server.smart_configuration();
    assert_eq!(document["token_endpoint"], "https://gateway.example/oauth/token");

    // The user is asked.
    let scope = "launch/patient openid fhirUser offline_access patient/Observation.rs patient/Observation.cud \
                 system/Patient.r launch/encounter";
    let mut parameters = request(scope);
    parameters.push(("nonce", "n-1"));
    let pending = server.authorize(&form(&parameters), &dr_a.name, NOW).unwrap();
    assert_eq!(pending.scopes.to_string(), "launch/patient openid fhirUser offline_access patient/Observation.rs");
    assert_eq!((pending.app_name.as_str(), &pending.patient), ("Trend", &PatientChoice::ToChoose));
    let dropped: Vec<_> = pending.dropped.iter().map(|dropped| dropped.text.as_str()).collect();
    assert_eq!(dropped, ["launch/encounter", "system/Patient.r"]);
    let texts: Vec<_> = pending.scopes.iter().map(|scope| describe(scope, Reader::Staff)).collect();
    assert!(texts.iter().any(|text| text.starts_with("see this patient's lab results, vital signs")), "{texts:?}");

    // The user approves, and the browser carries a code.
    let choice = consent(&pending, Some("demo-1"));
    let location = server.approve(pending.ticket.expose(), &dr_a, choice, &mut random, NOW).unwrap();
    assert!(location.starts_with(CALLBACK) && location.ends_with("&state=98wrghuwuogerg97"), "{location}");
    let code = parameter(&location, "code");

    // The app takes it for tokens.
    let response = server.exchange(&form(&exchange(&code)), &mut random, later(59)).unwrap();
    let body = response.to_json();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["patient"], &body["need_patient_banner"]),
        (&json!("Bearer"), &json!(3600), &json!("demo-1"), &json!(true))
    );
    assert_eq!(body["scope"], pending.scopes.to_string());

    // The identity token is for the app, verifies with the published key, and says who the user is.
    let id_token = body["id_token"].as_str().unwrap();
    let jwk: Jwk = serde_json::from_value(server.jwks()["keys"][0].clone()).unwrap();
    assert_eq!(server.jwks()["keys"][0].get("d"), None);
    let (message, signature) = id_token.rsplit_once('.').unwrap();
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    assert!(jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::RS256).unwrap());
    let expected = json!({
        "iss": "https://gateway.example", "sub": "dr-a", "aud": "trend", "exp": NOW.as_secs() + 359,
        "iat": NOW.as_secs() + 59, "nonce": "n-1", "fhirUser": "Practitioner/7",
    });
    assert_eq!(claims(id_token), expected);

    // The FHIR server lets it in, to what was approved.
    let access = server.check_access_token(body["access_token"].as_str().unwrap(), later(60)).unwrap();
    assert_eq!(access.access().patient.as_ref().unwrap().as_str(), "demo-1");
    assert_eq!(access.access().user.as_ref().unwrap(), &dr_a);
    assert_eq!(access.access().purpose.as_ref().unwrap().as_str(), "TREAT");
    let permits = |action, kind| access.access().scopes.permits(Context::Patient, action, kind);
    assert_eq!(permits(Action::Search, "Observation"), Permission::All);
    assert_eq!(permits(Action::Create, "Observation"), Permission::Denied);
    assert_eq!(permits(Action::Read, "Condition"), Permission::Denied);

    // Others may ask about it.
    let question = form(&[("token", body["access_token"].as_str().unwrap())]);
    let answer = server.introspect(&question, Some(&access), later(60)).unwrap();
    assert_eq!((&answer["active"], &answer["client_id"]), (&json!(true), &json!("trend")));
    assert_eq!((&answer["patient"], &answer["fhirUser"]), (&json!("demo-1"), &json!("Practitioner/7")));
    assert_eq!(answer["scope"], body["scope"]);
    let nonsense = server.introspect(&form(&[("token", "nonsense")]), Some(&access), later(60)).unwrap();
    assert_eq!(nonsense, json!({"active": false}));

    // The app comes back later, and a restart in between changes nothing.
    let kept = server.export();
    let kept_text = String::from_utf8(kept.to_vec()).unwrap();
    assert!(body["refresh_token"].as_str().unwrap().split('.').all(|half| !kept_text.contains(half)));
    let mut server = restarted(&kept);
    let first = body["refresh_token"].as_str().unwrap().to_owned();
    let refreshed = server.exchange(&refresh(&first), &mut random, later(10_000)).unwrap().to_json();
    assert_eq!((&refreshed["scope"], &refreshed["patient"]), (&body["scope"], &body["patient"]));
    let second = refreshed["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let refresh_answer = server.introspect(&form(&[("token", &second)]), Some(&access), later(10_000)).unwrap();
    assert_eq!(refresh_answer["active"], true);

    // The app gives up its access.
    server.revoke(&form(&[("client_id", "trend"), ("token", &second)]), later(10_001)).unwrap();
    let token = refreshed["access_token"].as_str().unwrap();
    assert_eq!(server.check_access_token(token, later(10_002)).unwrap_err(), TokenFault::Revoked);
    assert_eq!(refused(&mut server, &refresh(&second), later(10_002)), ErrorCode::InvalidGrant);
    assert_eq!(server.grants(later(10_002)).count(), 0);
}

/// A subscription and the like: what was kept of a token goes on until what it hangs on ends.
#[test]
fn what_was_kept_of_a_token_lasts_as_long_as_what_it_hangs_on() {
    let (mut server, mut random) = (server(), randomness());
    let long = "launch/patient offline_access patient/Observation.rs";
    let mut keep = |server: &mut AuthorizationServer, scope: &str, session: Option<&str>| {
        let dr_a = User { session: session.map(|session| session.parse().unwrap()), ..user("dr-a") };
        let pending = server.authorize(&form(&request(scope)), &dr_a.name, NOW).unwrap();
        let choice = consent(&pending, Some("demo-1"));
        let location = server.approve(pending.ticket.expose(), &dr_a, choice, &mut random, NOW).unwrap();
        let code = parameter(&location, "code");
        let answer = server.exchange(&form(&exchange(&code)), &mut random, NOW).unwrap().to_json();
        let token = server.check_access_token(answer["access_token"].as_str().unwrap(), NOW).unwrap();
        // It is kept on disk, and opens nothing.
        let kept = serde_json::to_string(&KeptAccess::from(&token)).unwrap();
        assert!(!kept.contains(answer["access_token"].as_str().unwrap()));
        (serde_json::from_str::<KeptAccess>(&kept).unwrap(), answer["refresh_token"].as_str().map(str::to_owned))
    };
    let (once, _) = keep(&mut server, "launch/patient patient/Observation.rs", None);
    let (approved, refresh_token) = keep(&mut server, long, None);
    server.begin_session("s-1".parse().unwrap());
    let present = "launch/patient online_access patient/Observation.rs";
    let (signed_in, _) = keep(&mut server, present, Some("s-1"));
    assert!(once.is_of_same(&approved) && once.is_of_same(&signed_in));
    let left = |server: &AuthorizationServer, kept: &KeptAccess, seconds: u64| {
        server.kept_access(kept, later(seconds)).map(|access| access.scopes.to_string())
    };
    let observations = Ok("launch/patient patient/Observation.rs".to_owned());
    assert_eq!(left(&server, &once, 3599), observations);
    assert_eq!(left(&server, &once, 3600), Err(TokenFault::Expired));
    for (kept, scopes) in [(&approved, long), (&signed_in, present)] {
        assert_eq!(left(&server, kept, 40_000), Ok(scopes.to_owned()), "the approval goes on");
    }
    server.close_session(&"s-1".parse().unwrap(), later(10));
    assert_eq!(left(&server, &signed_in, 11), Err(TokenFault::Revoked));
    assert_eq!(left(&server, &approved, 11), Ok(long.to_owned()));
    let body = form(&[("client_id", "trend"), ("token", &refresh_token.unwrap())]);
    server.revoke(&body, later(12)).unwrap();
    assert_eq!(left(&server, &approved, 13), Err(TokenFault::Revoked));
    assert_eq!(left(&server, &approved, 100_000), Err(TokenFault::Revoked));

    // An app's own: as long as it is registered, and with the scopes that it is registered with.
    let signed = assertion(&monitor_key(), "monitor", "kept-1");
    let answer = server.exchange(&backend(&signed, "system/Patient.r"), &mut random, NOW).unwrap().to_json();
    let token = server.check_access_token(answer["access_token"].as_str().unwrap(), NOW).unwrap();
    let own = KeptAccess::from(&token);
    assert!(!own.is_of_same(&once));
    assert_eq!(left(&server, &own, 100_000), Ok("system/Patient.r".to_owned()));
    server.set_apps(Apps::default());
    assert_eq!(left(&server, &own, 100_001), Err(TokenFault::Revoked));
}

fn restarted(kept: &[u8]) -> AuthorizationServer {
    let mut restarted = server();
    restarted.import(kept).unwrap();
    restarted
}

fn refresh(token: &str) -> Vec<u8> {
    form(&[("grant_type", "refresh_token"), ("client_id", "trend"), ("refresh_token", token)])
}

fn refused(server: &mut AuthorizationServer, body: &[u8], now: NumericDate) -> ErrorCode {
    server.exchange(body, &mut randomness(), now).unwrap_err().code()
}

#[test]
fn an_app_is_started_from_the_gateway_for_the_patient_who_is_open() {
    let (mut server, mut random, dr_a) = (server(), randomness(), user("dr-a"));
    let issued = server.issue_launch(launch("trend", "dr-a", "demo-2"), &mut random, NOW).unwrap();
    let url = issued.url.unwrap();
    assert!(url.starts_with("https://trend.example/launch?iss=https%3A%2F%2Fgateway.example%2Ffhir&launch="), "{url}");
    let scope = "launch patient/Patient.r online_access";
    let mut parameters = request(scope);
    parameters.push(("launch", issued.launch.expose()));
    let pending = server.authorize(&form(&parameters), &dr_a.name, later(10)).unwrap();
    assert_eq!(pending.patient, PatientChoice::Fixed("demo-2".parse().unwrap()));

    // Nobody else can answer this launch, and no other patient can be slipped in.
    assert!(server.authorize(&form(&parameters), &"dr-b".parse().unwrap(), later(10)).is_err());
    let ticket = pending.ticket.expose();
    assert!(server.approve(ticket, &dr_a, consent(&pending, Some("demo-1")), &mut random, later(20)).is_err());
    assert!(server.approve(ticket, &user("dr-b"), consent(&pending, None), &mut random, later(20)).is_err());
    let location = server.approve(ticket, &dr_a, consent(&pending, None), &mut random, later(20)).unwrap();

    // A launch is answered once.
    assert!(server.approve(ticket, &dr_a, consent(&pending, None), &mut random, later(20)).is_err());
    assert!(server.authorize(&form(&parameters), &dr_a.name, later(21)).is_err());

    let code = parameter(&location, "code");
    let body = server.exchange(&form(&exchange(&code)), &mut random, later(30)).unwrap().to_json();
    assert_eq!((&body["patient"], &body["need_patient_banner"]), (&json!("demo-2"), &json!(false)));
    assert_eq!(body["encounter"], "visit-1");
    assert_eq!(body.get("id_token"), None);

    // When the user signs out, the app cannot come back.
    server.end_session(&dr_a.name, later(40));
    assert_eq!(
        refused(&mut server, &refresh(body["refresh_token"].as_str().unwrap()), later(41)),
        ErrorCode::InvalidGrant
    );
}

#[test]
fn a_backend_service_gets_five_minutes_of_what_it_is_registered_for() {
    let (mut server, mut random) = (server(), randomness());
    for key in [monitor_key(), SigningKey::rsa("monitor-2")] {
        let proof = assertion(&key, "monitor", &format!("jti-{}", key.kid));
        let body = server.exchange(&backend(&proof, "system/*.cruds openid patient/*.rs"), &mut random, NOW);
        let body = body.unwrap().to_json();
        let expected = format!("system/Observation.rs?{LAB} system/Patient.r");
        assert_eq!((&body["scope"], &body["expires_in"]), (&json!(expected), &json!(300)));
        assert_eq!((body.get("refresh_token"), body.get("id_token"), body.get("patient")), (None, None, None));
        let token = body["access_token"].as_str().unwrap();
        let access = server.check_access_token(token, later(299)).unwrap();
        assert_eq!((access.access().client_id.as_str(), &access.access().user), ("monitor", &None));
        let search = |kind| access.access().scopes.permits(Context::System, Action::Search, kind);
        assert_eq!(search("Observation"), Permission::Where(vec![LAB]));
        assert_eq!(search("Patient"), Permission::Denied);
        assert_eq!(server.check_access_token(token, later(300)).unwrap_err(), TokenFault::Expired);

        // The same assertion does not count again, not even after a restart.
        let again = backend(&proof, "system/Patient.r");
        assert_eq!(refused(&mut server, &again, later(1)), ErrorCode::InvalidClient);
        assert_eq!(refused(&mut restarted(&server.export()), &again, later(1)), ErrorCode::InvalidClient);
    }
    let proof = assertion(&monitor_key(), "monitor", "other");
    assert_eq!(refused(&mut server, &backend(&proof, "system/Condition.r"), NOW), ErrorCode::InvalidScope);
}

#[test]
fn a_confidential_app_proves_itself_with_its_code_and_with_each_refresh() {
    let (mut server, mut random, dr_a) = (server(), randomness(), user("dr-a"));
    let mut parameters = request("patient/Observation.rs?code=8867-4 offline_access");
    parameters[1].1 = "ward";
    parameters[2].1 = "https://ward.example/cb";
    let pending = server.authorize(&form(&parameters), &dr_a.name, NOW).unwrap();
    let choice = consent(&pending, Some("demo-1"));
    let location = server.approve(pending.ticket.expose(), &dr_a, choice, &mut random, NOW).unwrap();
    let code = parameter(&location, "code");
    let proof = assertion(&ward_key(), "ward", "a");
    let mut parameters = exchange(&code);
    parameters[1] = ("client_id", "ward");
    parameters[3].1 = "https://ward.example/cb";
    // Without its assertion the code stays whole, for nobody proved anything.
    assert_eq!(refused(&mut server, &form(&parameters), NOW), ErrorCode::InvalidClient);
    parameters.extend([JWT, ("client_assertion", proof.as_str())]);
    let body = server.exchange(&form(&parameters), &mut random, NOW).unwrap().to_json();
    assert_eq!(body["scope"], "offline_access patient/Observation.rs?code=8867-4");
    let refresh_token = body["refresh_token"].as_str().unwrap();
    let refresh = |proof: &str, scope: &str| {
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("scope", scope), JWT];
        form(&[&parameters[..], &[("client_assertion", proof)]].concat())
    };
    let narrower = "patient/Observation.r?code=8867-4 patient/Condition.r";
    let body = server.exchange(&refresh(&assertion(&ward_key(), "ward", "b"), narrower), &mut random, NOW).unwrap();
    assert_eq!(body.scopes.to_string(), "patient/Observation.r?code=8867-4");
}

const JWT: (&str, &str) = crate::world::JWT_BEARER;

#[test]
fn a_stolen_code_or_refresh_token_ends_the_approval() {
    let scope = "patient/Patient.r offline_access";
    let (mut server, mut random) = (server(), randomness());
    let stolen = code(&mut server, scope, &mut random);
    let body = server.exchange(&form(&exchange(&stolen)), &mut random, NOW).unwrap().to_json();
    let (token, refresh_token) = (body["access_token"].as_str().unwrap(), body["refresh_token"].as_str().unwrap());
    assert!(server.check_access_token(token, later(1)).is_ok());
    // The thief comes second, long after the minute of the code.
    assert_eq!(refused(&mut server, &form(&exchange(&stolen)), later(600)), ErrorCode::InvalidGrant);
    assert_eq!(server.check_access_token(token, later(601)).unwrap_err(), TokenFault::Revoked);
    assert_eq!(refused(&mut server, &refresh(refresh_token), later(601)), ErrorCode::InvalidGrant);

    let fresh = code(&mut server, scope, &mut random);
    let body = server.exchange(&form(&exchange(&fresh)), &mut random, NOW).unwrap().to_json();
    let first = body["refresh_token"].as_str().unwrap();
    let second = server.exchange(&refresh(first), &mut random, later(5)).unwrap().to_json();
    let (token, second) = (second["access_token"].as_str().unwrap(), second["refresh_token"].as_str().unwrap());
    // Whoever comes with the first one again: the second one ends as well, and so does the access.
    assert_eq!(refused(&mut server, &refresh(first), later(6)), ErrorCode::InvalidGrant);
    assert_eq!(refused(&mut server, &refresh(second), later(7)), ErrorCode::InvalidGrant);
    assert_eq!(server.check_access_token(token, later(8)).unwrap_err(), TokenFault::Revoked);
    assert_eq!(restarted(&server.export()).check_access_token(token, later(8)).unwrap_err(), TokenFault::Revoked);
}

#[test]
fn the_user_may_refuse_or_approve_less() {
    let (mut server, mut random, dr_a) = (server(), randomness(), user("dr-a"));
    let pending =
        server.authorize(&form(&request("patient/Patient.r patient/Observation.rs")), &dr_a.name, NOW).unwrap();
    let location = server.deny(pending.ticket.expose(), &dr_a.name, NOW).unwrap();
    assert_eq!(
        (parameter(&location, "error"), parameter(&location, "state")),
        ("access_denied".into(), "98wrghuwuogerg97".into())
    );
    let mut less = consent(&pending, Some("demo-1"));
    less.scopes = "patient/Patient.rs user/*.cruds".parse().unwrap();
    let location = server.approve(pending.ticket.expose(), &dr_a, less, &mut random, NOW).unwrap();
    let code = parameter(&location, "code");
    let response = server.exchange(&form(&exchange(&code)), &mut random, NOW).unwrap();
    assert_eq!(response.scopes.to_string(), "patient/Patient.r");
    let mut nothing = consent(&pending, Some("demo-1"));
    nothing.scopes = "user/*.cruds".parse().unwrap();
    assert!(server.approve(pending.ticket.expose(), &dr_a, nothing, &mut random, NOW).is_err());
    // A page that is ten minutes old, and one without a patient.
    let choice = || consent(&pending, Some("demo-1"));
    assert!(server.approve(pending.ticket.expose(), &dr_a, choice(), &mut random, later(599)).is_ok());
    assert!(server.approve(pending.ticket.expose(), &dr_a, choice(), &mut random, later(600)).is_err());
    assert!(server.approve(pending.ticket.expose(), &dr_a, consent(&pending, None), &mut random, NOW).is_err());
}
