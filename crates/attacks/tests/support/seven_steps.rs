//! The seven steps of a reading in memory, message by message inside the channels, with somebody who may replace the
//! content that a party sends or the sealed message on its way. Broker and archive decide by a fixed consent here;
//! the services' own decisions are attacked in `tests/services`.

use sealwort_pki::{KeyAlgorithm, SigningKey, UnixTime};
use sealwort_proto::channel::Channel;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::halves::{Half, KeyRing, Side};
use sealwort_proto::handshake::Party;
use sealwort_proto::log::{Authors, ChainWalk, empty};
use sealwort_proto::message::{
    ArchiveGrant, FromArchive, FromBroker, MESSAGE_BYTES_MAX, Refusal, ToArchive, ToBroker, TokenGrant, WireEntry,
};
use sealwort_proto::peers::{chain_from_wire, chain_to_wire};
use sealwort_proto::receipt::{self, Receipt, Witness};
use sealwort_proto::record::{self, Change, EntryHeader, Record};
use sealwort_proto::registration::Registration;
use sealwort_proto::transmission::archive::{UsedTokens, on_present};
use sealwort_proto::transmission::broker::{Permission, on_request};
use sealwort_proto::transmission::gateway::{Authority, AwaitToken, Sought, request};
use sealwort_proto::{DepositId, EntryId, LabelTag, Locator, Pseudonym, SUITE};

use super::nine_steps::Session;
use super::world::World;

/// Labels that consent grants the hospital, and one that it does not.
pub const GRANTED: [LabelTag; 2] = [LabelTag::new([0xa1; 16]), LabelTag::new([0xa2; 16])];
pub const WITHHELD: LabelTag = LabelTag::new([0xb1; 16]);

/// The contents of a reading, in order.
pub const CONTENTS: [&str; 9] =
    ["1 request", "2 challenge", "3 acceptance", "4 token", "5 present", "6 grant", "7 fetch", "7 entries", "7 end"];

/// A patient as broker and archive together know one.
pub struct Patient {
    pub id: Pseudonym,
    pub authority: SigningKey,
    pub registration: Vec<u8>,
    pub broker_half: Half,
    pub archive_half: Half,
    pub log: Vec<WireEntry>,
    pub head: Witness,
    pub records: Vec<Record>,
}

impl Patient {
    /// A patient with three entries by two hospitals, the last under a label that is withheld.
    pub fn new(world: &World, number: u8) -> Self {
        let id = Pseudonym::new([number; 32]);
        let authority = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let registrant = &world.gateway;
        let locators = [Locator::new([number ^ 0x55; 32])];
        let registration = Registration::new("demo", id, locators, authority.public_key(), registrant, world.now);
        let mut patient = Self {
            id,
            authority,
            registration: registration.sign(&registrant.key, &registrant.operations).unwrap(),
            broker_half: Half::generate(Side::Broker, id, 1),
            archive_half: Half::generate(Side::Archive, id, 1),
            log: Vec::new(),
            head: empty(id),
            records: Vec::new(),
        };
        for (author, tag) in
            [(&world.gateway, GRANTED[0]), (&world.rogue_gateway, GRANTED[1]), (&world.gateway, WITHHELD)]
        {
            patient.write(author, tag, world.now);
        }
        patient
    }

    /// Keys of a reader of these labels.
    pub fn keys(&self, tags: &[LabelTag]) -> KeyRing {
        let of = |half: &Half| tags.iter().map(|tag| half.for_reader(*tag)).collect();
        KeyRing::new(self.id, of(&self.broker_half), of(&self.archive_half))
    }

    /// The header of the next entry.
    pub fn next_header(&self, author: &Party, tag: LabelTag, now: UnixTime) -> EntryHeader {
        EntryHeader {
            suite: SUITE,
            exchange: "demo".into(),
            patient: self.id,
            entry: EntryId::random(),
            author: author.identity.to_string(),
            tag,
            epoch: 1,
            sequence: self.head.sequence + 1,
            previous: self.head.head,
            authored_at: now.as_secs(),
            deposit: DepositId::new([1; 16]),
        }
    }

