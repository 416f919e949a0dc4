//! A real archive and a real broker on loopback, and the attackers' own ends of the protocol: hospitals that can say
//! whatever they like inside their channels, and a broker with a certificate that lets everything pass.
#![allow(unreachable_pub, reason = "one module of a test binary")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use sealwort_consent::{Action, Directive, LabelTag as ConsentTag, Party as Grantee, Patient as Consenter};
use sealwort_consent::{Period, Purpose, Terms};
use sealwort_net::client::{Body, Connection, Endpoint, HopClient};
use sealwort_net::config::ListenConfig;
use sealwort_net::exchange::{AUTHENTICATE_PATH, CALL_PATH, CHANNEL_PATH, ExchangeError, RELAY_PATH, accepted, send};
use sealwort_net::steps::Steps;
use sealwort_net::tls::{Credentials, ExpectedPeer, SharedTrust, client_config};
use sealwort_net::{Shutdown, ShutdownTrigger, TestClock, secret_file};
use sealwort_pki::enrolment::{Credential, CrlResponse, DirectoryKey, Membership};
use sealwort_pki::testing::{TEST_NOW, TestCredential, TestExchange, TestParty};
use sealwort_pki::{KeyAlgorithm, Role, SerialNumber, SigningKey, UnixTime};
use sealwort_proto::channel::Channel;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::frame::{Frame, FrameDecoder, Receiver};
use sealwort_proto::handshake::broker::{Greeted, Load};
use sealwort_proto::handshake::gateway::{Established, Presented, start};
use sealwort_proto::handshake::{Party, broker};
use sealwort_proto::message::{
    BrokerCall, BrokerCallReply, FromArchive, FromBroker, MESSAGE_BYTES_MAX, Refusal, ToArchive, ToBroker,
};
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::policy::Policies;
use sealwort_proto::registration::Registration;
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::{LabelTag, Locator, Pseudonym};

/// Labels that consents name, and one that they do not.
pub const TAGS: [LabelTag; 2] = [LabelTag::new([0xa1; 16]), LabelTag::new([0xa2; 16])];
pub const OTHER_TAG: LabelTag = LabelTag::new([0xb1; 16]);
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Exchange {
    pub authority: TestExchange,
    pub clock: TestClock,
    pub archive: sealwort_archive::Running,
    pub broker: sealwort_broker::Running,
    archive_name: sealwort_pki::Identity,
    trigger: ShutdownTrigger,
    _place: tempfile::TempDir,
}

/// A party of a test: its keys, and its own view of whom to believe.
pub struct Actor {
    pub party: Party,
    pub serial: SerialNumber,
    hop: Credentials,
    pub trust: SharedTrust,
}

/// A hospital's session.
pub struct Session {
    pub connection: Connection,
    pub established: Established,
}

impl Exchange {
    pub async fn start() -> Self {
        let authority = TestExchange::with("demo", KeyAlgorithm::Ed25519, TEST_NOW);
        let clock = TestClock::at(TEST_NOW);
        let place = tempfile::tempdir().unwrap();
        let (trigger, shutdown) = Shutdown::channel();
        let (m, t) = (authority.party(Role::Archive, "archive"), authority.party(Role::Broker, "broker"));
        let archive_name = m.identity.clone();
        for (party, name) in [(m, "archive"), (t, "broker")] {
            join(&authority, party, &place.path().join(name));
        }
        let config = sealwort_archive::Config {
            folder: place.path().join("archive"),
            listen: ListenConfig::default(),
            ..Default::default()
        };
        let archive = sealwort_archive::start(&config, Arc::new(clock.clone()), Steps::default(), shutdown.clone())
            .await
            .unwrap();
        let mut config = sealwort_broker::Config {
            folder: place.path().join("broker"),
            listen: ListenConfig::default(),
            ..Default::default()
        };
        config.archive.url = format!("https://{}", archive.address);
        let broker =
            sealwort_broker::start(&config, Arc::new(clock.clone()), Steps::default(), shutdown).await.unwrap();
        Self { authority, clock, archive, broker, archive_name, trigger, _place: place }
    }

    pub fn now(&self) -> UnixTime {
        sealwort_net::Clock::now(&self.clock)
    }

    /// A new party with a certificate.
    pub fn actor(&self, role: Role, name: &str) -> Actor {
        let made = self.authority.party(role, name);
        let hop = Credentials::new(&made.hop.chain, Arc::new(made.hop.key)).unwrap();
        let party = Party {
            identity: made.identity,
            chain: made.statement.chain,
            key: Arc::new(made.statement.key),
            policies: Policies::standard(),
            operations: Arc::default(),
        };
        let trust = SharedTrust::new(self.authority.trust(), Arc::new(self.clock.clone()));
        Actor { party, serial: made.statement.serial, hop, trust }
    }

