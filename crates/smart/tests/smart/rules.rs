//! Rules one by one: the file of apps, assertions, what discovery says, who may ask, and limits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealwort_smart::assertion::REPLAYS_PER_APP_MAX;
use sealwort_smart::authorization::{CODE_SECONDS, CODES_MAX};
use sealwort_smart::server::{LAUNCH_SECONDS, LAUNCHES_MAX, LAUNCHES_PER_USER_MAX};
use sealwort_smart::token::APP_TOKEN_SECONDS;
use sealwort_smart::{
    AppFault, AppRule, Apps, AssertionFault, AuthorizationServer, ErrorCode, IdentityAlgorithm, IdentityKey,
    NumericDate, ReplayGuard, TokenFault, verify_assertion,
};
use serde_json::{Value, json};

use crate::keys::{SigningKey, rsa_der};
use crate::world::{
    NOW, TOKEN_ENDPOINT, apps_file, assertion, assertion_claims, backend, code, consent, exchange, form, launch,
    monitor_key, parameter, randomness, request, server, settings, sha256, user, ward_key,
};

/// The file of apps after a change.
fn apps_with(change: impl FnOnce(&mut Value)) -> Result<Apps, AppFault> {
    let mut file = apps_file();
    change(&mut file["apps"]);
    Apps::parse(file.to_string().as_bytes())
}

#[test]
fn the_file_of_apps_comes_back_as_it_was_read() {
    let apps = Apps::parse(apps_file().to_string().as_bytes()).unwrap();
    let again = Apps::parse(apps.to_json().to_string().as_bytes()).unwrap();
    assert_eq!(again.to_json(), apps.to_json());
    let ids: Vec<_> = again.iter().map(|app| app.client_id().as_str()).collect();
    assert_eq!(ids, ["monitor", "trend", "ward"]);
}