    /// Appends an entry.
    pub fn write(&mut self, author: &Party, tag: LabelTag, now: UnixTime) {
        let header = self.next_header(author, tag, now);
        let record = Record {
            change: Change::Put,
            resource_type: "Observation".into(),
            id: format!("o{}", header.sequence),
            content: format!("{{\"resourceType\":\"Observation\",\"patient\":\"{}\"}}", self.id).into_bytes(),
        };
        let sealed = record::seal(&header, &record, &self.keys(&[tag]), &author.key, &author.operations).unwrap();
        self.head = Witness { sequence: header.sequence, head: sealed.hash };
        self.log.push(sealed.wire);
        self.records.push(record);
    }
}

/// What may happen to a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A party sends another content than it should.
    Content,
    /// The sealed message is replaced on its way.
    Wire,
}

/// Given what is sent, gives what is sent instead.
pub type Tamper<'a> = &'a mut dyn FnMut(&'static str, Layer, Vec<u8>) -> Vec<u8>;

/// Readings over one session.
pub struct Reading<'a> {
    pub world: &'a World,
    pub session: &'a Session,
    pub patient: &'a Patient,
    pub used: UsedTokens,
}

/// What a reading gave.
#[derive(Debug, PartialEq)]
pub struct Read {
    pub records: Vec<Record>,
    pub withheld: usize,
}

impl<'a> Reading<'a> {
    pub fn new(world: &'a World, session: &'a Session, patient: &'a Patient) -> Self {
        Self { world, session, patient, used: UsedTokens::default() }
    }

    pub fn sought(&self) -> Sought {
        Sought {
            patient: self.patient.id,
            action: "read".into(),
            tags: vec![GRANTED[0], GRANTED[1], WITHHELD],
            purpose: "TREAT".into(),
            emergency: None,
            user: "dr-jones".into(),
            user_role: "physician".into(),
        }
    }

    pub fn honest(&mut self) -> Read {
        self.read(&mut |_, _, bytes| bytes).expect("an honest reading")
    }

    /// Steps 1 to 3, and what the broker makes of them.
    pub fn token(&self) -> (AwaitToken, TokenGrant) {
        let (world, session, now) = (self.world, self.session, self.world.now);
        let (l, ToBroker::Request(signed)) = request(&session.gateway, &world.gateway, self.sought()).unwrap() else {
            panic!("step 1")
        };
        let (t, challenge) = on_request(signed.as_ref(), &session.broker, &world.broker, now).unwrap();
        let (l, ToBroker::Accept(acceptance)) =
            l.on_challenge(&challenge, &session.gateway, &world.gateway, now).unwrap()
        else {
            panic!("step 3")
        };
        let accepted = t.on_acceptance(&acceptance, &session.broker, &world.broker, now).unwrap();
        (l, self.grant(accepted).unwrap())
    }

    fn grant(
        &self,
        accepted: sealwort_proto::transmission::broker::AcceptedRequest,
    ) -> Result<TokenGrant, ProtocolError> {
        let (world, session) = (self.world, self.session);
        let tags = permitted(accepted.request().patient == self.patient.id, &accepted.request().tags, Fault::Broker)?;
        let sub_halves = tags.iter().map(|tag| self.patient.broker_half.for_reader(*tag)).collect();
        let permission = Permission { tags, directive_version: 1, epoch: 1, begun_at: None };
        let channel = &session.broker_to_archive;
        let (token, sealed) =
            accepted.issue(permission, self.patient.head, &session.broker, channel, &world.broker, world.now)?;
        Ok(TokenGrant { sealed, token, sub_halves, registration: Blob(self.patient.registration.clone()) })
    }

