//! `Patient/[id]/$phr-export`: everything about one patient, to take along: a `.sphr` file (HL7 Personal Health Record
//! Format IG, "Record Keeping"), a Bundle, or the International Patient Summary. It is written while it is sent, from the
//! open record, and consent is asked again on the way. What does not end properly is no file: the connection breaks.

use sealwort_net::observe;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use http::{StatusCode, header};
use sealwort_fhir::phr::{Cover, Organization, Origin, attachments, provenance};
use sealwort_fhir::response::instant;
use sealwort_fhir::{IssueCode, Reference, Resource, ResourceId, ResourceType, references};
use sealwort_smart::Action;
use serde_json::json;
use tokio::sync::mpsc;

use super::access_log::proof_files;
use super::everything::{summarised, whole};
use super::reply::{Content, Reply, date};
use super::request::{Ask, bad_parameter};
use crate::Gateway;
use crate::error::GatewayError;
use crate::seen::{Seen, check_scope};
use crate::trail::Trail;
use crate::user::Asking;
use crate::view::{Held, Version};

mod sphr;

/// Resources that are written before consent is asked again.
const RESOURCES_PER_ASKING: usize = 256;
/// Bytes that are gathered before they are sent.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait for a slow client.
const PIECES_WAITING: usize = 4;

/// The form in which a record leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Sphr,
    Bundle,
    Summary,
}

/// `GET Patient/[id]/$phr-export`, `GET Bundle/$phr-export?patient=[id]`
pub(super) async fn export(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&["patient", "outputFormat"])?;
    super::export::refuse_in_emergency(ask)?;
    let form = match ask.parameter("outputFormat")? {
        None | Some("sphr") => Form::Sphr,
        Some("bundle" | "json") => Form::Bundle,
        Some("ips") => Form::Summary,
        Some(_) => return Err(bad_parameter("outputFormat", "it is sphr, bundle or ips")),
    };
    let (seen, id) = whole(gateway, &about_patient(ask)?).await?;
    if form == Form::Summary {
        let document = summarised(gateway, &seen, &id, &ask.asking.trail)?;
        return Ok(Reply::resource(StatusCode::OK, document).of(&seen));
    }
    let leaving = Leaving::gather(gateway, &ask.asking, form, seen, id).await?;
    for (kind, id, _) in leaving.resources() {
        ask.asking.trail.shows(leaving.seen.view.patient, kind, id.as_str());
    }
    let (media, extension) = match form {
        Form::Sphr => ("application/zip", "sphr"),
        _ => ("application/fhir+json", "json"),
    };
    let name = format!("attachment; filename=\"{}.{extension}\"", leaving.id);
    let withheld = leaving.seen.withheld();
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    tokio::spawn(observe::follow(async move {
        let outlet = Outlet { sender: sender.clone() };
        let outcome = match form {
            Form::Sphr => Box::pin(sphr::write(&leaving, outlet)).await,
            _ => bundle(&leaving, outlet).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "an export was broken off");
            let _ = sender.send(Err(io::Error::other(error.code().to_owned()))).await;
        }
    }));
    Ok(Reply {
        status: StatusCode::OK,
        kind: Content::Stream(media),
        stream: Some(Body::from_stream(pieces(receiver))),
        withheld,
        headers: vec![(header::CONTENT_DISPOSITION, name)],
        ..Reply::default()
    })
}