#[test]
fn each_rule_for_a_registered_app_is_kept() {
    let curve = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": "AAAA", "y": "AAAA"});
    let with = |name: &str, value: Value| {
        let mut key = monitor_key().public_jwk();
        key[name] = value;
        key
    };
    let key_cases = [
        (json!([]), AppRule::NoKey),
        (json!(vec![with("x", json!("AAAA")); 17]), AppRule::NoKey),
        (json!([with("d", json!("AAAA"))]), AppRule::PrivateKey),
        (json!([with("k", json!("AAAA"))]), AppRule::PrivateKey),
        (json!([with("kid", json!(""))]), AppRule::Key),
        (json!([with("kid", json!(null))]), AppRule::Key),
        (json!([with("alg", json!("ES256"))]), AppRule::Key),
        (json!([with("alg", json!("RS384"))]), AppRule::Key),
        (json!([with("use", json!("enc"))]), AppRule::Key),
        (json!([with("key_ops", json!(["sign"]))]), AppRule::Key),
        (json!([with("key_ops", json!("verify"))]), AppRule::Key),
        (json!([with("crv", json!("P-256"))]), AppRule::Key),
        (json!([with("x", json!("AAAA"))]), AppRule::Key),
        (json!([with("kty", json!("oct"))]), AppRule::Key),
        (json!([with("kty", json!("OKP"))]), AppRule::Key),
        (json!([curve]), AppRule::Key),
        (json!([monitor_key().public_jwk(), monitor_key().public_jwk()]), AppRule::Key),
        (json!([{"kty": "RSA", "kid": "k", "n": "A".repeat(340), "e": "AQAB"}]), AppRule::Key),
        (json!([{"kty": "RSA", "kid": "k", "n": format!("AB{}", "A".repeat(340)), "e": "AQAB"}]), AppRule::Key),
    ];
    for (keys, rule) in key_cases {
        let found = apps_with(|apps| apps[2]["jwks"]["keys"] = keys.clone());
        assert_eq!(found.unwrap_err(), AppFault::App { id: "monitor".parse().unwrap(), rule }, "{keys}");
    }
    let cases: [(usize, &str, Value, AppRule); 10] = [
        (0, "client_id", json!("ward"), AppRule::Twice),
        (0, "client_id", json!("~gateway"), AppRule::Reserved),
        (0, "name", json!(""), AppRule::Name),
        (0, "name", json!("a\nb"), AppRule::Name),
        (0, "name", json!("n".repeat(129)), AppRule::Name),
        (0, "scope", json!(""), AppRule::NoScope),
        (0, "scope", json!("system/Patient.r"), AppRule::Public),
        (0, "jwks", json!({"keys": []}), AppRule::Public),
        (0, "redirect_uris", json!([]), AppRule::NoRedirect),
        (0, "redirect_uris", json!(vec!["https://a.example/"; 17]), AppRule::NoRedirect),
    ];
    for (place, name, value, rule) in cases {
        let found = apps_with(|apps| apps[place][name] = value.clone()).unwrap_err();
        assert!(matches!(found, AppFault::App { rule: found, .. } if found == rule), "{name}={value}: {found}");
    }
    let wrong_forms = [
        ("jwks_uri", json!("https://trend.example/jwks")),
        ("client_secret", json!("x")),
        ("kind", json!("Public")),
        ("scope", json!("patient/*.sr")),
        ("scope", json!(["patient/*.rs"])),
        ("client_id", json!("a b")),
        ("redirect_uris", json!(["http://trend.example/"])),
        ("launch_url", json!("javascript:x")),
    ];
    for (name, value) in wrong_forms {
        let found = apps_with(|apps| apps[0][name] = value.clone()).unwrap_err();
        assert!(matches!(found, AppFault::Form(_)), "{name}={value}: {found}");
    }
    let text = apps_file().to_string();
    assert_eq!(
        Apps::parse(text.replacen("\"name\"", "\"name\":\"x\",\"name\"", 1).as_bytes()).unwrap_err(),
        AppFault::Json
    );
    assert_eq!(Apps::parse(&vec![b' '; 1024 * 1024 + 1]).unwrap_err(), AppFault::TooLarge);
    // The administrator is told which scope is wrong.
    let found = apps_with(|apps| apps[0]["scope"] = json!("openid patient/*.sr")).unwrap_err();
    assert!(found.to_string().contains("\"patient/*.sr\""), "{found}");
}

#[test]
fn each_fault_of_an_assertion_has_its_name() {
    let apps = Apps::parse(apps_file().to_string().as_bytes()).unwrap();
    let app = apps.find(&"monitor".parse().unwrap()).unwrap();
    let (key, now) = (monitor_key(), NOW.as_secs());
    let header = json!({"alg": "ES384", "kid": "monitor-1", "typ": "JWT"});
    let header_with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        key.sign(&header.to_string(), &assertion_claims("monitor", "j").to_string())
    };
    let claims_with = |name: &str, value: Value| {
        let mut claims = assertion_claims("monitor", "j");
        claims[name] = value;
        key.sign(&header.to_string(), &claims.to_string())
    };
    let check = |text: &str| verify_assertion(text, app, &[TOKEN_ENDPOINT], &mut ReplayGuard::default(), NOW);
    let sound = assertion(&key, "monitor", "j");
    let other_key = SigningKey::ec("monitor-1", 8);
    let cases = [
        (sound.clone(), Ok(())),
        (claims_with("aud", json!([TOKEN_ENDPOINT])), Ok(())),
        (claims_with("exp", json!(now + 1)), Ok(())),
        (claims_with("exp", json!(now + 310)), Ok(())),
        (claims_with("nbf", json!(now + 10)), Ok(())),
        (claims_with("extra", json!({"a": [1, 2.5]})), Ok(())),
        (format!("{sound}="), Err(AssertionFault::Form)),
        (claims_with("jti", json!("")), Err(AssertionFault::Form)),
        (header_with("alg", json!("HS256")), Err(AssertionFault::Header)),
        (header_with("typ", json!("at+jwt")), Err(AssertionFault::Header)),
        (header_with("jwk", key.public_jwk()), Err(AssertionFault::Header)),
        (header_with("crit", json!(["exp"])), Err(AssertionFault::Header)),
        (header_with("kid", json!("other")), Err(AssertionFault::Key)),
        (header_with("kid", json!("monitor-2")), Err(AssertionFault::Key)),
        (header_with("alg", json!("RS384")), Err(AssertionFault::Key)),
        (assertion(&other_key, "monitor", "j"), Err(AssertionFault::Signature)),
        (claims_with("iss", json!("ward")), Err(AssertionFault::Client)),
        (claims_with("sub", json!("ward")), Err(AssertionFault::Client)),
        (claims_with("aud", json!("https://gateway.example")), Err(AssertionFault::Audience)),
        (claims_with("exp", json!(now)), Err(AssertionFault::Expired)),
        (claims_with("exp", json!(now + 311)), Err(AssertionFault::TooLong)),
        (claims_with("nbf", json!(now + 11)), Err(AssertionFault::NotYet)),
        (claims_with("iat", json!(now + 11)), Err(AssertionFault::NotYet)),
        (claims_with("iat", json!(now + 300)), Err(AssertionFault::NotYet)),
    ];
    for (text, expected) in cases {
        assert_eq!(check(&text), expected, "{text}");
    }
}

