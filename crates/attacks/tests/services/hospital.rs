//! A malicious hospital with a valid certificate at the real broker and archive.

use sealwort_consent::Action;
use sealwort_net::exchange::{AUTHENTICATE_PATH, send};
use sealwort_pki::{Role, UnixTime};
use sealwort_proto::EmergencyId;
use sealwort_proto::codec::Blob;
use sealwort_proto::message::{Emergency, FromArchive, FromBroker, MESSAGE_BYTES_MAX, Refusal, ToArchive, ToBroker};
use sealwort_proto::transmission::EMERGENCY_SECONDS_MAX;
use sealwort_proto::transmission::gateway::{Authority, Sought, request};

use super::exchange::{Actor, Exchange, Registered, Session, TAGS, terms};

/// The six steps by an emergency access.
async fn open(
    session: &Session,
    by: &Actor,
    registered: &Registered,
    (user, emergency): (&str, Emergency),
    now: UnixTime,
) -> Result<Authority, Refusal> {
    let (established, party) = (&session.established, &by.party);
    let sought = Sought {
        patient: registered.patient,
        action: "emergency".into(),
        tags: TAGS.to_vec(),
        purpose: "TREAT".into(),
        emergency: Some(emergency),
        user: user.into(),
        user_role: "physician".into(),
    };
    let (state, question) = request(established, party, sought).unwrap();
    let FromBroker::Challenge(challenge) = session.ask_broker(&question, now).await? else { panic!("step 2") };
    let (state, question) = state.on_challenge(&challenge, established, party, now).unwrap();
    let FromBroker::Token(grant) = session.ask_broker(&question, now).await? else { panic!("step 4") };
    let (state, question) = by.peers(|peers| state.on_token(*grant, established, party, peers)).unwrap();
    let Some(FromArchive::Granted(grant)) = session.ask_archive(&[question], now).await?.pop() else {
        panic!("step 6")
    };
    Ok(state.on_grant(*grant).unwrap())
}

/// A hospital that does not keep the hour of its emergency accesses, or passes one on: broker and archive keep it, and
/// the hospital that registered the patient is told until it has said that it knows.
#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_that_is_to_last_longer_than_an_hour() {
    let exchange = Exchange::start().await;
    let (a, b) = (exchange.actor(Role::Gateway, "a"), exchange.actor(Role::Gateway, "b"));
    let (of_a, of_b) = (exchange.session(&a).await, exchange.session(&b).await);
    let registered = exchange.register(&a, &of_a, 1).await;
    let now = exchange.now();
    let granted = registered.directive.grant(
        now.as_secs(),
        registered.digest(),
        vec![terms(&b.party, &[Action::Emergency], now)],
    );
    let registered = Registered { directive: granted.unwrap(), ..registered };
    let directive = || Blob(registered.signed());
    of_a.ask_archive(&[ToArchive::Direct { directive: directive() }], now).await.unwrap();
    of_a.ask_broker(&ToBroker::Direct { directive: directive() }, now).await.unwrap();
    let some = |id: u8, seconds_ago: u64| Emergency {
        id: EmergencyId::new([id; 16]),
        begun_at: now.as_secs() - seconds_ago,
        reason: "unconscious".into(),
    };
    let opening = async |user: &str, emergency: Emergency| open(&of_b, &b, &registered, (user, emergency), now).await;
    // In its last seconds neither token nor authority outlasts it.
    let left = 20;
    let last = opening("dr-b", some(1, EMERGENCY_SECONDS_MAX - left)).await.unwrap();
    assert!(last.expires.as_secs() <= now.as_secs() + left, "{}", last.expires.as_secs());
    // Another begin for the same access changes nothing; another user's it is not; and an hour is an hour.
    let again = opening("dr-b", some(1, 0)).await.unwrap();
    assert_eq!(again.expires, last.expires);
    let refused = async |user: &str, emergency: Emergency| {
        opening(user, emergency).await.err().map(|refusal| (refusal.by, refusal.code))
    };
    let by_broker = |code: &str| Some(("broker".to_owned(), code.to_owned()));
    assert_eq!(refused("dr-c", some(1, 0)).await, by_broker("emergency-other"));
    assert_eq!(refused("dr-b", some(2, EMERGENCY_SECONDS_MAX)).await, by_broker("emergency-over"));
    let wordy = Emergency { reason: "x".repeat(65), ..some(3, 0) };
    assert_eq!(refused("dr-b", wordy).await, by_broker("statement-invalid"));
    let ahead = Emergency { begun_at: now.as_secs() + 3600, ..some(4, 0) };
    assert_eq!(refused("dr-b", ahead).await, by_broker("clock-skew"));
    // The hospital that registered the patient hears of the one that was opened, and nobody else does.
    let told = async |session: &Session, known: &[EmergencyId]| {
        let answer = session.ask_broker(&ToBroker::Emergencies(known.to_vec()), now).await.unwrap();
        let FromBroker::Emergencies(notices) = answer else { panic!("notices") };
        notices
    };
    assert_eq!(told(&of_b, &[some(1, 0).id]).await, []);
    for _ in 0..2 {
        let notices = told(&of_a, &[]).await;
        let [notice] = &notices[..] else { panic!("{notices:?}") };
        assert_eq!((notice.id, notice.patient, notice.user.as_str()), (some(1, 0).id, registered.patient, "dr-b"));
        assert_eq!((&notice.hospital, notice.reason.as_str()), (&b.party.identity.to_string(), "unconscious"));
    }
    assert_eq!(told(&of_a, &[some(1, 0).id]).await, []);
    let many = ToBroker::Emergencies(vec![some(1, 0).id; 65]);
    assert_eq!(of_a.ask_broker(&many, now).await.unwrap_err().code, "emergencies-count");
    exchange.stop().await;
}

