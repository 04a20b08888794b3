//! Signing in and staying signed in.

use crate::error::{Error, Result};
use crate::limits::{
    AGENT_LEN_MAX, FAILURES_FREE, LOCK_FIRST_US, LOCK_MAX_US, PEER_FAILURES_MAX, PEER_WINDOW_US, PEERS_MAX,
    SECOND_FACTOR_WAIT_US, SEEN_STEP_US, SESSION_AGE_MAX_US, SESSION_IDLE_US, SESSIONS_MAX,
};
use crate::{Access, Caller, accounts, audit, secret};
use std::net::IpAddr;
use std::sync::PoisonError;
use store::{Lane, Tx, binds};

/// Name of the cookie that carries a session's value.
pub const SESSION_COOKIE: &str = "mailwright_session";

/// A sign-in that worked.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The value of the session cookie. It is stored nowhere.
    pub cookie: String,
    /// Who signed in.
    pub caller: Caller,
}

/// Without the cookie.
impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedIn({})", self.caller.name)
    }
}

/// Failed tries of one peer address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failures {
    since: i64,
    count: u32,
}

/// A browser that signs in, as far as we can tell.
#[derive(Debug, Clone)]
pub struct Browser {
    /// Its address.
    pub peer: IpAddr,
    /// What it calls itself (`User-Agent`).
    pub agent: String,
}

/// Where a right password leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// Signed in.
    Done(SignedIn),
    /// A code of the second factor is wanted; see [`Access::second_factor`].
    Code(Ticket),
}

/// Stands for a password that was right, until the code comes. To be sent back with it; stored as a hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(pub String);

/// Without the secret.
impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

/// A session, as far as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLine {
    /// Names it (a hash; nobody gets in with it).
    pub id: String,
    /// When it was begun, in microseconds UTC.
    pub created: i64,
    /// The last request (to within minutes), in microseconds UTC.
    pub seen: i64,
    /// The address it was begun from.
    pub peer: String,
    /// What the browser calls itself.
    pub agent: String,
    /// It is the one that asks.
    pub own: bool,
}

struct Found {
    id: i64,
    password: String,
    locked_until: i64,
}

impl Access {
    /// Checks name and password.
    ///
    /// # Errors
    /// [`Error::WrongPassword`]; [`Error::Locked`] while the account or the peer has to wait.
    pub async fn sign_in(&self, name: &str, password: &str, from: &Browser, now_us: i64) -> Result<SignIn> {
        self.peer_may_try(from.peer, now_us)?;
        let wanted = name.trim().to_string();
        let found = self
            .inner
            .store
            .read(move |tx| {
                let sql = "SELECT id, password, locked_until FROM account WHERE name = $1";
                tx.query_opt(sql, &binds![wanted], |row| {
                    Ok::<_, store::Error>(Found {
                        id: row.int(0)?,
                        password: row.text(1)?,
                        locked_until: row.int(2)?,
                    })
                })
            })
            .await?;
        if let Some(found) = &found
            && found.locked_until > now_us
        {
            return Err(locked(found.locked_until, now_us));
        }
        let fits = self.check_password(found.as_ref().map(|f| f.password.as_str()), password).await?;
        match (found, fits) {
            (Some(found), true) => self.enter(found.id, from, now_us).await,
            (found, _) => {
                self.peer_failed(from.peer, now_us);
                if let Some(found) = found {
                    self.inner.store.write(Lane::Urgent, move |tx| failed(tx, found.id, now_us)).await?;
                }
                Err(Error::WrongPassword)
            }
        }
    }