#[test]
fn one_app_cannot_fill_the_memory_of_assertions_for_another() {
    let (mut replays, later) = (ReplayGuard::default(), |seconds| NOW.plus(seconds));
    let mut note = |app: &str, id: usize, now: NumericDate| {
        replays.note(&app.parse().unwrap(), id.to_string().parse().unwrap(), now.plus(300), now)
    };
    for id in 0..REPLAYS_PER_APP_MAX {
        assert_eq!(note("a", id, NOW), Ok(()));
    }
    assert_eq!(note("a", REPLAYS_PER_APP_MAX, later(299)), Err(AssertionFault::TooMany));
    assert_eq!(note("a", 7, later(299)), Err(AssertionFault::Replayed));
    assert_eq!(note("b", 7, later(299)), Ok(()));
    // What has ended makes room.
    assert_eq!(note("a", REPLAYS_PER_APP_MAX, later(300)), Ok(()));
    replays.sweep(later(600));
    assert_eq!(replays, ReplayGuard::default());
}

#[test]
fn launches_are_bounded_and_end() {
    let (mut server, mut random) = (server(), randomness());
    let mut number = 0;
    let mut issue = |app: &str, now| {
        number += 1;
        server.issue_launch(launch(app, &format!("dr-{}", number % 1000), "demo-1"), &mut random, now)
    };
    assert_eq!(issue("unknown", NOW).unwrap_err().code(), ErrorCode::InvalidClient);
    assert_eq!(issue("ward", NOW).unwrap().url, None);
    for _ in 1..LAUNCHES_MAX {
        issue("trend", NOW).unwrap();
    }
    assert_eq!(issue("trend", NOW).unwrap_err().code(), ErrorCode::TemporarilyUnavailable);
    assert!(issue("trend", NOW.plus(LAUNCH_SECONDS)).is_ok());
    let (mut server, mut random) = (crate::world::server(), randomness());
    let launched = server.issue_launch(launch("trend", "dr-a", "demo-1"), &mut random, NOW).unwrap();
    let mut parameters = request("launch patient/Patient.r");
    parameters.push(("launch", launched.launch.expose()));
    let authorize = |server: &AuthorizationServer, now| server.authorize(&form(&parameters), &user("dr-a").name, now);
    assert!(authorize(&server, NOW.plus(LAUNCH_SECONDS - 1)).is_ok());
    assert!(authorize(&server, NOW.plus(LAUNCH_SECONDS)).is_err());
    // One user's launches leave room for others': the oldest of them gives way.
    for seconds in 1..=LAUNCHES_PER_USER_MAX as u64 {
        server.issue_launch(launch("trend", "dr-a", "demo-1"), &mut random, NOW.plus(seconds)).unwrap();
        assert_eq!(authorize(&server, NOW.plus(seconds)).is_ok(), seconds < LAUNCHES_PER_USER_MAX as u64, "{seconds}");
    }
    // Another app cannot answer it, whoever sends its user there.
    let others = server.issue_launch(launch("ward", "dr-a", "demo-1"), &mut random, NOW).unwrap();
    let mut parameters_of_others = request("launch patient/Patient.r");
    parameters_of_others.push(("launch", others.launch.expose()));
    assert!(server.authorize(&form(&parameters_of_others), &user("dr-a").name, NOW).is_err());
    // The scope must go with the parameter.
    parameters[3].1 = "patient/Patient.r";
    assert!(server.authorize(&form(&parameters), &user("dr-a").name, NOW).is_err());
}

