//! Every CBOR message of the protocol by its decoder (`spec/protocol.md`, sections 1, 4, 5 and 7), and the frames of a
//! relayed stream. What is read encodes to the same bytes again and to no other.

use minicbor::{Decode, Encode};
use sealwort_proto::channel::session_of;
use sealwort_proto::codec::{Blob, CodecError, from_bytes, to_bytes};
use sealwort_proto::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameDecoder};
use sealwort_proto::halves::SubHalf;
use sealwort_proto::message::{
    Acceptance, AccessRequest, Answer, ArchiveGrant, BrokerAnswer, BrokerCall, BrokerCallReply, Completion, Confirm,
    CookieDemand, FromArchive, FromBroker, Header, Hello, Introduction, Notice, PolicyAcceptance, PolicyChallenge,
    Presentation, Refusal, Share, SignedAnswer, SignedShare, ToArchive, ToBroker, TokenGrant, WireEntry,
};
use sealwort_proto::policy::Policies;
use sealwort_proto::receipt::Receipt;
use sealwort_proto::record::{EntryHeader, Envelope};
use sealwort_proto::registration::Registration;
use sealwort_proto::token::Token;

use crate::input::Input;
use crate::mutation::alter;

/// Longest message that is tried, in bytes.
const LIMIT: usize = 64 * 1024;

/// Decoders by their place; the first byte of an input chooses one.
pub const DECODERS: [(&str, fn(&[u8]) -> bool); 34] = [
    ("Header", decodes::<Header>),
    ("Hello", decodes::<Hello>),
    ("CookieDemand", decodes::<CookieDemand>),
    ("Introduction", decodes::<Introduction>),
    ("Acceptance", decodes::<Acceptance>),
    ("Presentation", decodes::<Presentation>),
    ("Share", decodes::<Share>),
    ("Answer", decodes::<Answer>),
    ("SignedShare", decodes::<SignedShare>),
    ("SignedAnswer", decodes::<SignedAnswer>),
    ("BrokerAnswer", decodes::<BrokerAnswer>),
    ("Completion", decodes::<Completion>),
    ("Confirm", decodes::<Confirm>),
    ("BrokerCall", decodes::<BrokerCall>),
    ("BrokerCallReply", decodes::<BrokerCallReply>),
    ("AccessRequest", decodes::<AccessRequest>),
    ("ToBroker", decodes::<ToBroker>),
    ("FromBroker", decodes::<FromBroker>),
    ("PolicyChallenge", decodes::<PolicyChallenge>),
    ("PolicyAcceptance", decodes::<PolicyAcceptance>),
    ("TokenGrant", decodes::<TokenGrant>),
    ("Notice", decodes::<Notice>),
    ("ToArchive", decodes::<ToArchive>),
    ("FromArchive", decodes::<FromArchive>),
    ("ArchiveGrant", decodes::<ArchiveGrant>),
    ("WireEntry", decodes::<WireEntry>),
    ("Refusal", decodes::<Refusal>),
    ("Policies", policies),
    ("Registration", decodes::<Registration>),
    ("Token", decodes::<Token>),
    ("Receipt", decodes::<Receipt>),
    ("EntryHeader", decodes::<EntryHeader>),
    ("Envelope", decodes::<Envelope>),
    ("SubHalf", decodes::<SubHalf>),
];

/// Reads a message with the chosen decoder; the second byte says whether an alteration comes first. One choice beyond
/// the decoders reads frames.
///
/// # Panics
/// When what is read does not encode to the same bytes, or frames depend on how their bytes arrive.
pub fn messages(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = usize::from(input.byte()) % (DECODERS.len() + 1);
    let Some((_, decode)) = DECODERS.get(choice) else { return frames(input) };
    let script = Input::new(input.bytes());
    let message = input.rest();
    decode(message);
    if !script.is_empty() {
        decode(&alter(message.to_vec(), script, &[]));
    }
    session_of(message);
}