    /// All seven steps.
    pub fn read(&mut self, tamper: Tamper<'_>) -> Result<Read, ProtocolError> {
        let (world, session, now) = (self.world, self.session, self.world.now);
        let lt = (&session.gateway.with_broker, &session.broker.channel);
        let lm = (&session.gateway.with_archive, &session.archive.channel);

        let (l, question) = request(&session.gateway, &world.gateway, self.sought())?;
        let (number, asked) = ask(lt, "1 request", &to_bytes(&question), now, tamper)?;
        let ToBroker::Request(signed) = decode(&asked.1, Fault::Gateway)? else { return Err(wrong(Fault::Gateway)) };
        let (t, challenge) = on_request(signed.as_ref(), &session.broker, &world.broker, now)?;
        let reply = to_bytes(&FromBroker::Challenge(challenge));
        let reply = answer(lt, "2 challenge", number, asked.0, &reply, now, tamper)?;
        let FromBroker::Challenge(challenge) = decode(&reply, Fault::Broker)? else { return Err(wrong(Fault::Broker)) };

        let (l, question) = l.on_challenge(&challenge, &session.gateway, &world.gateway, now)?;
        let (number, asked) = ask(lt, "3 acceptance", &to_bytes(&question), now, tamper)?;
        let ToBroker::Accept(acceptance) = decode(&asked.1, Fault::Gateway)? else { return Err(wrong(Fault::Gateway)) };
        let accepted = t.on_acceptance(&acceptance, &session.broker, &world.broker, now)?;
        let reply = to_bytes(&FromBroker::Token(Box::new(self.grant(accepted)?)));
        let reply = answer(lt, "4 token", number, asked.0, &reply, now, tamper)?;
        let FromBroker::Token(grant) = decode(&reply, Fault::Broker)? else { return Err(wrong(Fault::Broker)) };

        let (l, question) = l.on_token(*grant, &session.gateway, &world.gateway, &world.peers())?;
        let (number, asked) = ask(lm, "5 present", &to_bytes(&question), now, tamper)?;
        let ToArchive::Present { sealed, possession } = decode(&asked.1, Fault::Gateway)? else {
            return Err(wrong(Fault::Gateway));
        };
        let (channel, used) = (&session.archive_to_broker, &mut self.used);
        let token =
            on_present(sealed.as_ref(), possession.as_ref(), &session.archive, channel, &world.archive, used, now)?;
        let token = token.token();
        let tags = permitted(token.patient == self.patient.id, &token.tags, Fault::Archive)?;
        let reply = to_bytes(&FromArchive::Granted(Box::new(ArchiveGrant {
            authority: token.id,
            expires: token.expires_at,
            sub_halves: tags.iter().map(|tag| self.patient.archive_half.for_reader(*tag)).collect(),
            tags: tags.clone(),
            registration: Blob(self.patient.registration.clone()),
            sequence: self.patient.head.sequence,
            head: self.patient.head.head,
        })));
        let reply = answer(lm, "6 grant", number, asked.0, &reply, now, tamper)?;
        let FromArchive::Granted(grant) = decode(&reply, Fault::Archive)? else { return Err(wrong(Fault::Archive)) };
        let authority = l.on_grant(*grant)?;

        let fetch = to_bytes(&ToArchive::Fetch { authority: authority.id, after: 0 });
        let (number, asked) = ask(lm, "7 fetch", &fetch, now, tamper)?;
        let ToArchive::Fetch { authority: named, after } = decode(&asked.1, Fault::Gateway)? else {
            return Err(wrong(Fault::Gateway));
        };
        if named != token.id {
            return Err(ProtocolError::new(Step::Transmission(7), Fault::Gateway, ErrorKind::Token("no authority")));
        }
        let page = answer(lm, "7 entries", number, asked.0, &self.page(after, &tags), now, tamper)?;
        let end = answer(lm, "7 end", number, asked.0, &self.end(), now, tamper)?;
        self.take(&authority, &page, &end)
    }

