//! `certificates.json`: section 3: certificates and lists at a stated time, requests, and joining.

use sealwort_pki::authority::{PARTY_LIFETIME, make_csr, parse_csr};
use sealwort_pki::enrolment::{
    CrlResponse, DirectoryKey, EnrolRequest, Invitation, InvitationSecret, JoinResponse, Refusal, RenewRequest,
    RootResponse,
};
use sealwort_pki::testing::{Seeded, TestExchange};
use sealwort_pki::{CertificateChain, Fingerprint, Identity, KeyAlgorithm, KeyUse, Role, SigningKey};
use serde_json::{Value, json};

use super::Maker;
use crate::check::Library;
use crate::setting::{EXCHANGE, NOW, after, exchange};
use crate::vector::{File, bytes, hex, hexes};

pub(super) fn make(library: &Library) -> File {
    let mut m =
        Maker::new(library, "certificates", "Certificates and revocation lists at a stated time, requests, joining.");
    let demo = exchange();
    let north = {
        let _seeded = Seeded::install(2);
        TestExchange::new("north")
    };
    chains(&mut m, library, &demo, &north);
    lists(&mut m, library, &demo, &north);
    requests(&mut m, library);
    let _seeded = Seeded::install(3);
    messages(&mut m, &demo);
    joining(&mut m, &demo);
    m.done()
}

fn chain_of(library: &Library, party: &str, key_use: KeyUse) -> Vec<Vec<u8>> {
    library.setting.credential(party, key_use).chain.into_certificates()
}

fn verify(chain: &[Vec<u8>], trust: &str, role: &str, key_use: &str, now: u64) -> Value {
    json!({
        "chain": hexes(chain), "trust": trust, "roles": [role], "name": null, "key_use": key_use, "now": now,
    })
}

fn chains(m: &mut Maker<'_>, library: &Library, demo: &TestExchange, north: &TestExchange) {
    let kind = "certificate-verify";
    let now = NOW.as_secs();
    let own = chain_of(library, "hospital-a", KeyUse::Statement);
    let usual = || verify(&own, "demo", "gateway", "statement", now);
    for (name, party, role, key_use) in [
        ("certificate-of-a-gateway", "hospital-a", "gateway", KeyUse::Statement),
        ("certificate-of-a-hop", "hospital-a", "gateway", KeyUse::Hop),
        ("certificate-of-a-p256-key", "hospital-p", "gateway", KeyUse::Statement),
        ("certificate-of-a-broker", "broker", "broker", KeyUse::Statement),
        ("certificate-of-an-archive", "archive", "archive", KeyUse::Statement),
    ] {
        let input = verify(&chain_of(library, party, key_use), "demo", role, key_use.as_str(), now);
        m.good(name, kind, "3.2", "", input);
    }
    let with = |member: &str, value: Value| {
        let mut input = usual();
        input[member] = value;
        input
    };
    m.good("certificate-of-anybody", kind, "3.2", "Any role.", with("roles", json!([])));
    m.good("certificate-by-name", kind, "3.2", "", with("name", json!("hospital-a")));
    m.good(
        "certificate-in-its-first-second",
        kind,
        "3.2",
        "60 seconds before it was made.",
        with("now", json!(now - 60)),
    );

    let issuing = own[1].clone();
    let mut altered = own.clone();
    *altered[0].last_mut().unwrap() ^= 1;
    let stranger = {
        let _seeded = Seeded::install(4);
        TestExchange::new(EXCHANGE).party(Role::Gateway, "hospital-a").statement.chain.into_certificates()
    };
    let theirs = {
        let _seeded = Seeded::install(5);
        north.party(Role::Gateway, "hospital-a").statement.chain.into_certificates()
    };
    let misissued = {
        let _seeded = Seeded::install(6);
        let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        demo.misissued(&key, &demo.identity(Role::Gateway, "hospital-a"), Role::Broker).into_certificates()
    };
    let later = {
        let _seeded = Seeded::install(7);
        let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let request = make_csr(&key, &demo.identity(Role::Gateway, "hospital-a"), KeyUse::Statement).unwrap();
        let issued = demo.issuing.issue(&parse_csr(&request).unwrap(), PARTY_LIFETIME, after(61)).unwrap();
        issued.chain.into_certificates()
    };
    let revoked =
        verify(&chain_of(library, "hospital-b", KeyUse::Statement), "demo-revoking", "gateway", "statement", now);
    let mut ended_list = revoked.clone();
    ended_list["now"] = json!(after(25 * 3600).as_secs());
    let years = after(2 * 365 * 86_400 + 86_400).as_secs();
    let chain = |certificates: &[Vec<u8>]| with("chain", hexes(certificates));
    for (name, comment, input, code) in [
        ("certificate-of-another-role", "A broker is awaited.", with("roles", json!(["broker"])), "wrong-role"),
        ("certificate-of-another-name", "", with("name", json!("hospital-b")), "wrong-name"),
        (
            "certificate-of-the-other-key",
            "The hop certificate is awaited.",
            with("key_use", json!("hop")),
            "wrong-key-use",
        ),
        (
            "certificate-expired",
            "One second after its end.",
            with("now", json!(now + 72 * 3600 + 1)),
            "certificate-expired",
        ),
        ("certificate-not-yet-valid", "It was made 61 seconds later.", chain(&later), "certificate-not-yet-valid"),
        (
            "certificate-before-the-issuing-one",
            "61 seconds before both were made: the issuing one is looked at first.",
            with("now", json!(now - 61)),
            "issuer-not-valid",
        ),
        (
            "certificate-after-the-issuing-one",
            "The issuing certificate lasts two years.",
            with("now", json!(years)),
            "issuer-not-valid",
        ),
        ("certificate-without-a-list", "", with("trust", json!("demo-without-list")), "revocation-unknown"),
        (
            "certificate-with-an-ended-list",
            "The list lasts a day.",
            with("now", json!(after(24 * 3600).as_secs())),
            "revocation-unknown",
        ),
        ("certificate-revoked", "hospital-b is on list 2.", revoked, "certificate-revoked"),
        ("certificate-revoked-by-an-ended-list", "Revoked is revoked.", ended_list, "certificate-revoked"),
        ("certificate-without-the-issuing-one", "", chain(&own[..1]), "unknown-issuer"),
        ("certificate-of-another-root", "Another root of the same name.", chain(&stranger), "unknown-issuer"),
        (
            "certificate-with-another-issuing-one",
            "The leaf is ours, the issuing certificate is not.",
            chain(&[own[0].clone(), stranger[1].clone()]),
            "unknown-issuer",
        ),
        ("certificate-of-another-exchange", "", chain(&theirs), "wrong-exchange"),
        ("certificate-altered", "The last bit of its signature.", chain(&altered), "bad-certificate-signature"),
        (
            "certificate-of-an-authority",
            "The issuing certificate as a party's.",
            chain(&[issuing.clone(), issuing.clone()]),
            "certificate-malformed",
        ),
        (
            "certificate-with-another-roles-policy",
            "A gateway's identity, a broker's policy.",
            chain(&misissued),
            "role-mismatch",
        ),
        (
            "certificate-with-trailing-byte",
            "",
            chain(&[[&own[0][..], &[0]].concat(), issuing]),
            "certificate-malformed",
        ),
    ] {
        m.bad(name, kind, "3.2", comment, input, code);
    }
}

