//! The closed vocabularies of consent: what is done to a record, and what for. The numbers are
//! those of the signed encoding; a new word takes the next number and an old one is never reused.

use std::fmt;
use std::str::FromStr;

/// What a hospital does with a patient's record (transmission step 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Action {
    /// Fetch and open entries.
    #[n(0)]
    Read,
    /// Append entries.
    #[n(1)]
    Write,
    /// Break-glass access: short-lived, always told to the patient.
    #[n(2)]
    Emergency,
}

impl Action {
    /// Every action, in the order of the encoding.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Emergency];

    /// The word used in messages, policies and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Emergency => "emergency",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|action| action.as_str() == word).ok_or(UnknownWord::Action)
    }
}

/// Purpose of use: the codes of HL7 `v3-PurposeOfUse` that the exchange serves.
/// Codes are compared exactly; a broader code does not imply a narrower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Purpose {
    /// TREAT: treatment.
    #[n(0)]
    Treatment,
    /// ETREAT: emergency treatment.
    #[n(1)]
    EmergencyTreatment,
    /// BTG: break the glass.
    #[n(2)]
    BreakTheGlass,
    /// HPAYMT: healthcare payment.
    #[n(3)]
    Payment,
    /// HOPERAT: healthcare operations.
    #[n(4)]
    Operations,
    /// HRESCH: healthcare research.
    #[n(5)]
    Research,
    /// PUBHLTH: public health.
    #[n(6)]
    PublicHealth,
    /// PATRQT: at the patient's own request.
    #[n(7)]
    PatientRequest,
}

impl Purpose {
    /// Every purpose, in the order of the encoding.
    pub const ALL: [Self; 8] = [
        Self::Treatment,
        Self::EmergencyTreatment,
        Self::BreakTheGlass,
        Self::Payment,
        Self::Operations,
        Self::Research,
        Self::PublicHealth,
        Self::PatientRequest,
    ];

    /// The code of `http://terminology.hl7.org/CodeSystem/v3-ActReason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Treatment => "TREAT",
            Self::EmergencyTreatment => "ETREAT",
            Self::BreakTheGlass => "BTG",
            Self::Payment => "HPAYMT",
            Self::Operations => "HOPERAT",
            Self::Research => "HRESCH",
            Self::PublicHealth => "PUBHLTH",
            Self::PatientRequest => "PATRQT",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = UnknownWord;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == code).ok_or(UnknownWord::Purpose)
    }
}

/// A word outside a closed vocabulary. The fault is whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownWord {
    /// Not an [`Action`].
    #[error("unknown action: use read, write or emergency")]
    Action,
    /// Not a [`Purpose`].
    #[error("unknown purpose of use: use TREAT, ETREAT, BTG, HPAYMT, HOPERAT, HRESCH, PUBHLTH or PATRQT")]
    Purpose,
}
