//! What the buttons do: the demo's exchange again, through the gateways' FHIR faces, for a patient of the page's own.

use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwort_net::{Clock as _, SystemClock};
use sealwort_pages::date;
use sealwort_pages::words::explain::{self as words, ButtonWords, ChapterWords};
use serde_json::{Value, json};

use super::Explain;
use super::recorder::{Hospital, Outcome};
use crate::client::encode;
use crate::error::CliError;

/// A button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Upload,
    Allow,
    Read,
    Withdraw,
    Cut,
}

impl Action {
    /// In a path.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Allow => "allow",
            Self::Read => "read",
            Self::Withdraw => "withdraw",
            Self::Cut => "cut",
        }
    }
}

impl FromStr for Action {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Upload, Self::Allow, Self::Read, Self::Withdraw, Self::Cut]
            .into_iter()
            .find(|action| action.name() == name)
            .ok_or(())
    }
}

/// The buttons in the order in which they make a story; reading stands there twice.
pub(super) const BUTTONS: [(Action, ButtonWords); 6] = [
    (Action::Upload, words::UPLOAD),
    (Action::Allow, words::ALLOW),
    (Action::Read, words::READ),
    (Action::Withdraw, words::WITHDRAW),
    (Action::Read, words::READ_AGAIN),
    (Action::Cut, words::CUT),
];

impl Explain {
    /// Does it, and tells in a chapter what came of it; the chapter's number.
    pub(super) async fn act(&self, action: Action, note: &str) -> usize {
        // One at a time: two at once would be one chapter.
        let _alone = self.acting.lock().await;
        let (chapter, hospital) = match action {
            Action::Upload => (ChapterWords::Upload, Hospital::A),
            Action::Allow => (ChapterWords::Allow, Hospital::A),
            Action::Read => (ChapterWords::Read, Hospital::B),
            Action::Withdraw => (ChapterWords::Withdraw, Hospital::A),
            Action::Cut => (ChapterWords::Cut, Hospital::A),
        };
        let id = self.recorder.begin(chapter, hospital);
        let outcome = match action {
            Action::Upload => self.upload(note).await,
            Action::Allow => self.consent("grant", words::ALLOWED).await,
            Action::Read => self.read().await,
            Action::Withdraw => self.consent("withdraw", words::WITHDREW).await,
            Action::Cut => Ok(self.cut().await),
        };
        self.recorder.end(outcome.unwrap_or_else(|error| Outcome::Failed(words::failed(&error.to_string()))));
        id
    }

