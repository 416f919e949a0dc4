//! The nine steps in memory, message by message, with somebody on the wire who may replace each of them. Steps 8 and
//! 9 travel between broker and archive inside SK_TM, as the services send them (`spec/protocol.md`, section 4.4).

use std::sync::Arc;

use sealwort_pki::Identity;
use sealwort_proto::channel::Channel;
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::handshake::broker::{Greeted, Load};
use sealwort_proto::handshake::gateway::Presented;
use sealwort_proto::handshake::{HopExporter, Party, archive, broker, gateway};
use sealwort_proto::message::{BrokerCall, BrokerCallReply, MESSAGE_BYTES_MAX};
use sealwort_proto::{Digest, SessionId};

use super::world::{HOP_LT, HOP_TM, World};

/// Every message of a run on the wire, in order, with the earliest step that it belongs to.
pub const MESSAGES: [(&str, u8); 14] = [
    ("1 hello", 1),
    ("2 introduction", 2),
    ("3 acceptance", 3),
    ("3 presentation", 3),
    ("4 share", 4),
    ("6 share", 6),
    ("7 answer", 7),
    ("8 call", 8),
    ("8 reply", 8),
    ("5+8 answer", 8),
    ("9 completion", 9),
    ("9 call", 9),
    ("9 reply", 9),
    ("confirmation", 9),
];

/// The step of a message.
pub fn step_of(name: &str) -> u8 {
    MESSAGES.iter().find(|(known, _)| *known == name).map_or(0, |(_, step)| *step)
}

/// Who plays, and whom each sees at the other end of its hop.
pub struct Cast<'a> {
    pub world: &'a World,
    pub gateway: &'a Party,
    pub broker: &'a Party,
    pub archive: &'a Party,
    /// The exporter of the hop between gateway and broker, as either sees it.
    pub hop_of_gateway: HopExporter,
    pub hop_of_broker: HopExporter,
    /// That of the hop between broker and archive.
    pub hop_to_archive: HopExporter,
    pub hop_of_archive: HopExporter,
    /// To whom the gateway's TLS connection leads.
    pub gateway_sees: Identity,
    /// The archive that it wants.
    pub wanted: Identity,
    /// Whose TLS connection the broker has.
    pub broker_sees: Identity,
    pub archive_sees: Identity,
}

/// Both ends of all three channels.
pub struct Session {
    pub gateway: gateway::Established,
    pub broker: broker::GatewayEstablished,
    pub archive: archive::GatewayEstablished,
    pub broker_to_archive: Arc<Channel>,
    pub archive_to_broker: Arc<Channel>,
}

/// How a run ended.
pub struct Run {
    pub outcome: Result<Session, ProtocolError>,
    /// `h_LM` as the gateway confirmed it to the broker, when the broker established.
    pub broker_binding: Option<Digest>,
    /// `h_LM` as the archive holds it, when the archive established.
    pub archive_binding: Option<Digest>,
    /// The last message that somebody took without refusing.
    pub reached: &'static str,
}

impl Run {
    /// The error of a run that must fail.
    pub fn error(self) -> ProtocolError {
        match self.outcome {
            Ok(_) => panic!("everybody established"),
            Err(error) => error,
        }
    }

    pub fn session(self) -> Session {
        self.outcome.expect("an honest run")
    }
}

/// What is on the wire: given a message's name and bytes, gives what arrives.
pub type Wire<'a> = &'a mut dyn FnMut(&'static str, Vec<u8>) -> Vec<u8>;

/// Nobody on the wire.
pub fn honest() -> impl FnMut(&'static str, Vec<u8>) -> Vec<u8> {
    |_, bytes| bytes
}

impl World {
    /// Gateway, broker and archive as they should meet.
    pub fn cast(&self) -> Cast<'_> {
        Cast::of(self, &self.gateway, &self.broker, &self.archive)
    }

    /// An honest session.
    pub fn session(&self) -> Session {
        self.cast().run(&mut honest()).session()
    }

    /// The messages of an honest run, by name.
    pub fn recording(&self) -> Vec<(&'static str, Vec<u8>)> {
        self.cast().recording().0
    }
}

impl<'a> Cast<'a> {
    pub fn of(world: &'a World, gateway: &'a Party, broker: &'a Party, archive: &'a Party) -> Self {
        Self {
            world,
            gateway,
            broker,
            archive,
            hop_of_gateway: HOP_LT,
            hop_of_broker: HOP_LT,
            hop_to_archive: HOP_TM,
            hop_of_archive: HOP_TM,
            gateway_sees: broker.identity.clone(),
            wanted: archive.identity.clone(),
            broker_sees: gateway.identity.clone(),
            archive_sees: broker.identity.clone(),
        }
    }

