//! What a party reads before it believes anybody (`spec/protocol.md`, section 3): certificate chains, revocation
//! lists, certificate requests, public keys, and the messages and files of joining an exchange. Altered on their way,
//! or by an authority that signs what it should not.

use sealwort_pki::authority::parse_csr;
use sealwort_pki::enrolment::{
    CrlResponse, EnrolRequest, Invitation, InvitationSecret, JoinRequest, JoinResponse, Membership, Refusal,
    RenewRequest, RootResponse,
};
use sealwort_pki::testing::{Seeded, TEST_NOW, TestExchange};
use sealwort_pki::{
    CertificateChain, CertificateError, Expected, Fingerprint, Identity, KeyAlgorithm, KeyUse, PublicKey, Role,
    SigningKey, Trust, UnixTime, VerifiedParty,
};

use crate::input::Input;
use crate::{der, mutation};

/// An exchange with one hospital, which has just joined.
pub struct Fixture {
    exchange: TestExchange,
    identity: Identity,
    chain: CertificateChain,
    crl: Vec<u8>,
    request: Vec<u8>,
    /// Whose request it is; kept so that its sender can sign another.
    request_key: SigningKey,
    /// What travels and is kept while joining, as JSON: one of each of [`DOCUMENTS`].
    pub documents: Vec<Vec<u8>>,
}

/// Readers of the messages and files of joining.
pub const DOCUMENTS: [fn(&[u8]) -> bool; 8] =
    [invitation, enrol_request, renew_request, join_response, crl_response, root_response, refusal, membership];

/// The fixture of this thread, the same in every run.
pub fn fixture() -> &'static Fixture {
    thread_local!(static FIXTURE: &'static Fixture = Box::leak(Box::new(Fixture::new())));
    FIXTURE.with(|fixture| *fixture)
}

impl Fixture {
    fn new() -> Self {
        let _seeded = Seeded::install(9);
        let exchange = TestExchange::new("demo");
        let identity = exchange.identity(Role::Gateway, "a");
        let invitation = Invitation {
            identity: identity.clone(),
            url: "https://localhost:8440".into(),
            root: Fingerprint::of(exchange.root.certificate()),
            secret: InvitationSecret::from_bytes(&[3; 32]),
            expires: TEST_NOW,
        };
        let joining = JoinRequest::new(invitation.clone(), KeyAlgorithm::Ed25519, TEST_NOW).expect("keys");
        let message = joining.message();
        let lifetime = sealwort_pki::authority::PARTY_LIFETIME;
        let [hop, statement] = [&message.hop, &message.statement].map(|request| {
            exchange.issuing.issue(&parse_csr(request).expect("a request"), lifetime, TEST_NOW).expect("issued").chain
        });
        let crl = exchange.crl(1, &[]);
        let response = JoinResponse {
            hop,
            statement: statement.clone(),
            root: exchange.root.certificate().to_vec(),
            crl: crl.clone(),
            directory_key: Some(sealwort_pki::enrolment::DirectoryKey::from_bytes(&[4; 32])),
        };
        let documents = vec![
            invitation.to_json().as_bytes().to_vec(),
            message.to_json().as_bytes().to_vec(),
            RenewRequest { hop: message.hop.clone(), statement: message.statement.clone() }
                .to_json()
                .as_bytes()
                .to_vec(),
            response.to_json().as_bytes().to_vec(),
            CrlResponse { crl: crl.clone(), issuing: exchange.issuing.certificate().to_vec() }.to_json().into_bytes(),
            RootResponse { exchange: identity.exchange.clone(), root: exchange.root.certificate().to_vec() }
                .to_json()
                .into_bytes(),
            Refusal { code: "used".into(), message: "a".into(), remedy: "b".into() }.to_json().into_bytes(),
        ];
        let admission = joining.accept(response, TEST_NOW).expect("joined");
        let kept = admission.membership.to_json().expect("a membership").as_bytes().to_vec();
        let request_key = SigningKey::generate(KeyAlgorithm::Ed25519).expect("a key");
        let request = sealwort_pki::authority::make_csr(&request_key, &identity, KeyUse::Statement).expect("a request");
        let documents = documents.into_iter().chain([kept]).collect();
        Self { identity, chain: statement, crl, request, request_key, documents, exchange }
    }

    fn trust(&self) -> Trust {
        let mut trust = self.exchange.trust_without_crl();
        trust.set_crl(&self.crl, self.exchange.issuing.certificate(), TEST_NOW).expect("a good list");
        trust
    }
}

