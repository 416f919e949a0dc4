//! The patient's view: what the logs of this gateway, the broker and the archive hold about one patient, asked for by the
//! patient's consent authority, each proved against its own party's checkpoint, and merged into one list.
//!
//! `join` says which entries are about the same access, `balp` writes an access as a FHIR AuditEvent.

pub(crate) mod balp;
pub(crate) mod join;

use std::sync::Arc;

use sealwort_audit::{AccessLogFile, Event, Export, Fault, LogPart, Passed, Verdict, verify_selected};
use sealwort_journal::export_of;
use sealwort_pki::Trust;
use sealwort_proto::codec::Blob;
use sealwort_proto::error::Fault as By;
use sealwort_proto::log_request::LogRequest;
use sealwort_proto::message::{FromArchive, FromBroker, LogPage, ToArchive, ToBroker};
use sealwort_proto::{Pseudonym, statement};

use crate::Gateway;
use crate::consent::authority_elsewhere;
use crate::error::GatewayError;
use crate::open::unexpected;
use crate::patients::own;
use crate::session::Session;
use crate::trail::{Granted, Trail};

/// Most pages of one log.
const PAGES_MAX: usize = 64;

/// Whose log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Party {
    /// This gateway's.
    Gateway,
    Broker,
    Archive,
}

impl Party {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Broker => "broker",
            Self::Archive => "archive",
        }
    }
}

/// An entry of a log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) party: Party,
    pub(crate) number: u64,
    pub(crate) event: Event,
}

/// What one party told.
pub(crate) struct PartyLog {
    pub(crate) party: Party,
    /// Identity of the party.
    pub(crate) origin: String,
    pub(crate) standing: Result<Passed, Doubtful>,
    /// None of a log that does not hold.
    pub(crate) entries: Vec<Entry>,
    /// What proves them, page by page.
    proofs: Vec<Export>,
}

/// Why nothing of a log is shown.
#[derive(Debug, Clone)]
pub(crate) struct Doubtful {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

/// What is known of who had to do with one patient's record.
pub(crate) struct AccessLog {
    pub(crate) patient: Pseudonym,
    pub(crate) logs: Vec<PartyLog>,
}

impl AccessLog {
    /// Everything with its proofs, for whoever verifies it without any network: `sealwort audit verify`.
    pub(crate) fn to_file(&self) -> AccessLogFile {
        let part = |log: &PartyLog| match &log.standing {
            Ok(_) => {
                let entries = log.entries.iter().map(|entry| (entry.number, &entry.event));
                LogPart::new(&log.origin, entries, &log.proofs)
            }
            Err(doubt) => LogPart::missing(&log.origin, &doubt.text),
        };
        AccessLogFile::new(self.patient, self.logs.iter().map(part).collect())
    }
}

/// A log's pages, as its party sent them.
type Pages = Result<Vec<LogPage>, Doubtful>;

impl Gateway {
    /// Asks all three parties. Only who is the patient's consent authority is told by the others.
    pub(crate) async fn access_log(&self, patient: Pseudonym, trail: &Trail) -> Result<AccessLog, GatewayError> {
        trail.touches(patient);
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        if known.directive.0.is_empty() {
            return Err(authority_elsewhere());
        }
        let (own, broker, archive, others) = match self.session().await {
            Err(error) => {
                let names = [Party::Broker, Party::Archive].map(|party| party.as_str().to_owned());
                (self.own_log(patient).await, Err(doubtful(&error)), Err(doubtful(&error)), names)
            }
            Ok(session) => {
                let request = self.log_request(&session, patient)?;
                trail.is_granted(patient, Granted { request: Some(statement::digest(&request.0)), token: None });
                let (own, broker, archive) = tokio::join!(
                    self.own_log(patient),
                    self.log_of_broker(&session, &request),
                    self.log_of_archive(&session, &request)
                );
                let established = &session.established;
                let names = [&established.broker, &established.archive].map(|party| party.identity().to_string());
                (own, broker, archive, names)
            }
        };
        let [of_broker, of_archive] = others;
        let origins = [self.member.identity().to_string(), of_broker, of_archive];
        let parties = [Party::Gateway, Party::Broker, Party::Archive];
        let trust = self.member.trust().current();
        let told: Vec<_> = parties.into_iter().zip(origins).zip([own, broker, archive]).collect();
        let checking = sealwort_net::transport::away(move || {
            let check = |((party, origin), pages)| check(party, origin, patient, pages, &trust);
            told.into_iter().map(check).collect()
        });
        let logs = checking.await.map_err(|_| GatewayError::Kept("verifying the logs was interrupted"))?;
        Ok(AccessLog { patient, logs })
    }

    fn log_request(&self, session: &Session, patient: Pseudonym) -> Result<Blob, GatewayError> {
        let request = LogRequest {
            exchange: self.member.identity().exchange.to_string(),
            patient,
            session: session.established.with_broker.session(),
            issued_at: self.sessions.now().as_secs(),
        };
        Ok(Blob(request.sign(&self.keys.authority, &self.member.party().operations).map_err(own)?))
    }

    async fn own_log(&self, patient: Pseudonym) -> Pages {
        let mut reading = Reading::default();
        while let Some((from, size)) = reading.wants() {
            let page = self.journal.about(patient, from, size).await;
            reading.take(page.map_err(|error| doubtful(&error.into()))?)?;
        }
        Ok(reading.pages)
    }

    async fn log_of_broker(&self, session: &Session, request: &Blob) -> Pages {
        let mut reading = Reading::default();
        while let Some((from, size)) = reading.wants() {
            let question = ToBroker::Log { request: request.clone(), from, size };
            match self.sessions.ask_broker(session, &question).await.map_err(|error| doubtful(&error))? {
                FromBroker::Log(page) => reading.take(*page)?,
                _ => return Err(doubtful(&unexpected(By::Broker))),
            }
        }
        Ok(reading.pages)
    }

