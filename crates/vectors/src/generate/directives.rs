//! `directives.json`: sections 6.2 and 6.3.

use sealwort_proto::crypto::hash;
use sealwort_proto::operations::Operations;
use sealwort_proto::statement::{self, Kind};
use serde_json::{Value, json};

use super::Maker;
use super::records::{PATIENT, TAGS};
use crate::cbor;
use crate::check::Library;
use crate::setting::{EXCHANGE, NOW};
use crate::vector::{File, hex, hexes};

pub(super) fn make(library: &Library) -> File {
    let mut m = Maker::new(library, "directives", "What a patient allows, what may follow it, and what it decides.");
    readings(&mut m);
    successors(&mut m);
    decisions(&mut m);
    m.done()
}

/// A provision's fields.
#[derive(Clone)]
pub(crate) struct Provision {
    pub(crate) id: u64,
    pub(crate) grantees: Among,
    pub(crate) roles: Among,
    pub(crate) actions: Vec<u64>,
    pub(crate) purposes: Vec<u64>,
    pub(crate) from: u64,
    pub(crate) until: Option<u64>,
    pub(crate) tags: Vec<[u8; 16]>,
}

/// 0 for those named, 1 for all but those named.
pub(crate) type Among = (u64, Vec<String>);

/// One hospital of the setting.
pub(crate) fn only(name: &str) -> Among {
    (0, vec![format!("sealwort://demo/gateway/{name}")])
}

/// A directive's fields.
#[derive(Clone)]
pub(crate) struct Directive {
    pub(crate) format: u64,
    pub(crate) exchange: String,
    pub(crate) patient: [u8; 32],
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    pub(crate) issued_at: u64,
    pub(crate) previous: [u8; 32],
    pub(crate) last_provision: u64,
    pub(crate) provisions: Vec<Provision>,
}

/// hospital-a may read and write both labels for treatment, without end.
pub(crate) fn provision(id: u64) -> Provision {
    Provision {
        id,
        grantees: only("hospital-a"),
        roles: (1, vec![]),
        actions: vec![0, 1],
        purposes: vec![0, 1],
        from: NOW.as_secs() - 300,
        until: None,
        tags: TAGS.to_vec(),
    }
}

impl Directive {
    /// The patient's first.
    pub(crate) fn first() -> Self {
        Self {
            format: 2,
            exchange: EXCHANGE.into(),
            patient: PATIENT,
            version: 1,
            epoch: 1,
            issued_at: NOW.as_secs(),
            previous: [0; 32],
            last_provision: 1,
            provisions: vec![provision(1)],
        }
    }

    /// The next one with nothing changed.
    fn next(&self) -> Self {
        let previous = *hash("sealwort directive v1", &self.encode()).as_bytes();
        Self { version: self.version + 1, issued_at: self.issued_at + 10, previous, ..self.clone() }
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let provision = |p: &Provision| {
            let tags: Vec<Value> = p.tags.iter().map(cbor::bytes).collect();
            json!([p.id, p.grantees, p.roles, p.actions, p.purposes, p.from, p.until, tags])
        };
        cbor::from_json(&json!([
            self.format,
            self.exchange,
            cbor::bytes(self.patient),
            self.version,
            self.epoch,
            self.issued_at,
            cbor::bytes(self.previous),
            self.last_provision,
            self.provisions.iter().map(provision).collect::<Vec<_>>(),
        ]))
    }
}

/// Signs a directive with the patient's consent authority.
pub(crate) fn sign_directive(library: &Library, directive: &Directive) -> Vec<u8> {
    let key = library.setting.authority("patient-1");
    statement::sign(Kind::Directive, &directive.encode(), &key, &Operations::default()).unwrap()
}

