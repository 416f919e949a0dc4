//! `logs.json`: section 8.5.

use sealwort_pki::KeyUse;
use sealwort_proto::DepositId;
use sealwort_proto::operations::Operations;
use sealwort_proto::receipt::Receipt;
use sealwort_proto::{Digest, Pseudonym};
use serde_json::{Value, json};

use super::Maker;
use super::records::{Header, PATIENT, TAGS, log, plain, seal_input};
use crate::check::{Library, run};
use crate::setting::{EXCHANGE, NOW};
use crate::vector::{File, bytes, hex, hexes};

pub(super) fn make(library: &Library) -> File {
    let comment = "Logs held against the head that the broker witnessed, and against the archive's receipt.";
    let mut m = Maker::new(library, "logs", comment);
    m.good("genesis", "genesis", "8.5", "The head of a log without entries.", json!({ "pseudonym": hex(PATIENT) }));
    receipts(&mut m, library);
    walks(&mut m, library);
    m.done()
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        exchange: EXCHANGE.into(),
        archive: "sealwort://demo/archive/archive".into(),
        patient: Pseudonym::new(PATIENT),
        sequence: 3,
        head: Digest::new([0x93; 32]),
        deposit: Some(DepositId::new([0xd1; 16])),
        issued_at: NOW.as_secs(),
    }
}

/// A receipt signed by the archive of the setting, or by another party.
pub(crate) fn signed(library: &Library, receipt: &Receipt, party: &str) -> Value {
    hex(receipt.sign(&library.setting.key(party), &Operations::default()).unwrap())
}

fn receipts(m: &mut Maker<'_>, library: &Library) {
    let setting = &library.setting;
    let archive = setting.identity("archive");
    let key = hex(setting.public_key("archive").as_bytes());
    let input = |bytes: Value| json!({ "bytes": bytes, "exchange": EXCHANGE, "archive": archive, "archive_key": key });
    for (name, receipt) in
        [("receipt-of-a-deposit", receipt()), ("receipt-of-a-reading", Receipt { deposit: None, ..receipt() })]
    {
        m.good(name, "receipt-verify", "8.5", "", input(signed(library, &receipt, "archive")));
        m.cddl(&[("input.bytes", "receipt-statement")]);
    }
    let bad = |m: &mut Maker<'_>, name: &str, receipt: &Receipt, party: &str, code: &str| {
        m.bad(name, "receipt-verify", "8.5", "", input(signed(library, receipt, party)), code);
    };
    bad(
        m,
        "receipt-of-another-exchange",
        &Receipt { exchange: "north".into(), ..receipt() },
        "archive",
        "exchange-wrong",
    );
    let other = setting.identity("archive-2").to_owned();
    bad(m, "receipt-of-another-archive", &Receipt { archive: other, ..receipt() }, "archive", "party-wrong");
    bad(m, "receipt-signed-by-the-broker", &receipt(), "broker", "signature-wrong");
}

/// A walk over a log of three entries.
struct Walk<'a> {
    library: &'a Library,
    from: Value,
    witness: Value,
    entries: Vec<Value>,
    heads: Vec<Value>,
    receipt: Receipt,
    authors: Value,
}

fn head_of(log: &[Value], sequence: usize) -> Value {
    match sequence {
        0 => json!({ "sequence": 0, "head": hex(Header::first().previous) }),
        n => json!({ "sequence": n, "head": log[n - 1]["hash"] }),
    }
}

impl<'a> Walk<'a> {
    fn new(library: &'a Library) -> Self {
        let log = log(library, 3);
        let head = Digest::new(bytes(&log[2]["hash"]).try_into().unwrap());
        let chain = library.setting.credential("hospital-a", KeyUse::Statement).chain;
        Self {
            library,
            from: head_of(&log, 0),
            witness: head_of(&log, 2),
            heads: Vec::new(),
            receipt: Receipt { sequence: 3, head, deposit: None, ..receipt() },
            entries: log,
            authors: json!([{ "chain": hexes(chain.certificates()), "at": NOW.as_secs() }]),
        }
    }

    fn input(&self) -> Value {
        let mut input = json!({
            "exchange": EXCHANGE, "patient": hex(PATIENT), "from": self.from, "witness": self.witness,
            "trust": "demo", "authors": self.authors,
            "entries": hexes(self.entries.iter().map(|entry| bytes(&entry["bytes"]))), "archive": "archive",
            "receipt": signed(self.library, &self.receipt, "archive"),
        });
        if !self.heads.is_empty() {
            input["heads"] = Value::Array(self.heads.clone());
        }
        input
    }

    /// Seals entries `from` and later anew, so that they follow a changed one.
    fn reseal(&mut self, index: usize, change: impl FnOnce(&mut Header), party: &str) {
        let mut change = Some(change);
        for place in index..self.entries.len() {
            let previous = match place {
                0 => Header::first().previous,
                n => bytes(&self.entries[n - 1]["hash"]).try_into().unwrap(),
            };
            let mut header = Header {
                sequence: place as u64 + 1,
                entry: 0xe1 + u8::try_from(place).unwrap(),
                tag: TAGS[place % 2],
                previous,
                ..Header::first()
            };
            let mut signer = "hospital-a";
            if let Some(change) = change.take() {
                change(&mut header);
                signer = party;
            }
            let input = seal_input(self.library, &header.encode(), &plain("p"), signer);
            self.entries[place] = run(self.library, "entry-seal", &input).unwrap();
        }
        self.receipt.head = Digest::new(bytes(&self.entries.last().unwrap()["hash"]).try_into().unwrap());
    }
}

