//! What somebody would see: the explanation of the consent, as it stands or with what the form would give, held against
//! the record as the visitor sees it. Nothing changes by it.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Bytes;
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::IssueCode;
use sealwort_fhir::plain::Kind;
use sealwort_pages::words::portal as words;

use super::super::authorize::only;
use super::Page;
use super::offer::asked;
use super::record::{Piece, hospital};
use super::sharing::{again, check_sees};
use super::visit::Visit;
use crate::consent::ConsentChange;
use crate::consent::explain::{ExplainRequest, Explained, Proposal};
use crate::error::GatewayError;

/// `POST /portal/[record]/sharing/preview`: `to` alone, or the whole form.
pub(super) async fn show(visit: Visit, body: Bytes) -> Response {
    let looking = async {
        let form = visit.form(&body).await?;
        // A card asks about what stands; the form about what it would give.
        let proposed = if form.iter().any(|(name, _)| name == "days") {
            match asked(&visit, &form).await? {
                Ok(change) => Some(change),
                Err(wrong) => return Ok(Err((form, wrong))),
            }
        } else {
            None
        };
        content(&visit, &form, proposed).await.map(Ok)
    };
    let content = match looking.await {
        Ok(Ok(content)) => Ok(content),
        Ok(Err((form, wrong))) => return again(&visit, &form, wrong).await,
        Err(error) => Err(error),
    };
    visit.titled(Page::Sharing, words::WOULD_SEE, content).await
}

async fn content(
    visit: &Visit,
    form: &[(String, String)],
    change: Option<ConsentChange>,
) -> Result<Markup, GatewayError> {
    let to = only(form, "to").unwrap_or_default().trim().to_owned();
    if to.is_empty() {
        let text = "the field for the hospital is empty";
        return Err(GatewayError::request(422, IssueCode::Value, "recipient-needed", text, "name one"));
    }
    let labels = labels(visit, &to, change.clone().map(Proposal::Grant)).await?;
    let opened = visit.open().await?;
    let pieces = opened.pieces().await?;
    let (seen, kept): (Vec<&Piece<'_>>, Vec<&Piece<'_>>) =
        pieces.iter().partition(|piece| labels.iter().any(|label| label == piece.held.newest().label.as_str()));
    let name = hospital(&to);
    Ok(html! {
        @if seen.is_empty() { p .note { (words::would_see_nothing(name)) } }
        @else { p .note { (words::would_see(name, seen.len(), pieces.len())) } }
        (samples(&seen))
        @if !kept.is_empty() { section { h2 { (words::KEPT_BACK) } (by_category(&kept)) } }
        @if change.is_some() {
            p { (words::NO_CHANGE_YET) }
            form method="post" action=(visit.path(Page::Sharing)) {
                @for (name, value) in form { input type="hidden" name=(name) value=(value); }
                p .row { button type="submit" { (words::DECIDE_NOW) } a .button .quiet href=(visit.path(Page::Sharing)) { (words::BACK) } }
            }
        } @else { p { a .button .quiet href=(visit.path(Page::Sharing)) { (words::BACK) } } }
    })
}

/// Labels that the recipient's users could open.
async fn labels(visit: &Visit, to: &str, proposed: Option<Proposal>) -> Result<Vec<String>, GatewayError> {
    let asking = visit.asking();
    let purposes = match &proposed {
        Some(Proposal::Grant(change)) => change.purposes.clone(),
        _ => Vec::new(),
    };
    let asked = ExplainRequest {
        patient: visit.patient().to_owned(),
        hospitals: vec![to.to_owned()],
        purposes,
        proposed: proposed.into_iter().collect(),
        ..ExplainRequest::default()
    };
    let explaining = async {
        check_sees(&asking)?;
        visit.gateway.explain(asked, &asking).await
    };
    let outcome = explaining.await;
    let entry = visit.entry(EventKind::ConsentRead, &asking).detail(Detail::Action, "explain");
    let explained: Explained = visit.kept(entry, &asking, outcome).await?;
    let mut labels = Vec::new();
    for row in explained.rows {
        if row.proposed.as_ref().unwrap_or(&row.answer).permitted {
            labels.extend(row.labels);
        }
    }
    labels.sort_unstable();
    labels.dedup();
    Ok(labels)
}

/// How many of each kind, with the names of a few.
fn samples(seen: &[&Piece<'_>]) -> Markup {
    let mut by_kind: BTreeMap<Kind, (usize, BTreeSet<String>)> = BTreeMap::new();
    for piece in seen {
        let (count, titles) = by_kind.entry(piece.plain.kind).or_default();
        *count += 1;
        titles.insert(piece.title());
    }
    html! {
        ul .cards {
            @for (kind, (count, titles)) in &by_kind {
                li .card {
                    h2 { (words::kinds(kind.as_str())) " (" (count) ")" }
                    ul .plain {
                        @for title in titles.iter().take(SAMPLES_MAX) { li { (title) } }
                        @if titles.len() > SAMPLES_MAX { li { (words::more_of(titles.len() - SAMPLES_MAX)) } }
                    }
                }
            }
        }
    }
}

fn by_category(kept: &[&Piece<'_>]) -> Markup {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for piece in kept {
        *counts.entry(piece.held.newest().label.as_str()).or_default() += 1;
    }
    html! { ul { @for (label, count) in counts { li { (words::category(label)) " (" (count) ")" } } } }
}

/// Names of one kind that are shown.
const SAMPLES_MAX: usize = 6;
