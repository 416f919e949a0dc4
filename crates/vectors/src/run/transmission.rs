//! The seven steps, in the channels that a run of the nine made.

use std::collections::BTreeSet;

use sealwort_consent::{CompiledDirective, Directive, Party as Hospital, Patient, Request};
use sealwort_pki::testing::Seeded;
use sealwort_pki::{PublicKey, UnixTime};
use sealwort_proto::channel::Channel;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::frame::Frame;
use sealwort_proto::halves::{Half, Side, SubHalf};
use sealwort_proto::handshake::Party;
use sealwort_proto::log::{Authors, ChainWalk, entry_hash};
use sealwort_proto::message::{
    ArchiveGrant, FromArchive, FromBroker, MESSAGE_BYTES_MAX, ToArchive, ToBroker, TokenGrant, WireEntry,
};
use sealwort_proto::peers::chain_to_wire;
use sealwort_proto::receipt::{self, Receipt, Witness};
use sealwort_proto::record::{self, EntryHeader, pad};
use sealwort_proto::registration::{self, Moment};
use sealwort_proto::statement;
use sealwort_proto::token::Token;
use sealwort_proto::transmission::archive::{UsedTokens, on_present};
use sealwort_proto::transmission::broker::{Permission, on_request};
use sealwort_proto::transmission::gateway::{Authority, Sought, request};
use sealwort_proto::{DepositId, Digest, LabelTag, Pseudonym};
use serde_json::{Map, Value, json};

use super::authentication::Actors;
use super::{Altered, Sessions};
use crate::check::{head, head_json, witness};
use crate::vector::{Failure, In, hex};

/// What goes into the seven steps.
pub struct Transmission<'a> {
    actors: &'a Actors,
    sessions: &'a Sessions,
    input: In<'a>,
    patient: Pseudonym,
    directive: CompiledDirective,
    log: Vec<WireEntry>,
    steps: Vec<Value>,
}

/// Who sends, as vectors say it.
#[derive(Clone, Copy)]
enum From {
    Gateway,
    Broker,
    Archive,
}

impl<'a> Transmission<'a> {
    /// Reads the inputs of a `transmission`.
    pub fn new(actors: &'a Actors, sessions: &'a Sessions, input: In<'a>) -> Self {
        let operations = &actors.broker.operations;
        let peers = actors.gateway_peers();
        let registered =
            registration::verify(&input.bytes("registration"), "demo", Moment::Acceptance, &peers, operations).unwrap();
        let payload = registered.open_directive(&input.bytes("directive"), operations).unwrap();
        let directive = CompiledDirective::compile(&Directive::from_bytes(&payload).unwrap()).unwrap();
        let entry = |entry: &Value| WireEntry {
            envelope: Blob(In(entry).bytes("envelope")),
            ciphertext: Some(Blob(In(entry).bytes("ciphertext"))),
        };
        let log = input.list("log").iter().map(entry).collect();
        let patient = Pseudonym::new(input.array("patient"));
        Self { actors, sessions, input, patient, directive, log, steps: Vec::new() }
    }