/// Reads certificates, lists, requests, keys or documents as the script says.
///
/// # Panics
/// When something altered is believed, a verified party is another than its certificate says, or a document does not
/// survive being written and read again.
pub fn certificates(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 8 {
        0 => leaf(input),
        1 => issuing(input),
        2 => crl(input),
        3 => request(input),
        4 => raw(input.rest()),
        5 => {
            let number = usize::from(input.byte()) % DOCUMENTS.len();
            DOCUMENTS[number](input.rest());
        }
        6 => {
            let number = usize::from(input.byte()) % DOCUMENTS.len();
            DOCUMENTS[number](&mutation::alter(fixture().documents[number].clone(), input, &fixture().documents));
        }
        _ => answered(input),
    }
}

/// How an alteration is made: in place, field by field, or field by field and signed by who should not.
fn altered(good: &[u8], input: &mut Input<'_>, liar: &SigningKey) -> (Vec<u8>, bool) {
    match input.byte() % 3 {
        0 => (mutation::alter(good.to_vec(), *input, &[]), false),
        1 => (der::alter(good, *input), false),
        _ => {
            let content = der::to_be_signed(good).unwrap_or_default();
            let changed = der::alter(&content, *input);
            if changed == content { (good.to_vec(), false) } else { (der::sign(&changed, liar), true) }
        }
    }
}

fn verify(trust: &Trust, chain: &CertificateChain, now: UnixTime) -> Result<VerifiedParty, CertificateError> {
    let result = trust.verify(chain, &Expected::anybody(KeyUse::Statement), now);
    if let Ok(party) = &result {
        assert_eq!(party.fingerprint(), chain.fingerprint());
        assert!(party.not_before() <= now && now <= party.not_after());
        assert_eq!((party.key_use(), &party.identity().exchange), (KeyUse::Statement, trust.exchange()));
        assert!(!trust.is_revoked(party.serial()));
        assert_eq!(trust.recheck(party, &Expected::anybody(KeyUse::Statement), now), Ok(()));
        // Expecting another role refuses it.
        let other = if party.identity().role == Role::Broker { Role::Archive } else { Role::Broker };
        assert!(trust.verify(chain, &Expected::role(other, KeyUse::Statement), now).is_err());
    }
    result
}

fn leaf(mut input: Input<'_>) {
    let fixture = fixture();
    let now = UnixTime::from_secs(TEST_NOW.as_secs() + input.below(48 * 3600) as u64);
    let (leaf, signed) = altered(fixture.chain.leaf(), &mut input, fixture.exchange.issuing.key());
    let changed = leaf != fixture.chain.leaf();
    let certificates = vec![leaf, fixture.exchange.issuing.certificate().to_vec()];
    let Ok(chain) = CertificateChain::new(certificates) else { return };
    let verified = verify(&fixture.trust(), &chain, now);
    if let Ok(party) = &verified {
        assert!(!changed || signed, "a certificate that nobody signed");
        assert!(changed || party.identity() == &fixture.identity);
    }
    assert!(changed || verified.is_ok() || now.as_secs() >= TEST_NOW.as_secs() + 24 * 3600);
}

fn issuing(mut input: Input<'_>) {
    let fixture = fixture();
    let good = fixture.exchange.issuing.certificate();
    let (issuing, signed) = altered(good, &mut input, fixture.exchange.root.key());
    if let Ok(chain) = CertificateChain::new(vec![fixture.chain.leaf().to_vec(), issuing.clone()]) {
        // No list of that issuing certificate is in force.
        assert_eq!(verify(&fixture.trust(), &chain, TEST_NOW).is_ok(), issuing == good);
    }
    let mut trust = fixture.exchange.trust_without_crl();
    let taken = trust.set_crl(&fixture.crl, &issuing, TEST_NOW).is_ok();
    assert!(!taken || issuing == good || signed, "a list of an issuing certificate that nobody signed");
    if let Ok(trust) = Trust::new(fixture.identity.exchange.clone(), &issuing) {
        drop(trust);
        assert!(issuing != good, "an issuing certificate is no root");
    }
}

fn crl(mut input: Input<'_>) {
    let fixture = fixture();
    let (crl, signed) = altered(&fixture.crl, &mut input, fixture.exchange.issuing.key());
    let mut trust = fixture.trust();
    let before = trust.crl_number();
    match trust.set_crl(&crl, fixture.exchange.issuing.certificate(), TEST_NOW) {
        Ok(summary) => {
            assert!(crl == fixture.crl || signed, "a list that nobody signed");
            assert!(Some(summary.number) >= before && summary.this_update <= summary.next_update);
            assert!(summary.revoked <= crl.len());
        }
        Err(error) => {
            assert!(crl != fixture.crl, "a good list was refused: {error}");
            assert_eq!(trust.crl_number(), before);
        }
    }
    verify(&trust, &fixture.chain, TEST_NOW).ok();
}

