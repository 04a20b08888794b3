//! Accounts: added, reset and deleted by someone who is signed in, or by the command line on the machine.

use crate::error::{Error, Result};
use crate::{Access, Caller, FIRST_ACCOUNT, OneTime, Rights, audit, limits, passwords, secret};
use store::{Dialect, Lane, Row, Tx, binds};

/// One person who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: i64,
    /// Its name, unique.
    pub name: String,
    /// The password is still the one-time one.
    pub one_time: bool,
    /// When it was made, in microseconds UTC.
    pub created: i64,
    /// The last sign-in, if any, in microseconds UTC.
    pub signed_in: Option<i64>,
    /// What it may do.
    pub rights: Rights,
    /// Where notices and links go; empty: nowhere.
    pub email: String,
    /// Whether signing in takes a second factor.
    pub totp: bool,
    /// Until when an invitation or a reset link can be used, in microseconds UTC; none: there is no link.
    pub link_until: Option<i64>,
}

/// What [`account`] reads.
const ACCOUNT: &str = "SELECT id, name, one_time, created, signed_in, rights, email, \
    CASE WHEN totp IS NULL THEN 0 ELSE 1 END, \
    (SELECT expires FROM password_link WHERE password_link.account = account.id) FROM account";

impl Access {
    pub(crate) async fn first_account(&self, now_us: i64) -> Result<Option<OneTime>> {
        let count = self
            .inner
            .store
            .read(|tx| tx.query_one("SELECT count(*) FROM account", &[], |row| row.int(0)))
            .await?;
        if count > 0 {
            return Ok(None);
        }
        match self.add_user("first start", FIRST_ACCOUNT, Rights::ALL, now_us).await {
            Ok(one_time) => Ok(Some(one_time)),
            // Two nodes started together: the other one shows the password.
            Err(Error::Name(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All accounts by name.
    pub async fn users(&self) -> Result<Vec<Account>> {
        let sql = format!("{ACCOUNT} ORDER BY name");
        Ok(self.inner.store.read(move |tx| tx.query(&sql, &[], account)).await?)
    }

    /// The account of that name.
    pub async fn user(&self, name: &str) -> Result<Account> {
        let (sql, wanted) = (format!("{ACCOUNT} WHERE name = $1"), name.to_string());
        let found = self.inner.store.read(move |tx| tx.query_opt(&sql, &binds![wanted], account)).await?;
        found.ok_or_else(|| Error::NotFound(format!("account named {name}")))
    }

    /// Adds an account and gives its one-time password. `actor` is named in the audit log.
    pub async fn add_user(&self, actor: &str, name: &str, rights: Rights, now_us: i64) -> Result<OneTime> {
        let (name, actor) = (valid_name(name)?, actor.to_string());
        let password = secret::one_time_password()?;
        let hash = self.hash_password(&password).await?;
        let added = name.clone();
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let count = tx.query_one("SELECT count(*) FROM account", &[], |row| row.int(0))?;
                if count >= limits::ACCOUNTS_MAX {
                    return Err(Error::Name(format!("there are {count} accounts already, the most allowed")));
                }
                tx.execute(
                    "INSERT INTO account (name, password, one_time, created, rights) VALUES ($1, $2, 1, $3, $4)",
                    &binds![&added, hash, now_us, rights.bits()],
                )
                .map_err(|error| taken(error, &added))?;
                audit::record(tx, now_us, &actor, "user.add", &added, &rights.names().join(", "))?;
                Ok(())
            })
            .await?;
        Ok(OneTime { name, password })
    }

    /// Gives an account a new one-time password, ends its sessions and unlocks it.
    pub async fn reset_user(&self, actor: &str, name: &str, now_us: i64) -> Result<OneTime> {
        let (name, actor) = (valid_name(name)?, actor.to_string());
        let password = secret::one_time_password()?;
        let hash = self.hash_password(&password).await?;
        let reset = name.clone();
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let id = tx
                    .query_opt(
                        "UPDATE account SET password = $2, one_time = 1, failures = 0, locked_until = 0 \
                         WHERE name = $1 RETURNING id",
                        &binds![&reset, hash],
                        |row| row.int(0),
                    )?
                    .ok_or_else(|| Error::NotFound(format!("account named {reset}")))?;
                tx.execute("DELETE FROM session WHERE account = $1", &binds![id])?;
                audit::record(tx, now_us, &actor, "user.reset", &reset, "")?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(OneTime { name, password })
    }

    /// Gives an account these rights instead of those it has. Its sessions and tokens have them at once.
    ///
    /// # Errors
    /// [`Error::LastAdministrator`] when nobody would be left who can administer.
    pub async fn set_rights(&self, actor: &str, name: &str, rights: Rights, now_us: i64) -> Result<()> {
        let (name, actor) = (name.to_string(), actor.to_string());
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                lock_administrators(tx)?;
                let sql = "UPDATE account SET rights = $2 WHERE name = $1";
                if tx.execute(sql, &binds![&name, rights.bits()])? == 0 {
                    return Err(Error::NotFound(format!("account named {name}")));
                }
                someone_administers(tx)?;
                audit::record(tx, now_us, &actor, "user.rights", &name, &rights.names().join(", "))?;
                Ok(())
            })
            .await
    }