/// What is sent, piece by piece. Who compresses it asks once more after the end, and is told again that it is the end.
fn pieces(mut receiver: mpsc::Receiver<io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// The request as if it named the patient in its path.
fn about_patient(ask: &Ask) -> Result<Ask, GatewayError> {
    let mut one = ask.clone();
    one.parameters.clear();
    if one.place.id.is_some() {
        return Ok(one);
    }
    one.place.id = match (ask.parameter("patient")?, &ask.asking.patient) {
        (Some(named), _) => {
            let id = named.strip_prefix("Patient/").unwrap_or(named).parse();
            Some(id.map_err(|_| bad_parameter("patient", "it is Patient/[id]"))?)
        }
        // A token about one patient needs no more words.
        (None, Some(patient)) => Some(patient.clone()),
        (None, None) => {
            return Err(GatewayError::request(
                400,
                IssueCode::Required,
                "patient-needed",
                "the request names no patient",
                "ask for Patient/[id]/$phr-export",
            ));
        }
    };
    Ok(one)
}

/// A record that is about to leave.
struct Leaving {
    gateway: Arc<Gateway>,
    asking: Asking,
    seen: Seen,
    id: ResourceId,
    /// Places in the record: the patient first.
    order: Vec<usize>,
    /// What the record refers to and the hospital keeps for all its patients, such as practitioners.
    shared: Vec<(ResourceType, ResourceId, Version)>,
    /// What it refers to and is not there, or not for this user.
    missing: BTreeSet<String>,
    /// The patient's consent as JSON, where the scopes allow it.
    consent: Option<Vec<u8>>,
    /// The summary.
    summary: Vec<u8>,
    /// Who had to do with the record, with what proves it, for each identity of the patient; where who asks may see that,
    /// and this hospital may ask for it.
    access_logs: Vec<Vec<u8>>,
}

impl Leaving {
    async fn gather(
        gateway: &Arc<Gateway>,
        asking: &Asking,
        form: Form,
        seen: Seen,
        id: ResourceId,
    ) -> Result<Self, GatewayError> {
        let mut order: Vec<usize> = seen.places().map(|(place, _)| place).collect();
        let is_patient = |place: &usize| seen.view.at(*place).is_some_and(|held| is_this(held, &id));
        // Stable: beside that, in the order in which they were first written.
        order.sort_by_key(|place| !is_patient(place));
        let summary = summarised(gateway, &seen, &id, &Trail::default())?;
        let consent = match check_scope(asking, Action::Read, "Consent".parse().map_err(|_| unknown("Consent"))?) {
            Ok(()) => {
                let shown = gateway.consent(id.as_str()).await?;
                Some(serde_json::to_vec(&shown).map_err(|_| GatewayError::Kept("a consent cannot be written"))?)
            }
            Err(_) => None,
        };
        let access_logs = match form {
            Form::Sphr => match proof_files(gateway, asking, &id).await {
                // Nobody gets it by an export who may not see it otherwise.
                Err(error) if error.status() < 500 => Vec::new(),
                files => files?,
            },
            Form::Bundle | Form::Summary => Vec::new(),
        };
        let mut leaving = Self {
            gateway: Arc::clone(gateway),
            asking: asking.clone(),
            seen,
            id,
            order,
            shared: Vec::new(),
            missing: BTreeSet::new(),
            consent,
            summary,
            access_logs,
        };
        leaving.follow().await?;
        Ok(leaving)
    }

    /// Takes along what the record refers to and the hospital keeps for all.
    async fn follow(&mut self) -> Result<(), GatewayError> {
        let mut known: BTreeSet<(ResourceType, ResourceId)> =
            self.resources().map(|(kind, id, _)| (kind, id.clone())).collect();
        let mut wanted: Vec<(ResourceType, ResourceId)> = Vec::new();
        for (_, _, version) in self.resources() {
            wanted.extend(version.content.as_ref().into_iter().flat_map(referred));
        }
        let own = self.gateway.own_home().await?;
        let own = self.gateway.patient_at(&own).await?;
        while let Some((kind, id)) = wanted.pop() {
            if !known.insert((kind, id.clone())) {
                continue;
            }
            let holding = self.gateway.patient_holding(kind, id.as_str(), &self.asking.purpose).await?;
            let found = match holding {
                Some(holding) if Some(holding) == own => {
                    match self.gateway.see(&self.asking, kind, &id, Action::Read).await {
                        Ok(seen) => seen.find(kind, &id).map(|held| held.newest().clone()),
                        Err(error) if error.status() < 500 => None,
                        Err(error) => return Err(error),
                    }
                }
                // Another patient's resource is not this one's to take along, and that record is not opened.
                _ => None,
            };
            match found.filter(|version| version.content.is_some()) {
                Some(version) => {
                    wanted.extend(version.content.as_ref().into_iter().flat_map(referred));
                    self.shared.push((kind, id, version));
                }
                None => drop(self.missing.insert(format!("{kind}/{id}"))),
            }
        }
        Ok(())
    }

    /// Everything that leaves, with its newest version.
    fn resources(&self) -> impl Iterator<Item = (ResourceType, &ResourceId, &Version)> {
        let held = self.order.iter().filter_map(|place| self.seen.view.at(*place));
        let own = held.map(|held| (held.kind, &held.id, held.newest()));
        own.chain(self.shared.iter().map(|(kind, id, version)| (*kind, id, version)))
    }

    /// The Provenance of one version; none for what is provenance itself.
    fn provenance(kind: ResourceType, id: &ResourceId, version: &Version) -> Option<Vec<u8>> {
        if matches!(kind.as_str(), "Provenance" | "AuditEvent") {
            return None;
        }
        let author = &*version.origin.author;
        let witness = version.origin.entry;
        let hash = hex::encode(witness.head.as_bytes());
        let entry = format!("urn:sealwort:entry:{}:{}:{hash}", version.origin.log, witness.sequence);
        Some(provenance(&Origin {
            kind,
            id,
            activity: if version.number == 1 { "CREATE" } else { "UPDATE" },
            recorded: date(version.changed)?,
            author: Organization { uri: author, name: author.rsplit('/').next().unwrap_or(author) },
            hash: &hash,
            entry: &entry,
        }))
    }

    /// Asks again whether this user may see the record: a withdrawal, or the end of an authority, ends the export.
    async fn still_allowed(&self) -> Result<(), GatewayError> {
        self.gateway.open(self.seen.view.patient, &self.asking).await.map(drop)
    }

    fn now(&self) -> time::OffsetDateTime {
        date(self.gateway.sessions.now()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }

    fn contents(&self) -> BTreeMap<ResourceType, Vec<ResourceId>> {
        let mut contents: BTreeMap<ResourceType, Vec<ResourceId>> = BTreeMap::new();
        for (kind, id, _) in self.resources() {
            contents.entry(kind).or_default().push(id.clone());
        }
        contents
    }
}

/// What a resource refers to on this server.
fn referred(content: &Bytes) -> Vec<(ResourceType, ResourceId)> {
    let Ok(resource) = Resource::parse(content.clone()) else { return Vec::new() };
    let named = references(&resource).filter_map(|text| match Reference::parse(text) {
        Reference::Relative { resource_type, id } => Some((resource_type, id)),
        _ => None,
    });
    named.collect()
}

fn is_this(held: &Held, id: &ResourceId) -> bool {
    held.kind == ResourceType::PATIENT && held.id == *id
}

fn unknown(kind: &str) -> GatewayError {
    super::table::unknown_type(kind)
}

/// What was written goes out in pieces, as fast as the client takes them.
struct Outlet {
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Outlet {
    /// Sends what a writer has gathered, once it is enough for a piece, or the last of it.
    async fn pass(&self, gathered: &mut Vec<u8>, least: usize) -> Result<(), GatewayError> {
        if gathered.len() < least.max(1) {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(gathered));
        self.sender.send(Ok(piece)).await.map_err(|_| GatewayError::Kept("the client of an export went away"))
    }
}

/// A collection of everything, each resource followed at the end by its Provenance.
async fn bundle(leaving: &Leaving, outlet: Outlet) -> Result<(), GatewayError> {
    let base = &leaving.gateway.base;
    let mut out = Vec::new();
    let stamp = instant(leaving.now());
    out.extend_from_slice(
        format!("{{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"timestamp\":\"{stamp}\",\"entry\":[")
            .as_bytes(),
    );
    let mut entries = 0usize;
    let mut entry = |out: &mut Vec<u8>, url: &str, content: &[u8]| {
        let comma = if entries == 0 { "" } else { "," };
        out.extend_from_slice(format!("{comma}{{\"fullUrl\":{},\"resource\":", json!(url)).as_bytes());
        out.extend_from_slice(content);
        out.push(b'}');
        entries += 1;
        entries.is_multiple_of(RESOURCES_PER_ASKING)
    };
    for (kind, id, version) in leaving.resources() {
        let Some(content) = &version.content else { continue };
        let ask = entry(&mut out, &format!("{base}/{kind}/{id}"), content);
        outlet.pass(&mut out, PIECE_BYTES).await?;
        if ask {
            leaving.still_allowed().await?;
        }
    }
    for (kind, id, version) in leaving.resources() {
        let Some(provenance) = Leaving::provenance(kind, id, version) else { continue };
        let name = provenance_id(version);
        let ask = entry(&mut out, &format!("{base}/Provenance/{name}"), &provenance);
        outlet.pass(&mut out, PIECE_BYTES).await?;
        if ask {
            leaving.still_allowed().await?;
        }
    }
    out.extend_from_slice(b"]}");
    outlet.pass(&mut out, 1).await
}

/// The id that [`provenance`] gives.
fn provenance_id(version: &Version) -> String {
    let hash = hex::encode(version.origin.entry.head.as_bytes());
    format!("entry-{}", hash.get(..32).unwrap_or(&hash))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn the_end_can_be_asked_for_twice() {
        let (sender, receiver) = mpsc::channel(1);
        sender.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
        drop(sender);
        let mut pieces = std::pin::pin!(pieces(receiver));
        assert_eq!(pieces.next().await.unwrap().unwrap(), "a");
        for _ in 0..2 {
            assert!(pieces.next().await.is_none());
        }
    }
}
