//! Questions of patients about looks at their records, and what the hospital answers. Both are kept sealed in the roster;
//! that somebody asked and somebody answered stands in the audit log as well, where nobody takes it out.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use sealwort_fhir::IssueCode;
use sealwort_proto::Pseudonym;
use sealwort_proto::crypto::random;
use sealwort_store::RosterKind;
use serde::{Deserialize, Serialize};

use crate::Gateway;
use crate::error::GatewayError;
use crate::roster::Roster;
use crate::trail::Trail;
use crate::user::Asking;

/// Longest question: it fits into one detail of an entry, whatever its letters.
pub(crate) const QUESTION_CHARACTERS_MAX: usize = 400;
/// Longest answer.
const ANSWER_CHARACTERS_MAX: usize = 4000;
/// Questions of one patient that wait for their answers.
const OPEN_PER_PATIENT_MAX: usize = 20;

/// A question, as it is kept and as staff see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) id: String,
    /// The pseudonym.
    patient: String,
    /// The Patient's id.
    patient_id: String,
    /// The entry that is questioned: `gateway-41`, `broker-7`.
    pub(crate) entry: String,
    /// The look, as whoever asks read it.
    pub(crate) look: String,
    #[serde(rename = "question")]
    pub(crate) text: String,
    /// Who asks: the patient, or a delegate.
    asked_by: String,
    /// Unix time.
    pub(crate) asked: u64,
    pub(crate) answer: Option<Answer>,
}

/// What the hospital says to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) by: String,
    /// Unix time.
    pub(crate) at: u64,
}

impl Question {
    fn patient(&self) -> Option<Pseudonym> {
        self.patient.parse().ok()
    }
}

/// All questions at this hospital.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    all: RwLock<BTreeMap<String, Question>>,
    /// One change at a time, so that what is on disk is what is in memory.
    changing: tokio::sync::Mutex<()>,
}

impl Questions {
    /// Those that are kept.
    pub(crate) async fn load(roster: &Roster) -> Result<Self, GatewayError> {
        let unreadable = |_| GatewayError::Kept("a question cannot be read");
        let rows = roster.all(RosterKind::Question).await?;
        let read = |row: &Vec<u8>| serde_json::from_slice::<Question>(row).map(|one| (one.id.clone(), one));
        let all = rows.iter().map(read).collect::<Result<_, _>>().map_err(unreadable)?;
        Ok(Self { all: RwLock::new(all), changing: tokio::sync::Mutex::default() })
    }

    /// Those that are so, the newest first.
    fn find(&self, is_so: impl Fn(&Question) -> bool) -> Vec<Question> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Question> = all.values().filter(|one| is_so(one)).cloned().collect();
        drop(all);
        found.sort_by(|a, b| (b.asked, &b.id).cmp(&(a.asked, &a.id)));
        found
    }
}

impl Gateway {
    /// A patient's questions, answered or not, the newest first.
    pub(crate) fn questions_about(&self, patient: Pseudonym) -> Vec<Question> {
        self.questions.find(|one| one.patient().is_some_and(|whose| self.roster.are_one(whose, patient)))
    }

    /// Questions for who answers them, the newest first; of whom they are, the trail tells.
    pub(crate) fn questions_listed(&self, answered_too: Answered, trail: &Trail) -> Vec<Question> {
        let found = self.questions.find(|one| answered_too == Answered::Too || one.answer.is_none());
        found.iter().filter_map(Question::patient).for_each(|patient| trail.touches(patient));
        found
    }

    /// Keeps a question about a look at a patient's record.
    pub(crate) async fn ask_question(
        &self,
        patient: Pseudonym,
        (entry, look): (&str, String),
        question: &str,
        asking: &Asking,
    ) -> Result<(), GatewayError> {
        asking.trail.touches(patient);
        let _one_at_a_time = self.questions.changing.lock().await;
        if self.questions_about(patient).iter().filter(|one| one.answer.is_none()).count() >= OPEN_PER_PATIENT_MAX {
            let text = format!("{OPEN_PER_PATIENT_MAX} questions wait for their answers");
            return Err(refused(422, "questions-too-many", text, "wait until the hospital has answered"));
        }
        self.keep_question(Question {
            id: hex::encode(random::<8>()),
            patient: patient.to_string(),
            patient_id: self.patient_id_of(patient).await?.to_string(),
            entry: entry.to_owned(),
            look,
            text: question.to_owned(),
            asked_by: asking.user.clone(),
            asked: self.sessions.now().as_secs(),
            answer: None,
        })
        .await
    }

    /// Answers a question, once.
    pub(crate) async fn answer_question(
        &self,
        id: &str,
        answer: &str,
        asking: &Asking,
    ) -> Result<Question, GatewayError> {
        let _one_at_a_time = self.questions.changing.lock().await;
        let found = self.questions.find(|one| one.id == id).pop();
        let mut question = found.ok_or_else(|| {
            refused(404, "question-unknown", "there is no such question", "look at: sealwort question list")
        })?;
        question.patient().into_iter().for_each(|patient| asking.trail.touches(patient));
        if question.answer.is_some() {
            let remedy = "look at: sealwort question list --all";
            return Err(refused(409, "question-answered", "this question has an answer already", remedy));
        }
        let answer = answer.trim();
        if answer.is_empty() || answer.chars().count() > ANSWER_CHARACTERS_MAX {
            let text = format!("an answer has 1 to {ANSWER_CHARACTERS_MAX} characters");
            return Err(refused(422, "answer-needed", text, "say in plain words what happened"));
        }
        let at = self.sessions.now().as_secs();
        question.answer = Some(Answer { text: answer.to_owned(), by: asking.user.clone(), at });
        self.keep_question(question.clone()).await?;
        Ok(question)
    }

    /// A patient was erased: what they asked goes, too.
    pub(crate) async fn end_questions_of(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        let _one_at_a_time = self.questions.changing.lock().await;
        for one in self.questions.find(|one| one.patient() == Some(patient)) {
            self.roster.remove_row(RosterKind::Question, one.id.as_bytes()).await?;
            self.questions.all.write().unwrap_or_else(PoisonError::into_inner).remove(&one.id);
        }
        Ok(())
    }

    async fn keep_question(&self, question: Question) -> Result<(), GatewayError> {
        let row = serde_json::to_vec(&question).map_err(|_| GatewayError::Kept("a question cannot be written down"))?;
        self.roster.put_row(RosterKind::Question, question.id.as_bytes(), &row).await?;
        self.questions.all.write().unwrap_or_else(PoisonError::into_inner).insert(question.id.clone(), question);
        Ok(())
    }
}

/// Whether those are listed that have their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    Too,
    Not,
}

fn refused(status: u16, code: &'static str, text: impl Into<String>, remedy: &'static str) -> GatewayError {
    GatewayError::request(status, IssueCode::BusinessRule, code, text, remedy)
}
