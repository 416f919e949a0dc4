//! A certificate authority's invitations, certificates and revocation list.

use async_trait::async_trait;
use futures::FutureExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::SqliteStore;
use crate::database::{fixed, signed, unsigned};
use crate::{CaStore, CertificateRow, CrlRow, InvitationRow, RevocationRow, StoreError};

#[async_trait]
impl CaStore for SqliteStore {
    async fn add_invitation(&self, invitation: InvitationRow) -> Result<(), StoreError> {
        self.writer
            .submit(move |c| {
                async move {
                    let done = sqlx::query(
                        "INSERT INTO invitation (digest, identity, created, expires, used)
                         VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    )
                    .bind(invitation.digest.to_vec())
                    .bind(invitation.identity)
                    .bind(signed(invitation.created)?)
                    .bind(signed(invitation.expires)?)
                    .bind(invitation.used.map(signed).transpose()?)
                    .execute(c)
                    .await?;
                    changed(done.rows_affected(), "the invitation is there already")
                }
                .boxed()
            })
            .await
    }

    async fn invitation(&self, digest: [u8; 32]) -> Result<Option<InvitationRow>, StoreError> {
        let row = sqlx::query("SELECT digest, identity, created, expires, used FROM invitation WHERE digest = ?")
            .bind(digest.to_vec())
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| {
            Ok(InvitationRow {
                digest: fixed(row.try_get(0)?, |b| b.try_into().ok())?,
                identity: row.try_get(1)?,
                created: unsigned(row.try_get(2)?)?,
                expires: unsigned(row.try_get(3)?)?,
                used: row.try_get::<Option<i64>, _>(4)?.map(unsigned).transpose()?,
            })
        })
        .transpose()
    }

    async fn use_invitation(
        &self,
        digest: [u8; 32],
        used: u64,
        certificates: Vec<CertificateRow>,
    ) -> Result<bool, StoreError> {
        self.writer
            .submit(move |c| {
                async move {
                    let done = sqlx::query("UPDATE invitation SET used = ? WHERE digest = ? AND used IS NULL")
                        .bind(signed(used)?)
                        .bind(digest.to_vec())
                        .execute(&mut *c)
                        .await?;
                    if done.rows_affected() == 0 {
                        return Ok(false);
                    }
                    insert(c, certificates).await?;
                    Ok(true)
                }
                .boxed()
            })
            .await
    }

    async fn add_certificates(&self, certificates: Vec<CertificateRow>) -> Result<(), StoreError> {
        self.writer.submit(move |c| insert(c, certificates).boxed()).await
    }

    async fn certificate(&self, serial: [u8; 16]) -> Result<Option<CertificateRow>, StoreError> {
        let row = sqlx::query(
            "SELECT serial, identity, key_use, not_before, not_after, revoked_at, reason
             FROM certificate WHERE serial = ?",
        )
        .bind(serial.to_vec())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(certificate).transpose()
    }

    async fn certificates_of(&self, identity: &str, ends_after: u64) -> Result<Vec<CertificateRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT serial, identity, key_use, not_before, not_after, revoked_at, reason
             FROM certificate WHERE identity = ? AND not_after >= ? ORDER BY serial",
        )
        .bind(identity)
        .bind(signed(ends_after)?)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(certificate).collect()
    }

    async fn certificates(
        &self,
        ends_after: u64,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> Result<Vec<CertificateRow>, StoreError> {
        // Every serial number follows the empty one.
        let after = after.map(Vec::from).unwrap_or_default();
        let rows = sqlx::query(
            "SELECT serial, identity, key_use, not_before, not_after, revoked_at, reason
             FROM certificate WHERE serial > ? AND not_after >= ? ORDER BY serial LIMIT ?",
        )
        .bind(after)
        .bind(signed(ends_after)?)
        .bind(signed(limit as u64)?)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(certificate).collect()
    }

    async fn revoked(&self, ends_after: u64) -> Result<Vec<([u8; 16], RevocationRow)>, StoreError> {
        let rows = sqlx::query(
            "SELECT serial, revoked_at, reason FROM certificate
             WHERE revoked_at IS NOT NULL AND not_after >= ? ORDER BY serial",
        )
        .bind(signed(ends_after)?)
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let serial = fixed(row.try_get(0)?, |b| b.try_into().ok())?;
                Ok((serial, RevocationRow { at: unsigned(row.try_get(1)?)?, reason: row.try_get(2)? }))
            })
            .collect()
    }

    async fn crl(&self) -> Result<Option<CrlRow>, StoreError> {
        let row =
            sqlx::query("SELECT number, der, this_update, next_update FROM crl").fetch_optional(&self.readers).await?;
        row.map(|row| {
            Ok(CrlRow {
                number: unsigned(row.try_get(0)?)?,
                der: row.try_get(1)?,
                this_update: unsigned(row.try_get(2)?)?,
                next_update: unsigned(row.try_get(3)?)?,
            })
        })
        .transpose()
    }

    async fn publish_crl(&self, crl: CrlRow, revoked: Vec<([u8; 16], RevocationRow)>) -> Result<bool, StoreError> {
        self.writer.submit(move |c| async move { publish(c, crl, revoked).await }.boxed()).await
    }
}

