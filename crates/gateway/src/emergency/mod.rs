//! Emergency access (break-glass): a user of the hospital opens a record that consent opens in an emergency alone. They
//! say why, type a sentence, and, where the hospital wants it, have somebody else agree. It is on disk before anything
//! is shown, ends by time or by command at once, and leaves a signed report. Patient and security officer are told.
//!
//! Whether the record opens, and which labels, is the directive's to say: broker and archive decide by its provisions
//! with the action *emergency*. What is here is the hospital's own rule on top.

mod access;
mod elsewhere;
mod report;
mod rule;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::{IssueCode, ResourceType};
use sealwort_net::Shutdown;
use sealwort_net::client::web::WebClient;
use sealwort_proto::Pseudonym;
use sealwort_proto::crypto::random;
use serde::Serialize;
use tokio::sync::Notify;

pub(crate) use access::{Access, How, Reason, Standing};
use access::{Ended, Opened, Review, SecondPerson};
pub(crate) use report::Report;
pub(crate) use rule::check;
pub(crate) use tell::Tell;

use crate::config::EmergencyConfig;
use crate::error::GatewayError;
use crate::roster::Roster;
use crate::user::{Asking, By};
use crate::view::PatientView;
use crate::{Gateway, StartError};

/// The purpose of use that nothing but an emergency access has.
pub(crate) const BREAK_THE_GLASS: &str = "BTG";
/// The purpose of use of treatment in an emergency, with an emergency access or, where consent has it, without.
const EMERGENCY_TREATMENT: &str = "ETREAT";
/// The action by which broker and archive decide.
pub(crate) const ACTION: &str = "emergency";
/// How often ends and untold notices are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest reason in words, and longest finding, in characters.
pub(crate) const TEXT_CHARACTERS_MAX: usize = 4000;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// `system|value`, or the id of a Patient known here.
    pub(crate) patient: String,
    pub(crate) reason: Reason,
    /// The sentence, as it was typed.
    pub(crate) confirmation: String,
}

/// An emergency access as it is shown in lists and answers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    pub(crate) access: Access,
    pub(crate) standing: Standing,
    pub(crate) notices: Vec<Tell>,
}

/// All emergency accesses of this hospital.
pub(crate) struct Emergencies {
    config: EmergencyConfig,
    accesses: Mutex<BTreeMap<String, Access>>,
    tells: Mutex<BTreeMap<String, Tell>>,
    /// Those that have ended, with their report written and everybody's notice kept.
    settled: Mutex<BTreeSet<String>>,
    /// One change at a time, so that what is on disk is what is in memory.
    changing: tokio::sync::Mutex<()>,
    to_tell: Notify,
    /// The broker has something to say.
    to_ask: Notify,
    web: WebClient,
}

impl Emergencies {
    /// Those that are kept.
    pub(crate) async fn load(config: &EmergencyConfig, roster: &Roster) -> Result<Self, StartError> {
        let web = tell::client(config).map_err(StartError::EmergencyNotices)?;
        let unreadable = |_| GatewayError::Kept("an emergency access cannot be read");
        let read = |row: &Vec<u8>| serde_json::from_slice::<Access>(row).map(|access| (access.id.clone(), access));
        let accesses = roster.emergencies().await?.iter().map(read).collect::<Result<_, _>>().map_err(unreadable)?;
        let read = |row: &Vec<u8>| serde_json::from_slice::<Tell>(row).map(|tell| (tell.id.clone(), tell));
        let tells = roster.tells().await?.iter().map(read).collect::<Result<_, _>>().map_err(unreadable)?;
        Ok(Self {
            config: config.clone(),
            accesses: Mutex::new(accesses),
            tells: Mutex::new(tells),
            settled: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            to_tell: Notify::new(),
            to_ask: Notify::new(),
            web,
        })
    }

