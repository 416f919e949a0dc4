//! A malicious broker in league with a hospital, a hospital whose keys were stolen, and the archive that decides by
//! itself.

use sealwort_consent::{Action, Withdrawal};
use sealwort_pki::{Role, UnixTime};
use sealwort_proto::codec::Blob;
use sealwort_proto::log::empty;
use sealwort_proto::message::{ArchiveGrant, Emergency, FromArchive, Refusal, ToArchive, ToBroker, TokenGrant};
use sealwort_proto::transmission::broker::{Permission, on_request};
use sealwort_proto::transmission::gateway::{Sought, request};
use sealwort_proto::{EmergencyId, LabelTag, Pseudonym};

use super::exchange::{Actor, Exchange, League, OTHER_TAG, Registered, TAGS, terms};

fn sought(patient: Pseudonym, action: &str, tags: &[LabelTag], now: UnixTime) -> Sought {
    let emergency = || Emergency { id: EmergencyId::new([0x74; 16]), begun_at: now.as_secs(), reason: "other".into() };
    Sought {
        patient,
        action: action.into(),
        tags: tags.to_vec(),
        purpose: "TREAT".into(),
        emergency: (action == "emergency").then(emergency),
        user: "mallory".into(),
        user_role: "physician".into(),
    }
}

/// Steps 1 to 6 by the league: the broker grants whatever is asked for.
async fn present(
    league: &League,
    (t, l): (&Actor, &Actor),
    registered: &Registered,
    (action, tags): (&str, &[LabelTag]),
    now: UnixTime,
) -> Result<ArchiveGrant, Refusal> {
    let epoch = registered.directive.epoch();
    let permission = Permission { tags: tags.to_vec(), directive_version: 1, epoch, begun_at: Some(now.as_secs()) };
    let (l_state, ToBroker::Request(signed)) =
        request(&league.hospital, &l.party, sought(registered.patient, action, tags, now)).unwrap()
    else {
        panic!("step 1")
    };
    let (pending, challenge) = on_request(signed.as_ref(), &league.broker, &t.party, now).unwrap();
    let (l_state, ToBroker::Accept(acceptance)) =
        l_state.on_challenge(&challenge, &league.hospital, &l.party, now).unwrap()
    else {
        panic!("step 3")
    };
    let accepted = pending.on_acceptance(&acceptance, &league.broker, &t.party, now).unwrap();
    let witness = empty(registered.patient);
    let issued = accepted.issue(permission, witness, &league.broker, &league.to_archive, &t.party, now);
    let (token, sealed) = issued.unwrap();
    let registration = Blob(registered.registration.clone());
    let grant = TokenGrant { sealed, token, sub_halves: Vec::new(), registration };
    let (_, present) = l.peers(|peers| l_state.on_token(grant, &league.hospital, &l.party, peers)).unwrap();
    match league.ask_archive(&[present], now).await?.pop() {
        Some(FromArchive::Granted(grant)) => Ok(*grant),
        other => panic!("{other:?}"),
    }
}

/// The broker issues tokens without any consent: the archive decides by itself and gives nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_issues_tokens_without_consent() {
    let exchange = Exchange::start().await;
    let (a, rogue) = (exchange.actor(Role::Gateway, "a"), exchange.actor(Role::Gateway, "rogue"));
    let t = exchange.actor(Role::Broker, "rogue");
    let honest = exchange.session(&a).await;
    let registered = exchange.register(&a, &honest, 1).await;
    let now = exchange.now();
    let league = League::form(&exchange, &t, &rogue).await.unwrap();
    for action in ["read", "write", "emergency"] {
        for tags in [&TAGS[..], &TAGS[..1], &[OTHER_TAG]] {
            let refused = present(&league, (&t, &rogue), &registered, (action, tags), now).await.unwrap_err();
            assert_eq!((refused.by.as_str(), refused.code.starts_with("consent-")), ("archive", true), "{refused}");
        }
    }
    // A patient whom nobody registered.
    let nobody = Registered { patient: Pseudonym::new([0x77; 32]), ..forged(&exchange, &rogue, 0x77) };
    let refused = present(&league, (&t, &rogue), &nobody, ("read", &TAGS), now).await.unwrap_err();
    assert_eq!(refused.code, "patient-unknown");
    // Control: the hospital that has consent is granted exactly that, though the same broker asks for more.
    let league = League::form(&exchange, &t, &a).await.unwrap();
    let all = [TAGS[0], TAGS[1], OTHER_TAG];
    let granted = present(&league, (&t, &a), &registered, ("read", &all), now).await.unwrap();
    assert_eq!(granted.tags, TAGS);
    assert!(granted.sub_halves.iter().all(|half| TAGS.contains(&half.tag)), "a half beyond consent");
    exchange.stop().await;
}

