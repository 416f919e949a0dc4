//! Sections 1, 4.1, 4.2, 4.5 and 5.4: messages in their one form, headers, frames, policies, cookies.

use minicbor::{Decode, Encode};
use sealwort_pki::UnixTime;
use sealwort_pki::testing::Seeded;
use sealwort_proto::codec::{CodecError, from_bytes, to_bytes};
use sealwort_proto::error::ErrorKind;
use sealwort_proto::frame::{Frame, FrameDecoder, Receiver};
use sealwort_proto::handshake::cookie::CookieJar;
use sealwort_proto::message::{
    Acceptance, AccessRequest, Answer, ArchiveGrant, BrokerAnswer, BrokerCall, BrokerCallReply, Completion, Confirm,
    CookieDemand, FromArchive, FromBroker, HANDSHAKE_BYTES_MAX, Header, Hello, Introduction, MESSAGE_BYTES_MAX, Notice,
    PolicyAcceptance, PolicyChallenge, Presentation, Refusal, Share, SignedAnswer, SignedShare, ToArchive, ToBroker,
    TokenGrant, WireEntry,
};
use sealwort_proto::policy::Policies;
use sealwort_proto::receipt::Receipt;
use sealwort_proto::record::{EntryHeader, Envelope};
use sealwort_proto::registration::Registration;
use sealwort_proto::statement::STATEMENT_BYTES_MAX;
use sealwort_proto::token::Token;
use sealwort_proto::{Nonce, SUITE, SessionId, VERSION};
use serde_json::json;

use super::primitives::hashed;
use super::{Outcome, nothing};
use crate::cbor;
use crate::vector::{Failure, In, hex};

pub(super) fn run(kind: &str, input: In<'_>) -> Option<Outcome> {
    Some(match kind {
        "message" => message(input.text("rule"), &input.bytes("bytes")),
        "header-check" => nothing(header_check(input)),
        "frames" => frames(&input.bytes("bytes")),
        "policies-hash" => {
            let digest = policies(input, "policies").digest();
            assert_eq!(*digest.as_bytes(), hashed("sealwort policies v1", &[input.bytes("policies")]));
            Ok(json!({ "digest": hex(digest.as_bytes()) }))
        }
        "policies-admit" => nothing(policies(input, "own").admit(&policies(input, "demanded")).map_err(Failure::from)),
        "cookie" => {
            let (jar, nonce, hop) = cookie_parts(input);
            let cookie = jar.bake(&nonce, &hop, UnixTime::from_secs(input.uint("time")));
            Ok(json!({ "cookie": hex(cookie) }))
        }
        "cookie-check" => {
            let (jar, nonce, hop) = cookie_parts(input);
            let good = jar.accepts(&input.bytes("cookie"), &nonce, &hop, UnixTime::from_secs(input.uint("now")));
            nothing(if good { Ok(()) } else { Err(ErrorKind::Cookie.into()) })
        }
        "session-id" => {
            let mut parts = vec![vec![VERSION], SUITE.to_be_bytes().to_vec()];
            for party in input.list("parties").iter().map(In) {
                parts.push(party.text("identity").as_bytes().to_vec());
                parts.push(sealwort_pki::Fingerprint::of(&party.bytes("certificate")).as_bytes().to_vec());
                parts.push(party.bytes("nonce"));
            }
            Ok(json!({ "session": hex(hashed("sealwort session v1", &parts)) }))
        }
        _ => return None,
    })
}

/// Policies of a vector.
pub(crate) fn policies(input: In<'_>, name: &str) -> Policies {
    from_bytes(&input.bytes(name), HANDSHAKE_BYTES_MAX).unwrap()
}

fn cookie_parts(input: In<'_>) -> (CookieJar, Nonce, [u8; 32]) {
    let _seeded = Seeded::replay([input.bytes("key")]);
    (CookieJar::default(), Nonce::new(input.array("nonce")), input.array("hop"))
}

fn header_check(input: In<'_>) -> Result<(), Failure> {
    let header: Header = from_bytes(&input.bytes("header"), HANDSHAKE_BYTES_MAX).map_err(ErrorKind::from)?;
    let step = u8::try_from(input.uint("step")).unwrap();
    Ok(header.check(input.text("exchange"), step, SessionId::new(input.array("session")))?)
}