    /// The active access that this request goes by. Breaking the glass without one is refused; treatment in an emergency
    /// is then ordinary reading, for which consent has its own provisions.
    pub(crate) fn admit(
        &self,
        is_to: impl Fn(Pseudonym) -> bool,
        asking: &Asking,
        now: u64,
    ) -> Result<Option<Access>, GatewayError> {
        if !is_emergency(&asking.purpose) {
            return Ok(None);
        }
        let fits = |access: &&Access| {
            access.patient.parse().is_ok_and(&is_to)
                && access.user == asking.user
                && access.purpose == asking.purpose
                && asking.by == By::User
                && access.standing(now) == Standing::Active
        };
        match lock(&self.accesses).values().find(fits) {
            Some(access) => Ok(Some(access.clone())),
            None if asking.purpose == EMERGENCY_TREATMENT => Ok(None),
            None => Err(refused(
                403,
                "emergency-access-needed",
                "breaking the glass needs an emergency access of this user to this patient, and none is active",
                "ask for one: POST /fhir/$emergency-access, or sealwort emergency open",
            )),
        }
    }

    /// The patient whom an emergency access opened, by the id of the Patient; the last one of that id.
    pub(crate) fn patient_opened(&self, id: &str) -> Option<Pseudonym> {
        let accesses = lock(&self.accesses);
        let of_id = accesses.values().filter(|access| {
            let patients = access.opened.resources.get(ResourceType::PATIENT.as_str());
            patients.is_some_and(|ids| ids.contains(id))
        });
        of_id.max_by_key(|access| access.begun)?.patient.parse().ok()
    }

    /// The hospital's own rule, for pages that say it before anybody asks.
    pub(crate) fn rule(&self) -> &EmergencyConfig {
        &self.config
    }

    /// The broker says that there is something to ask for.
    pub(crate) fn told_to_ask(&self) {
        self.to_ask.notify_one();
    }

    fn find(&self, id: &str) -> Result<Access, GatewayError> {
        lock(&self.accesses).get(id).cloned().ok_or_else(|| {
            refused(404, "emergency-unknown", "no such emergency access is known here", "sealwort emergency list")
        })
    }

    fn is_officer(&self, asking: &Asking) -> bool {
        asking.by == By::User && self.config.officers.contains(&asking.role)
    }
}

/// Looks for ends, writes reports and tells, until `shutdown`. What a crash left undone is done at the first look.
pub(crate) async fn look_forever(gateway: Arc<Gateway>, shutdown: Shutdown) {
    let telling = tokio::spawn(gateway.observed(tell::tell_forever(Arc::clone(&gateway), shutdown.clone())));
    let asking = tokio::spawn(gateway.observed(elsewhere::ask_forever(Arc::clone(&gateway), shutdown.clone())));
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.wait() => break,
        }
        if let Err(error) = async {
            gateway.end_overdue().await?;
            gateway.catch_up().await
        }
        .await
        {
            tracing::error!(%error, "what an emergency access leaves could not be kept; it is tried again");
        }
    }
    let _ = telling.await;
    let _ = asking.await;
}

impl Gateway {
    /// Asks for emergency access. It begins at once, or when a second person has approved it.
    pub(crate) async fn open_emergency(&self, wanted: Wanted, asking: &Asking) -> Result<Shown, GatewayError> {
        let emergencies = &self.emergencies;
        let begun = std::time::Instant::now();
        let outcome = async {
            let patient = self.check_wanted(&wanted, asking).await?;
            let now = self.sessions.now().as_secs();
            let purpose = Some(&asking.purpose).filter(|purpose| is_emergency(purpose));
            let needs_second = emergencies.config.second_person.contains(&asking.role);
            let mut access = Access {
                id: hex::encode(random::<16>()),
                patient: patient.to_string(),
                named: wanted.patient.clone(),
                user: asking.user.clone(),
                role: asking.role.clone(),
                purpose: purpose.map_or(BREAK_THE_GLASS, String::as_str).to_owned(),
                reason: wanted.reason.clone(),
                minutes: emergencies.config.minutes,
                requested: now,
                second_person: if needs_second { SecondPerson::Awaited } else { SecondPerson::NotNeeded },
                begun: None,
                until: None,
                ended: None,
                opened: Opened::default(),
                review: None,
            };
            if needs_second {
                self.keep_emergency(&access).await?;
                note("requested", &access);
                return Ok(access);
            }
            note("requested", &access);
            access.begin(now);
            self.begin_emergency(patient, access).await
        };
        let access = outcome.await.inspect_err(|error: &GatewayError| {
            tracing::warn!(
                event = "refused",
                user = asking.user,
                role = asking.role,
                code = error.code(),
                "emergency access"
            );
        })?;
        tracing::info!(id = access.id, milliseconds = begun.elapsed().as_millis(), "an emergency access was answered");
        Ok(self.show_emergency(access))
    }