fn lists(m: &mut Maker<'_>, library: &Library, demo: &TestExchange, north: &TestExchange) {
    let kind = "list-take";
    let revoking = library.setting.json().object("trust").object("demo-revoking").list("lists");
    let [first, second] = [0, 1].map(|index| bytes(&revoking[index]["crl"]));
    let issuing = demo.issuing.certificate().to_vec();
    let take = |trust: &str, crl: &[u8], issuing: &[u8], now: u64| json!({ "trust": trust, "crl": hex(crl), "issuing": hex(issuing), "now": now });
    let now = NOW.as_secs();
    m.good("list-first", kind, "3.3", "", take("demo-without-list", &first, &issuing, now));
    m.good("list-next", kind, "3.3", "It revokes two certificates.", take("demo", &second, &issuing, now));
    m.good("list-again", kind, "3.3", "The very same bytes.", take("demo", &first, &issuing, now));
    let mut altered = second.clone();
    *altered.last_mut().unwrap() ^= 1;
    let other = demo.crl(
        1,
        &[library.setting.json().object("parties").object("hospital-b").object("hop").text("serial").parse().unwrap()],
    );
    let long = [&second[..], &[0]].concat();
    let future = demo.issuing.make_crl(3, &[], after(121), after(24 * 3600)).unwrap();
    for (name, comment, input, code) in [
        (
            "list-with-a-lower-number",
            "Number 1 after number 2.",
            take("demo-revoking", &first, &issuing, now),
            "crl-rollback",
        ),
        ("list-with-the-same-number", "Two lists with number 1.", take("demo", &other, &issuing, now), "crl-conflict"),
        (
            "list-expired",
            "In its nextUpdate.",
            take("demo", &second, &issuing, after(24 * 3600).as_secs()),
            "crl-stale",
        ),
        (
            "list-of-the-future",
            "thisUpdate is 61 seconds ahead.",
            take("demo", &future, &issuing, now),
            "crl-not-yet-valid",
        ),
        (
            "list-before-the-issuing-certificate",
            "61 seconds before both were made.",
            take("demo", &second, &issuing, now - 61),
            "issuing-certificate-not-valid",
        ),
        ("list-altered", "The last bit of its signature.", take("demo", &altered, &issuing, now), "crl-bad-signature"),
        ("list-with-trailing-byte", "", take("demo", &long, &issuing, now), "crl-malformed"),
        (
            "list-of-another-authority",
            "Signed by another issuing certificate.",
            take("demo", &north.crl(2, &[]), &issuing, now),
            "crl-bad-signature",
        ),
        (
            "list-with-another-issuing-certificate",
            "Not the root's.",
            take("demo", &north.crl(2, &[]), north.issuing.certificate(), now),
            "bad-issuing-certificate",
        ),
    ] {
        m.bad(name, kind, "3.3", comment, input, code);
    }
}