fn request(mut input: Input<'_>) {
    let fixture = fixture();
    let (request, signed) = altered(&fixture.request, &mut input, &fixture.request_key);
    if let Ok(read) = parse_csr(&request) {
        assert!(request == fixture.request || signed, "a request that nobody signed");
        let issued = fixture.exchange.issuing.issue(&read, sealwort_pki::authority::PARTY_LIFETIME, TEST_NOW);
        if let Ok(issued) = issued {
            let expected = Expected::anybody(read.key_use());
            let party = fixture.trust().verify(&issued.chain, &expected, TEST_NOW).expect("what was just issued");
            assert_eq!((party.identity(), party.public_key()), (read.identity(), read.public_key()));
        }
    }
}

/// Any bytes to every reader of DER.
fn raw(bytes: &[u8]) {
    let fixture = fixture();
    let exchange = &fixture.identity.exchange;
    assert!(Trust::new(exchange.clone(), bytes).is_err() || bytes == fixture.exchange.root.certificate());
    if let Ok(key) = PublicKey::from_bytes(bytes) {
        assert_eq!(key.as_bytes(), bytes);
    }
    assert!(
        fixture.trust().set_crl(bytes, fixture.exchange.issuing.certificate(), TEST_NOW).is_err()
            || bytes == fixture.crl
    );
    if let Ok(key) = SigningKey::from_pkcs8(bytes) {
        let again = SigningKey::from_pkcs8(&key.to_pkcs8().expect("a key")).expect("the same key");
        assert_eq!(again.public_key(), key.public_key());
    }
    if let Ok(chain) = CertificateChain::new(vec![bytes.to_vec(), fixture.exchange.issuing.certificate().to_vec()]) {
        assert!(verify(&fixture.trust(), &chain, TEST_NOW).is_err() || bytes == fixture.chain.leaf());
    }
    parse_csr(bytes).ok();
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(identity) = text.parse::<Identity>()
    {
        assert_eq!(identity.to_string(), text);
    }
}

/// The authority's answer to somebody who joins, altered.
fn answered(input: Input<'_>) {
    let _seeded = Seeded::install(9);
    // The first draws of the fixture make its exchange; then come the keys that the answer certifies.
    drop(TestExchange::new("demo"));
    let fixture = fixture();
    let invitation = Invitation::from_json(&fixture.documents[0]).expect("an invitation");
    let joining = JoinRequest::new(invitation, KeyAlgorithm::Ed25519, TEST_NOW).expect("keys");
    let good = &fixture.documents[3];
    let altered = mutation::alter(good.clone(), input, &fixture.documents);
    let Ok(response) = JoinResponse::from_json(&altered) else { return };
    let outcome = joining.accept(response, TEST_NOW);
    assert!(altered != *good || outcome.is_ok(), "the authority's own answer was refused");
    if let Ok(admission) = outcome {
        assert_eq!(admission.membership.identity, fixture.identity);
        assert_eq!(admission.membership.trust.root(), fixture.exchange.root.certificate());
    }
}

/// Defines a reader: what it reads, written and read again, is the same.
macro_rules! document {
    ($name:ident, $type:ty) => {
        fn $name(bytes: &[u8]) -> bool {
            let Ok(read) = <$type>::from_json(bytes) else { return false };
            let written = read.to_json();
            assert_eq!(<$type>::from_json(written.as_bytes()).as_ref(), Ok(&read));
            true
        }
    };
}
document!(invitation, Invitation);
document!(enrol_request, EnrolRequest);
document!(renew_request, RenewRequest);
document!(join_response, JoinResponse);
document!(crl_response, CrlResponse);
document!(root_response, RootResponse);
document!(refusal, Refusal);

fn membership(bytes: &[u8]) -> bool {
    let Ok(read) = Membership::from_json(bytes) else { return false };
    let again = Membership::from_json(read.to_json().expect("a membership").as_bytes()).expect("the same membership");
    assert_eq!((&again.identity, &again.directory_key), (&read.identity, &read.directory_key));
    assert_eq!((&again.hop.chain, &again.statement.chain), (&read.hop.chain, &read.statement.chain));
    // Just read, it believes nobody.
    assert!(read.trust.crl_number().is_none());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_of_joining_is_read() {
        for (number, read) in DOCUMENTS.iter().enumerate() {
            assert!(read(&fixture().documents[number]), "document {number}");
        }
    }

    /// Signed anew and otherwise left alone, certificate and list are what they were.
    #[test]
    fn an_authority_signs_as_ours_does() {
        let fixture = fixture();
        let key = fixture.exchange.issuing.key();
        for good in [fixture.chain.leaf(), fixture.crl.as_slice()] {
            assert_eq!(der::sign(&der::to_be_signed(good).unwrap(), key), good);
        }
    }
}
