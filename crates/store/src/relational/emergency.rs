//! Emergency accesses at the broker.

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_proto::message::EmergencyNotice;
use sealwort_proto::{EmergencyId, Pseudonym};
use sqlx::Row as _;

use super::erase::tombstone;
use super::{DriverRow, Store, tell};
use crate::database::{signed, unsigned};
use crate::key::Key;
use crate::{Change, EmergencyStore, KeptEmergency, NewEmergency, StoreError};

const KEPT: &str =
    "SELECT id, patient, hospital, \"user\", user_role, purpose, reason, begun_at FROM emergency WHERE id = $1";
const UNTOLD: &str = "SELECT id, patient, hospital, \"user\", user_role, purpose, reason, begun_at FROM emergency
     WHERE tell = $1 ORDER BY begun_at, id LIMIT $2";

#[async_trait]
impl EmergencyStore for Store {
    async fn keep_emergency(&self, emergency: NewEmergency) -> Result<(EmergencyNotice, KeptEmergency), StoreError> {
        let NewEmergency { notice, tell: hospital } = emergency;
        self.writer
            .submit_with(vec![Key::patient(notice.patient), Key::EMERGENCIES], move |c| {
                async move {
                    if tombstone(&mut *c, notice.patient).await?.is_some() {
                        return Err(StoreError::Conflict("the patient was erased"));
                    }
                    let id = notice.id.as_bytes().to_vec();
                    if let Some(row) = sqlx::query(KEPT).bind(id.clone()).fetch_optional(&mut *c).await? {
                        return Ok((read(&row)?, KeptEmergency::Known));
                    }
                    sqlx::query("INSERT INTO emergency VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
                        .bind(id)
                        .bind(notice.patient.as_bytes().to_vec())
                        .bind(notice.hospital.clone())
                        .bind(notice.user.clone())
                        .bind(notice.user_role.clone())
                        .bind(notice.purpose.clone())
                        .bind(notice.reason.clone())
                        .bind(signed(notice.begun_at)?)
                        .bind(hospital.clone())
                        .execute(&mut *c)
                        .await?;
                    if let Some(hospital) = hospital {
                        tell(c, &Change::Emergency(hospital)).await?;
                    }
                    Ok((notice, KeptEmergency::New))
                }
                .boxed()
            })
            .await
    }

    async fn untold_emergencies(&self, hospital: &str, most: usize) -> Result<Vec<EmergencyNotice>, StoreError> {
        let rows = sqlx::query(UNTOLD)
            .bind(hospital.to_owned())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    async fn told_emergencies(&self, hospital: &str, told: &[EmergencyId]) -> Result<(), StoreError> {
        let (hospital, told) = (hospital.to_owned(), told.to_vec());
        self.writer
            .submit_with(vec![Key::EMERGENCIES], move |c| {
                async move {
                    for id in told {
                        sqlx::query("UPDATE emergency SET tell = NULL WHERE id = $1 AND tell = $2")
                            .bind(id.as_bytes().to_vec())
                            .bind(hospital.clone())
                            .execute(&mut *c)
                            .await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn forget_emergencies(&self, before: u64) -> Result<(), StoreError> {
        let before = signed(before)?;
        self.writer
            .submit_with(vec![Key::EMERGENCIES], move |c| {
                async move {
                    let forget = sqlx::query("DELETE FROM emergency WHERE tell IS NULL AND begun_at < $1");
                    forget.bind(before).execute(c).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

fn read(row: &DriverRow) -> Result<EmergencyNotice, StoreError> {
    let bytes = |at: usize| row.try_get::<Vec<u8>, _>(at);
    let damaged = || StoreError::Conflict("an emergency access cannot be read");
    Ok(EmergencyNotice {
        id: EmergencyId::from_slice(&bytes(0)?).ok_or_else(damaged)?,
        patient: Pseudonym::from_slice(&bytes(1)?).ok_or_else(damaged)?,
        hospital: row.try_get(2)?,
        user: row.try_get(3)?,
        user_role: row.try_get(4)?,
        purpose: row.try_get(5)?,
        reason: row.try_get(6)?,
        begun_at: unsigned(row.try_get(7)?)?,
    })
}
