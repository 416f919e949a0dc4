//! The seven steps up to an opened record (`spec/protocol.md`, sections 6 to 8): requests, challenges, tokens, grants,
//! log and receipt. The script alters what a peer sends, and lets the broker, the archive, the writing hospital and
//! the registering one sign what they should not. Whoever gets a record in the end gets the one that was written.

use sealwort_pki::testing::TEST_NOW;
use sealwort_pki::{KeyAlgorithm, SigningKey};
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::halves::{Half, KeyRing, Side};
use sealwort_proto::handshake::Party;
use sealwort_proto::log::{Authors, ChainWalk, empty};
use sealwort_proto::message::{
    ArchiveGrant, MESSAGE_BYTES_MAX, PolicyAcceptance, PolicyChallenge, ToArchive, ToBroker, TokenGrant,
};
use sealwort_proto::receipt::{self, Receipt};
use sealwort_proto::record::{self, Change, EntryHeader, Record};
use sealwort_proto::registration::Registration;
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::testing::Seeded;
use sealwort_proto::token::{self, VerifiedToken};
use sealwort_proto::transmission::broker::Permission;
use sealwort_proto::transmission::gateway::{Authority, Sought};
use sealwort_proto::transmission::{archive, broker, gateway};
use sealwort_proto::{DepositId, EntryId, ErrorKind, LabelTag, Locator, ProtocolError, Pseudonym, SUITE};

use crate::input::Input;
use crate::mutation::{Alteration, read_all};
use crate::world::{Session, World, world};

/// The label that is asked for.
pub const TAG: LabelTag = LabelTag::new([7; 16]);
/// The patient.
pub const PATIENT: Pseudonym = Pseudonym::new([9; 32]);

/// What a script may alter: messages on their way, then what a party signs itself.
pub const PLACES: [&str; 14] = [
    "request",
    "challenge",
    "acceptance",
    "grant",
    "present",
    "archive grant",
    "envelope",
    "ciphertext",
    "receipt",
    "signed token",
    "signed request",
    "signed receipt",
    "signed envelope",
    "signed registration",
];
/// Places where the sender may say something else and still be within its rights.
const FREE: [usize; 4] = [3, 5, 9, 11];

/// The wire with its script.
struct Wire<'a> {
    alterations: Vec<Alteration<'a>>,
    seen: Vec<Vec<u8>>,
    altered: bool,
}

impl Wire<'_> {
    /// Carries a message past the script.
    fn carry(&mut self, place: usize, message: &[u8]) -> Vec<u8> {
        let mut carried = message.to_vec();
        for alteration in self.alterations.iter().filter(|alteration| alteration.message == place) {
            carried = alteration.apply(carried, &self.seen);
        }
        self.altered |= carried != message && !FREE.contains(&place);
        self.seen.push(carried.clone());
        carried
    }

    /// Carries a statement whose signer lets the script alter the payload first.
    fn carry_signed(&mut self, place: usize, kind: Kind, bytes: Vec<u8>, signer: &Party) -> Vec<u8> {
        let payload = statement::parse(kind, &bytes).expect("our own statement").payload().to_vec();
        let carried = self.carry(place, &payload);
        if carried == payload {
            return bytes;
        }
        statement::sign(kind, &carried, &signer.key, &signer.operations).expect("a signature")
    }

    fn carry_value<T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>>(
        &mut self,
        place: usize,
        value: &T,
    ) -> Result<T, ErrorKind> {
        Ok(from_bytes(&self.carry(place, &to_bytes(value)), MESSAGE_BYTES_MAX)?)
    }
}

/// Why a run ended: a refusal, where it happened does not matter here.
struct Refused;

impl From<ProtocolError> for Refused {
    fn from(error: ProtocolError) -> Self {
        assert!(!error.code().is_empty());
        Self
    }
}

impl From<ErrorKind> for Refused {
    fn from(_: ErrorKind) -> Self {
        Self
    }
}

thread_local! {
    static SESSION: &'static Session = Box::leak(Box::new(world().session(4).0));

}

