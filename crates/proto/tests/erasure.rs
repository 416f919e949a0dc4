//! Who may order an erasure: the patient's consent authority alone, and in one form.
#![allow(clippy::unwrap_used)]

use sealwort_pki::{KeyAlgorithm, SigningKey};
use sealwort_proto::erasure::{self, Erasure};
use sealwort_proto::operations::Operations;
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::{ErrorKind, Pseudonym};

fn order(reason: &str) -> Erasure {
    Erasure {
        exchange: "test".to_owned(),
        patient: Pseudonym::new([7; 32]),
        version: 1,
        reason: reason.to_owned(),
        issued_at: 1,
    }
}

#[test]
fn only_the_authority_erases() {
    let operations = Operations::default();
    let key = || SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let (authority, other) = (key(), key());
    let open = |bytes: &[u8], exchange| erasure::verify(bytes, exchange, authority.public_key(), &operations);

    let signed = order("patient-request").sign(&authority, &operations).unwrap();
    assert_eq!(open(&signed, "test").unwrap().erasure(), &order("patient-request"));
    assert_eq!(erasure::patient_of(&signed).unwrap(), Pseudonym::new([7; 32]));
    assert_eq!(open(&signed, "other").unwrap_err(), ErrorKind::WrongExchange);
    let theirs = order("patient-request").sign(&other, &operations).unwrap();
    assert_eq!(open(&theirs, "test").unwrap_err(), ErrorKind::Signature);
    let payload = statement::parse(Kind::Erasure, &signed).unwrap().payload().to_vec();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Erasure) {
        let bytes = statement::sign(kind, &payload, &authority, &operations).unwrap();
        assert!(matches!(open(&bytes, "test"), Err(ErrorKind::Statement(_))), "{kind:?}");
    }
    for reason in ["", "Because", "no space", &"x".repeat(erasure::ERASURE_REASON_BYTES_MAX + 1)] {
        let signed = order(reason).sign(&authority, &operations).unwrap();
        assert!(matches!(open(&signed, "test"), Err(ErrorKind::Statement(_))), "{reason}");
    }
}