    /// Broker and archive take a revocation list.
    pub fn revoke(&self, number: u64, serials: &[SerialNumber]) {
        let crl = self.authority.crl(number, serials);
        for member in [&self.archive.member, &self.broker.member] {
            member.trust().set_crl(&crl, self.authority.issuing.certificate()).unwrap();
        }
    }

    /// What broker and archive hold for runs and sessions.
    pub fn held(&self) -> [u64; 2] {
        [self.broker.holdings().session_keys, self.archive.holdings().session_keys]
    }

    pub async fn stop(self) {
        self.trigger.fire();
        self.broker.stopped().await;
        self.archive.stopped().await;
    }

    /// A TLS connection to the broker.
    pub async fn connect(&self, actor: &Actor) -> Connection {
        let broker = ExpectedPeer::named(Role::Broker, "broker".parse().unwrap());
        let client = HopClient::new(client_config(Some(&actor.hop), &actor.trust, broker).unwrap());
        let endpoint: Endpoint = self.broker.address.into_endpoint();
        client.connect(&endpoint).await.unwrap()
    }

    /// The nine steps with the real broker and archive.
    pub async fn session(&self, actor: &Actor) -> Session {
        let connection = self.connect(actor).await;
        self.session_over(actor, connection).await.unwrap()
    }

    pub async fn session_over(&self, actor: &Actor, connection: Connection) -> Result<Session, ExchangeError> {
        let peer = connection.require_peer()?.clone();
        let (party, now) = (&actor.party, self.now());
        let (state, hello) = start(party, &self.archive_name, peer.identity(), *peer.exporter());
        let answer = post(&connection, &format!("{AUTHENTICATE_PATH}/1"), hello).await?;
        let Presented::Continue(state, share) =
            actor.peers(|peers| state.on_presentation(&answer, party, peers)).unwrap()
        else {
            panic!("no load")
        };
        let session = state.session();
        let answer = post(&connection, &format!("{AUTHENTICATE_PATH}/4/{session}"), share).await?;
        let (state, completion) = state.on_answer(&answer, party, now).unwrap();
        let confirmation = post(&connection, &format!("{AUTHENTICATE_PATH}/9/{session}"), completion).await?;
        let established = state.on_confirmation(&confirmation, now).unwrap();
        Ok(Session { connection, established })
    }

    /// A patient of this hospital, registered at both, who grants it reading and writing of [`TAGS`].
    pub async fn register(&self, actor: &Actor, session: &Session, number: u8) -> Registered {
        let now = self.now();
        let locators = vec![Locator::new([number; 32])];
        let FromBroker::Allotted(patient) = session.ask_broker(&ToBroker::Allot(locators.clone()), now).await.unwrap()
        else {
            panic!("a new patient")
        };
        let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let registration = Registration::new("demo", patient, locators, key.public_key(), &actor.party, now);
        let registration = registration.sign(&actor.party.key, &actor.party.operations).unwrap();
        let terms = terms(&actor.party, &[Action::Read, Action::Write], now);
        let directive =
            Directive::first("demo", Consenter::new(*patient.as_bytes()), now.as_secs(), vec![terms]).unwrap();
        let registered = Registered { patient, key, registration, directive };
        let (registration, directive) = (Blob(registered.registration.clone()), Blob(registered.signed()));
        let question = ToArchive::Register { registration: registration.clone(), directive: directive.clone() };
        assert_eq!(session.ask_archive(&[question], now).await.unwrap(), [FromArchive::Kept]);
        let question = ToBroker::Register { registration, directive };
        assert_eq!(session.ask_broker(&question, now).await.unwrap(), FromBroker::Kept);
        registered
    }
}

/// Grants these actions on [`TAGS`] for treatment.
pub fn terms(to: &Party, actions: &[Action], now: UnixTime) -> Terms {
    let tags = TAGS.map(|tag| ConsentTag::new(*tag.as_bytes()));
    let period = Period::new(now.as_secs() - 300, None).unwrap();
    let grantee = Grantee::new(to.identity.to_string()).unwrap();
    Terms::new(grantee, actions.iter().copied(), tags, [Purpose::Treatment], period).unwrap()
}

