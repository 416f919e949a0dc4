//! Access tokens that were altered, and tokens that were made with the right key but are not as this server makes them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use sealwort_smart::{Access, AuthorizationServer};
use serde_json::{Value, json};

use crate::keys::{SigningKey, sign};
use crate::world::{NOW, SECRET, form, randomness, request, server, user};

const HEADER: &str = r#"{"typ":"at+jwt","alg":"HS256"}"#;

fn access(scope: &str) -> Access {
    Access {
        client_id: "trend".parse().unwrap(),
        user: Some(user("dr-a")),
        scopes: scope.parse().unwrap(),
        patient: Some("demo-1".parse().unwrap()),
        purpose: None,
        grant: Some("g".parse().unwrap()),
    }
}

/// Tries all variants and says how many there were.
pub(crate) fn run() -> usize {
    let mut server = server();
    let issue = |scope: &str, random| server.tokens().issue(&access(scope), random, NOW).unwrap().text;
    let (base, other) = (issue("patient/Observation.rs", [1; 32]), issue("patient/*.cruds", [2; 32]));
    let (base, other) = (base.expose(), other.expose());
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(base.split('.').nth(1).unwrap()).unwrap()).unwrap();
    // Signed by the test itself a token is the same: what is refused below is refused for its content.
    assert_eq!(own(HEADER, &claims), base);
    assert!(server.check_access_token(base, NOW).is_ok());
    assert!(server.recheck_access_token(base, NOW).is_ok());

    let mut variants = spliced(base, other);
    variants.extend(altered_text(base));
    variants.extend(other_headers(&claims));
    variants.extend(other_claims(&claims).iter().map(|claims| own(HEADER, claims)));
    variants.extend(forged_claims(base));
    variants.extend(other_kinds(&server));
    variants.sort();
    variants.dedup();
    for variant in &variants {
        let found = server.check_access_token(variant, NOW.plus(1));
        assert!(found.is_err(), "a variant was let in: {variant:?}");
        // That the token itself is remembered opens nothing to what is like it.
        for _ in 0..2 {
            assert_eq!(server.recheck_access_token(variant, NOW.plus(1)), found, "{variant:?}");
        }
    }
    variants.len()
}

fn secret() -> EncodingKey {
    EncodingKey::from_secret(&SECRET).unwrap()
}

/// A token with the gateway's own key.
fn own(header: &str, claims: &str) -> String {
    sign(header, claims, &secret(), Algorithm::HS256)
}

/// Parts of two sound tokens in other combinations.
fn spliced(base: &str, other: &str) -> Vec<String> {
    let (base, other): (Vec<_>, Vec<_>) = (base.split('.').collect(), other.split('.').collect());
    let [h, c, s] = base[..] else { panic!("three parts") };
    vec![
        [h, other[1], s].join("."),
        [h, c, other[2]].join("."),
        [h, c].join("."),
        [h, c, ""].join("."),
        ["", c, s].join("."),
        [h, "", s].join("."),
        [c, h, s].join("."),
        [h, s, c].join("."),
        [h, c, s, s].join("."),
        [h, c, s, ""].join("."),
        [h, c, c, s].join("."),
        [h, other[1], c, s].join("."),
        [h, c, s].join(".."),
        [h, c, s].join(" "),
        [h, c, s].concat(),
        format!(".{h}.{c}.{s}"),
        String::new(),
        ".".into(),
        "..".into(),
    ]
}

/// The text cut, lengthened or changed in one place.
fn altered_text(base: &str) -> Vec<String> {
    let mut variants: Vec<String> = (0..base.len()).step_by(7).map(|end| base[..end].to_owned()).collect();
    let signature = base.rfind('.').unwrap() + 1;
    for place in (signature..base.len()).chain((0..signature).step_by(5)) {
        // Another letter, and at the end one that differs in the bits that carry nothing.
        for new in ['A', 'B'] {
            let old = base.as_bytes()[place] as char;
            let new = if new == old { 'C' } else { new };
            variants.push(format!("{}{new}{}", &base[..place], &base[place + 1..]));
        }
    }
    for last in ('A'..='Z').chain('a'..='z').chain('0'..='9') {
        variants.push(format!("{}{last}", &base[..base.len() - 1]));
    }
    for more in ["=", "==", "A", "AA", ".", " ", "\n", "\r\n", "\0", "%3D", "\u{200b}", "?", "#", ";", ",", "/"] {
        variants.push(format!("{base}{more}"));
        variants.push(format!("{more}{base}"));
        variants.push(base.replacen('.', &format!("{more}."), 1));
    }
    variants.extend([
        base.to_uppercase(),
        base.to_lowercase(),
        base.replace('-', "+").replace('_', "/") + "=",
        format!("Bearer {base}"),
        base.repeat(2),
        format!("{base}{}", "A".repeat(9000)),
    ]);
    variants.retain(|variant| variant != base);
    variants
}

