//! The authority's verbs on a real store: what is granted, and each refusal by
//! its own code.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::too_many_lines)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sealwort_audit::{AtRest, Detail, Event, EventKind, Outcome};
use sealwort_journal::{Journal, JournalError, Opening, Speaker, Voice};
use sealwort_net::TestClock;
use sealwort_net::health::Readiness;
use sealwort_pki::authority::{Revocation, RevocationReason, make_csr};
use sealwort_pki::enrolment::{EnrolRequest, Invitation, InvitationSecret, JoinRequest, Membership, RenewalRequest};
use sealwort_pki::testing::TEST_NOW;
use sealwort_pki::{Expected, Identity, KeyAlgorithm, KeyUse, Role, SerialNumber, SigningKey, Trust, UnixTime};
use sealwort_store::sqlite::{SqliteAudit, SqliteStore};
use sealwort_store::{AuditQuery, AuditStore, CaStore, CrlRow, DataFolder, StoreError};
use tempfile::TempDir;

use crate::keep::next_crl;
use crate::{
    Authority, CaError, CertificateStatus, CreateError, ExchangeFolder, INVITATION_LIFETIME_MAX, Policy, Target,
    create_exchange,
};

const HOUR: Duration = Duration::from_hours(1);

/// An authority at work in a folder of its own.
pub(crate) struct Place {
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: TestClock,
    store: SqliteStore,
    data: DataFolder,
    folder: TempDir,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path()).unwrap();
        Self::open(folder, TestClock::at(TEST_NOW)).await.unwrap()
    }

    async fn open(folder: TempDir, clock: TestClock) -> Result<Self, CaError> {
        let path = folder.path().join("ca");
        let exchange = ExchangeFolder::open(&path).unwrap();
        let mut data = DataFolder::open(&path, "ca").unwrap();
        let store = SqliteStore::open(&mut data).await.unwrap();
        let authority = Authority::open(
            exchange,
            Arc::new(store.clone()),
            Policy::new("https://127.0.0.1:8440"),
            Arc::new(clock.clone()),
        )
        .await?;
        Ok(Self { authority: Arc::new(authority), clock, store, data, folder })
    }

    async fn reopen(self) -> Self {
        self.store.close().await;
        let Self { clock, folder, data, .. } = self;
        drop(data);
        Self::open(folder, clock).await.unwrap()
    }

    /// Has it keep an audit log from now on.
    async fn keep_log(&self) -> SqliteAudit {
        self.keep_log_as(self.authority.voice().unwrap()).await
    }

    async fn keep_log_as(&self, voice: Arc<dyn Voice>) -> SqliteAudit {
        let audit = SqliteAudit::open(&self.data, self.data.path()).await.unwrap();
        let opening = Opening {
            store: Arc::new(audit.clone()),
            place: self.data.path().to_owned(),
            voice,
            at_rest: AtRest::Clear,
            evidence: None,
            readiness: Readiness::new(),
        };
        self.authority.keep_log(Ok(Journal::open(opening).await.unwrap()));
        audit
    }

    pub(crate) async fn invite(&self, role: Role, name: &str) -> Invitation {
        let name = name.parse().unwrap();
        self.authority.invite(role, name, HOUR).await.unwrap()
    }

    pub(crate) async fn join(&self, role: Role, name: &str) -> Membership {
        let now = self.clock_now();
        let invitation = self.invite(role, name).await;
        let request = JoinRequest::new(invitation, KeyAlgorithm::Ed25519, now).unwrap();
        let response = self.authority.enrol(&request.message()).await.unwrap();
        request.accept(response, now).unwrap().membership
    }

    async fn renew(&self, member: &Membership) -> Result<Membership, CaError> {
        let request = RenewalRequest::new(member.identity.clone(), KeyAlgorithm::Ed25519).unwrap();
        let response = self.authority.renew(&member.identity, member.hop.serial, &request.message()).await?;
        let key = member.directory_key.as_ref();
        let admission = request.accept(response, &member.trust, key, self.clock_now()).unwrap();
        Ok(admission.membership)
    }

    fn clock_now(&self) -> UnixTime {
        sealwort_net::Clock::now(&self.clock)
    }
}