    /// The person has shown that the account is theirs, but for the second factor where there is one.
    pub(crate) async fn enter(&self, id: i64, from: &Browser, now_us: i64) -> Result<SignIn> {
        let (ticket, cookie, from) = (secret::new("")?, secret::new("")?, from.clone());
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "SELECT 1 FROM account WHERE id = $1 AND totp IS NOT NULL";
                if tx.query_opt(sql, &binds![id], |row| row.int(0))?.is_none() {
                    return Ok(SignIn::Done(begin_session(tx, id, cookie, &from, now_us)?));
                }
                let sql = "DELETE FROM pending_sign_in WHERE created < $1";
                tx.execute(sql, &binds![now_us - SECOND_FACTOR_WAIT_US])?;
                let sql = "INSERT INTO pending_sign_in (hash, account, created) VALUES ($1, $2, $3)";
                tx.execute(sql, &binds![secret::hash(&ticket), id, now_us])?;
                Ok(SignIn::Code(Ticket(ticket)))
            })
            .await
    }

    /// Signs in with the code of the second factor, or a recovery code. A wrong one counts like a wrong password.
    ///
    /// # Errors
    /// [`Error::Code`]; [`Error::Link`] when the ticket is too old; [`Error::Locked`].
    pub async fn second_factor(
        &self,
        ticket: &Ticket,
        code: &str,
        from: &Browser,
        now_us: i64,
    ) -> Result<SignedIn> {
        self.peer_may_try(from.peer, now_us)?;
        let (hash, code, cookie) = (secret::hash(&ticket.0), code.to_string(), secret::new("")?);
        let (access, browser) = (self.clone(), from.clone());
        let outcome = self
            .inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "SELECT p.account, a.locked_until FROM pending_sign_in p JOIN account a ON a.id = p.account \
                           WHERE p.hash = $1 AND p.created >= $2";
                let found = tx.query_opt(sql, &binds![hash, now_us - SECOND_FACTOR_WAIT_US], |row| {
                    Ok::<_, store::Error>((row.int(0)?, row.int(1)?))
                })?;
                let (id, until) = found.ok_or(Error::Link)?;
                if until > now_us {
                    return Err(locked(until, now_us));
                }
                if !access.take_code(tx, id, &code, now_us)? {
                    // A failed try must be kept, so this is no error of the transaction.
                    failed(tx, id, now_us)?;
                    return Ok(None);
                }
                tx.execute("DELETE FROM pending_sign_in WHERE account = $1", &binds![id])?;
                Ok(Some(begin_session(tx, id, cookie, &browser, now_us)?))
            })
            .await?;
        outcome.ok_or_else(|| {
            self.peer_failed(from.peer, now_us);
            Error::Code
        })
    }

    /// The open sessions of an account, the last used first. `cookie` is the value of the one that asks.
    pub async fn sessions(&self, user: i64, cookie: Option<&str>, now_us: i64) -> Result<Vec<SessionLine>> {
        let own = cookie.map(secret::hash);
        let sql = "SELECT hash, created, seen, peer, agent FROM session \
                   WHERE account = $1 AND seen >= $2 AND created >= $3 ORDER BY seen DESC, created DESC";
        let binds = binds![user, now_us - SESSION_IDLE_US, now_us - SESSION_AGE_MAX_US];
        let read = self.inner.store.read(move |tx| {
            tx.query(sql, &binds, |row| {
                let hash = row.bytes(0)?;
                Ok::<_, store::Error>(SessionLine {
                    id: hex(hash),
                    own: own.is_some_and(|own| own == hash),
                    created: row.int(1)?,
                    seen: row.int(2)?,
                    peer: row.text(3)?,
                    agent: row.text(4)?,
                })
            })
        });
        Ok(read.await?)
    }

    /// Ends one of the caller's sessions.
    pub async fn end_session(&self, caller: &Caller, id: &str, now_us: i64) -> Result<()> {
        let none = || Error::NotFound("such session".into());
        let (hash, user, name) = (from_hex(id).ok_or_else(none)?, caller.user, caller.name.clone());
        let sql = "DELETE FROM session WHERE hash = $1 AND account = $2";
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                if tx.execute(sql, &binds![hash, user])? == 0 {
                    return Err(Error::NotFound("such session".into()));
                }
                audit::record(tx, now_us, &name, "user.end_session", &name, "")?;
                Ok(())
            })
            .await
    }

    /// Ends the caller's sessions except that of `keep` (a cookie value); answers how many.
    pub async fn end_other_sessions(&self, caller: &Caller, keep: Option<&str>, now_us: i64) -> Result<u64> {
        let keep = keep.map_or_else(Vec::new, |cookie| secret::hash(cookie).to_vec());
        let (user, name) = (caller.user, caller.name.clone());
        let ended = self.inner.store.write(Lane::Urgent, move |tx| {
            let sql = "DELETE FROM session WHERE account = $1 AND hash <> $2";
            let ended = tx.execute(sql, &binds![user, keep])?;
            if ended > 0 {
                audit::record(tx, now_us, &name, "user.end_session", &name, &format!("others: {ended}"))?;
            }
            Ok::<_, store::Error>(ended)
        });
        Ok(ended.await?)
    }

    /// The caller behind a cookie value; none when there is no such session or it has ended.
    pub async fn session(&self, cookie: &str, now_us: i64) -> Result<Option<Caller>> {
        let hash = secret::hash(cookie);
        let found = self
            .inner
            .store
            .read(move |tx| {
                let sql = "SELECT account, created, seen FROM session WHERE hash = $1";
                let session = tx.query_opt(sql, &binds![hash], |row| {
                    Ok::<_, store::Error>((row.int(0)?, row.int(1)?, row.int(2)?))
                })?;
                let Some((account, created, seen)) = session else { return Ok(None) };
                if now_us - created > SESSION_AGE_MAX_US || now_us - seen > SESSION_IDLE_US {
                    return Ok(None);
                }
                Ok::<_, store::Error>(accounts::caller(tx, account)?.map(|caller| (caller, seen)))
            })
            .await?;
        let Some((caller, seen)) = found else { return Ok(None) };
        if now_us - seen > SEEN_STEP_US {
            self.inner
                .store
                .write(Lane::Urgent, move |tx| {
                    tx.execute("UPDATE session SET seen = $2 WHERE hash = $1", &binds![hash, now_us])
                })
                .await?;
        }
        Ok(Some(caller))
    }

    /// Ends the session of a cookie value.
    pub async fn sign_out(&self, cookie: &str) -> Result<()> {
        let hash = secret::hash(cookie);
        let end = move |tx: &mut Tx<'_>| tx.execute("DELETE FROM session WHERE hash = $1", &binds![hash]);
        self.inner.store.write(Lane::Urgent, end).await?;
        Ok(())
    }

    fn peer_may_try(&self, peer: IpAddr, now_us: i64) -> Result<()> {
        let mut peers = self.inner.peers.lock().unwrap_or_else(PoisonError::into_inner);
        match peers.get(&peer).copied() {
            Some(failures) if now_us - failures.since >= PEER_WINDOW_US => {
                peers.remove(&peer);
                Ok(())
            }
            Some(failures) if failures.count >= PEER_FAILURES_MAX => {
                Err(locked(failures.since + PEER_WINDOW_US, now_us))
            }
            _ => Ok(()),
        }
    }

    fn peer_failed(&self, peer: IpAddr, now_us: i64) {
        let mut peers = self.inner.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_MAX {
            peers.retain(|_, failures| now_us - failures.since < PEER_WINDOW_US);
        }
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            // So many at once are one attacker; the locks of the accounts still hold.
            return;
        }
        peers.entry(peer).or_insert(Failures { since: now_us, count: 0 }).count += 1;
    }
}

