//! Links by which a person chooses a password: an invitation, or a reset. Whoever holds the link is the person, so it
//! has 256 random bits, only its hash is stored, it works once and for a limited time, and an account has at most one.

use crate::accounts::{New, insert, valid_email, valid_name};
use crate::error::{Error, Result};
use crate::limits::{INVITATION_AGE_MAX_US, RESET_AGE_MAX_US};
use crate::passwords::{NOBODY, acceptable};
use crate::sessions::{Browser, SignIn};
use crate::{Access, Rights, audit, secret};
use store::{Lane, Tx, binds};

/// Which kind of link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// The account was made with the link and has no password yet.
    Invitation,
    /// A new password for an account; the old one holds until then.
    Reset,
}

impl LinkKind {
    /// Its name in the database, in JSON and in text keys.
    pub fn name(self) -> &'static str {
        match self {
            LinkKind::Invitation => "invitation",
            LinkKind::Reset => "reset",
        }
    }

    fn named(name: &str) -> LinkKind {
        if name == "invitation" { LinkKind::Invitation } else { LinkKind::Reset }
    }

    fn age_max_us(self) -> i64 {
        match self {
            LinkKind::Invitation => INVITATION_AGE_MAX_US,
            LinkKind::Reset => RESET_AGE_MAX_US,
        }
    }
}

/// A link that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordLink {
    /// Its kind.
    pub kind: LinkKind,
    /// The account's name.
    pub name: String,
    /// The account's address; empty: none.
    pub email: String,
    /// The secret in the link, base64url; stored nowhere. Empty where a link is only looked at.
    pub token: String,
    /// Until when it works, in microseconds UTC.
    pub expires: i64,
}

/// Without the secret.
impl std::fmt::Debug for PasswordLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PasswordLink({}, {})", self.kind.name(), self.name)
    }
}

/// Nobody is mailed more links for a forgotten password than one in this time.
const FORGOTTEN_PAUSE_US: i64 = 15 * 60 * 1_000_000;

impl Access {
    /// Makes an account without a password, and the link by which its owner chooses one.
    pub async fn invite(
        &self,
        actor: &str,
        name: &str,
        email: &str,
        rights: Rights,
        now_us: i64,
    ) -> Result<PasswordLink> {
        let (name, email, actor) = (valid_name(name)?, valid_email(email)?, actor.to_string());
        let token = secret::new("")?;
        let hash = secret::hash(&token);
        let link = PasswordLink {
            kind: LinkKind::Invitation,
            name,
            email,
            token,
            expires: now_us + INVITATION_AGE_MAX_US,
        };
        let made = link.clone();
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let password = NOBODY.to_string();
                let new =
                    New { name: &made.name, password, one_time: false, rights, email: &made.email, now_us };
                let account = insert(tx, new)?;
                keep(tx, hash, account, &made, now_us)?;
                audit::record(tx, now_us, &actor, "user.invite", &made.name, &rights.names().join(", "))?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(link)
    }

