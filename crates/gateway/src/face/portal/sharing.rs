//! Sharing: a card for each recipient, what they can see and until when; stop, give, and the receipt of it all.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::response::Response;
use http::Method;
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::{Branch, IssueCode};
use sealwort_pages::date;
use sealwort_pages::words::portal as words;
use sealwort_smart::Action;
use serde_json::Value;

use super::super::LetInAbout;
use super::super::authorize::only;
use super::Page;
use super::record::hospital;
use super::visit::Visit;
use crate::consent::explain::{ExplainRequest, Proposal};
use crate::consent::{ConsentChange, ConsentReceipt, ConsentShown, ProvisionShown};
use crate::error::GatewayError;
use crate::seen::check_scope;
use crate::user::Asking;

/// `GET /portal/[record]/sharing`
pub(super) async fn show(visit: Visit) -> Response {
    let content = content(&visit).await;
    visit.answer(Page::Sharing, content).await
}

/// `POST /portal/[record]/sharing`: gives.
pub(super) async fn give(visit: Visit, body: Bytes) -> Response {
    let giving = async {
        let form = visit.form(&body).await?;
        let change = asked(&visit, &form)?;
        let asking = visit.asking();
        let entry = visit.entry(EventKind::ConsentChanged, &asking).detail(Detail::Action, "grant");
        let outcome = async {
            decides(&visit, &asking).await?;
            visit.gateway.grant(&change).await
        };
        changed(&visit, entry.detail(Detail::Recipient, &change.to), &asking, outcome.await).await
    };
    match giving.await {
        Ok(_) => visit.done(Page::Sharing, "given"),
        Err(error) => visit.answer(Page::Sharing, Err(error)).await,
    }
}

/// `POST /portal/[record]/sharing/stop`: ends documents that allow it, and withdraws what was granted.
pub(super) async fn stop(visit: Visit, body: Bytes) -> Response {
    match stopped(&visit, &body).await {
        Ok(()) => visit.done(Page::Sharing, "stopped"),
        Err(error) => visit.answer(Page::Sharing, Err(error)).await,
    }
}

async fn stopped(visit: &Visit, body: &Bytes) -> Result<(), GatewayError> {
    let form = visit.form(body).await?;
    let to = only(&form, "to").unwrap_or_default().to_owned();
    let asking = visit.asking();
    let entry = visit.entry(EventKind::ConsentChanged, &asking).detail(Detail::Action, "withdraw");
    let entry = entry.detail(Detail::Recipient, &to);
    if let Err(error) = decides(visit, &asking).await {
        return visit.kept(entry, &asking, Err(error)).await;
    }
    let documents: Vec<&str> =
        form.iter().filter(|(name, _)| name == "document").map(|(_, document)| document.as_str()).collect();
    for document in &documents {
        end_document(visit, document, &to).await?;
    }
    let standing = visit.gateway.consent(visit.patient()).await?;
    if !standing.provisions.iter().any(|one| one.to == to) {
        let nothing = || refused(422, "nothing-to-stop", "nothing is shared with this recipient by itself");
        return if documents.is_empty() { visit.kept(entry, &asking, Err(nothing())).await } else { Ok(()) };
    }
    let change = ConsentChange {
        patient: visit.patient().to_owned(),
        to,
        actions: Vec::new(),
        labels: Vec::new(),
        purposes: Vec::new(),
        days: None,
    };
    let outcome = visit.gateway.withdraw(&change).await;
    changed(visit, entry, &asking, outcome).await.map(drop)
}

/// The decisions as they stand, for who may see them.
pub(super) async fn standing(visit: &Visit, asking: &Asking) -> Result<ConsentShown, GatewayError> {
    check_scope(asking, Action::Read, "Consent".parse().map_err(|_| GatewayError::Kept("Consent is no type"))?)?;
    let consent = visit.gateway.consent(visit.patient()).await?;
    consent.patient.parse().into_iter().for_each(|patient| asking.trail.touches(patient));
    Ok(consent)
}

/// Refuses who may look and not decide.
async fn decides(visit: &Visit, asking: &Asking) -> Result<(), GatewayError> {
    LetInAbout(asking.clone()).check_decides_for(&visit.gateway, visit.patient()).await
}

/// Passes a change on, once the entry about it is on disk.
async fn changed(
    visit: &Visit,
    mut entry: sealwort_audit::Event,
    asking: &Asking,
    outcome: Result<ConsentShown, GatewayError>,
) -> Result<ConsentShown, GatewayError> {
    if let Ok(consent) = &outcome {
        entry.note(Detail::Version, consent.version);
        entry.note(Detail::Epoch, consent.epoch);
    }
    visit.kept(entry, asking, outcome).await
}