/// A registered patient with the newest directive.
pub struct Registered {
    pub patient: Pseudonym,
    pub key: SigningKey,
    pub registration: Vec<u8>,
    pub directive: Directive,
}

impl Registered {
    /// The newest directive, signed by its authority.
    pub fn signed(&self) -> Vec<u8> {
        statement::sign(Kind::Directive, &self.directive.to_bytes(), &self.key, &Operations::default()).unwrap()
    }

    /// The digest by which the next directive names this one.
    pub fn digest(&self) -> [u8; 32] {
        *sealwort_proto::crypto::hash("sealwort directive v1", &self.directive.to_bytes()).as_bytes()
    }
}

impl Actor {
    pub fn peers<T>(&self, check: impl FnOnce(&Peers<'_>) -> T) -> T {
        let (trust, cache) = (self.trust.current(), PeerCache::default());
        check(&Peers { trust: &trust, cache: &cache, now: self.trust.now() })
    }
}

impl Session {
    pub async fn ask_broker(&self, question: &ToBroker, now: UnixTime) -> Result<FromBroker, Refusal> {
        self.say_to_broker(&to_bytes(question), now).await
    }

    /// Any content inside the channel with the broker.
    pub async fn say_to_broker(&self, content: &[u8], now: UnixTime) -> Result<FromBroker, Refusal> {
        let channel = &self.established.with_broker;
        let (number, message) = channel.request(content, now).unwrap();
        let answer = post(&self.connection, CHANNEL_PATH, message).await.map_err(refusal)?;
        match from_bytes(&channel.open_reply(number, &answer, now).unwrap(), MESSAGE_BYTES_MAX).unwrap() {
            FromBroker::Refused(refusal) => Err(refusal),
            reply => Ok(reply),
        }
    }

    pub async fn ask_archive(&self, questions: &[ToArchive], now: UnixTime) -> Result<Vec<FromArchive>, Refusal> {
        let contents: Vec<_> = questions.iter().map(to_bytes).collect();
        self.say_to_archive(&contents, now).await
    }

    /// Any contents inside the channel with the archive, in one request.
    pub async fn say_to_archive(&self, contents: &[Vec<u8>], now: UnixTime) -> Result<Vec<FromArchive>, Refusal> {
        relay(&self.connection, &self.established.with_archive, contents, now).await
    }
}

async fn relay(
    connection: &Connection,
    channel: &Channel,
    contents: &[Vec<u8>],
    now: UnixTime,
) -> Result<Vec<FromArchive>, Refusal> {
    let (mut first, mut body) = (0, Vec::new());
    for content in contents {
        let (number, message) = channel.request(content, now).unwrap();
        first = if first == 0 { number } else { first };
        body.extend(Frame::end(message).to_bytes());
    }
    let path = format!("{RELAY_PATH}/{}", channel.session());
    let response = connection.request(Method::POST, &path, Body::from(body), PATIENCE).await.unwrap();
    let response = accepted(response).await.map_err(refusal)?;
    let bytes = response.read(MESSAGE_BYTES_MAX).await.unwrap();
    let mut frames = FrameDecoder::default();
    frames.push(&bytes);
    let mut answers = Vec::new();
    while let Some(frame) = frames.next().unwrap() {
        if frame.receiver == Receiver::End {
            let content = channel.open_reply(first, &frame.message, now).unwrap();
            match from_bytes(&content, MESSAGE_BYTES_MAX).unwrap() {
                FromArchive::Refused(refusal) => return Err(refusal),
                answer => answers.push(answer),
            }
        }
    }
    Ok(answers)
}

async fn post(connection: &Connection, path: &str, message: Vec<u8>) -> Result<Vec<u8>, ExchangeError> {
    send(connection, path, message, MESSAGE_BYTES_MAX).await
}

/// The refusal of an exchange that must have been refused by the other party.
pub fn refusal(error: ExchangeError) -> Refusal {
    match error {
        ExchangeError::Refused(refusal) => *refusal,
        other => panic!("not refused but failed: {other}"),
    }
}

/// A broker with a certificate that is in league with a hospital: it decides nothing, and the archive is real.
pub struct League {
    connection: Connection,
    pub to_archive: Channel,
    pub broker: broker::GatewayEstablished,
    pub hospital: Established,
}

impl League {
    /// All nine steps, the hospital's and the broker's by the league, the archive's by the archive.
    pub async fn form(exchange: &Exchange, t: &Actor, l: &Actor) -> Result<Self, Refusal> {
        let archive = ExpectedPeer::named(Role::Archive, "archive".parse().unwrap());
        let client = HopClient::new(client_config(Some(&t.hop), &t.trust, archive).unwrap());
        let connection = client.connect(&exchange.archive.address.into_endpoint()).await.unwrap();
        let hop_tm = *connection.require_peer().unwrap().exporter();
        let (now, hop_lt, wanted) = (exchange.now(), [9; 32], &exchange.archive_name);
        let (state, hello) = start(&l.party, wanted, &t.party.identity, hop_lt);
        let greeted = t.peers(|peers| {
            broker::on_hello(&hello, &t.party, peers, &l.party.identity, &hop_lt, wanted, &Load::Normal)
        });
        let Greeted::Introduce(t_state, introduction) = greeted.unwrap() else { panic!("no load") };
        let acceptance = post(&connection, &format!("{AUTHENTICATE_PATH}/2"), introduction).await.map_err(refusal)?;
        let (t_state, presentation) = t.peers(|peers| t_state.on_acceptance(&acceptance, &t.party, peers)).unwrap();
        let Presented::Continue(state, share) =
            l.peers(|peers| state.on_presentation(&presentation, &l.party, peers)).unwrap()
        else {
            panic!("no load")
        };
        let session = state.session();
        let opening = t_state.archive_opening();
        let t_state = t_state.on_share(&share, &t.party, &hop_lt, now).unwrap();
        let (tm, share6) = broker::start_archive(opening, &t.party, &hop_tm).unwrap();
        let answer7 = post(&connection, &format!("{AUTHENTICATE_PATH}/6/{session}"), share6).await.map_err(refusal)?;
        let to_archive = tm.on_answer(&answer7, &t.party, now).unwrap().channel;
        let offer = BrokerCall::Offer { session, policies: t_state.gateway_policies().clone() };
        let share8 = call(&connection, &to_archive, &offer, now).await?;
        let (state, completion) = state.on_answer(&t_state.answer_with(share8), &l.party, now).unwrap();
        let (broker, for_archive) = t_state.on_completion(&completion, now).unwrap();
        let complete = BrokerCall::Complete { session, answer: for_archive.into() };
        let confirmation = call(&connection, &to_archive, &complete, now).await?;
        let hospital = state.on_confirmation(&confirmation, now).unwrap();
        Ok(Self { connection, to_archive, broker, hospital })
    }

