//! Two identities of one patient, merged and parted again. The consent authority of both says it in both records
//! (`merge/note.rs`), and agrees their consents: what either denied is denied, until the patient decides anew. From then
//! on identifiers and resources of both lead to the surviving record, and reading it reads the other as well
//! (`view/combined.rs`). Nothing is moved, so that parting them leaves each as it was, and what was written since with the
//! one that survived.

pub(crate) mod note;
mod undo;

use std::sync::Arc;

use minicbor::{Decode, Encode};
use sealwort_consent::{Action as ConsentAction, Directive, LabelTag as ConsentTag, Terms, in_common};
use sealwort_fhir::{
    Branch, IssueCode, Resource, ResourceId, ResourceType, parse_token, patient_identifiers, same_content,
};
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::error::Fault;
use sealwort_proto::message::{FromBroker, ToBroker};
use sealwort_proto::record::{Change, Record};
use sealwort_proto::statement::STATEMENT_BYTES_MAX;
use sealwort_proto::{DepositId, Pseudonym};

use crate::Gateway;
use crate::change::{Does, Unresolved, Wanted, single};
use crate::consent::directive_digest;
use crate::consent::statements::Book;
use crate::deposit::{Basis, Labelled};
use crate::emergency::Access;
use crate::error::GatewayError;
use crate::open::unexpected;
use crate::patients::wrong;
use crate::people::TREATMENT;
use crate::roster::Known;
use crate::user::Asking;
use crate::view::PatientView;
use note::{MergeNote, Side, Standing, fresh_linkage};

/// Largest row, in bytes: three directives, two books of Consents.
const MERGE_BYTES_MAX: usize = 3 * STATEMENT_BYTES_MAX + (2 << 20) + 4096;

/// A merge that this hospital knows of.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Merge {
    #[n(0)]
    pub(crate) source: Pseudonym,
    #[n(1)]
    pub(crate) target: Pseudonym,
    /// The Patients that stand for the two.
    #[n(2)]
    pub(crate) source_id: String,
    #[n(3)]
    pub(crate) target_id: String,
    #[n(4)]
    pub(crate) linkage: String,
    /// Whether it holds: both records tell of it.
    #[n(5)]
    pub(crate) holds: bool,
    /// How things stood before, at the consent authority alone.
    #[n(6)]
    pub(crate) before: Option<Before>,
}

/// The consents of the two before they were merged.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Before {
    #[n(0)]
    source: Consented,
    #[n(1)]
    target: Consented,
    /// Version of the surviving one's directive that agreed the two; 0 until then.
    #[n(2)]
    agreed: u64,
    /// The surviving Patient before it was replaced with the merge, and what replaced it; absent where nothing did.
    #[n(3)]
    patient: Option<(Blob, Blob)>,
    /// Set when their consents are parted, and with it that the merge does not hold any more.
    #[n(4)]
    parting: Option<Parting>,
}

/// How consent stood when it was parted: whoever completes that tells by it what is done already.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
struct Parting {
    /// Versions of the two directives. A later one was given back already, and may have been changed since.
    #[n(0)]
    source: u64,
    #[n(1)]
    target: u64,
    /// The surviving one's directive, where the patient decided anew while they were merged.
    #[n(2)]
    decided: Option<Blob>,
}

#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
struct Consented {
    /// The directive's bytes.
    #[n(0)]
    directive: Blob,
    #[n(1)]
    book: Option<Book>,
}

impl Consented {
    fn terms(&self) -> Result<Vec<Terms>, GatewayError> {
        kept_terms(&self.directive)
    }
}

fn kept_terms(directive: &Blob) -> Result<Vec<Terms>, GatewayError> {
    let directive = Directive::from_bytes(directive.as_ref());
    Ok(terms_of(&directive.map_err(|_| GatewayError::Kept("a kept directive cannot be read"))?))
}

impl Merge {
    /// Reads a row of the roster.
    pub(crate) fn read(row: &[u8]) -> Result<Self, GatewayError> {
        from_bytes(row, MERGE_BYTES_MAX).map_err(|_| GatewayError::Kept("a row of the roster cannot be read"))
    }