#[test]
fn record_systems_begin_launches() {
    let mut server = server();
    server.set_apps(apps_with(|apps| apps[1]["scope"] = json!("launch system/Patient.r")).unwrap());
    // A public app proves nothing; another confidential one was not registered for it.
    for (id, wanted) in [("ward", true), ("trend", false), ("monitor", false), ("unknown", false)] {
        assert_eq!(server.begins_launches(&id.parse().unwrap()), wanted, "{id}");
    }
}

#[test]
fn codes_are_bounded_and_forgotten() {
    let (mut server, mut random, dr_a) = (server(), randomness(), user("dr-a"));
    let pending = server.authorize(&form(&request("patient/Patient.r")), &dr_a.name, NOW).unwrap();
    let mut approve = |now| {
        let choice = consent(&pending, Some("demo-1"));
        server.approve(pending.ticket.expose(), &dr_a, choice, &mut random, now).map_err(|error| error.code())
    };
    for _ in 0..CODES_MAX {
        approve(NOW).unwrap();
    }
    assert_eq!(approve(NOW), Err(ErrorCode::TemporarilyUnavailable));
    server.sweep(NOW.plus(CODE_SECONDS + APP_TOKEN_SECONDS));
    let later = NOW.plus(CODE_SECONDS + APP_TOKEN_SECONDS);
    let pending = server.authorize(&form(&request("patient/Patient.r")), &dr_a.name, later).unwrap();
    let choice = consent(&pending, Some("demo-1"));
    assert!(server.approve(pending.ticket.expose(), &dr_a, choice, &mut random, later).is_ok());
}

#[test]
fn discovery_says_what_is_offered_and_no_more() {
    let build = |key: Option<IdentityKey>, launches_apps, style: Option<&str>| {
        let mut settings = settings(key);
        settings.launches_apps = launches_apps;
        settings.style_url = style.map(str::to_owned);
        AuthorizationServer::new(settings, Apps::default()).unwrap()
    };
    let rsa = || IdentityKey::from_der(&rsa_der(), IdentityAlgorithm::Rs256).unwrap();
    let capabilities = |server: &AuthorizationServer| {
        let document = server.smart_configuration();
        let list = document["capabilities"].as_array().unwrap();
        list.iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let full = build(Some(rsa()), true, Some("https://gateway.example/style.json"));
    let names = capabilities(&full);
    for name in [
        "launch-ehr",
        "launch-standalone",
        "authorize-post",
        "client-public",
        "client-confidential-asymmetric",
        "context-ehr-patient",
        "context-ehr-encounter",
        "context-standalone-patient",
        "context-banner",
        "context-style",
        "permission-offline",
        "permission-online",
        "permission-patient",
        "permission-user",
        "permission-v2",
        "sso-openid-connect",
    ] {
        assert!(names.iter().any(|held| held == name), "{name}");
    }
    for name in ["client-confidential-symmetric", "context-standalone-encounter", "permission-v1"] {
        assert!(!names.iter().any(|held| held == name), "{name}");
    }
    let document = full.smart_configuration();
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["token_endpoint_auth_methods_supported"], json!(["private_key_jwt", "none"]));
    assert_eq!(document["token_endpoint_auth_signing_alg_values_supported"], json!(["RS384", "ES384"]));
    assert_eq!(document["jwks_uri"], "https://gateway.example/oauth/jwks");
    let openid = full.openid_configuration().unwrap();
    assert_eq!(openid["id_token_signing_alg_values_supported"], json!(["RS256"]));
    let uris = full.security_element()["extension"][0]["extension"].clone();
    assert_eq!(uris[0], json!({"url": "authorize", "valueUri": "https://gateway.example/oauth/authorize"}));
    assert_eq!(uris.as_array().unwrap().len(), 5);

    let bare = build(None, false, None);
    let document = bare.smart_configuration();
    let bare_names = capabilities(&bare);
    for name in ["launch-ehr", "context-ehr-patient", "context-banner", "context-style", "sso-openid-connect"] {
        assert!(!bare_names.iter().any(|held| held == name), "{name}");
    }
    assert_eq!((document.get("issuer"), document.get("jwks_uri"), bare.openid_configuration()), (None, None, None));
    assert_eq!(bare.jwks(), json!({"keys": []}));
    let scopes = document["scopes_supported"].to_string();
    assert!(!scopes.contains("openid") && !scopes.contains("\"launch\""), "{scopes}");
    assert!(IdentityKey::from_der(b"nonsense", IdentityAlgorithm::Rs256).is_err());
    assert!(IdentityKey::from_der(&rsa_der(), IdentityAlgorithm::Es384).is_err());
    assert!(!format!("{:?}", rsa()).contains("modulus"));
}