    pub async fn ask_archive(&self, questions: &[ToArchive], now: UnixTime) -> Result<Vec<FromArchive>, Refusal> {
        let contents: Vec<_> = questions.iter().map(to_bytes).collect();
        relay(&self.connection, &self.hospital.with_archive, &contents, now).await
    }
}

async fn call(
    connection: &Connection,
    channel: &Channel,
    call: &BrokerCall,
    now: UnixTime,
) -> Result<Vec<u8>, Refusal> {
    let (number, message) = channel.request(&to_bytes(call), now).unwrap();
    let answer = post(connection, CALL_PATH, message).await.map_err(refusal)?;
    match from_bytes(&channel.open_reply(number, &answer, now).unwrap(), MESSAGE_BYTES_MAX).unwrap() {
        BrokerCallReply::Relay(message) => Ok(message.0),
        BrokerCallReply::Refused(refusal) => Err(refusal),
    }
}

/// Writes a party's data folder as joining would.
pub fn join(authority: &TestExchange, party: TestParty, folder: &Path) {
    let credential = |made: TestCredential| Credential {
        key: Arc::new(made.key),
        chain: made.chain,
        serial: made.serial,
        not_before: TEST_NOW,
        not_after: TEST_NOW,
    };
    let membership = Membership {
        directory_key: (party.identity.role == Role::Gateway).then(|| DirectoryKey::generate().unwrap()),
        identity: party.identity,
        hop: credential(party.hop),
        statement: credential(party.statement),
        trust: authority.trust_without_crl(),
    };
    let crl = CrlResponse { crl: authority.crl(1, &[]), issuing: authority.issuing.certificate().to_vec() };
    std::fs::create_dir_all(folder).unwrap();
    secret_file::replace(&folder.join("crl.json"), crl.to_json().as_bytes()).unwrap();
    secret_file::replace(&folder.join("membership.json"), membership.to_json().unwrap().as_bytes()).unwrap();
}

/// An address as an endpoint.
trait IntoEndpoint {
    fn into_endpoint(self) -> Endpoint;
}

impl IntoEndpoint for std::net::SocketAddr {
    fn into_endpoint(self) -> Endpoint {
        self.try_into().unwrap()
    }
}