/// No key outlives the connection that it was agreed on, also where nobody asks for it again.
#[tokio::test]
async fn sessions_end_with_their_connections() {
    let exchange = Exchange::start().await;
    let [first, second] = ["first", "second"].map(|name| exchange.actor(Role::Gateway, name));
    let (gone, stays) = (exchange.session(&first).await, exchange.session(&second).await);
    assert_eq!(exchange.held(), [3, 3], "SK_TM serves both");
    let ask = async || stays.ask_broker(&ToBroker::Emergencies(Vec::new()), exchange.now()).await;
    gone.connection.close();
    // What the archive has of it ends with the broker's connection.
    until_held(&exchange, [2, 3]).await;
    ask().await.unwrap();
    let _again = exchange.session(&first).await;
    until_held(&exchange, [3, 4]).await;

    // Without its connection to the archive the broker has nothing to relay.
    let broker = stays.connection.require_peer().unwrap().serial();
    let crl = exchange.authority.crl(2, &[broker]);
    exchange.archive.member.trust().set_crl(&crl, exchange.authority.issuing.certificate()).unwrap();
    until_held(&exchange, [0, 0]).await;
    assert_eq!(ask().await.unwrap_err().code, "session-unknown");
    exchange.stop().await;
}

/// Waits until broker and archive hold so many keys.
async fn until_held(exchange: &Exchange, wanted: [u64; 2]) {
    let begun = std::time::Instant::now();
    while exchange.held() != wanted {
        assert!(begun.elapsed().as_secs() < 10, "{:?} are held, not {wanted:?}", exchange.held());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Somebody sends a step 4 that names another hospital's run, over a connection of its own: the run goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_connection_is_neither_used_nor_ended() {
    use sealwort_proto::handshake::gateway::{Presented, start};
    let exchange = Exchange::start().await;
    let (a, rogue) = (exchange.actor(Role::Gateway, "a"), exchange.actor(Role::Gateway, "rogue"));
    let (own, others) = (exchange.connect(&a).await, exchange.connect(&rogue).await);
    let peer = own.require_peer().unwrap().clone();
    let archive = exchange.archive.member.identity().clone();
    let (state, hello) = start(&a.party, &archive, peer.identity(), *peer.exporter());
    let answer = send(&own, &format!("{AUTHENTICATE_PATH}/1"), hello, MESSAGE_BYTES_MAX).await.unwrap();
    let Presented::Continue(state, share) = a.peers(|peers| state.on_presentation(&answer, &a.party, peers)).unwrap()
    else {
        panic!("no load")
    };
    let path = |step: u8| format!("{AUTHENTICATE_PATH}/{step}/{}", state.session());
    for content in [share.clone(), b"nonsense".to_vec(), Vec::new()] {
        let refused = send(&others, &path(4), content, MESSAGE_BYTES_MAX).await.unwrap_err();
        assert_eq!(refused.code(), "session-unknown");
    }
    let refused = send(&others, &path(9), Vec::new(), MESSAGE_BYTES_MAX).await.unwrap_err();
    assert_eq!(refused.code(), "session-unknown");
    let step_4 = path(4);
    let answer = send(&own, &step_4, share.clone(), MESSAGE_BYTES_MAX).await.expect("the run goes on");
    // Twice, it is refused, and the run is over: each state is used once.
    let refused = send(&own, &step_4, share, MESSAGE_BYTES_MAX).await.unwrap_err();
    assert_eq!(refused.code(), "session-unknown");
    let session = state.session();
    let (_, completion) = state.on_answer(&answer, &a.party, exchange.now()).unwrap();
    let path = format!("{AUTHENTICATE_PATH}/9/{session}");
    let refused = send(&own, &path, completion, MESSAGE_BYTES_MAX).await.unwrap_err();
    assert_eq!(refused.code(), "session-unknown");
    // And an honest run over the very same connection works.
    exchange.session_over(&a, own).await.unwrap();
    exchange.stop().await;
}
