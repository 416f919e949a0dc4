//! Client assertions that were altered, or are not as they must be, shown at the token endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use sealwort_smart::ErrorCode;
use serde_json::{Value, json};

use crate::keys::{SigningKey, sign};
use crate::world::{NOW, assertion, assertion_claims, backend, monitor_key, randomness, server, ward_key};

/// Tries all variants and says how many there were.
pub(crate) fn run() -> usize {
    let key = monitor_key();
    let header = json!({"alg": "ES384", "kid": key.kid, "typ": "JWT"});
    let claims = assertion_claims("monitor", "jti");
    let mut variants = other_claims(&claims, &header.to_string(), &key);
    variants.extend(other_headers(&claims.to_string(), &key));
    variants.extend(other_signers(&header.to_string(), &claims.to_string()));
    variants.extend(altered_text(&assertion(&key, "monitor", "x"), &assertion(&key, "monitor", "y")));
    variants.sort();
    variants.dedup();
    let (mut server, mut random) = (server(), randomness());
    for variant in &variants {
        let body = backend(variant, "system/Patient.r");
        let found = server.exchange(&body, &mut random, NOW);
        let code = found.map(|response| response.to_json().to_string()).map_err(|error| error.code());
        assert!(matches!(code, Err(ErrorCode::InvalidClient | ErrorCode::InvalidRequest)), "{variant:?}: {code:?}");
    }
    // None of them used up the identifier of the sound one.
    let sound = key.sign(&header.to_string(), &claims.to_string());
    assert!(server.exchange(&backend(&sound, "system/Patient.r"), &mut random, NOW).is_ok());
    variants.len()
}

fn other_claims(claims: &Value, header: &str, key: &SigningKey) -> Vec<String> {
    let now = NOW.as_secs();
    let mut variants: Vec<String> = Vec::new();
    let mut change = |name: &str, new: Value| {
        let mut changed = claims.clone();
        changed[name] = new;
        variants.push(changed.to_string());
    };
    for audience in [
        json!("https://gateway.example/oauth/token/"),
        json!("https://gateway.example/oauth"),
        json!("https://gateway.example"),
        json!("http://gateway.example/oauth/token"),
        json!("https://gateway.example/oauth/token?x"),
        json!("https://GATEWAY.example/oauth/token"),
        json!("https://gateway.example/fhir"),
        json!(""),
        json!(null),
        json!(1),
        json!([]),
        json!({}),
        json!(["https://gateway.example/oauth/token", "https://evil.example"]),
        json!(["https://evil.example", "https://gateway.example/oauth/token"]),
        json!(["https://evil.example"]),
        json!([["https://gateway.example/oauth/token"]]),
    ] {
        change("aud", audience);
    }
    for expires in [
        json!(now),
        json!(now - 1),
        json!(0),
        json!(-1),
        json!(now + 311),
        json!(now + 3600),
        json!(u64::MAX),
        json!((now + 60).to_string()),
        json!(1_800_000_060.5),
        json!(1.8e9),
        json!(null),
        json!([now + 60]),
        json!(true),
    ] {
        change("exp", expires);
    }
    for name in ["nbf", "iat"] {
        for starts in
            [json!(now + 11), json!(now + 300), json!(now + 400), json!(u64::MAX), json!("now"), json!(-5), json!(1.5)]
        {
            change(name, starts);
        }
    }
    for id in [
        json!(""),
        json!(null),
        json!(7),
        json!(["jti"]),
        json!("j".repeat(129)),
        json!("j t i"),
        json!("j\nti"),
        json!({}),
    ] {
        change("jti", id);
    }
    for client in [
        json!("ward"),
        json!("trend"),
        json!("Monitor"),
        json!("monitor "),
        json!("unknown"),
        json!(""),
        json!("~gateway"),
        json!(null),
        json!(["monitor"]),
        json!("mоnitor"),
    ] {
        change("iss", client.clone());
        change("sub", client);
    }
    let text = claims.to_string();
    for name in ["iss", "sub", "aud", "exp", "jti"] {
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(name);
        variants.push(without.to_string());
        let again = &claims[name];
        let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
        variants.push(text.replacen('{', &format!("{{\"{name}\":{again},"), 1));
        variants.push(format!("{},\"{escaped}\":{again}}}", &text[..text.len() - 1]));
    }
    variants.push(format!("{},\"x\":{{\"a\":1,\"a\":2}}}}", &text[..text.len() - 1]));
    variants.push(format!("{},\"iat\":{}}}", &text[..text.len() - 1], NOW.as_secs()));
    variants.extend(["", "null", "[]", "{}", "1"].map(str::to_owned));
    variants.extend([format!("{text}{text}"), format!("\u{feff}{text}"), format!("{text}x")]);
    variants.iter().map(|claims| key.sign(header, claims)).collect()
}