fn decodes<T>(bytes: &[u8]) -> bool
where
    T: for<'b> Decode<'b, ()> + Encode<()> + std::fmt::Debug + PartialEq,
{
    let read = from_bytes::<T>(bytes, LIMIT);
    match &read {
        Ok(value) => {
            let written = to_bytes(value);
            assert_eq!(written, bytes);
            assert_eq!(from_bytes::<T>(&written, LIMIT).as_ref(), Ok(value));
            assert!(from_bytes::<T>(bytes, bytes.len().saturating_sub(1)).is_err(), "the limit does not hold");
            // Whatever a peer sent can be logged, and stays in proportion.
            assert!(format!("{value:?}").len() <= 1000 + 64 * bytes.len());
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!matches!(error, CodecError::TooLong { .. }) || bytes.len() > LIMIT);
        }
    }
    read.is_ok()
}

fn policies(bytes: &[u8]) -> bool {
    if let Ok(demanded) = from_bytes::<Policies>(bytes, LIMIT)
        && Policies::standard().admit(&demanded).is_ok()
    {
        let own = Policies::standard();
        assert!((1..=own.token_lifetime_seconds).contains(&demanded.token_lifetime_seconds));
        assert!(demanded.clock_skew_seconds <= own.clock_skew_seconds && demanded.suite == own.suite);
        assert!(demanded.purposes.iter().all(|purpose| own.purposes.contains(purpose)));
    }
    decodes::<Policies>(bytes)
}

/// A relayed stream, once in one piece and once in pieces of a size that the script chooses.
fn frames(mut input: Input<'_>) {
    let size = usize::from(input.byte()).max(1);
    let stream = input.rest();
    let whole = decode_frames(stream.chunks(stream.len().max(1)));
    assert_eq!(whole, decode_frames(stream.chunks(size)));
    let (frames, sound) = whole;
    let written: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
    assert!(stream.starts_with(&written), "frames encode to other bytes");
    assert!(frames.iter().all(|frame| frame.message.len() <= FRAME_BYTES_MAX));
    assert!(!sound || frames.len() <= stream.len() / FRAME_HEADER_BYTES);
}

fn decode_frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, bool) {
    let (mut decoder, mut frames) = (FrameDecoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    (frames, true)
}

/// A message of each kind that has one worth a seed, with its decoder's place.
pub fn examples() -> Vec<(usize, Vec<u8>)> {
    let place = |name: &str| DECODERS.iter().position(|(known, _)| *known == name).expect("a decoder");
    let blob = || Blob(vec![1, 2, 3]);
    let refusal = Refusal { by: "broker".into(), code: "refused".into(), reason: "a".into(), remedy: "b".into() };
    vec![
        (place("Policies"), to_bytes(&Policies::standard())),
        (place("Refusal"), to_bytes(&refusal)),
        (place("FromBroker"), to_bytes(&FromBroker::Refused(refusal.clone()))),
        (place("FromBroker"), to_bytes(&FromBroker::NotLocated)),
        (place("BrokerCallReply"), to_bytes(&BrokerCallReply::Refused(refusal))),
        (place("ToArchive"), to_bytes(&ToArchive::Entries(vec![WireEntry { envelope: blob(), ciphertext: None }]))),
        (place("FromArchive"), to_bytes(&FromArchive::Entries { entries: vec![], authors: vec![vec![blob()]] })),
        (place("Notice"), to_bytes(&Notice::LookAnew)),
        (DECODERS.len(), [vec![3], Frame::end(vec![7; 20]).to_bytes(), Frame::broker(vec![]).to_bytes()].concat()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_read() {
        for (place, message) in examples().into_iter().filter(|(place, _)| *place < DECODERS.len()) {
            assert!(DECODERS[place].1(&message), "{}", DECODERS[place].0);
        }
    }

    #[test]
    #[should_panic(expected = "the limit does not hold")]
    fn a_decoder_that_keeps_no_limit_is_noticed() {
        /// Reads any bytes at all, however many are left of them.
        #[derive(Debug, PartialEq)]
        struct Anything;
        impl<C> Encode<C> for Anything {
            fn encode<W: minicbor::encode::Write>(
                &self,
                _: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                Ok(())
            }
        }
        impl<'b, C> Decode<'b, C> for Anything {
            fn decode(_: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Ok(Self)
            }
        }
        decodes::<Anything>(&[]);
    }
}
