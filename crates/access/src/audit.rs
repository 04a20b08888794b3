//! Who did what, when.

use crate::Access;
use crate::error::Result;
use crate::limits::{AUDIT_PAGE_MAX, DETAIL_LEN_MAX};
use store::{Tx, binds};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// Its id, growing.
    pub id: i64,
    /// When, in microseconds UTC.
    pub at: i64,
    /// Who: an account's name, `local` or a part of the program.
    pub actor: String,
    /// What, as `room.verb`.
    pub action: String,
    /// To what: a name or an id.
    pub subject: String,
    /// More, in words. Never an address of a recipient, a body or a secret.
    pub detail: String,
}

/// Writes one line in the transaction of the deed, so that neither stands without the other.
pub fn record(
    tx: &mut Tx<'_>,
    now_us: i64,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> store::Result<()> {
    let detail: String = detail.chars().take(DETAIL_LEN_MAX / 4).collect();
    tx.execute(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5)",
        &binds![now_us, actor, action, subject, detail],
    )?;
    Ok(())
}

impl Access {
    /// The newest lines, or those before `before` (an id), at most `limit` and [`AUDIT_PAGE_MAX`].
    pub async fn audit(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditLine>> {
        let sql = "SELECT id, at, actor, action, subject, detail FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let binds = binds![before.unwrap_or(i64::MAX), limit.clamp(1, AUDIT_PAGE_MAX)];
        let read = self.inner.store.read(move |tx| {
            tx.query(sql, &binds, |row| {
                Ok::<_, store::Error>(AuditLine {
                    id: row.int(0)?,
                    at: row.int(1)?,
                    actor: row.text(2)?,
                    action: row.text(3)?,
                    subject: row.text(4)?,
                    detail: row.text(5)?,
                })
            })
        });
        Ok(read.await?)
    }
}
