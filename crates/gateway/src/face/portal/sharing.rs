//! Sharing: a card for each recipient, what they can see and until when; stop, give, and the receipt of it all.

use std::collections::{BTreeSet, HashMap};

use axum::body::Bytes;
use axum::response::Response;
use http::Method;
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::{Branch, IssueCode, ResourceId};
use sealwort_pages::date;
use sealwort_pages::words::portal as words;
use sealwort_smart::Action;
use serde_json::Value;

use super::super::LetInAbout;
use super::super::authorize::only;
use super::Page;
use super::offer::{Filled, Wrong, asked, offer};
use super::record::hospital;
use super::visit::Visit;
use crate::consent::explain::{ExplainRequest, ExplainedRow, Proposal};
use crate::consent::{ConsentChange, ConsentReceipt, ConsentShown, ProvisionShown};
use crate::error::GatewayError;
use crate::seen::check_scope;
use crate::user::Asking;

/// `GET /portal/[record]/sharing`
pub(super) async fn show(visit: Visit) -> Response {
    let content = content(&visit, &Filled::default()).await;
    visit.answer(Page::Sharing, content).await
}

/// The page again, with what is wrong in the form beside its field.
pub(super) async fn again(visit: &Visit, form: &[(String, String)], wrong: Wrong) -> Response {
    let content = content(visit, &Filled { form, wrong: Some(wrong) }).await;
    visit.answer_again(Page::Sharing, content).await
}

/// `POST /portal/[record]/sharing`: gives.
pub(super) async fn give(visit: Visit, body: Bytes) -> Response {
    let giving = async {
        let form = visit.form(&body).await?;
        let asking = visit.asking();
        let entry = visit.entry(EventKind::ConsentChanged, &asking).detail(Detail::Action, "grant");
        let entry = entry.detail(Detail::Recipient, only(&form, "to").unwrap_or_default().trim());
        // Whoever may not decide is told so, whatever else is wrong.
        if let Err(error) = decides(&visit, &asking).await {
            return visit.kept(entry, &asking, Err(error)).await;
        }
        let change = match asked(&visit, &form).await? {
            Ok(change) => change,
            Err(wrong) => return Ok(Some((form, wrong))),
        };
        let outcome = visit.gateway.grant(&change).await;
        changed(&visit, entry, &asking, outcome).await.map(|_| None)
    };
    match giving.await {
        Ok(None) => visit.done(Page::Sharing, "given"),
        Ok(Some((form, wrong))) => again(&visit, &form, wrong).await,
        Err(error) => visit.answer(Page::Sharing, Err(error)).await,
    }
}

/// `POST /portal/[record]/sharing/stop`: ends documents that allow it, and withdraws what was granted.
pub(super) async fn stop(visit: Visit, body: Bytes) -> Response {
    match stopped(&visit, &body).await {
        Ok(Stopped::Wholly) => visit.done(Page::Sharing, "stopped"),
        Ok(Stopped::Partly) => visit.done(Page::Sharing, "partly"),
        Err(error) => visit.answer(Page::Sharing, Err(error)).await,
    }
}

/// Whether nothing that is for others as well goes on permitting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Wholly,
    Partly,
}