    /// A second person agrees.
    pub(crate) async fn approve_emergency(&self, id: &str, asking: &Asking) -> Result<Shown, GatewayError> {
        let mut access = self.emergencies.find(id)?;
        let now = self.sessions.now().as_secs();
        if access.user == asking.user {
            return Err(refused(
                403,
                "emergency-same-person",
                "the second person must be another than the one who asks",
                "have a colleague approve it with their own token",
            ));
        }
        self.check_person(asking)?;
        if access.standing(now) != Standing::Awaited || access.second_person != SecondPerson::Awaited {
            return Err(not_awaited());
        }
        access.second_person = SecondPerson::Approved { user: asking.user.clone(), role: asking.role.clone(), at: now };
        access.begin(now);
        note("approved", &access);
        let patient = access.patient.parse().map_err(|_| GatewayError::Kept("an emergency access names no patient"))?;
        Ok(self.show_emergency(self.begin_emergency(patient, access).await?))
    }

    /// Ends an emergency access: its user, or a security officer.
    pub(crate) async fn end_emergency(&self, id: &str, asking: &Asking) -> Result<Shown, GatewayError> {
        let access = self.emergencies.find(id)?;
        let how = if asking.by == By::User && access.user == asking.user {
            How::User
        } else if self.emergencies.is_officer(asking) {
            How::Officer
        } else {
            return Err(not_officers());
        };
        let now = self.sessions.now().as_secs();
        let ended = Ended { at: now, how, by: Some(asking.user.clone()), code: None };
        Ok(self.show_emergency(self.finish_emergency(id, ended).await?))
    }

    /// Emergency accesses, the newest first: a security officer sees all, others those that they take part in or may
    /// approve.
    pub(crate) fn list_emergencies(&self, asking: &Asking) -> Vec<Shown> {
        let emergencies = &self.emergencies;
        let (officer, now) = (emergencies.is_officer(asking), self.sessions.now().as_secs());
        let takes_part = |access: &Access| match &access.second_person {
            SecondPerson::Approved { user, .. } => *user == asking.user,
            SecondPerson::Awaited => {
                emergencies.config.roles.contains(&asking.role) && access.standing(now) == Standing::Awaited
            }
            SecondPerson::NotNeeded => false,
        };
        let all = lock(&emergencies.accesses);
        let mut seen: Vec<_> =
            all.values().filter(|a| officer || a.user == asking.user || takes_part(a)).cloned().collect();
        drop(all);
        seen.sort_by(|a, b| (b.requested, &b.id).cmp(&(a.requested, &a.id)));
        seen.into_iter().map(|access| self.show_emergency(access)).collect()
    }

    /// The report of an emergency access that has ended, for security officers.
    pub(crate) async fn emergency_report(&self, id: &str, asking: &Asking) -> Result<Report, GatewayError> {
        if !self.emergencies.is_officer(asking) {
            return Err(not_officers());
        }
        let access = self.emergencies.find(id)?;
        let report = self.roster.emergency_report(id).await?.ok_or_else(|| {
            refused(
                409,
                "emergency-not-ended",
                "the report is written when the emergency access has ended",
                "end it with sealwort emergency end, or wait for its end",
            )
        })?;
        Report::read(&report, access.review, self.emergencies.tells_of(id))
    }