#[test]
fn without_a_key_for_identities_nothing_is_promised() {
    let apps = Apps::parse(apps_file().to_string().as_bytes()).unwrap();
    let (mut server, mut random) = (AuthorizationServer::new(settings(None), apps).unwrap(), randomness());
    let code = code(&mut server, "openid fhirUser patient/Patient.r", &mut random);
    let response = server.exchange(&form(&exchange(&code)), &mut random, NOW).unwrap();
    assert_eq!((response.scopes.to_string().as_str(), response.id_token.is_none()), ("patient/Patient.r", true));
}

#[test]
fn tokens_are_looked_at_and_given_back_by_those_who_may() {
    let (mut server, mut random) = (server(), randomness());
    let code = code(&mut server, "patient/Patient.r offline_access", &mut random);
    let body = server.exchange(&form(&exchange(&code)), &mut random, NOW).unwrap().to_json();
    let token = body["access_token"].as_str().unwrap();
    let ask = |server: &mut AuthorizationServer, more: &[(&str, &str)]| {
        server.introspect(&form(&[&[("token", token)], more].concat()), None, NOW)
    };
    let refused = [vec![], vec![("client_id", "trend")], vec![("client_id", "ward")], vec![("client_id", "nobody")]];
    for more in refused {
        assert_eq!(ask(&mut server, &more).unwrap_err().code(), ErrorCode::InvalidClient, "{more:?}");
    }
    let proof = assertion(&ward_key(), "ward", "1");
    let answer = ask(&mut server, &[crate::world::JWT_BEARER, ("client_assertion", &proof)]).unwrap();
    // The scope fhirUser was not granted, so the user's resource is not told.
    assert_eq!((&answer["active"], &answer["sub"], answer.get("fhirUser")), (&json!(true), &json!("dr-a"), None));

    // Another app cannot give it back; an unknown token is as good as given back.
    for held in [token, body["refresh_token"].as_str().unwrap()] {
        let proof = assertion(&ward_key(), "ward", held.get(..20).unwrap());
        let body = form(&[("token", held), crate::world::JWT_BEARER, ("client_assertion", &proof)]);
        assert_eq!(server.revoke(&body, NOW).unwrap_err().code(), ErrorCode::UnauthorizedClient);
    }
    assert!(server.revoke(&form(&[("client_id", "trend"), ("token", "unknown")]), NOW).is_ok());
    assert!(server.revoke(&form(&[("client_id", "trend")]), NOW).is_err());
    assert!(server.check_access_token(token, NOW).is_ok());
    server.revoke(&form(&[("client_id", "trend"), ("token", token)]), NOW).unwrap();
    assert_eq!(server.check_access_token(token, NOW).unwrap_err(), TokenFault::Revoked);
}