/// Sets a Consent to inactive, as an app of the patient's would; unless that would change anything for others than this
/// recipient, or permit what the Consent denies.
async fn end_document(visit: &Visit, id: &str, to: &str) -> Result<(), GatewayError> {
    let unknown = |_| refused(422, "document-unknown", "there is no such document");
    let id: sealwort_fhir::ResourceId = id.parse().map_err(unknown)?;
    let url = format!("/Consent/{id}");
    let reply = visit.fhir(Method::GET, &url, Vec::new(), None).await?;
    let mut consent: Value =
        serde_json::from_slice(&reply.content).map_err(|_| GatewayError::Kept("a stored consent cannot be read"))?;
    if let Some(members) = consent.as_object_mut() {
        members.insert("status".to_owned(), "inactive".into());
    }
    let asked = ExplainRequest {
        patient: visit.patient().to_owned(),
        actions: ["read", "write", "emergency"].map(str::to_owned).to_vec(),
        proposed: vec![Proposal::Consent(consent.clone())],
        ..ExplainRequest::default()
    };
    let asking = visit.asking();
    let entry = visit.entry(EventKind::ConsentRead, &asking).detail(Detail::Action, "explain");
    let outcome = visit.gateway.explain(asked, &asking).await;
    let explained = visit.kept(entry, &asking, outcome).await?;
    let harms = explained.rows.iter().any(|row| {
        row.proposed.as_ref().is_some_and(|then| {
            let changes = then.permitted != row.answer.permitted || then.until != row.answer.until;
            changes && (row.hospital != to || then.permitted)
        })
    });
    if harms {
        return Err(refused(409, "consent-in-force", "the consent document says more than this"));
    }
    visit.fhir(Method::PUT, &url, consent.to_string().into_bytes(), reply.version).await.map(drop)
}

fn refused(status: u16, code: &'static str, text: &str) -> GatewayError {
    GatewayError::request(status, IssueCode::BusinessRule, code, text, "load the page again")
}

/// What the form asks to give.
pub(super) fn asked(visit: &Visit, form: &[(String, String)]) -> Result<ConsentChange, GatewayError> {
    let labels: Vec<String> =
        form.iter().filter(|(name, _)| name == "category").map(|(_, value)| value.clone()).collect();
    // No label would stand for all of them.
    if labels.is_empty() {
        return Err(GatewayError::request(422, IssueCode::Value, "nothing-chosen", words::NOTHING_CHOSEN, "choose"));
    }
    let mut actions = vec!["read".to_owned()];
    actions.extend(only(form, "write").map(|_| "write".to_owned()));
    let field =
        |name: &str| only(form, name).ok_or_else(|| refused(422, "form-incomplete", "a field of the form is missing"));
    let purpose = field("purpose")?;
    if !OFFERED_PURPOSES.contains(&purpose) {
        return Err(refused(422, "purpose-unknown", "this purpose is not offered"));
    }
    // Only an empty choice is one for ever.
    let days = match field("days")? {
        "" => None,
        days => Some(days.parse().map_err(|_| refused(422, "days-wrong", "the time is no number of days"))?),
    };
    Ok(ConsentChange {
        patient: visit.patient().to_owned(),
        to: only(form, "to").unwrap_or_default().trim().to_owned(),
        actions,
        labels,
        purposes: vec![purpose.to_owned()],
        days,
    })
}

/// A recipient with all that they may.
struct Recipient {
    to: String,
    provisions: Vec<ProvisionShown>,
    /// Consents that say so.
    documents: BTreeSet<String>,
}

impl Recipient {
    /// Whether it is one hospital, of which everything can be taken back.
    fn is_single(&self) -> bool {
        self.to.contains("://") && !self.to.contains([' ', ','])
    }
}

