//! Assertions and keys that others published for tests: by HL7 in the specification, by the bulk data server and by the
//! Inferno test kits.

use sealwort_smart::{Apps, AssertionFault, NumericDate, ReplayGuard, verify_assertion};
use serde_json::{Value, json};

use crate::keys::SigningKey;
use crate::world::{NOW, TOKEN_ENDPOINT, assertion};

/// A file of the published keys, if it is there.
fn data(name: &str) -> Option<String> {
    sealwort_published::data(&format!("smart-test-keys/{name}")).map(|file| std::fs::read_to_string(file).unwrap())
}

fn keys(text: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(text).unwrap()["keys"].as_array().unwrap().clone()
}

fn register(client_id: &str, keys: &[Value]) -> Apps {
    let app = json!({
        "client_id": client_id, "name": "Published", "kind": "confidential", "scope": "system/*.rs",
        "jwks": { "keys": keys },
    });
    Apps::parse(json!({ "apps": [app] }).to_string().as_bytes()).unwrap()
}

#[test]
fn the_assertions_in_the_specification_count() {
    let folder = "hl7-smart-app-launch/input";
    let page = data(&format!("{folder}/pages/authorization-example-jwks-and-signatures.md"));
    let public = ["RS384", "ES384"].map(|alg| data(&format!("{folder}/images/{alg}.public.json")));
    let (Some(page), [Some(rsa), Some(ec)]) = (page, public) else { return };
    let apps = register("https://bili-monitor.example.com", &[keys(&rsa), keys(&ec)].concat());
    let app = apps.iter().next().unwrap();
    let assertions: Vec<_> = page.lines().map(str::trim).filter(|line| line.starts_with("eyJ")).collect();
    assert_eq!(assertions.len(), 2);
    for text in assertions {
        let verify = |now: u64, endpoint: &str| {
            verify_assertion(text, app, &[endpoint], &mut ReplayGuard::default(), NumericDate::from_secs(now))
        };
        let endpoint = "https://authorize.smarthealthit.org/token";
        assert_eq!(verify(1_422_568_860 - 300, endpoint), Ok(()));
        assert_eq!(verify(1_422_568_860, endpoint), Err(AssertionFault::Expired));
        assert_eq!(verify(1_422_568_860 - 311, endpoint), Err(AssertionFault::TooLong));
        assert_eq!(
            verify(1_422_568_860 - 1, "https://authorize.smarthealthit.org/token/"),
            Err(AssertionFault::Audience)
        );
    }
}

#[test]
fn assertions_by_published_private_keys_count_once() {
    let files = [
        "bulk-data-server/static/keys/RS384.private.json",
        "bulk-data-server/static/keys/ES384.private.json",
        "hl7-smart-app-launch/input/images/RS384.private.json",
        "hl7-smart-app-launch/input/images/ES384.private.json",
        "inferno/lib/smart_app_launch/smart_jwks.json",
        "inferno-bulk/lib/bulk_data_test_kit/bulk_data_jwks.json",
    ];
    let mut counted = 0;
    for file in files {
        let Some(text) = data(file) else { return };
        let signs = |jwk: &&Value| jwk.get("d").is_some() && (jwk["kty"] == "RSA" || jwk["crv"] == "P-384");
        for jwk in keys(&text).iter().filter(signs) {
            let key = SigningKey::of_jwk(jwk);
            let apps = register("published", &[key.public_jwk()]);
            let app = apps.iter().next().unwrap();
            let mut replays = ReplayGuard::default();
            let proof = assertion(&key, "published", "1");
            assert_eq!(verify_assertion(&proof, app, &[TOKEN_ENDPOINT], &mut replays, NOW), Ok(()), "{file}");
            let again = verify_assertion(&proof, app, &[TOKEN_ENDPOINT], &mut replays, NOW.plus(299));
            assert_eq!(again, Err(AssertionFault::Replayed), "{file}");
            // The private key itself cannot be registered.
            let app = json!({"client_id": "p", "name": "P", "kind": "confidential", "scope": "system/*.rs",
                "jwks": {"keys": [jwk]}});
            assert!(Apps::parse(json!({ "apps": [app] }).to_string().as_bytes()).is_err());
            counted += 1;
        }
    }
    println!("{counted} published private keys");
    assert!(counted >= 8, "{counted}");
}
