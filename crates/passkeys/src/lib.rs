//! Passkeys: verifies what a browser and its authenticator answer to a challenge (W3C Web Authentication Level 3,
//! sections 7.1 and 7.2). Strict where the specification leaves a choice: ES256 and EdDSA alone, attestation `none`, the
//! user verified by the authenticator, no page within another site's page. Challenges, their single use and their time, and
//! which credential is whose, are the gateway's.

mod authenticator;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealwort_pki::PublicKey;
use sealwort_proto::crypto::sha256;
use serde::Deserialize;

pub use authenticator::CREDENTIAL_ID_BYTES_MAX;
use authenticator::{Attestation, AuthenticatorData};

/// Bytes of a challenge.
pub const CHALLENGE_BYTES: usize = 32;
/// Largest client data, in bytes.
pub const CLIENT_DATA_BYTES_MAX: usize = 4 * 1024;
/// Largest attestation object or authenticator data, in bytes.
pub const AUTHENTICATOR_DATA_BYTES_MAX: usize = 8 * 1024;
/// COSE algorithms that are asked for, the one liked best first: EdDSA and ES256 (RFC 9053).
pub const ALGORITHMS: [i32; 2] = [-8, -7];

/// Why an answer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyFault {
    /// The client data.
    #[error("the browser's client data cannot be read")]
    ClientData,
    /// It is for the other ceremony.
    #[error("the browser's answer is of another kind than what was asked for")]
    Kind,
    /// Another challenge.
    #[error("the browser answers another challenge")]
    Challenge,
    /// Another site.
    #[error("the browser was at another site, or in a page within another page")]
    Origin,
    /// The attestation object.
    #[error("the attestation object cannot be read, or its attestation is not none")]
    Attestation,
    /// The authenticator data.
    #[error("the authenticator data cannot be read")]
    AuthenticatorData,
    /// Another relying party.
    #[error("the authenticator answers for another site")]
    RelyingParty,
    /// Nobody was there.
    #[error("the authenticator did not see its user")]
    UserPresence,
    /// The user was not recognised.
    #[error("the authenticator did not verify its user: set a PIN, a fingerprint or a face there")]
    UserVerification,
    /// The key.
    #[error("the passkey's public key is not an ES256 or EdDSA key in its canonical encoding")]
    PublicKey,
    /// The signature.
    #[error("the signature is not of this passkey")]
    Signature,
    /// The counter went back.
    #[error("the passkey's counter went back: there may be a copy of the authenticator; remove the passkey")]
    Counter,
}

/// The site for which passkeys are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    /// Its domain: `gateway.hospital.example`.
    pub id: String,
    /// Its origin: `https://gateway.hospital.example:8443`.
    pub origin: String,
}

/// A passkey that was made just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The name that the authenticator gave it.
    pub credential_id: Vec<u8>,
    /// Its public key.
    pub public_key: PublicKey,
    /// How often it was used, as far as the authenticator counts.
    pub counter: u32,
}

/// What an authenticator answers who is to show a passkey.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// What the browser says it did, as JSON.
    pub client_data: &'a [u8],
    /// What the authenticator says it saw.
    pub authenticator_data: &'a [u8],
    /// Its signature over both.
    pub signature: &'a [u8],
}

impl RelyingParty {
    /// Verifies that a passkey was made for this challenge (section 7.1).
    pub fn verify_registration(
        &self,
        challenge: &[u8; CHALLENGE_BYTES],
        client_data: &[u8],
        attestation: &[u8],
    ) -> Result<Registered, PasskeyFault> {
        self.check_client_data(client_data, "webauthn.create", challenge)?;
        let data = Attestation::read(attestation)?.authenticator_data;
        let data = self.check_authenticator_data(data)?;
        let made = data.made.ok_or(PasskeyFault::AuthenticatorData)?;
        Ok(Registered {
            credential_id: made.credential_id.to_vec(),
            public_key: made.public_key,
            counter: data.counter,
        })
    }

    /// Verifies that a passkey was shown for this challenge (section 7.2). Its counter as it is now.
    pub fn verify_assertion(
        &self,
        challenge: &[u8; CHALLENGE_BYTES],
        public_key: &PublicKey,
        counter: u32,
        assertion: &Assertion<'_>,
    ) -> Result<u32, PasskeyFault> {
        self.check_client_data(assertion.client_data, "webauthn.get", challenge)?;
        let data = self.check_authenticator_data(assertion.authenticator_data)?;
        if data.made.is_some() {
            return Err(PasskeyFault::AuthenticatorData);
        }
        let signed = [assertion.authenticator_data, sha256(assertion.client_data).as_slice()].concat();
        public_key.verify_x509(&signed, assertion.signature).map_err(|_| PasskeyFault::Signature)?;
        // Those who do not count say 0 for ever.
        if (data.counter > 0 || counter > 0) && data.counter <= counter {
            return Err(PasskeyFault::Counter);
        }
        Ok(data.counter)
    }

    fn check_client_data(
        &self,
        json: &[u8],
        kind: &str,
        challenge: &[u8; CHALLENGE_BYTES],
    ) -> Result<(), PasskeyFault> {
        if json.len() > CLIENT_DATA_BYTES_MAX {
            return Err(PasskeyFault::ClientData);
        }
        let data: ClientData = serde_json::from_slice(json).map_err(|_| PasskeyFault::ClientData)?;
        if data.kind != kind {
            return Err(PasskeyFault::Kind);
        }
        if data.challenge != URL_SAFE_NO_PAD.encode(challenge) {
            return Err(PasskeyFault::Challenge);
        }
        if data.origin != self.origin || data.cross_origin || data.top_origin.is_some() {
            return Err(PasskeyFault::Origin);
        }
        Ok(())
    }

    fn check_authenticator_data<'a>(&self, bytes: &'a [u8]) -> Result<AuthenticatorData<'a>, PasskeyFault> {
        let data = AuthenticatorData::read(bytes)?;
        if data.relying_party != sha256(self.id.as_bytes()) {
            return Err(PasskeyFault::RelyingParty);
        }
        if !data.user_was_present {
            return Err(PasskeyFault::UserPresence);
        }
        if !data.user_was_verified {
            return Err(PasskeyFault::UserVerification);
        }
        Ok(data)
    }
}

/// Section 5.8.1. Browsers may add members, and some do so to make sure that nobody minds.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
    #[serde(default, rename = "topOrigin")]
    top_origin: Option<String>,
}

#[cfg(test)]
mod tests;
