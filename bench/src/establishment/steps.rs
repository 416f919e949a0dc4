//! One run of the nine steps between three parties in memory, as the services make it: steps 8 and 9 go through
//! the channel between broker and archive. Each party's pieces are timed on their own.

use std::sync::Arc;
use std::time::Duration;

use sealwort_pki::testing::{TEST_NOW, TestExchange};
use sealwort_pki::{Role, Trust};
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::handshake::broker::{ArchiveEstablished, Greeted, Load};
use sealwort_proto::handshake::gateway::Presented;
use sealwort_proto::handshake::{self, archive, broker, gateway};
use sealwort_proto::message::{BrokerCall, BrokerCallReply, MESSAGE_BYTES_MAX};
use sealwort_proto::operations::OperationCounts;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::policy::Policies;

use super::{Link, Party};
use crate::measure::{CpuClock, Failure};

/// TLS exporters of the two hops.
const HOP_LT: [u8; 32] = [1; 32];
const HOP_TM: [u8; 32] = [2; 32];

/// Three parties with certificates of one exchange. Each has its own cache of certificates.
pub(super) struct Parties {
    trust: Trust,
    gateway: Side,
    broker: Side,
    archive: Side,
}

struct Side {
    party: handshake::Party,
    cache: PeerCache,
}

/// Both ends of a session between broker and archive.
pub(super) struct LiveLink {
    broker: ArchiveEstablished,
    archive: archive::BrokerEstablished,
}

/// CPU time of each party in one run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) gateway: Duration,
    pub(super) broker: Duration,
    pub(super) archive: Duration,
}

/// Bytes of each message of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lengths {
    hello: usize,
    introduction: usize,
    acceptance: usize,
    presentation: usize,
    share_4: usize,
    share_6: usize,
    answer_7: usize,
    share_8: usize,
    answer_5_and_8: usize,
    completion: usize,
    completion_archive: usize,
    confirmation: usize,
}

/// One run.
pub(super) struct Run {
    pub(super) times: Times,
    pub(super) lengths: Lengths,
    /// The session between broker and archive, where this run made one.
    link: Option<LiveLink>,
}

impl Side {
    fn new(exchange: &TestExchange, role: Role, name: &str) -> Self {
        let made = exchange.party(role, name);
        let party = handshake::Party {
            identity: made.identity,
            chain: made.statement.chain,
            key: Arc::new(made.statement.key),
            policies: Policies::standard(),
            operations: Arc::default(),
        };
        Self { party, cache: PeerCache::default() }
    }

    fn peers<'a>(&'a self, trust: &'a Trust) -> Peers<'a> {
        Peers { trust, cache: &self.cache, now: TEST_NOW }
    }
}

impl Parties {
    pub(super) fn new() -> Self {
        let exchange = TestExchange::new("bench");
        Self {
            trust: exchange.trust(),
            gateway: Side::new(&exchange, Role::Gateway, "hospital"),
            broker: Side::new(&exchange, Role::Broker, "broker"),
            archive: Side::new(&exchange, Role::Archive, "archive"),
        }
    }

    /// A party's totals so far.
    pub(super) fn counts(&self, party: Party) -> OperationCounts {
        let side = match party {
            Party::Gateway => &self.gateway,
            Party::Broker => &self.broker,
            Party::Archive => &self.archive,
        };
        side.party.operations.counts()
    }

    /// A session between broker and archive that runs can use.
    pub(super) fn link(&self) -> Result<LiveLink, Failure> {
        self.establish(&CpuClock::calibrated(), None)?.link.ok_or_else(|| "no session was made".into())
    }