    /// The row.
    pub(crate) fn row(&self) -> Vec<u8> {
        to_bytes(self)
    }

    fn note(&self, standing: Standing) -> Result<MergeNote, GatewayError> {
        let side = |patient, id: &str| -> Result<Side, GatewayError> {
            let id = id.parse().map_err(|_| GatewayError::Kept("a kept merge cannot be read"))?;
            Ok(Side { patient, id })
        };
        Ok(MergeNote {
            linkage: self.linkage.clone(),
            source: side(self.source, &self.source_id)?,
            target: side(self.target, &self.target_id)?,
            standing,
        })
    }
}

/// The branch of what a record says of merges.
const NOTES: Branch = Branch::Administrative;

/// A merge in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) source: Side,
    pub(crate) target: Side,
    /// Whether it was done, or only looked at.
    pub(crate) done: bool,
}

/// Who is meant: `system|value`, or the id of a Patient.
#[derive(Debug, Clone)]
pub(crate) struct Identities {
    pub(crate) source: String,
    pub(crate) target: String,
    /// What the surviving Patient is to say from now on, where that is another thing.
    pub(crate) result: Option<Resource>,
}

/// Whether something is done, or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Really,
    Preview,
}

impl Gateway {
    /// Merges two identities, the source into the target. Again it completes what was cut off.
    pub(crate) async fn merge(
        &self,
        identities: &Identities,
        doing: Doing,
        asking: &Asking,
    ) -> Result<Merged, GatewayError> {
        let _one_at_a_time = self.merging.lock().await;
        let source = self.side(&identities.source, "source-patient", asking).await?;
        let target = self.side(&identities.target, "target-patient", asking).await?;
        asking.trail.touches(source.patient);
        asking.trail.touches(target.patient);
        let told = |done| Merged { source: source.clone(), target: target.clone(), done };
        // What another authority merged is not this one's to complete.
        let begun = self.roster.merge(source.patient).await?.filter(|begun| begun.before.is_some());
        if begun.as_ref().is_some_and(|begun| begun.target != target.patient) {
            return Err(refused(409, "patient-merged", "the source is merged into another patient already", UNDO));
        }
        if begun.as_ref().and_then(|begun| begun.before.as_ref()).is_some_and(|before| before.parting.is_some()) {
            return Err(refused(
                409,
                "patient-merged",
                "undoing the merge of these two was cut off",
                "complete that first: sealwort patient unmerge",
            ));
        }
        self.check_mergeable(&source, &target).await?;
        let (from, to) = (self.own(source.patient).await?, self.own(target.patient).await?);
        let mut merge = match begun {
            Some(begun) => begun,
            None => Merge {
                source: source.patient,
                target: target.patient,
                source_id: source.id.to_string(),
                target_id: target.id.to_string(),
                linkage: fresh_linkage(),
                holds: false,
                before: Some(Before {
                    source: self.consented(&from).await?,
                    target: self.consented(&to).await?,
                    agreed: 0,
                    patient: None,
                    parting: None,
                }),
            },
        };
        // Where it holds, consent was agreed; what the patient decided since stands.
        let agreed = if merge.holds { None } else { Some(self.agreed(&merge, &from, &to).await?) };
        if let Some(result) = &identities.result
            && result.id() != Some(&target.id)
        {
            return Err(refused(
                422,
                "result-patient-differs",
                "result-patient is not the surviving Patient",
                "give it the id of target-patient",
            ));
        }
        if doing == Doing::Preview {
            return Ok(told(merge.holds));
        }
        if let Some(agreed) = agreed {
            self.roster.put_merge(&merge).await?;
            let version = self.agree(&from, &to, agreed).await?;
            if let Some(before) = &mut merge.before {
                before.agreed = version;
            }
            self.roster.put_merge(&merge).await?;
        }
        // First where it survives: whoever is led there from the other one finds it.
        let note = merge.note(Standing::Merged)?;
        for patient in [merge.target, merge.source] {
            if !self.tells(patient, &note, asking).await? {
                self.tell(patient, &note, asking).await?;
            }
        }
        // It may hold already: whoever read the one record after it was told has taken note.
        merge.holds = true;
        self.roster.put_merge(&merge).await?;
        for patient in [merge.target, merge.source] {
            self.patients.consent_changed(patient);
        }
        self.forget(merge.source).await?;
        if let Some(result) = &identities.result {
            self.replace_patient(&mut merge, result, asking).await?;
        }
        tracing::info!(source = %merge.source, target = %merge.target, "two identities of a patient are merged");
        Ok(told(true))
    }