/// Runs the seven steps as the script says.
///
/// # Panics
/// When a record comes out that is not the one written, a right is wider than the token's, or something altered
/// is accepted that nobody had the right to alter.
pub fn transmission(bytes: &[u8]) {
    let session = SESSION.with(|session| *session);
    let _seeded = Seeded::install(5);
    let mut input = Input::new(bytes);
    let alterations = read_all(&mut input, PLACES.len());
    let undisturbed = alterations.is_empty();
    let mut wire = Wire { alterations, seen: Vec::new(), altered: false };
    match run(world(), session, &mut wire) {
        Ok(record) => {
            assert!(!wire.altered, "a record in spite of an altered message");
            assert_eq!(record, written());
        }
        Err(Refused) => assert!(!undisturbed, "undisturbed, and refused"),
    }
}

fn written() -> Record {
    let content = b"{\"resourceType\":\"Patient\",\"id\":\"p\"}".to_vec();
    Record { change: Change::Put, resource_type: "Patient".into(), id: "p".into(), content }
}

fn run(world: &World, session: &Session, wire: &mut Wire<'_>) -> Result<Record, Refused> {
    let now = TEST_NOW;
    let halves = [Half::generate(Side::Broker, PATIENT, 1), Half::generate(Side::Archive, PATIENT, 1)];
    let authority_key = SigningKey::generate(KeyAlgorithm::Ed25519).expect("a key");
    let registration =
        Registration::new("demo", PATIENT, [Locator::new([3; 32])], authority_key.public_key(), &world.gateway, now);
    let registration = registration.sign(&world.gateway.key, &world.gateway.operations)?;

    // Steps 1 to 4.
    let sought = Sought {
        patient: PATIENT,
        action: "read".into(),
        tags: vec![TAG],
        purpose: "TREAT".into(),
        emergency: None,
        user: "dr-jones".into(),
        user_role: "physician".into(),
    };
    let (l, ToBroker::Request(request)) = gateway::request(&session.gateway, &world.gateway, sought)? else {
        return Err(Refused);
    };
    let request = wire.carry_signed(10, Kind::Request, request.0, &world.gateway);
    let request = wire.carry(0, &request);
    let (t, challenge) = broker::on_request(&request, &session.broker, &world.broker, now)?;
    let challenge: PolicyChallenge = wire.carry_value(1, &challenge)?;
    let (l, ToBroker::Accept(acceptance)) = l.on_challenge(&challenge, &session.gateway, &world.gateway, now)? else {
        return Err(Refused);
    };
    let acceptance: PolicyAcceptance = wire.carry_value(2, &acceptance)?;
    let t = t.on_acceptance(&acceptance, &session.broker, &world.broker, now)?;
    let permission = Permission { tags: vec![TAG], directive_version: 1, epoch: 1, begun_at: None };
    let (token, _) =
        t.issue(permission, empty(PATIENT), &session.broker, &session.broker_to_archive, &world.broker, now)?;
    let token = wire.carry_signed(9, Kind::Token, token.0, &world.broker);
    let sealed = token::seal(&session.broker_to_archive, &token, &world.broker.operations);
    let at_gateway = wire.carry_signed(13, Kind::Registration, registration.clone(), &world.gateway);
    let grant = TokenGrant {
        sealed: sealed.into(),
        token: token.into(),
        sub_halves: vec![halves[0].for_reader(TAG)],
        registration: at_gateway.into(),
    };
    let granted: TokenGrant = wire.carry_value(3, &grant)?;
    let statements = |grant: &TokenGrant| (grant.sealed.clone(), grant.token.clone(), grant.registration.clone());
    wire.altered |= statements(&granted) != statements(&grant);

    // Steps 5 and 6.
    let (l, present) = l.on_token(granted, &session.gateway, &world.gateway, &world.peers())?;
    let ToArchive::Present { sealed, possession } = wire.carry_value(4, &present)? else { return Err(Refused) };
    let mut used = archive::UsedTokens::default();
    let mut present = || {
        let (sealed, possession) = (sealed.as_ref(), possession.as_ref());
        let broker = &session.archive_to_broker;
        archive::on_present(sealed, possession, &session.archive, broker, &world.archive, &mut used, now)
    };
    let token = present()?;
    assert!(present().is_err(), "a token was used twice");
    check_token(&token, world, session);
    let grant = ArchiveGrant {
        authority: token.token().id,
        expires: token.token().expires_at,
        tags: token.token().tags.clone(),
        sub_halves: vec![halves[1].for_reader(TAG)],
        registration: registration.into(),
        sequence: 0,
        head: empty(PATIENT).head,
    };
    let grant: ArchiveGrant = wire.carry_value(5, &grant)?;
    let authority = l.on_grant(grant)?;
    check_authority(&authority, &token, world);
    read(world, &halves, &authority, wire)
}