    fn page(&self, after: u64, tags: &[LabelTag]) -> Vec<u8> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let entries = self.patient.log.iter().skip(after).map(|entry| {
            let tag = record::parse(entry.envelope.as_ref()).unwrap().header().tag;
            WireEntry {
                envelope: entry.envelope.clone(),
                ciphertext: entry.ciphertext.clone().filter(|_| tags.contains(&tag)),
            }
        });
        let authors = [&self.world.gateway, &self.world.rogue_gateway].map(|author| chain_to_wire(&author.chain));
        to_bytes(&FromArchive::Entries { entries: entries.collect(), authors: authors.to_vec() })
    }

    fn end(&self) -> Vec<u8> {
        let receipt = receipt_of(self.world, &self.world.archive, self.patient.id, self.patient.head);
        let archive = &self.world.archive;
        to_bytes(&FromArchive::End { receipt: Blob(receipt.sign(&archive.key, &archive.operations).unwrap()) })
    }

    /// What the reader does with step 7 (`crates/gateway/src/open.rs`).
    fn take(&self, authority: &Authority, page: &[u8], end: &[u8]) -> Result<Read, ProtocolError> {
        let at = |kind: ErrorKind| ProtocolError::new(Step::Transmission(7), Fault::Archive, kind);
        let FromArchive::Entries { entries, authors } = decode(page, Fault::Archive)? else {
            return Err(wrong(Fault::Archive));
        };
        let FromArchive::End { receipt } = decode(end, Fault::Archive)? else { return Err(wrong(Fault::Archive)) };
        let peers = self.world.peers();
        let operations = &self.world.gateway.operations;
        let mut known = Authors::default();
        for chain in authors {
            let chain = chain_from_wire(&chain).map_err(at)?;
            let _ = known.add(&chain, self.world.now, &peers);
        }
        let mut walk =
            ChainWalk::new("demo", authority.patient, empty(authority.patient), authority.witness).map_err(at)?;
        let mut read = Read { records: Vec::new(), withheld: 0 };
        for entry in entries {
            let verified = known.verify(entry.envelope.as_ref(), operations).map_err(at)?;
            walk.step(&verified).map_err(at)?;
            match entry.ciphertext {
                Some(ciphertext) => {
                    read.records.push(verified.open(ciphertext.0, &authority.keys, operations).map_err(at)?);
                }
                None if authority.tags.contains(&verified.header().tag) => {
                    return Err(at(ErrorKind::Chain("an entry under a granted label came without its ciphertext")));
                }
                None => read.withheld += 1,
            }
        }
        let archive = &self.world.archive;
        let name = archive.identity.to_string();
        let receipt =
            receipt::verify(receipt.as_ref(), "demo", &name, archive.key.public_key(), operations).map_err(at)?;
        walk.finish(&receipt).map_err(at)?;
        Ok(read)
    }
}

/// A receipt of this head, not yet signed.
pub fn receipt_of(world: &World, archive: &Party, patient: Pseudonym, head: Witness) -> Receipt {
    Receipt {
        exchange: "demo".into(),
        archive: archive.identity.to_string(),
        patient,
        sequence: head.sequence,
        head: head.head,
        deposit: None,
        issued_at: world.now.as_secs(),
    }
}

fn permitted(known: bool, tags: &[LabelTag], by: Fault) -> Result<Vec<LabelTag>, ProtocolError> {
    let granted: Vec<_> = tags.iter().copied().filter(|tag| known && GRANTED.contains(tag)).collect();
    if granted.is_empty() {
        let refusal = Refusal::new(by, "consent-no-provision", "no provision", "ask for it");
        return Err(ProtocolError::new(Step::Transmission(3), by, ErrorKind::Refused(Box::new(refusal))));
    }
    Ok(granted)
}

type Ends<'a> = (&'a Channel, &'a Channel);

/// A request from the first end to the second: its number at the first, its number and content at the second.
fn ask(
    ends: Ends<'_>,
    name: &'static str,
    content: &[u8],
    now: UnixTime,
    tamper: Tamper<'_>,
) -> Result<(u64, (u64, Vec<u8>)), ProtocolError> {
    let content = tamper(name, Layer::Content, content.to_vec());
    let (number, sealed) = ends.0.request(&content, now)?;
    let opened = ends.1.open_request(&tamper(name, Layer::Wire, sealed), now)?;
    Ok((number, (opened.number, opened.content)))
}

fn answer(
    ends: Ends<'_>,
    name: &'static str,
    asked: u64,
    to: u64,
    content: &[u8],
    now: UnixTime,
    tamper: Tamper<'_>,
) -> Result<Vec<u8>, ProtocolError> {
    let content = tamper(name, Layer::Content, content.to_vec());
    let sealed = ends.1.reply(to, &content, now)?;
    ends.0.open_reply(asked, &tamper(name, Layer::Wire, sealed), now)
}

fn decode<T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>>(
    bytes: &[u8],
    fault: Fault,
) -> Result<T, ProtocolError> {
    from_bytes(bytes, MESSAGE_BYTES_MAX).map_err(|e| ProtocolError::new(Step::Channel, fault, e))
}

fn wrong(fault: Fault) -> ProtocolError {
    let kind = sealwort_proto::codec::CodecError::Malformed("an answer to another question".to_owned());
    ProtocolError::new(Step::Channel, fault, kind)
}