/// A registration and directive that a hospital makes up for a patient.
fn forged(exchange: &Exchange, by: &Actor, number: u8) -> Registered {
    use sealwort_pki::{KeyAlgorithm, SigningKey};
    use sealwort_proto::registration::Registration;
    let (patient, now) = (Pseudonym::new([number; 32]), exchange.now());
    let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let locators = [sealwort_proto::Locator::new([number; 32])];
    let registration = Registration::new("demo", patient, locators, key.public_key(), &by.party, now);
    let registration = registration.sign(&by.party.key, &by.party.operations).unwrap();
    let consenter = sealwort_consent::Patient::new(*patient.as_bytes());
    let terms = terms(&by.party, &[Action::Read], now);
    let directive = sealwort_consent::Directive::first("demo", consenter, now.as_secs(), vec![terms]).unwrap();
    Registered { patient, key, registration, directive }
}

/// The broker swaps consents: directives signed by an authority of the league's own, older ones, and another
/// registration for a patient whom the archive has pinned.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_swaps_consents_and_registrations() {
    let exchange = Exchange::start().await;
    let (a, rogue) = (exchange.actor(Role::Gateway, "a"), exchange.actor(Role::Gateway, "rogue"));
    let t = exchange.actor(Role::Broker, "rogue");
    let honest = exchange.session(&a).await;
    let mut registered = exchange.register(&a, &honest, 1).await;
    let now = exchange.now();
    let league = League::form(&exchange, &t, &rogue).await.unwrap();
    let say = async |question: ToArchive| league.ask_archive(&[question], now).await.unwrap_err().code;
    // A grant to the rogue that another authority signed.
    let (first, digest) = (registered.signed(), registered.digest());
    let own = forged(&exchange, &rogue, 9);
    let grant =
        registered.directive.grant(now.as_secs(), digest, vec![terms(&rogue.party, &[Action::Read], now)]).unwrap();
    let swapped = Registered { directive: grant, patient: registered.patient, ..own };
    assert_eq!(say(ToArchive::Direct { directive: Blob(swapped.signed()) }).await, "signature-wrong");
    // Another registration of the same pseudonym, or of the same identifiers under another one.
    let other = forged(&exchange, &rogue, 1);
    let pinned = {
        use sealwort_proto::registration::Registration;
        let locators = [sealwort_proto::Locator::new([0x31; 32])];
        let key = other.key.public_key();
        let made = Registration::new("demo", registered.patient, locators, key, &rogue.party, now);
        made.sign(&rogue.party.key, &rogue.party.operations).unwrap()
    };
    let consenter = sealwort_consent::Patient::new(*registered.patient.as_bytes());
    let directive = sealwort_consent::Directive::first(
        "demo",
        consenter,
        now.as_secs(),
        vec![terms(&rogue.party, &[Action::Read], now)],
    )
    .unwrap();
    let same_pseudonym =
        Registered { patient: registered.patient, registration: pinned, directive, ..forged(&exchange, &rogue, 1) };
    let directive = sealwort_proto::statement::sign(
        sealwort_proto::statement::Kind::Directive,
        &same_pseudonym.directive.to_bytes(),
        &other.key,
        &sealwort_proto::operations::Operations::default(),
    )
    .unwrap();
    let question = ToArchive::Register { registration: Blob(same_pseudonym.registration), directive: Blob(directive) };
    assert_eq!(say(question).await, "conflict");
    let question =
        ToArchive::Register { registration: Blob(other.registration.clone()), directive: Blob(other.signed()) };
    assert_eq!(say(question).await, "conflict");
    // In another hospital's name.
    let question =
        ToArchive::Register { registration: Blob(registered.registration.clone()), directive: Blob(first.clone()) };
    assert_eq!(say(question).await, "statement-invalid");
    // Consent was given and withdrawn; the directive that gave it is brought again.
    let granting = registered.directive.grant(now.as_secs(), digest, vec![terms(&rogue.party, &[Action::Read], now)]);
    registered.directive = granting.unwrap();
    let granting = registered.signed();
    assert_eq!(
        league.ask_archive(&[ToArchive::Direct { directive: Blob(granting.clone()) }], now).await.unwrap(),
        [FromArchive::Kept]
    );
    let granted = present(&league, (&t, &rogue), &registered, ("read", &TAGS), now).await.unwrap();
    let fetch = ToArchive::Fetch { authority: granted.authority, after: 0 };
    assert!(league.ask_archive(std::slice::from_ref(&fetch), now).await.is_ok());
    let grantee = sealwort_consent::Party::new(rogue.party.identity.to_string()).unwrap();
    let withdrawal = Withdrawal { grantee, actions: None, tags: None, purposes: None };
    registered.directive = registered.directive.withdraw(now.as_secs(), registered.digest(), &withdrawal).unwrap();
    let question = ToArchive::Direct { directive: Blob(registered.signed()) };
    assert_eq!(honest.ask_archive(&[question], now).await.unwrap(), [FromArchive::Kept]);
    assert!(say(ToArchive::Direct { directive: Blob(granting) }).await.starts_with("successor-"));
    assert!(say(ToArchive::Direct { directive: Blob(first) }).await.starts_with("successor-"));
    // The authority of before is worthless, and so is a new token.
    assert!(say(fetch).await.starts_with("consent-"));
    let refused = present(&league, (&t, &rogue), &registered, ("read", &TAGS), now).await.unwrap_err();
    assert!(refused.code.starts_with("consent-"), "{refused}");
    exchange.stop().await;
}