fn requests(m: &mut Maker<'_>, library: &Library) {
    let kind = "certificate-request";
    let identity: Identity = library.setting.identity("hospital-a").parse().unwrap();
    let mut last = Vec::new();
    for key_use in KeyUse::ALL {
        let key = library.setting.credential("hospital-a", key_use).key;
        last = make_csr(&key, &identity, key_use).unwrap();
        let name = format!("request-for-a-{}-certificate", key_use.as_str());
        m.good(&name, kind, "3.6", "", json!({ "request": hex(&last) }));
    }
    let mut altered = last.clone();
    *altered.last_mut().unwrap() ^= 1;
    m.bad(
        "request-signature-altered",
        kind,
        "3.6",
        "Possession is not proved.",
        json!({ "request": hex(altered) }),
        "request-bad-signature",
    );
    last.push(0);
    m.bad("request-der-with-trailing-byte", kind, "3.6", "", json!({ "request": hex(last) }), "request-malformed");
}

/// What joining is made from: an invitation, the keys, and the grant for them.
struct Joining {
    invitation: Invitation,
    seeds: [[u8; 32]; 2],
    grant: JoinResponse,
}

impl Joining {
    fn new(demo: &TestExchange, role: Role, name: &str) -> Self {
        let identity = demo.identity(role, name);
        let seeds = [[0x91; 32], [0x92; 32]];
        let chains = KeyUse::ALL.map(|key_use| {
            let seed = if key_use == KeyUse::Hop { seeds[0] } else { seeds[1] };
            issue(demo, &seed, &identity, key_use)
        });
        let [hop, statement] = chains;
        let directory_key = (role == Role::Gateway).then(|| DirectoryKey::from_bytes(&[0x93; 32]));
        Self {
            invitation: Invitation {
                identity,
                url: "https://ca.example:8443".into(),
                root: demo.root.fingerprint(),
                secret: InvitationSecret::from_bytes(&[0x94; 32]),
                expires: after(3600),
            },
            seeds,
            grant: JoinResponse {
                hop,
                statement,
                root: demo.root.certificate().to_vec(),
                crl: demo.crl(1, &[]),
                directory_key,
            },
        }
    }

    fn input(&self) -> Value {
        json!({
            "invitation": self.invitation.to_json().to_string(), "grant": self.grant.to_json().to_string(),
            "hop_seed": hex(self.seeds[0]), "statement_seed": hex(self.seeds[1]), "now": NOW.as_secs(),
        })
    }
}

fn issue(demo: &TestExchange, seed: &[u8; 32], identity: &Identity, key_use: KeyUse) -> CertificateChain {
    let key = SigningKey::from_seed(KeyAlgorithm::Ed25519, seed).unwrap();
    let request = parse_csr(&make_csr(&key, identity, key_use).unwrap()).unwrap();
    demo.issuing.issue(&request, PARTY_LIFETIME, NOW).unwrap().chain
}

