//! `transmission.json` and `transmission-altered.json`: the seven steps, reading and writing, and their messages
//! altered one at a time.

use sealwort_proto::channel::{End, Pair};
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::crypto::Secret;
use sealwort_proto::operations::Operations;
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::testing::{Seeded, channel};
use sealwort_proto::token::Token;
use sealwort_proto::{Digest, LabelTag, Pseudonym, SessionId};
use serde_json::{Value, json};

use super::Maker;
use super::authentication::RUN;
use super::directives::{Directive, sign_directive};
use super::records::{ARCHIVE_HALVES, BROKER_HALVES, Header, PATIENT, TAGS, log, plain};
use super::statements::{registration, sign_registration};
use crate::cbor::{self, replaced};
use crate::check::Library;
use crate::setting::{NOW, after};
use crate::vector::{File, bytes, hex, hexes};

const READ: &str = "transmission-read";

/// The inputs of a transmission by hospital-a.
fn input(library: &Library, action: &str, tags: &[[u8; 16]], entries: &[Value], witness: usize) -> Value {
    let directive = Directive::first();
    let head = |sequence: usize| match sequence {
        0 => json!({ "sequence": 0, "head": hex(Header::first().previous) }),
        n => json!({ "sequence": n, "head": entries[n - 1]["hash"] }),
    };
    let halves = |halves: [[u8; 32]; 2]| json!([{ "epoch": 1, "half": hex(halves[0]) }]);
    let kept = |entry: &Value| json!({ "envelope": entry["bytes"], "ciphertext": entry["ciphertext"] });
    json!({
        "run": RUN, "action": action, "tags": hexes(tags), "purpose": "TREAT", "user": "dr-jones",
        "user_role": "physician", "patient": hex(PATIENT),
        "registration": hex(sign_registration(&registration(library), &library.setting.key("hospital-a"))),
        "directive": hex(sign_directive(library, &directive)),
        "witness": head(witness), "heads": (1..=witness).map(head).collect::<Vec<_>>(),
        "halves": { "broker": halves(BROKER_HALVES), "archive": halves(ARCHIVE_HALVES) },
        "challenge": hex([0xc4; 32]), "token_id": hex([0x70; 16]), "salt": hex([0x5a; 16]),
        "log": entries.iter().map(kept).collect::<Vec<_>>(),
    })
}

fn rules(m: &mut Maker<'_>, output: &Value) {
    for (index, step) in output["steps"].as_array().unwrap().iter().enumerate() {
        let to_gateway = step["from"] != "gateway";
        let rule = match (step["channel"].as_str(), to_gateway) {
            (Some("LT"), false) => "to-broker",
            (Some("LT"), true) => "from-broker",
            (Some(_), false) => "to-archive",
            (Some(_), true) => "from-archive",
            (None, _) => "receipt-statement",
        };
        m.cddl(&[(&format!("output.steps.{index}.content"), rule)]);
        if step["message"].is_string() {
            m.cddl(&[(&format!("output.steps.{index}.message"), "channel-message")]);
        }
    }
    m.cddl(&[
        ("output.tokens.statement", "token-statement"),
        ("output.tokens.possession", "possession-statement"),
        ("output.receipt", "receipt-statement"),
        ("input.registration", "registration-statement"),
        ("input.directive", "directive-statement"),
    ]);
}

pub(super) fn make(library: &Library) -> File {
    let mut m = Maker::new(library, "transmission", "The seven steps, for reading and for writing.");
    let entries = log(library, 2);
    let comment = "Two labels, a log of two entries, both witnessed.";
    let output = m.good(READ, "transmission", "7", comment, input(library, "read", &TAGS, &entries, 2));
    rules(&mut m, &output);
    let comment = "One label: the second entry comes without its ciphertext. The archive is ahead of the witness.";
    let one = input(library, "read", &TAGS[..1], &entries, 1);
    let output = m.good("transmission-read-one-label", "transmission", "7", comment, one);
    rules(&mut m, &output);

    let mut write = input(library, "write", &TAGS, &[], 0);
    let mut previous = Header::first().previous;
    let mut sent = Vec::new();
    for (index, entry) in log(library, 2).iter().enumerate() {
        let sequence = index as u64 + 1;
        let tag = TAGS[index];
        let header = Header { sequence, entry: 0xe1 + u8::try_from(index).unwrap(), tag, previous, ..Header::first() };
        sent.push(json!({ "header": hex(header.encode()), "plain": hex(plain("p")) }));
        previous = bytes(&entry["hash"]).try_into().unwrap();
    }
    write["deposit"] = json!({ "id": hex([0xd1; 16]), "entries": sent });
    let comment = "A deposit of two entries into an empty log; the receipt goes to the broker too.";
    let output = m.good("transmission-write", "transmission", "7", comment, write);
    rules(&mut m, &output);
    m.done()
}