async fn content(visit: &Visit) -> Result<Markup, GatewayError> {
    let asking = visit.asking();
    let outcome = async {
        let consent = standing(visit, &asking).await?;
        let receipt = visit.gateway.consent_receipt(visit.patient()).await?;
        let recipients = recipients(visit, &asking, consent.provisions).await?;
        Ok((recipients, receipt))
    };
    let outcome = outcome.await;
    let (recipients, receipt) = visit.kept(visit.entry(EventKind::ConsentRead, &asking), &asking, outcome).await?;
    let may_decide = asking.context.is_some_and(|patient| asking.may_decide_for(patient));
    let now = visit.gateway.sessions.now().as_secs();
    Ok(html! {
        @match visit.query("done").as_deref() {
            Some("given" | "stopped") if !receipt.delivered => { p .note .warning role="status" { strong { (words::NOT_EVERYWHERE) } } },
            Some("given") => { p .note .good role="status" { strong { (words::GIVEN) } } },
            Some("stopped") => { p .note .good role="status" { strong { (words::STOPPED) } } },
            _ => {},
        }
        p { (words::SHARING_TEXT) }
        @if !may_decide { p .note { (words::NOT_YOUR_DECISION) } }
        @if recipients.is_empty() { p .note { (words::SHARED_WITH_NOBODY) } }
        ul .cards .wide { @for one in &recipients { (card(visit, one, may_decide, now)) } }
        (receipt_shown(visit, &receipt))
        @if may_decide { (offer(visit)) }
    })
}

/// Provisions by recipient, each with the documents that it follows from.
async fn recipients(
    visit: &Visit,
    asking: &Asking,
    provisions: Vec<ProvisionShown>,
) -> Result<Vec<Recipient>, GatewayError> {
    let mut all: Vec<Recipient> = Vec::new();
    for provision in provisions {
        match all.iter_mut().find(|one| one.to == provision.to) {
            Some(one) => one.provisions.push(provision),
            None => all.push(Recipient {
                to: provision.to.clone(),
                provisions: vec![provision],
                documents: BTreeSet::new(),
            }),
        }
    }
    let hospitals: Vec<String> = all.iter().filter(|one| one.is_single()).map(|one| one.to.clone()).collect();
    if hospitals.is_empty() {
        return Ok(all);
    }
    let asked = ExplainRequest {
        patient: visit.patient().to_owned(),
        hospitals,
        actions: ["read", "write", "emergency"].map(str::to_owned).to_vec(),
        ..ExplainRequest::default()
    };
    match visit.gateway.explain(asked, asking).await {
        Ok(explained) => {
            for row in explained.rows.iter().filter(|row| row.answer.permitted) {
                let documents =
                    row.answer.because.iter().filter_map(|it| it.consent.as_deref()?.strip_prefix("Consent/"));
                if let Some(one) = all.iter_mut().find(|one| one.to == row.hospital) {
                    one.documents.extend(documents.map(str::to_owned));
                }
            }
            Ok(all)
        }
        // Too many to be explained at once: what was granted can be stopped all the same.
        Err(error) if error.status() < 500 => Ok(all),
        Err(error) => Err(error),
    }
}

fn card(visit: &Visit, one: &Recipient, may_decide: bool, now: u64) -> Markup {
    let name = whom(&one.to);
    let is_keeper = one.to == visit.gateway.member.identity().to_string();
    html! {
        li .card {
            h2 { (name) }
            @if is_keeper { p .quiet { (words::KEEPER) } }
            @for provision in &one.provisions { (provision_shown(provision, now)) }
            @if one.is_single() && !is_keeper {
                @if !one.documents.is_empty() { p .quiet { (words::SIGNED_DOCUMENT) } }
                div .row {
                    form method="post" action=(visit.at("/sharing/preview")) {
                        (visit.secret())
                        input type="hidden" name="to" value=(one.to);
                        button .quiet type="submit" aria-label=(words::about(words::PREVIEW, &name)) { (words::PREVIEW) }
                    }
                    @if may_decide {
                        form method="post" action=(visit.at("/sharing/stop")) {
                            (visit.secret())
                            input type="hidden" name="to" value=(one.to);
                            @for document in &one.documents { input type="hidden" name="document" value=(document); }
                            button .danger type="submit" aria-label={(words::STOP_ALL) " " (name)} { (words::STOP) }
                        }
                    }
                }
            } @else if !one.is_single() { p .quiet { (words::NOT_BY_ITSELF) } }
        }
    }
}

/// One sentence of a consent, as facts.
fn provision_shown(provision: &ProvisionShown, now: u64) -> Markup {
    let actions: Vec<&str> = provision.actions.iter().map(|word| words::action(word)).collect();
    let purposes: Vec<&str> = provision.purposes.iter().map(|code| words::purpose(code)).collect();
    let roles = provision.roles.as_str();
    html! {
        dl {
            div { dt { (words::MAY) } dd { (actions.join(", ")) } }
            div { dt { (words::CATEGORIES) } dd { (categories(&provision.labels)) } }
            div { dt { (words::PURPOSES) } dd { (purposes.join(", ")) } }
            @if roles != "all" { div { dt { (words::ROLES) } dd { (roles.split(", ").map(words::role).collect::<Vec<_>>().join(", ")) } } }
            div { dt { (words::UNTIL) } dd {
                @match provision.until {
                    None => { (words::NO_END) },
                    Some(until) => { (date::moment(until)) @if until <= now { " " span .chip { (words::OVER) } } },
                }
            } }
        }
    }
}