fn other_headers(claims: &str, key: &SigningKey) -> Vec<String> {
    let mut headers: Vec<String> = Vec::new();
    for alg in [
        "none", "None", "", "HS256", "HS384", "RS256", "RS384", "RS512", "PS384", "ES256", "ES512", "EdDSA", "es384",
        "ES384 ", "ES384\0",
    ] {
        headers.push(json!({"alg": alg, "kid": key.kid, "typ": "JWT"}).to_string());
    }
    for kid in [
        json!(""),
        json!("monitor-2"),
        json!("ward-1"),
        json!("MONITOR-1"),
        json!("monitor-1 "),
        json!("../monitor-1"),
        json!("/dev/null"),
        json!("' or '1'='1"),
        json!(null),
        json!(0),
        json!(["monitor-1"]),
        json!({"a": 1}),
        json!("monitor-1\0"),
        json!("https://evil.example/key"),
    ] {
        headers.push(json!({"alg": "ES384", "kid": kid, "typ": "JWT"}).to_string());
    }
    for typ in [json!("jwt"), json!("at+jwt"), json!("JWS"), json!(""), json!(null), json!(1)] {
        headers.push(json!({"alg": "ES384", "kid": key.kid, "typ": typ}).to_string());
    }
    let extra = [
        ("jwk", key.public_jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example")),
        ("x5c", json!(["AAAA"])),
        ("x5t", json!("AAAA")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
    ];
    for (name, value) in extra {
        let mut header = json!({"alg": "ES384", "kid": key.kid, "typ": "JWT"});
        header[name] = value;
        headers.push(header.to_string());
    }
    headers.extend(
        [
            r#"{"kid":"monitor-1","typ":"JWT"}"#,
            r#"{"alg":"ES384","typ":"JWT"}"#,
            r#"{"alg":"ES384","kid":"monitor-1"}"#,
            r#"{"alg":"none","alg":"ES384","kid":"monitor-1","typ":"JWT"}"#,
            r#"{"alg":"ES384","alg":"none","kid":"monitor-1","typ":"JWT"}"#,
            r#"{"alg":"ES384","\u0061lg":"ES384","kid":"monitor-1","typ":"JWT"}"#,
            r#"{"alg":"ES384","kid":"monitor-2","kid":"monitor-1","typ":"JWT"}"#,
            r#"{"alg":"ES384","kid":"monitor-1","typ":"JWT"}x"#,
            r#"{"alg":["ES384"],"kid":"monitor-1","typ":"JWT"}"#,
            "{}",
            "[]",
            "",
        ]
        .map(str::to_owned),
    );
    let mut variants: Vec<String> = headers.iter().map(|header| key.sign(header, claims)).collect();
    let unsigned = |header: &str| format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    variants.extend(headers.iter().take(4).map(|header| unsigned(header)));
    variants
}

/// Sound assertions by other keys, and by the public key taken for a shared secret.
fn other_signers(header: &str, claims: &str) -> Vec<String> {
    let mut variants = vec![
        SigningKey::ec("monitor-1", 4).sign(header, claims),
        ward_key().sign(&header.replace("ES384", "RS384"), claims),
        ward_key().sign(header, claims),
        ward_key().sign(&header.replace("ES384", "RS384").replace("monitor-1", "ward-1"), claims),
        // The other registered key, under the name of the first.
        SigningKey::rsa("monitor-2").sign(&header.replace("ES384", "RS384"), claims),
        sign(
            &header.replace("ES384", "RS256").replace("monitor-1", "monitor-2"),
            claims,
            &SigningKey::rsa("").key,
            Algorithm::RS256,
        ),
        sign(
            &header.replace("ES384", "PS384").replace("monitor-1", "monitor-2"),
            claims,
            &SigningKey::rsa("").key,
            Algorithm::PS384,
        ),
        sign(
            &header.replace("ES384", "RS384").replace("monitor-1", "monitor-2"),
            claims,
            &SigningKey::rsa("").key,
            Algorithm::PS384,
        ),
        sign(
            &header.replace("ES384", "RS384").replace("monitor-1", "monitor-2"),
            claims,
            &SigningKey::rsa("").key,
            Algorithm::RS256,
        ),
    ];
    let jwk = monitor_key().public_jwk();
    let text = |name: &str| jwk[name].as_str().unwrap().to_owned();
    let point =
        [&[4][..], &URL_SAFE_NO_PAD.decode(text("x")).unwrap(), &URL_SAFE_NO_PAD.decode(text("y")).unwrap()].concat();
    for secret in [
        point.clone(),
        STANDARD.encode(&point).into_bytes(),
        text("x").into_bytes(),
        jwk.to_string().into_bytes(),
        b"monitor".to_vec(),
    ] {
        let secret = EncodingKey::from_secret(&secret).unwrap();
        for algorithm in [Algorithm::HS256, Algorithm::HS384] {
            variants.push(sign(&header.replace("ES384", &format!("{algorithm:?}")), claims, &secret, algorithm));
            variants.push(sign(header, claims, &secret, algorithm));
        }
    }
    variants
}

fn altered_text(base: &str, other: &str) -> Vec<String> {
    let (one, two): (Vec<_>, Vec<_>) = (base.split('.').collect(), other.split('.').collect());
    let mut variants = vec![
        [one[0], one[1], two[2]].join("."),
        [one[0], two[1], one[2]].join("."),
        [one[0], one[1]].join("."),
        [one[1], one[0], one[2]].join("."),
        [one[0], one[1], one[2], one[2]].join("."),
        base.to_uppercase(),
        format!("{base}{}", "A".repeat(9000)),
        "..".into(),
        "x".into(),
    ];
    variants.extend((0..base.len()).step_by(20).skip(1).map(|end| base[..end].to_owned()));
    for more in ["=", "A", "AAAA", ".", " ", "\n", "\0", "%20"] {
        variants.push(format!("{base}{more}"));
        variants.push(format!("{more}{base}"));
    }
    let signature = base.rfind('.').unwrap() + 1;
    for place in (signature..base.len()).step_by(4) {
        let new = if base.as_bytes()[place] == b'A' { 'B' } else { 'A' };
        variants.push(format!("{}{new}{}", &base[..place], &base[place + 1..]));
    }
    // A signature of zeros, and one in DER instead of two plain numbers.
    variants.push(format!("{}{}", &base[..signature], "A".repeat(128)));
    variants.push(format!(
        "{}{}",
        &base[..signature],
        URL_SAFE_NO_PAD.encode([&[0x30, 0x66, 2, 49, 0][..], &[1; 99]].concat())
    ));
    variants
}
