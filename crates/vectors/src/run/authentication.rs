//! The nine steps.

use sealwort_pki::testing::Seeded;
use sealwort_pki::{Identity, PublicKey, UnixTime};
use sealwort_proto::SessionId;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::crypto::{KemKey, Prk, Secret, mac};
use sealwort_proto::error::ProtocolError;
use sealwort_proto::handshake::broker::{Greeted, Load};
use sealwort_proto::handshake::cookie::CookieJar;
use sealwort_proto::handshake::gateway::Presented;
use sealwort_proto::handshake::{Party, archive, broker, gateway};
use sealwort_proto::message::{
    Answer, BrokerAnswer, BrokerCall, BrokerCallReply, Completion, HANDSHAKE_BYTES_MAX, MESSAGE_BYTES_MAX, Share,
    SignedAnswer, SignedShare,
};
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::Peers;
use sealwort_proto::testing::extracted;
use serde_json::{Value, json};

use super::{Altered, Sent, Sessions, View, three};
use crate::check::{hashed, policies};
use crate::setting::Setting;
use crate::vector::{In, hex, hexes};

/// The three parties of a run, from its inputs.
pub struct Actors {
    /// L.
    pub gateway: Party,
    /// T.
    pub broker: Party,
    /// M.
    pub archive: Party,
    views: [View; 3],
    hop_lt: [u8; 32],
    hop_tm: [u8; 32],
    /// The run's time.
    pub now: UnixTime,
    drawn: Vec<Vec<u8>>,
    session_seeds: [[u8; 32]; 3],
}

const PAIRS: [&str; 3] = ["LT", "TM", "LM"];

impl Actors {
    /// Reads the inputs of an `authentication`.
    pub fn new(setting: &Setting, input: In<'_>) -> Self {
        let party = |name: &str| setting.party(input.text(name), policies(input.object("policies"), name));
        let trust = setting.trust(input.text("trust"));
        let nonces = three::<32>(input, "nonces", ["gateway", "broker", "archive"]);
        let seeds = three::<32>(input, "kem_seeds", PAIRS);
        let randomness = three::<64>(input, "kem_randomness", PAIRS);
        let mut drawn: Vec<Vec<u8>> = nonces.iter().map(|nonce| nonce.to_vec()).collect();
        for (seed, randomness) in seeds.iter().zip(&randomness) {
            drawn.push(seed.to_vec());
            drawn.push(randomness.to_vec());
        }
        Self {
            gateway: party("gateway"),
            broker: party("broker"),
            archive: party("archive"),
            views: [View::new(trust), View::new(trust), View::new(trust)],
            hop_lt: input.array("hop_lt"),
            hop_tm: input.array("hop_tm"),
            now: UnixTime::from_secs(input.uint("now")),
            drawn,
            session_seeds: seeds,
        }
    }