fn readings(m: &mut Maker<'_>) {
    let first = Directive::first();
    let ending = first.with(|d| {
        d.provisions[0].until = Some(NOW.as_secs() + 86_400);
        d.provisions.push(Provision {
            id: 3,
            grantees: only("hospital-b"),
            actions: vec![0, 2],
            purposes: vec![0, 2, 7],
            ..provision(3)
        });
        d.last_provision = 4;
    });
    let others = first.with(|d| {
        d.provisions[0].grantees = (1, vec!["sealwort://demo/gateway/hospital-b".into()]);
        d.provisions[0].roles = (0, vec!["nurse".into(), "physician".into()]);
    });
    for (name, comment, directive) in [
        ("directive-for-others", "Nurses and physicians of all hospitals but one.", others),
        ("directive-first", "One provision without an end.", first.clone()),
        ("directive-empty", "Nobody may do anything.", first.with(|d| d.provisions.clear())),
        ("directive-with-an-end", "Two provisions; ids 2 and 4 were given and are gone.", ending),
        ("directive-second", "It names the first.", first.next()),
    ] {
        m.good(name, "directive-read", "6.2", comment, json!({ "payload": hex(directive.encode()) }));
        m.cddl(&[("input.payload", "directive")]);
    }
    let mut bad = |name: &str, code: &str, change: &dyn Fn(&mut Directive)| {
        let payload = first.with(change).encode();
        m.bad(&format!("directive-{name}"), "directive-read", "6.2", "", json!({ "payload": hex(payload) }), code);
    };
    let one = |change: fn(&mut Provision)| move |d: &mut Directive| change(&mut d.provisions[0]);
    bad("of-format-1", "directive-unsupported-format", &|d| d.format = 1);
    bad("version-zero", "directive-version-zero", &|d| d.version = 0);
    bad("epoch-zero", "directive-epoch-impossible", &|d| d.epoch = 0);
    bad("epoch-above-version", "directive-epoch-impossible", &|d| d.epoch = 2);
    bad("first-with-a-predecessor", "directive-previous-misplaced", &|d| d.previous = [1; 32]);
    bad("second-without-a-predecessor", "directive-previous-misplaced", &|d| d.version = 2);
    bad("beyond-the-year-9999", "directive-issued-out-of-range", &|d| d.issued_at = 253_402_300_800);
    bad("exchange-name-with-capitals", "directive-exchange-name", &|d| d.exchange = "Demo".into());
    bad("provision-id-zero", "directive-provision-id", &one(|p| p.id = 0));
    bad("provision-id-never-given", "directive-provision-id", &one(|p| p.id = 2));
    bad("provisions-not-ascending", "directive-not-ascending", &|d| {
        d.last_provision = 2;
        d.provisions = vec![provision(2), provision(1)];
    });
    bad("provision-twice", "directive-not-ascending", &|d| d.provisions = vec![provision(1), provision(1)]);
    bad("actions-not-ascending", "directive-not-ascending", &one(|p| p.actions = vec![1, 0]));
    bad("purpose-twice", "directive-not-ascending", &one(|p| p.purposes = vec![0, 0]));
    bad("tags-not-ascending", "directive-not-ascending", &one(|p| p.tags.reverse()));
    bad("grantee-with-a-space", "directive-grantee", &one(|p| p.grantees.1[0].push(' ')));
    bad("grantee-empty", "directive-grantee", &one(|p| p.grantees.1[0].clear()));
    bad("grantee-twice", "directive-not-ascending", &one(|p| p.grantees.1.push(p.grantees.1[0].clone())));
    bad("for-no-hospital", "provision-nobody", &one(|p| p.grantees.1.clear()));
    bad("for-no-role", "provision-nobody", &one(|p| p.roles = (0, vec![])));
    bad("role-with-a-space", "directive-role", &one(|p| p.roles = (0, vec!["ward clerk".into()])));
    bad("roles-not-ascending", "directive-not-ascending", &one(|p| p.roles = (1, vec!["b".into(), "a".into()])));
    bad(
        "with-65-roles",
        "provision-too-many-names",
        &one(|p| p.roles = (0, (0..65).map(|number| format!("role-{number:02}")).collect())),
    );
    bad("among-unknown", "directive-malformed", &one(|p| p.roles = (2, vec![])));
    bad("without-actions", "provision-no-actions", &one(|p| p.actions.clear()));
    bad("without-purposes", "provision-no-purposes", &one(|p| p.purposes.clear()));
    bad("without-tags", "provision-no-labels", &one(|p| p.tags.clear()));
    bad("with-17-tags", "provision-too-many-labels", &one(|p| p.tags = (0..17).map(|n| [n; 16]).collect()));
    bad("ending-as-it-begins", "provision-period-empty", &one(|p| p.until = Some(p.from)));
    bad("period-beyond-the-year-9999", "provision-period-out-of-range", &one(|p| p.until = Some(253_402_300_800)));
    bad("action-unknown", "directive-malformed", &one(|p| p.actions = vec![3]));
    bad("purpose-unknown", "directive-malformed", &one(|p| p.purposes = vec![8]));
    let mut trailing = first.encode();
    trailing.push(0);
    m.bad(
        "directive-trailing-byte",
        "directive-read",
        "6.2",
        "",
        json!({ "payload": hex(trailing) }),
        "directive-not-canonical",
    );
}