fn create(place: &Path) -> Result<crate::CreatedExchange, CreateError> {
    let name = "demo".parse().unwrap();
    create_exchange(&name, &place.join("ca"), &place.join("root"), KeyAlgorithm::Ed25519, TEST_NOW)
}

fn code<T: std::fmt::Debug>(result: Result<T, CaError>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn an_exchange_is_created_once_with_the_root_key_apart() {
    let place = tempfile::tempdir().unwrap();
    let created = create(place.path()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let names = |folder: &str| {
        let folder = place.path().join(folder);
        assert_eq!(mode(&folder), 0o700);
        let files = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = files
            .map(|file| {
                let file = file.unwrap();
                assert_eq!(mode(&file.path()), 0o600, "{file:?}");
                file.file_name().into_string().unwrap()
            })
            .collect();
        names.sort();
        names
    };
    let ca = ["directory.key", "exchange.json", "issuing.der", "issuing.key", "root.der"];
    assert_eq!(names("ca"), ca);
    assert_eq!(names("root"), ["root.der", "root.key"]);
    assert_eq!(created.root_key, place.path().join("root/root.key"));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "leftovers");
    let root_key = std::fs::read(&created.root_key).unwrap();
    let secret = &root_key[root_key.len() - 32..];
    for name in ca {
        let content = std::fs::read(place.path().join("ca").join(name)).unwrap();
        assert!(!content.windows(32).any(|part| part == secret), "{name}");
    }
    let folder = ExchangeFolder::open(&place.path().join("ca")).unwrap();
    assert_eq!(folder.root_fingerprint(), created.root);
    assert_eq!(folder.exchange(), &created.exchange);

    assert!(matches!(create(place.path()), Err(CreateError::Exists(_))));
    let again = create_exchange(
        &created.exchange,
        &place.path().join("other"),
        &place.path().join("root"),
        KeyAlgorithm::Ed25519,
        TEST_NOW,
    );
    assert!(matches!(again, Err(CreateError::Exists(_))));
    assert!(!place.path().join("other").exists());
    for (dir, root) in [("a", "a/root"), ("a", "a"), ("a/ca", "a"), ("a/../b", "b/root")] {
        let apart = create_exchange(
            &created.exchange,
            &place.path().join(dir),
            &place.path().join(root),
            KeyAlgorithm::Ed25519,
            TEST_NOW,
        );
        assert!(matches!(apart, Err(CreateError::NotApart { .. })), "{dir} {root}");
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "leftovers");
}

#[test]
fn a_damaged_folder_is_refused_and_left_alone() {
    let other = tempfile::tempdir().unwrap();
    create(other.path()).unwrap();
    for file in ["exchange.json", "root.der", "issuing.der", "issuing.key", "directory.key"] {
        let others = std::fs::read(other.path().join("ca").join(file)).unwrap();
        for content in [Some(&[][..]), Some(b"{}"), None, Some(&others)] {
            // Another exchange's name and directory key fit as well as our own.
            if content == Some(&others) && (file == "exchange.json" || file == "directory.key") {
                continue;
            }
            let place = tempfile::tempdir().unwrap();
            create(place.path()).unwrap();
            let path = place.path().join("ca").join(file);
            match content {
                Some(content) => std::fs::write(&path, content).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            assert!(ExchangeFolder::open(&place.path().join("ca")).is_err(), "{file}");
            let after = std::fs::read(&path).ok();
            assert_eq!(after.as_deref(), content, "{file}");
        }
    }
}

#[tokio::test]
async fn invited_parties_join_and_know_each_other() {
    let place = Place::new().await;
    let mut keys = Vec::new();
    for role in [Role::Broker, Role::Archive, Role::Gateway, Role::Gateway] {
        let name = format!("party-{}", keys.len());
        let member = place.join(role, &name).await;
        assert_eq!(member.directory_key.is_some(), role == Role::Gateway);
        keys.push(member.directory_key.clone());
        let ca = place.authority.own().borrow().clone();
        let expected = Expected::role(Role::Ca, KeyUse::Hop);
        member.trust.verify(&ca.hop.chain, &expected, TEST_NOW).unwrap();
    }
    assert_eq!(keys[2], keys[3]);
    let listed = place.authority.list(None, 100).await.unwrap();
    // Four parties and the authority itself, two certificates each.
    assert_eq!(listed.len(), 10);
    assert!(listed.iter().all(|listed| listed.status == CertificateStatus::InForce));
    let page = place.authority.list(Some(listed[3].serial), 2).await.unwrap();
    assert_eq!(page, listed[4..6]);
}

#[tokio::test]
async fn each_refusal_to_enrol_has_its_own_code() {
    let place = Place::new().await;
    let invitation = place.invite(Role::Gateway, "st-mary").await;
    let join = || JoinRequest::new(invitation.clone(), KeyAlgorithm::Ed25519, TEST_NOW).unwrap();
    let good = join().message();
    let identity = good.identity.clone();
    let as_identity = |text: &str| EnrolRequest { identity: text.parse().unwrap(), ..good.clone() };
    let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let other: Identity = "sealwort://demo/gateway/other".parse().unwrap();
    let csr = |identity: &Identity, key_use| make_csr(&key, identity, key_use).unwrap();
    let mut forged = good.clone();
    let last = forged.hop.len() - 1;
    forged.hop[last] ^= 1;
    for (expected, request) in [
        ("invitation-unknown", EnrolRequest { secret: InvitationSecret::generate().unwrap(), ..good.clone() }),
        ("invitation-wrong-name", as_identity("sealwort://demo/gateway/other")),
        ("invitation-wrong-role", as_identity("sealwort://demo/broker/st-mary")),
        ("invitation-wrong-exchange", as_identity("sealwort://other/gateway/st-mary")),
        ("request-bad-signature", forged),
        ("request-malformed", EnrolRequest { statement: vec![0x30, 0], ..good.clone() }),
        ("request-wrong-identity", EnrolRequest { hop: csr(&other, KeyUse::Hop), ..good.clone() }),
        ("request-wrong-key-use", EnrolRequest { hop: csr(&identity, KeyUse::Statement), ..good.clone() }),
        (
            "request-same-key",
            EnrolRequest {
                hop: csr(&identity, KeyUse::Hop),
                statement: csr(&identity, KeyUse::Statement),
                ..good.clone()
            },
        ),
    ] {
        assert_eq!(code(place.authority.enrol(&request).await), expected);
    }
    // None of these used the invitation up.
    place.authority.enrol(&good).await.unwrap();
    assert_eq!(code(place.authority.enrol(&good).await), "invitation-used");
    assert_eq!(code(place.authority.enrol(&join().message()).await), "invitation-used");

    let late = place.invite(Role::Broker, "late").await;
    let request = JoinRequest::new(late, KeyAlgorithm::Ed25519, TEST_NOW).unwrap();
    place.clock.advance(HOUR + Duration::from_secs(1));
    assert_eq!(code(place.authority.enrol(&request.message()).await), "invitation-expired");
}

#[tokio::test]
async fn an_invitation_works_once_even_at_the_same_moment() {
    let place = Place::new().await;
    let invitation = place.invite(Role::Gateway, "st-mary").await;
    let attempt = || async {
        let request = JoinRequest::new(invitation.clone(), KeyAlgorithm::Ed25519, TEST_NOW).unwrap();
        place.authority.enrol(&request.message()).await.map(|_| ())
    };
    let results = tokio::join!(attempt(), attempt(), attempt(), attempt());
    let results = [results.0, results.1, results.2, results.3];
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.code(), "invitation-used");
    }
    let own = place.authority.list(None, 100).await.unwrap();
    assert_eq!(own.len(), 4);
}