#[test]
fn what_is_remembered_of_a_token_ends_with_it() {
    let (mut server, mut random) = (server(), randomness());
    let code = code(&mut server, "patient/Patient.r offline_access", &mut random);
    let body = server.exchange(&form(&exchange(&code)), &mut random, NOW).unwrap().to_json();
    let token = body["access_token"].as_str().unwrap();
    let sound = server.check_access_token(token, NOW).unwrap();
    for _ in 0..2 {
        assert_eq!(server.recheck_access_token(token, NOW).unwrap(), sound);
    }
    let lifetime = sound.expires().as_secs() - NOW.as_secs();
    assert!(server.recheck_access_token(token, NOW.plus(lifetime - 1)).is_ok());
    assert_eq!(server.recheck_access_token(token, NOW.plus(lifetime)).unwrap_err(), TokenFault::Expired);
    assert_eq!(server.recheck_access_token(token, NumericDate::from_secs(1)).unwrap_err(), TokenFault::NotYet);
    server.set_apps(Apps::default());
    assert_eq!(server.recheck_access_token(token, NOW).unwrap_err(), TokenFault::Revoked);
    server.set_apps(apps_with(|_| {}).unwrap());
    assert!(server.recheck_access_token(token, NOW).is_ok());
    server.revoke(&form(&[("client_id", "trend"), ("token", token)]), NOW).unwrap();
    assert_eq!(server.recheck_access_token(token, NOW).unwrap_err(), TokenFault::Revoked);
}

#[test]
fn what_the_hospital_takes_from_an_app_is_gone() {
    let (mut server, mut random) = (server(), randomness());
    let code = code(&mut server, "patient/Patient.r patient/Observation.rs offline_access", &mut random);
    let body = server.exchange(&form(&exchange(&code)), &mut random, NOW).unwrap().to_json();
    server.set_apps(apps_with(|apps| apps[0]["scope"] = json!("patient/Patient.rs offline_access")).unwrap());
    let token = body["refresh_token"].as_str().unwrap();
    let refresh = form(&[("grant_type", "refresh_token"), ("client_id", "trend"), ("refresh_token", token)]);
    let refreshed = server.exchange(&refresh, &mut random, NOW).unwrap();
    assert_eq!(refreshed.scopes.to_string(), "offline_access patient/Patient.r");
    server.set_apps(Apps::default());
    let access = refreshed.access_token.text.expose();
    assert_eq!(server.check_access_token(access, NOW).unwrap_err(), TokenFault::Revoked);
    // The user's own token belongs to no app.
    let own = server.tokens().issue_user(&user("dr-a"), 60, [7; 32], NOW).unwrap();
    let own = server.check_access_token(own.text.expose(), NOW).unwrap();
    server.revoke_token(&own, NOW);
    assert_eq!(server.grants(NOW).count(), 1);
}