    /// Makes a link for an account: an invitation again where it was not taken up yet, else a reset. An older link of the
    /// account works no more.
    pub async fn password_link(&self, actor: &str, name: &str, now_us: i64) -> Result<PasswordLink> {
        let (actor, name, token) = (actor.to_string(), name.trim().to_string(), secret::new("")?);
        let hash = secret::hash(&token);
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "SELECT id, email, password FROM account WHERE name = $1";
                let found = tx.query_opt(sql, &binds![&name], |row| {
                    Ok::<_, store::Error>((row.int(0)?, row.text(1)?, row.text(2)?))
                })?;
                let (account, email, password) =
                    found.ok_or_else(|| Error::NotFound(format!("account named {name}")))?;
                let kind = if password == NOBODY { LinkKind::Invitation } else { LinkKind::Reset };
                let link = PasswordLink { kind, name, email, token, expires: now_us + kind.age_max_us() };
                keep(tx, hash, account, &link, now_us)?;
                audit::record(tx, now_us, &actor, "user.link", &link.name, kind.name())?;
                Ok(link)
            })
            .await
    }

    /// A link for whoever forgot the password, by name or address: `None` where there is no such account, where several have
    /// the address, where the account has none to mail it to, or where one was made a short time ago. The caller must not
    /// let anybody see which.
    pub async fn forgotten(&self, name: &str, now_us: i64) -> Result<Option<PasswordLink>> {
        let name = name.trim().to_string();
        let since = now_us - FORGOTTEN_PAUSE_US;
        let found = self
            .inner
            .store
            .read(move |tx| {
                tx.query(
                    "SELECT a.name, coalesce(l.created, 0) FROM account a LEFT JOIN password_link l ON l.account = a.id \
                     WHERE a.email <> '' AND (a.name = $1 OR lower(a.email) = lower($1)) ORDER BY a.name LIMIT 2",
                    &binds![name],
                    |row| Ok::<_, store::Error>((row.text(0)?, row.int(1)?)),
                )
            })
            .await?;
        match found.as_slice() {
            [(name, made)] if *made <= since => self.password_link(name, name, now_us).await.map(Some),
            _ => Ok(None),
        }
    }

    /// What a link is for. Looking at it uses nothing up.
    ///
    /// # Errors
    /// [`Error::Link`].
    pub async fn look_at_link(&self, token: &str, now_us: i64) -> Result<PasswordLink> {
        let hash = secret::hash(token);
        let found = self.inner.store.read(move |tx| found(tx, hash, now_us)).await?;
        found.map(|(_, link)| link).ok_or(Error::Link)
    }

    /// Chooses the password: the link is used up, every session of the account ends, a lock is lifted, and the person is
    /// signed in, or asked for the second factor.
    ///
    /// # Errors
    /// [`Error::Link`], [`Error::WeakPassword`].
    pub async fn use_link(&self, token: &str, password: &str, from: &Browser, now_us: i64) -> Result<SignIn> {
        let link = self.look_at_link(token, now_us).await?;
        acceptable(&link.name, password)?;
        let (hash, new) = (secret::hash(token), self.hash_password(password).await?);
        let account = self
            .inner
            .store
            .write(Lane::Urgent, move |tx| {
                // Looked at again: of two who use the link at once, one is late.
                let (account, link) = found(tx, hash, now_us)?.ok_or(Error::Link)?;
                if tx.execute("DELETE FROM password_link WHERE hash = $1", &binds![hash])? == 0 {
                    return Err(Error::Link);
                }
                tx.execute(
                    "UPDATE account SET password = $2, one_time = 0, failures = 0, locked_until = 0 WHERE id = $1",
                    &binds![account, new],
                )?;
                tx.execute("DELETE FROM session WHERE account = $1", &binds![account])?;
                audit::record(tx, now_us, &link.name, "user.password", &link.name, link.kind.name())?;
                Ok(account)
            })
            .await?;
        self.enter(account, from, now_us).await
    }
}

fn keep(
    tx: &mut Tx<'_>,
    hash: [u8; 32],
    account: i64,
    link: &PasswordLink,
    now_us: i64,
) -> store::Result<()> {
    tx.execute("DELETE FROM password_link WHERE account = $1", &binds![account])?;
    tx.execute(
        "INSERT INTO password_link (hash, account, kind, created, expires) VALUES ($1, $2, $3, $4, $5)",
        &binds![hash, account, link.kind.name(), now_us, link.expires],
    )?;
    Ok(())
}

fn found(tx: &mut Tx<'_>, hash: [u8; 32], now_us: i64) -> store::Result<Option<(i64, PasswordLink)>> {
    let sql = "SELECT l.account, l.kind, a.name, a.email, l.expires FROM password_link l \
               JOIN account a ON a.id = l.account WHERE l.hash = $1 AND l.expires > $2";
    tx.query_opt(sql, &binds![hash, now_us], |row| {
        let link = PasswordLink {
            kind: LinkKind::named(row.str(1)?),
            name: row.text(2)?,
            email: row.text(3)?,
            token: String::new(),
            expires: row.int(4)?,
        };
        Ok::<_, store::Error>((row.int(0)?, link))
    })
}