    /// Deletes an account with its sessions and tokens; never the last administrator.
    pub async fn delete_user(&self, actor: &str, name: &str, now_us: i64) -> Result<()> {
        let (name, actor) = (name.to_string(), actor.to_string());
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                lock_administrators(tx)?;
                if tx.execute("DELETE FROM account WHERE name = $1", &binds![&name])? == 0 {
                    return Err(Error::NotFound(format!("account named {name}")));
                }
                someone_administers(tx)?;
                audit::record(tx, now_us, &actor, "user.delete", &name, "")?;
                Ok(())
            })
            .await
    }

    /// Sets a person's own password, given the present one, and ends their other sessions; `keep` is the cookie value
    /// of the one that stays.
    pub async fn change_password(
        &self,
        caller: &Caller,
        present: &str,
        new: &str,
        keep: Option<&str>,
        now_us: i64,
    ) -> Result<()> {
        passwords::acceptable(&caller.name, new)?;
        let user = caller.user;
        let stored = self
            .inner
            .store
            .read(move |tx| {
                tx.query_opt("SELECT password FROM account WHERE id = $1", &binds![user], |row| row.text(0))
            })
            .await?;
        if !self.check_password(stored.as_deref(), present).await? {
            return Err(Error::WrongPassword);
        }
        if present == new {
            return Err(Error::WeakPassword("the new password is the present one".into()));
        }
        let hash = self.hash_password(new).await?;
        let (keep, name) = (keep.map(secret::hash), caller.name.clone());
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                tx.execute(
                    "UPDATE account SET password = $2, one_time = 0 WHERE id = $1",
                    &binds![user, hash],
                )?;
                let keep = keep.map_or_else(Vec::new, |hash| hash.to_vec());
                tx.execute("DELETE FROM session WHERE account = $1 AND hash <> $2", &binds![user, keep])?;
                audit::record(tx, now_us, &name, "user.password", &name, "")?;
                Ok(())
            })
            .await
    }
}

fn account(row: &Row<'_>) -> store::Result<Account> {
    Ok(Account {
        id: row.int(0)?,
        name: row.text(1)?,
        one_time: row.bool(2)?,
        created: row.int(3)?,
        signed_in: row.int_opt(4)?,
        rights: Rights::from_bits(row.int(5)?),
        email: row.text(6)?,
        totp: row.bool(7)?,
        link_until: row.int_opt(8)?,
    })
}

/// Names are typed on command lines and shown in lists.
fn valid_name(name: &str) -> Result<String> {
    let name = name.trim();
    let fits = (1..=limits::NAME_LEN_MAX).contains(&name.chars().count());
    if !fits || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::Name(format!(
            "a user name has 1 to {} characters and no blanks",
            limits::NAME_LEN_MAX
        )));
    }
    Ok(name.to_string())
}

fn taken(error: store::Error, name: &str) -> Error {
    match error.is_unique() {
        true => Error::Name(format!("there is already an account named {name}")),
        false => error.into(),
    }
}

/// Locks the rows of all administrators, before one of them changes: of two who take the right from each other at once
/// the second then sees what the first did.
fn lock_administrators(tx: &mut Tx<'_>) -> store::Result<()> {
    if tx.dialect() == Dialect::Postgres {
        let sql = "SELECT id FROM account WHERE rights >= 16 ORDER BY id FOR UPDATE";
        tx.query(sql, &[], |row| row.int(0))?;
    }
    Ok(())
}

/// An instance that nobody can administer could only be saved from its command line.
fn someone_administers(tx: &mut Tx<'_>) -> Result<()> {
    let sql = "SELECT count(*) FROM account WHERE rights >= 16";
    match tx.query_one(sql, &[], |row| row.int(0))? {
        0 => Err(Error::LastAdministrator),
        _ => Ok(()),
    }
}

/// The caller behind an account id.
pub(crate) fn caller(tx: &mut Tx<'_>, id: i64) -> store::Result<Option<Caller>> {
    let sql = "SELECT name, one_time, rights, language, time_zone FROM account WHERE id = $1";
    tx.query_opt(sql, &binds![id], |row| {
        Ok::<_, store::Error>(Caller {
            user: id,
            name: row.text(0)?,
            must_change_password: row.bool(1)?,
            rights: Rights::from_bits(row.int(2)?),
            language: row.text(3)?,
            time_zone: row.text(4)?,
        })
    })
}