    /// Writes what the surviving Patient is to say, and keeps what it said before. What was written already, and may have
    /// been updated since, is not written again.
    async fn replace_patient(&self, merge: &mut Merge, result: &Resource, asking: &Asking) -> Result<(), GatewayError> {
        let view = self.open_alone(merge.target, asking).await?;
        let now = view.get(ResourceType::PATIENT, &merge.target_id).and_then(|held| held.newest().content.clone());
        let now = now.ok_or_else(GatewayError::unknown_patient)?;
        if let Some(kept) = &mut merge.before {
            let said = match kept.patient.take() {
                Some((said, says)) => {
                    let again = same_content(says.as_ref(), result.bytes());
                    if again && !same_content(&now, said.as_ref()) {
                        return Ok(());
                    }
                    said
                }
                None => Blob(now.to_vec()),
            };
            kept.patient = Some((said, Blob(result.bytes().to_vec())));
        }
        self.roster.put_merge(merge).await?;
        self.put_patient(merge, result, asking).await
    }

    /// Updates the surviving Patient, as anybody would.
    async fn put_patient(&self, merge: &Merge, content: &Resource, asking: &Asking) -> Result<(), GatewayError> {
        let wanted = Wanted {
            does: Does::Update { search: None },
            kind: ResourceType::PATIENT,
            id: content.id().cloned(),
            resource: Some(content.clone()),
            label: None,
            if_match: None,
            if_none_match: None,
            expression: String::new(),
            full_url: None,
        };
        let home = self.home_by_pseudonym(merge.target).await?;
        self.carry_out(&single(wanted, home, Unresolved::Keep), asking).await.map(drop)
    }