    /// Runs the seven steps. With an altered message it ends when that was taken: `None`.
    pub fn run(mut self, altered: &Altered) -> Result<Option<Value>, Failure> {
        let seeded = Seeded::replay(["challenge", "token_id", "salt"].map(|name| self.input.bytes(name)));
        let Actors { gateway, broker, archive, now, .. } = self.actors;
        let Sessions { gateway: at_l, broker: at_t, archive: at_m, .. } = self.sessions;
        let sought = Sought {
            patient: self.patient,
            action: self.input.text("action").to_owned(),
            tags: self.tags(),
            purpose: self.input.text("purpose").to_owned(),
            emergency: None,
            user: self.input.text("user").to_owned(),
            user_role: self.input.text("user_role").to_owned(),
        };
        let at = |step: &str| altered.now.filter(|_| altered.step == step).unwrap_or(*now);
        let done = |step: &str| altered.step == step;
        let content = |step: &str, sent: Vec<u8>| if done(step) { altered.message.clone() } else { sent };
        let peers = actors_peers(self.actors, at("4"));

        // 1 and 2.
        let (l, message) = request(at_l, gateway, sought)?;
        let one = content("1", to_bytes(&message));
        let number = self.ask("1", Link::Lt, &one)?;
        let ToBroker::Request(asked) = read(&one) else { panic!("a request") };
        let (t, challenge) = on_request(asked.as_ref(), at_t, broker, at("1"))?;
        if done("1") {
            return Ok(None);
        }
        let two = content("2", to_bytes(&FromBroker::Challenge(challenge)));
        self.answer("2", Link::Lt, number, &two, From::Broker)?;
        let FromBroker::Challenge(challenge) = read(&two) else { panic!("a challenge") };

        // 3 and 4.
        let (l, message) = l.on_challenge(&challenge, at_l, gateway, at("2"))?;
        if done("2") {
            return Ok(None);
        }
        let three = content("3", to_bytes(&message));
        let number = self.ask("3", Link::Lt, &three)?;
        let ToBroker::Accept(acceptance) = read(&three) else { panic!("an acceptance") };
        let accepted = t.on_acceptance(&acceptance, at_t, broker, at("3"))?;
        if done("3") {
            return Ok(None);
        }
        let permission = Permission {
            tags: self.permitted(&accepted.request().tags)?,
            directive_version: self.directive.directive().version(),
            epoch: self.directive.directive().epoch(),
            begun_at: None,
        };
        let tags = permission.tags.clone();
        let (token, sealed) = accepted.issue(
            permission,
            head(self.input, "witness"),
            at_t,
            &self.sessions.broker_to_archive,
            broker,
            *now,
        )?;
        assert_eq!(seeded.left(), 0);
        let grant = TokenGrant {
            sealed,
            token,
            sub_halves: self.sub_halves(Side::Broker, &tags),
            registration: Blob(self.input.bytes("registration")),
        };
        let statement = grant.token.0.clone();
        let four = content("4", to_bytes(&FromBroker::Token(Box::new(grant))));
        self.answer("4", Link::Lt, number, &four, From::Broker)?;
        let FromBroker::Token(grant) = read(&four) else { panic!("a token") };

        // 5 and 6.
        let (l, message) = l.on_token(*grant, at_l, gateway, &peers)?;
        if done("4") {
            return Ok(None);
        }
        let five = content("5", to_bytes(&message));
        let number = self.ask("5", Link::Lm, &five)?;
        let ToArchive::Present { sealed, possession } = read(&five) else { panic!("a token") };
        let mut used = UsedTokens::default();
        let mut present = || {
            let channel = &self.sessions.archive_to_broker;
            on_present(sealed.as_ref(), possession.as_ref(), at_m, channel, archive, &mut used, at("5"))
        };
        if altered.used {
            present().unwrap();
        }
        let token = present()?.token().clone();
        if done("5") {
            return Ok(None);
        }
        let six = FromArchive::Granted(Box::new(self.grant(&token)?));
        let six = content("6", to_bytes(&six));
        self.answer("6", Link::Lm, number, &six, From::Archive)?;
        let FromArchive::Granted(grant) = read(&six) else { panic!("a grant") };
        let authority = l.on_grant(*grant)?;
        if done("6") {
            return Ok(None);
        }
        let tokens = json!({
            "statement": hex(&statement),
            "digest": hex(statement::digest(&statement).as_bytes()),
            "possession": hex(&possession.0),
        });
        let receipt = match self.input.optional("deposit") {
            None => self.read_log(&authority)?,
            Some(deposit) => self.write_log(&authority, In(deposit))?,
        };
        let mut output = Map::new();
        output.insert("steps".to_owned(), Value::Array(std::mem::take(&mut self.steps)));
        output.insert("tokens".to_owned(), tokens);
        output.insert("receipt".to_owned(), hex(&receipt.0));
        output.insert("head".to_owned(), head_json(receipt.1));
        Ok(Some(Value::Object(output)))
    }

    fn tags(&self) -> Vec<LabelTag> {
        self.input.byte_list("tags").iter().map(|tag| LabelTag::from_slice(tag).unwrap()).collect()
    }

    /// The decision that broker and archive each make (section 6.3).
    fn permitted(&self, tags: &[LabelTag]) -> Result<Vec<LabelTag>, Failure> {
        let request = Request {
            party: Hospital::new(self.actors.gateway.identity.to_string()).unwrap(),
            patient: Patient::new(*self.patient.as_bytes()),
            role: None,
            action: self.input.text("action").parse().unwrap(),
            tags: tags.iter().map(|tag| sealwort_consent::LabelTag::new(*tag.as_bytes())).collect(),
            purpose: self.input.text("purpose").parse().unwrap(),
            now: self.actors.now.as_secs(),
        };
        let decision = self.directive.decide(&request);
        match decision.missing() {
            Some(missing) => Err(Failure::new(missing.code(), missing)),
            None => Ok(decision.permitted().iter().map(|tag| LabelTag::new(tag.to_bytes())).collect()),
        }
    }

    /// What one side hands out for these labels (section 8.2).
    fn sub_halves(&self, side: Side, tags: &[LabelTag]) -> Vec<SubHalf> {
        let name = if side == Side::Broker { "broker" } else { "archive" };
        let writes = self.input.text("action") == "write";
        let epoch = self.directive.directive().epoch();
        let author = self.actors.gateway.identity.to_string();
        let mut given = Vec::new();
        for kept in self.input.object("halves").list(name).iter().map(In) {
            let secret = sealwort_proto::crypto::Secret::new(kept.array("half"));
            let half = Half::from_secret(side, self.patient, kept.uint("epoch"), secret);
            if writes && half.epoch() != epoch {
                continue;
            }
            given.extend(
                tags.iter().map(|tag| if writes { half.for_author(*tag, &author) } else { half.for_reader(*tag) }),
            );
        }
        given
    }

