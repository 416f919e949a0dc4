//! What happened, in chapters: each step as it was reported, who said what inside a hospital, and how it ended. The
//! demo's story writes the first chapters, buttons the later ones, and whatever else is reported gets one of its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sealwort_net::steps::Heard;
use sealwort_net::{Clock as _, SystemClock};
use sealwort_pages::words::explain::{ChapterWords, Phase};
use sealwort_proto::{SessionId, Step};
use tokio::sync::broadcast;

/// One of the demo's two hospitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hospital {
    A,
    B,
}

/// How a chapter ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What was asked for was done.
    Done(String),
    /// Consent forbade it.
    Refused(String),
    /// Something did not work.
    Failed(String),
}

/// One step that was taken.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) id: usize,
    pub(super) phase: Phase,
    pub(super) number: u8,
    pub(super) route: &'static str,
    pub(super) bytes: usize,
    pub(super) micros: u128,
    pub(super) session: SessionId,
    /// Milliseconds since 1970.
    pub(super) at: u64,
}

/// What belongs together.
#[derive(Debug, Clone)]
pub(super) struct Chapter {
    pub(super) id: usize,
    pub(super) words: ChapterWords,
    /// Whose gateway it is about.
    pub(super) hospital: Hospital,
    /// In milliseconds since 1970.
    pub(super) begun: u64,
    /// `None` while it goes on.
    pub(super) ended: Option<u64>,
    /// In the order in which they were taken.
    pub(super) steps: Vec<Taken>,
    /// Steps that are counted and not kept.
    pub(super) more: usize,
    pub(super) outcome: Option<Outcome>,
    /// What hospital A's own system sent.
    pub(super) sent: Option<Bytes>,
    /// What hospital B's user got.
    pub(super) shown: Option<Bytes>,
}

/// Keeps the chapters.
pub(crate) struct Recorder(Mutex<State>);

struct State {
    heard: broadcast::Receiver<Heard>,
    chapters: VecDeque<Chapter>,
    sessions: HashMap<SessionId, Hospital>,
    next: usize,
    revision: u64,
    said: [Said; 2],
}

/// Messages between a gateway and its own users.
#[derive(Default)]
struct Said {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

/// A chapter as it is now.
pub(super) struct Now {
    pub(super) chapter: Chapter,
    /// All chapters: number, words, and whether it goes on.
    pub(super) list: Vec<(usize, ChapterWords, bool)>,
    /// Whose sessions those are.
    pub(super) sessions: HashMap<SessionId, Hospital>,
    /// Grows with every change.
    pub(super) revision: u64,
    /// Whether older chapters are gone.
    pub(super) forgotten: bool,
}

impl Recorder {
    /// Records what is heard from now on.
    pub(crate) fn new(heard: broadcast::Receiver<Heard>) -> Self {
        Self(Mutex::new(State {
            heard,
            chapters: VecDeque::new(),
            sessions: HashMap::new(),
            next: 1,
            revision: 0,
            said: Default::default(),
        }))
    }

    /// Begins a chapter; its number. One that goes on ends here.
    pub(crate) fn begin(&self, words: ChapterWords, hospital: Hospital) -> usize {
        let mut state = self.state();
        state.end(None);
        state.open(words, hospital)
    }

    /// Ends the chapter that goes on.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.state().end(Some(outcome));
    }

    /// Keeps a message between a gateway and its own users, for the search.
    pub(crate) fn said(&self, hospital: Hospital, message: &Bytes) {
        let mut state = self.state();
        let [a, b] = &mut state.said;
        let said = if hospital == Hospital::A { a } else { b };
        said.bytes += message.len();
        said.messages.push_back(message.clone());
        while said.bytes > SAID_BYTES_MAX {
            let Some(oldest) = said.messages.pop_front() else { break };
            said.bytes -= oldest.len();
        }
    }

    /// Keeps it with the chapter that goes on, too: what A's own system sent, or what B's user got.
    pub(crate) fn told(&self, hospital: Hospital, message: &Bytes) {
        self.said(hospital, message);
        if let Some(chapter) = self.state().chapters.back_mut() {
            let place = if hospital == Hospital::A { &mut chapter.sent } else { &mut chapter.shown };
            *place = Some(message.clone());
        }
    }

    /// What was said inside a hospital.
    pub(super) fn messages(&self, hospital: Hospital) -> Vec<Bytes> {
        let state = self.state();
        let [a, b] = &state.said;
        if hospital == Hospital::A { a } else { b }.messages.iter().cloned().collect()
    }

    /// A chapter, or the first where there is none of this number.
    pub(super) fn now(&self, id: Option<usize>) -> Option<Now> {
        let state = self.state();
        let chapter = id
            .and_then(|id| state.chapters.iter().find(|chapter| chapter.id == id))
            .or_else(|| state.chapters.front())?
            .clone();
        Some(Now {
            chapter,
            list: state.chapters.iter().map(|c| (c.id, c.words, c.ended.is_none())).collect(),
            sessions: state.sessions.clone(),
            revision: state.revision,
            forgotten: state.next > state.chapters.len() + 1,
        })
    }

    /// Steps of the chapter that goes on, so far.
    pub(super) fn last_step(&self) -> Option<Taken> {
        self.state().chapters.back().and_then(|chapter| chapter.steps.last().cloned())
    }

    /// Grows with every change.
    pub(super) fn revision(&self) -> u64 {
        self.state().revision
    }

    /// The state, after everything that was heard until now.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.hear();
        state
    }
}