/// Step 7: one entry by an honest author, its way to the reader, and the receipt.
fn read(world: &World, halves: &[Half; 2], authority: &Authority, wire: &mut Wire<'_>) -> Result<Record, Refused> {
    let (author, operations) = (&world.stranger, &world.gateway.operations);
    let [broker, archive] = halves.each_ref().map(|half| vec![half.for_author(TAG, &author.identity.to_string())]);
    let header = EntryHeader {
        suite: SUITE,
        exchange: "demo".into(),
        patient: PATIENT,
        entry: EntryId::random(),
        author: author.identity.to_string(),
        tag: TAG,
        epoch: 1,
        sequence: 1,
        previous: empty(PATIENT).head,
        authored_at: TEST_NOW.as_secs(),
        deposit: DepositId::new([4; 16]),
    };
    let sealed =
        record::seal(&header, &written(), &KeyRing::new(PATIENT, broker, archive), &author.key, &author.operations)?;
    let receipt = Receipt {
        exchange: "demo".into(),
        archive: world.archive.identity.to_string(),
        patient: PATIENT,
        sequence: 1,
        head: sealed.hash,
        deposit: None,
        issued_at: TEST_NOW.as_secs(),
    };
    let receipt = receipt.sign(&world.archive.key, &world.archive.operations)?;

    let envelope = wire.carry_signed(12, Kind::Entry, sealed.wire.envelope.0, author);
    let envelope = wire.carry(6, &envelope);
    let ciphertext = wire.carry(7, sealed.wire.ciphertext.as_ref().map(AsRef::as_ref).unwrap_or_default());
    let receipt = wire.carry_signed(11, Kind::Receipt, receipt, &world.archive);
    let receipt = wire.carry(8, &receipt);

    let mut authors = Authors::default();
    authors.add(&author.chain, TEST_NOW, &world.peers())?;
    let entry = authors.verify(&envelope, operations)?;
    let mut walk = ChainWalk::new("demo", PATIENT, empty(PATIENT), authority.witness)?;
    walk.step(&entry)?;
    let (name, key) = (world.archive.identity.to_string(), world.archive.key.public_key());
    let end = walk.finish(&receipt::verify(&receipt, "demo", &name, key, operations)?)?;
    assert_eq!((end.sequence, end.head), (1, entry.hash()));
    assert_eq!(
        (entry.header().patient, entry.header().author.as_str()),
        (PATIENT, author.identity.to_string().as_str())
    );
    Ok(entry.open(ciphertext, &authority.keys, operations)?)
}

/// What the archive must have made sure of, whatever the broker signed.
fn check_token(verified: &VerifiedToken, world: &World, session: &Session) {
    let token = verified.token();
    assert_eq!(token.exchange, "demo");
    assert_eq!(token.issuer, world.broker.identity.to_string());
    assert_eq!(token.holder, world.gateway.identity.to_string());
    assert_eq!(token.audience, world.archive.identity.to_string());
    assert_eq!(token.holder_key, statement::key_id(world.gateway.key.public_key()));
    assert_eq!(token.binding, session.archive.channel.binding());
    assert!(token.expires_at > token.issued_at && token.expires_at - token.issued_at <= 60);
    assert!(token.issued_at <= TEST_NOW.as_secs() + 30 && TEST_NOW.as_secs() < token.expires_at + 30);
    assert!(token.tags == [TAG], "the gateway asked for one label");
    assert_eq!((token.patient, token.action.as_str(), token.purpose.as_str()), (PATIENT, "read", "TREAT"));
}

/// What the gateway must have made sure of, whatever the archive granted.
fn check_authority(authority: &Authority, token: &VerifiedToken, world: &World) {
    let token = token.token();
    let skew = u64::from(world.gateway.policies.clock_skew_seconds);
    assert!(authority.expires.as_secs() <= token.expires_at + skew);
    assert!(authority.tags.iter().all(|tag| token.tags.contains(tag)));
    assert!(authority.head.sequence >= authority.witness.sequence);
    assert_eq!((authority.patient, authority.id), (PATIENT, token.id));
}
