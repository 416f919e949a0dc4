//! Runs the nine and the seven steps between three parties in this process, tells every secret that came into being
//! under a mask that it reads from standard input, and keeps the sessions until the next line, then ends them and waits
//! for another. Its memory is searched meanwhile, see `tests/memory.rs`.
//!
//! The argument `keep-a-copy` plants a fault: one secret of each kind is copied to where nobody wipes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::similar_names, reason = "the parties' letters are the paper's")]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use sealwort_pki::testing::{TEST_NOW, TestExchange};
use sealwort_pki::{Role, UnixTime};
use sealwort_proto::channel::{Channel, REKEY_SECONDS};
use sealwort_proto::crypto::{KeyEncryptionKey, Secret};
use sealwort_proto::halves::{Half, KeyRing, Side};
use sealwort_proto::handshake::broker::{Greeted, Load};
use sealwort_proto::handshake::gateway::Presented;
use sealwort_proto::handshake::{Party, archive, broker, gateway};
use sealwort_proto::log::empty;
use sealwort_proto::observe;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::policy::Policies;
use sealwort_proto::record::{self, Change, EntryHeader, Record};
use sealwort_proto::{DepositId, EntryId, LabelTag, Pseudonym, SUITE, token};
use sealwort_secrets::masked::{Mask, Masked};
use sealwort_secrets::{ENDED, LIVE};

const HOPS: [[u8; 32]; 2] = [[1; 32], [2; 32]];
const PATIENT: Pseudonym = Pseudonym::new([9; 32]);
const TAG: LabelTag = LabelTag::new([7; 16]);

/// What lives as long as the sessions do: both ends of three channels, two halves, and a patient held open.
type Living = (Vec<Channel>, [Half; 2], KeyRing);

fn main() {
    let copies = std::env::args().nth(1).as_deref() == Some("keep-a-copy");
    let mut input = std::io::stdin();
    let mut mask: Mask = [0; 32];
    input.read_exact(&mut mask).expect("a mask");
    let told = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::new(RefCell::new(Vec::new()));
    let (teller, keeper) = (Rc::clone(&told), Rc::clone(&kept));
    observe::observe(move |name, secret| {
        teller.borrow_mut().push(Masked::new(name, secret, &mask));
        if copies {
            keeper.borrow_mut().push(secret.to_vec());
        }
    });
    let living = sessions();
    observe::stop();

    let mut output = std::io::stdout().lock();
    for secret in told.borrow().iter() {
        writeln!(output, "{}", secret.to_line()).expect("the test listens");
    }
    let mut say = |word: &str| {
        writeln!(output, "{word}").expect("the test listens");
        output.flush().expect("the test listens");
        let mut line = [0];
        input.read_exact(&mut line).expect("a word from the test");
    };
    say(LIVE);
    drop(living);
    say(ENDED);
    drop(kept);
}

fn party(exchange: &TestExchange, role: Role, name: &str) -> Party {
    let made = exchange.party(role, name);
    Party {
        identity: made.identity,
        chain: made.statement.chain,
        key: Arc::new(made.statement.key),
        policies: Policies::standard(),
        operations: Arc::default(),
    }
}