    /// What a security officer found.
    pub(crate) async fn review_emergency(
        &self,
        id: &str,
        finding: &str,
        asking: &Asking,
    ) -> Result<Shown, GatewayError> {
        if !self.emergencies.is_officer(asking) {
            return Err(not_officers());
        }
        let finding = finding.trim();
        if finding.is_empty() || finding.chars().count() > TEXT_CHARACTERS_MAX {
            return Err(refused(
                422,
                "emergency-finding-needed",
                format!("a finding has 1 to {TEXT_CHARACTERS_MAX} characters"),
                "say what was found, such as: justified",
            ));
        }
        let now = self.sessions.now().as_secs();
        let _one_at_a_time = self.emergencies.changing.lock().await;
        let mut access = self.emergencies.find(id)?;
        if access.standing(now) != Standing::Ended {
            return Err(refused(409, "emergency-not-ended", "it has not ended", "review it when it has"));
        }
        access.review = Some(Review { by: asking.user.clone(), at: now, finding: finding.to_owned() });
        self.keep_emergency(&access).await?;
        note("reviewed", &access);
        Ok(self.show_emergency(access))
    }

    /// Remembers what was opened, before it is shown; refuses where the access has ended meanwhile.
    pub(crate) async fn note_opened(&self, id: &str, view: &PatientView) -> Result<(), GatewayError> {
        let _one_at_a_time = self.emergencies.changing.lock().await;
        let mut access = self.emergencies.find(id)?;
        let now = self.sessions.now().as_secs();
        if access.standing(now) != Standing::Active {
            return Err(refused(
                403,
                "emergency-access-needed",
                "the emergency access has ended",
                "ask for another one: POST /fhir/$emergency-access, or sealwort emergency open",
            ));
        }
        let resources = view.all().map(|(_, held)| (held.kind, held.id.as_str()));
        if access.add(resources, view.withheld, now) {
            self.keep_emergency(&access).await?;
        }
        note("used", &access);
        Ok(())
    }

    /// Keeps it, tells, and opens the record: what cannot be opened ends again at once.
    async fn begin_emergency(&self, patient: Pseudonym, access: Access) -> Result<Access, GatewayError> {
        let awaited = |before: Access| before.ended.is_none() && before.begun.is_none();
        {
            let _one_at_a_time = self.emergencies.changing.lock().await;
            // Somebody may have been quicker.
            if !self.emergencies.find(&access.id).map_or(true, awaited) {
                return Err(not_awaited());
            }
            self.keep_emergency(&access).await?;
        }
        let asking = Asking::itself(access.user.clone(), access.role.clone(), access.purpose.clone());
        if let Err(error) = self.open(patient, &asking).await {
            let code = Some(error.code().to_owned());
            let ended = Ended { at: self.sessions.now().as_secs(), how: How::NotOpened, by: None, code };
            self.finish_emergency(&access.id, ended).await?;
            return Err(error);
        }
        note("begun", &access);
        let access = self.emergencies.find(&access.id)?;
        self.settle(&access).await?;
        Ok(access)
    }

    /// Ends it once: nobody is shown anything any more, then it is kept and reported.
    async fn finish_emergency(&self, id: &str, ended: Ended) -> Result<Access, GatewayError> {
        let _one_at_a_time = self.emergencies.changing.lock().await;
        let mut access = self.emergencies.find(id)?;
        if access.ended.is_some() {
            return Ok(access);
        }
        // An end that nobody asked for has its entry here; the others have that of the request.
        let by_itself = ended.by.is_none();
        access.ended = Some(ended);
        self.keep_emergency(&access).await?;
        self.patients.close_emergency(id);
        note("ended", &access);
        if by_itself {
            self.enter_emergency(EventKind::EmergencyEnded, &access).await?;
        }
        self.settle(&access).await?;
        Ok(access)
    }

    /// Ends what is overdue, and writes the reports that a crash kept from being written.
    async fn end_overdue(&self) -> Result<(), GatewayError> {
        let now = self.sessions.now().as_secs();
        let overdue: Vec<_> = {
            let all = lock(&self.emergencies.accesses);
            all.values().filter_map(|access| Some((access.id.clone(), access.overdue(now)?))).collect()
        };
        for (id, ended) in overdue {
            self.finish_emergency(&id, ended).await?;
        }
        Ok(())
    }

