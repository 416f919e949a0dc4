//! Who can sign in at the demo's provider, and to whom it says so. What somebody may do is said by groups, as a
//! hospital's directory would: each party knows its own groups alone, so nobody has a role elsewhere.

use std::sync::OnceLock;

use sealwort_oidc::jws;
use sealwort_pages::words::provider as words;
use sealwort_proto::crypto::random;
use zeroize::Zeroizing;

use crate::demo::patients::Named;

/// Client id of the broker's console; gateways have their names.
pub(super) const CONSOLE: &str = "console";
/// Groups that the console knows.
pub(super) const OPERATORS: &str = "exchange-operators";
pub(super) const AUDITORS: &str = "exchange-auditors";
/// The claim that says which patient somebody is.
pub(super) const PATIENT_CLAIM: &str = "patient";

/// Somebody who can sign in.
pub(super) struct Person {
    /// The name in tokens and logs.
    pub(super) account: &'static str,
    /// As people read it.
    pub(super) shown: String,
    /// The party at which they are somebody.
    pub(super) place: &'static str,
    pub(super) group: Option<String>,
    /// The identifier by which they are known as a patient: system|value.
    pub(super) patient: Option<String>,
}

/// A party that asks who somebody is.
pub(super) struct Party {
    /// Its client id.
    pub(super) name: &'static str,
    /// As people read it.
    pub(super) shown: &'static str,
    pub(super) secret: Zeroizing<String>,
    /// Where people are sent back to; not known before it listens.
    pub(super) redirect_uri: OnceLock<String>,
}

/// Everybody.
pub(super) fn all(patient: Option<Named>) -> Vec<Person> {
    let staff = |account, shown: &str, place, group: &str| Person {
        account,
        shown: shown.to_owned(),
        place,
        group: Some(group.to_owned()),
        patient: None,
    };
    let patient = patient.map(|patient| Person {
        account: "patient",
        shown: words::patient(patient.name.as_deref()),
        place: "hospital-a",
        group: None,
        patient: Some(patient.identifier),
    });
    let mut people = vec![
        staff("dr-adams", words::DR_ADAMS, "hospital-a", &physicians("hospital-a")),
        staff("dr-baker", words::DR_BAKER, "hospital-b", &physicians("hospital-b")),
        staff("olga", words::OLGA, CONSOLE, OPERATORS),
        staff("axel", words::AXEL, CONSOLE, AUDITORS),
    ];
    people.extend(patient);
    people
}

/// Whoever may ask.
pub(super) fn parties() -> Vec<Party> {
    let named = [("hospital-a", words::HOSPITAL_A), ("hospital-b", words::HOSPITAL_B), (CONSOLE, words::THE_CONSOLE)];
    let party = |(name, shown)| Party {
        name,
        shown,
        secret: Zeroizing::new(jws::encode(&random::<32>())),
        redirect_uri: OnceLock::new(),
    };
    named.into_iter().map(party).collect()
}

/// The group of a hospital's physicians.
pub(super) fn physicians(hospital: &str) -> String {
    format!("{hospital}-physicians")
}