/// What the altered messages are made from.
struct Steps<'a> {
    library: &'a Library,
    output: Value,
    authentication: Value,
}

impl Steps<'_> {
    fn content(&self, step: &str) -> Vec<u8> {
        let steps = self.output["steps"].as_array().unwrap();
        bytes(&steps.iter().find(|found| found["step"] == step).unwrap()["content"])
    }

    fn altered(&self, step: &str, path: &[usize], value: Value) -> Value {
        plainly(step, &replaced(&self.content(step), path, value))
    }

    fn token(&self) -> Token {
        let bytes = bytes(&self.output["tokens"]["statement"]);
        from_bytes(statement::parse(Kind::Token, &bytes).unwrap().payload(), 4096).unwrap()
    }

    fn sign(&self, kind: Kind, payload: &[u8], party: &str) -> Vec<u8> {
        statement::sign(kind, payload, &self.library.setting.key(party), &Operations::default()).unwrap()
    }

    /// Step 5 with a token that T signed and sealed, and a possession that fits it.
    fn present(&self, change: impl FnOnce(&mut Token)) -> Vec<u8> {
        let mut token = self.token();
        change(&mut token);
        let statement = self.sign(Kind::Token, &to_bytes(&token), "broker");
        let possession = cbor::from_json(&json!([
            cbor::bytes(token.id.as_bytes()),
            cbor::bytes(token.binding.as_bytes()),
            cbor::bytes(statement::digest(&statement).as_bytes()),
        ]));
        Self::presented(&self.seal(&statement), &self.sign(Kind::Possession, &possession, "hospital-a"))
    }

    fn seal(&self, statement: &[u8]) -> Vec<u8> {
        let _seeded = Seeded::replay([vec![0x5b; 16]]);
        let session = SessionId::from_slice(&bytes(&self.authentication["session"])).unwrap();
        let key = Secret::from_slice(&bytes(&self.authentication["pairs"]["TM"]["key"])).unwrap();
        let end = channel(Pair::BrokerArchive, End::Sharer, session, &key, NOW);
        sealwort_proto::token::seal(&end, statement, &Operations::default())
    }

    fn presented(sealed: &[u8], possession: &[u8]) -> Vec<u8> {
        cbor::from_json(&json!([2, [cbor::bytes(sealed), cbor::bytes(possession)]]))
    }

    /// Step 5 with the right token and another possession, signed by this party.
    fn possession(&self, party: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let right = bytes(&self.output["tokens"]["possession"]);
        let mut json = cbor::to_json(statement::parse(Kind::Possession, &right).unwrap().payload());
        change(&mut json);
        let sealed = bytes(&cbor::to_json(&self.content("5"))[1][0]["bytes"]);
        Self::presented(&sealed, &self.sign(Kind::Possession, &cbor::from_json(&json), party))
    }
}

fn plainly(step: &str, content: &[u8]) -> Value {
    json!({ "transmission": READ, "step": step, "content": hex(content) })
}

pub(super) fn make_altered(library: &Library) -> File {
    let comment = "Messages of the transmission `transmission-read`, altered one at a time.";
    let mut m = Maker::new(library, "transmission-altered", comment);
    let steps = Steps { library, output: m.output(READ), authentication: m.output(RUN) };
    requests(&mut m, &steps);
    challenges(&mut m, &steps);
    grants_of_tokens(&mut m, &steps);
    presentations(&mut m, &steps);
    grants(&mut m, &steps);
    m.done()
}

fn bad(m: &mut Maker<'_>, name: &str, section: &str, comment: &str, input: Value, code: &str) {
    m.bad(name, "transmission-receive", section, comment, input, code);
}