    /// The gateway's view of certificates.
    pub fn gateway_peers(&self) -> Peers<'_> {
        let View { trust, cache } = &self.views[0];
        Peers { trust, cache, now: self.now }
    }

    /// Runs the nine steps. With an altered message it ends when that was taken: `None`.
    pub fn run(&self, altered: &Altered) -> (Result<Option<Sessions>, ProtocolError>, Sent) {
        let jar = altered.cookies.map(|key| {
            let _seeded = Seeded::replay([key.to_vec()]);
            CookieJar::default()
        });
        let seeded = Seeded::replay(self.drawn.clone());
        let mut wire = Wire { altered, sent: Vec::new() };
        let result = self.steps(&mut wire, jar.as_ref());
        if let Ok(Some(_)) = result {
            assert_eq!(seeded.left(), 0, "random values are left");
        }
        (result, wire.sent)
    }

    fn steps(&self, wire: &mut Wire<'_>, jar: Option<&CookieJar>) -> Result<Option<Sessions>, ProtocolError> {
        let altered = wire.altered;
        let [view_l, view_t, view_m] = &self.views;
        let now = |step: &str| altered.now.filter(|_| altered.is_at(step)).unwrap_or(self.now);
        let connection = |step: &str, usual: &Identity| {
            altered.connection.clone().filter(|_| altered.is_at(step)).unwrap_or_else(|| usual.clone())
        };
        let (l_name, t_name, m_name) = (&self.gateway.identity, &self.broker.identity, &self.archive.identity);

        let at_l = if altered.is_at("3-presentation") { connection("3-presentation", t_name) } else { t_name.clone() };
        let (l, hello) = gateway::start(&self.gateway, m_name, &at_l, self.hop_lt);
        let hello = wire.send("1", hello);
        let load = jar.map_or(Load::Normal, Load::High);
        let peers = view_t.at("1", altered, self.now);
        let on_hop = connection("1", l_name);
        let greeted = broker::on_hello(&hello, &self.broker, &peers, &on_hop, &self.hop_lt, m_name, &load)?;
        let Greeted::Introduce(t, introduction) = greeted else {
            return Err(ProtocolError::new(
                sealwort_proto::Step::Authentication(1),
                sealwort_proto::Fault::Gateway,
                sealwort_proto::ErrorKind::Cookie,
            ));
        };
        if wire.is_done("1") {
            return Ok(None);
        }
        let introduction = wire.send("2", introduction);
        let peers = view_m.at("2", altered, self.now);
        let (for_broker, for_gateway, acceptance) =
            archive::on_introduction(&introduction, &self.archive, &peers, &connection("2", t_name))?;
        if wire.is_done("2") {
            return Ok(None);
        }
        let acceptance = wire.send("3-acceptance", acceptance);
        let (t, presentation) =
            t.on_acceptance(&acceptance, &self.broker, &view_t.at("3-acceptance", altered, self.now))?;
        if wire.is_done("3-acceptance") {
            return Ok(None);
        }
        let presentation = wire.send("3-presentation", presentation);
        let peers = view_l.at("3-presentation", altered, self.now);
        let Presented::Continue(l, share) = l.on_presentation(&presentation, &self.gateway, &peers)? else {
            panic!("a cookie is demanded where none was asked for")
        };
        if wire.is_done("3-presentation") {
            return Ok(None);
        }

        let opening = t.archive_opening();
        let share = wire.send("4", share);
        let t = t.on_share(&share, &self.broker, &self.hop_lt, now("4"))?;
        if wire.is_done("4") {
            return Ok(None);
        }
        let (tm, share) = broker::start_archive(opening, &self.broker, &self.hop_tm)?;
        let share = wire.send("6", share);
        let (m_broker, answer) = for_broker.on_share(&share, &self.archive, &self.hop_tm, now("6"))?;
        if wire.is_done("6") {
            return Ok(None);
        }
        let answer = wire.send("7", answer);
        let t_archive = tm.on_answer(&answer, &self.broker, now("7"))?;
        if wire.is_done("7") {
            return Ok(None);
        }

        let offer = BrokerCall::Offer { session: t.session(), policies: t.gateway_policies().clone() };
        let (number, call) = t_archive.channel.request(&wire.note("offer-content", to_bytes(&offer)), self.now)?;
        let call = wire.note("offer", call);
        let opened = m_broker.channel.open_request(&call, self.now)?;
        let BrokerCall::Offer { policies, .. } = from_bytes(&opened.content, MESSAGE_BYTES_MAX).unwrap() else {
            panic!("an offer")
        };
        let (m, share) = for_gateway.on_offer(&policies, &m_broker.broker, &self.archive)?;
        let share = wire.send("8-share", share);
        let reply = wire.note("8-content", to_bytes(&BrokerCallReply::Relay(Blob(share))));
        let reply = wire.note("8", m_broker.channel.reply(opened.number, &reply, self.now)?);
        let share = relayed(&t_archive.channel.open_reply(number, &reply, self.now)?);

        let both: BrokerAnswer = from_bytes(&t.answer_with(share), 2 * HANDSHAKE_BYTES_MAX).unwrap();
        let both = BrokerAnswer { answer: Blob(wire.send("5-answer", both.answer.0)), ..both };
        let both = wire.note("5", to_bytes(&both));
        let (l, completion) = l.on_answer(&both, &self.gateway, now("5-answer"))?;
        if wire.is_done("5-answer") || wire.is_done("8-share") {
            return Ok(None);
        }
        let completion: Completion = from_bytes(&completion, 2 * HANDSHAKE_BYTES_MAX).unwrap();
        let completion = Completion {
            for_archive: Blob(wire.send("9-answer", completion.for_archive.0)),
            for_broker: Blob(wire.send("9-confirm", completion.for_broker.0)),
        };
        let completion = wire.note("9", to_bytes(&completion));
        let (t, for_archive) = t.on_completion(&completion, now("9-confirm"))?;
        if wire.is_done("9-confirm") {
            return Ok(None);
        }
        let complete = BrokerCall::Complete { session: t.channel.session(), answer: Blob(for_archive) };
        let complete = wire.note("complete-content", to_bytes(&complete));
        let (number, call) = t_archive.channel.request(&complete, self.now)?;
        let call = wire.note("complete", call);
        let opened = m_broker.channel.open_request(&call, self.now)?;
        let BrokerCall::Complete { answer, .. } = from_bytes(&opened.content, MESSAGE_BYTES_MAX).unwrap() else {
            panic!("a completion")
        };
        let (m, confirmation) = m.on_completion(answer.as_ref(), &self.archive, now("9-answer"))?;
        if wire.is_done("9-answer") {
            return Ok(None);
        }
        let confirmation = wire.send("confirm-message", confirmation);
        let reply = wire.note("confirm-content", to_bytes(&BrokerCallReply::Relay(Blob(confirmation))));
        let reply = wire.note("confirm", m_broker.channel.reply(opened.number, &reply, self.now)?);
        let confirmation = relayed(&t_archive.channel.open_reply(number, &reply, self.now)?);
        let l = l.on_confirmation(&confirmation, now("confirm-message"))?;
        if wire.is_done("confirm-message") {
            return Ok(None);
        }
        Ok(Some(Sessions {
            gateway: l,
            broker: t,
            archive: m,
            broker_to_archive: t_archive.channel,
            archive_to_broker: m_broker.channel,
        }))
    }

    /// The output of an `authentication`: what was sent, and everything between, computed by hand from that.
    pub fn output(&self, sessions: &Sessions, sent: &Sent) -> Value {
        let of = |name: &str| &sent.iter().find(|(found, _)| found == name).expect("a message of the run").1;
        let session = sessions.gateway.with_broker.session();
        let keys = [&self.gateway, &self.broker, &self.archive].map(|party| party.key.public_key());
        let opening = |hop: &[u8; 32], one: &str, two: &str| vec![hop.to_vec(), of(one).clone(), of(two).clone()];
        let lt = Pair {
            name: "LT",
            steps: [4, 5],
            opening: opening(&self.hop_lt, "1", "3-presentation"),
            share: of("4"),
            answer: of("5-answer"),
            seed: &self.session_seeds[0],
            keys: [keys[0], keys[1]],
        };
        let tm = Pair {
            name: "TM",
            steps: [6, 7],
            opening: opening(&self.hop_tm, "2", "3-acceptance"),
            share: of("6"),
            answer: of("7"),
            seed: &self.session_seeds[1],
            keys: [keys[1], keys[2]],
        };
        let lm = Pair {
            name: "LM",
            steps: [8, 9],
            opening: Vec::new(),
            share: of("8-share"),
            answer: of("9-answer"),
            seed: &self.session_seeds[2],
            keys: [keys[2], keys[0]],
        };
        let bindings = [
            sessions.gateway.with_broker.binding(),
            sessions.broker_to_archive.binding(),
            sessions.gateway.with_archive.binding(),
        ];
        let pairs: Vec<Value> = [lt, tm, lm].iter().map(|pair| pair.values(session)).collect();
        for (pair, binding) in pairs.iter().zip(bindings) {
            assert_eq!(pair["binding"], hex(binding.as_bytes()));
        }
        assert_eq!(sessions.broker.binding, bindings[2]);
        let messages: serde_json::Map<String, Value> =
            sent.iter().map(|(name, bytes)| (name.clone(), hex(bytes))).collect();
        json!({
            "session": hex(session.as_bytes()),
            "messages": messages,
            "pairs": { "LT": pairs[0], "TM": pairs[1], "LM": pairs[2] },
        })
    }
}

