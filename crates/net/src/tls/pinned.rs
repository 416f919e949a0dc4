//! The first contact with an exchange, when nothing is known but the fingerprint of its root:
//! the server sends the root along, and is believed if the fingerprint matches and its own
//! certificate chains to that root with the role `ca`.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime as TlsTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use sealwort_pki::{
    CertificateChain, CertificateError, ExchangeName, Expected, Fingerprint, KeyUse, Role, Trust, UnixTime,
};

use super::verifier::{SCHEMES, Verdict, chain, refuse_tls12};
use crate::clock::Clock;

/// A CA found behind a pinned root: all that is needed to trust the exchange from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedAuthority {
    /// The exchange that its certificate names.
    pub exchange: ExchangeName,
    /// The root certificate, DER.
    pub root: Vec<u8>,
    /// The CA's hop certificate and the issuing certificate.
    pub chain: CertificateChain,
}

/// Believes nobody but a CA under one root.
#[derive(Debug)]
pub(super) struct PinnedRootVerifier {
    root: Fingerprint,
    clock: Arc<dyn Clock>,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Verdict,
}

impl PinnedRootVerifier {
    pub(super) fn new(
        root: Fingerprint,
        clock: Arc<dyn Clock>,
        algorithms: WebPkiSupportedAlgorithms,
        verdict: Verdict,
    ) -> Self {
        Self { root, clock, algorithms, verdict }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<PinnedAuthority, CertificateError> {
        let (root, issuing) = above
            .split_last()
            .filter(|(last, _)| Fingerprint::of(last) == self.root)
            .ok_or(CertificateError::UnknownIssuer)?;
        let chain = chain(leaf, issuing)?;
        let exchange = claimed_exchange(&chain, root, now)?;
        let trust = trust(exchange.clone(), root)?;
        let expected = Expected::role(Role::Ca, KeyUse::Hop);
        match trust.verify(&chain, &expected, now) {
            // Whoever joins has no revocation list yet; `pki` looks at it last, so everything
            // else is in order. The list is the first thing to be fetched.
            Ok(_) | Err(CertificateError::RevocationUnknown(_)) => {
                Ok(PinnedAuthority { exchange, root: root.as_ref().to_vec(), chain })
            }
            Err(error) => Err(error),
        }
    }
}

/// The exchange that the leaf names. It is a claim: the caller verifies under that name.
fn claimed_exchange(chain: &CertificateChain, root: &[u8], now: UnixTime) -> Result<ExchangeName, CertificateError> {
    let guess: ExchangeName = "unknown".parse().map_err(|_| CertificateError::Malformed("the exchange's name"))?;
    let trust = trust(guess.clone(), root)?;
    match trust.verify(chain, &Expected::anybody(KeyUse::Hop), now) {
        Err(CertificateError::WrongExchange { found, .. }) => Ok(found.exchange),
        Ok(_) | Err(CertificateError::RevocationUnknown(_)) => Ok(guess),
        Err(error) => Err(error),
    }
}

fn trust(exchange: ExchangeName, root: &[u8]) -> Result<Trust, CertificateError> {
    Trust::new(exchange, root).map_err(|_| CertificateError::Malformed("the root certificate"))
}

impl ServerCertVerifier for PinnedRootVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: TlsTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.verify(leaf, above, self.clock.now()) {
            Ok(authority) => {
                self.verdict.note(|found| found.authority = Some(authority));
                Ok(ServerCertVerified::assertion())
            }
            Err(error) => Err(self.verdict.refuse(error)),
        }
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