fn requests(m: &mut Maker<'_>, steps: &Steps<'_>) {
    let content = cbor::to_json(&steps.content("1"));
    let statement = bytes(&content[1][0]["bytes"]);
    let payload = statement::parse(Kind::Request, &statement).unwrap().payload().to_vec();
    let signed = |payload: &[u8], party: &str, kind: Kind| {
        plainly("1", &replaced(&steps.content("1"), &[1, 0], cbor::bytes(steps.sign(kind, payload, party))))
    };
    let set = |path: &[usize], value: Value| signed(&replaced(&payload, path, value), "hospital-a", Kind::Request);
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| {
        bad(m, &format!("request-{name}"), "7.2", comment, input, code);
    };
    bad("signed-by-another", "hospital-b signed.", signed(&payload, "hospital-b", Kind::Request), "signature-wrong");
    bad("of-another-kind", "A possession.", signed(&payload, "hospital-a", Kind::Possession), "statement-invalid");
    bad("of-another-session", "", set(&[0, 3], cbor::bytes([0x2d; 32])), "session-wrong");
    bad("of-another-exchange", "", set(&[0, 1], json!("north")), "exchange-wrong");
    bad("of-another-step", "", set(&[0, 2], json!(2)), "step-wrong");
    let tags = |tags: &[[u8; 16]]| Value::Array(tags.iter().map(cbor::bytes).collect());
    bad("tags-not-sorted", "", set(&[3], tags(&[TAGS[1], TAGS[0]])), "token-refused");
    bad("tag-twice", "", set(&[3], tags(&[TAGS[0], TAGS[0]])), "token-refused");
    let many: Vec<[u8; 16]> = (1..=17).map(|n| [n; 16]).collect();
    bad("with-17-tags", "", set(&[3], tags(&many)), "token-refused");
    bad(
        "for-a-purpose-not-agreed",
        "The session's policies do not hold it.",
        set(&[4], json!("XRESCH")),
        "policy-mismatch",
    );
    let trailing = signed(&[&payload[..], &[0]].concat(), "hospital-a", Kind::Request);
    bad("with-trailing-byte", "Signed all the same.", trailing, "message-malformed");
}

fn challenges(m: &mut Maker<'_>, steps: &Steps<'_>) {
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| bad(m, name, "7.2", comment, input, code);
    let two = |path: &[usize], value: Value| steps.altered("2", path, value);
    bad("challenge-with-other-policies", "Not those of step 5.", two(&[1, 0, 0, 1], json!(59)), "policy-changed");
    bad("challenge-from-a-slow-clock", "31 seconds.", two(&[1, 0, 1], json!(NOW.as_secs() - 31)), "clock-skew");
    bad("challenge-from-a-fast-clock", "31 seconds.", two(&[1, 0, 1], json!(NOW.as_secs() + 31)), "clock-skew");
    let three = |path: &[usize], value: Value| steps.altered("3", path, value);
    let other = || cbor::bytes([0x2d; 32]);
    let wrong = "challenge-wrong";
    bad("acceptance-with-the-same-time-stamp", "TS + 1 is awaited.", three(&[1, 0, 0], json!(NOW.as_secs())), wrong);
    bad("acceptance-of-another-challenge", "", three(&[1, 0, 1], other()), wrong);
    bad("acceptance-of-other-policies", "", three(&[1, 0, 2], other()), wrong);
    bad(
        "acceptance-for-another-session",
        "h_LM is not the one of step 9.",
        three(&[1, 0, 3], other()),
        "token-refused",
    );
    let mut late = plainly("3", &steps.content("3"));
    late["now"] = json!(after(31).as_secs());
    bad("acceptance-too-late", "31 seconds.", late, wrong);
}

fn grants_of_tokens(m: &mut Maker<'_>, steps: &Steps<'_>) {
    let token = |change: &dyn Fn(&mut Token), party: &str| {
        let mut token = steps.token();
        change(&mut token);
        steps.altered("4", &[1, 0, 1], cbor::bytes(steps.sign(Kind::Token, &to_bytes(&token), party)))
    };
    let refused = "token-refused";
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| bad(m, name, "7.2", comment, input, code);
    bad("granted-token-by-the-archive", "", token(&|_| (), "archive"), "signature-wrong");
    bad("granted-token-of-another-patient", "", token(&|t| t.patient = Pseudonym::new([0x60; 32]), "broker"), refused);
    bad("granted-token-of-another-action", "", token(&|t| t.action = "write".into(), "broker"), refused);
    bad("granted-token-of-another-purpose", "", token(&|t| t.purpose = "HRESCH".into(), "broker"), refused);
    bad("granted-token-of-another-request", "", token(&|t| t.request = Digest::new([0x2d; 32]), "broker"), refused);
    bad("granted-token-of-other-policies", "", token(&|t| t.policies = Digest::new([0x2d; 32]), "broker"), refused);
    bad(
        "granted-token-with-a-tag-not-asked-for",
        "",
        token(&|t| t.tags.push(LabelTag::new([0x77; 16])), "broker"),
        refused,
    );
    bad("granted-token-for-another-session", "", token(&|t| t.binding = Digest::new([0x2d; 32]), "broker"), refused);
    let other = steps.library.setting.key("hospital-a");
    let mut registered = registration(steps.library);
    registered.patient = Pseudonym::new([0x60; 32]);
    let registered = cbor::bytes(sign_registration(&registered, &other));
    let swapped = steps.altered("4", &[1, 0, 3], registered);
    bad("granted-registration-of-another-patient", "", swapped, "statement-invalid");
}

