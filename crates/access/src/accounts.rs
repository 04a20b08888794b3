//! Accounts: added, reset and deleted by someone who is signed in, or by the command line on the machine.

use crate::error::{Error, Result};
use crate::{Access, Caller, FIRST_ACCOUNT, OneTime, Rights, audit, limits, passwords, secret, sessions};
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
    /// It was made by an invitation that nobody has taken up yet.
    pub invited: bool,
    /// Until when an invitation or a reset link can be used, in microseconds UTC; none: there is no link.
    pub link_until: Option<i64>,
}

/// What [`account`] reads.
const ACCOUNT: &str = "SELECT id, name, one_time, created, signed_in, rights, email, \
    CASE WHEN totp IS NULL THEN 0 ELSE 1 END, \
    (SELECT expires FROM password_link WHERE password_link.account = account.id), password FROM account";

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
                let new = New { name: &added, password: hash, one_time: true, rights, email: "", now_us };
                insert(tx, new)?;
                audit::record(tx, now_us, &actor, "user.add", &added, &rights.names().join(", "))?;
                Ok::<_, Error>(())
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
                for table in ["session", "password_link", "pending_sign_in"] {
                    tx.execute(&format!("DELETE FROM {table} WHERE account = $1"), &binds![id])?;
                }
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
        self.own_password(caller, present, now_us).await?;
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
                for table in ["password_link", "pending_sign_in"] {
                    tx.execute(&format!("DELETE FROM {table} WHERE account = $1"), &binds![user])?;
                }
                audit::record(tx, now_us, &name, "user.password", &name, "")?;
                Ok(())
            })
            .await
    }
}

impl Access {
    /// Sets what a person chose for their own pages and mail: a language tag, an IANA zone, an address; each may be
    /// empty.
    ///
    /// # Errors
    /// [`Error::Preference`] for a zone that does not exist or an address that cannot be one.
    pub async fn set_profile(&self, caller: &Caller, profile: Profile, now_us: i64) -> Result<()> {
        let profile = profile.checked()?;
        let (user, name) = (caller.user, caller.name.clone());
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "UPDATE account SET language = $2, time_zone = $3, email = $4 WHERE id = $1";
                let Profile { language, time_zone, email } = profile;
                if tx.execute(sql, &binds![user, language, time_zone, email])? == 0 {
                    return Err(Error::NotFound("account of the command line".into()));
                }
                audit::record(tx, now_us, &name, "user.profile", &name, "")?;
                Ok(())
            })
            .await
    }

    /// Sets the address to which an account's notices and links go; empty: none.
    pub async fn set_email(&self, actor: &str, name: &str, email: &str, now_us: i64) -> Result<()> {
        let (actor, name, email) = (actor.to_string(), name.to_string(), valid_email(email)?);
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                if tx.execute("UPDATE account SET email = $2 WHERE name = $1", &binds![&name, email])? == 0 {
                    return Err(Error::NotFound(format!("account named {name}")));
                }
                audit::record(tx, now_us, &actor, "user.email", &name, "")?;
                Ok(())
            })
            .await
    }

    /// Checks the password of someone who is signed in, before something that an open browser must not be enough for.
    /// A wrong one counts like one at the sign-in.
    pub(crate) async fn own_password(&self, caller: &Caller, password: &str, now_us: i64) -> Result<()> {
        let user = caller.user;
        let stored = self.inner.store.read(move |tx| {
            let sql = "SELECT password, locked_until FROM account WHERE id = $1";
            tx.query_opt(sql, &binds![user], |row| Ok::<_, store::Error>((row.text(0)?, row.int(1)?)))
        });
        let stored = stored.await?;
        if let Some((_, until)) = stored
            && until > now_us
        {
            return Err(sessions::locked(until, now_us));
        }
        if self.check_password(stored.as_ref().map(|(hash, _)| hash.as_str()), password).await? {
            return Ok(());
        }
        self.inner.store.write(Lane::Urgent, move |tx| sessions::failed(tx, user, now_us)).await?;
        Err(Error::WrongPassword)
    }
}

/// What a person chooses for themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Language tag of the pages; empty: the browser's.
    pub language: String,
    /// IANA time zone; empty: the browser's.
    pub time_zone: String,
    /// Address for notices; empty: none.
    pub email: String,
}

impl Profile {
    fn checked(self) -> Result<Profile> {
        let language = self.language.trim().to_string();
        if language.len() > 20
            || !language.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        {
            return Err(Error::Preference("a language is a tag like en or ja".into()));
        }
        let time_zone = self.time_zone.trim().to_string();
        if !time_zone.is_empty() && jiff::tz::TimeZone::get(&time_zone).is_err() {
            let name: String = time_zone.chars().take(60).collect();
            return Err(Error::Preference(format!(
                "there is no time zone named {name}; one is Europe/Berlin"
            )));
        }
        Ok(Profile { language, time_zone, email: valid_email(&self.email)? })
    }
}

/// An address, or empty. Whoever sends to it parses it whole; here only what would break lines and lists is kept out.
pub(crate) fn valid_email(email: &str) -> Result<String> {
    let email = email.trim();
    let shape =
        email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
    let clean = email.len() <= limits::EMAIL_LEN_MAX
        && !email.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>'));
    if email.is_empty() || shape && clean {
        return Ok(email.to_string());
    }
    Err(Error::Preference("this is no mail address".into()))
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
        invited: row.str(9)? == passwords::NOBODY,
    })
}

/// Names are typed on command lines and shown in lists.
pub(crate) fn valid_name(name: &str) -> Result<String> {
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

/// An account to be.
pub(crate) struct New<'a> {
    pub(crate) name: &'a str,
    /// Its hash.
    pub(crate) password: String,
    pub(crate) one_time: bool,
    pub(crate) rights: Rights,
    pub(crate) email: &'a str,
    pub(crate) now_us: i64,
}

/// Puts an account in; answers its id.
pub(crate) fn insert(tx: &mut Tx<'_>, new: New<'_>) -> Result<i64> {
    let count = tx.query_one("SELECT count(*) FROM account", &[], |row| row.int(0))?;
    if count >= limits::ACCOUNTS_MAX {
        return Err(Error::Name(format!("there are {count} accounts already, the most allowed")));
    }
    let sql = "INSERT INTO account (name, password, one_time, created, rights, email) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let New { name, password, one_time, rights, email, now_us } = new;
    let binds = binds![name, password, i64::from(one_time), now_us, rights.bits(), email];
    tx.insert_id(sql, &binds).map_err(|error| taken(error, name))
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