    /// A patient at this hospital, with the Patient that stands for it.
    async fn side(&self, named: &str, role: &str, asking: &Asking) -> Result<Side, GatewayError> {
        let within = |error: GatewayError| error.at(format!("Parameters.parameter.where(name = '{role}')"));
        let identifier = if named.contains('|') { parse_token(named)?.identifier() } else { None };
        let patient = match &identifier {
            Some(identifier) => self.roster.by_locator(self.directory.locator(identifier)).await?,
            None => self.patient_holding(ResourceType::PATIENT, named, TREATMENT).await?,
        };
        let patient = patient.ok_or_else(GatewayError::unknown_patient).map_err(within)?;
        let view = self.open_alone(patient, asking).await.map_err(within)?;
        let stands = |id: &ResourceId, content: &bytes::Bytes| match &identifier {
            None => id.as_str() == named,
            Some(identifier) => {
                Resource::parse(content.clone()).is_ok_and(|patient| patient_identifiers(&patient).contains(identifier))
            }
        };
        let patients = view.all().map(|(_, held)| held).filter(|held| held.kind == ResourceType::PATIENT);
        let mut found = patients
            .filter(|held| held.newest().content.as_ref().is_some_and(|content| stands(&held.id, content)))
            .map(|held| held.id.clone());
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(Side { patient, id }),
            (None, _) => Err(within(GatewayError::unknown_patient())),
            (Some(_), Some(_)) => Err(within(crate::change::ambiguous(ResourceType::PATIENT))),
        }
    }

    /// The record of one pseudonym, whatever it is merged with.
    async fn open_alone(&self, patient: Pseudonym, asking: &Asking) -> Result<Arc<PatientView>, GatewayError> {
        let emergency = self.admitted(patient, asking)?;
        self.open_under(patient, asking, emergency.as_ref()).await
    }

    async fn check_mergeable(&self, source: &Side, target: &Side) -> Result<(), GatewayError> {
        if source.patient == target.patient {
            return Err(refused(
                422,
                "merge-same",
                "both are in one record already",
                "to join two Patients of one record, update one of them and delete the other",
            ));
        }
        let (from, to) = (self.registered_by(source.patient).await?, self.registered_by(target.patient).await?);
        if from != to {
            return Err(refused(
                422,
                "authorities-differ",
                format!("{from} is the consent authority of Patient/{}, and {to} of Patient/{}", source.id, target.id),
                "one authority cannot agree the consent of the other. Have the patient export the record at one of them, \
                 import it at the other, and be erased at the first: docs/rights.md",
            ));
        }
        if self.roster.surviving(target.patient) != target.patient {
            return Err(refused(409, "patient-merged", "the target is merged into another patient", UNDO));
        }
        if !self.roster.merged_into(source.patient).is_empty() {
            return Err(refused(409, "patient-merged", "another patient is merged into the source", UNDO));
        }
        Ok(())
    }

    /// The hospital that registered a patient, and with it the consent authority.
    pub(crate) async fn registered_by(&self, patient: Pseudonym) -> Result<String, GatewayError> {
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        Ok(self.verify_registration(known.registration.as_ref())?.registration().registered_by.clone())
    }

    /// A patient whose consent authority this hospital is.
    async fn own(&self, patient: Pseudonym) -> Result<Known, GatewayError> {
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        if known.directive.0.is_empty() {
            return Err(crate::consent::authority_elsewhere());
        }
        if self.roster.is_erased(patient) {
            return Err(GatewayError::erased_patient());
        }
        if known.registered { Ok(known) } else { self.register(known).await }
    }

    async fn consented(&self, known: &Known) -> Result<Consented, GatewayError> {
        let directive = Blob(self.newest_directive(known).await?.to_bytes());
        Ok(Consented { directive, book: self.roster.consents(known.patient).await? })
    }

    /// What both consents allow, in the surviving one's words: those before the merge, and those of now, should it have
    /// been cut off and something have been withdrawn since.
    async fn agreed(&self, merge: &Merge, from: &Known, to: &Known) -> Result<Vec<Terms>, GatewayError> {
        let before = merge.before.as_ref().ok_or_else(crate::consent::authority_elsewhere)?;
        let theirs = self.retagged(&before.source.terms()?, merge.source, merge.target);
        let mut agreed = in_common(&before.target.terms()?, &theirs);
        for (known, then) in [(to, &before.target), (from, &before.source)] {
            let now = self.newest_directive(known).await?;
            if now.to_bytes() != then.directive.0 {
                agreed = in_common(&agreed, &self.retagged(&terms_of(&now), known.patient, merge.target));
            }
        }
        let own = self.hospital(&self.member.identity().to_string())?;
        let writes = |terms: &Terms| terms.grantees().holds(&own) && terms.actions().contains(&ConsentAction::Write);
        if agreed.iter().any(writes) {
            return Ok(agreed);
        }
        Err(refused(
            422,
            "consents-contradict",
            "the two consents have nothing in common that would let this hospital keep the record",
            "have the patient correct one of the consents first: sealwort consent list",
        ))
    }

    /// Terms of one patient for another: labels are tagged differently for each.
    pub(crate) fn retagged(&self, terms: &[Terms], from: Pseudonym, to: Pseudonym) -> Vec<Terms> {
        let pairs: Vec<(ConsentTag, ConsentTag)> = self
            .directory
            .tags(from)
            .into_iter()
            .zip(self.directory.tags(to))
            .map(|(from, to)| (ConsentTag::new(*from.as_bytes()), ConsentTag::new(*to.as_bytes())))
            .collect();
        let twin = |tag: &ConsentTag| pairs.iter().find(|(from, _)| from == tag).map(|(_, to)| *to);
        terms.iter().filter_map(|terms| terms.retagged(twin)).collect()
    }

    /// Signs the agreed consent for both. Version of the surviving one's.
    async fn agree(&self, from: &Known, to: &Known, agreed: Vec<Terms>) -> Result<u64, GatewayError> {
        let _one_at_a_time = self.consenting.lock().await;
        // From now on the agreed consent is what stands; Consents that come later stand beside it.
        for patient in [from.patient, to.patient] {
            self.roster.remove_consents(patient).await?;
        }
        let theirs = self.retagged(&agreed, to.patient, from.patient);
        self.stand(from.patient, theirs).await?;
        self.stand(to.patient, agreed).await
    }

    /// Signs terms, and keeps them as what stands beside Consents: they may limit this hospital's own users.
    async fn stand(&self, patient: Pseudonym, terms: Vec<Terms>) -> Result<u64, GatewayError> {
        let current = self.newest_directive(&self.own(patient).await?).await?;
        let issued = crate::consent::dated(&current, self.sessions.now().as_secs());
        let next = current.replace(issued, directive_digest(&current), terms.clone()).map_err(|error| wrong(&error))?;
        // Kept first: who is asked again after a directive was signed has no more to do.
        self.roster.put_consents(patient, &Book::beginning(&next)).await?;
        self.sign_terms(patient, terms).await
    }

    /// Whether a record says already what is to be told it.
    async fn tells(&self, patient: Pseudonym, note: &MergeNote, asking: &Asking) -> Result<bool, GatewayError> {
        let (view, own) = (self.open_alone(patient, asking).await?, self.member.identity().to_string());
        Ok(view.merges_by(&own).any(|told| told == note))
    }

    /// Writes into a record that it is merged, or no longer.
    async fn tell(&self, patient: Pseudonym, note: &MergeNote, asking: &Asking) -> Result<(), GatewayError> {
        let content = note.resource(&self.member.identity().to_string());
        let record =
            Record { change: Change::Put, resource_type: "Linkage".to_owned(), id: note.linkage.clone(), content };
        let records = Arc::new(vec![Labelled { record, label: NOTES }]);
        let as_of = (Basis::Any, self.sessions.now());
        self.deposit(patient, DepositId::random(), records, asking, as_of).await.map(drop)
    }

    /// The view of a patient together with those merged into it, and what it says of merges taken note of.
    pub(crate) async fn with_merged(
        &self,
        view: Arc<PatientView>,
        asking: &Asking,
        emergency: Option<&Access>,
    ) -> Result<Arc<PatientView>, GatewayError> {
        let patient = view.patient;
        let known = self.roster.merged_into(patient);
        if !view.tells_of_merges() && known.is_empty() {
            return Ok(view);
        }
        let authority = self.registered_by(patient).await?;
        let mut notes: Vec<MergeNote> = Vec::new();
        for note in view.merges_by(&authority) {
            if note.target.patient == patient && note.standing == Standing::Merged {
                self.learn_merge(note, &authority).await?;
                notes.push(note.clone());
            }
        }
        let told: Vec<Pseudonym> = notes.iter().map(|note| note.source.patient).collect();
        for gone in known.into_iter().filter(|gone| !told.contains(gone)) {
            let Some(merge) = self.roster.merge(gone).await? else { continue };
            // Who cannot read what is said of merges goes by what is known of them; and the authority parts by itself.
            if !self.reads_notes(&view) || merge.before.is_some() {
                notes.push(merge.note(Standing::Merged)?);
            } else {
                self.roster.merge_undone(gone).await?;
            }
        }
        let mut sources = Vec::new();
        for note in notes {
            asking.trail.touches(note.source.patient);
            // What either denies is denied: nothing of both is shown where one of them is refused.
            let source = self.open_under(note.source.patient, asking, emergency).await?;
            sources.push((note, source));
        }
        if sources.is_empty() {
            return Ok(view);
        }
        Ok(self.patients.combined(&view, asking, emergency, &sources, &self.base))
    }

    /// Whether what a record says of merges is among what this reading may see.
    fn reads_notes(&self, view: &PatientView) -> bool {
        view.tags.contains(&self.directory.tag(view.patient, NOTES))
    }

    /// Where the record says that it was merged into another one, that one.
    pub(crate) async fn led_on(&self, view: &PatientView) -> Result<Option<Pseudonym>, GatewayError> {
        let known = Some(self.roster.surviving(view.patient)).filter(|surviving| *surviving != view.patient);
        if !self.reads_notes(view) {
            return Ok(known);
        }
        if !view.tells_of_merges() {
            return Ok(None);
        }
        let authority = self.registered_by(view.patient).await?;
        let mut notes = view.merges_by(&authority);
        let holds = |note: &&MergeNote| note.source.patient == view.patient && note.standing == Standing::Merged;
        let Some(note) = notes.find(holds) else {
            let parted_here = self.roster.merge(view.patient).await?.is_some_and(|merge| merge.before.is_some());
            if known.is_some() && !parted_here {
                self.roster.merge_undone(view.patient).await?;
            }
            return Ok(None);
        };
        self.learn_merge(note, &authority).await?;
        Ok(Some(note.target.patient))
    }

    /// Takes note of a merge: both must be of one authority, which says so.
    async fn learn_merge(&self, note: &MergeNote, authority: &str) -> Result<(), GatewayError> {
        let ends = self.roster.surviving(note.target.patient) == note.target.patient;
        if note.source.patient == note.target.patient || !ends {
            return Err(GatewayError::Kept("a record says that it is merged with one that leads on"));
        }
        for patient in [note.source.patient, note.target.patient] {
            if self.roster.known(patient).await?.is_none() {
                self.take_registration(patient).await?;
            }
            if self.registered_by(patient).await? != authority {
                return Err(GatewayError::Kept("a record says that it is merged with one of another authority"));
            }
        }
        if self.roster.surviving(note.source.patient) == note.target.patient {
            return Ok(());
        }
        let kept = self.roster.merge(note.source.patient).await?;
        let merge = Merge {
            source: note.source.patient,
            target: note.target.patient,
            source_id: note.source.id.to_string(),
            target_id: note.target.id.to_string(),
            linkage: note.linkage.clone(),
            holds: true,
            before: kept.and_then(|kept| kept.before),
        };
        self.roster.put_merge(&merge).await?;
        self.forget(merge.source).await
    }

    /// Takes the registration of a pseudonym from the broker.
    async fn take_registration(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        let FromBroker::Consent { registration, .. } = self.ask_broker(&ToBroker::Consent(patient)).await? else {
            return Err(unexpected(Fault::Broker));
        };
        let verified = self.verify_registration(registration.as_ref())?;
        if verified.patient() != patient {
            return Err(unexpected(Fault::Broker));
        }
        let known = Known { patient, registration, directive: Blob::default(), registered: true };
        self.roster.put(&known, &verified.registration().locators).await
    }

    /// The Patient that stands for one that was given up.
    pub(crate) async fn given_up(&self, id: &str) -> Result<Option<String>, GatewayError> {
        let Some(patient) = self.roster.by_resource("Patient", id).await? else { return Ok(None) };
        // Nothing is looked up for who was never merged.
        if self.roster.surviving(patient) == patient {
            return Ok(None);
        }
        Ok(self.roster.merge(patient).await?.map(|merge| merge.target_id))
    }

    /// Refuses to write a Patient that was given up.
    pub(crate) async fn check_not_given_up(&self, kind: ResourceType, id: &ResourceId) -> Result<(), GatewayError> {
        if note::is_reserved(kind, id.as_str()) {
            return Err(refused(
                403,
                "linkage-reserved",
                "only a merge writes Linkages of this name",
                "to merge two patients: POST Patient/$merge",
            ));
        }
        if kind != ResourceType::PATIENT {
            return Ok(());
        }
        let Some(target) = self.given_up(id.as_str()).await? else { return Ok(()) };
        Err(refused(
            409,
            "patient-merged",
            format!("Patient/{id} was merged into Patient/{target}"),
            "update that one, or undo the merge first: POST Patient/$unmerge",
        ))
    }
}

fn terms_of(directive: &Directive) -> Vec<Terms> {
    directive.provisions().iter().map(|provision| provision.terms().clone()).collect()
}

fn refused(status: u16, code: &'static str, text: impl Into<String>, remedy: &'static str) -> GatewayError {
    GatewayError::request(status, IssueCode::BusinessRule, code, text, remedy)
}

/// What to do where a merge is in the way.
const UNDO: &str = "undo that merge first (sealwort patient unmerge), or merge into the patient that survived";