    async fn log_of_archive(&self, session: &Arc<Session>, request: &Blob) -> Pages {
        let mut reading = Reading::default();
        while let Some((from, size)) = reading.wants() {
            let question = ToArchive::Log { request: request.clone(), from, size };
            let asked = self.sessions.ask_archive(session, &[question]).await;
            let mut answers = asked.map_err(|error| doubtful(&error))?;
            match answers.next().await.map_err(|error| doubtful(&error))?.0 {
                FromArchive::Log(page) => reading.take(*page)?,
                _ => return Err(doubtful(&unexpected(By::Archive))),
            }
        }
        Ok(reading.pages)
    }
}

/// A log on its way, page by page, all of one size.
#[derive(Default)]
struct Reading {
    pages: Vec<LogPage>,
}

impl Reading {
    /// From which number on, at which size, the next page is asked for; none when all are here.
    fn wants(&self) -> Option<(u64, u64)> {
        self.pages.last().map_or(Some((0, 0)), |last| last.next.map(|next| (next, last.size)))
    }

    fn take(&mut self, page: LogPage) -> Result<(), Doubtful> {
        let goes_on = page.next.is_none_or(|next| page.entries.last().is_some_and(|last| next > last.number));
        if !goes_on {
            return Err(tampered("one of its pages does not lead on".to_owned()));
        }
        if self.pages.len() >= PAGES_MAX {
            let text = format!("it has more than {PAGES_MAX} pages about this patient, which is too long to be shown");
            return Err(Doubtful { code: "log-too-long", text });
        }
        self.pages.push(page);
        Ok(())
    }
}

/// Believes of a log what its proofs prove.
fn check(party: Party, origin: String, patient: Pseudonym, pages: Pages, trust: &Trust) -> PartyLog {
    let checked = pages.and_then(|pages| {
        checked(party, &origin, patient, &pages, trust).map_err(|verdict| match verdict.fault {
            Fault::Tampered => tampered(verdict.reason),
            Fault::Unverifiable => Doubtful { code: "log-unverifiable", text: verdict.reason },
        })
    });
    match checked {
        Ok((passed, entries, proofs)) => PartyLog { party, origin, standing: Ok(passed), entries, proofs },
        Err(doubt) => PartyLog { party, origin, standing: Err(doubt), entries: Vec::new(), proofs: Vec::new() },
    }
}

fn checked(
    party: Party,
    origin: &str,
    patient: Pseudonym,
    pages: &[LogPage],
    trust: &Trust,
) -> Result<(Passed, Vec<Entry>, Vec<Export>), Verdict> {
    let wrong = |reason: &str| Verdict { fault: Fault::Tampered, number: None, reason: reason.to_owned() };
    let head = pages.first().and_then(|page| page.head.as_ref()).ok_or_else(|| wrong("it shows no checkpoint"))?;
    let (mut proofs, mut entries): (Vec<Export>, Vec<Entry>) = (Vec::new(), Vec::new());
    let mut all: Option<Passed> = None;
    for page in pages {
        let export = export_of(page, head)?;
        let leaves = page.entries.iter().map(|entry| entry.leaf.as_ref());
        let passed = verify_selected(&export, leaves, trust, 0)?;
        if passed.origin != origin {
            return Err(wrong("it is the log of another party"));
        }
        for entry in &page.entries {
            let event = Event::from_bytes(entry.leaf.as_ref()).map_err(|_| wrong("an entry cannot be read"))?;
            if event.patient != Some(patient) {
                return Err(wrong("an entry is about somebody else"));
            }
            if entries.last().is_some_and(|last| last.number >= entry.number) {
                return Err(wrong("its entries are not in order"));
            }
            entries.push(Entry { party, number: entry.number, event });
        }
        let before = all.take().map_or(0, |passed| passed.entries);
        all = Some(Passed { entries: before + passed.entries, ..passed });
        proofs.push(export);
    }
    Ok((all.ok_or_else(|| wrong("it shows nothing"))?, entries, proofs))
}

fn tampered(text: String) -> Doubtful {
    Doubtful { code: "log-tampered", text }
}

fn doubtful(error: &GatewayError) -> Doubtful {
    Doubtful { code: "log-not-told", text: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sealwort_proto::message::LogEntry;

    use super::*;

    fn page(number: u64, next: Option<u64>) -> LogPage {
        let entries = vec![LogEntry { number, leaf: Blob(Vec::new()) }];
        LogPage { size: 1_000_000, next, head: None, entries, proof: Vec::new() }
    }

    /// An honest log may be longer than what is shown of it.
    #[test]
    fn what_is_too_long_is_not_called_tampered() {
        let mut reading = Reading::default();
        for number in 0..PAGES_MAX as u64 {
            assert_eq!(reading.wants(), Some((number, if number == 0 { 0 } else { 1_000_000 })));
            reading.take(page(number, Some(number + 1))).unwrap();
        }
        let more = page(PAGES_MAX as u64, None);
        assert_eq!(reading.take(more).unwrap_err().code, "log-too-long");
        let empty = LogPage { entries: Vec::new(), ..page(7, Some(8)) };
        for back in [page(7, Some(7)), page(7, Some(3)), empty] {
            assert_eq!(Reading::default().take(back).unwrap_err().code, "log-tampered");
        }
        let mut last = Reading::default();
        last.take(page(7, None)).unwrap();
        assert_eq!(last.wants(), None);
    }
}
