//! Patients' passkeys: invitations that staff hand out, the ceremonies in which a passkey is made or shown, and what is
//! kept of each. What browser and authenticator answer is verified by `sealwort_passkeys`; here are the challenges, which
//! count once, in the browser that asked for them, for five minutes. Pages and routes are in `face::passkeys`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use sealwort_audit::{Detail, Event, EventKind, Line};
use sealwort_fhir::IssueCode;
use sealwort_passkeys::{ALGORITHMS, Assertion, CHALLENGE_BYTES, RelyingParty};
use sealwort_pki::{PublicKey, UnixTime};
use sealwort_proto::Pseudonym;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::crypto::{mac, mac_matches, random, sha256};
use sealwort_smart::User;
use sealwort_smart::oidc::PATIENT_ROLE;
use sealwort_store::RosterKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::Gateway;
use crate::error::GatewayError;
use crate::people::TREATMENT;
use crate::persons::Own;
use crate::roster::Roster;
use crate::sign_in::Refusal;
use crate::sign_in::sessions::{Person, Present, Who};
use crate::user::Asking;

/// How long a challenge counts.
const CEREMONY: Duration = Duration::from_mins(5);
/// Most ceremonies under way.
const CEREMONIES_MAX: usize = 10_000;
/// Most passkeys of one patient.
const PASSKEYS_PER_PATIENT_MAX: usize = 16;
/// Most invitations that wait for one patient; the oldest gives way.
const INVITATIONS_PER_PATIENT_MAX: usize = 4;
/// Largest row, in bytes.
const ROW_BYTES_MAX: usize = 8 * 1024;
/// Letters of an invitation's code, without those that look like others (Crockford's base 32). 20 letters are 100 bits.
const CODE_LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_LENGTH: usize = 20;
const CODE_GROUP: usize = 5;

/// A passkey as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Passkey {
    #[n(0)]
    id: Blob,
    #[n(1)]
    patient: Pseudonym,
    #[n(2)]
    patient_id: String,
    /// SubjectPublicKeyInfo.
    #[n(3)]
    public_key: Blob,
    #[n(4)]
    counter: u32,
    /// Unix time.
    #[n(5)]
    added: u64,
    #[n(6)]
    used: u64,
}

/// An invitation as it is kept: of its code only the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Invitation {
    #[n(0)]
    code: Blob,
    #[n(1)]
    patient: Pseudonym,
    #[n(2)]
    patient_id: String,
    /// Unix time.
    #[n(3)]
    expires: u64,
}

/// A passkey as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct PasskeyShown {
    pub(crate) id: String,
    /// The Patient's id.
    pub(crate) patient: String,
    /// Unix time, as what follows.
    pub(crate) added: u64,
    pub(crate) used: u64,
}

/// An invitation for its patient. The code is told once.
#[derive(Debug, Serialize)]
pub(crate) struct Invited {
    pub(crate) code: String,
    pub(crate) url: String,
    /// Unix time.
    pub(crate) expires: u64,
}

/// What a browser answers after a passkey was made, in base64url.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeAnswer {
    client_data: String,
    attestation: String,
}

/// What a browser answers after a passkey was shown, in base64url.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownAnswer {
    id: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    user: Option<String>,
}

/// A ceremony that begins: the cookie that the browser keeps meanwhile, and what it asks its authenticator for.
pub(crate) struct Begun {
    pub(crate) cookie: Zeroizing<String>,
    pub(crate) options: Value,
}

struct Ceremony {
    challenge: [u8; CHALLENGE_BYTES],
    purpose: Purpose,
    expires: UnixTime,
}

#[derive(Debug, Clone)]
enum Purpose {
    /// To make one, by an invitation with this fingerprint, or by somebody who is signed in.
    Make {
        own: Own,
        invitation: Option<[u8; 32]>,
    },
    Show,
}

/// All passkeys.
pub(crate) struct Passkeys {
    site: Option<RelyingParty>,
    invitation_lifetime: Duration,
    known: Mutex<HashMap<Vec<u8>, Passkey>>,
    invitations: Mutex<HashMap<[u8; 32], Invitation>>,
    ceremonies: Mutex<HashMap<[u8; 32], Ceremony>>,
    /// One change at a time, so that what is on disk is what is in memory, and no sign-in brings back what is removed.
    changing: tokio::sync::Mutex<()>,
}