fn successors(m: &mut Maker<'_>) {
    let current = Directive::first().with(|d| {
        d.last_provision = 2;
        d.provisions.push(Provision { grantees: only("hospital-b"), actions: vec![0], ..provision(2) });
    });
    let next = current.next();
    let input = |current: Option<&Directive>, next: &Directive| json!({ "current": current.map(|d| hex(d.encode())), "next": hex(next.encode()) });
    m.good("directive-follows-nothing", "directive-follow", "6.2", "", input(None, &current));
    m.good("directive-follows-unchanged", "directive-follow", "6.2", "", input(Some(&current), &next));
    let given = |d: &mut Directive| {
        d.last_provision = 3;
        d.provisions.push(Provision { actions: vec![2], ..provision(3) });
    };
    let widened = next.with(given);
    m.good("directive-gives-more", "directive-follow", "6.2", "The same epoch.", input(Some(&current), &widened));
    let opened = next.with(|d| {
        d.last_provision = 3;
        d.provisions[1] = Provision { id: 3, grantees: (1, vec![]), ..d.provisions[1].clone() };
    });
    let comment = "All hospitals instead of one: the same epoch.";
    m.good("directive-opens-to-all", "directive-follow", "6.2", comment, input(Some(&current), &opened));
    let taken = |d: &mut Directive| drop(d.provisions.pop());
    let narrowed = next.with(|d| {
        taken(d);
        d.epoch = 2;
    });
    m.good("directive-takes-back", "directive-follow", "6.2", "A new epoch.", input(Some(&current), &narrowed));
    let raised = next.with(|d| d.epoch = 2);
    let comment = "A new epoch without a reason.";
    m.good("directive-raises-the-epoch", "directive-follow", "6.2", comment, input(Some(&current), &raised));
    let ended = current.with(|d| d.provisions[1].until = Some(NOW.as_secs() + 5));
    let without = ended.next().with(taken);
    let comment = "The provision that is left out has ended: nothing is taken back.";
    m.good("directive-drops-what-ended", "directive-follow", "6.2", comment, input(Some(&ended), &without));

    let mut bad = |name: &str, comment: &str, code: &str, next: &Directive| {
        let name = format!("directive-{name}");
        m.bad(&name, "directive-follow", "6.2", comment, input(Some(&current), next), code);
    };
    bad("epoch-not-raised", "A provision is gone, the epoch stays.", "successor-epoch-not-raised", &next.with(taken));
    bad(
        "narrowed-in-part",
        "hospital-b's provision is replaced by one of a label less.",
        "successor-epoch-not-raised",
        &next.with(|d| {
            d.last_provision = 3;
            d.provisions[1] = Provision { id: 3, tags: vec![TAGS[0]], ..d.provisions[1].clone() };
        }),
    );
    bad(
        "covered-by-two-together",
        "Two provisions say what one said.",
        "successor-epoch-not-raised",
        &next.with(|d| {
            let old = d.provisions.pop().unwrap();
            d.last_provision = 4;
            d.provisions.push(Provision { id: 3, tags: vec![TAGS[0]], ..old.clone() });
            d.provisions.push(Provision { id: 4, tags: vec![TAGS[1]], ..old });
        }),
    );
    bad(
        "leaves-a-hospital-out",
        "hospital-b's provision becomes one for all but hospital-b.",
        "successor-epoch-not-raised",
        &next.with(|d| {
            d.last_provision = 3;
            let grantees = (1, only("hospital-b").1);
            d.provisions[1] = Provision { id: 3, grantees, ..d.provisions[1].clone() };
        }),
    );
    bad("version-skipped", "Version 3 follows version 1.", "successor-version", &next.with(|d| d.version = 3));
    bad("version-repeated", "Version 1 again.", "successor-version", &current.with(|d| d.issued_at += 1));
    bad("predecessor-another", "", "successor-previous-digest", &next.with(|d| d.previous[0] ^= 1));
    bad("issued-earlier", "", "successor-issued-earlier", &next.with(|d| d.issued_at = current.issued_at - 1));
    bad("of-another-patient", "", "successor-other-patient", &next.with(|d| d.patient = [0x60; 32]));
    bad("of-another-exchange", "", "successor-other-exchange", &next.with(|d| d.exchange = "north".into()));
    bad(
        "provision-rewritten",
        "Id 2 says more than before.",
        "successor-provision-rewritten",
        &next.with(|d| d.provisions[1].actions = vec![0, 1]),
    );
    bad(
        "last-provision-falls",
        "The highest id ever given is 2.",
        "successor-provision-id-reused",
        &next.with(|d| {
            taken(d);
            (d.epoch, d.last_provision) = (2, 1);
        }),
    );
    let gone = narrowed.next().with(|d| d.provisions.push(current.provisions[1].clone()));
    let comment = "Id 2 was given before and is gone.";
    m.bad(
        "directive-provision-id-reused",
        "directive-follow",
        "6.2",
        comment,
        input(Some(&narrowed), &gone),
        "successor-provision-id-reused",
    );
    let jumped = raised.next().with(|d| d.epoch = 1);
    let comment = "The epoch falls from 2 to 1.";
    m.bad(
        "directive-epoch-falls",
        "directive-follow",
        "6.2",
        comment,
        input(Some(&raised), &jumped),
        "successor-epoch",
    );
    let unraised = next.next();
    let leaped = unraised.next().with(|d| d.epoch = 3);
    let comment = "The epoch rises from 1 to 3.";
    m.bad(
        "directive-epoch-leaps",
        "directive-follow",
        "6.2",
        comment,
        input(Some(&unraised), &leaped),
        "successor-epoch",
    );
    m.bad(
        "directive-first-of-version-2",
        "directive-follow",
        "6.2",
        "A patient's first directive has version 1.",
        input(None, &next),
        "successor-version",
    );
}