/// All of it is judged before any of it is done: where something harms, nothing is changed.
async fn stopped(visit: &Visit, body: &Bytes) -> Result<Stopped, GatewayError> {
    let form = visit.form(body).await?;
    let change = ConsentChange {
        patient: visit.patient().to_owned(),
        to: only(&form, "to").unwrap_or_default().to_owned(),
        actions: Vec::new(),
        labels: Vec::new(),
        purposes: Vec::new(),
        days: None,
    };
    let asking = visit.asking();
    let entry = visit.entry(EventKind::ConsentChanged, &asking).detail(Detail::Action, "withdraw");
    let entry = entry.detail(Detail::Recipient, &change.to);
    let documents: BTreeSet<&str> =
        form.iter().filter(|(name, _)| name == "document").map(|(_, document)| document.as_str()).collect();
    let nothing = || refused(422, "nothing-to-stop", "nothing is shared with this recipient by itself");
    let beginning = async {
        decides(visit, &asking).await?;
        let takes_back = visit.gateway.takes_back(&change).await?;
        if takes_back || !documents.is_empty() { Ok(takes_back) } else { Err(nothing()) }
    };
    let takes_back = match beginning.await {
        Ok(takes_back) => takes_back,
        Err(error) => return visit.kept(entry, &asking, Err(error)).await,
    };
    let mut ended = Vec::new();
    for document in documents {
        ended.push(Ended::of(visit, document).await?);
    }
    let stopped = judged(visit, &ended, takes_back.then_some(&change), &change.to).await?;
    for one in ended {
        visit.fhir(Method::PUT, &one.url, one.consent.to_string().into_bytes(), one.version).await?;
    }
    if takes_back {
        let outcome = visit.gateway.withdraw(&change).await;
        changed(visit, entry, &asking, outcome).await?;
    }
    Ok(stopped)
}

/// The decisions as they stand, for who may see them.
pub(super) async fn standing(visit: &Visit, asking: &Asking) -> Result<ConsentShown, GatewayError> {
    check_sees(asking)?;
    let consent = visit.gateway.consent(visit.patient()).await?;
    consent.patient.parse().into_iter().for_each(|patient| asking.trail.touches(patient));
    Ok(consent)
}

