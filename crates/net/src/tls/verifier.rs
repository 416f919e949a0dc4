//! Certificate verification for rustls by the exchange's own rules: `pki` decides, this file
//! carries the answer. One verifier serves one connection and leaves what it found in a
//! [`Verdict`], so that the certificate is checked once and the reason of a refusal is not lost
//! on the way through rustls.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime as TlsTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, SignatureScheme};
use sealwort_pki::{CertificateChain, CertificateError, Expected, KeyUse, PartyName, Role, VerifiedParty};

use super::pinned::PinnedAuthority;
use super::{ClientAuth, ExpectedPeer, SharedTrust};

/// Which parties of the exchange will do; owned, where [`Expected`] borrows.
#[derive(Debug, Clone)]
pub(crate) struct Expectation {
    roles: Arc<[Role]>,
    name: Option<PartyName>,
}

impl Expectation {
    pub(super) fn roles(roles: &[Role]) -> Self {
        Self { roles: roles.into(), name: None }
    }

    pub(super) fn peer(peer: ExpectedPeer) -> Self {
        Self { roles: Arc::new([peer.role]), name: peer.name }
    }

    pub(crate) fn borrowed(&self) -> Expected<'_> {
        let expected = Expected::one_of(&self.roles, KeyUse::Hop);
        match &self.name {
            Some(name) => expected.named(name),
            None => expected,
        }
    }
}

/// What to do while no revocation list is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RevocationRule {
    /// Refuse.
    Required,
    /// Go on, without a verified party: for fetching the list.
    UnlessUnknown,
}

/// What the verifier of one connection found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    found: Arc<Mutex<Found>>,
}

/// The findings; all absent when the peer showed no certificate.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// A party that passed every check.
    pub(crate) party: Option<VerifiedParty>,
    /// A CA that passed the check against a pinned root.
    pub(crate) authority: Option<PinnedAuthority>,
    /// Why the peer was refused.
    pub(crate) refusal: Option<CertificateError>,
}

impl Verdict {
    /// Takes the findings out.
    pub(crate) fn take(&self) -> Found {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note(&self, write: impl FnOnce(&mut Found)) {
        write(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes a refusal and turns it into what rustls sends as an alert.
    pub(super) fn refuse(&self, error: CertificateError) -> Error {
        let alert = alert(&error);
        self.note(|found| found.refusal = Some(error));
        Error::InvalidCertificate(alert)
    }
}

/// The verifier of one connection between parties, at either end.
#[derive(Debug)]
pub(super) struct PartyVerifier {
    trust: SharedTrust,
    expected: Expectation,
    revocation: RevocationRule,
    client_auth: ClientAuth,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Verdict,
}

impl PartyVerifier {
    pub(super) fn new(
        trust: SharedTrust,
        expected: Expectation,
        revocation: RevocationRule,
        client_auth: ClientAuth,
        algorithms: WebPkiSupportedAlgorithms,
        verdict: Verdict,
    ) -> Self {
        Self { trust, expected, revocation, client_auth, algorithms, verdict }
    }

    fn verify(&self, leaf: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> Result<(), Error> {
        let trust = self.trust.current();
        let without_root = match above.split_last() {
            Some((last, rest)) if last.as_ref() == trust.root() => rest,
            _ => above,
        };
        let verified = chain(leaf, without_root)
            .and_then(|chain| trust.verify(&chain, &self.expected.borrowed(), self.trust.now()));
        match verified {
            Ok(party) => {
                self.verdict.note(|found| found.party = Some(party));
                Ok(())
            }
            // `pki` looks at revocation last, so everything else about this party is in order.
            Err(CertificateError::RevocationUnknown(_)) if self.revocation == RevocationRule::UnlessUnknown => Ok(()),
            Err(error) => Err(self.verdict.refuse(error)),
        }
    }
}

impl ServerCertVerifier for PartyVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: TlsTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(leaf, above)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refuse_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for PartyVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.client_auth == ClientAuth::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _now: TlsTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(leaf, above)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refuse_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// The certificates that rustls hands over, as `pki` wants them.
pub(super) fn chain(
    leaf: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
) -> Result<CertificateChain, CertificateError> {
    let certificates = std::iter::once(leaf).chain(above).map(|certificate| certificate.as_ref().to_vec()).collect();
    CertificateChain::new(certificates).map_err(|_| CertificateError::Malformed("the chain"))
}

/// The TLS alert (RFC 8446, 6.2) that tells the refused side most.
fn alert(error: &CertificateError) -> rustls::CertificateError {
    use rustls::CertificateError as Tls;
    match error {
        CertificateError::UnknownIssuer => Tls::UnknownIssuer,
        CertificateError::BadSignature => Tls::BadSignature,
        CertificateError::Expired { .. } => Tls::Expired,
        CertificateError::NotYetValid { .. } => Tls::NotValidYet,
        CertificateError::Revoked { .. } => Tls::Revoked,
        CertificateError::RevocationUnknown(_) => Tls::UnknownRevocationStatus,
        CertificateError::WrongRole { .. }
        | CertificateError::WrongName { .. }
        | CertificateError::WrongExchange { .. } => Tls::ApplicationVerificationFailure,
        CertificateError::WrongUse { .. } => Tls::InvalidPurpose,
        CertificateError::Malformed(_) => Tls::BadEncoding,
        _ => Tls::Other(OtherError(Arc::new(error.clone()))),
    }
}

pub(super) fn refuse_tls12() -> Error {
    Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered)
}

/// The two algorithms of `pki`'s keys.
pub(super) const SCHEMES: &[SignatureScheme] = &[SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256];