    /// An honest run with its messages.
    pub fn recording(&self) -> (Vec<(&'static str, Vec<u8>)>, Session) {
        let mut seen = Vec::new();
        let session = self
            .run(&mut |name, bytes| {
                seen.push((name, bytes.clone()));
                bytes
            })
            .session();
        (seen, session)
    }

    /// All nine steps.
    pub fn run(&self, wire: Wire<'_>) -> Run {
        let mut run = Run {
            outcome: Err(ProtocolError::new(Step::Authentication(1), Fault::Own, ErrorKind::UnknownSession)),
            broker_binding: None,
            archive_binding: None,
            reached: "",
        };
        run.outcome = self.steps(wire, &mut run);
        run
    }

    fn steps(&self, wire: Wire<'_>, run: &mut Run) -> Result<Session, ProtocolError> {
        let (world, now) = (self.world, self.world.now);
        let reached = |run: &mut Run, name| run.reached = name;

        let (l, hello) = gateway::start(self.gateway, &self.wanted, &self.gateway_sees, self.hop_of_gateway);
        let hello = wire("1 hello", hello);
        let (party, peers) = (self.broker, &world.peers());
        let serves = &self.archive.identity;
        let greeted =
            broker::on_hello(&hello, party, peers, &self.broker_sees, &self.hop_of_broker, serves, &Load::Normal)?;
        let Greeted::Introduce(t, introduction) = greeted else { panic!("no load") };
        reached(run, "1 hello");
        let introduction = wire("2 introduction", introduction);
        let (m_tm, m_lm, acceptance) =
            archive::on_introduction(&introduction, self.archive, peers, &self.archive_sees)?;
        reached(run, "2 introduction");
        let acceptance = wire("3 acceptance", acceptance);
        let (t, presentation) = t.on_acceptance(&acceptance, self.broker, peers)?;
        reached(run, "3 acceptance");
        let presentation = wire("3 presentation", presentation);
        let (l, share) = match l.on_presentation(&presentation, self.gateway, peers)? {
            Presented::Continue(l, share) => (l, share),
            // Whoever answers step 1 with a demand for a cookie makes the gateway send step 1 again, and no more.
            Presented::Again(..) => {
                return Err(ProtocolError::new(Step::Authentication(3), Fault::Broker, ErrorKind::Cookie));
            }
        };
        reached(run, "3 presentation");

        let opening = t.archive_opening();
        let session = t.session();
        let share = wire("4 share", share);
        let t = t.on_share(&share, self.broker, &self.hop_of_broker, now)?;
        reached(run, "4 share");
        let (tm, share6) = broker::start_archive(opening, self.broker, &self.hop_to_archive)?;
        let share6 = wire("6 share", share6);
        let (m_broker, answer7) = m_tm.on_share(&share6, self.archive, &self.hop_of_archive, now)?;
        reached(run, "6 share");
        let answer7 = wire("7 answer", answer7);
        let tm = tm.on_answer(&answer7, self.broker, now)?.channel;
        reached(run, "7 answer");

        let call = BrokerCall::Offer { session, policies: t.gateway_policies().clone() };
        let (number, sealed) = tm.request(&to_bytes(&call), now)?;
        let opened = m_broker.channel.open_request(&wire("8 call", sealed), now)?;
        let BrokerCall::Offer { session: named, policies } = in_channel(&opened.content, Fault::Broker)? else {
            return Err(unknown(8, Fault::Broker));
        };
        if named != m_lm.session() {
            return Err(unknown(8, Fault::Broker));
        }
        let (m, share8) = m_lm.on_offer(&policies, &m_broker.broker, self.archive)?;
        reached(run, "8 call");
        let reply = m_broker.channel.reply(opened.number, &to_bytes(&BrokerCallReply::Relay(share8.into())), now)?;
        let share8 = relayed(&tm.open_reply(number, &wire("8 reply", reply), now)?, 8)?;
        reached(run, "8 reply");

        let (l, completion) = l.on_answer(&wire("5+8 answer", t.answer_with(share8)), self.gateway, now)?;
        reached(run, "5+8 answer");
        let (t, for_archive) = t.on_completion(&wire("9 completion", completion), now)?;
        run.broker_binding = Some(t.binding);
        reached(run, "9 completion");
        let call = BrokerCall::Complete { session, answer: for_archive.into() };
        let (number, sealed) = tm.request(&to_bytes(&call), now)?;
        let opened = m_broker.channel.open_request(&wire("9 call", sealed), now)?;
        let BrokerCall::Complete { session: named, answer } = in_channel(&opened.content, Fault::Broker)? else {
            return Err(unknown(9, Fault::Broker));
        };
        if named != session {
            return Err(unknown(9, Fault::Broker));
        }
        let (m, confirmation) = m.on_completion(answer.as_ref(), self.archive, now)?;
        run.archive_binding = Some(m.channel.binding());
        reached(run, "9 call");
        let relay = BrokerCallReply::Relay(confirmation.into());
        let reply = m_broker.channel.reply(opened.number, &to_bytes(&relay), now)?;
        let confirmation = relayed(&tm.open_reply(number, &wire("9 reply", reply), now)?, 9)?;
        // The last hop, broker to gateway, has the same message as the inside of the reply.
        let l = l.on_confirmation(&wire("confirmation", confirmation), now)?;
        reached(run, "9 reply");
        Ok(Session {
            gateway: l,
            broker: t,
            archive: m,
            broker_to_archive: Arc::new(tm),
            archive_to_broker: Arc::new(m_broker.channel),
        })
    }
}

fn in_channel(content: &[u8], fault: Fault) -> Result<BrokerCall, ProtocolError> {
    from_bytes(content, MESSAGE_BYTES_MAX).map_err(|e| ProtocolError::new(Step::Channel, fault, e))
}

fn relayed(content: &[u8], step: u8) -> Result<Vec<u8>, ProtocolError> {
    match from_bytes(content, MESSAGE_BYTES_MAX) {
        Ok(BrokerCallReply::Relay(message)) => Ok(message.0),
        Ok(BrokerCallReply::Refused(refusal)) => Err(refusal.into_error(Step::Authentication(step))),
        Err(error) => Err(ProtocolError::new(Step::Channel, Fault::Archive, error)),
    }
}

fn unknown(step: u8, fault: Fault) -> ProtocolError {
    ProtocolError::new(Step::Authentication(step), fault, ErrorKind::UnknownSession)
}

/// The session id that a message of a recording names.
pub fn session_in(recording: &[(&'static str, Vec<u8>)]) -> SessionId {
    let sealed = recording.iter().find(|(name, _)| *name == "8 call").map(|(_, bytes)| bytes);
    sealed.and_then(|bytes| sealwort_proto::channel::session_of(bytes)).expect("a channel message names its session")
}