/// Refuses who may not see decisions at all.
pub(super) fn check_sees(asking: &Asking) -> Result<(), GatewayError> {
    check_scope(asking, Action::Read, "Consent".parse().map_err(|_| GatewayError::Kept("Consent is no type"))?)
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

/// A Consent as it will be: inactive, as an app of the patient's would set it.
struct Ended {
    url: String,
    consent: Value,
    version: Option<u64>,
}

impl Ended {
    async fn of(visit: &Visit, id: &str) -> Result<Self, GatewayError> {
        let id: ResourceId = id.parse().map_err(|_| refused(422, "document-unknown", "there is no such document"))?;
        let url = format!("/Consent/{id}");
        let reply = visit.fhir(Method::GET, &url, Vec::new(), None).await?;
        let mut consent: Value = serde_json::from_slice(&reply.content)
            .map_err(|_| GatewayError::Kept("a stored consent cannot be read"))?;
        if let Some(members) = consent.as_object_mut() {
            members.insert("status".to_owned(), "inactive".into());
        }
        Ok(Self { url, consent, version: reply.version })
    }
}

/// Refuses where all of it together would change anything for others than this recipient, or permit what is denied now.
async fn judged(
    visit: &Visit,
    ended: &[Ended],
    withdrawal: Option<&ConsentChange>,
    to: &str,
) -> Result<Stopped, GatewayError> {
    let documents = ended.iter().map(|one| Proposal::Consent(one.consent.clone()));
    let asked = ExplainRequest {
        patient: visit.patient().to_owned(),
        actions: ["read", "write", "emergency"].map(str::to_owned).to_vec(),
        proposed: documents.chain(withdrawal.cloned().map(Proposal::Withdraw)).collect(),
        ..ExplainRequest::default()
    };
    let asking = visit.asking();
    let entry = visit.entry(EventKind::ConsentRead, &asking).detail(Detail::Action, "explain");
    let outcome = visit.gateway.explain(asked, &asking).await;
    let explained = visit.kept(entry, &asking, outcome).await?;
    let harms = explained.rows.iter().any(|row| {
        row.proposed.as_ref().is_some_and(|then| {
            let changes = then.permitted != row.answer.permitted || then.until != row.answer.until;
            if row.hospital == to { then.permitted && !row.answer.permitted } else { changes }
        })
    });
    if harms {
        return Err(refused(409, "consent-in-force", "the consent document says more than this"));
    }
    let goes_on = |row: &ExplainedRow| row.hospital == to && row.proposed.as_ref().unwrap_or(&row.answer).permitted;
    Ok(if explained.rows.iter().any(goes_on) { Stopped::Partly } else { Stopped::Wholly })
}

pub(super) fn refused(status: u16, code: &'static str, text: &str) -> GatewayError {
    GatewayError::request(status, IssueCode::BusinessRule, code, text, "load the page again")
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

async fn content(visit: &Visit, filled: &Filled<'_>) -> Result<Markup, GatewayError> {
    let asking = visit.asking();
    let outcome = async {
        let consent = standing(visit, &asking).await?;
        let receipt = visit.gateway.consent_receipt(visit.patient()).await?;
        let recipients = recipients(visit, &asking, consent.provisions).await?;
        Ok((recipients, receipt))
    };
    let outcome = outcome.await;
    let (recipients, receipt) = visit.kept(visit.entry(EventKind::ConsentRead, &asking), &asking, outcome).await?;
    let is_here = receipt.authority == visit.gateway.member.identity().to_string();
    let has_right = asking.context.is_some_and(|patient| asking.may_decide_for(patient));
    let may_decide = has_right && is_here;
    let now = visit.gateway.sessions.now().as_secs();
    let hospitals = if may_decide { visit.gateway.hospitals().await } else { None };
    Ok(html! {
        @match visit.query("done").as_deref() {
            Some("given" | "stopped" | "partly") if !receipt.delivered => { p .note .warning role="status" { strong { (words::NOT_EVERYWHERE) } } },
            Some("given") => { p .note .good role="status" { strong { (words::GIVEN) } } },
            Some("stopped") => { p .note .good role="status" { strong { (words::STOPPED) } } },
            Some("partly") => { p .note .warning role="status" { strong { (words::STOPPED_PARTLY) } } },
            _ => {},
        }
        p { (words::SHARING_TEXT) }
        @if !is_here { p .note { (words::decided_elsewhere(hospital(&receipt.authority))) } }
        @else if !has_right { p .note { (words::NOT_YOUR_DECISION) } }
        @if recipients.is_empty() { p .note { (words::SHARED_WITH_NOBODY) } }
        ul .cards .wide { @for one in &recipients { (card(visit, one, may_decide, &receipt.authority, now)) } }
        (receipt_shown(&receipt))
        @if may_decide { (offer(visit, filled, hospitals.as_deref())) }
    })
}

/// Provisions by recipient, each with the documents that it follows from.
async fn recipients(
    visit: &Visit,
    asking: &Asking,
    provisions: Vec<ProvisionShown>,
) -> Result<Vec<Recipient>, GatewayError> {
    let mut all: Vec<Recipient> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for provision in provisions {
        let place = *places.entry(provision.to.clone()).or_insert(all.len());
        match all.get_mut(place) {
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
                if let Some(one) = places.get(&row.hospital).and_then(|place| all.get_mut(*place)) {
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

fn card(visit: &Visit, one: &Recipient, may_decide: bool, authority: &str, now: u64) -> Markup {
    let name = whom(&one.to);
    let is_keeper = one.to == authority;
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
            @if provision.from > now { div { dt { (words::FROM) } dd { (date::moment(provision.from)) } } }
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

fn receipt_shown(receipt: &ConsentReceipt) -> Markup {
    html! {
        section .card #receipt {
            h2 { (words::YOUR_CONSENT) }
            p { (words::YOUR_CONSENT_TEXT) }
            dl {
                div { dt { (words::CONSENT_VERSION) } dd { (receipt.version) } }
                div { dt { (words::CONSENT_SIGNED) } dd { (date::moment(receipt.signed)) } }
                div { dt { (words::CONSENT_BY) } dd { (hospital(&receipt.authority)) } }
                div { dt { (words::CONSENT_KEYS) } dd { (receipt.epoch) } }
                div { dt { (words::CONSENT_STATE) } dd { @if receipt.delivered { (words::CONFIRMED) } @else { (words::ON_ITS_WAY) } } }
                div { dt { (words::CONSENT_FINGERPRINT) } dd { code { (hex::encode(receipt.digest)) } } }
            }
        }
    }
}
