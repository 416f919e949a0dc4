//! The form to share with somebody new: what it offers, what it asks for, and what is wrong with it.

use std::collections::BTreeSet;

use maud::{Markup, html};
use sealwort_fhir::Branch;
use sealwort_pages::words::portal as words;

use super::super::authorize::only;
use super::Page;
use super::record::hospital;
use super::sharing::refused;
use super::visit::Visit;
use crate::consent::ConsentChange;
use crate::error::GatewayError;

/// The form as it came, and what is wrong with it.
#[derive(Default)]
pub(super) struct Filled<'f> {
    pub(super) form: &'f [(String, String)],
    pub(super) wrong: Option<Wrong>,
}

/// What whoever fills the form can put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// No hospital is named.
    NoHospital,
    /// No hospital of the exchange has this name.
    UnknownHospital,
    /// No category is chosen. That would stand for all of them.
    NoCategory,
}

impl Wrong {
    const fn text(self) -> &'static str {
        match self {
            Self::NoHospital => words::NO_HOSPITAL,
            Self::UnknownHospital => words::UNKNOWN_HOSPITAL,
            Self::NoCategory => words::NOTHING_CHOSEN,
        }
    }

    const fn is_of_hospital(self) -> bool {
        matches!(self, Self::NoHospital | Self::UnknownHospital)
    }
}

impl Filled<'_> {
    /// Whether a box is ticked, or a choice made: as it came, and else as it is offered.
    fn has(&self, name: &str, value: &str, offered: bool) -> bool {
        if self.form.is_empty() { offered } else { self.form.iter().any(|(n, v)| n == name && v == value) }
    }

    fn wrong_of_hospital(&self) -> Option<Wrong> {
        self.wrong.filter(|wrong| wrong.is_of_hospital())
    }

    fn wrong_of_categories(&self) -> Option<Wrong> {
        self.wrong.filter(|wrong| !wrong.is_of_hospital())
    }
}

/// What the form asks to give, or what is wrong with it.
pub(super) async fn asked(
    visit: &Visit,
    form: &[(String, String)],
) -> Result<Result<ConsentChange, Wrong>, GatewayError> {
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
    let to = only(form, "to").unwrap_or_default().trim().to_owned();
    if let Some(wrong) = wrong_hospital(visit, &to).await {
        return Ok(Err(wrong));
    }
    let labels: Vec<String> =
        form.iter().filter(|(name, _)| name == "category").map(|(_, value)| value.clone()).collect();
    if labels.is_empty() {
        return Ok(Err(Wrong::NoCategory));
    }
    let mut actions = vec!["read".to_owned()];
    actions.extend(only(form, "write").map(|_| "write".to_owned()));
    let patient = visit.patient().to_owned();
    Ok(Ok(ConsentChange { patient, to, actions, labels, purposes: vec![purpose.to_owned()], days }))
}

/// What is wrong with a name. While the broker cannot be asked, any that could be a hospital's is taken.
async fn wrong_hospital(visit: &Visit, name: &str) -> Option<Wrong> {
    if name.is_empty() {
        return Some(Wrong::NoHospital);
    }
    let Ok(named) = visit.gateway.hospital(name) else { return Some(Wrong::UnknownHospital) };
    let known = visit.gateway.hospitals().await?;
    (!known.contains(named.as_str())).then_some(Wrong::UnknownHospital)
}

/// The form. `hospitals` are the identities of those who take part, where they are known.
pub(super) fn offer(visit: &Visit, filled: &Filled<'_>, hospitals: Option<&BTreeSet<String>>) -> Markup {
    let choice = |branch: Branch| {
        let ticked = filled.has("category", branch.as_str(), Branch::GENERAL.contains(&branch));
        html! {
            label .choice {
                input type="checkbox" name="category" value=(branch.as_str()) checked[ticked];
                (words::category(branch.as_str()))
            }
        }
    };
    let is_confidential = |branch: &Branch| !Branch::GENERAL.contains(branch);
    let opens = !filled.form.is_empty()
        && Branch::ALL.iter().filter(|it| is_confidential(it)).any(|it| filled.has("category", it.as_str(), false));
    html! {
        section #give {
            h2 { (words::GIVE) }
            form method="post" action=(visit.path(Page::Sharing)) {
                (visit.secret())
                (recipient(visit, filled, hospitals))
                fieldset aria-describedby=[filled.wrong_of_categories().map(|_| "category-wrong")] {
                    legend { (words::GIVE_WHAT) }
                    @if let Some(wrong) = filled.wrong_of_categories() { p #category-wrong .note .error role="alert" { (wrong.text()) } }
                    @for branch in Branch::GENERAL { (choice(branch)) }
                    details open[opens] {
                        summary { (words::CONFIDENTIAL) }
                        @for branch in Branch::ALL.into_iter().filter(is_confidential) { (choice(branch)) }
                    }
                }
                div .row {
                    div .field {
                        label for="purpose" { (words::GIVE_WHY) }
                        select #purpose name="purpose" {
                            @for code in OFFERED_PURPOSES {
                                option value=(code) selected[filled.has("purpose", code, false)] { (words::purpose(code)) }
                            }
                        }
                    }
                    div .field {
                        label for="days" { (words::GIVE_LONG) }
                        select #days name="days" {
                            @for (days, word) in PERIODS {
                                option value=(days) selected[filled.has("days", days, days == "365")] { (word) }
                            }
                        }
                    }
                }
                p { label .choice { input type="checkbox" name="write" value="1" checked[filled.has("write", "1", false)]; (words::GIVE_WRITE) } }
                p .row {
                    button .quiet type="submit" formaction=(visit.at("/sharing/preview")) { (words::PREVIEW) }
                    button type="submit" { (words::SHARE) }
                }
            }
        }
    }
}

/// The field for the hospital. The list beside it needs no script; who is not in it cannot be shared with.
fn recipient(visit: &Visit, filled: &Filled<'_>, hospitals: Option<&BTreeSet<String>>) -> Markup {
    let own = visit.gateway.member.identity().to_string();
    let wrong = filled.wrong_of_hospital();
    let described = if wrong.is_some() { "to-wrong to-hint" } else { "to-hint" };
    html! {
        div .field {
            label for="to" { (words::GIVE_TO) }
            input #to name="to" required maxlength="256" autocomplete="off" autocapitalize="none" spellcheck="false"
                value=[only(filled.form, "to")] list=[hospitals.map(|_| "hospitals")]
                aria-invalid=[wrong.map(|_| "true")] aria-describedby=(described);
            @if let Some(all) = hospitals {
                datalist #hospitals { @for one in all.iter().filter(|one| **one != own) { option value=(hospital(one)) {} } }
            }
            @if let Some(wrong) = wrong { p #to-wrong .note .error role="alert" { (wrong.text()) } }
            p #to-hint .quiet { @if hospitals.is_some() { (words::GIVE_TO_HINT) } @else { (words::GIVE_TO_BLIND) } }
        }
    }
}

/// Purposes that a patient is offered to share for.
const OFFERED_PURPOSES: [&str; 4] = ["TREAT", "HRESCH", "HPAYMT", "PUBHLTH"];
/// Days, and their words.
const PERIODS: [(&str, &str); 4] =
    [("7", words::ONE_WEEK), ("30", words::ONE_MONTH), ("365", words::ONE_YEAR), ("", words::FOREVER)];