fn frames(bytes: &[u8]) -> Outcome {
    let mut decoder = FrameDecoder::default();
    let mut found = Vec::new();
    let mut again = Vec::new();
    // In pieces, as a stream comes.
    for piece in bytes.chunks(7) {
        decoder.push(piece);
        while let Some(frame) = decoder.next().map_err(|error| Failure::from(ErrorKind::from(error)))? {
            again.extend_from_slice(&frame.to_bytes());
            found.push(frame);
        }
    }
    if !decoder.is_empty() {
        return Err(ErrorKind::from(CodecError::Malformed("the stream ends inside a frame".into())).into());
    }
    assert_eq!(again, bytes);
    let shown = found.into_iter().map(|Frame { receiver, message }| {
        let receiver = match receiver {
            Receiver::Broker => 0,
            Receiver::End => 1,
        };
        json!({ "receiver": receiver, "message": hex(message) })
    });
    Ok(json!({ "frames": shown.collect::<Vec<_>>() }))
}

fn message(rule: &str, bytes: &[u8]) -> Outcome {
    match rule {
        "header" => read::<Header>(bytes, HANDSHAKE_BYTES_MAX),
        "hello" => read::<Hello>(bytes, HANDSHAKE_BYTES_MAX),
        "cookie-demand" => read::<CookieDemand>(bytes, HANDSHAKE_BYTES_MAX),
        "introduction" => read::<Introduction>(bytes, 2 * HANDSHAKE_BYTES_MAX),
        "acceptance" => read::<Acceptance>(bytes, HANDSHAKE_BYTES_MAX),
        "presentation" => read::<Presentation>(bytes, HANDSHAKE_BYTES_MAX),
        "share" => read::<Share>(bytes, HANDSHAKE_BYTES_MAX),
        "signed-share" => read::<SignedShare>(bytes, HANDSHAKE_BYTES_MAX),
        "answer" => read::<Answer>(bytes, HANDSHAKE_BYTES_MAX),
        "signed-answer" => read::<SignedAnswer>(bytes, HANDSHAKE_BYTES_MAX),
        "broker-answer" => read::<BrokerAnswer>(bytes, 2 * HANDSHAKE_BYTES_MAX),
        "completion" => read::<Completion>(bytes, 2 * HANDSHAKE_BYTES_MAX),
        "confirm" => read::<Confirm>(bytes, HANDSHAKE_BYTES_MAX),
        "broker-call" => read::<BrokerCall>(bytes, MESSAGE_BYTES_MAX),
        "broker-call-reply" => read::<BrokerCallReply>(bytes, MESSAGE_BYTES_MAX),
        "policies" => read::<Policies>(bytes, HANDSHAKE_BYTES_MAX),
        "access-request" => read::<AccessRequest>(bytes, HANDSHAKE_BYTES_MAX),
        "policy-challenge" => read::<PolicyChallenge>(bytes, MESSAGE_BYTES_MAX),
        "policy-acceptance" => read::<PolicyAcceptance>(bytes, MESSAGE_BYTES_MAX),
        "token" => read::<Token>(bytes, STATEMENT_BYTES_MAX),
        "token-grant" => read::<TokenGrant>(bytes, MESSAGE_BYTES_MAX),
        "archive-grant" => read::<ArchiveGrant>(bytes, MESSAGE_BYTES_MAX),
        "registration" => read::<Registration>(bytes, STATEMENT_BYTES_MAX),
        "entry-header" => read::<EntryHeader>(bytes, STATEMENT_BYTES_MAX),
        "envelope" => read::<Envelope>(bytes, STATEMENT_BYTES_MAX),
        "receipt" => read::<Receipt>(bytes, HANDSHAKE_BYTES_MAX),
        "wire-entry" => read::<WireEntry>(bytes, MESSAGE_BYTES_MAX),
        "to-broker" => read::<ToBroker>(bytes, MESSAGE_BYTES_MAX),
        "from-broker" => read::<FromBroker>(bytes, MESSAGE_BYTES_MAX),
        "to-archive" => read::<ToArchive>(bytes, MESSAGE_BYTES_MAX),
        "from-archive" => read::<FromArchive>(bytes, MESSAGE_BYTES_MAX),
        "notice" => read::<Notice>(bytes, HANDSHAKE_BYTES_MAX),
        "refusal" => read::<Refusal>(bytes, HANDSHAKE_BYTES_MAX),
        other => panic!("{other} is no message"),
    }
}

fn read<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8], limit: usize) -> Outcome {
    let value: T = from_bytes(bytes, limit).map_err(ErrorKind::from)?;
    assert_eq!(to_bytes(&value), bytes);
    let content = cbor::to_json(bytes);
    assert_eq!(cbor::from_json(&content), bytes);
    Ok(json!({ "content": content }))
}