fn begin_session(tx: &mut Tx<'_>, id: i64, cookie: String, from: &Browser, now_us: i64) -> Result<SignedIn> {
    let caller = accounts::caller(tx, id)?.ok_or(Error::WrongPassword)?;
    tx.execute(
        "UPDATE account SET failures = 0, locked_until = 0, signed_in = $2 WHERE id = $1",
        &binds![id, now_us],
    )?;
    tx.execute(
        "DELETE FROM session WHERE account = $1 AND (seen < $2 OR created < $3 OR hash IN \
         (SELECT hash FROM session WHERE account = $1 ORDER BY seen DESC LIMIT 1000 OFFSET $4))",
        &binds![id, now_us - SESSION_IDLE_US, now_us - SESSION_AGE_MAX_US, SESSIONS_MAX - 1],
    )?;
    let agent: String = from.agent.chars().filter(|c| !c.is_control()).take(AGENT_LEN_MAX).collect();
    tx.execute(
        "INSERT INTO session (hash, account, created, seen, peer, agent) VALUES ($1, $2, $3, $3, $4, $5)",
        &binds![secret::hash(&cookie), id, now_us, from.peer.to_string(), agent],
    )?;
    audit::record(tx, now_us, &caller.name, "user.sign_in", &caller.name, "")?;
    Ok(SignedIn { cookie, caller })
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

pub(crate) fn locked(until: i64, now_us: i64) -> Error {
    Error::Locked { wait_s: ((until - now_us) / 1_000_000).max(1) }
}

/// Counts a wrong password and, beyond the free ones, locks the account for a wait that doubles.
pub(crate) fn failed(tx: &mut Tx<'_>, id: i64, now_us: i64) -> Result<()> {
    let sql = "UPDATE account SET failures = failures + 1 WHERE id = $1 RETURNING failures, name";
    let counted = tx.query_opt(sql, &binds![id], |row| Ok::<_, store::Error>((row.int(0)?, row.text(1)?)))?;
    let Some((failures, name)) = counted else { return Ok(()) };
    if failures < FAILURES_FREE {
        return Ok(());
    }
    let doublings = u32::try_from(failures - FAILURES_FREE).unwrap_or(u32::MAX).min(20);
    let wait = (LOCK_FIRST_US << doublings).min(LOCK_MAX_US);
    tx.execute("UPDATE account SET locked_until = $2 WHERE id = $1", &binds![id, now_us + wait])?;
    audit::record(tx, now_us, "sign-in", "user.locked", &name, &format!("{failures} failed tries"))?;
    Ok(())
}
