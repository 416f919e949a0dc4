//! Labels of what comes in: what the sender said, and what the hospital's rules add. And labels of what is stored:
//! explained, and brought up to the rules as they are now.

use bytes::Bytes;
use sealwort_fhir::{Branch, IssueCode, LabelRules, Resource, label_of};
use serde::{Deserialize, Serialize};

use crate::Gateway;
use crate::change::{Does, Group, Plan, Unresolved, Wanted};
use crate::config::LabelsConfig;
use crate::error::GatewayError;
use crate::seen::Seen;
use crate::user::Asking;

/// The rules that come with the program.
const SHIPPED: &str = include_str!("../../../config/labels.toml");
/// In place of a file: no rules.
const NONE: &str = "none";

/// Reads the rules of the configuration.
pub(crate) fn load(config: &LabelsConfig) -> Result<LabelRules, String> {
    let read = |text: &str| LabelRules::parse(text).map_err(|error| error.to_string());
    match config.rules.as_str() {
        "" => read(SHIPPED),
        NONE => Ok(LabelRules::default()),
        file => {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{file} cannot be read: {error}"))?;
            read(&text).map_err(|error| format!("{file}: {error}"))
        }
    }
}

/// Why a resource has its label.
#[derive(Debug, Clone, Serialize)]
pub struct LabelExplained {
    /// `Condition/7`, or the type alone for one that has no id.
    pub resource: String,
    /// The label under whose key it is stored; absent for what is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// What its own security codings say.
    pub sender: String,
    /// The label that it gets by the rules as they are now.
    pub label: String,
    /// Each coding that a rule is about.
    pub rules: Vec<RuleMatched>,
}

/// A coding that a rule is about.
#[derive(Debug, Clone, Serialize)]
pub struct RuleMatched {
    /// The rule's name.
    pub rule: String,
    /// The sensitivity of v3-ActCode.
    pub sensitivity: String,
    /// Where the coding stands.
    pub expression: String,
    /// The code system.
    pub system: String,
    /// The code.
    pub code: String,
    /// Where the rule's codes are from.
    pub source: String,
}

/// Whose resources are to be labelled anew.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelabelRequest {
    /// `system|value`, or the id of a Patient that this hospital knows.
    pub patient: String,
    /// What is done with it.
    #[serde(default)]
    pub mode: RelabelMode,
    /// Whether labels may become more open.
    #[serde(default)]
    pub labels: RelabelTo,
}

/// Whether anything is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelabelMode {
    /// Resources are stored anew.
    #[default]
    Apply,
    /// It is told what would be done.
    DryRun,
}

/// To which label a resource goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelabelTo {
    /// Never to a more open one: what it has and what the rules say, together.
    #[default]
    Stricter,
    /// To what its own codings and the rules say, be it more open.
    Exact,
}

/// A resource that gets another label.
#[derive(Debug, Clone, Serialize)]
pub struct Relabelled {
    /// `Condition/7`.
    pub resource: String,
    /// The label that it had.
    pub from: String,
    /// The label that it gets.
    pub to: String,
    /// The rules that say so.
    pub rules: Vec<String>,
}

impl Gateway {
    /// Why a resource that was sent would get its label.
    pub(crate) fn explain_label_of(&self, resource: &Resource) -> Result<LabelExplained, GatewayError> {
        let kind = resource.resource_type();
        let name = resource.id().map_or_else(|| kind.to_string(), |id| format!("{kind}/{id}"));
        self.label_explained(resource, name, None)
    }

    /// Why a stored resource has its label.
    pub(crate) async fn explain_label_held(&self, name: &str, asking: &Asking) -> Result<LabelExplained, GatewayError> {
        let (label, content) = self.held_named(name, asking).await?;
        let content = content.ok_or_else(crate::face::read::not_found)?;
        self.label_explained(&Resource::parse(content)?, name.to_owned(), Some(label))
    }

    fn label_explained(
        &self,
        resource: &Resource,
        name: String,
        stored: Option<Branch>,
    ) -> Result<LabelExplained, GatewayError> {
        let matched = self.label_rules.matches(resource)?;
        let rules = matched.into_iter().map(|found| RuleMatched {
            rule: found.rule.name.clone(),
            sensitivity: found.rule.sensitivity.clone(),
            expression: found.expression,
            system: found.system,
            code: found.code,
            source: found.rule.source.clone(),
        });
        Ok(LabelExplained {
            resource: name,
            stored: stored.map(|label| label.to_string()),
            sender: label_of(resource).to_string(),
            label: Branch::of(resource, self.label_rules.label_of(resource)?)?.to_string(),
            rules: rules.collect(),
        })
    }

    /// Stores anew, under their new label, the resources of a patient whose label the rules of now change.
    pub(crate) async fn relabel(
        &self,
        request: &RelabelRequest,
        asking: &Asking,
    ) -> Result<Vec<Relabelled>, GatewayError> {
        let patient = self.patient_named(&request.patient, &asking.purpose).await?;
        let view = self.open(patient, asking).await?;
        let seen = Seen::new(view, asking, sealwort_smart::Action::Read)?;
        let (mut told, mut wanted) = (Vec::new(), Vec::new());
        for (_, held) in seen.places() {
            let newest = held.newest();
            let Some(resource) = newest.content.clone().map(Resource::parse).transpose()? else { continue };
            let own = self.label_rules.label_of(&resource)?;
            let label = match request.labels {
                RelabelTo::Stricter => newest.label.label().and(own),
                RelabelTo::Exact => own,
            };
            let branch = Branch::of(&resource, label)?;
            if branch == newest.label {
                continue;
            }
            let mut rules: Vec<String> =
                self.label_rules.matches(&resource)?.into_iter().map(|found| found.rule.name.clone()).collect();
            rules.dedup();
            let resource_name = format!("{}/{}", held.kind, held.id);
            told.push(Relabelled {
                resource: resource_name.clone(),
                from: newest.label.to_string(),
                to: branch.to_string(),
                rules,
            });
            wanted.push(Wanted {
                does: Does::Update { search: None },
                kind: held.kind,
                id: Some(held.id.clone()),
                resource: Some(resource),
                label: Some(label),
                // What somebody else writes meanwhile is labelled by the rules as it is.
                if_match: Some(crate::face::reply::etag(newest.number)),
                if_none_match: None,
                expression: resource_name,
                full_url: None,
            });
        }
        if request.mode == RelabelMode::DryRun || wanted.is_empty() {
            return Ok(told);
        }
        let group = Group { home: self.home_by_pseudonym(patient).await?, members: (0..wanted.len()).collect() };
        let plan = Plan { wanted, groups: vec![group], unresolved: Unresolved::Keep };
        self.carry_out(&plan, asking).await?;
        Ok(told)
    }

    /// The label and the content of a resource, for whoever may read it.
    pub(crate) async fn held_named(
        &self,
        name: &str,
        asking: &Asking,
    ) -> Result<(Branch, Option<Bytes>), GatewayError> {
        let wrong = || {
            GatewayError::request(
                422,
                IssueCode::Value,
                "reference-invalid",
                "the resource is not named as [type]/[id]",
                "name it like Observation/7",
            )
        };
        let (kind, id) = name.split_once('/').ok_or_else(wrong)?;
        let (kind, id) = (kind.parse().map_err(|_| wrong())?, id.parse().map_err(|_| wrong())?);
        let seen = self.see(asking, kind, &id, sealwort_smart::Action::Read).await?;
        let newest = seen.find(kind, &id).ok_or_else(crate::face::read::not_found)?.newest();
        Ok((newest.label, newest.content.clone()))
    }
}