impl State {
    fn open(&mut self, words: ChapterWords, hospital: Hospital) -> usize {
        let id = self.next;
        self.next += 1;
        self.revision += 1;
        self.chapters.push_back(Chapter {
            id,
            words,
            hospital,
            begun: SystemClock.now_millis(),
            ended: None,
            steps: Vec::new(),
            more: 0,
            outcome: None,
            sent: None,
            shown: None,
        });
        if self.chapters.len() > CHAPTERS_MAX {
            // The first one has all sixteen steps, and stays.
            self.chapters.remove(1);
            let kept: HashSet<SessionId> =
                self.chapters.iter().flat_map(|chapter| &chapter.steps).map(|taken| taken.session).collect();
            self.sessions.retain(|session, _| kept.contains(session));
        }
        id
    }

    fn end(&mut self, outcome: Option<Outcome>) {
        let Some(chapter) = self.chapters.back_mut().filter(|chapter| chapter.ended.is_none()) else { return };
        chapter.ended = Some(SystemClock.now_millis());
        chapter.outcome = outcome;
        self.revision += 1;
    }

    fn hear(&mut self) {
        loop {
            match self.heard.try_recv() {
                Ok(heard) => self.note(&heard),
                // Older reports were dropped; the newer ones follow.
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return,
            }
        }
    }

    fn note(&mut self, heard: &Heard) {
        let report = &heard.report;
        let (phase, number) = match report.step {
            Step::Authentication(number) => (Phase::Authentication, number),
            Step::Transmission(number) => (Phase::Transmission, number),
            _ => return,
        };
        let hospital = match heard.by.as_deref() {
            Some("hospital-a") => Some(Hospital::A),
            Some("hospital-b") => Some(Hospital::B),
            _ => None,
        };
        if let Some(hospital) = hospital {
            self.sessions.insert(report.session, hospital);
        }
        let ongoing = self.chapters.back().is_some_and(|c| c.ended.is_none() || c.words == ChapterWords::Others);
        if !ongoing {
            let hospital = hospital.or_else(|| self.sessions.get(&report.session).copied()).unwrap_or(Hospital::A);
            self.open(ChapterWords::Others, hospital);
            self.end(None);
        }
        let id = self.next_step();
        let Some(chapter) = self.chapters.back_mut() else { return };
        self.revision += 1;
        if chapter.words == ChapterWords::Others {
            chapter.ended = Some(heard.at_millis);
        }
        if chapter.steps.len() >= steps_max(chapter.words) {
            chapter.more += 1;
            return;
        }
        let taken = Taken {
            id,
            phase,
            number,
            route: report.route,
            bytes: report.bytes,
            micros: report.duration.as_micros(),
            session: report.session,
            at: heard.at_millis,
        };
        // Some of the nine steps are reported only once the session has its number. Each follows from the one before,
        // so their order is known.
        let after = |other: &Taken| {
            phase == Phase::Authentication
                && other.phase == phase
                && other.session == taken.session
                && rank(other) > rank(&taken)
        };
        let place = chapter.steps.iter().position(after).unwrap_or(chapter.steps.len());
        chapter.steps.insert(place, taken);
    }

    fn next_step(&mut self) -> usize {
        usize::try_from(self.revision).unwrap_or(usize::MAX)
    }
}

/// The order in which the messages of the nine steps travel: step 5 goes together with step 8, behind it.
fn rank(taken: &Taken) -> u8 {
    match (taken.number, taken.route) {
        (3, route) if route.starts_with('M') => 5,
        (3, _) => 6,
        (number @ 1..=2, _) => number,
        (4, _) => 7,
        (6, _) => 8,
        (7, _) => 9,
        (8, _) => 10,
        (5, _) => 11,
        (number, _) => 11 + number,
    }
}

/// Steps of a chapter that are kept: of the story's many patients two runs, of everything else all.
const fn steps_max(words: ChapterWords) -> usize {
    match words {
        ChapterWords::Rest | ChapterWords::Before | ChapterWords::Reads | ChapterWords::Withdrawn => 14,
        _ => 40,
    }
}

/// Chapters that are kept.
const CHAPTERS_MAX: usize = 24;
/// What is kept of what was said inside one hospital, in bytes: the newest.
const SAID_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use sealwort_net::steps::{StepReport, Steps};

    use super::*;

    fn report(step: Step, route: &'static str, session: u8) -> StepReport {
        let session = SessionId::new([session; 32]);
        StepReport { step, route, what: "", session, bytes: 1, duration: Duration::ZERO }
    }

    #[test]
    fn the_nine_steps_stand_in_the_order_of_their_messages() {
        let steps = Steps::default();
        let recorder = Recorder::new(steps.listen());
        recorder.begin(ChapterWords::First, Hospital::A);
        let reported =
            [(3, "M → T"), (2, "T → M"), (3, "T → L"), (1, "L → T"), (4, "L → T"), (7, "M → T"), (6, "T → M")];
        for (number, route) in reported.into_iter().chain([(8, "M → L"), (5, "T → L"), (9, "L → T, M")]) {
            steps.by("hospital-b").report(report(Step::Authentication(number), route, 7));
        }
        recorder.end(Outcome::Done("done".to_owned()));
        // What comes later is somebody else's.
        steps.report(report(Step::Transmission(1), "L → T", 7));
        let now = recorder.now(None).unwrap();
        let numbers: Vec<u8> = now.chapter.steps.iter().map(|taken| taken.number).collect();
        assert_eq!(numbers, [1, 2, 3, 3, 4, 6, 7, 8, 5, 9]);
        assert_eq!(now.sessions.get(&SessionId::new([7; 32])), Some(&Hospital::B));
        let others = recorder.now(Some(2)).unwrap().chapter;
        assert_eq!((others.words, others.steps.len()), (ChapterWords::Others, 1));
        let ids: std::collections::BTreeSet<usize> = now.chapter.steps.iter().map(|taken| taken.id).collect();
        assert_eq!(ids.len(), 10);
    }
}