    fn grant(&self, token: &Token) -> Result<ArchiveGrant, Failure> {
        let tags = self.permitted(&token.tags)?;
        let at = self.log_head();
        Ok(ArchiveGrant {
            authority: token.id,
            expires: token.expires_at,
            sub_halves: self.sub_halves(Side::Archive, &tags),
            tags,
            registration: Blob(self.input.bytes("registration")),
            sequence: at.sequence,
            head: at.head,
        })
    }

    fn log_head(&self) -> Witness {
        match self.log.last() {
            None => sealwort_proto::log::empty(self.patient),
            Some(entry) => Witness { sequence: self.log.len() as u64, head: entry_hash(entry.envelope.as_ref()) },
        }
    }

    fn receipt(&self, deposit: Option<DepositId>) -> (Vec<u8>, Witness) {
        let at = self.log_head();
        let Party { identity, key, operations, .. } = &self.actors.archive;
        let receipt = Receipt {
            exchange: "demo".to_owned(),
            archive: identity.to_string(),
            patient: self.patient,
            sequence: at.sequence,
            head: at.head,
            deposit,
            issued_at: self.actors.now.as_secs(),
        };
        (receipt.sign(key, operations).unwrap(), at)
    }

    /// Step 7, reading (section 7.4).
    fn read_log(&mut self, authority: &Authority) -> Result<(Vec<u8>, Witness), Failure> {
        let operations = self.actors.gateway.operations.clone();
        // What else T has witnessed, for the walk below.
        let asked = to_bytes(&ToBroker::Witnessed { patient: self.patient, after: 0 });
        let number = self.ask("7-witnessed", Link::Lt, &asked)?;
        let heads: Vec<Witness> = self.input.list("heads").iter().map(|head| witness(In(head))).collect();
        let told = to_bytes(&FromBroker::Heads(heads.clone()));
        self.answer("7-heads", Link::Lt, number, &told, From::Broker)?;

        let fetch = to_bytes(&ToArchive::Fetch { authority: authority.id, after: 0 });
        let number = self.ask("7-fetch", Link::Lm, &fetch)?;
        let granted: BTreeSet<LabelTag> = authority.tags.iter().copied().collect();
        let mut entries = self.log.clone();
        for entry in &mut entries {
            let tag = record::parse(entry.envelope.as_ref())?.header().tag;
            if !granted.contains(&tag) {
                entry.ciphertext = None;
            }
        }
        let authors = if entries.is_empty() { vec![] } else { vec![chain_to_wire(&self.actors.gateway.chain)] };
        let entries = to_bytes(&FromArchive::Entries { entries, authors });
        self.answer("7-entries", Link::Lm, number, &entries, From::Archive)?;
        let (receipt, at) = self.receipt(None);
        let end = to_bytes(&FromArchive::End { receipt: Blob(receipt.clone()) });
        self.answer("7-end", Link::Lm, number, &end, From::Archive)?;

        // The gateway walks the log and opens what it can.
        let peers = self.actors.gateway_peers();
        let mut known = Authors::default();
        known.add(&self.actors.gateway.chain, self.actors.now, &peers)?;
        let start = sealwort_proto::log::empty(self.patient);
        let mut walk = ChainWalk::new("demo", self.patient, start, authority.witness)?;
        walk.hold_against(&heads)?;
        let FromArchive::Entries { entries, .. } = read(&entries) else { panic!("entries") };
        for entry in entries {
            let verified = known.verify(entry.envelope.as_ref(), &operations)?;
            walk.step(&verified)?;
            if let Some(ciphertext) = entry.ciphertext {
                verified.open(ciphertext.0, &authority.keys, &operations)?;
            }
        }
        assert_eq!(walk.finish(&self.verified(&receipt)?)?, at);
        if at.sequence > authority.witness.sequence {
            self.tell_witness(&receipt)?;
        }
        Ok((receipt, at))
    }

    fn verified(&self, bytes: &[u8]) -> Result<receipt::VerifiedReceipt, Failure> {
        let Party { identity, key, operations, .. } = &self.actors.archive;
        let key: &PublicKey = key.public_key();
        Ok(receipt::verify(bytes, "demo", &identity.to_string(), key, operations)?)
    }