    /// Runs all nine steps; steps 6 and 7 only where no live session is given.
    pub(super) fn establish(&self, clock: &CpuClock, live: Option<&LiveLink>) -> Result<Run, Failure> {
        let (l, t, m) = (&self.gateway, &self.broker, &self.archive);
        let (lp, tp, mp) = (&l.party, &t.party, &m.party);
        let now = TEST_NOW;
        let mut times = Times::default();

        // Steps 1 to 3.
        let (at_gateway, hello) =
            clock.add(&mut times.gateway, || gateway::start(lp, &mp.identity, &tp.identity, HOP_LT));
        let greeted = clock.add(&mut times.broker, || {
            broker::on_hello(&hello, tp, &t.peers(&self.trust), &lp.identity, &HOP_LT, &mp.identity, &Load::Normal)
        })?;
        let Greeted::Introduce(at_broker, introduction) = greeted else {
            return Err("a broker without load asked for a cookie".into());
        };
        let (with_broker, with_gateway, acceptance) = clock.add(&mut times.archive, || {
            archive::on_introduction(&introduction, mp, &m.peers(&self.trust), &tp.identity)
        })?;
        let (at_broker, presentation) =
            clock.add(&mut times.broker, || at_broker.on_acceptance(&acceptance, tp, &t.peers(&self.trust)))?;
        let presented =
            clock.add(&mut times.gateway, || at_gateway.on_presentation(&presentation, lp, &l.peers(&self.trust)))?;
        let Presented::Continue(at_gateway, share_4) = presented else {
            return Err("a broker without load asked for a cookie".into());
        };

        // Step 4; steps 6 and 7 where they are needed.
        let (opening, at_broker) = clock.add(&mut times.broker, || {
            let opening = at_broker.archive_opening();
            at_broker.on_share(&share_4, tp, &HOP_LT, now).map(|state| (opening, state))
        })?;
        let mut lengths = Lengths {
            hello: hello.len(),
            introduction: introduction.len(),
            acceptance: acceptance.len(),
            presentation: presentation.len(),
            share_4: share_4.len(),
            ..Lengths::default()
        };
        let made = if live.is_some() {
            None
        } else {
            let (state, share_6) = clock.add(&mut times.broker, || broker::start_archive(opening, tp, &HOP_TM))?;
            let (archive, answer_7) =
                clock.add(&mut times.archive, || with_broker.on_share(&share_6, mp, &HOP_TM, now))?;
            let broker = clock.add(&mut times.broker, || state.on_answer(&answer_7, tp, now))?;
            (lengths.share_6, lengths.answer_7) = (share_6.len(), answer_7.len());
            Some(LiveLink { broker, archive })
        };
        let link = live.or(made.as_ref()).ok_or("no session between broker and archive")?;
        let (to_archive, to_broker) = (&link.broker.channel, &link.archive.channel);

        // Step 8, asked for inside SK_TM, and steps 5 and 8 to the gateway.
        let session = at_broker.session();
        let (number, call) = clock.add(&mut times.broker, || {
            let call = BrokerCall::Offer { session, policies: at_broker.gateway_policies().clone() };
            to_archive.request(&to_bytes(&call), now)
        })?;
        let (at_archive, reply) = clock.add(&mut times.archive, || {
            let opened = to_broker.open_request(&call, now)?;
            let call = from_bytes::<BrokerCall>(&opened.content, MESSAGE_BYTES_MAX)?;
            let BrokerCall::Offer { policies, .. } = call else { return Err(Failure::from("another call")) };
            let (state, share) = with_gateway.on_offer(&policies, &link.archive.broker, mp)?;
            let reply = to_bytes(&BrokerCallReply::Relay(share.into()));
            Ok((state, to_broker.reply(opened.number, &reply, now)?))
        })?;
        let (answer, share_8) = clock.add(&mut times.broker, || {
            let share = relayed(&to_archive.open_reply(number, &reply, now)?)?;
            let length = share.len();
            Ok::<_, Failure>((at_broker.answer_with(share), length))
        })?;

        // Step 9, through the broker to the archive, and the archive's confirmation.
        let (at_gateway, completion) = clock.add(&mut times.gateway, || at_gateway.on_answer(&answer, lp, now))?;
        let (established_t, for_archive, number, call) = clock.add(&mut times.broker, || {
            let (established, for_archive) = at_broker.on_completion(&completion, now)?;
            let length = for_archive.len();
            let call = BrokerCall::Complete { session, answer: for_archive.into() };
            let (number, call) = to_archive.request(&to_bytes(&call), now)?;
            Ok::<_, Failure>((established, length, number, call))
        })?;
        let (established_m, reply) = clock.add(&mut times.archive, || {
            let opened = to_broker.open_request(&call, now)?;
            let call = from_bytes::<BrokerCall>(&opened.content, MESSAGE_BYTES_MAX)?;
            let BrokerCall::Complete { answer, .. } = call else { return Err(Failure::from("another call")) };
            let (established, confirmation) = at_archive.on_completion(answer.as_ref(), mp, now)?;
            let reply = to_bytes(&BrokerCallReply::Relay(confirmation.into()));
            Ok((established, to_broker.reply(opened.number, &reply, now)?))
        })?;
        let confirmation = clock.add(&mut times.broker, || relayed(&to_archive.open_reply(number, &reply, now)?))?;
        let established_l = clock.add(&mut times.gateway, || at_gateway.on_confirmation(&confirmation, now))?;

        let binding = established_l.with_archive.binding();
        if binding != established_m.channel.binding() || binding != established_t.binding {
            return Err("the three parties do not agree on the run".into());
        }
        lengths = Lengths {
            share_8,
            answer_5_and_8: answer.len(),
            completion: completion.len(),
            completion_archive: for_archive,
            confirmation: confirmation.len(),
            ..lengths
        };
        Ok(Run { times, lengths, link: made })
    }
}

