//! The closed vocabulary of the log: kinds of events, and the names of their details. Numbers are what is written and
//! never change; words are what people read.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

/// A word or number that the log does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not in the log's vocabulary; the words stand in spec/audit.md")]
pub struct UnknownWord(String);

macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal, $word:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it is written.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// As people read it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// From its number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().find(|one| one.as_str() == text).copied().ok_or_else(|| UnknownWord(text.to_owned()))
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.u16(self.number())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let position = d.position();
                Self::from_number(d.u16()?)
                    .ok_or_else(|| minicbor::decode::Error::message("not in the log's vocabulary").at(position))
            }
        }
    };
}

vocabulary!(
    /// What happened.
    EventKind {
        /// A service started.
        ServiceStarted = 1, "service-started";
        /// A service stopped in order.
        ServiceStopped = 2, "service-stopped";
        /// A session of the nine steps is established.
        SessionBegun = 10, "session-begun";
        /// A session ended.
        SessionEnded = 11, "session-ended";
        /// A session was refused.
        SessionRefused = 12, "session-refused";
        /// The broker decided a request (step 4), or refused it.
        RequestDecided = 20, "request-decided";
        /// The archive gave an authority (step 6), or refused it.
        AuthorityGiven = 21, "authority-given";
        /// Sealed entries were handed out (step 7).
        EntriesFetched = 22, "entries-fetched";
        /// A deposit was stored.
        DepositStored = 23, "deposit-stored";
        /// The broker took a receipt's head.
        ReceiptWitnessed = 24, "receipt-witnessed";
        /// A patient was registered.
        PatientRegistered = 30, "patient-registered";
        /// A directive was replaced.
        ConsentChanged = 31, "consent-changed";
        /// A user's role was changed.
        RoleChanged = 32, "role-changed";
        /// A delegate was added, changed or removed.
        DelegateChanged = 33, "delegate-changed";
        /// A record's label was changed.
        RecordRelabelled = 34, "record-relabelled";
        /// A patient was erased.
        PatientErased = 35, "patient-erased";
        /// Two identities of a patient were merged.
        PatientMerged = 36, "patient-merged";
        /// A merging was undone.
        PatientUnmerged = 37, "patient-unmerged";
        /// A patient's consent was shown to another party.
        ConsentRead = 38, "consent-read";
        /// A patient was looked for by blinded identifiers.
        PatientLocated = 39, "patient-located";
        /// Emergency access began.
        EmergencyBegun = 40, "emergency-begun";
        /// A second person approved it.
        EmergencyApproved = 41, "emergency-approved";
        /// It ended.
        EmergencyEnded = 42, "emergency-ended";
        /// Its notice was delivered.
        EmergencyNotified = 43, "emergency-notified";
        /// Its report was written.
        EmergencyReported = 44, "emergency-reported";
        /// A security officer reviewed its report.
        EmergencyReviewed = 45, "emergency-reviewed";
        /// A half was made.
        HalfMade = 50, "half-made";
        /// A half was destroyed.
        HalfDestroyed = 51, "half-destroyed";
        /// Everything was wrapped anew under another key-encryption key.
        KeysRewrapped = 52, "keys-rewrapped";
        /// The party's statement key changed.
        StatementKeyChanged = 53, "statement-key-changed";
        /// A party was invited.
        PartyInvited = 60, "party-invited";
        /// A certificate was issued to somebody who joined.
        CertificateEnrolled = 61, "certificate-enrolled";
        /// A certificate was renewed.
        CertificateRenewed = 62, "certificate-renewed";
        /// A certificate was revoked.
        CertificateRevoked = 63, "certificate-revoked";
        /// A revocation list was issued.
        RevocationListIssued = 64, "revocation-list-issued";
        /// A resource was read by its id.
        Read = 70, "read";
        /// A version of a resource was read.
        VersionRead = 71, "version-read";
        /// Resources were searched.
        Searched = 72, "searched";
        /// A history was read.
        HistoryRead = 73, "history-read";
        /// A resource was created.
        Created = 74, "created";
        /// A resource was updated.
        Updated = 75, "updated";
        /// A resource was patched.
        Patched = 76, "patched";
        /// A resource was deleted.
        Deleted = 77, "deleted";
        /// A batch or transaction was carried out.
        BundleProcessed = 78, "bundle-processed";
        /// A bulk export was made or fetched.
        Exported = 79, "exported";
        /// A whole record was read: `$everything`, `$summary`.
        RecordRead = 80, "record-read";
        /// A resource was validated.
        Validated = 81, "validated";
        /// Somebody signed in, or could not.
        SignedIn = 90, "signed-in";
        /// Somebody was locked out.
        LockedOut = 91, "locked-out";
        /// Somebody signed out, or was idle for too long.
        SignedOut = 92, "signed-out";
        /// An operator ended a session.
        SignInEnded = 93, "sign-in-ended";
        /// An app was given a token, or was not.
        TokenIssued = 94, "token-issued";
        /// A patient was invited to make a passkey, or a passkey was made or removed.
        PasskeyChanged = 95, "passkey-changed";
        /// The log was searched.
        LogSearched = 100, "log-searched";
        /// The log was exported.
        LogExported = 101, "log-exported";
        /// A patient looked at the log.
        LogShown = 102, "log-shown";
        /// Another party's checkpoint was cosigned, or refused.
        CheckpointCosigned = 103, "checkpoint-cosigned";
        /// The log can be written again after it could not.
        LogResumed = 104, "log-resumed";
        /// A subscription was made, changed or ended.
        SubscriptionChanged = 110, "subscription-changed";
        /// A subscription's notice was delivered, or given up.
        SubscriptionDelivered = 111, "subscription-delivered";
        /// A device was enrolled.
        DeviceEnrolled = 120, "device-enrolled";
        /// A device was removed.
        DeviceRemoved = 121, "device-removed";
        /// An app was registered, or its registration changed.
        AppRegistered = 122, "app-registered";
        /// An app was removed.
        AppRemoved = 123, "app-removed";
        /// What a feed had brought and was refused was sent again.
        RefusedReplayed = 124, "refused-replayed";
        /// It was discarded.
        RefusedDiscarded = 125, "refused-discarded";
        /// A list of the hospital's own was read: the detail *subject* names it.
        ListRead = 126, "list-read";
    }
);

