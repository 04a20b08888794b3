//! Who did what, when. Lines are added and, when they are old, purged; nothing changes or removes one before.

use crate::Access;
use crate::error::Result;
use crate::limits::{
    AUDIT_KEPT_US, AUDIT_MERGE_US, AUDIT_PAGE_MAX, AUDIT_PURGE_ROWS, DETAIL_LEN_MAX, PURGE_PERIOD_US,
    SECOND_FACTOR_WAIT_US, SESSION_AGE_MAX_US, SESSION_IDLE_US,
};
use store::{Lane, Tx, Value, binds};
use tokio::time::{Duration, sleep};

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

/// What was done, without the time; for deeds in rooms that do not know this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Who.
    pub actor: String,
    /// What, as `room.verb`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More, in words.
    pub detail: String,
}

/// Which lines; what is empty or none filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this actor.
    pub actor: String,
    /// With this action, or (ending in a dot) with an action of this room.
    pub action: String,
    /// To this subject.
    pub subject: String,
    /// At this time or later, in microseconds UTC.
    pub from: Option<i64>,
    /// Before this time, in microseconds UTC.
    pub until: Option<i64>,
}

impl AuditFilter {
    /// The conditions, with `$1` taken by the caller's id.
    fn conditions(&self) -> (String, Vec<Value>) {
        let (mut sql, mut binds) = (String::new(), Vec::new());
        let mut add = |condition: &str, value: Value| {
            binds.push(value);
            sql.push_str(&condition.replace('?', &format!("${}", binds.len() + 1)));
        };
        if !self.actor.is_empty() {
            add(" AND actor = ?", self.actor.as_str().into());
        }
        match self.action.strip_suffix('.') {
            // A dot is the least of what may follow the room's name, a slash is the character after the dot.
            Some(room) => {
                add(" AND action >= ?", format!("{room}.").into());
                add(" AND action < ?", format!("{room}/").into());
            }
            None if !self.action.is_empty() => add(" AND action = ?", self.action.as_str().into()),
            None => {}
        }
        if !self.subject.is_empty() {
            add(" AND subject = ?", self.subject.as_str().into());
        }
        if let Some(from) = self.from {
            add(" AND at >= ?", from.into());
        }
        if let Some(until) = self.until {
            add(" AND at < ?", until.into());
        }
        (sql, binds)
    }
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
    let short = |text: &str| text.chars().take(DETAIL_LEN_MAX / 4).collect::<String>();
    tx.execute(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5)",
        &binds![now_us, actor, action, short(subject), short(detail)],
    )?;
    Ok(())
}

impl Access {
    /// Writes a line about a deed that another room has done.
    pub async fn note(&self, deed: Deed, now_us: i64) -> Result<()> {
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                record(tx, now_us, &deed.actor, &deed.action, &deed.subject, &deed.detail)
            })
            .await?;
        Ok(())
    }

    /// As [`Access::note`], but a deed that its actor did to the same subject within [`AUDIT_MERGE_US`] adds no line:
    /// drafts are saved every few seconds while somebody types.
    pub async fn note_once(&self, deed: Deed, now_us: i64) -> Result<()> {
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "SELECT 1 FROM audit WHERE at > $1 AND actor = $2 AND action = $3 AND subject = $4 LIMIT 1";
                let binds = binds![now_us - AUDIT_MERGE_US, &deed.actor, &deed.action, &deed.subject];
                if tx.query_opt(sql, &binds, |row| row.int(0))?.is_some() {
                    return Ok(());
                }
                record(tx, now_us, &deed.actor, &deed.action, &deed.subject, &deed.detail)
            })
            .await?;
        Ok(())
    }

    /// The newest lines, or those before `before` (an id), at most `limit` and [`AUDIT_PAGE_MAX`].
    pub async fn audit(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditLine>> {
        self.audit_lines(&AuditFilter::default(), before, limit).await
    }

    /// As [`Access::audit`], of those that fit the filter.
    pub async fn audit_lines(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AuditLine>> {
        let (conditions, more) = filter.conditions();
        let limit = limit.clamp(1, AUDIT_PAGE_MAX);
        let sql = format!(
            "SELECT id, at, actor, action, subject, detail FROM audit WHERE id < $1{conditions} \
             ORDER BY id DESC LIMIT {limit}"
        );
        let mut binds = binds![before.unwrap_or(i64::MAX)].to_vec();
        binds.extend(more);
        let read = self.inner.store.read(move |tx| {
            tx.query(&sql, &binds, |row| {
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

    /// The actors and the actions that occur, each by name, for a page's filter.
    pub async fn audit_words(&self) -> Result<(Vec<String>, Vec<String>)> {
        let read = self.inner.store.read(|tx| {
            let actors =
                tx.query("SELECT DISTINCT actor FROM audit ORDER BY actor", &[], |row| row.text(0))?;
            let actions =
                tx.query("SELECT DISTINCT action FROM audit ORDER BY action", &[], |row| row.text(0))?;
            Ok::<_, store::Error>((actors, actions))
        });
        Ok(read.await?)
    }

    /// Deletes what has expired: lines older than [`AUDIT_KEPT_US`], ended sessions, links and half-done sign-ins.
    /// Answers how many lines went.
    pub async fn purge(&self, now_us: i64) -> Result<u64> {
        let store = &self.inner.store;
        store
            .write(Lane::Bulk, move |tx| {
                tx.execute("DELETE FROM password_link WHERE expires <= $1", &binds![now_us])?;
                let waited = now_us - SECOND_FACTOR_WAIT_US;
                tx.execute("DELETE FROM pending_sign_in WHERE created < $1", &binds![waited])?;
                let ends = binds![now_us - SESSION_IDLE_US, now_us - SESSION_AGE_MAX_US];
                tx.execute("DELETE FROM session WHERE seen < $1 OR created < $2", &ends)
            })
            .await?;
        let mut gone = 0;
        loop {
            let sql =
                "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2)";
            let binds = binds![now_us - AUDIT_KEPT_US, AUDIT_PURGE_ROWS];
            let some = store.write(Lane::Bulk, move |tx| tx.execute(sql, &binds)).await?;
            gone += some;
            if some == 0 {
                return Ok(gone);
            }
        }
    }

    /// Purges now and then; for a task of its own, which may be dropped.
    pub async fn keep_clean(&self, now_us: impl Fn() -> i64) {
        loop {
            if let Err(error) = self.purge(now_us()).await {
                tracing::warn!(%error, "what has expired could not be deleted; trying again later");
            }
            sleep(Duration::from_micros(PURGE_PERIOD_US.unsigned_abs())).await;
        }
    }
}
