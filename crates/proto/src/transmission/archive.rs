//! The archive's side (HIMC) of steps 5 and 6: a token that fits this session, this moment and this gateway,
//! seen for the first time. The patient's directive is held against it outside this crate.

use std::collections::HashSet;

use sealwort_pki::UnixTime;

use crate::channel::Channel;
use crate::error::{At, ErrorKind, Fault, ProtocolError, Step};
use crate::handshake::Party;
use crate::handshake::archive::GatewayEstablished;
use crate::id::TokenId;
use crate::token::{self, TokenUse, VerifiedToken};

/// Most tokens that one session may use; then it must be established anew.
pub const TOKENS_PER_SESSION_MAX: usize = 100_000;

/// The tokens that were used in one session. A token is bound to its session, so no other memory is needed.
#[derive(Default)]
pub struct UsedTokens(HashSet<TokenId>);

impl UsedTokens {
    fn use_once(&mut self, id: TokenId) -> Result<(), ErrorKind> {
        if self.0.len() >= TOKENS_PER_SESSION_MAX {
            return Err(ErrorKind::Exhausted);
        }
        if self.0.insert(id) { Ok(()) } else { Err(ErrorKind::Token("it was used before")) }
    }
}

/// Step 5 received: opens the token with SK_TM and checks signature, parties, session, time, possession and
/// single use.
pub fn on_present(
    sealed: &[u8],
    possession: &[u8],
    session: &GatewayEstablished,
    broker: &Channel,
    party: &Party,
    used: &mut UsedTokens,
    now: UnixTime,
) -> Result<VerifiedToken, ProtocolError> {
    let step = Step::Transmission(5);
    let operations = &party.operations;
    let bytes = token::unseal(broker, sealed, operations).at(step, Fault::Gateway)?;
    let usage = TokenUse {
        exchange: party.exchange(),
        issuer: &session.broker.identity().to_string(),
        issuer_key: session.broker.public_key(),
        holder: &session.gateway.identity().to_string(),
        holder_key: session.gateway.public_key(),
        audience: &party.identity.to_string(),
        binding: session.channel.binding(),
        lifetime_seconds: party.policies.token_lifetime_seconds,
        skew_seconds: party.policies.clock_skew_seconds,
        now,
    };
    let verified = token::verify(&bytes, &usage, operations).at(step, Fault::Broker)?;
    token::check_possession(possession, &verified, session.gateway.public_key(), operations)
        .at(step, Fault::Gateway)?;
    used.use_once(verified.token().id).at(step, Fault::Gateway)?;
    Ok(verified)
}