    /// Step 7, writing (section 7.5).
    fn write_log(&mut self, authority: &Authority, deposit: In<'_>) -> Result<(Vec<u8>, Witness), Failure> {
        let Party { key, operations, .. } = &self.actors.gateway;
        let id = DepositId::new(deposit.array("id"));
        let announced = ToArchive::Deposit {
            authority: authority.id,
            deposit: id,
            after: authority.head.sequence,
            head: authority.head.head,
            entries: u32::try_from(deposit.list("entries").len()).unwrap(),
        };
        let mut sealed = Vec::new();
        let mut previous: Digest = authority.head.head;
        for entry in deposit.list("entries").iter().map(In) {
            let header: EntryHeader = from_bytes(&entry.bytes("header"), 4096).unwrap();
            assert_eq!((header.previous, header.deposit), (previous, id));
            let record_key = authority.keys.record_key(header.epoch, &header.author, header.tag).unwrap();
            let entry = record::seal_bytes(&header, pad(entry.bytes("plain")), &record_key, key, operations)?;
            previous = entry.hash;
            sealed.push(entry.wire);
        }
        let number = self.ask("7-deposit", Link::Lm, &to_bytes(&announced))?;
        let entries = to_bytes(&ToArchive::Entries(sealed.clone()));
        self.ask("7-entries", Link::Lm, &entries)?;
        self.log.extend(sealed);
        let (receipt, at) = self.receipt(Some(id));
        assert_eq!(self.verified(&receipt)?.witness(), at);
        self.steps.push(json!({
            "step": "7-receipt", "from": "archive", "content": hex(&receipt),
            "frame": hex(Frame::broker(receipt.clone()).to_bytes()),
        }));
        let stored = to_bytes(&FromArchive::Stored { receipt: Blob(receipt.clone()) });
        self.answer("7-stored", Link::Lm, number, &stored, From::Archive)?;
        self.tell_witness(&receipt)?;
        Ok((receipt, at))
    }

    /// The gateway brings the receipt to the broker itself (sections 7.4 and 7.5).
    fn tell_witness(&mut self, receipt: &[u8]) -> Result<(), Failure> {
        let told = to_bytes(&ToBroker::Witness(Blob(receipt.to_vec())));
        let number = self.ask("7-witness", Link::Lt, &told)?;
        self.answer("7-kept", Link::Lt, number, &to_bytes(&FromBroker::Kept), From::Broker)
    }

    /// A request of the gateway's; gives its number.
    fn ask(&mut self, step: &str, link: Link, content: &[u8]) -> Result<u64, Failure> {
        let now = self.actors.now;
        let (sender, receiver) = self.ends(link, From::Gateway);
        let (number, message) = sender.request(content, now)?;
        assert_eq!(receiver.open_request(&message, now)?.content, content);
        self.note(step, link, From::Gateway, content, [number, 0], &message);
        Ok(number)
    }

    /// A reply to the gateway.
    fn answer(&mut self, step: &str, link: Link, to: u64, content: &[u8], from: From) -> Result<(), Failure> {
        let now = self.actors.now;
        let (sender, receiver) = self.ends(link, from);
        let message = sender.reply(to, content, now)?;
        assert_eq!(receiver.open_reply(to, &message, now)?, content);
        let number = crate::cbor::to_json(&message)[3].as_u64().unwrap();
        self.note(step, link, from, content, [number, to], &message);
        Ok(())
    }

    fn ends(&self, link: Link, from: From) -> (&Channel, &Channel) {
        let (near, far) = match link {
            Link::Lt => (&self.sessions.gateway.with_broker, &self.sessions.broker.channel),
            Link::Lm => (&self.sessions.gateway.with_archive, &self.sessions.archive.channel),
        };
        match from {
            From::Gateway => (near, far),
            From::Broker | From::Archive => (far, near),
        }
    }

    fn note(&mut self, step: &str, link: Link, from: From, content: &[u8], numbers: [u64; 2], message: &[u8]) {
        let from = match from {
            From::Gateway => "gateway",
            From::Broker => "broker",
            From::Archive => "archive",
        };
        let channel = match link {
            Link::Lt => "LT",
            Link::Lm => "LM",
        };
        let mut shown = json!({
            "step": step, "channel": channel, "from": from, "content": hex(content), "number": numbers[0],
            "reply_to": numbers[1], "message": hex(message),
        });
        if channel == "LM" {
            shown["frame"] = hex(Frame::end(message.to_vec()).to_bytes());
        }
        self.steps.push(shown);
    }
}

/// Which channel.
#[derive(Clone, Copy)]
enum Link {
    Lt,
    Lm,
}

fn actors_peers(actors: &Actors, now: UnixTime) -> sealwort_proto::peers::Peers<'_> {
    sealwort_proto::peers::Peers { now, ..actors.gateway_peers() }
}

fn read<T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>>(content: &[u8]) -> T {
    from_bytes(content, MESSAGE_BYTES_MAX).unwrap()
}
