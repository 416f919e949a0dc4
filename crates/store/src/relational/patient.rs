//! Patients, directives and halves.

use std::cmp::Ordering;

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_proto::{Locator, Pseudonym};
use sqlx::Row as _;

use super::{Connection, Store, erase, tell};
use crate::database::{fixed, signed, unsigned};
use crate::key::Key;
use crate::{
    Change, DirectiveUpdate, NewErasure, NewPatient, Patient, PatientStore, Registered, StoreError, Tombstone,
    WrappedHalf,
};

#[async_trait]
impl PatientStore for Store {
    async fn register(&self, patient: NewPatient) -> Result<Registered, StoreError> {
        let locators = patient.locators.iter().map(|locator| Key::locator(*locator));
        let keys = locators.chain([Key::patient(patient.patient)]).collect();
        self.writer.submit_with(keys, move |c| async move { register(c, &patient).await }.boxed()).await
    }

    async fn patient(&self, patient: Pseudonym) -> Result<Option<Patient>, StoreError> {
        let row = sqlx::query("SELECT registration, directive, version, epoch FROM patient WHERE pseudonym = $1")
            .bind(patient.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| {
            Ok(Patient {
                registration: row.try_get(0)?,
                directive: row.try_get(1)?,
                version: unsigned(row.try_get(2)?)?,
                epoch: unsigned(row.try_get(3)?)?,
            })
        })
        .transpose()
    }

    async fn version(&self, patient: Pseudonym) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query("SELECT version FROM patient WHERE pseudonym = $1")
            .bind(patient.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| unsigned(row.try_get(0)?)).transpose()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writer.submit(|_| async { Ok(()) }.boxed()).await?;
        sqlx::query("SELECT 1").fetch_one(&self.readers).await?;
        Ok(())
    }

    async fn locate(&self, locators: &[Locator]) -> Result<Option<Pseudonym>, StoreError> {
        for locator in locators {
            let row = sqlx::query("SELECT pseudonym FROM locator WHERE locator = $1")
                .bind(locator.as_bytes().to_vec())
                .fetch_optional(&self.readers)
                .await?;
            if let Some(row) = row {
                return Ok(Some(fixed(row.try_get(0)?, Pseudonym::from_slice)?));
            }
        }
        Ok(None)
    }

    async fn direct(&self, update: DirectiveUpdate) -> Result<(), StoreError> {
        let keys = vec![Key::patient(update.patient)];
        self.writer.submit_with(keys, move |c| async move { direct(c, &update).await }.boxed()).await
    }

    async fn halves(&self, patient: Pseudonym) -> Result<Vec<WrappedHalf>, StoreError> {
        let rows = sqlx::query("SELECT epoch, wrapped FROM half WHERE pseudonym = $1 ORDER BY epoch")
            .bind(patient.as_bytes().to_vec())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| Ok(WrappedHalf { epoch: unsigned(row.try_get(0)?)?, wrapped: row.try_get(1)? })).collect()
    }

    async fn erase(&self, erasure: NewErasure) -> Result<Tombstone, StoreError> {
        let keys = vec![Key::patient(erasure.patient), Key::EMERGENCIES];
        let run = self.writer.submit_with(keys, move |c| async move { erase::run(c, &erasure).await }.boxed());
        let tombstone = run.await?;
        // Each time, because a crash may have come between.
        let deleted = self.delete_doomed().await;
        deleted.inspect_err(|error| tracing::error!(%error, "objects of an erased patient are still there"))?;
        self.writer.scrub().await?;
        Ok(tombstone)
    }

    async fn tombstone(&self, patient: Pseudonym) -> Result<Option<Tombstone>, StoreError> {
        erase::tombstone(&self.readers, patient).await
    }
}

async fn register(c: &mut Connection, patient: &NewPatient) -> Result<Registered, StoreError> {
    let pseudonym = patient.patient.as_bytes().to_vec();
    if erase::tombstone(&mut *c, patient.patient).await?.is_some() {
        return Err(StoreError::Erased);
    }
    let known = sqlx::query("SELECT registration FROM patient WHERE pseudonym = $1")
        .bind(&pseudonym)
        .fetch_optional(&mut *c)
        .await?;
    if let Some(row) = known {
        let registration: &[u8] = row.try_get(0)?;
        return if registration == patient.registration {
            Ok(Registered::Known)
        } else {
            Err(StoreError::Conflict("the patient is registered already"))
        };
    }
    sqlx::query("INSERT INTO patient (pseudonym, registration, directive, version, epoch) VALUES ($1, $2, $3, $4, $5)")
        .bind(&pseudonym)
        .bind(&patient.registration)
        .bind(&patient.directive)
        .bind(signed(patient.version)?)
        .bind(signed(patient.half.epoch)?)
        .execute(&mut *c)
        .await?;
    for locator in &patient.locators {
        // A locator named twice is fine; one of another patient's changes no row.
        let done = sqlx::query(
            "INSERT INTO locator (locator, pseudonym) VALUES ($1, $2)
             ON CONFLICT (locator) DO UPDATE SET pseudonym = excluded.pseudonym
             WHERE locator.pseudonym = excluded.pseudonym",
        )
        .bind(locator.as_bytes().to_vec())
        .bind(&pseudonym)
        .execute(&mut *c)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Conflict("one of the identifiers belongs to another patient"));
        }
    }
    put_half(c, &pseudonym, &patient.half).await?;
    Ok(Registered::New)
}

async fn direct(c: &mut Connection, update: &DirectiveUpdate) -> Result<(), StoreError> {
    let pseudonym = update.patient.as_bytes().to_vec();
    let row = sqlx::query("SELECT directive, version, epoch FROM patient WHERE pseudonym = $1")
        .bind(&pseudonym)
        .fetch_optional(&mut *c)
        .await?
        .ok_or(StoreError::Conflict("the patient is not registered"))?;
    let (directive, version, epoch): (&[u8], i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if directive == update.directive {
        return Ok(());
    }
    if unsigned(version)? != update.replaces {
        return Err(StoreError::Conflict("another directive came first"));
    }
    let new_epoch = match update.epoch.cmp(&unsigned(epoch)?) {
        Ordering::Less => return Err(StoreError::Conflict("a directive cannot go back to an older epoch")),
        Ordering::Equal => None,
        Ordering::Greater => Some(update.epoch),
    };
    if update.half.as_ref().map(|half| half.epoch) != new_epoch {
        return Err(StoreError::Conflict("a new epoch comes with its half, and only then"));
    }
    sqlx::query("UPDATE patient SET directive = $1, version = $2, epoch = $3 WHERE pseudonym = $4")
        .bind(&update.directive)
        .bind(version + 1)
        .bind(signed(update.epoch)?)
        .bind(&pseudonym)
        .execute(&mut *c)
        .await?;
    if let Some(half) = &update.half {
        put_half(&mut *c, &pseudonym, half).await?;
    }
    tell(c, &Change::Consent(update.patient)).await
}

async fn put_half(c: &mut Connection, pseudonym: &[u8], half: &WrappedHalf) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO half (pseudonym, epoch, wrapped) VALUES ($1, $2, $3)")
        .bind(pseudonym)
        .bind(signed(half.epoch)?)
        .bind(&half.wrapped)
        .execute(c)
        .await?;
    Ok(())
}
