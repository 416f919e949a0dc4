//! Requests at the two endpoints with a parameter missing, twice or altered.

use sealwort_smart::{ErrorCode, Refusal};

use crate::world::{BASE, CALLBACK, CHALLENGE, NOW, VERIFIER, code, exchange, form, randomness, request, server, user};

/// Tries all variants and says how many there were.
pub(crate) fn run() -> usize {
    authorization_requests() + exchanges()
}

/// The request with one parameter replaced, or taken out where the new value is empty.
fn with<'a>(parameters: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<u8> {
    form(&parameters.iter().map(|(held, old)| (*held, if *held == name { value } else { *old })).collect::<Vec<_>>())
}

fn authorization_requests() -> usize {
    const SCOPE: &str = "patient/Observation.rs";
    let (server, dr_a) = (server(), user("dr-a"));
    let base = request(SCOPE);
    assert!(server.authorize(&form(&base), &dr_a.name, NOW).is_ok());
    let slash = format!("{BASE}/");
    assert!(server.authorize(&with(&base, "aud", &slash), &dr_a.name, NOW).is_ok());
    let slashes = format!("{BASE}//");
    let long = "s".repeat(1025);
    let padded = format!("{CHALLENGE}=");
    // Refused before the browser is sent anywhere.
    let mut to_user: Vec<Vec<u8>> = Vec::new();
    for (name, value) in &base {
        // Once more the same, once more another value, and once more with an encoded name.
        let text = form(&base);
        let again = form(&[(name, value)]);
        let first = name.as_bytes()[0];
        let encoded = format!("%{first:02x}{}=x", &name[1..]).into_bytes();
        for more in [again, form(&[(name, "x")]), encoded, name.as_bytes().to_vec()] {
            to_user.push([&text[..], b"&", &more].concat());
        }
    }
    for client in ["", "Trend", "trend ", "trénd", "unknown", "~gateway", "monitor"] {
        to_user.push(with(&base, "client_id", client));
    }
    for address in [
        "",
        "https://trend.example/after-auth/",
        "https://trend.example/after-auth?x=1",
        "https://trend.example/after-auth#x",
        "https://trend.example/After-auth",
        "https://trend.example:443/after-auth",
        "http://trend.example/after-auth",
        "https://trend.example.evil.example/after-auth",
        "https://evil.example/?https://trend.example/after-auth",
        "https://trend.example/after-auth/../evil",
        "https://trend.example@evil.example/after-auth",
        "//trend.example/after-auth",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:1@evil.example/cb",
        "http://localhost/cb",
        "http://127.0.0.1:99999/cb",
        "javascript:alert(1)",
        "https://ward.example/cb",
        "https://trend.example/launch",
    ] {
        to_user.push(with(&base, "redirect_uri", address));
    }
    for variant in &to_user {
        let found = server.authorize(variant, &dr_a.name, NOW);
        assert!(matches!(found, Err(Refusal::ToUser(_))), "{}", String::from_utf8_lossy(variant));
    }
    // Told to the app, at its registered address.
    let to_app = [
        (
            "response_type",
            ["", "token", "id_token", "code token", "Code"].as_slice(),
            ErrorCode::UnsupportedResponseType,
        ),
        ("state", &["", &long], ErrorCode::InvalidRequest),
        ("code_challenge_method", &["", "plain", "s256", "S512"], ErrorCode::InvalidRequest),
        ("code_challenge", &["", &padded, &CHALLENGE[1..], "x"][..], ErrorCode::InvalidRequest),
        (
            "aud",
            &["", "https://gateway.example", &slashes, "https://evil.example/fhir", "HTTPS://gateway.example/fhir"],
            ErrorCode::InvalidRequest,
        ),
        (
            "scope",
            &["", "nonsense", "system/*.cruds", "patient/Condition.rs", "user/*.CRUDS", "launch", "openid "],
            ErrorCode::InvalidScope,
        ),
    ];
    let mut count = to_user.len();
    for (name, values, expected) in to_app {
        for value in values {
            // `openid` alone is sound, and the empty word behind it is dropped.
            if *value == "openid " {
                assert!(server.authorize(&with(&base, name, value), &dr_a.name, NOW).is_ok());
                continue;
            }
            let Err(Refusal::ToApp { location, error }) = server.authorize(&with(&base, name, value), &dr_a.name, NOW)
            else {
                panic!("{name}={value} was taken");
            };
            let missing = value.is_empty() || *value == "launch";
            assert!(
                error.code() == expected || missing && error.code() == ErrorCode::InvalidRequest,
                "{name}={value}: {error:?}"
            );
            assert!(location.starts_with(&format!("{CALLBACK}?error={}&", error.code().as_str())), "{location}");
            count += 1;
        }
    }
    for more in ["request=x", "request_uri=x", "launch=x"] {
        let variant = [&form(&base)[..], b"&", more.as_bytes()].concat();
        assert!(matches!(server.authorize(&variant, &dr_a.name, NOW), Err(Refusal::ToApp { .. })), "{more}");
        count += 1;
    }
    count
}

fn exchanges() -> usize {
    let mut random = randomness();
    let short = &VERIFIER[..42];
    let long = "a".repeat(129);
    let altered = [
        (
            "code_verifier",
            ["", "x", short, &long, CHALLENGE, &VERIFIER.to_lowercase(), &format!("{VERIFIER}=")].map(str::to_owned),
        ),
        (
            "redirect_uri",
            ["", "https://trend.example/after-auth/", "http://127.0.0.1/cb", "https://evil.example", "x", "y", "z"]
                .map(str::to_owned),
        ),
        ("client_id", ["", "Trend", "monitor", "ward", "unknown", "~gateway", "trend "].map(str::to_owned)),
        (
            "code",
            ["", "x", "AAAA", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "..", "null", "%"].map(str::to_owned),
        ),
        (
            "grant_type",
            [
                "",
                "password",
                "implicit",
                "Authorization_code",
                "client_credentials",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
            ]
            .map(str::to_owned),
        ),
    ];
    let mut count = 0;
    for (name, values) in &altered {
        for value in values {
            let mut server = server();
            let fresh = code(&mut server, "patient/Patient.r", &mut random);
            let found = server.exchange(&with(&exchange(&fresh), name, value), &mut random, NOW);
            assert!(found.is_err(), "{name}={value} was taken");
            count += 1;
        }
    }
    // A parameter twice, a secret where none is, a code that is too old, and one that was tried with a wrong verifier.
    let mut server = server();
    let fresh = code(&mut server, "patient/Patient.r", &mut random);
    let sound = form(&exchange(&fresh));
    for more in [
        "code=x",
        "client_id=monitor",
        "code_verifier=x",
        "grant_type=client_credentials",
        "client_secret=x",
        "client_assertion=x",
        "c%6fde=x",
    ] {
        assert!(server.exchange(&[&sound[..], b"&", more.as_bytes()].concat(), &mut random, NOW).is_err(), "{more}");
        count += 1;
    }
    assert!(server.exchange(&sound, &mut random, NOW.plus(60)).is_err());
    let fresh = code(&mut server, "patient/Patient.r", &mut random);
    assert!(server.exchange(&with(&exchange(&fresh), "code_verifier", CHALLENGE), &mut random, NOW).is_err());
    assert!(server.exchange(&form(&exchange(&fresh)), &mut random, NOW).is_err());
    count + 2
}