    /// Cuts all connections, and looks whether broker and archive have let go of what was agreed on them.
    async fn cut(&self) -> Outcome {
        let before = (self.sessions)();
        self.relays.iter().for_each(crate::demo::relay::Relay::cut);
        let begun = Instant::now();
        while !before.is_disjoint(&(self.sessions)()) {
            if begun.elapsed() > CUT_PATIENCE {
                return Outcome::Failed(words::CUT_FAILED.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Outcome::Done(words::CUT_DONE.to_owned())
    }

    async fn upload(&self, note: &str) -> Result<Outcome, CliError> {
        let number = self.notes.load(Ordering::Relaxed) + 1;
        let body = Bytes::from(bundle(number, note).to_string());
        self.recorder.told(Hospital::A, &body);
        let answer = self.hospital_a.post("/fhir", body).await?;
        self.recorder.said(Hospital::A, &answer.body);
        let is_kept = answer.status == ACCEPTED;
        answer.success(words::UPLOAD.button)?;
        self.notes.store(number, Ordering::Relaxed);
        Ok(Outcome::Done(if is_kept { words::UPLOAD_KEPT.to_owned() } else { words::uploaded(number) }))
    }

    async fn consent(&self, change: &str, done: &str) -> Result<Outcome, CliError> {
        let patient = format!("{SYSTEM}|{IDENTIFIER}");
        let body = if change == "grant" {
            json!({"patient": patient, "to": "hospital-b", "actions": ["read"], "purposes": ["TREAT"], "days": 1})
        } else {
            json!({"patient": patient, "to": "hospital-b"})
        };
        let body = Bytes::from(body.to_string());
        self.recorder.told(Hospital::A, &body);
        let answer = self.hospital_a.post(&format!("/consent/{change}"), body).await?;
        self.recorder.said(Hospital::A, &answer.body);
        answer.success(change)?;
        self.withdrawn.store(change != "grant", Ordering::Relaxed);
        Ok(Outcome::Done(done.to_owned()))
    }

    async fn read(&self) -> Result<Outcome, CliError> {
        let search = format!("/fhir/Patient?identifier={}", encode(&format!("{SYSTEM}|{IDENTIFIER}")));
        let begun = Instant::now();
        let mut found = self.hospital_b.get(&search).await?;
        // The broker's notice of a withdrawal ends what B holds open; it may be on its way still.
        while found.status == 200 && self.withdrawn.load(Ordering::Relaxed) && begun.elapsed() < NOTICE_PATIENCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
            found = self.hospital_b.get(&search).await?;
        }
        if found.status == 403 {
            self.recorder.told(Hospital::B, &found.body);
            return Ok(Outcome::Refused(words::read_refused(&found.code())));
        }
        let search_set = found.success(words::READ.button)?;
        let patients = parsed(&search_set)?;
        let Some(patient) = patients.pointer("/entry/0/resource/id").and_then(Value::as_str) else {
            return Ok(Outcome::Failed(words::READ_NOBODY.to_owned()));
        };
        self.recorder.said(Hospital::B, &search_set);
        let path = format!("/fhir/Observation?patient={}&_sort=-date", encode(patient));
        let notes = self.hospital_b.get(&path).await?;
        if notes.status == 403 {
            self.recorder.told(Hospital::B, &notes.body);
            return Ok(Outcome::Refused(words::read_refused(&notes.code())));
        }
        let body = notes.success(words::READ.button)?;
        self.recorder.told(Hospital::B, &body);
        let notes = parsed(&body)?;
        let count = notes.pointer("/entry").and_then(Value::as_array).map_or(0, Vec::len);
        let newest = notes.pointer("/entry/0/resource/valueString").and_then(Value::as_str).unwrap_or_default();
        let mut said = words::read(count, newest);
        if self.recorder.last_step().is_none() {
            said = format!("{said} {}", words::READ_HELD);
        }
        Ok(Outcome::Done(said))
    }
}

fn parsed(body: &Bytes) -> Result<Value, CliError> {
    serde_json::from_slice(body).map_err(|e| CliError::Local(format!("the gateway's answer is no JSON: {e}")))
}

/// A note; with the first one comes the patient.
fn bundle(number: usize, note: &str) -> Value {
    let now = SystemClock.now().as_secs();
    let base = "http://hospital-a.example/fhir";
    let note = json!({
        "fullUrl": format!("{base}/Observation/{PATIENT}-{number}"),
        "resource": {
            "resourceType": "Observation", "id": format!("{PATIENT}-{number}"), "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "48767-8"}], "text": "Note"},
            "subject": {"reference": format!("{base}/Patient/{PATIENT}")},
            "effectiveDateTime": date::machine(now),
            "valueString": note,
        },
    });
    let patient = json!({
        "fullUrl": format!("{base}/Patient/{PATIENT}"),
        "resource": {
            "resourceType": "Patient", "id": PATIENT,
            "identifier": [{"system": SYSTEM, "value": IDENTIFIER}],
            "name": [{"family": "Oakenfold", "given": ["Marguerite"]}],
            "gender": "female", "birthDate": "1957-03-14",
        },
    });
    json!({"resourceType": "Bundle", "type": "collection", "entry": [patient, note]})
}

/// Status of what a gateway keeps and will send by itself.
const ACCEPTED: u16 = 202;
const PATIENT: &str = "demo-visitor";
const SYSTEM: &str = "urn:sealwort:demo";
const IDENTIFIER: &str = "visitor-1957";
/// Longest time in which a withdrawal must be felt.
const NOTICE_PATIENCE: Duration = Duration::from_secs(2);
/// Longest time in which keys must be gone once their connection is.
const CUT_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_button_has_a_name_of_its_own() {
        for (action, _) in BUTTONS {
            assert_eq!(action.name().parse(), Ok(action));
        }
        assert!("other".parse::<Action>().is_err());
    }
}