impl Passkeys {
    /// As the roster has them. `root` is where the gateway answers.
    pub(crate) async fn load(roster: &Roster, root: &str, invitation_lifetime: Duration) -> Result<Self, GatewayError> {
        let broken = |_| GatewayError::Kept("a row of the roster cannot be read");
        let mut known = HashMap::new();
        for row in roster.all(RosterKind::Passkey).await? {
            let passkey: Passkey = from_bytes(&row, ROW_BYTES_MAX).map_err(broken)?;
            known.insert(passkey.id.0.clone(), passkey);
        }
        let mut invitations = HashMap::new();
        for row in roster.all(RosterKind::PasskeyInvitation).await? {
            let invitation: Invitation = from_bytes(&row, ROW_BYTES_MAX).map_err(broken)?;
            if let Ok(code) = invitation.code.0.as_slice().try_into() {
                invitations.insert(code, invitation);
            }
        }
        Ok(Self {
            site: site(root),
            invitation_lifetime,
            known: Mutex::new(known),
            invitations: Mutex::new(invitations),
            ceremonies: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Where passkeys of this gateway are good.
    pub(crate) fn site(&self) -> Result<&RelyingParty, GatewayError> {
        self.site.as_ref().ok_or_else(|| {
            GatewayError::request(
                404,
                IssueCode::NotSupported,
                "passkeys-off",
                "browsers offer passkeys only at an https address with a name",
                "set fhir.public_url to one, as https://gateway.hospital.example",
            )
        })
    }

    fn those(&self, is_theirs: impl Fn(Pseudonym) -> bool) -> Vec<Passkey> {
        lock(&self.known).values().filter(|one| is_theirs(one.patient)).cloned().collect()
    }

    fn begin(&self, purpose: Purpose, now: UnixTime) -> Result<(Zeroizing<String>, String), GatewayError> {
        let mut ceremonies = lock(&self.ceremonies);
        if ceremonies.len() >= CEREMONIES_MAX {
            ceremonies.retain(|_, one| now < one.expires);
        }
        if ceremonies.len() >= CEREMONIES_MAX {
            let text = "too many people are signing in at this moment";
            let remedy = "try again in a minute";
            return Err(GatewayError::request(503, IssueCode::Throttled, "sign-in-busy", text, remedy));
        }
        let (cookie, challenge) = (Zeroizing::new(hex::encode(random::<32>())), random());
        let ceremony = Ceremony { challenge, purpose, expires: now.plus(CEREMONY) };
        ceremonies.insert(sha256(cookie.as_bytes()), ceremony);
        Ok((cookie, URL_SAFE_NO_PAD.encode(challenge)))
    }

    /// The ceremony of a browser, which is used up by this whatever follows.
    fn take(&self, cookie: Option<&str>, now: UnixTime) -> Option<Ceremony> {
        let ceremony = lock(&self.ceremonies).remove(&sha256(cookie?.as_bytes()))?;
        (now < ceremony.expires).then_some(ceremony)
    }
}

/// Browsers tie passkeys to a domain, and use them over TLS alone, but on this very computer.
fn site(root: &str) -> Option<RelyingParty> {
    let uri: http::Uri = root.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    let secure = uri.scheme_str() == Some("https") || host == "localhost";
    let named = host.parse::<IpAddr>().is_err() && !host.starts_with('[');
    (secure && named).then(|| RelyingParty { id: host, origin: root.to_ascii_lowercase() })
}

impl Gateway {
    /// Invites a patient to make a passkey.
    pub(crate) async fn invite_to_passkey(&self, named: &str, asking: &Asking) -> Result<Invited, GatewayError> {
        self.passkeys.site()?;
        let patient = self.identity_named(named, TREATMENT).await?;
        asking.trail.touches(patient);
        let patient_id = self.patient_id_of(patient).await?.to_string();
        let now = self.sessions.now();
        let code = code();
        let fingerprint = sha256(code.as_bytes());
        let expires = now.plus(self.passkeys.invitation_lifetime).as_secs();
        let invitation = Invitation { code: Blob(fingerprint.to_vec()), patient, patient_id, expires };
        let gone: Vec<[u8; 32]> = {
            let waiting = lock(&self.passkeys.invitations);
            let mut of_patient: Vec<_> = waiting.iter().filter(|(_, one)| one.patient == patient).collect();
            of_patient.sort_by_key(|(_, one)| one.expires);
            let over = (of_patient.len() + 1).saturating_sub(INVITATIONS_PER_PATIENT_MAX);
            let oldest = of_patient.into_iter().take(over).map(|(code, _)| *code);
            oldest
                .chain(waiting.iter().filter(|(_, one)| one.expires <= now.as_secs()).map(|(code, _)| *code))
                .collect()
        };
        for old in gone {
            self.use_up(&old).await?;
        }
        self.roster.put_row(RosterKind::PasskeyInvitation, &fingerprint, &to_bytes(&invitation)).await?;
        lock(&self.passkeys.invitations).insert(fingerprint, invitation);
        let letters: Vec<&str> =
            code.as_bytes().chunks(CODE_GROUP).filter_map(|part| str::from_utf8(part).ok()).collect();
        let url = format!("{}{}/passkey", self.root(), crate::authorization::AUTH);
        Ok(Invited { code: letters.join("-"), url, expires })
    }

    /// Begins to make a passkey: by an invitation's code, or for somebody who is signed in with their own record.
    pub(crate) fn begin_passkey(&self, code: Option<&str>, present: Option<&Present>) -> Result<Begun, Refusal> {
        let (site, now) = (self.passkeys.site()?, self.sessions.now());
        let (own, invitation) = match (code, present.map(|present| &present.who)) {
            (Some(code), _) => {
                let fingerprint = sha256(written(code).as_bytes());
                let invitation = lock(&self.passkeys.invitations).get(&fingerprint).cloned();
                let invitation = invitation.filter(|one| now.as_secs() < one.expires);
                let own = invitation
                    .filter(|one| !self.roster.is_erased(one.patient))
                    .and_then(|one| Some(Own { patient: one.patient, id: one.patient_id.parse().ok()? }));
                let wrong = || refused("no such invitation waits: it was used, or is over");
                (own.ok_or_else(wrong)?, Some(fingerprint))
            }
            (None, Some(Who::Private(Some(own)))) => (own.clone(), None),
            _ => return Err(refused("a passkey is made by an invitation, or by its owner")),
        };
        let there = self.passkeys.those(|one| self.roster.are_one(one, own.patient));
        if there.len() >= PASSKEYS_PER_PATIENT_MAX {
            let text = "this patient has as many passkeys as there may be";
            return Err(
                GatewayError::request(409, IssueCode::Conflict, "passkeys-many", text, "remove one first").into()
            );
        }
        let user = URL_SAFE_NO_PAD.encode(self.passkey_user(own.patient));
        let name = format!("Your record at {}", self.member.identity().name);
        let (cookie, challenge) = self.passkeys.begin(Purpose::Make { own, invitation }, now)?;
        let exclude: Vec<Value> = there.iter().map(|one| descriptor(&one.id.0)).collect();
        let options = json!({
            "challenge": challenge, "rp": {"id": site.id, "name": "Sealwort"},
            "user": {"id": user, "name": name, "displayName": name},
            "pubKeyCredParams": ALGORITHMS.map(|algorithm| json!({"type": "public-key", "alg": algorithm})),
            "excludeCredentials": exclude, "attestation": "none", "timeout": millis(),
            "authenticatorSelection": {"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
        });
        Ok(Begun { cookie, options })
    }

    /// A passkey was made. The cookie of its owner's session.
    pub(crate) async fn finish_passkey(
        &self,
        answer: &MadeAnswer,
        cookie: Option<&str>,
        source: Option<IpAddr>,
    ) -> Result<Zeroizing<String>, Refusal> {
        let (site, now) = (self.passkeys.site()?, self.sessions.now());
        let Some(Ceremony { challenge, purpose: Purpose::Make { own, invitation }, .. }) =
            self.passkeys.take(cookie, now)
        else {
            return Err(refused("this browser did not begin to make a passkey just now"));
        };
        let registered =
            site.verify_registration(&challenge, &decoded(&answer.client_data), &decoded(&answer.attestation));
        let registered = registered.map_err(|fault| refused(&fault.to_string()))?;
        let _one_at_a_time = self.passkeys.changing.lock().await;
        if self.roster.is_erased(own.patient) {
            return Err(GatewayError::erased_patient().into());
        }
        if lock(&self.passkeys.known).contains_key(&registered.credential_id) {
            return Err(refused("this passkey is registered already"));
        }
        if let Some(code) = invitation
            && !self.use_up(&code).await?
        {
            return Err(refused("no such invitation waits: it was used, or is over"));
        }
        let passkey = Passkey {
            id: Blob(registered.credential_id),
            patient: own.patient,
            patient_id: own.id.to_string(),
            public_key: Blob(registered.public_key.to_bytes()),
            counter: registered.counter,
            added: now.as_secs(),
            used: now.as_secs(),
        };
        self.keep_passkey(&passkey).await?;
        let entry = self.journal.event(EventKind::PasskeyChanged);
        self.note_passkey("add", &passkey, entry.user(&self.passkey_account(&passkey), PATIENT_ROLE)).await?;
        Ok(self.begin_session(self.passkey_person(&passkey, own, source)?)?)
    }

    /// Begins a sign-in. Which passkey is shown is the authenticator's and its user's to choose.
    pub(crate) fn begin_passkey_sign_in(&self) -> Result<Begun, GatewayError> {
        let site = self.passkeys.site()?;
        let (cookie, challenge) = self.passkeys.begin(Purpose::Show, self.sessions.now())?;
        let options = json!({
            "challenge": challenge, "rpId": site.id, "userVerification": "required", "timeout": millis(),
            "allowCredentials": [],
        });
        Ok(Begun { cookie, options })
    }

    /// A passkey was shown. The cookie of the session.
    pub(crate) async fn finish_passkey_sign_in(
        &self,
        answer: &ShownAnswer,
        cookie: Option<&str>,
        source: Option<IpAddr>,
    ) -> Result<Zeroizing<String>, Refusal> {
        let (site, now) = (self.passkeys.site()?, self.sessions.now());
        let Some(Ceremony { challenge, purpose: Purpose::Show, .. }) = self.passkeys.take(cookie, now) else {
            return Err(refused("this browser did not begin to sign in just now"));
        };
        let id = decoded(&answer.id);
        let _one_at_a_time = self.passkeys.changing.lock().await;
        let known = lock(&self.passkeys.known).get(&id).cloned();
        let mut passkey = known.ok_or_else(|| refused("this passkey is not registered here"))?;
        let account = passkey_name(&passkey.id.0);
        self.may_try(&account, source)?;
        let refused = |reason: &str| Refusal::Failed(Some(account.clone()), reason.to_owned());
        let owner = self.passkey_user(passkey.patient);
        let named: Option<[u8; 32]> = answer.user.as_ref().and_then(|user| decoded(user).try_into().ok());
        if !named.is_some_and(|named| mac_matches(&owner, &named)) {
            return Err(refused("the authenticator names another user than the passkey's owner"));
        }
        if self.roster.is_erased(passkey.patient) {
            return Err(GatewayError::erased_patient().into());
        }
        let key = PublicKey::from_bytes(&passkey.public_key.0);
        let key = key.map_err(|_| GatewayError::Kept("a passkey's public key cannot be read"))?;
        let (client_data, signature) = (decoded(&answer.client_data), decoded(&answer.signature));
        let authenticator_data = decoded(&answer.authenticator_data);
        let assertion =
            Assertion { client_data: &client_data, authenticator_data: &authenticator_data, signature: &signature };
        let counter = site.verify_assertion(&challenge, &key, passkey.counter, &assertion);
        passkey.counter = counter.map_err(|fault| refused(&fault.to_string()))?;
        passkey.used = now.as_secs();
        self.keep_passkey(&passkey).await?;
        self.tried_well(&account, source);
        let id = passkey.patient_id.parse().map_err(|_| GatewayError::unknown_patient())?;
        let own = Own { patient: passkey.patient, id };
        Ok(self.begin_session(self.passkey_person(&passkey, own, source)?)?)
    }

    /// A patient's passkeys, by whichever identity they were made.
    pub(crate) fn passkeys_of(&self, patient: Pseudonym) -> Vec<PasskeyShown> {
        let mut all = self.passkeys.those(|one| self.roster.are_one(one, patient));
        all.sort_by_key(|one| one.added);
        let shown = |one: Passkey| PasskeyShown {
            id: URL_SAFE_NO_PAD.encode(&one.id.0),
            patient: one.patient_id,
            added: one.added,
            used: one.used,
        };
        all.into_iter().map(shown).collect()
    }

    /// Whose a passkey is.
    pub(crate) fn passkey_owner(&self, id: &str) -> Option<Pseudonym> {
        lock(&self.passkeys.known).get(&decoded(id)).map(|one| self.roster.surviving(one.patient))
    }

    /// Removes a passkey, and ends the sessions that it began. The entry says who does that.
    pub(crate) async fn remove_passkey(&self, id: &str, entry: Event) -> Result<(), GatewayError> {
        let _one_at_a_time = self.passkeys.changing.lock().await;
        let known = lock(&self.passkeys.known).get(&decoded(id)).cloned();
        let passkey = known.ok_or_else(unknown_passkey)?;
        self.roster.remove_row(RosterKind::Passkey, &passkey.id.0).await?;
        lock(&self.passkeys.known).remove(&passkey.id.0);
        let name = passkey_name(&passkey.id.0);
        let by = entry.user.as_ref().map(Line::as_str).unwrap_or_default();
        self.end_sessions_where(|person| person.passkey.as_deref() == Some(name.as_str()), by);
        self.note_passkey("remove", &passkey, entry).await
    }

    /// A patient was erased: nobody signs in for that record any more.
    pub(crate) async fn end_passkeys_of(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        let _one_at_a_time = self.passkeys.changing.lock().await;
        for one in self.passkeys.those(|one| one == patient) {
            self.roster.remove_row(RosterKind::Passkey, &one.id.0).await?;
            lock(&self.passkeys.known).remove(&one.id.0);
        }
        let of_patient = |(code, one): (&[u8; 32], &Invitation)| (one.patient == patient).then_some(*code);
        let codes: Vec<_> = lock(&self.passkeys.invitations).iter().filter_map(of_patient).collect();
        for code in codes {
            self.use_up(&code).await?;
        }
        Ok(())
    }

    /// Forgets ceremonies whose time is over.
    pub(crate) fn tidy_passkeys(&self) {
        let now = self.sessions.now();
        lock(&self.passkeys.ceremonies).retain(|_, one| now < one.expires);
    }

    /// Uses an invitation up. Whether it was there.
    async fn use_up(&self, code: &[u8; 32]) -> Result<bool, GatewayError> {
        let there = lock(&self.passkeys.invitations).remove(code).is_some();
        self.roster.remove_row(RosterKind::PasskeyInvitation, code).await?;
        Ok(there)
    }

    async fn keep_passkey(&self, passkey: &Passkey) -> Result<(), GatewayError> {
        self.roster.put_row(RosterKind::Passkey, &passkey.id.0, &to_bytes(passkey)).await?;
        lock(&self.passkeys.known).insert(passkey.id.0.clone(), passkey.clone());
        Ok(())
    }

    /// The entry about a change of somebody's passkeys, before anybody is told.
    async fn note_passkey(&self, action: &str, passkey: &Passkey, mut entry: Event) -> Result<(), GatewayError> {
        entry.note(Detail::Action, action);
        entry.note(Detail::Subject, passkey_name(&passkey.id.0));
        Ok(self.journal.append(entry.patient(passkey.patient)).await?)
    }

    /// Under which name a patient stands in requests and logs who signs in with a passkey.
    fn passkey_account(&self, passkey: &Passkey) -> String {
        let name = self.person_name(&format!("passkey of {}", passkey.patient));
        name.map(|name| name.to_string()).unwrap_or_default()
    }

    fn passkey_person(&self, passkey: &Passkey, own: Own, source: Option<IpAddr>) -> Result<Person, GatewayError> {
        let account = self.passkey_account(passkey);
        let unnamed = || GatewayError::Kept("a person could not be named");
        let name = account.parse().map_err(|_| unnamed())?;
        let role = PATIENT_ROLE.parse().map_err(|_| unnamed())?;
        Ok(Person {
            user: User { name, role, fhir_user: None, session: None, delegation: None },
            who: Who::Private(Some(own)),
            account,
            passkey: Some(passkey_name(&passkey.id.0)),
            roles: Vec::new(),
            organisation: String::new(),
            source,
            id_token: Zeroizing::default(),
        })
    }

    /// As whom authenticators know a patient: nothing that says who it is.
    fn passkey_user(&self, patient: Pseudonym) -> [u8; 32] {
        mac(&self.keys.roster, "sealwort passkey user v1", &[patient.as_bytes()])
    }

    /// What is answered to whom a ceremony does not let in, when that is on disk.
    pub(crate) async fn passkey_refused(&self, refusal: Refusal, source: Option<IpAddr>) -> GatewayError {
        match refusal {
            Refusal::Failed(account, reason) => {
                let waits = self.tried_badly("passkey", account.as_deref(), source, &reason).await;
                let refused = || GatewayError::request(401, IssueCode::Login, "passkey-refused", reason, "begin again");
                waits.unwrap_or_else(refused)
            }
            Refusal::Other(error) => error,
        }
    }
}

fn refused(reason: &str) -> Refusal {
    Refusal::Failed(None, reason.to_owned())
}

pub(crate) fn unknown_passkey() -> GatewayError {
    let (text, remedy) = ("there is no such passkey", "look at: sealwort passkey list PATIENT");
    GatewayError::request(404, IssueCode::NotFound, "passkey-unknown", text, remedy)
}

/// A passkey in logs and counters: the beginning of its id's fingerprint.
fn passkey_name(id: &[u8]) -> String {
    let fingerprint = hex::encode(sha256(id));
    format!("passkey {}", fingerprint.get(..16).unwrap_or_default())
}

fn descriptor(id: &[u8]) -> Value {
    json!({"type": "public-key", "id": URL_SAFE_NO_PAD.encode(id)})
}

fn millis() -> u64 {
    CEREMONY.as_secs() * 1000
}

/// What is not base64url is nothing, and nothing is refused by whoever reads it.
fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}

/// A fresh code.
fn code() -> Zeroizing<String> {
    let letter = |byte: u8| CODE_LETTERS.get(usize::from(byte % 32)).copied().map(char::from);
    Zeroizing::new(random::<CODE_LENGTH>().into_iter().filter_map(letter).collect())
}

/// A code as somebody typed it, in its own letters.
fn written(text: &str) -> Zeroizing<String> {
    let letter = |letter: char| match letter.to_ascii_uppercase() {
        'O' => Some('0'),
        'I' | 'L' => Some('1'),
        letter => letter.is_ascii_alphanumeric().then_some(letter),
    };
    Zeroizing::new(text.chars().take(4 * CODE_LENGTH).filter_map(letter).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn codes_are_read_however_they_are_typed() {
        let code = code();
        assert_eq!(code.len(), CODE_LENGTH);
        let typed: String = code.to_lowercase().chars().flat_map(|letter| [letter, ' ']).collect();
        assert_eq!(written(&typed), code);
        assert_eq!(written("oil-0").as_str(), "0110");
    }

    #[test]
    fn passkeys_need_a_name_and_tls() {
        let found = |root: &str| site(root).map(|site| (site.id, site.origin));
        let named = |id: &str, origin: &str| Some((id.to_owned(), origin.to_owned()));
        assert_eq!(found("https://a.example:8443"), named("a.example", "https://a.example:8443"));
        assert_eq!(found("http://localhost:1"), named("localhost", "http://localhost:1"));
        for wrong in ["http://a.example", "https://127.0.0.1:8443", "https://[::1]:8443", "nonsense"] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
    }
}