/// Categories in words: all of them by one.
pub(super) fn categories(labels: &[String]) -> Markup {
    let has = |branch: &Branch| labels.iter().any(|label| label == branch.as_str());
    let ordinary = Branch::GENERAL.iter().all(has);
    let rest: Vec<&String> =
        labels.iter().filter(|label| !ordinary || !Branch::GENERAL.iter().any(|one| one.as_str() == *label)).collect();
    html! {
        @if Branch::ALL.iter().all(has) { (words::ALL_CATEGORIES) } @else {
            ul .plain {
                @if ordinary { li { (words::ALL_ORDINARY) } }
                @for label in rest { li { (words::category(label)) } }
            }
        }
    }
}

/// One recipient or several, by their own names.
pub(super) fn whom(to: &str) -> String {
    let names = to.strip_prefix("all but ").unwrap_or(to);
    let names: Vec<&str> = names.split(", ").map(hospital).collect();
    if names.len() == 1 && to != "all" && !to.contains(' ') {
        names.concat()
    } else {
        words::everybody(to.starts_with("all"), &names)
    }
}

fn receipt_shown(visit: &Visit, receipt: &ConsentReceipt) -> Markup {
    let keeper = visit.gateway.member.identity().to_string();
    html! {
        section .card #receipt {
            h2 { (words::YOUR_CONSENT) }
            p { (words::YOUR_CONSENT_TEXT) }
            dl {
                div { dt { (words::CONSENT_VERSION) } dd { (receipt.version) } }
                div { dt { (words::CONSENT_SIGNED) } dd { (date::moment(receipt.signed)) } }
                div { dt { (words::CONSENT_BY) } dd { (hospital(&keeper)) } }
                div { dt { (words::CONSENT_KEYS) } dd { (receipt.epoch) } }
                div { dt { (words::CONSENT_STATE) } dd { @if receipt.delivered { (words::CONFIRMED) } @else { (words::ON_ITS_WAY) } } }
                div { dt { (words::CONSENT_FINGERPRINT) } dd { code { (hex::encode(receipt.digest)) } } }
            }
        }
    }
}

/// The form to share with somebody new.
fn offer(visit: &Visit) -> Markup {
    let choice = |branch: Branch| {
        html! {
            label .choice {
                input type="checkbox" name="category" value=(branch.as_str()) checked[Branch::GENERAL.contains(&branch)];
                (words::category(branch.as_str()))
            }
        }
    };
    html! {
        section #give {
            h2 { (words::GIVE) }
            form method="post" action=(visit.path(Page::Sharing)) {
                (visit.secret())
                div .field {
                    label for="to" { (words::GIVE_TO) }
                    input #to name="to" required maxlength="256" autocomplete="off" spellcheck="false" aria-describedby="to-hint";
                    p #to-hint .quiet { (words::GIVE_TO_HINT) }
                }
                fieldset {
                    legend { (words::GIVE_WHAT) }
                    @for branch in Branch::GENERAL { (choice(branch)) }
                    details {
                        summary { (words::CONFIDENTIAL) }
                        @for branch in Branch::ALL.into_iter().filter(|one| !Branch::GENERAL.contains(one)) { (choice(branch)) }
                    }
                }
                div .row {
                    div .field {
                        label for="purpose" { (words::GIVE_WHY) }
                        select #purpose name="purpose" { @for code in OFFERED_PURPOSES { option value=(code) { (words::purpose(code)) } } }
                    }
                    div .field {
                        label for="days" { (words::GIVE_LONG) }
                        select #days name="days" {
                            @for (days, word) in PERIODS { option value=(days) selected[days == "365"] { (word) } }
                        }
                    }
                }
                p { label .choice { input type="checkbox" name="write" value="1"; (words::GIVE_WRITE) } }
                p .row {
                    button .quiet type="submit" formaction=(visit.at("/sharing/preview")) { (words::PREVIEW) }
                    button type="submit" { (words::SHARE) }
                }
            }
        }
    }
}

/// Purposes that a patient is offered to share for.
const OFFERED_PURPOSES: [&str; 4] = ["TREAT", "HRESCH", "HPAYMT", "PUBHLTH"];
/// Days, and their words.
const PERIODS: [(&str, &str); 4] =
    [("7", words::ONE_WEEK), ("30", words::ONE_MONTH), ("365", words::ONE_YEAR), ("", words::FOREVER)];
