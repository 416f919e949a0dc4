//! Parting two identities that were merged.

use sealwort_consent::in_common;
use sealwort_fhir::{Resource, ResourceType, parse_token, same_content};
use sealwort_proto::Pseudonym;
use sealwort_proto::codec::Blob;

use super::note::Standing;
use super::{Before, Consented, Doing, Merge, Merged, Parting, kept_terms, refused};
use crate::Gateway;
use crate::error::GatewayError;
use crate::people::TREATMENT;
use crate::user::Asking;

impl Gateway {
    /// Undoes the merge by which this identity was given up, into that other one where it is named. Again it completes what
    /// was cut off.
    pub(crate) async fn unmerge(
        &self,
        source: &str,
        into: Option<&str>,
        doing: Doing,
        asking: &Asking,
    ) -> Result<Merged, GatewayError> {
        let _one_at_a_time = self.merging.lock().await;
        let identifier = if source.contains('|') { parse_token(source)?.identifier() } else { None };
        let patient = match identifier {
            Some(identifier) => self.roster.by_locator(self.directory.locator(&identifier)).await?,
            None => self.patient_holding(ResourceType::PATIENT, source, TREATMENT).await?,
        };
        let patient = patient.ok_or_else(GatewayError::unknown_patient)?;
        let mut merge = self.roster.merge(patient).await?.ok_or_else(|| {
            refused(
                409,
                "patient-not-merged",
                "this identity is merged into no other",
                "name the identity that was given up, not the one that survived",
            )
        })?;
        if let Some(into) = into
            && self.patient_named(into, TREATMENT).await? != self.roster.surviving(merge.target)
        {
            return Err(refused(
                409,
                "patient-not-merged",
                "these two are not merged into each other",
                "name the identity that was given up and the one that survived",
            ));
        }
        let before = merge.before.clone().ok_or_else(crate::consent::authority_elsewhere)?;
        asking.trail.touches(merge.source);
        asking.trail.touches(merge.target);
        let undone = merge.note(Standing::Undone)?;
        let told = |done| Merged { source: undone.source.clone(), target: undone.target.clone(), done };
        if doing == Doing::Preview {
            return Ok(told(false));
        }
        // First in the record that was given up: nobody is led on to where nothing of it is found.
        for patient in [merge.source, merge.target] {
            if !self.tells(patient, &undone, asking).await? {
                self.tell(patient, &undone, asking).await?;
            }
        }
        self.part_consents(&mut merge, &before).await?;
        for patient in [merge.target, merge.source] {
            self.patients.consent_changed(patient);
        }
        // What went on in the surviving record stays there; the name leads to where it began again.
        let view = self.open_alone(merge.source, asking).await?;
        let names = view.all().map(|(_, held)| (held.kind.as_str(), held.id.as_str()));
        self.roster.put_resources(merge.source, names).await?;
        self.note(&view).await?;
        if let Some((said, says)) = &before.patient {
            let view = self.open_alone(merge.target, asking).await?;
            let now = view.get(ResourceType::PATIENT, &merge.target_id).and_then(|held| held.newest().content.clone());
            // Who was updated since keeps that.
            if now.is_some_and(|now| same_content(&now, says.as_ref())) {
                let said = Resource::parse(said.0.clone())?;
                self.put_patient(&merge, &said, asking).await?;
            }
        }
        // Last: what is cut off before is completed by whoever asks again.
        self.roster.remove_merge(merge.source).await?;
        tracing::info!(source = %merge.source, target = %merge.target, "a merge of two identities is undone");
        Ok(told(true))
    }

    /// Each has the consent again that it had. Where the patient decided anew meanwhile, that stays with the surviving one,
    /// and the other one has no more of its own back than was decided. Again it completes what was cut off, and gives
    /// nothing back a second time.
    async fn part_consents(&self, merge: &mut Merge, before: &Before) -> Result<(), GatewayError> {
        let _one_at_a_time = self.consenting.lock().await;
        let source = self.newest_directive(&self.own(merge.source).await?).await?;
        let target = self.newest_directive(&self.own(merge.target).await?).await?;
        let parting = before.parting.clone().unwrap_or_else(|| {
            // 0 where the merge was cut off while consent was agreed.
            let anew = before.agreed != 0 && target.version() != before.agreed;
            let decided = anew.then(|| Blob(target.to_bytes()));
            Parting { source: source.version(), target: target.version(), decided }
        });
        if before.parting.is_none() {
            // The surviving one's consent is no more the other's: what is decided from now on is of one of them alone.
            merge.before = Some(Before { parting: Some(parting.clone()), ..before.clone() });
            merge.holds = false;
            self.roster.put_merge(merge).await?;
        }
        if parting.decided.is_none() && target.version() == parting.target {
            self.restore(merge.target, &before.target).await?;
        }
        if source.version() != parting.source {
            return Ok(());
        }
        let Some(decided) = parting.decided else { return self.restore(merge.source, &before.source).await };
        let decided = self.retagged(&kept_terms(&decided)?, merge.target, merge.source);
        self.stand(merge.source, in_common(&before.source.terms()?, &decided)).await.map(drop)
    }

    async fn restore(&self, patient: Pseudonym, before: &Consented) -> Result<(), GatewayError> {
        match &before.book {
            Some(book) => self.roster.put_consents(patient, book).await?,
            None => self.roster.remove_consents(patient).await?,
        }
        self.sign_terms(patient, before.terms()?).await.map(drop)
    }
}