async fn publish(
    c: &mut SqliteConnection,
    crl: CrlRow,
    revoked: Vec<([u8; 16], RevocationRow)>,
) -> Result<bool, StoreError> {
    let newest = sqlx::query("SELECT coalesce(max(number), 0) FROM crl").fetch_one(&mut *c).await?;
    if unsigned(newest.try_get(0)?)?.checked_add(1) != Some(crl.number) {
        return Ok(false);
    }
    sqlx::query("DELETE FROM crl").execute(&mut *c).await?;
    sqlx::query("INSERT INTO crl (number, der, this_update, next_update) VALUES (?, ?, ?, ?)")
        .bind(signed(crl.number)?)
        .bind(crl.der)
        .bind(signed(crl.this_update)?)
        .bind(signed(crl.next_update)?)
        .execute(&mut *c)
        .await?;
    for (serial, revocation) in revoked {
        sqlx::query("UPDATE certificate SET revoked_at = ?, reason = ? WHERE serial = ? AND revoked_at IS NULL")
            .bind(signed(revocation.at)?)
            .bind(revocation.reason)
            .bind(serial.to_vec())
            .execute(&mut *c)
            .await?;
    }
    Ok(true)
}

async fn insert(c: &mut SqliteConnection, certificates: Vec<CertificateRow>) -> Result<(), StoreError> {
    for row in certificates {
        let done = sqlx::query(
            "INSERT INTO certificate (serial, identity, key_use, not_before, not_after, revoked_at, reason)
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(row.serial.to_vec())
        .bind(row.identity)
        .bind(row.key_use)
        .bind(signed(row.not_before)?)
        .bind(signed(row.not_after)?)
        .bind(row.revoked.map(|revoked| signed(revoked.at)).transpose()?)
        .bind(row.revoked.map(|revoked| revoked.reason))
        .execute(&mut *c)
        .await?;
        changed(done.rows_affected(), "a certificate with this serial number is there already")?;
    }
    Ok(())
}

fn certificate(row: &SqliteRow) -> Result<CertificateRow, StoreError> {
    let revoked = match (row.try_get::<Option<i64>, _>(5)?, row.try_get(6)?) {
        (Some(at), Some(reason)) => Some(RevocationRow { at: unsigned(at)?, reason }),
        _ => None,
    };
    Ok(CertificateRow {
        serial: fixed(row.try_get(0)?, |b| b.try_into().ok())?,
        identity: row.try_get(1)?,
        key_use: row.try_get(2)?,
        not_before: unsigned(row.try_get(3)?)?,
        not_after: unsigned(row.try_get(4)?)?,
        revoked,
    })
}

fn changed(rows: u64, otherwise: &'static str) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Conflict(otherwise)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{DataFolder, ca};

    #[tokio::test]
    async fn keeps_an_authoritys_records() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = DataFolder::open(place.path(), "ca").unwrap();
        let store = SqliteStore::open(&mut folder).await.unwrap();
        ca::conformance(&store).await;
        store.close().await;
        // What was acknowledged is there after a restart.
        let store = SqliteStore::open(&mut folder).await.unwrap();
        assert_eq!(store.crl().await.unwrap().unwrap().number, 2);
        assert_eq!(store.revoked(0).await.unwrap().len(), 3);
        assert_eq!(store.invitation([1; 32]).await.unwrap().unwrap().used, Some(15));
    }
}