fn presentations(m: &mut Maker<'_>, steps: &Steps<'_>) {
    let five = |content: &[u8]| plainly("5", content);
    let refused = "token-refused";
    let with = |mut input: Value, member: &str, value: Value| {
        input[member] = value;
        input
    };
    let right = || five(&steps.content("5"));
    let token = |change: fn(&mut Token)| five(&steps.present(change));
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| bad(m, name, "7.3", comment, input, code);
    bad("token-used-twice", "M has seen it before.", with(right(), "used", json!(true)), refused);
    bad("token-presented-too-late", "", with(right(), "now", json!(after(90).as_secs())), refused);
    bad(
        "token-presented-in-another-session",
        "Signed and sealed by T for another h_LM.",
        token(|t| t.binding = Digest::new([0x2d; 32])),
        refused,
    );
    bad(
        "token-presented-for-another-holder",
        "",
        token(|t| t.holder = "sealwort://demo/gateway/hospital-b".into()),
        refused,
    );
    bad(
        "token-presented-at-another-archive",
        "",
        token(|t| t.audience = "sealwort://demo/archive/archive-2".into()),
        refused,
    );
    bad("token-presented-with-a-long-life", "61 seconds.", token(|t| t.expires_at += 1), refused);
    let mut altered = cbor::to_json(&steps.content("5"));
    let mut sealed = bytes(&altered[1][0]["bytes"]);
    *sealed.last_mut().unwrap() ^= 1;
    altered[1][0] = cbor::bytes(sealed);
    bad("token-presented-altered", "", five(&cbor::from_json(&altered)), "seal-broken");
    let forged = steps.sign(Kind::Token, &to_bytes(&steps.token()), "hospital-a");
    let right_possession = bytes(&cbor::to_json(&steps.content("5"))[1][1]["bytes"]);
    let forged = Steps::presented(&steps.seal(&forged), &right_possession);
    bad("token-presented-signed-by-its-holder", "Sealed as T would.", five(&forged), "signature-wrong");
    let possession = |party: &str, change: fn(&mut Value)| five(&steps.possession(party, change));
    bad("possession-by-another", "hospital-b signed.", possession("hospital-b", |_| ()), "signature-wrong");
    bad("possession-of-another-token", "", possession("hospital-a", |p| p[0] = cbor::bytes([0x79; 16])), refused);
    bad("possession-in-another-session", "", possession("hospital-a", |p| p[1] = cbor::bytes([0x2d; 32])), refused);
    let comment = "L was shown another token than the one that T sealed.";
    bad(
        "possession-of-another-statement",
        comment,
        possession("hospital-a", |p| p[2] = cbor::bytes([0x2d; 32])),
        refused,
    );
}

fn grants(m: &mut Maker<'_>, steps: &Steps<'_>) {
    let six = |path: &[usize], value: Value| steps.altered("6", &[&[1, 0], path].concat(), value);
    let refused = "token-refused";
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| {
        bad(m, &format!("grant-{name}"), "7.3", comment, input, code);
    };
    bad("of-another-authority", "", six(&[0], cbor::bytes([0x79; 16])), refused);
    bad("outliving-its-token", "31 seconds after its end.", six(&[1], json!(NOW.as_secs() + 91)), refused);
    let tags = |tags: &[[u8; 16]]| Value::Array(tags.iter().map(cbor::bytes).collect());
    bad("of-a-tag-not-in-the-token", "", six(&[2], tags(&[TAGS[0], [0x77; 16]])), refused);
    bad("tags-not-sorted", "", six(&[2], tags(&[TAGS[1], TAGS[0]])), refused);
    let mut registered = registration(steps.library);
    registered.registered_at -= 1;
    let other = sign_registration(&registered, &steps.library.setting.key("hospital-a"));
    bad(
        "with-another-registration",
        "T and M hold different ones.",
        six(&[4], cbor::bytes(other)),
        "statement-invalid",
    );
    bad("of-a-head-before-the-witness", "Sequence 1, 2 was witnessed.", six(&[5], json!(1)), "log-rolled-back");
    bad("of-another-head-than-the-witness", "", six(&[6], cbor::bytes([0x2d; 32])), "log-rolled-back");
}