fn relayed(content: &[u8]) -> Vec<u8> {
    match from_bytes(content, MESSAGE_BYTES_MAX).unwrap() {
        BrokerCallReply::Relay(message) => message.0,
        BrokerCallReply::Refused(refusal) => panic!("{refusal}"),
    }
}

/// Notes what is sent and puts the altered message in its place.
struct Wire<'a> {
    altered: &'a Altered,
    sent: Sent,
}

impl Wire<'_> {
    fn note(&mut self, name: &str, bytes: Vec<u8>) -> Vec<u8> {
        self.sent.push((name.to_owned(), bytes.clone()));
        bytes
    }

    fn send(&mut self, name: &str, bytes: Vec<u8>) -> Vec<u8> {
        let bytes = if self.altered.is_at(name) { self.altered.message.clone() } else { bytes };
        self.note(name, bytes)
    }

    fn is_done(&self, name: &str) -> bool {
        self.altered.is_at(name)
    }
}

/// One pair's part of a run, as its messages show it.
struct Pair<'a> {
    name: &'static str,
    steps: [u8; 2],
    opening: Vec<Vec<u8>>,
    share: &'a [u8],
    answer: &'a [u8],
    seed: &'a [u8; 32],
    keys: [&'a PublicKey; 2],
}

impl Pair<'_> {
    /// The key schedule of `spec/protocol.md`, sections 4.3 and 4.4, without the state machines.
    fn values(&self, session: SessionId) -> Value {
        let share: SignedShare = from_bytes(self.share, HANDSHAKE_BYTES_MAX).unwrap();
        let answer: SignedAnswer = from_bytes(self.answer, HANDSHAKE_BYTES_MAX).unwrap();
        let mut parts = vec![self.name.as_bytes().to_vec(), session.as_bytes().to_vec()];
        parts.extend(self.opening.iter().cloned());
        parts.push(share.share.0.clone());
        let share_hash = transcript(&parts);
        verify(self.keys[0], self.steps[0], &share_hash, &share.signature.0);
        parts.push(share.signature.0.clone());
        parts.push(answer.answer.0.clone());
        let answer_hash = transcript(&parts);
        verify(self.keys[1], self.steps[1], &answer_hash, &answer.signature.0);
        parts.push(answer.signature.0.clone());
        let transcript_hash = transcript(&parts);

        let inner: Answer = from_bytes(&answer.answer.0, HANDSHAKE_BYTES_MAX).unwrap();
        let offered: Share = from_bytes(&share.share.0, HANDSHAKE_BYTES_MAX).unwrap();
        let kem = KemKey::from_seed(self.seed).unwrap();
        assert_eq!(offered.key.0, kem.public());
        let secret = kem.decapsulate(&inner.encapsulation.0, &Operations::default()).unwrap();
        let key = extracted(&transcript_hash, secret.expose());
        let expand = |label: &str| Prk::from_secret(&Secret::new(key)).expand(label, &[self.name.as_bytes()]);
        let confirmation_key = expand("sealwort confirmation v1");
        let confirmation = mac(&confirmation_key, "sealwort answerer confirms v1", &[&transcript_hash]);
        assert_eq!(confirmation.to_vec(), answer.confirmation.0);
        json!({
            "opening": hexes(&self.opening),
            "share": hex(&share.share.0),
            "share_hash": hex(share_hash),
            "share_signature": hex(&share.signature.0),
            "answer": hex(&answer.answer.0),
            "answer_hash": hex(answer_hash),
            "answer_signature": hex(&answer.signature.0),
            "secret": hex(secret.expose()),
            "transcript_hash": hex(transcript_hash),
            "key": hex(key),
            "confirmation_key": hex(confirmation_key.expose()),
            "confirmation": hex(confirmation),
            "sharer_to_answerer": hex(expand("sealwort sharer to answerer v1").expose()),
            "answerer_to_sharer": hex(expand("sealwort answerer to sharer v1").expose()),
            "exporter": hex(expand("sealwort exporter v1").expose()),
            "binding": hex(hashed("sealwort binding v1", &[transcript_hash.to_vec()])),
        })
    }
}

/// SHA-256 of the transcript of these parts.
pub fn transcript(parts: &[Vec<u8>]) -> [u8; 32] {
    hashed("sealwort agreement v1", parts)
}

/// What a signature of a step is over.
pub fn signed_bytes(step: u8, hash: &[u8; 32]) -> Vec<u8> {
    [&b"sealwort authentication v1 step "[..], &[step], hash].concat()
}

fn verify(key: &PublicKey, step: u8, hash: &[u8; 32], signature: &[u8]) {
    key.verify(&signed_bytes(step, hash), signature).expect("a signature of the run");
}
