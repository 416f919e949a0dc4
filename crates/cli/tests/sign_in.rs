//! People who sign in at their hospital's provider: a real one (npm `oidc-provider`) through a browser that is a few
//! requests and cookies, and a hostile one that answers as no provider should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use support::browser::{Browser, FORM, Provider, administrate, configure, split};
use support::smart::{App, access_token, hidden};
use support::{Answer, Party, World, encode, errors, exit, json_of, succeeded};

/// Failures until a wait is seen: the first waits are short, and each is twice the one before.
const TRIES: usize = 30;
/// A provider that could not be asked is left alone for two seconds of a clock that counts whole ones.
const PROVIDER_RESTS: Duration = Duration::from_secs(3);

/// What a token gets: the status of the gateway is for users of the hospital.
fn with_token(world: &World, token: &str) -> Answer {
    world.client_with(Party::HospitalA, Some(token.to_owned())).get("/status")
}

#[test]
fn people_sign_in_at_a_real_provider() {
    let mut world = World::start();
    let gateway = world.url(Party::HospitalA);
    let Some(mut provider) = Provider::start(&world, world.address(Party::HospitalA)) else { return };
    configure(&mut world, Party::HospitalA, &provider.issuer.clone());

    // Signed in: a page, a token with the role, and both end with the session.
    let mut dr_a = Browser::default();
    let page = dr_a.sign_in(&gateway, "dr-a").with(200).text();
    assert!(page.contains("dr-a") && page.contains("physician") && page.contains("Ward 7"), "{page}");
    let token = dr_a.token(&gateway);
    with_token(&world, &token).with(200);
    for (name, attribute) in [("HttpOnly", "httponly"), ("SameSite=Lax", "samesite=lax")] {
        let mut other = Browser::default();
        let url = other.reach_callback(&gateway, "dr-a", "");
        let (host, path) = split(&url);
        let answer = other.send(&host, &path, None);
        let cookie = answer.fields("set-cookie").find(|cookie| cookie.starts_with("sealwort-session")).unwrap();
        assert!(cookie.to_lowercase().contains(attribute), "{name}: {cookie}");
    }

    // An answer counts once, in the browser that began, with the provider's own code and name.
    let mut other = Browser::default();
    let url = other.reach_callback(&gateway, "dr-a", "");
    Browser::default().go(&url, None, "").1.with(401);
    other.go(&url, None, "").1.with(401);
    let url = other.reach_callback(&gateway, "dr-a", "");
    other.go(&url, None, "").1.with(200);
    other.go(&url, None, "").1.with(401);
    for change in [("code=", "code=x"), ("state=", "state=x"), ("iss=http", "iss=https"), ("iss=", "was=")] {
        let mut one = Browser::default();
        let url = one.reach_callback(&gateway, "dr-a", "");
        assert!(url.contains(change.0), "{url}");
        one.go(&url.replacen(change.0, change.1, 1), None, "").1.with(401);
    }

    // Roles: the one asked for, none, and changed at the provider from the next sign-in on.
    let mut both = Browser::default();
    assert!(both.sign_in(&gateway, "both").with(200).text().contains("nurse"));
    let url = both.reach_callback(&gateway, "both", "?role=physician");
    assert!(both.go(&url, None, "").1.with(200).text().contains("physician"));
    let mut guest = Browser::default();
    assert!(guest.sign_in(&gateway, "guest").with(401).text().contains("role"));
    let url = Browser::default().reach_callback(&gateway, "ned", "?role=physician");
    Browser::default().go(&url, None, "").1.with(401);
    provider.tell(&json!({"roles": {"dr-a": ["nurses"], "ned": ["nurses"]}}));
    assert!(dr_a.page(&gateway).with(200).text().contains("physician"));
    assert!(Browser::default().sign_in(&gateway, "dr-a").with(200).text().contains("nurse"));

    // The provider takes new keys.
    provider.tell(&json!({"rotate": true}));
    Browser::default().sign_in(&gateway, "dr-a").with(200);

    // An app that the signed-in user approves has a token as long as the session goes on.
    let mut app =
        App::register(&world, Party::HospitalA, "chart", "user/*.rs patient/*.rs online_access offline_access");
    app.used_by(dr_a.session());
    let approved = access_token(app.user_token("user/*.rs", None));
    let online = app.user_token("user/*.rs online_access", None).with(200).json();
    let search = |token: &str| world.client_with(Party::HospitalA, Some(token.to_owned())).get("/fhir/Patient").status;
    assert_eq!(search(&approved), 200);

    // Sessions are listed and ended by command, by administrators alone.
    let refused = world.run_at(Party::HospitalA, &["session", "list"]);
    assert!(exit(&refused) == 3 && errors(&refused).contains("administrator"), "{}", errors(&refused));
    let list = json_of(&administrate(&world, &["session", "list", "--json"]));
    let of_dr_a = |list: &Value| -> Vec<String> {
        let all = list.as_array().unwrap().iter();
        all.filter(|one| one["user"] == "dr-a" && one["role"] == "physician")
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let id = dr_a.session().split_once('=').unwrap().1.split('.').next().unwrap().to_owned();
    assert!(of_dr_a(&list).contains(&id), "{list}");
    assert_eq!(list[0]["organisation"], "Ward 7");
    succeeded(&administrate(&world, &["session", "end", &id]));
    assert_eq!(with_token(&world, &token).with(401).code(), "token-revoked");
    assert_eq!(search(&approved), 401);
    assert_eq!(app.refreshed(online["refresh_token"].as_str().unwrap()).status, 400);
    dr_a.page(&gateway).with(303);
    assert_eq!(exit(&administrate(&world, &["session", "end", &id])), 2);

    // `--user` ends what outlasts sessions, too.
    let mut ned = Browser::default();
    ned.sign_in(&gateway, "ned").with(200);
    let token = ned.token(&gateway);
    app.used_by(ned.session());
    let offline = app.user_token("user/*.rs offline_access", None).with(200).json();
    succeeded(&administrate(&world, &["session", "end", "--user", "ned"]));
    with_token(&world, &token).with(401);
    assert_eq!(app.refreshed(offline["refresh_token"].as_str().unwrap()).status, 400);

    // Signing out needs the session's own form, and leads to the provider.
    let mut dr_a = Browser::default();
    let page = dr_a.sign_in(&gateway, "dr-a").with(200).text();
    let (token, host) = (dr_a.token(&gateway), split(&gateway).0);
    dr_a.send(&host, "/auth/logout", Some("form=x")).with(403);
    with_token(&world, &token).with(200);
    let out = dr_a.send(&host, "/auth/logout", Some(&format!("form={}", hidden(&page, "form")))).with(303);
    assert!(out.field("location").unwrap().starts_with(&format!("{}/session/end?id_token_hint=", provider.issuer)));
    with_token(&world, &token).with(401);
    dr_a.page(&gateway).with(303);

    // A restart ends all sessions; without use one ends by itself, and use keeps it.
    let mut dr_a = Browser::default();
    dr_a.sign_in(&gateway, "dr-a").with(200);
    let token = dr_a.token(&gateway);
    world.set(Party::HospitalA, "sign_in.sessions.idle_timeout", json!("3s"));
    world.stop(Party::HospitalA);
    world.restart(Party::HospitalA);
    with_token(&world, &token).with(401);
    dr_a.page(&gateway).with(303);
    dr_a.sign_in(&gateway, "dr-a").with(200);
    let token = dr_a.token(&gateway);
    for _ in 0..4 {
        sleep(Duration::from_secs(1));
        with_token(&world, &token).with(200);
    }
    sleep(Duration::from_secs(4));
    with_token(&world, &token).with(401);
    dr_a.page(&gateway).with(303);

    // No user is let in by a pasted token where there is a provider.
    let pasted = format!("token={}&request=x", encode(world.token_of_user(Party::HospitalA)));
    world.client_with(Party::HospitalA, None).send("POST", "/auth/sign-in", &[FORM], pasted).with(404);
}

#[test]
fn failures_are_followed_by_waits_that_shut_out_nobody_else() {
    let mut world = World::start_with(&[
        (Party::HospitalA, "fhir.trusted_proxies", json!(["127.0.0.1"])),
        (Party::HospitalA, "sign_in.lockout.lasts", json!("20m")),
        (Party::HospitalB, "fhir.trusted_proxies", json!(["192.0.2.1"])),
        (Party::HospitalB, "fhir.proxy_header", json!("forwarded")),
    ]);
    let good = world.client(Party::HospitalA);
    let secret = [("Authorization", "Basic cHVtcDp3cm9uZw==")];
    let send = || good.send("POST", "/devices/pump/measurements", &secret, "{}");
    assert_eq!([(); 3].map(|()| send().status), [401; 3]);
    assert!((0..TRIES).any(|_| send().status == 429), "no wait");

    let bad = world.client_with(Party::HospitalA, Some("not-a-token".into()));
    // The device's failures count for the address, too.
    let refused = (0..300).filter(|_| bad.get("/status").status == 401).count();
    assert!((290..300).contains(&refused), "{refused}");
    let waits = bad.get("/status").with(429);
    assert_eq!(waits.code(), "throttled");
    assert!(waits.field("retry-after").is_some_and(|seconds| seconds.parse::<u64>().unwrap() > 1100));
    good.get("/status").with(200);

    let locked = json_of(&administrate(&world, &["session", "locked", "--json"]));
    assert!(locked.as_array().unwrap().iter().any(|one| one["source"] == "127.0.0.1"), "{locked}");
    succeeded(&administrate(&world, &["session", "unlock", "pump"]));
    succeeded(&administrate(&world, &["session", "unlock", "127.0.0.1"]));
    bad.get("/status").with(401);
    send().with(401);
    assert_eq!(exit(&administrate(&world, &["session", "unlock", "nobody"])), 2);

    // Behind a proxy that is believed, failures are those of whom it names; what was there before is anybody's.
    let behind = [secret[0], ("X-Forwarded-For", "198.51.100.1, 203.0.113.9")];
    let send_behind = || good.send("POST", "/devices/pump/measurements", &behind, "{}").status;
    assert!((0..TRIES).any(|_| send_behind() == 429), "no wait");
    let locked = || json_of(&administrate(&world, &["session", "locked", "--json"])).as_array().unwrap().clone();
    let listed = |_| {
        send_behind();
        Some(locked()).filter(|locked| !locked.is_empty())
    };
    let locked = (0..TRIES).find_map(listed).expect("a lockout in the list");
    let sources: Vec<_> = locked.iter().map(|one| one["source"].clone()).collect();
    assert_eq!(sources, ["203.0.113.9"], "{locked:?}");
    send().with(401);
    behind_proxies(&mut world);
}

/// The address in the log is the client's where a listed proxy says it, in the header that is configured, and else that of
/// whoever sent the request.
fn behind_proxies(world: &mut World) {
    let forwarded = ("Forwarded", "for=198.51.100.1, for=\"[2001:db8::7]:4711\";proto=https");
    let listed = ("X-Forwarded-For", "198.51.100.1, 203.0.113.9");
    let address = |world: &World, hospital: Party, header: (&str, &str)| {
        let (id, folder) = (support::letters(8), world.folder(hospital));
        world.client(hospital).send("GET", &format!("/fhir/Patient/{id}"), &[header], "").with(404);
        let search = ["audit", "search", "--folder", support::text(&folder), "--kind", "read", "--json"];
        let found = json_of(&support::run(&search));
        let one = found.as_array().unwrap().iter().find(|one| one["details"]["resource-id"] == id);
        one.unwrap()["details"]["address"].as_str().unwrap().to_owned()
    };
    assert_eq!(address(world, Party::HospitalA, listed), "203.0.113.9");
    assert_eq!(address(world, Party::HospitalA, forwarded), "127.0.0.1", "another header");
    // What a proxy that is not listed says counts for nothing: failures are its own, whomever it names.
    assert_eq!(address(world, Party::HospitalB, forwarded), "127.0.0.1");
    let bad = world.client_with(Party::HospitalB, Some("not-a-token".into()));
    for number in 0..310 {
        let said = format!("for=198.51.100.{}", number % 250);
        bad.send("GET", "/status", &[("Forwarded", said.as_str())], "");
    }
    bad.send("GET", "/status", &[("Forwarded", "for=203.0.113.1")], "").with(429);
    world.set(Party::HospitalB, "fhir.trusted_proxies", json!(["127.0.0.0/8"]));
    world.stop(Party::HospitalB);
    world.restart(Party::HospitalB);
    assert_eq!(address(world, Party::HospitalB, forwarded), "2001:db8::7");
    assert_eq!(address(world, Party::HospitalB, listed), "127.0.0.1", "another header");
}

#[test]
fn a_hostile_provider_gets_nobody_in_and_breaks_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let said: Arc<Mutex<Vec<u8>>> = Arc::default();
    let says = Arc::clone(&said);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&says.lock().unwrap());
        }
    });
    let mut world = World::start();
    configure(&mut world, Party::HospitalA, &issuer);
    let client = world.client_with(Party::HospitalA, None);
    let answer =
        |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let document = |issuer: &str, endpoint: &str| {
        json!({
            "issuer": issuer, "authorization_endpoint": endpoint, "token_endpoint": endpoint, "jwks_uri": endpoint,
        })
        .to_string()
    };
    let hostile = [
        String::new(),
        "nonsense\r\n\r\n".to_owned(),
        answer("200 OK", ""),
        answer("200 OK", "{}"),
        answer("200 OK", &"[".repeat(100_000)),
        answer("200 OK", &" ".repeat(2 << 20)),
        answer("200 OK", &document("http://127.0.0.1:1", &issuer)),
        answer("200 OK", &document(&issuer, "javascript:alert(1)")),
        answer("200 OK", &document(&issuer, "http://a\r\nSet-Cookie: b=c")),
        answer("500 Internal Server Error", &document(&issuer, &issuer)),
        answer("302 Found\r\nLocation: http://127.0.0.1:1/", &document(&issuer, &issuer)),
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{".to_owned(),
    ];
    for (number, bytes) in hostile.iter().enumerate() {
        *said.lock().unwrap() = bytes.clone().into_bytes();
        let answer = client.get("/auth/login");
        assert!([400, 502].contains(&answer.status), "case {number}: {} {}", answer.status, answer.text());
        assert!(answer.field("location").is_none(), "case {number}");
        // Where no answer came that could be read.
        if ["cannot be asked", "is longer than"].iter().any(|why| answer.text().contains(why)) {
            sleep(PROVIDER_RESTS);
        }
    }
    *said.lock().unwrap() = answer("200 OK", &document(&issuer, &issuer)).into_bytes();
    let begun = client.get("/auth/login").with(303);
    assert!(begun.field("location").unwrap().starts_with(&issuer));
}