vocabulary!(
    /// The name of a detail.
    Detail {
        /// `read`, `write` or `emergency`.
        Action = 1, "action";
        /// Labels or their tags.
        Labels = 2, "labels";
        /// FHIR resource type.
        ResourceType = 3, "resource-type";
        /// FHIR logical id.
        ResourceId = 4, "resource-id";
        /// FHIR version id.
        ResourceVersion = 5, "resource-version";
        /// HTTP status.
        Status = 6, "status";
        /// How many.
        Count = 7, "count";
        /// A protocol session.
        Session = 8, "session";
        /// A certificate's serial number.
        Serial = 9, "serial";
        /// Why.
        Reason = 10, "reason";
        /// An epoch.
        Epoch = 11, "epoch";
        /// Version of a directive or of software.
        Version = 12, "version";
        /// A sequence number or the size of a log.
        Size = 13, "size";
        /// Whose log.
        Origin = 14, "origin";
        /// Network address.
        Address = 15, "address";
        /// An application.
        Application = 16, "application";
        /// Who acts for somebody, or may.
        Delegate = 17, "delegate";
        /// Whom something was sent to.
        Recipient = 18, "recipient";
        /// Until when.
        Until = 19, "until";
        /// A search.
        Query = 20, "query";
        /// How somebody was recognised.
        Method = 21, "method";
        /// The second person.
        SecondPerson = 22, "second-person";
        /// An organisation.
        Organisation = 23, "organisation";
        /// Whom or what it is about.
        Subject = 24, "subject";
        /// A deposit.
        Deposit = 25, "deposit";
        /// The identifier of the request, as the client gave it.
        RequestId = 26, "request-id";
        /// What was changed before.
        Before = 27, "before";
        /// What was changed after.
        After = 28, "after";
        /// A certificate's end.
        Expires = 29, "expires";
        /// A hash.
        Digest = 30, "digest";
        /// How many resources of which types were shown, where they are too many to be named.
        Types = 31, "types";
    }
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_and_words_are_unique_and_lead_back() {
        let numbers: BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.number()).collect();
        assert_eq!(numbers.len(), EventKind::ALL.len());
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_number(kind.number()), Some(*kind));
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        for detail in Detail::ALL {
            assert_eq!(Detail::from_number(detail.number()), Some(*detail));
            assert_eq!(detail.as_str().parse(), Ok(*detail));
        }
        assert!("nonsense".parse::<EventKind>().is_err());
    }
}