/// All steps; what is over is dropped, as it would be in a service.
fn sessions() -> Living {
    let exchange = TestExchange::new("demo");
    let [l, t, m] = [(Role::Gateway, "a"), (Role::Broker, "t"), (Role::Archive, "m")]
        .map(|(role, name)| party(&exchange, role, name));
    let (trust, cache) = (exchange.trust(), PeerCache::default());
    let peers = Peers { trust: &trust, cache: &cache, now: TEST_NOW };
    let now = TEST_NOW;

    let (at_l, hello) = gateway::start(&l, &m.identity, &t.identity, HOPS[0]);
    let greeted = broker::on_hello(&hello, &t, &peers, &l.identity, &HOPS[0], &m.identity, &Load::Normal).unwrap();
    let Greeted::Introduce(at_t, introduction) = greeted else { panic!("no load") };
    let (m_tm, m_lm, acceptance) = archive::on_introduction(&introduction, &m, &peers, &t.identity).unwrap();
    let (at_t, presentation) = at_t.on_acceptance(&acceptance, &t, &peers).unwrap();
    let Presented::Continue(at_l, share) = at_l.on_presentation(&presentation, &l, &peers).unwrap() else {
        panic!("no load")
    };
    let opening = at_t.archive_opening();
    let at_t = at_t.on_share(&share, &t, &HOPS[0], now).unwrap();
    let (tm, share) = broker::start_archive(opening, &t, &HOPS[1]).unwrap();
    let (m_broker, answer) = m_tm.on_share(&share, &m, &HOPS[1], now).unwrap();
    let tm = tm.on_answer(&answer, &t, now).unwrap();
    let (at_m, share) = m_lm.on_offer(at_t.gateway_policies(), &m_broker.broker, &m).unwrap();
    let (at_l, completion) = at_l.on_answer(&at_t.answer_with(share), &l, now).unwrap();
    let (at_t, for_archive) = at_t.on_completion(&completion, now).unwrap();
    let (at_m, confirmation) = at_m.on_completion(&for_archive, &m, now).unwrap();
    let at_l = at_l.on_confirmation(&confirmation, now).unwrap();

    // A token goes through the broker's channel with the archive, and the keys of L–M move on once.
    let sealed = token::seal(&tm.channel, b"token", &t.operations);
    assert_eq!(token::unseal(&m_broker.channel, &sealed, &m.operations).unwrap(), b"token");
    let later = UnixTime::from_secs(now.as_secs() + REKEY_SECONDS);
    for time in [now, later, UnixTime::from_secs(later.as_secs() + REKEY_SECONDS)] {
        let (_, sealed) = at_l.with_archive.request(b"message", time).unwrap();
        at_m.channel.open_request(&sealed, time).unwrap();
    }

    let halves = [Half::generate(Side::Broker, PATIENT, 1), Half::generate(Side::Archive, PATIENT, 1)];
    let keys = written_and_read(&halves, &l);
    let channels = vec![at_l.with_broker, at_l.with_archive, at_t.channel, at_m.channel, tm.channel, m_broker.channel];
    (channels, halves, keys)
}

/// A half that is wrapped for the disk and read back, and a record sealed and opened under what both sides grant.
fn written_and_read(halves: &[Half; 2], author: &Party) -> KeyRing {
    let kek = KeyEncryptionKey::new(Secret::random());
    let wrapped = kek.wrap(&[b"half"], halves[0].secret().expose());
    assert_eq!(kek.unwrap(&[b"half"], &wrapped).unwrap().as_slice(), halves[0].secret().expose());
    let [of_t, of_m] = halves.each_ref().map(|half| vec![half.for_reader(TAG)]);
    let keys = KeyRing::new(PATIENT, of_t, of_m);
    let header = EntryHeader {
        suite: SUITE,
        exchange: "demo".into(),
        patient: PATIENT,
        entry: EntryId::random(),
        author: author.identity.to_string(),
        tag: TAG,
        epoch: 1,
        sequence: 1,
        previous: empty(PATIENT).head,
        authored_at: TEST_NOW.as_secs(),
        deposit: DepositId::random(),
    };
    let written = Record { change: Change::Put, resource_type: "Patient".into(), id: "p".into(), content: vec![7; 99] };
    let sealed = record::seal(&header, &written, &keys, &author.key, &author.operations).unwrap();
    let entry = record::parse(sealed.wire.envelope.as_ref()).unwrap();
    let entry = entry.verify(author.key.public_key(), &author.operations).unwrap();
    let ciphertext = sealed.wire.ciphertext.unwrap().0;
    assert_eq!(entry.open(ciphertext, &keys, &author.operations).unwrap(), written);
    keys
}