fn messages(m: &mut Maker<'_>, demo: &TestExchange) {
    let joining = Joining::new(demo, Role::Gateway, "hospital-c");
    let identity = joining.invitation.identity.clone();
    let requests = [0, 1].map(|index| {
        let key = SigningKey::from_seed(KeyAlgorithm::Ed25519, &joining.seeds[index]).unwrap();
        make_csr(&key, &identity, KeyUse::ALL[index]).unwrap()
    });
    let [hop, statement] = requests;
    let secret = InvitationSecret::from_bytes(&[0x94; 32]);
    let refusal = Refusal {
        code: "invitation-used".into(),
        message: "the invitation was used".into(),
        remedy: "ask for a new one".into(),
    };
    let enrol = EnrolRequest { identity, secret, hop: hop.clone(), statement: statement.clone() };
    let list = CrlResponse { crl: demo.crl(1, &[]), issuing: demo.issuing.certificate().to_vec() };
    let root = RootResponse { exchange: EXCHANGE.parse().unwrap(), root: demo.root.certificate().to_vec() };
    let objects = [
        ("invitation", joining.invitation.to_json().to_string()),
        ("enrol-request", enrol.to_json().to_string()),
        ("renew-request", RenewRequest { hop, statement }.to_json().to_string()),
        ("grant", joining.grant.to_json().to_string()),
        ("list", list.to_json()),
        ("root", root.to_json()),
        ("refusal", refusal.to_json()),
    ];
    for (object, json) in &objects {
        let input = json!({ "object": object, "json": json });
        m.good(&format!("authority-{object}"), "authority-message", "3.6", "", input);
    }
    let change = |index: usize, change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let (object, json) = &objects[index];
        let mut map: serde_json::Map<String, Value> = serde_json::from_str(json).unwrap();
        change(&mut map);
        json!({ "object": object, "json": Value::Object(map).to_string() })
    };
    let set = |index: usize, member: &'static str, value: Value| {
        change(index, &move |map| drop(map.insert(member.to_owned(), value.clone())))
    };
    let twice =
        json!({ "object": "refusal", "json": "{\"code\":\"a\",\"code\":\"a\",\"message\":\"m\",\"remedy\":\"r\"}" });
    for (name, comment, input) in [
        ("authority-unknown-member", "", set(6, "more", json!("x"))),
        ("authority-missing-member", "", change(6, &|map| drop(map.remove("remedy")))),
        ("authority-member-twice", "", twice),
        ("authority-invitation-over-http", "", set(0, "url", json!("http://ca.example"))),
        ("authority-secret-too-short", "31 bytes.", set(0, "secret", json!("94".repeat(31)))),
        ("authority-role-unknown", "", set(0, "role", json!("owner"))),
        ("authority-name-with-capitals", "", set(0, "name", json!("Hospital"))),
        ("authority-request-not-hexadecimal", "", set(2, "hop", json!("zz"))),
        (
            "authority-chain-of-three",
            "",
            change(3, &|map| {
                let chain = map["hop"].as_array_mut().unwrap();
                chain.push(chain[0].clone());
            }),
        ),
        ("authority-trailing-text", "", json!({ "object": "root", "json": format!("{} x", objects[5].1) })),
    ] {
        m.bad(name, "authority-message", "3.6", comment, input, "message-malformed");
    }
}

fn joining(m: &mut Maker<'_>, demo: &TestExchange) {
    let usual = || Joining::new(demo, Role::Gateway, "hospital-c");
    m.good("join-a-gateway", "join", "3.7", "It gets the directory key.", usual().input());
    let broker = Joining::new(demo, Role::Broker, "broker-2");
    m.good("join-a-broker", "join", "3.7", "It gets none.", broker.input());
    let mut bad = |name: &str, comment: &str, joining: Joining, code: &str| {
        m.bad(&format!("join-{name}"), "join", "3.7", comment, joining.input(), code);
    };
    let with = |change: &dyn Fn(&mut Joining)| {
        let mut joining = usual();
        change(&mut joining);
        joining
    };
    bad(
        "with-an-expired-invitation",
        "",
        with(&|j| j.invitation.expires = NOW.minus(std::time::Duration::from_secs(1))),
        "invitation-expired",
    );
    bad(
        "with-another-root",
        "The invitation pins another one.",
        with(&|j| j.invitation.root = Fingerprint::of(b"another")),
        "wrong-root",
    );
    bad("without-the-directory-key", "", with(&|j| j.grant.directory_key = None), "directory-key");
    bad(
        "a-broker-with-a-directory-key",
        "",
        {
            let mut joining = Joining::new(demo, Role::Broker, "broker-2");
            joining.grant.directory_key = Some(DirectoryKey::from_bytes(&[0x93; 32]));
            joining
        },
        "directory-key",
    );
    bad(
        "with-a-certificate-for-another-key",
        "",
        with(&|j| {
            j.grant.statement = issue(demo, &[0x95; 32], &j.invitation.identity, KeyUse::Statement);
        }),
        "wrong-key",
    );
    bad(
        "with-anothers-certificate",
        "",
        with(&|j| {
            j.grant.statement =
                issue(demo, &j.seeds[1], &demo.identity(Role::Gateway, "hospital-d"), KeyUse::Statement);
        }),
        "wrong-name",
    );
    bad(
        "with-another-roles-certificate",
        "",
        with(&|j| {
            j.grant.hop = issue(demo, &j.seeds[0], &demo.identity(Role::Broker, "hospital-c"), KeyUse::Hop);
        }),
        "wrong-role",
    );
    bad(
        "with-the-certificates-exchanged",
        "",
        with(&|j| std::mem::swap(&mut j.grant.hop, &mut j.grant.statement)),
        "wrong-key-use",
    );
    bad("with-an-altered-list", "", with(&|j| *j.grant.crl.last_mut().unwrap() ^= 1), "crl-bad-signature");
}