#[tokio::test]
async fn invitations_have_bounds() {
    let place = Place::new().await;
    let invite = |role, lifetime| {
        let name = "one".parse().unwrap();
        place.authority.invite(role, name, lifetime)
    };
    assert_eq!(code(invite(Role::Ca, HOUR).await), "role-not-invited");
    for lifetime in [Duration::ZERO, INVITATION_LIFETIME_MAX + HOUR] {
        assert_eq!(code(invite(Role::Broker, lifetime).await), "invitation-lifetime");
    }
    let invitation = invite(Role::Broker, INVITATION_LIFETIME_MAX).await.unwrap();
    assert_eq!(invitation.url, "https://127.0.0.1:8440");
    assert_eq!(invitation.root, place.authority.folder().root_fingerprint());
}

#[tokio::test]
async fn members_renew_until_they_are_revoked() {
    let place = Place::new().await;
    let member = place.join(Role::Gateway, "st-mary").await;
    place.clock.advance(48 * HOUR);
    place.authority.keep().await.unwrap();
    let next = place.renew(&member).await.unwrap();
    assert_ne!(next.hop.serial, member.hop.serial);
    assert_ne!(next.hop.key.public_key(), member.hop.key.public_key());
    assert_eq!(next.directory_key, member.directory_key);
    assert_eq!(next.not_after(), member.not_after().plus(48 * HOUR));

    // Another party's connection, and a certificate that is not recorded.
    let other = place.join(Role::Gateway, "st-james").await;
    let request = RenewalRequest::new(other.identity.clone(), KeyAlgorithm::Ed25519).unwrap();
    let message = request.message();
    for serial in [next.hop.serial, SerialNumber::from_bytes([1; 16]).unwrap()] {
        let answer = place.authority.renew(&other.identity, serial, &message);
        assert_eq!(code(answer.await), "certificate-unknown");
    }
    // A request for somebody else.
    let answer = place.authority.renew(&next.identity, next.hop.serial, &message);
    assert_eq!(code(answer.await), "request-wrong-identity");

    let target = Target::Party(member.identity.clone());
    let revoked = place.authority.revoke(&target, RevocationReason::KeyCompromise).await.unwrap();
    // The old pair and the new one.
    assert_eq!(revoked.serials.len(), 4);
    for member in [&member, &next] {
        assert_eq!(code(place.renew(member).await), "certificate-revoked");
    }
    place.renew(&other).await.unwrap();
    // A new invitation lets it in again.
    place.join(Role::Gateway, "st-mary").await;
}