fn walks(m: &mut Maker<'_>, library: &Library) {
    let good = |m: &mut Maker<'_>, name: &str, comment: &str, change: &dyn Fn(&mut Walk<'_>)| {
        let mut walk = Walk::new(library);
        change(&mut walk);
        m.good(name, "log-walk", "8.5", comment, walk.input());
        m.cddl(&[("input.entries.0", "entry-statement"), ("input.receipt", "receipt-statement")]);
    };
    good(m, "log-from-the-beginning", "Three entries; the witness is the second.", &|_| ());
    good(m, "log-from-where-the-reader-stood", "The last two entries.", &|w| {
        w.from = head_of(&w.entries, 1);
        w.entries.remove(0);
    });
    good(m, "log-held-against-more-heads", "T has witnessed 1 and 2; 9 is newer than this reading.", &|w| {
        w.heads = [1, 2].map(|sequence| head_of(&w.entries, sequence)).to_vec();
        w.heads.push(json!({ "sequence": 9, "head": hex([0x99; 32]) }));
    });
    let empty = |w: &mut Walk<'_>| {
        w.entries.clear();
        (w.witness, w.receipt.sequence) = (w.from.clone(), 0);
        w.receipt.head = Digest::new(Header::first().previous);
    };
    let mut walk = Walk::new(library);
    empty(&mut walk);
    m.good("log-empty", "log-walk", "8.5", "The receipt names the genesis.", walk.input());

    let bad = |m: &mut Maker<'_>, name: &str, comment: &str, code: &str, change: &dyn Fn(&mut Walk<'_>)| {
        let mut walk = Walk::new(library);
        change(&mut walk);
        m.bad(name, "log-walk", "8.5", comment, walk.input(), code);
    };
    let rolled = "log-rolled-back";
    bad(m, "log-rolled-back", "It ends, receipt and all, before the witnessed head.", rolled, &|w| {
        w.entries.truncate(1);
        w.receipt.sequence = 1;
        w.receipt.head = Digest::new(bytes(&w.entries[0]["hash"]).try_into().unwrap());
    });
    bad(m, "log-forked-before-the-witness", "The second entry is another than the witnessed one.", rolled, &|w| {
        w.reseal(1, |header| header.entry = 0x77, "hospital-a");
    });
    bad(m, "log-forked-after-the-witness", "The third entry follows another second one.", rolled, &|w| {
        let second = w.entries[1].clone();
        w.reseal(1, |header| header.entry = 0x77, "hospital-a");
        w.entries[1] = second;
    });
    bad(m, "log-receipt-of-another-head", "The receipt names another third entry.", rolled, &|w| {
        w.receipt.head = Digest::new([0x66; 32]);
    });
    bad(m, "log-receipt-of-another-patient", "", rolled, &|w| w.receipt.patient = Pseudonym::new([0x60; 32]));
    bad(
        m,
        "log-forked-before-a-newer-witness",
        "T took a head of the fork too: the second entry is another than it witnessed.",
        rolled,
        &|w| {
            w.heads = vec![head_of(&w.entries, 2)];
            w.reseal(1, |header| header.entry = 0x77, "hospital-a");
            w.witness = head_of(&w.entries, 3);
        },
    );
    bad(
        m,
        "log-forked-where-the-reader-stood",
        "The head that the reader has is not the one that T witnessed.",
        rolled,
        &|w| {
            w.heads = vec![json!({ "sequence": 1, "head": hex([0x99; 32]) })];
            w.from = head_of(&w.entries, 1);
            w.entries.remove(0);
        },
    );
    let inconsistent = "log-inconsistent";
    bad(m, "log-with-a-gap", "The second entry is missing.", inconsistent, &|w| drop(w.entries.remove(1)));
    bad(m, "log-out-of-order", "Two entries changed places.", inconsistent, &|w| w.entries.swap(1, 2));
    bad(
        m,
        "log-chain-broken",
        "The third entry names another predecessor than the second, which no one witnessed.",
        inconsistent,
        &|w| {
            w.witness = head_of(&w.entries, 0);
            w.reseal(2, |header| header.previous = [0x67; 32], "hospital-a");
        },
    );
    bad(m, "log-entry-of-another-patient", "", inconsistent, &|w| {
        w.reseal(2, |header| header.patient = [0x60; 32], "hospital-a");
    });
    bad(m, "log-entry-of-another-exchange", "", "exchange-wrong", &|w| {
        w.reseal(2, |header| header.exchange = "north", "hospital-a");
    });
    bad(m, "log-epoch-goes-back", "The second entry is of epoch 2, the third of epoch 1.", inconsistent, &|w| {
        w.witness = head_of(&w.entries, 1);
        w.reseal(1, |header| header.epoch = 2, "hospital-a");
    });
    bad(m, "log-author-unknown", "The certificate of an author did not come.", inconsistent, &|w| {
        w.authors = json!([]);
    });
    bad(m, "log-author-is-another", "hospital-a signed, the header names hospital-b.", "party-wrong", &|w| {
        w.reseal(2, |header| header.author = "sealwort://demo/gateway/hospital-b", "hospital-a");
    });
    bad(m, "log-author-not-valid-then", "Written after the author's certificate ended.", inconsistent, &|w| {
        w.reseal(2, |header| header.authored_at = NOW.as_secs() + 73 * 3600, "hospital-a");
    });
    bad(m, "log-author-is-a-broker", "The certificate that came is not a gateway's.", "certificate-refused", &|w| {
        let chain = library.setting.credential("broker", KeyUse::Statement).chain;
        w.authors = json!([{ "chain": hexes(chain.certificates()), "at": NOW.as_secs() }]);
    });
    bad(m, "log-entry-signature-wrong", "The last bit of the signature is another.", "signature-wrong", &|w| {
        let mut altered = bytes(&w.entries[2]["bytes"]);
        *altered.last_mut().unwrap() ^= 1;
        w.entries[2]["bytes"] = hex(altered);
    });
}