fn decisions(m: &mut Maker<'_>) {
    let directive = Directive::first().with(|d| {
        d.last_provision = 3;
        d.provisions[0].until = Some(NOW.as_secs() + 1000);
        d.provisions[0].tags = vec![TAGS[0]];
        d.provisions.push(Provision {
            actions: vec![0],
            purposes: vec![0],
            until: Some(NOW.as_secs() + 500),
            tags: vec![TAGS[1]],
            ..provision(2)
        });
        d.provisions.push(Provision { actions: vec![2], purposes: vec![2], ..provision(3) });
    });
    let payload = hex(directive.encode());
    let input = |action: &str, purpose: &str, tags: &[[u8; 16]], now: u64| {
        json!({
            "directive": payload, "patient": hex(PATIENT), "hospital": "sealwort://demo/gateway/hospital-a",
            "action": action, "purpose": purpose, "tags": hexes(tags), "now": now,
        })
    };
    let now = NOW.as_secs();
    let other = [0x77; 16];
    for (name, comment, input) in [
        ("decision-read-both", "Two provisions; the first end counts.", input("read", "TREAT", &TAGS, now)),
        ("decision-read-one-of-three", "Two tags fall away.", input("read", "ETREAT", &[TAGS[0], TAGS[1], other], now)),
        ("decision-write", "", input("write", "TREAT", &[TAGS[0]], now)),
        ("decision-emergency", "The action emergency is named.", input("emergency", "BTG", &TAGS, now)),
        ("decision-first-second", "", input("read", "TREAT", &TAGS, now - 300)),
        ("decision-last-second", "", input("read", "TREAT", &[TAGS[1]], now + 499)),
    ] {
        m.good(name, "directive-decide", "6.3", comment, input);
    }
    let roles = |roles: Among, grantees: Among, role: Option<&str>| {
        let mut input = input("read", "TREAT", &[TAGS[0]], now);
        input["directive"] = hex(Directive::first()
            .with(|d| {
                d.provisions[0].roles = roles;
                d.provisions[0].grantees = grantees;
            })
            .encode());
        if let Some(role) = role {
            input["role"] = json!(role);
        }
        input
    };
    let named = |word: &str| vec![word.to_owned()];
    let anyone = || (1, vec![]);
    for (name, comment, input) in [
        ("decision-role-named", "", roles((0, named("nurse")), anyone(), Some("nurse"))),
        ("decision-role-not-left-out", "", roles((1, named("clerk")), anyone(), Some("nurse"))),
        ("decision-any-role", "The request names none.", roles(anyone(), anyone(), None)),
        ("decision-any-hospital-but-one", "", roles(anyone(), (1, only("hospital-b").1), Some("nurse"))),
    ] {
        m.good(name, "directive-decide", "6.3", comment, input);
    }
    for (name, code, input) in [
        ("decision-role-not-named", "consent-role-not-granted", roles((0, named("nurse")), anyone(), Some("clerk"))),
        ("decision-role-left-out", "consent-role-not-granted", roles((1, named("clerk")), anyone(), Some("clerk"))),
        (
            "decision-no-role-where-one-is-left-out",
            "consent-role-not-granted",
            roles((1, named("clerk")), anyone(), None),
        ),
        ("decision-hospital-left-out", "consent-no-provision", roles(anyone(), (1, only("hospital-a").1), None)),
    ] {
        m.bad(name, "directive-decide", "6.3", "", input, code);
    }
    let mut elsewhere = input("read", "TREAT", &TAGS, now);
    elsewhere["hospital"] = json!("sealwort://demo/gateway/hospital-b");
    let mut patient = input("read", "TREAT", &TAGS, now);
    patient["patient"] = hex([0x60; 32]);
    let mut reading = input("write", "TREAT", &TAGS, now);
    reading["directive"] = hex(directive.with(|d| drop(d.provisions.remove(0))).encode());
    let many: Vec<[u8; 16]> = (0..17).map(|n| [n; 16]).collect();
    for (name, code, input) in [
        ("decision-hospital-not-named", "consent-no-provision", elsewhere),
        ("decision-of-another-patient", "consent-other-patient", patient),
        (
            "decision-action-not-granted-for-the-label",
            "consent-label-not-granted",
            input("write", "TREAT", &[TAGS[1]], now),
        ),
        ("decision-action-not-granted", "consent-action-not-granted", reading),
        ("decision-purpose-not-granted", "consent-purpose-not-granted", input("read", "HRESCH", &TAGS, now)),
        ("decision-label-not-granted", "consent-label-not-granted", input("read", "TREAT", &[other], now)),
        ("decision-not-started", "consent-not-started", input("read", "TREAT", &TAGS, now - 301)),
        ("decision-ended", "consent-ended", input("read", "TREAT", &[TAGS[1]], now + 500)),
        ("decision-of-no-tags", "consent-nothing-requested", input("read", "TREAT", &[], now)),
        ("decision-of-17-tags", "consent-too-many-labels", input("read", "TREAT", &many, now)),
        ("decision-action-unknown", "request-invalid", input("delete", "TREAT", &TAGS, now)),
        ("decision-purpose-in-small-letters", "request-invalid", input("read", "treat", &TAGS, now)),
    ] {
        m.bad(name, "directive-decide", "6.3", "", input, code);
    }
}