/// Other headers over the same claims: unsigned, with the old signature, and signed with the right key.
fn other_headers(claims: &str) -> Vec<String> {
    let mut headers: Vec<String> = [
        "none", "None", "NONE", "nOnE", "", "HS384", "HS512", "hs256", "Hs256", "RS256", "RS384", "ES256", "ES384",
        "PS256", "EdDSA", "HS256 ",
    ]
    .map(|alg| format!(r#"{{"typ":"at+jwt","alg":"{alg}"}}"#))
    .into();
    headers.extend(
        ["JWT", "jwt", "AT+JWT", "application/at+jwt", "id_token", ""]
            .map(|typ| format!(r#"{{"typ":"{typ}","alg":"HS256"}}"#)),
    );
    headers.extend(
        [
            r#"{"alg":"HS256"}"#,
            r#"{"typ":"at+jwt"}"#,
            r#"{"alg":"HS256","typ":"at+jwt"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","alg":"HS256"}"#,
            r#"{"typ":"at+jwt","alg":"none","alg":"HS256"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","alg":"none"}"#,
            r#"{"typ":"JWT","typ":"at+jwt","alg":"HS256"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","kid":"1"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","kid":"../../dev/null"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","kid":"' or 1=1"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","jku":"https://evil.example/jwks"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#,
            r#"{"typ":"at+jwt","alg":"HS256","x5u":"https://evil.example"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","x5c":["AAAA"]}"#,
            r#"{"typ":"at+jwt","alg":"HS256","crit":["exp"]}"#,
            r#"{"typ":"at+jwt","alg":"HS256","b64":false,"crit":["b64"]}"#,
            r#"{"typ":"at+jwt","alg":"HS256","zip":"DEF"}"#,
            r#"{"typ":"at+jwt","alg":["HS256"]}"#,
            r#"{"typ":"at+jwt","alg":null}"#,
            r#"{"typ":"at+jwt", "alg":"HS256"}"#,
            r#"{"typ":"at+jwt","alg":"HS256"} "#,
            r#"{"typ":"at+jwt","\u0061lg":"HS256"}"#,
            "{}",
            "[]",
            "null",
            "",
        ]
        .map(str::to_owned),
    );
    let mut variants = Vec::new();
    for header in &headers {
        let signed = own(header, claims);
        let (message, _) = signed.rsplit_once('.').unwrap();
        variants.push(format!("{message}."));
        variants.push(signed);
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        variants.push(sign(&format!(r#"{{"typ":"at+jwt","alg":"{algorithm:?}"}}"#), claims, &secret(), algorithm));
        variants.push(sign(HEADER, claims, &secret(), algorithm));
    }
    let (rsa, ec) = (SigningKey::rsa("a"), SigningKey::ec("b", 9));
    variants.push(rsa.sign(HEADER, claims));
    variants.push(ec.sign(HEADER, claims));
    variants.push(ec.sign(r#"{"typ":"at+jwt","alg":"ES384"}"#, claims));
    let weak = [&b""[..], b"secret", &[0; 32], &SECRET[..31], &[&SECRET[..], &[1]].concat()].map(<[u8]>::to_vec);
    for secret in weak.iter().filter(|secret| !secret.is_empty()) {
        variants.push(sign(HEADER, claims, &EncodingKey::from_secret(secret).unwrap(), Algorithm::HS256));
    }
    variants
}

/// Claims that this server would not write, under its own key: wrong place, wrong time, doubtful JSON.
fn other_claims(claims: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(claims).unwrap();
    let with = |name: &str, new: Value| {
        let mut value = value.clone();
        value[name] = new;
        value.to_string()
    };
    let now = NOW.as_secs();
    let mut variants = Vec::new();
    for issuer in [
        "https://gateway.example/",
        "http://gateway.example",
        "https://GATEWAY.example",
        "https://gateway.example:443",
        "https://evil.example",
        "",
        " https://gateway.example",
        "https://gateway.example\0",
    ] {
        variants.push(with("iss", json!(issuer)));
    }
    for audience in [
        "https://gateway.example/fhir/",
        "https://gateway.example",
        "https://gateway.example/FHIR",
        "https://evil.example/fhir",
        "",
        "*",
    ] {
        variants.push(with("aud", json!(audience)));
    }
    variants.push(with("aud", json!(["https://gateway.example/fhir", "https://evil.example"])));
    variants.push(with("aud", json!(["https://gateway.example/fhir"])));
    for expires in [
        json!(now),
        json!(now + 1),
        json!(0),
        json!(-1),
        json!(1.8e30),
        json!("1800003600"),
        json!(null),
        json!(true),
        json!([now + 10]),
    ] {
        variants.push(with("exp", expires));
    }
    for issued in [json!(now + 3600), json!(u64::MAX), json!("0"), json!(null), json!(-1)] {
        variants.push(with("iat", issued));
    }
    for scope in [
        json!("patient/*.CRUDS"),
        json!("patient/Observation.sr"),
        json!("patient/Observation.rs "),
        json!("patient:read"),
        json!(["patient/*.cruds"]),
        json!(null),
        json!("pаtient/*.rs"),
        json!(7),
    ] {
        variants.push(with("scope", scope));
    }
    for patient in [json!("demo 1"), json!("../demo-2"), json!(""), json!(["demo-1"]), json!(1)] {
        variants.push(with("patient", patient));
    }
    for name in ["iss", "aud", "sub", "client_id", "scope", "iat", "exp", "jti"] {
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove(name);
        variants.push(without.to_string());
        // The member twice: with its value, in front and behind, and with another spelling of its name.
        let again = value[name].to_string();
        let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
        variants.push(claims.replacen('{', &format!("{{\"{name}\":{again},"), 1));
        variants.push(format!("{},\"{name}\":{again}}}", &claims[..claims.len() - 1]));
        variants.push(format!("{},\"{escaped}\":{again}}}", &claims[..claims.len() - 1]));
    }
    let mut without_role = value.clone();
    without_role.as_object_mut().unwrap().remove("role");
    variants.push(without_role.to_string());
    variants.extend([
        with("admin", json!(true)),
        with("Scope", json!("patient/*.cruds")),
        with("sub", json!("")),
        with("jti", json!("")),
    ]);
    variants.extend([
        with("client_id", json!("unknown")),
        with("client_id", json!("TREND")),
        with("fhirUser", json!("Device/1")),
    ]);
    variants.extend(["", "null", "[]", "{}", "\"x\"", "1"].map(str::to_owned));
    variants.extend([
        format!("{claims}{claims}"),
        format!("{claims},"),
        format!("\u{feff}{claims}"),
        format!("[{claims}]"),
    ]);
    variants
}

/// Better claims under the old signature.
fn forged_claims(base: &str) -> Vec<String> {
    let parts: Vec<_> = base.split('.').collect();
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let better = [
        ("scope", json!("patient/*.cruds")),
        ("scope", json!("user/*.cruds")),
        ("scope", json!("system/*.cruds")),
        ("patient", json!("demo-2")),
        ("patient", json!(null)),
        ("sub", json!("dr-b")),
        ("role", json!("administrator")),
        ("client_id", json!("monitor")),
        ("client_id", json!("~gateway")),
        ("fhirUser", json!("Practitioner/8")),
        ("purpose", json!("ETREAT")),
        ("exp", json!(NOW.as_secs() + 999_999)),
        ("iat", json!(NOW.as_secs() - 1)),
        ("jti", json!("x")),
        ("grant", json!("x")),
        ("grant", json!(null)),
    ];
    let forge = |(name, new): &(&str, Value)| {
        let mut value = value.clone();
        value[*name] = new.clone();
        format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(value.to_string()), parts[2])
    };
    better.iter().map(forge).collect()
}

/// Other sound tokens of the same server, which are not access tokens.
fn other_kinds(server: &AuthorizationServer) -> Vec<String> {
    let pending = server.authorize(&form(&request("openid patient/Patient.r")), &user("dr-a").name, NOW).unwrap();
    let mut other = crate::world::server();
    let mut random = randomness();
    let code = crate::world::code(&mut other, "openid patient/Patient.r offline_access", &mut random);
    let response = other.exchange(&form(&crate::world::exchange(&code)), &mut random, NOW).unwrap();
    let secrets = [response.id_token.unwrap(), response.refresh_token.unwrap(), pending.ticket];
    let mut variants: Vec<_> = secrets.iter().map(|secret| secret.expose().to_owned()).collect();
    variants.push(code);
    variants
}