#[test]
fn a_token_request_needs_what_the_apps_kind_demands() {
    let (mut server, mut random) = (server(), randomness());
    let proof = assertion(&monitor_key(), "monitor", "1");
    let bearer = crate::world::JWT_BEARER;
    let scope = ("scope", "system/Patient.r");
    let kind = ("grant_type", "client_credentials");
    let cases: [(&[(&str, &str)], ErrorCode); 9] = [
        (&[kind, scope, ("client_id", "trend")], ErrorCode::UnauthorizedClient),
        (&[kind, scope, ("client_id", "monitor")], ErrorCode::InvalidClient),
        (&[kind, scope], ErrorCode::InvalidClient),
        (&[kind, scope, bearer], ErrorCode::InvalidClient),
        (&[kind, scope, ("client_assertion", &proof)], ErrorCode::InvalidClient),
        (&[kind, scope, ("client_assertion_type", "x"), ("client_assertion", &proof)], ErrorCode::InvalidClient),
        (&[kind, scope, ("client_id", "ward"), bearer, ("client_assertion", &proof)], ErrorCode::InvalidClient),
        (&[scope, bearer, ("client_assertion", &proof)], ErrorCode::InvalidRequest),
        (&[("grant_type", "password"), bearer, ("client_assertion", &proof)], ErrorCode::UnsupportedGrantType),
    ];
    for (parameters, code) in cases {
        assert_eq!(server.exchange(&form(parameters), &mut random, NOW).unwrap_err().code(), code, "{parameters:?}");
    }
    // None of these used the assertion up. Without a scope it is, for the app has proved itself.
    assert!(server.exchange(&backend(&proof, "system/Patient.r"), &mut random, NOW).is_ok());
    let proof = assertion(&monitor_key(), "monitor", "2");
    let body = form(&[kind, bearer, ("client_assertion", &proof)]);
    assert_eq!(server.exchange(&body, &mut random, NOW).unwrap_err().code(), ErrorCode::InvalidRequest);
}

#[test]
fn a_state_that_was_not_exported_is_not_taken() {
    let mut server = server();
    let sound = server.export().to_vec();
    for bad in [&b""[..], b"{}", b"null", &sound[1..], &[&sound[..], b"x"].concat()] {
        assert!(server.import(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
    let text = String::from_utf8(sound.clone()).unwrap();
    for bad in [text.replacen("\"1\"", "\"2\"", 1), text.replacen('{', "{\"more\":1,", 1)] {
        assert!(server.import(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(server.import(&sound).is_ok());
}

#[test]
fn a_code_is_for_the_app_that_asked_and_for_a_whole_verifier() {
    let (mut server, mut random) = (server(), randomness());
    let fresh = code(&mut server, "patient/Patient.r", &mut random);
    let proof = assertion(&ward_key(), "ward", "1");
    let mut parameters = exchange(&fresh);
    parameters[1].1 = "ward";
    parameters.extend([crate::world::JWT_BEARER, ("client_assertion", proof.as_str())]);
    assert_eq!(server.exchange(&form(&parameters), &mut random, NOW).unwrap_err().code(), ErrorCode::InvalidGrant);

    // Verifiers that fit their challenge, of which only some have the length that cannot be guessed.
    for (length, taken) in [(42, false), (43, true), (128, true), (129, false)] {
        let verifier = "v".repeat(length);
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        let mut parameters = request("patient/Patient.r");
        parameters[6].1 = &challenge;
        let dr_a = user("dr-a");
        let pending = server.authorize(&form(&parameters), &dr_a.name, NOW).unwrap();
        let choice = consent(&pending, Some("demo-1"));
        let location = server.approve(pending.ticket.expose(), &dr_a, choice, &mut random, NOW).unwrap();
        let code = parameter(&location, "code");
        let mut parameters = exchange(&code);
        parameters[4].1 = &verifier;
        assert_eq!(server.exchange(&form(&parameters), &mut random, NOW).is_ok(), taken, "{length}");
    }
}

#[test]
fn a_user_gives_an_app_nothing_of_the_apps_own_and_the_app_nothing_of_a_user() {
    let apps = apps_with(|apps| apps[1]["scope"] = json!("patient/*.rs system/Patient.r offline_access")).unwrap();
    let mut server = AuthorizationServer::new(settings(None), apps).unwrap();
    let both = "patient/Patient.r system/Patient.r offline_access";
    let mut parameters = request(both);
    parameters[1].1 = "ward";
    parameters[2].1 = "https://ward.example/cb";
    let pending = server.authorize(&form(&parameters), &user("dr-a").name, NOW).unwrap();
    assert_eq!(pending.scopes.to_string(), "offline_access patient/Patient.r");
    let proof = assertion(&ward_key(), "ward", "1");
    let response = server.exchange(&backend(&proof, both), &mut randomness(), NOW).unwrap();
    assert_eq!((response.scopes.to_string().as_str(), response.refresh_token.is_none()), ("system/Patient.r", true));
}
