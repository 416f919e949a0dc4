//! The whole log walked, as `sealwort audit verify --folder` does it, and what came of it: for a long log in the
//! background. Beside it the newest checkpoint, who cosigned, and how somebody outside checks the log for themselves.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{Checkpoint, Fault, Note, Passed};
use sealwort_journal::WholeError;
use sealwort_net::Shutdown;
use sealwort_pages::date;
use sealwort_pages::words::console as words;
use sealwort_pki::UnixTime;
use tokio::task::JoinHandle;

use super::Console;
use super::form::Form;
use super::frame::{AUDIT, command, moment, secret, see_other};
use super::sign_in::{Visitor, not_from_here};
use crate::sessions::lock;

/// How long the answer to whoever began it waits for the end.
const WAITS: Duration = Duration::from_secs(2);

/// How it stands.
#[derive(Default)]
pub(crate) enum Verification {
    /// Nobody asked yet.
    #[default]
    Never,
    /// It goes on.
    Since(UnixTime),
    /// It was given up: the session of whoever began it ended.
    GivenUp(UnixTime),
    /// It ended.
    Done(UnixTime, Result<Passed, Wrong>),
}

/// Why the log is not good.
#[derive(Debug)]
pub(crate) struct Wrong {
    tampered: bool,
    number: Option<u64>,
    reason: String,
}

impl From<WholeError> for Wrong {
    fn from(error: WholeError) -> Self {
        match error {
            WholeError::Verdict(verdict) => {
                Self { tampered: verdict.fault == Fault::Tampered, number: verdict.number, reason: verdict.reason }
            }
            WholeError::Store(error) => Self { tampered: false, number: None, reason: error.to_string() },
        }
    }
}

/// `POST /audit/verify`
pub(super) async fn begin(State(console): State<Arc<Console>>, visitor: Visitor, form: Form) -> Response {
    if !visitor.owns(&form) {
        return not_from_here();
    }
    {
        let mut walk = lock(&console.walk);
        if walk.as_ref().is_none_or(JoinHandle::is_finished) {
            console.verification.send_replace(Verification::Since(console.now()));
            *walk = Some(tokio::spawn(Arc::clone(&console).walk(visitor.end)));
        }
    }
    let mut known = console.verification.subscribe();
    let over = known.wait_for(|known| !matches!(known, Verification::Since(_)));
    let _ = tokio::time::timeout(WAITS, over).await;
    see_other(&format!("{AUDIT}#verify"))
}

impl Console {
    /// Walks the log, until the session of whoever wants that ends, or the service.
    async fn walk(self: Arc<Self>, session: Shutdown) {
        let outcome = self.shutdown.bound(session.bound(self.broker.journal.verify())).await.flatten();
        let Some(outcome) = outcome.map(|outcome| outcome.map_err(Wrong::from)) else {
            self.verification.send_replace(Verification::GivenUp(self.now()));
            return;
        };
        if let Some(wrong) = outcome.as_ref().err().filter(|wrong| wrong.tampered) {
            tracing::error!(reason = wrong.reason, number = wrong.number, "the audit log did not verify");
        }
        self.verification.send_replace(Verification::Done(self.now(), outcome));
    }

    /// Waits for the end of a walk that goes on.
    pub(super) async fn walked(&self) {
        let walk = lock(&self.walk).take();
        if let Some(walk) = walk {
            let _ = walk.await;
        }
    }

    /// What vouches for the log.
    pub(super) async fn vouching(&self, visitor: &Visitor) -> Markup {
        let newest = self.broker.journal.newest_checkpoint().await.ok().flatten();
        let checkpoint = newest.and_then(|kept| kept.note.parse::<Note>().ok()?.text().parse::<Checkpoint>().ok());
        let cosigned = match &checkpoint {
            Some(checkpoint) => self.broker.journal.store().newest_cosigned(checkpoint.size).await.ok().flatten(),
            None => None,
        };
        let own = self.broker.member.identity().to_string();
        let cosigners = |note: &str| -> Vec<String> {
            let note = note.parse::<Note>().ok();
            note.iter().flat_map(Note::names).filter(|name| *name != own).map(str::to_owned).collect()
        };
        let (folder, name) = (self.folder(), &self.broker.member.identity().name);
        html! {
            dl {
                @if let Some(checkpoint) = &checkpoint {
                    div { dt { (words::CHECKPOINT) } dd { (words::checkpoint(checkpoint.size)) " " (moment(checkpoint.at())) } }
                    div { dt { (words::ROOT) } dd { code .serial { (checkpoint.root) } } }
                }
                @if let Some(kept) = &cosigned {
                    div { dt { (words::COSIGNED) } dd {
                        (words::cosigned(kept.size))
                        ul { @for name in cosigners(&kept.note) { li { code { (name) } } } }
                    } }
                } @else {
                    div { dt { (words::COSIGNED) } dd { (words::NOT_COSIGNED) } }
                }
            }
            (self.verified())
            form method="post" action="/audit/verify" {
                (secret(visitor))
                button type="submit" { (words::VERIFY_NOW) }
            }
            h3 { (words::CHECK_OUTSIDE) }
            p { (words::CHECK_OUTSIDE_HOW) }
            (command(&format!(
                "sealwort audit export --folder {folder} --from {} -o {name}.ndjson --proof {name}.proof",
                date::machine(self.now().as_secs()).get(..10).unwrap_or("DAY"),
            )))
            p { (words::CHECK_WITNESS_HOW) }
            (command("sealwort audit witnessed --folder DIR -o archive.witness"))
            p { (words::CHECK_VERIFY_HOW) }
            (command(&format!(
                "sealwort audit verify {name}.ndjson --proof {name}.proof --root root.pem --witness archive.witness"
            )))
        }
    }

    fn verified(&self) -> Markup {
        match &*self.verification.borrow() {
            Verification::Never => html! { p { (words::NOT_VERIFIED) } },
            Verification::Since(since) => html! {
                div .note role="status" { p { (words::VERIFYING) " " (moment(*since)) } p { a href=(AUDIT) { (words::LOOK_AGAIN) } } }
            },
            Verification::GivenUp(at) => html! {
                div .note.warning role="status" { p { (words::GIVEN_UP) " " (moment(*at)) } }
            },
            Verification::Done(at, Ok(passed)) => html! {
                div .note.good role="status" {
                    p { strong { (words::verified(passed.entries)) } " " (moment(*at)) }
                    p { (words::witnessed(passed.witnessed, &passed.witnesses.join(", "))) }
                }
            },
            Verification::Done(at, Err(wrong)) => html! {
                div .note.(if wrong.tampered { "error" } else { "warning" }) role="alert" {
                    p { strong { (if wrong.tampered { words::TAMPERED } else { words::UNVERIFIABLE }) } " " (moment(*at)) }
                    p { (wrong.reason) @if let Some(number) = wrong.number { " (" (words::entry(number)) ")" } }
                    p { (if wrong.tampered { words::TAMPERED_NEXT } else { words::UNVERIFIABLE_NEXT }) }
                }
            },
        }
    }
}