impl Lengths {
    /// Bytes that a party's transcripts take in: each pair hashes what both ends saw, once at each end.
    pub(super) fn hashed_by(&self, party: Party, link: Link) -> u64 {
        let answer_5 = self.answer_5_and_8.saturating_sub(self.share_8);
        let gateway_broker = self.hello + self.presentation + self.share_4 + answer_5;
        let broker_archive = match link {
            Link::Fresh => self.introduction + self.acceptance + self.share_6 + self.answer_7,
            Link::Live => 0,
        };
        let gateway_archive = self.share_8 + self.completion_archive;
        let bytes = match party {
            Party::Gateway => gateway_broker + gateway_archive,
            Party::Broker => gateway_broker + broker_archive,
            Party::Archive => broker_archive + gateway_archive,
        };
        bytes as u64
    }

    /// Bytes of all messages, before the channel between broker and archive wraps its own.
    pub(super) fn total(&self, link: Link) -> u64 {
        let both_hops = self.hello
            + self.introduction
            + self.acceptance
            + self.presentation
            + self.share_4
            + self.answer_5_and_8
            + self.share_8
            + self.completion
            + self.completion_archive
            + 2 * self.confirmation;
        let six_and_seven = match link {
            Link::Fresh => self.share_6 + self.answer_7,
            Link::Live => 0,
        };
        (both_hops + six_and_seven) as u64
    }
}

fn relayed(reply: &[u8]) -> Result<Vec<u8>, Failure> {
    match from_bytes(reply, MESSAGE_BYTES_MAX)? {
        BrokerCallReply::Relay(message) => Ok(message.0),
        BrokerCallReply::Refused(refusal) => Err(format!("the archive refused: {}", refusal.reason).into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_run_over_a_live_session_is_a_run_without_steps_6_and_7() {
        let parties = Parties::new();
        let live = parties.link().unwrap();
        let clock = CpuClock::calibrated();
        for (given, shares) in [(None, 2), (Some(&live), 1)] {
            let before = parties.counts(Party::Archive);
            let run = parties.establish(&clock, given).unwrap();
            assert_eq!(run.link.is_some(), given.is_none());
            assert_eq!(run.lengths.share_6 > 0, given.is_none());
            assert_eq!(parties.counts(Party::Archive).since(&before).session_key, shares);
        }
    }
}