/// The keys of a hospital were stolen. Before the revocation the thief gets what that hospital was granted and no
/// more; after it nothing, also over a session that it has, though a broker in league keeps the connection open.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_hospital_key_before_and_after_its_revocation() {
    let exchange = Exchange::start().await;
    let (a, robbed) = (exchange.actor(Role::Gateway, "a"), exchange.actor(Role::Gateway, "robbed"));
    let t = exchange.actor(Role::Broker, "rogue");
    let (of_a, of_robbed) = (exchange.session(&a).await, exchange.session(&robbed).await);
    let others = exchange.register(&a, &of_a, 1).await;
    let own = exchange.register(&robbed, &of_robbed, 2).await;
    let now = exchange.now();
    let league = League::form(&exchange, &t, &robbed).await.unwrap();
    let granted = present(&league, (&t, &robbed), &own, ("read", &TAGS), now).await.unwrap();
    assert_eq!(granted.tags, TAGS);
    let refused = present(&league, (&t, &robbed), &others, ("read", &TAGS), now).await.unwrap_err();
    assert!(refused.code.starts_with("consent-"), "{refused}");
    let fetch = ToArchive::Fetch { authority: granted.authority, after: 0 };
    assert!(league.ask_archive(std::slice::from_ref(&fetch), now).await.is_ok());

    // The statement certificate alone is revoked; every connection stays as it is.
    exchange.revoke(2, &[robbed.serial]);
    let refused = league.ask_archive(&[fetch], now).await.unwrap_err();
    assert_eq!(refused.code, "session-unknown", "{refused}");
    let refused = present(&league, (&t, &robbed), &own, ("read", &TAGS), now).await.unwrap_err();
    assert_eq!(refused.code, "session-unknown", "{refused}");
    let refused = League::form(&exchange, &t, &robbed).await.err().unwrap();
    assert_eq!(refused.code, "certificate-refused", "{refused}");
    // At the honest broker, the same.
    let refused = of_robbed.ask_broker(&ToBroker::Consent(own.patient), now).await.unwrap_err();
    assert_eq!(refused.code, "session-unknown", "{refused}");
    let again = exchange.session_over(&robbed, exchange.connect(&robbed).await).await.err().unwrap();
    assert_eq!(again.code(), "certificate-refused", "{again}");
    // The other hospital goes on.
    of_a.ask_broker(&ToBroker::Consent(others.patient), now).await.unwrap();
    exchange.stop().await;
}