    /// Does what a crash or a full disk kept from being done: reports that were not written, notices that were not kept.
    pub(crate) async fn catch_up(&self) -> Result<(), GatewayError> {
        let _one_at_a_time = self.emergencies.changing.lock().await;
        let unsettled: Vec<_> = {
            let settled = lock(&self.emergencies.settled);
            lock(&self.emergencies.accesses).values().filter(|a| !settled.contains(&a.id)).cloned().collect()
        };
        for access in unsettled {
            self.settle(&access).await?;
        }
        Ok(())
    }

    /// Tells of what was opened, and reports what has ended. Doing it again changes nothing.
    async fn settle(&self, access: &Access) -> Result<(), GatewayError> {
        if access.opened.first.is_some() {
            self.tell_of(access, "begun").await?;
        }
        if access.ended.is_none() {
            return Ok(());
        }
        if self.roster.emergency_report(&access.id).await?.is_none() {
            self.write_report(access).await?;
        }
        if access.opened.first.is_some() {
            self.tell_of(access, "ended").await?;
        }
        lock(&self.emergencies.settled).insert(access.id.clone());
        Ok(())
    }

    async fn write_report(&self, access: &Access) -> Result<(), GatewayError> {
        let party = self.member.party();
        let told = self.emergencies.tells_of(&access.id);
        let report = report::write(access, told, &party, self.sessions.now().as_secs())?;
        self.roster.put_emergency_report(&access.id, &report).await?;
        note("reported", access);
        self.enter_emergency(EventKind::EmergencyReported, access).await
    }

    /// What happened to an emergency access by itself, in the audit log.
    async fn enter_emergency(&self, kind: EventKind, access: &Access) -> Result<(), GatewayError> {
        let mut entry = self.journal.event(kind).user(&access.user, &access.role).purpose(&access.purpose);
        entry.patient = access.patient.parse().ok();
        let entry = entry.detail(Detail::Subject, &access.id).detail(Detail::Reason, &access.reason.code);
        Ok(self.journal.append(entry).await?)
    }

    /// On disk first, then in force.
    async fn keep_emergency(&self, access: &Access) -> Result<(), GatewayError> {
        let row =
            serde_json::to_vec(access).map_err(|_| GatewayError::Kept("an emergency access cannot be written"))?;
        self.roster.put_emergency(&access.id, &row).await?;
        lock(&self.emergencies.accesses).insert(access.id.clone(), access.clone());
        Ok(())
    }

    fn show_emergency(&self, access: Access) -> Shown {
        let standing = access.standing(self.sessions.now().as_secs());
        Shown { standing, notices: self.emergencies.tells_of(&access.id), access }
    }
}

/// Every event of every emergency access passes here, on its way into the log.
fn note(event: &'static str, access: &Access) {
    tracing::info!(
        event,
        id = access.id,
        patient = access.patient,
        user = access.user,
        role = access.role,
        purpose = access.purpose,
        reason = access.reason.code,
        "emergency access"
    );
}

/// Whether a purpose of use may go by an emergency access.
pub(crate) fn is_emergency(purpose: &str) -> bool {
    matches!(purpose, BREAK_THE_GLASS | EMERGENCY_TREATMENT)
}

fn refused(status: u16, code: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> GatewayError {
    let issue = match status {
        403 => IssueCode::Forbidden,
        404 => IssueCode::NotFound,
        409 => IssueCode::Conflict,
        _ => IssueCode::BusinessRule,
    };
    GatewayError::request(status, issue, code, text, remedy)
}

fn not_awaited() -> GatewayError {
    refused(
        409,
        "emergency-not-awaited",
        "this emergency access awaits nobody's approval",
        "sealwort emergency list shows how it stands",
    )
}

fn not_officers() -> GatewayError {
    refused(
        403,
        "emergency-officers-only",
        "this is for security officers",
        "use the token of a user with a role of emergency.officers",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
