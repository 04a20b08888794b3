//! API tokens of accounts: `mw_` and 256 random bits, stored as a hash.

use crate::error::{Error, Result};
use crate::limits::{NAME_LEN_MAX, SEEN_STEP_US, TOKENS_MAX};
use crate::{Access, Caller, accounts, audit, secret};
use store::{Lane, binds};

/// Start of every API token, so that scanners for leaked secrets can find them.
pub const TOKEN_PREFIX: &str = "mw_";

/// One token, as far as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: i64,
    /// What its owner called it.
    pub label: String,
    /// When it was made, in microseconds UTC.
    pub created: i64,
    /// When it was last used (to within minutes), in microseconds UTC.
    pub used: Option<i64>,
}

impl Access {
    /// The tokens of an account, newest first.
    pub async fn tokens(&self, user: i64) -> Result<Vec<ApiToken>> {
        let sql = "SELECT id, label, created, used FROM api_token WHERE account = $1 ORDER BY id DESC";
        let read = self.inner.store.read(move |tx| {
            tx.query(sql, &binds![user], |row| {
                Ok::<_, store::Error>(ApiToken {
                    id: row.int(0)?,
                    label: row.text(1)?,
                    created: row.int(2)?,
                    used: row.int_opt(3)?,
                })
            })
        });
        Ok(read.await?)
    }

    /// Makes a token; its text is given once.
    pub async fn create_token(&self, caller: &Caller, label: &str, now_us: i64) -> Result<(i64, String)> {
        let label = label.trim().to_string();
        if label.is_empty() || label.chars().count() > NAME_LEN_MAX || label.chars().any(char::is_control) {
            return Err(Error::Name(format!("a token's label has 1 to {NAME_LEN_MAX} characters")));
        }
        let token = secret::new(TOKEN_PREFIX)?;
        let (hash, user, name) = (secret::hash(&token), caller.user, caller.name.clone());
        let id = self
            .inner
            .store
            .write(Lane::Urgent, move |tx| {
                let count = tx.query_one(
                    "SELECT count(*) FROM api_token WHERE account = $1",
                    &binds![user],
                    |row| row.int(0),
                )?;
                if count >= TOKENS_MAX {
                    return Err(Error::Name(format!(
                        "an account has at most {TOKENS_MAX} tokens; revoke one first"
                    )));
                }
                let id = tx
                    .insert_id(
                        "INSERT INTO api_token (account, label, hash, created) VALUES ($1, $2, $3, $4)",
                        &binds![user, &label, hash, now_us],
                    )
                    .map_err(|error| match error {
                        // The command line's own caller has no account.
                        store::Error::Constraint { kind: store::Constraint::ForeignKey, .. } => {
                            Error::NotFound("account to make the token for".into())
                        }
                        other => other.into(),
                    })?;
                audit::record(tx, now_us, &name, "token.create", &label, "")?;
                Ok(id)
            })
            .await?;
        Ok((id, token))
    }

    /// Ends a token of the caller's account.
    pub async fn revoke_token(&self, caller: &Caller, id: i64, now_us: i64) -> Result<()> {
        let (user, name) = (caller.user, caller.name.clone());
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "DELETE FROM api_token WHERE id = $1 AND account = $2 RETURNING label";
                let label = tx
                    .query_opt(sql, &binds![id, user], |row| row.text(0))?
                    .ok_or_else(|| Error::NotFound("such token".into()))?;
                audit::record(tx, now_us, &name, "token.revoke", &label, "")?;
                Ok(())
            })
            .await
    }

    /// The caller behind an API token; none when it is unknown or revoked. Not for `local-token`.
    pub async fn verify_token(&self, token: &str, now_us: i64) -> Result<Option<Caller>> {
        if !token.starts_with(TOKEN_PREFIX) {
            return Ok(None);
        }
        let hash = secret::hash(token);
        let found = self
            .inner
            .store
            .read(move |tx| {
                let sql = "SELECT id, account, used FROM api_token WHERE hash = $1";
                let token = tx.query_opt(sql, &binds![hash], |row| {
                    Ok::<_, store::Error>((row.int(0)?, row.int(1)?, row.int_opt(2)?))
                })?;
                let Some((id, account, used)) = token else { return Ok(None) };
                Ok::<_, store::Error>(accounts::caller(tx, account)?.map(|caller| (id, caller, used)))
            })
            .await?;
        let Some((id, mut caller, used)) = found else { return Ok(None) };
        // A token was made by someone who had signed in; a reset password does not stop the programs of its owner.
        caller.must_change_password = false;
        if used.is_none_or(|used| now_us - used > SEEN_STEP_US) {
            self.inner
                .store
                .write(Lane::Urgent, move |tx| {
                    tx.execute("UPDATE api_token SET used = $2 WHERE id = $1", &binds![id, now_us])
                })
                .await?;
        }
        Ok(Some(caller))
    }
}