#[tokio::test]
async fn no_party_holds_certificates_without_end() {
    let place = Place::new().await;
    let member = place.join(Role::Broker, "main").await;
    for _ in 0..7 {
        place.renew(&member).await.unwrap();
    }
    assert_eq!(code(place.renew(&member).await), "too-many-certificates");
    // Ended and revoked ones do not count.
    let listed = place.authority.list(None, 100).await.unwrap();
    let old = listed.iter().find(|listed| listed.identity == member.identity && listed.serial != member.hop.serial);
    let target = Target::Certificate(old.unwrap().serial);
    place.authority.revoke(&target, RevocationReason::Superseded).await.unwrap();
    place.renew(&member).await.unwrap();
}

#[tokio::test]
async fn a_revocation_reaches_the_list_at_once() {
    let place = Place::new().await;
    let authority = &place.authority;
    let mut updates = authority.crl();
    let mut member = place.join(Role::Gateway, "st-mary").await;
    let other = place.join(Role::Archive, "main").await;
    assert_eq!(member.trust.crl_number(), Some(1));
    let verify = |member: &Membership, other: &Membership, key_use| {
        let chain = match key_use {
            KeyUse::Hop => &other.hop.chain,
            KeyUse::Statement => &other.statement.chain,
        };
        let found = member.trust.verify(chain, &Expected::anybody(key_use), TEST_NOW);
        found.map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(verify(&member, &other, KeyUse::Hop), Ok(()));

    // One certificate alone.
    let target = Target::Certificate(other.hop.serial);
    let revoked = authority.revoke(&target, RevocationReason::Superseded).await.unwrap();
    assert_eq!((revoked.crl_number, revoked.serials), (2, vec![other.hop.serial]));
    assert!(updates.has_changed().unwrap());
    let crl = updates.borrow_and_update().clone();
    member.trust.set_crl(&crl.crl, &crl.issuing, TEST_NOW).unwrap();
    assert_eq!(verify(&member, &other, KeyUse::Hop), Err("certificate-revoked"));
    assert_eq!(verify(&member, &other, KeyUse::Statement), Ok(()));

    // What is left of the party.
    let target = Target::Party(other.identity.clone());
    let revoked = authority.revoke(&target, RevocationReason::KeyCompromise).await.unwrap();
    assert_eq!((revoked.crl_number, revoked.serials), (3, vec![other.statement.serial]));
    let crl = updates.borrow_and_update().clone();
    let summary = member.trust.set_crl(&crl.crl, &crl.issuing, TEST_NOW).unwrap();
    assert_eq!((summary.number, summary.revoked), (3, 2));
    assert_eq!(verify(&member, &other, KeyUse::Statement), Err("certificate-revoked"));
    let again = authority.revoke(&target, RevocationReason::KeyCompromise).await;
    assert_eq!(code(again), "nothing-to-revoke");
    let nobody = Target::Certificate(SerialNumber::from_bytes([1; 16]).unwrap());
    let nothing = authority.revoke(&nobody, RevocationReason::KeyCompromise).await;
    assert_eq!(code(nothing), "nothing-to-revoke");

    let listed = authority.list(None, 100).await.unwrap();
    let status = |serial| {
        let found = listed.iter().find(|listed| listed.serial == serial);
        found.unwrap().status
    };
    let at = TEST_NOW;
    assert_eq!(status(member.hop.serial), CertificateStatus::InForce);
    assert_eq!(status(other.hop.serial), CertificateStatus::Revoked { at, reason: RevocationReason::Superseded });
    assert_eq!(
        status(other.statement.serial),
        CertificateStatus::Revoked { at, reason: RevocationReason::KeyCompromise }
    );

    // Ended certificates leave the list one list later.
    place.clock.set(other.not_after().plus(25 * HOUR));
    authority.keep().await.unwrap();
    let crl = updates.borrow_and_update().clone();
    let now = place.clock_now();
    let summary = member.trust.set_crl(&crl.crl, &crl.issuing, now).unwrap();
    assert_eq!((summary.number, summary.revoked), (4, 0));
}

#[tokio::test]
async fn the_list_and_the_own_certificate_stay_fresh() {
    let place = Place::new().await;
    let authority = place.authority.clone();
    let own = || authority.own().borrow().clone();
    let first = own();
    assert_eq!(first.identity.to_string(), "sealwort://demo/ca/ca");
    let number = |place: &Place| {
        let mut trust = first.trust.clone();
        let crl = place.authority.crl().borrow().clone();
        trust.set_crl(&crl.crl, &crl.issuing, place.clock_now()).unwrap().number
    };
    // Nothing is due yet; the list is due at 12 hours.
    assert_eq!(authority.keep().await.unwrap(), TEST_NOW.plus(12 * HOUR));
    assert_eq!(number(&place), 1);
    place.clock.advance(12 * HOUR);
    authority.keep().await.unwrap();
    assert_eq!(number(&place), 2);
    assert_eq!(own().hop.serial, first.hop.serial);
    place.clock.set(first.renewal_time());
    authority.keep().await.unwrap();
    assert_ne!(own().hop.serial, first.hop.serial);

    // The authority replaces a certificate of its own that is revoked.
    let second = own();
    let target = Target::Certificate(second.hop.serial);
    authority.revoke(&target, RevocationReason::KeyCompromise).await.unwrap();
    assert_ne!(own().hop.serial, second.hop.serial);
    let (kept, list) = (own().hop.serial, number(&place));
    drop(authority);

    // A restart keeps both; a long sleep renews both.
    let place = place.reopen().await;
    assert_eq!(place.authority.own().borrow().hop.serial, kept);
    assert_eq!(number(&place), list);
    place.clock.advance(500 * HOUR);
    let place = place.reopen().await;
    assert_ne!(place.authority.own().borrow().hop.serial, kept);
    assert_eq!(number(&place), list + 1);
}

#[tokio::test]
async fn a_store_changed_from_outside_is_noticed() {
    let place = Place::new().await;
    place.join(Role::Broker, "main").await;
    let foreign = CrlRow {
        number: 2,
        der: vec![1],
        this_update: TEST_NOW.as_secs(),
        next_update: TEST_NOW.plus(24 * HOUR).as_secs(),
    };
    assert!(place.store.publish_crl(foreign, Vec::new()).await.unwrap());
    // The next list follows whatever is there; its number never repeats.
    let target = Target::Party("sealwort://demo/broker/main".parse().unwrap());
    let revoked = place.authority.revoke(&target, RevocationReason::Unspecified).await;
    assert_eq!(revoked.unwrap().crl_number, 3);
    place.store.close().await;
    assert_eq!(code(place.authority.list(None, 1).await), "authority-failed");
    let failed = place.authority.keep().await.unwrap_err().refusal();
    assert_eq!(failed.message, "the authority could not do this");
}

#[tokio::test]
async fn a_revocation_that_was_stored_is_served_though_its_caller_went_away() {
    let place = Place::new().await;
    let member = place.join(Role::Gateway, "st-mary").await;
    let authority = &place.authority;
    let mut served = authority.crl();
    served.mark_unchanged();
    // What is left of a call that ended between the store's answer and the list's publication.
    let reason = RevocationReason::KeyCompromise;
    let revocation = [Revocation { serial: member.hop.serial, revoked_at: TEST_NOW, reason }];
    let stored = next_crl(&authority.folder, &authority.records, &authority.policy, &revocation, TEST_NOW);
    let stored = stored.await.unwrap();
    authority.keep().await.unwrap();
    assert!(served.has_changed().unwrap());
    assert_eq!(served.borrow_and_update().crl, stored.der);
    authority.keep().await.unwrap();
    assert!(!served.has_changed().unwrap(), "the same list again");
}

/// What a log holds.
async fn events(audit: &SqliteAudit) -> Vec<Event> {
    let rows = audit.audit_rows(AuditQuery::default(), 1000).await.unwrap();
    rows.iter().map(|row| Event::from_bytes(&AtRest::Clear.open(&row.stored).unwrap()).unwrap()).collect()
}

/// What a log holds of a kind that was refused or failed.
async fn refused(audit: &SqliteAudit, kind: EventKind) -> Vec<Event> {
    let mut events = events(audit).await;
    events.retain(|event| event.kind == kind && event.outcome != Outcome::Done);
    events
}

#[tokio::test]
async fn strangers_cannot_fill_the_log() {
    let place = Place::new().await;
    let audit = place.keep_log().await;
    let refused_enrolments = async |audit| refused(audit, EventKind::CertificateEnrolled).await;
    let invitation = place.invite(Role::Gateway, "st-mary").await;
    let good = JoinRequest::new(invitation, KeyAlgorithm::Ed25519, TEST_NOW).unwrap().message();
    let stranger = || EnrolRequest { secret: InvitationSecret::generate().unwrap(), ..good.clone() };
    let knock = async |times: usize| {
        for _ in 0..times {
            assert_eq!(code(place.authority.enrol(&stranger()).await), "invitation-unknown");
        }
    };
    knock(200).await;
    let entered = refused_enrolments(&audit).await;
    assert_eq!(entered.len(), 10);
    assert!(entered.iter().all(|event| event.outcome.code() == Some("invitation-unknown") && event.peer.is_some()));
    // The others are entered as a number, once.
    place.authority.enter_refusals().await;
    place.authority.enter_refusals().await;
    let entered = refused_enrolments(&audit).await;
    assert_eq!((entered.len(), entered[10].get(Detail::Count)), (11, Some("190")));
    assert_eq!(entered[10].outcome, Outcome::Refused("invitation-unknown".into()));
    // They are not in the way of who is invited, nor do they hide other refusals.
    place.authority.enrol(&good).await.unwrap();
    assert_eq!(code(place.authority.enrol(&good).await), "invitation-used");
    assert_eq!(refused_enrolments(&audit).await[11].outcome, Outcome::Refused("invitation-used".into()));
    // After a minute each has an entry again.
    place.clock.advance(Duration::from_secs(59));
    knock(1).await;
    assert_eq!(refused_enrolments(&audit).await.len(), 12);
    place.clock.advance(Duration::from_secs(1));
    knock(1).await;
    assert_eq!(refused_enrolments(&audit).await.len(), 13);
    // What was counted since is entered before the log closes.
    place.authority.close_log().await;
    assert_eq!(refused_enrolments(&audit).await[13].get(Detail::Count), Some("1"));
}

#[tokio::test]
async fn members_cannot_fill_the_log() {
    let place = Place::new().await;
    let audit = place.keep_log().await;
    let member = place.join(Role::Gateway, "st-mary").await;
    let target = Target::Party(member.identity.clone());
    assert!(place.authority.revoke(&target, RevocationReason::KeyCompromise).await.unwrap().entered);
    for _ in 0..30 {
        assert_eq!(code(place.renew(&member).await), "certificate-revoked");
    }
    assert_eq!(refused(&audit, EventKind::CertificateRenewed).await.len(), 10);
    // Numbers that cannot be entered are kept until they can.
    audit.close().await;
    place.authority.enter_refusals().await;
    assert_eq!(place.authority.refusals().counted()[0].2, 20);
}

/// Keeps a log from writing for as long as it is told to, as a disk does that hangs.
struct Hanging {
    voice: Arc<dyn Voice>,
    hangs: Arc<AtomicBool>,
}

impl Voice for Hanging {
    fn speaker(&self) -> Speaker {
        while self.hangs.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.voice.speaker()
    }

    fn trust(&self) -> Arc<Trust> {
        self.voice.trust()
    }

    fn now_millis(&self) -> u64 {
        self.voice.now_millis()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_hangs_stops_neither_revoking_nor_lists() {
    let place = Place::new().await;
    let member = place.join(Role::Gateway, "st-mary").await;
    let hangs = Arc::new(AtomicBool::new(false));
    let voice = Hanging { voice: place.authority.voice().unwrap(), hangs: hangs.clone() };
    let audit = place.keep_log_as(Arc::new(voice)).await;
    hangs.store(true, Ordering::Relaxed);
    let target = Target::Party(member.identity.clone());
    let revoking = place.authority.revoke(&target, RevocationReason::KeyCompromise);
    let revoked = tokio::time::timeout(Duration::from_mins(1), revoking).await.unwrap().unwrap();
    assert_eq!((revoked.serials.len(), revoked.crl_number, revoked.entered), (2, 2, false));
    hangs.store(false, Ordering::Relaxed);
    // The entries follow in their order, and before the log is closed.
    place.authority.close_log().await;
    let kinds: Vec<_> = events(&audit).await.iter().map(|event| event.kind).collect();
    let expected = [
        EventKind::ServiceStarted,
        EventKind::RevocationListIssued,
        EventKind::CertificateRevoked,
        EventKind::ServiceStopped,
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn without_its_log_the_authority_revokes_and_refuses_the_rest() {
    let place = Place::new().await;
    let member = place.join(Role::Gateway, "st-mary").await;
    let invitation = place.invite(Role::Gateway, "st-anne").await;
    let request = JoinRequest::new(invitation, KeyAlgorithm::Ed25519, TEST_NOW).unwrap().message();
    place.authority.keep_log(Err(JournalError::Unwritable(StoreError::Full)));
    let invited = place.authority.invite(Role::Gateway, "st-luke".parse().unwrap(), HOUR).await;
    assert_eq!(code(invited), "audit-unavailable");
    assert_eq!(code(place.authority.enrol(&request).await), "audit-unavailable");
    assert_eq!(code(place.renew(&member).await), "audit-unavailable");
    let target = Target::Party(member.identity.clone());
    let revoked = place.authority.revoke(&target, RevocationReason::KeyCompromise).await.unwrap();
    assert_eq!((revoked.serials.len(), revoked.entered), (2, false));
    // What a refusal was about is told, not that it could not be entered.
    let again = place.authority.revoke(&target, RevocationReason::KeyCompromise).await;
    assert_eq!(code(again), "nothing-to-revoke");
    let listed = place.authority.list(None, 100).await.unwrap();
    let of_member = listed.iter().filter(|listed| listed.identity == member.identity);
    assert!(
        of_member.clone().count() == 2 && of_member.clone().all(|listed| listed.status != CertificateStatus::InForce)
    );
}
